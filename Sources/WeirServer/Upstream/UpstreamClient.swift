import WeirBase
import WeirConfig
import WeirHTTP2
import WeirLoop
import WeirObserve
import WeirTLS
import WeirTransport
import WeirXDS

/// One upstream stream of one group.
struct UpstreamStreamID: Hashable {
    var key: String
    var number: Int
}

/// Told about upstream streams on the worker's loop.
protocol UpstreamClientDelegate: AnyObject {
    func upstream(_ client: UpstreamClient, opened stream: UpstreamStreamID, server: String)
    func upstream(_ client: UpstreamClient, received message: borrowing Span<UInt8>, on stream: UpstreamStreamID)
    func upstream(_ client: UpstreamClient, closed stream: UpstreamStreamID, reason: String)
    /// No server can be reached at the moment.
    func upstream(_ client: UpstreamClient, unavailable server: String, error: String)
}

/// The connections of one worker to one control plane, and the streams of its groups on them.
///
/// Streams that are wanted are kept open: after a failure they are opened again, with exponential back-off and full
/// jitter that only a received message resets (UP-10). When a server fails the next one is tried at once; while another
/// than the first is in use, the first is probed and returned to. Streams share connections; another connection is made
/// when the server's stream limit is reached (WIRE-11). Confined to the worker's loop.
final class UpstreamClient {
    let name: String
    let configuration: GRPCOriginConfiguration
    /// What is spoken: as configured, or SotW after a server said that it has no delta (UP-18).
    private(set) var variant: ProtocolVariant
    weak var delegate: (any UpstreamClientDelegate)?

    let shared: RelayShared
    let transport: Transport
    private let worker: Int
    private let resolver: ResolverClient
    private let context: SessionContext
    private let tls: TLSContext?
    private let tlsError: String?
    private let options: ClientOptions

    private(set) var streams: [UpstreamStreamID: StreamState] = [:]
    private var waiting: [UpstreamStreamID] = []
    private var calls = SlotTable<Call>()
    /// Of `calls`, how many are discovery streams.
    private var openStreams = 0
    private var forwards = ForwardedCallQueue()
    private(set) var connections: [ClientConnection] = []
    private var attempt: Attempt?
    /// A connection to the first server while another one is in use.
    private var probe: ClientConnection?
    private var nextProbe = Instant(rawValue: 0)
    private(set) var server = 0
    private var addressIndex = 0
    private var failuresInCycle = 0
    private var backoff: Backoff
    private var retryAt: Instant?
    private var generator: SeededGenerator
    private(set) var statuses: [ServerStatus]
    private var isClosing = false

    private enum Call {
        case discovery(UpstreamStreamID)
        case forwarded(ForwardedCall)
    }

    struct StreamState {
        enum Phase {
            case waiting
            case backingOff(until: Instant)
            case open(ClientConnection, stream: Int32, call: SlotID)
        }

        var phase: Phase
        var backoff: Backoff
        var hasReceived = false
    }

    private enum Attempt {
        case resolving(ResolverClient.Request?)
        case connecting(ClientConnection)
    }

    /// Messages may wait on a stream up to this many; then the stream is ended and begun anew.
    private static let queuedMessagesMax = 4096

    init(
        transport: Transport, name: String, configuration: GRPCOriginConfiguration, shared: RelayShared,
        resolver: ResolverClient, worker: Int
    ) {
        self.transport = transport
        self.name = name
        self.configuration = configuration
        self.shared = shared
        self.resolver = resolver
        self.worker = worker
        self.variant = configuration.variant == .delta ? .delta : .sotw
        self.generator = SeededGenerator(seed: UInt64(worker) ^ UInt64(bitPattern: Loop.monotonicNow().rawValue))
        self.backoff = Backoff(initial: configuration.backoffInitial, max: configuration.backoffMax)
        var options = ClientOptions()
        options.connectTimeout = configuration.connectTimeout
        options.keepaliveInterval = configuration.keepalive.interval
        options.keepaliveTimeout = configuration.keepalive.timeout
        options.limits.queuedMessagesMax = Self.queuedMessagesMax
        self.options = options
        self.context = ClientConnection.makeContext(options)
        self.statuses = configuration.servers.map { ServerStatus(address: $0.description) }
        (self.tls, self.tlsError) = Self.makeTLS(configuration.tls)
        self.publish()
    }

