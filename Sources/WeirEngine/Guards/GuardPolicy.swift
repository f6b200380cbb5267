package import WeirBase
package import WeirXDS

/// What keeps a push of the control plane from its clients. Values come from `guards` of the relay's configuration.
package struct GuardPolicy: Hashable, Sendable {
    /// Whether a push is held that removes every resource of a full-set type.
    package var holdsEmpty = true
    /// Sets that had fewer resources than this may always become empty, and shrink.
    package var emptyMin = 10
    /// Over 0: a push is held that removes at least this share of such a set.
    package var shrinkPercent = 0
    /// How many earlier states of each type are kept to go back to.
    package var historyMax = 4
    /// Pushes in stages; nil: at once.
    package var rollout: RolloutPolicy?

    /// Removals that follow each other within this time count as one, because a delta control plane may spread them over
    /// several responses.
    package static let window = Nanoseconds.seconds(2)

    package init() {}
}

/// `guards.rollout`.
package struct RolloutPolicy: Hashable, Sendable {
    /// How many streams get a push first.
    package enum First: Hashable, Sendable {
        case streams(Int)
        /// Of the streams that the push concerns; at least one.
        case percent(Int)

        /// So many of `total`.
        package func count(of total: Int) -> Int {
            switch self {
            case .streams(let count): min(count, total)
            case .percent(let share): total == 0 ? 0 : max(1, (total * share + 99) / 100)
            }
        }
    }

    package var first = First.streams(1)
    /// How long they have to reject it.
    package var wait = Nanoseconds.seconds(5)
    /// More rejections than this among those of one client version hold the push.
    package var nackPercentMax = 0
    /// The types it is for; nil: all but endpoints, which must not wait.
    package var types: Set<XDSType>?

    package init() {}

    func applies(to type: XDSType) -> Bool { self.types?.contains(type) ?? (type != .eds && type != .leds) }
}

/// Why clients are not sent what the control plane says.
package enum HoldReason: String, Hashable, Sendable, CaseIterable {
    /// It would remove everything.
    case empty
    /// It would remove too much.
    case shrink
    /// Clients that were sent it first rejected it.
    case nack
    /// Somebody said so.
    case `operator`
}

/// A type of a group whose clients keep an earlier state, for people.
package struct HoldStatus: Hashable, Sendable {
    package var reason: HoldReason
    package var since: WallTime
    /// The same on the clock that never jumps.
    package var sinceInstant: Instant
    /// What it is about: numbers, the clients' error, or who asked for it.
    package var detail: String
    /// The version that is held back; the served one if nothing is.
    package var version: String
    /// Resources that differ between what is held back and what clients have.
    package var changes: Int
    /// What made it so, while that is told.
    package var push = PushID.none
}

/// An earlier state that can be gone back to, for people.
package struct PastStatus: Hashable, Sendable {
    package var version: String
    package var updated: WallTime?
    package var resources: Int
}

/// Why an operator's command was not carried out.
package struct CommandRefusal: Error, Hashable, Sendable {
    package enum Kind: Hashable, Sendable {
        /// There is no such thing.
        case notFound
        /// It is there, and does not allow it now.
        case conflict
    }

    package var kind: Kind
    package var message: String

    package init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = message
    }
}
