import WeirBase
import WeirConfig
import WeirRegex
import WeirRules
import WeirXDS

/// Rules, a request and what the rules make of it.
///
/// First byte `k`: the text is a rule file of the Go xds-relay; `p`: a pattern; any other: `aggregation.rules`. Pieces
/// end with a byte 0xFF: the text, a type, three resource names, the client's address and a name of its certificate.
/// The rest is its node.
func fuzzRules(_ input: [UInt8]) throws(FuzzFinding) {
    var input = FuzzInput(input)
    let kind = input.byte()
    let text = input.piece()
    if kind == UInt8(ascii: "p") { return try fuzzPattern(String(decoding: text, as: UTF8.self), &input) }
    let type = input.text()
    let names = [input.text(), input.text(), input.text()].filter { !$0.isEmpty }
    let address = input.text()
    let san = input.text()
    guard let rules = rules(kind, text), let node = try? Node(decoding: input.rest()) else { return }
    let url = XDSType.named(type)?.typeURL ?? type
    let request = RuleRequest(
        node: node, typeURL: url, peerAddress: address, peerSANs: san.isEmpty ? [] : [san], resourceNames: names)
    try checkRules(rules, request)
    try checkClaims(request)
}

/// Whatever a name is, in a claim it stands for itself.
private func checkClaims(_ request: RuleRequest) throws(FuzzFinding) {
    guard let san = pattern("(?s)(?<n>.*)"), let own = try? ClaimPattern("{n}", captures: ["n"]) else {
        throw FuzzFinding(description: "fixed patterns do not compile")
    }
    let rules = IdentityRules([IdentityRule(san: san, claims: [IdentityClaim(field: .nodeID, pattern: own)])])
    let denial = rules.denial(of: request)
    if denial == nil {
        try check(request.peerSANs == [request.node.id], "\(request.peerSANs) may claim \(request.node.id)")
    }
    try check((denial?.count ?? 0) <= 2_001, "a refusal of \(denial?.count ?? 0) characters")
}

private func rules(_ kind: UInt8, _ text: [UInt8]) -> AggregationRules? {
    if kind == UInt8(ascii: "k") {
        return readKeyerRules(text, file: "k.yaml").rules.map { .xdsRelay($0, upstream: "u") }
    }
    let header = Array("upstreams: {u: {servers: [\"h:1\"]}, v: {servers: [\"h:2\"]}}\naggregation:\n  rules:\n".utf8)
    return readConfiguration(header + text, path: "r.yaml", environment: [:]).configuration?.aggregation
}

private func checkRules(_ rules: AggregationRules, _ request: RuleRequest) throws(FuzzFinding) {
    let explanation = rules.explain(request)
    let outcome = rules.evaluate(request)
    try check(outcome == explanation.outcome, "\(outcome) is explained as \(explanation)")
    _ = explanation.text + explanation.json
    if let refusal = outcome.refusal(of: request.node) {
        try check(refusal.count <= 2_001, "a refusal of \(refusal.count) characters")
    }
    var other = request
    other.resourceNames = ["other"]
    if !rules.dependsOnNames { try check(rules.evaluate(other) == outcome, "the names change the outcome") }
    other = request
    other.typeURL = "other"
    if !rules.dependsOnType { try check(rules.evaluate(other) == outcome, "the type changes the outcome") }
    guard case .matched(let match) = outcome, case .rules(let list) = rules else { return }
    try check(!match.key.isEmpty, "an empty key")
    try check(list.contains { $0.label == match.rule && $0.upstream == match.upstream }, "a rule that is not there")
    if let template = try? NodeTemplate(id: match.key, cluster: "{key}-{node.id:-x}") {
        _ = template.node(for: match.key, openedBy: request.node)
    }
}

/// A pattern, a replacement and a value.
private func fuzzPattern(_ text: String, _ input: inout FuzzInput) throws(FuzzFinding) {
    let template = input.text()
    let value = input.text()
    _ = try? SANPattern(text).matches(value)
    _ = try? KeyTemplate(text, captures: ["a"])
    guard let pattern = pattern(text) else { return }
    let found = pattern.search(value)
    try check(pattern.isFound(in: value) == (found != nil), "found and not found: \(text) in \(value)")
    if let whole = pattern.fullMatch(value) {
        try check(whole.whole == value, "a full match of \(whole.whole) in \(value)")
    }
    let replaced = pattern.replaceAll(in: value, template: template)
    if found == nil { try check(replaced == value, "replaced without a match") }
}

private func pattern(_ text: String) -> Pattern? {
    do throws(PatternError) { return try Pattern(text) } catch {
        _ = error.description
        return nil
    }
}
