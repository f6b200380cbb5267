import CNghttp2
package import WeirBase

extension Session {
    /// Queues one gRPC message: the shared bytes, which begin with the five-byte prefix, then the private tail, which
    /// the prefix's length includes. Costs one retain.
    ///
    /// On a server the response headers go first, if `respond` was not called.
    package func send(
        _ id: Int32, _ body: SharedBody, _ tail: MessageTail = MessageTail()
    ) throws(StreamRefusal) {
        guard let stream = self.streams[id], !stream.isFinishing, !stream.isLocallyDone else { throw .closed }
        guard stream.queue.count < self.context.limits.queuedMessagesMax else { throw .queueFull }
        precondition(body.count + tail.count >= GRPCFrame.prefixCount, "a gRPC message begins with its prefix")
        if self.context.role == .server, !stream.isResponded { self.respond(stream) }
        if stream.queue.isEmpty { self.state.value.waitingStreams += 1 }
        stream.queue.append(body, tail)
        self.noteMessageQueued()
        self.wake(stream)
    }

    /// Ends a stream at once, without status. The delegate is told when the reset is handed to the output.
    package func reset(_ id: Int32, _ code: HTTP2ErrorCode) {
        guard let stream = self.streams[id], !stream.isClosed, !stream.isReset else { return }
        self.stopReceiving(stream)
        stream.isLocallyDone = true
        if stream.end?.cause != .violated {
            stream.end = StreamEnd(.resetLocally, .cancelled, "reset with \(code)")
        }
        self.submitReset(stream, code)
    }

    /// A keepalive probe; the answer is `pingAcknowledged` with the same number.
    package func ping(_ data: UInt64) {
        var bytes = (0..<8).map { UInt8(truncatingIfNeeded: data >> UInt64(56 - 8 * $0)) }
        unsafe nghttp2_submit_ping(self.raw, UInt8(NGHTTP2_FLAG_NONE.rawValue), &bytes)
    }

    /// GOAWAY with the highest stream id: asks the client to go elsewhere, and still takes what is under way
    /// (WIRE-12). To be followed by `goAway` after a round trip.
    package func shutdownNotice() { unsafe _ = nghttp2_submit_shutdown_notice(self.raw) }

    /// The final GOAWAY: no new streams; those there are go on. The session is finished when they are.
    package func goAway(_ code: HTTP2ErrorCode = .noError, _ debug: String = "") {
        let bytes = Array(debug.utf8.prefix(200))
        let last = unsafe nghttp2_session_get_last_proc_stream_id(self.raw)
        unsafe nghttp2_submit_goaway(
            self.raw, UInt8(NGHTTP2_FLAG_NONE.rawValue), last, code.rawValue, bytes, bytes.count)
    }

    /// GOAWAY, and nothing more: the session is finished when it is written. Streams are to be ended by `abandon`.
    package func terminate(_ code: HTTP2ErrorCode) {
        unsafe _ = nghttp2_session_terminate_session(self.raw, code.rawValue)
    }

    // MARK: Shared pieces

    func wake(_ stream: SessionStream) {
        guard stream.isDeferred else { return }
        stream.isDeferred = false
        unsafe nghttp2_session_resume_data(self.raw, stream.id)
    }

    /// Once per stream: nghttp2 answers the first reset of a call that is not on the wire yet by dropping the call, and
    /// would send a second one for a stream that the server has never seen, which ends the connection.
    func submitReset(_ stream: SessionStream, _ code: HTTP2ErrorCode) {
        guard !stream.isReset else { return }
        stream.isReset = true
        unsafe nghttp2_submit_rst_stream(self.raw, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream.id, code.rawValue)
    }

    /// The data provider of every stream; the callback finds the stream by its id.
    static var provider: nghttp2_data_provider {
        unsafe nghttp2_data_provider(source: nghttp2_data_source(), read_callback: sessionDataAsked)
    }
}
