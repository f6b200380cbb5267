import Glibc
import Testing
import WeirBase
import WeirXDS

@testable import WeirEngine

/// Random lives of a whole relay, from a seed. A failure prints the seed and what was done; the same seed does it again.
@Suite struct RelaySimulationTests {
    private static let seeds: ClosedRange<UInt64> = {
        let wanted = unsafe getenv("WEIR_SEEDS").flatMap { unsafe UInt64(String(cString: $0)) } ?? 300
        return 1...max(1, wanted)
    }()

    @Test("every client converges to the upstream's state for its subscription, and nothing is left behind")
    func convergence() {
        for seed in Self.seeds {
            var simulation = RelaySimulation(seed: seed)
            let faults = simulation.run()
            if !faults.isEmpty {
                Issue.record(
                    "seed \(seed): \(faults.joined(separator: "; "))\n\(simulation.trace.joined(separator: "\n"))")
                return
            }
        }
    }
}

/// One life.
struct RelaySimulation {
    private static let types: [XDSType] = [.cds, .lds, .eds, .rds]
    private static let names = ["a", "b", "c", "d", "e"]

    private var random: SeededGenerator
    private let harness: RelayHarness
    private var upstream: ProtocolVariant
    private var faults: [String] = []
    private var servers = 1
    private(set) var trace: [String] = []
    private var revision = 1

    init(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        self.upstream = Bool.random(using: &random) ? .delta : .sotw
        let server = ReferenceServer(self.upstream)
        server.splitsAnswers = Bool.random(using: &random)
        server.ignoresInitialVersions = Int.random(in: 0..<4, using: &random) == 0
        // One resource never changes: by its being sent again a server shows that it ignored what it was told (AGG-10).
        for type in Self.types where type.isFullSet { server.set(type, ["keep": .init(version: 1, inWildcard: true)]) }
        self.harness = RelayHarness(server)
        self.random = random
        self.trace.append("\(self.upstream) upstream, splits \(server.splitsAnswers)")
    }

    mutating func run() -> [String] {
        for _ in 0..<Int.random(in: 10...60, using: &self.random) {
            self.act()
            if Int.random(in: 0..<3, using: &self.random) > 0 { self.harness.settle() }
            self.checkClients()
            if !self.faults.isEmpty { return self.faults }
        }
        self.comeToRest()
        self.checkConvergence()
        if !self.faults.isEmpty { self.trace += self.harness.server.requests.suffix(40) }
        self.leave()
        return self.faults
    }

    // MARK: What happens

    private mutating func act() {
        switch Int.random(in: 0..<20, using: &self.random) {
        case 0..<6: self.changeServer()
        case 6..<9: self.join()
        case 9..<13: self.resubscribe()
        case 13: self.disconnect()
        case 14: self.reconnect()
        case 15: self.loseUpstream()
        case 16: self.toggle()
        case 17: self.pass(.seconds(Int64.random(in: 1...20, using: &self.random)))
        default: self.pass(.milliseconds(Int64.random(in: 1...200, using: &self.random)))
        }
    }

    private mutating func pick<C: Collection>(_ collection: C) -> C.Element? {
        collection.randomElement(using: &self.random)
    }

    private mutating func some(_ names: [String]) -> Set<String> {
        var generator = self.random
        let result = Set(names.filter { _ in Bool.random(using: &generator) })
        self.random = generator
        return result
    }

