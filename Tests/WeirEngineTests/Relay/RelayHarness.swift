import Testing
import WeirBase
import WeirXDS

@testable import WeirEngine

/// A whole relay in one thread: shards, homes, reference servers and clients, joined by queues. The pure core as it is,
/// without sockets.
///
/// Nodes named `n` belong to the group `k`, which most tests use; others to a group of their name. Each group has a
/// control plane of its own, and for names of each authority with a control plane `k/authority` that one.
final class RelayHarness {
    /// What a home says to a shard.
    enum ShardMailContent {
        case update(TypeUpdate)
        case rollout(RolloutOrder)
    }

    typealias ShardMail = (shard: Int, key: String, content: ShardMailContent)

    struct StreamID: Hashable {
        var key: String
        var number: Int
        /// `u`, or the upstream of an authority.
        var upstream = "u"

        var server: String { self.upstream == "u" ? self.key : "\(self.key)/\(self.upstream)" }
    }

    /// The control plane of the group `k`.
    var server: ReferenceServer {
        get { self.servers["k"] ?? ReferenceServer(.sotw) }
        set { self.servers["k"] = newValue }
    }
    private(set) var servers: [String: ReferenceServer]
    private(set) var shards: [Shard] = []
    private(set) var groups: [String: FederatedGroup] = [:]
    private(set) var clients: [RelayClient] = []
    /// Clients whose streams the relay ended.
    private(set) var refused: [RelayClient] = []
    private var handles: UInt64 = 0
    private(set) var now = Instant(rawValue: 1_000_000_000)
    private(set) var events: [OriginEvent] = []
    private var openStreams: Set<StreamID> = []
    /// Whether the control plane of the group `k` can be reached.
    var isServerUp = true
    let policy: OriginPolicy
    /// What outlives the relay, if its policy says that something does.
    private var disk = ModelDisk()
    private(set) var pushed = 0
    /// What is broken on purpose, to see that it is noticed.
    var sabotage: Sabotage?
    /// Called when an upstream stream of the group is lost: what the control plane does meanwhile comes in no order.
    var onLoss: (_ key: String) -> Void = { _ in }
    /// What workers and homes say to each other, if somebody wants to know.
    var log: ((String) -> Void)?

    init(
        _ server: ReferenceServer, others: [String: ReferenceServer] = [:], shards count: Int = 2,
        linger: Nanoseconds = .seconds(2), isStored: Bool = false,
        guards: (inout GuardPolicy) -> Void = { $0.holdsEmpty = false }
    ) {
        self.servers = others
        self.servers["k"] = server
        var policy = OriginPolicy()
        policy.linger = linger
        policy.isStored = isStored
        guards(&policy.guards)
        self.policy = policy
        self.start(count)
    }

    private func start(_ count: Int) {
        var policy = ShardPolicy()
        // However short a list of names, who asks in the same words shares what was read of it.
        policy.sharedWishNamesMin = 1
        self.shards = (0..<count).map { index in
            // To one of two workers, nearly every update is a large one.
            policy.changesAtOnceMax = index % 2 == 1 ? 2 : 4096
            return Shard(policy: policy) { request in
                let id = (try? ShardHarness.nodeID(request.node)) ?? ""
                return .group(
                    key: id == "n" ? "k" : id, upstream: "u", coldTimeout: .seconds(5),
                    identity: NodeIdentity(id: id, cluster: "", encoded: []), upstreamNode: request.node,
                    scope: .stream)
            }
        }
        for shard in self.shards { shard.setTime(self.now, wall: WallTime(rawValue: 0)) }
    }

    /// The relay's process ends and begins anew: everything it knew is gone, and every stream.
    func restart() {
        for stream in self.openStreams { self.servers[stream.server]?.close(stream.number) }
        self.openStreams = []
        self.lost = []
        self.stalled = []
        self.toHome = []
        self.toShards = []
        self.prepared = [:]
        self.groups = [:]
        self.clients = []
        self.start(self.shards.count)
    }

    func connect(_ variant: ProtocolVariant, shard: Int = 0, group: String = "k") -> RelayClient {
        self.handles += 1
        let service = DiscoveryService.all.first { $0.variant == variant && $0.type == nil }
        let id = self.shards[shard].open(
            handle: self.handles, service: service ?? DiscoveryService.all[0],
            peer: PeerIdentity(address: "", names: []))
        let client = RelayClient(self.shards[shard], shard, id, self.handles, variant)
        client.group = group
        self.clients.append(client)
        return client
    }

