import Testing
import WeirHTTP1

private func server(_ handler: @escaping @Sendable (HTTPRequest, HTTPResponder) -> Void) throws -> HTTPServer {
    try HTTPServer(address: "127.0.0.1:0", handler: handler)
}

/// Answers with what it saw.
private func echo(_ request: HTTPRequest, _ responder: HTTPResponder) {
    let query = request.query.map { "\($0.name)=\($0.value)" }.joined(separator: "|")
    let text = "\(request.method) \(request.path) [\(query)] \(String(decoding: request.body, as: UTF8.self))"
    responder.respond(status: 200, contentType: "text/plain", body: Array(text.utf8))
}

private func get(_ port: UInt16, _ target: String) throws -> TestClient.Response {
    let client = try TestClient(port)
    client.send("GET \(target) HTTP/1.1\r\nHost: x\r\n\r\n")
    return try client.receive()
}

struct HTTPServerTests {
    @Test("a GET reaches the handler decoded, and its answer the client")
    func getDecoded() throws {
        let handOver = HandOver()
        let server = try server(handOver.put)
        defer { server.stop() }
        let client = try TestClient(server.port)
        client.send(
            "GET /keys/%41%20b?key=a%2Fb+c&flag&key=%FF&e= HTTP/1.1\r\nHost: relay:1\r\nAccept: application/json\r\n"
                + "Accept-Encoding: gzip\r\n\r\n")
        let (request, responder) = handOver.take()
        #expect(request.queryValue("key") == "a/b c")
        #expect(request.host == "relay:1")
        #expect(request.accept == "application/json")
        #expect(request.acceptEncoding == "gzip")
        #expect(request.contentType == nil)
        echo(request, responder)
        let response = try client.receive()
        #expect(response.status == 200)
        #expect(response.text == "GET /keys/A b [key=a/b c|flag=|key=\u{FFFD}|e=] ")
        #expect(response.has("Content-Type: text/plain"))
    }

    @Test("a POST's body arrives whole, with a length or in chunks")
    func post() throws {
        let server = try server(echo)
        defer { server.stop() }
        let client = try TestClient(server.port)
        client.send("POST /logging?level=debug HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhe")
        client.send("llo")
        #expect(try client.receive().text == "POST /logging [level=debug] hello")
        client.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n")
        #expect(try client.receive().text == "POST / [] hello")
        let body = [UInt8](repeating: 0x61, count: HTTPServerLimits.bodyBytesMax)
        client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: \(body.count)\r\n\r\n")
        client.send(body)
        #expect(try client.receive().body == Array("POST / [] ".utf8) + body)
    }

    @Test("a HEAD is answered with the body's length and without the body")
    func head() throws {
        let server = try server(echo)
        defer { server.stop() }
        let client = try TestClient(server.port)
        client.send("HEAD /x HTTP/1.1\r\nHost: x\r\n\r\n")
        #expect(try client.receive(withoutBody: true).has("Content-Length: \("HEAD /x [] ".utf8.count)"))
        // Had a body been sent, it would stand before this answer.
        client.send("GET /y HTTP/1.1\r\nHost: x\r\n\r\n")
        let next = try client.receive()
        #expect(next.status == 200 && next.text == "GET /y [] ")
    }

    @Test("a large answer arrives whole, and an empty one is an answer too")
    func sizes() throws {
        let large = (0..<2_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        let server = try server { request, responder in
            responder.respond(status: 200, contentType: "x/y", body: request.path == "/large" ? large : [])
        }
        defer { server.stop() }
        #expect(try get(server.port, "/large").body == large)
        let empty = try get(server.port, "/empty")
        #expect(empty.status == 200 && empty.has("Content-Length: 0"))
    }

    @Test("headers are sent, but one that would start a line of its own is left out")
    func headers() throws {
        let server = try server { _, responder in
            responder.respond(
                status: 201, contentType: "a/b",
                headers: [("X-Good", "1"), ("X-Evil", "1\r\nX-Forged: 1"), ("X Odd\r\n", "1")], body: [])
        }
        defer { server.stop() }
        let response = try get(server.port, "/")
        #expect(response.status == 201)
        #expect(response.has("X-Good: 1"))
        #expect(!response.head.contains("Forged") && !response.head.contains("Odd"))
    }

    @Test("a status that HTTP does not know becomes 500", arguments: [-1, 0, 100, 600, Int.max])
    func oddStatus(status: Int) throws {
        let server = try server { _, responder in responder.respond(status: status, contentType: "a/b", body: []) }
        defer { server.stop() }
        #expect(try get(server.port, "/").status == 500)
    }

    @Test("a malformed request is refused and the server goes on")
    func malformed() throws {
        let server = try server(echo)
        defer { server.stop() }
        for text in ["\u{1}\u{2}\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n"] {
            let client = try TestClient(server.port)
            client.send(text)
            #expect((try? client.receive().status).map { $0 >= 400 } ?? true)
        }
        #expect(try get(server.port, "/").status == 200)
    }
}

struct HTTPServerBodyLimitTests {
    @Test("a body announced as too large is refused before it is sent")
    func announced() throws {
        let server = try server(echo)
        defer { server.stop() }
        let client = try TestClient(server.port)
        client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: \(HTTPServerLimits.bodyBytesMax + 1)\r\n\r\n")
        let response = try client.receive()
        #expect(response.status == 413)
        #expect(response.text.contains("1048576"))
    }

