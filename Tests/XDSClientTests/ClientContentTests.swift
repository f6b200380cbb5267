import Testing
import WeirBase
import WeirEngine
import WeirXDS

@testable import XDSClient

private func resource(_ name: String, _ content: String) -> Resource {
    let any = XDSResource(type: .rds, name: name, value: Array(content.utf8)).encodedAny
    return Resource(
        name: name, version: nil, type: .rds, any: ByteRange(offset: 0, count: any.count), in: any.span)
}

/// A client's content behind a reference, for the macros of the tests.
private final class Follower {
    private var content = ClientContent()

    func apply(_ update: TypeUpdate) -> XDSClient.Change? { self.content.apply(update) }
}

private func change(_ name: String, _ presence: Presence, _ lane: Lane = .named) -> ResourceChange {
    ResourceChange(lane: lane, name: name, presence: presence)
}

private func update(_ changes: [ResourceChange], isFull: Bool = false) -> TypeUpdate {
    TypeUpdate(
        typeURL: XDSType.rds.typeURL, generation: 1, isFull: isFull, changes: changes, wildcardKnown: true,
        version: "7", passesVersionToSotW: true, receivedAt: Instant(rawValue: 0), receivedAtWall: WallTime(rawValue: 0)
    )
}

@Suite("What a client is told of a change")
struct ClientContentTests {
    @Test("new and changed resources come with their content, version and type")
    func updated() throws {
        let content = Follower()
        let first = try #require(
            content.apply(
                update([change("b", .present(resource("b", "1"))), change("a", .present(resource("a", "1")))])))
        #expect(first.updated.map(\.name) == ["a", "b"])
        #expect(first.updated[0].value == Array("1".utf8))
        #expect(first.updated[0].messageURL == XDSType.rds.typeURL)
        #expect(first.version == "7" && first.type == .rds)
        let second = try #require(content.apply(update([change("a", .present(resource("a", "2")))])))
        #expect(second.updated.map(\.value) == [Array("2".utf8)])
        #expect(second.removed.isEmpty && second.missing.isEmpty)
    }

    @Test("the same content again is no news, nor is what a wildcard brings beside a name")
    func same() {
        let content = Follower()
        #expect(content.apply(update([change("a", .present(resource("a", "1")))])) != nil)
        #expect(content.apply(update([change("a", .present(resource("a", "1")))])) == nil)
        #expect(content.apply(update([change("a", .present(resource("a", "1")), .wildcard)])) == nil)
        // One of the two goes: it is still there.
        #expect(content.apply(update([change("a", .absent, .wildcard)])) == nil)
        #expect(content.apply(update([change("a", .absent)]))?.removed == ["a"])
    }

    @Test("what goes is removed, what never was is missing, and what was given up is forgotten in silence")
    func gone() throws {
        let content = Follower()
        _ = content.apply(
            update([change("a", .present(resource("a", "1"))), change("b", .present(resource("b", "1")))]))
        let gone = try #require(content.apply(update([change("a", .absent), change("x", .absent)])))
        #expect(gone.removed == ["a"])
        #expect(gone.missing == ["x"])
        #expect(content.apply(update([change("b", .unknown)])) == nil)
        #expect(content.apply(update([change("b", .present(resource("b", "1")))]))?.updated.map(\.name) == ["b"])
    }

    @Test("a full state says what differs from what is held, and what it lacks is gone")
    func full() throws {
        let content = Follower()
        _ = content.apply(
            update([change("a", .present(resource("a", "1"))), change("b", .present(resource("b", "1")))]))
        let full = update(
            [change("b", .present(resource("b", "1"))), change("c", .present(resource("c", "1")))], isFull: true)
        let told = try #require(content.apply(full))
        #expect(told.updated.map(\.name) == ["c"])
        #expect(told.removed == ["a"])
    }

    @Test("an error of a name is told, and what is held of it stays")
    func errors() throws {
        let content = Follower()
        _ = content.apply(update([change("a", .present(resource("a", "1")))]))
        var failed = change("a", .unknown)
        failed.isRefresh = true
        var encoded = WireWriter()
        var name = WireWriter()
        name.string(1, "a")
        encoded.message(1, name.bytes)
        encoded.message(2, ErrorDetail(code: 7, message: "not for you").encoded)
        failed.error = try ResourceError.read(
            ByteRange(offset: 0, count: encoded.bytes.count), in: encoded.bytes.span
        ).error
        let told = try #require(content.apply(update([failed])))
        #expect(told.errors["a"]?.code == 7)
        #expect(told.errors["a"]?.message == "not for you")
        #expect(told.updated.isEmpty && told.removed.isEmpty)
        #expect(content.apply(update([change("a", .absent)]))?.removed == ["a"])
    }
}
