import Testing
import WeirBase
import WeirXDS

@testable import WeirEngine

@Suite struct ShardOrderTests {
    @Test("ORD-05 endpoints are sent again after a changed cluster", arguments: ProtocolVariant.allCases)
    func repush(_ variant: ProtocolVariant) {
        let h = ShardHarness()
        let c = h.open(variant)
        if variant == .sotw { c.request(.cds) } else { c.delta(.cds) }
        h.publish("n", .cds, ["c@1", "d@1"], eds: true)
        c.takeAndAck()
        if variant == .sotw { c.request(.eds, ["c", "d"]) } else { c.delta(.eds, add: ["c", "d"]) }
        h.publish("n", .eds, lane: .named, ["c@1", "d@1"])
        let eds = c.take()
        if variant == .sotw {
            c.request(.eds, ["c", "d"], version: eds[0].version, nonce: eds[0].nonce)
        } else {
            c.delta(.eds, nonce: eds[0].nonce)
        }
        #expect(c.take().isEmpty)
        h.publish("n", .cds, ["c@2"], eds: true)
        let pushed = c.take()
        #expect(pushed.map(\.label) == ["cds", "eds"])
        #expect(pushed[1].resources == (variant == .sotw ? ["c"] : ["c@1"]))
    }

    @Test("ORD-05 endpoints asked for before the clusters are sent again after them")
    func endpointsFirst() {
        let h = ShardHarness()
        let first = h.open(.delta)
        first.delta(.cds)
        first.delta(.eds, add: ["c"])
        h.publish("n", .cds, ["c@1"], eds: true)
        h.publish("n", .eds, lane: .named, ["c@1"])
        first.takeAndAck()
        let c = h.open(.delta)
        c.delta(.eds, add: ["c"])
        #expect(c.takeAndAck().map(\.label) == ["eds"])
        c.delta(.cds)
        #expect(c.takeAndAck().map(\.label) == ["cds", "eds"])
    }

    @Test("ORD-01 answers due in one round go out clusters first")
    func pushOrder() {
        let h = ShardHarness()
        let warm = h.open(.delta)
        for type in [XDSType.lds, .cds] { warm.delta(type) }
        for type in [XDSType.rds, .eds] { warm.delta(type, add: ["r"]) }
        h.settle()
        for type in [XDSType.lds, .cds] { h.publish("n", type, ["r@1"]) }
        for type in [XDSType.rds, .eds] { h.publish("n", type, lane: .named, ["r@1"]) }
        warm.takeAndAck()
        let c = h.open(.delta)
        for type in [XDSType.rds, .eds] { c.delta(type, add: ["r"]) }
        for type in [XDSType.lds, .cds] { c.delta(type) }
        #expect(c.take().map(\.label) == ["cds", "eds", "lds", "rds"])
    }

    @Test("ORD-02 a route never overtakes the cluster that was pushed before it")
    func noOvertaking() {
        let h = ShardHarness()
        let c = h.open(.delta)
        c.delta(.cds)
        c.delta(.rds, add: ["r"])
        h.settle()
        h.publish("n", .cds, ["x@1"])
        h.publish("n", .rds, lane: .named, ["r@1"])
        let first = c.take()
        #expect(first.map(\.label) == ["cds", "rds"])
        c.delta(.rds, nonce: first[1].nonce)  // CDS stays unanswered
        h.publish("n", .cds, ["y@1"])
        #expect(c.take().isEmpty)
        h.publish("n", .rds, lane: .named, ["r@2"])
        #expect(c.take().map { $0.label + $0.resources.joined() } == ["cdsy@1", "rdsr@2"])
    }

    @Test("WIRE-14 nothing is handed to a stream whose bytes are stuck; when they leave it gets the newest state")
    func stuck() {
        let h = ShardHarness()
        let slow = h.open(.delta)
        let fast = h.open(.delta)
        for client in [slow, fast] { client.delta(.cds) }
        h.settle()
        h.publish("n", .cds, ["a@1"])
        slow.takeAndAck()
        fast.takeAndAck()
        h.settle(blocking: [slow.handle])
        h.shard.update(
            group: "n",
            TypeUpdate(
                typeURL: XDSType.cds.typeURL, generation: 2, isFull: false,
                changes: [
                    ResourceChange(
                        lane: .wildcard, name: "a", presence: .present(ShardHarness.resource(.cds, "a", "2", "2")))
                ], wildcardKnown: true, version: "v", passesVersionToSotW: false, receivedAt: Instant(rawValue: 0),
                receivedAtWall: WallTime(rawValue: 0)))
        h.settle(blocking: [slow.handle])
        h.advance(.seconds(60))
        #expect(fast.takeAndAck().map(\.resources) == [["a@2"]])
        #expect(slow.take().map(\.resources) == [["a@2"]])
    }
}
