import WeirBase
import WeirEngine
import WeirXDS

/// Two shards and the homes of two groups, with clients and control planes that say whatever the input makes them say,
/// well-formed or not. No response goes to a stream that is gone or is malformed, and in the end nothing is left.
///
/// First byte: bit 0 is the upstream's variant, bits 1 and 2 the scope of keys, bit 3 a small size of responses, bit 4
/// an origin of files.
func fuzzEngine(_ input: [UInt8]) throws(FuzzFinding) {
    var input = FuzzInput(input)
    let relay = FuzzedRelay(mode: input.byte())
    while !input.isEmpty { relay.act(&input) }
    relay.end()
    try check(relay.findings.isEmpty, relay.findings.joined(separator: "; "))
}

private let types: [XDSType] = [.cds, .eds, .lds, .rds, .vhds, .sds, XDSType.of(typeURL: "type.googleapis.com/x.Y")]
private let names = [
    "a", "b", "*", "xdstp://h/t/c/*", "", "d", "xdstp://h/t/c/x?b=1&a=2", "xdstp://h/t/c/y",
]
private let features = ["xds.config.supports-resource-ttl", "xds.config.resource-in-sotw"]
private let clientsMax = 12

/// A client's stream as its owner, the connection, knows it.
private struct FuzzedClient {
    var shard: Int
    var id: SlotID
    var handle: UInt64
    var variant: ProtocolVariant
    var nonces: [String: String] = [:]
    var versions: [String: String] = [:]
}

private final class FuzzedRelay {
    private let shards: [Shard]
    private var groups: [String: OriginGroup] = [:]
    private var openStreams: [String: Set<Int>] = [:]
    private var wantedStreams: [String: Set<Int>] = [:]
    private var clients: [FuzzedClient] = []
    /// Closed in this round, in which they may already have been sent something.
    private var closing: Set<UInt64> = []
    private var handles: UInt64 = 0
    private var now = Instant(rawValue: 1_000_000_000)
    /// nil: files.
    private let variant: ProtocolVariant?
    private(set) var findings: [String] = []

    init(mode: UInt8) {
        self.variant = mode & 16 != 0 ? nil : mode & 1 == 1 ? .delta : .sotw
        let scope: KeyScope = [.stream, .type, .request, .stream][Int(mode >> 1 & 3)]
        var policy = ShardPolicy()
        policy.maxTypesPerStream = 5
        if mode & 8 != 0 { policy.maxResponseBytes = 60 }
        self.shards = (0..<2).map { _ in
            Shard(policy: policy) { request in
                guard let node = try? Node(decoding: request.node) else { return .refused("no node") }
                let part = scope == .type ? request.typeURL : scope == .request ? request.resourceNames.first ?? "" : ""
                return .group(
                    key: (node.id.utf8.count + part.utf8.count) & 1 == 1 ? "odd" : "even", upstream: "u",
                    coldTimeout: .seconds(5),
                    identity: NodeIdentity(id: node.id, cluster: "", encoded: scope == .stream ? [] : request.node),
                    upstreamNode: request.node, scope: scope)
            }
        }
        self.setTime()
    }

    private func setTime() {
        for shard in self.shards { shard.setTime(self.now, wall: WallTime(rawValue: self.now.rawValue)) }
    }

    // MARK: What happens

    func act(_ input: inout FuzzInput) {
        let action = input.byte()
        let choice = input.byte()
        switch action % 16 {
        case 0, 1: self.open(choice)
        case 2, 3: self.request(choice, &input)
        case 4: self.receive(choice, input.bytes(Int(input.byte())))
        case 5: self.close(choice)
        case 6: if let client = self.client(choice) { self.shards[client.shard].drained(client.id) }
        case 7, 8: self.respond(choice, &input)
        case 9: self.upstream(choice, input.bytes(Int(input.byte())))
        case 10: self.lose(choice)
        case 11: self.reopen()
        case 12: self.advance(.milliseconds(Int64(choice) * 40))
        case 13: for client in self.clients { self.answer(client, isRejected: choice & 1 == 1) }
        case 14: self.changeVariant(choice)
        case 15 where choice & 1 == 1: self.inspect()
        default: self.settle()
        }
    }

    /// What the debug endpoint asks.
    private func inspect() {
        for shard in self.shards {
            let streams = shard.streamStatuses(from: 0, limit: clientsMax).streams.count
            if streams != shard.streamCount { self.findings.append("\(streams) of \(shard.streamCount) streams") }
            _ = (shard.streamCounts(), shard.streamsByKey(), shard.viewStatuses())
        }
        for group in self.groups.values { _ = (group.typeStatuses, group.resources(typeURL: types[0].typeURL)) }
    }

