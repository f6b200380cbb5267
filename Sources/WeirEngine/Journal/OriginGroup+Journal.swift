import WeirBase
import WeirXDS

/// A push while it is being made.
struct PushDraft {
    enum Kind {
        /// The control plane said something, or its word is over.
        case state
        /// Clients are given something else, though the control plane said nothing.
        case clients
    }

    let id: PushID
    let kind: Kind
    var changes: [ResourceChange] = []
    /// What was there before, where anything was.
    var before: [Slot: Presence] = [:]
    var workers: UInt64 = 0

    mutating func note(_ changes: [ResourceChange], undo: [Slot: Presence]) {
        if self.changes.isEmpty { self.changes = changes } else { self.changes += changes }
        if self.before.isEmpty { self.before = undo } else { self.before.merge(undo) { first, _ in first } }
    }

    /// Whether somebody looking at it would see a difference: names that are only given up are none.
    var isVisible: Bool {
        self.changes.contains { change in
            if change.isRefresh { return false }
            switch change.presence {
            case .present: return true
            case .unknown, .populated: return false
            case .absent: return self.before[Slot(lane: change.lane, name: change.name)]?.resource != nil
            }
        }
    }
}

/// Each change of a type gets an id, and is told of when it is made.
extension OriginGroup {
    /// Applies changes as one new state and tells the type's followers, unless a guard keeps them: as a push, unless it is
    /// part of one. `version` nil: the upstream did not speak; `force`: it spoke for the first time. Returns how many
    /// changes made a difference.
    @discardableResult
    func publish(
        _ changes: [ResourceChange], _ type: OriginType, _ lane: Lane, version: String?, force: Bool = false,
        cause: PublishCause = .interest, _ now: Instant, _ wall: WallTime
    ) -> Int {
        self.asPush(type, .state, .sent, version: cause == .upstream ? version : nil, now, wall) {
            self.publishWithinPush(
                changes, type, lane, version: version, force: force, cause: cause, now, wall)
        }
    }

    /// Runs what may tell clients something as one push, unless it is part of one. `version` nil: what clients have then.
    func asPush<Result>(
        _ type: OriginType, _ kind: PushDraft.Kind, _ outcome: PushOutcome, by detail: String = "",
        version: String? = nil, _ now: Instant, _ wall: WallTime, _ body: () -> Result
    ) -> Result {
        guard self.draft == nil else { return body() }
        self.beginPush(kind)
        let result = body()
        let outcome = kind == .state ? self.outcome(outcome, type) : outcome
        self.endPush(type, outcome, version: version ?? type.label.version, detail: detail, now, wall)
        return result
    }

    /// Runs what ends the trial of a push as a part of that.
    func asPartOfPush(
        _ id: PushID, _ type: OriginType, _ outcome: PushOutcome, _ detail: String, _ body: () -> Void
    ) {
        let outer = self.draft
        self.draft = PushDraft(id: id, kind: .state)
        body()
        let workers = self.draft?.workers ?? 0
        self.draft = outer
        self.amend(id, type, outcome, detail, workers: workers)
    }

    func amend(_ id: PushID, _ type: OriginType, _ outcome: PushOutcome, _ detail: String, workers: UInt64 = 0) {
        guard self.policy.isJournaled, id != .none else { return }
        self.actions.append(
            .record(
                .amended(id, key: self.key, type: type.type, outcome: outcome, detail: detail, workers: workers)))
    }

    func beginPush(_ kind: PushDraft.Kind) {
        self.draft = PushDraft(id: self.policy.nextPush?() ?? self.countedPush(), kind: kind)
    }

    private func countedPush() -> PushID {
        self.pushesCounted += 1
        return PushID(rawValue: self.pushesCounted)
    }

    /// `isResponse`: the control plane said it, so that it is told of even where nothing is new.
    func endPush(
        _ type: OriginType, _ outcome: PushOutcome, version: String, server: String = "", detail: String = "",
        isResponse: Bool = false, _ now: Instant, _ wall: WallTime
    ) {
        guard let draft = self.draft.take(), self.policy.isJournaled, isResponse || draft.isVisible else { return }
        type.pushes += 1
        self.actions.append(
            .record(
                .new(
                    PushReport(
                        id: draft.id, key: self.key, type: type.type, version: version, server: server,
                        outcome: outcome, detail: detail, receivedAt: now, receivedAtWall: wall,
                        workers: draft.workers, isUpstreamState: draft.kind == .state, sequence: type.pushes,
                        changes: draft.changes, before: draft.before))))
    }

    /// What becomes of what the control plane said, going by the gate.
    func outcome(_ open: PushOutcome, _ type: OriginType) -> PushOutcome {
        if type.gate.trial != nil { return .tried }
        return type.gate.hold.map { .held($0.reason) } ?? open
    }
}
