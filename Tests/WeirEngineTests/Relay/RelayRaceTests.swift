import Testing
import WeirBase
import WeirXDS

@testable import WeirEngine

/// Messages between workers and homes cross each other; servers answer what is not wanted any more.
@Suite struct RelayRaceTests {
    private static func update(
        _ generation: Generation, full: Bool, _ names: [String], wildcardKnown: Bool = true
    ) -> TypeUpdate {
        TypeUpdate(
            typeURL: XDSType.cds.typeURL, generation: generation, isFull: full,
            changes: names.map {
                let resource = ShardHarness.resource(.cds, $0, "\(generation)", "content")
                return ResourceChange(lane: .wildcard, name: $0, presence: .present(resource))
            },
            wildcardKnown: wildcardKnown, version: "v\(generation)", passesVersionToSotW: false,
            receivedAt: Instant(rawValue: 0), receivedAtWall: WallTime(rawValue: 0))
    }

    @Test("AGG-21 an update that was on its way to a worker that forgot the type shows clients no half state")
    func lateUpdate() {
        let h = ShardHarness()
        let first = h.open(.sotw)
        first.request(.cds)
        h.settle()
        h.shard.update(group: "n", Self.update(4, full: true, ["a", "b"]))
        #expect(first.takeAndAck().map(\.resources) == [["a", "b"]])
        h.shard.close(first.id)
        h.settle()
        let second = h.open(.sotw)
        second.request(.cds)
        h.settle()
        h.shard.update(group: "n", Self.update(5, full: false, ["b"]))
        #expect(second.take().isEmpty)
        h.shard.update(group: "n", Self.update(5, full: true, ["a", "b"]))
        #expect(second.take().map(\.resources) == [["a", "b"]])
    }

    @Test("AGG-05 AGG-21 what a late state says of names that nobody wants any more goes with the next whole one")
    func lateWholeState() {
        func update(_ generation: Generation, _ name: String) -> TypeUpdate {
            TypeUpdate(
                typeURL: XDSType.rds.typeURL, generation: generation, isFull: true,
                changes: [ResourceChange(lane: .named, name: name, presence: .absent)], wildcardKnown: false,
                version: "v", passesVersionToSotW: false, receivedAt: Instant(rawValue: 0),
                receivedAtWall: WallTime(rawValue: 0))
        }
        let h = ShardHarness()
        let first = h.open(.delta)
        first.delta(.rds, add: ["a"])
        h.settle()
        h.shard.close(first.id)
        h.settle()
        let second = h.open(.delta)
        second.delta(.rds, add: ["y"])
        h.settle()
        h.shard.update(group: "n", update(1, "a"))
        h.shard.update(group: "n", update(2, "y"))
        #expect(second.takeAndAck().map(\.removed) == [["y"]])
        let entries = h.shard.views.compactMap { $0 }.flatMap { $0.entries.filter(\.isInUse).map(\.name) }
        #expect(entries == ["y"])
        #expect(ShardInspection(h.shard).faults == [])
    }

    @Test(
        "AGG-07 ORD-03 a wildcard whose end and whose new wish cross shows clients no empty set, and what is gone after it",
        arguments: ProtocolVariant.allCases)
    func crossingWishes(_ variant: ProtocolVariant) {
        let h = ShardHarness()
        let client = h.open(variant)
        if variant == .sotw { client.request(.cds, ["*"]) } else { client.delta(.cds) }
        h.settle()
        h.publish("n", .cds, ["a@1", "b@1"])
        client.takeAndAck(["*"])
        // The home heard that nobody wants it, and not yet that somebody does again.
        let end = TypeUpdate(
            typeURL: XDSType.cds.typeURL, generation: 2, isFull: false,
            changes: ["a", "b"].map { ResourceChange(lane: .wildcard, name: $0, presence: .unknown) },
            wildcardKnown: false, version: "v", passesVersionToSotW: false, receivedAt: Instant(rawValue: 0),
            receivedAtWall: WallTime(rawValue: 0))
        h.shard.update(group: "n", end)
        #expect(client.takeAndAck(["*"]) == [])
        h.shard.update(group: "n", Self.update(3, full: false, ["a"]))
        let answers = client.takeAndAck(["*"])
        #expect(answers.map(\.resources) == (variant == .sotw ? [["a"]] : [["a@3"]]))
        #expect(answers.map(\.removed) == (variant == .sotw ? [[]] : [["b"]]))
    }

