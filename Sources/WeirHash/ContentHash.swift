import CXXHash

/// A 128-bit digest of some bytes (XXH3): equal on every machine and in every release, so that two relays with the same
/// content make the same versions. Not a defence against someone who wants collisions.
package struct ContentHash: Hashable, Sendable {
    package var high: UInt64
    package var low: UInt64

    package init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    package static let zero = ContentHash(high: 0, low: 0)

    package init(of bytes: borrowing Span<UInt8>) {
        let digest = unsafe bytes.withUnsafeBufferPointer { unsafe XXH3_128bits($0.baseAddress, $0.count) }
        self.init(high: digest.high64, low: digest.low64)
    }

    package init(of bytes: [UInt8]) { self.init(of: bytes.span) }

    package init(of text: String) {
        var text = text
        self = text.withUTF8 { utf8 in
            let digest = unsafe XXH3_128bits(utf8.baseAddress, utf8.count)
            return ContentHash(high: digest.high64, low: digest.low64)
        }
    }

    /// The digest of a set of things, from theirs: independent of the order in which they are added.
    package mutating func add(_ other: ContentHash) {
        self.low &+= other.low
        self.high &+= other.high
    }

    /// Takes one thing out of a set again.
    package mutating func subtract(_ other: ContentHash) {
        self.low &-= other.low
        self.high &-= other.high
    }

    /// A digest of this one followed by `other`; the order matters.
    package func followed(by other: ContentHash) -> ContentHash {
        var bytes: [UInt8] = []
        for word in [self.high, self.low, other.high, other.low] {
            for shift in stride(from: 0, to: 64, by: 8) {
                bytes.append(UInt8(truncatingIfNeeded: word >> UInt64(shift)))
            }
        }
        return ContentHash(of: bytes)
    }

    /// Sixteen hexadecimal digits: short enough for people, long enough that different contents differ.
    package var shortHex: String { Self.hex(self.high ^ self.low) }

    private static func hex(_ value: UInt64) -> String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
