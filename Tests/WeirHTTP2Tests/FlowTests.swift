import Testing
import WeirBase

@testable import WeirHTTP2

@Suite struct FlowTests {
    @Test("WIRE-14 a reader with a closed window leaves the output empty, and gets everything when it opens")
    func closedWindow() throws {
        var small = SessionLimits.client
        small.streamWindowBytes = 1000
        let pair = Pair(client: small)
        pair.serverSide.onOpened = { $0.respond($1) }
        let stream = pair.open()
        pair.run()
        pair.client.pause(stream)
        let body = GRPCFrame.body(pattern(1 << 20))
        for _ in 0..<64 { try pair.server.send(stream, body) }
        #expect(throws: StreamRefusal.queueFull) { try pair.server.send(stream, body) }
        pair.run()
        #expect(pair.clientSide.messages.isEmpty)
        #expect(pair.server.pendingMessages(stream) == 64)
        #expect(!pair.server.wantsWrite && pair.server.waitingStreams == 1)
        pair.client.resume(stream)
        pair.run()
        #expect(pair.clientSide.messages.count == 64 && pair.server.waitingStreams == 0)
        #expect(pair.serverSide.events.last == .drained(stream))
    }

    @Test("a stream that ends while messages wait on it waits no more")
    func endWhileWaiting() throws {
        var small = SessionLimits.client
        small.streamWindowBytes = 1000
        let pair = Pair(client: small)
        pair.serverSide.onOpened = { $0.respond($1) }
        let streams = [pair.open(), pair.open()]
        pair.run()
        for stream in streams {
            pair.client.pause(stream)
            for _ in 0..<2 { try pair.server.send(stream, GRPCFrame.body(pattern(1 << 20))) }
        }
        pair.run()
        #expect(pair.server.waitingStreams == 2)
        pair.client.reset(streams[0], .cancel)
        pair.run()
        #expect(pair.server.waitingStreams == 1)
        pair.server.reset(streams[1], .cancel)
        pair.run()
        #expect(pair.server.waitingStreams == 0)
    }

    @Test("output stops at its bound and goes on when it has drained")
    func outputBound() throws {
        let pair = Pair()
        pair.serverSide.onOpened = { $0.respond($1) }
        let stream = pair.open()
        pair.run()
        let body = GRPCFrame.body(pattern(2 << 20))
        try pair.server.send(stream, body)
        let output = OutputQueue()
        try pair.server.pull(into: output)
        #expect(output.count >= 256 << 10)
        #expect(output.count <= 256 << 10 + 16_384 + 9)
        let before = output.count
        try pair.server.pull(into: output)
        #expect(output.count == before)
        #expect(pair.serverSide.events.contains(.drained(stream)) == false)
        var received = output.drainAll()
        while pair.server.wantsWrite { received += pair.pull(pair.server) }
        pair.deliver(received, to: pair.client)
        #expect(pair.clientSide.messages == [Array(body.bytes.dropFirst(5))])
        #expect(pair.serverSide.events.contains(.drained(stream)))
    }

    @Test("a paused stream holds its messages, within the window; its end comes after them; others go on")
    func pause() throws {
        let pair = Pair()
        pair.serverSide.onOpened = { $0.respond($1) }
        let slow = pair.open()
        let quick = pair.open()
        pair.run()
        pair.server.pause(slow)
        for index in 0..<10 { try pair.client.send(slow, GRPCFrame.body([UInt8(index)])) }
        pair.client.halfClose(slow)
        try pair.client.send(quick, GRPCFrame.body([99]))
        pair.run()
        #expect(pair.serverSide.messages == [[99]])
        // Pausing again from within a message keeps the rest.
        pair.serverSide.onMessage = { session, stream, message in if message == [3] { session.pause(stream) } }
        pair.server.resume(slow)
        #expect(pair.serverSide.messages == [[99], [0], [1], [2], [3]])
        #expect(!pair.serverSide.events.contains(.halfClosed(slow)))
        pair.server.resume(slow)
        #expect(pair.serverSide.messages.count == 11)
        #expect(pair.serverSide.events.last == .halfClosed(slow))
    }

    @Test("a flood on a paused stream is held back by the window")
    func pausedFlood() throws {
        let pair = Pair()
        pair.serverSide.onOpened = { session, stream in
            session.respond(stream)
            session.pause(stream)
        }
        let stream = pair.open()
        for _ in 0..<60 { try pair.client.send(stream, GRPCFrame.body(pattern(100_000))) }
        pair.run()
        #expect(pair.serverSide.messages.isEmpty)
        #expect(pair.client.pendingMessages(stream) >= 56)
        pair.server.resume(stream)
        pair.run()
        #expect(pair.serverSide.messages.count + 0 >= 2)
        pair.server.resume(stream)
        pair.run()
        #expect(pair.serverSide.messages.count == 60)
    }

    @Test("a paused client loses nothing when the server ends the call")
    func pausedClientEnd() throws {
        let pair = Pair()
        pair.serverSide.onOpened = { $0.respond($1) }
        let stream = pair.open()
        pair.run()
        pair.client.halfClose(stream)
        pair.run()
        pair.client.pause(stream)
        try pair.server.send(stream, GRPCFrame.body([1]))
        pair.server.finish(stream, .ok)
        pair.run()
        #expect(pair.clientSide.ends.isEmpty)
        pair.client.resume(stream)
        #expect(pair.clientSide.messages == [[1]])
        #expect(pair.clientSide.ends == [StreamEnd(.finished, .ok, "")])
        #expect(pair.client.streamCount == 0)
    }

    @Test("user data is found until the end has been delivered, also when message and reset come together")
    func userData() throws {
        let pair = Pair()
        var seen: [UInt64?] = []
        pair.serverSide.onOpened = { session, stream in
            session.setUserData(stream, 42)
            session.respond(stream)
        }
        pair.serverSide.onMessage = { session, stream, _ in seen.append(session.userData(stream)) }
        let stream = pair.open()
        pair.run()
        try pair.client.send(stream, GRPCFrame.body([1]))
        let first = pair.pull(pair.client)
        pair.client.reset(stream, .cancel)
        pair.deliver(first + pair.pull(pair.client), to: pair.server)
        #expect(seen == [42])
        #expect(pair.serverSide.ends.count == 1)
        #expect(pair.server.userData(stream) == nil)
    }

    @Test("windows opened by crumbs are noise, beyond what messages sent make up for")
    func crumbs() throws {
        let pair = Pair()
        let raw = RawClient()
        let call = [
            (":method", "POST"), (":scheme", "http"), (":path", "/a.B/C"), (":authority", "x"),
            ("content-type", "application/grpc"), ("te", "trailers"),
        ]
        pair.deliver(raw.preface() + raw.headers(call), to: pair.server)
        _ = pair.server.takeIncidents()
        func open(_ bytes: UInt8, high: UInt8 = 0, times: Int, stream: UInt8 = 1) -> Int {
            for _ in 0..<times { pair.deliver(raw.frame(8, 0, stream, [0, 0, high, bytes]), to: pair.server) }
            return pair.server.takeIncidents().noise
        }
        #expect(open(1, times: 10) == 10)
        #expect(open(255, times: 10, stream: 0) == 10)
        #expect(open(0, high: 1, times: 10) == 0)
        for _ in 0..<5 { try pair.server.send(1, GRPCFrame.body([1, 2, 3])) }
        #expect(open(8, times: 21) == 1)
        #expect(pair.errors.isEmpty)
    }
}
