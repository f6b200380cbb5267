/// What is known of one resource type, by type URL. Unknown types work too, with the most careful reading of each rule.
///
/// Source: the xDS protocol's type table and "Resource types"; conformance SOTW-02, SOTW-07, SOTW-08, NAME-15.
package struct XDSType: Hashable, Sendable {
    package let typeURL: String
    /// `cds`, `eds`, ...; nil for types weir has no name for.
    package let shortName: String?
    /// In SotW a response must carry the whole subscribed set, because absence means deletion.
    package let isFullSet: Bool
    /// Whether a first request without names subscribes to the wildcard (legacy form).
    package let acceptsLegacyWildcard: Bool
    /// The field of the message that holds the resource's name; nil where the message has none or is unknown.
    package let nameField: Int?
    /// Whether the type exists in delta only.
    package let isDeltaOnly: Bool
    /// Make-before-break place within one push: lower goes out first (ORD-01).
    package let pushOrder: Int

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
    package var isKnown: Bool { self.pushOrder < Self.unknownOrder }
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

    package static let prefix = "type.googleapis.com/"

    package static let cds = XDSType("envoy.config.cluster.v3.Cluster", "cds", fullSet: true, wildcard: true, order: 0)
    package static let eds = XDSType("envoy.config.endpoint.v3.ClusterLoadAssignment", "eds", order: 1)
    package static let leds = XDSType(
        "envoy.config.endpoint.v3.LbEndpoint", "leds", nameField: nil, deltaOnly: true, order: 2)
    package static let lds = XDSType(
        "envoy.config.listener.v3.Listener", "lds", fullSet: true, wildcard: true, order: 3)
    package static let srds = XDSType(
        "envoy.config.route.v3.ScopedRouteConfiguration", "srds", fullSet: true, wildcard: true, order: 4)
    package static let rds = XDSType("envoy.config.route.v3.RouteConfiguration", "rds", order: 5)
    package static let vhds = XDSType(
        "envoy.config.route.v3.VirtualHost", "vhds", wildcard: true, deltaOnly: true, order: 6)
    package static let sds = XDSType("envoy.extensions.transport_sockets.tls.v3.Secret", "sds", order: 7)
    package static let ecds = XDSType("envoy.config.core.v3.TypedExtensionConfig", "ecds", order: 8)
    package static let rtds = XDSType("envoy.service.runtime.v3.Runtime", "rtds", order: 9)
    package static let fcds = XDSType(
        "envoy.config.listener.v3.FilterChain", nil, wildcard: true, nameField: 7, order: 10)
    package static let thriftRoutes = XDSType(
        "envoy.extensions.filters.network.thrift_proxy.v3.RouteConfiguration", nil, order: 11)
    package static let rateLimitConfig = XDSType(
        "ratelimit.config.ratelimit.v3.RateLimitConfig", nil, fullSet: true, wildcard: true, order: 12)

    package static let known: [XDSType] = [
        .cds, .eds, .leds, .lds, .srds, .rds, .vhds, .sds, .ecds, .rtds, .fcds, .thriftRoutes, .rateLimitConfig,
    ]

    private static let byURL = Dictionary(uniqueKeysWithValues: known.map { ($0.typeURL, $0) })
    private static let byShortName = Dictionary(
        uniqueKeysWithValues: known.compactMap { type in type.shortName.map { ($0, type) } })

    /// The type of a URL; an unknown URL gives a type of its own.
    package static func of(typeURL: String) -> XDSType { self.byURL[typeURL] ?? XDSType(unknown: typeURL) }

    /// The type of a short name (`cds`) or nil.
    package static func named(_ shortName: String) -> XDSType? { self.byShortName[shortName] }

    /// The short name, or the URL where there is none: what logs, metrics and debug pages print.
    package var label: String { self.shortName ?? self.typeURL }

    /// The wrapper that SotW responses may put around a resource (XLT-07).
    package static let wrapperURL = prefix + "envoy.service.discovery.v3.Resource"
    /// A redirect of an xdstp resource; its type differs from the response's by design (NAME-06).
    package static let redirectURL = prefix + "xds.core.v3.ResourceLocator"
}
