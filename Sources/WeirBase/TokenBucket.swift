/// Lets so many things pass in a second, and so many at once after a rest.
///
/// A value that is handed the time; kept as the one instant at which the bucket would be full again, so that nothing
/// has to be refilled.
package struct TokenBucket: Hashable, Sendable {
    /// Between two things at the steady rate.
    private let interval: Int64
    /// How far ahead of the steady rate a burst may run.
    private let tolerance: Int64
    /// When the bucket is full again.
    private var fullAt: Instant?

    /// - Parameters:
    ///   - perSecond: at least 1; what is less counts as 1.
    ///   - burst: at once, at least 1.
    package init(perSecond: Int, burst: Int) {
        self.interval = max(1, 1_000_000_000 / Int64(max(1, perSecond)))
        let (tolerance, overflow) = self.interval.multipliedReportingOverflow(by: Int64(max(1, burst) - 1))
        self.tolerance = overflow ? .max / 4 : min(tolerance, .max / 4)
    }

    /// When the next thing may pass: `now`, or later.
    package func next(at now: Instant) -> Instant {
        guard let fullAt = self.fullAt else { return now }
        return max(now, Instant(rawValue: fullAt.rawValue - self.tolerance))
    }

    /// Takes a place, now or within `wait`.
    ///
    /// - Returns: when its turn is; nil if that is later, and then nothing is taken.
    package mutating func reserve(at now: Instant, within wait: Nanoseconds) -> Instant? {
        let turn = self.next(at: now)
        guard turn - now <= wait else { return nil }
        self.fullAt = max(now, self.fullAt ?? now) + Nanoseconds(rawValue: self.interval)
        return turn
    }

    /// Takes a place that is free now.
    package mutating func take(at now: Instant) -> Bool { self.reserve(at: now, within: .zero) != nil }

    /// Takes `count` places, as far as they go.
    ///
    /// - Returns: whether there were so many.
    package mutating func take(_ count: Int, at now: Instant) -> Bool {
        for _ in 0..<count where !self.take(at: now) { return false }
        return true
    }
}
