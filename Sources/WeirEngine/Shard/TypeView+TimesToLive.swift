import WeirXDS

/// Resources with a time to live in a view.
extension TypeView {
    /// Takes a resource that is what was there before, but for its time to live. Returns false if it was not there.
    func refresh(_ id: NameID, _ change: ResourceChange, _ dirty: inout DirtySubscriptions) -> Bool {
        guard case .present(let resource) = change.presence else { return false }
        switch change.lane {
        case .wildcard:
            guard self[id].wild != nil else { return false }
            self[id].wild = resource
            self.doubted.remove(id)
            dirty.wildcard = true
            if self.isUnknown(id) { for subscription in self[id].subscribers { dirty.mark(subscription, in: self) } }
        case .named:
            guard case .present = self[id].named else { return false }
            self[id].named = change.presence
            self.doubtedMembers.remove(id)
            for subscription in self.subscribers(of: id) { dirty.mark(subscription, in: self) }
        }
        self[id].refreshed = self.generation
        self.newestRefresh = self.generation
        return true
    }

    /// Which of the names a client that has been sent `base` holds as they are, but for their time to live.
    func refreshedOnly(_ names: [NameID], _ content: Subscription.Content, since base: Generation) -> Set<NameID> {
        guard base > 0, self.newestRefresh > base else { return [] }
        return Set(
            names.filter { id in
                guard self[id].refreshed > base, self.visible(id, to: content) != nil else { return false }
                return !self.isNewer(id, content, than: base)
            })
    }

    /// Whether what is seen under a name changed since `base`.
    func isNewer(_ id: NameID, _ content: Subscription.Content, than base: Generation) -> Bool {
        let isWild = content.wildcard && self[id].wild != nil || self.isUnknown(id)
        return (isWild ? self[id].wildChanged : self[id].namedChanged) > base
    }

    /// Whether a client with this subscription sees anything with a time to live.
    func hasTimeToLive(_ content: Subscription.Content) -> Bool {
        if content.wildcard, self.wildcardMembers.contains(where: { self[$0].wild?.timeToLive != nil }) { return true }
        return content.names.contains { self.visible($0, to: content)?.timeToLive != nil }
    }
}
