import WeirBase
import WeirXDS

@testable import WeirEngine

/// A home and a shard joined, a control plane that the test plays entry by entry, and clients that read everything a
/// response can carry.
final class ContentHarness {
    let home: OriginGroup
    let shard: Shard
    private(set) var now = Instant(rawValue: 1_000_000_000)
    private var nonces = 0
    private var handles: UInt64 = 0
    private var clients: [Client] = []
    private(set) var upstream: [String] = []
    private(set) var events: [OriginEvent] = []
    private var opened: Set<Int> = []
    /// SotW: the control plane's whole state, by type and name, as payloads or wrappers.
    private var state: [XDSType: [String: [UInt8]]] = [:]

    init(
        _ variant: ProtocolVariant, _ change: (inout ShardPolicy) -> Void = { _ in }, linger: Nanoseconds = .seconds(2)
    ) {
        var policy = OriginPolicy()
        policy.linger = linger
        policy.guards.holdsEmpty = false
        var shardPolicy = ShardPolicy()
        change(&shardPolicy)
        self.home = OriginGroup(key: "k", node: ShardHarness.node("n"), variant: variant, policy: policy)
        self.shard = Shard(policy: shardPolicy) { request in
            .group(
                key: "k", upstream: "u", coldTimeout: .seconds(5),
                identity: NodeIdentity(id: "n", cluster: "", encoded: []), upstreamNode: request.node, scope: .stream)
        }
        self.shard.setTime(self.now, wall: WallTime(rawValue: 0))
    }

    // MARK: The control plane

    /// Says one resource, with or without payload, in a response of its own.
    func say(_ type: XDSType, _ name: String, _ content: Int?, version: String? = nil, ttl: Int? = nil) {
        self.say(type, [(name, content, ttl)], version: version)
    }

    /// Says resources in one response. In SotW, in types that are sent whole, with all that was said before.
    func say(_ type: XDSType, _ resources: [(name: String, content: Int?, ttl: Int?)], version: String? = nil) {
        if self.home.variant == .delta {
            self.respond(type, resources.map { Self.entry(type, $0.name, $0.content, version: version, ttl: $0.ttl) })
        } else {
            let entries = resources.map { ($0.name, Self.wrapped(type, $0.name, $0.content, ttl: $0.ttl)) }
            for (name, entry) in entries { self.state[type, default: [:]][name] = entry }
            let all = (self.state[type] ?? [:]).sorted { $0.key < $1.key }.map(\.value)
            self.respond(type, type.isFullSet ? all : entries.map(\.1))
        }
    }

    /// A response of heartbeats alone, in SotW too.
    func heartbeat(_ type: XDSType, _ name: String, version: String = "1", ttl: Int) {
        let isDelta = self.home.variant == .delta
        self.respond(
            type,
            [
                isDelta
                    ? Self.entry(type, name, nil, version: version, ttl: ttl)
                    : Self.wrapped(type, name, nil, ttl: ttl)
            ])
    }

    /// A response of these elements, with errors by name and gRPC status code.
    func respond(
        _ type: XDSType, _ elements: [[UInt8]], removed: [String] = [], errors: [(name: String, code: Int)] = [],
        on stream: Int = 0
    ) {
        self.nonces += 1
        var writer = WireWriter()
        writer.string(1, "v")
        for element in elements { writer.message(2, element) }
        writer.string(4, type.typeURL)
        writer.string(5, "n\(self.nonces)")
        let isDelta = self.home.variant == .delta
        for name in removed { writer.element(6, name) }
        for error in errors { writer.message(isDelta ? 9 : 7, Self.error(error.name, error.code)) }
        self.home.streamReceived(stream, message: writer.bytes.span, now: self.now, wall: WallTime(rawValue: 0))
        self.settle()
    }

    static func error(_ name: String, _ code: Int) -> [UInt8] {
        var resource = WireWriter()
        resource.string(1, name)
        var writer = WireWriter()
        writer.message(1, resource.bytes)
        writer.message(2, ErrorDetail(code: Int32(code), message: "why").encoded)
        return writer.bytes
    }

