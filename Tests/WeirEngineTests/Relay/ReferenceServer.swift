import WeirBase
import WeirXDS

@testable import WeirEngine

/// A control plane that follows the protocol's letter, for one group: resources per type, some of which belong to the
/// wildcard and some of which exist by name only.
final class ReferenceServer {
    struct Entry {
        var version: Int
        var inWildcard: Bool
        /// Routes: the clusters they name.
        var references: [String] = []
        /// Since which version the resource has been there.
        var born = 0
        /// How long it lives without word of it; nil: for good.
        var timeToLive: Nanoseconds?
        /// When it is gone without a word; nil: there is word of it in time.
        var dies: Instant?
        /// Whether it says that it must not be cached.
        var isUncached = false
    }

    let variant: ProtocolVariant
    let name: String
    /// What tells this server's `version_info` from another's.
    var versionPrefix = "r"
    /// What real servers do wrong.
    var ignoresInitialVersions = false
    var splitsAnswers = false
    private(set) var resources: [String: [String: Entry]] = [:]
    /// Names that cannot be answered at present, with a gRPC status code, by type URL.
    private(set) var failing: [String: [String: Int]] = [:]
    private(set) var now = Instant(rawValue: 1_000_000_000)
    private var revision = 0
    private var streams: [Int: [String: Subscription]] = [:]
    private(set) var requests: [String] = []
    /// How often each resource was sent whole, by type URL.
    var sends: [String: [String: Int]] = [:]
    /// Responses on their way, by stream.
    var outbox: [(stream: Int, message: [UInt8])] = []

    final class Subscription {
        var wildcard = false
        var names: Set<String> = []
        var hasNamed = false
        var isFirst = true
        var nonce = 0
        var sent: [String: Int] = [:]
        var missing: Set<String> = []
        /// When there was last word of what has a time to live.
        var beats: [String: Instant] = [:]
        /// What was said of names that cannot be answered.
        var failed: [String: Int] = [:]
    }

    init(_ variant: ProtocolVariant, name: String = "server") {
        self.variant = variant
        self.name = name
    }

    func set(_ type: XDSType, _ changes: [String: Entry?]) {
        self.revision += 1
        for (name, entry) in changes {
            var entry = entry
            let born = self.resources[type.typeURL]?[name]?.born ?? entry?.version ?? 0
            entry?.born = born
            self.resources[type.typeURL, default: [:]][name] = entry
        }
        for (stream, subscriptions) in self.streams.sorted(by: { $0.key < $1.key }) {
            if let subscription = subscriptions[type.typeURL] { self.push(stream, type, subscription, force: []) }
        }
    }

    // MARK: Time, and what cannot be answered

    /// Says that what has a time to live is still there, well before that is over; what dies, dies without a word.
    func tick(_ now: Instant) {
        self.now = now
        for (url, entries) in self.resources {
            for (name, entry) in entries where entry.dies.map({ $0 <= now }) == true {
                self.resources[url]?[name] = nil
                for subscriptions in self.streams.values { subscriptions[url]?.sent[name] = nil }
            }
        }
        for (stream, subscriptions) in self.streams.sorted(by: { $0.key < $1.key }) {
            for (url, subscription) in subscriptions.sorted(by: { $0.key < $1.key }) {
                self.beat(stream, XDSType.of(typeURL: url), subscription)
            }
        }
    }

    private func beat(_ stream: Int, _ type: XDSType, _ subscription: Subscription) {
        let due = (self.resources[type.typeURL] ?? [:]).filter { name, entry in
            guard let span = entry.timeToLive, entry.dies == nil, subscription.sent[name] == entry.version else {
                return false
            }
            let last = subscription.beats[name] ?? Instant(rawValue: 0)
            return (self.now - last).rawValue * 3 >= span.rawValue
        }
        guard !due.isEmpty else { return }
        for name in due.keys { subscription.beats[name] = self.now }
        subscription.nonce += 1
        switch self.variant {
        case .sotw:
            // Where absence means deletion, the others stand beside it (TTL-06).
            let all = self.resources[type.typeURL] ?? [:]
            let others = all.filter { type.isFullSet && self.covers(subscription, type, $0.key) && due[$0.key] == nil }
            self.outbox.append((stream, self.sotw(type, others, subscription.nonce, heartbeats: due)))
        case .delta: self.outbox.append((stream, self.delta(type, due, [], subscription.nonce, isHeartbeat: true)))
        }
    }

