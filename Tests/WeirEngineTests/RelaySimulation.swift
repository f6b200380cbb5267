import WeirBase
import WeirXDS

@testable import WeirEngine

/// One thing that happens in a simulated run. Numbers pick among what there is at that moment, so that any part of a
/// run is a run too: a failing one can be shortened.
enum SimulationStep: CustomStringConvertible {
    enum Change { case wild, named, gone }

    case set(type: Int, changes: [String: Change])
    case connect(ProtocolVariant, shard: Int)
    case disconnect(client: Int)
    case reconnect(client: Int, otherShard: Bool, resumes: Bool)
    case subscribe(client: Int, type: Int, wildcard: Bool, names: Set<String>)
    case rejects(client: Int, Bool)
    case acknowledges(client: Int, Bool)
    case reads(client: Int, Bool)
    case serverUp(Bool)
    case loseStream(Int)
    case replaceServer(same: Bool, variant: ProtocolVariant, ignores: Bool, splits: Bool)
    case stall(Int, Bool)
    case advance(milliseconds: Int64)
    case hop
    case settle

    var description: String {
        switch self {
        case .set(let type, let changes):
            let text = changes.sorted { $0.key < $1.key }.map { "\($0.key):\($0.value)" }.joined(separator: " ")
            return "set \(RelaySimulation.types[type].label) \(text)"
        case .connect(let variant, let shard): return "connect \(variant) on shard \(shard)"
        case .disconnect(let client): return "disconnect #\(client)"
        case .reconnect(let client, let other, let resumes):
            return "reconnect #\(client)\(other ? " on the other shard" : "")\(resumes ? " resuming" : "")"
        case .subscribe(let client, let type, let wildcard, let names):
            return "subscribe #\(client) \(RelaySimulation.types[type].label) "
                + "\((wildcard ? ["*"] : []) + names.sorted())"
        case .rejects(let client, let on): return "rejects #\(client) \(on)"
        case .acknowledges(let client, let on): return "acknowledges #\(client) \(on)"
        case .reads(let client, let on): return "reads #\(client) \(on)"
        case .serverUp(let on): return "server up \(on)"
        case .loseStream(let number): return "lose upstream stream \(number)"
        case .replaceServer(let same, let variant, let ignores, let splits):
            return "replace the server: same content \(same), \(variant), ignores irv \(ignores), splits \(splits)"
        case .stall(let number, let on): return "stall upstream stream \(number) \(on)"
        case .advance(let milliseconds): return "advance \(milliseconds) ms"
        case .hop: return "hop"
        case .settle: return "settle"
        }
    }
}

/// A relay to which random things happen, and what must be true of it afterwards.
final class RelaySimulation {
    static let types: [XDSType] = [.cds, .eds, .lds, .rds]
    static let names = ["a", "b", "c", "d"]
    /// Names that exist by name only.
    static let onDemand = ["x", "y"]

    let harness: RelayHarness
    private var version = 0
    private(set) var faults: [String] = []
    private var servers = 1

    init(_ variant: ProtocolVariant) {
        self.harness = RelayHarness(ReferenceServer(variant), shards: 2)
        Self.keep(self.harness.server)
    }

    /// One resource of each wildcard never changes: by sending it again a server shows that it ignored what it was told,
    /// and nothing else does (AGG-10).
    private static func keep(_ server: ReferenceServer) {
        for type in Self.types where type.isFullSet {
            server.set(type, ["keep": ReferenceServer.Entry(version: 1_000_000, inWildcard: true)])
        }
    }

    // MARK: What happens

    /// The steps of a seed.
    static func steps(_ generator: inout SeededGenerator) -> [SimulationStep] {
        let count = Int.random(in: 5...60, using: &generator)
        var steps: [SimulationStep] = [
            .set(type: 0, changes: ["a": .wild, "b": .wild, "x": .named]),
            .connect(Self.pick(ProtocolVariant.allCases, &generator), shard: 0),
            .connect(Self.pick(ProtocolVariant.allCases, &generator), shard: 1),
        ]
        for _ in 0..<count {
            steps.append(Self.step(&generator))
            if Int.random(in: 0..<3, using: &generator) == 0 { steps.append(.settle) }
        }
        return steps
    }

    private static func pick<T>(_ list: [T], _ generator: inout SeededGenerator) -> T {
        list[Int.random(in: 0..<list.count, using: &generator)]
    }

