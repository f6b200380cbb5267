import Testing

@testable import WeirLoop

@Suite("Addresses")
struct AddressTests {
    @Test(
        "an address prints as it was written",
        arguments: [
            "127.0.0.1:18000", "0.0.0.0:0", "255.255.255.255:65535", "[::1]:80", "[::]:18000", "[2001:db8::a]:443",
            "unix:///run/weir.sock",
        ])
    func roundTrip(text: String) throws {
        #expect(try SocketAddress(parsing: text).description == text)
        #expect(try Endpoint(parsing: text).description == text)
    }

    @Test("a host name is an endpoint but no address")
    func name() throws {
        let endpoint = try Endpoint(parsing: "cp-1.example.com:18000")
        #expect(endpoint == .tcp(host: "cp-1.example.com", port: 18000))
        #expect(endpoint.numericAddress == nil)
        #expect(throws: AddressError.self) { try SocketAddress(parsing: "cp-1.example.com:18000") }
    }

    @Test(
        "what is no address is refused, and the message quotes it and says what is wrong",
        arguments: [
            ("127.0.0.1", "no port"), ("127.0.0.1:", "is no port"), ("127.0.0.1:65536", "is no port"),
            ("127.0.0.1:+80", "is no port"), (":80", "no host"), ("::1:80", "brackets"), ("[::1]", "no port"),
            ("[nonsense]:80", "no IPv6"), ("[127.0.0.1]:80", "no IPv6"), ("a b:80", "no host name"),
            ("unix://relative", "absolute"), ("", "no port"), ("http://cp:80", "brackets"),
            ("unix:///" + String(repeating: "x", count: 108), "at most 107"),
        ])
    func refused(text: String, reason: String) {
        let error = #expect(throws: AddressError.self) { try Endpoint(parsing: text) }
        #expect(error?.description.contains(reason) == true, "\(error?.description ?? "")")
        #expect(error?.description.contains("\"\(text)\"") == true)
    }

    @Test("an IPv4 peer of a dual-stack socket is shown as IPv4")
    func unmapped() throws {
        #expect(try SocketAddress(parsing: "[::ffff:10.1.2.3]:80").unmapped.description == "10.1.2.3:80")
        #expect(try SocketAddress(parsing: "[::1]:80").unmapped.description == "[::1]:80")
    }

    @Test("a system error says what was tried on what, and why it failed")
    func errorText() {
        let error = SystemError(code: 98, operation: "listen on", subject: "127.0.0.1:80")
        #expect(error.description == "listen on 127.0.0.1:80: Address already in use")
    }
}
