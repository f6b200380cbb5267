/// The listener of each group: a port for Envoy, the name of a service for gRPC (`xds:///greeter`). Both send everything to
/// the cluster `backend`.
func listeners(envoyPort: UInt16) -> [String: String] {
    [
        "envoy": """
        resources:
        - "@type": type.googleapis.com/envoy.config.listener.v3.Listener
          name: ingress
          address: {socket_address: {address: 127.0.0.1, port_value: \(envoyPort)}}
          filter_chains:
          - filters:
            - name: http
              typed_config: \(connectionManager)

        """,
        "grpc": """
        resources:
        - "@type": type.googleapis.com/envoy.config.listener.v3.Listener
          name: greeter
          api_listener:
            api_listener: \(connectionManager)

        """,
    ]
}

private let connectionManager = """
    {"@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, \
    stat_prefix: http, rds: {route_config_name: routes, config_source: {ads: {}, resource_api_version: V3}}, \
    http_filters: [{name: router, typed_config: \
    {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]}
    """

/// What both groups have: routes, and a cluster with one endpoint.
func common(_ backend: String) -> String {
    let parts = backend.split(separator: ":")
    return """
        - "@type": type.googleapis.com/envoy.config.route.v3.RouteConfiguration
          name: routes
          virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: backend}}]}]
        - "@type": type.googleapis.com/envoy.config.cluster.v3.Cluster
          name: backend
          type: EDS
          connect_timeout: 1s
          eds_cluster_config: {eds_config: {ads: {}, resource_api_version: V3}}
        - "@type": type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment
          cluster_name: backend
          endpoints:
          - locality: {region: here}
            load_balancing_weight: 1
            lb_endpoints:
            - endpoint: {address: {socket_address: {address: \(parts[0]), port_value: \(parts.last ?? "0")}}}

        """
}
