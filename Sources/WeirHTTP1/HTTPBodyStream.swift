import CMicrohttpd

/// The body of an answer whose end is not known when it begins, such as a stream of events. Any thread.
///
/// Bytes wait here, up to a bound, until the client takes them; nobody waits for it. While nothing is to be sent the
/// connection is suspended.
///
/// The lock is held while libmicrohttpd's own is taken to suspend and resume, as in `Desk`; libmicrohttpd holds that of the
/// response while it asks for bytes, and nothing here is done with a response under the lock.
package final class HTTPBodyStream: Sendable {
    /// What became of bytes.
    package enum Outcome: Sendable {
        case taken
        /// The client is too slow: nothing of it was taken.
        case full
        /// Nobody takes anything any more.
        case closed
    }

    private struct State: Sendable {
        var chunks: [[UInt8]] = []
        /// Bytes of the first chunk that have been handed over.
        var offset = 0
        var waiting = 0
        /// No more will come: what waits is sent, and that is the end.
        var isFinished = false
        /// The connection is gone, or the answer was never begun.
        var isClosed = false
        var suspended: ConnectionAddress?

        mutating func resume() {
            self.suspended?.resume()
            self.suspended = nil
        }
    }

    /// The most bytes that wait for a client.
    package let capacity: Int
    private let state = WitnessedMutex(State())

    init(capacity: Int) { self.capacity = capacity }

    /// Hands over bytes. Never waits.
    @discardableResult
    package func write(_ bytes: [UInt8]) -> Outcome {
        self.state.withLock { state in
            guard !state.isClosed, !state.isFinished else { return .closed }
            guard bytes.count <= self.capacity - state.waiting else { return .full }
            guard !bytes.isEmpty else { return .taken }
            state.chunks.append(bytes)
            state.waiting += bytes.count
            state.resume()
            return .taken
        }
    }

    /// Ends the body after what waits.
    package func finish() {
        self.state.withLock { state in
            state.isFinished = true
            state.resume()
        }
    }

    /// Whether nobody takes anything any more.
    package var isClosed: Bool { self.state.withLock { $0.isClosed } }

    // MARK: On libmicrohttpd's thread

    /// The next bytes into `target`: their number; 0 after having suspended the connection; nil at the end.
    func read(into target: UnsafeMutableRawBufferPointer, _ connection: ConnectionAddress?) -> Int? {
        let room = target.count
        let piece = self.state.withLock { state -> [UInt8]? in
            guard let chunk = state.chunks.first else {
                guard !state.isFinished, let connection = connection else { return nil }
                connection.suspend()
                state.suspended = connection
                return []
            }
            let count = min(room, chunk.count - state.offset)
            let piece = Array(chunk[state.offset..<state.offset + count])
            state.offset += count
            state.waiting -= count
            if state.offset == chunk.count {
                state.chunks.removeFirst()
                state.offset = 0
            }
            return piece
        }
        guard let piece = piece else { return nil }
        unsafe target.copyBytes(from: piece)
        return piece.count
    }

    /// The connection is gone.
    func close() {
        self.state.withLock { state in
            state.isClosed = true
            state.chunks = []
            state.waiting = 0
            state.suspended = nil
        }
    }
}

/// What libmicrohttpd keeps while it sends a body stream. Confined to its thread.
private final class StreamingBody {
    let stream: HTTPBodyStream
    let connection: ConnectionAddress

    init(_ stream: HTTPBodyStream, _ connection: ConnectionAddress) {
        self.stream = stream
        self.connection = connection
    }
}

/// Makes the response of a body stream; nil if memory ran out.
func streamingResponse(_ stream: HTTPBodyStream, on connection: OpaquePointer) -> OpaquePointer? {
    let body = unsafe Unmanaged.passRetained(StreamingBody(stream, ConnectionAddress(connection)))
    unsafe weir_mhd_small_send_buffer(connection, HTTPServerLimits.streamSendBufferBytes)
    guard
        let response = unsafe MHD_create_response_from_callback(
            UInt64.max, HTTPServerLimits.answerBlockBytes, streamingBodyRead, body.toOpaque(), streamingBodyDone)
    else {
        unsafe body.release()
        stream.close()
        return nil
    }
    return unsafe response
}

@c(weir_http1_streaming_body_read)
func streamingBodyRead(
    _ context: UnsafeMutableRawPointer?, _ position: UInt64, _ target: UnsafeMutablePointer<CChar>?, _ room: Int
) -> Int {
    guard let context = unsafe context, let target = unsafe target else { return -2 }  // an error: it closes
    let body = unsafe Unmanaged<StreamingBody>.fromOpaque(context).takeUnretainedValue()
    let buffer = unsafe UnsafeMutableRawBufferPointer(start: target, count: room)
    return unsafe body.stream.read(into: buffer, body.connection) ?? -1  // the regular end
}

@c(weir_http1_streaming_body_done)
func streamingBodyDone(_ context: UnsafeMutableRawPointer?) {
    guard let context = unsafe context else { return }
    let body = unsafe Unmanaged<StreamingBody>.fromOpaque(context).takeRetainedValue()
    body.stream.close()
}
