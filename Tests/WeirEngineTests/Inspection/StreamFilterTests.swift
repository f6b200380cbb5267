import Testing
import WeirBase
import WeirXDS

@testable import WeirEngine

/// Which streams a list of them has, and what is told of one.
@Suite struct StreamFilterTests {
    /// Four streams of three nodes: one that has acknowledged clusters, one that has rejected them, one of the same node that
    /// waits for endpoints, and one that has said nothing yet.
    private func shard() -> ShardHarness {
        let h = ShardHarness()
        let clients = [h.open(.sotw), h.open(.sotw), h.open(.delta), h.open(.delta)]
        clients[0].request(.cds, node: "a")
        clients[1].request(.cds, node: "b")
        clients[2].delta(.eds, add: ["e"], node: "b")
        for key in ["a", "b"] { h.publish(key, .cds, ["c@1"]) }
        clients[0].takeAndAck()
        for response in clients[1].take() { clients[1].request(.cds, nonce: response.nonce, error: "no") }
        h.settle()
        return h
    }

    private func listed(_ h: ShardHarness, _ change: (inout StreamFilter) -> Void) -> [Int] {
        var filter = StreamFilter()
        change(&filter)
        let walk = StreamWalk(filter, from: 0, limit: 10, budget: 1 << 20)
        while walk.advance(h.shard, slots: 1) {}
        #expect(walk.matched == walk.streams.count)
        return walk.streams.map(\.slot)
    }

    @Test("streams are found by key, node, type, state, and by all that is asked for together")
    func filters() {
        let h = self.shard()
        let (cds, eds) = (XDSType.cds.typeURL, XDSType.eds.typeURL)
        #expect(self.listed(h) { _ in } == [0, 1, 2, 3])
        #expect(self.listed(h) { $0.key = "b" } == [1, 2])
        #expect(self.listed(h) { $0.key = "nobody's" } == [])
        #expect(self.listed(h) { $0.node = { $0.id == "a" } } == [0])
        #expect(self.listed(h) { $0.typeURL = cds } == [0, 1])
        #expect(self.listed(h) { $0.state = .acked } == [0])
        #expect(self.listed(h) { $0.state = .nacked } == [1])
        #expect(self.listed(h) { $0.state = .waiting } == [2])
        #expect(
            self.listed(h) {
                $0.typeURL = eds
                $0.state = .nacked
            } == [])
        #expect(
            self.listed(h) {
                $0.node = { $0.id == "b" }
                $0.typeURL = eds
            } == [2])
    }

    @Test("a stream that has left its only type still belongs to its key, and to no type")
    func without() {
        let h = self.shard()
        let client = h.open(.delta)
        client.delta(.eds, add: ["e"], node: "a")
        client.delta(.eds, remove: ["e"])
        h.settle()
        #expect(self.listed(h) { $0.key = "a" } == [0, 4])
    }

    @Test("what is told of a stream: its node, key, peer, service and types, and nothing of one that is gone")
    func facts() throws {
        let h = ShardHarness()
        let client = h.open(.delta)
        let early = try #require(h.shard.facts(of: client.id))
        #expect(early.nodeID.isEmpty && early.key.isEmpty && early.types.isEmpty)
        client.delta(.cds, add: ["*"], node: "a")
        client.delta(.eds, add: ["e"])
        h.settle()
        let facts = try #require(h.shard.facts(of: client.id))
        #expect(facts.nodeID == "a" && facts.key == "a" && facts.peer == "127.0.0.1:1" && facts.variant == .delta)
        #expect(Set(facts.types) == [.cds, .eds])
        #expect(h.shard.identity(of: client.id) == ("a", "a"))
        h.shard.close(client.id)
        #expect(h.shard.facts(of: client.id) == nil && h.shard.identity(of: client.id) == ("", ""))
    }
}
