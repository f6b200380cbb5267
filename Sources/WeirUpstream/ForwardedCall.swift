import WeirBase
package import WeirHTTP2
import WeirTransport

/// Told about a call that is passed on to an upstream, on the client's loop.
package protocol ForwardedCallDelegate: AnyObject {
    /// Messages can be sent.
    func opened(_ call: ForwardedCall)
    /// The span is valid during the call.
    func received(_ call: ForwardedCall, _ bytes: Span<UInt8>)
    /// Everything sent is on its way into the socket.
    func drained(_ call: ForwardedCall)
    /// Once, also if the call was never opened; not after `cancel`.
    func ended(_ call: ForwardedCall, _ status: GRPCStatus, _ message: String)
}

/// One call of a client that is passed on to an upstream as it is: opened once, on a connection that discovery uses, and
/// never again. Confined to the client's loop.
package final class ForwardedCall {
    enum Phase {
        case waiting
        case open(ClientConnection, stream: Int32)
        case ended
    }

    let path: String
    fileprivate(set) weak var delegate: (any ForwardedCallDelegate)?
    var phase = Phase.waiting

    init(path: String, delegate: any ForwardedCallDelegate) {
        self.path = path
        self.delegate = delegate
    }

    /// Queues one message. Nothing happens while the call is not open.
    package func send(_ message: [UInt8]) {
        guard case .open(let connection, let stream) = self.phase else { return }
        do throws(StreamRefusal) {
            try connection.send(stream, GRPCFrame.body(message))
        } catch {
            // Who sends one at a time never fills the queue; a closed stream's end is on the way.
            connection.cancel(stream)
        }
    }

    package func halfClose() {
        if case .open(let connection, let stream) = self.phase { connection.halfClose(stream) }
    }

    /// Holds the server's further messages back, within the stream's window.
    package func pause() {
        if case .open(let connection, let stream) = self.phase { connection.pause(stream) }
    }

    package func resume() {
        if case .open(let connection, let stream) = self.phase { connection.resume(stream) }
    }

    /// Gives the call up; nothing more is told.
    package func cancel() {
        self.delegate = nil
        if case .open(let connection, let stream) = self.phase { connection.cancel(stream) }
        self.phase = .ended
    }

    func end(_ status: GRPCStatus, _ message: String) {
        if case .ended = self.phase { return }
        self.phase = .ended
        self.delegate?.ended(self, status, message)
    }
}

/// Calls that wait for a connection of one upstream: at most as long as it takes to try its servers once.
struct ForwardedCallQueue {
    private(set) var calls: [ForwardedCall] = []

    var isEmpty: Bool { self.calls.isEmpty }

    mutating func append(_ call: ForwardedCall) { self.calls.append(call) }

    /// The next one that is still wanted.
    mutating func next() -> ForwardedCall? {
        while let call = self.calls.first {
            self.calls.removeFirst()
            if case .waiting = call.phase { return call }
        }
        return nil
    }

    /// Ends all of them.
    mutating func fail(_ message: String) {
        let calls = self.calls
        self.calls = []
        for call in calls { call.end(.unavailable, message) }
    }
}