    /// A delta entry; without content it has no payload.
    static func entry(
        _ type: XDSType, _ name: String, _ content: Int?, version: String? = nil, ttl: Int? = nil,
        aliases: [String] = [], extra: [UInt8] = []
    ) -> [UInt8] {
        var writer = WireWriter()
        writer.string(1, version ?? String(content ?? 1))
        if let content = content { writer.message(2, ReferenceServer.payload(type, name, content)) }
        writer.string(3, name)
        for alias in aliases { writer.element(4, alias) }
        if let ttl = ttl { writer.message(6, ProtobufDuration.encoded(.seconds(Int64(ttl)))) }
        writer.bytes += extra
        return writer.bytes
    }

    /// A SotW entry in the wrapper.
    static func wrapped(_ type: XDSType, _ name: String, _ content: Int?, ttl: Int? = nil) -> [UInt8] {
        var writer = WireWriter()
        writer.string(1, XDSType.wrapperURL)
        writer.message(2, self.entry(type, name, content, ttl: ttl))
        return writer.bytes
    }

    func lose() {
        for number in self.opened.sorted() { self.home.streamClosed(number, reason: "lost", now: self.now) }
        self.opened = []
        self.settle()
    }

    func takeUpstream() -> [String] {
        self.settle()
        defer { self.upstream = [] }
        return self.upstream
    }

    // MARK: Time and work

    func advance(_ span: Nanoseconds) {
        self.now = self.now + span
        self.shard.setTime(self.now, wall: WallTime(rawValue: 0))
        self.shard.tick()
        self.home.advance(to: self.now, wall: WallTime(rawValue: 0))
        self.settle()
    }

    func settle() {
        var moved = true
        while moved { moved = self.step() }
    }

    private func step() -> Bool {
        self.shard.flush()
        var moved = !self.shard.sends.isEmpty
        for send in self.shard.sends {
            let client = self.clients.first { $0.handle == send.handle }
            client?.inbox.append((self.shard.bodies[Int(send.body)].bytes, send.nonce))
        }
        let commands = self.shard.commands
        for refusal in self.shard.refusals { self.clients.first { $0.handle == refusal.handle }?.refusal = refusal }
        self.shard.endRound()
        for client in self.clients where !client.isStuck { self.shard.drained(client.id) }
        for entry in commands {
            moved = true
            switch entry.command {
            case .join: self.home.workerJoined(0)
            case .rollout(let report):
                self.home.receive(report, from: 0, now: self.now, wall: WallTime(rawValue: 0))
            case .interest(let change): self.home.apply(change, from: 0, now: self.now, wall: WallTime(rawValue: 0))
            case .warm: break
            case .leave: self.home.workerLeft(0, now: self.now)
            }
        }
        for action in self.home.takeActions() {
            moved = true
            switch action {
            case .openStream(let number):
                self.opened.insert(number)
                self.home.streamOpened(number, server: "one", now: self.now)
            case .closeStream(let number): self.opened.remove(number)
            case .send(let number, let message): self.upstream.append("\(number) \(Self.text(message, self.home))")
            case .rollout(let order, _): self.shard.rollout(group: "k", order)
            case .publish(let update, _): self.shard.update(group: "k", update)
            case .originState(let state, _): self.shard.originChanged(group: "k", state)
            case .event(let event): self.events.append(event)
            case .record: break
            case .idle: break
            }
        }
        return moved
    }

    /// A request that is more than an ACK; `+a -b`, or the whole list of SotW.
    private static func text(_ message: [UInt8], _ home: OriginGroup) -> String {
        let span = message.span
        if home.variant == .delta {
            guard let request = try? DeltaDiscoveryRequest(decoding: span) else { return "?" }
            let names =
                request.subscribe.map { "+" + span.string($0) } + request.unsubscribe.map { "-" + span.string($0) }
            let mark = request.errorDetail == nil ? "" : " NACK"
            return ([XDSType.of(typeURL: span.string(request.typeURL)).label] + names).joined(separator: " ") + mark
        }
        guard let request = try? DiscoveryRequest(decoding: span) else { return "?" }
        let mark = request.errorDetail == nil ? "" : " NACK"
        return XDSType.of(typeURL: span.string(request.typeURL)).label
            + " [\(request.resourceNames.map { span.string($0) }.joined(separator: ","))]" + mark
    }

