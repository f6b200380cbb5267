/// What must not be answered from the cache: `cache_control.do_not_cache` (AGG-23). A new subscriber of such a name waits
/// until the origin has been asked once more; those who have it are sent it only when it has changed.
///
/// This is about names that were asked for by name. A wildcard is a subscription to whatever the origin sends, and its
/// newest word on every member is what is held.
extension TypeView {
    /// The names among what a new or changed subscription is owed that must be fetched for it first.
    func withheld(from content: Subscription.Content, owed: Set<NameID>, isNew: Bool) -> Set<NameID> {
        guard !self.uncached.isEmpty else { return [] }
        return self.uncached.filter { id in
            guard content.contains(id), isNew || owed.contains(id), !self.fresh.contains(id) else { return false }
            return !content.wildcard || self[id].wild == nil
        }
    }

    /// Has the home fetch names, unless it is about to.
    func renew(_ names: Set<NameID>) {
        for id in names where self.renewing.insert(id).inserted { self.interestRenewals.append(id) }
    }

    /// The round is over: what came in it is a memory from here on.
    func endRound() { self.fresh.removeAll() }

    /// It cannot be had now: who waits for it is given what is held, which is better than nothing (NAME-14).
    func noteFetchFailed(_ id: NameID) {
        if self.renewing.remove(id) != nil { self.fresh.insert(id) }
    }

    /// Takes note of what came for a name by name.
    func noteFreshness(_ id: NameID, _ presence: Presence) {
        self.renewing.remove(id)
        if case .present(let resource) = presence, resource.mustBeFetched {
            self.uncached.insert(id)
            self.fresh.insert(id)
        } else if !self.uncached.isEmpty {
            self.uncached.remove(id)
        }
    }
}
