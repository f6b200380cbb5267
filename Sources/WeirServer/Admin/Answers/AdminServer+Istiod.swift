import WeirBase
import WeirEngine
import WeirProtobuf
import WeirRules
import WeirXDS

/// `/debug/syncz` and `/debug/config_dump`, for hands and tools that know istiod's: the names of fields are its.
extension AdminServer {
    // MARK: syncz

    func syncz(_ answer: AdminAnswer) throws(AdminFault) {
        let filter = try Self.streamFilter(answer, proxyID: answer.query("proxyID"))
        self.streams(filter) { gathered in
            let streams = gathered.parts.flatMap(\.streams)
            if answer.wantsText {
                let notes = pageNotes(listed: streams.count, total: 0, next: nil, missing: gathered.missing)
                return answer.table(Self.synczTable(streams), notes)
            }
            // istiod's answer is a list, which has no room for who is missing.
            if !gathered.missing.isEmpty {
                return answer.error(503, "worker \(gathered.missing) does not turn: /clients shows the others'")
            }
            answer.json { json in json.array { list in for stream in streams { Self.syncz(stream, to: &list) } } }
        }
    }

    private static let synczNames: [(XDSType, String)] = [
        (.cds, "cluster"), (.lds, "listener"), (.rds, "route"), (.eds, "endpoint"), (.ecds, "extensionconfig"),
    ]

    private static func syncz(_ stream: StreamStatus, to list: inout JSONWriter) {
        let node = stream.node.flatMap { try? Node(decoding: $0.encoded) }
        list.object {
            $0.field("cluster_id", Self.text(node?.metadata["CLUSTER_ID"]) ?? stream.cluster)
            $0.field("proxy", stream.nodeID)
            $0.field("proxy_type", Self.proxyType(stream.nodeID))
            $0.field("proxy_version", stream.node?.agent ?? "")
            $0.field("istio_version", Self.text(node?.metadata["ISTIO_VERSION"]) ?? "")
            for (type, name) in Self.synczNames {
                guard let status = stream.types.first(where: { $0.type == type }) else { continue }
                if status.nonce != .none { $0.field("\(name)_sent", status.nonce.text) }
                if let acked = Self.ackedNonce(status) { $0.field("\(name)_acked", acked) }
            }
            $0.field("key", stream.key)
            $0.object("resources") { types in
                for status in stream.types {
                    types.object(status.type.typeURL) {
                        $0.field("status", Self.syncStatus(status))
                        $0.field("sent", status.nonce == .none ? "" : status.nonce.text)
                        $0.field("acked", Self.ackedNonce(status) ?? "")
                        $0.field("sent_version", status.sent)
                        $0.field("acked_version", status.acked)
                        $0.field("lastError", status.rejection?.message ?? "")
                    }
                }
            }
        }
    }

    /// The nonce of the newest response if that was accepted. Which one was accepted before is not kept: it was another.
    private static func ackedNonce(_ status: TypeStatus) -> String? {
        status.nonce != .none && status.state == .acked ? status.nonce.text : nil
    }

    /// The words of `istioctl proxy-status`.
    static func syncStatus(_ status: TypeStatus) -> String {
        switch status.state {
        case .waiting: "NOT SENT"
        case .acked: "SYNCED"
        case .sent, .nacked: "STALE"
        }
    }

    /// Istio's nodes begin with what they are: `sidecar~10.0.0.1~pod.namespace~domain`.
    private static func proxyType(_ id: String) -> String {
        let parts = id.split(separator: "~", omittingEmptySubsequences: false)
        return parts.count == 4 ? String(parts[0]) : ""
    }

    private static func text(_ value: MetadataValue?) -> String? {
        if case .string(let text)? = value { return text }
        return nil
    }

    private static let columns: [XDSType] = [.cds, .lds, .eds, .rds, .ecds]

    private static func synczTable(_ streams: [StreamStatus]) -> TextTable {
        var table = TextTable(["NAME", "CLUSTER", "KEY"] + Self.columns.map { $0.label.uppercased() } + ["VERSION"])
        for stream in streams {
            let states = Self.columns.map { type in
                stream.types.first { $0.type == type }.map { Self.syncStatus($0) } ?? "IGNORED"
            }
            table.add([stream.nodeID, stream.cluster, stream.key] + states + [stream.node?.agent ?? ""])
        }
        return table
    }

    // MARK: config_dump

