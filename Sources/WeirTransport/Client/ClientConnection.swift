package import WeirBase
package import WeirHTTP2
package import WeirLoop
package import WeirTLS

/// How a client treats its connection.
package struct ClientOptions: Sendable {
    package var limits = SessionLimits.client
    /// TCP, TLS and the server's first SETTINGS must be there after this.
    package var connectTimeout = Nanoseconds.seconds(5)
    /// A server that was silent for this long is sent a PING. Zero: never.
    package var keepaliveInterval = Nanoseconds.seconds(30)
    /// A server that is silent for this long after a PING is taken for dead.
    package var keepaliveTimeout = Nanoseconds.seconds(10)

    package init() {}
}

/// Told what happens on a connection to a server, on the loop's thread, never from within `init`.
package protocol ClientConnectionDelegate: AnyObject {
    /// Calls can be opened.
    func connected(_ connection: ClientConnection)
    /// The server's stream limit has come or changed (see `openable`).
    func openableChanged(_ connection: ClientConnection)
    /// The response headers came.
    func answered(_ connection: ClientConnection, _ stream: Int32)
    /// A whole message. The span is valid during the call.
    func message(_ connection: ClientConnection, _ stream: Int32, _ bytes: Span<UInt8>)
    /// Everything queued on the call is on its way into the socket.
    func drained(_ connection: ClientConnection, _ stream: Int32)
    /// Exactly once for each call that was opened, with the server's status or what stands in for it.
    func streamEnded(_ connection: ClientConnection, _ stream: Int32, _ end: StreamEnd)
    /// The server asks to go elsewhere: existing calls go on, new ones are not possible.
    func draining(_ connection: ClientConnection, _ goAway: GoAway)
    /// Exactly once for each connection, also if it never connected; after the end of all its calls.
    func closed(_ connection: ClientConnection, _ end: ConnectionEnd)
}

/// A connection to a gRPC server. Begins to connect when made; lives until its end has been told.
package final class ClientConnection {
    /// A number of the owner's.
    package var userData: UInt64 = 0
    package let address: SocketAddress
    package private(set) var isConnected = false

    let sessionContext: SessionContext
    private let transport: Transport
    private let options: ClientOptions
    private weak var delegate: (any ClientConnectionDelegate)?
    private(set) var link: Link?
    private var slot = -1
    private let startedAt: Instant
    private var keepalive: Keepalive

    /// - Parameters:
    ///   - context: from `makeContext`, shared by the connections of a loop.
    ///   - tls: nil for plaintext.
    ///   - host: what was dialled, as the name that the server's certificate must be for if none is configured.
    package init(
        transport: Transport, context: SessionContext, address: SocketAddress, options: ClientOptions,
        tls: TLSContext?, host: String?, delegate: any ClientConnectionDelegate
    ) {
        precondition(context.role == .client, "a client connection needs a client's context")
        self.transport = transport
        self.sessionContext = context
        self.address = address
        self.options = options
        self.delegate = delegate
        self.startedAt = transport.loop.now
        self.keepalive = Keepalive(interval: options.keepaliveInterval, timeout: options.keepaliveTimeout)
        self.slot = transport.deadlines.insert(self, due: self.startedAt + options.connectTimeout)
        do throws(SystemError) {
            let descriptor = try Socket.connect(to: address)
            self.link = Link(
                transport: transport, descriptor: descriptor, peer: address, isConnecting: true, owner: self,
                security: tls.map { .client($0, host: host) } ?? .plaintext)
        } catch {
            let end = ConnectionEnd(cause: .connectFailed, reason: error.description)
            transport.loop.runSoon { self.linkClosed(end) }
        }
    }

    /// What the client connections of one loop share.
    package static func makeContext(_ options: ClientOptions) -> SessionContext {
        SessionContext(role: .client, limits: options.limits)
    }

    // MARK: State

    /// The server has said that it goes away.
    package var isDraining: Bool { self.link?.session?.isDraining ?? false }

    /// When the last byte came; nil once the connection has ended.
    package var lastActivity: Instant? { self.link?.lastActivity }

    /// How many more calls can be opened now.
    package var openable: Int { self.isConnected ? self.link?.session?.openable ?? 0 : 0 }

    package var streamCount: Int { self.link?.session?.streamCount ?? 0 }
    package func userData(_ stream: Int32) -> UInt64? { self.link?.session?.userData(stream) }
    package func setUserData(_ stream: Int32, _ value: UInt64) { self.link?.session?.setUserData(stream, value) }
    package func pendingMessages(_ stream: Int32) -> Int { self.link?.session?.pendingMessages(stream) ?? 0 }

    // MARK: Commands

    /// Opens a bidirectional call.
    ///
    /// - Returns: its stream, or nil if `openable` is zero.
    package func open(_ call: CallHead, userData: UInt64 = 0) -> Int32? {
        guard self.isConnected, let link = self.link, let session = link.session else { return nil }
        defer { link.markDirty() }
        return session.open(call, userData: userData)
    }

    /// Queues one message (see `Session.send`).
    package func send(
        _ stream: Int32, _ body: SharedBody, _ tail: MessageTail = MessageTail()
    ) throws(StreamRefusal) {
        guard let link = self.link, let session = link.session else { throw .closed }
        try session.send(stream, body, tail)
        link.markDirty()
    }

    /// Ends our half of a call, after everything queued.
    package func halfClose(_ stream: Int32) { self.command { $0.halfClose(stream) } }

    /// Gives a call up. Its end is told later.
    package func cancel(_ stream: Int32) { self.command { $0.reset(stream, .cancel) } }

    /// Holds a call's messages back, within its window.
    package func pause(_ stream: Int32) { self.command { $0.pause(stream) } }

    /// Delivers what was held back before it returns.
    package func resume(_ stream: Int32) { self.command { $0.resume(stream) } }

    /// Closes at the next safe point; calls end as if the connection were lost.
    package func close(_ reason: String) { self.link?.close(.local, reason) }

    private func command(_ body: (Session) -> Void) {
        guard let link = self.link, let session = link.session else { return }
        body(session)
        link.markDirty()
    }
}

