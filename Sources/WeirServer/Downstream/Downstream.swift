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
    /// Holds this, and lives as long as its loop turns; so it is with all that belongs to a worker.
    private unowned let worker: Worker
    private let transport: Transport
    private let shard: Shard
    private let shared: RelayShared
    private var listeners: [(listener: ServerListener, tls: ListenerTLS?)] = []
    /// Discovery streams, by the handle the shard knows them by.
    private var discovery = SlotTable<DiscoveryStream>()
    /// All other calls.
    private var calls = SlotTable<Call>()
    private var peers = SlotTable<WeirEngine.PeerIdentity>()
    let services: Services
    /// When the upstream bytes of this turn's pushes were read.
    private var pushes: [Instant] = []
    /// What the journal is told of them then.
    private var taken: [TakenPush] = []
    private var firsts = FirstRequests()
    private var isDraining = false
    private var pacing: RequestPacing
    /// Whether it does anything.
    private var isPacing = false
    private var stalled = StalledReaders()
    private var large = LargeResponses()
    private var stalledTimeout: Nanoseconds

    private struct DiscoveryStream {
        let connection: ServerConnection
        let stream: Int32
    }

    private struct Call {
        let handler: any ServiceStream
        let method: ServiceMethod
    }

    init(worker: Worker, transport: Transport) throws(StartError) {
        self.worker = worker
        self.transport = transport
        self.shard = worker.shard
        self.shared = worker.shared
        self.services = Services(worker: worker)
        let limits = self.shared.configuration.downstream.limits
        self.pacing = RequestPacing(perSecond: limits.requestsPerSecondMax)
        self.isPacing = self.pacing.isOn
        self.stalledTimeout = limits.stalledReaderTimeout
        for listener in self.shared.configuration.downstream.listeners { try self.listen(listener) }
    }

    private func listen(_ configuration: ListenerConfiguration) throws(StartError) {
        let options = Self.options(self.shared.configuration.downstream)
        var tls: ListenerTLS?
        if let files = configuration.tls { tls = try ListenerTLS(files) }
        do throws(SystemError) {
            let shared = try self.sharedSockets(configuration.address)
            var opened: [ServerListener] = []
            for descriptor in shared {
                opened.append(
                    ServerListener(
                        transport: self.transport, listening: descriptor, options: options, tls: tls?.context,
                        quota: self.shared.quota, delegate: self))
            }
            if opened.isEmpty {
                guard let address = configuration.address.socketAddress else {
                    throw SystemError(code: 22, operation: "listen on", subject: configuration.address.description)
                }
                opened.append(
                    try ServerListener(
                        transport: self.transport, address: address, options: options, tls: tls?.context,
                        quota: self.shared.quota, delegate: self))
            }
            for (index, listener) in opened.enumerated() { self.listeners.append((listener, index == 0 ? tls : nil)) }
            let listeners = opened.map(WeakListener.init)
            tls?.watch(self.transport.loop, self.shared) { context in
                for entry in listeners { entry.listener?.tls = context }
            }
        } catch {
            throw StartError("downstream.listeners: cannot listen on \(configuration.address): \(error)")
        }
    }

    /// More than a shard hands a stream before something of it has left: 24, one answer in 32 parts for each type that it
    /// does not put off, endpoints once more, and removals.
    private static let queuedMessagesMax = 640

    /// Duplicates of sockets that others opened: the service manager, or the main thread, for workers share a Unix socket.
    private func sharedSockets(_ address: EndpointAddress) throws(SystemError) -> [CInt] {
        var originals: [Descriptor] = []
        if let wanted = address.socketAddress {
            originals = self.shared.passed.descriptors(
                of: wanted, worker: self.worker.index, workers: self.shared.links.count)
        }
        if case .unix(let path) = address, let opened = self.shared.unixListeners[path] { originals.append(opened) }
        var copies: [CInt] = []
        for original in originals { copies.append(try Socket.duplicate(original.rawValue)) }
        return copies
    }

    private static func options(_ configuration: DownstreamConfiguration) -> ServerOptions {
        var options = ServerOptions()
        options.limits.streamsMax = configuration.limits.streamsPerConnectionMax
        options.limits.messageBytesMax = configuration.limits.requestBytesMax
        options.limits.partialBytesMax = 2 * configuration.limits.requestBytesMax
        options.limits.queuedMessagesMax = Self.queuedMessagesMax
        options.keepaliveInterval = configuration.keepalive.interval
        options.keepaliveTimeout = configuration.keepalive.timeout
        options.connectionAgeMax = configuration.connectionAgeMax
        return options
    }

    /// New limits and times, for connections to come.
    func reload(_ configuration: DownstreamConfiguration) {
        for entry in self.listeners { entry.listener.options = Self.options(configuration) }
        self.stalledTimeout = configuration.limits.stalledReaderTimeout
        let due = self.pacing.set(perSecond: configuration.limits.requestsPerSecondMax)
        self.isPacing = self.pacing.isOn
        self.resume(due)
    }

    // MARK: Time

    /// To be called ten times a second.
    func tick() {
        self.services.tick()
        self.large.tick(at: self.transport.loop.now)
        self.resume(self.pacing.due(at: self.transport.loop.now))
        self.endStalledReaders()
    }

    private func resume(_ handles: [UInt64]) {
        for handle in handles {
            guard let target = self.discovery[SlotID(packed: handle)] else { continue }
            target.connection.resume(target.stream)
        }
    }

    /// While memory is short nobody is waited for longer than this.
    private static let patienceWithoutMemory = Nanoseconds.seconds(1)

    private func endStalledReaders() {
        let isShort = self.shared.memory.pressure == .droppingReaders
        guard self.stalledTimeout > .zero || isShort else { return self.stalled.rest() }
        let limit = isShort ? Self.patienceWithoutMemory : self.stalledTimeout
        let found = self.stalled.look(self.listeners.map(\.listener), at: self.transport.loop.now, limit: limit)
        for connection in found.connections {
            self.noteStalled(connection)
            connection.close("\(connection.peer) has read nothing for \(limit.seconds) s")
        }
        for (connection, stream) in found.streams {
            self.noteStalled(connection)
            // gRPC takes this code for RESOURCE_EXHAUSTED. A status would wait behind what is not read.
            connection.reset(stream, .enhanceYourCalm)
        }
    }

    private func noteStalled(_ connection: ServerConnection) {
        self.shared.metrics.rejected(.stalledReader).add(1)
        self.shared.logger.logOften(.warning, "client does not read", [("peer", connection.peer.description)])
    }

    // MARK: Out

    /// Puts the shard's responses on their streams: a shared body and the stream's own nonce.
    ///
    /// A push of one body has one message for each stream: these are written some at a time while what the streams need is
    /// still in the processor's cache, not all in a second pass.
    func deliver(_ sends: ContiguousArray<Send>, bodies: ContiguousArray<SharedBody>) {
        self.large.note(sends, bodies, at: self.transport.loop.now)
        var sinceFlush = 0
        for send in sends {
            sinceFlush += 1
            if sinceFlush > Self.deliveredAtOnce, bodies.count == 1 {
                self.transport.flush()
                sinceFlush = 1
            }
            guard let target = self.discovery[SlotID(packed: send.handle)] else {
                if send.handle == SelfCheck.handle { self.worker.selfCheck.receive(bodies[Int(send.body)], send.nonce) }
                continue
            }
            if !self.firsts.isEmpty { self.endFirst(send.handle, target, failure: nil) }
            let field = send.nonce.field
            let tail = MessageTail(field.span)
            do throws(StreamRefusal) {
                try target.connection.send(target.stream, bodies[Int(send.body)], tail)
            } catch {
                // A closed stream's end is on the way. A full queue should not be: the shard holds back before that.
                guard error == .queueFull else { continue }
                self.shared.metrics.rejected(.slowConsumer).add(1)
                target.connection.finish(
                    target.stream, .resourceExhausted, "the client does not read its responses")
            }
        }
    }

    /// Streams of a push that are written together: what they touch is some hundred kilobytes.
    private static let deliveredAtOnce = 64

    func refuse(_ refusal: Refusal) {
        self.shared.metrics.rejected(refusal.reason).add(1)
        self.pacing.closed(refusal.handle)
        guard let target = self.discovery.remove(SlotID(packed: refusal.handle)) else { return }
        if !self.firsts.isEmpty { self.endFirst(refusal.handle, target, failure: refusal.message) }
        target.connection.setUserData(target.stream, 0)
        let status = GRPCStatus(rawValue: Int(refusal.code.rawValue)) ?? .unknown
        target.connection.finish(target.stream, status, refusal.message)
    }

    /// Notes pushes of this round; they are written when the turn's flush is over.
    func pushed(_ pushes: [Instant], _ taken: [TakenPush]) {
        guard !pushes.isEmpty || !taken.isEmpty else { return }
        if self.pushes.isEmpty, self.taken.isEmpty {
            // Unowned: it is the worker's for as long as the loop runs, and a weak reference would slow down each use.
            self.transport.loop.runSoon { [unowned self] in self.observePushes() }
        }
        self.pushes += pushes
        self.taken += taken
    }

    private func observePushes() {
        let now = Loop.monotonicNow()
        for received in self.pushes { self.shared.metrics.pushSeconds.observe(now - received) }
        self.pushes.removeAll(keepingCapacity: true)
        let worker = self.worker.index
        self.shared.journal.post(self.taken.map { .written($0, worker: worker, at: now) })
        self.taken.removeAll(keepingCapacity: true)
    }

    // MARK: First requests

    /// The first response of a stream is handed over, or it is refused.
    private func endFirst(_ handle: UInt64, _ target: DiscoveryStream, failure: String?) {
        guard self.firsts.waits(handle) else { return }
        var facts: StreamFacts?
        if case .discovery(let shardStream)? = self.tag(target.connection, target.stream) {
            facts = self.worker.shard.facts(of: shardStream)
        }
        self.exportFirst(handle, facts, failure)
    }

    private func exportFirst(_ handle: UInt64, _ facts: StreamFacts?, _ failure: String?) {
        guard let span = self.firsts.ended(handle, at: Loop.wallNow(), facts, failure: failure) else { return }
        self.shared.traces?.export([span])
    }

    // MARK: Drain and end

    /// Takes no new connections and asks those there are to leave, spread over the window (WIRE-12).
    func drain(_ window: Nanoseconds) {
        self.isDraining = true
        self.services.drain()
        // Now, as a GOAWAY would overtake what the services have just told.
        self.transport.flush()
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

}

