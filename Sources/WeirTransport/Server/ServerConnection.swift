package import WeirBase
package import WeirHTTP2
package import WeirLoop
package import WeirTLS

/// One accepted connection. Lives until its end has been told; confined to its loop.
///
/// What is sent within a turn of the loop goes out in one piece before the loop sleeps.
package final class ServerConnection {
    // First what every push and ACK touches, so that it shares a cache line with the object's head.
    private var link: Link?
    /// A number of the owner's, such as a packed slot id.
    package var userData: UInt64 = 0
    /// Outlives its connections: a worker's `Downstream`, which is there as long as the worker's loop turns.
    package unowned let delegate: any ServerConnectionDelegate
    /// Who the client has proved to be; nil without TLS or without a client certificate.
    package private(set) var peerIdentity: PeerIdentity?
    package let openedAt: Instant

    let sessionContext: SessionContext
    private let listener: ServerListener
    /// Where the listener keeps it while something waits to be written; -1 while nothing does.
    var waitingPart: Int8 = -1
    private let transport: Transport
    private let options: ServerOptions
    private var slot = -1
    private var isOpened = false
    private var keepalive: Keepalive
    private var drain: Drain?
    private var ageDue = DeadlineTable.never
    /// Streams with a `grpc-timeout`; few.
    private var streamDeadlines: [(stream: Int32, due: Instant)] = []
    /// Frames that cost us work and mean nothing.
    private var noise: TokenBucket

    /// The client's address.
    package let peer: SocketAddress

    init(listener: ServerListener, descriptor: CInt, peer: SocketAddress) {
        self.listener = listener
        self.transport = listener.transport
        self.options = listener.options
        self.sessionContext = listener.sessionContext
        self.delegate = listener.delegate
        self.peer = peer
        self.openedAt = listener.transport.loop.now
        self.keepalive = Keepalive(
            interval: listener.options.keepaliveInterval, timeout: listener.options.keepaliveTimeout)
        self.noise = TokenBucket(
            perSecond: listener.options.limits.noisePerSecond, burst: listener.options.limits.noiseBurst)
        self.slot = self.transport.deadlines.insert(self, due: self.openedAt + self.options.handshakeTimeout)
        let security = listener.tls.map { LinkSecurity.server($0) } ?? .plaintext
        self.link = Link(
            transport: self.transport, descriptor: descriptor, peer: peer, isConnecting: false, owner: self,
            security: security)
    }

    // MARK: State

    package var isTLS: Bool { self.link?.tls != nil }
    package var streamCount: Int { self.link?.session?.streamCount ?? 0 }
    package var streamIDs: [Int32] { self.link?.session?.streamIDs ?? [] }

    /// A number of the owner's for a stream; nil if the stream is gone.
    package func userData(_ stream: Int32) -> UInt64? { self.link?.session?.userData(stream) }
    package func setUserData(_ stream: Int32, _ value: UInt64) { self.link?.session?.setUserData(stream, value) }

    /// Since when the client's socket has taken nothing of what waits for it; nil while it takes what there is.
    package var blockedSince: Instant? { self.link?.blockedSince }

    /// Whether something could not be written.
    var isWaiting: Bool { self.blockedSince != nil || (self.link?.session?.waitingStreams ?? 0) > 0 }

    /// Streams on which messages wait, each with how much of it was taken so far, in bytes.
    package func forEachWaiting(_ body: (_ stream: Int32, _ taken: Int) -> Void) {
        self.link?.session?.forEachWaiting(body)
    }

    /// Messages that wait on a stream.
    package func pendingMessages(_ stream: Int32) -> Int { self.link?.session?.pendingMessages(stream) ?? 0 }

    /// Where a push to a stream will find what it touches first. What the client says to it next touches much the same, and
    /// is fetched of itself.
    package func footprint(of stream: Int32) -> Footprint {
        var footprint = Footprint()
        footprint.add(self)
        if let link = self.link {
            footprint.add(link)
            link.session?.note(in: &footprint, stream: stream)
            link.footprint = footprint
        }
        return footprint
    }

    // MARK: Commands

    /// Sends the response headers now instead of with the first message.
    package func respond(_ stream: Int32) { self.command { $0.respond(stream) } }

    /// Queues one message (see `Session.send`); response headers go first.
    package func send(
        _ stream: Int32, _ body: SharedBody, _ tail: MessageTail = MessageTail()
    ) throws(StreamRefusal) {
        guard let link = self.link, let session = link.session else { throw .closed }
        try session.send(stream, body, tail)
        link.markDirty()
    }

    /// Ends a stream with a status, after everything queued on it.
    package func finish(_ stream: Int32, _ status: GRPCStatus, _ message: String = "") {
        self.command { $0.finish(stream, status, message) }
    }

    /// Ends a stream at once and without status.
    package func reset(_ stream: Int32, _ code: HTTP2ErrorCode) { self.command { $0.reset(stream, code) } }

    /// Holds a stream's messages back, within its window.
    package func pause(_ stream: Int32) { self.command { $0.pause(stream) } }

    /// Delivers what was held back before it returns.
    package func resume(_ stream: Int32) { self.command { $0.resume(stream) } }

    /// Reads nothing more from the socket until `resumeReading`; keepalive rests meanwhile.
    package func pauseReading() { self.link?.pauseReading() }

    package func resumeReading() { self.link?.resumeReading() }

    /// Asks the client to go elsewhere (GOAWAY); after `grace` what streams are left end UNAVAILABLE with `reason`, and
    /// the connection closes when they have. A shorter grace replaces a longer one.
    package func goAwayGraceful(grace: Nanoseconds, reason: String) {
        guard let session = self.link?.session else { return self.close(reason) }
        let due = self.transport.loop.now + grace
        if self.drain == nil {
            self.drain = Drain(begun: self.transport.loop.now, due: due, reason: reason)
            session.shutdownNotice()
            // A round trip later all streams that the client opened before it knew are here.
            session.ping(Drain.pingData)
            self.link?.markDirty()
        } else if let old = self.drain, due < old.due {
            self.drain?.due = due
        }
        self.transport.deadlines.set(self.slot, min(due, self.transport.loop.now + Drain.pingTimeout))
    }

    /// Closes at the next safe point; streams end as if the connection were lost.
    package func close(_ reason: String) { self.link?.close(.local, reason) }

    private func command(_ body: (Session) -> Void) {
        guard let link = self.link, let session = link.session else { return }
        body(session)
        link.markDirty()
    }
}

