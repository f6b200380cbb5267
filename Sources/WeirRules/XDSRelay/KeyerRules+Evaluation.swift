import WeirRegex
import WeirXDS

/// An error of the evaluation, in the Go program's words.
struct KeyerFailure: Error {
    var text: String

    init(_ text: String) { self.text = text }
}

/// What became of each rule; why one adds nothing is made text only for those who want to read it.
private struct KeyerTrace {
    let isExplained: Bool
    var pieces: [RuleCapture] = []
    var rejected: [RejectedRule] = []

    mutating func add(_ label: () -> String, _ piece: String) {
        self.pieces.append(RuleCapture(name: label(), value: piece))
    }

    mutating func reject(_ label: () -> String, _ reason: () -> String) {
        if self.isExplained { self.rejected.append(RejectedRule(rule: label(), reason: reason())) }
    }
}

extension KeyerRules {
    private static let endpointTypes: Set<String> = [
        XDSType.eds.typeURL, XDSType.prefix + "envoy.api.v2.ClusterLoadAssignment",
    ]

    /// The key as the shipped Go program computes it: every rule that matches adds its piece, not only the first of its
    /// fragment; pieces are joined with `_`; a key may be empty.
    func outcome(_ request: RuleRequest, upstream: String) -> RuleOutcome {
        var trace = KeyerTrace(isExplained: false)
        return self.outcome(request, upstream: upstream, &trace)
    }

    /// The same, with the piece that each rule adds (as its capture), and why the others add none. Where the evaluation
    /// fails, the last of them is the rule that it fails in.
    func explanation(_ request: RuleRequest, upstream: String) -> RuleExplanation {
        var trace = KeyerTrace(isExplained: true)
        let outcome = self.outcome(request, upstream: upstream, &trace)
        return RuleExplanation(outcome: outcome, rejected: trace.rejected)
    }

    private func outcome(_ request: RuleRequest, upstream: String, _ trace: inout KeyerTrace) -> RuleOutcome {
        do {
            var (key, rules) = try self.key(request, &trace)
            if SecretsKey.isNeeded(for: request) { SecretsKey.append(to: &key, request) }
            return .matched(
                RuleMatch(
                    key: key, rule: rules.joined(separator: " + "), upstream: upstream, captures: trace.pieces))
        } catch {
            return .failure(error.text)
        }
    }

    private func key(
        _ request: RuleRequest, _ trace: inout KeyerTrace
    ) throws(KeyerFailure) -> (key: String, rules: [String]) {
        if request.typeURL.isEmpty { throw KeyerFailure("typeURL is empty") }
        if KeyerRules.endpointTypes.contains(request.typeURL), request.resourceNames.isEmpty {
            throw KeyerFailure("resource names is empty")
        }
        var pieces: [String] = []
        var rules: [String] = []
        for (i, fragment) in self.fragments.enumerated() {
            for (j, rule) in fragment.rules.enumerated() {
                let label = { "fragments[\(i)].rules[\(j)]" }
                do throws(KeyerFailure) {
                    guard try rule.match.matches(request) else {
                        trace.reject(label) { rule.match.mismatch(request) }
                        continue
                    }
                    let piece = try rule.result.piece(request)
                    pieces.append(piece)
                    rules.append(label())
                    trace.add(label, piece)
                } catch {
                    trace.reject(label) { "its evaluation fails: \(error.text)" }
                    throw error
                }
            }
        }
        guard !pieces.isEmpty else { throw KeyerFailure("Cannot map the input to a key") }
        return (pieces.joined(separator: "_"), rules)
    }
}

extension KeyerMatch {
    /// `and` and `or` stop at the first part that decides, so that an error further on is not reached.
    func matches(_ request: RuleRequest) throws(KeyerFailure) -> Bool {
        let node = request.node
        switch self {
        case .any: return true
        case .types(let types): return types.contains(request.typeURL)
        case .not(let inner): return try !inner.matches(request)
        case .and(let parts):
            for part in parts where try !part.matches(request) { return false }
            return true
        case .or(let parts):
            for part in parts where try part.matches(request) { return true }
            return false
        case .id(let match): return match.matches(node.id)
        case .cluster(let match): return match.matches(node.cluster)
        case .locality(let region, let zone, let subZone):
            return region?.matches(node.region) != false && zone?.matches(node.zone) != false
                && subZone?.matches(node.subZone) != false
        case .metadata(let path, let match):
            guard let value = try KeyerMatch.metadata(node, path) else { return false }
            return match.matches(value.stringOrEmpty)
        case .metadataBool(let path, let wanted):
            guard let value = try KeyerMatch.metadata(node, path) else { return false }
            return (value == .bool(true)) == wanted
        }
    }

    private static func metadata(_ node: Node, _ path: [String]) throws(KeyerFailure) -> MetadataValue? {
        guard node.hasMetadata else { throw KeyerFailure("Metadata Node field cannot be empty") }
        return node.metadataValue(at: path)
    }
}

extension KeyerResult {
    fileprivate func piece(_ request: RuleRequest) throws(KeyerFailure) -> String {
        let node = request.node
        switch self {
        case .text(let text): return text
        case .id(let action): return try action.applied(to: node.id)
        case .cluster(let action): return try action.applied(to: node.cluster)
        case .and(let parts):
            var text = ""
            for part in parts { text += try part.piece(request) }
            return text
        case .locality(let region, let zone, let subZone):
            var pieces: [String] = []
            if let region { pieces.append(try region.applied(to: node.region)) }
            if let zone { pieces.append(try zone.applied(to: node.zone)) }
            if let subZone { pieces.append(try subZone.applied(to: node.subZone)) }
            if pieces.isEmpty { throw KeyerFailure("RequestNodeFragment match resulted in an empty fragment") }
            return pieces.joined(separator: "|")
        case .metadata(let path, let action):
            guard let value = node.metadataValue(at: path) else { throw KeyerFailure("Path to key is inexistent") }
            return try action.applied(to: value.stringOrEmpty)
        case .resourceName(let element, let action):
            guard element >= 0, element < request.resourceNames.count else {
                throw KeyerFailure("ResourceNamesFragment.Element cannot be negative or larger than length")
            }
            return try action.applied(to: request.resourceNames[element])
        }
    }
}

extension KeyerAction {
    fileprivate func applied(to value: String) throws(KeyerFailure) -> String {
        switch self {
        case .exact:
            if value.isEmpty { throw KeyerFailure("RequestNodeFragment exact match resulted in an empty fragment") }
            return value
        case .replace(let pattern, let template):
            let result = pattern.replaceAll(in: value, template: template)
            if result.isEmpty { throw KeyerFailure("RequestNodeFragment regex match resulted in an empty fragment") }
            return result
        }
    }
}

extension Node {
    /// Descends by exact names through objects only; nil where the path ends early.
    func metadataValue(at path: [String]) -> MetadataValue? {
        var value = MetadataValue.object(self.metadata)
        for name in path {
            guard case .object(let fields) = value, let next = fields[name] else { return nil }
            value = next
        }
        return value
    }
}

extension MetadataValue {
    fileprivate var stringOrEmpty: String {
        guard case .string(let text) = self else { return "" }
        return text
    }
}
