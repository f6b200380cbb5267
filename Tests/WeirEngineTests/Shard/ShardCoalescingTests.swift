import Testing
import WeirBase
import WeirXDS

@testable import WeirEngine

/// One client of all four types that may fall behind, while a control plane moves a route from cluster x to cluster y.
private final class Migration {
    let harness = ShardHarness()
    let client: ShardHarness.Client
    private let names = ["eds": ["x", "y"], "rds": ["r"]]

    init(_ variant: ProtocolVariant, passes: Bool = false) {
        self.client = self.harness.open(variant)
        self.subscribe(self.client)
        self.harness.publish("n", .cds, ["x@1"], passes: passes, eds: true)
        self.harness.publish("n", .eds, lane: .named, ["x@1"])
        self.harness.publish("n", .lds, ["l@1"])
        self.harness.publish("n", .rds, lane: .named, ["r@1"])
        self.acknowledge(self.client.take())
        _ = self.client.take()
    }

    func subscribe(_ client: ShardHarness.Client, holding held: [String: String] = [:]) {
        for type in [XDSType.cds, .eds, .lds, .rds] {
            switch client.variant {
            case .sotw: client.request(type, self.names[type.label] ?? [])
            case .delta: client.delta(type, add: self.names[type.label] ?? [], held: type == .cds ? held : [:])
            }
        }
    }

    func acknowledge(_ responses: [ShardHarness.Response]) {
        for response in responses {
            let type = XDSType.of(typeURL: response.typeURL)
            switch self.client.variant {
            case .sotw:
                self.client.request(
                    type, self.names[type.label] ?? [], version: response.version, nonce: response.nonce)
            case .delta: self.client.delta(type, nonce: response.nonce)
            }
        }
    }

    /// Hands the client one more listener, and nothing after it.
    func block() {
        self.harness.blocked = [self.client.handle]
        self.harness.publish("n", .lds, ["l@2"])
    }

    /// ORD-02's script: make before break.
    func migrate(passes: Bool = false) {
        self.harness.publish("n", .cds, ["y@1"], version: "with y", passes: passes, eds: true)
        self.harness.publish("n", .eds, lane: .named, ["y@1"])
        self.harness.publish("n", .rds, lane: .named, ["r@2"])
        self.harness.publish("n", .cds, ["-x"], version: "without x", passes: passes)
        self.harness.publish("n", .eds, lane: .named, ["-x"])
    }

    /// What the client receives, as `cds +y -x`; SotW clusters whole.
    func take() -> [String] { Self.text(self.client.take()) }

    static func text(_ responses: [ShardHarness.Response]) -> [String] {
        responses.map { response in
            ([response.label] + response.resources.sorted().map { "+" + $0 } + response.removed.map { "-" + $0 })
                .joined(separator: " ")
        }
    }
}

/// States that were put together for a client that is behind stay safe.
@Suite struct ShardCoalescingTests {
    @Test("ORD-02 a client that keeps up sees the control plane's own order", arguments: ProtocolVariant.allCases)
    func keepingUp(_ variant: ProtocolVariant) {
        let m = Migration(variant)
        m.migrate()
        let first = m.client.take()
        m.acknowledge(first)
        let all = Migration.text(first) + m.take()
        // y's endpoints are pushed once: they were not known yet when the cluster was.
        let delta = ["cds +y@1", "eds +y@1", "rds +r@2", "cds -x", "eds -x"]
        #expect(all == (variant == .delta ? delta : ["cds +x +y", "eds +y", "rds +r", "cds +y"]))
    }

    @Test(
        "ORD-03 WIRE-14 what comes goes out first, what later types named until now last",
        arguments: ProtocolVariant.allCases)
    func stuck(_ variant: ProtocolVariant) {
        let m = Migration(variant)
        m.block()
        m.migrate()
        #expect(m.take() == [variant == .delta ? "lds +l@2" : "lds +l"])
        m.harness.unblock(m.client)
        let delta = ["cds +y@1", "eds +y@1", "rds +r@2", "cds -x", "eds -x"]
        #expect(m.take() == (variant == .delta ? delta : ["cds +x +y", "eds +y", "rds +r", "cds +y"]))
        #expect(m.harness.shard.retiring.isEmpty)
        #expect(m.harness.shard.views.allSatisfy { $0?.retired.isEmpty != false })
    }

    @Test("ORD-03 an ACK of the clusters lets no removal overtake the routes", arguments: ProtocolVariant.allCases)
    func unacknowledgedRoutes(_ variant: ProtocolVariant) {
        let m = Migration(variant)
        m.harness.publish("n", .rds, lane: .named, ["r@1b"])  // never acknowledged
        m.migrate()
        let first = m.client.take()
        m.acknowledge(first.filter { $0.label == "cds" })
        let rest = m.take()
        let delta = ["rds +r@2", "cds -x", "eds -x"]
        #expect(rest == (variant == .delta ? delta : ["rds +r", "cds +y"]))
    }

    @Test("ORD-02 an ACK of the routes lets no route overtake its cluster", arguments: ProtocolVariant.allCases)
    func unacknowledgedClusters(_ variant: ProtocolVariant) {
        let m = Migration(variant)
        m.harness.publish("n", .cds, ["x@2"])  // never acknowledged
        m.harness.publish("n", .rds, lane: .named, ["r@1b"])
        let routes = m.client.take().filter { $0.label == "rds" }
        m.harness.publish("n", .cds, ["y@1"])
        m.harness.publish("n", .rds, lane: .named, ["r@2"])
        m.acknowledge(routes)
        #expect(m.take() == (variant == .delta ? ["cds +y@1", "rds +r@2"] : ["cds +x +y", "rds +r"]))
    }