    func proxyConfigDump(_ answer: AdminAnswer) throws(AdminFault) {
        let id = answer.query("proxyID") ?? ""
        let wanted = try Self.types(answer)
        let (descriptors, budget) = (self.descriptors, Self.pageBytesMax)
        self.gather { (worker: Worker, done: @escaping @Sendable (DeliveryWalk) -> Void) in
            let walk = DeliveryWalk(budget: budget, countsContents: true) { $0.id == id }
            worker.collectDeliveries(walk, done: done)
        } render: { gathered in
            let streams = gathered.parts.flatMap(\.streams)
            guard !gathered.parts.contains(where: { $0.budget < 0 }) else {
                return answer.error(409, "what it has is more than \(budget >> 20) MiB: ask /config_dump, by pages")
            }
            guard !streams.isEmpty else { return Self.noClient(answer, id, missing: gathered.missing) }
            let types = streams.flatMap(\.types).filter { wanted.contains($0.type) }
            if answer.wantsText { return answer.table(Self.deliveryTable(types)) }
            let dumper = ResourceDumper(descriptors: descriptors)
            answer.json { json in
                json.object {
                    $0.array("configs") { list in for type in types { Self.write(type, dumper, to: &list) } }
                    $0.missing(gathered.missing)
                }
            }
        }
    }

    static func noClient(_ answer: AdminAnswer, _ id: String, missing: [Int]) {
        if let worker = missing.first {
            return answer.error(503, "worker \(worker) does not turn, and no other has a client with node \(id)")
        }
        answer.error(404, "no client with node \(id) is connected here; /clients lists those that are")
    }

    /// Without endpoints, which are many, unless they are asked for.
    private static func types(_ answer: AdminAnswer) throws(AdminFault) -> Set<XDSType> {
        guard let names = answer.query("types") else {
            let all = Set(dumps.keys)
            return answer.query("include_eds") == "true" ? all : all.subtracting([.eds])
        }
        var types: Set<XDSType> = []
        for name in names.split(separator: ",") {
            let type = XDSType.named(String(name)) ?? XDSType.of(typeURL: String(name))
            guard dumps[type] != nil else {
                let known = dumps.keys.map(\.label).sorted().joined(separator: ", ")
                throw AdminFault(400, "types=\(name) is none of \(known)")
            }
            types.insert(type)
        }
        return types
    }

    /// The message of `envoy.admin.v3` for each type, its list, and the resource's field in an element.
    private static let dumps: [XDSType: (message: String, list: String, field: String)] = [
        .cds: ("ClustersConfigDump", "dynamicActiveClusters", "cluster"),
        .eds: ("EndpointsConfigDump", "dynamicEndpointConfigs", "endpointConfig"),
        .lds: ("ListenersConfigDump", "dynamicListeners", "listener"),
        .rds: ("RoutesConfigDump", "dynamicRouteConfigs", "routeConfig"),
        .sds: ("SecretsConfigDump", "dynamicActiveSecrets", "secret"),
        .ecds: ("EcdsConfigDump", "ecdsFilters", "ecdsFilter"),
    ]

    private static func write(_ type: DeliveredType, _ dumper: ResourceDumper, to list: inout JSONWriter) {
        guard let dump = Self.dumps[type.type] else { return }
        list.object {
            $0.field("@type", XDSType.prefix + "envoy.admin.v3." + dump.message)
            if type.type == .cds || type.type == .lds { $0.field("versionInfo", type.version) }
            $0.array(dump.list) { entries in
                for resource in type.resources {
                    guard let content = resource.resource, resource.state != .notSent else { continue }
                    entries.object { Self.write(resource, content, type, dump.field, dumper, to: &$0) }
                }
            }
        }
    }

    private static func write(
        _ resource: DeliveredResource, _ content: Resource, _ type: DeliveredType, _ field: String,
        _ dumper: ResourceDumper, to entry: inout JSONWriter
    ) {
        let body = dumper.body(content, type: type.type)
        if type.type == .sds { entry.field("name", resource.name) }
        guard type.type == .lds else {
            entry.field("versionInfo", content.version)
            entry.field(field, raw: body)
            entry.field("lastUpdated", type.updated?.rfc3339)
            return
        }
        entry.field("name", resource.name)
        entry.object("activeState") {
            $0.field("versionInfo", content.version)
            $0.field(field, raw: body)
            $0.field("lastUpdated", type.updated?.rfc3339)
        }
    }

    private static func deliveryTable(_ types: [DeliveredType]) -> TextTable {
        var table = TextTable(["TYPE", "NAME", "VERSION", "STATE"])
        for type in types {
            for resource in type.resources {
                table.add([
                    type.type.label, resource.name, resource.resource?.version ?? "-", "\(resource.state)",
                ])
            }
        }
        return table
    }
}

extension Worker {
    /// Walks over all streams for what clients have.
    func collectDeliveries(_ walk: DeliveryWalk, done: @escaping @Sendable (DeliveryWalk) -> Void) {
        var walk = walk
        self.inspector.work { [unowned self] in
            self.shard.advance(&walk, slots: 16, resources: 512)
            guard walk.next == nil else { return true }
            done(walk)
            return false
        }
    }
}
