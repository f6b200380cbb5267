package import WeirRegex

/// `identity`: which verified names may claim which nodes. A node says of itself what it likes, and its key decides what
/// it is given; a verified certificate cannot lie. A claim is allowed if one of the rules that are for the client
/// allows it.
package struct IdentityRules: Hashable, Sendable {
    /// Empty: every client may claim whatever it likes.
    package var rules: [IdentityRule]

    package init(_ rules: [IdentityRule] = []) { self.rules = rules }

    /// Why the client may not claim to be this node (PERMISSION_DENIED); nil: it may.
    package func denial(of request: RuleRequest) -> String? {
        guard !self.rules.isEmpty, !self.rules.contains(where: { $0.allows(request) }) else { return nil }
        let names = request.peerSANs.prefix(4).map { "\"\(clipped($0))\"" }.joined(separator: ", ")
        let client =
            request.peerSANs.isEmpty
            ? "a client without a verified name" : "a client whose certificate has the name \(names)"
        let fields = Set(self.rules.flatMap { $0.claims.map(\.field.name) }).sorted()
        let claims = fields.compactMap { name -> String? in
            guard case .value(let value)? = RuleField(name)?.value(in: request) else { return "no \(name)" }
            return "\(name) \"\(clipped(value))\""
        }
        let text = "\(client) may not claim " + (claims.isEmpty ? "anything" : claims.joined(separator: " and "))
        return clipped(text + " (identity)", to: refusalTextMax)
    }
}

/// One entry of `identity`.
package struct IdentityRule: Hashable, Sendable {
    /// What one of the client's verified names must match as a whole; nil: it is for clients that have none.
    package var san: Pattern?
    /// All must hold; none: such a client may claim whatever it likes.
    package var claims: [IdentityClaim]

    package init(san: Pattern?, claims: [IdentityClaim]) {
        self.san = san
        self.claims = claims
    }

    func allows(_ request: RuleRequest) -> Bool {
        guard let san = self.san else { return request.peerSANs.isEmpty && self.hold(request, [:]) }
        return request.peerSANs.contains { name in
            guard let match = san.fullMatch(name) else { return false }
            let captures = Dictionary(match.named.map { ($0.name, $0.value) }, uniquingKeysWith: { first, _ in first })
            return self.hold(request, captures)
        }
    }

    private func hold(_ request: RuleRequest, _ captures: [String: String]) -> Bool {
        self.claims.allSatisfy { claim in
            guard case .value(let value) = claim.field.value(in: request) else { return false }
            return claim.pattern.matches(value, captures)
        }
    }
}

/// A field of the node and what its whole value must match.
package struct IdentityClaim: Hashable, Sendable {
    package var field: RuleField
    package var pattern: ClaimPattern

    package init(field: RuleField, pattern: ClaimPattern) {
        self.field = field
        self.pattern = pattern
    }
}

/// A pattern in which `{name}` stands for what the named group of the rule's `san` caught, taken literally.
package struct ClaimPattern: Hashable, Sendable {
    private enum Part: Hashable, Sendable {
        case pattern(String)
        case capture(String)
    }

    package let text: String
    private let parts: [Part]
    /// Nil where a capture stands in it: it is then another pattern for each name.
    private let compiled: Pattern?

    /// - Parameter captures: the names of the groups; braces around anything else are the pattern's own.
    package init(_ text: String, captures: [String]) throws(PatternError) {
        let parts = Self.parts(of: text, captures)
        // Whatever a name is, it is quoted: if it compiles with one letter there, it compiles.
        let pattern = try Pattern(Self.expression(parts) { _ in "x" })
        self.text = text
        self.parts = parts
        self.compiled = parts.contains { if case .capture = $0 { true } else { false } } ? nil : pattern
    }

    func matches(_ value: String, _ captures: [String: String]) -> Bool {
        if let compiled = self.compiled { return compiled.fullMatch(value) != nil }
        // An empty name would make the pattern match what is no one's.
        let names = self.parts.compactMap { part -> String? in if case .capture(let name) = part { name } else { nil } }
        guard names.allSatisfy({ captures[$0]?.isEmpty == false }) else { return false }
        let text = Self.expression(self.parts) { SANPattern.quoted(captures[$0] ?? "") }
        return (try? Pattern(text))?.fullMatch(value) != nil
    }

    private static func expression(_ parts: [Part], _ replacement: (String) -> String) -> String {
        parts.map { part in
            switch part {
            case .pattern(let text): text
            case .capture(let name): "(?:" + replacement(name) + ")"
            }
        }.joined()
    }

    private static func parts(of text: String, _ captures: [String]) -> [Part] {
        var parts: [Part] = []
        var plain = ""
        var rest = text[...]
        while let first = rest.first {
            if first == "\\" {
                plain += rest.prefix(2)
                rest = rest.dropFirst(2)
                continue
            }
            if first == "{", let end = rest.firstIndex(of: "}") {
                let name = String(rest[rest.index(after: rest.startIndex)..<end])
                if captures.contains(name) {
                    parts += [.pattern(plain), .capture(name)]
                    plain = ""
                    rest = rest[end...].dropFirst()
                    continue
                }
            }
            plain.append(first)
            rest = rest.dropFirst()
        }
        return parts + [.pattern(plain)]
    }
}
