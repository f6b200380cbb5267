/// What servers may differ in.
package struct HTTPServerOptions: Sendable {
    /// A larger body is answered with 413.
    package var bodyBytesMax = HTTPServerLimits.bodyBytesMax
    /// Open connections; further ones wait in the kernel's queue until one closes.
    package var connectionsMax = HTTPServerLimits.connectionsMax
    /// Asked when the head of a request is there and its body is not: what it returns is the answer, and no body is read.
    /// Runs on the server's thread.
    package var admit: (@Sendable (HTTPRequest) -> HTTPRefusal?)?

    package init() {}
}

/// Why a request is not read any further.
package struct HTTPRefusal: Sendable {
    /// 400...599.
    package var status: Int
    package var message: String
    package var headers: [(name: String, value: String)]

    package init(_ status: Int, _ message: String, headers: [(name: String, value: String)] = []) {
        self.status = status
        self.message = message
        self.headers = headers
    }

    var answer: Answer {
        var answer = Answer.error((400...599).contains(self.status) ? UInt32(self.status) : 500, self.message)
        answer.headers += self.headers
        return answer
    }
}

/// The bounds of a server.
package enum HTTPServerLimits {
    /// Open connections; further ones wait in the kernel's queue until one closes.
    package static let connectionsMax: UInt32 = 128
    /// A connection that moves no byte for so long is closed. The wait for a late answer does not count.
    package static let idleSecondsMax: UInt32 = 30
    /// Unless the options say otherwise, a larger body is answered with 413. The request's head is bounded by libmicrohttpd's 32 KiB per connection.
    package static let bodyBytesMax = 1 << 20
    /// Of a body that came without its length and grew too large, so much is read and dropped so that the client can
    /// read its 413; beyond that the connection is closed.
    static let droppedBytesMax = 16 << 20
    /// The kernel's queue of connections not yet accepted.
    static let backlog: Int32 = 128
    /// How much of an answer is handed to libmicrohttpd at once.
    static let answerBlockBytes = 32 << 10
    /// The kernel's buffer for a body that goes on for ever: a client that does not read is to be seen.
    static let streamSendBufferBytes: Int32 = 64 << 10
    /// How long bodies that go on for ever are given for their end when the server stops.
    static let streamEndMilliseconds = 500
}
