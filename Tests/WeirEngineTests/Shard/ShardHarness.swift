import WeirBase
import WeirXDS

@testable import WeirEngine

/// Plays transport, rules and home to a shard, and clients to its streams.
final class ShardHarness {
    let shard: Shard
    /// The rules: which key a node's id gets; an empty one is none. May change while streams live.
    private let rules: Rules
    private final class Rules { var key: (String) -> String = { $0 } }
    var key: (String) -> String {
        get { self.rules.key }
        set { self.rules.key = newValue }
    }
    private var now = Instant(rawValue: 1_000_000_000)
    private var generations: [String: Generation] = [:]
    private(set) var commands: [(group: String, command: GroupCommand)] = []
    private(set) var refusals: [Refusal] = []
    private(set) var events: [ShardEvent] = []
    private(set) var taken: [TakenPush] = []
    private(set) var live: [LiveEvent] = []
    /// The push that what is published next belongs to.
    var push = PushID.none
    private var inboxes: [UInt64: [Response]] = [:]
    private var handles: UInt64 = 0
    /// Clients that read nothing for now.
    var blocked: Set<UInt64> = []
    /// The body objects of all responses so far, to see how many encodings there were.
    private(set) var bodies: [SharedBody] = []

    struct Response: Equatable {
        var typeURL: String
        var version: String
        var nonce: String
        /// SotW: the payloads' names; delta: `name@version`.
        var resources: [String]
        var removed: [String] = []

        var label: String { XDSType.of(typeURL: self.typeURL).label }
    }

    final class Client {
        let id: SlotID
        let handle: UInt64
        let variant: ProtocolVariant
        unowned let harness: ShardHarness
        var sentNode = false

        init(id: SlotID, handle: UInt64, variant: ProtocolVariant, harness: ShardHarness) {
            self.id = id
            self.handle = handle
            self.variant = variant
            self.harness = harness
        }
    }

    init(_ change: (inout ShardPolicy) -> Void = { _ in }, scope: KeyScope = .stream) {
        var policy = ShardPolicy()
        change(&policy)
        let rules = Rules()
        self.rules = rules
        self.shard = Shard(policy: policy) { request in
            guard let node = try? Self.nodeID(request.node), !node.isEmpty else { return .refused("no rule matches") }
            let name = rules.key(node)
            guard !name.isEmpty else { return .refused("no rule matches") }
            let key = scope == .request ? "\(name)/\(request.resourceNames.first ?? "")" : name
            return .group(
                key: key, upstream: "primary", coldTimeout: .seconds(5),
                identity: NodeIdentity(id: node, cluster: "", encoded: request.node, isWhole: !node.hasPrefix("big")),
                upstreamNode: request.node, scope: scope)
        }
        self.shard.setTime(self.now, wall: WallTime(rawValue: 0))
    }

    static func nodeID(_ bytes: [UInt8]) throws -> String {
        var reader = WireReader(ByteRange(offset: 0, count: bytes.count))
        var id = ""
        let span = bytes.span
        while let field = try reader.next(in: span) {
            if field.number == 1 { id = span.string(try field.bytes()) }
        }
        return id
    }

    static func node(_ id: String) -> [UInt8] {
        var writer = WireWriter()
        writer.string(1, id)
        return writer.bytes
    }

    // MARK: Clients

    func open(_ variant: ProtocolVariant, type: XDSType? = nil) -> Client {
        self.handles += 1
        let service = DiscoveryService.all.first { $0.variant == variant && $0.type == type }
        let id = self.shard.open(
            handle: self.handles, service: service ?? DiscoveryService.all[0],
            peer: PeerIdentity(address: "127.0.0.1:1", names: []))
        return Client(id: id, handle: self.handles, variant: variant, harness: self)
    }

    func receive(_ client: Client, _ bytes: [UInt8]) { self.shard.receive(client.id, bytes.span) }

