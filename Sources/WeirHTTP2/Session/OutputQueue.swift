import WeirBase

/// What a session wants on the wire, in order: small bytes of its own (frame headers, HEADERS, SETTINGS, tails) and
/// slices of shared bodies, which are referenced, not copied.
///
/// One queue per loop is enough while sockets take everything; a connection whose socket is full keeps its queue.
package final class OutputQueue {
    // One value, so that a call accesses the object once.
    private var pieces = OutputPieces()

    package init() {}

    /// Bytes not yet consumed.
    package var count: Int { self.pieces.count }
    package var isEmpty: Bool { self.pieces.count == 0 }

    /// Segments not yet consumed; neighbours in the scratch are one segment.
    package var segmentCount: Int { self.pieces.segmentCount }

    /// Hands the bytes of the segment at `index` (0 is the next to write) to `use`, for the time of the call only. `use`
    /// must not change the queue.
    package func withSegment(_ index: Int, _ use: (UnsafeRawBufferPointer) -> Void) {
        let (bytes, range) = self.pieces.segment(index)
        unsafe bytes.withUnsafeBytes { all in
            let part = unsafe UnsafeRawBufferPointer(rebasing: all[range.offset..<range.end])
            unsafe use(part)
        }
    }

    /// Forgets the first `count` bytes: they were written. An emptied queue keeps its memory for the next use.
    package func consume(_ count: Int) { self.pieces.consume(count) }

    /// Forgets everything.
    package func clear() { self.pieces.clear() }

    func append(_ bytes: UnsafeBufferPointer<UInt8>) { unsafe self.pieces.append(bytes) }

    func append(_ tail: MessageTail, _ range: Range<Int>) { self.pieces.append(tail, range) }

    func append(_ body: SharedBody, _ range: ByteRange) { self.pieces.append(body, range) }
}

/// The content of an `OutputQueue`.
private struct OutputPieces {
    private struct Segment {
        /// nil: bytes of `scratch`.
        var body: SharedBody?
        var range: ByteRange
    }

    private var scratch: [UInt8] = []
    private var segments: ContiguousArray<Segment> = []
    private var head = 0
    private(set) var count = 0

    var segmentCount: Int { self.segments.count - self.head }

    func segment(_ index: Int) -> (bytes: [UInt8], range: ByteRange) {
        let segment = self.segments[self.head + index]
        return (segment.body?.bytes ?? self.scratch, segment.range)
    }

    mutating func consume(_ count: Int) {
        precondition(count <= self.count, "more bytes were written than there are")
        // The usual case: the socket took everything.
        if count == self.count { return self.clear() }
        self.count -= count
        var left = count
        while left > 0 {
            let step = min(left, self.segments[self.head].range.count)
            self.segments[self.head].range.offset += step
            self.segments[self.head].range.count -= step
            left -= step
            if self.segments[self.head].range.isEmpty {
                self.segments[self.head].body = nil
                self.head += 1
            }
        }
    }

    mutating func clear() {
        self.count = 0
        self.head = 0
        if !self.segments.isEmpty { self.segments.removeAll(keepingCapacity: self.segments.capacity <= 1024) }
        if !self.scratch.isEmpty { self.scratch.removeAll(keepingCapacity: self.scratch.capacity <= 65_536) }
    }

    mutating func append(_ bytes: UnsafeBufferPointer<UInt8>) {
        let offset = self.scratch.count
        unsafe self.scratch.append(contentsOf: bytes)
        self.extendScratch(from: offset)
    }

    mutating func append(_ tail: MessageTail, _ range: Range<Int>) {
        let offset = self.scratch.count
        for index in range { self.scratch.append(tail[index]) }
        self.extendScratch(from: offset)
    }

    mutating func append(_ body: SharedBody, _ range: ByteRange) {
        self.segments.append(Segment(body: body, range: range))
        self.count += range.count
    }

    private mutating func extendScratch(from offset: Int) {
        let added = self.scratch.count - offset
        guard added > 0 else { return }
        self.count += added
        let last = self.segments.count - 1
        if last >= self.head, self.segments[last].body == nil, self.segments[last].range.end == offset {
            self.segments[last].range.count += added
        } else {
            self.segments.append(Segment(body: nil, range: ByteRange(offset: offset, count: added)))
        }
    }
}