    func disconnect(_ client: RelayClient) {
        self.drop(client)
        self.settle()
    }

    /// The stream of a client ends; nothing is carried anywhere yet.
    func drop(_ client: RelayClient) {
        if self.sabotage?.forgets(client) != true { client.shard.close(client.id) }
        self.clients.removeAll { $0 === client }
    }

    /// The upstream streams of the group `k` end; they reopen in `settle` while the server is up.
    func loseUpstream(replacement: ReferenceServer? = nil) {
        let streams = self.openStreams.filter { $0.key == "k" && $0.upstream == "u" }
        for number in streams.map(\.number).sorted() { self.loseStream(number) }
        guard let replacement = replacement else { return }
        self.server = replacement
        self.groups["k"]?.own.setVariant(replacement.variant)
    }

    /// One upstream stream of the group `k` ends; it reopens in `settle` while the server is up.
    func loseStream(_ number: Int, upstream: String = "u") {
        let id = StreamID(key: "k", number: number, upstream: upstream)
        guard self.openStreams.remove(id) != nil else { return }
        self.servers[id.server]?.close(number)
        self.stalled.removeAll { $0.stream == id }
        self.groups["k"]?.origin(at: upstream)?.streamClosed(number, reason: "lost", now: self.now)
        self.lost.insert(id)
        self.onLoss("k")
    }

    /// Upstream streams of the group `k` whose responses do not arrive for now.
    var stalledStreams: Set<Int> = []
    /// Responses on those.
    private var stalled: [(stream: StreamID, message: [UInt8])] = []

    /// Whether control planes have said what did not arrive yet.
    var hasResponsesUnderWay: Bool { !self.stalled.isEmpty || self.servers.contains { !$0.value.outbox.isEmpty } }

    private var lost: Set<StreamID> = []

    /// Servers that cannot be reached, besides the one of the group `k`.
    var downServers: Set<String> = []

    private func isUp(_ stream: StreamID) -> Bool {
        !self.downServers.contains(stream.server) && (stream.server != "k" || self.isServerUp)
    }

    /// Whether control planes are told the time, so that they keep alive what has a time to live.
    var keepsAlive = false

    func advance(_ span: Nanoseconds) {
        self.now = self.now + span
        // Before anything arrives: what comes now has all of its time before it.
        for client in self.clients where !self.slowWorkers.contains(client.shardIndex) { client.tick(span) }
        if self.keepsAlive { for (_, server) in self.servers.sorted(by: { $0.key < $1.key }) { server.tick(self.now) } }
        for shard in self.shards {
            shard.setTime(self.now, wall: WallTime(rawValue: 0))
            shard.tick()
        }
        for group in self.sortedGroups {
            group.advance(to: self.now, wall: WallTime(rawValue: 0))
            _ = self.carryOut(group)
        }
        self.settle()
    }

    private var sortedGroups: [FederatedGroup] { self.groups.sorted { $0.key < $1.key }.map(\.value) }

    /// Carries everything to where it goes until nothing moves. Returns whether that came to an end.
    @discardableResult
    func settle() -> Bool {
        for _ in 0..<1_000 where !self.step() { return true }
        Issue.record("the relay does not come to rest")
        return false
    }

    /// Carries everything one hop further. Returns whether anything moved.
    @discardableResult
    func step() -> Bool {
        var moved = self.deliverMail()
        for (index, shard) in self.shards.enumerated() { if self.flush(shard, index) { moved = true } }
        for client in self.clients where client.answer() { moved = true }
        let reopening = self.lost.filter { self.isUp($0) }
        for stream in reopening.sorted(by: { ($0.server, $0.number) < ($1.server, $1.number) }) {
            self.lost.remove(stream)
            self.open(stream)
            moved = true
        }
        for group in self.sortedGroups { if self.carryOut(group) { moved = true } }
        if self.deliverResponses() { moved = true }
        return moved
    }

