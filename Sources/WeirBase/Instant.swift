/// A span of time in whole nanoseconds; negative spans are legal and mean "already past".
package struct Nanoseconds: Hashable, Comparable, Sendable {
    package var rawValue: Int64

    package init(rawValue: Int64) { self.rawValue = rawValue }

    package static let zero = Nanoseconds(rawValue: 0)

    package static func microseconds(_ count: Int64) -> Nanoseconds { Nanoseconds(rawValue: count * 1_000) }
    package static func milliseconds(_ count: Int64) -> Nanoseconds { Nanoseconds(rawValue: count * 1_000_000) }
    package static func seconds(_ count: Int64) -> Nanoseconds { Nanoseconds(rawValue: count * 1_000_000_000) }

    /// A span of the standard library's: at least nothing, at most a year.
    package init(clamping duration: Duration) {
        let (seconds, attoseconds) = min(max(duration, .zero), .seconds(31_536_000)).components
        self.init(rawValue: seconds * 1_000_000_000 + attoseconds / 1_000_000_000)
    }

    /// The span in seconds, for metrics, logs and C libraries that count in floating-point seconds.
    package var seconds: Double { Double(self.rawValue) / 1e9 }

    package static func < (a: Nanoseconds, b: Nanoseconds) -> Bool { a.rawValue < b.rawValue }
    package static func + (a: Nanoseconds, b: Nanoseconds) -> Nanoseconds {
        Nanoseconds(rawValue: a.rawValue &+ b.rawValue)
    }
    package static func - (a: Nanoseconds, b: Nanoseconds) -> Nanoseconds {
        Nanoseconds(rawValue: a.rawValue &- b.rawValue)
    }
}

/// A point on the monotonic clock, in nanoseconds since an arbitrary start that is the same for all threads of the
/// process. Pure code is handed instants; it never reads a clock.
package struct Instant: Hashable, Comparable, Sendable {
    package var rawValue: Int64

    package init(rawValue: Int64) { self.rawValue = rawValue }

    package static func < (a: Instant, b: Instant) -> Bool { a.rawValue < b.rawValue }
    package static func + (a: Instant, b: Nanoseconds) -> Instant { Instant(rawValue: a.rawValue &+ b.rawValue) }
    package static func - (a: Instant, b: Instant) -> Nanoseconds { Nanoseconds(rawValue: a.rawValue &- b.rawValue) }
}

/// A point on the wall clock, in nanoseconds since the Unix epoch (UTC). For people: logs, debug pages, never for
/// deciding when something is due.
package struct WallTime: Hashable, Comparable, Sendable {
    package var rawValue: Int64

    package init(rawValue: Int64) { self.rawValue = rawValue }

    package static func < (a: WallTime, b: WallTime) -> Bool { a.rawValue < b.rawValue }

    /// RFC 3339 in UTC with milliseconds, as in `2026-03-01T08:05:09.250Z`.
    package var rfc3339: String {
        let milliseconds = self.rawValue.floorDivided(by: 1_000_000)
        let seconds = milliseconds.floorDivided(by: 1_000)
        let days = seconds.floorDivided(by: 86_400)
        let (year, month, day) = civilDate(daysSinceEpoch: days)
        let ofDay = seconds - days * 86_400
        return "\(padded(year, 4))-\(padded(month, 2))-\(padded(day, 2))T"
            + "\(padded(ofDay / 3_600, 2)):\(padded(ofDay / 60 % 60, 2)):\(padded(ofDay % 60, 2))"
            + ".\(padded(milliseconds - seconds * 1_000, 3))Z"
    }
}

extension Int64 {
    fileprivate func floorDivided(by divisor: Int64) -> Int64 {
        let (quotient, remainder) = self.quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? quotient - 1 : quotient
    }
}

/// Decimal digits of `value`, filled with zeros on the left to `width`.
package func padded(_ value: Int64, _ width: Int) -> String {
    let digits = String(value)
    return String(repeating: "0", count: max(0, width - digits.count)) + digits
}

/// Gregorian date of a day count since 1970-01-01, by shifting the year to begin in March so that leap days come last.
private func civilDate(daysSinceEpoch: Int64) -> (year: Int64, month: Int64, day: Int64) {
    let shifted = daysSinceEpoch + 719_468
    let era = shifted.floorDivided(by: 146_097)
    let dayOfEra = shifted - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shiftedMonth = (5 * dayOfYear + 2) / 153
    let day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
    let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
    return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day)
}
