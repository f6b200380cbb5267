package import WeirBase

/// Names one response of one type on one stream. On the wire: `w` and seven hexadecimal digits, always the same width,
/// so that the length in front of a shared body is the same for every stream.
///
/// Unique per stream and type, meaningless anywhere else (SOTW-11, AGG-14).
package struct Nonce: Hashable, Sendable, BitwiseCopyable {
    package var rawValue: UInt32

    package init(rawValue: UInt32) { self.rawValue = rawValue & Self.mask }

    private static let mask: UInt32 = 0x0FFF_FFFF

    /// No response has this nonce.
    package static let none = Nonce(rawValue: 0)

    package var next: Nonce {
        let next = Nonce(rawValue: self.rawValue &+ 1)
        return next == .none ? Nonce(rawValue: 1) : next
    }

    /// How many responses ago `other` was sent, seen from this one.
    package func distance(to other: Nonce) -> UInt32 { (self.rawValue &- other.rawValue) & Self.mask }

    /// The nonce in the bytes of a request; nil if it is none of weir's.
    package init?(_ range: ByteRange, in bytes: borrowing Span<UInt8>) {
        guard range.count == 8, bytes[range.offset] == UInt8(ascii: "w") else { return nil }
        var value: UInt32 = 0
        for i in 1..<8 {
            guard let digit = Self.digit(bytes[range.offset + i]) else { return nil }
            value = value << 4 | digit
        }
        self.init(rawValue: value)
    }

    private static func digit(_ byte: UInt8) -> UInt32? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(byte - UInt8(ascii: "0"))
        case UInt8(ascii: "a")...UInt8(ascii: "f"): UInt32(byte - UInt8(ascii: "a")) + 10
        default: nil
        }
    }

    /// How many bytes the nonce takes as a field of a response (field 5 in both variants).
    package static let fieldCount = 10

    /// The eight bytes on the wire.
    package var wire: [8 of UInt8] {
        var result: [8 of UInt8] = .init(repeating: UInt8(ascii: "w"))
        for i in 1..<8 {
            let digit = UInt8(self.rawValue >> UInt32(4 * (7 - i)) & 0xF)
            result[i] = digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10
        }
        return result
    }

    /// The nonce as the field of a response: the private tail of a shared body.
    package var field: [10 of UInt8] {
        let wire = self.wire
        var result: [10 of UInt8] = .init(repeating: 0)
        result[0] = 5 << 3 | 2
        result[1] = 8
        for i in 0..<8 { result[i + 2] = wire[i] }
        return result
    }

    package var text: String {
        let wire = self.wire
        return String(decoding: (0..<8).map { wire[$0] }, as: UTF8.self)
    }
}
