import WeirBase
import WeirConfig
import WeirEngine
import WeirLoop
import WeirObserve
import WeirTransport
import WeirUpstream
import WeirXDS

/// The groups at home on one worker, and their upstream streams. Confined to the worker's loop.
final class Homes {
    let loop: Loop
    let worker: Int
    let shared: RelayShared
    private let routes: AuthorityRoutes
    private(set) var groups: [String: HomeGroup] = [:]
    private(set) var upstreams: [String: UpstreamClient] = [:]
    /// For each upstream, the sibling relays that have filled a group of it.
    var siblings: [String: UpstreamClient] = [:]
    let transport: Transport
    let resolver: ResolverClient
    private let reporter: UpstreamReporter
    /// Fires when a group has something due before the next tick.
    private let soon: TimerWatcher
    private var soonAt: Instant?
    private var agesNotedAt = Instant(rawValue: 0)
    /// What changed and goes to the store at the end of the round.
    var storeEntries: [StoreEntry] = []
    /// Keys of groups of which changes could not be handed over.
    var storeDebts: Set<String> = []
    var storeTickets = 0
    /// Compares what groups hold with what their upstreams say.
    private(set) lazy var driftChecker = DriftChecker(homes: self, settings: self.shared.configuration.checks.drift)
    /// What the journal is told at the end of the round.
    var journal: [JournalEntry] = []
    /// What keeps pushes from clients, for groups to come too.
    private var guards: GuardPolicy
    /// Sends a message to a worker, this one included.
    var deliver: ((Int, WorkerMessage) -> Void)?

    init(transport: Transport, worker: Int, shared: RelayShared) {
        let loop = transport.loop
        let resolver = ResolverClient(loop: loop, resolver: shared.resolver)
        self.loop = loop
        self.transport = transport
        self.resolver = resolver
        self.worker = worker
        self.shared = shared
        self.reporter = UpstreamReporter(shared, worker: worker)
        self.guards = GuardPolicy(shared.configuration.guards)
        self.routes = AuthorityRoutes(shared.configuration.upstreamsByAuthority)
        let target = SoonTarget()
        self.soon = TimerWatcher(loop: loop) { target.fire?() }
        target.fire = { [unowned self] in
            self.soonAt = nil
            self.tick()
        }
        for configuration in shared.configuration.upstreams {
            guard case .grpc(let origin) = configuration.origin else { continue }
            self.upstreams[configuration.name] = self.makeClient(configuration.name, origin)
        }
    }

    func makeClient(_ name: String, _ configuration: GRPCOriginConfiguration) -> UpstreamClient {
        let client = UpstreamClient(
            transport: self.transport, name: name, settings: configuration.settings, observer: self.reporter,
            resolver: self.resolver, seed: UInt64(self.worker) ^ UInt64(bitPattern: Loop.monotonicNow().rawValue))
        client.delegate = self
        return client
    }

    // MARK: From the shards

    func receive(key: String, from worker: Int, _ command: GroupCommand) {
        if self.keepForLater(key, worker, command) { return }
        if self.waits(key, { $0.receive(key: key, from: worker, command) }) { return }
        let (now, wall) = (self.loop.now, Loop.wallNow())
        switch command {
        case .join(let upstream, let node, let opener):
            do throws(GroupRefusal) {
                let home = try self.group(key, upstream, node, openedBy: opener)
                if self.keepForLater(key, worker, command) { return }
                home.group.workerJoined(worker)
                self.carryOut(home)
            } catch {
                self.deliver?(
                    worker,
                    .groupRefused(key: key, code: error.code, reason: error.reason, message: error.message))
            }
        case .interest(let change):
            guard let home = self.groups[key] else { return }
            self.askStore(home, self.unknownUpstreams(of: change, home))
            if self.keepForLater(key, worker, command) { return }
            self.work(on: home, weight: home.group.weight(of: change, from: worker)) { [group = home.group] in
                group.apply(change, from: worker, now: now, wall: wall)
            }
        case .rollout(let report):
            guard let home = self.groups[key] else { return }
            self.work(on: home, weight: home.group.weight) { [group = home.group] in
                group.receive(report, from: worker, now: now, wall: wall)
            }
        case .warm:
            for origin in self.groups[key]?.origins.values.map({ $0 }) ?? [] { self.warm(origin) }
        case .leave:
            guard let home = self.groups[key] else { return }
            self.work(on: home, weight: home.group.weight) { [group = home.group] in
                group.workerLeft(worker, now: now)
            }
        }
    }

