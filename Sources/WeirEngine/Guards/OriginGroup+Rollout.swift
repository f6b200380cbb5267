package import WeirBase
import WeirXDS

/// Pushes in stages: a few streams get a push first, and everybody once they have accepted it.
///
/// The gate of the type is closed meanwhile. What the first streams have beyond the others is `tried`.
extension OriginGroup {
    /// Whether a push of this type is tried on a few streams first.
    func isStaged(_ type: OriginType) -> Bool {
        (self.guards.rollout?.applies(to: type.type) ?? false) && type.workers != 0
            && !self.neverStaged.contains(type.type.typeURL)
    }

    /// Closes the gate for a push that is to be tried: one that changes what somebody has.
    func stage(_ changes: [ResourceChange], _ type: OriginType, isFirstAnswer: Bool) {
        guard !type.gate.isClosed, self.isStaged(type) else { return }
        let isNews = changes.contains { change in
            let slot = Slot(lane: change.lane, name: change.name)
            return !change.isRefresh && !type.presence(slot).isSame(as: change.presence)
                && !type.passesClosedGate(change, .upstream, isFirstAnswer: isFirstAnswer)
        }
        if isNews { type.close() }
    }

    /// Begins to try what is withheld, instead of what was being tried.
    func beginTrial(_ type: OriginType, _ now: Instant, _ wall: WallTime) {
        guard let policy = self.guards.rollout, type.workers != 0 else {
            return self.promote(type, how: "nobody has it", now, wall)
        }
        self.lastTrial += 1
        let begun = type.gate.trial?.begun ?? now
        let latest = begun + Nanoseconds(rawValue: policy.wait.rawValue * Trial.waitsMax)
        let deadline = min(now + policy.wait, latest)
        let replaced = type.gate.trial?.push
        let push = self.draft?.id ?? replaced ?? .none
        if let replaced = replaced, replaced != push { self.amend(replaced, type, .replaced, "") }
        type.gate.trial = Trial(
            id: self.lastTrial, order: type.gate.trial?.order ?? self.lastTrial, push: push, begun: begun,
            deadline: deadline, missing: type.workers)
        self.schedule(deadline)
        let update = self.tryout(type, now, wall)
        self.actions.append(.rollout(.count(trial: self.lastTrial, update), workers: type.workers))
    }

    /// What makes the newest state of what the first streams have.
    private func tryout(_ type: OriginType, _ now: Instant, _ wall: WallTime) -> TypeUpdate {
        var changes = type.gate.differences.map(\.withheld.candidate)
        for slot in type.gate.tried.sorted() where type.gate.withheld[slot] == nil {
            changes.append(ResourceChange(lane: slot.lane, name: slot.name, presence: type.presence(slot)))
        }
        var update = type.update(changes, passesVersion: self.passesVersion, now: now, wall: wall)
        update.version = type.version
        update.equalVersions = type.equalVersions
        update.audience = .first
        update.push = type.gate.trial?.push ?? .none
        return update
    }

    /// A shard answered an order, or one of the first streams its push.
    package func receive(_ report: RolloutReport, from worker: Int, now: Instant, wall: WallTime) {
        guard let type = self.types[report.typeURL], let trial = type.gate.trial, trial.id == report.trial else {
            return
        }
        let bit: UInt64 = 1 << UInt64(worker)
        switch report.content {
        case .counted(let counts):
            guard case .counting = trial.phase else { return }
            type.gate.trial?.missing &= ~bit
            type.gate.trial?.counts[worker] = counts
            if type.gate.trial?.missing == 0 { self.give(type, now, wall) }
        case .given(let given):
            type.gate.trial?.missing &= ~bit
            for (agent, count) in given { type.gate.trial?.given[agent, default: Trial.Tally()].given += count }
            self.decide(type, now, wall)
        case .answered(let agent, let answer):
            type.gate.trial?.note(answer, agent)
            self.decide(type, now, wall)
        }
    }

