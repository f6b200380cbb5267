import WeirXDS

/// What a home let go of while it was wanted here again, because the two had not heard of each other yet: whether it is
/// still there, the origin's next answer says.
extension TypeView {
    /// Whether a member of the wildcard that the home let go of is kept until the wildcard's next answer. Then clients are
    /// not shown an empty set in between, and those who hold it hear if it is gone. Only where that answer is sure to come.
    func doubts(_ id: NameID) -> Bool {
        guard self.type.isFullSet, !self.wildcardSubscriptions.isEmpty else { return false }
        self.doubted.insert(id)
        return true
    }

    /// What the wildcard's next answer did not mention is gone.
    func endDoubts(_ dirty: inout DirtySubscriptions) {
        guard !self.doubted.isEmpty else { return }
        for id in self.doubted.sorted() {
            self.apply(ResourceChange(lane: .wildcard, name: self[id].name, presence: .absent), &dirty)
        }
    }

    /// The same for a member of a glob collection. An answer to that is sure to come: silence is one, after a while.
    func doubtsMember(_ id: NameID) -> Bool {
        guard let glob = self.glob(of: id), self.isWantedCollection(glob) else { return false }
        switch self[id].named {
        case .present: self.doubtedMembers.insert(id)
        // Some who have the collection may not have been told yet that it is gone.
        case .absent: if !self.goneMembers.contains(id) { self.goneMembers.append(id) }
        case .populated, .unknown: return false
        }
        return true
    }

    private func isWantedCollection(_ glob: NameID) -> Bool {
        self[glob].subscribers.contains { self.subscriptions[Int($0)]?.content.globs.contains(glob) == true }
    }

    /// What the answer to a glob collection did not mention is gone.
    func endMemberDoubts(_ dirty: inout DirtySubscriptions) {
        for id in self.doubtedMembers.sorted() {
            let name = self[id].name
            if let glob = self.glob(of: id), self.isWantedCollection(glob) {
                if self.isUnknown(glob) { continue }
                // One that is asked for by its own name is remembered as absent, too.
                let collection = self[id].subscribers.isEmpty ? self[glob].name : nil
                self.apply(
                    ResourceChange(lane: .named, name: name, presence: .absent, collection: collection), &dirty)
            } else {
                self.apply(ResourceChange(lane: .named, name: name, presence: .unknown), &dirty)
            }
        }
    }

    /// A full state replaces what a view may hold from before: what it does not mention is gone.
    func forgetUnmentioned(by update: TypeUpdate, _ dirty: inout DirtySubscriptions) {
        var wild: Set<NameID> = []
        var named: Set<NameID> = []
        var failed: Set<NameID> = []
        for change in update.changes {
            guard let id = self.existingID(of: change.name) else { continue }
            if change.error != nil { failed.insert(id) }
            if change.error != nil, change.isRefresh { continue }
            if change.lane == .wildcard { wild.insert(id) } else { named.insert(id) }
        }
        self.errors = self.errors.filter { failed.contains($0.key) }
        for index in self.entries.indices where self.entries[index].isInUse {
            let id = NameID(rawValue: Int32(index))
            if self[id].wild != nil, !wild.contains(id) {
                self.apply(ResourceChange(lane: .wildcard, name: self[id].name, presence: .absent), &dirty)
            }
            if named.contains(id) { continue }
            if !self.isUnknown(id), !self.doubtsMember(id) {
                self[id].namedWasForgotten = self[id].named.resource != nil
                self[id].named = .unknown
                self.noteFreshness(id, .unknown)
            }
            // A state that was on its way when the worker forgot the type may have brought what nobody wants now.
            self.releaseIfUnused(id)
        }
    }
}
