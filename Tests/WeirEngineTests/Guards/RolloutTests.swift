import Testing
import WeirBase
import WeirXDS

@testable import WeirEngine

/// Pushes that a few streams get first, through a whole relay.
@Suite struct RolloutTests {
    /// Ten clients on two workers, and one cluster.
    private static func relay(
        _ c: Combination, _ change: (inout RolloutPolicy) -> Void = { _ in }
    ) -> (RelayHarness, [RelayClient]) {
        let h = RelayHarness(ReferenceServer(c.up)) {
            var policy = RolloutPolicy()
            change(&policy)
            $0.rollout = policy
            $0.holdsEmpty = false
        }
        h.server.set(.cds, ["a": .wild(1), "b": .wild(1)])
        let clients = (0..<10).map { h.connect(c.down, shard: $0 % 2) }
        for client in clients { client.subscribe(.cds, wildcard: true) }
        h.settle()
        return (h, clients)
    }

    private static func status(_ h: RelayHarness, _ type: XDSType = .cds) -> OriginTypeStatus? {
        h.groups["k"]?.typeStatuses.first { $0.type == type }
    }

    private static func faults(_ h: RelayHarness) -> [String] {
        h.clients.flatMap { $0.takeFaults() }
            + h.shards.flatMap { ShardInspection($0).disagreements + ShardInspection($0).faults }
    }

    private static let first = ["a@1", "b@1"]
    private static let second = ["b@2", "c@2"]
    private static let change: [String: ReferenceServer.Entry?] = ["a": nil, "b": .wild(2), "c": .wild(2)]

    @Test("a push goes to one stream first, and to all when that has accepted it", arguments: Combination.all)
    func accepted(_ c: Combination) {
        let (h, clients) = Self.relay(c)
        for client in clients { client.acknowledges = false }
        h.server.set(.cds, Self.change)
        h.settle()
        let ahead = clients.filter { $0.held(.cds) == Self.second }
        #expect(ahead.count == 1)
        #expect(clients.count { $0.held(.cds) == Self.first } == 9)
        // Neither accepted nor rejected upstream so far.
        #expect(h.server.requests.last?.hasPrefix("0 cds v=r2") != true && h.server.requests.count == 2)
        let late = h.connect(c.down)
        late.subscribe(.cds, wildcard: true)
        h.settle()
        #expect(late.held(.cds) == Self.first)
        for client in clients { client.acknowledges = true }
        h.settle()
        #expect(h.clients.allSatisfy { $0.held(.cds) == Self.second })
        #expect(h.server.requests.count == 3 && h.server.requests.last?.contains("NACK") == false)
        #expect(Self.status(h)?.hold == nil && Self.status(h)?.rollout == nil)
        #expect(Self.faults(h) == [])
        // Those who got it first are those who get the next one first; nobody is told anything twice.
        h.server.set(.cds, ["c": .wild(3)])
        h.settle()
        #expect(h.clients.allSatisfy { $0.held(.cds) == ["b@2", "c@3"] } && Self.faults(h) == [])
    }

    @Test("a push that nobody rejects in time goes to all", arguments: Combination.all)
    func silence(_ c: Combination) {
        let (h, clients) = Self.relay(c)
        for client in clients { client.acknowledges = false }
        h.server.set(.cds, Self.change)
        h.settle()
        h.advance(.seconds(4))
        #expect(clients.count { $0.held(.cds) == Self.second } == 1)
        h.advance(.seconds(1))
        #expect(clients.allSatisfy { $0.held(.cds) == Self.second })
        for client in clients { client.acknowledges = true }
        h.settle()
        #expect(Self.faults(h) == [])
    }

    @Test(
        "a push that is rejected is held: who has it gets the last good state, the control plane the clients' error",
        arguments: Combination.all)
    func rejected(_ c: Combination) {
        let (h, clients) = Self.relay(c)
        for client in clients { client.rejects = true }
        h.server.set(.cds, Self.change)
        h.settle()
        #expect(Self.status(h)?.hold?.reason == .nack)
        #expect(Self.status(h)?.hold?.detail.contains("no") == true)
        #expect(h.server.requests.last?.hasSuffix("NACK") == true)
        #expect(clients.count { $0.held[.cds]?.isTainted == true } == 1)
        for client in clients { client.rejects = false }
        h.settle()
        let late = h.connect(c.down)
        late.subscribe(.cds, wildcard: true)
        h.settle()
        #expect(h.clients.allSatisfy { $0.held(.cds) == Self.first })
        // A better one is tried anew, and brings everybody up to date.
        h.server.set(.cds, ["b": .wild(3)])
        h.settle()
        #expect(h.clients.allSatisfy { $0.held(.cds) == ["b@3", "c@2"] })
        #expect(Self.status(h)?.hold == nil)
        #expect(h.server.requests.last?.hasSuffix("NACK") == false)
    }

