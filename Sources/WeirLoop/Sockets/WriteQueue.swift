/// Bytes on their way to one socket, in order: pieces of arrays that others may share, held without copying.
///
/// Confined to its loop. Has no bound of its own: its owner looks at `byteCount` before it adds.
package struct WriteQueue {
    private struct Segment {
        let storage: [UInt8]
        var offset: Int
        let end: Int
    }

    /// How a flush ended.
    package enum FlushResult: Hashable, Sendable {
        /// Nothing is left.
        case drained
        /// The kernel takes no more for now: wait until the socket is writable.
        case blocked
        /// The budget is used up while the socket may still be writable: go on next turn.
        case yielded
    }

    private var segments: ContiguousArray<Segment> = []
    private var head = 0

    /// Bytes that the kernel has not taken yet.
    package private(set) var byteCount = 0

    package init() {}

    package var isEmpty: Bool { self.byteCount == 0 }

    /// Adds bytes `offset..<offset + count` of `storage`; shares the array.
    package mutating func append(_ storage: [UInt8], offset: Int, count: Int) {
        precondition(offset >= 0 && count >= 0 && offset <= storage.count - count, "a segment lies within its array")
        guard count > 0 else { return }
        self.segments.append(Segment(storage: storage, offset: offset, end: offset + count))
        self.byteCount += count
    }

    /// Adds all bytes of `storage`; shares the array.
    package mutating func append(_ storage: [UInt8]) { self.append(storage, offset: 0, count: storage.count) }

    /// Writes as much as the kernel takes, `Socket.segmentsMax` pieces per call.
    ///
    /// - Parameter budget: stop after at least this many bytes, so that others get their turn.
    package mutating func flush(to descriptor: CInt, budget: Int = .max) throws(SystemError) -> FlushResult {
        var written = 0
        while !self.isEmpty, written < budget {
            switch try self.writeOnce(descriptor) {
            case .bytes(let count):
                self.consume(count)
                written += count
            case .wouldBlock: return .blocked
            }
        }
        return self.isEmpty ? .drained : .yielded
    }

    /// Forgets everything.
    package mutating func removeAll() {
        self.segments.removeAll()
        self.head = 0
        self.byteCount = 0
    }

    private func writeOnce(_ descriptor: CInt) throws(SystemError) -> WriteResult {
        unsafe try Socket.gatherWrite(descriptor, count: self.segments.count - self.head) { index, use in
            let segment = self.segments[self.head + index]
            unsafe segment.storage.withUnsafeBytes { bytes in
                unsafe use(UnsafeRawBufferPointer(rebasing: bytes[segment.offset..<segment.end]))
            }
        }
    }

    private mutating func consume(_ count: Int) {
        self.byteCount -= count
        var left = count
        while left > 0 {
            let available = self.segments[self.head].end - self.segments[self.head].offset
            if left < available {
                self.segments[self.head].offset += left
                break
            }
            left -= available
            self.segments[self.head] = Segment(storage: [], offset: 0, end: 0)  // let go of the array now
            self.head += 1
        }
        if self.head == self.segments.count {
            self.segments.removeAll(keepingCapacity: self.head <= 256)
            self.head = 0
        } else if self.head >= 256 {
            self.segments.removeFirst(self.head)
            self.head = 0
        }
    }
}
