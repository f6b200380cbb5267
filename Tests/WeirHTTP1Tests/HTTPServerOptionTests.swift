import Testing
import WeirBase

@testable import WeirHTTP1

@Suite("What servers may differ in")
struct HTTPServerOptionTests {
    private func server(
        _ options: HTTPServerOptions,
        _ handler: @escaping @Sendable (HTTPRequest, HTTPResponder) -> Void = { request, responder in
            let query = request.query.map { "\($0.name)=\($0.value)" }.joined(separator: "|")
            let text = "\(request.path) \(request.rawPath) [\(query)] \(request.ifMatch ?? "-") \(request.body.count)"
            responder.respond(status: 200, contentType: "text/plain", body: Array(text.utf8))
        }
    ) throws -> HTTPServer {
        try HTTPServer(address: "127.0.0.1:0", options: options, handler: handler)
    }

    @Test("a path comes decoded and as it was sent, so that a slash within a part can be told from one between parts")
    func paths() throws {
        let server = try self.server(HTTPServerOptions())
        defer { server.stop() }
        for (sent, expected) in [
            ("/a%2Fb/c", "/a/b/c /a%2Fb/c [] - 0"), ("/a%252Fb", "/a%2Fb /a%252Fb [] - 0"),
            ("/%zz%4", "/%zz%4 /%zz%4 [] - 0"), ("/x?a%3D=b%26+c&d", "/x /x [a==b& c|d=] - 0"),
        ] {
            let client = try TestClient(server.port)
            client.send("GET \(sent) HTTP/1.1\r\nHost: x\r\n\r\n")
            #expect(try client.receive().text == expected)
        }
    }

    @Test("a body may be as large as the options say, and no larger")
    func bodies() throws {
        var options = HTTPServerOptions()
        options.bodyBytesMax = 3 << 20
        let server = try self.server(options)
        defer { server.stop() }
        let client = try TestClient(server.port)
        client.send("PUT / HTTP/1.1\r\nHost: x\r\nIf-Match: \"t\"\r\nContent-Length: \(3 << 20)\r\n\r\n")
        client.send([UInt8](repeating: 0x20, count: 3 << 20))
        #expect(try client.receive().text == "/ / [] \"t\" \(3 << 20)")
        let other = try TestClient(server.port)
        other.send("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: \(3 << 20 + 1)\r\n\r\n")
        #expect(try other.receive().status == 413)
    }

    @Test("who is not admitted is answered from the head, before any of the body is read")
    func admission() throws {
        var options = HTTPServerOptions()
        options.admit = { request in
            request.authorization == "good" ? nil : HTTPRefusal(401, "no", headers: [("WWW-Authenticate", "x")])
        }
        let server = try self.server(options)
        defer { server.stop() }
        let refused = try TestClient(server.port)
        refused.send("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        let answer = try refused.receive()
        #expect(answer.status == 401 && answer.text.contains("no") && answer.has("WWW-Authenticate: x"))
        let admitted = try TestClient(server.port)
        admitted.send("PUT / HTTP/1.1\r\nHost: x\r\nAuthorization: good\r\nContent-Length: 2\r\n\r\nab")
        #expect(try admitted.receive().text == "/ / [] - 2")
    }

    @Test("If-Match compares strongly")
    func strong() {
        #expect(Negotiation.matchesStrongly("\"a\", \"b\"", tag: "\"b\""))
        #expect(Negotiation.matchesStrongly("*", tag: "\"b\""))
        #expect(!Negotiation.matchesStrongly("W/\"b\"", tag: "\"b\""))
        #expect(!Negotiation.matchesStrongly("\"c\"", tag: "\"b\""))
    }
}
