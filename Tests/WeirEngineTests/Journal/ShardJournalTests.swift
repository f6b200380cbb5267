import Testing
import WeirBase
import WeirXDS

@testable import WeirEngine

/// What a worker tells of pushes and of its streams.
struct ShardJournalTests {
    private func acknowledged(_ h: ShardHarness) -> [UInt64] {
        h.events.compactMap { event in
            if case .acknowledged(_, _, let push) = event { push.rawValue } else { nil }
        }
    }

    private func push(_ h: ShardHarness, _ number: UInt64, type: XDSType = .cds, _ changes: [String]) {
        h.push = PushID(rawValue: number)
        h.publish("k", type, changes)
    }

    /// Streams of one group that have the first state.
    private func fleet(_ h: ShardHarness, _ count: Int) -> [ShardHarness.Client] {
        h.key = { _ in "k" }
        let clients = (0..<count).map { _ in h.open(.sotw) }
        for (index, client) in clients.enumerated() { client.request(.cds, node: "n\(index)") }
        h.settle()
        self.push(h, 1, ["a@1"])
        for client in clients { client.takeAndAck() }
        h.settle()
        return clients
    }

    @Test("a push is acknowledged when the last stream has answered, and a stream that leaves is not waited for")
    func acknowledged() {
        let h = ShardHarness()
        let clients = self.fleet(h, 3)
        #expect(self.acknowledged(h) == [1])
        self.push(h, 2, ["a@2"])
        #expect(h.taken.last?.push.rawValue == 2 && h.taken.last?.responses == 3)
        clients[0].takeAndAck()
        clients[1].takeAndAck()
        h.settle()
        #expect(self.acknowledged(h) == [1])
        h.shard.close(clients[2].id)
        h.settle()
        #expect(self.acknowledged(h) == [1, 2])
    }

    @Test("a push that overtakes another is acknowledged for both")
    func overtaken() {
        let h = ShardHarness()
        let clients = self.fleet(h, 2)
        self.push(h, 2, ["a@2"])
        self.push(h, 3, ["a@3"])
        #expect(h.taken.suffix(2).map(\.responses) == [2, 0])
        for client in clients { client.takeAndAck() }
        h.settle()
        #expect(self.acknowledged(h) == [1])
        for client in clients { client.takeAndAck() }
        h.settle()
        #expect(self.acknowledged(h) == [1, 3])
    }

    @Test("a push that concerns no stream, or a type that nobody has any more, is acknowledged at once")
    func nobody() {
        let h = ShardHarness()
        self.push(h, 7, type: .eds, ["a@1"])
        h.settle()
        #expect(h.taken.map(\.push.rawValue) == [7] && self.acknowledged(h) == [7])
    }

    @Test("a rejection names the push whose content the client was sent")
    func rejected() {
        let h = ShardHarness()
        let clients = self.fleet(h, 1)
        self.push(h, 2, ["a@2"])
        self.push(h, 3, ["a@3"])
        let response = clients[0].take()[0]
        clients[0].request(.cds, version: "v", nonce: response.nonce, error: "no")
        h.settle()
        let pushes = h.events.compactMap { event -> UInt64? in
            if case .nack(_, _, _, _, let push, _) = event { push.rawValue } else { nil }
        }
        #expect(pushes == [2])
    }

    @Test("without listeners nothing is taken down, and with them what one of them wants")
    func live() {
        let h = ShardHarness()
        let clients = self.fleet(h, 2)
        #expect(h.live.isEmpty)
        h.shard.watch = EventInterest([EventFilter(node: "n1"), EventFilter(kinds: [.ack])])
        self.push(h, 2, ["a@2"])
        for client in clients { client.takeAndAck() }
        h.shard.close(clients[0].id)
        h.shard.close(clients[1].id)
        h.settle()
        #expect(
            h.live.map { "\($0.kind.rawValue) \($0.node) \($0.push.rawValue)" } == [
                "response n1 2", "ack n0 2", "ack n1 2", "disconnect n1 0",
            ])
        h.shard.watch = nil
        let late = h.open(.delta)
        late.delta(.cds, node: "n1")
        h.settle()
        #expect(h.live.count == 4)
    }
}
