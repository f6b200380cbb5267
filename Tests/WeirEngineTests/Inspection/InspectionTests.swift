import Testing
import WeirBase
import WeirXDS

@testable import WeirEngine

/// Walks over what a home holds and over streams: in pieces, of one moment, without side effects.
@Suite struct InspectionTests {
    // MARK: Resources

    private func home(_ names: [String]) -> (HomeHarness, FederatedGroup) {
        let h = HomeHarness(.delta)
        h.join()
        h.want(.cds, wildcard: true)
        h.open()
        h.delta(.cds, "n1", names.map { "\($0)@1" })
        _ = h.takeUpdates()
        let group = FederatedGroup(
            own: h.group, upstream: "u", routes: AuthorityRoutes([:]), makeOrigin: { _ in h.group })
        return (h, group)
    }

    private func found(_ walk: ResourceWalk) -> [String] {
        walk.found.flatMap(\.resources).map { "\($0.name)@\($0.version)" }.sorted()
    }

    @Test("a walk in pieces of any size finds everything once", arguments: [1, 2, 7, 1000])
    func pieces(_ size: Int) {
        let names = (0..<20).map { "c\($0)" }
        let (_, group) = self.home(names)
        let walk = ResourceWalk(group, ResourceWalk.Filter())
        var steps = 0
        while walk.advance(limit: size) { steps += 1 }
        #expect(self.found(walk) == names.map { "\($0)@1" }.sorted())
        #expect(size > 20 || steps >= 20 / size - 1)
    }

    @Test("what changes during a walk makes it begin anew: the result is of one moment")
    func changes() {
        let (h, group) = self.home(["a", "b", "c", "d"])
        let walk = ResourceWalk(group, ResourceWalk.Filter())
        #expect(walk.advance(limit: 2))
        h.delta(.cds, "n2", ["a@2", "b@2", "e@2"], removed: ["d"])
        while walk.advance(limit: 2) {}
        #expect(self.found(walk) == ["a@2", "b@2", "c@1", "e@2"])
    }

    @Test("a type that changes again and again is taken as it is at one moment, in the end")
    func restless() {
        let (h, group) = self.home(["a", "b", "c", "d", "e", "f"])
        let walk = ResourceWalk(group, ResourceWalk.Filter())
        var turns = 0
        while walk.advance(limit: 1) {
            turns += 1
            if turns.isMultiple(of: 2) { h.delta(.cds, "x\(turns)", ["a@\(turns)", "b@\(turns)"]) }
            guard turns < 200 else { break }
        }
        let found = self.found(walk)
        #expect(turns < 200 && found.count == 6)
        #expect(found[0].dropFirst() == found[1].dropFirst(), "a and b always change together")
    }

    @Test("a type that goes away during a walk is left out, one that comes back is walked over anew")
    func gone() {
        let (h, group) = self.home(["a", "b", "c"])
        let walk = ResourceWalk(group, ResourceWalk.Filter())
        #expect(walk.advance(limit: 1))
        h.want(.cds, wildcard: false)
        h.advance(.seconds(3))
        while walk.advance(limit: 1) {}
        #expect(walk.found.isEmpty)
        let again = ResourceWalk(group, ResourceWalk.Filter())
        #expect(!again.advance(limit: 1) && again.found.isEmpty)
    }

    @Test("filters: type, name, and a place to begin after, before which things are only counted")
    func filters() {
        let (h, group) = self.home(["a", "b", "c"])
        h.want(.eds, ["e"])
        h.delta(.eds, "n2", ["e@5"])
        func run(_ filter: ResourceWalk.Filter) -> (names: [String], skipped: Int) {
            let walk = ResourceWalk(group, filter)
            while walk.advance(limit: 2) {}
            return (self.found(walk), walk.skipped)
        }
        #expect(run(ResourceWalk.Filter(typeURL: XDSType.eds.typeURL)).names == ["e@5"])
        #expect(run(ResourceWalk.Filter(name: "b")).names == ["b@1"])
        #expect(run(ResourceWalk.Filter(typeURL: XDSType.eds.typeURL, name: "b")).names.isEmpty)
        let after = run(ResourceWalk.Filter(after: (XDSType.cds.typeURL, "b")))
        #expect(after.names == ["c@1", "e@5"] && after.skipped == 2)
        let later = run(ResourceWalk.Filter(after: (XDSType.eds.typeURL, "")))
        #expect(later.names == ["e@5"] && later.skipped == 3)
    }

    // MARK: Streams

    private func shard(_ count: Int, names: [String] = []) -> ShardHarness {
        let h = ShardHarness()
        for number in 0..<count {
            let client = h.open(.sotw)
            client.request(.eds, names.isEmpty ? ["e"] : names, node: "n\(number)")
        }
        h.settle()
        return h
    }

    @Test("pages of streams: each once, in the order of slots, with the number of all", arguments: [1, 3, 10])
    func streamPages(_ limit: Int) {
        let h = self.shard(10)
        var nodes: [String] = []
        var start: Int? = 0
        while let from = start {
            let walk = StreamWalk(StreamFilter(), from: from, limit: limit, budget: 1 << 20)
            while walk.advance(h.shard, slots: 4) {}
            #expect(walk.matched == 10)
            nodes += walk.streams.map(\.nodeID)
            start = walk.next
        }
        #expect(nodes == (0..<10).map { "n\($0)" })
    }