    func end() {
        while !self.clients.isEmpty { self.close(0) }
        self.settle()
        for _ in 0..<4 { self.advance(.seconds(40)) }
        for shard in self.shards {
            if shard.streamCount != 0 { self.findings.append("\(shard.streamCount) streams are left") }
            if !shard.viewStatuses().isEmpty { self.findings.append("\(shard.viewStatuses().count) views are left") }
            if shard.hasWork { self.findings.append("a shard without streams has work") }
        }
        if !self.groups.isEmpty { self.findings.append("groups are left: \(self.groups.keys.sorted())") }
    }

    private func client(_ choice: UInt8) -> FuzzedClient? {
        self.clients.isEmpty ? nil : self.clients[Int(choice) % self.clients.count]
    }

    private func open(_ choice: UInt8) {
        guard self.clients.count < clientsMax else { return }
        self.handles += 1
        let services = DiscoveryService.all
        let service = choice < 200 ? services[Int(choice) & 1] : services[Int(choice) % services.count]
        let shard = Int(choice >> 1 & 1)
        let id = self.shards[shard].open(
            handle: self.handles, service: service, peer: PeerIdentity(address: "h", names: []))
        self.clients.append(FuzzedClient(shard: shard, id: id, handle: self.handles, variant: service.variant))
    }

    private func close(_ choice: UInt8) {
        guard let client = self.client(choice) else { return }
        self.shards[client.shard].close(client.id)
        self.closing.insert(client.handle)
        self.clients.removeAll { $0.handle == client.handle }
    }

    private func receive(_ choice: UInt8, _ bytes: [UInt8]) {
        guard let client = self.client(choice) else { return }
        self.shards[client.shard].receive(client.id, bytes.span)
    }

    private static func chosen(_ mask: UInt8) -> [String] {
        names.enumerated().filter { mask >> UInt8($0.offset) & 1 == 1 }.map(\.element)
    }

    private func request(_ choice: UInt8, _ input: inout FuzzInput) {
        guard let client = self.client(choice) else { return }
        let shape = input.byte()
        let url = types[Int(shape) % types.count].typeURL
        let first = FuzzedRelay.chosen(input.byte())
        let second = FuzzedRelay.chosen(input.byte())
        let nonce = shape & 64 == 0 ? client.nonces[url] ?? "" : shape & 128 == 0 ? "" : "w0000001"
        let node = Node(id: choice & 128 == 0 ? "n" : "nn", clientFeatures: choice & 64 == 0 ? [] : features).raw
        let detail = shape & 32 == 0 ? nil : ErrorDetail(code: 13, message: "no")
        if client.variant == .sotw {
            var request = OutgoingRequest(typeURL: url)
            request.node = node
            request.resourceNames = first
            request.responseNonce = nonce
            request.versionInfo = second.isEmpty ? client.versions[url] ?? "" : "v" + second[0]
            request.errorDetail = detail
            self.shards[client.shard].receive(client.id, request.encoded.span)
        } else {
            var request = OutgoingDeltaRequest(typeURL: url)
            request.node = node
            request.subscribe = first
            request.unsubscribe = second
            request.responseNonce = nonce
            request.errorDetail = detail
            if shape & 16 != 0 { request.initialVersions = second.map { .init(name: $0, version: "1") } }
            self.shards[client.shard].receive(client.id, request.encoded.span)
        }
    }

    /// The client acknowledges the newest response of each type, or rejects it.
    private func answer(_ client: FuzzedClient, isRejected: Bool) {
        for (url, nonce) in client.nonces.sorted(by: { $0.key < $1.key }) {
            let detail = isRejected ? ErrorDetail(code: 3, message: "bad") : nil
            var delta = OutgoingDeltaRequest(typeURL: url)
            delta.responseNonce = nonce
            delta.errorDetail = detail
            var sotw = OutgoingRequest(typeURL: url)
            sotw.responseNonce = nonce
            sotw.versionInfo = client.versions[url] ?? ""
            sotw.errorDetail = detail
            let bytes = client.variant == .sotw ? sotw.encoded : delta.encoded
            self.shards[client.shard].receive(client.id, bytes.span)
        }
    }

    // MARK: Upstream

    private func group(_ choice: UInt8) -> (key: String, group: OriginGroup, stream: Int)? {
        let key = choice & 1 == 1 ? "odd" : "even"
        guard let group = self.groups[key] else { return nil }
        return (key, group, Int(choice >> 1 & 1))
    }