    /// The group of a key, made if it is new.
    private func group(
        _ key: String, _ upstream: String, _ node: [UInt8], openedBy opener: [UInt8]
    ) throws(GroupRefusal) -> HomeGroup {
        if let home = self.groups[key] { return home }
        // Rules are reloaded and upstreams are not: a rule may name one that does not run yet.
        guard self.shared.configuration.upstream(named: upstream) != nil else {
            throw GroupRefusal(
                code: .unavailable, reason: .unknownUpstream,
                message: "key \"\(key)\" belongs to upstream \"\(upstream)\", which is new in the configuration "
                    + "and takes a restart of the relay")
        }
        let limit = self.shared.configuration.cache.groupsMax
        guard self.shared.groupCount.reserve(max: limit) else {
            throw GroupRefusal(
                code: .resourceExhausted, reason: .tooManyGroups,
                message: "the relay serves its maximum of \(limit) groups (cache.max_groups); "
                    + "key \"\(key)\" would be one more")
        }
        let home = HomeGroup(
            FederatedGroup(
                own: self.origin(key, upstream, node), upstream: upstream, routes: self.routes,
                makeOrigin: { [unowned self] other in self.otherOrigin(key, other, openedBy: opener) }))
        self.groups[key] = home
        self.shared.logger.log(.info, "group opened", [("key", key), ("upstream", upstream)])
        home.origins[upstream]?.snapshotSource = self.follow(upstream, home.group.own)
        self.askStore(home, [upstream])
        return home
    }

    private func origin(_ key: String, _ upstream: String, _ node: [UInt8]) -> OriginGroup {
        var policy = OriginPolicy()
        policy.linger = self.shared.configuration.cache.linger
        policy.isStored = self.shared.store != nil
        policy.storesSecrets = self.shared.configuration.cache.store?.secrets ?? false
        policy.guards = self.guards
        policy.nextPush = { [journal = self.shared.journal] in journal.nextPush() }
        return OriginGroup(key: key, node: node, variant: self.upstreams[upstream]?.variant, policy: policy)
    }

    /// The origin of a group at another upstream than its own, which names go to by their authority (NAME-07).
    private func otherOrigin(_ key: String, _ upstream: String, openedBy opener: [UInt8]) -> OriginGroup {
        let configuration = self.shared.configuration.upstream(named: upstream)
        let node = (try? Node(decoding: opener)).flatMap { configuration?.node(of: key, openedBy: $0) } ?? opener
        let origin = self.origin(key, upstream, node)
        self.shared.logger.log(.info, "group asks another upstream", [("key", key), ("upstream", upstream)])
        let added = self.groups[key]?.add(origin, upstream: upstream)
        if let home = self.groups[key] { self.restore(upstream, of: home) }
        added?.snapshotSource = self.follow(upstream, origin)
        return origin
    }

    // MARK: Actions

    /// Does what a group asks for.
    func carryOut(_ home: HomeGroup) {
        home.group.takeActions { self.carryOut($0.action, at: $0.upstream, home) }
        for origin in home.origins.values { self.takeStoreUpdates(origin) }
        self.wakeInTime(for: home.group)
    }

