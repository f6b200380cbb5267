import Testing
import WeirBase
import WeirXDS

@testable import WeirEngine

/// A worker gives something up and wants it again before its home has heard of either.
@Suite struct CrossingWishesTests {
    private static func update(
        _ generation: Generation, type: XDSType = .leds, full: Bool = false, _ changes: [String]
    ) -> TypeUpdate {
        TypeUpdate(
            typeURL: type.typeURL, generation: generation, isFull: full, changes: changes.map { self.change($0, type) },
            wildcardKnown: false, version: "v\(generation)", passesVersionToSotW: false,
            receivedAt: Instant(rawValue: 0), receivedAtWall: WallTime(rawValue: 0))
    }

    /// `+c/*` has members, `?a` is unknown, `-a` absent, `!a` an error, `a@1` is there.
    private static func change(_ text: String, _ type: XDSType) -> ResourceChange {
        let name = String(text.dropFirst())
        switch text.first {
        case "+": return ResourceChange(lane: .named, name: name, presence: .populated)
        case "?": return ResourceChange(lane: .named, name: name, presence: .unknown)
        case "-": return ResourceChange(lane: .named, name: name, presence: .absent)
        case "!":
            let bytes = ContentHarness.error(name, 14)
            let error = try? ResourceError.read(ByteRange(offset: 0, count: bytes.count), in: bytes.span).error
            return ResourceChange(lane: .named, name: name, presence: .unknown, isRefresh: true, error: error)
        default:
            let parts = text.split(separator: "@").map(String.init)
            let resource = ShardHarness.resource(type, parts[0], parts[1], parts[1])
            return ResourceChange(
                lane: .named, name: parts[0], presence: .present(resource),
                collection: ResourceName.collection(of: parts[0], type: type))
        }
    }

    private func connected(_ updates: [TypeUpdate]) -> (ShardHarness, ShardHarness.Client) {
        let h = ShardHarness()
        let client = h.open(.delta)
        client.delta(.leds, add: ["c/*"])
        h.settle()
        h.shard.update(group: "n", Self.update(1, full: true, ["+c/*", "c/1@1", "c/2@1"]))
        #expect(client.takeAndAck().map(\.resources) == [["c/1@1", "c/2@1"]])
        for update in updates { h.shard.update(group: "n", update) }
        return (h, client)
    }

    @Test("NAME-03 AGG-07 a collection whose end and whose new wish cross keeps its members until it is answered")
    func crossing() {
        let (h, client) = self.connected([Self.update(2, ["?c/*", "?c/1", "?c/2"])])
        #expect(client.take() == [])
        h.shard.update(group: "n", Self.update(3, ["+c/*", "c/2@1", "c/3@1"]))
        let answers = client.takeAndAck()
        #expect(answers.map(\.removed) == [["c/1"]])
        #expect(answers.map { $0.resources.contains("c/3@1") } == [true])
        #expect(ShardInspection(h.shard).faults == [])
    }

    @Test("NAME-03 AGG-21 a whole state without a member is news of its end to those who have the collection")
    func wholeState() {
        let (h, client) = self.connected([Self.update(2, full: true, ["+c/*", "c/2@1"])])
        #expect(client.takeAndAck().map(\.removed) == [["c/1"]])
        #expect(ShardInspection(h.shard).faults == [])
    }

    @Test("NAME-03 a whole state that knows nothing of a collection leaves it as it is until it is answered")
    func unansweredState() {
        let (h, client) = self.connected([Self.update(2, full: true, ["-other"])])
        #expect(client.take() == [])
        h.shard.update(group: "n", Self.update(3, ["-c/*"]))
        let removed = client.takeAndAck().flatMap(\.removed)
        #expect(Set(removed).isSuperset(of: ["c/1", "c/2"]))
        #expect(ShardInspection(h.shard).faults == [])
    }

    @Test(
        "NAME-05 a member that was asked for by name too is gone for those who were behind when the name was given up")
    func behind() {
        let (h, client) = self.connected([])
        h.blocked.insert(client.handle)
        h.shard.update(group: "n", Self.update(2, ["c/2@2"]))
        h.settle()
        h.shard.update(group: "n", Self.update(3, ["-c/1"]))
        h.shard.update(group: "n", Self.update(4, ["?c/1"]))
        h.unblock(client)
        #expect((client.takeAndAck() + client.takeAndAck()).flatMap(\.removed) == ["c/1"])
        // Then it is forgotten.
        client.delta(.leds, remove: ["c/*"])
        client.delta(.leds, add: ["d"])
        h.settle()
        h.shard.update(group: "n", Self.update(5, ["?c/*", "?c/2", "d@1"]))
        client.takeAndAck()
        let views: [TypeView] = h.shard.views.compactMap { $0 }
        #expect(views.flatMap { view in view.entries.filter(\.isInUse).map(\.name) } == ["d"])
    }

