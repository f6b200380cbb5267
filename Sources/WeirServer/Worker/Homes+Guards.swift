import WeirBase
import WeirConfig
import WeirEngine
import WeirLoop
import WeirObserve
import WeirXDS

/// What an operator may do to one type of a group, or to a group.
enum KeyCommand: Sendable {
    case hold(typeURL: String)
    case release(typeURL: String)
    case rollBack(typeURL: String, to: String?)
    case refresh
    case evict

    /// As it stands in the path.
    var name: String {
        switch self {
        case .hold: "hold"
        case .release: "release"
        case .rollBack: "rollback"
        case .refresh: "refresh"
        case .evict: "evict"
        }
    }

    var typeURL: String? {
        switch self {
        case .hold(let url), .release(let url), .rollBack(let url, _): url
        case .refresh, .evict: nil
        }
    }
}

extension Homes {
    /// Carries out an operator's command, when the group is here. `by` is who it came from. `then` is given the types of the
    /// group afterwards, or why nothing was done.
    func carryOut(
        _ command: KeyCommand, key: String, by: String,
        then: @escaping (Result<[OriginTypeStatus], CommandRefusal>) -> Void
    ) {
        if self.waits(key, { $0.carryOut(command, key: key, by: by, then: then) }) { return }
        guard let home = self.groups[key] else {
            return then(.failure(CommandRefusal(.notFound, "there is no group with key \"\(key)\"")))
        }
        if case .refresh = command, home.origins.values.allSatisfy({ $0.snapshotSource != nil }) {
            let text =
                "key \"\(key)\" has its resources from within the relay, which knows all that there is: there is nobody to "
                + "ask"
            return then(.failure(CommandRefusal(.conflict, text)))
        }
        let (group, now, wall) = (home.group, self.loop.now, Loop.wallNow())
        let outcome = Outcome()
        self.work(on: home, weight: group.weight) {
            do throws(CommandRefusal) {
                try Self.carryOut(command, group, by: by, now, wall)
            } catch {
                outcome.refusal = error
            }
        } then: {
            then(outcome.refusal.map { .failure($0) } ?? .success(group.typeStatuses))
        }
    }

    private final class Outcome { var refusal: CommandRefusal? }

    private static func carryOut(
        _ command: KeyCommand, _ group: FederatedGroup, by: String, _ now: Instant, _ wall: WallTime
    ) throws(CommandRefusal) {
        switch command {
        case .hold(let url): try group.hold(typeURL: url, by: by, now: now, wall: wall)
        case .release(let url): try group.release(typeURL: url, by: by, now: now, wall: wall)
        case .rollBack(let url, let version):
            try group.rollBack(typeURL: url, to: version, by: by, now: now, wall: wall)
        case .refresh: group.refresh(now: now)
        case .evict: try group.evict(now: now, wall: wall)
        }
    }

    // MARK: What is told of holds

    func noteHold(_ status: HoldStatus, _ type: XDSType, _ key: String, _ upstream: String) {
        let isNews = self.shared.holds.set(status, HoldBoard.Place(key: key, type: type, upstream: upstream))
        let fields = [
            ("key", key), ("type", type.label), ("reason", status.reason.rawValue), ("detail", status.detail),
            ("version", status.version), ("changes", String(status.changes)), ("push", status.push.description),
        ]
        self.show(
            .hold, key, type: type, version: status.version, push: status.push,
            "held (\(status.reason.rawValue)): \(status.detail)")
        if isNews {
            self.shared.logger.log(.warning, "held: clients keep what they have", fields)
        } else {
            self.shared.logger.logOften(.info, "what is held changed", fields)
        }
    }

    func noteRelease(
        _ type: XDSType, _ reason: HoldReason, _ how: String, _ after: Nanoseconds, _ key: String, _ upstream: String
    ) {
        self.shared.holds.remove(HoldBoard.Place(key: key, type: type, upstream: upstream))
        self.show(.hold, key, type: type, "no longer held (\(reason.rawValue)): \(how)")
        self.shared.logger.log(
            .warning, "no longer held",
            [
                ("key", key), ("type", type.label), ("reason", reason.rawValue), ("how", how),
                ("after", "\(after.seconds)s"),
            ])
    }

    func noteRollout(
        _ type: XDSType, _ version: String, _ given: Int, _ accepted: Int, _ push: PushID, _ key: String
    ) {
        self.shared.metrics.pushes(type: type.label, outcome: .sent).add(1)
        self.shared.logger.log(
            .info, "rolled out",
            [
                ("key", key), ("type", type.label), ("version", version), ("first", String(given)),
                ("accepted", String(accepted)), ("push", push.description),
            ])
    }

    /// Nil for what is counted when it was tried.
    static func outcome(_ fate: PushFate) -> RelayMetrics.PushOutcome? {
        switch fate {
        case .sent: .sent
        case .unchanged: .unchanged
        case .held(.empty): .held_empty
        case .held(.shrink): .held_shrink
        case .held(.nack): .held_nack
        case .held(.operator): .held_operator
        case .tried: nil
        }
    }

    static func text(_ fate: PushFate) -> String {
        switch fate {
        case .sent(let changes): "\(changes) changes"
        case .unchanged: "unchanged"
        case .held(let reason): "held: \(reason.rawValue)"
        case .tried: "tried"
        }
    }
}

extension GuardPolicy {
    init(_ configuration: GuardConfiguration) {
        self.init()
        self.holdsEmpty = configuration.emptyPush == .hold
        self.emptyMin = configuration.emptyPushMin
        self.shrinkPercent = configuration.shrinkPercent
        self.historyMax = configuration.history
        self.rollout = configuration.rollout.map { rollout in
            var policy = RolloutPolicy()
            switch rollout.first {
            case .streams(let count): policy.first = .streams(count)
            case .percent(let share): policy.first = .percent(share)
            }
            policy.wait = rollout.wait
            policy.nackPercentMax = rollout.nackPercentMax
            policy.types = rollout.types
            return policy
        }
    }
}
