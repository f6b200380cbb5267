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
    /// Carries out an operator's command. `by` is who it came from. Returns the types of the group afterwards.
    func carryOut(_ command: KeyCommand, key: String, by: String) throws(CommandRefusal) -> [OriginTypeStatus] {
        guard let group = self.groups[key] else {
            throw CommandRefusal(.notFound, "there is no group with key \"\(key)\"")
        }
        let now = self.loop.now
        let wall = Loop.wallNow()
        defer { self.carryOut(group) }
        switch command {
        case .hold(let url): try group.origin.hold(typeURL: url, by: by, now: now, wall: wall)
        case .release(let url): try group.origin.release(typeURL: url, by: by, now: now, wall: wall)
        case .rollBack(let url, let version):
            _ = try group.origin.rollBack(typeURL: url, to: version, by: by, now: now, wall: wall)
        case .refresh:
            guard group.filesPath == nil else {
                throw CommandRefusal(
                    .conflict, "key \"\(key)\" has its resources from files, which are watched: there is nobody to ask")
            }
            group.origin.refresh(now: now)
        case .evict: try group.origin.evict(now: now, wall: wall)
        }
        return group.origin.typeStatuses
    }

    // MARK: What is told of holds

    func noteHold(_ status: HoldStatus, _ type: XDSType, _ group: HomeGroup) {
        let key = group.origin.key
        let isNews = self.shared.holds.set(status, key: key, type: type)
        self.shared.logger.log(
            isNews ? .warning : .info, isNews ? "held: clients keep what they have" : "what is held changed",
            [
                ("key", key), ("type", type.label), ("reason", status.reason.rawValue), ("detail", status.detail),
                ("version", status.version), ("changes", String(status.changes)),
            ])
    }

    func noteRelease(_ type: XDSType, _ reason: HoldReason, _ how: String, _ after: Nanoseconds, _ group: HomeGroup) {
        let key = group.origin.key
        self.shared.holds.remove(key: key, type: type)
        self.shared.logger.log(
            .warning, "no longer held",
            [
                ("key", key), ("type", type.label), ("reason", reason.rawValue), ("how", how),
                ("after", "\(after.seconds)s"),
            ])
    }

    static func outcome(_ changed: Int, _ held: HoldReason?) -> RelayMetrics.PushOutcome {
        guard changed > 0 else { return .unchanged }
        switch held {
        case nil: return .sent
        case .empty: return .held_empty
        case .shrink: return .held_shrink
        case .nack: return .held_nack
        case .operator: return .held_operator
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
    }
}
