import Glibc
import Testing
import WeirBase
import WeirHTTP1
import WeirHTTPClient

private func server(_ handler: @escaping @Sendable (HTTPRequest, HTTPResponder) -> Void) throws -> HTTPServer {
    try HTTPServer(address: "127.0.0.1:0", handler: handler)
}

/// Answers with what it saw; the last part of the path is the status.
private func echo(_ request: HTTPRequest, _ responder: HTTPResponder) {
    let query = request.query.map { "\($0.name)=\($0.value)" }.joined(separator: "|")
    let body = String(decoding: request.body, as: UTF8.self)
    let text = "\(request.method) \(request.path) [\(query)] \(request.authorization ?? "-") \(body)"
    let status = request.path.split(separator: "/").last.flatMap { Int($0) } ?? 200
    responder.respond(status: status, contentType: "text/plain", body: Array(text.utf8))
}

private func request(_ port: UInt16, _ target: String, method: String = "GET") -> HTTPClientRequest {
    HTTPClientRequest(method: method, url: "http://127.0.0.1:\(port)\(target)")
}

private func failure(_ request: HTTPClientRequest) throws -> HTTPClientFailure? {
    let client = try #require(HTTPClient())
    do throws(HTTPClientFailure) {
        _ = try client.send(request)
        return nil
    } catch {
        return error
    }
}

@Suite("HTTP client")
struct HTTPClientTests {
    @Test("an answer comes back with status, content type and body, whatever the status")
    func answers() throws {
        let server = try server(echo)
        defer { server.stop() }
        let client = try #require(HTTPClient())
        var asked = request(server.port, "/keys?key=a%2Fb")
        asked.headers = [HTTPClientHeader("Authorization", "Bearer x\r\nInjected: y")]
        let answer = try client.send(asked)
        #expect(answer.status == 200 && answer.contentType == "text/plain")
        #expect(String(decoding: answer.body, as: UTF8.self) == "GET /keys [key=a/b] Bearer xInjected: y ")
        #expect(try client.send(request(server.port, "/404")).status == 404)
    }

    @Test("a POST sends its body, an empty one too, and the client can be used again")
    func post() throws {
        let server = try server(echo)
        defer { server.stop() }
        let client = try #require(HTTPClient())
        for body in ["hello", "", String(repeating: "x", count: 100_000)] {
            var asked = request(server.port, "/p", method: "POST")
            asked.body = Array(body.utf8)
            #expect(String(decoding: try client.send(asked).body, as: UTF8.self) == "POST /p [] - \(body)")
        }
        #expect(String(decoding: try client.send(request(server.port, "/g")).body, as: UTF8.self) == "GET /g [] - ")
    }

    @Test("lines are handed over one by one until the listener has enough")
    func lines() throws {
        let server = try server { _, responder in
            responder.respond(status: 200, contentType: "text/event-stream", body: Array("a\r\nbc\n\nd\nrest".utf8))
        }
        defer { server.stop() }
        let client = try #require(HTTPClient())
        var lines: [String] = []
        let answer = try client.stream(request(server.port, "/")) {
            lines.append($0)
            return true
        }
        #expect(lines == ["a", "bc", "", "d"] && answer.body == Array("rest".utf8))
        lines = []
        _ = try client.stream(request(server.port, "/")) {
            lines.append($0)
            return lines.count < 2
        }
        #expect(lines == ["a", "bc"])
    }

    @Test("a stream that is refused is an answer, not lines")
    func refusedStream() throws {
        let server = try server(echo)
        defer { server.stop() }
        let client = try #require(HTTPClient())
        let answer = try client.stream(request(server.port, "/401")) { _ in
            Issue.record("no line belongs to an error")
            return true
        }
        #expect(answer.status == 401 && !answer.body.isEmpty)
    }

    @Test("what is larger than its bound is refused")
    func bounds() throws {
        let server = try server { _, responder in
            responder.respond(status: 200, contentType: "text/plain", body: [UInt8](repeating: 65, count: 2 << 20))
        }
        defer { server.stop() }
        var asked = request(server.port, "/")
        asked.bodyBytesMax = 1000
        #expect(try failure(asked) == .tooLarge(1000))
        let client = try #require(HTTPClient())
        #expect(throws: HTTPClientFailure.tooLarge(HTTPClient.lineBytesMax)) {
            _ = try client.stream(request(server.port, "/")) { _ in true }
        }
    }

    @Test("failures say what is wrong: nobody listens, no such name, a bad URL, no answer in time")
    func failures() throws {
        let gone = try server(echo)
        gone.stop()
        #expect(try failure(request(gone.port, "/")) == .unreachable("Connection refused"))
        guard case .unreachable = try failure(HTTPClientRequest(url: "http://nonexistent.invalid/")) else {
            Issue.record("a name without an address")
            return
        }
        guard case .unusable = try failure(HTTPClientRequest(url: "gopher://127.0.0.1/")) else {
            Issue.record("a scheme that is none of ours")
            return
        }
        let silent = try server { _, responder in
            usleep(500_000)
            responder.respond(status: 200, contentType: "text/plain", body: [])
        }
        defer { silent.stop() }
        var asked = request(silent.port, "/")
        asked.timeout = .milliseconds(50)
        #expect(try failure(asked) == .timedOut)
    }
}
