import CNghttp2

// nghttp2's callbacks. They record; what to do is decided when nghttp2 has returned. Submitting frames is allowed
// here, receiving and sending is not (nghttp2 programmer's guide).

func makeCallbacks() -> OpaquePointer {
    var raw: OpaquePointer?
    unsafe nghttp2_session_callbacks_new(&raw)
    guard let callbacks = unsafe raw else { preconditionFailure("no memory for nghttp2's callbacks") }
    unsafe nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, sessionHeadersBegun)
    unsafe nghttp2_session_callbacks_set_on_header_callback(callbacks, sessionHeaderReceived)
    unsafe nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, sessionFrameReceived)
    unsafe nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, sessionDataReceived)
    unsafe nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, sessionStreamClosed)
    unsafe nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, sessionFrameSent)
    unsafe nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, sessionFrameNotSent)
    unsafe nghttp2_session_callbacks_set_send_data_callback(callbacks, sessionDataSending)
    unsafe nghttp2_session_callbacks_set_error_callback2(callbacks, sessionErrorNoted)
    return unsafe callbacks
}

private func session(_ context: UnsafeMutableRawPointer?) -> Session {
    unsafe reference(context).takeUnretainedValue()
}

/// For what is called with every push: whoever lets nghttp2 work holds the session.
private func reference(_ context: UnsafeMutableRawPointer?) -> Unmanaged<Session> {
    guard let context = unsafe context else { preconditionFailure("nghttp2 lost our session") }
    return unsafe Unmanaged<Session>.fromOpaque(context)
}

@c(weir_http2_headers_begun)
func sessionHeadersBegun(
    _: OpaquePointer?, _ frame: UnsafePointer<nghttp2_frame>?, _ context: UnsafeMutableRawPointer?
) -> CInt {
    if let frame = unsafe frame { unsafe session(context).headersBegun(frame.pointee.hd.stream_id) }
    return 0
}

@c(weir_http2_header_received)
func sessionHeaderReceived(
    _: OpaquePointer?, _ frame: UnsafePointer<nghttp2_frame>?, _ name: UnsafePointer<UInt8>?, _ nameCount: Int,
    _ value: UnsafePointer<UInt8>?, _ valueCount: Int, _ flags: UInt8, _ context: UnsafeMutableRawPointer?
) -> CInt {
    unsafe session(context).collector?.add(
        name: UnsafeBufferPointer(start: name, count: nameCount),
        value: UnsafeBufferPointer(start: value, count: valueCount))
    return 0
}

@c(weir_http2_frame_received)
func sessionFrameReceived(
    _: OpaquePointer?, _ frame: UnsafePointer<nghttp2_frame>?, _ context: UnsafeMutableRawPointer?
) -> CInt {
    guard let frame = unsafe frame else { return 0 }
    return unsafe reference(context)._withUnsafeGuaranteedRef { unsafe received(frame, by: $0) }
}

private func received(_ frame: UnsafePointer<nghttp2_frame>, by session: Session) -> CInt {
    let header = unsafe frame.pointee.hd
    let endsStream = header.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0
    let isAcknowledgement = header.flags & UInt8(NGHTTP2_FLAG_ACK.rawValue) != 0
    switch UInt32(header.type) {
    case NGHTTP2_HEADERS.rawValue: session.headersReceived(header.stream_id, endsStream: endsStream)
    case NGHTTP2_DATA.rawValue where endsStream: session.streamEnded(header.stream_id)
    case NGHTTP2_DATA.rawValue:
        if unsafe header.length <= frame.pointee.data.padlen { session.incidents.noise += 1 }
    case NGHTTP2_SETTINGS.rawValue where !isAcknowledgement:
        session.incidents.noise += 1
        session.record(.settings)
    case NGHTTP2_GOAWAY.rawValue: unsafe session.record(.goAway(GoAway(frame.pointee.goaway)))
    case NGHTTP2_PING.rawValue where isAcknowledgement:
        unsafe session.record(.pingAcknowledged(frame.pointee.ping.data))
    case NGHTTP2_PING.rawValue: session.incidents.noise += 1
    case NGHTTP2_WINDOW_UPDATE.rawValue:
        unsafe session.windowOpened(by: Int(frame.pointee.window_update.window_size_increment))
    default: break
    }
    return 0
}

@c(weir_http2_data_received)
func sessionDataReceived(
    _: OpaquePointer?, _ flags: UInt8, _ stream: Int32, _ data: UnsafePointer<UInt8>?, _ count: Int,
    _ context: UnsafeMutableRawPointer?
) -> CInt {
    guard let data = unsafe data else { return 0 }
    unsafe reference(context)._withUnsafeGuaranteedRef { unsafe $0.dataReceived(stream, data, count) }
    return 0
}

