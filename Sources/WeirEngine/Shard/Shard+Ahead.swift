/// A large update taken in several turns of the loop, so that others get theirs in between.
///
/// What takes long, and shows nothing to anybody, comes first and in slices: the view is made to know the names. Then the
/// update is applied as a whole in a turn, and told to the streams in another. What a home says of the group meanwhile
/// is kept by the shell until then.
extension Shard {
    /// Whether there is anything to be done ahead of `update(group:_:)`.
    package func isLarge(_ update: TypeUpdate) -> Bool { update.changes.count >= self.policy.changesAtOnceMax }

    /// Does some of what can be done ahead of an update: of its changes, those from `position` on. Returns where to go on;
    /// nil when there is only `update(group:_:)` left to be called.
    package func prepare(group key: String, _ update: TypeUpdate, from position: Int) -> Int? {
        guard let index = self.mainView(key, update.typeURL), let view = self.views[Int(index)],
            view.staging.first == TypeStream.none, update.audience == .all || update.audience == .rest,
            update.isFull || view.generation > 0, view.isWanted
        else { return nil }
        if position == 0 {
            view.reserve(names: update.changes.count)
            view.preparedIDs = (update.generation, view.idEpoch, [])
        }
        guard position < update.changes.count else {
            guard view.ahead == nil else { return nil }
            view.ahead = (update.generation, view.apply(update))
            return nil
        }
        let end = min(position + self.policy.changesAtOnceMax, update.changes.count)
        let changes = update.changes.span
        for index in position..<end {
            let id = view.id(of: changes[index].name)
            view.preparedIDs?.ids.append(id)
        }
        return end
    }
}

extension TypeView {
    /// The ids of an update's names, in order, if they were looked up and mean the same still; else empty.
    func takePrepared(for update: TypeUpdate) -> [NameID] {
        guard let prepared = self.preparedIDs.take(), prepared.update == update.generation,
            prepared.epoch == self.idEpoch,
            prepared.ids.count == update.changes.count
        else { return [] }
        return prepared.ids
    }

    /// What an update concerns that was applied ahead; nil if it was not.
    func takeApplied(_ update: TypeUpdate) -> [Int32]? {
        guard let ahead = self.ahead, ahead.update == update.generation else { return nil }
        self.ahead = nil
        return ahead.dirty
    }
}
