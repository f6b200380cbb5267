import Testing
import WeirBase
import WeirXDS

@testable import WeirEngine

/// The four combinations of upstream and downstream variant.
struct Combination: CustomTestStringConvertible, Sendable {
    var up: ProtocolVariant
    var down: ProtocolVariant

    var testDescription: String { "\(self.up) upstream, \(self.down) downstream" }

    static let all = ProtocolVariant.allCases.flatMap { up in
        ProtocolVariant.allCases.map { Combination(up: up, down: $0) }
    }
}

extension ReferenceServer.Entry {
    static func wild(_ version: Int) -> Self { Self(version: version, inWildcard: true) }
    static func named(_ version: Int) -> Self { Self(version: version, inWildcard: false) }
}

@Suite struct RelayTests {
    @Test("SOTW-02 SOTW-06 DELTA-02 XLT-01 XLT-02 a wildcard follows the upstream", arguments: Combination.all)
    func wildcard(_ c: Combination) {
        let h = RelayHarness(ReferenceServer(c.up))
        h.server.set(.cds, ["a": .wild(1), "b": .wild(1)])
        let client = h.connect(c.down)
        client.subscribe(.cds, wildcard: true)
        h.settle()
        #expect(client.held(.cds) == ["a@1", "b@1"])
        h.server.set(.cds, ["a": nil, "b": .wild(2), "c": .wild(1)])
        h.settle()
        #expect(client.held(.cds) == ["b@2", "c@1"])
        h.server.set(.cds, ["b": nil, "c": nil])
        h.settle()
        #expect(client.held(.cds) == [])
        #expect(client.faults == [])
    }

    @Test(
        "AGG-07 a wildcard that ended is asked for anew, though its names were followed all the time",
        arguments: Combination.all)
    func wildcardAnew(_ c: Combination) {
        let h = RelayHarness(ReferenceServer(c.up))
        h.server.set(.cds, ["a": .wild(1), "b": .wild(1), "x": .named(1)])
        let stays = h.connect(c.down)
        stays.subscribe(.cds, ["x"])
        let leaves = h.connect(c.down)
        leaves.subscribe(.cds, wildcard: true)
        h.advance(.milliseconds(50))
        h.disconnect(leaves)
        h.advance(.seconds(3))
        let comes = h.connect(c.down)
        comes.subscribe(.cds, wildcard: true)
        h.step()
        h.step()
        #expect(comes.held[.cds]?.responses == 0)
        h.advance(.milliseconds(50))
        #expect(comes.held(.cds) == ["a@1", "b@1"])
        #expect(comes.held[.cds]?.responses == 1)
    }

    @Test("AGG-01 AGG-05 XLT-09 one upstream subscription is the union of names", arguments: Combination.all)
    func union(_ c: Combination) {
        let h = RelayHarness(ReferenceServer(c.up))
        h.server.set(.eds, ["a": .named(1), "b": .named(1), "c": .named(1)])
        let one = h.connect(c.down, shard: 0)
        let two = h.connect(c.down == .sotw ? .delta : .sotw, shard: 1)
        one.subscribe(.eds, ["a", "b"])
        two.subscribe(.eds, ["b", "c"])
        h.advance(.milliseconds(50))
        #expect(h.server.subscription(.eds, lane: .named)?.names == ["a", "b", "c"])
        #expect(one.held(.eds) == ["a@1", "b@1"])
        #expect(two.held(.eds) == ["b@1", "c@1"])
        let before = one.held[.eds]?.responses
        h.server.set(.eds, ["c": .named(2)])
        h.settle()
        #expect(one.held[.eds]?.responses == before)
        #expect(two.held(.eds) == ["b@1", "c@2"])
        #expect(h.groups["k"]?.openStreams == 1)
    }

