import Testing
import WeirBase
import WeirRegex
import WeirXDS

@testable import WeirRules

private typealias Rule = KeyerRules.Rule

private let cds = XDSType.cds.typeURL
private let eds = XDSType.eds.typeURL
private let edsV2 = "type.googleapis.com/envoy.api.v2.ClusterLoadAssignment"

private let node = Node(
    id: "id-1", cluster: "test-cluster",
    metadata: [
        "s": .string("text"), "e": .string(""), "n": .number(5), "t": .bool(true), "f": .bool(false),
        "o": .object(["k": .string("deep")]),
    ],
    region: "r", zone: "z")

private func rule(_ match: KeyerMatch, _ result: KeyerResult, line: Int = 1) -> Rule {
    Rule(match: match, result: result, place: SourcePlace(file: "k.yaml", line: line, column: 1))
}

private func outcome(
    _ fragments: [[Rule]], type: String = cds, names: [String] = [], node: Node = node
) -> String {
    let rules = KeyerRules(fragments: fragments.map { KeyerRules.Fragment(rules: $0) })
    let request = RuleRequest(node: node, typeURL: type, resourceNames: names)
    switch AggregationRules.xdsRelay(rules, upstream: "primary").evaluate(request) {
    case .matched(let match): return "key \(match.key)"
    case .failure(let text): return "error \(text)"
    case .noMatch: return "no match"
    }
}

private func piece(_ result: KeyerResult, type: String = cds, names: [String] = [], node: Node = node) -> String {
    outcome([[rule(.any, result)]], type: type, names: names, node: node)
}

private func holds(_ match: KeyerMatch, type: String = cds, node: Node = node) -> String {
    let result = outcome([[rule(match, .text("yes"))]], type: type, names: ["n"], node: node)
    return result == "key yes" ? "yes" : result == "error Cannot map the input to a key" ? "no" : result
}

@Suite("Rule files of the Go xds-relay: evaluation as shipped")
struct KeyerEvaluationTests {
    @Test("every rule that matches adds its piece; pieces are joined with an underscore")
    func pieces() {
        let a = rule(.any, .text("a"))
        let never = rule(.types(["x"]), .text("never"))
        #expect(outcome([[a, never, rule(.any, .text("b"))], [rule(.any, .text("c"))]]) == "key a_b_c")
        #expect(outcome([[never], [a]]) == "key a", "a fragment without a match adds not even an empty piece")
        #expect(outcome([[rule(.any, .text(""))]]) == "key ", "an empty key is possible")
        #expect(outcome([[rule(.any, .text("")), a]]) == "key _a")
        #expect(outcome([[never]]) == "error Cannot map the input to a key")
    }

    @Test("the overlap that shows the difference between the Go program and its documentation")
    func overlap() {
        let canary = rule(.id(.exact("id-1")), .and([.text("canary"), .text("_canary")]))
        let general = rule(.types([cds]), .text("lds"))
        #expect(outcome([[canary, general]]) == "key canary_canary_lds")
    }

    @Test("no type, and EDS without names, are errors before any rule")
    func guards() {
        #expect(outcome([[rule(.any, .text("a"))]], type: "") == "error typeURL is empty")
        for type in [eds, edsV2] {
            #expect(outcome([[rule(.any, .text("a"))]], type: type) == "error resource names is empty")
            #expect(outcome([[rule(.any, .text("a"))]], type: type, names: ["n"]) == "key a")
        }
        #expect(outcome([[rule(.any, .text("a"))]], type: cds) == "key a")
    }

    @Test("strings match exactly or by a search; an empty one never")
    func strings() throws {
        #expect(holds(.cluster(.exact("test-cluster"))) == "yes")
        #expect(holds(.cluster(.exact("test"))) == "no")
        #expect(holds(.cluster(.regex(try Pattern("st-c")))) == "yes")
        #expect(holds(.cluster(.regex(try Pattern("^st-c$")))) == "no")
        #expect(holds(.id(.exact("")), node: Node(id: "")) == "no")
        #expect(holds(.id(.regex(try Pattern("")))) == "no")
        #expect(holds(.id(.regex(try Pattern("^$"))), node: Node(id: "")) == "yes")
        #expect(holds(.types([eds, cds])) == "yes")
        #expect(holds(.types(["envoy.config.cluster.v3.Cluster"])) == "no")
    }