    private static func step(_ g: inout SeededGenerator) -> SimulationStep {
        let client = Int.random(in: 0..<64, using: &g)
        let type = min(Int.random(in: 0..<6, using: &g), 3)
        switch Int.random(in: 0..<100, using: &g) {
        case 0..<22: return .set(type: type, changes: Self.changes(&g))
        case 22..<28: return .connect(Self.pick(ProtocolVariant.allCases, &g), shard: Int.random(in: 0..<2, using: &g))
        case 28..<31: return .disconnect(client: client)
        case 31..<37: return .reconnect(client: client, otherShard: .random(using: &g), resumes: .random(using: &g))
        case 37..<60:
            let names = (Self.names + Self.onDemand).filter { _ in Int.random(in: 0..<3, using: &g) == 0 }
            let isWildcard = Int.random(in: 0..<(type % 2 == 0 ? 2 : 6), using: &g) == 0
            return .subscribe(client: client, type: type, wildcard: isWildcard, names: Set(names))
        case 60..<63: return .rejects(client: client, .random(using: &g))
        case 63..<66: return .acknowledges(client: client, .random(using: &g))
        case 66..<70: return .reads(client: client, .random(using: &g))
        case 70..<73: return .serverUp(.random(using: &g))
        case 73..<76: return .loseStream(Int.random(in: 0..<2, using: &g))
        case 76..<78:
            return .replaceServer(
                same: .random(using: &g), variant: Self.pick(ProtocolVariant.allCases, &g),
                ignores: .random(using: &g), splits: .random(using: &g))
        case 78..<84: return .stall(Int.random(in: 0..<2, using: &g), .random(using: &g))
        case 84..<93: return .advance(milliseconds: Self.pick([1, 5, 20, 600, 1500, 2500, 6000, 16_000], &g))
        default: return .hop
        }
    }

    private static func changes(_ g: inout SeededGenerator) -> [String: SimulationStep.Change] {
        var changes: [String: SimulationStep.Change] = [:]
        for _ in 0..<Int.random(in: 1...3, using: &g) {
            let name = Self.pick(Self.names + Self.onDemand, &g)
            let isGone = Int.random(in: 0..<4, using: &g) == 0
            let isNamed = Self.onDemand.contains(name) || Int.random(in: 0..<5, using: &g) == 0
            changes[name] = isGone ? .gone : isNamed ? .named : .wild
        }
        return changes
    }

    /// What the changes make of a type. In types where absence means nothing, SotW could not say that a resource left
    /// the wildcard: there, each name belongs to it for good or never.
    private func entries(_ type: XDSType, _ changes: [String: SimulationStep.Change]) -> [String: ReferenceServer
        .Entry?]
    {
        var entries: [String: ReferenceServer.Entry?] = [:]
        for (name, change) in changes {
            let isWild = type.isFullSet ? change == .wild : ["a", "b"].contains(name)
            let entry = ReferenceServer.Entry(version: self.version, inWildcard: isWild)
            entries.updateValue(change == .gone ? nil : entry, forKey: name)
        }
        return entries
    }

    private func client(_ number: Int) -> RelayClient? {
        let clients = self.harness.clients
        return clients.isEmpty ? nil : clients[number % clients.count]
    }

    func run(_ step: SimulationStep) {
        let h = self.harness
        switch step {
        case .set(let type, let changes):
            self.version += 1
            h.server.set(Self.types[type], self.entries(Self.types[type], changes))
        case .connect(let variant, let shard): _ = self.connect(variant, shard)
        case .disconnect(let number): if let client = self.client(number) { self.drop(client) }
        case .reconnect(let number, let other, let resumes):
            if let client = self.client(number) { self.reconnect(client, other, resumes) }
        case .subscribe(let number, let type, let wildcard, let names):
            if let client = self.client(number) { self.subscribe(client, Self.types[type], wildcard, names) }
        case .rejects(let number, let on): self.client(number)?.rejects = on
        case .acknowledges(let number, let on): self.client(number)?.acknowledges = on
        case .reads(let number, let on): self.client(number)?.reads = on
        case .serverUp(let on):
            h.isServerUp = on
            if !on { h.loseUpstream() }
        case .loseStream(let number): h.loseStream(number)
        case .replaceServer(let same, let variant, let ignores, let splits):
            self.replaceServer(same, variant, ignores, splits)
        case .stall(let number, let on):
            if on { h.stalledStreams.insert(number) } else { h.stalledStreams.remove(number) }
        case .advance(let milliseconds): h.advance(.milliseconds(milliseconds))
        case .hop: h.step()
        case .settle: h.settle()
        }
    }

    private func connect(_ variant: ProtocolVariant, _ shard: Int) -> RelayClient {
        let client = self.harness.connect(variant, shard: shard)
        client.neverInWildcard = Set(Self.onDemand)
        return client
    }

    private func drop(_ client: RelayClient) {
        self.faults += client.faults
        self.harness.drop(client)
    }

