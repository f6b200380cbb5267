import CNghttp2
import WeirBase

// Called by nghttp2's callbacks.
extension Session {
    func record(_ record: SessionRecord) { self.context.records.value.append(record) }

    func headersBegun(_ id: Int32) {
        if self.streams[id] == nil {
            guard self.context.role == .server, id > self.streams.lastID else { return }
            self.streams.append(SessionStream(id: id, messageBytesMax: self.context.limits.messageBytesMax))
        }
        self.collector = HeaderCollector(bytesMax: self.context.limits.headerListBytesMax)
    }

    func headersReceived(_ id: Int32, endsStream: Bool) {
        guard let stream = self.streams[id], let collector = self.collector.take() else { return }
        self.record(.headers(stream, collector))
        if endsStream { self.streamEnded(stream) }
    }

    func dataReceived(_ id: Int32, _ data: UnsafePointer<UInt8>, _ count: Int) {
        guard let base = unsafe self.state.value.receiveBase, self.streams.contains(id) else { return }
        self.record(.data(id, offset: unsafe data - base, count: count))
    }

    func streamEnded(_ id: Int32) {
        if let stream = self.streams[id] { self.streamEnded(stream) }
    }

    private func streamEnded(_ stream: SessionStream) {
        stream.isRemotelyDone = true
        self.record(.endStream(stream.id))
    }

    func streamClosed(_ id: Int32, _ code: HTTP2ErrorCode) {
        guard let stream = self.streams[id], !stream.isClosed else { return }
        stream.isClosed = true
        stream.isLocallyDone = true
        self.record(.closed(stream, code))
    }

    /// Early trailers: the client's half is open, and only a reset closes it (WIRE-09).
    func trailersSent(_ id: Int32) {
        guard self.context.role == .server, let stream = self.streams[id], !stream.isRemotelyDone else { return }
        self.submitReset(stream, .noError)
    }

    /// nghttp2 gave a call up before it was on the wire, so it will not report its end.
    func headersNotSent(_ id: Int32) {
        guard self.context.role == .client, let stream = self.streams[id], !stream.isClosed else { return }
        guard unsafe nghttp2_session_find_stream(self.raw, id) == nil else { return }
        self.streamClosed(stream.id, .refusedStream)
    }

    func goAwaySent(_ code: HTTP2ErrorCode) {
        guard code != .noError, self.violation == nil else { return }
        self.violation = self.lastError.isEmpty ? "\(code)" : "\(code): \(self.lastError)"
    }

    func dataAsked(_ id: Int32, _ length: Int, _ flags: inout UInt32) -> Int {
        // After `abandon` nghttp2 still has streams that we have forgotten.
        guard let stream = self.streams[id] else { return Int(NGHTTP2_ERR_DEFERRED.rawValue) }
        if !stream.queue.isEmpty {
            flags |= UInt32(NGHTTP2_DATA_FLAG_NO_COPY.rawValue)
            return min(length, stream.queue.bytes)
        }
        guard stream.isFinishing else {
            stream.isDeferred = true
            return Int(NGHTTP2_ERR_DEFERRED.rawValue)
        }
        stream.isLocallyDone = true
        flags |= UInt32(NGHTTP2_DATA_FLAG_EOF.rawValue)
        if self.context.role == .server, let end = stream.end {
            flags |= UInt32(NGHTTP2_DATA_FLAG_NO_END_STREAM.rawValue)
            self.submitTrailers(stream.id, end)
        }
        return 0
    }

    func dataSending(_ id: Int32, _ header: UnsafeBufferPointer<UInt8>, _ length: Int) -> CInt {
        guard let output = unsafe self.state.value.output, let stream = self.streams[id],
            length <= stream.queue.bytes
        else { return CInt(NGHTTP2_ERR_CALLBACK_FAILURE.rawValue) }
        return unsafe output._withUnsafeGuaranteedRef { output in
            unsafe self.move(length, of: stream, behind: header, into: output)
        }
    }

    private func move(
        _ length: Int, of stream: SessionStream, behind header: UnsafeBufferPointer<UInt8>, into output: OutputQueue
    ) -> CInt {
        unsafe output.append(header)
        stream.queue.take(length, into: output)
        if stream.queue.isEmpty {
            self.state.value.waitingStreams -= 1
            self.record(.drained(stream.id))
        }
        return output.count < self.context.limits.outputBytesMax ? 0 : CInt(NGHTTP2_ERR_PAUSE.rawValue)
    }
}
