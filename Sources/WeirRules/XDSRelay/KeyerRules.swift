package import WeirBase
package import WeirRegex

/// A rule file of the Go xds-relay (`aggregation.v1.KeyerConfiguration`), with its names.
package struct KeyerRules: Hashable, Sendable {
    package struct Fragment: Hashable, Sendable {
        package var rules: [Rule]

        package init(rules: [Rule]) { self.rules = rules }
    }

    package struct Rule: Hashable, Sendable {
        package var match: KeyerMatch
        package var result: KeyerResult
        package var place: SourcePlace

        package init(match: KeyerMatch, result: KeyerResult, place: SourcePlace) {
            self.match = match
            self.result = result
            self.place = place
        }
    }

    package var fragments: [Fragment]

    package init(fragments: [Fragment]) { self.fragments = fragments }
}

/// `MatchPredicate`: whether a rule adds its piece to the key.
package indirect enum KeyerMatch: Hashable, Sendable {
    case and([KeyerMatch])
    case or([KeyerMatch])
    case not(KeyerMatch)
    case any
    /// `request_type_match`: type URLs, compared exactly.
    case types([String])
    case id(KeyerString)
    case cluster(KeyerString)
    /// Parts that are nil match anything.
    case locality(region: KeyerString?, zone: KeyerString?, subZone: KeyerString?)
    case metadata(path: [String], KeyerString)
    case metadataBool(path: [String], Bool)
}

/// `StringMatch`. An empty text or pattern means "unset" in the Go code, and never matches.
package enum KeyerString: Hashable, Sendable {
    case exact(String)
    /// Found anywhere in the value.
    case regex(Pattern)

    func matches(_ value: String) -> Bool {
        switch self {
        case .exact(let text): !text.isEmpty && text == value
        case .regex(let pattern): !pattern.text.isEmpty && pattern.isFound(in: value)
        }
    }
}

/// `ResultPredicate`: the piece of the key that a rule adds.
package indirect enum KeyerResult: Hashable, Sendable {
    case text(String)
    /// `and_result`: the pieces one after the other, with nothing between them.
    case and([KeyerResult])
    case id(KeyerAction)
    case cluster(KeyerAction)
    case locality(region: KeyerAction?, zone: KeyerAction?, subZone: KeyerAction?)
    case metadata(path: [String], KeyerAction)
    case resourceName(element: Int, KeyerAction)
}

/// `ResultAction`: what is made of a value.
package enum KeyerAction: Hashable, Sendable {
    case exact
    /// Every match replaced, by a template as Go's `ReplaceAllString` reads it.
    case replace(Pattern, template: String)
}