    @Test("a body in chunks that grows too large is refused")
    func chunked() throws {
        let server = try server(echo)
        defer { server.stop() }
        let client = try TestClient(server.port)
        client.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        let chunk = Array("40000\r\n".utf8) + [UInt8](repeating: 0x61, count: 0x40000) + [13, 10]
        for _ in 0..<5 { client.send(chunk) }
        client.send("0\r\n\r\n")
        #expect(try client.receive().status == 413)
    }

    @Test("a body without end is cut off")
    func endless() throws {
        let server = try server(echo)
        defer { server.stop() }
        let client = try TestClient(server.port)
        client.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        let chunk = Array("40000\r\n".utf8) + [UInt8](repeating: 0x61, count: 0x40000) + [13, 10]
        for _ in 0..<80 { client.send(chunk) }
        #expect(client.isClosedByServer())
    }
}

struct HTTPServerConnectionLimitTests {
    @Test("a connection beyond the limit is served once another closes")
    func limit() throws {
        let server = try server(echo)
        defer { server.stop() }
        let clients = try (0..<HTTPServerLimits.connectionsMax).map { _ in try TestClient(server.port) }
        for client in clients {
            client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            #expect(try client.receive().status == 200)
        }
        let further = try TestClient(server.port)
        further.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        clients[7].hangUp()
        #expect(try further.receive().status == 200)
    }

