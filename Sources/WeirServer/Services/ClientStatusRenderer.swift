import WeirBase
import WeirEngine
import WeirProtobuf
import WeirXDS

/// Makes a `ClientStatusResponse` of what the workers found (SVC-01, SVC-03, SVC-04). Runs on no worker's thread.
struct ClientStatusRenderer {
    enum Outcome: Sendable {
        case response([UInt8])
        case tooLarge
    }

    let descriptors: DescriptorSet?
    let excludesContents: Bool
    let bytesMax: Int
    /// Contents that can be shown, by resource: clients of one group share them.
    private var contents: [ObjectIdentifier: [UInt8]?] = [:]

    init(descriptors: DescriptorSet?, excludesContents: Bool, bytesMax: Int) {
        self.descriptors = descriptors
        self.excludesContents = excludesContents
        self.bytesMax = bytesMax
    }

    /// The streams of one client: those of one connection that have the same node.
    private struct Client: Hashable {
        var peer: ObjectIdentifier
        var id: String
        var cluster: String
    }

    mutating func render(_ walks: [DeliveryWalk]) -> Outcome {
        guard !walks.contains(where: { $0.budget < 0 }) else { return .tooLarge }
        var clients: [Client: [DeliveredStream]] = [:]
        var order: [Client] = []
        for stream in walks.flatMap(\.streams) {
            let client = Client(
                peer: ObjectIdentifier(stream.peer), id: stream.node.id, cluster: stream.node.cluster)
            if clients[client] == nil { order.append(client) }
            clients[client, default: []].append(stream)
        }
        var response = ClientStatusResponseWriter()
        for client in order {
            self.add(clients[client] ?? [], to: &response)
            guard response.count <= self.bytesMax else { return .tooLarge }
        }
        return .response(response.bytes)
    }

    private mutating func add(_ streams: [DeliveredStream], to response: inout ClientStatusResponseWriter) {
        guard let first = streams.first else { return }
        var configs: [[UInt8]] = []
        for stream in streams {
            for type in stream.types {
                for resource in type.resources { configs.append(self.config(resource, type, stream.variant)) }
            }
        }
        let key = streams.flatMap(\.types).first { !$0.key.isEmpty }?.key ?? ""
        response.add(node: first.node.encoded, scope: key, configs: configs)
    }

    private mutating func config(
        _ delivered: DeliveredResource, _ type: DeliveredType, _ variant: ProtocolVariant
    ) -> [UInt8] {
        let isSent = delivered.state != .notSent
        let version =
            variant == .delta ? delivered.resource?.version ?? "" : isSent ? type.version : ""
        var config = GenericXDSConfig(
            typeURL: type.type.typeURL, name: delivered.name, version: version, status: Self.status(delivered.state))
        if let resource = delivered.resource {
            config.updated = type.updated
            config.content = self.content(resource, type.type)
        }
        if delivered.state == .rejected, let rejection = type.rejection {
            config.error = (variant == .delta ? version : rejection.version, rejection.message, rejection.at)
        }
        return config.encoded
    }

    private static func status(_ state: DeliveryState) -> ConfigStatus {
        switch state {
        case .notSent: .notSent
        case .sent: .stale
        case .accepted: .synced
        case .rejected: .error
        }
    }

    /// The resource without what is secret in it; nil where that cannot be told from the rest, and for secrets.
    private mutating func content(_ resource: Resource, _ type: XDSType) -> [UInt8]? {
        guard !self.excludesContents, type != .sds, let descriptors = self.descriptors else { return nil }
        if let known = self.contents[ObjectIdentifier(resource)] { return known }
        let made = Self.content(resource, descriptors)
        self.contents[ObjectIdentifier(resource)] = .some(made)
        return made
    }

    private static func content(_ resource: Resource, _ descriptors: DescriptorSet) -> [UInt8]? {
        let encoded = resource.encoded
        let span = encoded.span
        guard resource.hasBody, let any = try? AnyEnvelope(decoding: resource.anyRange, in: span) else { return nil }
        let typeURL = span.string(any.typeURL)
        guard typeURL != XDSType.sds.typeURL, descriptors.knows(typeURL: typeURL),
            let shown = try? descriptors.redacted(typeURL: typeURL, bytes: span.array(any.value))
        else { return nil }
        var writer = WireWriter()
        writer.string(1, typeURL)
        writer.message(2, shown)
        return writer.bytes
    }
}