    private mutating func changeServer() {
        guard let type = self.pick(Self.types) else { return }
        var changes: [String: ReferenceServer.Entry?] = [:]
        for name in self.some(Self.names).sorted() {
            self.revision += 1
            let isGone = Int.random(in: 0..<4, using: &self.random) == 0
            // A name is in the wildcard or it is not, for its life: that is the server's business, not a transition of ours.
            let isWild = type.isFullSet && name < "d"
            changes[name] = isGone ? .some(nil) : ReferenceServer.Entry(version: self.revision, inWildcard: isWild)
        }
        self.trace.append(
            "server \(type.label) \(changes.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value?.version ?? 0)" })")
        self.harness.server.set(type, changes)
    }

    private mutating func subscription(_ type: XDSType) -> (wildcard: Bool, names: Set<String>) {
        let wildcard = type.isFullSet && Int.random(in: 0..<3, using: &self.random) > 0
        let hasNames = !wildcard || Int.random(in: 0..<3, using: &self.random) == 0
        return (wildcard, hasNames ? self.some(Self.names + ["zz"]) : [])
    }

    private mutating func join() {
        guard self.harness.clients.count < 6, let variant = self.pick(ProtocolVariant.allCases) else { return }
        let client = self.harness.connect(variant, shard: Int.random(in: 0...1, using: &self.random))
        self.trace.append("join \(client.handle) \(variant) on \(client.shardIndex)")
        for type in Self.types where Bool.random(using: &self.random) { self.subscribe(client, type) }
    }

    private mutating func subscribe(_ client: RelayClient, _ type: XDSType) {
        let wish = self.subscription(type)
        let isFirst = client.held[type] == nil
        if isFirst, !wish.wildcard, wish.names.isEmpty { return }
        self.trace.append("subscribe \(client.handle) \(type.label) \(wish.wildcard ? "*" : "") \(wish.names.sorted())")
        client.subscribe(type, wildcard: wish.wildcard, wish.names)
    }

    private mutating func resubscribe() {
        guard let client = self.pick(self.harness.clients), let type = self.pick(Self.types) else { return }
        self.subscribe(client, type)
    }

    private mutating func disconnect() {
        guard let client = self.pick(self.harness.clients) else { return }
        self.trace.append("disconnect \(client.handle)")
        self.harness.disconnect(client)
    }

    /// The same client again on a new stream, with what it holds.
    private mutating func reconnect() {
        guard let old = self.pick(self.harness.clients) else { return }
        self.harness.disconnect(old)
        let new = self.harness.connect(old.variant, shard: Int.random(in: 0...1, using: &self.random))
        self.trace.append("reconnect \(old.handle) as \(new.handle) on \(new.shardIndex)")
        for type in Self.types {
            guard let held = old.held[type], held.wildcard || !held.names.isEmpty else { continue }
            new.subscribe(type, wildcard: held.wildcard, held.names, resuming: held)
        }
    }

    private mutating func loseUpstream() {
        let isReplaced = Bool.random(using: &self.random)
        self.trace.append("lose upstream, \(isReplaced ? "other" : "same") server")
        guard isReplaced else { return self.harness.loseUpstream() }
        self.servers += 1
        let other = ReferenceServer(self.upstream, name: "server\(self.servers)")
        other.splitsAnswers = Bool.random(using: &self.random)
        for type in Self.types {
            let all = self.harness.server.resources[type.typeURL] ?? [:]
            other.set(type, all.mapValues { .some($0) })
        }
        self.harness.loseUpstream(replacement: other)
    }

    private mutating func toggle() {
        guard let client = self.pick(self.harness.clients) else { return }
        switch Int.random(in: 0..<3, using: &self.random) {
        case 0: client.acknowledges.toggle()
        case 1: client.reads.toggle()
        default: self.harness.isServerUp.toggle()
        }
        self.trace.append(
            "client \(client.handle) acks \(client.acknowledges) reads \(client.reads), server up \(self.harness.isServerUp)"
        )
    }

    private mutating func pass(_ span: Nanoseconds) {
        self.trace.append("pass \(span.seconds) s")
        self.harness.advance(span)
    }

    // MARK: What must hold

    private mutating func checkClients() {
        for client in self.harness.clients where !client.faults.isEmpty {
            self.faults.append("client \(client.handle): \(client.faults)")
        }
    }

    private mutating func comeToRest() {
        self.trace.append("rest")
        self.harness.isServerUp = true
        for client in self.harness.clients {
            client.acknowledges = true
            client.reads = true
        }
        for _ in 0..<4 { self.harness.advance(.seconds(6)) }
    }

    private mutating func checkConvergence() {
        self.checkClients()
        for client in self.harness.clients {
            for (type, held) in client.held.sorted(by: { $0.key.typeURL < $1.key.typeURL }) {
                self.check(client, type, held)
            }
        }
    }

    private mutating func check(_ client: RelayClient, _ type: XDSType, _ held: RelayClient.Held) {
        let all = self.harness.server.resources[type.typeURL] ?? [:]
        let expected = all.filter { held.names.contains($0.key) || held.wildcard && $0.value.inWildcard }
        for (name, entry) in expected.sorted(by: { $0.key < $1.key }) where held.resources[name] != entry.version {
            self.faults.append(
                "client \(client.handle) \(client.variant) \(type.label) \(name): "
                    + "holds \(held.resources[name] ?? 0), not \(entry.version)")
        }
        // SotW has no word for the deletion of other types than the full-set ones, neither up nor down.
        guard type.isFullSet || client.variant == .delta && self.upstream == .delta else { return }
        let unsure = client.variant == .sotw ? held.unsure : []
        for name in held.resources.keys.sorted() where expected[name] == nil && !unsure.contains(name) {
            self.faults.append("client \(client.handle) \(client.variant) \(type.label) \(name): holds what is gone")
        }
    }

    /// When all have left and linger is over nothing of them is left.
    private mutating func leave() {
        for client in self.harness.clients { self.harness.disconnect(client) }
        for _ in 0..<3 { self.harness.advance(.seconds(3)) }
        if !self.harness.groups.isEmpty { self.faults.append("a group is left") }
        for (index, shard) in self.harness.shards.enumerated() {
            if !shard.groupKeys.isEmpty { self.faults.append("shard \(index) keeps a group") }
            if shard.typeStreams.count != shard.freeTypeStreams.count {
                self.faults.append("shard \(index) keeps streams")
            }
            if shard.views.contains(where: { $0 != nil }) { self.faults.append("shard \(index) keeps a view") }
            if !shard.behind.isEmpty || !shard.rejections.isEmpty { self.faults.append("shard \(index) keeps marks") }
        }
    }
}