    private func reconnect(_ client: RelayClient, _ other: Bool, _ resumes: Bool) {
        self.drop(client)
        let new = self.connect(client.variant, other ? 1 - client.shardIndex : client.shardIndex)
        for (type, held) in client.held.sorted(by: { $0.key.pushOrder < $1.key.pushOrder }) {
            guard held.wildcard || !held.names.isEmpty else { continue }
            new.subscribe(type, wildcard: held.wildcard, held.names, resuming: resumes ? held : nil)
        }
    }

    private func subscribe(_ client: RelayClient, _ type: XDSType, _ wildcard: Bool, _ names: Set<String>) {
        let old = client.held[type]
        if !wildcard, names.isEmpty {
            // A first request for nothing, and nothing after a legacy wildcard, are things the protocol cannot say.
            guard let old = old, client.variant == .delta || old.hasNamed else { return }
        }
        // What is on its way still may be wanted again when it arrives, and be out of date: no server can know.
        if let old = old, client.variant == .delta, client.hasUnread {
            guard wildcard || !old.wildcard, old.names.isSubset(of: names) else { return }
        }
        client.subscribe(type, wildcard: wildcard, names)
    }

    private func replaceServer(_ same: Bool, _ variant: ProtocolVariant, _ ignores: Bool, _ splits: Bool) {
        self.servers += 1
        let server = ReferenceServer(variant, name: "server \(self.servers)")
        server.versionPrefix = "s\(self.servers)."
        server.ignoresInitialVersions = ignores
        server.splitsAnswers = splits
        if same {
            server.copyContent(of: self.harness.server)
        } else {
            self.version += 1
            Self.keep(server)
            for type in Self.types {
                server.set(type, self.entries(type, ["a": .wild, "c": .named, "x": .named]))
            }
        }
        self.harness.loseUpstream(replacement: server)
    }

    // MARK: What must be true

    /// Lets the run come to rest, and looks.
    func finish() -> [String] {
        self.comeToRest()
        self.check("at rest")
        for type in Self.types {
            self.version += 1
            let changes: [String: SimulationStep.Change] = [
                "a": .gone, "b": .wild, "c": .named, "x": .named, "y": .gone,
            ]
            self.harness.server.set(type, self.entries(type, changes))
        }
        self.harness.settle()
        self.check("after a push")
        self.harness.advance(.seconds(16))
        self.check("later")
        for client in self.harness.clients { self.drop(client) }
        self.harness.settle()
        for _ in 0..<3 { self.harness.advance(.seconds(3)) }
        self.checkNothingLeft()
        return self.faults
    }

    private func comeToRest() {
        let h = self.harness
        h.isServerUp = true
        h.stalledStreams = []
        for client in h.clients {
            client.reads = true
            client.acknowledges = true
            client.rejects = false
        }
        h.settle()
        for client in h.clients where client.held.values.contains(where: \.isTainted) {
            self.reconnect(client, false, true)
        }
        h.settle()
        for seconds in [1, 1, 1, 6, 16, 3] as [Int64] { h.advance(.seconds(seconds)) }
    }

    private func fault(_ text: String) { self.faults.append(text) }

    private func check(_ moment: String) {
        for client in self.harness.clients {
            self.faults += client.faults
            for type in Self.types {
                guard let held = client.held[type] else { continue }
                for text in self.differences(client, type, held) {
                    self.fault("\(moment): client \(client.handle) (\(client.variant)) \(type.label): \(text)")
                }
            }
        }
        for type in Self.types { self.checkInterest(type, moment) }
        for (index, shard) in self.harness.shards.enumerated() {
            for text in ShardInspection(shard).faults { self.fault("\(moment): shard \(index): \(text)") }
        }
    }

    private func differences(_ client: RelayClient, _ type: XDSType, _ held: RelayClient.Held) -> [String] {
        let all = self.harness.server.resources[type.typeURL] ?? [:]
        let wanted = all.filter { held.names.contains($0.key) || held.wildcard && $0.value.inWildcard }
        var result: [String] = []
        for (name, entry) in wanted where held.resources[name] != entry.version {
            result.append("holds \(name)@\(held.resources[name].map(String.init) ?? "nothing"), not @\(entry.version)")
        }
        // Where absence means nothing in SotW, on either side, deleted resources may live on.
        let keepsDeleted =
            !type.isFullSet && (client.variant == .sotw || self.hasSpokenSotW)
        for name in held.resources.keys where wanted[name] == nil {
            if keepsDeleted || held.undecided.contains(name) { continue }
            result.append("holds \(name), which is gone")
        }
        guard client.variant == .delta else { return result }
        for name in held.names where wanted[name] == nil && held.resources[name] == nil {
            if !held.missing.contains(name) { result.append("was not told that \(name) does not exist") }
        }
        return result.sorted()
    }

