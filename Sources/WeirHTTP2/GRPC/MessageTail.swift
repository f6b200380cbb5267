package import WeirBase

/// The few private bytes that one stream sends after a shared body, as the end of the same gRPC message: in weir the
/// nonce field. Held inline, so that a push to a stream allocates nothing.
package struct MessageTail: Sendable {
    /// The most bytes a tail can hold.
    package static let countMax = 24

    package private(set) var count: Int = 0
    private var storage: [24 of UInt8] = [24 of UInt8](repeating: 0)

    package init() {}

    /// The bytes in order. It is our own bug to pass more than `countMax`.
    package init(_ bytes: some Sequence<UInt8>) {
        for byte in bytes { self.append(byte) }
    }

    /// The same without the cost of a generic sequence.
    package init(_ bytes: borrowing Span<UInt8>) {
        for index in bytes.indices { self.append(bytes[index]) }
    }

    package mutating func append(_ byte: UInt8) {
        precondition(self.count < Self.countMax, "a message tail holds at most 24 bytes")
        self.storage[self.count] = byte
        self.count += 1
    }

    /// The bytes, for the time of the call.
    func withBytes(_ use: (UnsafeRawBufferPointer) -> Void) {
        unsafe withUnsafeBytes(of: self.storage) { all in
            unsafe use(UnsafeRawBufferPointer(rebasing: all[..<self.count]))
        }
    }

    package subscript(index: Int) -> UInt8 {
        precondition(index < self.count, "index outside the tail")
        return self.storage[index]
    }
}

/// gRPC's length-prefixed message: one flag byte, four bytes of length, the message.
package enum GRPCFrame {
    package static let prefixCount = 5

    /// Writes the prefix of an uncompressed message of `count` bytes (at most 2³² - 1).
    package static func appendPrefix(count: Int, to bytes: inout [UInt8]) {
        let length = UInt32(clamping: count)
        bytes.append(0)
        for shift in [24, 16, 8, 0] { bytes.append(UInt8(truncatingIfNeeded: length >> UInt32(shift))) }
    }

    /// A body that is one whole message, with room in its length for a tail of `tailCount` bytes.
    package static func body(_ message: [UInt8], tailCount: Int = 0) -> SharedBody {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Self.prefixCount + message.count)
        Self.appendPrefix(count: message.count + tailCount, to: &bytes)
        bytes.append(contentsOf: message)
        return SharedBody(bytes)
    }
}