private struct WeakListener {
    weak var listener: ServerListener?

    init(_ listener: ServerListener) { self.listener = listener }
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
        if let service = DiscoveryService.at(path: request.path) {
            self.discoveryOpened(connection, stream, service, sibling: request.sibling)
        } else if let method = ServiceMethod(rawValue: request.path) {
            self.serviceOpened(connection, stream, method)
        } else {
            self.shared.metrics.rejected(.unknownService).add(1)
            connection.finish(stream, .unimplemented, "weir does not serve \(request.path)")
        }
    }

    private func discoveryOpened(
        _ connection: ServerConnection, _ stream: Int32, _ service: DiscoveryService, sibling: String?
    ) {
        guard !self.isDraining else { return self.refuseDraining(connection, stream) }
        guard self.shared.memory.pressure < .refusingStreams else { return self.refuseForMemory(connection, stream) }
        self.worker.setTime()
        self.shared.metrics.operation.streamsOpened.add()
        let handle = self.discovery.insert(DiscoveryStream(connection: connection, stream: stream))
        let shardStream = self.worker.shard.open(
            handle: handle.packed, service: service, peer: self.peer(connection), sibling: sibling)
        connection.setUserData(stream, StreamTag.discovery(shardStream).packed)
        if let traces = self.shared.traces {
            self.firsts.opened(handle.packed, share: traces.share, at: Loop.wallNow())
        }
        connection.respond(stream)
    }

    private func serviceOpened(_ connection: ServerConnection, _ stream: Int32, _ method: ServiceMethod) {
        // Health is asked to the end; it is how clients learn of it.
        guard !self.isDraining || method.isHealth else { return self.refuseDraining(connection, stream) }
        guard self.shared.memory.pressure < .refusingStreams || method.isHealth else {
            return self.refuseForMemory(connection, stream)
        }
        let call = ServiceCall(connection: connection, stream: stream, peer: self.peer(connection))
        guard let handler = self.services.open(method, call) else { return }
        self.shared.metrics.serviceStreams(service: method.label).add()
        let id = self.calls.insert(Call(handler: handler, method: method))
        connection.setUserData(stream, StreamTag.service(id).packed)
    }

    private func refuseDraining(_ connection: ServerConnection, _ stream: Int32) {
        self.shared.metrics.rejected(.draining).add(1)
        connection.finish(stream, .unavailable, "this relay is draining; connect again elsewhere")
    }

    private func refuseForMemory(_ connection: ServerConnection, _ stream: Int32) {
        self.shared.metrics.rejected(.memory).add(1)
        self.shared.logger.logOften(
            .warning, "stream refused for want of memory", [("peer", "\(connection.peer)")])
        connection.finish(stream, .resourceExhausted, "this relay is short of memory; try again later, or elsewhere")
    }

    private func peer(_ connection: ServerConnection) -> WeirEngine.PeerIdentity {
        self.peers[SlotID(packed: connection.userData)]
            ?? WeirEngine.PeerIdentity(address: connection.peer.description, names: [])
    }

    private func tag(_ connection: ServerConnection, _ stream: Int32) -> StreamTag? {
        connection.userData(stream).flatMap { StreamTag(packed: $0) }
    }

    func message(_ connection: ServerConnection, _ stream: Int32, _ userData: UInt64, _ bytes: Span<UInt8>) {
        switch StreamTag(packed: userData) {
        case .discovery(let shardStream)?:
            self.worker.setTime()
            self.shard.receive(shardStream, bytes)
            if bytes.count >= Self.largeRequestMin { self.worker.putOffRound() }
            if self.isPacing { self.pace(connection, stream, shardStream) }
        case .service(let id)?:
            guard let call = self.calls[id] else { return }
            self.shared.metrics.serviceRequests(service: call.method.label).add(1)
            call.handler.message(bytes)
        case nil: break
        }
    }

    /// Bytes of a request that takes so long that its answer is for the next turn.
    private static let largeRequestMin = 128 << 10

    private func pace(_ connection: ServerConnection, _ stream: Int32, _ shardStream: SlotID) {
        guard let handle = self.worker.shard.handle(of: shardStream),
            self.pacing.received(handle, at: self.transport.loop.now)
        else { return }
        self.shared.metrics.requestsPaced.add(1)
        connection.pause(stream)
    }

    func streamHalfClosed(_ connection: ServerConnection, _ stream: Int32) {
        if case .service(let id)? = self.tag(connection, stream), let call = self.calls[id] {
            return call.handler.halfClosed()
        }
        connection.finish(stream, .ok)
    }

    func streamClosed(_ connection: ServerConnection, _ stream: Int32, _ end: StreamEnd) {
        if end.cause == .violated {
            let isTooLarge = end.status == .resourceExhausted
            self.shared.metrics.rejected(isTooLarge ? .messageTooLarge : .brokenStream).add(1)
        }
        switch self.tag(connection, stream) {
        case .discovery(let shardStream)?:
            self.worker.setTime()
            self.noteLoss(shardStream, end)
            let facts = self.firsts.isEmpty ? nil : self.worker.shard.facts(of: shardStream)
            guard let handle = self.worker.shard.close(shardStream) else { return }
            if !self.firsts.isEmpty { self.exportFirst(handle, facts, "the stream ended without a response") }
            self.discovery.remove(SlotID(packed: handle))
            self.pacing.closed(handle)
        case .service(let id)?:
            guard let call = self.calls.remove(id) else { return }
            self.shared.metrics.serviceStreams(service: call.method.label).subtract()
            call.handler.closed()
        case nil: return
        }
        // What happens while the turn's output is written has a round of its own.
        self.transport.loop.turnAgain()
    }

    private func noteLoss(_ shardStream: SlotID, _ end: StreamEnd) {
        guard let handle = self.worker.shard.handle(of: shardStream),
            let sent = self.large.closed(handle, at: self.transport.loop.now),
            end.cause == .resetByPeer || end.cause == .connectionLost, !self.isDraining
        else { return }
        self.shared.metrics.operation.lostAfterLargeResponse.add()
        let client = self.worker.shard.identity(of: shardStream)
        self.shared.logger.logOften(
            .warning, "a client ended its stream right after a large response: its receive limit may be too low",
            [("node", client.node), ("key", client.key), ("bytes", String(sent.bytes)), ("end", end.cause.rawValue)])
    }

    func drained(_ connection: ServerConnection, _ stream: Int32, _ userData: UInt64) {
        switch StreamTag(packed: userData) {
        case .discovery(let shardStream)?:
            if self.shard.drained(shardStream) { self.transport.loop.turnAgain() }
        case .service(let id)?: self.calls[id]?.handler.drained()
        case nil: break
        }
    }
}

/// What a transport's stream is here, in the one number that the transport keeps for us; 0 is nothing any more.
private enum StreamTag {
    /// A discovery stream: the shard's.
    case discovery(SlotID)
    /// Any other: one of `calls`.
    case service(SlotID)

    private static let serviceBit: UInt64 = 1 << 31

    var packed: UInt64 {
        switch self {
        case .discovery(let id): id.packed
        case .service(let id): id.packed | Self.serviceBit
        }
    }

    init?(packed: UInt64) {
        guard packed != 0 else { return nil }
        let id = SlotID(packed: packed & ~Self.serviceBit)
        self = packed & Self.serviceBit == 0 ? .discovery(id) : .service(id)
    }
}
