import WeirBase
import WeirConfig
import WeirEngine
import WeirLoop
import WeirObserve
import WeirXDS

/// The Prometheus page: counters stand ready; gauges that are sums over the workers are asked for.
extension AdminServer {
    func metrics(_ answer: AdminAnswer) {
        self.collect { (worker: Worker, done: @escaping @Sendable (WorkerGroups) -> Void) in
            worker.collectGroups(done: done)
        } render: { parts in
            self.setGauges(parts)
            answer.respond(200, Exposition.contentType, self.shared.metrics.render(ProcessReader.figures()))
        }
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