    private func carryOut(_ action: OriginAction, at upstream: String, _ home: HomeGroup) {
        let client = self.upstreams[upstream]
        let origin = home.origins[upstream]
        let key = home.group.key
        switch action {
        case .openStream(let number):
            client?.open(UpstreamStreamID(key: key, number: number))
            if let origin = origin, origin.isWarming { self.openAtSibling(number, origin) }
        case .closeStream(let number):
            client?.close(UpstreamStreamID(key: key, number: number))
            if let origin = origin, origin.isWarming { self.closeAtSibling(number, origin) }
        case .send(let number, let message):
            let isBorrowed = origin?.borrowed.contains(number) == true
            if origin?.hasEnded(number, isSibling: isBorrowed) == true { return }
            (isBorrowed ? self.siblings[upstream] : client)?.send(UpstreamStreamID(key: key, number: number), message)
        case .publish(let update, let workers):
            if update.audience != .first { home.published[update.typeURL] = update.generation }
            self.each(workers) { self.deliver?($0, .update(key: key, update)) }
        case .originState(let state, let workers):
            self.each(workers) { self.deliver?($0, .originState(key: key, state)) }
        case .rollout(let order, let workers):
            self.each(workers) { self.deliver?($0, .rollout(key: key, order)) }
        case .event(let event): self.note(event, key, upstream)
        case .record(let news): self.record(news, upstream)
        case .idle: self.drop(upstream, of: home)
        }
    }

    /// Coalesced requests are due within milliseconds, sooner than the next tick.
    private func wakeInTime(for group: FederatedGroup) {
        let now = self.loop.now
        guard let due = group.nextDeadline, due - now < .milliseconds(100) else { return }
        if let armed = self.soonAt, armed <= due { return }
        self.soonAt = due
        self.soon.start(after: max(.zero, due - now))
    }

    private func each(_ workers: UInt64, _ body: (Int) -> Void) {
        for worker in self.shared.links.indices where workers & 1 << UInt64(worker) != 0 { body(worker) }
    }

    /// A group is over, or asks nothing more of another upstream than its own.
    private func drop(_ upstream: String, of home: HomeGroup) {
        let key = home.group.key
        self.unfollow(upstream, of: home)
        self.closeInStore(upstream, of: home)
        self.driftChecker.forget(key: key, upstream: upstream)
        guard upstream == home.group.upstream else {
            self.shared.logger.log(
                .info, "group asks nothing more of another upstream", [("key", key), ("upstream", upstream)])
            return home.remove(upstream)
        }
        guard self.groups.removeValue(forKey: key) != nil else { return }
        self.shared.groupCount.release()
        self.shared.logger.log(.info, "group closed", [("key", key), ("upstream", upstream)])
    }

    private func noteResponse(_ upstream: String, _ type: XDSType) {
        self.shared.metrics.upstreamResponses(upstream: upstream, type: type.label).add(1)
        self.shared.metrics.operation.lastResponse(upstream: upstream, type: type.label)
            .set(Loop.wallNow().rawValue / 1_000_000_000)
    }

    private func note(_ event: OriginEvent, _ key: String, _ upstream: String) {
        let metrics = self.shared.metrics
        switch event {
        case .accepted(let typeURL, let version, let resources, let fate, let push):
            self.shared.noteAnswer()
            let type = XDSType.of(typeURL: typeURL)
            self.noteResponse(upstream, type)
            if let outcome = Self.outcome(fate) { metrics.pushes(type: type.label, outcome: outcome).add(1) }
            self.shared.logger.log(
                .debug, "upstream response",
                [
                    ("key", key), ("type", type.label), ("version", version), ("resources", String(resources)),
                    ("fate", Self.text(fate)), ("push", push.description),
                ])
        case .rejected(let typeURL, let version, let reason, let push):
            let type = XDSType.of(typeURL: typeURL)
            self.noteResponse(upstream, type)
            metrics.pushes(type: type.label, outcome: .rejected).add(1)
            self.shared.logger.logOften(
                .warning, "upstream response rejected",
                [
                    ("key", key), ("type", type.label), ("version", version), ("push", push.description),
                    ("reason", reason),
                ])
        case .ignored(let typeURL):
            self.shared.logger.logOften(
                .warning, "upstream response of a type that was not requested", [("key", key), ("type_url", typeURL)])
        case .undecodable(let reason):
            self.shared.logger.log(.warning, "upstream stream closed", [("key", key), ("reason", reason)])
        case .rolledOut(let typeURL, let version, let given, let accepted, let push):
            self.noteRollout(XDSType.of(typeURL: typeURL), version, given, accepted, push, key)
        case .rejectedByClients(let typeURL, _):
            metrics.pushes(type: XDSType.of(typeURL: typeURL).label, outcome: .held_nack).add(1)
        case .held(let typeURL, let status): self.noteHold(status, XDSType.of(typeURL: typeURL), key, upstream)
        case .released(let typeURL, let reason, let how, let after):
            self.noteRelease(XDSType.of(typeURL: typeURL), reason, how, after, key, upstream)
        case .doesNotExist(let typeURL, let name):
            self.shared.logger.logOften(
                .info, "resource does not exist upstream",
                [("key", key), ("type", XDSType.of(typeURL: typeURL).label), ("name", name)])
        }
    }

