import WeirXDS

/// The memory of what is gone from a view, for as long as some client may have to be told.
extension TypeView {
    /// Forgets what is gone once every client that might hold it has been told. `oldestDetached`: what of those type streams
    /// that are in no cohort the one furthest behind has been sent; nil if none of them was sent anything. To be called
    /// after each update; looks at more than a few numbers only when enough has gathered.
    func forgetGone(oldestDetached: () -> Generation?) {
        let forgetsMembers = self.mustPruneMembers
        guard self.mustPruneDeparted || forgetsMembers else { return }
        let detached = self.detached > 0 ? oldestDetached() : nil
        if self.mustPruneDeparted { self.pruneDeparted(detached) }
        if forgetsMembers { self.pruneMembers(detached) }
    }

    private static let departedKept = 64

    private var mustPruneDeparted: Bool {
        self.departed.count > max(Self.departedKept, self.wildcardMembers.count, self.departedPruneAt)
    }

    /// Drops the memory of names that left the wildcard set, once every wildcard subscriber has been told.
    private func pruneDeparted(_ oldestDetached: Generation?) {
        let oldest = min(self.oldestWildcardGeneration, oldestDetached ?? .max)
        var kept: [NameID] = []
        for id in self.departed {
            let entry = self[id]
            guard entry.isInUse, entry.wild == nil else { continue }
            if entry.wildChanged > oldest {
                kept.append(id)
            } else {
                self[id].wildChanged = 0
                self.releaseIfUnused(id)
            }
        }
        self.departed = kept
        self.departedPruneAt = 2 * kept.count
    }

    /// The generation that the cohort of a wildcard that is furthest behind has been sent.
    private var oldestWildcardGeneration: Generation {
        var oldest = self.generation
        for index in self.wildcardSubscriptions {
            guard let subscription = self.subscriptions[Int(index)] else { continue }
            for cohort in subscription.cohorts {
                let generation = self.cohorts[Int(cohort)].generation
                if generation < subscription.changed { oldest = min(oldest, generation) }
            }
        }
        return oldest
    }
}
