import Glibc

/// How a read ended.
package enum ReadResult: Hashable, Sendable {
    case bytes(Int)
    case wouldBlock
    /// The peer has ended its side.
    case closed
}

/// How a write ended.
package enum WriteResult: Hashable, Sendable {
    /// The kernel took this many bytes, which may be fewer than were offered.
    case bytes(Int)
    case wouldBlock
}

extension Socket {
    /// One `gatherWrite` hands at most this many segments to the kernel.
    package static let segmentsMax = 64

    /// Whether the peer has ended its side or the connection is broken, whatever there is still to be read.
    package static func hasHungUp(_ descriptor: CInt) -> Bool {
        let peerClosed: Int16 = 0x2000  // POLLRDHUP, which glibc shows to _GNU_SOURCE only
        var entry = pollfd(fd: descriptor, events: peerClosed, revents: 0)
        return unsafe poll(&entry, 1, 0) > 0 && entry.revents != 0
    }

    package static func read(_ descriptor: CInt, into buffer: UnsafeMutableRawBufferPointer) throws(SystemError)
        -> ReadResult
    {
        let (result, code) = retrying { unsafe recv(descriptor, buffer.baseAddress, buffer.count, 0) }
        if result > 0 { return .bytes(result) }
        if result == 0 { return .closed }
        if code == EAGAIN { return .wouldBlock }
        throw SystemError(code: code, operation: "recv")
    }

    package static func write(_ descriptor: CInt, _ bytes: UnsafeRawBufferPointer) throws(SystemError) -> WriteResult {
        let (result, code) = retrying {
            unsafe send(descriptor, bytes.baseAddress, bytes.count, CInt(MSG_NOSIGNAL))
        }
        return try self.written(result, code)
    }

    package static func write(_ descriptor: CInt, _ bytes: Span<UInt8>) throws(SystemError) -> WriteResult {
        let (result, code) = unsafe bytes.withUnsafeBytes { bytes in
            retrying { unsafe send(descriptor, bytes.baseAddress, bytes.count, CInt(MSG_NOSIGNAL)) }
        }
        return try self.written(result, code)
    }

    /// Writes several pieces of memory with one system call.
    ///
    /// `segment(index, use)` must call `use` exactly once, at once, with the bytes of that segment. The calls are
    /// nested, so that every pointer is still valid when the kernel reads it. Segments beyond `segmentsMax` are left
    /// for the next call.
    package static func gatherWrite(
        _ descriptor: CInt, count: Int, segment: (Int, (UnsafeRawBufferPointer) -> Void) -> Void
    ) throws(SystemError) -> WriteResult {
        let count = min(count, Self.segmentsMax)
        guard count > 0 else { return .bytes(0) }
        // A closure that captures a non-escaping one may not be passed to it; the nesting below does just that.
        let (result, code) = unsafe withoutActuallyEscaping(segment) { segment in
            unsafe withUnsafeTemporaryAllocation(of: iovec.self, capacity: count) { vectors in
                unsafe self.gather(descriptor, vectors, from: 0, segment)
            }
        }
        return try self.written(result, code)
    }

    private static func gather(
        _ descriptor: CInt, _ vectors: UnsafeMutableBufferPointer<iovec>, from index: Int,
        _ segment: @escaping (Int, (UnsafeRawBufferPointer) -> Void) -> Void
    ) -> (result: Int, code: CInt) {
        if index == vectors.count { return unsafe self.sendVectors(descriptor, vectors) }
        var outcome: (result: Int, code: CInt)?
        unsafe segment(index) { bytes in
            let base = unsafe UnsafeMutableRawPointer(mutating: bytes.baseAddress)
            unsafe vectors.initializeElement(at: index, to: iovec(iov_base: base, iov_len: bytes.count))
            outcome = unsafe self.gather(descriptor, vectors, from: index + 1, segment)
        }
        guard let outcome else { preconditionFailure("gatherWrite: segment \(index) was not given") }
        return outcome
    }

    private static func sendVectors(_ descriptor: CInt, _ vectors: UnsafeMutableBufferPointer<iovec>)
        -> (result: Int, code: CInt)
    {
        var message = unsafe msghdr()
        unsafe message.msg_iov = vectors.baseAddress
        unsafe message.msg_iovlen = vectors.count
        return retrying { unsafe sendmsg(descriptor, &message, CInt(MSG_NOSIGNAL)) }
    }

    private static func written(_ result: Int, _ code: CInt) throws(SystemError) -> WriteResult {
        if result >= 0 { return .bytes(result) }
        if code == EAGAIN { return .wouldBlock }
        throw SystemError(code: code, operation: "write")
    }
}
