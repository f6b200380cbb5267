import WeirBase
import WeirConfig
import WeirEngine
import WeirHTTP2
import WeirLoop
import WeirObserve
import WeirTLS
import WeirTransport
import WeirXDS

/// The listeners and connections of one worker, between the transport and the shard. Confined to the worker's loop.
final class Downstream {
    private unowned let worker: Worker
    private let transport: Transport
    private let shared: RelayShared
    private var listeners: [(listener: ServerListener, tls: ListenerTLS?)] = []
    private var calls = SlotTable<Call>()
    private var peers = SlotTable<WeirEngine.PeerIdentity>()
    /// When the upstream bytes of this turn's pushes were read.
    private var pushes: [Instant] = []
    private var isDraining = false
    private var isNudged = false

    /// One discovery stream.
    private struct Call {
        var connection: ServerConnection
        var stream: Int32
        var shardStream: SlotID
    }

    init(worker: Worker, transport: Transport) throws(StartError) {
        self.worker = worker
        self.transport = transport
        self.shared = worker.shared
        for listener in self.shared.configuration.downstream.listeners { try self.listen(listener) }
    }

    private func listen(_ configuration: ListenerConfiguration) throws(StartError) {
        let options = Self.options(self.shared.configuration.downstream)
        var tls: ListenerTLS?
        if let files = configuration.tls { tls = try ListenerTLS(files) }
        do throws(SystemError) {
            let listener: ServerListener
            switch configuration.address {
            case .unix(let path):
                // Workers share one socket: it was opened before they started.
                let descriptor = try Socket.duplicate(self.shared.unixListeners[path]?.rawValue ?? -1)
                listener = ServerListener(
                    transport: self.transport, listening: descriptor, options: options, tls: tls?.context,
                    quota: self.shared.quota, delegate: self)
            case .network(let host, let port):
                guard let address = SocketAddress(numericHost: host, port: port) else {
                    throw SystemError(code: 22, operation: "listen on", subject: configuration.address.description)
                }
                listener = try ServerListener(
                    transport: self.transport, address: address, options: options, tls: tls?.context,
                    quota: self.shared.quota, delegate: self)
            }
            self.listeners.append((listener, tls))
            tls?.watch(self.transport.loop, self.shared.logger) { [weak listener] in listener?.tls = $0 }
        } catch {
            throw StartError("downstream.listeners: cannot listen on \(configuration.address): \(error)")
        }
    }

    private static func options(_ configuration: DownstreamConfiguration) -> ServerOptions {
        var options = ServerOptions()
        options.limits.streamsMax = configuration.limits.streamsPerConnectionMax
        options.limits.messageBytesMax = configuration.limits.requestBytesMax
        options.limits.partialBytesMax = 2 * configuration.limits.requestBytesMax
        options.keepaliveInterval = configuration.keepalive.interval
        options.keepaliveTimeout = configuration.keepalive.timeout
        options.connectionAgeMax = configuration.connectionAgeMax
        return options
    }

    /// New limits and times, for connections to come.
    func reload(_ configuration: DownstreamConfiguration) {
        for entry in self.listeners { entry.listener.options = Self.options(configuration) }
    }

    // MARK: Out

    /// Puts the shard's responses on their streams: a shared body and the stream's own nonce.
    func deliver(_ sends: ContiguousArray<Send>, bodies: ContiguousArray<SharedBody>) {
        for send in sends {
            guard let call = self.calls[SlotID(packed: send.handle)] else { continue }
            let field = send.nonce.field
            var tail = MessageTail()
            for i in 0..<Nonce.fieldCount { tail.append(field[i]) }
            do throws(StreamRefusal) {
                try call.connection.send(call.stream, bodies[Int(send.body)], tail)
            } catch {
                // A full queue: the engine keeps few responses per type unanswered, so this client reads nothing at all.
                call.connection.finish(call.stream, .resourceExhausted, "the client does not read its responses")
            }
        }
    }

    func refuse(_ refusal: Refusal) {
        self.shared.metrics.rejected(reason: refusal.reason).add(1)
        guard let call = self.calls.remove(SlotID(packed: refusal.handle)) else { return }
        call.connection.setUserData(call.stream, 0)
        call.connection.finish(
            call.stream, GRPCStatus(rawValue: Int(refusal.code.rawValue)) ?? .unknown, refusal.message)
    }

    /// Notes pushes of this round; they are written when the turn's flush is over.
    func pushed(_ pushes: [Instant]) {
        guard !pushes.isEmpty else { return }
        if self.pushes.isEmpty {
            self.transport.loop.runSoon { [weak self] in self?.observePushes() }
        }
        self.pushes += pushes
    }

