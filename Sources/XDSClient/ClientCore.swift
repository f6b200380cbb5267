import WeirBase
import WeirEngine
import WeirLoop
import WeirObserve
import WeirTransport
import WeirUpstream
import WeirXDS

/// What lives on a client's thread: the engine's home of one group, of which the client is the only worker, and the
/// connections that it asks for.
final class ClientCore {
    private let loop = Loop()
    private let group: OriginGroup
    private let client: UpstreamClient
    private let resolver: ResolverClient
    private let onEvent: @Sendable (XDSClient.Event) -> Void
    private var content = ClientContent()
    private var ticker: TimerWatcher?
    private var soon: TimerWatcher?
    private var soonAt: Instant?
    private var lastState: OriginState?
    private var isClosing = false

    private static let tickInterval = Nanoseconds.milliseconds(100)
    /// The group's only worker.
    private static let worker = 0

    init(
        _ configuration: XDSClient.Configuration, _ settings: UpstreamSettings,
        validate: (@Sendable (XDSResource) throws(XDSClient.Rejection) -> Void)?,
        onEvent: @escaping @Sendable (XDSClient.Event) -> Void
    ) {
        var policy = OriginPolicy()
        policy.linger = .zero
        policy.isJournaled = false
        policy.guards.holdsEmpty = false
        policy.guards.historyMax = 0
        policy.doesNotExistAfter = (try? configuration.missingAfterSpan) ?? .seconds(15)
        if let validate = validate { policy.validate = { resource in Self.fault(of: resource, validate) } }
        self.group = OriginGroup(
            key: "client", node: configuration.node.raw, variant: settings.variant, policy: policy)
        self.onEvent = onEvent
        let seed = UInt64(bitPattern: Loop.monotonicNow().rawValue)
        self.resolver = ResolverClient(loop: self.loop, resolver: Resolver())
        self.client = UpstreamClient(
            transport: Transport(loop: self.loop, seed: seed) { _ in }, name: "xds", settings: settings,
            observer: SilentObserver(), resolver: self.resolver, seed: seed)
        self.client.delegate = self
    }

    private static func fault(
        of resource: XDSResource, _ validate: (XDSResource) throws(XDSClient.Rejection) -> Void
    ) -> String? {
        do throws(XDSClient.Rejection) {
            try validate(resource)
            return nil
        } catch {
            return error.reason
        }
    }

    /// Turns until closed.
    func run(_ mailbox: Mailbox<ClientCommand>) {
        let inbox = Inbox(loop: self.loop, mailbox: mailbox) { [unowned self] commands in
            for command in commands { self.take(command) }
        }
        let ticker = TimerWatcher(loop: self.loop) { [unowned self] in self.tick() }
        let soon = TimerWatcher(loop: self.loop) { [unowned self] in
            self.soonAt = nil
            self.tick()
        }
        self.ticker = ticker
        self.soon = soon
        ticker.start(after: Self.tickInterval, every: Self.tickInterval)
        self.group.workerJoined(Self.worker)
        _ = self.group.takeActions()
        self.loop.run()
        inbox.cancel()
        ticker.cancel()
        soon.cancel()
    }

    private func take(_ command: ClientCommand) {
        guard !self.isClosing else { return }
        switch command {
        case .interest(let type, let wildcard, let added, let removed):
            let change = InterestChange(
                typeURL: type.typeURL, wildcard: wildcard, added: added.map { ResourceName.canonical($0) },
                removed: removed.map { ResourceName.canonical($0) })
            self.group.apply(change, from: Self.worker, now: self.loop.now, wall: Loop.wallNow())
            self.carryOut()
        case .close: self.close()
        }
    }

    /// Says good-bye, gives the closing bytes one last turn, and ends the loop.
    private func close() {
        self.isClosing = true
        self.client.closeAll()
        let loop = self.loop
        loop.runSoon { loop.runSoon { loop.stop() } }
    }

    private func tick() {
        guard !self.isClosing else { return }
        self.client.tick()
        let now = self.loop.now
        if let due = self.group.nextDeadline, due <= now { self.group.advance(to: now, wall: Loop.wallNow()) }
        self.carryOut()
    }

    /// Does what the group asks for.
    private func carryOut() {
        for action in self.group.takeActions() {
            switch action {
            case .openStream(let number): self.client.open(self.id(number))
            case .closeStream(let number): self.client.close(self.id(number))
            case .send(let number, let message): self.client.send(self.id(number), message)
            case .publish(let update, _): if let change = self.content.apply(update) { self.onEvent(.changed(change)) }
            case .originState(let state, _): self.tell(state)
            case .event(.rejected(let typeURL, let version, let reason, _)):
                self.onEvent(.rejected(type: XDSType(typeURL: typeURL), version: version, reason: reason))
            case .event, .rollout, .record, .idle: break
            }
        }
        self.wakeInTime()
    }

    private func id(_ number: Int) -> UpstreamStreamID { UpstreamStreamID(key: self.group.key, number: number) }

    private func tell(_ state: OriginState) {
        guard state != self.lastState else { return }
        self.lastState = state
        self.onEvent(
            state.isConnected
                ? .connected(server: state.server) : .disconnected(server: state.server, reason: state.lastError))
    }

    /// Coalesced requests are due within milliseconds, sooner than the next tick.
    private func wakeInTime() {
        let now = self.loop.now
        guard let due = self.group.nextDeadline, due - now < Self.tickInterval else { return }
        if let armed = self.soonAt, armed <= due { return }
        self.soonAt = due
        self.soon?.start(after: max(.zero, due - now))
    }
}

extension ClientCore: UpstreamClientDelegate {
    func upstream(_ client: UpstreamClient, opened stream: UpstreamStreamID, server: String) {
        if client.variant != self.group.variant { self.group.setVariant(client.variant) }
        self.group.streamOpened(stream.number, server: server, now: self.loop.now)
        self.carryOut()
    }

    func upstream(_ client: UpstreamClient, received message: borrowing Span<UInt8>, on stream: UpstreamStreamID) {
        self.group.streamReceived(stream.number, message: message, now: self.loop.now, wall: Loop.wallNow())
        self.carryOut()
    }

    func upstream(_ client: UpstreamClient, closed stream: UpstreamStreamID, reason: String, lastHeard: Instant) {
        self.group.streamClosed(stream.number, reason: reason, now: self.loop.now)
        if !self.isClosing { self.carryOut() }
    }

    func upstream(_ client: UpstreamClient, unavailable server: String, error: String) {
        self.group.originUnavailable(server: server, error: error)
        self.carryOut()
    }

    func trialRequest(_ client: UpstreamClient) -> TrialRequest? {
        self.group.trialRequest(client.variant).map { TrialRequest(message: $0.message, expectsAnswer: $0.wasAnswered) }
    }
}

/// Events say what the client's owner must know.
private final class SilentObserver: UpstreamObserver {
    func note(_ level: LogLevel, _ message: String, _ fields: [(String, String)]) {}
    func upstreamTriesAgain(_ upstream: String) {}
    func upstream(_ upstream: String, servers: [ServerStatus], streams: Int) {}
    func upstreamLoaded(certificate file: String?, expiry: WallTime?) {}
}
