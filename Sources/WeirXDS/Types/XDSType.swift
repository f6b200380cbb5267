/// What is known of one resource type, by type URL. Unknown types work too, with the most careful reading of each rule.
///
/// Source: the xDS protocol's type table and "Resource types"; conformance SOTW-02, SOTW-07, SOTW-08, NAME-15.
public struct XDSType: Hashable, Sendable {
    /// The type URL, such as `type.googleapis.com/envoy.config.cluster.v3.Cluster`.
    public let typeURL: String
    /// `cds`, `eds`, ...; nil for types weir has no name for.
    public let shortName: String?
    /// In SotW a response must carry the whole subscribed set, because absence means deletion.
    public let isFullSet: Bool
    /// Whether a first request without names subscribes to the wildcard (legacy form).
    public let acceptsLegacyWildcard: Bool
    /// The field of the message that holds the resource's name; nil where the message has none or is unknown.
    public let nameField: Int?
    /// Whether the type exists in delta only.
    public let isDeltaOnly: Bool
    /// Make-before-break place within one push: lower goes out first (ORD-01).
    public let pushOrder: Int

    private init(
        _ message: String, _ shortName: String?, fullSet: Bool = false, wildcard: Bool = false, nameField: Int? = 1,
        deltaOnly: Bool = false, order: Int
    ) {
        self.typeURL = Self.prefix + message
        self.shortName = shortName
        self.isFullSet = fullSet
        self.acceptsLegacyWildcard = wildcard
        self.nameField = nameField
        self.isDeltaOnly = deltaOnly
        self.pushOrder = order
    }

    /// Whether it is one of `known`.
    public var isKnown: Bool { self.pushOrder < Self.unknownOrder }
    private static let unknownOrder = 100

    private init(unknown typeURL: String) {
        self.typeURL = typeURL
        self.shortName = nil
        self.isFullSet = false
        self.acceptsLegacyWildcard = true
        self.nameField = nil
        self.isDeltaOnly = false
        self.pushOrder = Self.unknownOrder
    }

    /// What every type URL begins with.
    public static let prefix = "type.googleapis.com/"

    /// Clusters.
    public static let cds = XDSType("envoy.config.cluster.v3.Cluster", "cds", fullSet: true, wildcard: true, order: 0)
    /// The endpoints of a cluster.
    public static let eds = XDSType("envoy.config.endpoint.v3.ClusterLoadAssignment", "eds", order: 1)
    /// The endpoints of one locality.
    public static let leds = XDSType(
        "envoy.config.endpoint.v3.LbEndpoint", "leds", nameField: nil, deltaOnly: true, order: 2)
    /// Listeners.
    public static let lds = XDSType(
        "envoy.config.listener.v3.Listener", "lds", fullSet: true, wildcard: true, order: 3)
    /// Scoped routes.
    public static let srds = XDSType(
        "envoy.config.route.v3.ScopedRouteConfiguration", "srds", fullSet: true, wildcard: true, order: 4)
    /// Route configurations.
    public static let rds = XDSType("envoy.config.route.v3.RouteConfiguration", "rds", order: 5)
    /// Virtual hosts.
    public static let vhds = XDSType(
        "envoy.config.route.v3.VirtualHost", "vhds", wildcard: true, deltaOnly: true, order: 6)
    /// Secrets.
    public static let sds = XDSType("envoy.extensions.transport_sockets.tls.v3.Secret", "sds", order: 7)
    /// Configurations of extensions, such as HTTP filters.
    public static let ecds = XDSType("envoy.config.core.v3.TypedExtensionConfig", "ecds", order: 8)
    /// Layers of runtime.
    public static let rtds = XDSType("envoy.service.runtime.v3.Runtime", "rtds", order: 9)
    /// Filter chains.
    public static let fcds = XDSType(
        "envoy.config.listener.v3.FilterChain", nil, wildcard: true, nameField: 7, order: 10)
    /// Routes of the Thrift proxy.
    public static let thriftRoutes = XDSType(
        "envoy.extensions.filters.network.thrift_proxy.v3.RouteConfiguration", nil, order: 11)
    /// Configurations of Envoy's rate limit service.
    public static let rateLimitConfig = XDSType(
        "ratelimit.config.ratelimit.v3.RateLimitConfig", nil, fullSet: true, wildcard: true, order: 12)

    /// All types that this package knows by name; any other type URL works too.
    public static let known: [XDSType] = [
        .cds, .eds, .leds, .lds, .srds, .rds, .vhds, .sds, .ecds, .rtds, .fcds, .thriftRoutes, .rateLimitConfig,
    ]

    private static let byURL = Dictionary(uniqueKeysWithValues: known.map { ($0.typeURL, $0) })
    private static let byShortName = Dictionary(
        uniqueKeysWithValues: known.compactMap { type in type.shortName.map { ($0, type) } })

    /// The type of a URL; an unknown URL gives a type of its own.
    public init(typeURL: String) { self = Self.byURL[typeURL] ?? XDSType(unknown: typeURL) }

    /// The type of a short name such as `cds`, or nil.
    public init?(shortName: String) {
        guard let type = Self.byShortName[shortName] else { return nil }
        self = type
    }

    /// The same as `init(typeURL:)`, where it reads better.
    package static func of(typeURL: String) -> XDSType { XDSType(typeURL: typeURL) }

    /// The same as `init(shortName:)`, where it reads better.
    package static func named(_ shortName: String) -> XDSType? { XDSType(shortName: shortName) }

    /// The short name, or the URL where there is none: what logs, metrics and debug pages print.
    public var label: String { self.shortName ?? self.typeURL }

    /// The wrapper that SotW responses may put around a resource (XLT-07).
    public static let wrapperURL = prefix + "envoy.service.discovery.v3.Resource"
    /// A redirect of an xdstp resource; its type differs from the response's by design (NAME-06).
    public static let redirectURL = prefix + "xds.core.v3.ResourceLocator"
}
