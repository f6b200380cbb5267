import WeirBase

/// The messages that wait on one stream. The first waits inline, so that the usual push allocates nothing.
struct MessageQueue {
    private struct Message {
        var body: SharedBody
        var tail: MessageTail
        /// Bytes already taken, of body and tail together.
        var taken = 0

        var left: Int { self.body.count + self.tail.count - self.taken }
    }

    private var first: Message?
    private var rest: ContiguousArray<Message> = []

    /// Bytes that wait.
    private(set) var bytes = 0
    /// Bytes that were taken since the stream began; wraps.
    private(set) var taken = 0

    var count: Int { (self.first == nil ? 0 : 1) + self.rest.count }
    var isEmpty: Bool { self.first == nil }

    mutating func append(_ body: SharedBody, _ tail: MessageTail) {
        let message = Message(body: body, tail: tail)
        self.bytes += message.left
        if self.first == nil { self.first = message } else { self.rest.append(message) }
    }

    /// Moves the next `count` bytes, of which there are enough, to the output.
    mutating func take(_ count: Int, into output: OutputQueue) {
        var left = count
        self.bytes -= count
        self.taken &+= count
        // The usual case: the one message that waits goes whole.
        if self.bytes == 0, self.rest.isEmpty, let message = self.first.take() {
            return Self.emit(message, message.left, into: output)
        }
        while left > 0, var message = self.first.take() {
            let step = min(left, message.left)
            Self.emit(message, step, into: output)
            left -= step
            message.taken += step
            if message.left > 0 { self.first = message } else { self.advance() }
        }
    }

    mutating func removeAll() {
        self.first = nil
        self.rest = []
        self.bytes = 0
    }

    private mutating func advance() {
        // The queue is short by its bound, so moving it up is cheap.
        self.first = self.rest.isEmpty ? nil : self.rest.removeFirst()
    }

    private static func emit(_ message: Message, _ count: Int, into output: OutputQueue) {
        let bodyCount = min(count, max(0, message.body.count - message.taken))
        if bodyCount > 0 { output.append(message.body, ByteRange(offset: message.taken, count: bodyCount)) }
        if count > bodyCount {
            let start = message.taken + bodyCount - message.body.count
            output.append(message.tail, start..<(start + count - bodyCount))
        }
    }
}
