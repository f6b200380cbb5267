package import WeirRegex
import WeirXDS

/// One condition of a rule: a field and the pattern that its whole value must match.
package struct RuleCondition: Hashable, Sendable {
    package var field: RuleField
    package var pattern: Pattern

    package init(field: RuleField, pattern: Pattern) {
        self.field = field
        self.pattern = pattern
    }
}

/// One rule of `aggregation.rules`: if every condition holds, the key.
package struct AggregationRule: Hashable, Sendable {
    /// Its name, or its place (`rules[2]`).
    package var label: String
    package var conditions: [RuleCondition]
    /// Type URLs that it is for; nil: every type.
    package var typeURLs: [String]?
    package var key: KeyTemplate
    package var upstream: String

    package init(
        label: String, conditions: [RuleCondition], typeURLs: [String]?, key: KeyTemplate, upstream: String
    ) {
        self.label = label
        self.conditions = conditions
        self.typeURLs = typeURLs
        self.key = key
        self.upstream = upstream
    }

    package var dependsOnType: Bool { self.typeURLs != nil || self.key.dependsOnType }

    /// Whether its key holds the client's verified name, or a part of it.
    var holdsPeerName: Bool {
        let groups = self.conditions.filter { $0.field == .peerSAN }.flatMap { $0.pattern.groupNames.compactMap { $0 } }
        return self.key.holdsPeerName(captures: groups)
    }

    /// Whether no request gets past this rule.
    package var matchesEverything: Bool { self.conditions.isEmpty && self.typeURLs == nil && self.key.isTotal }

    enum Result {
        case matched(RuleMatch)
        case rejected(Rejection)
    }

    /// Why a rule does not match; made text only for those who want to read it.
    enum Rejection {
        case type
        case missing(RuleField, String)
        case value(RuleCondition, [String])
        case key(String)
    }

    func evaluate(_ request: RuleRequest) -> Result {
        var captures: [RuleCapture] = []
        var san: String?
        for condition in self.conditions {
            let values: [String]
            switch condition.field == .peerSAN ? .value("") : condition.field.value(in: request) {
            case .missing(let why): return .rejected(.missing(condition.field, why))
            case .value where condition.field == .peerSAN: values = request.peerSANs
            case .value(let value): values = [value]
            }
            if values.isEmpty { return .rejected(.missing(condition.field, "is missing")) }
            guard let (value, match) = condition.firstMatch(values) else {
                return .rejected(.value(condition, values))
            }
            if condition.field == .peerSAN { san = value }
            captures += match.named.map { RuleCapture(name: $0.name, value: $0.value) }
        }
        // After the conditions: what the node lacks tells more than that a type was not asked for.
        if let typeURLs = self.typeURLs, !typeURLs.contains(request.typeURL) { return .rejected(.type) }
        switch self.key.render(request, captures: captures, san: san) {
        case .missing(let why): return .rejected(.key(why))
        case .key(var key):
            if SecretsKey.isNeeded(for: request), !self.holdsPeerName { SecretsKey.append(to: &key, request) }
            return .matched(RuleMatch(key: key, rule: self.label, upstream: self.upstream, captures: captures))
        }
    }

    func reason(_ rejection: Rejection, _ request: RuleRequest) -> String {
        switch rejection {
        case .missing(let field, let why): return "\(field.name) \(why)"
        case .key(let why): return why
        case .type:
            let types = (self.typeURLs ?? []).map { XDSType.of(typeURL: $0).label }.joined(separator: ", ")
            if request.typeURL.isEmpty { return "it is for \(types) only, and no type is asked for" }
            return "it is for \(types) only, not for \(clipped(XDSType.of(typeURL: request.typeURL).label))"
        case .value(let condition, let values):
            let shown = values.prefix(4).map { "\"\(clipped($0))\"" } + (values.count > 4 ? ["…"] : [])
            let verb = values.count == 1 ? "does not match" : "do not match"
            return "\(condition.field.name) \(shown.joined(separator: ", ")) \(verb) \"\(condition.pattern.text)\""
        }
    }
}

extension RuleCondition {
    fileprivate func firstMatch(_ values: [String]) -> (String, PatternMatch)? {
        for value in values {
            if let match = self.pattern.fullMatch(value) { return (value, match) }
        }
        return nil
    }
}
