import Testing
import WeirBase

@testable import WeirHTTP2

@Suite struct ChaosTests {
    @Test("whatever the two sides do, in whatever cuts, each stream ends once on each side", arguments: 0..<200)
    func commands(seed: Int) {
        var generator = SeededGenerator(seed: UInt64(seed))
        let pair = Pair(seed: UInt64(seed) + 7, pieceMax: 600)
        pair.serverSide.onMessage = { session, stream, message in
            try? session.send(stream, GRPCFrame.body(message, tailCount: 2), MessageTail([1, 2]))
        }
        var opened = 0
        for _ in 0..<150 {
            let ids = pair.client.streamIDs
            let id = ids.randomElement(using: &generator) ?? 1
            switch Int.random(in: 0..<14, using: &generator) {
            case 0, 1: if pair.open() > 0 { opened += 1 }
            case 2, 3, 4:
                let size = [0, 3, 100, 40_000].randomElement(using: &generator) ?? 0
                try? pair.client.send(id, GRPCFrame.body([UInt8](repeating: 3, count: size)))
            case 5: pair.client.halfClose(id)
            case 6: pair.client.reset(id, .cancel)
            case 7: pair.server.finish(id, .notFound, "ü")
            case 8: pair.server.reset(id, .internalError)
            case 9: pair.server.respond(id)
            case 10: pair.server.pause(id)
            case 11: pair.server.resume(id)
            case 12: pair.client.resume(id)
            default: _ = pair.step()
            }
        }
        if seed % 3 == 0 { pair.server.goAway() }
        pair.run()
        #expect(pair.errors.isEmpty)
        #expect(pair.server.violation == nil)
        #expect(pair.client.violation == nil)
        pair.client.abandon(.unavailable, "end")
        pair.server.abandon(.unavailable, "end")
        #expect(pair.clientSide.ends.count == opened)
        #expect(pair.serverSide.ends.count == pair.serverSide.openedCount)
        #expect(pair.server.partialBytes == 0 && pair.client.partialBytes == 0)
        #expect(pair.server.streamCount == 0 && pair.client.streamCount == 0)
    }

    @Test("a client survives damaged answers, and still ends each call once", arguments: 0..<300)
    func damagedAnswers(seed: Int) throws {
        var generator = SeededGenerator(seed: UInt64(seed))
        let pair = Pair()
        pair.serverSide.onOpened = { session, stream in
            session.respond(stream)
            try? session.send(stream, GRPCFrame.body(pattern(50)))
            session.finish(stream, .aborted, "text")
        }
        for _ in 0..<3 { _ = pair.open() }
        pair.deliver(pair.pull(pair.client), to: pair.server)
        var answer = pair.pull(pair.server)
        for _ in 0...(seed % 10) {
            let index = Int.random(in: 0..<answer.count, using: &generator)
            answer[index] = UInt8.random(in: 0...255, using: &generator)
        }
        if seed % 2 == 0 { answer += pattern(200, seed: UInt64(seed)) }
        pair.deliver(answer, to: pair.client)
        _ = pair.pull(pair.client)
        pair.client.abandon(.unavailable, "end")
        #expect(pair.clientSide.ends.count == 3)
        #expect(pair.client.partialBytes == 0)
    }
}
