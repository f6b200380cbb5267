import CMicrohttpd

/// What libmicrohttpd's callbacks are given: the handler and the desk. The server owns it for as long as the daemon runs.
final class Endpoint: Sendable {
    let handler: @Sendable (HTTPRequest, HTTPResponder) -> Void
    let options: HTTPServerOptions
    let desk = Desk()

    init(options: HTTPServerOptions, handler: @escaping @Sendable (HTTPRequest, HTTPResponder) -> Void) {
        self.options = options
        self.handler = handler
    }
}

@c(weir_http1_access)
func http1Access(
    _ context: UnsafeMutableRawPointer?, _ connection: OpaquePointer?, _ url: UnsafePointer<CChar>?,
    _ method: UnsafePointer<CChar>?, _ version: UnsafePointer<CChar>?, _ upload: UnsafePointer<CChar>?,
    _ uploadBytes: UnsafeMutablePointer<Int>?, _ slot: UnsafeMutablePointer<UnsafeMutableRawPointer?>?
) -> MHD_Result {
    guard let context = unsafe context, let connection = unsafe connection, let url = unsafe url,
        let method = unsafe method, let uploadBytes = unsafe uploadBytes, let slot = unsafe slot
    else { return .NO }
    let exchange: Exchange
    if let known = unsafe slot.pointee {
        exchange = unsafe Unmanaged<Exchange>.fromOpaque(known).takeUnretainedValue()
    } else {
        exchange = unsafe Exchange(endpoint: Unmanaged<Endpoint>.fromOpaque(context).takeUnretainedValue())
        // Released by http1Completed.
        unsafe slot.pointee = Unmanaged.passRetained(exchange).toOpaque()
    }
    let bytes = unsafe UnsafeRawBufferPointer(start: upload, count: upload == nil ? 0 : uploadBytes.pointee)
    let verdict = unsafe exchange.advance(
        connection, method: String(cString: method), path: String(cString: url),
        upload: bytes.assumingMemoryBound(to: UInt8.self))
    unsafe uploadBytes.pointee = 0
    switch verdict {
    case .goOn: return .YES
    case .drop: return .NO
    case .send(let answer): return unsafe queue(answer, on: connection)
    }
}

/// Called once for each request that reached `http1Access`, however it ended.
@c(weir_http1_completed)
func http1Completed(
    _ context: UnsafeMutableRawPointer?, _ connection: OpaquePointer?,
    _ slot: UnsafeMutablePointer<UnsafeMutableRawPointer?>?, _ end: MHD_RequestTerminationCode
) {
    guard let slot = unsafe slot, let known = unsafe slot.pointee else { return }
    unsafe slot.pointee = nil
    unsafe Unmanaged<Exchange>.fromOpaque(known).release()
}

/// The bytes of one answer while libmicrohttpd sends them.
private final class AnswerBody {
    let bytes: [UInt8]

    init(_ bytes: [UInt8]) { self.bytes = bytes }
}

/// Hands the answer over. The body is read piece by piece as the client takes it, so a large one exists once.
private func queue(_ answer: Answer, on connection: OpaquePointer) -> MHD_Result {
    let made: OpaquePointer?
    if let stream = answer.stream {
        unsafe made = streamingResponse(stream, on: connection)
    } else {
        unsafe made = response(of: answer)
    }
    guard let response = unsafe made else { return .NO }
    for (name, value) in answer.headers {
        // Refused for odd names and values, such as ones with line breaks: then the header is left out.
        _ = unsafe MHD_add_response_header(response, name, value)
    }
    let result = unsafe MHD_queue_response(connection, answer.status, response)
    unsafe MHD_destroy_response(response)  // our reference; the connection holds its own
    return result
}

private func response(of answer: Answer) -> OpaquePointer? {
    let body = unsafe Unmanaged.passRetained(AnswerBody(answer.body))  // released by answerBodyDone
    let response = unsafe MHD_create_response_from_callback(
        UInt64(answer.body.count), HTTPServerLimits.answerBlockBytes, answerBodyRead, body.toOpaque(), answerBodyDone)
    if unsafe response == nil { unsafe body.release() }
    return unsafe response
}

@c(weir_http1_answer_body_read)
func answerBodyRead(
    _ context: UnsafeMutableRawPointer?, _ position: UInt64, _ target: UnsafeMutablePointer<CChar>?, _ room: Int
) -> Int {
    guard let context = unsafe context, let target = unsafe target else { return -2 }  // an error: it closes
    let body = unsafe Unmanaged<AnswerBody>.fromOpaque(context).takeUnretainedValue()
    guard let start = Int(exactly: position), start < body.bytes.count else { return -1 }  // the regular end
    let count = min(room, body.bytes.count - start)
    unsafe body.bytes.withUnsafeBytes { bytes in
        unsafe UnsafeMutableRawBufferPointer(start: target, count: count).copyMemory(
            from: UnsafeRawBufferPointer(rebasing: bytes[start..<start + count]))
    }
    return count
}

@c(weir_http1_answer_body_done)
func answerBodyDone(_ context: UnsafeMutableRawPointer?) {
    guard let context = unsafe context else { return }
    unsafe Unmanaged<AnswerBody>.fromOpaque(context).release()
}