    /// A name cannot be answered; with nil it can again. Who has it keeps it.
    func fail(_ type: XDSType, _ name: String, _ code: Int?) {
        self.failing[type.typeURL, default: [:]][name] = code
        for (stream, subscriptions) in self.streams.sorted(by: { $0.key < $1.key }) {
            guard let subscription = subscriptions[type.typeURL], subscription.names.contains(name) else { continue }
            subscription.failed[name] = nil
            subscription.missing.remove(name)
            if let code = code, self.resources[type.typeURL]?[name] != nil {
                // Of what is there nobody says that it cannot be found.
                guard code != 5 else { continue }
                subscription.nonce += 1
                self.outbox.append((stream, self.delta(type, [:], [], subscription.nonce, errors: [name: code])))
            } else {
                self.push(stream, type, subscription, force: [])
            }
        }
    }

    func open(_ stream: Int) { self.streams[stream] = [:] }

    func close(_ stream: Int) {
        self.streams[stream] = nil
        self.outbox.removeAll { $0.stream == stream }
    }

    /// The union of all streams' names of a type.
    func names(_ type: XDSType) -> Set<String> {
        self.streams.values.reduce(into: []) { $0.formUnion($1[type.typeURL]?.names ?? []) }
    }

    /// Takes over the content of another server, not its versions of whole types.
    func copyContent(of other: ReferenceServer) {
        self.resources = other.resources
        self.revision = 1
    }

    func subscription(_ type: XDSType, lane: Lane) -> Subscription? {
        self.streams.sorted { $0.key < $1.key }.compactMap { $0.value[type.typeURL] }.first {
            lane == .wildcard ? $0.wildcard : !$0.names.isEmpty
        }
    }

    /// Whether somebody was sent this version of a resource on a stream that lasts.
    func hasTold(_ type: XDSType, _ name: String, _ entry: Entry) -> Bool {
        self.streams.values.contains { $0[type.typeURL]?.sent[name] == entry.version }
    }

    // MARK: Requests

    func receive(_ stream: Int, _ message: [UInt8]) {
        let span = message.span
        switch self.variant {
        case .sotw:
            guard let request = try? DiscoveryRequest(decoding: span) else { return }
            self.receive(stream, request, span)
        case .delta:
            guard let request = try? DeltaDiscoveryRequest(decoding: span) else { return }
            self.receive(stream, request, span)
        }
    }

    private func find(_ stream: Int, _ url: String) -> (XDSType, Subscription) {
        let subscription = self.streams[stream]?[url] ?? Subscription()
        self.streams[stream, default: [:]][url] = subscription
        return (XDSType.of(typeURL: url), subscription)
    }

    private func receive(_ stream: Int, _ request: DiscoveryRequest, _ span: borrowing Span<UInt8>) {
        let (type, subscription) = self.find(stream, span.string(request.typeURL))
        let names = Set(request.resourceNames.map { span.string($0) })
        let nonce = span.string(request.responseNonce)
        self.requests.append(
            "\(stream) \(type.label) v=\(span.string(request.versionInfo)) n=\(nonce) "
                + "\(names.sorted())\(request.errorDetail == nil ? "" : " NACK")")
        let isFirst = subscription.isFirst
        subscription.isFirst = false
        if !isFirst, nonce != (subscription.nonce == 0 ? "" : String(subscription.nonce)) { return }
        if !names.isEmpty { subscription.hasNamed = true }
        let added = names.subtracting(subscription.names)
        let hadWildcard = subscription.wildcard
        subscription.wildcard =
            names.contains("*") || names.isEmpty && !subscription.hasNamed && type.acceptsLegacyWildcard
        subscription.names = names.subtracting(["*"])
        for name in subscription.sent.keys where !self.covers(subscription, type, name) {
            subscription.sent[name] = nil
        }
        let isNew = isFirst || subscription.wildcard && !hadWildcard
        if isNew || !added.isEmpty { self.push(stream, type, subscription, force: added, isNew: isNew) }
    }

