import Testing
import WeirRegex
import WeirRules
import WeirXDS

@Suite("Identity: which verified name may claim which nodes")
struct IdentityTests {
    private func rule(_ san: String?, _ claims: [(String, String)]) throws -> IdentityRule {
        let pattern = try san.map { try Pattern($0) }
        let captures = pattern?.groupNames.compactMap { $0 } ?? []
        return IdentityRule(
            san: pattern,
            claims: try claims.map { name, text in
                IdentityClaim(
                    field: try #require(RuleField(name)), pattern: try ClaimPattern(text, captures: captures))
            })
    }

    private func request(_ id: String, _ names: [String], cluster: String = "c") -> RuleRequest {
        RuleRequest(node: Node(id: id, cluster: cluster), peerSANs: names)
    }

    private func namespaces() throws -> IdentityRules {
        IdentityRules([try self.rule("spiffe://prod/ns/(?<ns>[^/]+)/sa/.*", [("node.id", "{ns}/.*")])])
    }

    @Test("a name may claim its own nodes, and no other")
    func own() throws {
        let rules = try self.namespaces()
        #expect(rules.denial(of: self.request("web/1", ["spiffe://prod/ns/web/sa/envoy"])) == nil)
        let denial = try #require(rules.denial(of: self.request("db/1", ["spiffe://prod/ns/web/sa/envoy"])))
        #expect(denial.contains("spiffe://prod/ns/web/sa/envoy") && denial.contains("node.id \"db/1\""))
        #expect(rules.denial(of: self.request("web", ["spiffe://prod/ns/web/sa/envoy"])) != nil)
        #expect(rules.denial(of: self.request("web/1", ["spiffe://test/ns/web/sa/envoy"])) != nil)
        #expect(rules.denial(of: self.request("", ["spiffe://prod/ns/web/sa/envoy"])) != nil)
    }

    @Test("who has shown no name may claim nothing, unless a rule without san says so")
    func nameless() throws {
        var rules = try self.namespaces()
        let denial = try #require(rules.denial(of: self.request("web/1", [])))
        #expect(denial.contains("without a verified name"))
        rules.rules.append(try self.rule(nil, [("node.id", "local/.*")]))
        #expect(rules.denial(of: self.request("web/1", [])) != nil)
        #expect(rules.denial(of: self.request("local/1", [])) == nil)
        // It is not for those who have shown one.
        #expect(rules.denial(of: self.request("local/1", ["spiffe://prod/ns/web/sa/envoy"])) != nil)
    }

    @Test("what a name holds is taken literally in the pattern")
    func quoting() throws {
        let rules = try self.namespaces()
        for name in [".*", ".+", "a|b", "[a-z]+", "x)|(.*"] {
            #expect(rules.denial(of: self.request("web/1", ["spiffe://prod/ns/\(name)/sa/envoy"])) != nil)
            #expect(rules.denial(of: self.request("\(name)/1", ["spiffe://prod/ns/\(name)/sa/envoy"])) == nil)
        }
    }

    @Test("an empty capture allows nothing")
    func emptyCapture() throws {
        let rules = IdentityRules([try self.rule("host(?<n>[0-9]*)", [("node.id", "{n}.*")])])
        #expect(rules.denial(of: self.request("anything", ["host"])) != nil)
        #expect(rules.denial(of: self.request("7-anything", ["host7"])) == nil)
    }

    @Test("all claims of a rule must hold, for one of the client's names; one rule of several is enough")
    func combinations() throws {
        let rules = IdentityRules([
            try self.rule("(?<host>[a-z]+)\\.example", [("node.id", "{host}"), ("node.cluster", "edge-[0-9]{2}")]),
            try self.rule("admin\\.example", []),
        ])
        #expect(rules.denial(of: self.request("a", ["b.example", "a.example"], cluster: "edge-12")) == nil)
        #expect(rules.denial(of: self.request("a", ["b.example", "a.example"], cluster: "edge-1")) != nil)
        #expect(rules.denial(of: self.request("c", ["b.example", "a.example"], cluster: "edge-12")) != nil)
        #expect(rules.denial(of: self.request("whoever", ["admin.example"])) == nil)
    }

    @Test("without rules everybody may claim anything")
    func none() {
        #expect(IdentityRules().denial(of: self.request("x", [])) == nil)
    }

    @Test("an explanation says that the claim is denied, and that no stream would be opened")
    func explanation() throws {
        let rules = AggregationRules.rules([
            AggregationRule(
                label: "all", conditions: [], typeURLs: nil, key: try KeyTemplate("{node.cluster}"), upstream: "u")
        ])
        let denied = rules.explain(self.request("db/1", ["spiffe://prod/ns/web/sa/e"]), identity: try self.namespaces())
        #expect(!denied.isAccepted && denied.text.hasPrefix("denied: ") && denied.json.contains("\"denied\":"))
        let fine = rules.explain(self.request("web/1", ["spiffe://prod/ns/web/sa/e"]), identity: try self.namespaces())
        #expect(fine.isAccepted && fine.text.hasPrefix("key: c\n") && !fine.json.contains("denied"))
    }
}
