import Testing
import WeirBase
import WeirXDS

@testable import WeirEngine

@Suite struct ShardDeltaTests {
    @Test("DELTA-01 an empty wildcard set is answered once it is known to be empty")
    func emptySet() {
        let h = ShardHarness()
        let c = h.open(.delta)
        c.delta(.lds)
        #expect(c.take().isEmpty)
        h.publish("n", .lds, [])
        let answer = c.takeAndAck()
        #expect(answer.count == 1 && answer[0].resources.isEmpty && answer[0].removed.isEmpty)
        #expect(c.take().isEmpty)
        let late = h.open(.delta)
        late.delta(.lds)
        #expect(late.take().count == 1)
    }

    @Test("DELTA-02 DELTA-03 DELTA-04 names add to the legacy wildcard, which ends by unsubscribing *")
    func wildcard() {
        let h = ShardHarness()
        let c = h.open(.delta)
        c.delta(.cds)
        h.publish("n", .cds, ["a@1"])
        #expect(c.takeAndAck().map(\.resources) == [["a@1"]])
        c.delta(.cds, add: ["x"])
        h.publish("n", .cds, lane: .named, ["x@1"], wildcardKnown: true)
        #expect(c.takeAndAck().map(\.resources) == [["x@1"]])
        h.publish("n", .cds, ["a@2"])
        #expect(c.takeAndAck().map(\.resources) == [["a@2"]])
        c.delta(.cds, remove: ["*"])
        h.publish("n", .cds, ["a@3"])
        #expect(c.take().isEmpty)
        c.delta(.cds, remove: ["x"])
        h.publish("n", .cds, lane: .named, ["x@2"], wildcardKnown: true)
        #expect(c.take().isEmpty)
    }

    @Test("DELTA-05 a name subscribed again is sent again")
    func resubscribe() {
        let h = ShardHarness()
        let c = h.open(.delta)
        c.delta(.eds, add: ["A"])
        h.publish("n", .eds, lane: .named, ["A@1"])
        #expect(c.takeAndAck().map(\.resources) == [["A@1"]])
        c.delta(.eds, add: ["A"])
        #expect(c.takeAndAck().map(\.resources) == [["A@1"]])
        #expect(c.take().isEmpty)
        c.delta(.cds, add: ["*"])
        h.publish("n", .cds, ["x@1"])
        #expect(c.takeAndAck().map(\.resources) == [["x@1"]])
        c.delta(.cds, add: ["*"])
        #expect(c.takeAndAck().map(\.resources) == [["x@1"]])
    }

    @Test("DELTA-06 DELTA-07 unsubscribing a name is answered under a wildcard only")
    func unsubscribe() {
        let h = ShardHarness()
        let c = h.open(.delta)
        c.delta(.cds)
        h.publish("n", .cds, ["a@1"])
        c.takeAndAck()
        c.delta(.cds, add: ["x"])
        h.publish("n", .cds, lane: .named, ["x@1"], wildcardKnown: true)
        c.takeAndAck()
        c.delta(.cds, remove: ["x"])
        #expect(c.takeAndAck().map(\.removed) == [["x"]])
        c.delta(.cds, add: ["a"])
        #expect(c.takeAndAck().map(\.resources) == [["a@1"]])
        c.delta(.cds, remove: ["a"])
        #expect(c.takeAndAck().map(\.resources) == [["a@1"]])
        c.delta(.cds, remove: ["never-seen"])
        #expect(c.take().isEmpty)
    }

    @Test("DELTA-08 AGG-18 a missing name is reported, stays subscribed, and is known to late joiners")
    func missing() {
        let h = ShardHarness()
        let c = h.open(.delta)
        c.delta(.eds, add: ["a", "zz"])
        h.publish("n", .eds, lane: .named, ["a@1"])
        #expect(c.takeAndAck().map(\.resources) == [["a@1"]])
        h.publish("n", .eds, lane: .named, ["-zz"])
        #expect(c.takeAndAck().map(\.removed) == [["zz"]])
        let late = h.open(.delta)
        late.delta(.eds, add: ["zz"])
        #expect(late.takeAndAck().map(\.removed) == [["zz"]])
        h.publish("n", .eds, lane: .named, ["zz@1"])
        #expect(c.takeAndAck().map(\.resources) == [["zz@1"]])
        #expect(late.takeAndAck().map(\.resources) == [["zz@1"]])
    }

