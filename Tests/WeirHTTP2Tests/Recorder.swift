import WeirBase

@testable import WeirHTTP2

/// Writes down what a session tells, and answers where a test wants it to.
final class Recorder: SessionDelegate {
    enum Event: Equatable {
        case opened(Int32, path: String)
        case answered(Int32)
        case message(Int32, [UInt8])
        case halfClosed(Int32)
        case drained(Int32)
        case closed(Int32, StreamEnd)
        case goAway(GoAway)
        case ping(UInt64)
    }

    var events: [Event] = []
    var lastHead: RequestHead?
    var onOpened: ((Session, Int32) -> Void)?
    var onMessage: ((Session, Int32, [UInt8]) -> Void)?
    var onHalfClosed: ((Session, Int32) -> Void)?
    var onDrained: ((Session, Int32) -> Void)?

    func session(_ session: Session, opened stream: Int32, _ head: RequestHead) {
        self.lastHead = head
        self.events.append(.opened(stream, path: head.path))
        self.onOpened?(session, stream)
    }

    func session(_ session: Session, answered stream: Int32, _ head: ResponseHead) {
        self.events.append(.answered(stream))
    }

    func session(_ session: Session, message stream: Int32, _ bytes: Span<UInt8>) {
        let message = bytes.array(ByteRange(offset: 0, count: bytes.count))
        self.events.append(.message(stream, message))
        self.onMessage?(session, stream, message)
    }

    func session(_ session: Session, halfClosed stream: Int32) {
        self.events.append(.halfClosed(stream))
        self.onHalfClosed?(session, stream)
    }

    func session(_ session: Session, drained stream: Int32) {
        self.events.append(.drained(stream))
        self.onDrained?(session, stream)
    }

    func session(_ session: Session, closed stream: Int32, _ end: StreamEnd) {
        self.events.append(.closed(stream, end))
    }

    func sessionSettingsReceived(_ session: Session) {}
    func session(_ session: Session, received goAway: GoAway) { self.events.append(.goAway(goAway)) }
    func session(_ session: Session, pingAcknowledged data: UInt64) { self.events.append(.ping(data)) }

    var messages: [[UInt8]] {
        self.events.compactMap { if case .message(_, let bytes) = $0 { bytes } else { nil } }
    }

    var ends: [StreamEnd] {
        self.events.compactMap { if case .closed(_, let end) = $0 { end } else { nil } }
    }

    var openedCount: Int {
        self.events.reduce(0) { if case .opened = $1 { $0 + 1 } else { $0 } }
    }
}

/// A client and a server session, joined by byte arrays.
final class Pair {
    let clientSide = Recorder()
    let serverSide = Recorder()
    let client: Session
    let server: Session
    var errors: [HTTP2Error] = []
    /// nil: bytes are delivered as they were pulled; else cut into pieces of random size up to `pieceMax`.
    var generator: SeededGenerator?
    var pieceMax = 1
    var clientToServer: [UInt8] = []

    init(
        server serverLimits: SessionLimits = .server, client clientLimits: SessionLimits = .client,
        seed: UInt64? = nil, pieceMax: Int = 1
    ) {
        self.client = Session(context: SessionContext(role: .client, limits: clientLimits), delegate: self.clientSide)
        self.server = Session(context: SessionContext(role: .server, limits: serverLimits), delegate: self.serverSide)
        self.generator = seed.map(SeededGenerator.init(seed:))
        self.pieceMax = pieceMax
    }

    /// Carries bytes both ways until neither side has any.
    func run() {
        while self.step() {}
    }

    /// One round; whether anything was carried.
    func step() -> Bool {
        let toServer = self.pull(self.client)
        self.clientToServer += toServer
        self.deliver(toServer, to: self.server)
        let toClient = self.pull(self.server)
        self.deliver(toClient, to: self.client)
        return !toServer.isEmpty || !toClient.isEmpty
    }

    func pull(_ session: Session) -> [UInt8] {
        let output = OutputQueue()
        do throws(HTTP2Error) { try session.pull(into: output) } catch { self.errors.append(error) }
        return output.drainAll()
    }

    func deliver(_ bytes: [UInt8], to session: Session) {
        var position = 0
        while position < bytes.count {
            var count = bytes.count - position
            if self.generator != nil {
                count = min(count, Int.random(in: 1...self.pieceMax, using: &self.generator!))
            }
            do throws(HTTP2Error) {
                try session.receive(bytes.span.extracting(position..<(position + count)))
            } catch {
                self.errors.append(error)
                return
            }
            position += count
        }
    }

    func open(_ path: String = "/a.B/C") -> Int32 {
        self.client.open(CallHead(path: path, authority: "cp", scheme: "http", userAgent: "test")) ?? -1
    }
}

extension OutputQueue {
    func drainAll() -> [UInt8] {
        var bytes: [UInt8] = []
        for index in 0..<self.segmentCount {
            unsafe self.withSegment(index) { segment in unsafe bytes.append(contentsOf: segment) }
        }
        self.consume(bytes.count)
        return bytes
    }
}

func pattern(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
    var generator = SeededGenerator(seed: seed)
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count + 8)
    while bytes.count < count {
        let word = generator.next()
        for shift in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: word >> UInt64(8 * shift))) }
    }
    bytes.removeLast(bytes.count - count)
    return bytes
}
