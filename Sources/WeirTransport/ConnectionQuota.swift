import Synchronization
package import WeirBase
import WeirLoop

/// How many connections all listeners of the process may hold together. Shared by threads.
package final class ConnectionQuota: Sendable {
    private let limit: Atomic<Int>
    private let used = Atomic<Int>(0)
    private let refusals = Atomic<Int>(0)
    /// When those that come may begin.
    package let admission = ConnectionAdmission()

    package init(connectionsMax: Int) { self.limit = Atomic(connectionsMax) }

    /// A lower bound closes no connection that is there.
    package var connectionsMax: Int {
        get { self.limit.load(ordering: .relaxed) }
        set { self.limit.store(newValue, ordering: .relaxed) }
    }

    package var count: Int { self.used.load(ordering: .relaxed) }
    /// Connections that were closed because the quota was used up.
    package var refused: Int { self.refusals.load(ordering: .relaxed) }

    /// Whether there was room; then `giveBack` must follow once.
    func take() -> Bool {
        if self.used.add(1, ordering: .relaxed).newValue <= self.connectionsMax { return true }
        self.used.subtract(1, ordering: .relaxed)
        self.refusals.add(1, ordering: .relaxed)
        return false
    }

    func giveBack() { self.used.subtract(1, ordering: .relaxed) }
}

/// How many connections may begin in a second, over all listeners of the process. Shared by threads.
///
/// A connection beyond the rate waits for its turn, without a handshake; one whose turn would come too late is refused
/// at once, so that nobody who was let in runs into a timeout of its own.
package final class ConnectionAdmission: Sendable {
    package struct Limits: Hashable, Sendable {
        /// 0: no limit.
        package var connectionsPerSecond = 0
        /// Connections with TLS; 0: no limit.
        package var handshakesPerSecond = 0
        /// How long a connection may wait for its turn: less than its client waits for the handshake.
        package var waitMax = Nanoseconds.seconds(3)

        package init() {}
    }

    enum Verdict: Equatable {
        case begin
        /// For its turn; one that has not begun `atLatest` then has waited in vain.
        case wait(until: Instant, atLatest: Instant)
        case tooMany
        /// There is no memory for more.
        case shed
    }

    private struct State: Sendable {
        var limits = Limits()
        var connections: TokenBucket?
        var handshakes: TokenBucket?

        mutating func reserve(_ now: Instant, isTLS: Bool) -> Instant? {
            var turn = now
            // First the one that is scarcer: a place that is taken is not given back.
            if isTLS, self.handshakes != nil {
                guard let due = self.handshakes?.reserve(at: now, within: self.limits.waitMax) else { return nil }
                turn = due
            }
            if self.connections != nil {
                guard let due = self.connections?.reserve(at: now, within: self.limits.waitMax) else { return nil }
                turn = max(turn, due)
            }
            return turn
        }
    }

    private let state = Locked(State())
    private let isUnlimited = Atomic<Bool>(true)
    private let isShedding = Atomic<Bool>(false)
    private let beginsPerTurn = Atomic<Int>(.max)

    /// A turn that comes late because the loop is busy is still used, for so long.
    private static let grace = Nanoseconds.milliseconds(500)
    /// Of a second's handshakes, this part may begin in one turn of a loop.
    private static let turnsPerSecond = 20

    /// How many of those that wait may begin in one turn of a loop. A loop that has less of the processor than the rate
    /// takes has longer turns, and so begins fewer in a second: those that it has begun it also finishes.
    var pace: Int { self.beginsPerTurn.load(ordering: .relaxed) }

    /// Whether there is no rate.
    var isOpen: Bool { self.isUnlimited.load(ordering: .relaxed) }

    /// New rates begin with full buckets; who waits keeps its turn.
    package func set(_ limits: Limits) {
        self.state.withLock { state in
            guard state.limits != limits else { return }
            state.limits = limits
            state.connections = Self.bucket(limits.connectionsPerSecond)
            state.handshakes = Self.bucket(limits.handshakesPerSecond)
            let rate = limits.handshakesPerSecond
            self.beginsPerTurn.store(rate > 0 ? max(2, rate / Self.turnsPerSecond) : .max, ordering: .relaxed)
            self.isUnlimited.store(state.connections == nil && state.handshakes == nil, ordering: .relaxed)
        }
    }

    /// A tenth of a second's worth at once: more would be a burst of work, less a loop that wakes for each.
    private static func bucket(_ perSecond: Int) -> TokenBucket? {
        perSecond > 0 ? TokenBucket(perSecond: perSecond, burst: perSecond / 10) : nil
    }

    /// While set, no connection begins.
    package var sheds: Bool {
        get { self.isShedding.load(ordering: .relaxed) }
        set { self.isShedding.store(newValue, ordering: .relaxed) }
    }

    func admit(at now: Instant, isTLS: Bool) -> Verdict {
        if self.sheds { return .shed }
        if self.isUnlimited.load(ordering: .relaxed) { return .begin }
        let place = self.state.withLock { state in (state.reserve(now, isTLS: isTLS), state.limits.waitMax) }
        guard let turn = place.0 else { return .tooMany }
        return turn > now ? .wait(until: turn, atLatest: now + place.1 + Self.grace) : .begin
    }
}
