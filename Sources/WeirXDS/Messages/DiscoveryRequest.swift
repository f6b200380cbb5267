package import WeirBase

/// `envoy.service.discovery.v3.DiscoveryRequest` (SotW) as ranges into the bytes received: nothing is copied, a request
/// without names allocates nothing.
package struct DiscoveryRequest: Sendable {
    package var versionInfo = ByteRange.empty
    package var node: ByteRange?
    package var resourceNames: [ByteRange] = []
    package var typeURL = ByteRange.empty
    package var responseNonce = ByteRange.empty
    /// Content of the `google.rpc.Status`; its presence alone makes the request a NACK (SOTW-14).
    package var errorDetail: ByteRange?
    /// Whether dynamic-parameter locators were used, which weir does not support (NAME-13).
    package var hasLocators = false

    package init(decoding bytes: borrowing Span<UInt8>) throws(WireError) {
        var reader = WireReader(ByteRange(offset: 0, count: bytes.count))
        while let field = try reader.next(in: bytes) {
            switch field.number {
            case 1: self.versionInfo = try field.bytes()
            case 2: self.node = try field.bytes()
            case 3:
                self.resourceNames.append(try field.bytes())
                reader.run(of: 3, in: bytes, into: &self.resourceNames)
            case 4: self.typeURL = try field.bytes()
            case 5: self.responseNonce = try field.bytes()
            case 6: self.errorDetail = try field.bytes()
            case 7: self.hasLocators = true
            default: break
            }
        }
    }
}

/// `envoy.service.discovery.v3.DeltaDiscoveryRequest` as ranges into the bytes received.
package struct DeltaDiscoveryRequest: Sendable {
    package struct InitialVersion: Sendable {
        package var name: ByteRange
        package var version: ByteRange
    }

    package var node: ByteRange?
    package var typeURL = ByteRange.empty
    package var subscribe: [ByteRange] = []
    package var unsubscribe: [ByteRange] = []
    package var initialVersions: [InitialVersion] = []
    package var responseNonce = ByteRange.empty
    package var errorDetail: ByteRange?
    package var hasLocators = false

    package init(decoding bytes: borrowing Span<UInt8>) throws(WireError) {
        var reader = WireReader(ByteRange(offset: 0, count: bytes.count))
        while let field = try reader.next(in: bytes) {
            switch field.number {
            case 1: self.node = try field.bytes()
            case 2: self.typeURL = try field.bytes()
            case 3:
                self.subscribe.append(try field.bytes())
                reader.run(of: 3, in: bytes, into: &self.subscribe)
            case 4: self.unsubscribe.append(try field.bytes())
            case 5: self.initialVersions.append(try Self.initialVersion(in: bytes, try field.bytes()))
            case 6: self.responseNonce = try field.bytes()
            case 7: self.errorDetail = try field.bytes()
            case 8, 9: self.hasLocators = true
            default: break
            }
        }
    }

    private static func initialVersion(
        in bytes: borrowing Span<UInt8>, _ range: ByteRange
    ) throws(WireError) -> InitialVersion {
        var entry = InitialVersion(name: .empty, version: .empty)
        var reader = WireReader(range)
        while let field = try reader.next(in: bytes) {
            switch field.number {
            case 1: entry.name = try field.bytes()
            case 2: entry.version = try field.bytes()
            default: break
            }
        }
        return entry
    }
}

/// What a delta client says most of the time: that it accepts a response, and nothing else. A `DeltaDiscoveryRequest` of a
/// type URL and a nonce, read without looking for more.
package struct DeltaAcknowledgement: Sendable {
    package let typeURL: ByteRange
    package let responseNonce: ByteRange

    /// Nil: it says more, or in another form, and is to be read as a `DeltaDiscoveryRequest`.
    package init?(_ bytes: borrowing Span<UInt8>) {
        var typeURL = ByteRange.empty
        var nonce = ByteRange.empty
        var position = 0
        while position < bytes.count {
            guard bytes.count - position >= 2, bytes[position + 1] < 128 else { return nil }
            let range = ByteRange(offset: position + 2, count: Int(bytes[position + 1]))
            guard range.end <= bytes.count else { return nil }
            switch bytes[position] {
            case 2 << 3 | 2: typeURL = range
            case 6 << 3 | 2: nonce = range
            default: return nil
            }
            position = range.end
        }
        guard !nonce.isEmpty else { return nil }
        self.typeURL = typeURL
        self.responseNonce = nonce
    }
}

/// The same in SotW: a `DiscoveryRequest` that repeats the names that are subscribed to and says nothing else. The names are
/// not listed, only where they stand.
package struct SotWAcknowledgement: Sendable {
    package private(set) var versionInfo = ByteRange.empty
    package private(set) var typeURL = ByteRange.empty
    package private(set) var responseNonce = ByteRange.empty
    /// From the first byte of the first name to the last byte of the last one; nil without names.
    package private(set) var names: ByteRange?

    /// Nil: it says more, or in another form, and is to be read as a `DiscoveryRequest`.
    package init?(_ bytes: borrowing Span<UInt8>) {
        var position = 0
        var firstName = -1
        while position < bytes.count {
            guard bytes.count - position >= 2, bytes[position + 1] < 128 else { return nil }
            let range = ByteRange(offset: position + 2, count: Int(bytes[position + 1]))
            guard range.end <= bytes.count else { return nil }
            switch bytes[position] {
            case 3 << 3 | 2:
                if firstName < 0 { firstName = range.offset }
                self.names = ByteRange(offset: firstName, count: range.end - firstName)
            case 1 << 3 | 2: self.versionInfo = range
            case 4 << 3 | 2: self.typeURL = range
            case 5 << 3 | 2: self.responseNonce = range
            default: return nil
            }
            position = range.end
        }
        guard !self.responseNonce.isEmpty else { return nil }
    }
}

/// `google.rpc.Status` as it stands in `error_detail`.
package struct ErrorDetail: Hashable, Sendable {
    package var code: Int32
    package var message: String

    /// The longest message that is kept, in bytes; what a proxy writes here is its own and may be long (UP-03).
    package static let messageBytesMax = 4096

    package init(code: Int32, message: String) {
        self.code = code
        self.message = message
    }

    package init(decoding range: ByteRange, in bytes: borrowing Span<UInt8>) throws(WireError) {
        self.init(code: 0, message: "")
        var reader = WireReader(range)
        while let field = try reader.next(in: bytes) {
            switch field.number {
            case 1: self.code = Int32(truncatingIfNeeded: try field.varint())
            case 2:
                let text = try field.bytes()
                self.message = bytes.string(
                    ByteRange(offset: text.offset, count: min(text.count, Self.messageBytesMax)))
            default: break
            }
        }
    }

    /// The content of the message, for an `error_detail` field.
    package var encoded: [UInt8] {
        var writer = WireWriter()
        writer.uint(1, UInt64(UInt32(bitPattern: self.code)))
        writer.string(2, self.message)
        return writer.bytes
    }
}
