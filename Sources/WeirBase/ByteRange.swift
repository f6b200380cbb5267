/// Where some bytes stand inside a message: the zero-copy alternative to a copied array.
///
/// Meaningful only together with the message it was made from.
public struct ByteRange: Hashable, Sendable {
    /// The first byte's place.
    public var offset: Int
    /// How many bytes there are.
    public var count: Int

    /// The range of `count` bytes from `offset` on.
    @inlinable public init(offset: Int, count: Int) {
        self.offset = offset
        self.count = count
    }

    /// No bytes.
    public static let empty = ByteRange(offset: 0, count: 0)

    /// Whether there are no bytes.
    @inlinable public var isEmpty: Bool { self.count == 0 }
    /// The place after the last byte.
    @inlinable public var end: Int { self.offset + self.count }
}

extension Span<UInt8> {
    /// The bytes of `range` as a UTF-8 string; bytes that are no UTF-8 become U+FFFD.
    public func string(_ range: ByteRange) -> String {
        unsafe self.extracting(range.offset..<range.end).withUnsafeBufferPointer { bytes in
            unsafe String(decoding: bytes, as: UTF8.self)
        }
    }

    /// A copy of the bytes of `range`.
    public func array(_ range: ByteRange) -> [UInt8] {
        unsafe self.extracting(range.offset..<range.end).withUnsafeBufferPointer { unsafe Array($0) }
    }

    /// Whether the bytes of `range` are those of `other`.
    package func equals(_ range: ByteRange, _ other: borrowing Span<UInt8>) -> Bool {
        guard range.count == other.count else { return false }
        return unsafe self.extracting(range.offset..<range.end).withUnsafeBytes { mine in
            unsafe other.withUnsafeBytes { theirs in unsafe Self.areEqual(mine, theirs) }
        }
    }

    /// Whether the bytes of `range` are those of `text`.
    package func equals(_ range: ByteRange, text: String) -> Bool {
        guard range.count == text.utf8.count else { return false }
        return unsafe self.extracting(range.offset..<range.end).withUnsafeBytes { mine in
            let same = unsafe text.utf8.withContiguousStorageIfAvailable { theirs in
                unsafe Self.areEqual(mine, UnsafeRawBufferPointer(theirs))
            }
            return unsafe same ?? mine.elementsEqual(text.utf8)
        }
    }

    /// Eight bytes at a time: the type URL of every request is compared.
    private static func areEqual(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Bool {
        guard let first = a.baseAddress, let second = b.baseAddress else { return true }
        var offset = 0
        while offset &+ 8 <= a.count {
            let same =
                unsafe first.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
                == second.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
            if !same { return false }
            offset &+= 8
        }
        while offset < a.count {
            let same =
                unsafe first.load(fromByteOffset: offset, as: UInt8.self)
                == second.load(fromByteOffset: offset, as: UInt8.self)
            if !same { return false }
            offset &+= 1
        }
        return true
    }
}
