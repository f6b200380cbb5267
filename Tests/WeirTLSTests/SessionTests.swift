import Testing
import WeirBase

@testable import WeirTLS

@Suite("Sessions")
struct SessionTests {
    @Test("however the ciphertext is cut, the plaintext is the same", arguments: 0..<20)
    func fragmentation(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let joined = try Joined(.mutual(), .of("envoy"))
        let sizeMax = [1, 3, 100, 5_000, 40_000].randomElement(using: &generator) ?? 1
        func cut() -> Int { Int.random(in: 1...sizeMax, using: &generator) }
        joined.pump(cut: cut)
        #expect(joined.isDone)
        var up: [UInt8] = []
        var down: [UInt8] = []
        for round in 0..<10 {
            let count = [0, 1, 16_384, 16_385, 50_000][round % 5] / (sizeMax < 100 ? 50 : 1)
            let bytes = (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
            try joined.client.session.write(bytes.span)
            up += bytes
            try joined.server.session.write(bytes.reversed().span)
            down += bytes.reversed()
            if round % 3 == 0 { joined.pump(cut: cut) }
        }
        joined.client.session.shutdown()
        joined.pump(cut: cut)
        #expect(joined.server.plaintext == up)
        #expect(joined.client.plaintext == down)
        #expect(joined.server.session.peerClosed)
        #expect(!joined.client.session.peerClosed)
        #expect(joined.server.error == nil && joined.client.error == nil)
    }

    @Test("what the socket did not take stays, in order")
    func partialTake() throws {
        let joined = try Joined(.plain(), .of())
        joined.pump()
        try joined.client.session.write([UInt8](repeating: 7, count: 100_000).span)
        let pending = joined.client.session.pendingCiphertext
        #expect(pending > 100_000)
        var stream: [UInt8] = []
        var calls = 0
        while joined.client.session.pendingCiphertext > 0 {
            joined.client.session.takeCiphertext(upTo: 30_000) { span in
                calls += 1
                let taken = calls % 3 == 0 ? 0 : span.count / 2 + 1
                stream += span.array(ByteRange(offset: 0, count: taken))
                return taken
            }
        }
        #expect(stream.count == pending)
        joined.server.receive(stream)
        #expect(joined.server.plaintext == [UInt8](repeating: 7, count: 100_000))
    }

    @Test("a queue that never runs empty does not grow for ever")
    func steadyQueue() throws {
        let joined = try Joined(.plain(), .of())
        joined.pump()
        let block = [UInt8](repeating: 1, count: 10_000)
        for _ in 0..<200 {
            try joined.client.session.write(block.span)
            joined.server.receive(joined.client.take(joined.client.session.pendingCiphertext - 100))
        }
        #expect(joined.client.session.pendingCiphertext == 100)
        joined.pump()
        #expect(joined.server.plaintext.count == 200 * block.count)
    }

    @Test("garbage before the handshake is an error, never a crash", arguments: 0..<200)
    func garbage(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let joined = try Joined(.mutual(), .of("envoy"))
        let bytes = (0..<Int.random(in: 1...600, using: &generator)).map { _ in
            UInt8.random(in: 0...255, using: &generator)
        }
        joined.server.receive(bytes)
        joined.client.receive(bytes)
        joined.server.receive(bytes)
        #expect(joined.server.session.handshakeState == .inProgress)
        #expect(joined.client.session.handshakeState == .inProgress)
        if bytes.count > 10, bytes[0] != 22 { #expect(joined.server.error != nil) }
    }

    @Test("one damaged byte anywhere ends the connection with an error or leaves it unfinished", arguments: 0..<100)
    func damaged(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let joined = try Joined(.mutual(), .of("envoy"))
        var left = Int.random(in: 0..<3_000, using: &generator)
        let flip = UInt8(1 << Int.random(in: 0..<8, using: &generator))
        var isDamaged = false
        func carry(_ from: End, _ to: End) {
            var bytes = from.take(.max)
            if left < bytes.count, !isDamaged {
                bytes[left] ^= flip
                isDamaged = true
            }
            left -= bytes.count
            if !bytes.isEmpty { to.receive(bytes) }
        }
        let message = Array("hello".utf8)
        var isSent = false
        for _ in 0..<20 {
            carry(joined.client, joined.server)
            carry(joined.server, joined.client)
            if joined.isDone, !isSent {
                isSent = true
                try joined.client.session.write(message.span)
            }
        }
        // Damage can hide only in bytes that nobody looks at (none are), so a damaged run never ends well.
        if isDamaged {
            #expect(joined.server.error != nil || joined.client.error != nil || joined.server.plaintext.isEmpty)
        } else {
            #expect(joined.server.plaintext == message)
        }
    }

    @Test(
        "a peer without TLS is told apart",
        arguments: [
            ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "plaintext HTTP"), ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "not TLS"),
        ])
    func plaintextPeer(text: String, reason: String) throws {
        let joined = try Joined(.plain(), .of())
        joined.server.receive(Array(text.utf8))
        #expect(
            joined.server.error?.description.contains(reason) == true, "\(joined.server.error?.description ?? "")")
    }

    @Test("after an error every call gives the same error, and shutdown is harmless")
    func stickyError() throws {
        let joined = try Joined(.plain(), .of())
        joined.server.receive(Array("no TLS at all, by any means".utf8))
        let error = try #require(joined.server.error)
        joined.server.session.shutdown()
        #expect(throws: error) { try joined.server.session.receive(([1, 2, 3] as [UInt8]).span) }
        #expect(throws: error) { try joined.server.session.readPlaintext { _ in } }
    }
}
