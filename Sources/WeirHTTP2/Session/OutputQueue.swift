import WeirBase

/// What a session wants on the wire, in order: small bytes of its own (frame headers, HEADERS, SETTINGS, tails, small
/// messages) and slices of shared bodies, which are referenced, not copied.
///
/// One queue per loop is enough while sockets take everything; a connection whose socket is full keeps its queue.
package final class OutputQueue {
    private let pieces = Cell(OutputPieces())

    package init() {}

    /// Bytes not yet consumed.
    package var count: Int { self.pieces.value.count }
    package var isEmpty: Bool { self.pieces.value.count == 0 }

    /// Segments not yet consumed; neighbours in the scratch are one segment.
    package var segmentCount: Int { self.pieces.value.segmentCount }

    /// Hands the bytes of the segment at `index` (0 is the next to write) to `use`, for the time of the call only. `use`
    /// must not change the queue.
    package func withSegment(_ index: Int, _ use: (UnsafeRawBufferPointer) -> Void) {
        let (body, range) = self.pieces.value.segment(index)
        if let body {
            unsafe body.bytes.withUnsafeBytes { all in
                unsafe use(UnsafeRawBufferPointer(rebasing: all[range.offset..<range.end]))
            }
        } else {
            let bytes = unsafe self.pieces.value.scratch.bytes(range)
            unsafe use(bytes)
        }
    }

    /// Forgets the first `count` bytes: they were written. An emptied queue keeps its memory for the next use.
    package func consume(_ count: Int) { self.pieces.value.consume(count) }

    /// Forgets everything.
    package func clear() { self.pieces.value.clear() }

    func append(_ bytes: UnsafeBufferPointer<UInt8>) { unsafe self.pieces.value.append(bytes) }

    func append(_ tail: MessageTail, _ range: Range<Int>) { self.pieces.value.append(tail, range) }

    func append(_ body: SharedBody, _ range: ByteRange) { self.pieces.value.append(body, range) }
}

/// The content of an `OutputQueue`.
private struct OutputPieces: ~Copyable {
    private struct Segment {
        /// nil: bytes of `scratch`.
        var body: SharedBody?
        var range: ByteRange
    }

    /// To copy this much costs less than to refer to it, in the queue and in the kernel.
    private static let copiedMax = 1024

    var scratch = ScratchBytes()
    private var segments: ContiguousArray<Segment> = []
    private var head = 0
    /// Where the bytes of `scratch` begin that are in no segment yet; they are the last.
    private var openStart = 0
    private(set) var count = 0

    private var openRange: ByteRange {
        ByteRange(offset: self.openStart, count: self.scratch.count - self.openStart)
    }

    var segmentCount: Int { self.segments.count - self.head + (self.scratch.count > self.openStart ? 1 : 0) }

    func segment(_ index: Int) -> (body: SharedBody?, range: ByteRange) {
        guard self.head + index < self.segments.count else { return (nil, self.openRange) }
        let segment = self.segments[self.head + index]
        return (segment.body, segment.range)
    }

    mutating func consume(_ count: Int) {
        precondition(count <= self.count, "more bytes were written than there are")
        // The usual case: the socket took everything.
        if count == self.count { return self.clear() }
        self.closeRun()
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
        self.openStart = 0
        if !self.segments.isEmpty { self.segments.removeAll(keepingCapacity: self.segments.capacity <= 1024) }
        self.scratch.clear()
    }

    mutating func append(_ bytes: UnsafeBufferPointer<UInt8>) {
        unsafe self.scratch.append(UnsafeRawBufferPointer(bytes))
        self.count += bytes.count
    }

    mutating func append(_ tail: MessageTail, _ range: Range<Int>) {
        unsafe tail.withBytes { all in
            unsafe self.scratch.append(UnsafeRawBufferPointer(rebasing: all[range]))
        }
        self.count += range.count
    }

    mutating func append(_ body: SharedBody, _ range: ByteRange) {
        self.count += range.count
        guard range.count > Self.copiedMax else {
            return unsafe body.bytes.withUnsafeBytes { all in
                unsafe self.scratch.append(UnsafeRawBufferPointer(rebasing: all[range.offset..<range.end]))
            }
        }
        self.closeRun()
        self.segments.append(Segment(body: body, range: range))
    }

    private mutating func closeRun() {
        guard self.scratch.count > self.openStart else { return }
        self.segments.append(Segment(body: nil, range: self.openRange))
        self.openStart = self.scratch.count
    }
}

/// Bytes that grow, in memory of their own: appended to and handed to the kernel without the checks that an array in a
/// class would need.
@safe private struct ScratchBytes: ~Copyable {
    private var memory = unsafe UnsafeMutableRawBufferPointer(start: nil, count: 0)
    private(set) var count = 0

    /// Beyond this, emptied memory is given back.
    private static let keptMax = 65_536

    deinit { unsafe self.memory.deallocate() }

    /// Good until the next change.
    func bytes(_ range: ByteRange) -> UnsafeRawBufferPointer {
        precondition(range.offset >= 0 && range.count >= 0 && range.end <= self.count, "a range of the scratch")
        return unsafe UnsafeRawBufferPointer(rebasing: self.memory[range.offset..<range.end])
    }

    mutating func append(_ bytes: UnsafeRawBufferPointer) {
        guard let source = bytes.baseAddress, bytes.count > 0 else { return }
        self.reserve(bytes.count)
        if let target = unsafe self.memory.baseAddress {
            unsafe (target + self.count).copyMemory(from: source, byteCount: bytes.count)
        }
        self.count += bytes.count
    }

    mutating func clear() {
        self.count = 0
        guard unsafe self.memory.count > Self.keptMax else { return }
        unsafe self.memory.deallocate()
        unsafe self.memory = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    }

    private mutating func reserve(_ more: Int) {
        guard unsafe self.memory.count < self.count + more else { return }
        let larger = unsafe UnsafeMutableRawBufferPointer.allocate(
            byteCount: max(4096, 2 * self.memory.count, self.count + more), alignment: 16)
        unsafe larger.copyMemory(from: UnsafeRawBufferPointer(rebasing: self.memory[..<self.count]))
        unsafe self.memory.deallocate()
        unsafe self.memory = larger
    }
}
