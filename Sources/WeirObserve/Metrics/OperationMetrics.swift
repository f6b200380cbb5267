/// Metrics about the running of the process itself, made and bumped as `RelayMetrics` says: reloads, certificates, the
/// log, and the signs that clients do not get on with what they are sent.
package final class OperationMetrics: Sendable {
    package static let reloadResults = ["success", "failure"]
    package static let logLossReasons = ["limited", "queue"]
    package static let subscriptionStates = ["acked", "nacked", "pending"]

    /// `weir_ready`.
    package let ready: Gauge
    /// `weir_degraded`.
    package let degraded: Gauge
    /// `weir_config_reload_success_timestamp_seconds`.
    package let reloadedAt: Gauge
    /// `weir_downstream_streams_lost_after_large_response_total`.
    package let lostAfterLargeResponse: Counter
    /// `weir_downstream_streams_opened_total`.
    package let streamsOpened: Counter

    private let reloadsByResult: LabelTable<Counter>
    private let logLossesByReason: LabelTable<Counter>
    private let ackTimeoutsByType: LabelTable<Counter>
    private let subscriptionsByType: LabelTable<LabelTable<Gauge>>
    private let lastResponseByUpstream: LabelTable<LabelTable<Gauge>>
    let families: [MetricFamily]

    init(upstreams: [String], types: [String]) {
        var ready = MetricFamily("weir_ready", .gauge, help: "1 while new clients are served, else 0.")
        self.ready = ready.gauge()
        var degraded = MetricFamily(
            "weir_degraded", .gauge, help: "Reasons for which /ready says that weir is degraded.")
        self.degraded = degraded.gauge()
        var reloads = MetricFamily(
            "weir_config_reloads_total", .counter, help: "Reloads of the configuration file, by result.")
        self.reloadsByResult = reloads.counters(by: "result", Self.reloadResults)
        var reloadedAt = MetricFamily(
            "weir_config_reload_success_timestamp_seconds", .gauge,
            help: "When the configuration in force was read, in seconds since the Unix epoch.")
        self.reloadedAt = reloadedAt.gauge()
        var logLosses = MetricFamily(
            "weir_log_lines_dropped_total", .counter,
            help: "Log lines not written: limited (too many of one message), queue (the log's reader is too slow).")
        self.logLossesByReason = logLosses.counters(by: "reason", Self.logLossReasons)
        var opened = MetricFamily(
            "weir_downstream_streams_opened_total", .counter, help: "Discovery streams that clients have opened.")
        self.streamsOpened = opened.counter()
        var lost = MetricFamily(
            "weir_downstream_streams_lost_after_large_response_total", .counter,
            help: "Streams that clients ended within 5 s of a response above 1 MiB: a receive limit, most likely.")
        self.lostAfterLargeResponse = lost.counter()
        var ackTimeouts = MetricFamily(
            "weir_downstream_ack_timeouts_total", .counter,
            help: "Responses that a client did not answer within ack_timeout.")
        self.ackTimeoutsByType = ackTimeouts.counters(by: "type", types)
        var subscriptions = MetricFamily(
            "weir_downstream_subscriptions", .gauge,
            help: "Types on streams by what the client last said: acked, nacked, or pending while it has not.")
        self.subscriptionsByType = LabelTable(types) { type, isOther in
            LabelTable(Self.subscriptionStates) { state, isOtherState in
                subscriptions.gauge(["type": type, "state": state], hiddenWhileZero: isOther || isOtherState)
            }
        }
        var lastResponse = MetricFamily(
            "weir_upstream_last_response_timestamp_seconds", .gauge,
            help: "When the upstream last sent a response of the type, in seconds since the Unix epoch.")
        self.lastResponseByUpstream = LabelTable(upstreams) { upstream, _ in
            LabelTable(types) { type, _ in
                lastResponse.gauge(["upstream": upstream, "type": type], hiddenWhileZero: true)
            }
        }
        self.families = [
            ready, degraded, reloads, reloadedAt, logLosses, opened, lost, ackTimeouts, subscriptions, lastResponse,
        ]
    }

    /// `weir_config_reloads_total`.
    package func reloads(succeeded: Bool) -> Counter { self.reloadsByResult[succeeded ? "success" : "failure"] }
    /// `weir_log_lines_dropped_total`; see `logLossReasons`.
    package func logLosses(_ reason: String) -> Counter { self.logLossesByReason[reason] }
    /// `weir_downstream_ack_timeouts_total`.
    package func ackTimeouts(type: String) -> Counter { self.ackTimeoutsByType[type] }
    /// `weir_downstream_subscriptions`; see `subscriptionStates`.
    package func subscriptions(type: String, state: String) -> Gauge { self.subscriptionsByType[type][state] }
    /// `weir_upstream_last_response_timestamp_seconds`.
    package func lastResponse(upstream: String, type: String) -> Gauge { self.lastResponseByUpstream[upstream][type] }
}
