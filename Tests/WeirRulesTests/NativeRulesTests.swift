import Testing
import WeirBase
import WeirRegex
import WeirXDS

@testable import WeirRules

private let node = Node(
    id: "n1", cluster: "edge-prod",
    metadata: [
        "tier": .string("gold"), "port": .number(8080), "on": .bool(true), "empty": .string(""),
        "list": .list([.string("a/b")]), "weird": .string("ä%/x"),
    ],
    region: "eu", zone: "eu-1", userAgentName: "envoy", userAgentVersion: "1.37.2")

private func rule(
    _ key: String, _ conditions: [(String, String)] = [], types: [XDSType]? = nil, label: String = "r"
) throws -> AggregationRule {
    let conditions = try conditions.map { name, pattern in
        RuleCondition(field: try #require(RuleField(name)), pattern: try Pattern(pattern))
    }
    let captures = conditions.flatMap { $0.pattern.groupNames.compactMap { $0 } }
    return AggregationRule(
        label: label, conditions: conditions, typeURLs: types?.map(\.typeURL),
        key: try KeyTemplate(key, captures: captures), upstream: "primary")
}

private func key(_ rules: AggregationRule..., request: RuleRequest = RuleRequest(node: node)) -> String? {
    guard case .matched(let match) = AggregationRules.rules(rules).evaluate(request) else { return nil }
    return match.key
}

private func reasons(_ rules: AggregationRule..., request: RuleRequest = RuleRequest(node: node)) -> [String] {
    AggregationRules.rules(rules).explain(request).rejected.map { "\($0.rule): \($0.reason)" }
}

@Suite("Aggregation rules")
struct NativeRulesTests {
    @Test("the first rule whose conditions all hold gives the key, its name, its upstream and its captures")
    func firstMatch() throws {
        let rules = AggregationRules.rules([
            try rule("a", [("node.cluster", "web")], label: "web"),
            try rule(
                "edge/{env}/{node.locality.region}",
                [("node.cluster", "edge-(?<env>[a-z]+)"), ("node.metadata.tier", "gold|silver")], label: "edge"),
            try rule("{node.cluster}", label: "rules[2]"),
        ])
        let request = RuleRequest(node: node)
        let expected = RuleMatch(
            key: "edge/prod/eu", rule: "edge", upstream: "primary",
            captures: [RuleCapture(name: "env", value: "prod")])
        #expect(rules.evaluate(request) == .matched(expected))
        #expect(
            rules.explain(request).rejected == [
                RejectedRule(rule: "web", reason: "node.cluster \"edge-prod\" does not match \"web\"")
            ])
    }

    @Test("AGG-24 secrets are kept apart by the verified names of clients, unless the key holds them anyway")
    func secrets() throws {
        func request(_ type: XDSType, _ names: [String]) -> RuleRequest {
            RuleRequest(node: node, typeURL: type.typeURL, peerSANs: names)
        }
        let plain = try rule("{node.cluster}")
        let names = ["spiffe://prod/web", "web.prod"]
        #expect(key(plain, request: request(.sds, names)) == "edge-prod#spiffe%3A%2F%2Fprod%2Fweb+web.prod")
        #expect(key(plain, request: request(.sds, ["spiffe://prod/db"])) == "edge-prod#spiffe%3A%2F%2Fprod%2Fdb")
        #expect(key(plain, request: request(.sds, [])) == "edge-prod")
        #expect(key(plain, request: request(.cds, names)) == "edge-prod")
        #expect(key(try rule("{peer.san}"), request: request(.sds, names)) == "spiffe%3A%2F%2Fprod%2Fweb")
        let caught = try rule("{who}", [("peer.san", "spiffe://prod/(?<who>.*)")])
        #expect(key(caught, request: request(.sds, names)) == "web")
        let only = try rule("k", [("peer.san", "spiffe://prod/.*")])
        #expect(key(only, request: request(.sds, names)) == "k#spiffe%3A%2F%2Fprod%2Fweb+web.prod")
        #expect(AggregationRules.rules([plain]).dependsOnType(peerSANs: names))
        #expect(!AggregationRules.rules([plain]).dependsOnType(peerSANs: []))
        #expect(!AggregationRules.rules([caught]).dependsOnType(peerSANs: names))
    }

    @Test("a pattern matches the whole value")
    func wholeValue() throws {
        #expect(key(try rule("k", [("node.cluster", "edge")])) == nil)
        #expect(key(try rule("k", [("node.cluster", "edge-.*")])) == "k")
        #expect(key(try rule("k", [("node.cluster", "a|edge-prod")])) == "k")
    }

    @Test(
        "every field can stand in a pattern and in a key",
        arguments: [
            ("node.id", "n1"), ("node.cluster", "edge-prod"), ("node.locality.region", "eu"),
            ("node.locality.zone", "eu-1"), ("node.user_agent_name", "envoy"), ("node.user_agent_version", "1.37.2"),
            ("node.metadata.tier", "gold"), ("node.metadata.port", "8080"), ("node.metadata.on", "true"),
            ("node.metadata.list.0", "a%2Fb"), ("node.metadata.weird", "%C3%A4%25%2Fx"), ("peer.address", "10.0.0.1"),
        ])
    func fields(_ name: String, _ value: String) throws {
        let request = RuleRequest(node: node, peerAddress: "10.0.0.1")
        #expect(key(try rule("{\(name)}", [(name, "(?<all>.+)")]), request: request) == value)
        #expect(key(try rule("{all}", [(name, "(?<all>.+)")]), request: request) == value)
    }

    @Test("a missing field matches no pattern, not even one that matches everything, and the reason says so")
    func missingInPattern() throws {
        #expect(
            reasons(
                try rule("k", [("node.metadata.gone", ".*")]), try rule("k", [("node.locality.sub_zone", "")]),
                try rule("k", [("node.metadata.list", ".*")]), try rule("k", [("peer.san", ".*")]))
                == [
                    "r: node.metadata.gone is missing", "r: node.locality.sub_zone is missing",
                    "r: node.metadata.list is a list, not a single value", "r: peer.san is missing",
                ])
        // Metadata tells an empty text from none.
        #expect(key(try rule("k", [("node.metadata.empty", "")])) == "k")
    }

    @Test("a key that lacks a field makes its rule not match, unless the field has a default")
    func missingInKey() throws {
        #expect(reasons(try rule("{node.metadata.env}")) == ["r: the key needs node.metadata.env, which is missing"])
        #expect(key(try rule("{node.metadata.env:-prod}")) == "prod")
        #expect(key(try rule("{node.metadata.env:-}/x")) == "/x")
        #expect(key(try rule("{node.metadata.empty:-a:-b}")) == "a:-b")
        #expect(reasons(try rule("{node.metadata.empty}")) == ["r: the key needs node.metadata.empty, which is empty"])
        #expect(reasons(try rule("{node.metadata.env:-}")) == ["r: the key would be empty"])
        #expect(reasons(try rule("{a}", [("node.cluster", "(?<a>x)?.*")])) == ["r: the key needs a, which is missing"])
        #expect(reasons(try rule("{a}", [("node.cluster", "(?<a>x?).*")])) == ["r: the key needs a, which is missing"])
        #expect(key(try rule("{a:-none}", [("node.cluster", "(?<a>x)?.*")])) == "none")
    }

    @Test("no node can write itself into another's key")
    func encoding() throws {
        let sly = Node(id: "a/b", cluster: "c")
        let plain = Node(id: "a", cluster: "b/c")
        let template = try rule("{node.id}/{node.cluster}")
        #expect(key(template, request: RuleRequest(node: sly)) == "a%2Fb/c")
        #expect(key(template, request: RuleRequest(node: plain)) == "a/b%2Fc")
        let every = String(decoding: Array(UInt8(0)...127), as: UTF8.self)
        let encoded = try #require(key(try rule("{node.id}"), request: RuleRequest(node: Node(id: every))))
        #expect(encoded.utf8.allSatisfy { isUnreserved($0) || $0 == UInt8(ascii: "%") })
        #expect(encoded.hasPrefix("%00%01") && encoded.contains("-.") && encoded.contains("~"))
    }

    @Test("a rule may be for some types only; without a type it does not match")
    func types() throws {
        let some = try rule("k/{type}", types: [.cds, .eds])
        func request(_ url: String) -> RuleRequest { RuleRequest(node: node, typeURL: url) }
        #expect(key(some, request: request(XDSType.eds.typeURL)) == "k/eds")
        #expect(reasons(some, request: request(XDSType.lds.typeURL)) == ["r: it is for cds, eds only, not for lds"])
        #expect(reasons(some) == ["r: it is for cds, eds only, and no type is asked for"])
        #expect(key(try rule("{type}"), request: request("example.com/a.B")) == "example.com%2Fa.B")
        #expect(AggregationRules.rules([some]).dependsOnType)
        #expect(AggregationRules.rules([try rule("{type}")]).dependsOnType)
        #expect(!AggregationRules.rules([try rule("{node.id}")]).dependsOnType)
        #expect(!AggregationRules.rules([some]).dependsOnNames)
    }

    @Test("any of the peer's names may match; the first that does gives captures and value")
    func peerSAN() throws {
        let request = RuleRequest(node: node, peerSANs: ["dns.example", "spiffe://a/x", "spiffe://a/y"])
        let match = try rule("{who}|{peer.san}", [("peer.san", "spiffe://a/(?<who>.*)")])
        #expect(key(match, request: request) == "x|spiffe%3A%2F%2Fa%2Fx")
        #expect(key(try rule("{peer.san}"), request: request) == "dns.example")
        #expect(
            reasons(try rule("k", [("peer.san", "z")]), request: request) == [
                "r: peer.san \"dns.example\", \"spiffe://a/x\", \"spiffe://a/y\" do not match \"z\""
            ])
    }

    @Test("a refusal names the node and every reason, with a client's text cut to a bound")
    func refusal() throws {
        let long = Node(id: "n", cluster: String(repeating: "x", count: 5_000))
        let outcome = AggregationRules.rules([try rule("k", [("node.cluster", "y")])])
            .evaluate(RuleRequest(node: long))
        guard case .noMatch(let rejected) = outcome else {
            Issue.record("it matched")
            return
        }
        #expect(rejected.first.map { $0.reason.count < 200 } == true)
        #expect(outcome.refusal(of: long).map { $0.count < 500 } == true)
        let short = AggregationRules.rules([try rule("k", [("node.cluster", "y")])]).evaluate(RuleRequest(node: node))
        #expect(
            short.refusal(of: node)
                == "no rule matched the node with id \"n1\" and cluster \"edge-prod\" "
                + "(r: node.cluster \"edge-prod\" does not match \"y\")")
    }

    @Test(
        "fields that nothing keeps apart are found",
        arguments: [
            ("{node.id}{node.cluster}", 1), ("{node.id}-{node.cluster}", 1), ("{node.id}%{node.cluster}", 1),
            ("{node.id}/{node.cluster}", 0), ("{node.id}a|b{node.cluster}", 0), ("x{node.id}y", 0),
            ("{node.id}/{node.cluster}.{type}", 1), ("{node.id}ä{node.cluster}", 0),
        ])
    func unseparated(_ text: String, _ count: Int) throws {
        #expect(try KeyTemplate(text).unseparatedFields.count == count)
    }

    @Test("a rule that every request matches is known as such")
    func total() throws {
        #expect(try rule("all").matchesEverything && rule("{node.id:-x}").matchesEverything)
        #expect(try !rule("{node.id}").matchesEverything && !rule("{node.id:-}").matchesEverything)
        #expect(try !rule("k", [("node.id", ".*")]).matchesEverything && !rule("k", types: [.cds]).matchesEverything)
    }

    @Test("explanations as text and as JSON")
    func explanations() throws {
        let rules = AggregationRules.rules([
            try rule("a", [("node.id", "x")]), try rule("{e}", [("node.cluster", "(?<e>e).*")], label: "two"),
        ])
        let explanation = rules.explain(RuleRequest(node: node))
        #expect(
            explanation.text == """
                key: e
                rule: two
                upstream: primary
                captures:
                  e: e
                rejected:
                  r: node.id "n1" does not match "x"

                """)
        #expect(
            explanation.json
                == #"{"key":"e","rule":"two","upstream":"primary","captures":{"e":"e"},"#
                + #""rejected":[{"rule":"r","reason":"node.id \"n1\" does not match \"x\""}]}"#)
        let nothing = AggregationRules.rules([]).explain(RuleRequest(node: node))
        #expect(nothing.text == "no rule matched\n")
        #expect(nothing.json == #"{"key":null,"rule":null,"upstream":null,"captures":{},"rejected":[]}"#)
    }
}

