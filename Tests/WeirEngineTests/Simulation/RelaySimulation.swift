import WeirBase
import WeirXDS

@testable import WeirEngine

/// A relay to which random things happen, and what must be true of it afterwards.
final class RelaySimulation {
    static let types: [XDSType] = [.cds, .eds, .lds, .rds]
    static let names = ["a", "b", "c", "d"]
    /// Names that exist by name only.
    static let onDemand = ["x", "y"]
    /// By number: a version tells its group by its parity.
    static let groups = ["k", "other"]

    /// What `y` stands for in a federated run: a name of another control plane's authority (NAME-07).
    static let far = "xdstp://far/t/y"

    let harness: RelayHarness
    private let isFederated: Bool
    var version = 0
    private(set) var faults: [String] = []
    private var servers = 1
    /// What happens, line by line, if somebody wants to know.
    private let log: ((String) -> Void)?

    // MARK: Where no order can be expected
    /// Groups whose control plane went on while a stream to it was lost, or that have clusters and routes on two streams:
    /// until rest.
    private var unordered: Set<String> = []
    /// Clients that may still see what came of that.
    private var excused: Set<UInt64> = []
    /// Types of a group that were on two upstream streams at once.
    private var mixed: Set<String> = []

    /// Whether pushes are tried first, held and rolled back: then clients go back to earlier states, of each type by itself.
    let isGuarded: Bool

    /// Whether there are collections, aliases, times to live, what must be fetched, and errors of single resources.
    let isRich: Bool
    /// Whether a control plane may speak SotW, in which not all of that can be said, nor every removal.
    let maySpeakSotW: Bool
    /// The types of this run.
    let types: [XDSType]

    init(
        _ variant: ProtocolVariant, isFederated: Bool, isStored: Bool, isGuarded: Bool = false, isRich: Bool = false,
        sabotage: Sabotage? = nil,
        log: ((String) -> Void)? = nil
    ) {
        self.log = log
        self.isFederated = isFederated
        self.isGuarded = isGuarded
        self.isRich = isRich
        self.maySpeakSotW = !isRich || variant == .sotw
        self.types = isRich && variant == .delta ? Self.types + [.leds, .vhds] : Self.types
        var others = ["other": ReferenceServer(variant)]
        if isFederated {
            others["k/far"] = ReferenceServer(
                variant == .sotw || isRich ? .delta : .sotw, name: "far")
            others["other/far"] = ReferenceServer(.delta, name: "other far")
        }
        self.harness = RelayHarness(
            ReferenceServer(variant), others: others, shards: 2, isStored: isStored,
            guards: { if isGuarded { Self.guards(&$0) } else { $0.holdsEmpty = false } })
        self.harness.sabotage = sabotage
        self.harness.log = log
        self.harness.keepsAlive = isRich
        for group in Self.groups.indices { self.keep(self.server(group), group) }
        self.harness.onLoss = { [unowned self] key in self.expectNoOrder(key) }
    }

    private static func guards(_ policy: inout GuardPolicy) {
        policy.emptyMin = 2
        policy.shrinkPercent = 60
        policy.rollout = RolloutPolicy()
        policy.rollout?.wait = .seconds(1)
        policy.rollout?.types = Set(Self.types)
    }

    /// One resource of each wildcard never changes: by sending it again a server shows that it ignored what it was told,
    /// and nothing else does (AGG-10).
    private func keep(_ server: ReferenceServer, _ group: Int) {
        // Where absence means nothing, what is gone counts only if no control plane speaks SotW.
        for type in Self.types where type.isFullSet || !self.maySpeakSotW {
            server.set(type, ["keep": ReferenceServer.Entry(version: 1_000_000 + group, inWildcard: true)])
        }
        for type in RichStep.collectionTypes where self.isRich && (type != .leds || !self.maySpeakSotW) {
            let name = RichStep.name("p/keep", type)
            server.set(type, [name: ReferenceServer.Entry(version: 1_000_000 + group, inWildcard: false)])
        }
    }