    @Test("a locality's unset parts match anything, and a missing locality is three empty strings")
    func locality() throws {
        #expect(holds(.locality(region: .exact("r"), zone: nil, subZone: nil)) == "yes")
        #expect(holds(.locality(region: .exact("r"), zone: .exact("x"), subZone: nil)) == "no")
        #expect(holds(.locality(region: nil, zone: nil, subZone: nil), node: Node(id: "")) == "yes")
        let empty = KeyerString.regex(try Pattern("^$"))
        #expect(holds(.locality(region: empty, zone: empty, subZone: empty), node: Node(id: "")) == "yes")
    }

    @Test("metadata: absent is an error, a missing path is no match, other kinds read as empty")
    func metadata() throws {
        let error = "error Metadata Node field cannot be empty"
        #expect(holds(.metadata(path: ["s"], .exact("text")), node: Node(id: "")) == error)
        #expect(holds(.not(.metadataBool(path: ["s"], true)), node: Node(id: "")) == error)
        #expect(holds(.metadata(path: ["s"], .exact("text"))) == "yes")
        #expect(holds(.metadata(path: ["gone"], .exact("text"))) == "no")
        #expect(holds(.metadata(path: ["s", "k"], .exact("text"))) == "no")
        #expect(holds(.metadata(path: ["o", "k"], .exact("deep"))) == "yes")
        let empty = KeyerString.regex(try Pattern("^$"))
        #expect(holds(.metadata(path: ["n"], empty)) == "yes")
        #expect(holds(.metadata(path: ["e"], empty)) == "yes")
        #expect(holds(.metadataBool(path: ["t"], true)) == "yes")
        #expect(holds(.metadataBool(path: ["t"], false)) == "no")
        #expect(holds(.metadataBool(path: ["f"], false)) == "yes")
        #expect(holds(.metadataBool(path: ["s"], false)) == "yes")
        #expect(holds(.metadataBool(path: ["gone"], false)) == "no")
    }

    @Test("and, or and not stop at the first part that decides; errors pass through all of them")
    func logic() {
        let fails = KeyerMatch.metadata(path: ["s"], .exact("x"))
        let never = KeyerMatch.types([])
        let bare = Node(id: "")
        let error = "error Metadata Node field cannot be empty"
        #expect(holds(.or([.any, fails]), node: bare) == "yes")
        #expect(holds(.or([never, fails]), node: bare) == error)
        #expect(holds(.and([never, fails]), node: bare) == "no")
        #expect(holds(.and([.any, fails]), node: bare) == error)
        #expect(holds(.not(fails), node: bare) == error)
        #expect(holds(.not(never)) == "yes")
        #expect(holds(.and([.any, .not(.any)])) == "no")
    }

