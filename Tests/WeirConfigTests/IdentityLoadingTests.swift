import Testing
import WeirBase
import WeirConfig
import WeirRules
import WeirXDS

@Suite("Reading identity and admin")
struct IdentityLoadingTests {
    private func load(_ text: String) -> (RelayConfiguration?, [String]) {
        let file = "upstreams: {p: {servers: [\"cp:1\"]}}\naggregation: {rules: [{key: k}]}\n" + text
        let (configuration, diagnostics) = readConfiguration(Array(file.utf8), path: "relay.yaml", environment: [:])
        return (configuration, diagnostics.map(\.description))
    }

    @Test("entries are read in order, with the fields of the node as patterns")
    func entries() throws {
        let (configuration, messages) = self.load(
            "identity:\n  - node.id: \"local/.*\"\n    node.metadata.tier: 7\n")
        #expect(messages.isEmpty)
        let rules = try #require(configuration).identity.rules
        #expect(rules.count == 1 && rules[0].san == nil)
        #expect(rules[0].claims.map(\.field.name) == ["node.id", "node.metadata.tier"])
        #expect(rules[0].claims.map(\.pattern.text) == ["local/.*", "7"])
    }

    @Test("names need a listener that asks for certificates")
    func noListener() {
        let (_, messages) = self.load("identity:\n  - san: \"spiffe://.*\"\n")
        #expect(
            messages == [
                "relay.yaml:4:3: error: identity: it needs a listener with \"tls.client_ca\": without it no client has a "
                    + "name to go by"
            ])
    }

    @Test(
        "what is no field of a node, no pattern, or no list is an error",
        arguments: [
            ("identity: []\n", "identity: it needs at least one element"),
            ("identity: [{node.ids: x}]\n", "did you mean \"node.id\"?"),
            ("identity: [{peer.san: x}]\n", "unknown field"),
            ("identity: [{node.id: \"(\"}]\n", "is not a usable pattern"),
            ("identity: [{san: \"(\", node.id: \"{ns}\"}]\n", "identity[0].san: \"(\" is not a usable pattern"),
        ])
    func mistakes(_ text: String, _ expected: String) {
        let (configuration, messages) = self.load(text)
        #expect(configuration == nil && messages.contains { $0.contains("error: ") && $0.contains(expected) })
    }

    @Test("an entry that allows all to those without a name is warned of")
    func open() {
        let (configuration, messages) = self.load("identity: [{}]\n")
        #expect(
            configuration != nil && messages.count == 1 && messages[0].contains("warning: identity[0]: every client"))
    }

    @Test("the debug endpoint's files must be there")
    func adminFiles() {
        let (configuration, messages) = self.load(
            "admin: {token_file: /nonexistent/t, tls: {private_key: /nonexistent/k}}\n")
        #expect(configuration == nil)
        #expect(messages.contains { $0.contains("admin.token_file: cannot read \"/nonexistent/t\"") })
        #expect(messages.contains { $0.contains("admin.tls.certificate_chain: this field is required") })
    }

    @Test(
        "which addresses only this machine can reach",
        arguments: [
            ("127.0.0.1:1", true), ("127.9.0.1:1", true), ("[::1]:1", true), ("0.0.0.0:1", false), ("[::]:1", false),
            ("10.0.0.1:1", false),
        ])
    func loopback(_ text: String, _ expected: Bool) throws {
        #expect(try #require(EndpointAddress(text)).isLoopback == expected)
    }
}