    /// Ends the round and hands what came out to the clients' inboxes; the transport takes everything at once.
    func settle(blocking blocked: Set<UInt64> = []) {
        self.shard.flush()
        let sent = Set(self.shard.sends.map(\.handle))
        for send in self.shard.sends {
            let body = self.shard.bodies[Int(send.body)]
            if !self.bodies.contains(where: { $0 === body }) { self.bodies.append(body) }
            self.inboxes[send.handle, default: []].append(Self.decode(body.bytes, send.nonce))
        }
        self.refusals += self.shard.refusals
        self.commands += self.shard.commands
        self.events += self.shard.events
        self.taken += self.shard.taken
        self.live += self.shard.live
        self.shard.endRound()
        for id in self.shard.streams.ids {
            guard let handle = self.shard.streams[id]?.handle, sent.contains(handle), !blocked.contains(handle),
                !self.blocked.contains(handle)
            else { continue }
            self.shard.drained(id)
        }
        if !self.shard.sends.isEmpty { self.settle(blocking: blocked) }
    }

    func unblock(_ client: Client) {
        self.blocked.remove(client.handle)
        self.shard.drained(client.id)
        self.settle()
    }

    func advance(_ span: Nanoseconds) {
        self.now = self.now + span
        self.shard.setTime(self.now, wall: WallTime(rawValue: 0))
        self.shard.tick()
        self.settle()
    }

    /// What the client received since the last call.
    func take(_ client: Client) -> [Response] {
        self.settle()
        return self.inboxes.removeValue(forKey: client.handle) ?? []
    }

    private static func decode(_ body: [UInt8], _ nonce: Nonce) -> Response {
        let field = nonce.field
        let bytes = body + (0..<10).map { field[$0] }
        let length = bytes[1..<5].reduce(0) { $0 << 8 | Int($1) }
        precondition(length == bytes.count - 5, "the gRPC length counts the nonce")
        let message = Array(bytes[5...])
        return Self.parse(message)
    }

    /// Reads both variants: they differ in what stands in field 2.
    private static func parse(_ message: [UInt8]) -> Response {
        let span = message.span
        var response = Response(typeURL: "", version: "", nonce: "", resources: [])
        var reader = WireReader(ByteRange(offset: 0, count: span.count))
        while let field = try? reader.next(in: span), let content = try? field.bytes() {
            switch field.number {
            case 1: response.version = span.string(content)
            case 2: response.resources.append(Self.resource(span, content))
            case 4: response.typeURL = span.string(content)
            case 5: response.nonce = span.string(content)
            case 6: response.removed.append(span.string(content))
            default: break
            }
        }
        return response
    }

    private static func resource(_ span: borrowing Span<UInt8>, _ content: ByteRange) -> String {
        guard let any = try? AnyEnvelope(decoding: content, in: span) else { return "?" }
        if span.string(any.typeURL).hasPrefix(XDSType.prefix) {
            var reader = WireReader(any.value)
            while let field = try? reader.next(in: span) {
                if field.number == 1, let name = try? field.bytes() { return span.string(name) }
            }
            return "?"
        }
        guard let envelope = try? ResourceEnvelope(decoding: content, in: span) else { return "?" }
        return "\(span.string(envelope.name))@\(span.string(envelope.version))"
    }

    // MARK: Home

    /// A resource whose payload is a message with its name in field 1 and `content` in field 15.
    static func resource(
        _ type: XDSType, _ name: String, _ version: String?, _ content: String, eds: Bool = false,
        uncached: Bool = false
    ) -> Resource {
        var value = WireWriter()
        value.string(1, name)
        if eds { value.uint(2, 3) }
        value.string(15, content)
        var any = WireWriter()
        any.string(1, type.typeURL)
        any.message(2, value.bytes)
        // `cache_control { do_not_cache: true }`.
        let extra: [UInt8] = uncached ? [0x3A, 2, 8, 1] : []
        let message = any.bytes + extra
        return Resource(
            name: name, version: version, type: type, any: ByteRange(offset: 0, count: any.bytes.count),
            extras: uncached ? [ByteRange(offset: any.bytes.count, count: extra.count)] : [], in: message.span)
    }

