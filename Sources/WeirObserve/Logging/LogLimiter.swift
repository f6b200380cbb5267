package import WeirBase

/// Keeps events that come by the thousand from filling the log: so many lines of one message in a window of time are
/// written, the others are counted. Not thread safe.
package struct LogLimiter: Sendable {
    private struct Entry {
        var windowStart: Instant
        var admitted = 0
        var leftOut = 0
    }

    /// Lines of one message in a window.
    private let linesMax: Int
    private let window: Nanoseconds
    private var entries: [String: Entry] = [:]
    /// Messages that are told apart; messages are sentences of the program's own, so that there are few.
    private static let messagesMax = 64
    private static let others = "other messages"

    package init(linesMax: Int = 100, window: Nanoseconds = .seconds(10)) {
        self.linesMax = linesMax
        self.window = window
    }

    /// Whether a line with this message is to be written; `linesMax` where fewer than usual are enough.
    package mutating func admits(_ message: String, now: Instant, linesMax: Int? = nil) -> Bool {
        let isTold = self.entries[message] != nil || self.entries.count < Self.messagesMax
        let key = isTold ? message : Self.others
        var entry = self.entries[key] ?? Entry(windowStart: now)
        if now - entry.windowStart >= self.window {
            entry.windowStart = now
            entry.admitted = 0
        }
        let isAdmitted = entry.admitted < linesMax ?? self.linesMax
        if isAdmitted { entry.admitted += 1 } else { entry.leftOut += 1 }
        self.entries[key] = entry
        return isAdmitted
    }

    /// How many lines were left out, by message, in windows that are over (or `all`); each is said once.
    package mutating func takeLeftOut(now: Instant, all: Bool = false) -> [(message: String, count: Int)] {
        var result: [(message: String, count: Int)] = []
        for (message, entry) in self.entries where all || now - entry.windowStart >= self.window {
            if entry.leftOut > 0 { result.append((message, entry.leftOut)) }
            self.entries[message] = nil
        }
        return result.sorted { $0.message < $1.message }
    }
}