    /// Whether any server so far spoke SotW; what it deleted may live on.
    private var hasSpokenSotW: Bool { true }

    private func checkInterest(_ type: XDSType, _ moment: String) {
        let states = self.harness.clients.compactMap { $0.held[type] }
        let names = states.reduce(into: Set<String>()) { $0.formUnion($1.names) }
        let told = self.harness.server.names(type)
        if told != names {
            self.fault("\(moment): \(type.label): upstream names \(told.sorted()), not \(names.sorted())")
        }
        let wildcard = states.contains(where: \.wildcard)
        let toldWildcard = self.harness.server.subscription(type, lane: .wildcard) != nil
        if wildcard, !toldWildcard { self.fault("\(moment): \(type.label): no wildcard upstream") }
        // SotW has no word for the end of a legacy wildcard.
        if !wildcard, toldWildcard, self.harness.server.variant == .delta {
            self.fault("\(moment): \(type.label): a wildcard upstream that nobody wants")
        }
    }

    private func checkNothingLeft() {
        if !self.harness.groups.isEmpty { self.fault("groups are left at the home") }
        for (index, shard) in self.harness.shards.enumerated() {
            if !shard.groupKeys.isEmpty { self.fault("shard \(index) has groups left") }
            for text in ShardInspection(shard).leftovers { self.fault("shard \(index): \(text)") }
        }
    }
}

/// Looks into a shard: do its tables agree with each other?
struct ShardInspection {
    let shard: Shard

    init(_ shard: Shard) { self.shard = shard }

    /// What is left when no stream is.
    var leftovers: [String] {
        var result: [String] = []
        if self.shard.typeStreams.count != self.shard.freeTypeStreams.count { result.append("type streams are left") }
        if self.shard.views.contains(where: { $0 != nil }) { result.append("views are left") }
        if !self.shard.behind.isEmpty { result.append("type streams are behind") }
        if !self.shard.rejections.isEmpty { result.append("rejections are left") }
        if self.shard.streamCount != 0 { result.append("streams are left") }
        return result
    }

    /// At rest: every stream in its place, and every count right.
    var faults: [String] {
        var result: [String] = []
        for (index, view) in self.shard.views.enumerated() {
            if let view = view { result += self.faults(of: view, Int32(index)) }
        }
        for (index, record) in self.shard.typeStreams.enumerated() where record.stream != TypeStream.none {
            if record.isBehind { result.append("type stream \(index) is behind") }
            if record.isAwaiting { result.append("type stream \(index) awaits an answer") }
            if record.isDue { result.append("type stream \(index) is due") }
        }
        if self.shard.hasWork { result.append("there is work left") }
        return result
    }

    private func faults(of view: TypeView, _ number: Int32) -> [String] {
        var result: [String] = []
        let label = view.type.label
        var streams: [Int32: Int] = [:]
        var detached = 0
        for (index, record) in self.shard.typeStreams.enumerated()
        where record.stream != TypeStream.none && record.view == number {
            if record.subscription != TypeStream.none { streams[record.subscription, default: 0] += 1 }
            guard record.cohort != TypeStream.none else {
                detached += 1
                continue
            }
            let cohort = view.cohorts[Int(record.cohort)]
            let list = (record.isInAwaitingList ? cohort?.awaiting : cohort?.idle) ?? []
            if list.count <= Int(record.position) || list[Int(record.position)] != Int32(index) {
                result.append("\(label): type stream \(index) is not in its place")
            }
            if cohort?.subscription != record.subscription {
                result.append("\(label): type stream \(index) is in a cohort of another subscription")
            }
        }
        if detached != view.detached { result.append("\(label): \(detached) detached, counted \(view.detached)") }
        for entry in view.entries where entry.isInUse {
            if entry.pins != 0 { result.append("\(label): \(entry.name) is still owed") }
            if case .unknown = entry.named, entry.wild == nil, entry.subscribers.isEmpty, entry.wildChanged == 0 {
                result.append("\(label): \(entry.name) is remembered for nothing")
            }
        }
        if view.unsettled != 0 { result.append("\(label): \(view.unsettled) unsettled") }
        for (index, subscription) in view.subscriptions.enumerated() {
            guard let subscription = subscription else { continue }
            if subscription.streams != streams[Int32(index)] ?? 0 {
                result.append("\(label): subscription \(index) has \(subscription.streams) streams")
            }
            for cohort in subscription.cohorts where view.cohorts[Int(cohort)]?.isEmpty != false {
                result.append("\(label): subscription \(index) keeps an empty cohort")
            }
        }
        return result
    }
}
