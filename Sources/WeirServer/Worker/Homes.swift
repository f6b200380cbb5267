import WeirBase
import WeirConfig
import WeirEngine
import WeirLoop
import WeirObserve
import WeirTransport
import WeirXDS

/// The groups at home on one worker, and their upstream streams. Confined to the worker's loop.
final class Homes {
    private let loop: Loop
    private let worker: Int
    private let shared: RelayShared
    private(set) var groups: [String: HomeGroup] = [:]
    private(set) var upstreams: [String: UpstreamClient] = [:]
    /// For each upstream, the sibling relays that have filled a group of it.
    private var siblings: [String: UpstreamClient] = [:]
    private let transport: Transport
    private let resolver: ResolverClient
    /// Fires when a group has something due before the next tick.
    private let soon: TimerWatcher
    private var soonAt: Instant?
    private var agesNotedAt = Instant(rawValue: 0)
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
        case .warm:
            if let group = self.groups[key] { self.warm(group) }
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
            case .openStream(let number):
                client?.open(UpstreamStreamID(key: group.origin.key, number: number))
                if group.isWarming { self.openAtSibling(number, group) }
            case .closeStream(let number):
                client?.close(UpstreamStreamID(key: group.origin.key, number: number))
                if group.isWarming { self.closeAtSibling(number, group) }
            case .send(let number, let message):
                let isBorrowed = group.borrowed.contains(number)
                (isBorrowed ? self.siblings[group.upstream] : client)?
                    .send(UpstreamStreamID(key: group.origin.key, number: number), message)
            case .publish(let update, let workers):
                self.each(workers) { self.deliver?($0, .update(key: group.origin.key, update)) }
            case .originState(let state, let workers):
                self.each(workers) { self.deliver?($0, .originState(key: group.origin.key, state)) }
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
        case .accepted(let typeURL, let version, let resources, let changed):
            self.shared.noteAnswer()
            let type = XDSType.of(typeURL: typeURL)
            metrics.upstreamResponses(upstream: group.upstream, type: type.label).add(1)
            metrics.pushes(type: type.label, outcome: changed > 0 ? .sent : .unchanged).add(1)
            self.shared.logger.log(
                .debug, "upstream response",
                [
                    ("key", key), ("type", type.label), ("version", version), ("resources", String(resources)),
                    ("changed", String(changed)),
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
        for client in self.siblings.values { client.tick() }
        self.noteAges(now)
        for group in self.groups.values where group.origin.nextDeadline.map({ $0 <= now }) ?? false {
            group.origin.advance(to: now, wall: Loop.wallNow())
            self.carryOut(group)
        }
    }

    /// Shows how old what is held of each upstream is.
    private func noteAges(_ now: Instant) {
        guard now - self.agesNotedAt >= .milliseconds(500) else { return }
        self.agesNotedAt = now
        var oldest: [String: Instant] = [:]
        for group in self.groups.values {
            if group.isWarming, group.warmingUntil < now, !group.origin.hasContent { self.endWarming(group) }
            if let since = group.outOfTouchSince, group.origin.openStreams > 0, since < group.openedAt,
                now - group.openedAt >= HomeGroup.silenceMeansCurrent
            {
                group.outOfTouchSince = nil
            }
            guard let since = group.outOfTouchSince, group.origin.hasContent else { continue }
            oldest[group.upstream] = min(oldest[group.upstream] ?? since, since)
        }
        for name in self.upstreams.keys {
            self.shared.upstreams.update(name, part: self.worker, oldest: oldest[name])
        }
    }

    /// Takes over what can change of upstreams that run.
    func reload(_ configuration: RelayConfiguration) {
        for upstream in configuration.upstreams {
            guard case .grpc(let origin) = upstream.origin else { continue }
            self.upstreams[upstream.name]?.reconfigure(origin)
        }
    }

    func closeAll() {
        self.soon.cancel()
        for client in self.upstreams.values { client.closeAll() }
        for client in self.siblings.values { client.closeAll() }
    }
}

// MARK: - Siblings

/// A cold group is filled from a sibling relay while its upstream cannot be reached. What comes counts as stale until the
/// upstream has answered.
extension Homes {
    /// How long siblings are asked after somebody was last known to wait; shards say so every two seconds.
    private static let warmingTime = Nanoseconds.seconds(5)

    private func warm(_ group: HomeGroup) {
        let cache = self.shared.configuration.cache
        group.warmingUntil = self.loop.now + Self.warmingTime
        guard !cache.warmFrom.isEmpty, !group.isWarming, group.origin.openStreams == 0, !group.origin.hasContent,
            case .grpc(let origin)? = self.shared.configuration.upstream(named: group.upstream)?.origin
        else { return }
        if self.siblings[group.upstream] == nil {
            var configuration = origin
            configuration.servers = cache.warmFrom
            configuration.tls = cache.warmTLS
            let client = UpstreamClient(
                transport: self.transport, name: "\(group.upstream) (warm_from)", configuration: configuration,
                shared: self.shared, resolver: self.resolver, worker: self.worker, isOfSiblings: true)
            client.delegate = self
            self.siblings[group.upstream] = client
        }
        self.shared.logger.log(
            .info, "a cold group is filled from a sibling relay",
            [("key", group.origin.key), ("upstream", group.upstream)])
        group.isWarming = true
        for number in group.origin.wantedStreams { self.openAtSibling(number, group) }
    }

