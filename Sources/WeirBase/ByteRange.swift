/// Where some bytes stand inside a message: the zero-copy alternative to a copied array.
///
/// Meaningful only together with the message it was made from.
package struct ByteRange: Hashable, Sendable {
    package var offset: Int
    package var count: Int

    package init(offset: Int, count: Int) {
        self.offset = offset
        self.count = count
    }

    package static let empty = ByteRange(offset: 0, count: 0)

    package var isEmpty: Bool { self.count == 0 }
    package var end: Int { self.offset + self.count }
}

extension Span<UInt8> {
    /// The bytes of `range` as a UTF-8 string; bytes that are no UTF-8 become U+FFFD.
    package func string(_ range: ByteRange) -> String {
        unsafe self.extracting(range.offset..<range.end).withUnsafeBufferPointer { bytes in
            unsafe String(decoding: bytes, as: UTF8.self)
        }
    }

    /// A copy of the bytes of `range`.
    package func array(_ range: ByteRange) -> [UInt8] {
        unsafe self.extracting(range.offset..<range.end).withUnsafeBufferPointer { unsafe Array($0) }
    }

    /// Whether the bytes of `range` are those of `other`.
    package func equals(_ range: ByteRange, _ other: borrowing Span<UInt8>) -> Bool {
        guard range.count == other.count else { return false }
        return unsafe self.extracting(range.offset..<range.end).withUnsafeBufferPointer { mine in
            unsafe other.withUnsafeBufferPointer { theirs in unsafe mine.elementsEqual(theirs) }
        }
    }
}