    @Test(
        "a push that clients rejected is held after a restart, too, and given to nobody before its release",
        arguments: Combination.all)
    func rejectedBeforeTheRestart(_ c: Combination) throws {
        let h = RelayHarness(ReferenceServer(c.up), isStored: true) {
            $0.rollout = RolloutPolicy()
            $0.holdsEmpty = false
        }
        h.server.set(.cds, ["a": .wild(1), "b": .wild(1)])
        let clients = (0..<10).map { h.connect(c.down, shard: $0 % 2) }
        for client in clients { client.subscribe(.cds, wildcard: true) }
        h.settle()
        for client in clients { client.rejects = true }
        h.server.set(.cds, Self.change)
        h.settle()
        #expect(Self.status(h)?.hold?.reason == .nack)
        h.restart()
        // Those that come now would take it.
        for index in 0..<4 { h.connect(c.down, shard: index % 2).subscribe(.cds, wildcard: true) }
        h.settle()
        h.advance(.seconds(1))
        h.advance(.seconds(20))
        #expect(h.clients.allSatisfy { $0.held(.cds) == Self.first })
        let hold = try #require(Self.status(h)?.hold)
        #expect(hold.reason == .nack && hold.detail.contains("no"))
        #expect(h.server.requests.last?.hasSuffix("NACK") == true)
        let url = XDSType.cds.typeURL
        try h.groups["k"]?.release(typeURL: url, by: "me", now: h.now, wall: WallTime(rawValue: 0))
        h.advance(.milliseconds(10))
        #expect(h.clients.allSatisfy { $0.held(.cds) == Self.second } && Self.faults(h) == [])
        // It is over for good.
        h.restart()
        h.connect(c.down).subscribe(.cds, wildcard: true)
        h.settle()
        h.advance(.seconds(1))
        #expect(Self.status(h)?.hold == nil && h.clients.allSatisfy { $0.held(.cds) == Self.second })
    }

    @Test("who accepted a push that others rejected is taken back to the last good state", arguments: Combination.all)
    func takenBack(_ c: Combination) {
        let (h, clients) = Self.relay(c) { $0.first = .streams(4) }
        clients[0].rejects = true
        h.server.set(.cds, Self.change)
        h.settle()
        // Who is first is the shards' affair; idle ones come in the order in which they joined.
        guard Self.status(h)?.hold?.reason == .nack else {
            Issue.record("it was not tried on the client that rejects")
            return
        }
        clients[0].rejects = false
        h.settle()
        #expect(clients.dropFirst().allSatisfy { $0.held(.cds) == Self.first })
        h.server.set(.cds, ["a": .wild(4), "b": .wild(4), "c": nil])
        h.settle()
        #expect(clients.dropFirst().allSatisfy { $0.held(.cds) == ["a@4", "b@4"] })
        // One that holds the rejected state comes back to who has the last good one: covered by the versions it names.
    }

    @Test("a newer push replaces one that is being tried", arguments: Combination.all)
    func replaced(_ c: Combination) {
        let (h, clients) = Self.relay(c)
        for client in clients { client.acknowledges = false }
        h.server.set(.cds, Self.change)
        h.settle()
        h.advance(.seconds(3))
        h.server.set(.cds, ["a": .wild(3), "c": nil])
        h.settle()
        h.advance(.seconds(3))
        #expect(clients.count { $0.held(.cds) == Self.first } == 9)
        for client in clients { client.acknowledges = true }
        h.settle()
        h.advance(.seconds(6))
        #expect(clients.allSatisfy { $0.held(.cds) == ["a@3", "b@2"] })
        #expect(Self.faults(h) == [])
        #expect(h.server.requests.last?.hasSuffix("NACK") == false)
    }