    func server(_ group: Int) -> ReferenceServer {
        self.harness.servers[Self.groups[group]] ?? self.harness.server
    }

    private func farServer(_ group: Int) -> ReferenceServer? { self.harness.servers[Self.groups[group] + "/far"] }

    /// The name that stands for another in this run.
    private func real(_ name: String) -> String { self.isFederated && name == "y" ? Self.far : name }

    private func group(of client: RelayClient) -> Int { client.group == "k" ? 0 : 1 }

    // MARK: What happens

    /// What the changes make of a type. In types where absence means nothing, SotW could not say that a resource left
    /// the wildcard: there, each name belongs to it for good or never.
    func entries(
        _ type: XDSType, _ changes: [String: SimulationStep.Change], _ server: ReferenceServer, _ group: Int
    ) -> [String: ReferenceServer.Entry?] {
        var entries: [String: ReferenceServer.Entry?] = [:]
        for (name, change) in changes {
            let isWild = type.isFullSet ? change == .wild : ["a", "b"].contains(name)
            var entry = ReferenceServer.Entry(version: self.version * 2 + group, inWildcard: isWild)
            if type == .rds { entry.references = self.clusters(server, self.version + name.utf8.count) }
            entries.updateValue(change == .gone ? nil : entry, forKey: name)
        }
        return entries
    }

    /// Two clusters of the wildcard, for a route.
    private func clusters(_ server: ReferenceServer, _ number: Int) -> [String] {
        let all = (server.resources[XDSType.cds.typeURL] ?? [:]).filter(\.value.inWildcard).keys.sorted()
        return all.isEmpty ? [] : [all[number % all.count], all[(number / 3) % all.count]]
    }

    /// Changes a type on a control plane that makes before it breaks: before a cluster goes, the routes that name it are
    /// made to name others.
    func set(_ type: XDSType, _ changes: [String: SimulationStep.Change], _ group: Int) {
        let server = self.server(group)
        self.version += 1
        var entries = self.entries(type, changes, server, group)
        if self.isFederated, let far = entries.removeValue(forKey: "y") {
            self.farServer(group)?.set(type, [Self.far: far])
        }
        let leaving = Set(
            entries.filter { entry in
                type == .cds && server.resources[type.typeURL]?[entry.key]?.inWildcard == true
                    && entry.value?.inWildcard != true
            }.keys)
        let routes = (server.resources[XDSType.rds.typeURL] ?? [:]).filter {
            !leaving.isDisjoint(with: $0.value.references)
        }
        guard !routes.isEmpty else { return server.set(type, entries) }
        let arriving = entries.filter { !leaving.contains($0.key) }
        if !arriving.isEmpty { server.set(type, arriving) }
        self.version += 1
        let others = ["keep"] + arriving.filter { $0.value?.inWildcard == true }.keys.sorted()
        server.set(
            .rds,
            routes.mapValues { route in
                ReferenceServer.Entry(
                    version: self.version * 2 + group, inWildcard: route.inWildcard, references: others)
            })
        server.set(type, entries.filter { leaving.contains($0.key) })
    }

    func client(_ number: Int) -> RelayClient? {
        let clients = self.harness.clients
        return clients.isEmpty ? nil : clients[number % clients.count]
    }

    func run(_ step: SimulationStep) {
        self.log?(step.description)
        self.carryOut(step)
        self.look()
    }

