import WeirBase

/// Memory that sockets are read into; one per loop is enough, since what was read is used up before the next read.
/// Confined to its loop.
@safe package final class ReadBuffer {
    private let memory: UnsafeMutableRawBufferPointer
    private let latest = Cell(0)

    /// How many bytes the latest read brought.
    package var count: Int { self.latest.value }

    /// - Parameter capacity: the most bytes one read brings.
    package init(capacity: Int) {
        precondition(capacity > 0, "a read needs room")
        unsafe self.memory = .allocate(byteCount: capacity, alignment: 16)
        unsafe self.memory.initializeMemory(as: UInt8.self, repeating: 0)
    }

    deinit { unsafe self.memory.deallocate() }

    package var capacity: Int { unsafe self.memory.count }

    /// Replaces what was in the buffer. After `.wouldBlock`, `.closed` or an error it is empty.
    package func read(from descriptor: CInt) throws(SystemError) -> ReadResult {
        self.latest.value = 0
        let result = try unsafe Socket.read(descriptor, into: self.memory)
        if case .bytes(let count) = result { self.latest.value = count }
        return result
    }

    /// What the latest read brought. `body` must not read into the same buffer.
    package func withBytes<Result, Failure: Error>(_ body: (Span<UInt8>) throws(Failure) -> Result) throws(Failure)
        -> Result
    {
        let bytes = unsafe UnsafeBufferPointer(rebasing: self.memory.assumingMemoryBound(to: UInt8.self)[..<self.count])
        return try unsafe body(bytes.span)
    }
}
