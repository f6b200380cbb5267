package import WeirBase
import WeirGzip

/// What `grpc-encoding` announced for the messages of one direction.
package enum MessageEncoding: UInt8, Sendable {
    /// No header, or `identity`: a compressed flag is an error.
    case identity
    case gzip

    /// nil: not supported (gRPC answers UNIMPLEMENTED and lists what is).
    package init?(header: String) {
        switch header {
        case "", "identity": self = .identity
        case "gzip": self = .gzip
        default: return nil
        }
    }

    /// The value of `grpc-accept-encoding`.
    package static let accepted = "identity,gzip"
}

/// Cuts a byte stream into gRPC messages, whatever its cuts into DATA frames are.
///
/// A message that lies whole in the bytes at hand is given as a range of them, without copying or allocating; only
/// what is split is gathered, in memory that grows with what really came and not with what the prefix announced.
/// The message size is checked on the prefix. Source: gRPC `PROTOCOL-HTTP2.md`, "Length-Prefixed-Message".
package struct MessageDeframer: Sendable {
    package enum Found {
        /// All bytes are taken; the next message is not complete.
        case nothing
        /// A message that lies in the given bytes.
        case inPlace(ByteRange)
        /// A message that had to be gathered or inflated.
        case gathered([UInt8])
    }

    package var encoding: MessageEncoding = .identity
    private let messageBytesMax: UInt32
    private var prefix: [5 of UInt8] = [5 of UInt8](repeating: 0)
    private var prefixCount: UInt8 = 0
    private var partial: [UInt8] = []

    /// A message above `messageBytesMax` bytes, before or after inflating, is RESOURCE_EXHAUSTED.
    package init(messageBytesMax: Int) { self.messageBytesMax = UInt32(clamping: messageBytesMax) }

    /// Bytes held of a message that is not complete yet.
    package var partialCount: Int { Int(self.prefixCount) + self.partial.count }

    /// Reads on from `position`, which moves; to be called again until it finds nothing.
    package mutating func next(
        in bytes: borrowing Span<UInt8>, from position: inout Int
    ) throws(GRPCFailure) -> Found {
        while self.prefixCount < 5 {
            guard position < bytes.count else { return .nothing }
            self.prefix[Int(self.prefixCount)] = bytes[position]
            self.prefixCount += 1
            position += 1
        }
        let length = try self.checkedLength()
        let missing = length - self.partial.count
        let available = min(missing, bytes.count - position)
        let range = ByteRange(offset: position, count: available)
        position += available
        if available == missing, self.partial.isEmpty { return try self.complete(in: bytes, range) }
        self.partial.append(contentsOf: bytes, range)
        guard available == missing else { return .nothing }
        return try self.completeGathered()
    }

    private func checkedLength() throws(GRPCFailure) -> Int {
        if self.prefix[0] > 1 { throw GRPCFailure(.internal, "invalid compressed flag \(self.prefix[0])") }
        if self.prefix[0] == 1, self.encoding == .identity {
            throw GRPCFailure(.internal, "a message is flagged as compressed, but there is no grpc-encoding")
        }
        var length: UInt32 = 0
        for index in 1..<5 { length = length << 8 | UInt32(self.prefix[index]) }
        if length > self.messageBytesMax { throw self.tooLarge("\(length) bytes") }
        return Int(length)
    }

    private func tooLarge(_ size: String) -> GRPCFailure {
        GRPCFailure(.resourceExhausted, "message of \(size) is over the limit of \(self.messageBytesMax) bytes")
    }

    private mutating func complete(
        in bytes: borrowing Span<UInt8>, _ range: ByteRange
    ) throws(GRPCFailure) -> Found {
        self.prefixCount = 0
        guard self.prefix[0] == 1 else { return .inPlace(range) }
        return .gathered(try self.inflated(bytes.extracting(range.offset..<range.end)))
    }

    private mutating func completeGathered() throws(GRPCFailure) -> Found {
        self.prefixCount = 0
        var message: [UInt8] = []
        swap(&message, &self.partial)
        guard self.prefix[0] == 1 else { return .gathered(message) }
        return .gathered(try self.inflated(message.span))
    }

    private func inflated(_ message: borrowing Span<UInt8>) throws(GRPCFailure) -> [UInt8] {
        do throws(GunzipError) {
            return try gunzip(message, bytesMax: Int(self.messageBytesMax))
        } catch {
            switch error {
            case .tooLarge: throw self.tooLarge("more bytes when inflated")
            case .malformed: throw GRPCFailure(.internal, "a compressed message is not valid gzip")
            case .outOfMemory: throw GRPCFailure(.resourceExhausted, "no memory to inflate a message")
            }
        }
    }
}

extension Array<UInt8> {
    fileprivate mutating func append(contentsOf bytes: borrowing Span<UInt8>, _ range: ByteRange) {
        unsafe bytes.extracting(range.offset..<range.end).withUnsafeBufferPointer { part in
            unsafe self.append(contentsOf: part)
        }
    }
}
