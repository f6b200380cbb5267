package import WeirBase
package import WeirXDS

/// What became of a push.
package enum PushOutcome: Hashable, Sendable {
    case sent
    /// The response said nothing new.
    case unchanged
    /// A few clients have it; how that ends is told later.
    case tried
    /// Another push came while it was tried, and has its content, too.
    case replaced
    case held(HoldReason)
    /// The control plane was told why; what of it could be used was used.
    case rejected
    /// What was held goes to the clients.
    case released
    case rolledBack

    package var text: String {
        switch self {
        case .sent: "sent"
        case .unchanged: "unchanged"
        case .tried: "tried"
        case .replaced: "replaced"
        case .held(let reason): "held_\(reason.rawValue)"
        case .rejected: "rejected"
        case .released: "released"
        case .rolledBack: "rolled_back"
        }
    }
}

/// One push as its home tells of it. Immutable; the changes are those that workers were sent, by reference.
package struct PushReport: Sendable {
    package var id: PushID
    package var key: String
    package var type: XDSType
    package var version: String
    /// The server it came from; empty where nobody sent it.
    package var server: String
    package var outcome: PushOutcome
    /// Why it was held or rejected, or who did it.
    package var detail: String
    package var receivedAt: Instant
    package var receivedAtWall: WallTime
    /// The workers that were told.
    package var workers: UInt64
    /// Whether the control plane's state is another one after it; else only what clients have is.
    package var isUpstreamState: Bool
    /// Counts the pushes of the type, so that one that got lost is missed.
    package var sequence: Int
    package var changes: [ResourceChange]
    var before: [Slot: Presence]
}

/// Told of a push when it is known, and when something else becomes of it.
package enum PushNews: Sendable {
    case new(PushReport)
    /// `workers`: who has been told meanwhile.
    case amended(PushID, key: String, type: XDSType, outcome: PushOutcome, detail: String, workers: UInt64)

    package var id: PushID {
        switch self {
        case .new(let report): report.id
        case .amended(let id, _, _, _, _, _): id
        }
    }
}

/// A push that a worker has put on those of its streams that could be sent it at once.
package struct TakenPush: Sendable {
    package var key: String
    package var type: XDSType
    package var push: PushID
    /// Responses that were handed over.
    package var responses: Int
}