    private func carryOut(_ step: SimulationStep) {
        let h = self.harness
        switch step {
        case .set(let type, let changes, let group): self.set(Self.types[type], changes, group)
        case .connect(let variant, let shard, let group): _ = self.connect(variant, shard, group)
        case .typicalClient(let variant, let shard, let group): self.connectTypical(variant, shard, group)
        case .disconnect(let number): if let client = self.client(number) { self.drop(client) }
        case .reconnect(let number, let other, let resumes):
            if let client = self.client(number) { self.reconnect(client, other, resumes) }
        case .subscribe(let number, let type, let wildcard, let names):
            if let client = self.client(number) { self.subscribe(client, Self.types[type], wildcard, names) }
        case .subscribeAgain(let number, let type): self.client(number)?.subscribeAgain(Self.types[type])
        case .rejects(let number, let on): self.client(number)?.rejects = on
        case .acknowledges(let number, let on): self.client(number)?.acknowledges = on
        case .reads(let number, let on): self.client(number)?.reads = on
        case .serverUp(let on):
            h.isServerUp = on
            if !on { h.loseUpstream() }
        case .loseStream(let number):
            h.loseStream(number)
            if number == 1 { h.loseStream(0, upstream: "far") }
        case .replaceServer(let same, let variant, let ignores, let splits):
            self.replaceServer(same, variant, ignores, splits)
        case .stall(let number, let on):
            if on { h.stalledStreams.insert(number) } else { self.endStall(number) }
        case .slowWorker(let number, let on):
            if on { h.slowWorkers.insert(number) } else { h.slowWorkers.remove(number) }
        case .restart(let resumes): self.restart(resumes)
        case .advance(let milliseconds):
            let wasQuiet = h.isQuiet
            self.advance(.milliseconds(milliseconds))
            // Long enough for the relay to have told the control plane everything, unless homes heard of a wish only when
            // that time was over. One that crosses the end of the name's linger is answered twice: with what was held, and
            // with what the control plane says to the name asked for anew. Clients take both, be it a removal (DELTA-05, DELTA-08).
            if milliseconds >= 600, wasQuiet, self.isUndisturbed {
                for client in h.clients where client.reads && client.acknowledges { client.cameToRest() }
            }
        case .hold, .release, .rollBack, .refresh: self.command(step)
        case .rich(let step): self.carryOut(step)
        case .hop: h.step()
        case .settle: self.settle()
        }
    }

    /// An operator's hand; that there is nothing to hold or release is no fault.
    private func command(_ step: SimulationStep) {
        let (now, wall) = (self.harness.now, WallTime(rawValue: 0))
        func group(_ number: Int) -> FederatedGroup? { self.harness.groups[Self.groups[number]] }
        switch step {
        case .hold(let type, let number):
            try? group(number)?.hold(typeURL: Self.types[type].typeURL, by: "", now: now, wall: wall)
        case .release(let type, let number):
            try? group(number)?.release(typeURL: Self.types[type].typeURL, by: "", now: now, wall: wall)
        case .rollBack(let type, let number):
            _ = try? group(number)?.rollBack(typeURL: Self.types[type].typeURL, to: nil, by: "", now: now, wall: wall)
        case .refresh(let number):
            group(number)?.refresh(now: now)
            self.expectNoOrder(Self.groups[number])
        default: break
        }
    }

    private func releaseAll() {
        for number in Self.groups.indices {
            for type in Self.types.indices { self.command(.release(type: type, group: number)) }
        }
    }

    private func connect(_ variant: ProtocolVariant, _ shard: Int, _ group: Int) -> RelayClient {
        let client = self.harness.connect(variant, shard: shard, group: Self.groups[group])
        client.neverInWildcard = Set(Self.onDemand + [Self.far] + RichStep.named)
        client.sends = { [unowned self] name, type, isAsking in self.sends(name, type, group, isAsking) }
        client.isOwnVersion = { $0 % 2 == group }
        client.mayGoBack = self.isGuarded
        client.mayMissDeaths = self.isRich
        client.log = self.log
        client.hasTwoStreams = { [unowned self] type in
            self.lookAtStreams()
            return self.mixed.contains(Self.groups[group] + type.label)
        }
        client.danglingReference = { [unowned self] client in self.danglingReference(client) }
        if self.unordered.contains(client.group) { self.excused.insert(client.handle) }
        return client
    }

    private func connectTypical(_ variant: ProtocolVariant, _ shard: Int, _ group: Int) {
        let client = self.connect(variant, shard, group)
        client.subscribe(.cds, wildcard: true)
        client.subscribe(.eds, ["a", "b"])
        client.subscribe(.lds, wildcard: true)
        client.subscribe(.rds, ["a", "c", "x"])
    }

