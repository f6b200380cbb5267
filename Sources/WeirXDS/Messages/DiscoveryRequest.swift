public import WeirBase

/// `envoy.service.discovery.v3.DiscoveryRequest` (SotW) as ranges into the bytes received: nothing is copied, a request
/// without names allocates nothing.
public struct DiscoveryRequest: Sendable {
    /// The version of the last response that was accepted.
    public var versionInfo = ByteRange.empty
    /// The encoded node; in the first request of a stream at least.
    public var node: ByteRange?
    /// The names subscribed to, all of them.
    public var resourceNames: [ByteRange] = []
    /// The type it is about.
    public var typeURL = ByteRange.empty
    /// The nonce of the response that is answered.
    public var responseNonce = ByteRange.empty
    /// Content of the `google.rpc.Status`; its presence alone makes the request a NACK (SOTW-14).
    public var errorDetail: ByteRange?
    /// Whether dynamic-parameter locators were used, which the relay does not support (NAME-13).
    public var hasLocators = false

    /// Reads a message; unknown fields are passed over.
    public init(decoding bytes: borrowing Span<UInt8>) throws(WireError) {
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
public struct DeltaDiscoveryRequest: Sendable {
    /// A resource that the client holds when it comes (back).
    public struct InitialVersion: Sendable {
        /// The resource's name.
        public var name: ByteRange
        /// The version that is held.
        public var version: ByteRange
    }

    /// The encoded node; in the first request of a stream at least.
    public var node: ByteRange?
    /// The type it is about.
    public var typeURL = ByteRange.empty
    /// Names that are subscribed to from now on.
    public var subscribe: [ByteRange] = []
    /// Names that are not any more.
    public var unsubscribe: [ByteRange] = []
    /// What the client holds; in the first request of a type on a stream only.
    public var initialVersions: [InitialVersion] = []
    /// The nonce of the response that is answered; empty for a request of its own accord.
    public var responseNonce = ByteRange.empty
    /// Content of the `google.rpc.Status`; its presence alone makes the request a NACK.
    public var errorDetail: ByteRange?
    /// Whether dynamic-parameter locators were used, which the relay does not support (NAME-13).
    public var hasLocators = false

    /// Reads a message; unknown fields are passed over.
    public init(decoding bytes: borrowing Span<UInt8>) throws(WireError) {
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

/// `google.rpc.Status` as it stands in `error_detail`.
public struct ErrorDetail: Hashable, Sendable {
    /// The gRPC status code.
    public var code: Int32
    /// The reason, for people.
    public var message: String

    /// The longest message that is kept, in bytes; what a proxy writes here is its own and may be long (UP-03).
    public static let messageBytesMax = 4096

    /// An error of a gRPC status code, 3 (INVALID_ARGUMENT) by habit for a NACK.
    public init(code: Int32, message: String) {
        self.code = code
        self.message = message
    }

    /// Reads the content of the message as it stands in `bytes`; a message text beyond the bound is cut.
    public init(decoding range: ByteRange, in bytes: borrowing Span<UInt8>) throws(WireError) {
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
    public var encoded: [UInt8] {
        var writer = WireWriter()
        writer.uint(1, UInt64(UInt32(bitPattern: self.code)))
        writer.string(2, self.message)
        return writer.bytes
    }
}