    private static func makeTLS(_ configuration: ClientTLSConfiguration?) -> (TLSContext?, String?) {
        guard let configuration = configuration else { return (nil, nil) }
        do throws(TLSError) {
            let context = try TLSContext.client(
                TLSClientConfiguration(
                    ca: configuration.ca, certificateChain: configuration.certificateChain,
                    privateKey: configuration.privateKey, serverName: configuration.serverName))
            return (context, nil)
        } catch {
            return (nil, error.description)
        }
    }

    // MARK: Streams

    /// Wants a stream and keeps it open until `close`.
    func open(_ id: UpstreamStreamID) {
        guard self.streams[id] == nil else { return }
        self.streams[id] = StreamState(
            phase: .waiting,
            backoff: Backoff(initial: self.configuration.backoffInitial, max: self.configuration.backoffMax))
        self.waiting.append(id)
        self.pump()
    }

    func close(_ id: UpstreamStreamID) {
        guard let state = self.streams.removeValue(forKey: id) else { return }
        self.waiting.removeAll { $0 == id }
        if case .open(let connection, let stream, let call) = state.phase {
            self.calls.remove(call)
            self.openStreams -= 1
            self.publish()
            connection.halfClose(stream)
            connection.cancel(stream)
        }
    }

    func send(_ id: UpstreamStreamID, _ message: [UInt8]) {
        guard case .open(let connection, let stream, _)? = self.streams[id]?.phase else { return }
        do throws(StreamRefusal) {
            try connection.send(stream, GRPCFrame.body(message))
        } catch {
            // The server has not read for thousands of messages: a new stream says the same in a few.
            connection.cancel(stream)
        }
    }

    /// Opens what waits, on the connections there are or on another one.
    private func pump() {
        guard !self.isClosing else { return }
        while let id = self.waiting.first {
            guard let connection = self.connections.first(where: { $0.openable > 0 }) else { break }
            self.waiting.removeFirst()
            self.begin(id, on: connection)
        }
        while !self.forwards.isEmpty, let connection = self.connections.first(where: { $0.openable > 0 }) {
            if let call = self.forwards.next() { self.begin(call, on: connection) }
        }
        if !self.waiting.isEmpty || !self.forwards.isEmpty { self.connectIfNeeded() }
    }

    // MARK: Calls that are passed on

    /// Passes a call of a client on: opens it when there is a connection, or ends it UNAVAILABLE when no server can be
    /// reached. The delegate is told later, never from within this.
    func forward(_ path: String, _ delegate: any ForwardedCallDelegate) -> ForwardedCall {
        let call = ForwardedCall(path: path, delegate: delegate)
        self.transport.loop.runSoon { [weak self] in
            guard let self = self, !self.isClosing else { return call.end(.unavailable, "the relay is stopping") }
            // While all servers are given a rest, waiting for the next attempt is the client's own business.
            guard self.retryAt == nil else { return call.end(.unavailable, self.unreachable) }
            self.forwards.append(call)
            self.pump()
        }
        return call
    }

    private var unreachable: String {
        let error = self.statuses.first { !$0.lastError.isEmpty }?.lastError ?? "no server answers"
        return "upstream \(self.name) cannot be reached: \(error)"
    }

    private func begin(_ call: ForwardedCall, on connection: ClientConnection) {
        let slot = self.calls.insert(.forwarded(call))
        guard let stream = connection.open(self.head(call.path), userData: slot.packed) else {
            self.calls.remove(slot)
            return call.end(.unavailable, self.unreachable)
        }
        call.phase = .open(connection, stream: stream)
        call.delegate?.opened(call)
    }

    private func head(_ path: String) -> CallHead {
        CallHead(
            path: path, authority: self.authority, scheme: self.tls == nil ? "http" : "https",
            userAgent: "weir/\(weirVersion)")
    }

    private func begin(_ id: UpstreamStreamID, on connection: ClientConnection) {
        let path = self.variant == .delta ? DiscoveryService.deltaAggregatedPath : DiscoveryService.streamAggregatedPath
        let call = self.calls.insert(.discovery(id))
        guard let stream = connection.open(self.head(path), userData: call.packed) else {
            self.calls.remove(call)
            self.waiting.append(id)
            return
        }
        self.openStreams += 1
        self.streams[id]?.phase = .open(connection, stream: stream, call: call)
        self.streams[id]?.hasReceived = false
        self.publish()
        self.delegate?.upstream(self, opened: id, server: self.statuses[self.server].address)
    }