@Suite("Templates for nodes and certificate names")
struct TemplateTests {
    @Test("the upstream's node is the opener's under a templated id and cluster")
    func nodeTemplate() throws {
        let template = try NodeTemplate(
            id: "weir/{key}", cluster: "{node.cluster}-{node.metadata.x:-none}-{node.locality.sub_zone}")
        let shown = template.node(for: "a/b%2F", openedBy: node)
        #expect(shown.id == "weir/a/b%2F" && shown.cluster == "edge-prod-none-")
        #expect(shown.metadata == node.metadata && shown.region == "eu")
        #expect(try NodeTemplate(id: nil, cluster: nil).node(for: "k", openedBy: node).id == "n1")
        #expect(throws: TemplateError.self) { try NodeTemplate(id: "{type}", cluster: nil) }
    }

    @Test(
        "a star stays within one path segment or label, two stars do not",
        arguments: [
            ("spiffe://prod/ns/*/sa/envoy", "spiffe://prod/ns/a.b/sa/envoy", true),
            ("spiffe://prod/ns/*/sa/envoy", "spiffe://prod/ns/a/b/sa/envoy", false),
            ("spiffe://prod/**", "spiffe://prod/ns/a", true), ("spiffe://prod/**", "spiffe://prod.evil/ns", false),
            ("*.example.com", "a.example.com", true), ("*.example.com", "a.b.example.com", false),
            ("**.example.com", "a.b.example.com", true), ("*.Example.com", "a.eXample.com", true),
            ("a.example.com", "axexample.com", false), ("spiffe://A", "spiffe://a", false),
            ("(x|[y]+)$", "(x|[y]+)$", true), ("ü*", "üb", true), ("a", "a\n", false), ("**", "a\nb", true),
        ])
    func sanPatterns(_ pattern: String, _ name: String, _ matches: Bool) throws {
        #expect(try SANPattern(pattern).matches(name) == matches)
    }
}
