import Testing
import WeirBase
import WeirGzip

@testable import WeirHTTP2

@Suite struct RequestRuleTests {
    /// A client whose header fields and bytes are free: raw nghttp2 encoding, and a recorder's events of the server.
    private func answer(
        _ fields: [(String, String)], body: [UInt8] = [], limits: SessionLimits = .server
    ) -> (events: [Recorder.Event], answer: [UInt8], pair: Pair) {
        let pair = Pair(server: limits)
        pair.serverSide.onOpened = { $0.respond($1) }
        let raw = RawClient()
        pair.deliver(raw.preface() + raw.headers(fields) + raw.data(body), to: pair.server)
        return (pair.serverSide.events, pair.pull(pair.server), pair)
    }

    private static let usual = [
        (":method", "POST"), (":scheme", "http"), (":path", "/a.B/C"), (":authority", "x"),
        ("content-type", "application/grpc"), ("te", "trailers"),
    ]

    private func replacing(_ name: String, _ value: String) -> [(String, String)] {
        let fields = Self.usual.filter { $0.0 != name }
        return name.hasPrefix(":")
            ? [(name, value)] + fields : fields + [(name, value)]
    }

    @Test(
        "WIRE-02 content types of gRPC are served",
        arguments: ["application/grpc", "application/grpc+proto", "application/grpc;charset=utf-8"])
    func contentTypes(type: String) {
        #expect(self.answer(self.replacing("content-type", type)).events == [.opened(1, path: "/a.B/C")])
    }

    @Test(
        "WIRE-02 other content types get 415", arguments: ["text/plain", "application/grpc-web", "application/grpcx"])
    func otherContentTypes(type: String) {
        let result = self.answer(self.replacing("content-type", type))
        #expect(result.events.isEmpty)
        #expect(RawClient().fields(of: result.answer)[":status"] == "415")
    }

    @Test("another method gets 405")
    func method() {
        let result = self.answer(self.replacing(":method", "GET"))
        #expect(result.events.isEmpty)
        #expect(RawClient().fields(of: result.answer)[":status"] == "405")
    }

    @Test("WIRE-04 an unsupported encoding is UNIMPLEMENTED, and the answer lists what is supported")
    func encoding() {
        let result = self.answer(self.replacing("grpc-encoding", "snappy"))
        let fields = RawClient().fields(of: result.answer)
        #expect(fields["grpc-status"] == "12")
        #expect(fields["grpc-accept-encoding"] == "identity,gzip")
    }

    @Test("WIRE-04 a compressed message without grpc-encoding is INTERNAL")
    func compressedFlag() {
        let result = self.answer(Self.usual, body: [1, 0, 0, 0, 1, 7])
        #expect(RawClient().fields(of: result.answer)["grpc-status"] == "13")
    }

    @Test("WIRE-04 gzip is inflated")
    func gzip() {
        let packed: [UInt8] = [
            31, 139, 8, 0, 0, 0, 0, 0, 2, 255, 203, 72, 205, 201, 201, 87, 200, 64, 144, 0, 128, 136, 249, 229, 17, 0,
            0, 0,
        ]
        let result = self.answer(
            self.replacing("grpc-encoding", "gzip"),
            body: [1, 0, 0, 0, UInt8(packed.count)] + packed + [0, 0, 0, 0, 1, 7])
        #expect(result.pair.serverSide.messages == [Array("hello hello hello".utf8), [7]])
        #expect(throws: GunzipError.tooLarge) { try gunzip(packed.span, bytesMax: 16) }
        #expect(throws: GunzipError.malformed) { try gunzip(Array(packed.dropLast()).span, bytesMax: 100) }
        #expect(throws: GunzipError.malformed) { try gunzip((packed + [0]).span, bytesMax: 100) }
    }