    private func upstream(_ choice: UInt8, _ bytes: [UInt8]) {
        guard let (_, group, stream) = self.group(choice) else { return }
        group.streamReceived(stream, message: bytes.span, now: self.now, wall: WallTime(rawValue: 0))
        self.carryOut(group)
    }

    private func respond(_ choice: UInt8, _ input: inout FuzzInput) {
        guard let (_, group, _) = self.group(choice) else { return }
        let shape = input.byte()
        let type = types[Int(shape) % types.count]
        let present = FuzzedRelay.chosen(input.byte())
        let removed = FuzzedRelay.chosen(input.byte())
        let version = String(input.byte() & 3)
        if group.variant == nil {
            let files = present.map { name in
                let any = FuzzedRelay.any(type, name, version, isEDS: shape & 128 != 0)
                return SnapshotResource(typeURL: type.typeURL, name: name, any: any)
            }
            switch shape >> 5 & 3 {
            case 1: group.forgetSnapshot(of: "http", reason: "removed")
            case 2:
                var part = Snapshot()
                part.set(files, ofType: type.typeURL, version: version)
                group.apply(part, from: "http", now: self.now, wall: WallTime(rawValue: 0))
            default:
                let whole = Snapshot(files, version: version)
                group.apply(whole, from: "files", now: self.now, wall: WallTime(rawValue: 0))
            }
            return self.carryOut(group)
        }
        var writer = WireWriter()
        writer.string(1, "v" + version)
        for name in present {
            let any = FuzzedRelay.any(type, name, version, isEDS: shape & 128 != 0)
            let envelope = FuzzedRelay.envelope(name, version, any, shape)
            if group.variant == .delta {
                writer.message(2, envelope)
            } else if shape & 16 != 0 {
                writer.message(2, FuzzedRelay.wrapped(envelope))
            } else {
                writer.message(2, any)
            }
        }
        writer.string(4, type.typeURL)
        writer.string(5, "n\(shape)")
        if shape & 8 != 0 {
            let field = group.variant == .delta ? 9 : 7
            for name in removed { writer.message(field, FuzzedRelay.error(name, version)) }
        } else if group.variant == .delta {
            for name in removed { writer.element(6, name) }
        }
        self.upstream(choice, writer.bytes)
    }

    private static func any(_ type: XDSType, _ name: String, _ version: String, isEDS: Bool) -> [UInt8] {
        var value = WireWriter()
        value.element(type.nameField ?? 1, name)
        if isEDS { value.uint(2, 3) }
        value.string(15, version)
        var any = WireWriter()
        any.string(1, type.typeURL)
        any.message(2, value.bytes)
        return any.bytes
    }

    private static func envelope(_ name: String, _ version: String, _ any: [UInt8], _ shape: UInt8) -> [UInt8] {
        var writer = WireWriter()
        writer.string(1, version)
        if shape & 64 == 0 { writer.message(2, any) }
        writer.string(3, name)
        if shape & 32 != 0 { writer.element(4, name + "/alias") }
        if shape & 16 != 0 { writer.message(6, [8, 5]) }
        return writer.bytes
    }

    private static func wrapped(_ envelope: [UInt8]) -> [UInt8] {
        var any = WireWriter()
        any.string(1, XDSType.wrapperURL)
        any.message(2, envelope)
        return any.bytes
    }

    /// A `ResourceError`; the version makes it NOT_FOUND or another.
    private static func error(_ name: String, _ version: String) -> [UInt8] {
        var resource = WireWriter()
        resource.string(1, name)
        var error = WireWriter()
        error.message(1, resource.bytes)
        error.message(2, ErrorDetail(code: version == "1" ? 5 : 7, message: "no").encoded)
        return error.bytes
    }

    private func lose(_ choice: UInt8) {
        guard let (key, group, stream) = self.group(choice) else { return }
        if self.openStreams[key]?.remove(stream) != nil {
            group.streamClosed(stream, reason: "lost", now: self.now)
        } else {
            group.originUnavailable(server: "s", error: "refused")
        }
        self.carryOut(group)
    }

    private func reopen() {
        for key in self.groups.keys.sorted() {
            guard let group = self.groups[key] else { continue }
            for stream in (self.wantedStreams[key] ?? []).sorted() where self.openStreams[key]?.contains(stream) != true
            {
                self.openStreams[key, default: []].insert(stream)
                group.streamOpened(stream, server: "s", now: self.now)
                self.carryOut(group)
            }
        }
    }

