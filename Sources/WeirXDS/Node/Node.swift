/// A client's description of itself: `envoy.config.core.v3.Node` as a value.
///
/// Two nodes are equal when their bytes are.
public struct Node: Sendable {
    /// The name of this one client.
    public private(set) var id: String
    /// The name of the service that the client is an instance of.
    public private(set) var cluster: String
    /// The fields of the metadata; empty if there are none.
    public let metadata: [String: MetadataValue]
    /// Whether the node has metadata at all, if only an empty one.
    package let hasMetadata: Bool
    /// `locality.region`.
    public let region: String
    /// `locality.zone`.
    public let zone: String
    /// `locality.sub_zone`.
    public let subZone: String
    /// The name of the client's program, such as `envoy`.
    public let userAgentName: String
    /// `user_agent_version`, or `major.minor.patch` of `user_agent_build_version`.
    public let userAgentVersion: String
    /// What the client says that it can do.
    public let clientFeatures: [String]
    /// The message as it was received (or first encoded).
    public private(set) var raw: [UInt8]

    /// How deep values of metadata may nest.
    public static let metadataDepthMax = 64
    /// How many values the metadata may hold, however deep.
    public static let metadataValuesMax = 100_000

    /// A node made of fields rather than received.
    public init(
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
    public init(decoding bytes: [UInt8]) throws(NodeError) {
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
    public func replacing(id: String?, cluster: String?) -> Node {
        var node = self
        node.id = id ?? self.id
        node.cluster = cluster ?? self.cluster
        node.raw = Node.identity(id: node.id, cluster: node.cluster) + Node.withoutIdentity(self.raw)
        return node
    }
}

extension Node: Hashable {
    /// Whether the bytes are the same.
    public static func == (a: Node, b: Node) -> Bool { a.raw == b.raw }
    /// Hashes the bytes.
    public func hash(into hasher: inout Hasher) { hasher.combine(self.raw) }
}
