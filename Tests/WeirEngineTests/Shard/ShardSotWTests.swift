import Testing
import WeirBase
import WeirXDS

@testable import WeirEngine

@Suite struct ShardSotWTests {
    @Test("SOTW-02 a type whose requests never named anything is subscribed to the wildcard")
    func legacyWildcard() {
        let h = ShardHarness()
        let c = h.open(.sotw)
        c.request(.cds)
        #expect(h.takeInterest(.cds) == ["+*"])
        h.publish("n", .cds, ["a@1", "b@1"])
        #expect(c.takeAndAck().map(\.resources) == [["a", "b"]])
        h.publish("n", .cds, ["c@1"])
        #expect(c.takeAndAck().map { $0.resources.sorted() } == [["a", "b", "c"]])
        #expect(c.take().isEmpty)
    }

    @Test("SOTW-03 once a name was sent an empty list means nothing")
    func leavingTheWildcard() {
        let h = ShardHarness()
        let c = h.open(.sotw)
        c.request(.cds)
        h.publish("n", .cds, ["x@1"])
        #expect(c.takeAndAck().map(\.resources) == [["x"]])
        c.request(.cds, ["*", "A"], nonce: "w0000001")
        #expect(h.takeInterest(.cds) == ["+*", "+A"])
        h.publish("n", .cds, lane: .named, ["A@1"], wildcardKnown: true)
        #expect(c.takeAndAck(["*", "A"]).map { $0.resources.sorted() } == [["A", "x"]])
        c.request(.cds, ["A"], nonce: "w0000002")
        #expect(h.takeInterest(.cds) == ["-*"])
        #expect(c.take().isEmpty)
        h.publish("n", .cds, lane: .named, ["A@2"], wildcardKnown: true)
        #expect(c.takeAndAck(["A"]).map(\.resources) == [["A"]])
        c.request(.cds, [], nonce: "w0000003")
        #expect(h.takeInterest(.cds) == ["-A"])
        h.publish("n", .cds, ["x@2", "A@3"])
        #expect(c.take().isEmpty)
    }

    @Test("SOTW-05 SOTW-06 every CDS response holds the whole set, deletion is omission")
    func fullSet() {
        let h = ShardHarness()
        let c = h.open(.sotw)
        c.request(.cds, ["a", "b", "c"])
        h.publish("n", .cds, lane: .named, ["a@1", "b@1", "c@1"])
        #expect(c.takeAndAck(["a", "b", "c"]).map(\.resources) == [["a", "b", "c"]])
        h.publish("n", .cds, lane: .named, ["b@2"])
        #expect(c.takeAndAck(["a", "b", "c"]).map(\.resources) == [["a", "b", "c"]])
        h.publish("n", .cds, lane: .named, ["-a", "-b"])
        #expect(c.takeAndAck(["a", "b", "c"]).map(\.resources) == [["c"]])
        h.publish("n", .cds, lane: .named, ["-c"])
        #expect(c.takeAndAck(["a", "b", "c"]).map(\.resources) == [[]])
    }

    @Test("SOTW-07 other types get what changed and never hear of deletion")
    func incremental() {
        let h = ShardHarness()
        let c = h.open(.sotw)
        c.request(.eds, ["a", "b"])
        h.publish("n", .eds, lane: .named, ["a@1", "b@1"])
        #expect(c.takeAndAck(["a", "b"]).map(\.resources) == [["a", "b"]])
        h.publish("n", .eds, lane: .named, ["-a"])
        #expect(c.take().isEmpty)
        h.publish("n", .eds, lane: .named, ["b@2"])
        #expect(c.takeAndAck(["a", "b"]).map(\.resources) == [["b"]])
    }