    @Test("ORD-02 the answer to a new subscription overtakes no cluster that is held back")
    func answersDoNotOvertake() {
        let m = Migration(.delta)
        m.harness.publish("n", .rds, lane: .named, ["s@1"])
        m.harness.publish("n", .cds, ["x@2"])  // never acknowledged
        _ = m.take()
        m.harness.publish("n", .cds, ["y@1"])
        #expect(m.take() == [])
        m.client.delta(.rds, add: ["s"])
        #expect(m.take().first == "cds +y@1")
    }

    @Test("ORD-02 content for which a stream waits is not overtaken by later content of the same turn")
    func waitingClusters() {
        let h = ShardHarness()
        let client = h.open(.delta)
        client.delta(.cds, held: ["x": "1"])  // waits for the origin, with what it holds
        client.delta(.rds, add: ["r"])
        h.settle()
        h.publish("n", .rds, lane: .named, ["r@1"])
        client.takeAndAck()
        func update(_ type: XDSType, _ lane: Lane, _ name: String, _ generation: Generation) {
            let resource = ShardHarness.resource(type, name, "2", "2")
            h.shard.update(
                group: "n",
                TypeUpdate(
                    typeURL: type.typeURL, generation: generation, isFull: generation == 1,
                    changes: [ResourceChange(lane: lane, name: name, presence: .present(resource))],
                    wildcardKnown: lane == .wildcard, version: "v", passesVersionToSotW: false,
                    receivedAt: Instant(rawValue: 0), receivedAtWall: WallTime(rawValue: 0)))
        }
        update(.cds, .wildcard, "y", 1)
        update(.rds, .named, "r", 2)
        #expect(Migration.text(client.take()) == ["cds +y@2", "rds +r@2", "cds -x"])
    }

    @Test("ORD-03 SOTW-18 a state with what is to go soon has a version of its own")
    func versionOfTheStateBetween() {
        let m = Migration(.sotw, passes: true)
        m.block()
        m.migrate(passes: true)
        m.harness.unblock(m.client)
        let clusters = m.client.take().filter { $0.label == "cds" }
        #expect(clusters.count == 2)
        #expect(clusters.last?.version == "without x")
        for (index, resources) in [["y"], nil].enumerated() {
            let back = m.harness.open(.sotw)
            back.request(.cds, version: clusters[index].version)
            #expect(back.take().first?.resources == resources)
        }
    }

    @Test("ORD-03 what came and went while a client was behind is not shown to it")
    func cameAndWent() {
        let m = Migration(.sotw)
        m.block()
        m.harness.publish("n", .cds, ["z@1"])
        m.harness.publish("n", .cds, ["-z", "-x", "y@1"])
        m.harness.publish("n", .rds, lane: .named, ["r@2"])
        _ = m.take()
        m.harness.unblock(m.client)
        #expect(m.take() == ["cds +x +y", "rds +r", "cds +y"])
    }

    @Test("ORD-03 a client that comes back hears what is gone after the routes that named it")
    func reconnect() {
        let m = Migration(.delta)
        m.migrate()
        let back = m.harness.open(.delta)
        m.subscribe(back, holding: ["x": "1"])
        #expect(
            Migration.text(back.take()) == ["cds +y@1", "eds +y@1 -x", "lds +l@1", "rds +r@2", "cds -x"])
    }

    @Test("ORD-03 a client that is behind in clusters and endpoints alone gets them whole")
    func noRoutes() {
        let m = Migration(.delta)
        m.block()
        m.harness.publish("n", .cds, ["y@1", "-x"])
        m.harness.publish("n", .eds, lane: .named, ["y@1", "-x"])
        _ = m.take()
        m.harness.unblock(m.client)
        #expect(m.take() == ["cds +y@1 -x", "eds +y@1 -x"])
    }

    @Test("ORD-03 memory of what left is bounded, though a client be stuck for ever")
    func bounded() {
        let m = Migration(.sotw)
        m.block()
        m.harness.publish("n", .cds, (0..<3000).map { "c\($0)@1" })
        m.harness.publish("n", .cds, (0..<3000).map { "-c\($0)" })
        #expect((m.harness.shard.views.compactMap { $0?.retired.count }.max() ?? 0) <= RetiredResources.max)
        m.harness.shard.close(m.client.id)
        m.harness.settle()
        #expect(m.harness.shard.retiring.isEmpty)
    }

    @Test("WIRE-14 a client of many types is handed in one turn what its queue holds, and the rest when that has left")
    func manyTypes() {
        let h = ShardHarness()
        let types = (0..<200).map { XDSType.of(typeURL: "type.googleapis.com/x.T\($0)") }
        let first = h.open(.delta)
        for type in types { first.delta(type, add: ["*"]) }
        h.settle()
        for type in types { h.publish("n", type, ["a@1"]) }
        #expect(Set(first.takeAndAck().map(\.typeURL)).count == 200)
        let second = h.open(.delta)
        for type in types { second.delta(type, add: ["*"]) }
        second.delta(.cds, add: ["*"])
        h.blocked = [second.handle]
        h.settle()
        var got: [[String]] = []
        while let responses = Optional(h.takeBlocked(second)), !responses.isEmpty {
            got.append(responses.map(\.typeURL))
            h.shard.drained(second.id)
            h.settle()
        }
        #expect(Set(got.joined()) == Set(types.map(\.typeURL)))
        #expect(got.joined().count == 200)
        #expect(got.allSatisfy { $0.count <= 24 })
    }
}
