package import WeirBase
import WeirEngine
import WeirHTTP2
package import WeirLoop
import WeirObserve
import WeirTLS
package import WeirTransport
package import WeirXDS

/// One upstream stream of one group.
package struct UpstreamStreamID: Hashable, Sendable {
    package var key: String
    package var number: Int

    package init(key: String, number: Int) {
        self.key = key
        self.number = number
    }
}

/// Told about upstream streams on the loop.
package protocol UpstreamClientDelegate: AnyObject {
    func upstream(_ client: UpstreamClient, opened stream: UpstreamStreamID, server: String)
    func upstream(_ client: UpstreamClient, received message: borrowing Span<UInt8>, on stream: UpstreamStreamID)
    /// `lastHeard`: when the last byte of its connection came.
    func upstream(_ client: UpstreamClient, closed stream: UpstreamStreamID, reason: String, lastHeard: Instant)
    /// No server can be reached at the moment.
    func upstream(_ client: UpstreamClient, unavailable server: String, error: String)
    /// What a server can be tried out with; nil if no group wants anything.
    func trialRequest(_ client: UpstreamClient) -> TrialRequest?
}

/// The connections of one loop to one control plane, and the streams of its groups on them. A worker of the relay has one
/// for each upstream, an `XDSClient` just one.
///
/// Streams that are wanted are kept open: after a failure they are opened again, with exponential back-off and full
/// jitter that only a received message resets (UP-10). Which server is used is `ServerSelection`'s decision; a better one
/// than the one in use is tried out beside it with the request of one group, and everything moves when it has answered.
/// Streams share connections; another connection is made when the server's stream limit is reached (WIRE-11). Confined
/// to its loop.
package final class UpstreamClient {
    package let name: String
    var settings: UpstreamSettings
    /// What is spoken: as configured, or SotW after a server said that it has no delta (UP-18).
    package private(set) var variant: ProtocolVariant
    package weak var delegate: (any UpstreamClientDelegate)?
    /// Headers of our own that each discovery stream is opened with.
    package var metadata: ((UpstreamStreamID) -> [(String, String)])?

    let observer: any UpstreamObserver
    let transport: Transport
    let resolver: ResolverClient
    private(set) var context: SessionContext
    private(set) var options: ClientOptions
    private(set) var tls: UpstreamTLS?

    private(set) var streams: [UpstreamStreamID: StreamState] = [:]
    private var waiting: [UpstreamStreamID] = []
    var calls = SlotTable<Call>()
    /// Of `calls`, how many are discovery streams.
    private var openStreams = 0
    private var forwards = ForwardedCallQueue()

    var selection: ServerSelection
    /// Those in use, and those that a server asked to leave and that streams live on. A connection's `userData` is the
    /// position of its server, or `noServer`.
    var connections: [ClientConnection] = []
    var attempt: UpstreamAttempt?
    var trial: UpstreamAttempt?
    /// When another connection to the server in use may be tried, after one has failed.
    var anotherAt = Instant(rawValue: .min)
    var addressIndex = 0
    var generator: SeededGenerator
    var statuses: [ServerStatus]
    /// Servers, by address, that took connections and ended streams without an answer, and have not answered since.
    var unanswering: Set<String> = []
    /// By address, how long a connection to the server has to be silent before it is sent a PING, where that is longer
    /// than configured because the server called our PINGs too many.
    var patience: [String: Nanoseconds] = [:]
    private(set) var isClosing = false

    enum Call {
        case discovery(UpstreamStreamID)
        case forwarded(ForwardedCall)
        /// What a server is tried out with.
        case trial
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
        var openedAt = Instant(rawValue: .max)
    }

    /// Messages may wait on a stream up to this many; then the stream is ended and begun anew.
    private static let queuedMessagesMax = 4096
    /// The server of a connection that is not in the settings any more.
    static let noServer = UInt64.max

    /// - Parameters:
    ///   - name: of the upstream, for people.
    ///   - observer: kept alive as long as the client.
    ///   - seed: of the jitter of back-offs.
    package init(
        transport: Transport, name: String, settings: UpstreamSettings, observer: any UpstreamObserver,
        resolver: ResolverClient, seed: UInt64
    ) {
        self.transport = transport
        self.name = name
        self.settings = settings
        self.observer = observer
        self.resolver = resolver
        self.variant = settings.variant
        self.generator = SeededGenerator(seed: seed)
        self.selection = ServerSelection(
            servers: settings.servers.count, initial: settings.backoffInitial,
            max: settings.backoffMax)
        self.options = Self.options(settings)
        self.context = ClientConnection.makeContext(self.options)
        self.statuses = settings.servers.map { ServerStatus(address: $0.description) }
        self.tls = settings.tls.map {
            UpstreamTLS($0, upstream: name, loop: transport.loop, observer: observer)
        }
        self.publish()
    }

    private static func options(_ settings: UpstreamSettings) -> ClientOptions {
        var options = ClientOptions()
        options.connectTimeout = settings.connectTimeout
        options.keepaliveInterval = settings.keepaliveInterval
        options.keepaliveTimeout = settings.keepaliveTimeout
        options.limits.queuedMessagesMax = Self.queuedMessagesMax
        return options
    }

    var now: Instant { self.transport.loop.now }

    // MARK: Streams

    /// Wants a stream and keeps it open until `close`.
    package func open(_ id: UpstreamStreamID) {
        guard self.streams[id] == nil else { return }
        self.streams[id] = StreamState(
            phase: .waiting,
            backoff: Backoff(initial: self.settings.backoffInitial, max: self.settings.backoffMax))
        self.waiting.append(id)
        self.pump()
    }

    package func close(_ id: UpstreamStreamID) {
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

    package func send(_ id: UpstreamStreamID, _ message: [UInt8]) {
        guard case .open(let connection, let stream, _)? = self.streams[id]?.phase else { return }
        do throws(StreamRefusal) {
            try connection.send(stream, GRPCFrame.body(message))
        } catch {
            // The server has not read for thousands of messages: a new stream says the same in a few.
            connection.cancel(stream)
        }
    }

    /// Opens what waits, on the connections there are or on another one.
    func pump() {
        guard !self.isClosing else { return }
        while let id = self.waiting.first {
            guard let connection = self.openable else { break }
            self.waiting.removeFirst()
            self.begin(id, on: connection)
        }
        while !self.forwards.isEmpty, let connection = self.openable {
            if let call = self.forwards.next() { self.begin(call, on: connection) }
        }
        if !self.waiting.isEmpty || !self.forwards.isEmpty { self.connectIfNeeded() }
    }

    /// A connection to the server in use that takes one more stream.
    private var openable: ClientConnection? {
        guard let current = self.selection.current else { return nil }
        return self.connections.first { $0.userData == UInt64(current) && $0.openable > 0 }
    }

    /// Whether one more stream can be opened without another connection.
    package var takesAnother: Bool { self.openable != nil }

    // MARK: Calls that are passed on

    /// Passes a call of a client on: opens it when there is a connection, or ends it UNAVAILABLE when no server can be
    /// reached. The delegate is told later, never from within this.
    package func forward(_ path: String, _ delegate: any ForwardedCallDelegate) -> ForwardedCall {
        let call = ForwardedCall(path: path, delegate: delegate)
        self.transport.loop.runSoon { [weak self] in
            guard let self = self, !self.isClosing else { return call.end(.unavailable, "the relay is stopping") }
            // While all servers are given a rest, waiting for the next attempt is the client's own business.
            guard !self.selection.isResting(self.now) else { return call.end(.unavailable, self.unreachable) }
            self.forwards.append(call)
            self.pump()
        }
        return call
    }

    var unreachable: String {
        let error = self.statuses.first { !$0.lastError.isEmpty }?.lastError ?? "no server answers"
        return "upstream \(self.name) cannot be reached: \(error)"
    }

    private func begin(_ call: ForwardedCall, on connection: ClientConnection) {
        let slot = self.calls.insert(.forwarded(call))
        guard let stream = connection.open(self.head(call.path, connection), userData: slot.packed) else {
            self.calls.remove(slot)
            return call.end(.unavailable, self.unreachable)
        }
        call.phase = .open(connection, stream: stream)
        call.delegate?.opened(call)
    }

    func head(_ path: String, _ connection: ClientConnection) -> CallHead {
        CallHead(
            path: path, authority: self.authority(Int(exactly: connection.userData) ?? 0),
            scheme: self.settings.tls == nil ? "http" : "https", userAgent: self.settings.userAgent)
    }

    package var discoveryPath: String {
        self.variant == .delta ? DiscoveryService.deltaAggregatedPath : DiscoveryService.streamAggregatedPath
    }

    private func begin(_ id: UpstreamStreamID, on connection: ClientConnection) {
        let call = self.calls.insert(.discovery(id))
        var head = self.head(self.discoveryPath, connection)
        if let metadata = self.metadata { head.metadata = metadata(id) }
        guard let stream = connection.open(head, userData: call.packed) else {
            self.calls.remove(call)
            self.waiting.append(id)
            return
        }
        self.openStreams += 1
        self.streams[id]?.phase = .open(connection, stream: stream, call: call)
        self.streams[id]?.hasReceived = false
        self.streams[id]?.openedAt = self.now
        self.publish()
        self.delegate?.upstream(self, opened: id, server: self.address(of: connection))
    }

    private func authority(_ server: Int) -> String {
        if let name = self.settings.tls?.serverName { return name }
        guard self.settings.servers.indices.contains(server), case .tcp = self.settings.servers[server]
        else { return "localhost" }
        return self.settings.servers[server].description
    }

    func address(of connection: ClientConnection) -> String {
        guard let server = Int(exactly: connection.userData), self.statuses.indices.contains(server) else {
            return connection.address.description
        }
        return self.statuses[server].address
    }

    // MARK: Time and end

    /// Looks at what time has made due. Called ten times a second.
    package func tick() {
        let now = self.now
        for (id, state) in self.streams {
            if case .backingOff(let until) = state.phase, until <= now {
                self.streams[id]?.phase = .waiting
                self.waiting.append(id)
            }
        }
        self.checkAttempts(now)
        self.checkWhetherItWorks(now)
        if self.connections.contains(where: { $0.userData == Self.noServer }) { self.connectIfNeeded() }
        if !self.streams.isEmpty, self.attempt == nil, let server = self.selection.chooseTrial(now) {
            self.begin(server, .trial)
        }
        self.pump()
    }

    /// No server can be used for some time.
    func rest(_ server: String, _ error: String) {
        self.forwards.fail(self.unreachable)
        self.delegate?.upstream(self, unavailable: server, error: error)
    }

    package func closeAll() {
        self.isClosing = true
        self.tls?.cancel()
        self.forwards.fail("the relay is stopping")
        for connection in self.connections { connection.close("shutting down") }
        self.attempt?.connection?.close("shutting down")
        self.trial?.connection?.close("shutting down")
    }

    /// Tells the observer how things stand.
    func publish() {
        self.observer.upstream(self.name, servers: self.statuses, streams: self.openStreams)
    }

    // MARK: Reload

    /// Takes over other settings of the same upstream: its servers at once, the rest for new connections. A stream
    /// on a server that is not in the list any more moves when another is connected.
    package func reconfigure(_ settings: UpstreamSettings) {
        guard settings != self.settings else { return }
        let old = self.settings
        self.settings = settings
        self.options = Self.options(settings)
        self.context = ClientConnection.makeContext(self.options)
        if settings.tls != old.tls {
            self.tls?.cancel()
            self.tls = settings.tls.map {
                UpstreamTLS($0, upstream: self.name, loop: self.transport.loop, observer: self.observer)
            }
        }
        let isSame =
            settings.servers == old.servers && settings.backoffInitial == old.backoffInitial
            && settings.backoffMax == old.backoffMax
        if !isSame { self.replaceServers(settings.servers.map { old.servers.firstIndex(of: $0) }) }
        self.pump()
    }

    private func replaceServers(_ positions: [Int?]) {
        let statuses = self.statuses
        self.giveUp(&self.attempt)
        self.giveUp(&self.trial)
        for connection in self.connections {
            let new = positions.firstIndex { position in position.map { UInt64($0) } == connection.userData }
            connection.userData = new.map { UInt64($0) } ?? Self.noServer
        }
        self.statuses = zip(self.settings.servers, positions).map { address, position in
            position.map { statuses[$0] } ?? ServerStatus(address: address.description)
        }
        self.selection.replace(
            positions: positions, initial: self.settings.backoffInitial, max: self.settings.backoffMax)
        for index in self.statuses.indices where self.statuses[index].state == .connecting {
            self.statuses[index].state = .idle
        }
        self.publish()
        // What streams live on stays until another server is there for them.
        if self.selection.current == nil, !self.connections.isEmpty { self.connectIfNeeded() }
    }

    private func giveUp(_ attempt: inout UpstreamAttempt?) {
        guard let given = attempt.take() else { return }
        if let lookUp = given.lookUp { self.resolver.cancel(lookUp) }
        if let question = given.question { self.calls.remove(question.call) }
        given.connection?.close("the settings has changed")
    }

    // MARK: Failures of streams

    private func streamFailed(_ id: UpstreamStreamID, _ end: StreamEnd, on connection: ClientConnection) {
        guard var state = self.streams[id] else { return }
        let now = self.now
        if state.hasReceived { state.backoff.reset() }
        if end.status == .unimplemented, self.variant == .delta, !state.hasReceived {
            self.fallBackToSotW(end, connection)
            state.phase = .waiting
            self.waiting.append(id)
        } else if end.cause == .connectionLost {
            // The connection has its own back-off.
            state.phase = .waiting
            self.waiting.append(id)
        } else {
            let wait = state.backoff.next(using: &self.generator)
            state.phase = .backingOff(until: now + wait)
            self.observer.upstreamTriesAgain(self.name)
            self.observer.note(
                .warning, "upstream stream ended",
                [("upstream", self.name), ("key", id.key), ("status", end.description)])
        }
        let wasAnswered = state.hasReceived
        self.streams[id] = state
        self.publish()
        self.delegate?.upstream(self, closed: id, reason: end.description, lastHeard: connection.lastActivity ?? now)
        guard end.cause != .connectionLost else { return }
        if !wasAnswered, end.isOfServer { self.streamRefused(connection, end) }
        self.pump()
    }

    /// A stream ended without an answer. A server that gives none to anybody is left for the next; where there is none,
    /// each stream waits for itself.
    private func streamRefused(_ connection: ClientConnection, _ end: StreamEnd) {
        guard let current = self.selection.current, connection.userData == UInt64(current) else { return }
        let open = self.streams.values.filter { if case .open = $0.phase { true } else { false } }
        guard !open.contains(where: \.hasReceived) else { return }
        self.unanswering.insert(self.statuses[current].address)
        self.statuses[current].lastError = "streams end: \(end.description)"
        self.publish()
        guard self.selection.hasOthers, open.isEmpty else { return }
        self.leaveCurrent("streams end: \(end.description)")
    }

    /// What waits for its own back-off need not: it is another server that is asked.
    func wakeStreams() {
        for (id, state) in self.streams.sorted(by: { ($0.key.key, $0.key.number) < ($1.key.key, $1.key.number) }) {
            guard case .backingOff = state.phase else { continue }
            self.streams[id]?.phase = .waiting
            self.waiting.append(id)
        }
    }

    /// Has streams opened anew on the server in use that are on connections to others.
    func moveStreams(from connections: [ClientConnection], reason: String) {
        for id in self.streams.keys.sorted(by: { ($0.key, $0.number) < ($1.key, $1.number) }) {
            // As it is now: whoever is told that a stream ended may have closed another.
            guard case .open(let connection, let stream, let call)? = self.streams[id]?.phase,
                connections.contains(where: { $0 === connection })
            else { continue }
            self.calls.remove(call)
            self.openStreams -= 1
            connection.halfClose(stream)
            connection.cancel(stream)
            self.streams[id]?.phase = .waiting
            self.waiting.append(id)
            self.delegate?.upstream(
                self, closed: id, reason: reason, lastHeard: connection.lastActivity ?? self.now)
        }
    }

    private func fallBackToSotW(_ end: StreamEnd, _ connection: ClientConnection) {
        self.variant = .sotw
        self.observer.note(
            .warning, "upstream has no delta discovery: falling back to SotW",
            [("upstream", self.name), ("server", self.address(of: connection)), ("status", end.description)])
    }

    // MARK: Events of calls

    func noteMessage(_ id: UpstreamStreamID, on connection: ClientConnection, _ bytes: borrowing Span<UInt8>) {
        self.streams[id]?.hasReceived = true
        if let current = self.selection.current, connection.userData == UInt64(current) {
            self.selection.answered()
            self.noteWorks(current)
        }
        self.delegate?.upstream(self, received: bytes, on: id)
    }

    private func noteWorks(_ server: Int) {
        guard !self.statuses[server].lastError.isEmpty else { return }
        self.unanswering.remove(self.statuses[server].address)
        self.statuses[server].lastError = ""
        self.publish()
    }

    /// A server that has nothing new to say is silent; one that keeps a stream open for a while works.
    private func checkWhetherItWorks(_ now: Instant) {
        guard let current = self.selection.current, !self.statuses[current].lastError.isEmpty else { return }
        let isOpen = self.streams.values.contains { state in
            guard case .open(let connection, _, _) = state.phase else { return false }
            return connection.userData == UInt64(current)
                && now - state.openedAt >= UpstreamSettings.silenceMeansCurrent
        }
        if isOpen { self.noteWorks(current) }
    }

    func discoveryEnded(_ id: UpstreamStreamID, _ end: StreamEnd, on connection: ClientConnection) {
        self.openStreams -= 1
        self.streamFailed(id, end, on: connection)
    }
}

extension StreamEnd {
    /// Whether it speaks against the server rather than against what was asked of it.
    fileprivate var isOfServer: Bool {
        switch self.status {
        case .ok, .unavailable, .unknown, .internal, .cancelled, .deadlineExceeded, .resourceExhausted, .aborted,
            .dataLoss:
            true
        default: false
        }
    }
}