// MARK: - Time

extension ServerConnection: DeadlineOwner {
    func deadlineReached(_ now: Instant) -> Instant {
        guard let link = self.link else { return DeadlineTable.never }
        guard self.isOpened else { return self.handshakeDeadline(now, link) }
        self.endLateStreams(now)
        if now >= self.ageDue {
            self.ageDue = DeadlineTable.never
            self.goAwayGraceful(grace: self.options.connectionAgeGrace, reason: "max_age")
        }
        let keepaliveDue = self.keepalive.check(now, link)
        let drainDue = self.drainDeadline(now, link)
        return min(keepaliveDue, drainDue, self.ageDue, self.streamDeadlines.map(\.due).min() ?? DeadlineTable.never)
    }

    private func handshakeDeadline(_ now: Instant, _ link: Link) -> Instant {
        let due = self.openedAt + self.options.handshakeTimeout
        if now < due { return due }
        let what = link.state == .securing ? "TLS handshake" : "HTTP/2 preface"
        let text = "no \(what) from \(self.peer) within \(self.options.handshakeTimeout.seconds) s"
        link.close(.handshakeFailed, text)
        return DeadlineTable.never
    }

    private func endLateStreams(_ now: Instant) {
        for (stream, due) in self.streamDeadlines where due <= now {
            self.finish(stream, .deadlineExceeded, "the client's grpc-timeout has passed")
        }
        self.streamDeadlines.removeAll { $0.due <= now }
    }

    private func drainDeadline(_ now: Instant, _ link: Link) -> Instant {
        guard let drain = self.drain, let session = link.session else { return DeadlineTable.never }
        if now >= min(drain.due, drain.begun + Drain.pingTimeout) { self.sayFinalGoAway() }
        if now >= drain.due + Drain.endTimeout {
            link.close(.local, drain.reason)
            return DeadlineTable.never
        }
        guard now >= drain.due else {
            return self.drain?.isFinal == true ? drain.due : min(drain.due, drain.begun + Drain.pingTimeout)
        }
        for stream in session.streamIDs { session.finish(stream, .unavailable, drain.reason) }
        link.markDirty()
        return drain.due + Drain.endTimeout
    }

    private func sayFinalGoAway() {
        guard let drain = self.drain, !drain.isFinal else { return }
        self.drain?.isFinal = true
        self.command { $0.goAway(.noError, drain.reason) }
    }

