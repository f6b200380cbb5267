import WeirXDS

/// Resources that the control plane wants no proxy to answer from its cache (`cache_control.do_not_cache`).
///
/// Who asks for such a name waits until the origin has sent it again. What comes by a wildcard is the wildcard's state and
/// is sent as that: one resource of it cannot be fetched by itself.
extension TypeView {
    /// Which of the names that are new to a client it must not be sent yet, and the state of the view at which the origin
    /// was asked for them.
    func withheld(_ owed: OwedAnswer, _ content: Subscription.Content, since base: Generation) -> [NameID: Generation] {
        guard self.hasUncached else { return [:] }
        var result: [NameID: Generation] = [:]
        for id in base == 0 ? content.names : owed.names.filter({ content.contains($0) }).sorted() {
            if content.wildcard, self[id].wild != nil { continue }
            guard case .present(let resource) = self[id].named, resource.doNotCache else { continue }
            guard let asked = owed.fresh[id] else {
                self.interestAgain.insert(id)
                result[id] = self.generation
                continue
            }
            if max(self[id].namedChanged, self[id].refreshed) <= asked { result[id] = asked }
        }
        return result
    }

    /// Names without those that are only there to wake who waits for them.
    func withoutRefetched(_ names: [NameID], _ refreshed: Set<NameID>, _ content: Subscription.Content) -> [NameID] {
        guard self.hasUncached, !refreshed.isEmpty else { return names }
        return names.filter { id in
            guard refreshed.contains(id), let resource = self.visible(id, to: content) else { return true }
            return !resource.doNotCache || resource.timeToLive != nil
        }
    }
}

extension Shard {
    /// Answers a detached type stream but for some names, for which it goes on to wait.
    func answer(
        _ index: Int32, _ record: TypeStream, _ subscription: Subscription, _ owed: OwedAnswer,
        base: Generation, withholding fresh: [NameID: Generation], isDelta: Bool, in view: TypeView
    ) {
        self.touchedViews.insert(record.view)
        var rest = owed
        rest.everything = false
        rest.fresh = fresh
        if isDelta || !view.sendsFullSet {
            var names = view.changes(for: record.subscription, since: base)
            names += owed.names.subtracting(names).sorted()
            let encoded = self.encode(
                subscription.content, isDelta: isDelta, names: names.filter { fresh[$0] == nil }, base: base, in: view,
                asked: owed.names)
            self.deliver(index, encoded, in: view)
            rest.names = encoded.left.union(fresh.keys)
            rest.resume = nil
            self.typeStreams[Int(index)].base = view.generation
        } else {
            // A set is sent whole or not at all.
            rest.names.formUnion(fresh.keys)
            rest.everything = owed.everything || base == 0
        }
        self.wait(index, rest, in: view)
    }
}