    /// All clients come back to a relay that knows nothing.
    func restart(_ resumes: Bool) {
        let clients = self.harness.clients
        for client in clients { self.faults += client.takeFaults() }
        self.harness.restart()
        self.expectNoOrder("k")
        self.expectNoOrder("other")
        for client in clients { self.replace(client, onShard: client.shardIndex, resumes) }
    }

    /// How often a group's control plane has sent a resource; for who asks, nil unless it must be asked each time, and
    /// nothing is on its way that could answer by chance.
    private func sends(_ name: String, _ type: XDSType, _ group: Int, _ isAsking: Bool) -> Int? {
        let server = self.server(group)
        guard isAsking else { return server.sends[type.typeURL]?[name] ?? 0 }
        guard let entry = server.resources[type.typeURL]?[name], entry.isUncached else { return nil }
        // Who was not told of it cannot know what it says of itself.
        guard server.hasTold(type, name, entry) else { return nil }
        if !self.harness.isQuiet || self.harness.hasResponsesUnderWay { return nil }
        // What a wildcard brought is what its control plane said last, and serves until the name is answered.
        if entry.inWildcard, server.subscription(type, lane: .wildcard) != nil { return nil }
        return server.sends[type.typeURL]?[name] ?? 0
    }

    // MARK: Order

    private func expectNoOrder(_ key: String) {
        self.unordered.insert(key)
        for client in self.harness.clients where client.group == key { self.excused.insert(client.handle) }
    }

    /// Finds out what is on two upstream streams. These are not equally fast, so that between them there is no order.
    private func lookAtStreams() {
        for (key, group) in self.harness.groups {
            for type in self.types where group.own.types[type.typeURL]?.feeds.count ?? 0 > 1 {
                self.mixed.insert(key + type.label)
            }
            if !self.isOnOneStream(group) { self.expectNoOrder(key) }
        }
    }

    private func isOnOneStream(_ group: FederatedGroup) -> Bool {
        let feeds = [XDSType.cds, .rds].flatMap { group.own.types[$0.typeURL]?.feeds ?? [] }
        return feeds.count < 2 || feeds.count == 2 && feeds[0].stream == feeds[1].stream
    }

    /// Every route that a client holds finds the clusters it names, at every moment (ORD-01 to ORD-03): the control plane
    /// takes care of that, and so must the relay.
    private func danglingReference(_ client: RelayClient) -> String? {
        self.lookAtStreams()
        guard !self.isGuarded, !self.excused.contains(client.handle), let clusters = client.held[.cds],
            let routes = client.held[.rds],
            clusters.wildcard, clusters.names.isEmpty, clusters.subscriptions == 1, clusters.responses > 0,
            !clusters.isTainted, !routes.isTainted
        else { return nil }
        let server = self.server(self.group(of: client))
        for (name, references) in routes.references.sorted(by: { $0.key < $1.key }) {
            // One that is gone upstream may live on here, in SotW.
            guard let version = routes.resources[name], let entry = server.resources[XDSType.rds.typeURL]?[name],
                entry.born <= version
            else { continue }
            for cluster in references where clusters.resources[cluster] == nil {
                return "route \(name)@\(version) names cluster \(cluster), which is not held"
            }
        }
        return nil
    }

    /// Lets everything arrive; if nothing is in the way, order can be expected again.
    private func settle() {
        let h = self.harness
        h.settle()
        guard self.isUndisturbed else { return }
        self.unordered = []
        // What was stored is confirmed type by type.
        for (key, group) in h.groups where group.isStale || !self.isOnOneStream(group) { self.unordered.insert(key) }
        for client in h.clients where client.reads && client.acknowledges && !client.hasUnread {
            if !self.unordered.contains(client.group) { self.excused.remove(client.handle) }
        }
    }

    private var isUndisturbed: Bool {
        self.harness.isServerUp && self.harness.stalledStreams.isEmpty && self.harness.slowWorkers.isEmpty
    }

