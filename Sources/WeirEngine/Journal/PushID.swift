/// Names one change that a control plane (or an operator) made to one type of a group: the same in logs, history and
/// events. Rising within the process.
package struct PushID: Hashable, Comparable, Sendable, CustomStringConvertible {
    package var rawValue: UInt64

    package init(rawValue: UInt64) { self.rawValue = rawValue }

    /// No push: a whole state for a worker that has just begun to follow, or what nobody need be told of.
    package static let none = PushID(rawValue: 0)

    /// As written by `description`.
    package init?(_ text: some StringProtocol) {
        guard text.utf8.count == Self.digits, let value = UInt64(text, radix: 16) else { return nil }
        self.rawValue = value
    }

    private static let digits = 16

    /// 16 hexadecimal digits, so that texts sort as the numbers do.
    package var description: String {
        let text = String(self.rawValue, radix: 16)
        return String(repeating: "0", count: Self.digits - text.utf8.count) + text
    }

    package static func < (a: PushID, b: PushID) -> Bool { a.rawValue < b.rawValue }
}