    @Test("as many requests as connections may wait at once, and stopping ends them all")
    func allWaiting() throws {
        let handOver = HandOver()
        let server = try server(handOver.put)
        let clients = try (0..<HTTPServerLimits.connectionsMax).map { _ in try TestClient(server.port) }
        for client in clients { client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n") }
        let responders = clients.map { _ in handOver.take().1 }
        server.stop()
        for client in clients { #expect((try? client.receive().status).map { $0 == 503 } ?? true) }
        for responder in responders { responder.respond(status: 200, contentType: "a/b", body: []) }
    }
}

struct HTTPServerLateAnswerTests {
    @Test("an answer may come later from another thread; the first one counts")
    func late() throws {
        let handOver = HandOver()
        let server = try server(handOver.put)
        defer { server.stop() }
        let client = try TestClient(server.port)
        client.send("GET /late HTTP/1.1\r\nHost: x\r\n\r\n")
        let (request, responder) = handOver.take()
        #expect(request.path == "/late")
        responder.respond(status: 202, contentType: "a/b", body: [0x31])
        responder.respond(status: 404, contentType: "a/b", body: [0x32])
        let response = try client.receive()
        #expect(response.status == 202 && response.text == "1")
        // The connection lives on.
        client.send("GET /next HTTP/1.1\r\nHost: x\r\n\r\n")
        let (next, nextResponder) = handOver.take()
        #expect(next.path == "/next")
        nextResponder.respond(status: 200, contentType: "a/b", body: [])
        #expect(try client.receive().status == 200)
    }

    @Test("two requests wait side by side and are answered in any order")
    func concurrent() throws {
        let handOver = HandOver()
        let server = try server(handOver.put)
        defer { server.stop() }
        let first = try TestClient(server.port)
        first.send("GET /first HTTP/1.1\r\nHost: x\r\n\r\n")
        let (firstRequest, firstResponder) = handOver.take()
        let second = try TestClient(server.port)
        second.send("GET /second HTTP/1.1\r\nHost: x\r\n\r\n")
        let (secondRequest, secondResponder) = handOver.take()
        secondResponder.respond(status: 200, contentType: "a/b", body: Array(secondRequest.path.utf8))
        #expect(try second.receive().text == "/second")
        firstResponder.respond(status: 200, contentType: "a/b", body: Array(firstRequest.path.utf8))
        #expect(try first.receive().text == "/first")
    }

    @Test("an answer for a client that is gone is dropped")
    func clientGone() throws {
        let handOver = HandOver()
        let server = try server(handOver.put)
        defer { server.stop() }
        for _ in 0..<20 {
            let client = try TestClient(server.port)
            client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            let (_, responder) = handOver.take()
            client.hangUp()
            responder.respond(status: 200, contentType: "a/b", body: [UInt8](repeating: 0, count: 1_000_000))
        }
        let client = try TestClient(server.port)
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        handOver.take().1.respond(status: 200, contentType: "a/b", body: [])
        #expect(try client.receive().status == 200)
    }

    @Test("a responder that is dropped answers 500", arguments: [false, true])
    func dropped(late: Bool) throws {
        let handOver = HandOver()
        let server = try server { request, responder in if late { handOver.put(request, responder) } }
        defer { server.stop() }
        let client = try TestClient(server.port)
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        if late { _ = handOver.take() }
        #expect(try client.receive().status == 500)
    }
}

struct HTTPServerLifeTests {
    @Test("stopping with a request that waits ends it with 503 or a closed connection; the late answer is dropped")
    func stopWithPending() throws {
        let handOver = HandOver()
        let server = try server(handOver.put)
        let client = try TestClient(server.port)
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        let (_, responder) = handOver.take()
        server.stop()
        server.stop()
        responder.respond(status: 200, contentType: "a/b", body: [])
        #expect((try? client.receive().status).map { $0 == 503 } ?? true)
        #expect(throws: TestClient.Closed.self) { try TestClient(server.port) }
    }

    @Test("a server that is released stops, and its responders outlive it")
    func released() throws {
        let handOver = HandOver()
        var server: HTTPServer? = try server(handOver.put)
        let port = server?.port ?? 0
        let client = try TestClient(port)
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        let (_, responder) = handOver.take()
        server = nil
        #expect(throws: TestClient.Closed.self) { try TestClient(port) }
        responder.respond(status: 200, contentType: "a/b", body: [])
    }

    @Test("stopping races with requests and answers on other threads without harm")
    func stopRace() throws {
        for round in 0..<50 {
            let handOver = HandOver()
            let server = try server(handOver.put)
            let clients = try (0..<8).map { _ in try TestClient(server.port) }
            for client in clients { client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n") }
            let pending = (0..<8).map { _ in handOver.take().1 }
            let answering = TestThread {
                for (index, responder) in pending.enumerated() where index % 4 != 3 {
                    responder.respond(status: 200, contentType: "a/b", body: [0x31])
                }
            }
            if round % 2 == 0 { for client in clients { client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n") } }
            server.stop()
            answering.join()
            for client in clients { #expect((try? client.receive().status).map { [200, 503].contains($0) } ?? true) }
        }
    }

    @Test("an address in use is refused with the address and the system's reason")
    func addressInUse() throws {
        let server = try server(echo)
        defer { server.stop() }
        let address = "127.0.0.1:\(server.port)"
        let error = #expect(throws: HTTPServerError.self) { try HTTPServer(address: address, handler: echo) }
        #expect(error == .cannotListen(address: address, reason: "Address already in use"))
        #expect(error?.description.contains("cannot listen on \(address): Address already in use") == true)
    }

    @Test(
        "what is no address is refused",
        arguments: [
            "", ":", "9901", "127.0.0.1", "127.0.0.1:", "127.0.0.1:70000", "[::1]", "::1:80", "relay:80", "[]:1",
        ])
    func malformedAddress(address: String) {
        #expect(throws: HTTPServerError.malformedAddress(address)) {
            try HTTPServer(address: address, handler: echo)
        }
    }

    @Test("an IPv6 address is understood")
    func ipv6() throws {
        do throws(HTTPServerError) {
            let server = try HTTPServer(address: "[::1]:0", handler: echo)
            #expect(server.port != 0)
            server.stop()
        } catch {
            // A machine without IPv6 refuses it by name of the address, not as malformed.
            guard case .cannotListen(address: "[::1]:0", _) = error else { throw error }
        }
    }
}
