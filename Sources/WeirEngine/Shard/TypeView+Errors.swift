import WeirXDS

/// Why a resource is not sent, as one worker knows it.
struct KnownError {
    let error: ResourceError
    let lane: Lane
    /// Since when.
    let since: Generation
}

/// What the control plane said of resources that it does not send (NAME-14): told once to those who ask for the name, and
/// to later ones until the resource is there.
extension TypeView {
    /// Takes the error of a change, or that there is none any more. Returns whether that is all there is to the change.
    func noteError(_ id: NameID, _ change: ResourceChange, _ dirty: inout DirtySubscriptions) -> Bool {
        guard let error = change.error else {
            if !change.isRefresh, !self.errors.isEmpty { self.errors[id] = nil }
            return false
        }
        self.noteFetchFailed(id)
        if let known = self.errors[id], known.error == error, known.lane == change.lane { return change.isRefresh }
        self.errors[id] = KnownError(error: error, lane: change.lane, since: self.generation)
        if change.lane == .wildcard { dirty.wildcard = true }
        for subscription in self.subscribers(of: id) { dirty.mark(subscription, in: self) }
        return change.isRefresh
    }

    /// Names with an error that a client with this subscription must hear of, having been sent `base`.
    func newErrors(_ content: Subscription.Content, since base: Generation, except names: [NameID]) -> [NameID] {
        let listed = Set(names)
        return self.errors.filter { id, known in
            guard known.since > base || base == 0, !listed.contains(id) else { return false }
            return content.wildcard && known.lane == .wildcard || self.isNamed(id, by: content)
        }.map(\.key).sorted()
    }

    /// Which of the names a client that has been sent `base` holds as they are, or knows to be gone, so that there is an error
    /// at most to hear of.
    func errorsOnly(_ names: [NameID], _ content: Subscription.Content, since base: Generation) -> Set<NameID> {
        guard base > 0, !self.errors.isEmpty else { return [] }
        return Set(
            names.filter { id in
                guard let known = self.errors[id], known.since > base else { return false }
                guard self.visible(id, to: content) != nil || self.isAbsent(id) else { return false }
                return !self.isNewer(id, content, than: base)
            })
    }

    func isAbsent(_ id: NameID) -> Bool { if case .absent = self[id].named { true } else { false } }
}
