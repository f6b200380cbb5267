import WeirBase
import WeirHTTP2
import WeirLoop
import WeirTLS

/// Whose connection a link is: told what happens to the bytes' way; the session tells it the rest.
protocol LinkOwner: SessionDelegate {
    var sessionContext: SessionContext { get }
    /// TCP and TLS are there; the session exists, and has its first frames to write.
    func linkSecured()
    /// What the peer did that no stream hears of.
    func linkNoticed(_ incidents: SessionIncidents)
    /// Something could not be written: the socket is full, or a stream's window is. Told after each attempt.
    func linkWaits()
    /// The link is gone, and all its streams have been ended. Once.
    func linkClosed(_ end: ConnectionEnd)
}

extension LinkOwner {
    func linkNoticed(_ incidents: SessionIncidents) {}
    func linkWaits() {}
}

/// A socket, TLS if wanted, and an HTTP/2 session on it; what server and client connections have in common.
///
/// It dies at a safe point: `close` only marks it, and the loop ends it after the present callback.
final class Link {
    enum State { case connecting, securing, open, closing, closed }

    // First what every push and ACK touches: of ten thousand connections each cache line counts.
    private(set) var state: State
    private var isDirty = false
    private var isBlocked = false
    private(set) var isReadingPaused = false
    private(set) var session: Session?
    private(set) var tls: TLSSession?
    /// Open until the link is closed: what is read and written.
    private let descriptor: CInt
    private var ownedDescriptor: Descriptor?
    /// What a full socket left over; nil most of the time.
    private var output: OutputQueue?
    let transport: Transport
    private(set) var lastActivity: Instant
    /// What is fetched while the kernel reads.
    var footprint = Footprint()
    /// Holds the link until it was told of the link's end, and is held by the transport's deadlines until then: the link tells
    /// it nothing after that, and `close` only marks.
    private unowned let owner: any LinkOwner

    let peer: SocketAddress
    private let security: LinkSecurity
    private var watcher: IOWatcher?
    private var end: ConnectionEnd?
    /// Since when the socket has taken nothing; nil while it does.
    private(set) var blockedSince: Instant?

    /// Bytes that one readable event may bring before others get their turn.
    private static let readsPerTurn = 4
    /// Bytes that one flush may write.
    private static let writeBudget = 1 << 20

    init(
        transport: Transport, descriptor: CInt, peer: SocketAddress, isConnecting: Bool, owner: any LinkOwner,
        security: LinkSecurity
    ) {
        self.transport = transport
        self.peer = peer
        self.owner = owner
        self.security = security
        self.state = isConnecting ? .connecting : .securing
        self.lastActivity = transport.loop.now
        self.descriptor = descriptor
        self.ownedDescriptor = Descriptor(descriptor)
        // The watcher is the link's own and stops with it; this holds for every watcher whose callback has an unowned `self`.
        self.watcher = IOWatcher(loop: transport.loop, descriptor: descriptor) { [unowned self] readiness in
            self.ready(readiness)
        }
        if isConnecting { self.watcher?.interest = .write } else { self.connected() }
    }

    // MARK: Stages

    private func ready(_ readiness: Readiness) {
        switch self.state {
        case .connecting: self.connectEnded()
        case .securing, .open:
            if readiness.contains(.write) { self.writable() }
            if readiness.contains(.read) { self.readable() }
        case .closing, .closed: break
        }
    }

    private func connectEnded() {
        if let error = Socket.connectionError(self.descriptor) {
            let text = "connect to \(self.peer): \(SystemError.text(error.code))"
            return self.close(.connectFailed, text)
        }
        Socket.setNoDelay(self.descriptor)
        self.state = .securing
        self.connected()
    }

    private func connected() {
        do throws(TLSError) {
            self.tls = try self.security.makeSession()
        } catch {
            return self.tlsFailed(error)
        }
        if self.tls == nil { self.secured() }
        self.updateInterest()
        // A client speaks first (RFC 9113 §3.4), so a server's SETTINGS go with what they are answered with.
        if self.owner.sessionContext.role == .client { self.markDirty() }
    }

    /// To be followed by `markDirty`, for the session has its first frames to write.
    private func secured() {
        guard self.state == .securing else { return }
        let owner = self.owner
        self.state = .open
        self.session = Session(context: owner.sessionContext, delegate: owner)
        owner.linkSecured()
    }

    private func tlsFailed(_ error: TLSError) {
        if self.state == .open {
            self.close(.peer, "TLS connection with \(self.peer) failed: \(error)")
        } else {
            self.close(.handshakeFailed, "TLS handshake with \(self.peer) failed: \(error)")
        }
    }

