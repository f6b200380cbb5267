import Synchronization
package import WeirBase

/// A number that only grows. Any thread may add; the reader sees every addition sooner or later.
///
/// Relaxed ordering is enough: a metric orders nothing else.
package final class Counter: Sendable {
    private let total = Atomic<UInt64>(0)

    package init() {}

    package var value: UInt64 { self.total.load(ordering: .relaxed) }

    package func add(_ amount: UInt64 = 1) { self.total.wrappingAdd(amount, ordering: .relaxed) }

    /// Takes over a total that somebody else keeps; one that is lower than what is known changes nothing.
    package func raise(to total: Int) { self.total.max(UInt64(clamping: total), ordering: .relaxed) }
}

/// A number that goes up and down. Several threads may each add and subtract their own part; `set` is for a figure
/// with one owner.
package final class Gauge: Sendable {
    private let current = Atomic<Int64>(0)

    package init() {}

    package var value: Int64 { self.current.load(ordering: .relaxed) }

    package func add(_ amount: Int64 = 1) { self.current.wrappingAdd(amount, ordering: .relaxed) }
    package func subtract(_ amount: Int64 = 1) { self.current.wrappingSubtract(amount, ordering: .relaxed) }
    package func set(_ value: Int64) { self.current.store(value, ordering: .relaxed) }
}

/// Spans of time sorted into fixed buckets.
package final class Histogram: Sendable {
    /// Upper bounds from 0.5 ms to 30 s, inclusive, rising. Beyond the last there is only `+Inf`.
    package static let bounds: [Nanoseconds] = [
        .microseconds(500), .milliseconds(1), .microseconds(2_500), .milliseconds(5), .milliseconds(10),
        .milliseconds(25), .milliseconds(50), .milliseconds(100), .milliseconds(250), .milliseconds(500), .seconds(1),
        .microseconds(2_500_000), .seconds(5), .seconds(10), .seconds(30),
    ]

    /// One per bound, then one for what is longer.
    private let buckets: [Counter] = (0...Histogram.bounds.count).map { _ in Counter() }
    private let sumNanoseconds = Atomic<UInt64>(0)

    package init() {}

    /// Counts one span; a negative one counts as zero.
    package func observe(_ span: Nanoseconds) {
        let index = Self.bounds.firstIndex { span <= $0 } ?? Self.bounds.count
        self.buckets[index].add(1)
        self.sumNanoseconds.wrappingAdd(UInt64(max(0, span.rawValue)), ordering: .relaxed)
    }

    /// What a reader sees. The count is made from the buckets, so it always agrees with them; the sum may be one
    /// observation off while others write.
    package var figures: (cumulative: [UInt64], sum: Nanoseconds) {
        var running: UInt64 = 0
        let cumulative = self.buckets.map { bucket in
            running &+= bucket.value
            return running
        }
        let sum = Int64(clamping: self.sumNanoseconds.load(ordering: .relaxed))
        return (cumulative, Nanoseconds(rawValue: sum))
    }
}
