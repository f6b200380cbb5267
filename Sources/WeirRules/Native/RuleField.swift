import WeirBase
import WeirXDS

/// A part of a request that patterns and keys can name.
package enum RuleField: Hashable, Sendable {
    case nodeID
    case nodeCluster
    case region
    case zone
    case subZone
    case userAgentName
    case userAgentVersion
    /// The components between the dots after `node.metadata.`.
    case metadata([String])
    case peerAddress
    case peerSAN
    case type

    private static let simple: [(name: String, field: RuleField)] = [
        ("node.id", .nodeID), ("node.cluster", .nodeCluster), ("node.locality.region", .region),
        ("node.locality.zone", .zone), ("node.locality.sub_zone", .subZone),
        ("node.user_agent_name", .userAgentName), ("node.user_agent_version", .userAgentVersion),
        ("peer.address", .peerAddress), ("peer.san", .peerSAN), ("type", .type),
    ]
    private static let metadataPrefix = "node.metadata."

    /// Every name that stands alone, and how the metadata is named.
    package static var names: [String] { self.simple.map(\.name) + [self.metadataPrefix + "<path>"] }

    /// The field of a name, or nil.
    package init?(_ name: String) {
        if let known = RuleField.simple.first(where: { $0.name == name }) {
            self = known.field
            return
        }
        guard name.hasPrefix(RuleField.metadataPrefix) else { return nil }
        let path = name.dropFirst(RuleField.metadataPrefix.count).split(
            separator: ".", omittingEmptySubsequences: false)
        guard path.allSatisfy({ !$0.isEmpty }) else { return nil }
        self = .metadata(path.map(String.init))
    }

    package var name: String {
        if case .metadata(let path) = self { return RuleField.metadataPrefix + path.joined(separator: ".") }
        return RuleField.simple.first { $0.field == self }?.name ?? ""
    }

    /// A name that someone may have meant by `name`.
    package static func hint(for name: String, also names: [String] = []) -> String? {
        if name == "node.metadata" || name == "node.metadata." { return "node.metadata.<path>" }
        return nearestName(to: name, among: self.simple.map(\.name) + names)
    }

    /// The value in `request`. An unset field of the protocol cannot be told from an empty one: both are missing.
    func value(in request: RuleRequest) -> FieldValue {
        switch self {
        case .nodeID: return FieldValue(request.node.id)
        case .nodeCluster: return FieldValue(request.node.cluster)
        case .region: return FieldValue(request.node.region)
        case .zone: return FieldValue(request.node.zone)
        case .subZone: return FieldValue(request.node.subZone)
        case .userAgentName: return FieldValue(request.node.userAgentName)
        case .userAgentVersion: return FieldValue(request.node.userAgentVersion)
        case .peerAddress: return FieldValue(request.peerAddress)
        case .peerSAN: return FieldValue(request.peerSANs.first ?? "")
        case .type: return FieldValue(request.typeURL.isEmpty ? "" : XDSType.of(typeURL: request.typeURL).label)
        case .metadata(let path):
            guard let value = MetadataValue.object(request.node.metadata).value(at: path[...]) else {
                return .missing("is missing")
            }
            return value.text.map { .value($0) } ?? .missing("is \(value.kindDescription), not a single value")
        }
    }
}

/// The value of a field, or why there is none.
enum FieldValue: Hashable {
    case value(String)
    case missing(String)

    init(_ text: String) { self = text.isEmpty ? .missing("is missing") : .value(text) }
}

extension MetadataValue {
    fileprivate var kindDescription: String {
        switch self {
        case .null: "null"
        case .list: "a list"
        case .object: "an object"
        default: "a number that JSON has no form for"
        }
    }
}
