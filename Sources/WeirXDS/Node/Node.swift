/// A client's description of itself: `envoy.config.core.v3.Node` as a value.
///
/// Two nodes are equal when their bytes are.
package struct Node: Sendable {
    package private(set) var id: String
    package private(set) var cluster: String
    /// The fields of the metadata; empty if there are none.
    package let metadata: [String: MetadataValue]
    /// Whether the node has metadata at all, if only an empty one.
    package let hasMetadata: Bool
    package let region: String
    package let zone: String
    package let subZone: String
    package let userAgentName: String
    /// `user_agent_version`, or `major.minor.patch` of `user_agent_build_version`.
    package let userAgentVersion: String
    package let clientFeatures: [String]
    /// The message as it was received (or first encoded).
    package private(set) var raw: [UInt8]

    /// How deep values of metadata may nest.
    package static let metadataDepthMax = 64
    /// How many values the metadata may hold, however deep.
    package static let metadataValuesMax = 100_000

    /// A node made of fields rather than received.
    package init(
        id: String, cluster: String = "", metadata: [String: MetadataValue]? = nil, region: String = "",
        zone: String = "", subZone: String = "", userAgentName: String = "", userAgentVersion: String = "",
        clientFeatures: [String] = []
    ) {
        self.id = id
        self.cluster = cluster
        self.metadata = metadata ?? [:]
        self.hasMetadata = metadata != nil
        self.region = region
        self.zone = zone
        self.subZone = subZone
        self.userAgentName = userAgentName
        self.userAgentVersion = userAgentVersion
        self.clientFeatures = clientFeatures
        self.raw = []
        self.raw = self.encoded()
    }

    /// Reads a message. Text that is no UTF-8 and metadata beyond the bounds are errors; unknown fields are kept in
    /// `raw` and otherwise ignored.
    package init(decoding bytes: [UInt8]) throws(NodeError) {
        let fields = try NodeFields(decoding: bytes)
        self.id = fields.id
        self.cluster = fields.cluster
        self.metadata = fields.metadata ?? [:]
        self.hasMetadata = fields.metadata != nil
        self.region = fields.region
        self.zone = fields.zone
        self.subZone = fields.subZone
        self.userAgentName = fields.userAgentName
        self.userAgentVersion = fields.userAgentVersion
        self.clientFeatures = fields.clientFeatures
        self.raw = bytes
    }

    /// The same node under another id and cluster (nil: as it is); every other field keeps its bytes.
    package func replacing(id: String?, cluster: String?) -> Node {
        var node = self
        node.id = id ?? self.id
        node.cluster = cluster ?? self.cluster
        node.raw = Node.identity(id: node.id, cluster: node.cluster) + Node.withoutIdentity(self.raw)
        return node
    }
}

extension Node: Hashable {
    package static func == (a: Node, b: Node) -> Bool { a.raw == b.raw }
    package func hash(into hasher: inout Hasher) { hasher.combine(self.raw) }
}
