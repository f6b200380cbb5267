import CNghttp2
import WeirBase

// What the recorded events mean. nghttp2 is not on the stack here.
extension Session {
    func decide(_ record: SessionRecord, _ received: borrowing Span<UInt8>) {
        switch record {
        case .headers(let stream, let fields):
            switch self.context.role {
            case .server: self.decideRequest(stream, fields)
            case .client: self.decideResponse(stream, fields)
            }
        case .data(let id, let offset, let count):
            // Also for streams that are gone: the connection's window must be given back.
            guard let stream = self.streams[id] else { return self.consume(id, count) }
            self.deliver(stream, received.extracting(offset..<(offset + count)))
        case .endStream(let id): if let stream = self.streams[id] { self.deliverEnd(stream) }
        case .closed(let stream, let code): self.decideClosed(stream, code)
        case .drained(let id):
            guard let stream = self.streams[id], stream.isKnown, !stream.isClosed, stream.queue.isEmpty else { return }
            self.delegate.session(self, drained: id)
        case .settings:
            self.isEstablished = true
            self.delegate.sessionSettingsReceived(self)
        case .goAway(let goAway):
            self.isDraining = true
            self.delegate.session(self, received: goAway)
        case .pingAcknowledged(let data): self.delegate.session(self, pingAcknowledged: data)
        }
    }

    // MARK: Messages

    /// Cuts `bytes` into messages. What a pause leaves over is held, and not consumed.
    func deliver(_ stream: SessionStream, _ bytes: borrowing Span<UInt8>) {
        var position = 0
        // The last message usually ends with the bytes.
        while position < bytes.count, stream.isReceiving, !stream.isPaused,
            self.deliverNext(stream, bytes, &position)
        {}
        if stream.isReceiving, stream.isPaused, position < bytes.count {
            let rest = bytes.array(ByteRange(offset: position, count: bytes.count - position))
            if stream.held.isEmpty { stream.held = rest } else { stream.held.append(contentsOf: rest) }
            self.consume(stream, position)
        } else {
            self.consume(stream, bytes.count)
        }
    }

    /// - Returns: whether there may be more in `bytes`.
    private func deliverNext(
        _ stream: SessionStream, _ bytes: borrowing Span<UInt8>, _ position: inout Int
    ) -> Bool {
        let partialBefore = stream.deframer.partialCount
        do throws(GRPCFailure) {
            let found = try stream.deframer.next(in: bytes, from: &position)
            self.partialBytes += stream.deframer.partialCount - partialBefore
            switch found {
            case .nothing:
                self.checkPartialBytes(stream)
                return false
            case .inPlace(let range):
                self.delegate.session(self, message: stream.id, bytes.extracting(range.offset..<range.end))
            case .gathered(let message): self.delegate.session(self, message: stream.id, message.span)
            }
            return true
        } catch {
            self.partialBytes += stream.deframer.partialCount - partialBefore
            self.fail(stream, error)
            return false
        }
    }

    private func checkPartialBytes(_ stream: SessionStream) {
        let bytesMax = self.context.limits.partialBytesMax
        guard self.partialBytes > bytesMax else { return }
        let text = "the incomplete messages of this connection are over the limit of \(bytesMax) bytes"
        self.fail(stream, GRPCFailure(.resourceExhausted, text))
    }

    private func consume(_ stream: SessionStream, _ count: Int) { self.consume(stream.id, count) }

    private func consume(_ id: Int32, _ count: Int) {
        guard count > 0 else { return }
        unsafe nghttp2_session_consume(self.raw, id, count)
    }

    func deliverEnd(_ stream: SessionStream) {
        guard stream.isKnown else { return }
        if stream.isPaused, stream.isReceiving {
            stream.isRemoteEndHeld = true
            return
        }
        switch self.context.role {
        case .server: self.deliverHalfClosed(stream)
        case .client: self.deliverResponseEnd(stream)
        }
    }

    // MARK: Ends

    private func decideClosed(_ stream: SessionStream, _ code: HTTP2ErrorCode) {
        // A response that came to its end while it was paused is still to be delivered.
        if stream.isRemoteEndHeld, self.context.role == .client, code == .noError { return }
        if let end = stream.end, code == .noError || end.cause != .finished {
            self.close(stream, end)
        } else {
            let status = GRPCStatus(resetCode: code)
            self.close(stream, StreamEnd(.resetByPeer, status, "the stream was reset with \(code)"))
        }
    }

    /// Tells the delegate, once, and forgets the stream when nghttp2 has.
    func close(_ stream: SessionStream, _ end: StreamEnd) {
        self.stopReceiving(stream)
        let wasKnown = stream.isKnown
        stream.isKnown = false
        // The delegate may still ask for the stream's user data.
        if wasKnown { self.delegate.session(self, closed: stream.id, end) }
        if stream.isClosed {
            if !stream.queue.isEmpty { self.state.value.waitingStreams -= 1 }
            stream.queue.removeAll()
            self.streams.remove(stream.id)
        }
    }

    /// The peer broke a rule of gRPC on this stream only.
    func fail(_ stream: SessionStream, _ failure: GRPCFailure) {
        self.state.value.isUneventful = false
        self.stopReceiving(stream)
        let end = StreamEnd(.violated, failure.status, failure.message)
        switch self.context.role {
        case .server: self.finish(stream, end)
        case .client:
            stream.isLocallyDone = true
            self.submitReset(stream, .cancel)
            self.close(stream, end)
        }
    }

    func stopReceiving(_ stream: SessionStream) {
        guard stream.isReceiving else { return }
        self.partialBytes -= stream.deframer.partialCount
        stream.deframer = MessageDeframer(messageBytesMax: 0)
        stream.isReceiving = false
        self.consume(stream, stream.held.count)
        stream.held = []
    }
}
