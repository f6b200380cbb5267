import WeirBase
import WeirConfig
import WeirEngine
import WeirLoop
import WeirObserve
import WeirTransport
import WeirXDS

/// The groups at home on one worker, and their upstream streams. Confined to the worker's loop.
final class Homes {
    let loop: Loop
    private let worker: Int
    let shared: RelayShared
    private(set) var groups: [String: HomeGroup] = [:]
    private(set) var upstreams: [String: UpstreamClient] = [:]
    /// Fires when a group has something due before the next tick.
    private let soon: TimerWatcher
    private var soonAt: Instant?
    /// What keeps pushes from clients, for groups to come too.
    private var guards: GuardPolicy
    /// Sends a message to a worker, this one included.
    var deliver: ((Int, WorkerMessage) -> Void)?

    init(transport: Transport, worker: Int, shared: RelayShared) {
        let loop = transport.loop
        let resolver = ResolverClient(loop: loop, resolver: shared.resolver)
        self.loop = loop
        self.worker = worker
        self.shared = shared
        self.guards = GuardPolicy(shared.configuration.guards)
        let target = SoonTarget()
        self.soon = TimerWatcher(loop: loop) { target.fire?() }
        target.fire = { [unowned self] in
            self.soonAt = nil
            self.tick()
        }
        for configuration in shared.configuration.upstreams {
            guard case .grpc(let origin) = configuration.origin else { continue }
            let client = UpstreamClient(
                transport: transport, name: configuration.name, configuration: origin, shared: shared,
                resolver: resolver, worker: worker)
            client.delegate = self
            self.upstreams[configuration.name] = client
        }
    }

    // MARK: From the shards

    func receive(key: String, from worker: Int, _ command: GroupCommand) {
        switch command {
        case .join(let upstream, let node):
            do throws(GroupRefusal) {
                let group = try self.group(key, upstream, node)
                group.origin.workerJoined(worker)
                self.carryOut(group)
            } catch {
                self.deliver?(
                    worker,
                    .groupRefused(key: key, code: error.code, reason: error.reason, message: error.message))
            }
        case .interest(let change):
            guard let group = self.groups[key] else { return }
            group.origin.apply(change, from: worker, now: self.loop.now, wall: Loop.wallNow())
            self.carryOut(group)
        case .rollout(let report):
            guard let group = self.groups[key] else { return }
            group.origin.receive(report, from: worker, now: self.loop.now, wall: Loop.wallNow())
            self.carryOut(group)
        case .leave:
            guard let group = self.groups[key] else { return }
            group.origin.workerLeft(worker, now: self.loop.now)
            self.carryOut(group)
        }
    }

