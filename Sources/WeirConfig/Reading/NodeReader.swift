package import WeirBase
package import WeirXDS
import WeirYAML

/// What is wrong with a node in JSON.
package struct NodeReadingError: Error, Hashable, Sendable {
    package var diagnostics: [Diagnostic]
}

/// Reads an `envoy.config.core.v3.Node` in protobuf's JSON form (or the same as YAML), with names in `snake_case` or
/// `camelCase`. Fields that no rule can look at are accepted and left out.
package func readNode(_ bytes: [UInt8], file: String) throws(NodeReadingError) -> Node {
    let tree: YAMLNode
    do { tree = try parseYAML(bytes, file: file) } catch { throw NodeReadingError(diagnostics: error.diagnostics) }
    let context = ReadingContext()
    let node = Field(path: "", node: tree, context: context).nodeMessage()
    guard let node, !context.hasErrors else {
        throw NodeReadingError(diagnostics: context.diagnostics.inOrder(of: file))
    }
    return node
}

extension Field {
    fileprivate func nodeMessage() -> Node? {
        let read = [
            "id", "cluster", "metadata", "locality", "user_agent_name", "user_agent_version",
            "user_agent_build_version", "client_features",
        ]
        let ignored = ["dynamic_parameters", "extensions", "listening_addresses", "build_version"]
        guard let section = self.section(read + ignored, spelling: .protobuf) else { return nil }
        let locality = section["locality"]?.section(["region", "zone", "sub_zone"], spelling: .protobuf)
        let version =
            section["user_agent_version"]?.text() ?? section["user_agent_build_version"]?.semanticVersion() ?? ""
        return Node(
            id: section["id"]?.text() ?? "",
            cluster: section["cluster"]?.text() ?? "",
            metadata: section["metadata"].flatMap { $0.entries() }.map { entries in
                Dictionary(entries.map { ($0.name, MetadataValue($0.field.node)) }) { $1 }
            },
            region: locality?["region"]?.text() ?? "",
            zone: locality?["zone"]?.text() ?? "",
            subZone: locality?["sub_zone"]?.text() ?? "",
            userAgentName: section["user_agent_name"]?.text() ?? "",
            userAgentVersion: version,
            clientFeatures: section["client_features"]?.list()?.compactMap { $0.text() } ?? [])
    }

    private func semanticVersion() -> String? {
        let section = self.section(["version", "metadata"], spelling: .protobuf)
        let names = ["major_number", "minor_number", "patch"]
        guard let version = section?["version"]?.section(names, spelling: .protobuf) else { return nil }
        return names.map { String(version[$0]?.integer(0...Int(UInt32.max)) ?? 0) }.joined(separator: ".")
    }
}

extension MetadataValue {
    fileprivate init(_ node: YAMLNode) {
        switch node.content {
        case .sequence(let elements): self = .list(elements.map { MetadataValue($0) })
        case .mapping(let entries):
            self = .object(Dictionary(entries.map { ($0.key, MetadataValue($0.value)) }) { $1 })
        case .scalar(let scalar):
            switch scalar.resolved {
            case .null: self = .null
            case .bool(let value): self = .bool(value)
            case .int(let value): self = .number(Double(value))
            case .float(let value): self = .number(value)
            case .string(let text): self = .string(text)
            }
        }
    }
}
