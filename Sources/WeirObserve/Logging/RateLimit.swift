package import WeirBase

/// Lets so many log lines of each kind through in a second, and counts the others. A value that is handed the time.
///
/// Kinds are few and fixed by the program; nothing that a peer sends may be one.
package struct RateLimit<Kind: Hashable & Sendable>: Sendable {
    private struct Entry: Sendable {
        var bucket: TokenBucket
        var suppressed = 0
    }

    private let bucket: TokenBucket
    private var entries: [Kind: Entry] = [:]

    /// For each kind: `perSecond` lines, and `burst` at once after a rest.
    package init(perSecond: Int, burst: Int) { self.bucket = TokenBucket(perSecond: perSecond, burst: burst) }

    /// - Returns: nil if the line is one too many; otherwise how many were since the last one that passed.
    package mutating func pass(_ kind: Kind, at now: Instant) -> Int? {
        var entry = self.entries[kind] ?? Entry(bucket: self.bucket)
        defer { self.entries[kind] = entry }
        guard entry.bucket.take(at: now) else {
            entry.suppressed += 1
            return nil
        }
        defer { entry.suppressed = 0 }
        return entry.suppressed
    }
}
