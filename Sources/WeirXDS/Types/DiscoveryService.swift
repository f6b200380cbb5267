/// The two forms of the protocol.
public enum ProtocolVariant: String, Hashable, Sendable, CaseIterable {
    /// State of the world: a response holds everything that is subscribed to (of clusters and listeners) or any part of
    /// it, and a request lists all names.
    case sotw
    /// Incremental: requests and responses hold what changed.
    case delta
}

/// One discovery method of the gRPC port, found by its path.
///
/// Paths are case-sensitive (WIRE-01).
public struct DiscoveryService: Hashable, Sendable {
    /// The request path: `/service/method`.
    public let path: String
    /// The service's full name, as in health checks and reflection.
    public let service: String
    /// Which form of the protocol the method speaks.
    public let variant: ProtocolVariant
    /// The type a per-type service is bound to; nil for the aggregated service.
    public let type: XDSType?

    /// `ads`, or the short name of the type.
    public var label: String { self.type?.label ?? "ads" }

    /// The full name of the aggregated service (ADS).
    public static let aggregatedService = "envoy.service.discovery.v3.AggregatedDiscoveryService"
    /// The path of ADS in SotW.
    public static let streamAggregatedPath = "/\(aggregatedService)/StreamAggregatedResources"
    /// The path of ADS in delta.
    public static let deltaAggregatedPath = "/\(aggregatedService)/DeltaAggregatedResources"

    /// Its place in `all`: what is kept per stream instead of the whole.
    package var number: UInt8 { UInt8(clamping: Self.all.firstIndex { $0.path == self.path } ?? 0) }

    /// Every discovery method.
    public static let all: [DiscoveryService] =
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

    fileprivate static let byPath = Dictionary(uniqueKeysWithValues: all.map { ($0.path, $0) })

    /// The same as `init(path:)`, where it reads better.
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

extension DiscoveryService {
    /// The method of a request path, or nil: the caller answers UNIMPLEMENTED.
    public init?(path: String) {
        guard let service = Self.byPath[path] else { return nil }
        self = service
    }
}
