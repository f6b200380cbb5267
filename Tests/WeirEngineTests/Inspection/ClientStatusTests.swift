import Testing
import WeirBase
import WeirXDS

@testable import WeirEngine

extension ShardHarness {
    /// A walk to its end, in pieces of `slots`.
    fileprivate func walk(
        slots: Int = 100, budget: Int = 1 << 20, contents: Bool = false,
        matches: @escaping @Sendable (NodeIdentity) -> Bool = { _ in true }
    ) -> DeliveryWalk {
        self.settle()
        var walk = DeliveryWalk(budget: budget, countsContents: contents, matches: matches)
        while walk.next != nil { self.shard.advance(&walk, slots: slots, resources: 1000) }
        return walk
    }

    /// `a accepted` of every resource of the only stream.
    fileprivate func states() -> [String] {
        self.walk().streams.flatMap(\.types).flatMap(\.resources).map { "\($0.name) \($0.state)" }.sorted()
    }
}

@Suite struct ClientStatusTests {
    @Test(
        "SVC-01 a resource is not sent, sent, accepted, rejected, in both variants", arguments: ProtocolVariant.allCases
    )
    func states(_ variant: ProtocolVariant) {
        let h = ShardHarness()
        let c = h.open(variant)
        func answer(_ nonce: String, _ version: String, error: String? = nil) {
            switch variant {
            case .sotw: c.request(.eds, ["a"], version: version, nonce: nonce, error: error)
            case .delta: c.delta(.eds, nonce: nonce, error: error)
            }
        }
        switch variant {
        case .sotw: c.request(.eds, ["a"])
        case .delta: c.delta(.eds, add: ["a"])
        }
        #expect(h.states() == ["a notSent"])
        h.publish("n", .eds, lane: .named, ["a@1"], version: "1", passes: true)
        #expect(h.states() == ["a sent"])
        answer("w0000001", "1")
        #expect(h.states() == ["a accepted"])
        h.publish("n", .eds, lane: .named, ["a@2"], version: "2", passes: true)
        #expect(h.states() == ["a sent"])
        answer("w0000002", "1", error: "no")
        #expect(h.states() == ["a rejected"])
        #expect(h.walk().streams[0].types[0].rejection?.message == "no")
        h.publish("n", .eds, lane: .named, ["a@3"], version: "3", passes: true)
        answer("w0000003", "3")
        #expect(h.states() == ["a accepted"])
        #expect(h.walk().streams[0].types[0].rejection == nil)
    }

    @Test("SVC-01 in delta each resource has its own state, in a full set of SotW all share one")
    func apart() {
        let h = ShardHarness()
        let c = h.open(.delta)
        c.delta(.cds)
        h.publish("n", .cds, ["a@1", "b@1"])
        c.takeAndAck()
        h.publish("n", .cds, ["b@2"])
        #expect(h.states() == ["a accepted", "b sent"])
        // What waits for the answer to that is not sent.
        h.publish("n", .cds, ["a@3"])
        #expect(h.states() == ["a notSent", "b sent"])

        let whole = ShardHarness()
        let s = whole.open(.sotw)
        s.request(.cds)
        whole.publish("n", .cds, ["a@1", "b@1"], version: "1", passes: true)
        s.takeAndAck()
        #expect(whole.states() == ["a accepted", "b accepted"])
        whole.publish("n", .cds, ["b@2"], version: "2", passes: true)
        #expect(whole.states() == ["a sent", "b sent"])
    }

    @Test("SVC-01 what is subscribed to anew is not taken for accepted before it is")
    func subscribedAnew() {
        let h = ShardHarness()
        let c = h.open(.delta)
        c.delta(.eds, add: ["a", "b"])
        h.publish("n", .eds, lane: .named, ["a@1", "b@1"])
        c.takeAndAck()
        c.delta(.eds, remove: ["b"])
        #expect(h.states() == ["a accepted"])
        c.delta(.eds, add: ["b"])
        #expect(h.states().contains("b sent"))
        c.takeAndAck()
        #expect(h.states() == ["a accepted", "b accepted"])
    }

    @Test("SVC-01 a rejected removal shows at what is left")
    func rejectedRemoval() {
        let h = ShardHarness()
        let c = h.open(.delta)
        c.delta(.cds)
        h.publish("n", .cds, ["a@1", "b@1"])
        c.takeAndAck()
        h.publish("n", .cds, ["-b"])
        c.delta(.cds, nonce: c.take().last?.nonce, error: "no")
        #expect(h.states() == ["a rejected"])
    }

    @Test("SVC-03 a walk looks only at whom it asks for, in pieces, and at those who have said who they are")
    func pieces() {
        let h = ShardHarness()
        for number in 0..<10 {
            let c = h.open(.delta)
            c.delta(.cds, node: "n\(number)")
        }
        _ = h.open(.delta)
        #expect(h.walk(slots: 3).streams.map(\.node.id) == (0..<10).map { "n\($0)" })
        #expect(h.walk(slots: 1) { $0.id == "n7" }.streams.map(\.node.id) == ["n7"])
    }

    @Test("SVC-04 a walk ends where the answer has become too large; contents count only if they are asked for")
    func budget() {
        let h = ShardHarness()
        let c = h.open(.delta)
        c.delta(.cds)
        h.publish("n", .cds, (0..<100).map { "c\($0)@1" })
        c.takeAndAck()
        let small = h.walk(budget: 1000)
        #expect(small.budget < 0 && small.next == nil)
        #expect(small.streams.flatMap(\.types).flatMap(\.resources).count < 20)
        #expect(h.walk(budget: 11_000).budget > 0)
        #expect(h.walk(budget: 11_000, contents: true).budget < 0)
    }
}
