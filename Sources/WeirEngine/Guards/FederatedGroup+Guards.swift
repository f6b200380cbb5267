package import WeirBase

/// Guards of a group whose names may be of several upstreams. Each origin judges what its own control plane says; a
/// command goes to each that has the type. Types with names of several upstreams are never tried on a few streams: their
/// states are numbered anew on the way to the workers, which a push for some of the streams would not survive.
extension FederatedGroup {
    /// Takes over new guards. What they allow is released.
    package func setGuards(_ policy: GuardPolicy, now: Instant, wall: WallTime) {
        for (_, origin) in self.origins { origin.setGuards(policy, now: now, wall: wall) }
    }

    /// A shard answered an order, or one of the first streams its push. Only the group's own upstream has pushes tried.
    package func receive(_ report: RolloutReport, from worker: Int, now: Instant, wall: WallTime) {
        self.own.receive(report, from: worker, now: now, wall: wall)
    }

    /// See `OriginGroup.hold`.
    package func hold(typeURL: String, by: String, now: Instant, wall: WallTime) throws(CommandRefusal) {
        try self.each(typeURL) { origin throws(CommandRefusal) in
            try origin.hold(typeURL: typeURL, by: by, now: now, wall: wall)
        }
    }

    /// See `OriginGroup.release`.
    package func release(typeURL: String, by: String, now: Instant, wall: WallTime) throws(CommandRefusal) {
        try self.each(typeURL) { origin throws(CommandRefusal) in
            try origin.release(typeURL: typeURL, by: by, now: now, wall: wall)
        }
    }

    /// See `OriginGroup.rollBack`. `version` is one that any of the upstreams gave a state.
    package func rollBack(
        typeURL: String, to version: String?, by: String, now: Instant, wall: WallTime
    ) throws(CommandRefusal) {
        try self.each(typeURL) { origin throws(CommandRefusal) in
            _ = try origin.rollBack(typeURL: typeURL, to: version, by: by, now: now, wall: wall)
        }
    }

    /// See `OriginGroup.refresh`.
    package func refresh(now: Instant) { for (_, origin) in self.origins { origin.refresh(now: now) } }

    /// See `OriginGroup.evict`.
    package func evict(now: Instant, wall: WallTime) throws(CommandRefusal) {
        // The own one knows of every worker that has streams.
        for (_, origin) in self.origins { try origin.evict(now: now, wall: wall) }
    }

    /// Refused if each origin refuses: one may well have nothing to release where another has.
    private func each(
        _ typeURL: String, _ body: (OriginGroup) throws(CommandRefusal) -> Void
    ) throws(CommandRefusal) {
        let having = self.origins.map(\.origin).filter { $0.types[typeURL] != nil }
        var refusal: CommandRefusal?
        var isDone = false
        for origin in having.isEmpty ? [self.own] : having {
            do throws(CommandRefusal) {
                try body(origin)
                isDone = true
            } catch { refusal = refusal ?? error }
        }
        if !isDone, let refusal = refusal { throw refusal }
    }
}

extension OriginGroup {
    /// From now on a type's resources come from other origins, too. A push that is being tried goes to everybody, unless it
    /// was rejected already.
    func endTrials(of typeURL: String, now: Instant, wall: WallTime) {
        self.neverStaged.insert(typeURL)
        if let type = self.types[typeURL] { self.finishTrial(type, now, wall) }
    }

    /// They do no longer.
    func allowTrials(of typeURL: String) { self.neverStaged.remove(typeURL) }
}
