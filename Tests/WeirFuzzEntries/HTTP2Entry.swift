import WeirBase
import WeirHTTP2

/// A session that is sent arbitrary bytes, or arbitrary frames with right lengths, while its owner does arbitrary
/// things. Each stream ends once, nothing is said about it afterwards, and every bound holds.
///
/// First byte: bit 0 is the role (client), bit 1 chooses frames, bit 2 leaves the preface out. Second byte: the size of
/// the pieces (bytes), or what the owner does when a stream opens.
func fuzzHTTP2(_ input: [UInt8]) throws(FuzzFinding) {
    var input = FuzzInput(input)
    let mode = input.byte()
    let owner = SessionOwner(role: mode & 1 == 1 ? .client : .server, habits: input.byte())
    if mode & 1 == 1 {
        for _ in 0..<3 { owner.open() }
    } else if mode & 4 == 0 {
        owner.receive(preface)
    }
    if mode & 1 == 1, mode & 4 == 0 { owner.receive(frame(4, 0, 0, [])) }
    owner.pull()
    if mode & 2 == 0 {
        let step = Int(owner.habits) + 1
        while !input.isEmpty {
            owner.receive(input.bytes(step))
            if owner.habits & 1 == 0 { owner.pull() }
        }
    } else {
        while !input.isEmpty { owner.act(&input) }
    }
    owner.pull()
    owner.end()
    try check(owner.findings.isEmpty, owner.findings.joined(separator: "; "))
}

private let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + frame(4, 0, 0, [])

private func frame(_ type: UInt8, _ flags: UInt8, _ stream: UInt8, _ payload: [UInt8]) -> [UInt8] {
    let count = payload.count
    return [
        UInt8(truncatingIfNeeded: count >> 16), UInt8(truncatingIfNeeded: count >> 8), UInt8(truncatingIfNeeded: count),
        type, flags, 0, 0, 0, stream,
    ] + payload
}

/// A header block of literal fields without indexing (RFC 7541 §6.2.2); names and values are short.
private func block(_ fields: [(String, String)]) -> [UInt8] {
    var block: [UInt8] = []
    for (name, value) in fields {
        block.append(0)
        for text in [name, value] {
            block.append(UInt8(text.utf8.count))
            block.append(contentsOf: text.utf8)
        }
    }
    return block
}

private let requestBlocks: [[UInt8]] = ["identity", "gzip", "br"].map { encoding in
    block([
        (":method", "POST"), (":scheme", "http"), (":path", "/a.B/C"), (":authority", "x"),
        ("content-type", "application/grpc"), ("grpc-encoding", encoding), ("grpc-timeout", "1S"),
    ])
}
private let responseBlock = block([(":status", "200"), ("content-type", "application/grpc+proto")])
private let trailerBlock = block([("grpc-status", "13"), ("grpc-message", "%e4x")])

private let limits: SessionLimits = {
    var limits = SessionLimits()
    limits.streamsMax = 6
    limits.streamWindowBytes = 3_000
    limits.connectionWindowBytes = 70_000
    limits.messageBytesMax = 2_000
    limits.partialBytesMax = 3_000
    limits.headerListBytesMax = 600
    limits.queuedMessagesMax = 4
    limits.outputBytesMax = 5_000
    limits.acknowledgementsMax = 8
    limits.resetsBurst = 8
    limits.resetsPerSecond = 1
    return limits
}()

/// Owns a session as a connection does.
private final class SessionOwner: SessionDelegate {
    private lazy var session = Session(context: SessionContext(role: self.role, limits: limits), delegate: self)
    private let role: SessionRole
    let habits: UInt8
    private(set) var findings: [String] = []
    /// Streams by whether their end was told.
    private var streams: [Int32: Bool] = [:]
    private var isGone = false

    private static let body = SharedBody(GRPCFrame.body([UInt8](repeating: 7, count: 1_500)).bytes)

    init(role: SessionRole, habits: UInt8) {
        self.role = role
        self.habits = habits
    }

    func receive(_ bytes: [UInt8]) {
        guard !self.isGone else { return }
        do throws(HTTP2Error) { try self.session.receive(bytes.span) } catch { self.lose("\(error)") }
    }

    /// Writes everything that the session wants to write, or what fits once.
    func pull() {
        let output = OutputQueue()
        for _ in 0..<1_000 where !self.isGone {
            do throws(HTTP2Error) { try self.session.pull(into: output) } catch { return self.lose("\(error)") }
            // A frame is begun below the bound, and has up to 16 KiB.
            if output.count > limits.outputBytesMax + 17_000 { self.findings.append("\(output.count) bytes of output") }
            if output.isEmpty {
                if self.session.isFinished { self.lose("finished") }
                return
            }
            output.consume(output.count)
        }
    }

    private func lose(_ reason: String) {
        self.isGone = true
        self.session.abandon(.unavailable, reason)
    }

