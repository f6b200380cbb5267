import Testing
import WeirBase
import WeirXDS

@testable import WeirEngine

/// Clients that come back together, and say what they hold.
@Suite struct ResumeTests {
    private let names = (0..<40).map { "n\($0)" }

    /// A group with these names, of which some changed; who comes back holds version 1 of all.
    private func world(changed: [String]) -> (ShardHarness, held: [String: String]) {
        let h = ShardHarness()
        let stays = h.open(.delta)
        stays.delta(.eds, add: self.names)
        h.publish("n", .eds, lane: .named, self.names.map { "\($0)@1" })
        h.publish("n", .eds, lane: .named, changed.map { "\($0)@2" })
        while !stays.takeAndAck().isEmpty {}
        return (h, Dictionary(uniqueKeysWithValues: self.names.map { ($0, "1") }))
    }

    @Test("DELTA-12 clients that come back with the same share one answer, in whatever order they say it")
    func shared() {
        let (h, held) = self.world(changed: ["n3", "n7"])
        let before = h.bodies.count
        for backwards in [false, true, false] {
            let back = h.open(.delta)
            back.delta(.eds, add: self.names, held: held, heldBackwards: backwards)
            #expect(back.takeAndAck().map { $0.resources.sorted() } == [["n3@2", "n7@2"]])
        }
        #expect(h.bodies.count == before + 1)
        // Nor is it forgotten too late.
        h.publish("n", .eds, lane: .named, ["n9@2"])
        let late = h.open(.delta)
        late.delta(.eds, add: self.names, held: held)
        #expect(late.takeAndAck().map { $0.resources.sorted() } == [["n3@2", "n7@2", "n9@2"]])
    }

    @Test("DELTA-12 clients that hold other versions, other names or less do not share")
    func apart() {
        let (h, held) = self.world(changed: ["n3", "n7"])
        let cases: [(held: [String: String], answer: [String])] = [
            (held, ["n3@2", "n7@2"]),
            (held.merging(["n3": "2"]) { $1 }, ["n7@2"]),
            (held.merging(["n7": "2"]) { $1 }, ["n3@2"]),
            (held.merging(["n3": "2", "n7": "2"]) { $1 }, []),
            (held.merging(["n3": "2", "n4": "2"]) { $1 }, ["n4@1", "n7@2"]),
            (held.filter { $0.key != "n0" }, ["n0@1", "n3@2", "n7@2"]),
            (held.filter { $0.key != "n1" }, ["n1@1", "n3@2", "n7@2"]),
        ]
        for _ in 0..<2 {
            for each in cases {
                let back = h.open(.delta)
                back.delta(.eds, add: self.names, held: each.held)
                #expect(back.takeAndAck().flatMap(\.resources).sorted() == each.answer)
            }
        }
    }

    @Test("DELTA-05 what a client that came back gave up and asked for again is sent, whatever others were sent")
    func askedAgain() {
        let (h, held) = self.world(changed: [])
        for _ in 0..<2 {
            let back = h.open(.delta)
            back.delta(.eds, add: self.names, held: held)
            back.delta(.eds, remove: ["n1"])
            back.delta(.eds, add: ["n1"])
            #expect(back.takeAndAck().flatMap(\.resources) == ["n1@1"])
        }
    }

    @Test("AGG-02 an answer of one group is never given to a client of another that takes its place in memory")
    func otherGroup() {
        let h = ShardHarness()
        for round in 0..<100 {
            let client = h.open(.delta)
            client.delta(.eds, add: self.names, held: ["n0": "0"], node: "group\(round)")
            h.publish("group\(round)", .eds, lane: .named, self.names.map { "\($0)@\(round)" })
            client.takeAndAck()
            let back = h.open(.delta)
            back.delta(.eds, add: self.names, held: ["n0": "0"], node: "group\(round)")
            let versions = Set(back.takeAndAck().flatMap(\.resources).map { $0.split(separator: "@")[1] })
            #expect(versions == ["\(round)"])
            for each in [client, back] { _ = h.shard.close(each.id) }
            h.settle()
        }
    }
}