    private func updateInterest() {
        guard self.state == .securing || self.state == .open else { return }
        var interest: Readiness = []
        if !self.isReadingPaused { interest.insert(.read) }
        if self.isBlocked { interest.insert(.write) }
        self.watcher?.interest = interest
    }

    // MARK: Reading

    /// The kernel's buffer, and with it the peer, is held back until `resumeReading`.
    func pauseReading() {
        self.isReadingPaused = true
        self.updateInterest()
    }

    func resumeReading() {
        guard self.isReadingPaused else { return }
        self.isReadingPaused = false
        self.lastActivity = self.transport.loop.now
        self.updateInterest()
    }

    private func readable() {
        self.footprint.prefetch()
        for _ in 0..<Self.readsPerTurn {
            guard !self.isReadingPaused, self.state == .securing || self.state == .open else { break }
            do throws(SystemError) {
                switch try self.transport.readBuffer.read(from: self.descriptor) {
                case .bytes(let count):
                    self.lastActivity = self.transport.loop.now
                    self.received()
                    if count < self.transport.readBuffer.capacity { return self.markDirtyAfterReading() }
                case .wouldBlock: return self.markDirtyAfterReading()
                case .closed: return self.peerClosed()
                }
            } catch {
                return self.failed(error)
            }
        }
        self.markDirtyAfterReading()
    }

    /// Most of what clients say, ACKs, leaves nothing to write.
    private func markDirtyAfterReading() {
        if self.state == .open, self.session?.isQuiet ?? false, self.tls.map({ $0.pendingCiphertext == 0 }) ?? true {
            return
        }
        self.markDirty()
    }

    private func peerClosed() {
        if self.state == .securing {
            return self.close(.handshakeFailed, "\(self.peer) closed the connection during the TLS handshake")
        }
        self.close(.peer, self.session?.violation ?? "\(self.peer) closed the connection")
    }

    private func failed(_ error: SystemError) {
        self.close(.peer, "connection with \(self.peer) failed: \(error)")
    }

    private func received() {
        guard let tls = self.tls else {
            return self.transport.readBuffer.withBytes { bytes in self.receivedPlaintext(bytes) }
        }
        do throws(TLSError) {
            try self.transport.readBuffer.withBytes { bytes throws(TLSError) in try tls.receive(bytes) }
            if self.state == .securing, tls.handshakeState == .done { self.secured() }
            try tls.readPlaintext { bytes in self.receivedPlaintext(bytes) }
            if tls.peerClosed { self.peerClosed() }
        } catch {
            self.tlsFailed(error)
        }
    }

    private func receivedPlaintext(_ bytes: Span<UInt8>) {
        guard self.state == .open, let session = self.session else { return }
        do throws(HTTP2Error) {
            try session.receive(bytes)
            if session.incidents.hasAny { self.owner.linkNoticed(session.takeIncidents()) }
        } catch {
            self.close(
                session.isEstablished ? .protocolViolated : .handshakeFailed, "connection with \(self.peer): \(error)")
        }
    }

    // MARK: Writing

    /// There may be something to write: looked at once, before the loop sleeps.
    func markDirty() {
        guard !self.isDirty, !self.isBlocked, self.state == .securing || self.state == .open else { return }
        self.isDirty = true
        self.transport.enlist(self)
    }

    func flushNextTurn() {
        self.isDirty = false
        self.isBlocked = true
        self.blockedSince = self.transport.loop.now
        self.updateInterest()
        self.owner.linkWaits()
    }

    private func writable() {
        guard self.isBlocked else { return }
        self.isBlocked = false
        self.blockedSince = nil
        // Room in a socket that was full: the peer's kernel acknowledges what we sent.
        self.lastActivity = self.transport.loop.now
        self.flush()
        self.updateInterest()
    }

    func flush() {
        self.isDirty = false
        guard !self.isBlocked, self.state == .securing || self.state == .open else { return }
        do throws(LinkFailure) {
            if try !self.write() { self.flushNextTurn() }
        } catch {
            return self.close(error.cause, error.reason)
        }
        guard self.state == .open, !self.isBlocked, let session = self.session else { return }
        if session.waitingStreams > 0 { self.owner.linkWaits() }
        guard session.isFinished else { return }
        if let violation = session.violation {
            self.close(.protocolViolated, "\(self.peer) broke HTTP/2: \(violation)")
        } else {
            self.close(session.isDraining ? .peer : .local, "connection with \(self.peer) is drained")
        }
    }