    @Test("a page that is full by its bytes still has one stream")
    func budget() {
        let h = self.shard(3)
        let walk = StreamWalk(StreamFilter(), from: 1, limit: 10, budget: 1)
        while walk.advance(h.shard, slots: 1) {}
        #expect(walk.streams.map(\.nodeID) == ["n1"] && walk.next == 2 && walk.matched == 3)
    }

    @Test("many names are copied in several steps, once for all streams that share the subscription")
    func manyNames() {
        let names = (0..<10_000).map { "e\($0)" }
        let h = self.shard(3, names: names)
        // Two streams of one group, for names are a group's.
        let twin = h.open(.sotw)
        twin.request(.eds, names, node: "n0")
        h.settle()
        let walk = StreamWalk(StreamFilter(), from: 0, limit: 10, budget: 1 << 30)
        var steps = 0
        while walk.advance(h.shard, slots: 100) { steps += 1 }
        #expect(steps >= 6, "three lists of 10 000 names, 4096 at a time")
        #expect(walk.streams.count == 4 && walk.streams[0].types[0].names == names.sorted())
        #expect(walk.streams[0].types[0].subscribed === walk.streams[3].types[0].subscribed)
    }

    @Test("a subscription that changes while its names are copied is copied as it is then")
    func namesChange() {
        let h = ShardHarness()
        let client = h.open(.sotw)
        client.request(.eds, (0..<5000).map { "a\($0)" })
        h.settle()
        let walk = StreamWalk(StreamFilter(), from: 0, limit: 10, budget: 1 << 30)
        #expect(walk.advance(h.shard, slots: 1))
        let new = (0..<6000).map { "b\($0)" }
        client.request(.eds, new)
        h.settle()
        while walk.advance(h.shard, slots: 1) {}
        #expect(walk.streams.map { $0.types[0].names } == [new.sorted()])
    }

    @Test("the census counts streams by group, type and service")
    func census() {
        let h = self.shard(5)
        let twin = h.open(.delta)
        twin.delta(.cds, add: ["*"], node: "n0")
        h.settle()
        let census = Census()
        while census.advance(h.shard, slots: 2) {}
        let counts = census.result(h.shard)
        #expect(counts.byKey == ["n0": 2, "n1": 1, "n2": 1, "n3": 1, "n4": 1])
        #expect(counts.byService.map { "\($0.key.variant) \($0.value)" }.sorted() == ["delta 1", "sotw 5"])
        #expect(counts.byKey == h.shard.streamsByKey() && counts.byService == h.shard.streamCounts())
        func text(_ views: [ViewStatus]) -> [String] {
            views.map { "\($0.key) \($0.type.label) \($0.streams) \($0.acked) \($0.nacked) \($0.pending)" }.sorted()
        }
        #expect(text(counts.views) == text(h.shard.viewStatuses()))
    }

    // MARK: Explanations

    @Test("a client that lacks something: what its worker knows of it")
    func missing() throws {
        let h = ShardHarness()
        let client = h.open(.sotw)
        client.request(.eds, ["a", "b", "gone"])
        h.settle()
        h.publish("n", .eds, lane: .named, ["a@1"])
        _ = client.take()
        h.publish("n", .eds, lane: .named, ["b@1"])
        let status = try #require(h.shard.streamStatuses(from: 0, limit: 1).streams.first)
        let type = try #require(h.shard.explain(status)?.types.first)
        #expect((type.sent, type.accepted, type.missing) == (1, 0, 2))
        let causes = Dictionary(uniqueKeysWithValues: type.missingNames.map { ($0.name, "\($0.cause)") })
        #expect(causes["gone"] == "nothingHere")
        #expect(causes["b"]?.contains("acknowledgement") == true)
    }

    @Test("what the home knows of names that are missing")
    func home() throws {
        let h = HomeHarness(.delta)
        h.join()
        h.want(.eds, ["a", "b", "c"])
        let group = FederatedGroup(
            own: h.group, upstream: "u", routes: AuthorityRoutes([:]), makeOrigin: { _ in h.group })
        func names() throws -> [String: String] {
            let all = group.explain(typeURL: XDSType.eds.typeURL, names: ["a", "b", "c", "d"], now: h.now)
            return try #require(all.first).names.mapValues { String("\($0)".prefix { $0 != "(" }) }
        }
        #expect(try names() == ["a": "notAsked", "b": "notAsked", "c": "notAsked", "d": "notAsked"])
        h.open()
        #expect(try names() == ["a": "asked", "b": "asked", "c": "asked", "d": "notAsked"])
        h.delta(.eds, "n1", ["a@1"], removed: ["b"])
        #expect(try names() == ["a": "present", "b": "absent", "c": "asked", "d": "notAsked"])
        h.advance(.seconds(16))
        #expect(try names()["c"] == "absent")
    }
}
