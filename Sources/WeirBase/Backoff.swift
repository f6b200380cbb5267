/// Exponential back-off with full jitter: the n-th wait is uniform between zero and min(initial × 2ⁿ, max).
///
/// Full jitter spreads a herd best: every member draws from the whole interval. Source: conformance UP-10, gRFC A57.
package struct Backoff: Sendable {
    package let initial: Nanoseconds
    package let max: Nanoseconds
    private var attempt: Int = 0

    package init(initial: Nanoseconds, max: Nanoseconds) {
        self.initial = initial
        self.max = max
    }

    /// How long to wait before the next attempt; each call makes the ceiling of the following one twice as high.
    package mutating func next(using generator: inout SeededGenerator) -> Nanoseconds {
        let ceiling =
            self.attempt < 32 ? min(self.initial.rawValue << self.attempt, self.max.rawValue) : self.max.rawValue
        self.attempt = min(self.attempt + 1, 32)
        guard ceiling > 0 else { return .zero }
        return Nanoseconds(rawValue: Int64.random(in: 0...ceiling, using: &generator))
    }

    /// To be called when the peer has proved that it works (a message was received), not when a stream merely opened.
    /// `attempt` above zero: not all of it is forgiven, because the same has happened so often lately.
    package mutating func reset(to attempt: Int = 0) { self.attempt = min(Swift.max(0, attempt), 32) }
}
