package import WeirBase
import WeirHash
package import WeirXDS

// The format of the store, version 1. A database of keys and values; numbers in keys are big-endian, so that keys sort.
//
//     M                          what the file is: format, who made it
//     T type-id                  one type of a group: which, its versions
//     A type-id                  when it was last in use
//     R type-id lane name        one resource
//
// Each value begins with 16 bytes of XXH3 over its key and the rest; the rest is a protobuf message, in R behind one byte
// that says whether it is encrypted. Unknown fields are skipped, so that fields can be added without a new version.

/// Which type of which group.
package struct StoreKey: Hashable, Sendable {
    package var upstream: String
    package var key: String
    package var typeURL: String

    package init(upstream: String, key: String, typeURL: String) {
        self.upstream = upstream
        self.key = key
        self.typeURL = typeURL
    }
}

/// What a type of a group has beside its resources.
package struct TypeRecord: Hashable, Sendable {
    package struct Lane: Hashable, Sendable {
        package var version = ""
        package var isDerived = false
        package var acceptedVersion = ""
        package var acceptedFrom = ""

        package init() {}
    }

    package var isDelta = false
    package var wildcard: Lane?
    package var named: Lane?
    package var equalVersions: [String] = []
    package var updated: WallTime?
    /// A hold: since when, and who asked for it or why; `rejected`: of what content, where clients caused it.
    package var hold: Hold?

    package struct Hold: Hashable, Sendable {
        package var since: WallTime
        package var detail: String
        package var rejected: String

        package init(since: WallTime, detail: String, rejected: String = "") {
            self.since = since
            self.detail = detail
            self.rejected = rejected
        }
    }

    package init() {}
}

/// What is known of one name.
package struct ResourceRecord: Hashable, Sendable {
    package enum Presence: UInt64, Hashable, Sendable {
        case present = 1
        case absent = 2
        case populated = 3
    }

    package var name: String
    package var isWildcard: Bool
    package var presence: Presence
    /// The content of its `Resource` message; empty unless it is present.
    package var element: [UInt8] = []
    package var source = ""
    package var collection: String?
    /// How long it lives, and until when; nil: for good.
    package var timeToLive: Nanoseconds?
    package var expires: WallTime?

    package init(name: String, isWildcard: Bool, presence: Presence) {
        self.name = name
        self.isWildcard = isWildcard
        self.presence = presence
    }
}

// MARK: Values

/// A value with its checksum.
package enum Sealed {
    private static let checksumBytes = 16

    package static func seal(_ body: [UInt8], key: [UInt8]) -> [UInt8] { self.checksum(body.span, key) + body }

    /// The body, or nil if the checksum does not fit.
    package static func open(_ value: [UInt8], key: [UInt8]) -> [UInt8]? {
        guard value.count >= self.checksumBytes else { return nil }
        let body = Array(value[self.checksumBytes...])
        return self.checksum(body.span, key).elementsEqual(value[..<self.checksumBytes]) ? body : nil
    }

    private static func checksum(_ body: borrowing Span<UInt8>, _ key: [UInt8]) -> [UInt8] {
        let hash = ContentHash(of: key).followed(by: ContentHash(of: body))
        return bigEndian(hash.high) + bigEndian(hash.low)
    }
}

func bigEndian(_ value: UInt64) -> [UInt8] {
    stride(from: 56, through: 0, by: -8).map { UInt8(truncatingIfNeeded: value >> UInt64($0)) }
}

extension TypeRecord {
    /// The record with whom it is about.
    package func encoded(_ key: StoreKey) -> [UInt8] {
        var writer = WireWriter()
        writer.string(1, key.upstream)
        writer.string(2, key.key)
        writer.string(3, key.typeURL)
        writer.uint(4, self.isDelta ? 1 : 0)
        if let lane = self.wildcard { writer.message(5, lane.encoded) }
        if let lane = self.named { writer.message(6, lane.encoded) }
        for version in self.equalVersions { writer.element(7, version) }
        if let updated = self.updated { writer.uint(8, UInt64(max(0, updated.rawValue))) }
        if let hold = self.hold { writer.message(9, hold.encoded) }
        return writer.bytes
    }

