import WeirBase

/// What the session keeps of one stream. The session's table owns it until its end has been delivered.
final class SessionStream {
    let id: Int32
    private let state: Cell<StreamState>

    init(id: Int32, messageBytesMax: Int) {
        self.id = id
        self.state = Cell(StreamState(deframer: MessageDeframer(messageBytesMax: messageBytesMax)))
    }

    func note(in footprint: inout Footprint) {
        footprint.add(self)
        self.state.note(in: &footprint)
    }

    var userData: UInt64 {
        get { self.state.value.userData }
        set { self.state.value.userData = newValue }
    }
    var deframer: MessageDeframer {
        @inline(__always) _read { yield self.state.value.deframer }
        @inline(__always) _modify { yield &self.state.value.deframer }
    }
    var queue: MessageQueue {
        @inline(__always) _read { yield self.state.value.queue }
        @inline(__always) _modify { yield &self.state.value.queue }
    }
    /// DATA that came while the stream is paused; it is not consumed, so the peer's window bounds it.
    var held: [UInt8] {
        @inline(__always) _read { yield self.state.value.held }
        @inline(__always) _modify { yield &self.state.value.held }
    }
    /// The status to send after the queue (server), or what the trailers said (client).
    var end: StreamEnd? {
        get { self.state.value.end }
        set { self.state.value.end = newValue }
    }

    /// The delegate knows the stream, and has not been told of its end.
    var isKnown: Bool {
        get { self.state.value.isKnown }
        set { self.state.value.isKnown = newValue }
    }
    /// Response headers were submitted (server).
    var isResponded: Bool {
        get { self.state.value.isResponded }
        set { self.state.value.isResponded = newValue }
    }
    /// A response that is a gRPC stream has begun (client).
    var isAnswered: Bool {
        get { self.state.value.isAnswered }
        set { self.state.value.isAnswered = newValue }
    }
    /// `finish` was called (server), or `halfClose` (client): no further messages.
    var isFinishing: Bool {
        get { self.state.value.isFinishing }
        set { self.state.value.isFinishing = newValue }
    }
    /// All that we have to say was submitted, or the stream was reset.
    var isLocallyDone: Bool {
        get { self.state.value.isLocallyDone }
        set { self.state.value.isLocallyDone = newValue }
    }
    /// RST_STREAM was submitted.
    var isReset: Bool {
        get { self.state.value.isReset }
        set { self.state.value.isReset = newValue }
    }
    /// DATA is still wanted.
    var isReceiving: Bool {
        get { self.state.value.isReceiving }
        set { self.state.value.isReceiving = newValue }
    }
    var isPaused: Bool {
        get { self.state.value.isPaused }
        set { self.state.value.isPaused = newValue }
    }
    /// END_STREAM of the peer came; it is delivered after what is held.
    var isRemotelyDone: Bool {
        get { self.state.value.isRemotelyDone }
        set { self.state.value.isRemotelyDone = newValue }
    }
    var isRemoteEndHeld: Bool {
        get { self.state.value.isRemoteEndHeld }
        set { self.state.value.isRemoteEndHeld = newValue }
    }
    /// nghttp2 asks no more until `resume`.
    var isDeferred: Bool {
        get { self.state.value.isDeferred }
        set { self.state.value.isDeferred = newValue }
    }
    /// nghttp2 has forgotten the stream; its end waits to be delivered.
    var isClosed: Bool {
        get { self.state.value.isClosed }
        set { self.state.value.isClosed = newValue }
    }
}

/// The words of a stream in one place (see `Cell`); what they mean stands at the properties of `SessionStream`.
private struct StreamState {
    var userData: UInt64 = 0
    var deframer: MessageDeframer
    var queue = MessageQueue()
    var held: [UInt8] = []
    var isKnown = false
    var isResponded = false
    var isAnswered = false
    var isFinishing = false
    var isLocallyDone = false
    var isReset = false
    var isReceiving = false
    var isPaused = false
    var isRemotelyDone = false
    var isRemoteEndHeld = false
    var isDeferred = false
    var isClosed = false
    var end: StreamEnd?

    init(deframer: MessageDeframer) { self.deframer = deframer }
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

    func contains(_ id: Int32) -> Bool { self.index(of: id) != nil }

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
