import WeirBase

/// Why bytes are no node.
public enum NodeError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The bytes are no protobuf message.
    case wire(WireError)
    /// A text is not UTF-8.
    case notUTF8(offset: Int)
    /// Values nest deeper than ``Node/metadataDepthMax``.
    case metadataTooDeep
    /// There are more values than ``Node/metadataValuesMax``.
    case metadataTooLarge

    /// The reason, for people.
    public var description: String {
        switch self {
        case .wire(let error): "the node is malformed: \(error)"
        case .notUTF8(let offset): "the node is malformed: text that is not UTF-8 (byte \(offset))"
        case .metadataTooDeep: "the node's metadata nests deeper than \(Node.metadataDepthMax) values"
        case .metadataTooLarge: "the node's metadata holds more than \(Node.metadataValuesMax) values"
        }
    }
}

/// Reads a node's fields. Source: envoy/config/core/v3/base.proto, google/protobuf/struct.proto.
struct NodeFields {
    var id = ""
    var cluster = ""
    var metadata: [String: MetadataValue]?
    var region = ""
    var zone = ""
    var subZone = ""
    var userAgentName = ""
    var userAgentVersion = ""
    var clientFeatures: [String] = []
    private var metadataValues = 0

    init(decoding bytes: [UInt8]) throws(NodeError) {
        try self.read(bytes.span)
    }

    private mutating func read(_ bytes: borrowing Span<UInt8>) throws(NodeError) {
        var reader = FieldReader(ByteRange(offset: 0, count: bytes.count))
        while let field = try reader.next(in: bytes) {
            switch field.number {
            case 1: self.id = try field.text(in: bytes)
            case 2: self.cluster = try field.text(in: bytes)
            case 3:
                let more = try self.object(in: bytes, field.content(), depth: 1)
                // In place: a message may hold the field any number of times, and a copy for each would stall the loop.
                if self.metadata == nil { self.metadata = more } else { self.metadata?.merge(more) { $1 } }
            case 4: try self.locality(in: bytes, field.content())
            case 6: self.userAgentName = try field.text(in: bytes)
            case 7: self.userAgentVersion = try field.text(in: bytes)
            case 8: self.userAgentVersion = try NodeFields.buildVersion(in: bytes, field.content())
            case 10: self.clientFeatures.append(try field.text(in: bytes))
            default: break
            }
        }
    }

    private mutating func locality(in bytes: borrowing Span<UInt8>, _ range: ByteRange) throws(NodeError) {
        var reader = FieldReader(range)
        while let field = try reader.next(in: bytes) {
            switch field.number {
            case 1: self.region = try field.text(in: bytes)
            case 2: self.zone = try field.text(in: bytes)
            case 3: self.subZone = try field.text(in: bytes)
            default: break
            }
        }
    }

    private static func buildVersion(
        in bytes: borrowing Span<UInt8>, _ range: ByteRange
    ) throws(NodeError) -> String {
        var numbers: [UInt32] = [0, 0, 0]
        var reader = FieldReader(range)
        while let field = try reader.next(in: bytes) {
            guard field.number == 1 else { continue }
            var inner = FieldReader(try field.content())
            while let part = try inner.next(in: bytes) {
                guard part.number <= 3 else { continue }
                numbers[part.number - 1] = UInt32(truncatingIfNeeded: try part.unsigned())
            }
        }
        return numbers.map(String.init).joined(separator: ".")
    }

    /// `google.protobuf.Struct`: a map in field 1.
    private mutating func object(
        in bytes: borrowing Span<UInt8>, _ range: ByteRange, depth: Int
    ) throws(NodeError) -> [String: MetadataValue] {
        var fields: [String: MetadataValue] = [:]
        var reader = FieldReader(range)
        while let field = try reader.next(in: bytes) {
            guard field.number == 1 else { continue }
            var name = ""
            var value = MetadataValue.null
            var entry = FieldReader(try field.content())
            while let part = try entry.next(in: bytes) {
                switch part.number {
                case 1: name = try part.text(in: bytes)
                case 2: value = try self.value(in: bytes, part.content(), depth: depth)
                default: break
                }
            }
            fields[name] = value
        }
        return fields
    }

    private mutating func value(
        in bytes: borrowing Span<UInt8>, _ range: ByteRange, depth: Int
    ) throws(NodeError) -> MetadataValue {
        guard depth <= Node.metadataDepthMax else { throw .metadataTooDeep }
        guard self.metadataValues < Node.metadataValuesMax else { throw .metadataTooLarge }
        self.metadataValues += 1
        var value = MetadataValue.null
        var reader = FieldReader(range)
        while let field = try reader.next(in: bytes) {
            switch field.number {
            case 1: value = .null
            case 2: value = .number(try field.double())
            case 3: value = .string(try field.text(in: bytes))
            case 4: value = .bool(try field.unsigned() != 0)
            case 5: value = .object(try self.object(in: bytes, field.content(), depth: depth + 1))
            case 6: value = .list(try self.list(in: bytes, field.content(), depth: depth + 1))
            default: break
            }
        }
        return value
    }

    private mutating func list(
        in bytes: borrowing Span<UInt8>, _ range: ByteRange, depth: Int
    ) throws(NodeError) -> [MetadataValue] {
        var elements: [MetadataValue] = []
        var reader = FieldReader(range)
        while let field = try reader.next(in: bytes) {
            guard field.number == 1 else { continue }
            elements.append(try self.value(in: bytes, field.content(), depth: depth))
        }
        return elements
    }
}

/// `WireReader` with this reader's error type.
private struct FieldReader {
    private var reader: WireReader

    init(_ range: ByteRange) { self.reader = WireReader(range) }

    mutating func next(in bytes: borrowing Span<UInt8>) throws(NodeError) -> WireField? {
        do { return try self.reader.next(in: bytes) } catch { throw .wire(error) }
    }
}

extension WireField {
    fileprivate func content() throws(NodeError) -> ByteRange {
        do { return try self.bytes() } catch { throw .wire(error) }
    }

    fileprivate func unsigned() throws(NodeError) -> UInt64 {
        guard case .varint(let value) = self.value else { throw self.wrongType }
        return value
    }

    fileprivate func double() throws(NodeError) -> Double {
        guard case .fixed64(let bits) = self.value else { throw self.wrongType }
        return Double(bitPattern: bits)
    }

    fileprivate func text(in bytes: borrowing Span<UInt8>) throws(NodeError) -> String {
        let range = try self.content()
        let text = unsafe bytes.extracting(range.offset..<range.end).withUnsafeBufferPointer {
            unsafe String(validating: $0, as: UTF8.self)
        }
        guard let text else { throw .notUTF8(offset: range.offset) }
        return text
    }

    private var wrongType: NodeError { .wire(.wrongType(field: self.number, offset: self.range.offset)) }
}