    private func startAge() {
        let age = self.options.connectionAgeMax
        guard age > .zero else { return }
        let percent = Int64.random(in: 90...110, using: &self.transport.generator)
        let (scaled, overflow) = age.rawValue.multipliedReportingOverflow(by: percent)
        if !overflow { self.ageDue = self.openedAt + Nanoseconds(rawValue: scaled / 100) }
    }
}

// MARK: - Link

extension ServerConnection: LinkOwner {
    func linkSecured() { self.peerIdentity = self.link?.tls?.peerIdentity }

    func linkNoticed(_ incidents: SessionIncidents) {
        for _ in 0..<incidents.refusedRequests {
            let text = "a request of \(self.peer) was refused by its headers"
            self.transport.log(TransportEvent(kind: .requestRefused, peer: self.peer, text: text))
        }
        guard !self.noise.take(incidents.noise, at: self.transport.loop.now), let link = self.link else { return }
        link.session?.terminate(.enhanceYourCalm)
        link.close(
            .protocolViolated,
            "\(self.peer) floods the connection with PING, SETTINGS, empty DATA or tiny WINDOW_UPDATE frames")
    }

    func linkWaits() { if self.waitingPart < 0 { self.listener.waitingConnections.add(self) } }

    func linkClosed(_ end: ConnectionEnd) {
        self.listener.waitingConnections.remove(self)
        self.transport.deadlines.remove(self.slot)
        self.listener.connectionEnded(self)
        if self.isOpened { self.delegate.connectionClosed(self, end) }
        self.logEnd(end)
        self.link = nil
    }

    private func logEnd(_ end: ConnectionEnd) {
        let kind: TransportEvent.Kind
        switch end.cause {
        case .handshakeFailed: kind = .handshakeFailed
        case .protocolViolated: kind = .protocolViolated
        case .keepaliveFailed: kind = .keepaliveFailed
        case .peer, .local, .connectFailed: return
        }
        self.transport.log(TransportEvent(kind: kind, peer: self.peer, text: end.reason))
    }
}

// MARK: - Session

extension ServerConnection {
    package func session(_ session: Session, opened stream: Int32, _ head: RequestHead) {
        if let timeout = head.timeout {
            let (due, overflow) = self.transport.loop.now.rawValue.addingReportingOverflow(timeout.rawValue)
            if !overflow {
                self.streamDeadlines.append((stream, Instant(rawValue: due)))
                self.transport.deadlines.set(self.slot, self.transport.loop.now)
            }
        }
        self.delegate.streamOpened(self, stream, head)
    }

    package func session(_ session: Session, answered stream: Int32, _ head: ResponseHead) {}

    package func session(_ session: Session, message stream: Int32, _ bytes: Span<UInt8>) {
        guard self.link?.state == .open else { return }
        self.delegate.message(self, stream, session.userData(stream) ?? 0, bytes)
    }

    package func session(_ session: Session, halfClosed stream: Int32) {
        guard self.link?.state == .open else { return }
        self.delegate.streamHalfClosed(self, stream)
    }

    package func session(_ session: Session, drained stream: Int32) {
        guard self.link?.state == .open else { return }
        self.delegate.drained(self, stream, session.userData(stream) ?? 0)
    }

    package func session(_ session: Session, closed stream: Int32, _ end: StreamEnd) {
        if !self.streamDeadlines.isEmpty { self.streamDeadlines.removeAll { $0.stream == stream } }
        self.delegate.streamClosed(self, stream, end)
    }

    package func sessionSettingsReceived(_ session: Session) {
        guard !self.isOpened, self.link?.state == .open else { return }
        self.isOpened = true
        self.startAge()
        // Asked now, the connection answers with its earliest deadline.
        self.transport.deadlines.set(self.slot, self.transport.loop.now)
        self.delegate.connectionOpened(self)
    }

    package func session(_ session: Session, received goAway: GoAway) {}

    package func session(_ session: Session, pingAcknowledged data: UInt64) {
        if data == Drain.pingData { self.sayFinalGoAway() }
    }
}

/// A connection that is asked to go elsewhere.
private struct Drain {
    /// Tells the PING of a drain from those of the keepalive.
    static let pingData: UInt64 = 0x7765_6972_0000_0001
    /// A client that does not answer the PING gets the final GOAWAY all the same.
    static let pingTimeout = Nanoseconds.seconds(1)
    /// Streams that were ended have this long to take their trailers.
    static let endTimeout = Nanoseconds.seconds(5)

    var begun: Instant
    /// When the streams that are left are ended.
    var due: Instant
    var reason: String
    var isFinal = false
}
