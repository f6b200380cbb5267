package import WeirXDS

/// What the rules look at to give a stream (and type) its key.
package struct RuleRequest: Sendable {
    package var node: Node
    /// Empty where no type is asked for, as for load reports.
    package var typeURL: String
    /// Address of the client without its port; empty if it has none.
    package var peerAddress: String
    /// URI and DNS names of the client's verified certificate, in its order.
    package var peerSANs: [String]
    /// What the request subscribes to, in its order. Only rule files of the Go xds-relay look at it.
    package var resourceNames: [String]

    package init(
        node: Node, typeURL: String = "", peerAddress: String = "", peerSANs: [String] = [],
        resourceNames: [String] = []
    ) {
        self.node = node
        self.typeURL = typeURL
        self.peerAddress = peerAddress
        self.peerSANs = peerSANs
        self.resourceNames = resourceNames
    }
}

/// What a named group of a pattern caught.
package struct RuleCapture: Hashable, Sendable {
    package var name: String
    package var value: String

    package init(name: String, value: String) {
        self.name = name
        self.value = value
    }
}

/// A rule that gives a request its key.
package struct RuleMatch: Hashable, Sendable {
    package var key: String
    /// Name of the rule, or its place (`rules[2]`).
    package var rule: String
    /// Name of the upstream that the group gets its resources from.
    package var upstream: String
    package var captures: [RuleCapture]

    package init(key: String, rule: String, upstream: String, captures: [RuleCapture] = []) {
        self.key = key
        self.rule = rule
        self.upstream = upstream
        self.captures = captures
    }
}

/// Why a rule gives a request no key.
package struct RejectedRule: Hashable, Sendable {
    package var rule: String
    package var reason: String

    package init(rule: String, reason: String) {
        self.rule = rule
        self.reason = reason
    }
}

/// What the rules make of a request.
package enum RuleOutcome: Hashable, Sendable {
    case matched(RuleMatch)
    /// No rule matches; why each one does not.
    case noMatch(rejected: [RejectedRule])
    /// A rule file of the Go xds-relay refuses the request, with its own text.
    case failure(String)
}

/// An outcome with the reasons for it, for people.
package struct RuleExplanation: Hashable, Sendable {
    package var outcome: RuleOutcome
    /// The rules before the one that matched (all, if none did) and why each did not.
    package var rejected: [RejectedRule]
    /// Why the client may not claim to be this node at all (`identity`); nil: it may.
    package var denial: String?

    /// Whether a stream gets a key.
    package var isAccepted: Bool {
        if self.denial != nil { return false }
        if case .matched = self.outcome { return true }
        return false
    }

    package init(outcome: RuleOutcome, rejected: [RejectedRule]) {
        self.outcome = outcome
        self.rejected = rejected
    }
}
