import WeirBase

/// Gathers the fields of one header block that we need; all others are only counted. Lives from the beginning of the
/// block until its event is drained.
final class HeaderCollector {
    enum Field: CaseIterable {
        case method, path, authority, status, contentType, encoding, timeout, userAgent, server, sibling
        case grpcStatus, grpcMessage

        var name: StaticString {
            switch self {
            case .method: ":method"
            case .path: ":path"
            case .authority: ":authority"
            case .status: ":status"
            case .contentType: "content-type"
            case .encoding: "grpc-encoding"
            case .timeout: "grpc-timeout"
            case .userAgent: "user-agent"
            case .server: "server"
            case .sibling: "weir-warm"
            case .grpcStatus: "grpc-status"
            case .grpcMessage: "grpc-message"
            }
        }
    }

    private let bytesMax: Int
    private(set) var bytes = 0
    private var values: [(field: Field, value: [UInt8])] = []

    init(bytesMax: Int) { self.bytesMax = bytesMax }

    var isTooLarge: Bool { self.bytes > self.bytesMax }

    /// Adds a field; beyond the bound nothing is kept any more.
    func add(name: UnsafeBufferPointer<UInt8>, value: UnsafeBufferPointer<UInt8>) {
        // As HTTP/2 counts (RFC 9113 §6.5.2). nghttp2 bounds each field, so the sum cannot overflow.
        self.bytes += name.count + value.count + 32
        guard !self.isTooLarge, let field = unsafe Self.field(named: name) else { return }
        unsafe self.values.append((field, Array(value)))
    }

    /// The first value of a field.
    func bytes(of field: Field) -> [UInt8]? { self.values.first { $0.field == field }?.value }

    func text(of field: Field) -> String {
        self.bytes(of: field).map { String(decoding: $0, as: UTF8.self) } ?? ""
    }

    func number(of field: Field) -> Int? { self.bytes(of: field).flatMap { Int(String(decoding: $0, as: UTF8.self)) } }

    /// Whether the content type is `application/grpc`, alone, with a suffix or with parameters (WIRE-02).
    var isGRPC: Bool {
        let wanted = Array("application/grpc".utf8)
        guard let type = self.bytes(of: .contentType), type.starts(with: wanted) else { return false }
        guard type.count > wanted.count else { return true }
        return [UInt8(ascii: "+"), UInt8(ascii: ";"), UInt8(ascii: " ")].contains(type[wanted.count])
    }

    private static func field(named name: UnsafeBufferPointer<UInt8>) -> Field? {
        for field in Field.allCases {
            let wanted = field.name
            guard wanted.utf8CodeUnitCount == name.count else { continue }
            let candidate = unsafe UnsafeBufferPointer(start: wanted.utf8Start, count: name.count)
            if unsafe candidate.elementsEqual(name) { return field }
        }
        return nil
    }
}
