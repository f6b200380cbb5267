import WeirBase
import WeirEngine
import WeirProtobuf
import WeirXDS

/// What the workers must be asked for: keys, clients, resources.
extension AdminServer {
    // MARK: Keys

    func keys(_ answer: AdminAnswer) {
        let wanted = answer.query("key")
        self.collect { (worker: Worker, done: @escaping @Sendable (WorkerGroups) -> Void) in
            done(worker.groups())
        } render: { parts in
            let keys = KeySummary.merge(parts).filter { wanted == nil || $0.home.key == wanted }
            if answer.wantsText { return answer.table(Self.keyTable(keys)) }
            answer.json { json in
                json.object { $0.array("keys") { list in for key in keys { key.write(to: &list) } } }
            }
        }
    }

    private static func keyTable(_ keys: [KeySummary]) -> TextTable {
        var table = TextTable([
            "KEY", "UPSTREAM", "STATE", "STREAMS", "TYPE", "VERSION", "RESOURCES", "ACKED", "NACKED", "HELD",
        ])
        for key in keys {
            for type in key.home.types {
                let view = key.views[type.type] ?? ViewTotals()
                table.add([
                    key.home.key, key.home.upstream, key.upstreamState, String(key.streams), type.type.label,
                    type.version, String(type.resources), String(view.acked), String(view.nacked),
                    type.hold?.reason.rawValue ?? "-",
                ])
            }
        }
        return table
    }

    // MARK: Clients

    func clients(_ answer: AdminAnswer) {
        let key = answer.query("key")
        let node = answer.query("node")
        self.collect { (worker: Worker, done: @escaping @Sendable ([StreamStatus]) -> Void) in
            worker.collectStreams(done: done)
        } render: { parts in
            let streams = parts.flatMap { $0 }.filter { stream in
                (node == nil || stream.nodeID == node)
                    && (key == nil || stream.key == key || stream.types.contains { $0.key == key })
            }
            if answer.wantsText { return answer.table(Self.clientTable(streams)) }
            answer.json { json in
                json.object { $0.array("clients") { list in for stream in streams { Self.write(stream, to: &list) } } }
            }
        }
    }

    private static func write(_ stream: StreamStatus, to list: inout JSONWriter) {
        list.object {
            $0.field("node", stream.nodeID)
            $0.field("cluster", stream.cluster)
            $0.field("peer", stream.peer)
            $0.field("key", stream.key)
            $0.field("service", stream.service)
            $0.field("protocol", stream.variant.rawValue)
            $0.field("since", stream.since.rfc3339)
            $0.object("types") { types in for type in stream.types { Self.write(type, to: &types) } }
        }
    }

    private static func write(_ type: TypeStatus, to types: inout JSONWriter) {
        types.object(type.type.label) {
            if type.wildcard, type.names.isEmpty {
                $0.field("subscribed", "*")
            } else {
                $0.field("subscribed", (type.wildcard ? ["*"] : []) + type.names)
            }
            $0.field("sent", type.sent)
            $0.field("acked", type.acked)
            $0.field("state", type.state.rawValue)
            guard let rejection = type.rejection else {
                $0.key("nack")
                $0.null()
                return
            }
            $0.object("nack") {
                $0.field("version", rejection.version)
                $0.field("message", rejection.message)
                $0.field("at", rejection.at.rfc3339)
            }
        }
    }

    private static func clientTable(_ streams: [StreamStatus]) -> TextTable {
        var table = TextTable(["NODE", "KEY", "PROTOCOL", "SERVICE", "PEER", "SINCE", "TYPES"])
        for stream in streams {
            let types = stream.types.map { "\($0.type.label):\($0.state.rawValue)" }.joined(separator: " ")
            table.add([
                stream.nodeID, stream.key, stream.variant.rawValue, stream.service, stream.peer,
                stream.since.rfc3339, types,
            ])
        }
        return table
    }

    // MARK: Resources

    func configDump(_ answer: AdminAnswer) {
        let key = answer.query("key")
        let name = answer.query("name")
        let typeURL = answer.query("type").map { XDSType.named($0)?.typeURL ?? $0 }
        let descriptors = self.descriptors
        self.collect { (worker: Worker, done: @escaping @Sendable ([HeldResources]) -> Void) in
            done(worker.heldResources(key: key, typeURL: typeURL))
        } render: { parts in
            let dumper = ResourceDumper(descriptors: descriptors)
            answer.json { json in
                json.object {
                    $0.array("resources") { list in
                        for held in parts.flatMap({ $0 }).sorted(by: { $0.key < $1.key }) {
                            for resource in held.resources where name == nil || resource.name == name {
                                dumper.write(resource, of: held, to: &list)
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What one (key, type) is doing downstream, over all workers.
struct ViewTotals {
    var streams = 0
    var acked = 0
    var nacked = 0
    var pending = 0
}

/// One key over all workers.
struct KeySummary {
    let home: WorkerGroups.Home
    var streams = 0
    var views: [XDSType: ViewTotals] = [:]

    var upstreamState: String { self.home.origin.isConnected ? "connected" : "disconnected" }

    static func merge(_ parts: [WorkerGroups]) -> [KeySummary] {
        var summaries: [String: KeySummary] = [:]
        for home in parts.flatMap(\.homes) { summaries[home.key] = KeySummary(home: home) }
        for part in parts {
            for (key, streams) in part.streamsByKey { summaries[key]?.streams += streams }
            for view in part.views {
                var totals = summaries[view.key]?.views[view.type] ?? ViewTotals()
                totals.streams += view.streams
                totals.acked += view.acked
                totals.nacked += view.nacked
                totals.pending += view.pending
                summaries[view.key]?.views[view.type] = totals
            }
        }
        return summaries.values.sorted { $0.home.key < $1.home.key }
    }

    func write(to list: inout JSONWriter) {
        list.object {
            $0.field("key", self.home.key)
            $0.object("upstream") {
                $0.field("name", self.home.upstream)
                $0.field("server", self.home.origin.server)
                $0.field("state", self.upstreamState)
            }
            $0.field("stale", self.home.isStale)
            $0.field("streams", self.streams)
            $0.object("types") { types in for type in self.home.types { self.write(type, to: &types) } }
        }
    }

    private func write(_ type: OriginTypeStatus, to types: inout JSONWriter) {
        let totals = self.views[type.type] ?? ViewTotals()
        types.object(type.type.label) {
            $0.field("version", type.version)
            $0.field("resources", type.resources)
            $0.field("bytes", type.bytes)
            $0.field("streams", totals.streams)
            $0.field("acked", totals.acked)
            $0.field("nacked", totals.nacked)
            $0.field("pending", totals.pending)
            $0.field("updated", type.updated?.rfc3339)
            $0.field("stale", type.isStale)
            AdminServer.write(type.hold, to: &$0)
            AdminServer.write(type.rollout, to: &$0)
            $0.array("history") { list in
                for past in type.past {
                    list.object {
                        $0.field("version", past.version)
                        $0.field("resources", past.resources)
                        $0.field("updated", past.updated?.rfc3339)
                    }
                }
            }
        }
    }
}