    private func flush(_ shard: Shard, _ index: Int) -> Bool {
        shard.flush()
        var moved = !shard.commands.isEmpty
        for entry in shard.commands { self.toHome.append((entry.command, entry.group, index)) }
        let refused = Set(shard.refusals.map(\.handle))
        self.refused += self.clients.filter { refused.contains($0.handle) }
        self.clients.removeAll { refused.contains($0.handle) }
        var sends = shard.sends.map { ($0.handle, shard.bodies[Int($0.body)].bytes, $0.nonce) }
        shard.endRound()
        self.sabotage?.change(&sends, self.clients)
        for (handle, body, nonce) in sends {
            moved = true
            self.pushed += 1
            self.clients.first { $0.handle == handle }?.receive(body, nonce)
        }
        return moved
    }

    private func deliverResponses() -> Bool {
        var outbox = self.stalled
        self.stalled = []
        for (key, server) in self.servers.sorted(by: { $0.key < $1.key }) {
            let parts = key.split(separator: "/", maxSplits: 1).map(String.init)
            outbox += server.outbox.map {
                (StreamID(key: parts[0], number: $0.stream, upstream: parts.count > 1 ? parts[1] : "u"), $0.message)
            }
            server.outbox = []
        }
        var moved = false
        for (stream, message) in outbox {
            if stream.server == "k", self.stalledStreams.contains(stream.number) {
                self.stalled.append((stream, message))
                continue
            }
            guard self.openStreams.contains(stream), let group = self.groups[stream.key] else { continue }
            moved = true
            self.log?("  from \(stream.server): \(stream.number) \(self.servers[stream.server]?.text(message) ?? "")")
            group.origin(at: stream.upstream)?.streamReceived(
                stream.number, message: message.span, now: self.now, wall: WallTime(rawValue: 0))
            _ = self.carryOut(group)
        }
        return moved
    }

    /// What workers and homes said to each other since the last step: as in a real relay, each may have changed its mind
    /// by the time it arrives.
    private var toHome: [(command: GroupCommand, key: String, worker: Int)] = []
    private var toShards: [ShardMail] = []
    /// Whether nothing is on its way between workers and homes.
    var isQuiet: Bool { self.toHome.isEmpty && self.toShards.isEmpty && !self.shards.contains(where: \.hasWork) }
    /// Workers whose mail, to them and from them, waits: those of one relay are not equally fast.
    var slowWorkers: Set<Int> = []

    private func deliverMail() -> Bool {
        var updates = self.toShards.filter { !self.slowWorkers.contains($0.shard) }
        let commands = self.toHome.filter { !self.slowWorkers.contains($0.worker) }
        self.toShards.removeAll { !self.slowWorkers.contains($0.shard) }
        self.toHome.removeAll { !self.slowWorkers.contains($0.worker) }
        self.sabotage?.lose(&updates)
        var kept: [ShardMail] = []
        var busy: Set<Place> = []
        for entry in updates {
            let place = Place(shard: entry.shard, key: entry.key)
            if busy.contains(place) || !self.isReady(entry, place) {
                busy.insert(place)
                kept.append(entry)
                continue
            }
            self.log?("  to worker \(entry.shard) of \(entry.key): \(entry.content.text)")
            switch entry.content {
            case .update(let update): self.shards[entry.shard].update(group: entry.key, update)
            case .rollout(let order): self.shards[entry.shard].rollout(group: entry.key, order)
            }
        }
        self.toShards = kept + self.toShards
        for entry in commands {
            self.log?("  from worker \(entry.worker) of \(entry.key): \(entry.command.text)")
            self.receive(entry.command, entry.key, from: entry.worker)
        }
        return !updates.isEmpty || !commands.isEmpty
    }

    private struct Place: Hashable {
        var shard: Int
        var key: String
    }

    /// How far large updates are prepared; nil: all that can be done ahead is done.
    private var prepared: [Place: Int?] = [:]

    /// A large update takes several steps, and what comes after it waits.
    private func isReady(_ mail: ShardMail, _ place: Place) -> Bool {
        guard case .update(let update) = mail.content, self.shards[mail.shard].isLarge(update) else { return true }
        let known: Int?? = self.prepared[place]
        if case .some(.none) = known {
            self.prepared[place] = nil
            return true
        }
        let next = self.shards[mail.shard].prepare(group: mail.key, update, from: (known ?? 0) ?? 0)
        self.prepared.updateValue(next, forKey: place)
        return false
    }