    @Test("NAME-05 what is doubted and not wanted any more is forgotten")
    func givenUp() {
        let (h, client) = self.connected([Self.update(2, ["?c/*", "?c/1", "?c/2"])])
        client.delta(.leds, add: ["d"], remove: ["c/*"])
        h.settle()
        h.shard.update(group: "n", Self.update(3, ["d@1"]))
        #expect(client.takeAndAck().map(\.resources) == [["d@1"]])
        let views: [TypeView] = h.shard.views.compactMap { $0 }
        #expect(views.flatMap { view in view.entries.filter(\.isInUse).map(\.name) } == ["d"])
    }

    @Test("SOTW-05 UP-12 a name that is gone when it is asked for once more is removed from whole sets")
    func forgottenName() {
        let h = ShardHarness()
        let client = h.open(.sotw)
        client.request(.cds, ["x", "y"])
        h.settle()
        h.shard.update(group: "n", Self.update(1, type: .cds, full: true, ["x@1", "y@1"]))
        #expect(client.takeAndAck(["x", "y"]).map(\.resources) == [["x", "y"]])
        h.shard.update(group: "n", Self.update(2, type: .cds, ["?x"]))
        #expect(client.take() == [])
        h.shard.update(group: "n", Self.update(3, type: .cds, ["-x"]))
        #expect(client.takeAndAck(["x", "y"]).map(\.resources) == [["y"]])
        h.shard.update(group: "n", Self.update(4, type: .cds, full: true, ["-other"]))
        #expect(client.take() == [])
        h.shard.update(group: "n", Self.update(5, type: .cds, ["-y"]))
        #expect(client.takeAndAck(["x", "y"]).map(\.resources) == [[]])
    }

    @Test("SOTW-05 UP-12 who was behind when a name went hears of it, though it was given up and asked for anew since")
    func forgottenRemoval() throws {
        let h = ShardHarness()
        let client = h.open(.sotw)
        client.request(.cds, ["x", "y"])
        h.settle()
        h.shard.update(group: "n", Self.update(1, type: .cds, full: true, ["x@1", "y@1"]))
        let first = try #require(client.take().first)
        #expect(first.resources == ["x", "y"])
        for (generation, change) in [(2, "-x"), (3, "?x"), (4, "-x")] {
            h.shard.update(group: "n", Self.update(Generation(generation), type: .cds, [change]))
        }
        #expect(client.take() == [])
        client.request(.cds, ["x", "y"], version: first.version, nonce: first.nonce)
        #expect(client.takeAndAck(["x", "y"]).map(\.resources) == [["y"]])
    }

    @Test("NAME-14 an error that a whole state does not repeat is told to nobody who asks later")
    func forgottenError() {
        let h = ShardHarness()
        let client = h.open(.delta)
        client.delta(.eds, add: ["a", "b"])
        h.settle()
        h.shard.update(group: "n", Self.update(1, type: .eds, full: true, ["a@1", "!b"]))
        #expect(client.takeAndAck().count == 1)
        h.shard.update(group: "n", Self.update(2, type: .eds, full: true, ["a@1"]))
        _ = client.takeAndAck()
        let late = h.open(.delta)
        late.delta(.eds, add: ["b"])
        #expect(late.take() == [])
    }

    /// A client that came back with some members of a collection, changed its mind before the first answer, and was then
    /// answered.
    private func resumed(
        _ first: [String], held: [String: String], add: [String], remove: [String], _ changes: [String]
    ) -> [ShardHarness.Response] {
        let h = ShardHarness()
        let client = h.open(.delta)
        client.delta(.leds, add: first, held: held)
        h.settle()
        if !remove.isEmpty, add == remove {
            client.delta(.leds, add: ["r/1"], remove: remove)
            h.settle()
            client.delta(.leds, add: add)
        } else {
            client.delta(.leds, add: add, remove: remove)
        }
        h.settle()
        h.shard.update(group: "n", Self.update(1, full: true, changes))
        defer { #expect(ShardInspection(h.shard).faults == []) }
        return client.takeAndAck()
    }

    @Test("NAME-03 DELTA-12 members of a collection that was given up and asked for again are sent, whatever was held")
    func membersAgain() {
        let answers = self.resumed(
            ["c/*"], held: ["c/1": "1"], add: ["c/*"], remove: ["c/*"], ["+c/*", "c/1@1"])
        #expect(answers.flatMap(\.resources) == ["c/1@1"])
        #expect(answers.flatMap(\.removed) == [])
    }

    @Test(
        "NAME-03 DELTA-05 a collection asked for again before its first answer is sent whole, and what is gone is told")
    func collectionAgain() {
        let answers = self.resumed(
            ["c/*"], held: ["c/1": "1", "c/2": "1"], add: ["c/*"], remove: [], ["+c/*", "c/1@1"])
        #expect(answers.flatMap(\.resources) == ["c/1@1"])
        #expect(answers.flatMap(\.removed) == ["c/2"])
    }

    @Test("NAME-05 DELTA-06 what becomes of a name given up for its collection, the collection's first answer says")
    func nameForCollection() {
        let answers = self.resumed(
            ["c/2"], held: ["c/2": "1"], add: ["c/*"], remove: ["c/2"], ["+c/*", "c/1@1"])
        #expect(answers.flatMap(\.resources) == ["c/1@1"])
        #expect(answers.flatMap(\.removed) == ["c/2"])
    }
}