    @Test("SOTW-09 a name asked for again is delivered again")
    func newlyNamed() {
        let h = ShardHarness()
        let c = h.open(.sotw)
        c.request(.eds, ["A"])
        h.publish("n", .eds, lane: .named, ["A@1", "B@1"])
        #expect(c.takeAndAck(["A"]).map(\.resources) == [["A"]])
        c.request(.eds, [], nonce: "w0000001")
        _ = c.take()
        c.request(.eds, ["A"], nonce: "w0000001")
        #expect(c.take().isEmpty)  // nobody wanted it meanwhile: the view went, and the home is asked again
        h.publish("n", .eds, lane: .named, ["A@1", "B@1"])
        #expect(c.takeAndAck(["A"]).map(\.resources) == [["A"]])
        c.request(.eds, ["A", "B"], nonce: "w0000002")
        #expect(c.takeAndAck(["A", "B"]).map(\.resources) == [["B"]])
    }

    @Test("SOTW-12 a stale nonce is no answer, but its names count")
    func staleNonce() {
        let h = ShardHarness()
        let c = h.open(.sotw)
        c.request(.eds, ["a"])
        h.publish("n", .eds, lane: .named, ["a@1"])
        c.takeAndAck(["a"])
        h.publish("n", .eds, lane: .named, ["a@2", "b@1"])
        let second = c.take()
        #expect(second.map(\.resources) == [["a"]])
        c.request(.eds, ["a", "b"], nonce: "w0000001")
        #expect(c.takeAndAck(["a", "b"]).map(\.resources) == [["b"]])
        c.request(.eds, ["a", "b"], nonce: "w0000001")
        #expect(c.take().isEmpty)
    }

    @Test("SOTW-14 SOTW-15 only error_detail makes a NACK, after which nothing is sent until content changes")
    func nack() {
        let h = ShardHarness()
        let c = h.open(.sotw)
        c.request(.cds)
        h.publish("n", .cds, ["a@1"])
        let first = c.take()
        c.request(.cds, nonce: first[0].nonce, error: "bad")
        c.request(.cds, nonce: first[0].nonce, error: "bad")
        #expect(c.take().isEmpty)
        #expect(h.shard.streamStatuses(from: 0, limit: 10).streams[0].types[0].state == .nacked)
        c.request(.cds, nonce: first[0].nonce)
        #expect(h.shard.streamStatuses(from: 0, limit: 10).streams[0].types[0].state == .nacked)
        h.publish("n", .cds, ["a@2"])
        #expect(c.takeAndAck().count == 1)
        #expect(h.shard.streamStatuses(from: 0, limit: 10).streams[0].types[0].state == .acked)
    }

    @Test("SOTW-18 a leftover version says nothing of what was given up and asked for again before the answer")
    func leftoverVersionOfWhatWasGivenUp() {
        var version = ""
        // The first relay tells the version that the second one is presented.
        for _ in 0..<2 {
            let h = ShardHarness()
            let wildcard = h.open(.sotw)
            wildcard.request(.cds, version: version)
            wildcard.request(.cds, ["b"], version: version)
            wildcard.request(.cds, ["*"], version: version)
            let named = h.open(.sotw)
            named.request(.cds, ["*", "b"], version: version)
            named.request(.cds, ["*"], version: version)
            named.request(.cds, ["*", "b"], version: version)
            h.publish("n", .cds, lane: .named, ["b@1"])
            h.publish("n", .cds, ["a@1"])
            #expect(wildcard.takeAndAck(["*"]).map(\.resources) == [["a"]])
            let told = named.takeAndAck(["*", "b"]) + named.takeAndAck(["*", "b"])
            #expect(told.last.map(\.resources) == ["a", "b"])
            version = told.last?.version ?? ""
        }
    }