    private func receive(_ stream: Int, _ request: DeltaDiscoveryRequest, _ span: borrowing Span<UInt8>) {
        let (type, subscription) = self.find(stream, span.string(request.typeURL))
        let add = request.subscribe.map { span.string($0) }
        let remove = request.unsubscribe.map { span.string($0) }
        self.requests.append(
            "\(stream) \(type.label) +\(add) -\(remove) "
                + "irv=\(request.initialVersions.map { span.string($0.name) + "@" + span.string($0.version) })"
                + "\(request.errorDetail == nil ? "" : " NACK")")
        let isFirst = subscription.isFirst
        subscription.isFirst = false
        if isFirst, add.isEmpty, type.acceptsLegacyWildcard { subscription.wildcard = true }
        if add.contains("*") { subscription.wildcard = true }
        subscription.names.formUnion(Set(add).subtracting(["*"]))
        subscription.names.subtract(remove)
        if remove.contains("*") { subscription.wildcard = false }
        subscription.missing.subtract(add)
        for name in add + remove { subscription.failed[name] = nil }
        if isFirst, !self.ignoresInitialVersions {
            for held in request.initialVersions {
                let version = Int(span.string(held.version)) ?? -1
                subscription.sent[span.string(held.name)] = version
            }
        }
        for name in remove where !self.covers(subscription, type, name) || subscription.wildcard {
            subscription.sent[name] = nil
        }
        let endsMany = type == .vhds || remove.contains { $0 == "*" || ResourceName.isGlob($0, type: type) }
        for name in subscription.sent.keys where endsMany && !self.covers(subscription, type, name) {
            subscription.sent[name] = nil
        }
        if !isFirst, add.contains("*") { subscription.sent = [:] }
        let initial = Set(request.initialVersions.map { span.string($0.name) })
        let honours = isFirst && !self.ignoresInitialVersions
        var force = honours ? Set(add).subtracting(initial) : Set(add)
        // Whoever asks for a collection again is sent its members again.
        if !honours { force.formUnion(self.members(of: add, type)) }
        if isFirst || !add.isEmpty { self.push(stream, type, subscription, force: force, isNew: isFirst) }
    }

    // MARK: Responses

    private func covers(_ subscription: Subscription, _ type: XDSType, _ name: String) -> Bool {
        guard let entry = self.resources[type.typeURL]?[name] else { return false }
        if subscription.names.contains(name) || subscription.wildcard && entry.inWildcard { return true }
        if RichStep.aliases(of: name).contains(where: { subscription.names.contains($0) }) { return true }
        return ResourceName.collection(of: name, type: type).map { subscription.names.contains($0) } ?? false
    }

    /// What there is in collections, and under aliases.
    private func members(of names: [String], _ type: XDSType) -> [String] {
        (self.resources[type.typeURL] ?? [:]).keys.filter { Self.stands($0, for: names, type) }
    }

    private static func stands(_ name: String, for names: [String], _ type: XDSType) -> Bool {
        RichStep.aliases(of: name).contains(where: names.contains)
            || ResourceName.collection(of: name, type: type).map { names.contains($0) } ?? false
    }

    private func push(
        _ stream: Int, _ type: XDSType, _ subscription: Subscription, force: Set<String>, isNew: Bool = false
    ) {
        let all = self.resources[type.typeURL] ?? [:]
        let visible = all.filter { self.covers(subscription, type, $0.key) }
        var changed = visible.filter { force.contains($0.key) || subscription.sent[$0.key] != $0.value.version }
        let gone = subscription.sent.keys.filter { visible[$0] == nil }.sorted()
        for name in gone { subscription.sent[name] = nil }
        for (name, entry) in visible { subscription.sent[name] = entry.version }
        switch self.variant {
        case .sotw:
            if type.isFullSet {
                guard isNew || !changed.isEmpty || !gone.isEmpty else { return }
                changed = visible
            } else if changed.isEmpty {
                return
            }
            self.note(type, changed.keys, subscription)
            subscription.nonce += 1
            self.outbox.append((stream, self.sotw(type, changed, subscription.nonce)))
        case .delta:
            self.note(type, changed.keys, subscription)
            let (removed, errors) = self.unanswerable(type, subscription, gone)
            guard isNew || !changed.isEmpty || !removed.isEmpty || !errors.isEmpty else { return }
            self.answerDelta(stream, type, changed, removed, errors, subscription)
        }
    }

    private func note(_ type: XDSType, _ names: [String: Entry].Keys, _ subscription: Subscription) {
        for name in names {
            subscription.beats[name] = self.now
            self.sends[type.typeURL, default: [:]][name, default: 0] += 1
        }
    }

    /// The names that are gone or not there, each said once, and those that cannot be answered.
    private func unanswerable(
        _ type: XDSType, _ subscription: Subscription, _ gone: [String]
    ) -> (removed: [String], errors: [String: Int]) {
        let all = self.resources[type.typeURL] ?? [:]
        var removed = gone
        var errors: [String: Int] = [:]
        for name in subscription.names.sorted() where !removed.contains(name) {
            let isThere = all[name] != nil || !self.members(of: [name], type).isEmpty
            if isThere {
                subscription.missing.remove(name)
                subscription.failed[name] = nil
            } else if let code = self.failing[type.typeURL]?[name] {
                if subscription.failed.updateValue(code, forKey: name) != code { errors[name] = code }
            } else if gone.contains(where: { Self.stands($0, for: [name], type) }) {
                // That its last member is gone says that a collection is empty; an alias goes with its resource.
                subscription.missing.insert(name)
            } else if subscription.missing.insert(name).inserted {
                removed.append(name)
            }
        }
        return (removed, errors)
    }