    private var authority: String {
        if let name = self.configuration.tls?.serverName { return name }
        if case .network = self.configuration.servers[self.server] {
            return self.configuration.servers[self.server].description
        }
        return "localhost"
    }

    // MARK: Connections

    private func connectIfNeeded() {
        guard self.attempt == nil, self.retryAt == nil else { return }
        if let error = self.tlsError { return self.failed(error) }
        let address = self.configuration.servers[self.server]
        self.statuses[self.server].state = .connecting
        self.publish()
        switch address {
        case .unix(let path): self.connect(to: .unix(path: path), host: nil)
        case .network(let host, let port):
            self.attempt = .resolving(nil)
            let request = self.resolver.resolve(.tcp(host: host, port: port)) { [weak self] result in
                self?.resolved(result, host: host)
            }
            self.attempt = .resolving(request)
        }
    }

    private func resolved(_ result: ResolveResult, host: String) {
        guard case .resolving? = self.attempt, !self.isClosing else { return }
        self.attempt = nil
        switch result {
        case .failed(let text): self.failed(text)
        case .addresses(let addresses):
            guard !addresses.isEmpty else { return self.failed("\(host) has no address") }
            self.connect(to: addresses[self.addressIndex % addresses.count], host: host)
            self.addressIndex &+= 1
        }
    }

    private func connect(to address: SocketAddress, host: String?) {
        self.attempt = .connecting(self.makeConnection(address, host: host))
    }

    private func makeConnection(_ address: SocketAddress, host: String?) -> ClientConnection {
        ClientConnection(
            transport: self.transport, context: self.context, address: address, options: self.options, tls: self.tls,
            host: host, delegate: self)
    }

    /// The present server cannot be used: the next one at once, or, when all have failed, after a while.
    private func failed(_ error: String) {
        let address = self.statuses[self.server].address
        self.statuses[self.server].state = .failed
        self.statuses[self.server].lastError = error
        self.statuses[self.server].connectedSince = nil
        self.publish()
        self.shared.logger.log(
            .warning, "upstream server unavailable",
            [("upstream", self.name), ("server", address), ("error", error)])
        self.failuresInCycle += 1
        self.server = (self.server + 1) % self.statuses.count
        if self.failuresInCycle >= self.statuses.count {
            self.failuresInCycle = 0
            self.retryAt = self.transport.loop.now + self.backoff.next(using: &self.generator)
            self.forwards.fail(self.unreachable)
            self.delegate?.upstream(self, unavailable: address, error: error)
        } else {
            self.connectIfNeeded()
        }
    }

    /// Looks at what time has made due. Called ten times a second.
    func tick() {
        let now = self.transport.loop.now
        if let retryAt = self.retryAt, retryAt <= now {
            self.retryAt = nil
            self.shared.metrics.reconnects(upstream: self.name).add(1)
            if !self.waiting.isEmpty { self.connectIfNeeded() }
        }
        for (id, state) in self.streams {
            if case .backingOff(let until) = state.phase, until <= now {
                self.streams[id]?.phase = .waiting
                self.waiting.append(id)
            }
        }
        self.probePreferred(now)
        self.pump()
    }

    private func probePreferred(_ now: Instant) {
        guard self.server != 0, !self.connections.isEmpty, self.probe == nil, self.nextProbe <= now else { return }
        self.nextProbe = now + self.configuration.backoffMax
        switch self.configuration.servers[0] {
        case .unix(let path): self.probe = self.makeConnection(.unix(path: path), host: nil)
        case .network(let host, let port):
            self.resolver.resolve(.tcp(host: host, port: port)) { [weak self] result in
                guard let self = self, self.server != 0, case .addresses(let addresses) = result,
                    let address = addresses.first
                else { return }
                self.probe = self.makeConnection(address, host: host)
            }
        }
    }

    func closeAll() {
        self.isClosing = true
        self.forwards.fail("the relay is stopping")
        for connection in self.connections { connection.close("shutting down") }
        if case .connecting(let connection)? = self.attempt { connection.close("shutting down") }
        self.probe?.close("shutting down")
    }

    /// Shows the debug endpoint how things stand.
    private func publish() {
        var entry = UpstreamBoard.Entry(servers: self.statuses)
        entry.streams = self.openStreams
        self.shared.upstreams.update(self.name, part: self.worker, entry)
    }