    @Test("actions: exact, replaced, and their errors")
    func actions() throws {
        let exactError = "error RequestNodeFragment exact match resulted in an empty fragment"
        let regexError = "error RequestNodeFragment regex match resulted in an empty fragment"
        let first = KeyerAction.replace(try Pattern("^(.*)-.*$"), template: "$1")
        #expect(piece(.cluster(.exact)) == "key test-cluster")
        #expect(piece(.cluster(.exact), node: Node(id: "a")) == exactError)
        #expect(piece(.cluster(first)) == "key test")
        #expect(piece(.id(.replace(try Pattern("x"), template: "y"))) == "key id-1", "no match leaves the input")
        #expect(piece(.id(.replace(try Pattern(".*"), template: ""))) == regexError)
        #expect(
            piece(.and([.text("cds-"), .cluster(.exact), .and([.text("/"), .id(.exact)])]))
                == "key cds-test-cluster/id-1")
        #expect(piece(.locality(region: .exact, zone: .exact, subZone: nil)) == "key r|z")
        #expect(piece(.locality(region: nil, zone: nil, subZone: .exact)) == exactError)
        #expect(
            piece(.locality(region: nil, zone: nil, subZone: nil))
                == "error RequestNodeFragment match resulted in an empty fragment")
        #expect(piece(.metadata(path: ["o", "k"], .exact)) == "key deep")
        #expect(piece(.metadata(path: ["gone"], .exact)) == "error Path to key is inexistent")
        #expect(piece(.metadata(path: ["s", "k"], .exact)) == "error Path to key is inexistent")
        #expect(piece(.metadata(path: ["s"], .exact), node: Node(id: "")) == "error Path to key is inexistent")
        #expect(piece(.metadata(path: ["n"], .exact)) == exactError)
    }

    @Test("resource names are taken by index, in the order of the request")
    func names() {
        let first = KeyerResult.resourceName(element: 0, .exact)
        let second = KeyerResult.resourceName(element: 1, .exact)
        let error = "error ResourceNamesFragment.Element cannot be negative or larger than length"
        #expect(piece(first, type: eds, names: ["a", "b"]) == "key a")
        #expect(piece(second, type: eds, names: ["a", "b"]) == "key b")
        #expect(piece(second, type: eds, names: ["a"]) == error)
        #expect(piece(first) == error)
        #expect(piece(.resourceName(element: -1, .exact), names: ["a"]) == error)
    }

    @Test("the explanation names the rules that took part and those that did not")
    func explanation() {
        let rules = KeyerRules(fragments: [
            KeyerRules.Fragment(rules: [rule(.types([]), .text("x")), rule(.any, .text("a"))]),
            KeyerRules.Fragment(rules: [rule(.any, .text("b"))]),
        ])
        let explained = AggregationRules.xdsRelay(rules, upstream: "up")
            .explain(RuleRequest(node: node, typeURL: cds))
        let places = ["fragments[0].rules[1]", "fragments[1].rules[0]"]
        let pieces = zip(places, ["a", "b"]).map { RuleCapture(name: $0, value: $1) }
        let expected = RuleMatch(key: "a_b", rule: places.joined(separator: " + "), upstream: "up", captures: pieces)
        #expect(explained.outcome == .matched(expected))
        #expect(explained.rejected.map(\.rule) == ["fragments[0].rules[0]"])
        #expect(explained.text.contains("  fragments[1].rules[0]: b\n"))
    }

    @Test("each rule that adds nothing says why, and one that fails is named")
    func reasons() throws {
        func reason(_ match: KeyerMatch, _ result: KeyerResult = .text("x"), node: Node = node) -> String? {
            let rules = KeyerRules(fragments: [KeyerRules.Fragment(rules: [rule(match, result)])])
            return AggregationRules.xdsRelay(rules, upstream: "up")
                .explain(RuleRequest(node: node, typeURL: cds)).rejected.first?.reason
        }
        let never = KeyerMatch.cluster(.exact("web"))
        let isNotWeb = "node.cluster \"test-cluster\" is not \"web\""
        #expect(reason(.any) == nil)
        #expect(reason(.types([eds, "x.y/z"])) == "it is for eds, x.y/z only, not for cds")
        #expect(reason(never) == isNotWeb)
        #expect(reason(.id(.regex(try Pattern("^a$")))) == "in node.id \"id-1\" nothing matches \"^a$\"")
        #expect(reason(.id(.exact(""))) == "an empty text or pattern matches nothing")
        #expect(reason(.not(.types([cds]))) == "not_match: request_type_match holds")
        #expect(reason(.and([.any, never, .id(.exact("y"))])) == isNotWeb)
        #expect(reason(.or([never, .not(.any)])) == "or_match: none holds (\(isNotWeb); not_match: any_match holds)")
        let locality = KeyerMatch.locality(region: .exact("r"), zone: .exact("y"), subZone: nil)
        #expect(reason(locality) == "node.locality.zone \"z\" is not \"y\"")
        #expect(reason(.metadata(path: ["o", "gone"], .exact("x"))) == "node.metadata.o.gone is missing")
        #expect(
            reason(.metadata(path: ["n"], .exact("x"))) == "node.metadata.n is no text, which counts as an empty one")
        #expect(reason(.metadata(path: ["s"], .exact("x"))) == "node.metadata.s \"text\" is not \"x\"")
        #expect(reason(.metadataBool(path: ["f"], true)) == "node.metadata.f is not true")
        #expect(reason(.metadataBool(path: ["t"], false)) == "node.metadata.t is true")
        #expect(
            reason(.any, .metadata(path: ["gone"], .exact)) == "its evaluation fails: Path to key is inexistent")
        #expect(
            reason(.metadata(path: ["s"], .exact("x")), node: Node(id: ""))
                == "its evaluation fails: Metadata Node field cannot be empty")
    }
}