    @Test(
        "NAME-07 AGG-17 a name that one update brings by name and by wildcard is sent to those who only name it",
        arguments: ProtocolVariant.allCases)
    func bothWays(_ variant: ProtocolVariant) {
        let h = ShardHarness()
        let client = h.open(variant)
        if variant == .sotw { client.request(.cds, ["b", "y"]) } else { client.delta(.cds, add: ["b", "y"]) }
        h.settle()
        // Another origin's answer came first, so that this one's whole state is news of a part.
        h.publish("n", .cds, lane: .named, ["-y"])
        client.takeAndAck(["b", "y"])
        let resource = ShardHarness.resource(.cds, "b", "1", "1")
        let both = TypeUpdate(
            typeURL: XDSType.cds.typeURL, generation: 2, isFull: false,
            changes: Lane.allCases.map { ResourceChange(lane: $0, name: "b", presence: .present(resource)) },
            wildcardKnown: true, version: "v", passesVersionToSotW: false, receivedAt: Instant(rawValue: 0),
            receivedAtWall: WallTime(rawValue: 0))
        h.shard.update(group: "n", both)
        #expect(client.take().map(\.resources) == (variant == .sotw ? [["b"]] : [["b@1"]]))
    }

    @Test("DELTA-12 what a client that came back was told is gone it is sent when it comes, in the version it had too")
    func goneAndBack() {
        let h = ShardHarness()
        let client = h.open(.delta)
        client.delta(.cds, add: ["*", "d"], held: ["a": "2"])
        h.settle()
        // A worker that is behind: it has not heard of "a" yet, and nobody knows of "d".
        h.shard.update(group: "n", Self.update(1, full: true, ["keep"]))
        #expect(client.takeAndAck().map(\.removed) == [["a"]])
        h.shard.update(group: "n", Self.update(2, full: false, ["a"]))
        #expect(client.takeAndAck().map(\.resources) == [["a@2"]])
    }

    @Test("DELTA-06 a name given up under a wildcard is answered by its name, though nobody wants it any more")
    func removedName() {
        let h = ShardHarness()
        let client = h.open(.delta)
        client.delta(.cds, add: ["*", "x"])
        h.settle()
        h.shard.update(group: "n", Self.update(1, full: true, ["a"]))
        client.takeAndAck()
        client.delta(.cds, remove: ["x"])
        #expect(client.take().map(\.removed) == [["x"]])
    }

    @Test("DELTA-05 DELTA-12 a name asked for again before the first answer is sent, whatever the client said it held")
    func askedAgain() {
        let h = ShardHarness()
        let client = h.open(.delta)
        client.delta(.cds, add: ["a"], held: ["a": "1"])
        client.delta(.cds, remove: ["a"])
        client.delta(.cds, add: ["a"])
        h.settle()
        h.publish("n", .cds, lane: .named, ["a@1"])
        #expect(client.take().flatMap(\.resources) == ["a@1"])
    }

    @Test("DELTA-19 WIRE-08 names that come and go within one turn leave no memory behind")
    func namesWithinATurn() {
        let h = ShardHarness()
        let client = h.open(.delta)
        client.delta(.eds, add: ["stays"])
        h.settle()
        for i in 0..<100 {
            client.delta(.eds, add: ["x\(i)"], remove: ["x\(i)"])
            client.delta(.eds, add: ["y\(i)"])
            client.delta(.eds, remove: ["y\(i)"])
            h.settle()
        }
        let entries = h.shard.views.compactMap { $0 }.flatMap { $0.entries.filter(\.isInUse).map(\.name) }
        #expect(entries == ["stays"])
    }

    @Test("SOTW-06 a SotW client that names a member of its wildcard hears when the wildcard loses it")
    func namedAndWild() {
        let h = ShardHarness()
        let client = h.open(.sotw)
        client.request(.cds, ["*", "a"])
        h.settle()
        h.publish("n", .cds, ["a@1", "b@1"])
        #expect(client.takeAndAck(["*", "a"]).last?.resources.sorted() == ["a", "b"])
        h.publish("n", .cds, ["-a"])
        #expect(client.take().map(\.resources) == [["b"]])
    }

    @Test("AGG-17 when the wildcard ends, a name that is newer by name is sent", arguments: ProtocolVariant.allCases)
    func endOfWildcard(_ variant: ProtocolVariant) {
        let h = ShardHarness()
        let client = h.open(variant)
        if variant == .sotw { client.request(.cds, ["*", "a"]) } else { client.delta(.cds, add: ["*", "a"]) }
        h.settle()
        h.publish("n", .cds, ["a@1"])
        client.takeAndAck(["*", "a"])
        h.publish("n", .cds, lane: .named, ["a@2"], wildcardKnown: true)
        #expect(client.takeAndAck(["*", "a"]) == [])
        if variant == .sotw {
            client.request(.cds, ["a"], nonce: "w0000001")
            #expect(client.take().map(\.resources) == [["a"]])
        } else {
            client.delta(.cds, remove: ["*"])
            #expect(client.take().map(\.resources) == [["a@2"]])
        }
    }