    /// The group of a key, made if it is new.
    private func group(_ key: String, _ upstream: String, _ node: [UInt8]) throws(GroupRefusal) -> HomeGroup {
        if let group = self.groups[key] { return group }
        // Rules are reloaded and upstreams are not: a rule may name one that does not run yet.
        guard let configuration = self.shared.configuration.upstream(named: upstream) else {
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
        var policy = OriginPolicy()
        policy.linger = self.shared.configuration.cache.linger
        policy.guards = self.guards
        let variant = self.upstreams[upstream]?.variant
        let group = HomeGroup(
            origin: OriginGroup(key: key, node: node, variant: variant, policy: policy), upstream: upstream)
        self.groups[key] = group
        self.shared.logger.log(.info, "group opened", [("key", key), ("upstream", upstream)])
        if case .files(let files) = configuration.origin { self.watch(files, key, upstream, group) }
        return group
    }

    // MARK: Files origins

    private func watch(_ files: FilesOriginConfiguration, _ key: String, _ upstream: String, _ group: HomeGroup) {
        guard let path = files.path(forKey: key) else {
            group.origin.originUnavailable(
                server: "files", error: "key \"\(key)\" does not fit into the path \(files.pathTemplate)")
            return
        }
        group.filesPath = path
        self.shared.files.watch(path: path, upstream: upstream, for: self.worker)
    }

    func receive(_ snapshot: FilesSnapshot) {
        for group in self.groups.values.sorted(by: { $0.origin.key < $1.origin.key })
        where group.upstream == snapshot.upstream && group.filesPath == snapshot.path {
            if let resources = snapshot.resources {
                group.origin.replaceAll(
                    resources, version: snapshot.version, now: self.loop.now, wall: Loop.wallNow())
            } else {
                group.origin.originUnavailable(server: snapshot.path, error: snapshot.error)
            }
            self.carryOut(group)
        }
    }

    // MARK: Actions

    /// Does what a group asks for.
    func carryOut(_ group: HomeGroup) {
        let client = self.upstreams[group.upstream]
        for action in group.origin.takeActions() {
            switch action {
            case .openStream(let number): client?.open(UpstreamStreamID(key: group.origin.key, number: number))
            case .closeStream(let number): client?.close(UpstreamStreamID(key: group.origin.key, number: number))
            case .send(let number, let message):
                client?.send(UpstreamStreamID(key: group.origin.key, number: number), message)
            case .publish(let update, let workers):
                self.each(workers) { self.deliver?($0, .update(key: group.origin.key, update)) }
            case .originState(let state, let workers):
                self.each(workers) { self.deliver?($0, .originState(key: group.origin.key, state)) }
            case .rollout(let order, let workers):
                self.each(workers) { self.deliver?($0, .rollout(key: group.origin.key, order)) }
            case .event(let event): self.note(event, group)
            case .idle: self.drop(group)
            }
        }
        self.wakeInTime(for: group)
    }

    /// Coalesced requests are due within milliseconds, sooner than the next tick.
    private func wakeInTime(for group: HomeGroup) {
        let now = self.loop.now
        guard let due = group.origin.nextDeadline, due - now < .milliseconds(100) else { return }
        if let armed = self.soonAt, armed <= due { return }
        self.soonAt = due
        self.soon.start(after: max(.zero, due - now))
    }

    private func each(_ workers: UInt64, _ body: (Int) -> Void) {
        for worker in self.shared.links.indices where workers & 1 << UInt64(worker) != 0 { body(worker) }
    }

    private func drop(_ group: HomeGroup) {
        let key = group.origin.key
        guard self.groups.removeValue(forKey: key) != nil else { return }
        self.shared.groupCount.release()
        if let path = group.filesPath {
            let isShared = self.groups.values.contains { $0.filesPath == path && $0.upstream == group.upstream }
            if !isShared { self.shared.files.unwatch(path: path, upstream: group.upstream, for: self.worker) }
        }
        self.shared.logger.log(.info, "group closed", [("key", key), ("upstream", group.upstream)])
    }

    private func note(_ event: OriginEvent, _ group: HomeGroup) {
        let key = group.origin.key
        let metrics = self.shared.metrics
        switch event {
        case .accepted(let typeURL, let version, let resources, let fate):
            self.shared.noteAnswer()
            let type = XDSType.of(typeURL: typeURL)
            metrics.upstreamResponses(upstream: group.upstream, type: type.label).add(1)
            if let outcome = Self.outcome(fate) { metrics.pushes(type: type.label, outcome: outcome).add(1) }
            self.shared.logger.log(
                .debug, "upstream response",
                [
                    ("key", key), ("type", type.label), ("version", version), ("resources", String(resources)),
                    ("fate", Self.text(fate)),
                ])
        case .rejected(let typeURL, let version, let reason):
            let type = XDSType.of(typeURL: typeURL)
            metrics.upstreamResponses(upstream: group.upstream, type: type.label).add(1)
            metrics.pushes(type: type.label, outcome: .rejected).add(1)
            self.shared.logger.log(
                .warning, "upstream response rejected",
                [("key", key), ("type", type.label), ("version", version), ("reason", reason)])
        case .ignored(let typeURL):
            self.shared.logger.log(
                .warning, "upstream response of a type that was not requested", [("key", key), ("type_url", typeURL)])
        case .undecodable(let reason):
            self.shared.logger.log(.warning, "upstream stream closed", [("key", key), ("reason", reason)])
        case .rolledOut(let typeURL, let version, let given, let accepted):
            self.noteRollout(XDSType.of(typeURL: typeURL), version, given, accepted, group)
        case .rejectedByClients(let typeURL, _):
            metrics.pushes(type: XDSType.of(typeURL: typeURL).label, outcome: .held_nack).add(1)
        case .held(let typeURL, let status): self.noteHold(status, XDSType.of(typeURL: typeURL), group)
        case .released(let typeURL, let reason, let how, let after):
            self.noteRelease(XDSType.of(typeURL: typeURL), reason, how, after, group)
        case .doesNotExist(let typeURL, let name):
            self.shared.logger.log(
                .info, "resource does not exist upstream",
                [("key", key), ("type", XDSType.of(typeURL: typeURL).label), ("name", name)])
        }
    }

    // MARK: Time and end

    func tick() {
        let now = self.loop.now
        for client in self.upstreams.values { client.tick() }
        for group in self.groups.values where group.origin.nextDeadline.map({ $0 <= now }) ?? false {
            group.origin.advance(to: now, wall: Loop.wallNow())
            self.carryOut(group)
        }
    }

    /// Takes over the guards of a reloaded configuration.
    func reload(_ configuration: RelayConfiguration) {
        self.guards = GuardPolicy(configuration.guards)
        for group in self.groups.values {
            group.origin.setGuards(self.guards, now: self.loop.now, wall: Loop.wallNow())
            self.carryOut(group)
        }
    }

    func closeAll() {
        self.soon.cancel()
        for client in self.upstreams.values { client.closeAll() }
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

/// One group at home here.
final class HomeGroup {
    let origin: OriginGroup
    let upstream: String
    /// Where its resources come from, for a files origin.
    var filesPath: String?

    init(origin: OriginGroup, upstream: String) {
        self.origin = origin
        self.upstream = upstream
    }
}

// MARK: From the upstream streams

extension Homes: UpstreamClientDelegate {
    func upstream(_ client: UpstreamClient, opened stream: UpstreamStreamID, server: String) {
        guard let group = self.groups[stream.key] else { return client.close(stream) }
        if let variant = group.origin.variant, variant != client.variant { group.origin.setVariant(client.variant) }
        group.origin.streamOpened(stream.number, server: server, now: self.loop.now)
        self.carryOut(group)
    }

    func upstream(_ client: UpstreamClient, received message: borrowing Span<UInt8>, on stream: UpstreamStreamID) {
        guard let group = self.groups[stream.key] else { return }
        group.origin.streamReceived(stream.number, message: message, now: self.loop.now, wall: Loop.wallNow())
        self.carryOut(group)
    }

    func upstream(_ client: UpstreamClient, closed stream: UpstreamStreamID, reason: String) {
        guard let group = self.groups[stream.key] else { return }
        group.origin.streamClosed(stream.number, reason: reason, now: self.loop.now)
        self.carryOut(group)
    }

    func upstream(_ client: UpstreamClient, unavailable server: String, error: String) {
        for group in self.groups.values where group.upstream == client.name {
            group.origin.originUnavailable(server: server, error: error)
            self.carryOut(group)
        }
    }
}