    @Test("XLT-03 SOTW-07 a removal of another type reaches delta clients only", arguments: Combination.all)
    func removal(_ c: Combination) {
        let h = RelayHarness(ReferenceServer(c.up))
        h.server.set(.eds, ["a": .named(1)])
        let client = h.connect(c.down)
        client.subscribe(.eds, ["a"])
        h.settle()
        let responses = client.held[.eds]?.responses
        h.server.set(.eds, ["a": nil])
        h.settle()
        // SotW has no word for it, upstream or downstream.
        #expect(client.held(.eds) == (c.up == .delta && c.down == .delta ? [] : ["a@1"]))
        if c.down == .sotw { #expect(client.held[.eds]?.responses == responses) }
        h.server.set(.eds, ["a": .named(2)])
        h.settle()
        #expect(client.held(.eds) == ["a@2"])
    }

    @Test(
        "UP-12 DELTA-08 XLT-04 a name that does not exist is reported after 15 s at the latest",
        arguments: Combination.all)
    func missing(_ c: Combination) {
        let h = RelayHarness(ReferenceServer(c.up))
        h.server.set(.eds, ["a": .named(1)])
        let client = h.connect(c.down)
        client.subscribe(.eds, ["a", "zz"])
        h.settle()
        #expect(client.held[.eds]?.missing == (c.up == .delta && c.down == .delta ? ["zz"] : []))
        h.advance(.seconds(16))
        #expect(client.held[.eds]?.missing == (c.down == .delta ? ["zz"] : []))
        h.server.set(.eds, ["zz": .named(1)])
        h.settle()
        #expect(client.held(.eds) == ["a@1", "zz@1"])
    }

    @Test(
        "AGG-08 AGG-09 losing the upstream and identical content afterwards sends nothing", arguments: Combination.all)
    func restart(_ c: Combination) {
        let h = RelayHarness(ReferenceServer(c.up))
        h.server.set(.cds, ["a": .wild(1), "b": .wild(1)])
        h.server.set(.eds, ["a": .named(1)])
        let client = h.connect(c.down)
        client.subscribe(.cds, wildcard: true)
        client.subscribe(.eds, ["a"])
        h.settle()
        h.isServerUp = false
        h.loseUpstream()
        h.advance(.seconds(60))
        let late = h.connect(c.down, shard: 1)
        late.subscribe(.cds, wildcard: true)
        late.subscribe(.eds, ["a"])
        h.settle()
        #expect(late.held(.cds) == ["a@1", "b@1"])
        #expect(late.held(.eds) == ["a@1"])
        let pushed = h.pushed
        h.isServerUp = true
        h.settle()
        h.advance(.seconds(2))
        #expect(h.pushed == pushed)
        h.server.set(.cds, ["b": nil])
        h.settle()
        #expect(client.held(.cds) == ["a@1"])
    }

    @Test("UP-09 AGG-10 another server replaces everything, deletions included", arguments: Combination.all)
    func otherServer(_ c: Combination) {
        let h = RelayHarness(ReferenceServer(c.up))
        h.server.set(.cds, ["a": .wild(1), "b": .wild(1)])
        let client = h.connect(c.down)
        client.subscribe(.cds, wildcard: true)
        h.settle()
        let other = ReferenceServer(c.up, name: "other")
        other.splitsAnswers = true
        other.set(.cds, ["b": .wild(7), "d": .wild(1), "e": .wild(1)])
        h.loseUpstream(replacement: other)
        h.settle()
        h.advance(.seconds(1))
        #expect(client.held(.cds) == ["b@7", "d@1", "e@1"])
        #expect(!other.requests.contains { $0.contains("a@1") })
    }

    @Test("AGG-10 a server that ignores initial versions cannot resurrect deleted resources")
    func ignoredVersions() {
        let h = RelayHarness(ReferenceServer(.delta))
        h.server.set(.cds, ["a": .wild(1), "b": .wild(1), "x": .wild(1)])
        let client = h.connect(.delta)
        client.subscribe(.cds, wildcard: true)
        h.settle()
        h.isServerUp = false
        h.loseUpstream()
        h.server.ignoresInitialVersions = true
        h.server.set(.cds, ["x": nil])
        h.isServerUp = true
        h.settle()
        h.advance(.seconds(1))
        #expect(client.held(.cds) == ["a@1", "b@1"])
    }

    @Test("AGG-17 a wildcard and names of one type are kept apart", arguments: Combination.all)
    func lanes(_ c: Combination) {
        let h = RelayHarness(ReferenceServer(c.up))
        h.server.set(.cds, ["a": .wild(1), "x": .named(1)])
        let wild = h.connect(c.down)
        let named = h.connect(c.down, shard: 1)
        let both = h.connect(c.down)
        wild.subscribe(.cds, wildcard: true)
        h.settle()
        named.subscribe(.cds, ["x"])
        both.subscribe(.cds, wildcard: true, ["x"])
        h.advance(.milliseconds(50))
        #expect(wild.held(.cds) == ["a@1"])
        #expect(named.held(.cds) == ["x@1"])
        #expect(both.held(.cds) == ["a@1", "x@1"])
        #expect(h.groups["k"]?.openStreams == 2)
        h.server.set(.cds, ["x": .named(2)])
        h.settle()
        #expect(wild.held(.cds) == ["a@1"])
        #expect(both.held(.cds) == ["a@1", "x@2"])
    }

    @Test(
        "AGG-07 interest outlives its last subscriber by the linger, then everything goes", arguments: Combination.all)
    func linger(_ c: Combination) {
        let h = RelayHarness(ReferenceServer(c.up))
        h.server.set(.eds, ["a": .named(1)])
        h.server.set(.cds, ["a": .wild(1)])
        let first = h.connect(c.down)
        first.subscribe(.eds, ["a"])
        first.subscribe(.cds, wildcard: true)
        h.settle()
        h.disconnect(first)
        h.advance(.seconds(1))
        let requests = h.server.requests.count
        let second = h.connect(c.down)
        second.subscribe(.eds, ["a"])
        second.subscribe(.cds, wildcard: true)
        h.settle()
        #expect(second.held(.eds) == ["a@1"])
        #expect(h.server.requests.count == requests)
        h.disconnect(second)
        h.advance(.seconds(3))
        #expect(h.groups.isEmpty)
        h.server.set(.eds, ["a": .named(2)])
        let third = h.connect(c.down)
        third.subscribe(.eds, ["a"])
        h.settle()
        #expect(third.held(.eds) == ["a@2"])
    }

    @Test(
        "XLT-05 XLT-06 versions pass through where they can and mean content where they cannot",
        arguments: Combination.all)
    func versions(_ c: Combination) {
        let h = RelayHarness(ReferenceServer(c.up))
        h.server.set(.cds, ["a": .wild(1)])
        let client = h.connect(c.down)
        client.subscribe(.cds, wildcard: true)
        h.settle()
        let first = client.held[.cds]?.version
        if c.up == c.down { #expect(first == "r1") } else if c.down == .sotw { #expect(first != "r1") }
        h.server.set(.cds, ["a": .wild(2)])
        h.settle()
        h.server.set(.cds, ["a": .wild(1)])
        h.settle()
        #expect((client.held[.cds]?.version == first) == (c.up == .delta && c.down == .sotw))
    }

    @Test("AGG-12 a NACK stays between the client and the relay", arguments: Combination.all)
    func rejection(_ c: Combination) {
        let h = RelayHarness(ReferenceServer(c.up))
        h.server.set(.cds, ["a": .wild(1)])
        let good = h.connect(c.down)
        let bad = h.connect(c.down)
        for client in [good, bad] { client.subscribe(.cds, wildcard: true) }
        h.settle()
        bad.rejects = true
        h.server.set(.cds, ["a": .wild(2)])
        h.settle()
        let responses = bad.held[.cds]?.responses
        h.advance(.seconds(30))
        #expect(bad.held[.cds]?.responses == responses)
        #expect(!h.server.requests.contains { $0.contains("NACK") })
        bad.rejects = false
        h.server.set(.cds, ["a": .wild(3)])
        h.settle()
        #expect(good.held(.cds) == ["a@3"])
        #expect(bad.held(.cds) == ["a@3"])
    }
}
