import CNghttp2
import WeirBase

extension Session {
    /// Sends the response headers, so that intermediaries and waiting clients see an answer (WIRE-15). Once; later
    /// calls do nothing.
    package func respond(_ id: Int32) {
        guard let stream = self.streams[id], !stream.isLocallyDone else { return }
        self.respond(stream)
    }

    /// Ends a call with a status: in trailers after everything queued, or in the only header block if nothing was sent
    /// (WIRE-09).
    package func finish(_ id: Int32, _ status: GRPCStatus, _ message: String = "") {
        guard let stream = self.streams[id] else { return }
        self.finish(stream, StreamEnd(.finished, status, message))
    }

    // MARK: Requests

    func decideRequest(_ stream: SessionStream, _ fields: HeaderCollector) {
        // A second block on the same stream is trailers; gRPC clients send none, and they mean nothing to us.
        guard !stream.isKnown, !stream.isLocallyDone, !stream.isFinishing else { return }
        if fields.isTooLarge {
            let limit = self.context.limits.headerListBytesMax
            return self.refuse(stream, .resourceExhausted, "request headers are over the limit of \(limit) bytes")
        }
        guard fields.isGRPC else { return self.reject(stream, httpStatus: 415) }
        guard fields.has(.method, "POST") else { return self.reject(stream, httpStatus: 405) }
        let encoding = fields.text(of: .encoding)
        guard let encoding = MessageEncoding(header: encoding) else {
            let text = "grpc-encoding \"\(encoding.prefix(64))\" is not supported; supported are identity and gzip"
            return self.refuse(stream, .unimplemented, text, acceptedEncodings: true)
        }
        var head = RequestHead(
            path: fields.text(of: .path), authority: fields.text(of: .authority),
            userAgent: fields.text(of: .userAgent))
        if fields.bytes(of: .sibling) != nil { head.sibling = fields.text(of: .sibling) }
        if let timeout = fields.bytes(of: .timeout) {
            guard let timeout = GRPCTimeout.parse(timeout) else {
                return self.refuse(stream, .internal, "malformed grpc-timeout; it is up to 8 digits and one of HMSmun")
            }
            head.timeout = timeout
        }
        stream.deframer.encoding = encoding
        stream.isKnown = true
        stream.isReceiving = true
        self.delegate.session(self, opened: stream.id, head)
    }

    func deliverHalfClosed(_ stream: SessionStream) {
        if stream.isReceiving, stream.deframer.partialCount > 0 {
            return self.fail(stream, GRPCFailure(.internal, "the request stream ends within a message"))
        }
        guard stream.isReceiving else { return }
        stream.isReceiving = false
        self.delegate.session(self, halfClosed: stream.id)
    }

    // MARK: Responses

    func respond(_ stream: SessionStream) {
        guard !stream.isResponded else { return }
        stream.isResponded = true
        var provider = unsafe Self.provider
        var headers = HeaderBlock.responseHeaders
        unsafe headers.withFields { unsafe nghttp2_submit_response(self.raw, stream.id, $0, $1, &provider) }
    }

    func finish(_ stream: SessionStream, _ end: StreamEnd) {
        guard !stream.isFinishing, !stream.isLocallyDone else { return }
        self.stopReceiving(stream)
        stream.isFinishing = true
        stream.end = end
        if stream.isResponded {
            self.wake(stream)
        } else {
            self.submitOnly(stream, Self.trailersOnly(end.status, end.message))
        }
    }

    /// Only trailers, for a stream that the delegate does not know.
    private func refuse(
        _ stream: SessionStream, _ status: GRPCStatus, _ message: String, acceptedEncodings: Bool = false
    ) {
        self.incidents.refusedRequests += 1
        var headers = Self.trailersOnly(status, message)
        if acceptedEncodings { headers.add("grpc-accept-encoding", MessageEncoding.accepted) }
        self.submitOnly(stream, headers)
    }

    /// An HTTP status for a request that is not gRPC (WIRE-02).
    private func reject(_ stream: SessionStream, httpStatus: Int) {
        self.incidents.refusedRequests += 1
        var headers = HeaderBlock()
        headers.add(":status", String(httpStatus))
        if httpStatus == 405 { headers.add("allow", "POST") }
        self.submitOnly(stream, headers)
    }

    private static func trailersOnly(_ status: GRPCStatus, _ message: String) -> HeaderBlock {
        var headers = HeaderBlock.responseHeaders
        headers.addStatus(status, message)
        return headers
    }

    private func submitOnly(_ stream: SessionStream, _ headers: consuming HeaderBlock) {
        stream.isResponded = true
        stream.isLocallyDone = true
        unsafe headers.withFields { unsafe nghttp2_submit_response(self.raw, stream.id, $0, $1, nil) }
    }

    func submitTrailers(_ id: Int32, _ end: StreamEnd) {
        var headers = HeaderBlock()
        headers.addStatus(end.status, end.message)
        unsafe headers.withFields { unsafe nghttp2_submit_trailer(self.raw, id, $0, $1) }
    }
}
