package import WeirBase
import WeirRegex
package import WeirRules
import WeirYAML

/// Reads a rule file of the Go xds-relay with what its own validation asks for. Nothing is substituted in it.
///
/// A part that is bad is told and left out; then the whole is not used.
func loadKeyer(_ path: String, _ context: ReadingContext) -> KeyerRules? {
    do {
        let (keyer, diagnostics) = readKeyerRules(try readFile(path), file: path)
        context.report(diagnostics)
        return keyer
    } catch {
        let place = SourcePlace(file: path, line: 1, column: 1)
        context.report([Diagnostic(.error, at: place, "cannot read the file: \(error)")])
    }
    return nil
}

/// The same for a rule file whose bytes are at hand; the rules are nil exactly when some diagnostic is an error.
package func readKeyerRules(_ bytes: [UInt8], file: String) -> (rules: KeyerRules?, diagnostics: [Diagnostic]) {
    let node: YAMLNode
    do { node = try parseYAML(bytes, file: file) } catch { return (nil, error.diagnostics) }
    let context = ReadingContext()
    let keyer = Field(path: "", node: node, context: context).keyerRules()
    guard let keyer, !context.hasErrors else { return (nil, context.diagnostics) }
    return (keyer, context.diagnostics + keyer.overlapWarnings())
}

extension Field {
    private func message(_ known: [String]) -> Section? { self.section(known, spelling: .protobuf) }

    /// Elements of a list of at least `count`, each read; nil if any is bad.
    private func elements<Value>(atLeast count: Int, _ read: (Field) -> Value?) -> [Value]? {
        guard let fields = self.list() else { return nil }
        if fields.count < count { self.error("it needs at least \(count) element\(count == 1 ? "" : "s")") }
        let values = fields.map(read).compactMap { $0 }
        return values.count == fields.count && values.count >= count ? values : nil
    }

    private func constantTrue() -> Bool? {
        // The Go program reads YAML 1.1, where these mean true as well.
        let isTrue = ["true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON", "y", "Y"].contains(
            self.node.scalar?.style == .plain ? self.node.scalar?.text : nil)
        if !isTrue { self.error("it must be true, not \(self.node.kindDescription)") }
        return isTrue ? true : nil
    }

    fileprivate func keyerRules() -> KeyerRules? {
        guard let fragments = self.message(["fragments"])?.require("fragments") else { return nil }
        return fragments.elements(atLeast: 1) { $0.keyerFragment() }.map { KeyerRules(fragments: $0) }
    }

    private func keyerFragment() -> KeyerRules.Fragment? {
        guard let rules = self.message(["rules"])?.require("rules") else { return nil }
        return rules.elements(atLeast: 1) { $0.keyerRule() }.map { KeyerRules.Fragment(rules: $0) }
    }

    private func keyerRule() -> KeyerRules.Rule? {
        guard let section = self.message(["match", "result"]) else { return nil }
        let match = section.require("match")?.keyerMatch()
        let result = section.require("result")?.keyerResult()
        guard let match, let result else { return nil }
        return KeyerRules.Rule(match: match, result: result, place: self.node.place)
    }

    // MARK: match

    private func keyerMatch() -> KeyerMatch? {
        let kinds = ["and_match", "or_match", "not_match", "any_match", "request_type_match", "request_node_match"]
        guard let (kind, field) = self.message(kinds)?.exactlyOne(of: kinds) else { return nil }
        switch kind {
        case "and_match": return field.matchSet().map { .and($0) }
        case "or_match": return field.matchSet().map { .or($0) }
        case "not_match": return field.keyerMatch().map { .not($0) }
        case "any_match": return field.constantTrue().map { _ in .any }
        case "request_type_match":
            let types = field.message(["types"])?.require("types")?.elements(atLeast: 1) { $0.text() }
            return types.map { .types($0) }
        default: return field.nodeMatch()
        }
    }

    private func matchSet() -> [KeyerMatch]? {
        self.message(["rules"])?.require("rules")?.elements(atLeast: 2) { $0.keyerMatch() }
    }

    private func nodeMatch() -> KeyerMatch? {
        if self.isOldForm() { return nil }
        let kinds = ["id_match", "cluster_match", "locality_match", "node_metadata_match"]
        guard let (kind, field) = self.message(kinds)?.exactlyOne(of: kinds) else { return nil }
        switch kind {
        case "id_match": return field.stringMatch().map { .id($0) }
        case "cluster_match": return field.stringMatch().map { .cluster($0) }
        case "locality_match": return field.localityMatch()
        default: return field.metadataMatch()
        }
    }

    /// Whether this is the form of the first versions, which the Go program itself does not load any more.
    private func isOldForm() -> Bool {
        guard self.node["field"] != nil else { return false }
        self.error(
            "\"field\" is the form of old versions; name what is meant, as in \"cluster_match\" or \"id_action\"")
        return true
    }

