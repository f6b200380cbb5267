"""What weir serves beside discovery on the same port: health, reflection, client status, load reports (SVC)."""

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool

from weirtest import xds
from weirtest.services import NOT_SERVING, REFLECTION, SERVICE_UNKNOWN, SERVING, code_of
from weirtest.waiting import eventually
from weirtest.xds import CDS

pytestmark = pytest.mark.relay_only

ADS = "envoy.service.discovery.v3.AggregatedDiscoveryService"
#: Conformance section 2: every discovery service.
DISCOVERY = {
    ADS, "envoy.service.listener.v3.ListenerDiscoveryService", "envoy.service.cluster.v3.ClusterDiscoveryService",
    "envoy.service.endpoint.v3.EndpointDiscoveryService", "envoy.service.route.v3.RouteDiscoveryService",
    "envoy.service.route.v3.ScopedRoutesDiscoveryService", "envoy.service.route.v3.VirtualHostDiscoveryService",
    "envoy.service.secret.v3.SecretDiscoveryService", "envoy.service.runtime.v3.RuntimeDiscoveryService",
    "envoy.service.extension.v3.ExtensionConfigDiscoveryService",
    "envoy.service.endpoint.v3.LocalityEndpointDiscoveryService",
    "envoy.service.filter_chain.v3.FilterChainDiscoveryService",
    "ratelimit.service.ratelimit.v3.RateLimitConfigDiscoveryService",
}
OTHERS = {
    "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection",
    "envoy.service.load_stats.v3.LoadReportingService", "envoy.service.status.v3.ClientStatusDiscoveryService",
}


def rejected(relay, reason):
    return relay.metric("weir_downstream_rejected_total", reason=reason)


# --- Health.


def test_SVC_09_health_answers_for_the_server_and_each_discovery_service(relay, services):
    client = services(relay)
    assert client.check() == SERVING
    for service in sorted(DISCOVERY):
        assert client.check(service) == SERVING
    assert client.health_list() == {name: SERVING for name in DISCOVERY | {""}}


def test_SVC_09_an_unknown_service_is_not_found_by_check_and_unknown_to_watch(relay, services):
    client = services(relay)
    code, message = code_of(client.check, "envoy.service.health.v3.HealthDiscoveryService")
    assert code == grpc.StatusCode.NOT_FOUND and "HealthDiscoveryService" in message
    watch = client.watch("nobody.Knows")
    assert watch.expect().status == SERVICE_UNKNOWN
    watch.quiet()


def test_SVC_09_it_serves_from_the_cache_while_the_control_plane_is_down(plane, relay, services, connect,
                                                                         upstream_protocol):
    plane.set(CDS, [xds.cluster("a")])
    first = connect(relay)
    first.subscribe(CDS)
    first.expect(CDS)
    client = services(relay)
    watch = client.watch()
    assert watch.expect().status == SERVING
    plane.stop()
    eventually(lambda: relay.json("/ready")["degraded"], "the upstream to be missed")
    watch.quiet()
    assert client.check() == SERVING and client.check(ADS) == SERVING
    second = connect(relay)
    second.subscribe(CDS)
    assert second.expect(CDS).names == ["a"]


def test_SVC_09_drain_says_not_serving_before_goaway(relay_to, plane, services, raw):
    relay = relay_to(plane, "delta", {"downstream": {"drain_timeout": "2s"}})
    client = services(relay)
    watch, own = client.watch(), client.watch(ADS)
    assert watch.expect().status == SERVING and own.expect().status == SERVING
    wire = raw(relay)
    number = wire.open("/grpc.health.v1.Health/Watch")
    wire.send(number, b"\0\0\0\0\0")
    wire.wait_messages(number, 1)
    relay.get("/drain", "POST")
    wire.until(lambda: wire.goaways, "a GOAWAY")
    assert wire.goaways[0].messages_before == {number: 2}
    assert wire.streams[number].messages() == [b"\x08\x01", b"\x08\x02"]
    assert watch.expect().status == NOT_SERVING and own.expect().status == NOT_SERVING
    assert watch.status()[0] == grpc.StatusCode.UNAVAILABLE


def test_SVC_09_a_watch_that_was_not_read_hears_the_newest_status(relay, services):
    watches = [services(relay).watch() for _ in range(3)]
    assert [watch.expect().status for watch in watches] == [SERVING] * 3
    assert relay.metric("weir_downstream_service_streams", service="health") == 3
    for watch in watches:
        watch.close()
    eventually(lambda: relay.metric("weir_downstream_service_streams", service="health") == 0, "the streams to go")
    assert relay.metric("weir_downstream_service_requests_total", service="health") == 3


