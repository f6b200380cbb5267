import Testing
import WeirBase
import WeirXDS

@testable import WeirEngine

/// Rules that change while streams live.
@Suite struct ShardRekeyingTests {
    /// A client of group "n" that holds clusters a and b, and has acknowledged them.
    private func settled(_ variant: ProtocolVariant) -> (ShardHarness, ShardHarness.Client) {
        let h = ShardHarness()
        let c = h.open(variant)
        if variant == .sotw { c.request(.cds) } else { c.delta(.cds) }
        h.publish("n", .cds, ["a@1", "b@1"])
        c.takeAndAck()
        _ = h.takeInterest(.cds)
        return (h, c)
    }

    private func rekey(_ h: ShardHarness) -> Shard.Rekeyed {
        let result = h.shard.rekey(from: 0, limit: 100)
        h.settle()
        return result
    }

    @Test("a stream whose key stays the same is sent nothing", arguments: ProtocolVariant.allCases)
    func same(_ variant: ProtocolVariant) {
        let (h, c) = self.settled(variant)
        let result = self.rekey(h)
        #expect(result.moved == 0 && result.refused == 0 && result.next == nil)
        #expect(c.take().isEmpty && h.takeInterest(.cds).isEmpty && h.shard.streamCount == 1)
    }

    @Test(
        "a stream that moves keeps what it has until the new group answers, and then has that and nothing else",
        arguments: ProtocolVariant.allCases)
    func moves(_ variant: ProtocolVariant) {
        let (h, c) = self.settled(variant)
        h.key = { _ in "m" }
        #expect(self.rekey(h).moved == 1)
        #expect(c.take().isEmpty && h.refusals.isEmpty)
        #expect(h.takeInterest(.cds).contains("+*"))
        let joined = h.commands.compactMap { if case .join = $0.command { $0.group } else { nil } }
        #expect(joined.contains("m"))
        // The same version of another group is not the same content.
        h.publish("m", .cds, ["b@1", "c@1"])
        let response = c.takeAndAck()
        #expect(response.count == 1)
        if variant == .sotw {
            #expect(Set(response[0].resources) == ["b", "c"])
        } else {
            #expect(Set(response[0].resources) == ["b@1", "c@1"] && response[0].removed == ["a"])
        }
        #expect(c.take().isEmpty)
        h.publish("m", .cds, ["d@1"])
        #expect(c.takeAndAck().count == 1)
        h.publish("n", .cds, ["e@1"])
        #expect(c.take().isEmpty, "the old group is nothing to it any more")
    }

