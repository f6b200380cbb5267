import WeirBase
import WeirEngine
import WeirXDS

/// A group's home and its control plane, in SotW. What the control plane says is encoded beforehand.
final class MicroOrigin {
    private let group: OriginGroup
    private let responses: [[UInt8]]
    private var next = 0
    private var now = Instant(rawValue: 1_000_000_000)

    /// - Parameter changing: how many of the resources differ from one response to the next.
    init(resources: Int, changing: Int) {
        self.responses = (0...1).map { Self.response(count: resources, changing: changing, version: $0) }
        var policy = OriginPolicy()
        policy.guards.holdsEmpty = false
        self.group = OriginGroup(key: "k", node: [], variant: .sotw, policy: policy)
        self.group.workerJoined(0)
        self.group.apply(
            InterestChange(typeURL: XDSType.eds.typeURL, added: (0..<resources).map(BenchResources.name)), from: 0,
            now: self.now, wall: WallTime(rawValue: 0))
        self.group.streamOpened(0, server: "one", now: self.now)
        self.now = self.now + .milliseconds(20)
        self.group.advance(to: self.now, wall: WallTime(rawValue: 0))
        self.answer()
    }

    /// The control plane sends everything.
    func answer() {
        let message = self.responses[self.next]
        self.group.streamReceived(0, message: message.span, now: self.now, wall: WallTime(rawValue: 0))
        self.next = 1 - self.next
        precondition(!self.group.takeActions().isEmpty, "the home answers")
    }

    static func response(count: Int, changing: Int, version: Int) -> [UInt8] {
        var writer = WireWriter()
        writer.string(1, changing > 0 ? "v\(version)" : "v")
        for index in 0..<count {
            let stamp = Int64(index < changing ? version : 0)
            writer.message(2, BenchResources.any(.eds, BenchResources.endpoints(index, count: 10, stamp: stamp)))
        }
        writer.string(4, XDSType.eds.typeURL)
        writer.string(5, "n\(version)")
        return writer.bytes
    }
}

/// A worker's streams of one group, in delta, and a transport that takes everything at once.
final class MicroClients {
    private let shard: Shard
    private var streams: [SlotID] = []
    /// Of the newest response that a stream has not answered.
    private var nonces: [Nonce] = []
    private var generation: UInt64 = 0
    private var asked = 0
    private var now = Instant(rawValue: 1_000_000_000)
    private let subscribed: Int
    private let first: [UInt8]
    private let wishes: [[UInt8]]
    /// An ACK; its last bytes are the nonce.
    private let answer: [UInt8]
    /// Two versions of each resource.
    private let resources: [[Resource]]

    init(streams count: Int, resources: Int, subscribed: Int) {
        self.subscribed = subscribed
        self.resources = (0...1).map { version in (0..<resources).map { Self.resource($0, version) } }
        self.first = Self.request(subscribe: (0..<subscribed).map(BenchResources.name), isFirst: true)
        self.wishes = (0..<subscribed).map { Self.request(subscribe: [BenchResources.name($0)]) }
        var answer = WireWriter()
        answer.string(2, XDSType.eds.typeURL)
        answer.string(6, Nonce(rawValue: 1).text)
        self.answer = answer.bytes
        self.shard = Shard(policy: ShardPolicy()) { request in
            .group(
                key: "k", upstream: "u", coldTimeout: .seconds(5),
                identity: NodeIdentity(id: "n", cluster: "", encoded: []), upstreamNode: request.node, scope: .stream)
        }
        for _ in 0..<count { self.streams.append(self.open()) }
        self.nonces = Array(repeating: .none, count: count)
        self.settle()
        self.publish(0..<resources, isFull: true)
        self.acknowledge()
    }

    private static func resource(_ index: Int, _ version: Int) -> Resource {
        let any = BenchResources.any(.eds, BenchResources.endpoints(index, count: 10, stamp: Int64(version)))
        return Resource(
            name: BenchResources.name(index), version: "v\(version)", type: .eds,
            any: ByteRange(offset: 0, count: any.count), in: any.span)
    }

    private static func request(subscribe: [String], isFirst: Bool = false) -> [UInt8] {
        var request = OutgoingDeltaRequest(typeURL: XDSType.eds.typeURL)
        if isFirst {
            var node = WireWriter()
            node.string(1, "n")
            request.node = node.bytes
        }
        request.subscribe = subscribe
        return request.encoded
    }

    private func open() -> SlotID {
        let service = DiscoveryService.all.first { $0.type == nil && $0.variant == .delta }
        let id = self.shard.open(
            handle: UInt64(self.streams.count), service: service ?? DiscoveryService.all[0],
            peer: PeerIdentity(address: "", names: []))
        let first = self.first
        self.shard.receive(id, first.span)
        return id
    }

    /// One resource changes.
    func change(_ index: Int) { self.publish(index..<(index + 1), isFull: false) }

    /// All do.
    func changeAll() { self.publish(0..<self.resources[0].count, isFull: false) }

    private func publish(_ indices: Range<Int>, isFull: Bool) {
        self.now = self.now + .milliseconds(1)
        self.shard.setTime(self.now, wall: WallTime(rawValue: 0))
        self.generation += 1
        let version = self.resources[Int(self.generation % 2)]
        self.shard.update(
            group: "k",
            TypeUpdate(
                typeURL: XDSType.eds.typeURL, generation: self.generation, isFull: isFull,
                changes: indices.map {
                    ResourceChange(lane: .named, name: version[$0].name, presence: .present(version[$0]))
                },
                wildcardKnown: false, version: "v", passesVersionToSotW: false, receivedAt: self.now,
                receivedAtWall: WallTime(rawValue: 0)))
        self.settle()
    }

    /// A stream asks for a name that it has, which in delta means that it wants it once more.
    func askAgain() {
        self.asked = (self.asked + 1) % self.subscribed
        let wish = self.wishes[self.asked]
        self.shard.receive(self.streams[0], wish.span)
        self.settle()
        self.acknowledge()
    }

    /// One more stream comes, is sent everything it asks for, and goes.
    func come() {
        let id = self.open()
        self.settle()
        self.shard.close(id)
        self.settle()
    }

    /// Every stream answers what it was sent.
    func acknowledge() {
        var answer = self.answer
        for index in self.streams.indices where self.nonces[index] != .none {
            let nonce = self.nonces[index].wire
            for place in nonce.indices { answer[answer.count - nonce.count + place] = nonce[place] }
            self.nonces[index] = .none
            self.shard.receive(self.streams[index], answer.span)
        }
        self.settle()
    }

    private func settle() {
        repeat {
            self.shard.flush()
            for send in self.shard.sends where send.handle < UInt64(self.nonces.count) {
                self.nonces[Int(send.handle)] = send.nonce
                self.shard.drained(self.streams[Int(send.handle)])
            }
            self.shard.endRound()
        } while self.shard.hasWork
    }
}
