import WeirBase
import WeirXDS

@testable import WeirEngine

/// A client that follows the protocol and remembers what it holds.
final class RelayClient {
    struct Held {
        var wildcard = false
        var names: Set<String> = []
        /// What the client has, by name: the payload's version.
        var resources: [String: Int] = [:]
        /// Delta: the version of each as the relay calls it.
        var versions: [String: String] = [:]
        /// Delta: names it was told do not exist.
        var missing: Set<String> = []
        var version = ""
        var nonce = ""
        var responses = 0
        /// How often the subscription was set on this stream.
        var subscriptions = 0
        /// SotW: whether any name, `*` included, was ever sent on this stream.
        var hasNamed = false
        /// Names that were dropped while the wildcard was on: SotW clients are not told what becomes of them.
        var undecided: Set<String> = []
        /// Whether a response was rejected on this stream, so that what it said is missing here.
        var isTainted = false
        /// Every name ever subscribed to on this stream.
        var everNamed: Set<String> = []
    }

    let shard: Shard
    let shardIndex: Int
    let id: SlotID
    let handle: UInt64
    let variant: ProtocolVariant
    private(set) var held: [XDSType: Held] = [:]
    private var unanswered: [(type: XDSType, version: String, nonce: String, rejected: Bool)] = []
    private var nonces: Set<String> = []
    private var sentNode = false
    var acknowledges = true
    var rejects = false
    /// While false the transport is stuck: nothing arrives and nothing is drained.
    var reads = true
    private var inbox: [(body: [UInt8], nonce: Nonce)] = []
    private(set) var faults: [String] = []
    /// Names that never belong to a wildcard, whatever the server does.
    var neverInWildcard: Set<String> = []

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

    /// Whether responses wait to be read.
    var hasUnread: Bool { !self.inbox.isEmpty }

    // MARK: Requests

    /// Sets the whole wish for a type. With `old`: what the client brings along from an earlier stream.
    func subscribe(_ type: XDSType, wildcard: Bool = false, _ names: Set<String> = [], resuming old: Held? = nil) {
        var state = self.held[type] ?? Held()
        if let old = old { Self.bringAlong(old, into: &state, wildcard, names, self.variant) }
        switch self.variant {
        case .sotw: self.subscribeSotW(type, wildcard, names, &state)
        case .delta: self.subscribeDelta(type, wildcard, names, &state, isResuming: old != nil)
        }
    }

    private static func bringAlong(
        _ old: Held, into state: inout Held, _ wildcard: Bool, _ names: Set<String>, _ variant: ProtocolVariant
    ) {
        state.resources = old.resources.filter { wildcard || names.contains($0.key) }
        state.versions = old.versions.filter { state.resources[$0.key] != nil }
        // A SotW version says nothing about which names it was for, so it is worth something to the same wish only.
        let isSame = old.wildcard == wildcard && old.names == names && old.subscriptions == 1
        if variant == .sotw, isSame { state.version = old.version }
    }

    private func subscribeSotW(_ type: XDSType, _ wildcard: Bool, _ names: Set<String>, _ state: inout Held) {
        if wildcard { state.undecided.formUnion(state.names.subtracting(names)) }
        if !wildcard { state.resources = state.resources.filter { names.contains($0.key) } }
        let list = self.list(type, wildcard, names, &state)
        self.note(type, wildcard, names, &state)
        self.send(type, names: list, state)
    }

    /// The names of a SotW request for this wish, in the legacy form where that is possible.
    private func list(_ type: XDSType, _ wildcard: Bool, _ names: Set<String>, _ state: inout Held) -> [String] {
        if wildcard, names.isEmpty, !state.hasNamed, type.acceptsLegacyWildcard { return [] }
        let list = (wildcard ? ["*"] : []) + names.sorted()
        if !list.isEmpty { state.hasNamed = true }
        return list
    }

    private func note(_ type: XDSType, _ wildcard: Bool, _ names: Set<String>, _ state: inout Held) {
        state.wildcard = wildcard
        state.names = names
        state.everNamed.formUnion(names)
        state.subscriptions += 1
        self.held[type] = state
    }

    private func subscribeDelta(
        _ type: XDSType, _ wildcard: Bool, _ names: Set<String>, _ state: inout Held, isResuming: Bool
    ) {
        let isFirst = state.subscriptions == 0
        let added = names.subtracting(state.names)
        let removed = state.names.subtracting(names)
        var request = OutgoingDeltaRequest(typeURL: type.typeURL)
        request.subscribe = added.sorted()
        let isLegacy = isFirst && names.isEmpty && type.acceptsLegacyWildcard
        if wildcard, !state.wildcard, !isLegacy { request.subscribe.append("*") }
        request.unsubscribe = removed.sorted() + (!wildcard && state.wildcard ? ["*"] : [])
        if isResuming {
            request.initialVersions = state.versions.sorted { $0.key < $1.key }.map {
                .init(name: $0.key, version: $0.value)
            }
        }
        state.missing.subtract(added)
        state.missing.subtract(removed)
        if !wildcard {
            state.resources = state.resources.filter { names.contains($0.key) }
            state.versions = state.versions.filter { names.contains($0.key) }
        }
        self.note(type, wildcard, names, &state)
        self.transmit { node in
            if let node = node { request.node = node }
            return request.encoded
        }
    }