    @Test("DELTA-09 DELTA-10 subscriptions count whatever the nonce, also in a NACK")
    func staleAndRejected() {
        let h = ShardHarness()
        let c = h.open(.delta)
        c.delta(.eds, add: ["a"])
        h.publish("n", .eds, lane: .named, ["a@1", "b@1", "c@1"])
        let first = c.take()
        c.delta(.eds, add: ["c"])
        let second = c.take()
        #expect(second.map(\.resources) == [["c@1"]])
        c.delta(.eds, add: ["b"], nonce: first[0].nonce)
        #expect(c.take().map(\.resources) == [["b@1"]])
        c.delta(.eds, remove: ["a"], nonce: second[0].nonce, error: "no")
        h.publish("n", .eds, lane: .named, ["a@2"])
        #expect(c.take().isEmpty)
    }

    @Test("DELTA-12 DELTA-13 what a reconnecting client holds is not sent, what is gone is reported")
    func resume() {
        let h = ShardHarness()
        let c1 = h.open(.delta)
        c1.delta(.cds)
        h.publish("n", .cds, ["a@1", "b@2", "d@1"])
        c1.takeAndAck()
        let c2 = h.open(.delta)
        c2.delta(.cds, held: ["a": "1", "b": "1", "c": "1"])
        let answer = c2.takeAndAck()
        #expect(answer.map { $0.resources.sorted() } == [["b@2", "d@1"]])
        #expect(answer.map(\.removed) == [["c"]])
        let c3 = h.open(.delta)
        c3.delta(.cds, held: ["a": "1", "b": "2", "d": "1"])
        #expect(c3.take().isEmpty)
        let c4 = h.open(.delta)
        c4.delta(.eds, add: ["a"], held: ["a": "1", "b": "1"])
        h.publish("n", .eds, lane: .named, ["a@1", "b@2"])
        #expect(c4.take().isEmpty)
    }

    @Test(
        "DELTA-12 DELTA-05 names are spared to clients that come back only where they are trusted, and never to others")
    func explicitNames() {
        for trusts in [true, false] {
            let h = ShardHarness { $0.trustsVersionsOfNames = trusts }
            let first = h.open(.delta)
            first.delta(.eds, add: ["a", "b", "gone"])
            h.publish("n", .eds, lane: .named, ["a@1", "b@2", "-gone"])
            first.takeAndAck()
            let back = h.open(.delta)
            back.delta(.eds, add: ["a", "b", "gone"], held: ["a": "1", "b": "1", "gone": "1"])
            let answers = back.takeAndAck()
            #expect(answers.map { $0.resources.sorted() } == (trusts ? [["b@2"]] : [["a@1", "b@2"]]))
            #expect(answers.map(\.removed) == [["gone"]])
            // On a living stream there is nothing to trust.
            back.delta(.eds, add: ["a"], held: ["a": "1"])
            #expect(back.takeAndAck().map(\.resources) == [["a@1"]])
            // Nor does it matter to what comes by a wildcard.
            let wild = h.open(.delta)
            wild.delta(.cds, add: ["*"], held: ["c": "1"])
            h.publish("n", .cds, ["c@1"])
            #expect(wild.takeAndAck().flatMap(\.resources) == [])
        }
    }

    @Test("DELTA-12 what a client says it holds counts in its first request only")
    func resumeOnce() {
        let h = ShardHarness()
        let c = h.open(.delta)
        c.delta(.cds, add: ["a"])
        h.publish("n", .cds, lane: .named, ["a@1", "b@1"])
        c.takeAndAck()
        c.delta(.cds, add: ["b"], held: ["b": "1", "gone": "1"])
        let answer = c.takeAndAck()
        #expect(answer.map(\.resources) == [["b@1"]] && answer.map(\.removed) == [[]])
    }

    @Test("DELTA-17 each response has its own answer, in any order, and none holds up another type")
    func answers() {
        let h = ShardHarness()
        let c = h.open(.delta)
        func state() -> TypeStatus.State? {
            h.shard.streamStatuses(from: 0, limit: 1).streams[0].types.first { $0.type == .eds }?.state
        }
        c.delta(.eds, add: ["a"])
        h.publish("n", .eds, lane: .named, ["a@1", "b@1", "c@1", "d@1"])
        var nonces = c.take().map(\.nonce)
        for name in ["b", "c", "d"] {
            c.delta(.eds, add: [name])
            nonces += c.take().map(\.nonce)
        }
        #expect(nonces.count == 4)
        c.delta(.cds)
        h.publish("n", .cds, ["x@1"])
        #expect(c.take().map(\.resources) == [["x@1"]])
        c.delta(.eds, nonce: nonces[3])
        #expect(h.shard.counters[.eds]?.acks == 1)
        c.delta(.eds, nonce: nonces[1], error: "no")
        #expect(state() == .nacked)
        c.delta(.eds, nonce: nonces[2])
        // The same again answers nothing any more.
        c.delta(.eds, nonce: nonces[2])
        #expect(h.shard.counters[.eds]?.acks == 2 && h.shard.counters[.eds]?.nacks == 1)
        #expect(c.take().isEmpty)
        c.delta(.eds, nonce: nonces[0])
        #expect(h.shard.counters[.eds]?.acks == 3)
        h.publish("n", .eds, lane: .named, ["b@2"])
        #expect(c.takeAndAck().map(\.resources) == [["b@2"]])
        #expect(state() == .acked)
    }

