import Glibc
import Testing

@testable import WeirHTTP1

struct HTTPBodyStreamTests {
    private func open(
        _ server: HTTPServer, _ handOver: HandOver, capacity: Int = 1 << 20
    ) throws -> (TestClient, HTTPBodyStream) {
        let client = try TestClient(server.port)
        client.send("GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        let (_, responder) = handOver.take()
        let stream = responder.stream(
            status: 200, contentType: "text/event-stream", headers: [("X-A", "b")], capacity: capacity)
        return (client, stream)
    }

    private func waits(_ condition: () -> Bool) -> Bool {
        for _ in 0..<2_000 {
            if condition() { return true }
            usleep(5_000)
        }
        return false
    }

    @Test("what is written arrives piece by piece, and the body ends when it is finished")
    func pieces() throws {
        let handOver = HandOver()
        let server = try HTTPServer(address: "127.0.0.1:0", handler: handOver.put)
        defer { server.stop() }
        let (client, stream) = try self.open(server, handOver)
        #expect(stream.write(Array("one".utf8)) == .taken)
        let head = try client.receive(until: "3\r\none\r\n")
        #expect(head.hasPrefix("HTTP/1.1 200") && head.contains("Content-Type: text/event-stream"))
        #expect(head.contains("X-A: b") && head.contains("chunked"))
        for word in ["two", "three", "four"] {
            #expect(stream.write(Array(word.utf8)) == .taken)
            _ = try client.receive(until: "\(word)\r\n")
        }
        #expect(stream.write(Array("end".utf8)) == .taken)
        stream.finish()
        #expect(stream.write([1]) == .closed)
        #expect(try client.receive(until: "0\r\n\r\n").contains("end"))
        #expect(self.waits { stream.isClosed })
        // The connection serves the next request.
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        handOver.take().1.respond(status: 204, contentType: "text/plain", body: [])
        #expect(try client.receive().status == 204)
    }

    @Test("a client that does not read fills its bound and nobody waits for it")
    func slow() throws {
        let handOver = HandOver()
        let server = try HTTPServer(address: "127.0.0.1:0", handler: handOver.put)
        defer { server.stop() }
        let (client, stream) = try self.open(server, handOver, capacity: 100_000)
        let piece = [UInt8](repeating: 0x61, count: 10_000)
        var taken = 0
        let isFull = self.waits {
            while case .taken = stream.write(piece) { taken += 1 }
            return taken > 0 && stream.write(piece) == .full
        }
        #expect(isFull)
        stream.finish()
        let text = try client.receive(until: "\r\n0\r\n\r\n")
        #expect(text.utf8.count { $0 == 0x61 } >= taken * 10_000)
    }

    @Test("a client that leaves is noticed when something is written")
    func gone() throws {
        let handOver = HandOver()
        let server = try HTTPServer(address: "127.0.0.1:0", handler: handOver.put)
        defer { server.stop() }
        let (client, stream) = try self.open(server, handOver)
        stream.write(Array("x".utf8))
        _ = try client.receive(until: "x\r\n")
        client.hangUp()
        #expect(self.waits { stream.write(Array("y".utf8)) == .closed })
    }

    @Test("a server that stops ends its streams, also those that wait for something to send")
    func stopping() throws {
        let handOver = HandOver()
        let server = try HTTPServer(address: "127.0.0.1:0", handler: handOver.put)
        let (client, stream) = try self.open(server, handOver)
        let (waiting, other) = try self.open(server, handOver)
        stream.write(Array("x".utf8))
        _ = try client.receive(until: "x\r\n")
        server.stop()
        #expect(try client.receive(until: "0\r\n\r\n").isEmpty == false)
        #expect(try waiting.receive(until: "0\r\n\r\n").isEmpty == false)
        #expect(stream.isClosed && other.isClosed && other.write([1]) == .closed)
    }
}
