import WeirBase

/// What the session keeps of one stream. The session's table owns it until its end has been delivered.
final class SessionStream {
    let id: Int32
    var userData: UInt64 = 0
    var deframer: MessageDeframer
    var queue = OutgoingQueue()
    /// DATA that came while the stream is paused; it is not consumed, so the peer's window bounds it.
    var held: [UInt8] = []
    /// The status to send after the queue (server), or what the trailers said (client).
    var end: StreamEnd?

    /// The delegate knows the stream, and has not been told of its end.
    var isKnown = false
    /// Response headers were submitted (server).
    var isResponded = false
    /// A response that is a gRPC stream has begun (client).
    var isAnswered = false
    /// `finish` was called (server), or `halfClose` (client): no further messages.
    var isFinishing = false
    /// All that we have to say was submitted, or the stream was reset.
    var isLocallyDone = false
    /// RST_STREAM was submitted.
    var isReset = false
    /// DATA is still wanted.
    var isReceiving = false
    var isPaused = false
    /// END_STREAM of the peer came; it is delivered after what is held.
    var isRemotelyDone = false
    var isRemoteEndHeld = false
    /// nghttp2 asks no more until `resume`.
    var isDeferred = false
    /// nghttp2 has forgotten the stream; its end waits to be delivered.
    var isClosed = false

    init(id: Int32, messageBytesMax: Int) {
        self.id = id
        self.deframer = MessageDeframer(messageBytesMax: messageBytesMax)
    }
}

/// The open streams of a session by id. Ids only grow, so appending keeps the table sorted.
struct StreamTable {
    private struct Entry {
        var id: Int32
        var stream: SessionStream
    }

    private var entries: ContiguousArray<Entry> = []

    var count: Int { self.entries.count }
    var ids: [Int32] { self.entries.map(\.id) }

    var lastID: Int32 { self.entries.last?.id ?? 0 }

    /// The id must be above `lastID`.
    mutating func append(_ stream: SessionStream) {
        self.entries.append(Entry(id: stream.id, stream: stream))
    }

    subscript(id: Int32) -> SessionStream? { self.index(of: id).map { self.entries[$0].stream } }

    mutating func remove(_ id: Int32) {
        if let index = self.index(of: id) { self.entries.remove(at: index) }
    }

    func forEachWaiting(_ body: (Int32, Int) -> Void) {
        for entry in self.entries where !entry.stream.queue.isEmpty { body(entry.id, entry.stream.queue.taken) }
    }

    private func index(of id: Int32) -> Int? {
        var low = 0
        var high = self.entries.count
        while low < high {
            let middle = (low + high) / 2
            if self.entries[middle].id < id { low = middle + 1 } else { high = middle }
        }
        return low < self.entries.count && self.entries[low].id == id ? low : nil
    }
}