    private func answerDelta(
        _ stream: Int, _ type: XDSType, _ changed: [String: Entry], _ removed: [String],
        _ errors: [String: Int], _ subscription: Subscription
    ) {
        let names = changed.keys.sorted()
        let middle = self.splitsAnswers && names.count > 1 ? names.count / 2 : 0
        if middle > 0 {
            let first = changed.filter { names[..<middle].contains($0.key) }
            subscription.nonce += 1
            self.outbox.append((stream, self.delta(type, first, [], subscription.nonce)))
        }
        let rest = changed.filter { names[middle...].contains($0.key) }
        subscription.nonce += 1
        self.outbox.append((stream, self.delta(type, rest, removed, subscription.nonce, errors: errors)))
    }

    /// Clusters get their endpoints by EDS.
    static func payload(
        _ type: XDSType, _ name: String, _ version: Int, references: [String] = []
    ) -> [UInt8] {
        var value = WireWriter()
        value.string(1, name)
        if type == .cds { value.uint(2, 3) }
        value.uint(14, UInt64(version))
        for cluster in references { value.element(15, cluster) }
        var any = WireWriter()
        any.string(1, type.typeURL)
        any.message(2, value.bytes)
        return any.bytes
    }

    /// A whole `Resource` message.
    private static func envelope(
        _ type: XDSType, _ name: String, _ entry: Entry, isHeartbeat: Bool = false
    ) -> [UInt8] {
        var envelope = WireWriter()
        envelope.string(1, String(entry.version))
        if !isHeartbeat {
            envelope.message(2, Self.payload(type, name, entry.version, references: entry.references))
        }
        envelope.string(3, name)
        if !isHeartbeat { for alias in RichStep.aliases(of: name) { envelope.element(4, alias) } }
        if let span = entry.timeToLive { envelope.message(6, ProtobufDuration.encoded(span)) }
        // `cache_control { do_not_cache: true }`.
        if entry.isUncached { envelope.message(7, [8, 1]) }
        return envelope.bytes
    }

    /// What SotW has for what its resources cannot say by themselves.
    private static func wrapped(_ envelope: [UInt8]) -> [UInt8] {
        var any = WireWriter()
        any.string(1, XDSType.wrapperURL)
        any.message(2, envelope)
        return any.bytes
    }

    private func sotw(
        _ type: XDSType, _ resources: [String: Entry], _ nonce: Int, heartbeats: [String: Entry] = [:]
    ) -> [UInt8] {
        var writer = WireWriter()
        writer.string(1, "\(self.versionPrefix)\(self.revision)")
        for (name, entry) in resources.sorted(by: { $0.key < $1.key }) {
            if entry.timeToLive != nil || entry.isUncached {
                writer.message(2, Self.wrapped(Self.envelope(type, name, entry)))
            } else {
                writer.message(2, Self.payload(type, name, entry.version, references: entry.references))
            }
        }
        for (name, entry) in heartbeats.sorted(by: { $0.key < $1.key }) {
            writer.message(2, Self.wrapped(Self.envelope(type, name, entry, isHeartbeat: true)))
        }
        writer.string(4, type.typeURL)
        writer.string(5, String(nonce))
        return writer.bytes
    }

    private func delta(
        _ type: XDSType, _ resources: [String: Entry], _ removed: [String], _ nonce: Int, errors: [String: Int] = [:],
        isHeartbeat: Bool = false
    ) -> [UInt8] {
        var writer = WireWriter()
        writer.string(1, "\(self.versionPrefix)\(self.revision)")
        for (name, entry) in resources.sorted(by: { $0.key < $1.key }) {
            writer.message(2, Self.envelope(type, name, entry, isHeartbeat: isHeartbeat))
        }
        for name in removed where name == RichStep.unresolvable {
            var envelope = WireWriter()
            envelope.string(3, name)
            envelope.element(4, name)
            writer.message(2, envelope.bytes)
        }
        writer.string(4, type.typeURL)
        writer.string(5, String(nonce))
        for name in removed where name != RichStep.unresolvable { writer.element(6, name) }
        for (name, code) in errors.sorted(by: { $0.key < $1.key }) {
            writer.message(9, ContentHarness.error(name, code))
        }
        return writer.bytes
    }
}
