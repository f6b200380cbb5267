import Testing
import WeirHTTP1

private func request(
    host: String? = "127.0.0.1:9901", origin: String? = nil, site: String? = nil
) -> HTTPRequest {
    HTTPRequest(method: "POST", path: "/drain", host: host, origin: origin, fetchSite: site)
}

@Suite("What browsers say")
struct BrowserTests {
    @Test("a request is foreign that another site's page had sent")
    func foreign() {
        #expect(!request().isForeign)
        #expect(!request(site: "same-origin").isForeign && !request(site: "none").isForeign)
        #expect(request(site: "cross-site").isForeign && request(site: "same-site").isForeign)
        #expect(!request(origin: "http://127.0.0.1:9901").isForeign)
        #expect(!request(host: "Relay:9901", origin: "https://relay:9901").isForeign)
        for origin in ["http://127.0.0.1:9902", "http://evil.example", "null", "", "http://127.0.0.1:9901.evil"] {
            #expect(request(origin: origin).isForeign, "\(origin)")
        }
        #expect(request(host: nil, origin: "http://127.0.0.1:9901").isForeign)
        // The browser's own word counts for more than an Origin that a proxy has left as it was.
        #expect(!request(host: "backend", origin: "https://relay.example", site: "same-origin").isForeign)
    }

    @Test("an address or localhost is told from a name")
    func names() {
        for host in [
            nil, "", "127.0.0.1:9901", "10.1.2.3", "[::1]:9901", "localhost", "LOCALHOST:9901", "a.localhost:1",
        ] {
            #expect(request(host: host).isNamedByAddress, "\(host ?? "nil")")
        }
        for host in ["evil.example:9901", "127.0.0.1.evil.example", "1.2.3.400", "1.2.3", "xlocalhost", "relay"] {
            #expect(!request(host: host).isNamedByAddress, "\(host)")
        }
    }
}
