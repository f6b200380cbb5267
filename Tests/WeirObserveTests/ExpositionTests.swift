import Testing
import WeirBase

@testable import WeirObserve

private func text(_ families: MetricFamily...) -> String {
    var bytes: [UInt8] = []
    MetricsRegistry(families).render(into: &bytes)
    return String(decoding: bytes, as: UTF8.self)
}

struct ExpositionTests {
    @Test("a family shows its help and type once, then its series in the order they were made")
    func order() {
        var family = MetricFamily("weir_things_total", .counter, help: "Things, \"all\" of them.")
        let second = family.counter(["type": "rds", "node": "b"])
        let first = family.counter(["type": "cds", "node": "a"])
        first.add(1)
        second.add(41)
        second.add()
        #expect(
            text(family) == """
                # HELP weir_things_total Things, "all" of them.
                # TYPE weir_things_total counter
                weir_things_total{type="rds",node="b"} 42
                weir_things_total{type="cds",node="a"} 1

                """)
    }

    @Test("label values and help texts cannot break out of their line")
    func escaping() {
        var family = MetricFamily("weir_odd", .gauge, help: "a\\b\nc")
        family.gauge(["name": "x\"} 1\ny\\"]).set(-7)
        #expect(
            text(family) == #"""
                # HELP weir_odd a\\b\nc
                # TYPE weir_odd gauge
                weir_odd{name="x\"} 1\ny\\"} -7

                """#)
    }

    @Test("a histogram's buckets are cumulative, its bounds inclusive, and the last one is everything")
    func histogram() {
        var family = MetricFamily("weir_wait_seconds", .histogram, help: "Waits.")
        let waits = family.histogram(["type": "cds"])
        waits.observe(.microseconds(500))
        waits.observe(.microseconds(501))
        waits.observe(.seconds(31))
        waits.observe(.seconds(-1))
        #expect(
            text(family) == """
                # HELP weir_wait_seconds Waits.
                # TYPE weir_wait_seconds histogram
                weir_wait_seconds_bucket{type="cds",le="0.0005"} 2
                weir_wait_seconds_bucket{type="cds",le="0.001"} 3
                weir_wait_seconds_bucket{type="cds",le="0.0025"} 3
                weir_wait_seconds_bucket{type="cds",le="0.005"} 3
                weir_wait_seconds_bucket{type="cds",le="0.01"} 3
                weir_wait_seconds_bucket{type="cds",le="0.025"} 3
                weir_wait_seconds_bucket{type="cds",le="0.05"} 3
                weir_wait_seconds_bucket{type="cds",le="0.1"} 3
                weir_wait_seconds_bucket{type="cds",le="0.25"} 3
                weir_wait_seconds_bucket{type="cds",le="0.5"} 3
                weir_wait_seconds_bucket{type="cds",le="1"} 3
                weir_wait_seconds_bucket{type="cds",le="2.5"} 3
                weir_wait_seconds_bucket{type="cds",le="5"} 3
                weir_wait_seconds_bucket{type="cds",le="10"} 3
                weir_wait_seconds_bucket{type="cds",le="30"} 3
                weir_wait_seconds_bucket{type="cds",le="+Inf"} 4
                weir_wait_seconds_sum{type="cds"} 31.001001
                weir_wait_seconds_count{type="cds"} 4

                """)
    }
}

struct RelayMetricsTests {
    private let process = ProcessFigures(
        cpuSeconds: 1.5, residentBytes: 4096, virtualBytes: 1 << 40, openFDs: 9, maxFDs: 1024,
        startTimeSeconds: 1_772_352_309.25)

    private func lines(_ metrics: RelayMetrics) -> [String] {
        String(decoding: metrics.render(self.process), as: UTF8.self).split(separator: "\n").map(String.init)
    }

    @Test("every metric of the contract has a family with help and type")
    func names() {
        let lines = self.lines(RelayMetrics(upstreams: [("primary", ["127.0.0.1:1"])], version: "1.0"))
        let families = lines.filter { $0.hasPrefix("# TYPE ") }.map { $0.dropFirst("# TYPE ".count) }
        #expect(
            families == [
                "weir_build_info gauge", "weir_downstream_connections gauge", "weir_downstream_streams gauge",
                "weir_downstream_requests_total counter", "weir_downstream_responses_total counter",
                "weir_downstream_acks_total counter", "weir_downstream_nacks_total counter",
                "weir_downstream_oversized_total counter",
                "weir_downstream_rejected_total counter",
                "weir_downstream_node_changes_total counter", "weir_downstream_connections_delayed_total counter",
                "weir_downstream_requests_paced_total counter", "weir_downstream_accept_pauses_total counter",
                "weir_loop_stalls_total counter",
                "weir_memory_pressure gauge", "weir_downstream_service_streams gauge",
                "weir_downstream_service_requests_total counter", "weir_upstream_connected gauge",
                "weir_upstream_responses_total counter", "weir_upstream_reconnects_total counter",
                "weir_upstream_data_age_seconds gauge",
                "weir_push_seconds histogram", "weir_convergence_seconds histogram", "weir_pushes_total counter",
                "weir_holds gauge", "weir_hold_seconds gauge",
                "weir_cache_groups gauge", "weir_cache_stale_groups gauge", "weir_cache_resources gauge",
                "weir_cache_bytes gauge", "weir_history_bytes gauge", "weir_history_lost_total counter",
                "weir_event_listeners gauge", "weir_events_dropped_total counter",
                "weir_store_bytes gauge", "weir_store_writes_total counter", "weir_store_errors_total counter",
                "weir_store_restored_total counter", "weir_store_behind_seconds gauge",
                "weir_trace_spans_total counter",
                "weir_ready gauge", "weir_degraded gauge", "weir_config_reloads_total counter",
                "weir_config_reload_success_timestamp_seconds gauge", "weir_log_lines_dropped_total counter",
                "weir_downstream_streams_opened_total counter",
                "weir_downstream_streams_lost_after_large_response_total counter",
                "weir_downstream_ack_timeouts_total counter", "weir_downstream_subscriptions gauge",
                "weir_upstream_last_response_timestamp_seconds gauge",
                "weir_drift_groups gauge", "weir_drift_checks_total counter", "weir_drift_check_age_seconds gauge",
                "weir_drift_heals_total counter", "weir_freshness_seconds histogram",
                "weir_freshness_lag_seconds gauge", "weir_freshness_checks_total counter",
                "weir_snapshot_keys gauge", "weir_snapshot_bytes gauge", "weir_snapshot_requests_total counter",
                "process_cpu_seconds_total counter", "process_resident_memory_bytes gauge",
                "process_virtual_memory_bytes gauge", "process_open_fds gauge", "process_max_fds gauge",
                "process_start_time_seconds gauge",
            ])
        #expect(lines.filter { $0.hasPrefix("# HELP ") }.count == families.count)
    }

    @Test("of the groups only those with the most streams have series, in a fixed order, and their keys are escaped")
    func topKeys() {
        let keys = ["b", "a", "c\"x"].enumerated().map { index, key in
            ScrapedSeries.Key(key: key, streams: index == 2 ? 9 : 1, resources: 10 + index, bytes: 100 + index)
        }
        var scraped = ScrapedSeries()
        scraped.keys = ScrapedSeries.top(keys, limit: 2)
        #expect(scraped.keys.map(\.key) == ["c\"x", "a"])
        let metrics = RelayMetrics(upstreams: [], version: "1.0")
        let text = String(decoding: metrics.render(self.process, scraped), as: UTF8.self)
        #expect(text.contains("weir_key_streams{key=\"c\\\"x\"} 9\nweir_key_streams{key=\"a\"} 1\n"))
        #expect(text.contains("weir_key_resources{key=\"a\"} 11\n") && text.contains("weir_key_bytes{key=\"a\"} 101\n"))
        #expect(!text.contains("key=\"b\""))
    }

    @Test("a certificate's end is shown in seconds with its role and file")
    func certificates() {
        var scraped = ScrapedSeries()
        let expiry = WallTime(rawValue: 1_800_000_000_500_000_000)
        scraped.certificates = [ScrapedSeries.Certificate(role: "listener", file: "a.crt", expiry: expiry)]
        let text = String(
            decoding: RelayMetrics(upstreams: [], version: "1.0").render(self.process, scraped), as: UTF8.self)
        #expect(
            text.contains(
                "weir_certificate_expiry_timestamp_seconds{role=\"listener\",file=\"a.crt\"} 1800000000\n"))
    }

    @Test("a total that somebody else keeps only rises")
    func raising() {
        let counter = Counter()
        counter.raise(to: 5)
        counter.raise(to: 3)
        #expect(counter.value == 5)
    }

    @Test("each accessor bumps the series it names")
    func accessors() {
        let metrics = RelayMetrics(upstreams: [("primary", ["127.0.0.1:1", "[::1]:2"])], version: "1.0\"x")
        metrics.downstreamConnections.add(3)
        metrics.downstreamConnections.subtract()
        metrics.streams(protocol: "delta", service: "ads").add(4)
        metrics.requests(type: "cds").add(5)
        metrics.responses(type: "eds").add(6)
        metrics.acks(type: "lds").add(7)
        metrics.nacks(type: "rds").add(8)
        metrics.rejected(.noRule).add(9)
        metrics.serviceStreams(service: "health").add(16)
        metrics.serviceRequests(service: "load_reports").add(17)
        metrics.oversized(type: "cds").add(16)
        metrics.connected(upstream: "primary", server: "[::1]:2").set(1)
        metrics.upstreamResponses(upstream: "primary", type: "sds").add(10)
        metrics.reconnects(upstream: "primary").add(11)
        metrics.pushSeconds.observe(.milliseconds(1))
        metrics.convergenceSeconds.observe(.seconds(1))
        metrics.pushes(type: "cds", outcome: .held_empty).add(12)
        metrics.cacheGroups.set(13)
        metrics.cacheResources(type: "leds").set(14)
        metrics.cacheBytes.set(15)
        let lines = Set(self.lines(metrics))
        for line in [
            #"weir_build_info{version="1.0\"x"} 1"#, "weir_downstream_connections 2",
            #"weir_downstream_streams{protocol="delta",service="ads"} 4"#,
            #"weir_downstream_requests_total{type="cds"} 5"#, #"weir_downstream_responses_total{type="eds"} 6"#,
            #"weir_downstream_acks_total{type="lds"} 7"#, #"weir_downstream_nacks_total{type="rds"} 8"#,
            #"weir_downstream_rejected_total{reason="no_rule"} 9"#,
            #"weir_downstream_service_streams{service="health"} 16"#,
            #"weir_downstream_service_requests_total{service="load_reports"} 17"#,
            #"weir_downstream_oversized_total{type="cds"} 16"#,
            #"weir_upstream_connected{upstream="primary",server="127.0.0.1:1"} 0"#,
            #"weir_upstream_connected{upstream="primary",server="[::1]:2"} 1"#,
            #"weir_upstream_responses_total{upstream="primary",type="sds"} 10"#,
            #"weir_upstream_reconnects_total{upstream="primary"} 11"#, "weir_push_seconds_sum 0.001",
            "weir_push_seconds_count 1", #"weir_convergence_seconds_bucket{le="1"} 1"#,
            #"weir_pushes_total{type="cds",outcome="held_empty"} 12"#, "weir_cache_groups 13",
            #"weir_cache_resources{type="leds"} 14"#, "weir_cache_bytes 15", "process_cpu_seconds_total 1.5",
            "process_virtual_memory_bytes 1099511627776", "process_start_time_seconds 1772352309.25",
        ] {
            #expect(lines.contains(line), "\(line)")
        }
    }

    @Test("a word unknown at start is counted under other, which shows only once it counts")
    func other() {
        let metrics = RelayMetrics(upstreams: [], version: "1.0")
        #expect(!self.lines(metrics).contains { $0.contains("other") })
        metrics.requests(type: "type.googleapis.com/x.Y").add(1)
        metrics.requests(type: "other").add(1)
        metrics.connected(upstream: "gone", server: "127.0.0.1:1").set(1)
        #expect(
            self.lines(metrics).filter { $0.contains("other") } == [
                #"weir_downstream_requests_total{type="other"} 2"#,
                #"weir_upstream_connected{upstream="other",server="other"} 1"#,
            ])
    }
}
