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
        client.shard.close(client.id)
        self.clients.removeAll { $0 === client }
        self.settle()
    }

    /// The upstream streams end; they reopen in `settle` while the server is up.
    func loseUpstream(replacement: ReferenceServer? = nil) {
        for number in self.openStreams.sorted() {
            self.server.close(number)
            for group in self.groups.values { group.streamClosed(number, reason: "lost", now: self.now) }
        }
        if let replacement = replacement { self.server = replacement }
        self.lost.formUnion(self.openStreams)
        self.openStreams = []
    }

    private var lost: Set<Int> = []

    func advance(_ span: Nanoseconds) {
        self.now = self.now + span
        for shard in self.shards {
            shard.setTime(self.now, wall: WallTime(rawValue: 0))
            shard.tick()
        }
        for group in self.groups.values { group.advance(to: self.now, wall: WallTime(rawValue: 0)) }
        self.settle()
    }

    /// Carries everything to where it goes until nothing moves.
    func settle() {
        for _ in 0..<10_000 where !self.step() { return }
        preconditionFailure("the relay does not come to rest")
    }

    /// Returns whether anything moved.
    private func step() -> Bool {
        var moved = false
        for (index, shard) in self.shards.enumerated() {
            shard.flush()
            for entry in shard.commands {
                self.receive(entry.command, entry.group, from: index)
                moved = true
            }
            // Streams of a cold group are ended by the relay; their clients are gone.
            let refused = Set(shard.refusals.map(\.handle))
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
        for group in self.groups.values { if self.carryOut(group) { moved = true } }
        if self.isServerUp, !self.lost.isEmpty {
            for number in self.lost.sorted() { self.open(number) }
            self.lost = []
            moved = true
        }
        for group in self.groups.values { if self.carryOut(group) { moved = true } }
        let outbox = self.server.outbox
        self.server.outbox = []
        for (stream, message) in outbox {
            moved = true
            for group in self.groups.values {
                group.streamReceived(stream, message: message.span, now: self.now, wall: WallTime(rawValue: 0))
                _ = self.carryOut(group)
            }
        }
        return moved
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
            case .send(let number, let message): self.server.receive(number, message)
            case .publish(let update, let workers):
                for (index, shard) in self.shards.enumerated() where workers & 1 << UInt64(index) != 0 {
                    shard.update(group: group.key, update)
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

/// A client that follows the protocol and remembers what it holds.
final class RelayClient {
    struct Held {
        var wildcard = false
        var names: Set<String> = []
        var resources: [String: Int] = [:]
        var missing: Set<String> = []
        var version = ""
        var nonce = ""
        var responses = 0
        /// SotW: whether a name, `*` included, was ever requested.
        var hasNamed = false
        /// SotW: names given up since the last response; whether the wildcard covers them the client cannot know.
        var unsure: Set<String> = []

        /// The names of a SotW request: none for a wildcard only as long as none was ever requested.
        var requestNames: [String] {
            if self.wildcard, self.names.isEmpty, !self.hasNamed { return [] }
            return (self.wildcard ? ["*"] : []) + self.names.sorted()
        }
    }

    let shard: Shard
    let shardIndex: Int
    let id: SlotID
    let handle: UInt64
    let variant: ProtocolVariant
    private(set) var held: [XDSType: Held] = [:]
    private var unanswered: [(type: XDSType, version: String, nonce: String)] = []
    private var nonces: Set<String> = []
    private var sentNode = false
    var acknowledges = true
    var rejects = false
    var reads = true
    private(set) var faults: [String] = []

    init(_ shard: Shard, _ shardIndex: Int, _ id: SlotID, _ handle: UInt64, _ variant: ProtocolVariant) {
        self.shard = shard
        self.shardIndex = shardIndex
        self.id = id
        self.handle = handle
        self.variant = variant
    }

    func held(_ type: XDSType) -> [String] {
        (self.held[type]?.resources ?? [:]).sorted { $0.key < $1.key }.map { "\($0.key)@\($0.value)" }
    }

    // MARK: Requests

    func subscribe(_ type: XDSType, wildcard: Bool = false, _ names: Set<String> = [], resuming old: Held? = nil) {
        let isFirst = self.held[type] == nil
        var state = self.held[type] ?? Held()
        let added = names.subtracting(state.names)
        let removed = state.names.subtracting(names)
        let wasWildcard = state.wildcard
        state.wildcard = wildcard
        state.names = names
        state.unsure.formUnion(removed)
        if wasWildcard, !wildcard { state.unsure.formUnion(state.resources.keys) }
        if let old = old {
            state.resources = old.resources
            state.version = old.version
            state.unsure = old.unsure
        }
        switch self.variant {
        case .sotw:
            self.held[type] = state
            if !type.isFullSet { self.forget(type, keeping: names) }
            self.send(type, names: self.noteNames(type), state)
        case .delta:
            var request = OutgoingDeltaRequest(typeURL: type.typeURL)
            request.subscribe = added.sorted() + (wildcard && !wasWildcard && (!isFirst || !names.isEmpty) ? ["*"] : [])
            request.unsubscribe = removed.sorted() + (!wildcard && wasWildcard ? ["*"] : [])
            request.initialVersions = (old?.resources ?? [:]).sorted { $0.key < $1.key }.map {
                .init(name: $0.key, version: String($0.value))
            }
            for name in removed where !wildcard { state.resources[name] = nil }
            if !wildcard { state.resources = state.resources.filter { names.contains($0.key) } }
            self.held[type] = state
            self.transmit {
                $0.map { request.node = $0 }; return request.encoded
            }
        }
    }

    private func noteNames(_ type: XDSType) -> [String] {
        let names = self.held[type]?.requestNames ?? []
        if !names.isEmpty { self.held[type]?.hasNamed = true }
        return names
    }

    private func forget(_ type: XDSType, keeping names: Set<String>) {
        let kept = self.held[type]?.resources.filter { names.contains($0.key) } ?? [:]
        self.held[type]?.resources = kept
    }

    private func send(_ type: XDSType, names: [String], _ state: Held, error: String? = nil) {
        var request = OutgoingRequest(typeURL: type.typeURL)
        request.resourceNames = names
        request.versionInfo = state.version
        request.responseNonce = state.nonce
        request.errorDetail = error.map { ErrorDetail(code: 13, message: $0) }
        self.transmit {
            $0.map { request.node = $0 }; return request.encoded
        }
    }

    private func transmit(_ build: ([UInt8]?) -> [UInt8]) {
        var node: [UInt8]?
        if !self.sentNode {
            var writer = WireWriter()
            writer.string(1, "n")
            node = writer.bytes
            self.sentNode = true
        }
        self.shard.receive(self.id, build(node).span)
    }

    // MARK: Responses

    func receive(_ body: [UInt8], _ nonce: Nonce) {
        let field = nonce.field
        let message = Array(body[5...]) + (0..<10).map { field[$0] }
        let span = message.span
        switch self.variant {
        case .sotw:
            guard let response = try? DiscoveryResponse(decoding: span) else { return self.fault("undecodable") }
            self.receive(response, span)
        case .delta:
            guard let response = try? DeltaDiscoveryResponse(decoding: span) else { return self.fault("undecodable") }
            self.receive(response, span)
        }
    }

    private func fault(_ text: String) { self.faults.append(text) }

    private func note(_ type: XDSType, _ version: String, _ nonce: String) {
        if !self.nonces.insert(type.label + nonce).inserted { self.fault("nonce \(nonce) twice") }
        self.held[type]?.responses += 1
        self.unanswered.append((type, version, nonce))
    }

    private func receive(_ response: DiscoveryResponse, _ span: borrowing Span<UInt8>) {
        let type = XDSType.of(typeURL: span.string(response.typeURL))
        var received: [String: Int] = [:]
        for range in response.resources {
            let (name, version) = Self.payload(range, span)
            if received.updateValue(version, forKey: name) != nil { self.fault("\(name) twice") }
        }
        self.note(type, span.string(response.versionInfo), span.string(response.nonce))
        if self.rejects { return }
        if type.isFullSet {
            self.held[type]?.resources = received
            self.held[type]?.unsure = []
        } else {
            for (name, version) in received where self.held[type]?.names.contains(name) == true {
                self.held[type]?.resources[name] = version
            }
        }
    }

    private func receive(_ response: DeltaDiscoveryResponse, _ span: borrowing Span<UInt8>) {
        let type = XDSType.of(typeURL: span.string(response.typeURL))
        self.note(type, span.string(response.systemVersionInfo), span.string(response.nonce))
        var seen: Set<String> = []
        for range in response.resources {
            guard let envelope = try? ResourceEnvelope(decoding: range, in: span), let any = envelope.resource else {
                return self.fault("undecodable resource")
            }
            let name = span.string(envelope.name)
            if !seen.insert(name).inserted { self.fault("\(name) twice") }
            let isWanted = self.held[type]?.wildcard == true || self.held[type]?.names.contains(name) == true
            if isWanted { self.held[type]?.resources[name] = Self.payload(any, span).1 }
            self.held[type]?.missing.remove(name)
        }
        for range in response.removedResources {
            let name = span.string(range)
            if !seen.insert(name).inserted { self.fault("\(name) sent and removed") }
            self.held[type]?.resources[name] = nil
            self.held[type]?.missing.insert(name)
        }
    }

    private static func payload(_ range: ByteRange, _ span: borrowing Span<UInt8>) -> (String, Int) {
        guard let any = try? AnyEnvelope(decoding: range, in: span) else { return ("?", -1) }
        var reader = WireReader(any.value)
        var name = "?"
        var version = -1
        while let field = try? reader.next(in: span) {
            if field.number == 1, let range = try? field.bytes() { name = span.string(range) }
            if field.number == 14, let value = try? field.varint() { version = Int(value) }
        }
        return (name, version)
    }

    /// Acknowledges what came. Returns whether anything was said.
    func answer() -> Bool {
        if self.reads { self.shard.drained(self.id) }
        guard self.acknowledges, !self.unanswered.isEmpty else { return false }
        let answers = self.unanswered
        self.unanswered = []
        for answer in answers {
            guard var state = self.held[answer.type] else { continue }
            let error = self.rejects ? "no" : nil
            switch self.variant {
            case .sotw:
                state.nonce = answer.nonce
                if !self.rejects { state.version = answer.version }
                self.held[answer.type] = state
                self.send(answer.type, names: self.noteNames(answer.type), state, error: error)
            case .delta:
                var request = OutgoingDeltaRequest(typeURL: answer.type.typeURL)
                request.responseNonce = answer.nonce
                request.errorDetail = error.map { ErrorDetail(code: 13, message: $0) }
                if !self.rejects { self.held[answer.type]?.version = answer.version }
                self.transmit { _ in request.encoded }
            }
        }
        return true
    }
}
