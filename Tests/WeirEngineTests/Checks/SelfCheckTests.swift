import Testing
import WeirBase
import WeirXDS

@testable import WeirEngine

/// The relay's own client on a worker: served as any other, and seen by nobody.
@Suite struct SelfCheckTests {
    private static let handle = UInt64.max
    private static let place = SelfCheckPlace(key: "n", typeURL: XDSType.cds.typeURL)

    private struct Stage {
        let h = ShardHarness()
        let client: ShardHarness.Client

        init(_ variant: ProtocolVariant, names: [String] = []) {
            self.client = self.h.open(variant)
            if variant == .delta {
                self.client.delta(.cds, add: names)
            } else {
                self.client.request(.cds, names)
            }
            self.h.settle()
            self.h.publish("n", .cds, lane: names.isEmpty ? .wildcard : .named, ["a@1", "b@1"])
            self.client.takeAndAck(names)
            _ = self.h.takeInterest(.cds)
        }

        /// Serves a round; what the self-check client got is accepted in the next one.
        func round() -> Int {
            self.h.shard.flush()
            var taken: [(SharedBody, Nonce)] = []
            for send in self.h.shard.sends where send.handle == SelfCheckTests.handle {
                #expect(self.h.shard.selfCheckTook(SelfCheckTests.place) != nil)
                taken.append((self.h.shard.bodies[Int(send.body)], send.nonce))
            }
            self.h.settle()
            for (body, nonce) in taken {
                let bytes = body.bytes
                let isAccepted = self.h.shard.acceptSelfCheck(
                    SelfCheckTests.place, bytes.span.extracting(5..<bytes.count), nonce: nonce)
                #expect(isAccepted)
            }
            self.h.settle()
            return taken.count
        }
    }

    @Test(
        "it asks what a client asks, in its variant, and shares its encodings",
        arguments: [ProtocolVariant.sotw, .delta])
    func served(_ variant: ProtocolVariant) {
        for names in [[], ["a", "b"]] {
            let stage = Stage(variant, names: names)
            let before = stage.h.shard.counters[.cds]
            #expect(stage.h.shard.selfCheckPlaces == [Self.place])
            #expect(stage.h.shard.openSelfCheck(handle: Self.handle, Self.place))
            #expect(!stage.h.shard.isSelfCheckCurrent)
            #expect(stage.round() == 1)
            #expect(stage.h.shard.isSelfCheckCurrent && stage.h.shard.keepsSelfCheck(Self.place))
            #expect(stage.h.takeInterest(.cds) == [])
            #expect(stage.h.shard.counters[.cds] == before)
            let bodies = stage.h.bodies.count
            stage.h.publish("n", .cds, lane: names.isEmpty ? .wildcard : .named, ["a@2"])
            #expect(stage.client.takeAndAck(names).count == 1)
            #expect(stage.h.bodies.count == bodies + 1)
            #expect(stage.h.shard.isSelfCheckCurrent)
        }
    }

    @Test("no list, count, query or change of rules knows it")
    func unseen() {
        let stage = Stage(.delta)
        #expect(stage.h.shard.openSelfCheck(handle: Self.handle, Self.place))
        _ = stage.round()
        #expect(stage.h.shard.streamStatuses(from: 0, limit: 100).streams.count == 1)
        #expect(stage.h.shard.viewStatuses().map(\.streams) == [1])
        #expect(stage.h.shard.streamCounts().values.reduce(0, +) == 1)
        #expect(stage.h.shard.streamsByKey() == ["n": 1])
        var walk = DeliveryWalk(budget: 1 << 20, countsContents: false) { _ in true }
        stage.h.shard.advance(&walk, slots: 100, resources: 100)
        #expect(walk.streams.count == 1)
        stage.h.key = { _ in "" }
        #expect(stage.h.shard.rekey(from: 0, limit: 100).refused == 1)
        #expect(stage.h.shard.selfCheck != nil)
    }

    @Test("a group that only it is left in is given up")
    func alone() {
        let stage = Stage(.sotw)
        #expect(stage.h.shard.openSelfCheck(handle: Self.handle, Self.place))
        _ = stage.round()
        stage.h.shard.close(stage.client.id)
        stage.h.settle()
        #expect(!stage.h.shard.keepsSelfCheck(Self.place))
        stage.h.shard.closeSelfCheck()
        stage.h.settle()
        #expect(stage.h.shard.groupKeys.isEmpty && stage.h.shard.streamCount == 0)
        #expect(stage.h.commands.contains { if case .leave = $0.command { true } else { false } })
    }

    @Test("what would be fetched for it, is not answered for sure or is too large is not asked for")
    func unsuited() {
        let h = ShardHarness()
        let client = h.open(.delta)
        client.delta(.eds, add: ["x"])
        h.settle()
        let eds = SelfCheckPlace(key: "n", typeURL: XDSType.eds.typeURL)
        #expect(h.shard.selfCheckPlaces.isEmpty && !h.shard.openSelfCheck(handle: Self.handle, eds))
        h.publish("n", .eds, lane: .named, ["-x"])
        client.takeAndAck()
        #expect(h.shard.selfCheckPlaces == [eds] && !h.shard.openSelfCheck(handle: Self.handle, eds))
        h.publish("n", .eds, lane: .named, ["x@1"], uncached: true)
        client.takeAndAck()
        #expect(h.shard.selfCheckPlaces.isEmpty)
        let many = Stage(.delta)
        many.h.publish("n", .cds, (0..<5000).map { "c\($0)@1" })
        many.client.takeAndAck()
        #expect(many.h.shard.selfCheckPlaces == [Self.place])
        #expect(!many.h.shard.openSelfCheck(handle: Self.handle, Self.place))
    }

    @Test("it is late when what it waits for does not come in time, and fresh when it has the newest state")
    func verdicts() {
        let start = Instant(rawValue: 1_000_000_000)
        let limit = Nanoseconds.seconds(5)
        func verdict(_ question: SelfCheckQuestion, _ here: Generation?, _ isCurrent: Bool, after span: Nanoseconds)
            -> SelfCheckQuestion.Verdict
        { question.verdict(here: here, isCurrent: isCurrent, now: start + span, lagMax: limit) }
        var question = SelfCheckQuestion(.answer, at: start)
        #expect(verdict(question, 7, true, after: .seconds(5)) == .waiting)
        #expect(verdict(question, 7, true, after: .seconds(6)) == .late)
        #expect(verdict(question, nil, false, after: .seconds(6)) == .over)
        question.move(to: .home, at: start + .seconds(4))
        #expect(verdict(question, 7, true, after: .seconds(9)) == .waiting)
        question.move(to: .state(8), at: start)
        #expect(verdict(question, 7, true, after: .seconds(5)) == .waiting)
        #expect(verdict(question, 7, true, after: .seconds(6)) == .late)
        #expect(verdict(question, 8, false, after: .seconds(6)) == .late)
        #expect(verdict(question, 9, true, after: .seconds(6)) == .fresh)
    }
}