    @Test("a stream that moves to a group with nothing hears that all is gone", arguments: ProtocolVariant.allCases)
    func movesToNothing(_ variant: ProtocolVariant) {
        let (h, c) = self.settled(variant)
        h.key = { _ in "m" }
        _ = self.rekey(h)
        #expect(c.take().isEmpty)
        h.publish("m", .cds, [], wildcardKnown: true)
        let response = c.takeAndAck()
        #expect(response.count == 1 && response[0].resources.isEmpty)
        if variant == .delta { #expect(Set(response[0].removed) == ["a", "b"]) }
        #expect(c.take().isEmpty)
    }

    @Test("what left the old group before its client was told is gone from it after the move")
    func behind() {
        let (h, c) = self.settled(.delta)
        h.publish("n", .cds, ["c@1"])
        h.publish("n", .cds, ["-a"])
        // The first of these has not been answered, so the client has not been told of the second.
        #expect(c.take().flatMap(\.removed).isEmpty)
        h.key = { _ in "m" }
        _ = self.rekey(h)
        h.publish("m", .cds, ["c@2"])
        let removed = c.takeAndAck().flatMap(\.removed)
        #expect(Set(removed) == ["a", "b"])
    }

    @Test("names move with their stream", arguments: ProtocolVariant.allCases)
    func names(_ variant: ProtocolVariant) {
        let h = ShardHarness()
        let c = h.open(variant)
        if variant == .sotw { c.request(.eds, ["a", "z"]) } else { c.delta(.eds, add: ["a", "z"]) }
        h.publish("n", .eds, lane: .named, ["a@1", "z@1"])
        c.takeAndAck(["a", "z"])
        _ = h.takeInterest(.eds)
        h.key = { _ in "m" }
        _ = self.rekey(h)
        #expect(c.take().isEmpty)
        #expect(Set(h.takeInterest(.eds)).isSuperset(of: ["+a", "+z"]))
        h.publish("m", .eds, lane: .named, ["a@1"])
        #expect(c.takeAndAck(["a", "z"]).map(\.resources) == [[variant == .sotw ? "a" : "a@1"]])
        h.publish("m", .eds, lane: .named, ["-z"])
        #expect(c.take().flatMap(\.removed) == (variant == .sotw ? [] : ["z"]))
    }

    @Test(
        "an answer to the old group's response is not taken for one to the new group's",
        arguments: ProtocolVariant.allCases)
    func lateAnswer(_ variant: ProtocolVariant) {
        let h = ShardHarness()
        let c = h.open(variant)
        if variant == .sotw { c.request(.cds) } else { c.delta(.cds) }
        h.publish("n", .cds, ["a@1"])
        let late = c.take()
        h.key = { _ in "m" }
        _ = self.rekey(h)
        h.publish("m", .cds, ["a@1"])
        let new = c.take()
        #expect(new.count == 1 && new[0].nonce != late[0].nonce)
        if variant == .sotw {
            c.request(.cds, version: late[0].version, nonce: late[0].nonce)
        } else {
            c.delta(.cds, nonce: late[0].nonce)
        }
        let states = h.shard.streamStatuses(from: 0, limit: 10).streams[0].types.map(\.state)
        #expect(states == [.sent])
    }

    @Test("a stream whose new group would be of an upstream that does not run keeps its own")
    func unknownUpstream() {
        let (h, c) = self.settled(.delta)
        h.key = { _ in "m" }
        let result = h.shard.rekey(from: 0, limit: 100) { _ in false }
        h.settle()
        #expect(result.kept == 1 && result.moved == 0 && h.takeInterest(.cds).isEmpty)
        h.publish("n", .cds, ["a@2"])
        #expect(c.take().map(\.resources) == [["a@2"]])
    }

    @Test("a stream that no rule matches any more ends; one whose node was not kept whole stays")
    func refusedAndKept() {
        let h = ShardHarness()
        let (small, big) = (h.open(.delta), h.open(.delta))
        small.delta(.cds)
        big.delta(.cds, node: "big")
        h.settle()
        h.key = { _ in "" }
        let result = self.rekey(h)
        #expect(result.refused == 1 && result.kept == 1 && result.moved == 0)
        #expect(h.refusals.map(\.code) == [.invalidArgument] && h.shard.streamCount == 1)
    }

    @Test("AGG-03 where names make the key, an ACK in delta changes nothing, and giving up a name moves the rest")
    func namesMakeTheKey() {
        let h = ShardHarness(scope: .request)
        let c = h.open(.delta)
        c.delta(.eds, add: ["a", "b"])
        h.publish("n/a", .eds, ["a@1", "b@1"])
        // Without names of its own, the ACK would have another key.
        #expect(c.takeAndAck().flatMap(\.resources) == ["a@1", "b@1"])
        #expect(h.refusals.isEmpty && h.shard.streamCount == 1)
        h.publish("n/a", .eds, ["b@2"])
        #expect(c.takeAndAck().flatMap(\.resources) == ["b@2"])
        c.delta(.eds, add: ["c"])
        h.publish("n/a", .eds, ["c@1"])
        #expect(c.takeAndAck().flatMap(\.resources) == ["c@1"], "the key is that of all names, in their order")

        c.delta(.eds, remove: ["a"])
        h.publish("n/b", .eds, ["b@3", "c@3"])
        #expect(Set(c.takeAndAck().flatMap(\.resources)) == ["b@3", "c@3"], "what it still wants comes from there")
        h.publish("n/a", .eds, ["b@4"])
        #expect(c.take().isEmpty, "the old group is nothing to it any more")
        c.delta(.eds, remove: ["b", "c"])
        h.settle()
        #expect(c.take().isEmpty && h.refusals.isEmpty, "without any name it stays where it is")
    }
}
