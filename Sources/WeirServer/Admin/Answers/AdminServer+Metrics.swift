import WeirBase
import WeirConfig
import WeirEngine
import WeirLoop
import WeirObserve
import WeirUpstream
import WeirXDS

/// The Prometheus page: counters stand ready; gauges that are sums over the workers are asked for.
extension AdminServer {
    func metrics(_ answer: AdminAnswer) {
        self.collect { (worker: Worker, done: @escaping @Sendable (WorkerGroups) -> Void) in
            worker.collectGroups(done: done)
        } render: { parts in
            self.setGauges(parts)
            self.setOperation(parts)
            let bytes = self.shared.metrics.render(ProcessReader.figures(), self.scraped(parts))
            answer.respond(200, Exposition.contentType, bytes)
        }
    }

    private func setOperation(_ parts: [WorkerGroups]) {
        let metrics = self.shared.metrics.operation
        metrics.ready.set(self.shared.lifecycle.state == .live ? 1 : 0)
        metrics.degraded.set(Int64(self.shared.degraded.count))
        let dropped = self.shared.logger.dropped
        metrics.logLosses("limited").raise(to: dropped.limited)
        metrics.logLosses("queue").raise(to: dropped.queue)
        let views = parts.flatMap(\.views)
        for type in RelayMetrics.types + ["other"] {
            let ours = views.filter { ($0.type.shortName ?? "other") == type }
            metrics.subscriptions(type: type, state: "acked").set(Int64(ours.reduce(0) { $0 + $1.acked }))
            metrics.subscriptions(type: type, state: "nacked").set(Int64(ours.reduce(0) { $0 + $1.nacked }))
            metrics.subscriptions(type: type, state: "pending").set(Int64(ours.reduce(0) { $0 + $1.pending }))
        }
    }

    /// What has a series only now: certificates, and the groups with the most streams where the operator asks for them.
    private func scraped(_ parts: [WorkerGroups]) -> ScrapedSeries {
        var series = ScrapedSeries()
        series.certificates = self.shared.certificates.all
        let limit = self.shared.metricsKeys.withLock { $0 }
        guard limit > 0 else { return series }
        let keys = KeySummary.merge(parts).map { key in
            ScrapedSeries.Key(
                key: key.home.key, streams: key.streams,
                resources: key.home.types.reduce(0) { $0 + $1.resources },
                bytes: key.home.types.reduce(0) { $0 + $1.bytes })
        }
        series.keys = ScrapedSeries.top(keys, limit: limit)
        return series
    }

    private func setGauges(_ parts: [WorkerGroups]) {
        let metrics = self.shared.metrics
        var streams: [DiscoveryService: Int] = [:]
        for part in parts { streams.merge(part.streamsByService, uniquingKeysWith: +) }
        for service in DiscoveryService.all {
            metrics.streams(protocol: service.variant.rawValue, service: service.label)
                .set(Int64(streams[service] ?? 0))
        }
        let lag = self.shared.store?.lag(at: Loop.monotonicNow()) ?? .zero
        metrics.storeBehind.set(lag.rawValue / 1_000_000_000)
        let homes = parts.flatMap(\.homes)
        metrics.cacheGroups.set(Int64(homes.count))
        metrics.staleGroups.set(Int64(homes.count(where: \.isStale)))
        metrics.cacheBytes.set(Int64(homes.flatMap(\.types).reduce(0) { $0 + $1.bytes }))
        var resources: [String: Int] = [:]
        for type in homes.flatMap(\.types) { resources[type.type.label, default: 0] += type.resources }
        for type in RelayMetrics.types { metrics.cacheResources(type: type).set(Int64(resources[type] ?? 0)) }
        let now = Loop.monotonicNow()
        for reason in HoldReason.allCases {
            let held = self.shared.holds.all.filter { $0.status.reason == reason }
            for type in RelayMetrics.types + ["other"] {
                let ages = held.filter { ($0.place.type.shortName ?? "other") == type }.map {
                    now - $0.status.sinceInstant
                }
                metrics.holds(type: type, reason: reason.rawValue).set(Int64(ages.count))
                metrics.holdSeconds(type: type, reason: reason.rawValue)
                    .set((ages.max() ?? .zero).rawValue / 1_000_000_000)
            }
        }
        self.setCheckGauges(now)
        for upstream in self.shared.configuration.upstreams {
            guard case .grpc = upstream.origin else { continue }
            let age = self.shared.upstreams.age(of: upstream.name, at: Loop.monotonicNow())
            metrics.dataAge(upstream: upstream.name).set(Int64(age.seconds))
            for server in self.shared.upstreams.summary(of: upstream.name).servers {
                metrics.connected(upstream: upstream.name, server: server.address)
                    .set(server.state == .connected ? 1 : 0)
            }
        }
    }
}
