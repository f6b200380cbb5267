package import WeirXDS

/// The rules that give every stream (and type) the key of its group. A value: evaluated on any thread.
package enum AggregationRules: Hashable, Sendable {
    /// The first that matches decides.
    case rules([AggregationRule])
    /// A rule file of the Go xds-relay; every group of it uses `upstream`.
    case xdsRelay(KeyerRules, upstream: String)

    /// Whether one stream can get different keys for different types.
    package var dependsOnType: Bool { self.dependsOnType(peerSANs: []) }

    /// Whether one stream of a client with these verified names can get different keys for different types.
    package func dependsOnType(peerSANs: [String]) -> Bool {
        switch self {
        case .rules(let rules):
            rules.contains { $0.dependsOnType || !peerSANs.isEmpty && !$0.holdsPeerName }
        case .xdsRelay: true
        }
    }

    /// Whether the key can depend on the names that a request subscribes to; then it is due again at each request.
    package var dependsOnNames: Bool {
        switch self {
        case .rules: false
        case .xdsRelay: true
        }
    }

    /// The key of a request. Linear in the rules and in the length of what the client says about itself.
    package func evaluate(_ request: RuleRequest) -> RuleOutcome {
        switch self {
        case .xdsRelay(let keyer, let upstream): return keyer.outcome(request, upstream: upstream)
        case .rules(let rules):
            for rule in rules {
                if case .matched(let match) = rule.evaluate(request) { return .matched(match) }
            }
            return self.explain(request).outcome
        }
    }

    /// The same, with the reasons why earlier rules did not match, and what `identity` says.
    package func explain(_ request: RuleRequest, identity: IdentityRules) -> RuleExplanation {
        var explanation = self.explain(request)
        explanation.denial = identity.denial(of: request)
        return explanation
    }

    package func explain(_ request: RuleRequest) -> RuleExplanation {
        switch self {
        case .xdsRelay(let keyer, let upstream): return keyer.explanation(request, upstream: upstream)
        case .rules(let rules):
            var rejected: [RejectedRule] = []
            for rule in rules {
                switch rule.evaluate(request) {
                case .matched(let match): return RuleExplanation(outcome: .matched(match), rejected: rejected)
                case .rejected(let rejection):
                    rejected.append(RejectedRule(rule: rule.label, reason: rule.reason(rejection, request)))
                }
            }
            return RuleExplanation(outcome: .noMatch(rejected: rejected), rejected: rejected)
        }
    }
}

extension RuleOutcome {
    /// What a client is told whose stream gets no key (status INVALID_ARGUMENT); nil for a match.
    package func refusal(of node: Node) -> String? {
        switch self {
        case .matched: return nil
        case .failure(let text): return text
        case .noMatch(let rejected):
            let reasons = rejected.map { "\($0.rule): \($0.reason)" }.joined(separator: "; ")
            let text =
                "no rule matched the node with id \"\(clipped(node.id))\" and cluster "
                + "\"\(clipped(node.cluster))\"" + (reasons.isEmpty ? "" : " (\(reasons))")
            return clipped(text, to: refusalTextMax)
        }
    }
}
