public import WeirBase

/// Appends protobuf fields to a byte array.
public struct WireWriter: Sendable {
    /// What was written so far.
    public var bytes: [UInt8] = []

    /// An empty writer with room for `capacity` bytes.
    public init(reserving capacity: Int = 0) {
        if capacity > 0 { self.bytes.reserveCapacity(capacity) }
    }

    /// Appends a bare varint.
    public mutating func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            self.bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        self.bytes.append(UInt8(truncatingIfNeeded: rest))
    }

    /// The tag and length of a length-delimited field whose content the caller appends.
    public mutating func header(_ field: Int, count: Int) {
        self.varint(UInt64(field) << 3 | 2)
        self.varint(UInt64(count))
    }

    /// A string field; an empty string is not written, as proto3 asks.
    public mutating func string(_ field: Int, _ value: String) {
        if value.isEmpty { return }
        self.element(field, value)
    }

    /// A string that is an element of a repeated field or a map entry: written even when empty.
    public mutating func element(_ field: Int, _ value: String) {
        var value = value
        value.withUTF8 { utf8 in
            self.header(field, count: utf8.count)
            unsafe self.bytes.append(contentsOf: utf8)
        }
    }

    /// A field whose content is an encoded message, or bytes; written even when empty.
    public mutating func message(_ field: Int, _ content: [UInt8]) {
        self.header(field, count: content.count)
        self.bytes.append(contentsOf: content)
    }

    /// A field whose content is a piece of another message.
    public mutating func message(_ field: Int, _ range: ByteRange, of bytes: borrowing Span<UInt8>) {
        self.header(field, count: range.count)
        self.append(range, of: bytes)
    }

    /// Appends a piece of another message as it is.
    public mutating func append(_ range: ByteRange, of bytes: borrowing Span<UInt8>) {
        unsafe bytes.extracting(range.offset..<range.end).withUnsafeBufferPointer {
            unsafe self.bytes.append(contentsOf: $0)
        }
    }

    /// A varint field; zero is not written, as proto3 asks.
    public mutating func uint(_ field: Int, _ value: UInt64) {
        if value == 0 { return }
        self.varint(UInt64(field) << 3)
        self.varint(value)
    }

    /// How many bytes `value` takes as a varint.
    package static func size(ofVarint value: Int) -> Int {
        var rest = UInt64(value)
        var count = 1
        while rest >= 0x80 {
            rest >>= 7
            count += 1
        }
        return count
    }

    /// How many bytes a length-delimited field with a one-byte tag and `count` bytes of content takes.
    package static func size(ofField count: Int) -> Int { 1 + self.size(ofVarint: count) + count }
}
