import WeirBase
import WeirEngine
import WeirLoop
import WeirObserve
import WeirXDS

/// What the page shows at a glance: sums that would else need every key, and the last minutes.
extension AdminServer {
    /// Keys and holds that are listed; the sums are over all.
    private static let listedMax = 20

    /// The sums over all groups, and the groups that someone should look at, the worst first.
    func overview(_ answer: AdminAnswer) {
        self.collect { (worker: Worker, done: @escaping @Sendable (WorkerGroups) -> Void) in
            worker.collectGroups(done: done)
        } render: { parts in
            let keys = KeySummary.merge(parts)
            let holds = self.shared.holds.all
            answer.json { json in
                json.object {
                    Self.writeSums(
                        of: keys, streams: parts.flatMap(\.streamsByKey).reduce(0) { $0 + $1.value }, to: &$0)
                    $0.field("holds", holds.count)
                    $0.array("held") { list in
                        for hold in holds.prefix(Self.listedMax) {
                            list.object {
                                $0.field("key", hold.place.key)
                                $0.field("type", hold.place.type.label)
                                Self.write(hold.status, to: &$0)
                            }
                        }
                    }
                    let worrying = keys.filter { $0.concern > .none }
                    $0.field("concerns", worrying.count)
                    $0.array("attention") { list in
                        let worst = worrying.sorted { ($1.concern, $0.home.key) < ($0.concern, $1.home.key) }
                        for key in worst.prefix(Self.listedMax) { key.write(to: &list) }
                    }
                }
            }
        }
    }

    private static func writeSums(of keys: [KeySummary], streams: Int, to object: inout JSONWriter) {
        var totals = ViewTotals()
        for view in keys.flatMap(\.views.values) {
            totals.streams += view.streams
            totals.acked += view.acked
            totals.nacked += view.nacked
            totals.pending += view.pending
        }
        let types = keys.flatMap(\.home.types)
        object.field("groups", keys.count)
        object.field("streams", streams)
        object.field("resources", types.reduce(0) { $0 + $1.resources })
        object.field("bytes", types.reduce(0) { $0 + $1.bytes })
        object.field("stale_groups", keys.count(where: \.home.isStale))
        object.field("disconnected_groups", keys.count { !$0.home.origin.isConnected })
        object.object("subscriptions") {
            $0.field("total", totals.streams)
            $0.field("acked", totals.acked)
            $0.field("pending", totals.pending)
            $0.field("nacked", totals.nacked)
        }
    }

    /// The last minutes, in columns of one value for each second. Asks no worker.
    func activity(_ answer: AdminAnswer) {
        let seconds = self.shared.activity.withLock { $0 }.seconds
        answer.json { json in
            json.object {
                $0.field("until", Loop.wallNow().rfc3339)
                $0.field("interval_seconds", 1)
                Self.column("requests", seconds.map(\.requests), to: &$0)
                Self.column("responses", seconds.map(\.responses), to: &$0)
                Self.column("acks", seconds.map(\.acks), to: &$0)
                Self.column("nacks", seconds.map(\.nacks), to: &$0)
                Self.column("pushes", seconds.map(\.pushes), to: &$0)
                Self.column("push_ms", seconds.map(\.push), to: &$0)
                Self.column("convergence_ms", seconds.map(\.convergence), to: &$0)
            }
        }
    }

    private static func column(_ name: String, _ values: [UInt64], to object: inout JSONWriter) {
        object.array(name) { list in for value in values { list.value(value) } }
    }

    /// Null, or median and 99th percentile.
    private static func column(
        _ name: String, _ values: [RecentActivity.TimeSpread?], to object: inout JSONWriter
    ) {
        object.array(name) { list in
            for value in values {
                guard let value = value else {
                    list.null()
                    continue
                }
                list.array {
                    $0.value(Self.milliseconds(value.median))
                    $0.value(Self.milliseconds(value.percentile99))
                }
            }
        }
    }

    /// Rounded to microseconds: the buckets are coarser.
    private static func milliseconds(_ time: Nanoseconds) -> Double { Double(time.rawValue / 1_000) / 1_000 }
}

extension KeySummary {
    /// Why someone should look at a key.
    enum Concern: Int, Comparable {
        case none
        case behind
        case stale
        case disconnected
        case held
        case rejected

        static func < (a: Concern, b: Concern) -> Bool { a.rawValue < b.rawValue }
    }

    /// The worst of what there is.
    var concern: Concern {
        if self.views.values.contains(where: { $0.nacked > 0 }) { return .rejected }
        if self.home.types.contains(where: { $0.hold != nil }) { return .held }
        if !self.home.origin.isConnected { return .disconnected }
        if self.home.isStale { return .stale }
        return self.views.values.contains { $0.pending > 0 } ? .behind : .none
    }
}
