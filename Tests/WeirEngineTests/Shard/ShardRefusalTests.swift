import Testing
import WeirBase
import WeirXDS

@testable import WeirEngine

/// Streams that a worker ends, and those that go on elsewhere.
@Suite struct ShardRefusalTests {
    @Test("WIRE-10 a stream may have so many types, and one more ends it with a reason that names the bound")
    func types() {
        let h = ShardHarness { $0.maxTypesPerStream = 2 }
        let client = h.open(.delta)
        for type in [XDSType.cds, .eds, .lds] { client.delta(type, add: ["a"]) }
        h.settle()
        #expect(h.refusals.map(\.code) == [.resourceExhausted] && h.refusals.map(\.reason) == [.tooManyTypes])
        #expect(h.refusals.first?.message.contains("2 resource types") == true)
        #expect(h.shard.streamCount == 0)
    }

    @Test("a group that its home refuses loses its streams, and no other does")
    func group() {
        let h = ShardHarness()
        let clients = ["a", "b", "a"].map { node in
            let client = h.open(.delta)
            client.delta(.cds, add: ["*"], node: node)
            return client
        }
        h.settle()
        h.shard.groupRefused("a", .unavailable, .noRule, "not now")
        h.shard.groupRefused("nobody's", .unavailable, .noRule, "not now")
        h.settle()
        #expect(h.refusals.map(\.handle).sorted() == [clients[0].handle, clients[2].handle])
        #expect(h.refusals.allSatisfy { $0.message == "not now" && $0.code == .unavailable })
        #expect(h.shard.streamCount == 1 && h.shard.streamsByKey() == ["b": 1])
    }

    @Test(
        "AGG-03 in SotW a type whose names now have another key is served from there, and the old group is nothing to it"
    )
    func move() {
        let h = ShardHarness(scope: .request)
        let client = h.open(.sotw)
        client.request(.cds, ["x"])
        client.request(.eds, ["a"])
        client.request(.lds, ["x"])
        h.publish("n/a", .eds, lane: .named, ["a@1"])
        let first = client.takeAndAck(["a"])
        #expect(first.map(\.resources) == [["a"]])
        client.request(.eds, ["b"], version: first[0].version, nonce: first[0].nonce)
        h.publish("n/b", .eds, lane: .named, ["b@1"])
        let second = client.take()
        #expect(second.map(\.resources) == [["b"]])
        h.publish("n/a", .eds, lane: .named, ["a@2"])
        #expect(client.take().isEmpty)
        // An answer to what the old group sent counts for nothing; the nonces of the two are different ones.
        #expect(first[0].nonce != second.first?.nonce)
        client.request(.eds, ["b"], version: first[0].version, nonce: first[0].nonce)
        #expect(client.take().isEmpty && h.refusals.isEmpty)
        #expect(
            h.shard.streamStatuses(from: 0, limit: 1).streams.first?.types.map(\.key).sorted() == ["n/b", "n/x", "n/x"])
    }
}