    @Test("AGG-09 a client that resumes before the origin has spoken is sent only the difference")
    func resumeWhileCold() {
        let h = ShardHarness()
        let c = h.open(.delta)
        c.delta(.cds, held: ["a": "1", "b": "1", "c": "1"])
        #expect(c.take().isEmpty)
        h.publish("n", .cds, ["a@1", "b@2"])
        let answer = c.takeAndAck()
        #expect(answer.map(\.resources) == [["b@2"]])
        #expect(answer.map(\.removed) == [["c"]])
        h.publish("n", .cds, ["a@2"])
        #expect(c.takeAndAck().map(\.resources) == [["a@2"]])
    }

    @Test("DELTA-19 * subscribed and unsubscribed at once is no wildcard")
    func neither() {
        let h = ShardHarness()
        let c = h.open(.delta)
        c.delta(.cds, add: ["*"], remove: ["*"])
        #expect(h.takeInterest(.cds).isEmpty)
        c.delta(.cds, add: ["x"])
        #expect(h.takeInterest(.cds) == ["+x"])
        h.publish("n", .cds, lane: .named, ["x@1"])
        #expect(c.take().map(\.resources) == [["x@1"]])
    }

    @Test("DELTA-16 AGG-05 a client gets what changed for it and nothing else")
    func subset() {
        let h = ShardHarness()
        let c1 = h.open(.delta)
        let c2 = h.open(.delta)
        c1.delta(.eds, add: ["a", "b"])
        c2.delta(.eds, add: ["b", "c"])
        #expect(h.takeInterest(.eds) == ["+a", "+b", "+c"])
        h.publish("n", .eds, lane: .named, ["a@1", "b@1", "c@1"])
        c1.takeAndAck()
        c2.takeAndAck()
        h.publish("n", .eds, lane: .named, ["c@2"])
        #expect(c1.take().isEmpty)
        #expect(c2.takeAndAck().map(\.resources) == [["c@2"]])
        h.shard.close(c2.id)
        #expect(h.takeInterest(.eds) == ["-c"])
    }

    @Test("DELTA-21 WIRE-06 a large answer is split below the limit, each part with its own nonce")
    func splitting() {
        let h = ShardHarness { $0.maxResponseBytes = 400 }
        let c = h.open(.delta)
        c.delta(.cds)
        h.publish("n", .cds, (0..<20).map { "cluster-\($0)@1" })
        let answers = c.takeAndAck()
        #expect(answers.count > 3)
        #expect(Set(answers.flatMap(\.resources)).count == 20)
        #expect(Set(answers.map(\.nonce)).count == answers.count)
        h.publish("n", .cds, ["cluster-3@2"])
        #expect(c.takeAndAck().map(\.resources) == [["cluster-3@2"]])
    }

    @Test("AGG-17 what one client fetched by name is not in another's wildcard")
    func lanes() {
        let h = ShardHarness()
        let wild = h.open(.delta)
        let named = h.open(.delta)
        wild.delta(.cds)
        named.delta(.cds, add: ["x"])
        h.publish("n", .cds, ["a@1"])
        h.publish("n", .cds, lane: .named, ["x@1"], wildcardKnown: true)
        #expect(wild.takeAndAck().map(\.resources) == [["a@1"]])
        #expect(named.takeAndAck().map(\.resources) == [["x@1"]])
        #expect(wild.take().isEmpty)
    }

    @Test("a change is encoded once for all streams that share a subscription")
    func oneEncoding() {
        let h = ShardHarness()
        let clients = (0..<50).map { _ in h.open(.delta) }
        for client in clients { client.delta(.eds, add: ["a", "b"]) }
        h.publish("n", .eds, lane: .named, ["a@1", "b@1"])
        for client in clients { client.takeAndAck() }
        h.settle()
        let before = h.bodies.count
        h.publish("n", .eds, lane: .named, ["b@2"])
        #expect(h.bodies.count == before + 1)
        for client in clients { #expect(client.takeAndAck().map(\.resources) == [["b@2"]]) }
        for client in clients { h.shard.close(client.id) }
        h.settle()
        #expect(h.shard.groupKeys.isEmpty)
        #expect(h.shard.typeStreams.count == h.shard.freeTypeStreams.count)
    }
}