    // MARK: Clients

    func connect(_ variant: ProtocolVariant, features: [String] = []) -> Client {
        self.handles += 1
        let service = DiscoveryService.all.first { $0.variant == variant && $0.type == nil }
        let id = self.shard.open(
            handle: self.handles, service: service ?? DiscoveryService.all[0],
            peer: PeerIdentity(address: "", names: []))
        let client = Client(id, self.handles, variant, features, self)
        self.clients.append(client)
        return client
    }

    final class Client {
        let id: SlotID
        let handle: UInt64
        let variant: ProtocolVariant
        private let features: [String]
        unowned let harness: ContentHarness
        private var names: [XDSType: [String]] = [:]
        private var sentNode = false
        var inbox: [(body: [UInt8], nonce: Nonce)] = []
        private var unanswered: [(type: XDSType, version: String, nonce: String)] = []
        private(set) var lastVersion = ""
        var refusal: Refusal?
        /// While true, nothing of what it is sent leaves the transport.
        var isStuck = false

        init(
            _ id: SlotID, _ handle: UInt64, _ variant: ProtocolVariant, _ features: [String], _ harness: ContentHarness
        ) {
            self.id = id
            self.handle = handle
            self.variant = variant
            self.features = features
            self.harness = harness
        }

        private var node: [UInt8]? {
            guard !self.sentNode else { return nil }
            self.sentNode = true
            var writer = WireWriter()
            writer.string(1, "n")
            for feature in self.features { writer.element(10, feature) }
            return writer.bytes
        }

        /// SotW: the whole list; delta: what is added.
        func subscribe(_ type: XDSType, _ names: [String], remove: [String] = [], held: [String: String] = [:]) {
            self.names[type] = names
            switch self.variant {
            case .sotw:
                var request = OutgoingRequest(typeURL: type.typeURL)
                request.node = self.node
                request.resourceNames = names
                self.harness.shard.receive(self.id, request.encoded.span)
            case .delta:
                var request = OutgoingDeltaRequest(typeURL: type.typeURL)
                request.node = self.node
                request.subscribe = names
                request.unsubscribe = remove
                request.initialVersions = held.sorted { $0.key < $1.key }.map {
                    .init(name: $0.key, version: $0.value)
                }
                self.harness.shard.receive(self.id, request.encoded.span)
            }
            self.harness.settle()
        }

        func unsubscribe(_ type: XDSType, _ names: [String]) { self.subscribe(type, [], remove: names) }

        /// What came since the last call: `cds a@1 ttl=5000 -b !c=5` (delta), `cds [a@1, b@1] !c=5` (SotW), where a name
        /// without content is an entry without payload, and `!` an error with its code.
        func take() -> [String] {
            self.harness.settle()
            let inbox = self.inbox
            self.inbox = []
            return inbox.map { self.read($0.body, $0.nonce) }
        }

        @discardableResult
        func takeAndAck() -> [String] {
            let texts = self.take()
            self.ackAll()
            return texts
        }

        func ackAll() { self.answerAll(nil) }
        func nackAll() { self.answerAll(ErrorDetail(code: 3, message: "no")) }