    /// Gives the push to the first streams.
    private func give(_ type: OriginType, _ now: Instant, _ wall: WallTime) {
        guard let policy = self.guards.rollout, let trial = type.gate.trial else { return }
        let shares = trial.shares(policy)
        guard !shares.isEmpty else { return self.pass(type, now, wall) }
        let workers = trial.counts.keys.reduce(UInt64(0)) { $0 | 1 << UInt64($1) }
        type.gate.trial?.phase = .trying
        type.gate.trial?.missing = workers
        type.step()
        let update = self.tryout(type, now, wall)
        type.gate.noteTried()
        for worker in trial.counts.keys.sorted() {
            self.actions.append(
                .rollout(
                    .give(trial: trial.id, update, shares: shares[worker] ?? [:]), workers: 1 << UInt64(worker)))
        }
    }

    private func decide(_ type: OriginType, _ now: Instant, _ wall: WallTime) {
        guard let policy = self.guards.rollout, let trial = type.gate.trial, case .trying = trial.phase else { return }
        if trial.missing == 0, trial.isRejected(policy) { return self.fail(type, trial, now, wall) }
        guard trial.isAnswered else { return }
        if trial.total > 0, trial.accepted + trial.rejected == 0 {
            // All of them went: it is tried on others, in the time that is left.
            self.lastTrial += 1
            type.gate.trial = Trial(
                id: self.lastTrial, order: trial.order, push: trial.push, begun: trial.begun,
                deadline: trial.deadline, missing: type.workers)
            let update = self.tryout(type, now, wall)
            self.actions.append(.rollout(.count(trial: self.lastTrial, update), workers: type.workers))
            return
        }
        self.pass(type, now, wall)
    }

    /// Time is up for what nobody rejected.
    func expireTrial(_ type: OriginType, _ now: Instant, _ wall: WallTime) {
        guard let policy = self.guards.rollout, let trial = type.gate.trial, trial.deadline <= now else { return }
        if case .passed = trial.phase { return }
        if trial.isRejected(policy) { self.fail(type, trial, now, wall) } else { self.pass(type, now, wall) }
    }

    /// Pushes of the type may not be tried any more.
    func finishTrial(_ type: OriginType, _ now: Instant, _ wall: WallTime) {
        guard let trial = type.gate.trial else { return }
        if case .trying = trial.phase, let policy = self.guards.rollout, trial.isRejected(policy) {
            return self.fail(type, trial, now, wall)
        }
        self.promote(type, how: "names of another upstream are asked for, too", now, wall)
    }

    /// A push may go to everybody, in the order in which pushes of the group's types came.
    private func pass(_ type: OriginType, _ now: Instant, _ wall: WallTime) {
        type.gate.trial?.phase = .passed
        self.promotePassed(now, wall)
    }

    private func promotePassed(_ now: Instant, _ wall: WallTime) {
        let trials = self.types.values.compactMap { type in type.gate.trial.map { (type, $0) } }
            .sorted { $0.1.order < $1.1.order }
        for (type, trial) in trials {
            guard case .passed = trial.phase else { return }
            self.promote(type, how: "accepted by \(trial.accepted) of \(trial.total) clients", now, wall)
        }
    }

    func promote(_ type: OriginType, how: String, _ now: Instant, _ wall: WallTime) {
        let trial = type.gate.trial
        self.answerPending(type, rejection: nil, now)
        guard let trial = trial else { return self.open(type, how: how, now, wall) }
        self.asPartOfPush(trial.push, type, .sent, how) { self.open(type, how: how, now, wall) }
        self.actions.append(
            .event(
                .rolledOut(
                    typeURL: type.type.typeURL, version: type.version, given: trial.total, accepted: trial.accepted,
                    push: trial.push)))
    }