extension ClientConnection: DeadlineOwner {
    func deadlineReached(_ now: Instant) -> Instant {
        guard let link = self.link else { return DeadlineTable.never }
        if self.isConnected { return self.keepalive.check(now, link) }
        let due = self.startedAt + self.options.connectTimeout
        if now < due { return due }
        let missing =
            switch link.state {
            case .connecting: "connect to \(self.address)"
            case .securing: "TLS handshake with \(self.address)"
            default: "HTTP/2 SETTINGS from \(self.address)"
            }
        let text = "\(missing): not there within \(self.options.connectTimeout.seconds) s"
        link.close(link.state == .connecting ? .connectFailed : .handshakeFailed, text)
        return DeadlineTable.never
    }
}

extension ClientConnection: LinkOwner {
    func linkSecured() {}

    func linkClosed(_ end: ConnectionEnd) {
        self.transport.deadlines.remove(self.slot)
        self.isConnected = false
        self.delegate?.closed(self, end)
        self.link = nil
    }
}

extension ClientConnection {
    package func session(_ session: Session, opened stream: Int32, _ head: RequestHead) {}

    package func session(_ session: Session, answered stream: Int32, _ head: ResponseHead) {
        guard self.link?.state == .open else { return }
        self.delegate?.answered(self, stream)
    }

    package func session(_ session: Session, message stream: Int32, _ bytes: Span<UInt8>) {
        guard self.link?.state == .open else { return }
        self.delegate?.message(self, stream, bytes)
    }

    package func session(_ session: Session, halfClosed stream: Int32) {}

    package func session(_ session: Session, drained stream: Int32) {
        guard self.link?.state == .open else { return }
        self.delegate?.drained(self, stream)
    }

    package func session(_ session: Session, closed stream: Int32, _ end: StreamEnd) {
        self.delegate?.streamEnded(self, stream, end)
    }

    package func sessionSettingsReceived(_ session: Session) {
        guard self.link?.state == .open else { return }
        if !self.isConnected {
            self.isConnected = true
            self.transport.deadlines.set(self.slot, self.keepalive.firstDue(self.transport.loop.now))
            self.delegate?.connected(self)
        }
        self.delegate?.openableChanged(self)
    }

    package func session(_ session: Session, received goAway: GoAway) {
        guard self.link?.state == .open else { return }
        self.delegate?.draining(self, goAway)
    }

    package func session(_ session: Session, pingAcknowledged data: UInt64) {}
}
