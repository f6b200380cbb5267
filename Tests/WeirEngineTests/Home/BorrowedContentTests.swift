import Testing
import WeirBase
import WeirXDS

@testable import WeirEngine

/// What a group holds from a sibling relay, and what it gives to one.
@Suite struct BorrowedContentTests {
    private func borrow(_ h: HomeHarness, _ number: Int = 0) {
        h.group.streamOpened(number, server: "sibling", now: h.now, isBorrowed: true)
        h.collect()
    }

    private func answer(_ h: HomeHarness, _ type: XDSType, _ version: String, _ resources: [String]) {
        if h.group.variant == .sotw {
            h.sotw(type, version, "n\(version)", resources)
        } else {
            h.delta(type, "n\(version)", resources)
        }
    }

    @Test(
        "what a sibling sent is served, is not the origin's, and goes when the origin's answer has it not",
        arguments: ProtocolVariant.allCases)
    func replaced(_ variant: ProtocolVariant) {
        let h = HomeHarness(variant)
        h.join()
        h.want(.cds, wildcard: true)
        self.borrow(h)
        #expect(!h.group.origin.isConnected && !h.group.origin.isBorrowed)
        self.answer(h, .cds, "1", ["a@1", "b@1"])
        #expect(h.takeUpdates() == ["a@1 b@1"])
        #expect(!h.group.origin.isConnected && h.group.origin.isBorrowed && h.states.last?.isBorrowed == true)
        _ = h.takeRequests()
        h.lose()
        #expect(h.group.origin.isBorrowed)
        h.open(server: "origin")
        // The sibling's versions mean nothing to the origin.
        #expect(!h.takeRequests().joined().contains("@1"))
        #expect(h.group.origin.isConnected && h.group.origin.isBorrowed)
        self.answer(h, .cds, "1", ["b@1", "c@1"])
        h.advance(.seconds(1))
        let held = Set(h.group.resources(typeURL: XDSType.cds.typeURL).map(\.name))
        #expect(held == ["b", "c"])
        #expect(!h.group.origin.isBorrowed && h.states.last?.isBorrowed == false)
    }

    @Test("UP-12 a sibling's silence declares nothing missing, and the origin's ends what was borrowed")
    func silence() {
        let h = HomeHarness(.sotw)
        h.join()
        h.want(.eds, ["a", "z"])
        self.borrow(h)
        h.sotw(.eds, "1", "n1", ["a@1"])
        _ = h.takeUpdates()
        h.advance(.seconds(40))
        #expect(h.takeUpdates().isEmpty)
        h.lose()
        h.open(server: "origin")
        h.advance(.seconds(16))
        #expect(Set(h.takeUpdates().joined(separator: " ").split(separator: " ")) == ["'-a", "'-z"])
        #expect(!h.group.origin.isBorrowed)
    }

    // MARK: The other side

    private func sibling(_ h: ShardHarness, of key: String) -> ShardHarness.Client {
        let id = h.shard.open(
            handle: 900,
            service: DiscoveryService.all.first { $0.variant == .delta && $0.type == nil } ?? DiscoveryService.all[0],
            peer: PeerIdentity(address: "127.0.0.1:9", names: []), sibling: Shard.digest(ofKey: key))
        return ShardHarness.Client(id: id, handle: 900, variant: .delta, harness: h)
    }

    @Test("a sibling is given what the origin has confirmed")
    func served() {
        let h = ShardHarness()
        let (client, sibling) = (h.open(.delta), self.sibling(h, of: "n"))
        client.delta(.cds)
        h.publish("n", .cds, ["a@1"])
        sibling.delta(.cds)
        #expect(sibling.take().map(\.resources) == [["a@1"]] && h.refusals.isEmpty)
        h.advance(.seconds(2))
        #expect(h.refusals.isEmpty)
    }

    @Test("a sibling whose node has another key here is given nothing")
    func otherKey() {
        let h = ShardHarness()
        let sibling = self.sibling(h, of: "m")
        sibling.delta(.cds)
        h.settle()
        #expect(h.refusals.map(\.code) == [.unavailable] && h.refusals.map(\.reason) == [.notConfirmed])
        #expect(h.shard.groupIndex.isEmpty)
    }

    @Test("what is borrowed is not given to another sibling, before or after it came")
    func notPassedOn() {
        for isFirst in [true, false] {
            let h = ShardHarness()
            let client = h.open(.delta)
            client.delta(.cds)
            h.settle()
            let borrowed = OriginState(isConnected: false, server: "s", lastError: "away", isBorrowed: true)
            if isFirst { h.shard.originChanged(group: "n", borrowed) }
            let sibling = self.sibling(h, of: "n")
            sibling.delta(.cds)
            h.settle()
            if !isFirst { h.shard.originChanged(group: "n", borrowed) }
            h.publish("n", .cds, ["a@1"])
            #expect(h.refusals.map(\.reason) == [.notConfirmed])
            #expect(sibling.take().isEmpty)
            #expect(client.take().map(\.resources) == [["a@1"]])
        }
    }

    @Test("who waits for a cold group has siblings asked; a sibling that waits has not, and is not kept waiting")
    func warmth() {
        let h = ShardHarness()
        let away = OriginState(isConnected: false, server: "s", lastError: "away")
        let sibling = self.sibling(h, of: "n")
        sibling.delta(.cds)
        h.settle()
        h.shard.originChanged(group: "n", away)
        h.advance(.milliseconds(900))
        #expect(!h.commands.contains { if case .warm = $0.command { true } else { false } })
        h.advance(.milliseconds(200))
        #expect(h.refusals.map(\.reason) == [.notConfirmed])
        let client = h.open(.delta)
        client.delta(.cds)
        h.settle()
        h.shard.originChanged(group: "n", away)
        h.advance(.milliseconds(100))
        #expect(h.commands.contains { if case .warm = $0.command { true } else { false } })
    }
}