    // MARK: Clients

    private func drop(_ client: RelayClient) {
        self.faults += client.takeFaults()
        self.harness.drop(client)
    }

    private func reconnect(_ client: RelayClient, _ other: Bool, _ resumes: Bool) {
        self.drop(client)
        self.replace(client, onShard: other ? 1 - client.shardIndex : client.shardIndex, resumes)
    }

    private func replace(_ client: RelayClient, onShard shard: Int, _ resumes: Bool) {
        let new = self.connect(client.variant, shard, self.group(of: client))
        for (type, held) in client.held.sorted(by: { $0.key.pushOrder < $1.key.pushOrder }) {
            guard held.wildcard || !held.names.isEmpty else { continue }
            new.subscribe(type, wildcard: held.wildcard, held.names, resuming: resumes ? held : nil)
        }
    }

    func subscribe(_ client: RelayClient, _ type: XDSType, _ wildcard: Bool, _ wanted: Set<String>) {
        let names = Set(wanted.map { self.real($0) })
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
        let server = ReferenceServer(self.maySpeakSotW ? variant : .delta, name: "server \(self.servers)")
        server.versionPrefix = "s\(self.servers)."
        server.ignoresInitialVersions = ignores
        server.splitsAnswers = splits
        // What was fetched is known by how often it was sent, by whomever.
        server.sends = self.harness.server.sends
        if same {
            server.copyContent(of: self.harness.server)
        } else {
            self.version += 1
            self.keep(server, 0)
            for type in Self.types {
                server.set(type, self.entries(type, ["a": .wild, "c": .named, "x": .named], server, 0))
            }
            for type in RichStep.collectionTypes where self.isRich && (type != .leds || !self.maySpeakSotW) {
                let members = [
                    RichStep.name("p/1", type): SimulationStep.Change.named, RichStep.name("r/1", type): .named,
                ]
                server.set(type, self.entries(type, members, server, 0))
            }
            if !self.maySpeakSotW { server.set(.vhds, self.entries(.vhds, ["v/2": .named], server, 0)) }
        }
        self.harness.loseUpstream(replacement: server)
    }

    // MARK: What must be true

    /// Lets the run come to rest, and looks.
    func finish() -> [String] {
        self.comeToRest()
        self.check("at rest")
        for group in Self.groups.indices {
            for type in Self.types {
                self.set(type, ["a": .gone, "b": .wild, "c": .named, "x": .named, "y": .gone], group)
            }
            guard self.isRich else { continue }
            for type in RichStep.collectionTypes {
                self.setMembers(type, ["p/1": .gone, "p/2": .named, "r/1": .gone], group)
            }
            if !self.maySpeakSotW { self.set(.vhds, ["v/1": .named, "v/2": .gone], group) }
        }
        self.settle()
        if self.isGuarded {
            // What is tried reaches everybody in time; what would remove too much is released by hand.
            for _ in 0..<6 { self.harness.advance(.seconds(1)) }
            self.releaseAll()
            self.settle()
        }
        self.check("after a push")
        self.advance(.seconds(16))
        self.check("later")
        for client in self.harness.clients { self.drop(client) }
        self.harness.settle()
        for _ in 0..<3 { self.advance(.seconds(3)) }
        self.checkNothingLeft()
        return self.faults
    }

    private func comeToRest() {
        let h = self.harness
        h.isServerUp = true
        for number in h.stalledStreams.sorted() { self.endStall(number) }
        h.slowWorkers = []
        for client in h.clients {
            client.reads = true
            client.acknowledges = true
            client.rejects = false
        }
        self.settle()
        for client in h.clients where client.held.values.contains(where: \.isTainted) {
            self.reconnect(client, false, true)
        }
        self.settle()
        for seconds in [1, 1, 1, 6, 16, 3] as [Int64] { self.advance(.seconds(seconds)) }
        guard self.isGuarded else { return }
        self.releaseAll()
        self.settle()
    }

    private func fault(_ text: String) { self.faults.append(text) }

