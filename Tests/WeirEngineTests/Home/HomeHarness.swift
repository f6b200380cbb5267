import WeirBase
import WeirXDS

@testable import WeirEngine

/// Plays workers, transport and control plane to one group.
final class HomeHarness {
    let group: OriginGroup
    private(set) var now = Instant(rawValue: 1_000_000_000)
    private(set) var opened: [Int] = []
    private(set) var closed: [Int] = []
    private(set) var states: [OriginState] = []
    private(set) var events: [OriginEvent] = []
    private(set) var isIdle = false
    private(set) var records: [PushNews] = []
    var orders: [(order: RolloutOrder, workers: UInt64)] = []
    private var requests: [String] = []
    private var published: [(update: TypeUpdate, workers: UInt64)] = []
    private let node: [UInt8]

    init(_ variant: ProtocolVariant?, _ change: (inout OriginPolicy) -> Void = { _ in }) {
        var policy = OriginPolicy()
        policy.linger = .seconds(2)
        change(&policy)
        self.node = ShardHarness.node("representative")
        self.group = OriginGroup(key: "k", node: self.node, variant: variant, policy: policy)
    }

    // MARK: Workers

    func join(_ worker: Int = 0) {
        self.group.workerJoined(worker)
        self.collect()
    }

    func leave(_ worker: Int = 0) {
        self.group.workerLeft(worker, now: self.now)
        self.collect()
    }

    /// A worker's wish changes. The origin's coalescing tick passes.
    func want(
        _ type: XDSType, wildcard: Bool? = nil, _ added: [String] = [], removing removed: [String] = [],
        worker: Int = 0
    ) {
        self.wantSoon(type, wildcard: wildcard, added, removing: removed, worker: worker)
        self.advance(.milliseconds(10))
    }

    /// The same, without time passing.
    func wantSoon(
        _ type: XDSType, wildcard: Bool? = nil, _ added: [String] = [], removing removed: [String] = [],
        renewing renewed: [String] = [], worker: Int = 0
    ) {
        var change = InterestChange(typeURL: type.typeURL, wildcard: wildcard, added: added, removed: removed)
        change.renewed = renewed
        self.group.apply(change, from: worker, now: self.now, wall: WallTime(rawValue: 0))
        self.collect()
    }

    func advance(_ span: Nanoseconds) {
        self.now = self.now + span
        self.group.advance(to: self.now, wall: WallTime(rawValue: 0))
        self.collect()
    }

    // MARK: Upstream

    func open(_ number: Int = 0, server: String = "one") {
        self.group.streamOpened(number, server: server, now: self.now)
        self.collect()
    }

    func lose(_ number: Int = 0) {
        self.group.streamClosed(number, reason: "reset", now: self.now)
        self.collect()
    }

    func receive(_ bytes: [UInt8], on number: Int = 0) {
        self.group.streamReceived(number, message: bytes.span, now: self.now, wall: WallTime(rawValue: 0))
        self.collect()
    }

    /// A SotW response; `a@1` is a resource whose payload is named `a`, of content 1.
    func sotw(
        _ type: XDSType, _ version: String, _ nonce: String, _ resources: [String], raw: [[UInt8]] = [],
        on number: Int = 0
    ) {
        var writer = WireWriter()
        writer.string(1, version)
        for text in resources { writer.message(2, Self.any(type, text)) }
        for entry in raw { writer.message(2, entry) }
        writer.string(4, type.typeURL)
        writer.string(5, nonce)
        self.receive(writer.bytes, on: number)
    }

    /// A delta response; `a@1` has version 1 and content 1, `a@1=2` version 1 and content 2.
    func delta(
        _ type: XDSType, _ nonce: String, _ resources: [String] = [], removed: [String] = [], raw: [[UInt8]] = [],
        on number: Int = 0
    ) {
        var writer = WireWriter()
        writer.string(1, "s\(nonce)")
        for text in resources {
            let parts = text.split(separator: "=").map(String.init)
            let identity = parts[0].split(separator: "@").map(String.init)
            let content = parts.count > 1 ? "\(identity[0])@\(parts[1])" : text
            writer.message(2, Self.envelope(identity[0], identity[1], Self.any(type, content)))
        }
        for entry in raw { writer.message(2, entry) }
        writer.string(4, type.typeURL)
        writer.string(5, nonce)
        for name in removed { writer.element(6, name) }
        self.receive(writer.bytes, on: number)
    }

    static func any(_ type: XDSType, _ text: String) -> [UInt8] {
        let parts = text.split(separator: "@").map(String.init)
        return ReferenceServer.payload(type, parts[0], Int(parts[1]) ?? 0)
    }

    static func envelope(
        _ name: String, _ version: String, _ any: [UInt8]?, ttl: Bool = false, uncached: Bool = false
    ) -> [UInt8] {
        var writer = WireWriter()
        writer.string(1, version)
        if let any = any { writer.message(2, any) }
        writer.string(3, name)
        if ttl { writer.message(6, [8, 5]) }
        if uncached { writer.message(7, [8, 1]) }
        return writer.bytes
    }