    @Test("SOTW-18 SOTW-19 a leftover version is current only when it proves the content")
    func leftoverVersion() {
        let h = ShardHarness()
        let c1 = h.open(.sotw)
        c1.request(.cds)
        h.publish("n", .cds, ["a@1"], version: "7", passes: true)
        c1.takeAndAck()
        let c2 = h.open(.sotw)
        c2.request(.cds, version: "7", nonce: "old")
        #expect(c2.take().isEmpty)
        h.publish("n", .cds, ["a@2"], version: "8", passes: true)
        #expect(c2.takeAndAck().map(\.version) == ["8"])
        let c3 = h.open(.sotw)
        c3.request(.cds, version: "3", nonce: "old")
        #expect(c3.take().count == 1)
        let c4 = h.open(.sotw)
        c4.request(.eds, ["e"])
        h.publish("n", .eds, lane: .named, ["e@1"], version: "7", passes: true)
        c4.takeAndAck(["e"])
        let c5 = h.open(.sotw)
        c5.request(.eds, ["e"], version: "7")
        #expect(c5.take().map(\.resources) == [["e"]])
    }

    @Test("UP-12 SOTW-10 a name that never existed is silence, and is delivered when it appears")
    func neverExisted() {
        let h = ShardHarness()
        let c = h.open(.sotw)
        c.request(.cds, ["r"])
        h.publish("n", .cds, lane: .named, ["-r"])
        #expect(c.take().isEmpty)
        h.publish("n", .cds, lane: .named, ["r@1"])
        #expect(c.take().map(\.resources) == [["r"]])
    }

    @Test("XLT-06 a derived version changes exactly with the content that the client sees")
    func derivedVersions() {
        let h = ShardHarness()
        let c = h.open(.sotw)
        c.request(.eds, ["a"])
        let other = h.open(.sotw)
        other.request(.eds, ["b"])
        h.publish("n", .eds, lane: .named, ["a@1", "b@1"])
        let first = c.takeAndAck(["a"])[0].version
        h.publish("n", .eds, lane: .named, ["b@2"])
        #expect(c.take().isEmpty)
        h.publish("n", .eds, lane: .named, ["a@2"])
        #expect(c.takeAndAck(["a"])[0].version != first)
        h.publish("n", .eds, lane: .named, ["a@1"])
        #expect(c.takeAndAck(["a"])[0].version == first)
    }

    @Test("one response in flight: newer pushes replace each other until the ACK")
    func coalescing() {
        let h = ShardHarness()
        let c = h.open(.sotw)
        c.request(.cds)
        h.publish("n", .cds, ["a@1"])
        let first = c.take()
        h.publish("n", .cds, ["a@2"], version: "2", passes: true)
        h.publish("n", .cds, ["a@3"], version: "3", passes: true)
        #expect(c.take().isEmpty)
        c.request(.cds, version: first[0].version, nonce: first[0].nonce)
        #expect(c.take().map(\.version) == ["3"])
        h.publish("n", .cds, ["a@4"], version: "4", passes: true)
        #expect(c.take().isEmpty)
        h.advance(.seconds(6))
        #expect(c.take().map(\.version) == ["4"])
    }

    @Test("WIRE-10 what is not a request of the protocol ends the stream with INVALID_ARGUMENT")
    func refusals() {
        let h = ShardHarness()
        let malformed = h.open(.sotw)
        h.receive(malformed, [0x0A, 0xFF])
        let nodeless = h.open(.sotw)
        nodeless.request(.cds, node: nil)
        let typeless = h.open(.delta)
        h.receive(typeless, OutgoingDeltaRequest(typeURL: "").encoded)
        let wrong = h.open(.sotw, type: .eds)
        wrong.request(.cds)
        let unmatched = h.open(.sotw)
        unmatched.request(.cds, node: "")
        h.settle()
        #expect(h.refusals.map(\.handle) == [1, 2, 3, 4, 5])
        #expect(h.refusals.allSatisfy { $0.code == .invalidArgument })
        #expect(h.shard.streamCount == 0)
    }

    @Test("a stream of a cold group ends with UNAVAILABLE before any response")
    func cold() {
        let h = ShardHarness()
        let c = h.open(.delta)
        c.delta(.cds)
        h.settle()
        h.advance(.seconds(3))
        #expect(h.refusals.isEmpty)
        h.advance(.seconds(3))
        #expect(h.refusals.map(\.code) == [.unavailable])
        #expect(h.shard.groupKeys.isEmpty)
    }
}
