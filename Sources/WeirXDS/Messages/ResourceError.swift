public import WeirBase

/// `envoy.service.discovery.v3.ResourceError`: why a resource that was asked for is not sent.
///
/// Source: xRFC TP3; gRFC A88.
public struct ResourceError: Hashable, Sendable {
    /// The gRPC status code.
    public let code: Int32
    /// The message as it was received, for those who asked for the name.
    public let encoded: [UInt8]

    private static let notFoundCode: Int32 = 5

    /// Whether it says the same as a removal.
    public var isNotFound: Bool { self.code == Self.notFoundCode }

    /// What the server says about it, for people.
    public var message: String {
        let bytes = self.encoded.span
        var reader = WireReader(ByteRange(offset: 0, count: bytes.count))
        while let field = try? reader.next(in: bytes) {
            guard field.number == 2, let range = try? field.bytes() else { continue }
            return (try? ErrorDetail(decoding: range, in: bytes).message) ?? ""
        }
        return ""
    }

    /// Reads the error and the name it is about.
    public static func read(
        _ range: ByteRange, in bytes: borrowing Span<UInt8>
    ) throws(WireError) -> (name: String, error: ResourceError) {
        var name = ""
        var code: Int32 = 0
        var reader = WireReader(range)
        while let field = try reader.next(in: bytes) {
            switch field.number {
            case 1: name = try Self.name(in: bytes, try field.bytes())
            case 2: code = try ErrorDetail(decoding: try field.bytes(), in: bytes).code
            default: break
            }
        }
        return (name, ResourceError(code: code, encoded: bytes.array(range)))
    }

    private static func name(in bytes: borrowing Span<UInt8>, _ range: ByteRange) throws(WireError) -> String {
        var name = ""
        var reader = WireReader(range)
        while let field = try reader.next(in: bytes) {
            if field.number == 1 { name = bytes.string(try field.bytes()) }
        }
        return name
    }
}