    private func localityMatch() -> KeyerMatch? {
        guard let section = self.message(["region", "zone", "sub_zone"]) else { return nil }
        return .locality(
            region: section["region"]?.stringMatch(), zone: section["zone"]?.stringMatch(),
            subZone: section["sub_zone"]?.stringMatch())
    }

    private func metadataMatch() -> KeyerMatch? {
        guard let section = self.message(["path", "match"]) else { return nil }
        let path = section.require("path")?.metadataPath()
        let kinds = ["string_match", "bool_match"]
        guard let (kind, field) = section.require("match")?.message(kinds)?.exactlyOne(of: kinds) else { return nil }
        if kind == "bool_match" {
            let section = field.message(["value_match"])
            let value = section?["value_match"].map { $0.flag() } ?? false
            guard let path, section != nil, let value else { return nil }
            return .metadataBool(path: path, value)
        }
        guard let path, let match = field.stringMatch() else { return nil }
        return .metadata(path: path, match)
    }

    private func metadataPath() -> [String]? {
        self.elements(atLeast: 1) { $0.message(["key"])?.require("key")?.nonEmptyText() }
    }

    private func stringMatch() -> KeyerString? {
        let kinds = ["exact_match", "regex_match"]
        guard let (kind, field) = self.message(kinds)?.exactlyOne(of: kinds) else { return nil }
        if let scalar = field.node.scalar, scalar.text.isEmpty {
            field.warning("an empty one matches nothing, not even an empty value")
        }
        if kind == "exact_match" { return field.text().map { .exact($0) } }
        return field.keyerPattern().map { .regex($0) }
    }

    private func keyerPattern() -> Pattern? {
        guard let text = self.text() else { return nil }
        do {
            return try Pattern(text)
        } catch {
            self.error("\"\(text)\" is not a usable pattern: \(error)")
            return nil
        }
    }

    // MARK: result

    private func keyerResult() -> KeyerResult? {
        let kinds = ["and_result", "request_node_fragment", "resource_names_fragment", "string_fragment"]
        guard let (kind, field) = self.message(kinds)?.exactlyOne(of: kinds) else { return nil }
        switch kind {
        case "string_fragment": return field.text().map { .text($0) }
        case "request_node_fragment": return field.nodeResult()
        case "resource_names_fragment": return field.nameResult()
        default:
            let parts = field.message(["result_predicates"])?.require("result_predicates")
            return parts?.elements(atLeast: 2) { $0.keyerResult() }.map { .and($0) }
        }
    }

    private func nodeResult() -> KeyerResult? {
        if self.isOldForm() { return nil }
        let kinds = ["id_action", "cluster_action", "locality_action", "node_metadata_action"]
        guard let (kind, field) = self.message(kinds)?.exactlyOne(of: kinds) else { return nil }
        switch kind {
        case "id_action": return field.keyerAction().map { .id($0) }
        case "cluster_action": return field.keyerAction().map { .cluster($0) }
        case "locality_action": return field.localityResult()
        default:
            guard let section = field.message(["path", "action"]) else { return nil }
            let path = section.require("path")?.metadataPath()
            let action = section.require("action")?.keyerAction()
            guard let path, let action else { return nil }
            return .metadata(path: path, action)
        }
    }

    private func localityResult() -> KeyerResult? {
        guard let section = self.message(["region_action", "zone_action", "subzone_action"]) else { return nil }
        return .locality(
            region: section["region_action"]?.keyerAction(), zone: section["zone_action"]?.keyerAction(),
            subZone: section["subzone_action"]?.keyerAction())
    }

    private func nameResult() -> KeyerResult? {
        guard let section = self.message(["element", "action"]) else { return nil }
        let element = section["element"].map { $0.integer(0...Int(Int32.max)) } ?? 0
        let action = section.require("action")?.keyerAction()
        guard let element, let action else { return nil }
        return .resourceName(element: element, action)
    }

    private func keyerAction() -> KeyerAction? {
        let kinds = ["exact", "regex_action"]
        guard let (kind, field) = self.message(kinds)?.exactlyOne(of: kinds) else { return nil }
        if kind == "exact" { return field.constantTrue().map { _ in .exact } }
        guard let section = field.message(["pattern", "replace"]), let pattern = section.require("pattern") else {
            return nil
        }
        let template = section["replace"].map { $0.text() } ?? ""
        guard pattern.nonEmptyText() != nil, let pattern = pattern.keyerPattern(), let template else { return nil }
        for name in pattern.unknownReferences(in: template) {
            section["replace"]?.warning(
                "the pattern has no group \"\(name)\", so that \"$\(name)\" stands for nothing; a group's number is kept "
                    + "apart from what follows by braces, as in \"${1}x\"")
        }
        return .replace(pattern, template: template)
    }
}