    @Test("when the control plane takes a push back that is being tried, those who have it are taken back")
    func withdrawn() {
        for c in Combination.all {
            let (h, clients) = Self.relay(c)
            for client in clients { client.acknowledges = false }
            h.server.set(.cds, ["c": .wild(2)])
            h.settle()
            h.server.set(.cds, ["c": nil])
            h.settle()
            for client in clients { client.acknowledges = true }
            h.settle()
            h.advance(.seconds(6))
            #expect(clients.allSatisfy { $0.held(.cds) == Self.first }, "\(c)")
            #expect(Self.status(h)?.rollout == nil)
        }
    }

    @Test("one that ends its stream before it answers is replaced by another", arguments: Combination.all)
    func gone(_ c: Combination) {
        let (h, clients) = Self.relay(c)
        for client in clients { client.acknowledges = false }
        h.server.set(.cds, Self.change)
        h.settle()
        let ahead = clients.filter { $0.held(.cds) == Self.second }
        #expect(ahead.count == 1)
        h.disconnect(ahead[0])
        #expect(h.clients.count { $0.held(.cds) == Self.second } == 1)
        for client in clients { client.acknowledges = true }
        h.settle()
        #expect(h.clients.allSatisfy { $0.held(.cds) == Self.second } && Self.faults(h) == [])
    }

    @Test(
        "a percentage is one of the streams that a push concerns, at least one",
        arguments: [(10, 1), (25, 3), (100, 10)])
    func percentage(_ share: Int, _ count: Int) {
        let (h, clients) = Self.relay(Combination(up: .delta, down: .sotw)) { $0.first = .percent(share) }
        for client in clients { client.acknowledges = false }
        h.server.set(.cds, Self.change)
        h.settle()
        #expect(clients.count { $0.held(.cds) == Self.second } == count)
    }

    @Test(
        "endpoints do not wait, unless they are named; routes wait for those they concern", arguments: Combination.all)
    func types(_ c: Combination) {
        let (h, clients) = Self.relay(c)
        h.server.set(.eds, ["e": .named(1)])
        h.server.set(.rds, ["r": .named(1), "s": .named(1)])
        for client in clients { client.subscribe(.eds, ["e"]) }
        for client in clients[0..<5] { client.subscribe(.rds, ["r"]) }
        for client in clients[5...] { client.subscribe(.rds, ["s"]) }
        for _ in 0..<3 { h.advance(.milliseconds(100)) }
        #expect(clients.allSatisfy { $0.held(.eds) == ["e@1"] && $0.held(.rds).count == 1 })
        for client in clients { client.acknowledges = false }
        h.server.set(.eds, ["e": .named(2)])
        h.server.set(.rds, ["s": .named(2)])
        h.settle()
        #expect(clients.allSatisfy { $0.held(.eds) == ["e@2"] })
        #expect(clients[0..<5].allSatisfy { $0.held(.rds) == ["r@1"] })
        #expect(clients[5...].count { $0.held(.rds) == ["s@2"] } == 1)
        for client in clients { client.acknowledges = true }
        h.settle()
        #expect(clients[5...].allSatisfy { $0.held(.rds) == ["s@2"] } && Self.faults(h) == [])
    }

    @Test("pushes of several types reach everybody in the order in which they came", arguments: Combination.all)
    func order(_ c: Combination) {
        let (h, clients) = Self.relay(c)
        h.server.set(.lds, ["l": .wild(1)])
        for client in clients { client.subscribe(.lds, wildcard: true) }
        h.settle()
        for client in clients { client.acknowledges = false }
        h.server.set(.cds, Self.change)
        h.settle()
        h.advance(.seconds(2))
        h.server.set(.lds, ["l": .wild(2)])
        h.settle()
        // The listener cannot overtake the clusters.
        h.advance(.seconds(2))
        #expect(clients.count { $0.held(.lds) == ["l@1"] } >= 9)
        for client in clients { client.acknowledges = true }
        h.settle()
        h.advance(.seconds(6))
        #expect(clients.allSatisfy { $0.held(.cds) == Self.second && $0.held(.lds) == ["l@2"] })
        #expect(Self.faults(h) == [])
    }

