"""xDS types, their services, and builders for the resources that the tests pass around."""

from dataclasses import dataclass

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import base_pb2, config_source_pb2, extension_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2, scoped_route_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm_pb2
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2, tls_pb2
from envoy.service.runtime.v3 import rtds_pb2
from google.protobuf import any_pb2, duration_pb2, json_format, struct_pb2

PREFIX = "type.googleapis.com/"


@dataclass(frozen=True)
class TypeInfo:
    """What a peer must know of a type: conformance.md's type table in code."""

    short: str
    url: str
    message: type
    service: str
    stream: str
    delta: str
    full_set: bool
    wildcard: bool
    name_field: str = "name"


def _info(short, message, service, what, full_set=False, wildcard=False, name_field="name"):
    return TypeInfo(
        short, PREFIX + message.DESCRIPTOR.full_name, message, service, "Stream" + what, "Delta" + what, full_set,
        wildcard, name_field)


_SERVICE = "envoy.service."
TYPES = {
    info.url: info
    for info in [
        _info("cds", cluster_pb2.Cluster, _SERVICE + "cluster.v3.ClusterDiscoveryService", "Clusters", True, True),
        _info("eds", endpoint_pb2.ClusterLoadAssignment, _SERVICE + "endpoint.v3.EndpointDiscoveryService",
              "Endpoints", name_field="cluster_name"),
        _info("lds", listener_pb2.Listener, _SERVICE + "listener.v3.ListenerDiscoveryService", "Listeners", True,
              True),
        _info("rds", route_pb2.RouteConfiguration, _SERVICE + "route.v3.RouteDiscoveryService", "Routes"),
        _info("srds", scoped_route_pb2.ScopedRouteConfiguration, _SERVICE + "route.v3.ScopedRoutesDiscoveryService",
              "ScopedRoutes", True, True),
        _info("sds", secret_pb2.Secret, _SERVICE + "secret.v3.SecretDiscoveryService", "Secrets"),
        _info("rtds", rtds_pb2.Runtime, _SERVICE + "runtime.v3.RuntimeDiscoveryService", "Runtime"),
        _info("ecds", extension_pb2.TypedExtensionConfig, _SERVICE + "extension.v3.ExtensionConfigDiscoveryService",
              "ExtensionConfigs"),
    ]
}
CDS, EDS, LDS, RDS, SRDS, SDS, RTDS, ECDS = TYPES
SHORT = {url: info.short for url, info in TYPES.items()}
#: A type no relay can know; it travels over ADS all the same.
CUSTOM = PREFIX + "example.weirtest.v1.Thing"

ADS = _SERVICE + "discovery.v3.AggregatedDiscoveryService"
ADS_PATHS = {
    "sotw": f"/{ADS}/StreamAggregatedResources",
    "delta": f"/{ADS}/DeltaAggregatedResources",
}


def path_of(protocol, type_url=None):
    """The gRPC path of ADS, or of the type's own service."""
    if type_url is None:
        return ADS_PATHS[protocol]
    info = TYPES[type_url]
    return f"/{info.service}/{info.stream if protocol == 'sotw' else info.delta}"


def all_paths():
    """Every discovery path: path → (protocol, type URL or None for ADS)."""
    paths = {path: (protocol, None) for protocol, path in ADS_PATHS.items()}
    for url in TYPES:
        for protocol in ("sotw", "delta"):
            paths[path_of(protocol, url)] = (protocol, url)
    return paths


def name_of(type_url, body):
    """A resource's name, as a SotW peer finds it: inside the message. A custom type's Things are named by field 1."""
    info = TYPES.get(type_url)
    if info is None:
        return base_pb2.Locality.FromString(body).region
    return getattr(info.message.FromString(body), info.name_field)


def pack(message):
    """The Any of a message, with the same bytes every time."""
    wrapped = any_pb2.Any()
    wrapped.type_url = PREFIX + message.DESCRIPTOR.full_name
    wrapped.value = message.SerializeToString(deterministic=True)
    return wrapped


def thing(name, text=""):
    """A resource of the custom type: field 1 is its name, field 2 some text."""
    wrapped = any_pb2.Any(type_url=CUSTOM)
    wrapped.value = base_pb2.Locality(region=name, zone=text).SerializeToString(deterministic=True)
    return wrapped


def node(id="node-1", cluster="web", region="", metadata=None, **fields):
    """A node; `metadata` is a plain dictionary."""
    message = base_pb2.Node(id=id, cluster=cluster, user_agent_name="weirtest", **fields)
    if region:
        message.locality.region = region
    if metadata:
        message.metadata.CopyFrom(json_format.ParseDict(metadata, struct_pb2.Struct()))
    return message


