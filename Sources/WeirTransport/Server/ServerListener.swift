import WeirBase
import WeirHTTP2
package import WeirLoop
package import WeirTLS

/// Accepts connections on one address, on one loop. Several listeners, one per loop, may share a TCP port.
package final class ServerListener {
    /// For connections to come; those there are keep theirs. Nil: plaintext.
    package var tls: TLSContext?
    /// For connections to come.
    package var options: ServerOptions {
        didSet { self.makeContext() }
    }
    /// Where it listens: the real port if port 0 was asked for.
    package let address: SocketAddress
    /// All connections that have not ended, also those that are still in their handshake; in no particular order.
    package private(set) var connections: ContiguousArray<ServerConnection> = []

    let transport: Transport
    private(set) var sessionContext: SessionContext
    /// Outlives the listener, which it holds.
    unowned let delegate: any ServerConnectionDelegate
    private let quota: ConnectionQuota
    private var positions: [ObjectIdentifier: Int] = [:]
    private var descriptor: Descriptor?
    private var watcher: IOWatcher?
    private var pauseTimer: TimerWatcher?
    private var waiting: AdmissionQueue?
    package var waitingConnections = WaitingConnections()

    /// Connections accepted per event, so that a herd does not starve those who are served.
    private static let batch = 16
    /// The same where there is a rate: most of a storm is only told to wait, or to go, and must not stand in the kernel's
    /// queue for that, where nobody sees how long.
    private static let batchOfStorm = 512
    /// What that many take is about what the heap grows by at once.
    private static let connectionsPerGrowth = 4
    /// How long accepting rests when descriptors have run out.
    private static let pause = Nanoseconds.milliseconds(200)

    private func makeContext() {
        self.sessionContext = SessionContext(role: .server, limits: self.options.limits, isSecure: self.tls != nil)
    }

    /// Listens on `address`; loops that do the same share a TCP port, and the kernel spreads connections over them.
    package convenience init(
        transport: Transport, address: SocketAddress, options: ServerOptions, tls: TLSContext?,
        quota: ConnectionQuota, delegate: any ServerConnectionDelegate
    ) throws(SystemError) {
        let descriptor = try Socket.listen(on: address, reusePort: true, backlog: options.backlog)
        self.init(
            transport: transport, listening: descriptor, options: options, tls: tls, quota: quota, delegate: delegate)
    }

    /// Takes over a listening descriptor: how loops share a Unix socket (`Socket.duplicate`).
    package init(
        transport: Transport, listening descriptor: CInt, options: ServerOptions, tls: TLSContext?,
        quota: ConnectionQuota, delegate: any ServerConnectionDelegate
    ) {
        self.transport = transport
        self.options = options
        self.tls = tls
        self.quota = quota
        self.delegate = delegate
        self.sessionContext = SessionContext(role: .server, limits: options.limits, isSecure: tls != nil)
        self.descriptor = Descriptor(descriptor)
        self.address = Socket.localAddress(descriptor) ?? .unix(path: "")
        // The kernel gives it to each connection that is accepted.
        Socket.setNoDelay(descriptor)
        self.watcher = IOWatcher(loop: transport.loop, descriptor: descriptor) { [unowned self] _ in self.accept() }
        self.watcher?.interest = .read
        self.pauseTimer = TimerWatcher(loop: transport.loop) { [unowned self] in self.watcher?.interest = .read }
        self.waiting = AdmissionQueue(loop: transport.loop, pace: { quota.admission.pace }) { [unowned self] in
            self.begin($0.descriptor, $0.peer)
        } giveUp: { [unowned self] entry, reason in
            self.drop(entry.descriptor)
            self.tell(.connectionRateExceeded, entry.peer, "\(entry.peer) \(reason)")
        }
    }

    /// Accepts no more, and closes those that wait for their turn; connections go on, and keep the listener until they have ended.
    package func stop() {
        self.pauseTimer?.cancel()
        for entry in self.waiting?.removeAll() ?? [] { self.drop(entry.descriptor) }
        self.watcher?.cancel()
        self.watcher = nil
        self.descriptor = nil
    }

    private func accept() {
        for _ in 0..<(self.quota.admission.isOpen ? Self.batch : Self.batchOfStorm) {
            guard let listening = self.descriptor else { return }
            do throws(SystemError) {
                guard let (descriptor, peer) = try Socket.accept(listening.rawValue) else { return }
                self.accepted(descriptor, peer)
            } catch {
                return self.acceptFailed(error)
            }
        }
    }

    private func accepted(_ descriptor: CInt, _ peer: SocketAddress) {
        guard self.quota.take() else {
            Socket.close(descriptor)
            let text = "\(peer) was refused: the limit of \(self.quota.connectionsMax) connections is reached"
            return self.tell(.connectionRefused, peer, text)
        }
        switch self.quota.admission.admit(at: self.transport.loop.now, isTLS: self.tls != nil) {
        case .begin: self.begin(descriptor, peer)
        case .wait(let turn, let latest):
            self.waiting?.add(AdmissionQueue.Entry(descriptor: descriptor, peer: peer, turn: turn, latest: latest))
            self.tell(.connectionDelayed, peer, "\(peer) waits for its turn")
        case .tooMany:
            self.drop(descriptor)
            self.tell(.connectionRateExceeded, peer, "\(peer) was refused: too many connections in a second")
        case .shed:
            self.drop(descriptor)
            self.tell(.connectionShed, peer, "\(peer) was refused: the memory budget is nearly used up")
        }
    }

    private func begin(_ descriptor: CInt, _ peer: SocketAddress) {
        let connection = ServerConnection(listener: self, descriptor: descriptor, peer: peer)
        self.positions[ObjectIdentifier(connection)] = self.connections.count
        self.connections.append(connection)
        if self.connections.count % Self.connectionsPerGrowth == 0 { ProcessMemory.growAhead() }
    }

    private func drop(_ descriptor: CInt) {
        Socket.close(descriptor)
        self.quota.giveBack()
    }

    private func tell(_ kind: TransportEvent.Kind, _ peer: SocketAddress, _ text: String) {
        self.transport.log(TransportEvent(kind: kind, peer: peer, text: text))
    }

    private func acceptFailed(_ error: SystemError) {
        let kind: TransportEvent.Kind = error.isExhaustion ? .acceptPaused : .acceptFailed
        let text = "accepting on \(self.address) pauses for \(Self.pause.seconds) s: \(error)"
        self.transport.log(TransportEvent(kind: kind, peer: nil, text: text))
        self.watcher?.interest = []
        self.pauseTimer?.start(after: Self.pause)
    }

    func connectionEnded(_ connection: ServerConnection) {
        guard let position = self.positions.removeValue(forKey: ObjectIdentifier(connection)) else { return }
        self.quota.giveBack()
        let last = self.connections.removeLast()
        if last !== connection {
            self.connections[position] = last
            self.positions[ObjectIdentifier(last)] = position
        }
    }
}