    @Test("SOTW-06 SOTW-18 a SotW client that comes back by name hears that nothing is left, when that is known")
    func nothingIsLeft() {
        let h = ShardHarness()
        let client = h.open(.sotw)
        client.request(.cds, ["x"], version: "an earlier one")
        #expect(client.take() == [])
        h.publish("n", .cds, lane: .named, ["-x"])
        #expect(client.takeAndAck(["x"]).map(\.resources) == [[]])
        let new = h.open(.sotw)
        new.request(.cds, ["x"])
        #expect(new.take() == [])
    }

    @Test("AGG-21 AGG-07 a home tells each worker the whole before what is new, however often it comes and goes")
    func wholeFirst() {
        let group = OriginGroup(key: "k", node: [], variant: nil, policy: OriginPolicy())
        let now = Instant(rawValue: 1)
        let wall = WallTime(rawValue: 0)
        var told: [String] = []
        func collect() {
            for case .publish(let update, let workers) in group.takeActions() {
                told.append("\(update.isFull ? "whole" : "new") to \(workers)")
            }
        }
        func load(_ content: Int) {
            let any = HomeHarness.any(.cds, "a@\(content)")
            let file = SnapshotResource(typeURL: XDSType.cds.typeURL, name: "a", any: any)
            group.apply(Snapshot([file], version: "\(content)"), from: "files", now: now, wall: wall)
            collect()
        }
        func want(_ wanted: Bool, _ worker: Int) {
            let change = InterestChange(typeURL: XDSType.cds.typeURL, wildcard: wanted)
            group.apply(change, from: worker, now: now, wall: wall)
            collect()
        }
        for worker in 0...1 { group.workerJoined(worker) }
        want(true, 0)
        load(1)
        want(true, 1)
        load(2)
        want(false, 0)
        load(3)
        want(true, 0)
        load(4)
        #expect(told == ["whole to 1", "whole to 2", "new to 3", "new to 2", "whole to 1", "new to 3"])
    }

    @Test("a push that is stuck everywhere leaves no empty cohort")
    func stuckPush() {
        let h = ShardHarness()
        let client = h.open(.sotw)
        client.request(.cds)
        h.settle()
        h.publish("n", .cds, ["a@1"])
        client.takeAndAck()
        // Handed over in one round and not drained by the next: stuck.
        for version in 2...3 {
            h.shard.update(group: "n", Self.update(Generation(version), full: false, ["a"]))
            h.settle(blocking: [client.handle])
            client.request(.cds, version: "v", nonce: "w000000\(version)")
        }
        #expect(ShardInspection(h.shard).faults.filter { $0.contains("cohort") } == [])
    }

    @Test("UP-13 a name given up and asked for again while an answer was on its way is asked for with its nonce")
    func crossingAnswer() {
        let h = HomeHarness(.sotw)
        h.join()
        h.want(.rds, ["a", "y"])
        h.open()
        h.sotw(.rds, "1", "n1", ["a@1"])
        h.want(.rds, removing: ["a"])
        h.advance(.seconds(3))
        h.want(.rds, ["a"])
        _ = h.takeRequests()
        // On its way since before a was given up: the server dropped both requests, whose nonce was the one before.
        h.sotw(.rds, "2", "n2", ["y@2"])
        #expect(h.takeRequests() == ["0 rds v=2 n=n2 [a,y]", "0 rds v=2 n=n2 [y]", "0 rds v=2 n=n2 [a,y]"])
        // A server that has no such name is not asked for ever.
        for i in 3..<10 { h.sotw(.rds, "\(i)", "n\(i)", ["y@\(i)"]) }
        let more = h.takeRequests().count
        #expect(more == 7 + 2 * (UpstreamStream.renewalsMax - 1))
    }

    @Test("UP-13 a name that came needs no more asking")
    func answeredAgain() {
        let h = HomeHarness(.sotw)
        h.join()
        h.want(.rds, ["a", "y"])
        h.open()
        h.sotw(.rds, "1", "n1", ["a@1"])
        h.want(.rds, removing: ["a"])
        h.advance(.seconds(3))
        h.want(.rds, ["a"])
        _ = h.takeRequests()
        h.sotw(.rds, "2", "n2", ["a@1"])
        #expect(h.takeRequests().count == 1)
    }