    private func streamFailed(_ id: UpstreamStreamID, _ end: StreamEnd) {
        guard var state = self.streams[id] else { return }
        if state.hasReceived { state.backoff.reset() }
        if end.status == .unimplemented, self.variant == .delta, !state.hasReceived {
            self.fallBackToSotW(end)
            state.phase = .waiting
            self.waiting.append(id)
        } else if end.cause == .connectionLost {
            // The connection has its own back-off.
            state.phase = .waiting
            self.waiting.append(id)
        } else {
            let wait = state.backoff.next(using: &self.generator)
            state.phase = .backingOff(until: self.transport.loop.now + wait)
            self.shared.metrics.reconnects(upstream: self.name).add(1)
            self.shared.logger.log(
                .warning, "upstream stream ended",
                [("upstream", self.name), ("key", id.key), ("status", end.description)])
        }
        self.streams[id] = state
        self.publish()
        self.delegate?.upstream(self, closed: id, reason: end.description)
        self.pump()
    }

    private func fallBackToSotW(_ end: StreamEnd) {
        self.variant = .sotw
        self.shared.logger.log(
            .warning, "upstream has no delta discovery: falling back to SotW",
            [("upstream", self.name), ("server", self.statuses[self.server].address), ("status", end.description)])
    }
}

// MARK: - Connection events

extension UpstreamClient: ClientConnectionDelegate {
    func connected(_ connection: ClientConnection) {
        if connection === self.probe { return self.returnToPreferred(connection) }
        guard case .connecting(let expected)? = self.attempt, expected === connection else { return }
        self.attempt = nil
        self.connections.append(connection)
        self.noteConnected()
        self.pump()
    }

    private func noteConnected() {
        self.failuresInCycle = 0
        self.statuses[self.server].state = .connected
        self.statuses[self.server].lastError = ""
        self.statuses[self.server].connectedSince = Loop.wallNow()
        self.publish()
        self.nextProbe = self.transport.loop.now + self.configuration.backoffMax
        self.shared.logger.log(
            .info, "upstream connected",
            [("upstream", self.name), ("server", self.statuses[self.server].address)])
    }

    /// The first server is back: everything moves to it.
    private func returnToPreferred(_ connection: ClientConnection) {
        let old = self.connections
        self.statuses[self.server].state = .idle
        self.statuses[self.server].connectedSince = nil
        self.probe = nil
        self.server = 0
        self.connections = [connection]
        self.noteConnected()
        for other in old { other.close("the preferred server is back") }
        self.pump()
    }

    func openableChanged(_ connection: ClientConnection) { self.pump() }

    func answered(_ connection: ClientConnection, _ stream: Int32) {}

    func message(_ connection: ClientConnection, _ stream: Int32, _ bytes: Span<UInt8>) {
        guard let packed = connection.userData(stream) else { return }
        switch self.calls[SlotID(packed: packed)] {
        case .discovery(let id)?:
            self.streams[id]?.hasReceived = true
            self.backoff.reset()
            self.delegate?.upstream(self, received: bytes, on: id)
        case .forwarded(let call)?: call.delegate?.received(call, bytes)
        case nil: break
        }
    }

    func drained(_ connection: ClientConnection, _ stream: Int32) {
        guard let packed = connection.userData(stream),
            case .forwarded(let call)? = self.calls[SlotID(packed: packed)]
        else { return }
        call.delegate?.drained(call)
    }

    func streamEnded(_ connection: ClientConnection, _ stream: Int32, _ end: StreamEnd) {
        guard let packed = connection.userData(stream) else { return }
        switch self.calls.remove(SlotID(packed: packed)) {
        case .discovery(let id)?:
            self.openStreams -= 1
            self.streamFailed(id, end)
        case .forwarded(let call)?: call.end(end.status, end.message)
        case nil: break
        }
    }

    func draining(_ connection: ClientConnection, _ goAway: GoAway) {
        self.shared.logger.log(
            .info, "upstream asks to go elsewhere",
            [("upstream", self.name), ("server", self.statuses[self.server].address), ("goaway", goAway.description)])
    }

    func closed(_ connection: ClientConnection, _ end: ConnectionEnd) {
        if connection === self.probe {
            self.statuses[0].lastError = end.reason
            self.publish()
            self.probe = nil
            return
        }
        if case .connecting(let expected)? = self.attempt, expected === connection {
            self.attempt = nil
            return self.failed(end.reason)
        }
        guard let index = self.connections.firstIndex(where: { $0 === connection }) else { return }
        self.connections.remove(at: index)
        guard self.connections.isEmpty, !self.isClosing else { return self.pump() }
        self.failed(end.reason)
    }
}
