import CMicrohttpd

/// Where answers from any thread meet connections that only libmicrohttpd's thread may touch.
///
/// An exchange is *running* while its handler has not returned, then *suspended* until an answer comes, then *answered*
/// until libmicrohttpd's thread has taken the answer. A connection's pointer is used only while its exchange is
/// suspended: libmicrohttpd frees no suspended connection.
///
/// The lock is held while `MHD_suspend_connection` and `MHD_resume_connection` take libmicrohttpd's own; never the other
/// way round, for it calls back with none of its locks held.
final class Desk: Sendable {
    struct ExchangeID: Hashable, Sendable { var rawValue: UInt64 }

    private enum Phase: Sendable {
        case running
        case suspended(ConnectionAddress)
        case answered(Answer)
        /// The answer is on its way; only the end of the exchange is still to come.
        case taken
    }

    private struct State: Sendable {
        var exchanges: [ExchangeID: Phase] = [:]
        var lastID: UInt64 = 0
        /// Bodies that are being sent, or will be.
        var streams: [ExchangeID: HTTPBodyStream] = [:]
        var isStopping = false
    }

    private static let stopping = Answer.text(503, "the server is stopping\n")

    private let state = WitnessedMutex(State())

    /// A new exchange, running.
    func open() -> ExchangeID {
        self.state.withLock { state in
            state.lastID += 1
            let id = ExchangeID(rawValue: state.lastID)
            state.exchanges[id] = .running
            return id
        }
    }

    /// The exchange is over, answered or not; answers that come later are dropped. On libmicrohttpd's thread, or the
    /// stopping one.
    func close(_ id: ExchangeID) {
        let stream = self.state.withLock { state in
            state.exchanges[id] = nil
            return state.streams.removeValue(forKey: id)
        }
        // Also where the answer was never begun.
        stream?.close()
    }

    /// A body for an exchange, which is to be answered with it. One that comes when the server stops has its end.
    func openStream(_ id: ExchangeID, capacity: Int) -> HTTPBodyStream {
        let stream = HTTPBodyStream(capacity: capacity)
        let isWanted = self.state.withLock { state in
            guard !state.isStopping, state.exchanges[id] != nil else { return false }
            state.streams[id] = stream
            return true
        }
        if !isWanted { stream.close() }
        return stream
    }

    /// Whether any body is still being sent.
    var isStreaming: Bool { self.state.withLock { !$0.streams.isEmpty } }

    /// Takes the answer, if none was given before and the exchange still stands. From any thread.
    func answer(_ id: ExchangeID, _ answer: Answer) {
        self.state.withLock { state in
            switch state.exchanges[id] {
            case .running: state.exchanges[id] = .answered(answer)
            case .suspended(let connection):
                state.exchanges[id] = .answered(answer)
                connection.resume()
            case .answered, .taken, nil: break
            }
        }
    }

    /// The answer, or nil after having suspended the connection until there is one. On libmicrohttpd's thread, within
    /// its access callback.
    func takeAnswerOrSuspend(_ id: ExchangeID, _ connection: OpaquePointer) -> Answer? {
        let connection = unsafe ConnectionAddress(connection)
        return self.state.withLock { state in
            switch state.exchanges[id] {
            case .answered(let answer):
                state.exchanges[id] = .taken
                return answer
            case .running where !state.isStopping, .suspended where !state.isStopping:
                connection.suspend()
                state.exchanges[id] = .suspended(connection)
                return nil
            case .running, .suspended, .taken, nil:
                state.exchanges[id] = .taken
                return Self.stopping
            }
        }
    }

    /// No connection is suspended from here on: libmicrohttpd aborts the process when it is stopped with one.
    func stop() {
        self.state.withLock { state in
            state.isStopping = true
            for (id, phase) in state.exchanges {
                guard case .suspended(let connection) = phase else { continue }
                state.exchanges[id] = .answered(Self.stopping)
                connection.resume()
            }
            for stream in state.streams.values { stream.finish() }
        }
    }
}

/// A connection of libmicrohttpd's as a number: a value that may pass between threads under a lock.
struct ConnectionAddress: Sendable {
    private let bits: UInt

    init(_ connection: OpaquePointer) { self.bits = UInt(bitPattern: connection) }

    func suspend() {
        if let connection = unsafe OpaquePointer(bitPattern: self.bits) {
            unsafe MHD_suspend_connection(connection)
        }
    }

    func resume() {
        if let connection = unsafe OpaquePointer(bitPattern: self.bits) { unsafe MHD_resume_connection(connection) }
    }
}
