import WeirBase

/// Paces how fast each discovery stream is read (`max_requests_per_second`): a stream that has used up its second's
/// worth is read again when its next request is due, and until then flow control holds its client back. A side table of
/// values; empty while there is no limit.
struct RequestPacing {
    private var perSecond: Int
    private var buckets: [UInt64: TokenBucket] = [:]
    /// Streams that are not read at present.
    private var paused: Set<UInt64> = []

    init(perSecond: Int) { self.perSecond = perSecond }

    var isOn: Bool { self.perSecond > 0 }

    /// Notes a request.
    ///
    /// - Returns: whether the stream is to be read no further for now.
    mutating func received(_ handle: UInt64, at now: Instant) -> Bool {
        guard self.perSecond > 0 else { return false }
        var bucket = self.buckets[handle] ?? TokenBucket(perSecond: self.perSecond, burst: self.perSecond)
        // One of a message's frames that was under way when the stream was paused may still come: it counts, too.
        _ = bucket.reserve(at: now, within: Nanoseconds(rawValue: .max))
        self.buckets[handle] = bucket
        guard bucket.next(at: now) > now else { return false }
        self.paused.insert(handle)
        return true
    }

    /// Streams that may be read again.
    mutating func due(at now: Instant) -> [UInt64] {
        guard !self.paused.isEmpty else { return [] }
        let due = self.paused.filter { self.buckets[$0].map { $0.next(at: now) <= now } ?? true }
        self.paused.subtract(due)
        return due.sorted()
    }

    mutating func closed(_ handle: UInt64) {
        guard self.perSecond > 0 else { return }
        self.buckets[handle] = nil
        self.paused.remove(handle)
    }

    /// Another rate: all begin anew.
    ///
    /// - Returns: streams that are to be read again.
    mutating func set(perSecond: Int) -> [UInt64] {
        guard perSecond != self.perSecond else { return [] }
        defer { self = RequestPacing(perSecond: perSecond) }
        return self.paused.sorted()
    }
}