    @Test("a message over the limit is RESOURCE_EXHAUSTED by its prefix alone, and the text names both sizes")
    func tooLarge() {
        var limits = SessionLimits.server
        limits.messageBytesMax = 1000
        let result = self.answer(Self.usual, body: [0, 0, 0, 4, 0], limits: limits)
        let fields = RawClient().fields(of: result.answer)
        #expect(fields["grpc-status"] == "8")
        #expect(fields["grpc-message"] == "message of 1024 bytes is over the limit of 1000 bytes")
    }

    @Test("headers over the limit are RESOURCE_EXHAUSTED")
    func headersTooLarge() {
        let result = self.answer(Self.usual + [("x", String(repeating: "y", count: 20_000))])
        #expect(RawClient().fields(of: result.answer)["grpc-status"] == "8")
    }

    @Test("grpc-timeout reaches the delegate; a malformed one is refused")
    func timeout() {
        let good = self.answer(self.replacing("grpc-timeout", "2S"))
        #expect(good.pair.serverSide.lastHead?.timeout == .seconds(2))
        let bad = self.answer(self.replacing("grpc-timeout", "2 s"))
        #expect(RawClient().fields(of: bad.answer)["grpc-status"] == "13")
    }

    @Test("unfinished messages of one connection are bounded together")
    func partialBytes() {
        var limits = SessionLimits.server
        limits.messageBytesMax = 5000
        limits.partialBytesMax = 8000
        let pair = Pair(server: limits)
        pair.serverSide.onOpened = { $0.respond($1) }
        let raw = RawClient()
        pair.deliver(raw.preface(), to: pair.server)
        for id in [UInt8(1), 3, 5] {
            pair.deliver(raw.headers(Self.usual, stream: id), to: pair.server)
            pair.deliver(raw.data([0, 0, 0, 0x13, 0x88] + pattern(4000), stream: id), to: pair.server)
        }
        #expect(pair.server.partialBytes == 4005)
        #expect(pair.serverSide.openedCount == 3)
        let answer = pair.pull(pair.server)
        #expect(RawClient().fields(of: answer)["grpc-status"] == "8")
    }

    @Test("a request stream that ends within a message is INTERNAL")
    func truncated() {
        let pair = Pair()
        pair.serverSide.onOpened = { $0.respond($1) }
        let raw = RawClient()
        let bytes = raw.preface() + raw.headers(Self.usual) + raw.data([0, 0, 0, 0, 9, 1], endStream: true)
        pair.deliver(bytes, to: pair.server)
        #expect(RawClient().fields(of: pair.pull(pair.server))["grpc-status"] == "13")
        #expect(pair.serverSide.ends.map(\.cause) == [.violated])
    }

    @Test("HTTP/1 and other noise instead of the preface are told apart")
    func noPreface() {
        let pair = Pair()
        pair.deliver(Array("GET / HTTP/1.1\r\nHost: x\r\n\r\n".utf8), to: pair.server)
        #expect(pair.errors == [.notHTTP2])
    }

    @Test("garbage after the preface, and damaged streams of frames, never crash", arguments: 0..<400)
    func garbage(seed: Int) {
        var generator = SeededGenerator(seed: UInt64(seed))
        let pair = Pair()
        pair.serverSide.onOpened = { $0.respond($1) }
        pair.serverSide.onMessage = { session, stream, message in try? session.send(stream, GRPCFrame.body(message)) }
        let raw = RawClient()
        var bytes = raw.preface()
        for id in [UInt8(1), 3, 5] {
            bytes += raw.headers(Self.usual, stream: id) + raw.data([0, 0, 0, 0, 2, 1, 2], stream: id)
        }
        for _ in 0..<(seed % 20) {
            let index = Int.random(in: 24..<bytes.count, using: &generator)
            bytes[index] = UInt8.random(in: 0...255, using: &generator)
        }
        bytes += pattern(Int.random(in: 0...500, using: &generator), seed: generator.next())
        pair.deliver(bytes, to: pair.server)
        _ = pair.pull(pair.server)
        pair.server.abandon(.unavailable, "end")
        #expect(pair.serverSide.ends.count == pair.serverSide.openedCount)
    }
}
