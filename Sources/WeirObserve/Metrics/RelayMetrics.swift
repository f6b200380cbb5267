package import WeirBase

/// Every metric of the relay, made at start and bumped by any thread without a lock.
///
/// Look-ups take the field's words (`cds`, `delta`, an upstream's name) and cost a hash of the word; what is bumped in a
/// hot loop is looked up once and kept. A word that was not known at start is counted under `other`, which is shown only
/// once it has a value.
package final class RelayMetrics: Sendable {
    /// Short names of the types with series of their own.
    package static let types = ["cds", "eds", "leds", "lds", "srds", "rds", "vhds", "sds", "ecds", "rtds"]
    /// What the port serves besides discovery.
    package static let services = ["health", "reflection", "client_status", "load_reports"]
    /// Why clients keep an earlier state.
    package static let holdReasons = ["empty", "shrink", "nack", "operator"]
    package static let protocols = ["sotw", "delta"]
    /// What can go wrong with the store.
    package static let storeErrorReasons = [
        "open", "write", "full", "damaged", "foreign", "locked", "key", "lost",
    ]
    /// What became of a response of the upstream.
    package enum PushOutcome: String, CaseIterable, Sendable {
        case sent
        case unchanged
        case held_empty
        case held_shrink
        case held_nack
        case held_operator
        case rejected
    }

    /// `weir_downstream_connections`.
    package let downstreamConnections: Gauge
    /// `weir_downstream_connections_delayed_total`.
    package let connectionsDelayed: Counter
    /// `weir_downstream_requests_paced_total`.
    package let requestsPaced: Counter
    /// `weir_downstream_accept_pauses_total`.
    package let acceptPauses: Counter
    /// `weir_loop_stalls_total`.
    package let loopStalls: Counter
    /// `weir_memory_pressure`.
    package let memoryPressure: Gauge
    /// `weir_push_seconds`.
    package let pushSeconds: Histogram
    /// `weir_convergence_seconds`.
    package let convergenceSeconds: Histogram
    /// `weir_cache_groups`.
    package let cacheGroups: Gauge
    /// `weir_cache_stale_groups`.
    package let staleGroups: Gauge
    /// `weir_cache_bytes`.
    package let cacheBytes: Gauge

    /// `weir_history_bytes`.
    package let historyBytes: Gauge
    /// `weir_history_lost_total`.
    package let historyLost: Counter
    /// `weir_event_listeners`.
    package let eventListeners: Gauge
    /// `weir_events_dropped_total`.
    package let eventsDropped: Counter

    /// `weir_store_bytes`.
    package let storeBytes: Gauge
    /// `weir_store_writes_total`.
    package let storeWrites: Counter
    /// `weir_store_restored_total`.
    package let storeRestored: Counter
    /// `weir_store_behind_seconds`.
    package let storeBehind: Gauge

    private let storeErrorsByReason: LabelTable<Counter>
    private let traceSpansByOutcome: LabelTable<Counter>
    private let streamsByProtocol: LabelTable<LabelTable<Gauge>>
    private let requestsByType: LabelTable<Counter>
    private let responsesByType: LabelTable<Counter>
    private let acksByType: LabelTable<Counter>
    private let nacksByType: LabelTable<Counter>
    private let oversizedByType: LabelTable<Counter>
    private let rejectedByReason: LabelTable<Counter>
    /// `weir_downstream_node_changes_total`.
    package let nodeChanges: Counter
    private let streamsByService: LabelTable<Gauge>
    private let requestsByService: LabelTable<Counter>
    private let connectedByUpstream: LabelTable<LabelTable<Gauge>>
    private let upstreamResponsesByUpstream: LabelTable<LabelTable<Counter>>
    private let reconnectsByUpstream: LabelTable<Counter>
    private let dataAgeByUpstream: LabelTable<Gauge>
    private let pushesByType: LabelTable<LabelTable<Counter>>
    private let holdsByType: LabelTable<LabelTable<Gauge>>
    private let holdSecondsByType: LabelTable<LabelTable<Gauge>>
    private let resourcesByType: LabelTable<Gauge>
    /// What the relay looks at by itself.
    package let checks: CheckMetrics
    private let registry: MetricsRegistry
    /// Upstreams that are fed over HTTP.
    package let snapshots: SnapshotMetrics
    /// Metrics about the running of the process itself.
    package let operation: OperationMetrics

    package init(
        upstreams: [(name: String, servers: [String])], snapshotUpstreams: [String] = [], version: String,
        workers: Int = 1
    ) {
        var build = MetricFamily("weir_build_info", .gauge, help: "Always 1; the label says which build runs.")
        build.gauge(["version": version]).set(1)
        var connections = MetricFamily("weir_downstream_connections", .gauge, help: "Open connections of clients.")
        self.downstreamConnections = connections.gauge()
        var streams = MetricFamily(
            "weir_downstream_streams", .gauge, help: "Open discovery streams of clients, by protocol and service.")
        self.streamsByProtocol = LabelTable(Self.protocols) { variant, isOther in
            LabelTable(["ads"] + Self.types) { service, isOtherService in
                streams.gauge(
                    ["protocol": variant, "service": service], hiddenWhileZero: isOther || isOtherService)
            }
        }
        var requests = MetricFamily(
            "weir_downstream_requests_total", .counter, help: "Discovery requests received from clients.")
        self.requestsByType = requests.counters(by: "type", Self.types)
        var responses = MetricFamily(
            "weir_downstream_responses_total", .counter, help: "Discovery responses sent to clients.")
        self.responsesByType = responses.counters(by: "type", Self.types)
        var acks = MetricFamily("weir_downstream_acks_total", .counter, help: "Responses that clients accepted.")
        self.acksByType = acks.counters(by: "type", Self.types)
        var nacks = MetricFamily("weir_downstream_nacks_total", .counter, help: "Responses that clients rejected.")
        self.nacksByType = nacks.counters(by: "type", Self.types)
        var oversized = MetricFamily(
            "weir_downstream_oversized_total", .counter,
            help: "Responses larger than max_response_size, because they cannot be split.")
        self.oversizedByType = oversized.counters(by: "type", Self.types)
        var rejected = MetricFamily(
            "weir_downstream_rejected_total", .counter, help: "Streams and connections refused or ended, by reason.")
        self.rejectedByReason = rejected.counters(by: "reason", RejectionReason.allCases.map(\.rawValue))
        var nodeChanges = MetricFamily(
            "weir_downstream_node_changes_total", .counter,
            help: "Requests whose node is not the first of the stream, which holds.")
        self.nodeChanges = nodeChanges.counter()
        var delayed = MetricFamily(
            "weir_downstream_connections_delayed_total", .counter,
            help: "Connections that waited for their turn, as more came in a second than may begin.")
        self.connectionsDelayed = delayed.counter()
        var paced = MetricFamily(
            "weir_downstream_requests_paced_total", .counter,
            help: "Requests after which a stream was not read for a while, for max_requests_per_second.")
        self.requestsPaced = paced.counter()
        var acceptPauses = MetricFamily(
            "weir_downstream_accept_pauses_total", .counter,
            help: "Pauses in accepting connections, because descriptors or memory had run out.")
        self.acceptPauses = acceptPauses.counter()
        var loopStalls = MetricFamily(
            "weir_loop_stalls_total", .counter, help: "Turns of a worker's loop that took longer than 50 ms.")
        self.loopStalls = loopStalls.counter()
        var memoryPressure = MetricFamily(
            "weir_memory_pressure", .gauge,
            help: "0: within max_memory; 1: refuses connections; 2: and streams; 3: and drops clients that do not read."
        )
        self.memoryPressure = memoryPressure.gauge()
        var serviceStreams = MetricFamily(
            "weir_downstream_service_streams", .gauge, help: "Open calls to services beside discovery.")
        self.streamsByService = LabelTable(Self.services) { service, isOther in
            serviceStreams.gauge(["service": service], hiddenWhileZero: isOther)
        }
        var serviceRequests = MetricFamily(
            "weir_downstream_service_requests_total", .counter,
            help: "Messages that clients sent to services beside discovery.")
        self.requestsByService = serviceRequests.counters(by: "service", Self.services)

        var connected = MetricFamily(
            "weir_upstream_connected", .gauge, help: "1 while the upstream's server is connected, else 0.")
        self.connectedByUpstream = LabelTable(upstreams.map(\.name)) { upstream, isOther in
            let servers = upstreams.first { $0.name == upstream }?.servers ?? []
            return LabelTable(servers) { server, isOtherServer in
                connected.gauge(["upstream": upstream, "server": server], hiddenWhileZero: isOther || isOtherServer)
            }
        }
        var upstreamResponses = MetricFamily(
            "weir_upstream_responses_total", .counter, help: "Discovery responses received from upstreams.")
        self.upstreamResponsesByUpstream = LabelTable(upstreams.map(\.name)) { upstream, isOther in
            LabelTable(Self.types) { type, isOtherType in
                upstreamResponses.counter(
                    ["upstream": upstream, "type": type], hiddenWhileZero: isOther || isOtherType)
            }
        }
        var reconnects = MetricFamily(
            "weir_upstream_reconnects_total", .counter, help: "Connections to an upstream after the first.")
        self.reconnectsByUpstream = reconnects.counters(by: "upstream", upstreams.map(\.name))

        var dataAge = MetricFamily(
            "weir_upstream_data_age_seconds", .gauge,
            help: "How long the oldest data held of the upstream has been out of touch with it; 0 while all is current."
        )
        self.dataAgeByUpstream = LabelTable(upstreams.map(\.name)) { upstream, isOther in
            dataAge.gauge(["upstream": upstream], hiddenWhileZero: isOther)
        }

        var push = MetricFamily(
            "weir_push_seconds", .histogram,
            help: "From the upstream's bytes read to a worker's last stream of the group written, in seconds.")
        self.pushSeconds = push.histogram()
        var convergence = MetricFamily(
            "weir_convergence_seconds", .histogram,
            help: "From the upstream's bytes read to a worker's last stream of the group acknowledged, in seconds.")
        self.convergenceSeconds = convergence.histogram()
        var pushes = MetricFamily(
            "weir_pushes_total", .counter, help: "Upstream responses by what became of them.")
        self.pushesByType = LabelTable(Self.types) { type, isOther in
            LabelTable(PushOutcome.allCases.map(\.rawValue)) { outcome, isOtherOutcome in
                pushes.counter(["type": type, "outcome": outcome], hiddenWhileZero: isOther || isOtherOutcome)
            }
        }

        var holds = MetricFamily(
            "weir_holds", .gauge, help: "Types of groups whose clients keep an earlier state, by why.")
        self.holdsByType = holds.gauges(Self.types, Self.holdReasons)
        var holdSeconds = MetricFamily(
            "weir_hold_seconds", .gauge, help: "Age of the oldest such hold, in seconds; 0 without one.")
        self.holdSecondsByType = holdSeconds.gauges(Self.types, Self.holdReasons)

        var groups = MetricFamily("weir_cache_groups", .gauge, help: "Groups of clients that share a key.")
        self.cacheGroups = groups.gauge()
        var stale = MetricFamily(
            "weir_cache_stale_groups", .gauge, help: "Groups that hold something their upstream has not confirmed.")
        self.staleGroups = stale.gauge()
        var resources = MetricFamily("weir_cache_resources", .gauge, help: "Resources held, by type.")
        self.resourcesByType = LabelTable(Self.types) { type, isOther in
            resources.gauge(["type": type], hiddenWhileZero: isOther)
        }
        var bytes = MetricFamily("weir_cache_bytes", .gauge, help: "Bytes of the resources held.")
        self.cacheBytes = bytes.gauge()

        var historyBytes = MetricFamily(
            "weir_history_bytes", .gauge, help: "Bytes that the history of pushes takes, with earlier bodies.")
        self.historyBytes = historyBytes.gauge()
        var historyLost = MetricFamily(
            "weir_history_lost_total", .counter,
            help: "Turns of workers of which the history and the listeners heard nothing, because it was too much.")
        self.historyLost = historyLost.counter()
        var eventListeners = MetricFamily(
            "weir_event_listeners", .gauge, help: "Those who listen to live events.")
        self.eventListeners = eventListeners.gauge()
        var eventsDropped = MetricFamily(
            "weir_events_dropped_total", .counter, help: "Live events that a listener was too slow for.")
        self.eventsDropped = eventsDropped.counter()

        var storeBytes = MetricFamily("weir_store_bytes", .gauge, help: "Bytes of what is stored on disk.")
        self.storeBytes = storeBytes.gauge()
        var storeWrites = MetricFamily("weir_store_writes_total", .counter, help: "Transactions written to the store.")
        self.storeWrites = storeWrites.counter()
        var storeErrors = MetricFamily(
            "weir_store_errors_total", .counter, help: "What went wrong with the store, by reason.")
        self.storeErrorsByReason = storeErrors.counters(by: "reason", Self.storeErrorReasons)
        var storeRestored = MetricFamily(
            "weir_store_restored_total", .counter, help: "Groups that were given what was stored of them.")
        self.storeRestored = storeRestored.counter()
        var storeBehind = MetricFamily(
            "weir_store_behind_seconds", .gauge, help: "How long the oldest change has waited to be stored.")
        self.storeBehind = storeBehind.gauge()

        var traceSpans = MetricFamily(
            "weir_trace_spans_total", .counter, help: "Spans by what became of them.")
        self.traceSpansByOutcome = traceSpans.counters(by: "outcome", ["sent", "failed", "dropped"])

        self.operation = OperationMetrics(upstreams: upstreams.map(\.name), types: Self.types)
        self.checks = CheckMetrics(workers: workers)
        self.snapshots = SnapshotMetrics(upstreams: snapshotUpstreams)
        let families = [
            build, connections, streams, requests, responses, acks, nacks, oversized, rejected, nodeChanges, delayed,
            paced, acceptPauses, loopStalls, memoryPressure, serviceStreams, serviceRequests, connected,
            upstreamResponses,
            reconnects, dataAge, push, convergence, pushes, holds, holdSeconds, groups, stale, resources, bytes,
            historyBytes, historyLost, eventListeners, eventsDropped,
            storeBytes, storeWrites, storeErrors, storeRestored, storeBehind, traceSpans,
        ]
        self.registry = MetricsRegistry(
            families + self.operation.families + self.checks.families + self.snapshots.families)
    }

    /// `weir_trace_spans_total`: `sent`, `failed` or `dropped`.
    package func traceSpans(outcome: String) -> Counter { self.traceSpansByOutcome[outcome] }
    /// `weir_downstream_streams`; `service` is `ads` or a type's short name.
    package func streams(protocol variant: String, service: String) -> Gauge {
        self.streamsByProtocol[variant][service]
    }
    /// `weir_downstream_requests_total`.
    package func requests(type: String) -> Counter { self.requestsByType[type] }
    /// `weir_downstream_responses_total`.
    package func responses(type: String) -> Counter { self.responsesByType[type] }
    /// `weir_downstream_acks_total`.
    package func acks(type: String) -> Counter { self.acksByType[type] }
    /// `weir_downstream_nacks_total`.
    package func nacks(type: String) -> Counter { self.nacksByType[type] }
    /// `weir_downstream_oversized_total`.
    package func oversized(type: String) -> Counter { self.oversizedByType[type] }
    /// `weir_downstream_rejected_total`.
    package func rejected(_ reason: RejectionReason) -> Counter { self.rejectedByReason[reason.rawValue] }
    /// `weir_downstream_service_streams`; see `services`.
    package func serviceStreams(service: String) -> Gauge { self.streamsByService[service] }
    /// `weir_downstream_service_requests_total`; see `services`.
    package func serviceRequests(service: String) -> Counter { self.requestsByService[service] }
    /// `weir_upstream_connected`.
    package func connected(upstream: String, server: String) -> Gauge { self.connectedByUpstream[upstream][server] }
    /// `weir_upstream_responses_total`.
    package func upstreamResponses(upstream: String, type: String) -> Counter {
        self.upstreamResponsesByUpstream[upstream][type]
    }
    /// `weir_upstream_reconnects_total`.
    package func reconnects(upstream: String) -> Counter { self.reconnectsByUpstream[upstream] }
    /// `weir_upstream_data_age_seconds`.
    package func dataAge(upstream: String) -> Gauge { self.dataAgeByUpstream[upstream] }
    /// `weir_store_errors_total`.
    package func storeErrors(_ reason: String) -> Counter { self.storeErrorsByReason[reason] }
    /// `weir_pushes_total`.
    package func pushes(type: String, outcome: PushOutcome) -> Counter { self.pushesByType[type][outcome.rawValue] }
    /// `weir_holds`; see `holdReasons`.
    package func holds(type: String, reason: String) -> Gauge { self.holdsByType[type][reason] }
    /// `weir_hold_seconds`.
    package func holdSeconds(type: String, reason: String) -> Gauge { self.holdSecondsByType[type][reason] }
    /// `weir_cache_resources`.
    package func cacheResources(type: String) -> Gauge { self.resourcesByType[type] }

    /// The whole exposition, process figures last. From any thread.
    package func render(_ process: ProcessFigures, _ scraped: ScrapedSeries = ScrapedSeries()) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(32_768)
        self.registry.render(into: &bytes)
        scraped.render(into: &bytes)
        process.render(into: &bytes)
        return bytes
    }
}

extension MetricFamily {
    /// A gauge for each type and reason; those of other types are shown once they have a value.
    fileprivate mutating func gauges(_ types: [String], _ reasons: [String]) -> LabelTable<LabelTable<Gauge>> {
        LabelTable(types) { type, isOther in
            LabelTable(reasons) { reason, isOtherReason in
                self.gauge(["type": type, "reason": reason], hiddenWhileZero: isOther || isOtherReason)
            }
        }
    }

    /// A gauge for each value of one label, and one for all others.
    mutating func gauges(by label: String, _ values: [String]) -> LabelTable<Gauge> {
        LabelTable(values) { value, isOther in self.gauge([label: value], hiddenWhileZero: isOther) }
    }

    /// A counter for each value of one label, and one for all others.
    mutating func counters(by label: String, _ values: [String]) -> LabelTable<Counter> {
        LabelTable(values) { value, isOther in
            // A literal of one pair: the label's name is fixed by the caller, its value is escaped on the way in.
            self.counter([label: value], hiddenWhileZero: isOther)
        }
    }
}