    // MARK: What came out

    /// Takes what the group wants done; every call here does it by itself.
    func collect() {
        for action in self.group.takeActions() {
            switch action {
            case .openStream(let number): self.opened.append(number)
            case .closeStream(let number): self.closed.append(number)
            case .send(let number, let message): self.requests.append("\(number) \(self.text(message.span))")
            case .publish(let update, let workers): self.published.append((update, workers))
            case .rollout(let order, let workers): self.orders.append((order, workers))
            case .originState(let state, _): self.states.append(state)
            case .event(let event): self.events.append(event)
            case .record(let news): self.records.append(news)
            case .idle: self.isIdle = true
            }
        }
    }

    private func text(_ message: borrowing Span<UInt8>) -> String {
        self.group.variant == .delta ? self.deltaText(message) : self.sotwText(message)
    }

    private func nodeText(_ node: ByteRange?, _ span: borrowing Span<UInt8>) -> String {
        guard let node = node else { return "" }
        return span.array(node) == self.node ? "node " : "another node "
    }

    private func sotwText(_ span: borrowing Span<UInt8>) -> String {
        guard let request = try? DiscoveryRequest(decoding: span) else { return "undecodable" }
        let names = request.resourceNames.map { span.string($0) }.joined(separator: ",")
        return self.nodeText(request.node, span) + XDSType.of(typeURL: span.string(request.typeURL)).label
            + " v=\(span.string(request.versionInfo)) n=\(span.string(request.responseNonce)) [\(names)]"
            + (request.errorDetail == nil ? "" : " NACK")
    }

    private func deltaText(_ span: borrowing Span<UInt8>) -> String {
        guard let request = try? DeltaDiscoveryRequest(decoding: span) else { return "undecodable" }
        let add = request.subscribe.map { span.string($0) }.joined(separator: ",")
        let remove = request.unsubscribe.map { span.string($0) }.joined(separator: ",")
        let held = request.initialVersions.map { "\(span.string($0.name))@\(span.string($0.version))" }
        return self.nodeText(request.node, span) + XDSType.of(typeURL: span.string(request.typeURL)).label
            + (add.isEmpty ? "" : " +\(add)") + (remove.isEmpty ? "" : " -\(remove)")
            + (held.isEmpty ? "" : " irv=\(held.joined(separator: ","))")
            + (request.responseNonce.isEmpty ? "" : " n=\(span.string(request.responseNonce))")
            + (request.errorDetail == nil ? "" : " NACK")
    }

    /// The requests since the last call: `0 cds v=1 n=2 [a,b]` or `0 cds +a -b irv=a@1 n=2`.
    func takeRequests() -> [String] {
        let requests = self.requests
        self.requests = []
        return requests
    }

    /// The updates since the last call, one text each: `a@1` and `-a` in the wildcard lane, `'a@1` by name, `?a` unknown. A
    /// whole state says so, but for the first one of all, which cannot be anything else.
    func takeUpdates(workers: UInt64? = nil) -> [String] {
        let published = self.published.filter { workers == nil || $0.workers & (workers ?? 0) != 0 }
        self.published = []
        return published.map { entry in
            (entry.update.isFull && entry.update.generation > 1 ? "full " : "")
                + entry.update.changes.map(Self.text).joined(separator: " ")
        }
    }

    /// The pushes of the updates since the last call.
    func takePushes() -> [PushID] {
        let published = self.published
        self.published = []
        return published.map(\.update.push)
    }

    /// The versions that delta clients see in the updates since the last call, by name.
    func takeVersions() -> [String: String] {
        var result: [String: String] = [:]
        for change in self.published.flatMap(\.update.changes) {
            if case .present(let resource) = change.presence { result[change.name] = resource.version }
        }
        self.published = []
        return result
    }

    private static func text(_ change: ResourceChange) -> String {
        let mark = change.lane == .named ? "'" : ""
        if let error = change.error, change.isRefresh { return "\(mark)!\(change.name)=\(error.code)" }
        switch change.presence {
        case .present(let resource): return "\(mark)\(change.name)@\(Self.content(resource))"
        case .absent: return "\(mark)-\(change.name)"
        case .populated: return "\(mark)+\(change.name)"
        case .unknown: return "\(mark)?\(change.name)"
        }
    }

    /// The content number inside a resource's payload; -1 without one.
    static func content(_ resource: Resource) -> Int {
        let encoded = resource.encoded
        let span = encoded.span
        guard let any = try? AnyEnvelope(decoding: resource.anyRange, in: span) else { return -1 }
        var reader = WireReader(any.value)
        while let field = try? reader.next(in: span) {
            if field.number == 14, let value = try? field.varint() { return Int(value) }
        }
        return -1
    }
}
