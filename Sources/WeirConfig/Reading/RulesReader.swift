import WeirBase
import WeirRegex
import WeirRules
import WeirXDS
import WeirYAML

/// Reads `aggregation`. `upstreams` are the names that rules may use, the default first.
struct RulesReader {
    let upstreams: [String]
    let folder: String

    func aggregation(_ field: Field) -> AggregationRules? {
        guard let section = field.section(["rules", "xds_relay_rules"]),
            let (kind, rules) = section.exactlyOne(of: ["rules", "xds_relay_rules"])
        else { return nil }
        if kind == "xds_relay_rules" {
            guard let path = rules.readableFile(in: self.folder), let keyer = loadKeyer(path, rules.context) else {
                return nil
            }
            return .xdsRelay(keyer, upstream: self.upstreams.first ?? "")
        }
        return self.rules(rules)
    }

    private func rules(_ field: Field) -> AggregationRules? {
        guard let fields = field.nonEmptyList() else { return nil }
        var rules: [AggregationRule] = []
        var labels: Set<String> = []
        for (index, field) in fields.enumerated() {
            guard let rule = self.rule(field, index) else { continue }
            if !labels.insert(rule.label).inserted {
                field.error("an earlier rule is named \"\(rule.label)\" too")
            }
            if let earlier = rules.first(where: { $0.matchesEverything }) {
                field.warning("never reached: \(earlier.label) matches every request")
            }
            rules.append(rule)
        }
        return .rules(rules)
    }

    private func rule(_ field: Field, _ index: Int) -> AggregationRule? {
        guard let section = field.section(["name", "match", "key", "upstream"]) else { return nil }
        var label = "rules[\(index)]"
        section.read("name", into: &label) { $0.nonEmptyText() }
        var match = RuleMatchReader()
        if let field = section["match"] { match.read(field) }
        var upstream = self.upstreams.first ?? ""
        section.read("upstream", into: &upstream) { self.upstreamName($0) }
        guard let key = section.require("key"), let template = self.key(key, match) else { return nil }
        return AggregationRule(
            label: label, conditions: match.conditions, typeURLs: match.typeURLs, key: template, upstream: upstream)
    }

    private func upstreamName(_ field: Field) -> String? {
        guard let name = field.text() else { return nil }
        if self.upstreams.contains(name) { return name }
        let hint = didYouMean(name, self.upstreams)
        let known = self.upstreams.prefix(8).joined(separator: ", ")
        field.error("there is no upstream \"\(name)\"\(hint.isEmpty ? "; the upstreams are: \(known)" : hint)")
        return nil
    }

    private func key(_ field: Field, _ match: RuleMatchReader) -> KeyTemplate? {
        guard let text = field.text() else { return nil }
        do {
            let template = try KeyTemplate(text, captures: match.captures)
            for pair in template.unseparatedFields {
                field.warning(
                    "nothing stands between {\(pair.first)} and {\(pair.second)} that a value could not contain, so "
                        + "different nodes may get the same key; put a \"/\" between them")
            }
            return template
        } catch {
            // Which groups there are is not known while a pattern is broken.
            if !match.hasBrokenPattern { field.error("\(error)") }
            return nil
        }
    }
}

/// Reads `match` of a rule.
private struct RuleMatchReader {
    private(set) var conditions: [RuleCondition] = []
    private(set) var typeURLs: [String]?
    private(set) var captures: [String] = []
    private(set) var hasBrokenPattern = false

    mutating func read(_ field: Field) {
        for (name, place, value) in field.entries() ?? [] {
            if name == "type" {
                if !value.node.isNull { self.typeURLs = RuleMatchReader.types(value) }
            } else if let known = RuleField(name) {
                self.condition(known, value)
            } else {
                let hint = RuleField.hint(for: name).map { "; did you mean \"\($0)\"?" }
                field.context.report(
                    .error, at: place, value.path,
                    "unknown field" + (hint ?? "; known are \(quotedList(RuleField.names))"))
            }
        }
    }

    private mutating func condition(_ field: RuleField, _ value: Field) {
        guard let text = value.writtenText() else {
            self.hasBrokenPattern = true
            return
        }
        do {
            let pattern = try Pattern(text)
            for name in pattern.groupNames.compactMap({ $0 }) { self.capture(name, value) }
            self.conditions.append(RuleCondition(field: field, pattern: pattern))
        } catch {
            self.hasBrokenPattern = true
            value.error("\"\(text)\" is not a usable pattern: \(error)")
        }
    }

    private mutating func capture(_ name: String, _ value: Field) {
        if RuleField(name) != nil { value.error("a group cannot be named \"\(name)\": that is a field already") }
        if self.captures.contains(name) { value.error("another pattern of this rule has a group \"\(name)\" too") }
        self.captures.append(name)
    }

    /// A list of types, or one.
    private static func types(_ field: Field) -> [String]? {
        let fields = field.node.scalar != nil ? [field] : field.nonEmptyList()
        return fields?.compactMap { field in
            guard let name = field.text() else { return nil }
            if let url = typeURL(named: name) { return url }
            field.error("\"\(name)\" is no type; \(typeNameHint(name))")
            return nil
        }
    }
}

/// The type URL that a short name or a type URL means; nil for what is neither.
package func typeURL(named name: String) -> String? {
    if let type = XDSType.named(name) { return type.typeURL }
    guard let slash = name.lastIndex(of: "/"), slash > name.startIndex, slash < name.indices.last ?? slash else {
        return nil
    }
    return name
}

/// What would have been a type, for messages.
package func typeNameHint(_ name: String) -> String {
    if XDSType.of(typeURL: XDSType.prefix + name).shortName != nil || name.contains(".") {
        return "a type URL begins as in \"\(XDSType.prefix)\(name)\""
    }
    let names = XDSType.known.compactMap(\.shortName).sorted()
    if let nearest = nearestName(to: name, among: names) { return "did you mean \"\(nearest)\"?" }
    return "expected a type URL or one of \(quotedList(names))"
}
