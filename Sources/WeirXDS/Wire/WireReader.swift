public import WeirBase

/// Why bytes are not a protobuf message.
public enum WireError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The message ends inside a field.
    case truncated(offset: Int)
    /// A varint of more than ten bytes, or a field number or length out of range.
    case malformed(offset: Int)
    /// A field that is known has another wire type than its definition says.
    case wrongType(field: Int, offset: Int)

    /// The reason, for people.
    public var description: String {
        switch self {
        case .truncated(let offset): "the message ends inside a field (byte \(offset))"
        case .malformed(let offset): "malformed varint, tag or length (byte \(offset))"
        case .wrongType(let field, let offset): "field \(field) has the wrong wire type (byte \(offset))"
        }
    }
}

/// One field of a message as it stands in the bytes; nothing is copied.
public struct WireField: Sendable {
    /// What stands after a tag, by wire type.
    public enum Value: Sendable {
        /// Wire type 0.
        case varint(UInt64)
        /// Wire type 1.
        case fixed64(UInt64)
        /// Wire type 2: strings, bytes, messages, packed lists.
        case bytes(ByteRange)
        /// Wire type 5.
        case fixed32(UInt32)
    }

    /// The field's number; positive.
    public let number: Int
    /// The field's content.
    public let value: Value
    /// The whole field, tag included.
    public let range: ByteRange

    /// The content of a length-delimited field.
    public func bytes() throws(WireError) -> ByteRange {
        guard case .bytes(let content) = self.value else {
            throw .wrongType(field: self.number, offset: self.range.offset)
        }
        return content
    }

    /// The value of a varint field.
    public func varint() throws(WireError) -> UInt64 {
        guard case .varint(let value) = self.value else {
            throw .wrongType(field: self.number, offset: self.range.offset)
        }
        return value
    }
}

/// Walks the fields of one protobuf message inside a larger buffer.
///
/// Allocates nothing and recurses into nothing: nested messages are read by another reader over the field's range.
/// Groups (wire types 3 and 4) do not occur in the discovery protocol and are malformed here.
/// Source: protobuf encoding guide.
public struct WireReader: Sendable {
    private var position: Int
    private let end: Int

    /// A reader of the message that stands at `range` of the bytes that `next(in:)` is given.
    public init(_ range: ByteRange) {
        self.position = range.offset
        self.end = range.end
    }

    /// The next field, or nil at the end of the message.
    public mutating func next(in bytes: borrowing Span<UInt8>) throws(WireError) -> WireField? {
        guard self.position < self.end else { return nil }
        let start = self.position
        let tag = try self.varint(in: bytes)
        guard let number = Int(exactly: tag >> 3), number > 0, number <= 536_870_911 else {
            throw .malformed(offset: start)
        }
        let value: WireField.Value
        switch tag & 7 {
        case 0: value = .varint(try self.varint(in: bytes))
        case 1: value = .fixed64(try self.littleEndian(in: bytes, count: 8))
        case 2: value = .bytes(try self.lengthDelimited(in: bytes))
        case 5: value = .fixed32(UInt32(truncatingIfNeeded: try self.littleEndian(in: bytes, count: 4)))
        default: throw .malformed(offset: start)
        }
        return WireField(number: number, value: value, range: ByteRange(offset: start, count: self.position - start))
    }

    /// Adds what follows of a length-delimited field, as long as tag and length have one byte each: so lists of names are
    /// read, which may be long. `next` goes on with the rest.
    package mutating func run(of number: Int, in bytes: borrowing Span<UInt8>, into list: inout [ByteRange]) {
        let tag = UInt8(truncatingIfNeeded: number << 3 | 2)
        while self.end - self.position >= 2, bytes[self.position] == tag {
            let count = Int(bytes[self.position + 1])
            guard count < 128, count <= self.end - self.position - 2 else { return }
            list.append(ByteRange(offset: self.position + 2, count: count))
            self.position += 2 + count
        }
    }

    private mutating func varint(in bytes: borrowing Span<UInt8>) throws(WireError) -> UInt64 {
        var result: UInt64 = 0
        var shift: UInt64 = 0
        while shift < 70 {
            guard self.position < self.end else { throw .truncated(offset: self.position) }
            let byte = bytes[self.position]
            self.position += 1
            if shift < 64 { result |= UInt64(byte & 0x7F) << shift }
            if byte & 0x80 == 0 { return result }
            shift += 7
        }
        throw .malformed(offset: self.position)
    }

    private mutating func lengthDelimited(in bytes: borrowing Span<UInt8>) throws(WireError) -> ByteRange {
        let at = self.position
        let length = try self.varint(in: bytes)
        guard let count = Int(exactly: length) else { throw .malformed(offset: at) }
        guard count <= self.end - self.position else { throw .truncated(offset: at) }
        let range = ByteRange(offset: self.position, count: count)
        self.position += count
        return range
    }

    private mutating func littleEndian(in bytes: borrowing Span<UInt8>, count: Int) throws(WireError) -> UInt64 {
        guard count <= self.end - self.position else { throw .truncated(offset: self.position) }
        var value: UInt64 = 0
        for i in 0..<count { value |= UInt64(bytes[self.position + i]) << UInt64(8 * i) }
        self.position += count
        return value
    }
}
