import WeirBase
import WeirEngine
import WeirXDS

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
