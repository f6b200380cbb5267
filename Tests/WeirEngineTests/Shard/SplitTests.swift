import Testing
import WeirBase
import WeirXDS

@testable import WeirEngine

@Suite struct SplitTests {
    private static func entries(_ count: Int, _ content: Int = 1) -> [[UInt8]] {
        (0..<count).map { ContentHarness.entry(.cds, "c\($0)", content) }
    }

    /// Reads all that a client is sent, acknowledging each batch; how many responses came at once.
    private static func readAll(_ client: ContentHarness.Client, _ names: inout [String]) -> [Int] {
        var batches: [Int] = []
        while batches.count < 1000 {
            let texts = client.takeAndAck()
            if texts.isEmpty { break }
            batches.append(texts.count)
            for text in texts { names += text.split(separator: " ").dropFirst().map(String.init) }
        }
        return batches
    }

    @Test("DELTA-21 WIRE-06 an answer of hundreds of pieces comes batch by batch, each once, all in the end")
    func batches() {
        let h = ContentHarness(.delta, { $0.maxResponseBytes = 256 })
        let client = h.connect(.delta)
        client.subscribe(.cds, [])
        h.respond(.cds, Self.entries(600))
        var names: [String] = []
        let batches = Self.readAll(client, &names)
        #expect(batches.count > 2 && batches.allSatisfy { $0 <= 32 })
        #expect(names.sorted() == (0..<600).map { "c\($0)@1" }.sorted())
        // The whole set changes, and then goes: the same for clients that are settled.
        h.respond(.cds, Self.entries(600, 2))
        names = []
        #expect(Self.readAll(client, &names).allSatisfy { $0 <= 32 })
        #expect(names.sorted() == (0..<600).map { "c\($0)@2" }.sorted())
        h.respond(.cds, [], removed: (0..<600).map { "c\($0)" })
        names = []
        #expect(Self.readAll(client, &names).allSatisfy { $0 <= 32 })
        #expect(names.sorted() == (0..<600).map { "-c\($0)" }.sorted())
        #expect(ShardInspection(h.shard).faults == [])
    }

    @Test("DELTA-12 DELTA-21 what a returning client holds and is gone is told batch by batch")
    func resumption() {
        let h = ContentHarness(.delta, { $0.maxResponseBytes = 256 })
        let first = h.connect(.delta)
        first.subscribe(.cds, [])
        h.respond(.cds, Self.entries(100))
        var names: [String] = []
        _ = Self.readAll(first, &names)
        let back = h.connect(.delta)
        let held = Dictionary(
            uniqueKeysWithValues: (0..<50).map { ("c\($0)", "1") } + (0..<900).map { ("gone\($0)", "1") })
        back.subscribe(.cds, [], held: held)
        names = []
        #expect(Self.readAll(back, &names).allSatisfy { $0 <= 32 })
        #expect(names.sorted() == ((50..<100).map { "c\($0)@1" } + (0..<900).map { "-gone\($0)" }).sorted())
        #expect(ShardInspection(h.shard).faults == [])
    }

    @Test("DELTA-21 WIRE-14 a client that reads and answers nothing has a bounded number of messages under way")
    func silent() {
        let h = ContentHarness(.delta, { $0.maxResponseBytes = 256 })
        let client = h.connect(.delta)
        client.isStuck = true
        for type in [XDSType.cds, .lds, .rds, .eds, .sds] {
            client.subscribe(type, type.isFullSet ? [] : (0..<600).map { "c\($0)" })
            h.advance(.milliseconds(20))
            h.respond(type, (0..<600).map { ContentHarness.entry(type, "c\($0)", 1) })
        }
        for _ in 0..<10 { h.advance(.seconds(6)) }
        #expect((1...64).contains(client.inbox.count))
        client.isStuck = false
        var names: [String] = []
        _ = Self.readAll(client, &names)
        // Endpoints may come again after their clusters (ORD-05).
        #expect((3000...3600).contains(names.count) && Set(names).count == 600)
    }
}
