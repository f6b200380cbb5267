import Testing
import WeirBase
import WeirXDS

@testable import WeirEngine

/// Names that go to other upstreams than the group's own, by their authority.
@Suite struct FederationTests {
    private static let near = "xdstp://near/envoy.config.endpoint.v3.ClusterLoadAssignment/a"
    private static let far = "xdstp://far/envoy.config.endpoint.v3.ClusterLoadAssignment/a"
    private static let unclaimed = "xdstp://unclaimed/envoy.config.endpoint.v3.ClusterLoadAssignment/a"
    private static let plain = "a"

    /// An upstream of its own, and one each for two authorities; the far one speaks the other variant.
    private static func relay(_ variant: ProtocolVariant) -> RelayHarness {
        let other: ProtocolVariant = variant == .sotw ? .delta : .sotw
        let h = RelayHarness(
            ReferenceServer(variant),
            others: ["k/near": ReferenceServer(variant, name: "near"), "k/far": ReferenceServer(other, name: "far")])
        h.server.set(.eds, [Self.plain: .named(1), Self.unclaimed: .named(2)])
        h.servers["k/near"]?.set(.eds, [Self.near: .named(3)])
        h.servers["k/far"]?.set(.eds, [Self.far: .named(4)])
        return h
    }

    @Test(
        "NAME-07 one stream has names of several authorities, each from its upstream and from no other",
        arguments: Combination.all)
    func routes(_ c: Combination) {
        let h = Self.relay(c.up)
        let client = h.connect(c.down)
        client.subscribe(.eds, [Self.plain, Self.near, Self.far, Self.unclaimed])
        h.advance(.milliseconds(50))
        // The own upstream has the name whose authority nobody claims, and is not asked for it.
        #expect(client.held(.eds) == ["a@1", "\(Self.far)@4", "\(Self.near)@3"])
        #expect(h.server.names(.eds) == [Self.plain])
        #expect(h.servers["k/near"]?.names(.eds) == [Self.near])
        #expect(h.servers["k/far"]?.names(.eds) == [Self.far])
        h.servers["k/far"]?.set(.eds, [Self.far: .named(5)])
        h.settle()
        #expect(client.held(.eds) == ["a@1", "\(Self.far)@5", "\(Self.near)@3"])
        #expect(client.faults == [])
        #expect(h.groups["k"]?.typeStatuses.map(\.resources) == [3])
        #expect(h.groups["k"]?.resources(typeURL: XDSType.eds.typeURL).count == 3)
        #expect(h.groups["k"]?.key == "k")
    }

    @Test("NAME-07 a name of an authority that nobody claims is missing at once, and comes and goes without a trace")
    func nobody() {
        let h = Self.relay(.delta)
        let client = h.connect(.delta)
        client.subscribe(.eds, [Self.unclaimed])
        h.settle()
        #expect(client.held[.eds]?.missing == [Self.unclaimed])
        #expect(h.server.names(.eds).isEmpty)
        client.subscribe(.eds, [Self.plain])
        h.settle()
        #expect(client.held(.eds) == ["a@1"])
        #expect(client.faults == [])
    }

    @Test("NAME-07 an upstream that is lost takes nothing with it, and others go on", arguments: Combination.all)
    func loss(_ c: Combination) {
        let h = Self.relay(c.up)
        let client = h.connect(c.down)
        client.subscribe(.eds, [Self.plain, Self.near, Self.far])
        h.advance(.milliseconds(50))
        h.downServers = ["k/far"]
        h.loseStream(0, upstream: "far")
        h.servers["k/far"]?.set(.eds, [Self.far: .named(14)])
        h.servers["k/near"]?.set(.eds, [Self.near: .named(13)])
        h.server.set(.eds, [Self.plain: .named(11)])
        h.advance(.seconds(20))
        #expect(client.held(.eds) == ["a@11", "\(Self.far)@4", "\(Self.near)@13"])
        h.downServers = []
        h.settle()
        #expect(client.held(.eds) == ["a@11", "\(Self.far)@14", "\(Self.near)@13"])
        #expect(client.faults == [])
    }

    @Test("NAME-07 names of an upstream that cannot be reached wait; the others are answered")
    func unreachable() {
        let h = Self.relay(.delta)
        h.isServerUp = false
        let client = h.connect(.delta)
        client.subscribe(.eds, [Self.plain, Self.far])
        h.advance(.milliseconds(50))
        h.advance(.seconds(20))
        #expect(client.held(.eds) == ["\(Self.far)@4"])
        #expect(client.held[.eds]?.missing == [])
        #expect(h.refused.isEmpty)
        h.isServerUp = true
        h.settle()
        #expect(client.held(.eds) == ["a@1", "\(Self.far)@4"])
    }

    @Test("NAME-07 a name that the upstream of its authority does not have is missing, and nobody else is asked for it")
    func missing() {
        let h = Self.relay(.delta)
        let name = "xdstp://far/t/nothing"
        h.server.set(.eds, [name: .named(9)])
        let client = h.connect(.delta)
        client.subscribe(.eds, [Self.plain, name])
        h.advance(.milliseconds(50))
        h.advance(.seconds(16))
        #expect(client.held(.eds) == ["a@1"])
        #expect(client.held[.eds]?.missing == [name])
    }

