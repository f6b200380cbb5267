/// The two variants of the protocol that weir speaks.
package enum ProtocolVariant: String, Hashable, Sendable, CaseIterable {
    case sotw
    case delta
}

/// One discovery method of the gRPC port, found by its path.
///
/// Paths are case-sensitive (WIRE-01).
package struct DiscoveryService: Hashable, Sendable {
    package let path: String
    /// The service's full name, as in health checks and reflection.
    package let service: String
    package let variant: ProtocolVariant
    /// The type a per-type service is bound to; nil for the aggregated service.
    package let type: XDSType?

    /// `ads`, or the short name of the type.
    package var label: String { self.type?.label ?? "ads" }

    package static let aggregatedService = "envoy.service.discovery.v3.AggregatedDiscoveryService"
    package static let streamAggregatedPath = "/\(aggregatedService)/StreamAggregatedResources"
    package static let deltaAggregatedPath = "/\(aggregatedService)/DeltaAggregatedResources"

    /// Its place in `all`: what is kept per stream instead of the whole.
    package var number: UInt8 { UInt8(clamping: Self.all.firstIndex { $0.path == self.path } ?? 0) }

    /// Every discovery method.
    package static let all: [DiscoveryService] =
        methods(aggregatedService, stream: "StreamAggregatedResources", delta: "DeltaAggregatedResources", nil)
        + methods(
            "envoy.service.cluster.v3.ClusterDiscoveryService", stream: "StreamClusters", delta: "DeltaClusters", .cds)
        + methods(
            "envoy.service.endpoint.v3.EndpointDiscoveryService", stream: "StreamEndpoints", delta: "DeltaEndpoints",
            .eds)
        + methods(
            "envoy.service.listener.v3.ListenerDiscoveryService", stream: "StreamListeners", delta: "DeltaListeners",
            .lds)
        + methods(
            "envoy.service.route.v3.RouteDiscoveryService", stream: "StreamRoutes", delta: "DeltaRoutes", .rds)
        + methods(
            "envoy.service.route.v3.ScopedRoutesDiscoveryService", stream: "StreamScopedRoutes",
            delta: "DeltaScopedRoutes", .srds)
        + methods("envoy.service.route.v3.VirtualHostDiscoveryService", stream: nil, delta: "DeltaVirtualHosts", .vhds)
        + methods(
            "envoy.service.secret.v3.SecretDiscoveryService", stream: "StreamSecrets", delta: "DeltaSecrets", .sds)
        + methods(
            "envoy.service.runtime.v3.RuntimeDiscoveryService", stream: "StreamRuntime", delta: "DeltaRuntime", .rtds)
        + methods(
            "envoy.service.extension.v3.ExtensionConfigDiscoveryService", stream: "StreamExtensionConfigs",
            delta: "DeltaExtensionConfigs", .ecds)
        + methods(
            "envoy.service.endpoint.v3.LocalityEndpointDiscoveryService", stream: nil, delta: "DeltaLocalityEndpoints",
            .leds)
        + methods(
            "envoy.service.filter_chain.v3.FilterChainDiscoveryService", stream: "StreamFilterChains",
            delta: "DeltaFilterChains", .fcds)
        + methods(
            "ratelimit.service.ratelimit.v3.RateLimitConfigDiscoveryService", stream: "StreamRlsConfigs", delta: nil,
            .rateLimitConfig)

    private static let byPath = Dictionary(uniqueKeysWithValues: all.map { ($0.path, $0) })

    /// The method of a request path, or nil: the caller answers UNIMPLEMENTED.
    package static func at(path: String) -> DiscoveryService? { self.byPath[path] }

    private static func methods(
        _ service: String, stream: String?, delta: String?, _ type: XDSType?
    ) -> [DiscoveryService] {
        var result: [DiscoveryService] = []
        if let stream = stream {
            result.append(
                DiscoveryService(path: "/\(service)/\(stream)", service: service, variant: .sotw, type: type))
        }
        if let delta = delta {
            result.append(DiscoveryService(path: "/\(service)/\(delta)", service: service, variant: .delta, type: type))
        }
        return result
    }
}