    /// What must be true at every moment.
    private func look() {
        self.lookAtStreams()
        for client in self.harness.clients { self.faults += client.takeFaults() }
        for (index, shard) in self.harness.shards.enumerated() {
            let streams = self.harness.clients.count { $0.shardIndex == index }
            if shard.streamCount != streams {
                self.fault("shard \(index) has \(shard.streamCount) streams, not \(streams)")
            }
            for text in ShardInspection(shard).disagreements { self.fault("shard \(index): \(text)") }
        }
    }

    private func check(_ moment: String) {
        self.look()
        for client in self.harness.clients {
            for type in self.types {
                guard let held = client.held[type] else { continue }
                for text in self.differences(client, type, held) {
                    self.fault("\(moment): client \(client.handle) (\(client.variant)) \(type.label): \(text)")
                }
            }
        }
        for group in Self.groups.indices {
            for type in self.types { self.checkInterest(type, group, moment) }
        }
        for (index, shard) in self.harness.shards.enumerated() {
            for text in ShardInspection(shard).faults { self.fault("\(moment): shard \(index): \(text)") }
        }
    }

    private func differences(_ client: RelayClient, _ type: XDSType, _ held: RelayClient.Held) -> [String] {
        let group = self.group(of: client)
        let all = [self.server(group), self.farServer(group)].compactMap { $0?.resources[type.typeURL] }
            .reduce(into: [:]) { $0.merge($1) { a, _ in a } }
        let wanted = all.filter { held.asksFor($0.key, type) || held.wildcard && $0.value.inWildcard }
        var result: [String] = []
        for (name, entry) in wanted where held.resources[name] != entry.version {
            result.append("holds \(name)@\(held.resources[name].map(String.init) ?? "nothing"), not @\(entry.version)")
        }
        // Where absence means nothing in SotW, on either side, deleted resources may live on. Any server may have spoken it.
        let keepsDeleted =
            !type.isFullSet && (client.variant == .sotw || self.maySpeakSotW)
        for name in held.resources.keys where wanted[name] == nil {
            if keepsDeleted || held.undecided.contains(name) { continue }
            // What cannot be answered is kept as it was (NAME-14).
            if self.server(group).failing[type.typeURL]?[name] != nil { continue }
            result.append("holds \(name), which is gone")
        }
        if type == .eds {
            // A cluster that came once more only to go waits for nothing.
            let clusters = client.held[.cds]?.resources ?? [:]
            for name in held.warming.intersection(held.resources.keys)
            where wanted[name] != nil && clusters[name] != nil {
                result.append("the endpoints of \(name) did not come again after the cluster")
            }
        }
        guard client.variant == .delta else { return result.sorted() }
        for name in held.names where wanted[name] == nil && held.resources[name] == nil {
            if held.missing.contains(name) || held.answered.contains(name) { continue }
            if wanted.contains(where: { RichStep.aliases(of: $0.key).contains(name) }) { continue }
            if held.errors[name] != nil, self.server(group).failing[type.typeURL]?[name] != nil { continue }
            result.append("was not told that \(name) does not exist")
        }
        return result.sorted()
    }

    private func checkInterest(_ type: XDSType, _ group: Int, _ moment: String) {
        let server = self.server(group)
        let states = self.harness.clients.filter { self.group(of: $0) == group }.compactMap { $0.held[type] }
        let names = states.reduce(into: Set<String>()) { $0.formUnion($1.names) }
        let told = server.names(type).union(self.farServer(group)?.names(type) ?? [])
        if told != names {
            self.fault("\(moment): \(type.label): upstream names \(told.sorted()), not \(names.sorted())")
        }
        let wildcard = states.contains(where: \.wildcard)
        let toldWildcard = server.subscription(type, lane: .wildcard) != nil
        if wildcard, !toldWildcard { self.fault("\(moment): \(type.label): no wildcard upstream") }
        // SotW has no word for the end of a legacy wildcard.
        if !wildcard, toldWildcard, server.variant == .delta {
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