    /// Publishes changes as a home would: `a@1` is present, `-a` gone.
    func publish(
        _ key: String, _ type: XDSType, lane: Lane = .wildcard, _ changes: [String], version: String = "v",
        passes: Bool = false, wildcardKnown: Bool? = nil, eds: Bool = false, uncached: Bool = false,
        blocking blocked: Set<UInt64> = []
    ) {
        let generation = self.generations["\(key)\(type.label)", default: 0] + 1
        self.generations["\(key)\(type.label)"] = generation
        let list = changes.map { text -> ResourceChange in
            if text.hasPrefix("-") {
                return ResourceChange(lane: lane, name: String(text.dropFirst()), presence: .absent)
            }
            let parts = text.split(separator: "@").map(String.init)
            let resource = Self.resource(type, parts[0], parts[1], parts[1], eds: eds, uncached: uncached)
            return ResourceChange(lane: lane, name: parts[0], presence: .present(resource))
        }
        var update = TypeUpdate(
            typeURL: type.typeURL, generation: generation, isFull: self.isNew(type, key), changes: list,
            wildcardKnown: wildcardKnown ?? (lane == .wildcard), version: version, passesVersionToSotW: passes,
            receivedAt: self.now, receivedAtWall: WallTime(rawValue: 0))
        update.push = self.push
        self.shard.update(group: key, update)
        self.settle(blocking: blocked)
    }

    /// Publishes by name while the transport of one client keeps its bytes.
    func publishBlocked(_ key: String, _ type: XDSType, _ changes: [String], _ client: Client) {
        self.publish(key, type, lane: .named, changes, blocking: [client.handle])
    }

    /// What the client was sent since the last call, by a transport that keeps its bytes.
    func takeBlocked(_ client: Client) -> [Response] { self.inboxes.removeValue(forKey: client.handle) ?? [] }

    /// Whether the worker has nothing of a type, so that a home would tell it everything.
    private func isNew(_ type: XDSType, _ key: String) -> Bool {
        guard let group = self.shard.groupIndex[key] else { return true }
        return self.shard.views.first { $0?.group == group && $0?.type == type }??.generation ?? 0 == 0
    }

    /// The interest told to the home since the last call, as text: `+*`, `-*`, `+a`, `-a`, and `!a` for one to be fetched
    /// anew.
    func takeInterest(_ type: XDSType) -> [String] {
        self.settle()
        var result: [String] = []
        for entry in self.commands {
            guard case .interest(let change) = entry.command, change.typeURL == type.typeURL else { continue }
            if let wildcard = change.wildcard { result.append(wildcard ? "+*" : "-*") }
            result += change.added.map { "+" + $0 } + change.removed.map { "-" + $0 }
            result += change.renewed.map { "!" + $0 }
        }
        self.commands.removeAll { if case .interest = $0.command { true } else { false } }
        return result
    }
}

extension ShardHarness.Client {
    /// Sends a SotW request; `nonce` nil leaves it empty.
    func request(
        _ type: XDSType, _ names: [String] = [], version: String = "", nonce: String? = nil, error: String? = nil,
        node: String? = "n"
    ) {
        var request = OutgoingRequest(typeURL: type.typeURL)
        if !self.sentNode, let node = node { request.node = ShardHarness.node(node) }
        self.sentNode = true
        request.resourceNames = names
        request.versionInfo = version
        request.responseNonce = nonce ?? ""
        request.errorDetail = error.map { ErrorDetail(code: 13, message: $0) }
        self.harness.receive(self, request.encoded)
    }

    func delta(
        _ type: XDSType, add: [String] = [], remove: [String] = [], held: [String: String] = [:],
        heldBackwards: Bool = false, nonce: String? = nil, error: String? = nil, node: String? = "n"
    ) {
        var request = OutgoingDeltaRequest(typeURL: type.typeURL)
        if !self.sentNode, let node = node { request.node = ShardHarness.node(node) }
        self.sentNode = true
        request.subscribe = add
        request.unsubscribe = remove
        request.initialVersions = held.sorted { ($0.key < $1.key) != heldBackwards }.map {
            .init(name: $0.key, version: $0.value)
        }
        request.responseNonce = nonce ?? ""
        request.errorDetail = error.map { ErrorDetail(code: 13, message: $0) }
        self.harness.receive(self, request.encoded)
    }

    func take() -> [ShardHarness.Response] { self.harness.take(self) }

    /// Takes what came and acknowledges it: SotW the newest of each type, delta every one. `names` is repeated (SotW).
    @discardableResult
    func takeAndAck(_ names: [String] = []) -> [ShardHarness.Response] {
        let responses = self.take()
        for response in responses {
            let type = XDSType.of(typeURL: response.typeURL)
            switch self.variant {
            case .sotw: self.request(type, names, version: response.version, nonce: response.nonce)
            case .delta: self.delta(type, nonce: response.nonce)
            }
        }
        return responses
    }
}
