import Testing
import WeirBase
import WeirXDS

@testable import WeirEngine

/// Updates that a worker takes in several turns.
@Suite struct LargeUpdateTests {
    private static func update(_ generation: Generation, full: Bool, _ names: [String]) -> TypeUpdate {
        TypeUpdate(
            typeURL: XDSType.cds.typeURL, generation: generation, isFull: full,
            changes: names.map {
                let resource = ShardHarness.resource(.cds, $0, "\(generation)", "content")
                return ResourceChange(lane: .wildcard, name: $0, presence: .present(resource))
            },
            wildcardKnown: true, version: "v\(generation)", passesVersionToSotW: false,
            receivedAt: Instant(rawValue: 0), receivedAtWall: WallTime(rawValue: 0))
    }

    private static func ask(_ h: ShardHarness, _ variant: ProtocolVariant) -> ShardHarness.Client {
        let client = h.open(variant)
        if variant == .sotw { client.request(.cds) } else { client.delta(.cds) }
        h.settle()
        return client
    }

    @Test(
        "AGG-21 an update that is taken in several turns shows nobody a part of it",
        arguments: ProtocolVariant.allCases,
        [false, true])
    func whole(_ variant: ProtocolVariant, isFirst: Bool) {
        let h = ShardHarness { $0.changesAtOnceMax = 2 }
        let client = Self.ask(h, variant)
        if !isFirst {
            h.shard.update(group: "n", Self.update(1, full: true, ["a", "gone"]))
            h.settle()
            #expect(client.takeAndAck().count == 1)
        }
        let large = Self.update(2, full: true, ["a", "b", "c", "d", "e"])
        #expect(h.shard.isLarge(large))
        var steps = 0
        var position: Int? = 0
        while let next = position {
            position = h.shard.prepare(group: "n", large, from: next)
            h.settle()
            steps += 1
            // Nobody hears of it, and who comes now gets what was there before, or what is there then.
            #expect(client.take().isEmpty)
            guard position != nil else { break }
            let late = Self.ask(h, variant)
            let names = late.take().flatMap(\.resources).map { String($0.prefix { $0 != "@" }) }
            #expect(names.sorted() == (isFirst ? [] : ["a", "gone"]))
        }
        #expect(steps == 4)
        h.shard.update(group: "n", large)
        h.settle()
        let told = client.takeAndAck()
        #expect(
            told.flatMap(\.resources).map { String($0.prefix { $0 != "@" }) }.sorted() == ["a", "b", "c", "d", "e"])
        if variant == .delta, !isFirst { #expect(told.flatMap(\.removed) == ["gone"]) }
    }

    @Test("AGG-07 a type that is given up while an update is prepared forgets that as well")
    func givenUp() {
        let h = ShardHarness { $0.changesAtOnceMax = 2 }
        let client = Self.ask(h, .delta)
        let large = Self.update(1, full: true, ["a", "b", "c"])
        #expect(h.shard.prepare(group: "n", large, from: 0) == 2)
        #expect(h.shard.prepare(group: "n", large, from: 2) == 3)
        #expect(h.shard.prepare(group: "n", large, from: 3) == nil)
        h.shard.close(client.id)
        h.settle()
        let next = Self.ask(h, .delta)
        h.shard.update(group: "n", Self.update(2, full: true, ["b"]))
        h.settle()
        #expect(next.take().flatMap(\.resources) == ["b@2"])
    }

    @Test("names that a large update only takes away from others are not remembered")
    func takenFromOthers() {
        let h = ShardHarness { $0.changesAtOnceMax = 2 }
        let client = Self.ask(h, .delta)
        h.shard.update(group: "n", Self.update(1, full: true, ["a"]))
        h.settle()
        #expect(client.takeAndAck().count == 1)
        var large = Self.update(2, full: false, ["b"])
        large.changes += ["c", "d"].map { ResourceChange(lane: .wildcard, name: $0, presence: .unknown) }
        var position: Int? = 0
        while let next = position { position = h.shard.prepare(group: "n", large, from: next) }
        h.shard.update(group: "n", large)
        h.settle()
        #expect(client.takeAndAck().flatMap(\.resources) == ["b@2"])
        h.settle()
        #expect(ShardInspection(h.shard).faults == [])
    }
}