        private func answerAll(_ detail: ErrorDetail?) {
            let unanswered = self.unanswered
            self.unanswered = []
            for answer in unanswered {
                switch self.variant {
                case .sotw:
                    var request = OutgoingRequest(typeURL: answer.type.typeURL)
                    request.resourceNames = self.names[answer.type] ?? []
                    request.versionInfo = detail == nil ? answer.version : ""
                    request.responseNonce = answer.nonce
                    request.errorDetail = detail
                    self.harness.shard.receive(self.id, request.encoded.span)
                case .delta:
                    var request = OutgoingDeltaRequest(typeURL: answer.type.typeURL)
                    request.responseNonce = answer.nonce
                    request.errorDetail = detail
                    self.harness.shard.receive(self.id, request.encoded.span)
                }
            }
            self.harness.settle()
        }

        private func read(_ body: [UInt8], _ nonce: Nonce) -> String {
            let field = nonce.field
            let message = Array(body[5...]) + (0..<10).map { field[$0] }
            let span = message.span
            if self.variant == .delta {
                guard let response = try? DeltaDiscoveryResponse(decoding: span) else { return "?" }
                let type = XDSType.of(typeURL: span.string(response.typeURL))
                self.note(type, span.string(response.systemVersionInfo), span.string(response.nonce))
                var parts = [type.label]
                for range in response.resources { parts.append(Self.entry(range, span)) }
                parts += response.removedResources.map { "-" + span.string($0) }
                parts += response.resourceErrors.map { Self.error($0, span) }
                return parts.joined(separator: " ")
            }
            guard let response = try? DiscoveryResponse(decoding: span) else { return "?" }
            let type = XDSType.of(typeURL: span.string(response.typeURL))
            self.note(type, span.string(response.versionInfo), span.string(response.nonce))
            let resources = response.resources.map { Self.any($0, span) }.sorted().joined(separator: ", ")
            let errors = response.resourceErrors.map { " " + Self.error($0, span) }.joined()
            return "\(type.label) [\(resources)]\(errors)"
        }

        private func note(_ type: XDSType, _ version: String, _ nonce: String) {
            self.lastVersion = version
            self.unanswered.append((type, version, nonce))
        }

        private static func entry(_ range: ByteRange, _ span: borrowing Span<UInt8>) -> String {
            guard let envelope = try? ResourceEnvelope(decoding: range, in: span) else { return "?" }
            var text = span.string(envelope.name)
            if let any = envelope.resource { text += "@\(Self.content(any, span))" }
            for alias in envelope.aliases { text += "=\(span.string(alias))" }
            if let ttl = envelope.ttl { text += " ttl=\(ttl.rawValue / 1_000_000)" }
            return text
        }

        private static func any(_ range: ByteRange, _ span: borrowing Span<UInt8>) -> String {
            guard let any = try? AnyEnvelope(decoding: range, in: span) else { return "?" }
            if span.string(any.typeURL) == XDSType.wrapperURL { return Self.entry(any.value, span) }
            return "\(Self.name(any, span))@\(Self.content(range, span))"
        }

        private static func name(_ any: AnyEnvelope, _ span: borrowing Span<UInt8>) -> String {
            var reader = WireReader(any.value)
            while let field = try? reader.next(in: span) {
                if field.number == 1, let name = try? field.bytes() { return span.string(name) }
            }
            return "?"
        }

        private static func content(_ range: ByteRange, _ span: borrowing Span<UInt8>) -> Int {
            guard let any = try? AnyEnvelope(decoding: range, in: span) else { return -1 }
            var reader = WireReader(any.value)
            while let field = try? reader.next(in: span) {
                if field.number == 14, let value = try? field.varint() { return Int(value) }
            }
            return -1
        }

        private static func error(_ range: ByteRange, _ span: borrowing Span<UInt8>) -> String {
            var name = "?"
            var code: Int32 = 0
            var reader = WireReader(range)
            while let field = try? reader.next(in: span) {
                guard let content = try? field.bytes() else { continue }
                if field.number == 1 {
                    var inner = WireReader(content)
                    while let field = try? inner.next(in: span) {
                        if field.number == 1, let text = try? field.bytes() { name = span.string(text) }
                    }
                }
                if field.number == 2 { code = (try? ErrorDetail(decoding: content, in: span))?.code ?? -1 }
            }
            return "!\(name)=\(code)"
        }
    }
}