    // MARK: Time and end

    func tick() {
        let now = self.loop.now
        for client in self.upstreams.values { client.tick() }
        for client in self.siblings.values { client.tick() }
        self.noteAges(now)
        self.tickStore(now)
        self.tickSnapshots()
        self.tickAway()
        self.driftChecker.tick(now)
        let wall = Loop.wallNow()
        for home in self.groups.values where !home.isAway && home.group.nextDeadline.map({ $0 <= now }) ?? false {
            self.work(on: home, weight: home.group.weight) { [group = home.group] in
                group.advance(to: now, wall: wall)
            }
        }
    }

    /// Shows how old what is held of each upstream is.
    private func noteAges(_ now: Instant) {
        guard now - self.agesNotedAt >= .milliseconds(500) else { return }
        self.agesNotedAt = now
        var oldest: [String: Instant] = [:]
        for home in self.groups.values {
            for origin in home.origins.values {
                guard let since = self.noteAge(origin, of: home, now) else { continue }
                oldest[origin.upstream] = min(oldest[origin.upstream] ?? since, since)
            }
        }
        for name in self.upstreams.keys {
            self.shared.upstreams.update(name, part: self.worker, oldest: oldest[name])
        }
    }

    /// Since when what an origin holds may be out of date; nil: it is not, or there is nothing.
    private func noteAge(_ origin: HomeOrigin, of home: HomeGroup, _ now: Instant) -> Instant? {
        // What a group that is away holds is not to be looked at now.
        guard !home.isAway else { return origin.outOfTouchSince }
        if origin.isWarming, origin.warmingUntil < now, !origin.origin.hasContent { self.endWarming(origin) }
        let isSilent = origin.origin.openStreams > 0 && now - origin.openedAt >= UpstreamSettings.silenceMeansCurrent
        if isSilent, let since = origin.outOfTouchSince, since < origin.openedAt { origin.outOfTouchSince = nil }
        if isSilent, origin.origin.isStale, !origin.isWarming {
            origin.origin.silenceConfirms()
        }
        return origin.origin.hasContent ? origin.outOfTouchSince : nil
    }

    /// Takes over the guards of a reloaded configuration, and what can change of upstreams that run.
    func reload(_ configuration: RelayConfiguration) {
        for upstream in configuration.upstreams {
            guard case .grpc(let origin) = upstream.origin else { continue }
            self.upstreams[upstream.name]?.reconfigure(origin.settings)
        }
        self.guards = GuardPolicy(configuration.guards)
        self.driftChecker.reload(configuration.checks.drift)
        for key in self.groups.keys { self.setGuards(key) }
    }

    /// Those in force when a group that is away is back.
    private func setGuards(_ key: String) {
        if self.waits(key, { $0.setGuards(key) }) { return }
        guard let home = self.groups[key] else { return }
        let (guards, now, wall) = (self.guards, self.loop.now, Loop.wallNow())
        self.work(on: home, weight: home.group.weight) { [group = home.group] in
            group.setGuards(guards, now: now, wall: wall)
        }
    }

    func closeAll() {
        self.soon.cancel()
        for client in self.upstreams.values { client.closeAll() }
        for client in self.siblings.values { client.closeAll() }
    }
}

/// Lets a timer that is made before its owner reach it afterwards.
private final class SoonTarget { var fire: (() -> Void)? }

/// Why a group cannot be opened: what the streams that need it are told.
private struct GroupRefusal: Error {
    var code: RefusalCode
    var reason: RejectionReason
    var message: String
}