    @Test("DELTA-06 what becomes of a name given up beside a wildcard, the wildcard's first answer says")
    func givenUpBeforeTheWildcard() {
        let h = ShardHarness()
        let client = h.open(.delta)
        client.delta(.cds, add: ["*", "a", "x"])
        h.settle()
        client.delta(.cds, remove: ["a", "x"])
        #expect(client.take() == [])
        h.publish("n", .cds, ["a@1"])
        let answers = client.takeAndAck()
        #expect(answers.map(\.resources) == [["a@1"]])
        #expect(answers.map(\.removed) == [["x"]])
        #expect(ShardInspection(h.shard).faults == [])
    }

    @Test("DELTA-05 a client that asks for the wildcard again hears of what left it meanwhile")
    func wildcardAgain() {
        let h = ShardHarness()
        let client = h.open(.delta)
        client.delta(.cds)
        h.settle()
        h.publish("n", .cds, ["a@1", "b@1"])
        #expect(client.take().count == 1)
        h.publish("n", .cds, ["-a"])
        client.delta(.cds, add: ["*"])
        #expect(client.take().map { $0.resources + $0.removed } == [["b@1", "a"]])
    }

    @Test("DELTA-05 DELTA-12 so does one that came back and asks for the wildcard before the first answer")
    func wildcardAgainBeforeTheAnswer() {
        let h = ShardHarness()
        let client = h.open(.delta)
        client.delta(.cds, held: ["a": "1", "b": "1"])
        client.delta(.cds, add: ["*"])
        h.settle()
        h.publish("n", .cds, ["b@1"])
        #expect(client.take().map { $0.resources + $0.removed } == [["b@1", "a"]])
    }

    @Test("DELTA-12 a name that a client holds, asks for and gives up at once is called removed once")
    func removedOnce() {
        let h = ShardHarness()
        let client = h.open(.delta)
        client.delta(.cds, add: ["*", "x"], remove: ["x"], held: ["x": "1"])
        h.settle()
        h.publish("n", .cds, ["a@1"])
        #expect(client.take().map(\.removed) == [["x"]])
    }

    @Test("ORD-05 a client that came back with the endpoints gets them again after a cluster that changed meanwhile")
    func endpointsOfAnEarlierStream() {
        let h = ShardHarness()
        let warm = h.open(.delta)
        warm.delta(.eds, add: ["c"])
        h.settle()
        h.publish("n", .eds, lane: .named, ["c@1"])
        let client = h.open(.delta)
        client.delta(.cds)
        client.delta(.eds, add: ["c"], held: ["c": "1"])
        #expect(client.take() == [])
        h.publish("n", .cds, ["c@2"], eds: true)
        #expect(client.take().flatMap { [$0.label] + $0.resources } == ["cds", "c@2", "eds", "c@1"])
    }

    @Test("ORD-05 also while the client waits for the rest of what it held")
    func endpointsWhileWaiting() {
        let h = ShardHarness()
        let client = h.open(.delta)
        client.delta(.cds, add: ["*", "unanswered"], held: ["x": "1"])
        client.delta(.eds, add: ["c"])
        h.settle()
        h.publish("n", .eds, lane: .named, ["c@1"])
        client.takeAndAck()
        h.publish("n", .cds, ["c@1"], eds: true)
        #expect(client.take().map(\.label) == ["cds", "eds"])
    }

    @Test("ORD-05 also when the clusters come before anything is known of the endpoints", arguments: [true, false])
    func endpointsAfterTheirClusters(areThere: Bool) {
        let h = ShardHarness()
        let client = h.open(.delta)
        client.delta(.cds)
        client.delta(.eds, add: ["*"], held: ["c": "1"])
        h.settle()
        h.publish("n", .cds, ["c@2"], eds: true)
        #expect(client.take().map(\.label) == ["cds"])
        h.publish("n", .eds, areThere ? ["c@1"] : ["d@1"])
        #expect(client.take().map { $0.resources + $0.removed } == [areThere ? ["c@1"] : ["d@1", "c"]])
    }