    @Test("NAME-07 NAME-03 a collection is asked of the upstream of its authority", arguments: ProtocolVariant.allCases)
    func collections(_ up: ProtocolVariant) {
        // Only a delta server can answer a glob collection.
        let h = RelayHarness(ReferenceServer(up), others: ["k/far": ReferenceServer(.delta)])
        let client = h.connect(.delta)
        client.subscribe(.cds, ["xdstp://far/envoy.config.cluster.v3.Cluster/*"])
        client.subscribe(.eds, ["x"])
        h.advance(.milliseconds(50))
        #expect(h.servers["k/far"]?.names(.cds) == ["xdstp://far/envoy.config.cluster.v3.Cluster/*"])
        #expect(h.server.names(.cds) == [])
    }

    @Test(
        "NAME-07 a wildcard is the group's own upstream's, and what a far one sends is not in it",
        arguments: Combination.all)
    func wildcard(_ c: Combination) {
        let h = Self.relay(c.up)
        h.server.set(.cds, ["own": .wild(1)])
        h.servers["k/far"]?.set(.cds, ["xdstp://far/t/c": .wild(2), "own": .wild(9)])
        let both = h.connect(c.down, shard: 0)
        let wild = h.connect(c.down, shard: 0)
        let named = h.connect(c.down, shard: 1)
        named.subscribe(.cds, ["xdstp://far/t/c"])
        h.advance(.milliseconds(50))
        both.subscribe(.cds, wildcard: true, ["xdstp://far/t/c"])
        wild.subscribe(.cds, wildcard: true)
        h.advance(.milliseconds(50))
        #expect(both.held(.cds) == ["own@1", "xdstp://far/t/c@2"])
        #expect(wild.held(.cds) == ["own@1"])
        #expect(named.held(.cds) == ["xdstp://far/t/c@2"])
        h.server.set(.cds, ["own": nil])
        h.settle()
        #expect(both.held(.cds) == ["xdstp://far/t/c@2"])
        #expect(wild.held(.cds) == [])
        #expect([both, wild, named].allSatisfy { $0.faults.isEmpty })
    }

    @Test(
        "NAME-07 who stops asking a far upstream and asks again is given what is there then", arguments: Combination.all
    )
    func comesBack(_ c: Combination) {
        let h = Self.relay(c.up)
        let client = h.connect(c.down)
        client.subscribe(.eds, [Self.plain, Self.far])
        h.advance(.milliseconds(50))
        client.subscribe(.eds, [Self.plain])
        h.settle()
        h.advance(.seconds(3))
        #expect(h.servers["k/far"]?.names(.eds) == [])
        #expect(h.groups["k"]?.openStreams == 1)
        h.servers["k/far"]?.set(.eds, [Self.far: .named(24)])
        h.settle()
        let other = h.connect(c.down)
        other.subscribe(.eds, [Self.far])
        h.settle()
        // Nothing that this worker had heard of it before.
        #expect(other.held[.eds]?.newest[Self.far] == nil || other.held[.eds]?.newest[Self.far] == 24)
        client.subscribe(.eds, [Self.plain, Self.far])
        h.advance(.milliseconds(50))
        #expect(client.held(.eds) == ["a@1", "\(Self.far)@24"])
        #expect(other.held(.eds) == ["\(Self.far)@24"])
        #expect(client.faults == [] && other.faults == [])
    }

    @Test("NAME-07 AGG-07 a worker that asks another upstream only does not take the wildcard of others for empty")
    func wildcardOfOthers() {
        let h = Self.relay(.delta)
        h.server.set(.cds, ["c": .wild(1)])
        let other = h.connect(.delta, shard: 1)
        other.subscribe(.cds, wildcard: true)
        let name = Self.far.replacing("endpoint.v3.ClusterLoadAssignment", with: "cluster.v3.Cluster")
        let client = h.connect(.sotw, shard: 0)
        client.subscribe(.cds, [name])
        h.advance(.milliseconds(50))
        #expect(other.held(.cds) == ["c@1"])
        let late = h.connect(.sotw, shard: 0)
        late.subscribe(.cds, wildcard: true)
        h.settle()
        #expect(late.held(.cds) == ["c@1"])
        #expect(late.held[.cds]?.responses == 1, "there was an answer without what is there")
    }

    @Test("NAME-07 a group that is over is over at all its upstreams")
    func end() {
        let h = Self.relay(.delta)
        let client = h.connect(.delta)
        client.subscribe(.eds, [Self.near, Self.far])
        h.advance(.milliseconds(50))
        h.disconnect(client)
        #expect(h.groups["k"] != nil)
        h.advance(.seconds(3))
        #expect(h.groups.isEmpty)
        #expect(h.servers["k/near"]?.names(.eds) == [])
        #expect(h.servers["k/far"]?.names(.eds) == [])
    }
}
