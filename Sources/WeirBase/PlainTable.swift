/// A growing table of plain values (no references) for the loops that run per stream.
///
/// Elements never move and live as long as the table, so that a pointer to one is good for the time of any access, and
/// accesses need no check for exclusiveness (see `Cell`): two at once could at worst mix up the words of one element,
/// never memory. Indices are checked always. Confined to one thread, as its owner.
@safe public final class PlainTable<Element: BitwiseCopyable>: RandomAccessCollection {
    @unsafe @usableFromInline struct Header {
        @usableFromInline var chunks: UnsafeMutablePointer<UnsafeMutablePointer<Element>>
        /// How many chunks there is room for, and how many there are.
        @usableFromInline var chunksMax: Int
        @usableFromInline var chunkCount: Int
        @usableFromInline var count: Int

        @inlinable init(chunks: UnsafeMutablePointer<UnsafeMutablePointer<Element>>, chunksMax: Int) {
            unsafe self.chunks = unsafe chunks
            unsafe self.chunksMax = chunksMax
            unsafe self.chunkCount = 0
            unsafe self.count = 0
        }
    }

    @usableFromInline static var chunkBits: Int { 8 }
    @usableFromInline let header: UnsafeMutablePointer<Header>

    public init() {
        unsafe self.header = .allocate(capacity: 1)
        unsafe self.header.initialize(to: Header(chunks: .allocate(capacity: 4), chunksMax: 4))
    }

    deinit {
        for chunk in unsafe 0..<self.header.pointee.chunkCount { unsafe self.header.pointee.chunks[chunk].deallocate() }
        unsafe self.header.pointee.chunks.deallocate()
        unsafe self.header.deallocate()
    }

    @inlinable public var startIndex: Int { 0 }
    @inlinable public var endIndex: Int { unsafe self.header.pointee.count }
    @inlinable public var count: Int { unsafe self.header.pointee.count }

    @inlinable public subscript(index: Int) -> Element {
        _read { yield unsafe self.address(index).pointee }
        _modify { yield unsafe &self.address(index).pointee }
    }

    @inlinable func address(_ index: Int) -> UnsafeMutablePointer<Element> {
        unsafe precondition(index >= 0 && index < self.header.pointee.count, "an index of the table")
        return unsafe self.header.pointee.chunks[index >> Self.chunkBits] + (index & (1 << Self.chunkBits - 1))
    }

    public func append(_ element: Element) {
        let index = unsafe self.header.pointee.count
        if unsafe self.header.pointee.chunkCount == index >> Self.chunkBits { self.grow() }
        unsafe self.header.pointee.count += 1
        unsafe self.address(index).initialize(to: element)
    }

    private func grow() {
        let used = unsafe self.header.pointee.chunkCount
        if unsafe self.header.pointee.chunksMax == used {
            let old = unsafe self.header.pointee.chunks
            unsafe self.header.pointee.chunks = .allocate(capacity: 2 * used)
            unsafe self.header.pointee.chunks.initialize(from: old, count: used)
            unsafe self.header.pointee.chunksMax = 2 * used
            unsafe old.deallocate()
        }
        let chunk = UnsafeMutablePointer<Element>.allocate(capacity: 1 << Self.chunkBits)
        unsafe (self.header.pointee.chunks + used).initialize(to: chunk)
        unsafe self.header.pointee.chunkCount += 1
    }
}
