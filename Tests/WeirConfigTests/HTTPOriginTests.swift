import Testing
import WeirBase
import WeirConfig

private let rest = """

    aggregation: {rules: [{key: k}]}

    """

@Suite("upstreams.*.http")
struct HTTPOriginTests {
    private func messages(_ http: String, more: String = "") throws -> [String] {
        let text = "upstreams: {push: {http: \(http)}}" + rest + more
        return try Folder(["relay.yaml": text, "tokens": "", "c": "", "k": ""]).load().messages
    }

    @Test("defaults and values")
    func values() throws {
        let text = """
            upstreams:
              push: {http: {address: "127.0.0.1:1", token_file: tokens}, cold_timeout: 1s, authorities: [a.example]}
              other:
                http:
                  address: "[::1]:1"
                  token_file: tokens
                  tls: {certificate_chain: c, private_key: k}
                  max_keys: 3
                  max_snapshot_size: 2MiB
            """
        let folder = try Folder(["relay.yaml": text + rest, "tokens": "", "c": "", "k": ""])
        let (loaded, messages) = folder.load()
        #expect(messages == [])
        let configuration = try #require(loaded)
        let push = try #require(configuration.upstream(named: "push"))
        #expect(push.coldTimeout == .seconds(1) && push.authorities == ["a.example"])
        let expected = HTTPOriginConfiguration(
            address: .network(host: "127.0.0.1", port: 1), tokenFile: folder.path + "/tokens")
        #expect(push.origin == .http(expected))
        #expect(expected.keysMax == 1_000 && expected.snapshotBytesMax == 16 << 20 && expected.tls == nil)
        guard case .http(let other)? = configuration.upstream(named: "other")?.origin else {
            Issue.record("no HTTP origin")
            return
        }
        #expect(other.address == .network(host: "::1", port: 1) && other.tokenFile == folder.path + "/tokens")
        #expect(other.tls?.certificateChain == folder.path + "/c" && other.tls?.privateKey == folder.path + "/k")
        #expect(other.keysMax == 3 && other.snapshotBytesMax == 2 << 20)
    }

    @Test(
        "what is missing, unknown or out of bounds is told",
        arguments: [
            ("{token_file: tokens}", "address: this field is required"),
            ("{address: \"127.0.0.1:1\"}", "token_file: this field is required"),
            ("{address: \"127.0.0.1:1\", token_file: none}", "token_file: cannot read"),
            ("{address: \"host:1\", token_file: tokens}", "\"host\" is a name"),
            ("{address: \"unix:///x\", token_file: tokens}", "not on a Unix socket"),
            ("{address: \"127.0.0.1:1\", token_file: tokens, tokens: 1}", "unknown field"),
            ("{address: \"127.0.0.1:1\", token_file: tokens, max_keys: 0}", "0 is not between 1 and 1000000"),
            ("{address: \"127.0.0.1:1\", token_file: tokens, max_snapshot_size: 1GiB}", "1GiB is not between"),
            ("{address: \"127.0.0.1:9901\", token_file: tokens}", "admin.address listens there"),
            ("{address: \"127.0.0.1:18000\", token_file: tokens}", "downstream.listeners listens there"),
            ("{address: \"0.0.0.0:1\", token_file: tokens}", "in the clear; use \"tls\""),
            (
                "{address: \"127.0.0.1:1\", token_file: tokens}, protocol: delta",
                "does not apply to an upstream of http"
            ),
            ("[]", "expected a mapping"),
        ])
    func mistakes(http: String, expected: String) throws {
        let messages = try self.messages(http)
        #expect(messages.count == 1 && messages[0].contains(expected), "\(messages)")
    }

    @Test("two upstreams cannot listen at one place")
    func twice() throws {
        let text = """
            upstreams:
              a: {http: {address: "127.0.0.1:1", token_file: tokens}}
              b: {http: {address: "127.0.0.1:1", token_file: tokens}}
            """
        let messages = try Folder(["relay.yaml": text + rest, "tokens": ""]).load().messages
        #expect(messages.count == 1 && messages[0].contains("upstreams.a listens there"), "\(messages)")
    }
}