    package static func decode(_ bytes: [UInt8]) throws(WireError) -> (key: StoreKey, record: TypeRecord) {
        let span = bytes.span
        var key = StoreKey(upstream: "", key: "", typeURL: "")
        var record = TypeRecord()
        var reader = WireReader(ByteRange(offset: 0, count: bytes.count))
        while let field = try reader.next(in: span) {
            switch field.number {
            case 1: key.upstream = span.string(try field.bytes())
            case 2: key.key = span.string(try field.bytes())
            case 3: key.typeURL = span.string(try field.bytes())
            case 4: record.isDelta = try field.varint() != 0
            case 5: record.wildcard = try Lane(decoding: try field.bytes(), in: span)
            case 6: record.named = try Lane(decoding: try field.bytes(), in: span)
            case 7: record.equalVersions.append(span.string(try field.bytes()))
            case 8: record.updated = WallTime(rawValue: Int64(clamping: try field.varint()))
            case 9: record.hold = try Hold(decoding: try field.bytes(), in: span)
            default: break
            }
        }
        return (key, record)
    }
}

extension TypeRecord.Hold {
    fileprivate var encoded: [UInt8] {
        var writer = WireWriter()
        writer.uint(1, UInt64(max(0, self.since.rawValue)))
        writer.string(2, self.detail)
        writer.string(3, self.rejected)
        return writer.bytes
    }

    fileprivate init(decoding range: ByteRange, in span: borrowing Span<UInt8>) throws(WireError) {
        self.init(since: WallTime(rawValue: 0), detail: "")
        var reader = WireReader(range)
        while let field = try reader.next(in: span) {
            switch field.number {
            case 1: self.since = WallTime(rawValue: Int64(clamping: try field.varint()))
            case 2: self.detail = span.string(try field.bytes())
            case 3: self.rejected = span.string(try field.bytes())
            default: break
            }
        }
    }
}

extension TypeRecord.Lane {
    fileprivate var encoded: [UInt8] {
        var writer = WireWriter()
        writer.string(1, self.version)
        writer.uint(2, self.isDerived ? 1 : 0)
        writer.string(3, self.acceptedVersion)
        writer.string(4, self.acceptedFrom)
        return writer.bytes
    }

    fileprivate init(decoding range: ByteRange, in span: borrowing Span<UInt8>) throws(WireError) {
        var reader = WireReader(range)
        while let field = try reader.next(in: span) {
            switch field.number {
            case 1: self.version = span.string(try field.bytes())
            case 2: self.isDerived = try field.varint() != 0
            case 3: self.acceptedVersion = span.string(try field.bytes())
            case 4: self.acceptedFrom = span.string(try field.bytes())
            default: break
            }
        }
    }
}

extension ResourceRecord {
    package var encoded: [UInt8] {
        var writer = WireWriter(reserving: self.element.count + self.name.utf8.count + 64)
        writer.element(1, self.name)
        writer.uint(2, self.presence.rawValue)
        writer.uint(3, self.isWildcard ? 1 : 0)
        if !self.element.isEmpty { writer.message(4, self.element) }
        writer.string(5, self.source)
        if let collection = self.collection { writer.element(6, collection) }
        if let span = self.timeToLive { writer.uint(7, UInt64(max(0, span.rawValue))) }
        if let expires = self.expires { writer.uint(8, UInt64(max(0, expires.rawValue))) }
        return writer.bytes
    }

    package init(decoding bytes: [UInt8]) throws(WireError) {
        let span = bytes.span
        self.init(name: "", isWildcard: false, presence: .absent)
        var reader = WireReader(ByteRange(offset: 0, count: bytes.count))
        while let field = try reader.next(in: span) {
            switch field.number {
            case 1: self.name = span.string(try field.bytes())
            case 2:
                guard let presence = Presence(rawValue: try field.varint()) else {
                    throw .malformed(offset: field.range.offset)
                }
                self.presence = presence
            case 3: self.isWildcard = try field.varint() != 0
            case 4: self.element = span.array(try field.bytes())
            case 5: self.source = span.string(try field.bytes())
            case 6: self.collection = span.string(try field.bytes())
            case 7: self.timeToLive = Nanoseconds(rawValue: Int64(clamping: try field.varint()))
            case 8: self.expires = WallTime(rawValue: Int64(clamping: try field.varint()))
            default: break
            }
        }
    }
}
