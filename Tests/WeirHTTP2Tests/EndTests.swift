import Testing
import WeirBase

@testable import WeirHTTP2

@Suite struct EndTests {
    @Test(
        "WIRE-09 status text round-trips through trailers, with and without earlier headers",
        arguments: ["", "plain", "100% \n\t zwölf 日本 🙂", "%41%", "%"], [true, false])
    func statusText(text: String, responded: Bool) {
        let pair = Pair()
        pair.serverSide.onOpened = { session, stream in
            if responded { session.respond(stream) }
            session.finish(stream, .failedPrecondition, text)
        }
        _ = pair.open()
        pair.run()
        let end = StreamEnd(.finished, .failedPrecondition, text)
        #expect(pair.clientSide.ends == [end])
        #expect(pair.serverSide.ends == [end])
        #expect(pair.clientSide.events.contains(.answered(1)) == responded)
        #expect(pair.server.streamCount == 0 && pair.client.streamCount == 0)
    }

    @Test("trailers follow everything that was queued before")
    func orderOfTrailers() throws {
        let pair = Pair()
        pair.serverSide.onOpened = { session, stream in
            try? session.send(stream, GRPCFrame.body(pattern(300_000)))
            try? session.send(stream, GRPCFrame.body([1]))
            session.finish(stream, .unavailable, "bye")
            #expect(throws: StreamRefusal.closed) { try session.send(stream, GRPCFrame.body([2])) }
        }
        _ = pair.open()
        pair.run()
        #expect(pair.clientSide.messages.map(\.count) == [300_000, 1])
        #expect(pair.clientSide.ends == [StreamEnd(.finished, .unavailable, "bye")])
    }

    @Test("a reset by the client ends the stream once, also with messages queued")
    func clientReset() throws {
        let pair = Pair()
        pair.serverSide.onOpened = { $0.respond($1) }
        let stream = pair.open()
        pair.run()
        try pair.server.send(stream, GRPCFrame.body([1]))
        pair.client.reset(stream, .cancel)
        pair.run()
        #expect(pair.serverSide.ends == [StreamEnd(.resetByPeer, .cancelled, "the stream was reset with CANCEL")])
        #expect(pair.clientSide.ends == [StreamEnd(.resetLocally, .cancelled, "reset with CANCEL")])
        #expect(throws: StreamRefusal.closed) { try pair.server.send(stream, GRPCFrame.body([1])) }
    }

    @Test(
        "a server's reset becomes a status",
        arguments: [
            (HTTP2ErrorCode.refusedStream, GRPCStatus.unavailable), (.cancel, .cancelled), (.internalError, .internal),
            (.enhanceYourCalm, .resourceExhausted), (.inadequateSecurity, .permissionDenied),
            (.streamClosed, .unknown),
        ])
    func serverReset(code: HTTP2ErrorCode, status: GRPCStatus) {
        let pair = Pair()
        pair.serverSide.onOpened = { $0.reset($1, code) }
        _ = pair.open()
        pair.run()
        #expect(pair.clientSide.ends.map(\.status) == [status])
        #expect(pair.serverSide.ends.map(\.cause) == [.resetLocally])
    }

    @Test("the HTTP status stands in for a missing grpc-status")
    func httpStatus() {
        let table: [(Int, GRPCStatus)] = [
            (400, .internal), (401, .unauthenticated), (403, .permissionDenied), (404, .unimplemented),
            (429, .unavailable), (503, .unavailable), (500, .unknown),
        ]
        for (http, status) in table { #expect(GRPCStatus(httpStatus: http) == status) }
    }

    @Test("losing the connection ends every stream once")
    func connectionLost() {
        let pair = Pair()
        pair.serverSide.onOpened = { $0.respond($1) }
        for _ in 0..<5 { _ = pair.open() }
        pair.run()
        pair.server.abandon(.unavailable, "gone")
        pair.server.abandon(.unavailable, "gone again")
        #expect(pair.serverSide.ends == Array(repeating: StreamEnd(.connectionLost, .unavailable, "gone"), count: 5))
        // What nghttp2 still remembers of the streams may be pulled without harm.
        pair.server.terminate(.internalError)
        pair.run()
        #expect(pair.server.isFinished)
        #expect(pair.clientSide.ends.isEmpty)
    }

    @Test("WIRE-12 a shutdown notice lets streams live and keeps new ones away; then the final GOAWAY")
    func graceful() throws {
        let pair = Pair()
        pair.serverSide.onOpened = { $0.respond($1) }
        let stream = pair.open()
        pair.run()
        pair.server.shutdownNotice()
        pair.run()
        #expect(pair.client.isDraining && pair.client.openable == 0)
        #expect(pair.open() == -1)
        pair.server.goAway(.noError, "max_age")
        pair.run()
        guard case .goAway(let last) = pair.clientSide.events.last else {
            Issue.record("no GOAWAY came")
            return
        }
        #expect(last == GoAway(lastStream: stream, code: .noError, debug: "max_age"))
        #expect(!pair.server.isFinished)
        try pair.server.send(stream, GRPCFrame.body([5]))
        pair.server.finish(stream, .unavailable, "max_age")
        pair.run()
        #expect(pair.clientSide.messages == [[5]])
        #expect(pair.server.isFinished && pair.client.isFinished)
    }

    @Test("a call that is reset twice before it is on the wire never reaches the server, and harms nothing")
    func resetTwice() {
        let pair = Pair()
        pair.serverSide.onOpened = { $0.respond($1) }
        pair.run()
        let first = pair.open()
        pair.client.reset(first, .cancel)
        pair.client.reset(first, .cancel)
        pair.run()
        #expect(pair.clientSide.ends == [StreamEnd(.resetLocally, .cancelled, "reset with CANCEL")])
        #expect(pair.serverSide.openedCount == 0)
        let second = pair.open()
        pair.run()
        #expect(pair.clientSide.events.last == .answered(second))
        #expect(pair.server.violation == nil)
    }

    @Test("a call that a GOAWAY overtakes is unavailable")
    func overtaken() {
        let pair = Pair()
        pair.run()
        _ = pair.open()
        pair.server.goAway()
        let bytes = pair.pull(pair.server)
        pair.deliver(bytes, to: pair.client)
        pair.run()
        #expect(pair.clientSide.ends.map(\.status) == [.unavailable])
        #expect(pair.client.streamCount == 0)
    }

    @Test("the server's stream limit shows as `openable`")
    func openable() {
        var limits = SessionLimits.server
        limits.streamsMax = 3
        let pair = Pair(server: limits)
        pair.serverSide.onOpened = { $0.respond($1) }
        #expect(pair.client.openable == 100)
        pair.run()
        #expect(pair.client.openable == 3)
        for _ in 0..<3 { _ = pair.open() }
        #expect(pair.open() == -1)
        pair.run()
        pair.server.finish(1, .ok)
        pair.run()
        #expect(pair.client.openable == 1)
    }
}
