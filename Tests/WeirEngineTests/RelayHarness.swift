import Testing
import WeirBase
import WeirXDS

@testable import WeirEngine

/// A whole relay in one thread: shards, homes, a reference server and clients, joined by queues. The pure core as it is,
/// without sockets.
final class RelayHarness {
    var server: ReferenceServer
    let shards: [Shard]
    private(set) var groups: [String: OriginGroup] = [:]
    private(set) var clients: [RelayClient] = []
    /// Clients whose streams the relay ended.
    private(set) var refused: [RelayClient] = []
    private var handles: UInt64 = 0
    private(set) var now = Instant(rawValue: 1_000_000_000)
    private(set) var events: [OriginEvent] = []
    private var openStreams: Set<Int> = []
    var isServerUp = true
    let policy: OriginPolicy
    private(set) var pushed = 0

    init(_ server: ReferenceServer, shards count: Int = 2, linger: Nanoseconds = .seconds(2)) {
        self.server = server
        var policy = OriginPolicy()
        policy.linger = linger
        self.policy = policy
        self.shards = (0..<count).map { _ in
            Shard(policy: ShardPolicy()) { request in
                .group(
                    key: "k", upstream: "u", coldTimeout: .seconds(5),
                    identity: NodeIdentity(id: "n", cluster: "", encoded: []), upstreamNode: request.node,
                    scope: .stream)
            }
        }
        for shard in self.shards { shard.setTime(self.now, wall: WallTime(rawValue: 0)) }
    }

    func connect(_ variant: ProtocolVariant, shard: Int = 0) -> RelayClient {
        self.handles += 1
        let service = DiscoveryService.all.first { $0.variant == variant && $0.type == nil }
        let id = self.shards[shard].open(
            handle: self.handles, service: service ?? DiscoveryService.all[0],
            peer: PeerIdentity(address: "", names: []))
        let client = RelayClient(self.shards[shard], shard, id, self.handles, variant)
        self.clients.append(client)
        return client
    }

    func disconnect(_ client: RelayClient) {
        self.drop(client)
        self.settle()
    }

    /// The stream of a client ends; nothing is carried anywhere yet.
    func drop(_ client: RelayClient) {
        client.shard.close(client.id)
        self.clients.removeAll { $0 === client }
    }

    /// The upstream streams end; they reopen in `settle` while the server is up.
    func loseUpstream(replacement: ReferenceServer? = nil) {
        for number in self.openStreams.sorted() { self.loseStream(number) }
        guard let replacement = replacement else { return }
        self.server = replacement
        for group in self.groups.values { group.setVariant(replacement.variant) }
    }

    /// One upstream stream ends; it reopens in `settle` while the server is up.
    func loseStream(_ number: Int) {
        guard self.openStreams.remove(number) != nil else { return }
        self.server.close(number)
        self.stalled.removeAll { $0.stream == number }
        for group in self.groups.values { group.streamClosed(number, reason: "lost", now: self.now) }
        self.lost.insert(number)
    }

    /// Upstream streams whose responses do not arrive for now.
    var stalledStreams: Set<Int> = []
    /// Responses on those.
    private var stalled: [(stream: Int, message: [UInt8])] = []

    private var lost: Set<Int> = []

    func advance(_ span: Nanoseconds) {
        self.now = self.now + span
        for shard in self.shards {
            shard.setTime(self.now, wall: WallTime(rawValue: 0))
            shard.tick()
        }
        for group in self.groups.values {
            group.advance(to: self.now, wall: WallTime(rawValue: 0))
            _ = self.carryOut(group)
        }
        self.settle()
    }

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
        for (index, shard) in self.shards.enumerated() {
            shard.flush()
            for entry in shard.commands {
                self.toHome.append((entry.command, entry.group, index))
                moved = true
            }
            let refused = Set(shard.refusals.map(\.handle))
            self.refused += self.clients.filter { refused.contains($0.handle) }
            self.clients.removeAll { refused.contains($0.handle) }
            let sends = shard.sends.map { ($0.handle, shard.bodies[Int($0.body)], $0.nonce) }
            shard.endRound()
            for (handle, body, nonce) in sends {
                moved = true
                self.pushed += 1
                self.clients.first { $0.handle == handle }?.receive(body.bytes, nonce)
            }
        }
        for client in self.clients where client.answer() { moved = true }
        if self.isServerUp, !self.lost.isEmpty {
            for number in self.lost.sorted() { self.open(number) }
            self.lost = []
            moved = true
        }
        for group in self.groups.values { if self.carryOut(group) { moved = true } }
        let outbox = self.stalled + self.server.outbox
        self.server.outbox = []
        self.stalled = []
        for (stream, message) in outbox {
            if self.stalledStreams.contains(stream) {
                self.stalled.append((stream, message))
                continue
            }
            guard self.openStreams.contains(stream) else { continue }
            moved = true
            for group in self.groups.values {
                group.streamReceived(stream, message: message.span, now: self.now, wall: WallTime(rawValue: 0))
                _ = self.carryOut(group)
            }
        }
        return moved
    }

    /// What workers and homes said to each other since the last step: as in a real relay, each may have changed its mind
    /// by the time it arrives.
    private var toHome: [(command: GroupCommand, key: String, worker: Int)] = []
    private var toShards: [(shard: Int, key: String, update: TypeUpdate)] = []

    private func deliverMail() -> Bool {
        let updates = self.toShards
        let commands = self.toHome
        self.toShards = []
        self.toHome = []
        for entry in updates { self.shards[entry.shard].update(group: entry.key, entry.update) }
        for entry in commands { self.receive(entry.command, entry.key, from: entry.worker) }
        return !updates.isEmpty || !commands.isEmpty
    }

    private func receive(_ command: GroupCommand, _ key: String, from worker: Int) {
        switch command {
        case .join(_, let node):
            let group =
                self.groups[key]
                ?? OriginGroup(key: key, node: node, variant: self.server.variant, policy: self.policy)
            self.groups[key] = group
            group.workerJoined(worker)
        case .interest(let change):
            self.groups[key]?.apply(change, from: worker, now: self.now, wall: WallTime(rawValue: 0))
        case .leave: self.groups[key]?.workerLeft(worker, now: self.now)
        }
        if let group = self.groups[key] { _ = self.carryOut(group) }
    }

    private func carryOut(_ group: OriginGroup) -> Bool {
        let actions = group.takeActions()
        for action in actions {
            switch action {
            case .openStream(let number): if self.isServerUp { self.open(number) } else { self.lost.insert(number) }
            case .closeStream(let number):
                self.lost.remove(number)
                if self.openStreams.remove(number) != nil { self.server.close(number) }
                self.stalled.removeAll { $0.stream == number }
            case .send(let number, let message): self.server.receive(number, message)
            case .publish(let update, let workers):
                for index in self.shards.indices where workers & 1 << UInt64(index) != 0 {
                    self.toShards.append((index, group.key, update))
                }
            case .originState(let state, let workers):
                for (index, shard) in self.shards.enumerated() where workers & 1 << UInt64(index) != 0 {
                    shard.originChanged(group: group.key, state)
                }
            case .event(let event): self.events.append(event)
            case .idle: self.groups[group.key] = nil
            }
        }
        return !actions.isEmpty
    }

    private func open(_ number: Int) {
        guard let group = self.groups["k"] else { return }
        self.openStreams.insert(number)
        self.server.open(number)
        group.streamOpened(number, server: self.server.name, now: self.now)
    }
}