@Suite("Rule files of the Go xds-relay: overlapping rules")
struct KeyerOverlapTests {
    @Test("pairs that exclude each other are not warned of")
    func disjoint() throws {
        let pairs: [(KeyerMatch, KeyerMatch)] = [
            (.types([cds]), .types([eds])),
            (.and([.types([cds]), .cluster(.exact("a"))]), .and([.types([cds]), .cluster(.exact("b"))])),
            (.or([.types([cds]), .types([eds])]), .types(["x"])),
            (.types(["x"]), .or([.types([cds]), .types([eds])])),
            (.cluster(.exact("a")), .not(.cluster(.exact("a")))),
            (
                .and([.cluster(.exact("a")), .types([cds])]),
                .and([.not(.cluster(.regex(try Pattern("a")))), .types([cds])])
            ),
            (.id(.exact("a")), .id(.regex(try Pattern("b")))),
            (.any, .not(.any)), (.not(.or([.types([cds]), .types([eds])])), .types([eds])),
            (.metadataBool(path: ["a"], true), .metadataBool(path: ["a"], false)),
            (
                .locality(region: .exact("a"), zone: nil, subZone: nil),
                .locality(region: .exact("b"), zone: nil, subZone: nil)
            ),
            (.any, .id(.exact(""))), (.not(.and([.any, .types([cds])])), .types([cds])),
        ]
        for (a, b) in pairs {
            #expect(warnings(a, b).isEmpty, "\(a) and \(b)")
            #expect(warnings(b, a).isEmpty, "\(b) and \(a)")
        }
    }

    @Test("pairs that one request may match both are, at the later one")
    func overlapping() throws {
        let pairs: [(KeyerMatch, KeyerMatch)] = [
            (.any, .any), (.types([cds]), .types([cds, eds])), (.id(.exact("a")), .cluster(.exact("b"))),
            (.id(.regex(try Pattern("a"))), .id(.regex(try Pattern("b")))),
            (.metadata(path: ["a"], .exact("x")), .metadata(path: ["b"], .exact("y"))),
            (.not(.types([cds])), .not(.types([eds]))), (.or([.types([cds]), .any]), .types([eds])),
        ]
        for (a, b) in pairs { #expect(warnings(a, b).count == 1, "\(a) and \(b)") }
        #expect(
            warnings(.any, .any) == [
                "k.yaml:2:1: warning: fragments[0].rules[1] and rules[0] (line 1) can match the same request; "
                    + "then both add their piece to the key"
            ])
    }

    @Test("deep nesting does not make the search endless")
    func bounded() {
        var a = KeyerMatch.types([cds])
        var b = KeyerMatch.types([cds, eds])
        for _ in 0..<40 {
            a = .and([.or([a, .id(.exact("x"))]), .any])
            b = .and([.or([b, .id(.exact("y"))]), .any])
        }
        #expect(warnings(a, b).count == 1)
    }

    private func warnings(_ a: KeyerMatch, _ b: KeyerMatch) -> [String] {
        KeyerRules(fragments: [KeyerRules.Fragment(rules: [rule(a, .text("a")), rule(b, .text("b"), line: 2)])])
            .overlapWarnings().map(\.description)
    }
}
