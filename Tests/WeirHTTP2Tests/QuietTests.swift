import Testing
import WeirBase

@testable import WeirHTTP2

/// Whether a session that has received needs to be looked at for output.
@Suite struct QuietTests {
    @Test(
        "WIRE-14 looked at only when it is not quiet, a session gives windows back in time", arguments: [1000, 262_144])
    func windows(window: Int) throws {
        var limits = SessionLimits.server
        limits.streamWindowBytes = window
        let pair = Pair(server: limits)
        pair.serverSide.onOpened = { $0.respond($1) }
        let stream = pair.open()
        pair.run()
        let body = GRPCFrame.body(pattern(window / 40))
        for _ in 0..<500 {
            try pair.client.send(stream, body)
            pair.deliver(pair.pull(pair.client), to: pair.server)
            if !pair.server.isQuiet { pair.deliver(pair.pull(pair.server), to: pair.client) }
        }
        #expect(pair.serverSide.messages.count == 500)
    }

    @Test("a session that has something to say is never quiet")
    func neverMute() throws {
        let raw = RawClient()
        let message = raw.data(GRPCFrame.body([1, 2, 3]).bytes)
        let requests: [(what: String, bytes: [UInt8], speaks: Bool)] = [
            ("a message", message, false),
            ("part of a message", raw.data([0, 0, 0]), false),
            ("a message and a PING", message + raw.frame(6, 0, 0, [0, 1, 2, 3, 4, 5, 6, 7]), true),
            ("a PING", raw.frame(6, 0, 0, [0, 1, 2, 3, 4, 5, 6, 7]), true),
            ("SETTINGS", raw.frame(4, 0, 0, []), true),
            ("a message that ends the stream", raw.frame(0, 1, 1, GRPCFrame.body([1]).bytes), true),
            ("a compressed message", raw.data([1, 0, 0, 0, 1, 7]), true),
            ("a message and one for no stream", message + raw.frame(0, 0, 77, [0, 0, 0, 0, 0]), true),
            ("DATA for no stream", raw.frame(0, 0, 77, [0, 0, 0, 0, 0]), true),
        ]
        for request in requests {
            let side = Recorder()
            side.onOpened = { $0.respond($1) }
            side.onHalfClosed = { $0.finish($1, .ok) }
            let server = Session(context: SessionContext(role: .server, limits: .server), delegate: side)
            let fields = [
                (":method", "POST"), (":scheme", "http"), (":path", "/a.B/C"), (":authority", "a"),
                ("content-type", "application/grpc"), ("te", "trailers"),
            ]
            try server.receive((raw.preface() + raw.headers(fields) + message).span)
            try server.pull(into: OutputQueue())
            try server.receive(request.bytes.span)
            #expect(server.wantsWrite == request.speaks, "\(request.what)")
            #expect(server.isQuiet != request.speaks, "\(request.what)")
        }
    }
}
