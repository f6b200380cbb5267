/// A scalar as it is written, and what it means under YAML 1.2's core schema.
package struct YAMLScalar: Hashable, Sendable {
    package enum Style: Hashable, Sendable {
        /// Without quotes: may mean null, a boolean or a number.
        case plain
        /// Single or double quotes, or tagged `!!str`: always text.
        case quoted
        /// `|` and `>`: always text.
        case block
    }

    /// What a scalar means. Source: YAML 1.2.2, 10.3.2 (core schema).
    package enum Value: Hashable, Sendable {
        case null
        case bool(Bool)
        /// A whole number that fits 64 bits; a larger one is a `float`.
        case int(Int64)
        case float(Double)
        case string(String)
    }

    /// The text with quotes and escapes already undone.
    package var text: String
    package var style: Style

    package init(text: String, style: Style) {
        self.text = text
        self.style = style
    }

    package var resolved: Value {
        guard self.style == .plain else { return .string(self.text) }
        switch self.text {
        case "", "~", "null", "Null", "NULL": return .null
        case "true", "True", "TRUE": return .bool(true)
        case "false", "False", "FALSE": return .bool(false)
        case ".nan", ".NaN", ".NAN": return .float(.nan)
        case ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF": return .float(.infinity)
        case "-.inf", "-.Inf", "-.INF": return .float(-.infinity)
        default: return number(self.text) ?? .string(self.text)
        }
    }

    package var kindDescription: String {
        switch self.resolved {
        case .null: "null"
        case .bool: "the boolean \(self.text)"
        case .int, .float: "the number \(self.text)"
        case .string: "the text \"\(self.text)\""
        }
    }
}

/// The core schema's numbers; nil when the text is none.
private func number(_ text: String) -> YAMLScalar.Value? {
    let bytes = Array(text.utf8)
    if bytes.starts(with: [UInt8(ascii: "0"), UInt8(ascii: "x")]) { return whole(text.dropFirst(2), radix: 16) }
    if bytes.starts(with: [UInt8(ascii: "0"), UInt8(ascii: "o")]) { return whole(text.dropFirst(2), radix: 8) }
    guard let shape = NumberShape(bytes) else { return nil }
    if shape.isWhole, let value = Int64(text) { return .int(value) }
    return Double(text).map { .float($0) }
}

/// Digits after `0x` or `0o`; these take no sign.
private func whole(_ digits: Substring, radix: Int) -> YAMLScalar.Value? {
    guard let first = digits.utf8.first, first != UInt8(ascii: "-"), first != UInt8(ascii: "+") else { return nil }
    return Int64(digits, radix: radix).map { .int($0) }
}

/// Whether bytes are `[-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`.
private struct NumberShape {
    let isWhole: Bool

    init?(_ bytes: [UInt8]) {
        var rest = bytes[...]
        if let sign = rest.first, sign == UInt8(ascii: "-") || sign == UInt8(ascii: "+") { rest = rest.dropFirst() }
        let leading = NumberShape.dropDigits(&rest)
        var trailing = 0
        var whole = true
        if rest.first == UInt8(ascii: ".") {
            whole = false
            rest = rest.dropFirst()
            trailing = NumberShape.dropDigits(&rest)
        }
        guard leading + trailing > 0 else { return nil }
        if let mark = rest.first, mark | 0x20 == UInt8(ascii: "e") {
            whole = false
            rest = rest.dropFirst()
            if let sign = rest.first, sign == UInt8(ascii: "-") || sign == UInt8(ascii: "+") { rest = rest.dropFirst() }
            guard NumberShape.dropDigits(&rest) > 0 else { return nil }
        }
        guard rest.isEmpty else { return nil }
        self.isWhole = whole
    }

    private static func dropDigits(_ rest: inout ArraySlice<UInt8>) -> Int {
        let digits = rest.prefix { $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") }.count
        rest = rest.dropFirst(digits)
        return digits
    }
}
