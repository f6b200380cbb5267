/// The one answer owed to a request. May be used from any thread, also after the handler has returned, after the client
/// has gone away or after the server has stopped.
///
/// A responder that is released without an answer answers 500, so that no client waits for nothing.
package final class HTTPResponder: Sendable {
    private let desk: Desk
    private let id: Desk.ExchangeID

    init(desk: Desk, id: Desk.ExchangeID) {
        self.desk = desk
        self.id = id
    }

    deinit {
        // Ignored where an answer was given.
        self.desk.answer(self.id, .text(500, "the request was dropped without an answer\n"))
    }

    /// Answers. The first call counts; later ones are ignored.
    ///
    /// - Parameters:
    ///   - status: 200...599; anything else becomes 500.
    ///   - headers: further headers. A name or value with a line break or of another odd form is left out; length,
    ///     date and connection headers are the server's own affair.
    package func respond(
        status: Int, contentType: String, headers: [(name: String, value: String)] = [], body: [UInt8]
    ) {
        let answer = Answer(
            status: (200...599).contains(status) ? UInt32(status) : 500,
            headers: [("Content-Type", contentType)] + headers, body: body)
        self.desk.answer(self.id, answer)
    }

    /// Answers with a body that is written piece by piece from here on; `capacity` bytes of it wait for the client at most.
    /// After another answer, or when the client is gone, what is returned is closed.
    package func stream(
        status: Int, contentType: String, headers: [(name: String, value: String)] = [], capacity: Int
    ) -> HTTPBodyStream {
        let stream = self.desk.openStream(self.id, capacity: capacity)
        self.desk.answer(
            self.id,
            Answer(
                status: (200...599).contains(status) ? UInt32(status) : 500,
                headers: [("Content-Type", contentType)] + headers, body: [], stream: stream))
        return stream
    }
}

/// What is sent back.
struct Answer: Sendable {
    var status: UInt32
    var headers: [(name: String, value: String)]
    var body: [UInt8]
    /// In place of `body`.
    var stream: HTTPBodyStream?

    static func text(_ status: UInt32, _ text: String) -> Answer {
        Answer(status: status, headers: [("Content-Type", "text/plain; charset=utf-8")], body: Array(text.utf8))
    }
}
