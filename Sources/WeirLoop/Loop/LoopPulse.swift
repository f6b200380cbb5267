import Synchronization
package import WeirBase

/// What other threads may know of a loop: whether it turns. Relaxed atomics, so each figure is right by itself while
/// two figures read together may be of neighbouring turns.
package final class LoopPulse: Sendable {
    private let turnCount = Atomic<UInt64>(0)
    private let lastTurn = Atomic<Int64>(0)
    private let busy = Atomic<Bool>(false)

    package init() {}

    /// Turns begun since the loop was made.
    package var turns: UInt64 { self.turnCount.load(ordering: .relaxed) }

    /// When the latest turn began, by `Loop.monotonicNow()`'s clock; zero before the first.
    package var lastTurnStarted: Instant { Instant(rawValue: self.lastTurn.load(ordering: .relaxed)) }

    /// Whether the loop is inside a turn, as opposed to asleep in the poll.
    package var isBusy: Bool { self.busy.load(ordering: .relaxed) }

    /// How long the present turn has lasted; zero while the loop sleeps. A large value means a wedged loop.
    package func lag(at now: Instant) -> Nanoseconds { self.isBusy ? max(.zero, now - self.lastTurnStarted) : .zero }

    func turnBegan(at now: Instant) {
        self.lastTurn.store(now.rawValue, ordering: .relaxed)
        self.turnCount.wrappingAdd(1, ordering: .relaxed)
        self.busy.store(true, ordering: .relaxed)
    }

    func turnEnded() { self.busy.store(false, ordering: .relaxed) }
}
