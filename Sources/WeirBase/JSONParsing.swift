/// Where a text stops being JSON.
package struct JSONFailure: Error, Hashable, Sendable {
    /// Bytes before the place.
    package var offset: Int
    package var reason: String
}

/// Reads one JSON document (RFC 8259), strictly. Deeper than 128 levels is an error; text that is not UTF-8, and halves of
/// surrogate pairs, read as U+FFFD. The tree is some ten times as large as the bytes: callers bound these.
package func parseJSON(_ bytes: [UInt8]) throws(JSONFailure) -> JSONValue {
    var parser = JSONParser(bytes)
    return try parser.document()
}

private struct JSONParser {
    private static let depthMax = 128

    private let bytes: [UInt8]
    private var index = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    mutating func document() throws(JSONFailure) -> JSONValue {
        let value = try self.value(depth: 0)
        self.skipSpace()
        guard self.index == self.bytes.count else { throw self.failure("more follows the document's end") }
        return value
    }

    private func failure(_ reason: String) -> JSONFailure { JSONFailure(offset: self.index, reason: reason) }

    private var next: UInt8? { self.index < self.bytes.count ? self.bytes[self.index] : nil }

    private mutating func skipSpace() {
        while let byte = self.next, [0x20, 0x0A, 0x0D, 0x09].contains(byte) { self.index += 1 }
    }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard self.next == UInt8(ascii: character) else { return false }
        self.index += 1
        return true
    }

    private mutating func value(depth: Int) throws(JSONFailure) -> JSONValue {
        self.skipSpace()
        guard depth < JSONParser.depthMax else {
            throw self.failure("objects and arrays nest deeper than \(JSONParser.depthMax)")
        }
        switch self.next {
        case UInt8(ascii: "{"): return try self.object(depth: depth)
        case UInt8(ascii: "["): return try self.array(depth: depth)
        case UInt8(ascii: "\""): return .string(try self.string())
        case UInt8(ascii: "t"): return try self.word("true", .bool(true))
        case UInt8(ascii: "f"): return try self.word("false", .bool(false))
        case UInt8(ascii: "n"): return try self.word("null", .null)
        default: return try self.number()
        }
    }

    private mutating func word(_ word: StaticString, _ value: JSONValue) throws(JSONFailure) -> JSONValue {
        let text = Array("\(word)".utf8)
        guard self.bytes[self.index...].starts(with: text) else { throw self.failure("a value is expected") }
        self.index += text.count
        return value
    }

    private mutating func array(depth: Int) throws(JSONFailure) -> JSONValue {
        self.index += 1
        var elements: [JSONValue] = []
        self.skipSpace()
        if self.take("]") { return .array(elements) }
        while true {
            elements.append(try self.value(depth: depth + 1))
            self.skipSpace()
            if self.take("]") { return .array(elements) }
            guard self.take(",") else { throw self.failure("\",\" or \"]\" is expected") }
        }
    }

    private mutating func object(depth: Int) throws(JSONFailure) -> JSONValue {
        self.index += 1
        var members: [JSONMember] = []
        self.skipSpace()
        if self.take("}") { return .object(members) }
        while true {
            self.skipSpace()
            guard self.next == UInt8(ascii: "\"") else { throw self.failure("a member's name is expected") }
            let name = try self.string()
            self.skipSpace()
            guard self.take(":") else { throw self.failure("\":\" is expected") }
            members.append(JSONMember(name, try self.value(depth: depth + 1)))
            self.skipSpace()
            if self.take("}") { return .object(members) }
            guard self.take(",") else { throw self.failure("\",\" or \"}\" is expected") }
        }
    }

    // MARK: Numbers

    private mutating func number() throws(JSONFailure) -> JSONValue {
        let start = self.index
        _ = self.take("-")
        let isZeroFirst = self.next == UInt8(ascii: "0")
        let digits = self.digits()
        guard digits > 0, digits == 1 || !isZeroFirst else { throw self.failure("a value is expected") }
        if self.take("."), self.digits() == 0 { throw self.failure("a digit is expected") }
        if self.take("e") || self.take("E") {
            if !self.take("+") { _ = self.take("-") }
            if self.digits() == 0 { throw self.failure("a digit is expected") }
        }
        return .number(String(decoding: self.bytes[start..<self.index], as: UTF8.self))
    }

    private mutating func digits() -> Int {
        let start = self.index
        while let byte = self.next, byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") { self.index += 1 }
        return self.index - start
    }

    // MARK: Strings

    private mutating func string() throws(JSONFailure) -> String {
        self.index += 1
        var text: [UInt8] = []
        while true {
            let start = self.index
            while let byte = self.next, byte >= 0x20, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\") {
                self.index += 1
            }
            text += self.bytes[start..<self.index]
            guard let byte = self.next, byte >= 0x20 else { throw self.failure("a string does not end") }
            self.index += 1
            if byte == UInt8(ascii: "\"") { return String(decoding: text, as: UTF8.self) }
            try self.escape(into: &text)
        }
    }

    /// What stands after a backslash.
    private mutating func escape(into text: inout [UInt8]) throws(JSONFailure) {
        guard let byte = self.next else { throw self.failure("a string does not end") }
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "f"): text.append(0x0C)
        case UInt8(ascii: "n"): text.append(0x0A)
        case UInt8(ascii: "r"): text.append(0x0D)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "u"):
            self.index += 1
            text.append(contentsOf: String(try self.codePoint()).utf8)
            return
        default: throw self.failure("there is no such escape")
        }
        self.index += 1
    }

    /// The four digits after `\u`, and those of the pair's other half.
    private mutating func codePoint() throws(JSONFailure) -> Unicode.Scalar {
        let first = try self.hexDigits()
        if let scalar = Unicode.Scalar(first) { return scalar }
        let isPair = first < 0xDC00 && self.bytes[self.index...].starts(with: [0x5C, UInt8(ascii: "u")])
        guard isPair else { return "\u{FFFD}" }
        let place = self.index
        self.index += 2
        let second = try self.hexDigits()
        guard (0xDC00...0xDFFF).contains(second) else {
            self.index = place
            return "\u{FFFD}"
        }
        return Unicode.Scalar(0x10000 + (first - 0xD800) << 10 + (second - 0xDC00)) ?? "\u{FFFD}"
    }

    private mutating func hexDigits() throws(JSONFailure) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = self.next, let digit = Character(Unicode.Scalar(byte)).hexDigitValue, byte < 0x80 else {
                throw self.failure("four hexadecimal digits are expected")
            }
            value = value << 4 | UInt32(digit)
            self.index += 1
        }
        return value
    }
}
