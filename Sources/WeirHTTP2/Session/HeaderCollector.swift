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
    /// The values, one behind the other.
    private var content: [UInt8] = []
    private var values: [(field: Field, end: Int)] = []

    init(bytesMax: Int) {
        self.bytesMax = bytesMax
        self.content.reserveCapacity(Self.usualBytes)
        self.values.reserveCapacity(Self.usualFields)
    }

    /// Of what is kept of a request; more takes more memory.
    private static let usualBytes = 192
    private static let usualFields = 8

    var isTooLarge: Bool { self.bytes > self.bytesMax }

    /// Adds a field; beyond the bound nothing is kept any more.
    func add(name: UnsafeBufferPointer<UInt8>, value: UnsafeBufferPointer<UInt8>) {
        // As HTTP/2 counts (RFC 9113 §6.5.2). nghttp2 bounds each field, so the sum cannot overflow.
        self.bytes += name.count + value.count + 32
        guard !self.isTooLarge, let field = unsafe Self.field(named: name) else { return }
        unsafe self.content.append(contentsOf: value)
        self.values.append((field, self.content.count))
    }

    /// The first value of a field.
    func bytes(of field: Field) -> [UInt8]? { self.value(of: field).map { Array($0) } }

    func text(of field: Field) -> String {
        self.value(of: field).map { String(decoding: $0, as: UTF8.self) } ?? ""
    }

    func number(of field: Field) -> Int? { self.value(of: field).flatMap { Int(String(decoding: $0, as: UTF8.self)) } }

    /// Whether the first value of a field is this.
    func has(_ field: Field, _ text: StaticString) -> Bool {
        guard let value = self.value(of: field), value.count == text.utf8CodeUnitCount else { return false }
        let wanted = unsafe UnsafeBufferPointer(start: text.utf8Start, count: value.count)
        return unsafe value.elementsEqual(wanted)
    }

    private func value(of field: Field) -> ArraySlice<UInt8>? {
        guard let index = self.values.firstIndex(where: { $0.field == field }) else { return nil }
        return self.content[(index == 0 ? 0 : self.values[index - 1].end)..<self.values[index].end]
    }

    /// Whether the content type is `application/grpc`, alone, with a suffix or with parameters (WIRE-02).
    var isGRPC: Bool {
        if self.has(.contentType, "application/grpc") { return true }
        let wanted = Array("application/grpc".utf8)
        guard let type = self.bytes(of: .contentType), type.starts(with: wanted), type.count > wanted.count else {
            return false
        }
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