    private func send(_ type: XDSType, names: [String], _ state: Held, error: String? = nil) {
        var request = OutgoingRequest(typeURL: type.typeURL)
        request.resourceNames = names
        request.versionInfo = state.version
        request.responseNonce = state.nonce
        request.errorDetail = error.map { ErrorDetail(code: 13, message: $0) }
        self.transmit { node in
            if let node = node { request.node = node }
            return request.encoded
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

    /// A response is on its way to the client.
    func receive(_ body: [UInt8], _ nonce: Nonce) { self.inbox.append((body, nonce)) }

    private func read(_ body: [UInt8], _ nonce: Nonce) {
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

    private func fault(_ text: String) { self.faults.append("client \(self.handle): \(text)") }

    private func note(_ type: XDSType, _ version: String, _ nonce: String) {
        if !self.nonces.insert(type.label + nonce).inserted { self.fault("\(type.label): nonce \(nonce) twice") }
        if self.held[type] == nil { self.fault("\(type.label): a response that nobody asked for") }
        self.held[type]?.responses += 1
        self.unanswered.append((type, version, nonce, self.rejects))
        if self.rejects { self.held[type]?.isTainted = true }
    }

    private func isWanted(_ name: String, _ type: XDSType) -> Bool {
        guard let state = self.held[type] else { return false }
        return state.wildcard || state.names.contains(name)
    }

    private func checkLeak(_ name: String, _ type: XDSType) {
        guard let state = self.held[type], self.neverInWildcard.contains(name), !state.everNamed.contains(name) else {
            return
        }
        self.fault("\(type.label): \(name) was sent and never asked for")
    }

    private func receive(_ response: DiscoveryResponse, _ span: borrowing Span<UInt8>) {
        let type = XDSType.of(typeURL: span.string(response.typeURL))
        var received: [String: Int] = [:]
        for range in response.resources {
            let (name, version) = Self.payload(range, span)
            if received.updateValue(version, forKey: name) != nil { self.fault("\(type.label): \(name) twice") }
            self.checkLeak(name, type)
        }
        self.note(type, span.string(response.versionInfo), span.string(response.nonce))
        if self.rejects { return }
        let wanted = received.filter { self.isWanted($0.key, type) }
        if type.isFullSet {
            self.held[type]?.resources = wanted
            self.held[type]?.undecided = []
        } else {
            self.held[type]?.resources.merge(wanted) { $1 }
            for name in wanted.keys { self.held[type]?.undecided.remove(name) }
        }
    }

    private func receive(_ response: DeltaDiscoveryResponse, _ span: borrowing Span<UInt8>) {
        let type = XDSType.of(typeURL: span.string(response.typeURL))
        self.note(type, span.string(response.systemVersionInfo), span.string(response.nonce))
        var seen: Set<String> = []
        for range in response.resources {
            guard let envelope = try? ResourceEnvelope(decoding: range, in: span), let any = envelope.resource else {
                return self.fault("\(type.label): undecodable resource")
            }
            let name = span.string(envelope.name)
            if !seen.insert(name).inserted { self.fault("\(type.label): \(name) twice") }
            if envelope.version.isEmpty { self.fault("\(type.label): \(name) without version") }
            self.checkLeak(name, type)
            guard self.isWanted(name, type), !self.rejects else { continue }
            self.held[type]?.resources[name] = Self.payload(any, span).1
            self.held[type]?.versions[name] = span.string(envelope.version)
            self.held[type]?.missing.remove(name)
        }
        for range in response.removedResources {
            let name = span.string(range)
            if !seen.insert(name).inserted { self.fault("\(type.label): \(name) sent and removed") }
            guard !self.rejects else { continue }
            self.held[type]?.resources[name] = nil
            self.held[type]?.versions[name] = nil
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

    /// Reads what came and acknowledges it. Returns whether anything happened.
    func answer() -> Bool {
        var moved = false
        if self.reads {
            moved = !self.inbox.isEmpty
            let inbox = self.inbox
            self.inbox = []
            for (body, nonce) in inbox { self.read(body, nonce) }
            self.shard.drained(self.id)
        }
        guard self.acknowledges, !self.unanswered.isEmpty else { return moved }
        let answers = self.unanswered
        self.unanswered = []
        for answer in answers { self.acknowledge(answer) }
        return true
    }

    private func acknowledge(_ answer: (type: XDSType, version: String, nonce: String, rejected: Bool)) {
        guard var state = self.held[answer.type] else { return }
        let error = answer.rejected ? "no" : nil
        switch self.variant {
        case .sotw:
            state.nonce = answer.nonce
            if !answer.rejected { state.version = answer.version }
            let list = self.list(answer.type, state.wildcard, state.names, &state)
            self.held[answer.type] = state
            self.send(answer.type, names: list, state, error: error)
        case .delta:
            var request = OutgoingDeltaRequest(typeURL: answer.type.typeURL)
            request.responseNonce = answer.nonce
            request.errorDetail = error.map { ErrorDetail(code: 13, message: $0) }
            if !answer.rejected { self.held[answer.type]?.version = answer.version }
            self.transmit { _ in request.encoded }
        }
    }
}