    @Test("ORD-05 AGG-23 also when another cluster must be fetched first")
    func endpointsWhileOneIsFetched() {
        let h = ContentHarness(.delta)
        let first = h.connect(.delta)
        first.subscribe(.cds, ["*", "x"])
        first.subscribe(.eds, ["a"])
        h.advance(.milliseconds(20))
        // `cache_control { do_not_cache: true }`.
        let uncached = ContentHarness.entry(.cds, "x", 1, extra: [0x3A, 2, 8, 1])
        h.respond(.cds, [ContentHarness.entry(.cds, "a", 1)])
        h.respond(.cds, [uncached], on: 1)
        h.respond(.eds, [ContentHarness.entry(.eds, "a", 1)])
        let second = h.connect(.delta)
        second.subscribe(.eds, ["a"])
        #expect(second.takeAndAck() == ["eds a@1"])
        second.subscribe(.cds, ["*", "x"])
        #expect(second.takeAndAck() == ["cds a@1", "eds a@1"])
        h.advance(.milliseconds(20))
        h.respond(.cds, [uncached], on: 1)
        #expect(second.takeAndAck().first == "cds x@1")
    }

    @Test("SOTW-06 a SotW client that gives its wildcard up for a name that it had by it hears that there is none")
    func wildcardForAName() {
        let h = ShardHarness()
        let client = h.open(.sotw)
        client.request(.lds, ["*", "b"])
        h.settle()
        h.publish("n", .lds, lane: .named, ["-b"])
        h.publish("n", .lds, ["b@2", "keep@1"])
        #expect(client.takeAndAck(["*", "b"]).map(\.resources) == [["b", "keep"]])
        client.request(.lds, ["b"])
        h.settle()
        #expect(client.take().map(\.resources) == [[]])
    }

    @Test("ORD-01 a control plane is asked for clusters first, whatever was first wanted")
    func interestInOrder() {
        let h = ShardHarness()
        let client = h.open(.delta)
        client.delta(.rds, add: ["r"])
        client.delta(.lds)
        client.delta(.eds, add: ["e"])
        client.delta(.cds)
        h.settle()
        let wishes = h.commands.compactMap { entry -> String? in
            guard case .interest(let change) = entry.command else { return nil }
            return XDSType.of(typeURL: change.typeURL).label
        }
        #expect(wishes == ["cds", "eds", "lds", "rds"])
    }

    @Test("AGG-05 names that came and went are forgotten, though some client still waits for another name")
    func departed() {
        let h = ShardHarness()
        let first = h.open(.delta)
        first.delta(.cds, add: ["*"])
        let waits = h.open(.delta)
        waits.delta(.cds, add: ["*", "never"], held: ["old": "1", "never": "1"])
        h.publish("n", .cds, ["keep@1"])
        #expect(h.shard.views.compactMap { $0 }.contains { $0.detached > 0 && !$0.waiting.isEmpty })
        var removed: Set<String> = []
        for i in 0..<1000 {
            h.publish("n", .cds, ["x\(i)@1"])
            for client in [first, waits] { client.takeAndAck() }
            h.publish("n", .cds, ["-x\(i)"])
            first.takeAndAck()
            removed.formUnion(waits.takeAndAck().flatMap(\.removed))
        }
        #expect(h.shard.views.compactMap { $0 }.contains { $0.detached > 0 && !$0.waiting.isEmpty })
        #expect(removed.isSuperset(of: (0..<1000).map { "x\($0)" }))
        let entries = h.shard.views.compactMap { $0 }.flatMap { $0.entries.filter(\.isInUse) }
        #expect(entries.count < 200)
    }

    @Test(
        "AGG-07 AGG-21 a home that counts anew is heard, whatever was on its way from before",
        arguments: ProtocolVariant.allCases)
    func countedAnew(_ variant: ProtocolVariant) {
        let h = ShardHarness()
        let client = h.open(variant)
        if variant == .sotw { client.request(.cds, ["*"]) } else { client.delta(.cds) }
        h.settle()
        h.shard.update(group: "n", Self.update(3, full: true, ["a"]))
        client.takeAndAck(["*"])
        // The home let go of the type meanwhile, and began again.
        h.shard.update(group: "n", Self.update(1, full: true, ["a"]))
        client.takeAndAck(["*"])
        h.shard.update(group: "n", Self.update(2, full: false, ["b"]))
        #expect(client.takeAndAck(["*"]).last?.resources.contains { $0.hasPrefix("b") } == true)
        // Twice the same number is no less.
        h.shard.update(group: "n", Self.update(2, full: true, ["a", "b", "c"]))
        #expect(client.takeAndAck(["*"]).last?.resources.contains { $0.hasPrefix("c") } == true)
        #expect(h.shard.selfCheckGeneration(SelfCheckPlace(key: "n", typeURL: XDSType.cds.typeURL)) == 2)
        #expect(ShardInspection(h.shard).faults == [])
    }
}