    private func changeVariant(_ choice: UInt8) {
        guard let (key, group, _) = self.group(choice) else { return }
        for stream in (self.openStreams.removeValue(forKey: key) ?? []).sorted() {
            group.streamClosed(stream, reason: "lost", now: self.now)
        }
        group.setVariant(choice & 4 == 0 ? .sotw : .delta)
        self.carryOut(group)
    }

    // MARK: The shell

    private func advance(_ span: Nanoseconds) {
        self.now = self.now + span
        self.setTime()
        for shard in self.shards { shard.tick() }
        for key in self.groups.keys.sorted() {
            guard let group = self.groups[key] else { continue }
            group.advance(to: self.now, wall: WallTime(rawValue: 0))
            self.carryOut(group)
        }
        self.settle()
    }

    /// Rounds until nothing moves.
    private func settle() {
        for _ in 0..<100 {
            for index in self.shards.indices { self.flush(index) }
            self.closing = []
            if !self.shards.contains(where: \.hasWork) { return }
        }
        self.findings.append("the relay does not come to rest")
    }

    private func flush(_ index: Int) {
        let shard = self.shards[index]
        shard.flush()
        for send in shard.sends { self.deliver(shard.bodies[Int(send.body)], send) }
        let refused = Set(shard.refusals.map(\.handle))
        self.clients.removeAll { refused.contains($0.handle) }
        let commands = shard.commands
        shard.endRound()
        for (key, command) in commands { self.carryOut(command, key, from: index) }
    }

    private func deliver(_ body: SharedBody, _ send: Send) {
        guard let place = self.clients.firstIndex(where: { $0.handle == send.handle }) else {
            if !self.closing.contains(send.handle) { self.findings.append("a response to a stream that is gone") }
            return
        }
        let field = send.nonce.field
        let bytes = body.bytes + (0..<Nonce.fieldCount).map { field[$0] }
        let length = bytes.prefix(5).reduce(0) { $0 << 8 | Int($1) }
        let message = Array(bytes.dropFirst(5))
        let span = message.span
        let isSotW = self.clients[place].variant == .sotw
        guard length == message.count, let delta = try? DeltaDiscoveryResponse(decoding: span),
            isSotW || delta.resources.allSatisfy({ (try? ResourceEnvelope(decoding: $0, in: span)) != nil })
        else {
            self.findings.append("a malformed response")
            return
        }
        let url = span.string(delta.typeURL)
        if self.clients[place].nonces[url] == send.nonce.text { self.findings.append("a nonce is used twice") }
        self.clients[place].nonces[url] = span.string(delta.nonce)
        self.clients[place].versions[url] = span.string(delta.systemVersionInfo)
    }

    private func carryOut(_ command: GroupCommand, _ key: String, from worker: Int) {
        switch command {
        case .join(_, let node, _):
            let group =
                self.groups[key] ?? OriginGroup(key: key, node: node, variant: self.variant, policy: OriginPolicy())
            self.groups[key] = group
            group.workerJoined(worker)
        case .interest(let change):
            self.groups[key]?.apply(change, from: worker, now: self.now, wall: WallTime(rawValue: 0))
        case .rollout(let report):
            self.groups[key]?.receive(report, from: worker, now: self.now, wall: WallTime(rawValue: 0))
        case .warm: break
        case .leave: self.groups[key]?.workerLeft(worker, now: self.now)
        }
        if let group = self.groups[key] { self.carryOut(group) }
    }

    private func carryOut(_ group: OriginGroup) {
        let key = group.key
        for action in group.takeActions() {
            switch action {
            case .openStream(let number): self.wantedStreams[key, default: []].insert(number)
            case .closeStream(let number):
                self.wantedStreams[key]?.remove(number)
                self.openStreams[key]?.remove(number)
            case .send(let number, _):
                if self.openStreams[key]?.contains(number) != true { self.findings.append("a request on no stream") }
            case .publish(let update, let workers):
                for index in self.shards.indices where workers & 1 << UInt64(index) != 0 {
                    self.shards[index].update(group: key, update)
                }
            case .originState(let state, let workers):
                for index in self.shards.indices where workers & 1 << UInt64(index) != 0 {
                    self.shards[index].originChanged(group: key, state)
                }
            case .rollout(let order, let workers):
                for index in self.shards.indices where workers & 1 << UInt64(index) != 0 {
                    self.shards[index].rollout(group: key, order)
                }
            case .event, .record: break
            case .idle: self.groups[key] = nil
            }
        }
    }
}
