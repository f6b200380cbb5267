package import WeirBase

/// Counters of a relay at an instant, all of them since its start.
package struct ActivityTotals: Sendable {
    package var requests: UInt64 = 0
    package var responses: UInt64 = 0
    package var acks: UInt64 = 0
    package var nacks: UInt64 = 0
    package var pushes: UInt64 = 0
    /// How long pushes took, as the cumulative buckets of `Histogram`.
    package var pushTimes: [UInt64] = []
    /// The same until the last ACK.
    package var convergenceTimes: [UInt64] = []

    package init() {}
}

/// The last minutes of a relay, second by second, so that whoever opens the page sees what led to this. A value of fixed
/// size; the caller brings the totals and the time.
package struct RecentActivity: Sendable {
    /// What happened in one second.
    package struct Second: Hashable, Sendable {
        package var requests: UInt64 = 0
        package var responses: UInt64 = 0
        package var acks: UInt64 = 0
        package var nacks: UInt64 = 0
        package var pushes: UInt64 = 0
        /// Nil where no push ended in this second.
        package var push: TimeSpread?
        package var convergence: TimeSpread?
    }

    /// Quantiles within the bounds of the histogram's buckets.
    package struct TimeSpread: Hashable, Sendable {
        package var median: Nanoseconds
        package var percentile99: Nanoseconds
    }

    package static let secondsMax = 300

    private var ring: [Second] = []
    /// Where the oldest is once the ring is full.
    private var start = 0
    private var last: ActivityTotals?
    private var lastAt = Instant(rawValue: 0)

    package init() {}

    /// Takes the totals of now. To be called about every second: what was missed in between counts as of this second, and
    /// the seconds that were passed over as ones without anything.
    package mutating func note(_ totals: ActivityTotals, at now: Instant) {
        guard let last = self.last else {
            self.last = totals
            self.lastAt = now
            return
        }
        let second = Nanoseconds.seconds(1)
        let passed = (now - self.lastAt + .milliseconds(500)).rawValue / second.rawValue
        guard passed > 0 else { return }
        for _ in 1..<min(passed, Int64(Self.secondsMax) + 1) { self.append(Second()) }
        self.append(Self.difference(from: last, to: totals))
        self.last = totals
        // Seconds keep their length, however late each call is.
        self.lastAt = self.lastAt + Nanoseconds(rawValue: passed * second.rawValue)
    }

    /// Oldest first, at most `secondsMax`.
    package var seconds: [Second] { Array(self.ring[self.start...] + self.ring[..<self.start]) }

    private mutating func append(_ second: Second) {
        guard self.ring.count == Self.secondsMax else { return self.ring.append(second) }
        self.ring[self.start] = second
        self.start = (self.start + 1) % Self.secondsMax
    }

    private static func difference(from old: ActivityTotals, to new: ActivityTotals) -> Second {
        Second(
            requests: new.requests &- old.requests, responses: new.responses &- old.responses,
            acks: new.acks &- old.acks, nacks: new.nacks &- old.nacks, pushes: new.pushes &- old.pushes,
            push: self.spread(from: old.pushTimes, to: new.pushTimes),
            convergence: self.spread(from: old.convergenceTimes, to: new.convergenceTimes))
    }

    private static func spread(from old: [UInt64], to new: [UInt64]) -> TimeSpread? {
        guard old.count == new.count else { return nil }
        let cumulative = zip(old, new).map { $1 &- $0 }
        guard let count = cumulative.last, count > 0 else { return nil }
        return TimeSpread(median: self.quantile(0.5, cumulative), percentile99: self.quantile(0.99, cumulative))
    }

    /// Between the bounds of the bucket in which it lies, as if what is in it were spread evenly; the last bound for what
    /// is longer.
    private static func quantile(_ share: Double, _ cumulative: [UInt64]) -> Nanoseconds {
        let rank = share * Double(cumulative[cumulative.count - 1])
        let index = cumulative.firstIndex { Double($0) >= rank } ?? 0
        let bounds = Histogram.bounds
        guard index < bounds.count else { return bounds[bounds.count - 1] }
        let lower = index == 0 ? Nanoseconds.zero : bounds[index - 1]
        let before = index == 0 ? 0 : cumulative[index - 1]
        let within = (rank - Double(before)) / Double(max(1, cumulative[index] - before))
        return lower + Nanoseconds(rawValue: Int64(Double((bounds[index] - lower).rawValue) * within))
    }
}

extension RelayMetrics {
    /// What `RecentActivity` is made from. Any thread.
    package var activity: ActivityTotals {
        var totals = ActivityTotals()
        for type in Self.types + ["other"] {
            totals.requests &+= self.requests(type: type).value
            totals.responses &+= self.responses(type: type).value
            totals.acks &+= self.acks(type: type).value
            totals.nacks &+= self.nacks(type: type).value
            totals.pushes &+= self.pushes(type: type, outcome: .sent).value
        }
        totals.pushTimes = self.pushSeconds.figures.cumulative
        totals.convergenceTimes = self.convergenceSeconds.figures.cumulative
        return totals
    }
}
