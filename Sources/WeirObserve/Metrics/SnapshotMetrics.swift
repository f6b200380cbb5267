/// Metrics of upstreams that are fed over HTTP, made and bumped as `RelayMetrics` says.
package final class SnapshotMetrics: Sendable {
    /// What became of a request.
    package enum Outcome: String, CaseIterable, Sendable {
        /// A snapshot, or a type of one, was put where there was none, or in the place of another.
        case put
        /// It says what the last one said.
        case unchanged
        case removed
        case read
        /// Looked at and not taken, as was asked for.
        case dry_run
        /// It has mistakes, or is not for here.
        case invalid
        /// `If-Match` or `If-None-Match` did not hold.
        case conflict
        /// No token that is known, too large, or one too many.
        case refused
    }

    private let keysByUpstream: LabelTable<Gauge>
    private let bytesByUpstream: LabelTable<Gauge>
    private let requestsByUpstream: LabelTable<LabelTable<Counter>>
    let families: [MetricFamily]

    init(upstreams: [String]) {
        var keys = MetricFamily("weir_snapshot_keys", .gauge, help: "Keys that have a snapshot, by upstream.")
        self.keysByUpstream = keys.gauges(by: "upstream", upstreams)
        var bytes = MetricFamily("weir_snapshot_bytes", .gauge, help: "Bytes of all snapshots, by upstream.")
        self.bytesByUpstream = bytes.gauges(by: "upstream", upstreams)
        var requests = MetricFamily(
            "weir_snapshot_requests_total", .counter,
            help: "Requests to put, remove and read snapshots, by what became of them.")
        self.requestsByUpstream = LabelTable(upstreams) { upstream, isOther in
            LabelTable(Outcome.allCases.map(\.rawValue)) { outcome, isOtherOutcome in
                requests.counter(
                    ["upstream": upstream, "outcome": outcome], hiddenWhileZero: isOther || isOtherOutcome)
            }
        }
        self.families = [keys, bytes, requests]
    }

    /// `weir_snapshot_keys`.
    package func keys(upstream: String) -> Gauge { self.keysByUpstream[upstream] }
    /// `weir_snapshot_bytes`.
    package func bytes(upstream: String) -> Gauge { self.bytesByUpstream[upstream] }
    /// `weir_snapshot_requests_total`.
    package func requests(upstream: String, _ outcome: Outcome) -> Counter {
        self.requestsByUpstream[upstream][outcome.rawValue]
    }
}