@pytest.mark.parametrize("cold_start", ["serving", "not_serving"])
def test_SVC_09_a_cold_start_is_not_serving_if_so_configured(new_plane, relay_to, services, connect, cold_start):
    plane = new_plane(start=False)
    relay = relay_to(plane, "delta", {"downstream": {"health": {"cold_start": cold_start}}}, cold_timeout="30s")
    watch = services(relay).watch()
    # Nobody has asked for anything: there is nothing that it cannot serve.
    assert watch.expect().status == SERVING
    client = connect(relay)
    client.subscribe(CDS)
    if cold_start == "serving":
        eventually(lambda: relay.json("/ready")["degraded"], "the upstream to be missed")
        watch.quiet()
        return
    assert watch.expect().status == NOT_SERVING
    assert services(relay).check(ADS) == NOT_SERVING
    plane.set(CDS, [xds.cluster("a")])
    plane.start()
    assert watch.expect().status == SERVING
    client.expect(CDS)
    # From then on the cache serves.
    plane.stop()
    eventually(lambda: relay.json("/ready")["degraded"], "the upstream to be missed")
    watch.quiet()


def test_SVC_09_a_check_without_or_with_a_broken_request_is_refused(relay, raw):
    wire = raw(relay)
    empty = wire.open("/grpc.health.v1.Health/Check")
    wire.send(empty, b"", end=True)
    assert wire.wait_end(empty).grpc_status == 12
    broken = wire.open("/grpc.health.v1.Health/Check")
    wire.send(broken, b"\0\0\0\0\x02\x0a\x09")
    ended = wire.wait_end(broken)
    assert ended.grpc_status == 3 and "HealthCheckRequest" in ended.grpc_message


# --- Reflection.


def request(**fields):
    return REFLECTION["ServerReflectionRequest"](**fields)


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_SVC_09_reflection_lists_the_services_that_are_served_and_no_other(relay, services, version):
    call = services(relay).reflection(version)
    asked = request(host="here", list_services="")
    answer = call.ask(asked)
    assert answer.valid_host == "here" and answer.original_request == asked
    listed = {service.name for service in answer.list_services_response.service}
    assert listed == DISCOVERY | OTHERS
    call.half_close()
    assert call.status()[0] == grpc.StatusCode.OK


def test_SVC_09_reflection_gives_files_that_make_up_each_service(relay, services):
    """What a command-line tool does: from the list to descriptors that can be used."""
    client = services(relay)
    for service in sorted(DISCOVERY | OTHERS):
        call = client.reflection()
        answer = call.ask(request(file_containing_symbol=service))
        protos = [descriptor_pb2.FileDescriptorProto.FromString(data)
                  for data in answer.file_descriptor_response.file_descriptor_proto]
        pool = descriptor_pool.DescriptorPool()
        for proto in reversed(protos):
            add_in_order(pool, proto, {each.name: each for each in protos}, set())
        assert pool.FindServiceByName(service).methods
        call.close()


def add_in_order(pool, proto, all_of_them, done):
    if proto.name in done:
        return
    done.add(proto.name)
    for dependency in proto.dependency:
        add_in_order(pool, all_of_them[dependency], all_of_them, done)
    try:
        pool.FindFileByName(proto.name)
    except KeyError:
        pool.Add(proto)


def test_SVC_09_reflection_finds_files_symbols_and_extensions_and_says_what_it_has_not(relay, services):
    call = services(relay).reflection()
    first = call.ask(request(file_by_filename="envoy/config/cluster/v3/cluster.proto"))
    files = first.file_descriptor_response.file_descriptor_proto
    assert descriptor_pb2.FileDescriptorProto.FromString(files[0]).name == "envoy/config/cluster/v3/cluster.proto"
    assert len(files) > 20
    # What was sent before on the stream is not sent again.
    again = call.ask(request(file_containing_symbol="envoy.config.cluster.v3.Cluster.DiscoveryType"))
    assert len(again.file_descriptor_response.file_descriptor_proto) == 1
    method = call.ask(request(file_containing_symbol=f"{ADS}.DeltaAggregatedResources"))
    assert method.file_descriptor_response.file_descriptor_proto
    numbers = call.ask(request(all_extension_numbers_of_type="google.protobuf.FieldOptions"))
    assert 76569463 in numbers.all_extension_numbers_response.extension_number
    extension = request()
    extension.file_containing_extension.containing_type = "google.protobuf.FieldOptions"
    extension.file_containing_extension.extension_number = 76569463
    found = call.ask(extension).file_descriptor_response.file_descriptor_proto[0]
    assert descriptor_pb2.FileDescriptorProto.FromString(found).name == "udpa/annotations/sensitive.proto"
    for unknown in (request(file_by_filename="gone.proto"), request(file_containing_symbol="gone.Message"),
                    request(all_extension_numbers_of_type="gone.Message")):
        error = call.ask(unknown).error_response
        assert error.error_code == grpc.StatusCode.NOT_FOUND.value[0] and "gone" in error.error_message
    assert call.ask(request()).error_response.error_code == grpc.StatusCode.INVALID_ARGUMENT.value[0]