# --- Where a resource's dependent resources come from.


def from_ads():
    """The config source of an ADS client; without a fetch timeout, so that nobody leaves warming by waiting."""
    return config_source_pb2.ConfigSource(
        ads=config_source_pb2.AggregatedConfigSource(), resource_api_version=config_source_pb2.V3,
        initial_fetch_timeout=duration_pb2.Duration())


def from_service(cluster="xds_cluster", delta=False):
    """The config source of a client that asks the type's own gRPC service."""
    kind = config_source_pb2.ApiConfigSource
    return config_source_pb2.ConfigSource(
        resource_api_version=config_source_pb2.V3, initial_fetch_timeout=duration_pb2.Duration(),
        api_config_source=kind(
            api_type=kind.DELTA_GRPC if delta else kind.GRPC, transport_api_version=config_source_pb2.V3,
            grpc_services=[{"envoy_grpc": {"cluster_name": cluster}}]))


# --- Resources.


def seconds(value):
    whole = int(value)
    return duration_pb2.Duration(seconds=whole, nanos=round((value - whole) * 1e9))


def cluster(name, timeout=1.0, source=None):
    """An EDS cluster; a change of `timeout` (seconds) is a change of content."""
    return cluster_pb2.Cluster(
        name=name, type=cluster_pb2.Cluster.EDS, connect_timeout=seconds(timeout),
        eds_cluster_config=cluster_pb2.Cluster.EdsClusterConfig(eds_config=source or from_ads()))


def clusters(count, timeout=1):
    """So many, `c00000` and on."""
    return [cluster(f"c{i:05d}", timeout) for i in range(count)]


def endpoints(name, *ports, host="127.0.0.1"):
    """The endpoints of a cluster: one locality, all of equal weight."""
    message = endpoint_pb2.ClusterLoadAssignment(cluster_name=name)
    group = message.endpoints.add()
    group.load_balancing_weight.value = 1
    group.locality.region = "local"
    for port in ports:
        address = group.lb_endpoints.add().endpoint.address.socket_address
        address.address, address.port_value = host, port
    return message


def routes(name, *pairs):
    """A route configuration: (path prefix, cluster) in order; one virtual host for every domain."""
    message = route_pb2.RouteConfiguration(name=name)
    host = message.virtual_hosts.add(name="all", domains=["*"])
    for prefix, target in pairs:
        route = host.routes.add()
        route.match.prefix = prefix
        route.route.cluster = target
    return message


def scoped_routes(name, route_name):
    """A scope of routes, taken by the key `name`."""
    message = scoped_route_pb2.ScopedRouteConfiguration(name=name, route_configuration_name=route_name)
    message.key.fragments.add(string_key=name)
    return message


def _router():
    wrapped = any_pb2.Any()
    wrapped.Pack(router_pb2.Router())
    return hcm_pb2.HttpFilter(name="envoy.filters.http.router", typed_config=wrapped)


def _manager(route_name, source):
    return hcm_pb2.HttpConnectionManager(
        stat_prefix="ingress", rds=hcm_pb2.Rds(route_config_name=route_name, config_source=source or from_ads()),
        http_filters=[_router()])


def listener(name, port=10000, route_name="routes", source=None, secret=None, secret_source=None):
    """An HTTP listener that takes its routes by RDS, and its certificate by SDS when `secret` names one."""
    message = listener_pb2.Listener(name=name)
    message.address.socket_address.address = "127.0.0.1"
    message.address.socket_address.port_value = port
    chain = message.filter_chains.add()
    chain.filters.add(name="envoy.filters.network.http_connection_manager").typed_config.Pack(
        _manager(route_name, source))
    if secret:
        context = tls_pb2.DownstreamTlsContext()
        context.common_tls_context.tls_certificate_sds_secret_configs.add(
            name=secret, sds_config=secret_source or from_ads())
        chain.transport_socket.name = "envoy.transport_sockets.tls"
        chain.transport_socket.typed_config.Pack(context)
    return message


def api_listener(name, route_name="routes"):
    """The listener of a proxyless gRPC client."""
    message = listener_pb2.Listener(name=name)
    message.api_listener.api_listener.Pack(_manager(route_name, from_ads()))
    return message


def secret(name, certificate, key):
    """A TLS certificate as an SDS resource; both arguments are PEM bytes."""
    message = secret_pb2.Secret(name=name)
    message.tls_certificate.certificate_chain.inline_bytes = certificate
    message.tls_certificate.private_key.inline_bytes = key
    return message


def runtime(name, **values):
    """An RTDS layer."""
    message = rtds_pb2.Runtime(name=name)
    message.layer.update(values)
    return message
