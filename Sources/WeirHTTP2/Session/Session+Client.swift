import CNghttp2
import WeirBase

extension Session {
    /// Before its SETTINGS come, a server is taken to allow this many streams (RFC 9113 §6.5.2 recommends no less).
    private static let openableBeforeSettings = 100

    /// How many more calls the server allows now.
    package var openable: Int {
        guard !self.isDraining, unsafe nghttp2_session_check_request_allowed(self.raw) != 0 else { return 0 }
        let limit =
            self.isEstablished
            ? Int(unsafe nghttp2_session_get_remote_settings(self.raw, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS))
            : Self.openableBeforeSettings
        return max(0, limit - self.streams.count)
    }

    /// Opens a bidirectional call.
    ///
    /// - Returns: the stream's id, or nil if `openable` is zero.
    package func open(_ call: CallHead, userData: UInt64 = 0) -> Int32? {
        guard self.openable > 0 else { return nil }
        var provider = unsafe Self.provider
        var headers = Self.headers(of: call)
        let id = unsafe headers.withFields { unsafe nghttp2_submit_request(self.raw, nil, $0, $1, &provider, nil) }
        guard id > 0 else { return nil }
        let stream = SessionStream(id: id, messageBytesMax: self.context.limits.messageBytesMax)
        stream.userData = userData
        stream.isKnown = true
        stream.isReceiving = true
        self.streams.append(stream)
        return id
    }

    /// Ends our half of a call after everything queued.
    package func halfClose(_ id: Int32) {
        guard let stream = self.streams[id], !stream.isFinishing, !stream.isLocallyDone else { return }
        stream.isFinishing = true
        self.wake(stream)
    }

    private static func headers(of call: CallHead) -> HeaderBlock {
        var headers = HeaderBlock()
        headers.add(":method", "POST")
        headers.add(":scheme", call.scheme)
        headers.add(":path", call.path)
        headers.add(":authority", call.authority)
        headers.add("te", "trailers")
        headers.add("content-type", "application/grpc")
        headers.add("user-agent", call.userAgent)
        headers.add("grpc-accept-encoding", MessageEncoding.accepted)
        for field in call.metadata { headers.add(field.name, field.value) }
        return headers
    }

    // MARK: Responses

    func decideResponse(_ stream: SessionStream, _ fields: HeaderCollector) {
        guard stream.isKnown else { return }
        if fields.isTooLarge {
            let limit = self.context.limits.headerListBytesMax
            let failure = GRPCFailure(.resourceExhausted, "response headers are over the limit of \(limit) bytes")
            return self.fail(stream, failure)
        }
        if let httpStatus = fields.number(of: .status) {
            if (100..<200).contains(httpStatus) { return }
            self.decideInitial(stream, fields, httpStatus)
        } else {
            stream.end = Self.end(of: fields) ?? StreamEnd(.finished, .unknown, "trailers without grpc-status")
        }
    }

    private func decideInitial(_ stream: SessionStream, _ fields: HeaderCollector, _ httpStatus: Int) {
        if let end = Self.end(of: fields) {
            stream.end = end
            return
        }
        guard httpStatus == 200, fields.isGRPC else {
            let type = fields.text(of: .contentType).prefix(64)
            let text = "the server answered HTTP \(httpStatus) with content-type \"\(type)\", not gRPC"
            return self.fail(stream, GRPCFailure(GRPCStatus(httpStatus: httpStatus), text))
        }
        let encoding = fields.text(of: .encoding)
        guard let known = MessageEncoding(header: encoding) else {
            let text = "the server uses grpc-encoding \"\(encoding.prefix(64))\", which was not offered"
            return self.fail(stream, GRPCFailure(.internal, text))
        }
        stream.deframer.encoding = known
        stream.isAnswered = true
        self.delegate.session(self, answered: stream.id, ResponseHead(server: fields.text(of: .server)))
    }

    private static func end(of fields: HeaderCollector) -> StreamEnd? {
        guard let bytes = fields.bytes(of: .grpcStatus) else { return nil }
        let status = Int(String(decoding: bytes, as: UTF8.self)).flatMap(GRPCStatus.init(rawValue:)) ?? .unknown
        return StreamEnd(.finished, status, StatusMessageEncoding.decode(fields.bytes(of: .grpcMessage) ?? []))
    }

    /// END_STREAM of the server: the call is over, whether we had more to say or not.
    func deliverResponseEnd(_ stream: SessionStream) {
        var end = stream.end ?? StreamEnd(.violated, .internal, "the response ends without trailers")
        if end.status == .ok, stream.deframer.partialCount > 0 {
            end = StreamEnd(.violated, .internal, "the response ends within a message")
        }
        if !stream.isLocallyDone, !stream.isClosed {
            stream.isLocallyDone = true
            self.submitReset(stream, .noError)
        }
        self.close(stream, end)
    }
}