def test_SVC_09_reflection_without_descriptors_says_what_is_missing(plane, new_weir, services, monkeypatch):
    monkeypatch.setenv("WEIR_DESCRIPTORS", "/nonexistent/xds-descriptors.binpb")
    relay = new_weir({"upstreams": {"primary": {"servers": [plane.address]}}})
    call = services(relay).reflection()
    assert len(call.ask(request(list_services="")).list_services_response.service) == len(DISCOVERY | OTHERS)
    error = call.ask(request(file_containing_symbol=ADS)).error_response
    assert error.error_code == grpc.StatusCode.NOT_FOUND.value[0]
    assert "xds-descriptors.binpb" in error.error_message


def test_SVC_09_many_questions_at_once_are_answered_in_order(relay, services):
    call = services(relay).reflection()
    names = sorted(DISCOVERY) * 4
    for name in names:
        call.send(request(file_containing_symbol=name))
    call.half_close()
    for name in names:
        assert call.expect().original_request.file_containing_symbol == name
    assert call.status()[0] == grpc.StatusCode.OK


# --- What is not served.


@pytest.mark.parametrize("path", [
    "/envoy.service.health.v3.HealthDiscoveryService/StreamHealthCheck",
    "/envoy.service.health.v3.HealthDiscoveryService/FetchHealthCheck",
    "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs",
    "/envoy.service.metrics.v3.MetricsService/StreamMetrics",
    "/envoy.service.tap.v3.TapSinkService/StreamTaps",
    "/envoy.service.rate_limit_quota.v3.RateLimitQuotaService/StreamRateLimitQuotas",
    "/xds.service.orca.v3.OpenRcaService/StreamCoreMetrics",
    "/envoy.service.cluster.v3.ClusterDiscoveryService/FetchClusters",
    "/envoy.service.listener.v3.ListenerDiscoveryService/FetchListeners",
])
def test_SVC_08_services_that_are_not_relayed_and_unary_fetches_are_unimplemented(relay, raw, path):
    wire = raw(relay)
    number = wire.open(path)
    wire.send(number, b"\0\0\0\0\0", end=True)
    ended = wire.wait_end(number)
    assert ended.grpc_status == 12 and path in ended.grpc_message
    assert rejected(relay, "unknown_service") == 1


def test_SVC_08_rest_is_not_offered(relay, raw):
    wire = raw(relay)
    number = wire.open("/v3/discovery:clusters", content_type="application/json")
    wire.until(lambda: wire.streams[number].headers, "an answer")
    assert wire.streams[number].header(":status") == "415"
    assert relay.get("/v3/discovery:clusters", "POST")[0] == 404


def test_connections_over_the_limit_are_counted_as_rejected(plane, relay_to, raw, services):
    relay = relay_to(plane, "delta", {"downstream": {"limits": {"max_connections": 1}}})
    assert services(relay).check() == SERVING
    late = raw(relay)
    late.until(lambda: late.closed, "the connection to be closed")
    eventually(lambda: rejected(relay, "too_many_connections") == 1, "the refusal to be counted")


def test_streams_refused_while_draining_are_counted_as_rejected(plane, relay_to, raw):
    relay = relay_to(plane, "delta", {"downstream": {"drain_timeout": "5s"}})
    wire = raw(relay)
    watch = wire.open("/grpc.health.v1.Health/Watch")
    wire.send(watch, b"\0\0\0\0\0")
    wire.wait_messages(watch, 1)
    # A client that has not answered the relay's PING yet may still open streams.
    flush, wire.flush = wire.flush, lambda: None
    relay.get("/drain", "POST")
    wire.until(lambda: wire.goaways, "a GOAWAY")
    number, health = wire.open(xds.path_of("delta")), wire.open("/grpc.health.v1.Health/Check")
    wire.send(health, b"\0\0\0\0\0")
    wire.flush = flush
    wire.flush()
    assert wire.wait_end(number).grpc_status == 14
    assert rejected(relay, "draining") == 1
    assert wire.wait_end(health).messages() == [b"\x08\x02"]


def test_streams_that_break_grpc_or_its_bounds_are_counted_as_rejected(plane, relay_to, raw):
    relay = relay_to(plane, "delta", {"downstream": {"limits": {"max_request_size": "1KiB"}}})
    wire = raw(relay)
    large, broken = wire.open(xds.path_of("delta")), wire.open(xds.path_of("sotw"))
    wire.send(large, b"\0\0\0\x08\0" + b"x" * 2048)
    assert wire.wait_end(large).grpc_status == 8
    wire.send(broken, b"\x09\0\0\0\0")
    assert wire.wait_end(broken).grpc_status == 13
    assert rejected(relay, "message_too_large") == 1 and rejected(relay, "broken_stream") == 1
