import CNghttp2
import WeirBase

extension Session {
    /// Takes bytes from the wire, and delivers all events they cause before returning. The bytes are not kept.
    ///
    /// - Throws: the connection is beyond repair. Its streams must be ended with `abandon`, and nothing more can
    ///   be written. A protocol error that HTTP/2 can answer does not throw: the session
    ///   queues its GOAWAY and becomes `isFinished` once that is written (see `violation`).
    package func receive(_ bytes: Span<UInt8>) throws(HTTP2Error) {
        guard bytes.count > 0, !self.isBroken else { return }
        let start = self.beginActivity()
        let code = unsafe bytes.withUnsafeBufferPointer { buffer in
            unsafe self.state.value.receiveBase = buffer.baseAddress
            let code = unsafe nghttp2_session_mem_recv(self.raw, buffer.baseAddress, buffer.count)
            unsafe self.state.value.receiveBase = nil
            return code
        }
        self.state.value.isUneventful = code == bytes.count && self.isOneMessage(from: start, bytes)
        self.endActivity(from: start, bytes)
        if code < 0 { throw self.fatal(code) }
    }

    /// Windows are given back by the half, so to look each time a quarter of one has come is soon enough. Until the peer has
    /// taken our SETTINGS they are what HTTP/2 begins with (RFC 9113 §6.9.2).
    private var askingInterval: Int {
        min(65_535, self.context.limits.streamWindowBytes, self.context.limits.connectionWindowBytes) / 4
    }

    /// Whether what was recorded is the DATA of one frame, unpadded and without END_STREAM, and `bytes` that frame.
    private func isOneMessage(from start: Int, _ bytes: Span<UInt8>) -> Bool {
        self.state.value.unaskedBytes += bytes.count
        guard self.state.value.unaskedBytes < self.askingInterval, self.context.records.value.count == start + 1,
            case .data(_, 9, bytes.count - 9) = self.context.records.value[start],
            bytes[3] == UInt8(NGHTTP2_DATA.rawValue), bytes[4] == 0
        else {
            self.state.value.unaskedBytes = 0
            return false
        }
        return true
    }

    /// Moves frames into `output` until it holds `SessionLimits.outputBytesMax` or there are none, and delivers the
    /// events that this causes (`drained`, `closed`).
    package func pull(into output: OutputQueue) throws(HTTP2Error) {
        guard !self.isBroken else { return }
        let start = self.beginActivity()
        unsafe self.state.value.output = .passUnretained(output)
        var code = 0
        while output.count < self.context.limits.outputBytesMax {
            var bytes: UnsafePointer<UInt8>?
            code = unsafe nghttp2_session_mem_send(self.raw, &bytes)
            if code <= 0 { break }
            unsafe output.append(UnsafeBufferPointer(start: bytes, count: code))
        }
        unsafe self.state.value.output = nil
        self.endActivity(from: start, Span())
        if code < 0 { throw self.fatal(code) }
    }

    /// Stops delivering the messages of a stream; what the peer may still send is bounded by its window. `halfClosed`
    /// waits too, the stream's end does not.
    package func pause(_ stream: Int32) { self.streams[stream]?.isPaused = true }

    /// Delivers what came meanwhile, and goes on.
    package func resume(_ id: Int32) {
        guard let stream = self.streams[id], stream.isPaused else { return }
        stream.isPaused = false
        var held: [UInt8] = []
        swap(&held, &stream.held)
        self.deliver(stream, held.span)
        if stream.isRemoteEndHeld, !stream.isPaused { self.deliverEnd(stream) }
    }
}