    private func openAtSibling(_ number: Int, _ group: HomeGroup) {
        self.siblings[group.upstream]?.open(UpstreamStreamID(key: group.origin.key, number: number))
    }

    private func closeAtSibling(_ number: Int, _ group: HomeGroup) {
        group.borrowed.remove(number)
        self.siblings[group.upstream]?.close(UpstreamStreamID(key: group.origin.key, number: number))
    }

    private func siblingOpened(
        _ client: UpstreamClient, _ stream: UpstreamStreamID, _ server: String, _ group: HomeGroup
    ) {
        guard group.isWarming else { return client.close(stream) }
        if let variant = group.origin.variant, variant != client.variant { group.origin.setVariant(client.variant) }
        group.borrowed.insert(stream.number)
        group.origin.streamOpened(stream.number, server: server, now: self.loop.now, isBorrowed: true)
        self.carryOut(group)
    }

    /// The upstream is back: it is asked everything anew, and what it does not have goes.
    private func endWarming(_ group: HomeGroup) {
        group.isWarming = false
        for number in [0, 1] {
            if group.borrowed.contains(number) {
                group.origin.streamClosed(number, reason: "the upstream is back", now: self.loop.now)
            }
            self.closeAtSibling(number, group)
        }
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
    /// Whether sibling relays are asked for what they have, because nothing is held and the upstream is away.
    var isWarming = false
    /// Until when somebody is known to wait for that.
    var warmingUntil = Instant(rawValue: .min)
    /// The numbers of its streams that are open to a sibling.
    var borrowed: Set<Int> = []
    /// Since when what it holds may be out of date; nil while it is not.
    var outOfTouchSince: Instant?
    /// When its newest upstream stream was opened.
    var openedAt = Instant(rawValue: .max)

    /// A server that honours what it was told has nothing to say to a group that missed nothing: its silence for this long
    /// on an open stream says so.
    static let silenceMeansCurrent = Nanoseconds.seconds(2)

    init(origin: OriginGroup, upstream: String) {
        self.origin = origin
        self.upstream = upstream
    }
}

// MARK: From the upstream streams

extension Homes: UpstreamClientDelegate {
    func upstream(_ client: UpstreamClient, opened stream: UpstreamStreamID, server: String) {
        guard let group = self.groups[stream.key] else { return client.close(stream) }
        if client === self.siblings[group.upstream] { return self.siblingOpened(client, stream, server, group) }
        if group.isWarming { self.endWarming(group) }
        group.openedAt = self.loop.now
        if let variant = group.origin.variant, variant != client.variant { group.origin.setVariant(client.variant) }
        group.origin.streamOpened(stream.number, server: server, now: self.loop.now)
        self.carryOut(group)
    }

    func upstream(_ client: UpstreamClient, received message: borrowing Span<UInt8>, on stream: UpstreamStreamID) {
        guard let group = self.groups[stream.key] else { return }
        let isBorrowed = client === self.siblings[group.upstream]
        if isBorrowed, !group.borrowed.contains(stream.number) { return }
        group.outOfTouchSince = isBorrowed ? group.outOfTouchSince ?? self.loop.now : nil
        group.origin.streamReceived(stream.number, message: message, now: self.loop.now, wall: Loop.wallNow())
        self.carryOut(group)
    }

    func upstream(_ client: UpstreamClient, closed stream: UpstreamStreamID, reason: String, lastHeard: Instant) {
        guard let group = self.groups[stream.key] else { return }
        if client === self.siblings[group.upstream] {
            guard group.borrowed.remove(stream.number) != nil else { return }
            group.origin.streamClosed(stream.number, reason: reason, now: self.loop.now)
            return self.carryOut(group)
        }
        if group.outOfTouchSince == nil { group.outOfTouchSince = lastHeard }
        group.origin.streamClosed(stream.number, reason: reason, now: self.loop.now)
        self.carryOut(group)
    }

    /// A group that is answered by the server in use, if there is one: its question has an answer.
    func trialRequest(_ client: UpstreamClient) -> TrialRequest? {
        var fallback: TrialRequest?
        for group in self.groups.values where group.upstream == client.name {
            guard let (message, wasAnswered) = group.origin.trialRequest(client.variant) else { continue }
            let request = TrialRequest(message: message, expectsAnswer: wasAnswered)
            if wasAnswered { return request }
            fallback = request
        }
        return fallback
    }

    func upstream(_ client: UpstreamClient, unavailable server: String, error: String) {
        for group in self.groups.values where group.upstream == client.name {
            group.origin.originUnavailable(server: server, error: error)
            self.carryOut(group)
        }
    }
}