    private func receive(_ command: GroupCommand, _ key: String, from worker: Int) {
        switch command {
        case .join(_, let node, _):
            let group = self.groups[key] ?? self.makeGroup(key, node)
            self.groups[key] = group
            group.workerJoined(worker)
        case .interest(let change):
            self.groups[key]?.apply(change, from: worker, now: self.now, wall: WallTime(rawValue: 0))
        case .rollout(let report):
            self.groups[key]?.receive(report, from: worker, now: self.now, wall: WallTime(rawValue: 0))
        case .warm: break
        case .leave: self.groups[key]?.workerLeft(worker, now: self.now)
        }
        if let group = self.groups[key] { _ = self.carryOut(group) }
    }

    private func makeGroup(_ key: String, _ node: [UInt8]) -> FederatedGroup {
        let authorities = self.servers.keys.filter { $0.hasPrefix("\(key)/") }.map {
            String($0.dropFirst(key.utf8.count + 1))
        }
        return FederatedGroup(
            own: self.makeOrigin(key, key, node), upstream: "u",
            routes: AuthorityRoutes(Dictionary(uniqueKeysWithValues: authorities.map { ($0, $0) })),
            makeOrigin: { [unowned self] in self.makeOrigin(key, "\(key)/\($0)", node) })
    }

    private func makeOrigin(_ key: String, _ server: String, _ node: [UInt8]) -> OriginGroup {
        let origin = OriginGroup(
            key: key, node: node, variant: self.servers[server]?.variant ?? .sotw, policy: self.policy)
        let stored = self.disk.read(server, now: self.now)
        if !stored.isEmpty {
            origin.restore(stored)
            self.onLoss(key)
        }
        return origin
    }

    private func carryOut(_ group: FederatedGroup) -> Bool {
        for server in self.servers.keys.filter({ $0 == group.key || $0.hasPrefix("\(group.key)/") }) {
            let upstream = server == group.key ? "u" : String(server.dropFirst(group.key.utf8.count + 1))
            if let origin = group.origin(at: upstream) { self.disk.take(origin.takeStoreUpdates(), of: server) }
        }
        var actions: [HomeAction] = []
        group.takeActions { actions.append($0) }
        for entry in actions {
            switch entry.action {
            case .openStream(let number):
                let stream = StreamID(key: group.key, number: number, upstream: entry.upstream)
                if self.isUp(stream) { self.open(stream) } else { self.lost.insert(stream) }
            case .closeStream(let number):
                let stream = StreamID(key: group.key, number: number, upstream: entry.upstream)
                self.lost.remove(stream)
                if self.openStreams.remove(stream) != nil { self.servers[stream.server]?.close(number) }
                self.stalled.removeAll { $0.stream == stream }
                self.onLoss(group.key)
            case .send(let number, let message):
                let stream = StreamID(key: group.key, number: number, upstream: entry.upstream)
                self.servers[stream.server]?.receive(number, message)
                self.log?("  to \(stream.server): \(self.servers[stream.server]?.requests.last ?? "")")
            case .publish(let update, let workers):
                for index in self.shards.indices where workers & 1 << UInt64(index) != 0 {
                    self.toShards.append((index, group.key, .update(update)))
                }
            case .rollout(let order, let workers):
                for index in self.shards.indices where workers & 1 << UInt64(index) != 0 {
                    self.toShards.append((index, group.key, .rollout(order)))
                }
            case .originState(let state, let workers):
                for (index, shard) in self.shards.enumerated() where workers & 1 << UInt64(index) != 0 {
                    shard.originChanged(group: group.key, state)
                }
            case .event(let event): self.events.append(event)
            case .record: break
            case .idle: if entry.upstream == "u" { self.groups[group.key] = nil }
            }
        }
        return !actions.isEmpty
    }

    private func open(_ stream: StreamID) {
        guard let group = self.groups[stream.key], let server = self.servers[stream.server] else { return }
        self.openStreams.insert(stream)
        server.open(stream.number)
        guard let origin = group.origin(at: stream.upstream) else { return }
        // What was stored may come from a control plane that spoke another.
        if origin.variant != server.variant { origin.setVariant(server.variant) }
        origin.streamOpened(stream.number, server: server.name, now: self.now)
    }
}
