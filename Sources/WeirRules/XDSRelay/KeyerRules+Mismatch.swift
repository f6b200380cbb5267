import WeirRegex
import WeirXDS

/// Why a predicate does not hold, for people. Asked only of those that were found not to.
extension KeyerMatch {
    func mismatch(_ request: RuleRequest) -> String {
        let node = request.node
        switch self {
        case .any: return "it holds"
        case .types(let types):
            let own = clipped(XDSType.of(typeURL: request.typeURL).label)
            let wanted = types.prefix(3).map { clipped(XDSType.of(typeURL: $0).label) } + (types.count > 3 ? ["…"] : [])
            return "it is for \(wanted.joined(separator: ", ")) only, not for \(own)"
        case .not(let inner): return "not_match: \(inner.subject) holds"
        case .and(let parts):
            let failing = parts.first { (try? $0.matches(request)) == false }
            return failing?.mismatch(request) ?? "and_match does not hold"
        case .or(let parts):
            let reasons = parts.prefix(4).map { $0.mismatch(request) } + (parts.count > 4 ? ["…"] : [])
            return "or_match: none holds (\(reasons.joined(separator: "; ")))"
        case .id(let match): return match.mismatch("node.id", node.id)
        case .cluster(let match): return match.mismatch("node.cluster", node.cluster)
        case .locality(let region, let zone, let subZone):
            let parts = [
                ("region", region, node.region), ("zone", zone, node.zone), ("sub_zone", subZone, node.subZone),
            ]
            let failing = parts.first { $0.1?.matches($0.2) == false }
            return failing.flatMap { part in part.1?.mismatch("node.locality.\(part.0)", part.2) } ?? "it holds"
        case .metadata(let path, let match):
            let name = Self.name(path)
            guard let value = node.metadataValue(at: path) else { return "\(name) is missing" }
            guard case .string(let text) = value else { return "\(name) is no text, which counts as an empty one" }
            return match.mismatch(name, text)
        case .metadataBool(let path, let wanted):
            let name = Self.name(path)
            guard node.metadataValue(at: path) != nil else { return "\(name) is missing" }
            return wanted ? "\(name) is not true" : "\(name) is true"
        }
    }

    /// What a predicate is about, in the words of the rule file.
    private var subject: String {
        switch self {
        case .any: "any_match"
        case .types: "request_type_match"
        case .not: "not_match"
        case .and: "and_match"
        case .or: "or_match"
        case .id: "id_match"
        case .cluster: "cluster_match"
        case .locality: "locality_match"
        case .metadata(let path, _), .metadataBool(let path, _): "node_metadata_match of \(Self.name(path))"
        }
    }

    private static func name(_ path: [String]) -> String {
        clipped((["node", "metadata"] + path).joined(separator: "."))
    }
}

extension KeyerString {
    fileprivate func mismatch(_ field: String, _ value: String) -> String {
        if self.matchesNothing { return "an empty text or pattern matches nothing" }
        return switch self {
        case .exact(let text): "\(field) \"\(clipped(value))\" is not \"\(clipped(text))\""
        case .regex(let pattern): "in \(field) \"\(clipped(value))\" nothing matches \"\(clipped(pattern.text))\""
        }
    }
}