    /// - Returns: false if the socket is full, or the budget is used up.
    private func write() throws(LinkFailure) -> Bool {
        var budget = Self.writeBudget
        while try self.writeStaged() {
            guard let session = self.session, session.wantsWrite else { return true }
            guard budget > 0 else { return false }
            let staged = try self.stage(session)
            // What nghttp2 dropped (a frame for a stream that is gone) leaves nothing to write.
            if staged == 0 { return true }
            // It had no more; what was queued since has marked the link again.
            if staged < session.context.limits.outputBytesMax { return try self.writeStaged() }
            budget -= staged
        }
        return false
    }

    private func stage(_ session: Session) throws(LinkFailure) -> Int {
        let output = self.transport.takeOutput()
        do throws(HTTP2Error) {
            try session.pull(into: output)
        } catch {
            self.transport.giveBack(output)
            throw LinkFailure(cause: .protocolViolated, reason: "connection with \(self.peer): \(error)")
        }
        let count = output.count
        if let tls = self.tls {
            defer { self.transport.giveBack(output) }
            try self.encrypt(output, tls)
        } else {
            self.output = output
        }
        return count
    }

    private func writeStaged() throws(LinkFailure) -> Bool {
        do throws(SystemError) {
            return try self.tls == nil ? self.writeOutput() : self.writeCiphertext(self.descriptor)
        } catch {
            if let output = self.output.take() { self.transport.giveBack(output) }
            throw LinkFailure(cause: .peer, reason: "connection with \(self.peer) failed: \(error)")
        }
    }

    private func writeOutput() throws(SystemError) -> Bool {
        guard let output = self.output else { return true }
        while !output.isEmpty {
            switch try self.writeOnce(output) {
            case .bytes(let count): output.consume(count)
            case .wouldBlock:
                self.transport.keepOutput(output)
                return false
            }
        }
        self.output = nil
        self.transport.giveBack(output)
        return true
    }

    private func writeOnce(_ output: OutputQueue) throws(SystemError) -> WriteResult {
        if output.segmentCount > 1 {
            return unsafe try Socket.gatherWrite(self.descriptor, count: output.segmentCount) { index, use in
                unsafe output.withSegment(index, use)
            }
        }
        var result = WriteResult.wouldBlock
        var failure: SystemError?
        unsafe output.withSegment(0) { bytes in
            do throws(SystemError) { result = try unsafe Socket.write(self.descriptor, bytes) } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return result
    }

    // MARK: End

    /// Ends the link at the next safe point. The first reason counts.
    func close(_ cause: ConnectionEnd.Cause, _ reason: String) {
        guard self.state != .closing, self.state != .closed else { return }
        let wasSecured = self.state == .open
        self.state = .closing
        self.end = ConnectionEnd(cause: cause, reason: reason)
        self.watcher?.interest = []
        self.transport.loop.runSoon { self.finalize(sayGoodbye: wasSecured && cause != .peer) }
    }

    private func finalize(sayGoodbye: Bool) {
        guard self.state == .closing, let end = self.end else { return }
        self.sayLastWords(sayGoodbye)
        self.state = .closed
        self.watcher?.cancel()
        self.watcher = nil
        self.tls = nil
        self.session?.abandon(.unavailable, end.reason)
        self.session = nil
        if let output = self.output.take() { self.transport.giveBack(output) }
        self.ownedDescriptor = nil
        self.owner.linkClosed(end)
    }

    /// As much of a GOAWAY, a TLS alert and a close_notify as the socket takes; nobody waits for more.
    private func sayLastWords(_ isSecured: Bool) {
        guard !self.isBlocked else { return }
        do throws(LinkFailure) {
            guard try self.writeStaged(), isSecured, let session = self.session, !session.isFinished else { return }
            session.terminate(.noError)
            if session.wantsWrite { _ = try self.stage(session) }
            self.tls?.shutdown()
            _ = try self.writeStaged()
        } catch {
            // It is gone already.
        }
    }
}

/// What protects a link.
enum LinkSecurity {
    case plaintext
    case server(TLSContext)
    /// `host`: what was dialled.
    case client(TLSContext, host: String?)

    func makeSession() throws(TLSError) -> TLSSession? {
        switch self {
        case .plaintext: nil
        case .server(let context): try TLSSession(context: context, role: .server)
        case .client(let context, let host): try TLSSession(client: context, serverName: host)
        }
    }
}

struct LinkFailure: Error {
    var cause: ConnectionEnd.Cause
    var reason: String
}
