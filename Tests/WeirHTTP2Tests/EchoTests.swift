import Testing
import WeirBase

@testable import WeirHTTP2

@Suite struct EchoTests {
    /// An echo server: headers at once, each message back, OK when the client is done.
    private func echo(_ pair: Pair) {
        pair.serverSide.onOpened = { $0.respond($1) }
        pair.serverSide.onMessage = { session, stream, message in
            try? session.send(stream, GRPCFrame.body(message))
        }
        pair.serverSide.onHalfClosed = { $0.finish($1, .ok) }
    }

    @Test("a call: headers, messages both ways, half-close, OK trailers; each end told once")
    func call() throws {
        let pair = Pair()
        self.echo(pair)
        let stream = pair.open("/x.Y/Z")
        try pair.client.send(stream, GRPCFrame.body([1, 2, 3]))
        try pair.client.send(stream, GRPCFrame.body([]))
        pair.client.halfClose(stream)
        pair.run()
        let ok = StreamEnd(.finished, .ok, "")
        #expect(
            pair.serverSide.events == [
                .opened(1, path: "/x.Y/Z"), .message(1, [1, 2, 3]), .message(1, []), .halfClosed(1),
                .closed(1, ok),
            ])
        #expect(
            pair.clientSide.events == [
                .drained(1), .answered(1), .message(1, [1, 2, 3]), .message(1, []), .closed(1, ok),
            ])
        #expect(pair.client.streamCount == 0 && pair.server.streamCount == 0)
        #expect(pair.errors.isEmpty)
    }

    @Test("WIRE-15 response headers come before any message")
    func earlyHeaders() {
        let pair = Pair()
        pair.serverSide.onOpened = { $0.respond($1) }
        _ = pair.open()
        pair.run()
        #expect(pair.clientSide.events == [.answered(1)])
    }

    @Test("WIRE-03 any fragmentation of the bytes gives the same events", arguments: 0..<300)
    func fragmentation(seed: Int) throws {
        func transcript(_ pair: Pair) throws -> ([Recorder.Event], [Recorder.Event]) {
            self.echo(pair)
            pair.run()
            var generator = SeededGenerator(seed: UInt64(seed))
            for _ in 0..<3 {
                let stream = pair.open()
                for _ in 0..<4 {
                    let message = pattern(Int.random(in: 0...300, using: &generator), seed: generator.next())
                    try pair.client.send(stream, GRPCFrame.body(message))
                }
                pair.client.halfClose(stream)
            }
            pair.run()
            #expect(pair.errors.isEmpty)
            return (pair.serverSide.events, pair.clientSide.events)
        }
        func messages(_ events: [Recorder.Event]) -> [Recorder.Event] {
            // How often a stream drains depends on the cuts; everything else does not.
            events.filter { if case .drained = $0 { false } else { true } }
        }
        let whole = try transcript(Pair())
        let cut = try transcript(Pair(seed: UInt64(seed) + 1000, pieceMax: [1, 3, 7, 40, 400][seed % 5]))
        #expect(messages(whole.0) == messages(cut.0))
        #expect(messages(whole.1).count == messages(cut.1).count)
        for id in [Int32(1), 3, 5] {
            #expect(perStream(whole.1, id) == perStream(cut.1, id))
        }
    }

    @Test("a message of 30 MiB passes both ways")
    func large() throws {
        let pair = Pair()
        self.echo(pair)
        let message = pattern(30 << 20)
        let stream = pair.open()
        try pair.client.send(stream, GRPCFrame.body(message))
        pair.client.halfClose(stream)
        pair.run()
        #expect(pair.clientSide.messages.count == 1)
        #expect(pair.clientSide.messages.first == message)
        #expect(pair.clientSide.ends == [StreamEnd(.finished, .ok, "")])
    }

    @Test("a tail follows the shared body within the same message, for every stream its own")
    func tails() throws {
        let pair = Pair()
        let body = GRPCFrame.body(pattern(40_000), tailCount: 3)
        pair.serverSide.onOpened = { session, stream in
            try? session.send(stream, body, MessageTail([UInt8(stream), 7, 8]))
        }
        for _ in 0..<3 { _ = pair.open() }
        pair.run()
        #expect(Set(pair.clientSide.messages.map { Array($0.suffix(3)) }) == [[1, 7, 8], [3, 7, 8], [5, 7, 8]])
        #expect(pair.clientSide.messages.allSatisfy { $0.prefix(40_000).elementsEqual(pattern(40_000)) })
    }

    @Test("a shared body of more than a kilobyte is referenced by the output, not copied")
    func shared() throws {
        let pair = Pair()
        pair.serverSide.onOpened = { $0.respond($1) }
        let stream = pair.open()
        pair.run()
        let body = GRPCFrame.body(pattern(2000))
        try pair.server.send(stream, body)
        let output = OutputQueue()
        try pair.server.pull(into: output)
        var addresses: [UInt] = []
        for index in 0..<output.segmentCount {
            unsafe output.withSegment(index) { addresses.append(UInt(bitPattern: $0.baseAddress)) }
        }
        let own = unsafe body.bytes.withUnsafeBytes { UInt(bitPattern: $0.baseAddress) }
        #expect(addresses.contains(own))
    }

    @Test("PING is answered, and the answer carries the number")
    func ping() {
        let pair = Pair()
        pair.run()
        pair.server.ping(0x0102_0304_0506_0708)
        pair.run()
        #expect(pair.serverSide.events == [.ping(0x0102_0304_0506_0708)])
    }

    @Test("2,000 streams on one connection are all answered")
    func manyStreams() throws {
        let pair = Pair()
        self.echo(pair)
        pair.run()
        for _ in 0..<2000 {
            let stream = pair.open()
            try pair.client.send(stream, GRPCFrame.body([9]))
        }
        pair.run()
        #expect(pair.clientSide.messages.count == 2000)
        #expect(pair.client.openable == 3000)
        for id in pair.client.streamIDs { pair.client.halfClose(id) }
        pair.run()
        #expect(pair.serverSide.ends.count == 2000)
        #expect(pair.server.streamCount == 0)
    }
}

func perStream(_ events: [Recorder.Event], _ id: Int32) -> [Recorder.Event] {
    events.filter { event in
        switch event {
        case .opened(id, _), .answered(id), .message(id, _), .halfClosed(id), .closed(id, _): true
        default: false
        }
    }
}