    private func observePushes() {
        let now = Loop.monotonicNow()
        for received in self.pushes { self.shared.metrics.pushSeconds.observe(now - received) }
        self.pushes.removeAll(keepingCapacity: true)
    }

    // MARK: Drain and end

    /// Takes no new connections and asks those there are to leave, spread over the window (WIRE-12).
    func drain(_ window: Nanoseconds) {
        self.isDraining = true
        for entry in self.listeners {
            entry.listener.stop()
            let connections = Array(entry.listener.connections)
            for (index, connection) in connections.enumerated() {
                let share = window.rawValue / Int64(max(1, connections.count)) * Int64(index + 1)
                connection.goAwayGraceful(grace: Nanoseconds(rawValue: share), reason: "draining")
            }
        }
    }

    var connectionCount: Int { self.listeners.reduce(0) { $0 + $1.listener.connections.count } }

    func closeAll() {
        for entry in self.listeners {
            entry.tls?.cancel()
            entry.listener.stop()
            for connection in entry.listener.connections { connection.close("shutting down") }
        }
    }

    /// Certificates of the listeners, for the debug endpoint.
    var certificateExpiries: [WallTime] { self.listeners.compactMap { $0.tls?.context.certificateExpiry } }
}

// MARK: - In

extension Downstream: ServerConnectionDelegate {
    func connectionOpened(_ connection: ServerConnection) {
        self.shared.metrics.downstreamConnections.add()
        let identity = connection.peerIdentity
        let names = (identity?.uriSANs ?? []) + (identity?.dnsSANs ?? [])
        let peer = WeirEngine.PeerIdentity(address: connection.peer.description, names: names)
        connection.userData = self.peers.insert(peer).packed
        self.shared.logger.log(.debug, "client connected", [("peer", peer.address)])
    }

    func connectionClosed(_ connection: ServerConnection, _ end: ConnectionEnd) {
        self.shared.metrics.downstreamConnections.subtract()
        self.peers.remove(SlotID(packed: connection.userData))
        self.shared.logger.log(
            .debug, "client disconnected", [("peer", connection.peer.description), ("reason", end.reason)])
    }

    func streamOpened(_ connection: ServerConnection, _ stream: Int32, _ request: RequestHead) {
        guard let service = DiscoveryService.at(path: request.path) else {
            return connection.finish(stream, .unimplemented, "weir does not serve \(request.path)")
        }
        guard !self.isDraining else {
            return connection.finish(stream, .unavailable, "this relay is draining; connect again elsewhere")
        }
        let peer =
            self.peers[SlotID(packed: connection.userData)]
            ?? WeirEngine.PeerIdentity(address: connection.peer.description, names: [])
        self.worker.setTime()
        let placeholder = SlotID(index: 0, generation: 0)
        let handle = self.calls.insert(Call(connection: connection, stream: stream, shardStream: placeholder))
        let shardStream = self.worker.shard.open(handle: handle.packed, service: service, peer: peer)
        self.calls[handle]?.shardStream = shardStream
        connection.setUserData(stream, handle.packed)
        connection.respond(stream)
    }

    private func call(_ connection: ServerConnection, _ stream: Int32) -> SlotID? {
        guard let packed = connection.userData(stream), packed != 0 else { return nil }
        return self.calls[SlotID(packed: packed)]?.shardStream
    }

    func message(_ connection: ServerConnection, _ stream: Int32, _ bytes: Span<UInt8>) {
        guard let shardStream = self.call(connection, stream) else { return }
        self.worker.setTime()
        self.worker.shard.receive(shardStream, bytes)
    }

    func streamHalfClosed(_ connection: ServerConnection, _ stream: Int32) {
        connection.finish(stream, .ok)
    }

    func streamClosed(_ connection: ServerConnection, _ stream: Int32, _ end: StreamEnd) {
        guard let packed = connection.userData(stream), packed != 0 else { return }
        guard let call = self.calls.remove(SlotID(packed: packed)) else { return }
        self.worker.setTime()
        self.worker.shard.close(call.shardStream)
        self.nudge()
    }

    func drained(_ connection: ServerConnection, _ stream: Int32) {
        guard let shardStream = self.call(connection, stream) else { return }
        self.worker.shard.drained(shardStream)
        if self.worker.shard.hasWork { self.nudge() }
    }

    /// What happens while the turn's output is written makes another turn due.
    private func nudge() {
        guard !self.isNudged else { return }
        self.isNudged = true
        self.transport.loop.runSoon { [weak self] in self?.isNudged = false }
    }
}