    /// Too many clients rejected a push: those that have it get the last good state again, the others keep it, and the
    /// control plane is told why.
    private func fail(_ type: OriginType, _ trial: Trial, _ now: Instant, _ wall: WallTime) {
        self.takeBack(type, now, wall)
        type.gate.hold = Hold(reason: .nack, since: now, sinceWall: wall, detail: trial.verdict)
        self.storeRejection(of: type)
        self.amend(trial.push, type, .held(.nack), trial.verdict)
        self.answerPending(type, rejection: trial.verdict, now)
        self.actions.append(.event(.rejectedByClients(typeURL: type.type.typeURL, version: type.version)))
        if var status = type.holdStatus {
            status.push = trial.push
            self.actions.append(.event(.held(typeURL: type.type.typeURL, status)))
        }
        self.promotePassed(now, wall)
    }

    /// Ends a trial without a verdict: the gate stays closed.
    func abandonTrial(_ type: OriginType, as outcome: PushOutcome = .replaced, _ now: Instant, _ wall: WallTime) {
        guard let push = type.gate.trial?.push else { return }
        if push != self.draft?.id { self.amend(push, type, outcome, "") }
        self.takeBack(type, now, wall)
        self.answerPending(type, rejection: nil, now)
        self.promotePassed(now, wall)
    }

    /// Gives the first streams what the others have.
    private func takeBack(_ type: OriginType, _ now: Instant, _ wall: WallTime) {
        type.gate.trial = nil
        let changes = type.gate.tried.sorted().map {
            ResourceChange(
                lane: $0.lane, name: $0.name, presence: type.servedPresence($0),
                collection: $0.lane == .named ? type.named?.members[$0.name] : nil)
        }
        type.gate.forgetTried()
        guard !changes.isEmpty else { return }
        type.step()
        var update = type.update(changes, passesVersion: self.passesVersion, now: now, wall: wall)
        update.audience = .firstBack
        self.actions.append(.publish(update, workers: type.workers))
    }

    // MARK: The control plane's answer

    /// Answers a response: now, or once it was tried. `changed`: whether it said something new.
    func answer(
        _ feed: Feed, _ received: ReceivedResponse, _ type: OriginType, changed: Bool, _ now: Instant
    ) {
        guard received.faults.isEmpty else { return self.acknowledge(feed, received, type, now) }
        if type.gate.trial != nil {
            if changed { self.answerReplaced(feed, type, now) }
            type.gate.pending.append(
                PendingAnswer(
                    lane: feed.lane, stream: feed.stream, nonce: received.nonce, version: received.version))
            if type.gate.pending.count > Gate.pendingMax { type.gate.pending.removeFirst() }
            return
        }
        if let hold = type.gate.hold, hold.reason == .nack {
            // What clients rejected is said once more.
            return self.acknowledge(feed, nonce: received.nonce, rejection: hold.detail, type, now)
        }
        feed.acceptedVersion = received.version
        self.acknowledge(feed, received, type, now)
    }

    /// A newer response of the same subscription came: in SotW its answer is one to the older ones, too.
    private func answerReplaced(_ feed: Feed, _ type: OriginType, _ now: Instant) {
        let replaced = type.gate.pending.filter { $0.lane == feed.lane && $0.stream == feed.stream }
        type.gate.pending.removeAll { $0.lane == feed.lane && $0.stream == feed.stream }
        guard self.variant == .delta else { return }
        for answer in replaced { self.acknowledge(feed, nonce: answer.nonce, rejection: nil, type, now) }
    }

    private func answerPending(_ type: OriginType, rejection: String?, _ now: Instant) {
        let pending = type.gate.pending
        type.gate.pending = []
        for (index, answer) in pending.enumerated() {
            guard let feed = type.feeds.first(where: { $0.lane == answer.lane }), feed.stream == answer.stream,
                feed.isRequested, self.streams[answer.stream].isOpen
            else { continue }
            if self.variant == .sotw {
                // Only the newest nonce of a subscription can be answered.
                guard !pending[(index + 1)...].contains(where: { $0.lane == answer.lane }) else { continue }
                if rejection == nil { feed.acceptedVersion = answer.version }
            }
            self.acknowledge(feed, nonce: answer.nonce, rejection: rejection, type, now)
        }
    }

    /// What was said on a stream that is gone needs no answer.
    func forgetPending(on stream: Int) {
        for type in self.types.values { type.gate.pending.removeAll { $0.stream == stream } }
    }
}