    @Test("the streams that got pushes first want what they want, and leave nothing behind", arguments: Combination.all)
    func interest(_ c: Combination) {
        let (h, clients) = Self.relay(c) { $0.types = [.eds, .cds] }
        h.server.set(.eds, ["e": .named(1), "f": .named(1), "g": .named(1)])
        for client in clients { client.subscribe(.eds, ["e"]) }
        for _ in 0..<3 { h.advance(.milliseconds(100)) }
        h.server.set(.eds, ["e": .named(2)])
        h.settle()
        #expect(clients.allSatisfy { $0.held(.eds) == ["e@2"] })
        for (i, client) in clients.enumerated() { client.subscribe(.eds, i % 3 == 0 ? ["e", "f"] : ["g"]) }
        for _ in 0..<3 { h.advance(.milliseconds(100)) }
        #expect(h.server.names(.eds) == ["e", "f", "g"])
        for (i, client) in clients.enumerated() {
            #expect(client.held(.eds) == (i % 3 == 0 ? ["e@2", "f@1"] : ["g@1"]))
        }
        for client in clients { client.subscribe(.eds, ["g"]) }
        for _ in 0..<2 { h.advance(.seconds(3)) }
        for _ in 0..<3 { h.advance(.milliseconds(100)) }
        #expect(h.server.names(.eds) == ["g"])
        h.server.set(.eds, ["g": .named(5)])
        h.settle()
        #expect(clients.allSatisfy { $0.held(.eds) == ["g@5"] } && Self.faults(h) == [])
        for client in clients { h.drop(client) }
        h.settle()
        for _ in 0..<3 { h.advance(.seconds(3)) }
        #expect(h.groups.isEmpty && h.shards.flatMap { ShardInspection($0).leftovers } == [])
    }

    @Test("an operator's release ends a trial for everybody, and a hold for those who have the push")
    func operators() throws {
        for c in Combination.all {
            let (h, clients) = Self.relay(c)
            for client in clients { client.acknowledges = false }
            h.server.set(.cds, Self.change)
            h.settle()
            let group = try #require(h.groups["k"])
            try group.hold(typeURL: XDSType.cds.typeURL, by: "test", now: h.now, wall: WallTime(rawValue: 0))
            for client in clients { client.acknowledges = true }
            h.settle()
            #expect(clients.allSatisfy { $0.held(.cds) == Self.first }, "\(c)")
            try group.release(typeURL: XDSType.cds.typeURL, by: "test", now: h.now, wall: WallTime(rawValue: 0))
            h.settle()
            #expect(clients.allSatisfy { $0.held(.cds) == Self.second }, "\(c)")
        }
    }
}

@Suite struct TrialTests {
    private func trial(_ counts: [Int: [String: TrialCount]]) -> Trial {
        var trial = Trial(
            id: 1, order: 1, push: .none, begun: Instant(rawValue: 0), deadline: Instant(rawValue: 1), missing: 0)
        trial.counts = counts
        return trial
    }

    @Test("as many client versions as possible are among the first, and those that were before")
    func shares() {
        var policy = RolloutPolicy()
        policy.first = .streams(3)
        let trial = self.trial([
            0: ["old": TrialCount(others: 1), "new": TrialCount(others: 50)],
            1: ["new": TrialCount(firsts: 1, others: 50), "odd": TrialCount(others: 1)],
        ])
        #expect(trial.shares(policy) == [0: ["old": 1], 1: ["new": 1, "odd": 1]])
        policy.first = .percent(100)
        #expect(trial.shares(policy) == [0: ["old": 1, "new": 50], 1: ["new": 51, "odd": 1]])
    }

    @Test("rejections count against the streams of their own client version")
    func threshold() {
        var policy = RolloutPolicy()
        policy.nackPercentMax = 30
        var trial = self.trial([:])
        trial.given = ["new": .init(given: 10), "old": .init(given: 2)]
        for _ in 0..<3 { trial.note(.rejected(node: "n", message: "bad"), "new") }
        #expect(!trial.isRejected(policy))
        trial.note(.rejected(node: "o", message: "worse"), "old")
        #expect(trial.isRejected(policy))
        #expect(trial.verdict.hasPrefix("rejected by 4 of the 12 clients that were sent it first: n (new): bad; "))
    }

    @Test("what clients say is quoted up to a bound")
    func bounds() {
        var trial = self.trial([:])
        trial.given = ["": .init(given: 5)]
        for _ in 0..<5 {
            trial.note(.rejected(node: "n", message: String(repeating: "x", count: 5_000)), "")
        }
        #expect(trial.complaints.count == 3 && trial.verdict.utf8.count <= 2048)
    }
}
