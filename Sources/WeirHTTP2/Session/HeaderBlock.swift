import CNghttp2

/// A header block to send: all bytes in one array, which nghttp2 copies.
struct HeaderBlock {
    private var bytes: [UInt8] = []
    private var fields: [(name: Range<Int>, value: Range<Int>)] = []

    mutating func add(_ name: String, _ value: String) { self.add(name, bytes: Array(value.utf8)) }

    mutating func add(_ name: String, bytes value: [UInt8]) {
        let start = self.bytes.count
        self.bytes.append(contentsOf: name.utf8)
        let middle = self.bytes.count
        self.bytes.append(contentsOf: value)
        self.fields.append((start..<middle, middle..<self.bytes.count))
    }

    /// Calls `use` with nghttp2's view of the block; the pointers end with the call.
    @discardableResult
    mutating func withFields<Result>(_ use: (UnsafePointer<nghttp2_nv>?, Int) -> Result) -> Result {
        let fields = self.fields
        return unsafe self.bytes.withUnsafeMutableBufferPointer { bytes in
            let list = unsafe fields.map { field in
                unsafe nghttp2_nv(
                    name: bytes.baseAddress?.advanced(by: field.name.lowerBound),
                    value: bytes.baseAddress?.advanced(by: field.value.lowerBound), namelen: field.name.count,
                    valuelen: field.value.count, flags: UInt8(NGHTTP2_NV_FLAG_NONE.rawValue))
            }
            return unsafe list.withUnsafeBufferPointer { unsafe use($0.baseAddress, $0.count) }
        }
    }

    static let responseHeaders: HeaderBlock = {
        var block = HeaderBlock()
        block.add(":status", "200")
        block.add("content-type", "application/grpc")
        return block
    }()

    /// Trailers; an empty message is left out.
    mutating func addStatus(_ status: GRPCStatus, _ message: String) {
        self.add("grpc-status", String(status.rawValue))
        if !message.isEmpty { self.add("grpc-message", bytes: StatusMessageEncoding.encode(message)) }
    }
}
