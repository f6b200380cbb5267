/// Writes JSON (RFC 8259) into a growing byte array: compact, in the order of the calls, commas by itself.
///
///     var json = JSONWriter()
///     json.object {
///         $0.field("name", "x")
///         $0.array("types") { $0.value("cds") }
///     }
///
/// The shape is the caller's duty: one value at the top, keys only within objects. The writer has no bound of its own;
/// callers bound what they list.
package struct JSONWriter: Sendable {
    /// What was written so far; a whole document once the outermost closure has returned.
    package private(set) var bytes: [UInt8] = []
    /// Whether a value stands before the next one in the same object or array.
    private var separatorIsDue = false

    package init(reservingCapacity capacity: Int = 0) { self.bytes.reserveCapacity(capacity) }

    // MARK: Objects and arrays

    package mutating func object<Failure: Error>(
        _ content: (inout JSONWriter) throws(Failure) -> Void
    ) throws(Failure) {
        self.open(UInt8(ascii: "{"))
        try content(&self)
        self.close(UInt8(ascii: "}"))
    }

    package mutating func array<Failure: Error>(
        _ content: (inout JSONWriter) throws(Failure) -> Void
    ) throws(Failure) {
        self.open(UInt8(ascii: "["))
        try content(&self)
        self.close(UInt8(ascii: "]"))
    }

    package mutating func object<Failure: Error>(
        _ name: String, _ content: (inout JSONWriter) throws(Failure) -> Void
    ) throws(Failure) {
        self.key(name)
        try self.object(content)
    }

    package mutating func array<Failure: Error>(
        _ name: String, _ content: (inout JSONWriter) throws(Failure) -> Void
    ) throws(Failure) {
        self.key(name)
        try self.array(content)
    }

    /// The name of the member whose value is written next.
    package mutating func key(_ name: String) {
        self.separate()
        Self.appendQuoted(name, to: &self.bytes)
        self.bytes.append(UInt8(ascii: ":"))
        self.separatorIsDue = false
    }

    // MARK: Values

    package mutating func value(_ text: String) {
        self.separate()
        Self.appendQuoted(text, to: &self.bytes)
        self.separatorIsDue = true
    }

    package mutating func value(_ number: some BinaryInteger) { self.scalar(String(number)) }

    /// A number; infinities and NaN, which JSON cannot say, become null.
    package mutating func value(_ number: Double) { self.scalar(number.isFinite ? String(number) : "null") }

    package mutating func value(_ flag: Bool) { self.scalar(flag ? "true" : "false") }

    package mutating func null() { self.scalar("null") }

    /// One finished JSON value, taken over as it is.
    package mutating func raw(_ json: [UInt8]) {
        self.separate()
        self.bytes.append(contentsOf: json)
        self.separatorIsDue = true
    }

    // MARK: Members of an object

    package mutating func field(_ name: String, _ text: String) {
        self.key(name)
        self.value(text)
    }

    /// A string, or null.
    package mutating func field(_ name: String, _ text: String?) {
        self.key(name)
        if let text { self.value(text) } else { self.null() }
    }

    package mutating func field(_ name: String, _ number: some BinaryInteger) {
        self.key(name)
        self.value(number)
    }

    package mutating func field(_ name: String, _ number: Double) {
        self.key(name)
        self.value(number)
    }

    package mutating func field(_ name: String, _ flag: Bool) {
        self.key(name)
        self.value(flag)
    }

    package mutating func field(_ name: String, raw json: [UInt8]) {
        self.key(name)
        self.raw(json)
    }

    /// An array of strings.
    package mutating func field(_ name: String, _ texts: [String]) {
        self.array(name) { json in
            for text in texts { json.value(text) }
        }
    }

    // MARK: Bytes

    private mutating func open(_ bracket: UInt8) {
        self.separate()
        self.bytes.append(bracket)
        self.separatorIsDue = false
    }

    private mutating func close(_ bracket: UInt8) {
        self.bytes.append(bracket)
        self.separatorIsDue = true
    }

    private mutating func separate() {
        if self.separatorIsDue { self.bytes.append(UInt8(ascii: ",")) }
    }

    private mutating func scalar(_ text: String) {
        self.separate()
        self.bytes.append(contentsOf: text.utf8)
        self.separatorIsDue = true
    }

    /// Appends `text` as a JSON string with its quotes.
    package static func appendQuoted(_ text: String, to bytes: inout [UInt8]) {
        bytes.append(UInt8(ascii: "\""))
        self.appendEscaped(text, to: &bytes)
        bytes.append(UInt8(ascii: "\""))
    }

    /// Appends `text` escaped as within a JSON string, without quotes.
    ///
    /// Beyond what JSON asks for, DEL, the C1 controls and the separators U+2028 and U+2029 are escaped too: terminals,
    /// log readers and scripts act on them.
    package static func appendEscaped(_ text: String, to bytes: inout [UInt8]) {
        for scalar in text.unicodeScalars {
            switch scalar.value {
            case 0x22, 0x5C:
                bytes.append(UInt8(ascii: "\\"))
                bytes.append(UInt8(truncatingIfNeeded: scalar.value))
            case 0x0A: bytes.append(contentsOf: "\\n".utf8)
            case 0x0D: bytes.append(contentsOf: "\\r".utf8)
            case 0x09: bytes.append(contentsOf: "\\t".utf8)
            case 0x00..<0x20, 0x7F..<0xA0, 0x2028, 0x2029:
                bytes.append(contentsOf: "\\u".utf8)
                for shift in [12, 8, 4, 0] as [UInt32] {
                    bytes.append(self.hexDigit(UInt8(truncatingIfNeeded: scalar.value >> shift & 0xF)))
                }
            case 0x20..<0x7F: bytes.append(UInt8(truncatingIfNeeded: scalar.value))
            default: bytes.append(contentsOf: UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter)
            }
        }
    }

    private static func hexDigit(_ nibble: UInt8) -> UInt8 {
        nibble < 10 ? UInt8(ascii: "0") + nibble : UInt8(ascii: "a") + nibble - 10
    }
}
