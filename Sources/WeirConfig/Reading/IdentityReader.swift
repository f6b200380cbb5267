import WeirBase
import WeirRegex
import WeirRules

extension Field {
    /// `identity`: a list of mappings of `san` and fields of the node.
    func identity(_ listeners: [ListenerConfiguration]) -> IdentityRules? {
        guard let fields = self.nonEmptyList() else { return nil }
        let rules = IdentityRules(fields.compactMap { $0.identityRule() })
        if rules.rules.contains(where: { $0.san != nil }), !listeners.contains(where: { $0.tls?.clientCA != nil }) {
            self.error("it needs a listener with \"tls.client_ca\": without it no client has a name to go by")
        }
        return rules
    }

    private func identityRule() -> IdentityRule? {
        guard let entries = self.entries() else { return nil }
        var san: Pattern?
        var isBroken = false
        for (name, _, value) in entries where name == "san" {
            san = value.pattern()
            isBroken = san == nil
        }
        let captures = san?.groupNames.compactMap { $0 } ?? []
        var claims: [IdentityClaim] = []
        for (name, place, value) in entries where name != "san" {
            guard let field = RuleField(name), name.hasPrefix("node.") else {
                let hint = RuleField.hint(for: name, also: ["san"]).map { "; did you mean \"\($0)\"?" }
                let known = "; known are \"san\" and the fields of the node, such as \"node.id\""
                self.context.report(.error, at: place, value.path, "unknown field" + (hint ?? known))
                continue
            }
            guard let text = value.writtenText() else { continue }
            do throws(PatternError) {
                claims.append(IdentityClaim(field: field, pattern: try ClaimPattern(text, captures: captures)))
            } catch {
                // Which groups there are is not known while the pattern of the name is broken.
                if !isBroken { value.error("\"\(text)\" is not a usable pattern: \(error)") }
            }
        }
        if claims.isEmpty, san == nil, !isBroken {
            self.warning("every client without a verified name may claim whatever it likes")
        }
        return IdentityRule(san: san, claims: claims)
    }

    private func pattern() -> Pattern? {
        guard let text = self.writtenText() else { return nil }
        do throws(PatternError) {
            return try Pattern(text)
        } catch {
            self.error("\"\(text)\" is not a usable pattern: \(error)")
            return nil
        }
    }
}