@c(weir_http2_stream_closed)
func sessionStreamClosed(
    _: OpaquePointer?, _ stream: Int32, _ code: UInt32, _ context: UnsafeMutableRawPointer?
) -> CInt {
    unsafe session(context).streamClosed(stream, HTTP2ErrorCode(rawValue: code))
    return 0
}

@c(weir_http2_frame_sent)
func sessionFrameSent(
    _: OpaquePointer?, _ frame: UnsafePointer<nghttp2_frame>?, _ context: UnsafeMutableRawPointer?
) -> CInt {
    guard let frame = unsafe frame else { return 0 }
    let header = unsafe frame.pointee.hd
    if UInt32(header.type) == NGHTTP2_HEADERS.rawValue, header.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0 {
        unsafe session(context).trailersSent(header.stream_id)
    } else if UInt32(header.type) == NGHTTP2_GOAWAY.rawValue {
        unsafe session(context).goAwaySent(HTTP2ErrorCode(rawValue: frame.pointee.goaway.error_code))
    }
    return 0
}

@c(weir_http2_frame_not_sent)
func sessionFrameNotSent(
    _: OpaquePointer?, _ frame: UnsafePointer<nghttp2_frame>?, _ code: CInt, _ context: UnsafeMutableRawPointer?
) -> CInt {
    guard let frame = unsafe frame else { return 0 }
    let header = unsafe frame.pointee.hd
    if UInt32(header.type) == NGHTTP2_HEADERS.rawValue { unsafe session(context).headersNotSent(header.stream_id) }
    return 0
}

/// How many bytes the next DATA frame of a stream takes; they are moved by `sessionDataSending`, right after.
@c(weir_http2_data_asked)
func sessionDataAsked(
    _: OpaquePointer?, _ stream: Int32, _ buffer: UnsafeMutablePointer<UInt8>?, _ length: Int,
    _ flags: UnsafeMutablePointer<UInt32>?, _ source: UnsafeMutablePointer<nghttp2_data_source>?,
    _ context: UnsafeMutableRawPointer?
) -> Int {
    guard let flags = unsafe flags else { return Int(NGHTTP2_ERR_CALLBACK_FAILURE.rawValue) }
    return unsafe reference(context)._withUnsafeGuaranteedRef {
        unsafe $0.dataAsked(stream, length, &flags.pointee)
    }
}

@c(weir_http2_data_sending)
func sessionDataSending(
    _: OpaquePointer?, _ frame: UnsafeMutablePointer<nghttp2_frame>?, _ header: UnsafePointer<UInt8>?, _ length: Int,
    _ source: UnsafeMutablePointer<nghttp2_data_source>?, _ context: UnsafeMutableRawPointer?
) -> CInt {
    guard let frame = unsafe frame else { return CInt(NGHTTP2_ERR_CALLBACK_FAILURE.rawValue) }
    // A DATA frame's header has nine bytes; we never ask for padding.
    let bytes = unsafe UnsafeBufferPointer(start: header, count: 9)
    return unsafe reference(context)._withUnsafeGuaranteedRef {
        unsafe $0.dataSending(frame.pointee.hd.stream_id, bytes, length)
    }
}

@c(weir_http2_error_noted)
func sessionErrorNoted(
    _: OpaquePointer?, _ code: CInt, _ text: UnsafePointer<CChar>?, _ count: Int,
    _ context: UnsafeMutableRawPointer?
) -> CInt {
    guard let text = unsafe text else { return 0 }
    let bytes = unsafe UnsafeRawBufferPointer(start: text, count: min(count, 200))
    unsafe session(context).lastError = String(decoding: bytes, as: UTF8.self)
    return 0
}

extension GoAway {
    fileprivate init(_ frame: nghttp2_goaway) {
        let debug = unsafe UnsafeBufferPointer(start: frame.opaque_data, count: min(frame.opaque_data_len, 200))
        unsafe self.init(
            lastStream: frame.last_stream_id, code: HTTP2ErrorCode(rawValue: frame.error_code),
            debug: String(decoding: debug, as: UTF8.self))
    }
}

extension nghttp2_ping {
    /// The eight bytes of a PING as one number.
    fileprivate var data: UInt64 {
        let bytes = self.opaque_data
        let all = [bytes.0, bytes.1, bytes.2, bytes.3, bytes.4, bytes.5, bytes.6, bytes.7]
        return all.reduce(0) { $0 << 8 | UInt64($1) }
    }
}