    func end() {
        if !self.isGone { self.lose("end") }
        if self.session.streamCount != 0 { self.findings.append("\(self.session.streamCount) streams are left") }
        for (stream, isOver) in self.streams where !isOver { self.findings.append("stream \(stream) has no end") }
    }

    func open() {
        guard !self.isGone, self.role == .client else { return }
        let call = CallHead(path: "/a.B/C", authority: "x", scheme: "http", userAgent: "fuzz")
        if let stream = self.session.open(call) { self.streams[stream] = false }
    }

    /// One frame from the peer, or one thing that the owner does.
    func act(_ input: inout FuzzInput) {
        let type = input.byte()
        let stream = input.byte()
        let id = Int32(stream)
        switch type {
        case 0...9:
            let flags = input.byte()
            self.receive(frame(type, flags, stream, input.bytes(Int(input.byte()))))
        case 10: self.receive(frame(1, 4, stream, requestBlocks[0]))
        case 11: self.receive(frame(1, 4, stream, requestBlocks[1]))
        case 12: self.receive(frame(1, 5, stream, requestBlocks[2]))
        case 13: self.receive(frame(1, 4, stream, responseBlock))
        case 14: self.receive(frame(1, 5, stream, trailerBlock))
        case 15: self.receive(frame(0, 0, stream, GRPCFrame.body(input.bytes(Int(input.byte()))).bytes))
        case 16: self.receive(frame(0, 0, stream, [UInt8](repeating: 0, count: 60 * Int(input.byte()))))
        case 17: self.receive(frame(8, 0, stream, [0, 1, 0, input.byte()]))
        default: if !self.isGone { self.command(type, id) }
        }
    }

    private func command(_ type: UInt8, _ id: Int32) {
        switch type {
        case 18: self.session.pause(id)
        case 19: self.session.resume(id)
        case 20: self.session.respond(id)
        case 21: self.session.finish(id, .aborted, "ä\n")
        case 22: self.session.reset(id, .cancel)
        case 23: self.session.halfClose(id)
        case 24: self.session.ping(UInt64(id.magnitude))
        case 25: self.session.shutdownNotice()
        case 26: self.session.goAway(.noError, "bye")
        case 27: self.session.terminate(.enhanceYourCalm)
        case 28: self.open()
        case 29: self.lose("asked")
        case 30...39: self.send(id)
        default: self.pull()
        }
    }

    private func send(_ id: Int32) {
        let isOver = self.streams[id] ?? true
        let body = isOver ? SharedBody(GRPCFrame.body([1]).bytes) : SessionOwner.body
        try? self.session.send(id, body)
        if self.session.pendingMessages(id) > limits.queuedMessagesMax { self.findings.append("a queue is too long") }
    }

    // MARK: SessionDelegate

    private func expectOpen(_ stream: Int32, _ event: String) {
        if self.streams[stream] != false { self.findings.append("\(event) on stream \(stream), which is not open") }
    }

    func session(_ session: Session, opened stream: Int32, _ head: RequestHead) {
        if self.streams[stream] != nil { self.findings.append("stream \(stream) opened twice") }
        self.streams[stream] = false
        if self.streams.values.count(where: { !$0 }) > limits.streamsMax { self.findings.append("too many streams") }
        session.setUserData(stream, UInt64(stream))
        if self.habits & 2 != 0 { session.respond(stream) }
        if self.habits & 4 != 0 { session.pause(stream) }
        if self.habits & 8 != 0 { session.finish(stream, .unimplemented, "no") }
    }

    func session(_ session: Session, answered stream: Int32, _ head: ResponseHead) {
        self.expectOpen(stream, "headers")
        if self.habits & 4 != 0 { session.pause(stream) }
    }

    func session(_ session: Session, message stream: Int32, _ bytes: Span<UInt8>) {
        self.expectOpen(stream, "a message")
        if bytes.count > limits.messageBytesMax { self.findings.append("a message of \(bytes.count) bytes") }
        if self.habits & 16 != 0 { self.send(stream) }
        if self.habits & 32 != 0 { session.pause(stream) }
        if self.habits & 64 != 0 { session.reset(stream, .cancel) }
    }

    func session(_ session: Session, halfClosed stream: Int32) {
        self.expectOpen(stream, "a half-close")
        if self.habits & 128 != 0 { session.finish(stream, .ok) }
    }

    func session(_ session: Session, drained stream: Int32) { self.expectOpen(stream, "drained") }

    func session(_ session: Session, closed stream: Int32, _ end: StreamEnd) {
        self.expectOpen(stream, "an end")
        self.streams[stream] = true
    }

    func sessionSettingsReceived(_ session: Session) {}
    func session(_ session: Session, received goAway: GoAway) {}
    func session(_ session: Session, pingAcknowledged data: UInt64) {}
}
