import WeirBase
import WeirEngine
import WeirHTTP2
import WeirTransport

/// One call of a client to a service other than discovery, as its handler sees it. Confined to the worker's loop.
struct ServiceCall {
    let connection: ServerConnection
    let stream: Int32
    let peer: WeirEngine.PeerIdentity

    /// Messages that wait on their way to the client.
    var pending: Int { self.connection.pendingMessages(self.stream) }

    /// Queues one message. False: the call is over, or nothing more fits into its queue.
    @discardableResult
    func send(_ message: [UInt8]) -> Bool {
        do throws(StreamRefusal) {
            try self.connection.send(self.stream, GRPCFrame.body(message))
            return true
        } catch {
            return false
        }
    }

    /// Ends the call, after everything queued.
    func finish(_ status: GRPCStatus, _ message: String = "") {
        self.connection.finish(self.stream, status, message)
    }

    /// Ends a call whose message cannot be read.
    func refuse(_ error: some Error, as message: String) {
        self.finish(.invalidArgument, "the \(message) cannot be decoded: \(error)")
    }

    /// Holds the client's further messages back, within the stream's window.
    func pause() { self.connection.pause(self.stream) }
    func resume() { self.connection.resume(self.stream) }
}

/// The handler of one call. Told what happens to it, on the worker's loop; never after `closed`.
protocol ServiceStream: AnyObject {
    /// A whole message. The span is valid during the call.
    func message(_ bytes: Span<UInt8>)
    /// The client will send no more.
    func halfClosed()
    /// Everything queued is on its way into the socket.
    func drained()
    /// The call is over, however it ended.
    func closed()
}

extension ServiceStream {
    func drained() {}
    func closed() {}
}

/// A call with one request and one response.
final class UnaryCall: ServiceStream {
    private let call: ServiceCall
    private let answer: (ServiceCall, Span<UInt8>) -> Void
    private var isAsked = false

    /// - Parameter answer: sends the response and ends the call, now or later.
    init(_ call: ServiceCall, answer: @escaping (ServiceCall, Span<UInt8>) -> Void) {
        self.call = call
        self.answer = answer
    }

    func message(_ bytes: Span<UInt8>) {
        guard !self.isAsked else {
            return self.call.finish(.unimplemented, "the method takes one request, and this is a second one")
        }
        self.isAsked = true
        self.answer(self.call, bytes)
    }

    func halfClosed() {
        if !self.isAsked { self.call.finish(.unimplemented, "the method takes one request, and there was none") }
    }
}
