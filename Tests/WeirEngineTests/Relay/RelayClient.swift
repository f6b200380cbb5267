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
        /// How many responses had come when that was, read or not: they were for the old names, and decide nothing.
        var undecidedSince = 0
        /// Whether a response was rejected on this stream, so that what it said is missing here.
        var isTainted = false
        /// Every name ever subscribed to on this stream.
        var everNamed: Set<String> = []
        /// The highest version of each resource that was received.
        var newest: [String: Int] = [:]
        /// Of routes received on this stream after clusters: those they name.
        var references: [String: [String]] = [:]
        /// How many responses may say nothing new, because something was asked for that may be answered so.
        var mayRepeat = 0
        /// Clusters received since whose endpoints did not come again yet (ORD-05).
        var warming: Set<String> = []
        /// What is left of the time of what has a time to live.
        var lifetimes: [String: Nanoseconds] = [:]
        /// How often it was said that something lives on.
        var beats = 0
        /// Why what was asked for is not sent: a gRPC status code.
        var errors: [String: Int] = [:]
        /// Collections of which something was heard.
        var answered: Set<String> = []
        /// Of names asked for that must not be answered from memory: how often the control plane had sent them by then.
        var fetching: [String: Int] = [:]

        /// Whether a name is asked for, by itself, by an alias or through a collection.
        func asksFor(_ name: String, _ type: XDSType) -> Bool { Self.covers(self.names, name, type) }

        static func covers(_ names: Set<String>, _ name: String, _ type: XDSType) -> Bool {
            names.contains(name) || RichStep.aliases(of: name).contains(where: names.contains)
                || ResourceName.collection(of: name, type: type).map { names.contains($0) } ?? false
        }

        mutating func drop(_ name: String) {
            self.resources[name] = nil
            self.versions[name] = nil
            self.lifetimes[name] = nil
            self.references[name] = nil
        }
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
    /// How many responses were read.
    private var readCount = 0
    private(set) var faults: [String] = []
    /// Names that never belong to a wildcard, whatever the server does.
    var neverInWildcard: Set<String> = []
    var group = "k"
    /// Whether a version belongs to the client's group.
    var isOwnVersion: (Int) -> Bool = { _ in true }
    /// Whether the group has a type on two upstream streams at the moment, which are not equally fast.
    var hasTwoStreams: (XDSType) -> Bool = { _ in false }
    /// A route that is held and no cluster for it, or nil: asked after each response.
    var danglingReference: (RelayClient) -> String? = { _ in nil }
    /// Whether it may be taken back to an earlier state, as holds and rollouts do.
    var mayGoBack = false
    /// Whether resources have times to live, which it does not know of if it speaks SotW.
    var mayMissDeaths = false
    /// How often the control plane has sent a resource; `asking`: nil unless it must be asked each time, and nothing is on
    /// its way that could answer by chance.
    var sends: (_ name: String, _ type: XDSType, _ asking: Bool) -> Int? = { _, _, _ in nil }
    /// What was sent and received, if somebody wants to know.
    var log: ((String) -> Void)?

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

    /// What was wrong since the last call.
    func takeFaults() -> [String] {
        defer { self.faults = [] }
        return self.faults
    }

    // MARK: Requests

    /// Sets the whole wish for a type. With `old`: what the client brings along from an earlier stream.
    func subscribe(_ type: XDSType, wildcard: Bool = false, _ names: Set<String> = [], resuming old: Held? = nil) {
        var state = self.held[type] ?? Held()
        state.mayRepeat += 2
        if let old = old {
            Self.bringAlong(old, into: &state, wildcard, names, self.variant, type)
            state.mayRepeat += state.resources.count
        }
        switch self.variant {
        case .sotw: self.subscribeSotW(type, wildcard, names, &state)
        case .delta: self.subscribeDelta(type, wildcard, names, &state, isResuming: old != nil)
        }
    }

    /// Delta: asks again for what is subscribed to, so that it is sent again (DELTA-05).
    func subscribeAgain(_ type: XDSType) {
        guard self.variant == .delta, let state = self.held[type] else { return }
        self.held[type]?.mayRepeat += 2
        var request = OutgoingDeltaRequest(typeURL: type.typeURL)
        request.subscribe = (state.wildcard ? ["*"] : []) + state.names.sorted()
        guard !request.subscribe.isEmpty else { return }
        self.held[type]?.missing.subtract(state.names)
        self.transmit { _ in request.encoded }
    }

    /// Rest was reached: nothing that was asked for is unanswered.
    func cameToRest() { for type in self.held.keys { self.held[type]?.mayRepeat = 0 } }

    private static func bringAlong(
        _ old: Held, into state: inout Held, _ wildcard: Bool, _ names: Set<String>, _ variant: ProtocolVariant,
        _ type: XDSType
    ) {
        state.resources = old.resources.filter { wildcard || Held.covers(names, $0.key, type) }
        state.versions = old.versions.filter { state.resources[$0.key] != nil }
        state.lifetimes = old.lifetimes.filter { state.resources[$0.key] != nil }
        state.answered = Set(state.resources.keys.compactMap { ResourceName.collection(of: $0, type: type) })
        // A SotW version says nothing about which names it was for, so it is worth something to the same wish only.
        let isSame = old.wildcard == wildcard && old.names == names && old.subscriptions == 1
        if variant == .sotw, isSame { state.version = old.version }
        // One that presents no version counts as holding nothing; where absence means deletion, it does.
        // So does one that went before it had acknowledged anything: it has no version to present.
        if variant == .sotw, type.isFullSet, state.version.isEmpty { state.resources = [:] }
    }

    private func subscribeSotW(_ type: XDSType, _ wildcard: Bool, _ names: Set<String>, _ state: inout Held) {
        let dropped = state.names.subtracting(names)
        if wildcard, !dropped.isEmpty {
            state.undecided.formUnion(dropped)
            state.undecidedSince = self.readCount + self.inbox.count
        }
        if !wildcard { Self.keep(names, type, in: &state) }
        let list = self.list(type, wildcard, names, &state)
        self.note(type, wildcard, names, &state)
        self.send(type, names: list, state)
    }

    private static func keep(_ names: Set<String>, _ type: XDSType, in state: inout Held) {
        for name in state.resources.keys where !Held.covers(names, name, type) { state.drop(name) }
        state.references = state.references.filter { names.contains($0.key) }
        state.warming.formIntersection(names)
        state.answered.formIntersection(names)
        state.errors = state.errors.filter { names.contains($0.key) }
    }

    /// The names of a SotW request for this wish, in the legacy form where that is possible.
    private func list(_ type: XDSType, _ wildcard: Bool, _ names: Set<String>, _ state: inout Held) -> [String] {
        if wildcard, names.isEmpty, !state.hasNamed, type.acceptsLegacyWildcard { return [] }
        let list = (wildcard ? ["*"] : []) + names.sorted()
        if !list.isEmpty { state.hasNamed = true }
        return list
    }

    private func note(_ type: XDSType, _ wildcard: Bool, _ names: Set<String>, _ state: inout Held) {
        state.fetching = state.fetching.filter { names.contains($0.key) && !wildcard }
        for name in names.subtracting(state.names) where !wildcard && self.reads && !self.hasUnread {
            state.fetching[name] = self.sends(name, type, true)
        }
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
        // What was had by names given up goes with them; an alias asked for only now is answered anew.
        let kept = type == .vhds && !isFirst ? names.subtracting(added) : names
        if !wildcard { Self.keep(kept, type, in: &state) }
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
            writer.string(1, self.group == "k" ? "n" : self.group)
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
        let before = self.held
        switch self.variant {
        case .sotw:
            guard let response = try? DiscoveryResponse(decoding: span) else { return self.fault("undecodable") }
            self.receive(response, span)
            self.checkCause(XDSType.of(typeURL: span.string(response.typeURL)), before)
        case .delta:
            guard let response = try? DeltaDiscoveryResponse(decoding: span) else { return self.fault("undecodable") }
            self.receive(response, span)
            self.checkCause(XDSType.of(typeURL: span.string(response.typeURL)), before)
        }
        if let text = self.danglingReference(self) { self.fault(text) }
    }

    /// A response says something new, or something was asked for.
    private func checkCause(_ type: XDSType, _ before: [XDSType: Held]) {
        guard let old = before[type], let new = self.held[type] else { return }
        let isNews =
            old.resources != new.resources || old.missing != new.missing || old.responses == 0
            || old.beats != new.beats || old.errors != new.errors
        if type == .cds { self.noteWarming(old, new) }
        if new.isTainted || self.mayGoBack { return }
        // Two upstream streams may bring the same twice.
        if isNews || self.hasTwoStreams(type) { return }
        // Where absence means nothing, it cannot know what died here and came again.
        if self.variant == .sotw, self.mayMissDeaths, !type.isFullSet { return }
        if new.mayRepeat > 0 {
            self.held[type]?.mayRepeat -= 1
        } else {
            self.fault("\(type.label): a response without cause")
        }
    }

    /// The endpoints of clusters that came or changed are sent again, be they the same (ORD-05).
    private func noteWarming(_ old: Held, _ new: Held) {
        guard self.held[.eds] != nil else { return }
        self.held[.eds]?.mayRepeat += 1
        for (name, version) in new.resources where old.resources[name] != version {
            self.held[.eds]?.warming.insert(name)
        }
    }

    private func accept(_ name: String, _ version: Int, _ references: [String], _ type: XDSType) {
        guard let state = self.held[type] else { return }
        if !self.isOwnVersion(version) { self.fault("\(type.label): \(name)@\(version) is another group's") }
        if let before = self.held[type]?.fetching.removeValue(forKey: name), before == self.sends(name, type, false) {
            self.fault("\(type.label): \(name)@\(version) was not fetched for it")
        }
        if self.hasTwoStreams(type) {
            self.held[type]?.newest[name] = version
        } else {
            if !self.mayGoBack, let newest = state.newest[name], version < newest {
                self.fault("\(type.label): \(name)@\(version) after @\(newest)")
            }
            self.held[type]?.newest[name] = max(version, state.newest[name] ?? 0)
        }
        self.held[type]?.warming.remove(name)
        guard !self.rejects, self.isWanted(name, type) else { return }
        // What was there before the first clusters may have been asked for before them, too.
        let hasClusters = self.held[.cds]?.responses ?? 0 > 0
        self.held[type]?.references[name] = hasClusters ? references : []
    }

    private func fault(_ text: String) { self.faults.append("client \(self.handle): \(text)") }

    private func note(_ type: XDSType, _ version: String, _ nonce: String) {
        if !self.nonces.insert(type.label + nonce).inserted { self.fault("\(type.label): nonce \(nonce) twice") }
        if self.held[type] == nil { self.fault("\(type.label): a response that nobody asked for") }
        self.held[type]?.responses += 1
        self.log?("client \(self.handle) \(self.rejects ? "rejects" : "reads") \(type.label) \(version) \(nonce)")
        self.unanswered.append((type, version, nonce, self.rejects))
        if self.rejects { self.held[type]?.isTainted = true }
    }

    private func isWanted(_ name: String, _ type: XDSType) -> Bool {
        guard let state = self.held[type] else { return false }
        return state.wildcard || state.asksFor(name, type)
    }

    private func checkLeak(_ name: String, _ type: XDSType) {
        guard let state = self.held[type], self.neverInWildcard.contains(name),
            !Held.covers(state.everNamed, name, type)
        else { return }
        self.fault("\(type.label): \(name) was sent and never asked for")
    }

    private func receive(_ response: DiscoveryResponse, _ span: borrowing Span<UInt8>) {
        let type = XDSType.of(typeURL: span.string(response.typeURL))
        var received: [String: Int] = [:]
        var accepted: [(String, Int, [String])] = []
        for range in response.resources {
            let (name, version, references) = Self.payload(range, span)
            accepted.append((name, version, references))
            if received.updateValue(version, forKey: name) != nil { self.fault("\(type.label): \(name) twice") }
            self.checkLeak(name, type)
        }
        self.note(type, span.string(response.versionInfo), span.string(response.nonce))
        self.log?("    \(received.sorted { $0.key < $1.key }.map { "\($0.key)@\($0.value)" })")
        for (name, version, references) in accepted { self.accept(name, version, references, type) }
        if self.rejects { return }
        let wanted = received.filter { self.isWanted($0.key, type) }
        if type.isFullSet {
            self.held[type]?.resources = wanted
            if self.readCount > self.held[type]?.undecidedSince ?? 0 { self.held[type]?.undecided = [] }
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
            guard let envelope = try? ResourceEnvelope(decoding: range, in: span) else {
                return self.fault("\(type.label): undecodable resource")
            }
            let name = span.string(envelope.name)
            if !seen.insert(name).inserted { self.fault("\(type.label): \(name) twice") }
            if envelope.version.isEmpty { self.fault("\(type.label): \(name) without version") }
            self.checkLeak(name, type)
            let aliases = envelope.aliases.map { span.string($0) }
            guard let any = envelope.resource else {
                if !aliases.isEmpty {
                    self.receiveUnresolved(aliases, type)
                    continue
                }
                self.receiveHeartbeat(name, span.string(envelope.version), envelope.ttl, type)
                continue
            }
            let (_, version, references) = Self.payload(any, span)
            self.log?("    \(name)@\(version)")
            self.accept(name, version, references, type)
            if aliases != RichStep.aliases(of: name) { self.fault("\(type.label): \(name) with aliases \(aliases)") }
            guard self.isWanted(name, type), !self.rejects else { continue }
            self.held[type]?.resources[name] = version
            self.held[type]?.versions[name] = span.string(envelope.version)
            self.held[type]?.missing.subtract([name] + aliases)
            self.held[type]?.errors[name] = nil
            self.noteTime(name, envelope.ttl, type)
            if let glob = ResourceName.collection(of: name, type: type) { self.held[type]?.answered.insert(glob) }
        }
        for range in response.removedResources {
            let name = span.string(range)
            if !seen.insert(name).inserted { self.fault("\(type.label): \(name) sent and removed") }
            self.log?("    -\(name)")
            self.held[type]?.warming.remove(name)
            guard !self.rejects else { continue }
            self.held[type]?.drop(name)
            self.held[type]?.missing.insert(name)
            self.held[type]?.errors[name] = nil
        }
        for range in response.resourceErrors { self.receiveError(range, span, seen, type) }
    }

    // MARK: Aliases, times to live, and errors of single resources

    private func receiveUnresolved(_ aliases: [String], _ type: XDSType) {
        self.log?("    \(aliases) cannot be resolved")
        for alias in aliases {
            if self.held[type]?.everNamed.contains(alias) != true {
                self.fault("\(type.label): \(alias) cannot be resolved, and was never asked for")
            }
            if !self.rejects { self.held[type]?.missing.insert(alias) }
        }
    }

    private func noteTime(_ name: String, _ span: Nanoseconds?, _ type: XDSType) {
        self.held[type]?.lifetimes[name] = span
        if span != nil { self.held[type]?.beats += 1 }
    }

    private func receiveHeartbeat(_ name: String, _ version: String, _ span: Nanoseconds?, _ type: XDSType) {
        self.log?("    \(name) lives on")
        guard let state = self.held[type], !state.isTainted, self.isWanted(name, type) else { return }
        if span == nil { self.fault("\(type.label): a heartbeat of \(name) without time to live") }
        guard state.resources[name] != nil, state.versions[name] == version else {
            return self.fault("\(type.label): a heartbeat of \(name)@\(version), which is not held")
        }
        self.noteTime(name, span, type)
    }

    private func receiveError(
        _ range: ByteRange, _ span: borrowing Span<UInt8>, _ seen: Set<String>, _ type: XDSType
    ) {
        guard let entry = try? ResourceError.read(range, in: span) else {
            return self.fault("\(type.label): undecodable error")
        }
        self.log?("    \(entry.name) has error \(entry.error.code)")
        if seen.contains(entry.name) { self.fault("\(type.label): \(entry.name) is sent, and has an error") }
        if !Held.covers(self.held[type]?.everNamed ?? [], entry.name, type) {
            self.fault("\(type.label): the error of \(entry.name), which was never asked for")
        }
        if !self.rejects { self.held[type]?.errors[entry.name] = Int(entry.error.code) }
    }

    /// Drops what has outlived its time. Not while it would hear of nothing new: it is stopped then, with its clock.
    func tick(_ span: Nanoseconds) {
        guard self.reads, self.acknowledges else { return }
        for (type, state) in self.held {
            for (name, left) in state.lifetimes {
                let left = Nanoseconds(rawValue: left.rawValue - span.rawValue)
                self.held[type]?.lifetimes[name] = left
                if left.rawValue <= 0 { self.held[type]?.drop(name) }
            }
        }
    }

    private static func payload(_ range: ByteRange, _ span: borrowing Span<UInt8>) -> (String, Int, [String]) {
        guard let any = try? AnyEnvelope(decoding: range, in: span) else { return ("?", -1, []) }
        var reader = WireReader(any.value)
        var name = "?"
        var version = -1
        var references: [String] = []
        while let field = try? reader.next(in: span) {
            if field.number == 1, let range = try? field.bytes() { name = span.string(range) }
            if field.number == 14, let value = try? field.varint() { version = Int(value) }
            if field.number == 15, let range = try? field.bytes() { references.append(span.string(range)) }
        }
        return (name, version, references)
    }

    /// Reads what came and acknowledges it. Returns whether anything happened.
    func answer() -> Bool {
        var moved = false
        if self.reads {
            moved = !self.inbox.isEmpty
            let inbox = self.inbox
            self.inbox = []
            for (body, nonce) in inbox {
                self.readCount += 1
                self.read(body, nonce)
            }
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
