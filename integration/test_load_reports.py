"""Load reports (LRS): each client's stream is passed on to the upstream of its group, byte for byte (SVC-05 to SVC-07)."""

import json
import sys

import grpc
import pytest
from envoy.config.core.v3 import base_pb2
from envoy.config.endpoint.v3 import load_report_pb2
from envoy.service.load_stats.v3 import lrs_pb2

from test_proxyless_grpc import CALLER
from weirtest import xds
from weirtest.backend import GrpcBackend, HttpBackend
from weirtest.loadreports import PATH, LoadReporting
from weirtest.process import Process
from weirtest.raw import frame
from weirtest.services import ServiceClient
from weirtest.site import Site
from weirtest.waiting import eventually
from weirtest.weir import upstream

pytestmark = pytest.mark.relay_only


@pytest.fixture
def reporting():
    return LoadReporting()


@pytest.fixture
def plane(new_plane, reporting):
    """A control plane that takes load reports."""
    made = new_plane(start=False)
    made.handlers.append(reporting)
    return made.start()


@pytest.fixture
def services(new_weir):
    made = []

    def make(server, **options):
        made.append(ServiceClient(server.address, **options))
        return made[-1]

    yield make
    for client in made:
        client.close()


def node(identifier="envoy-1", cluster="web"):
    return base_pb2.Node(id=identifier, cluster=cluster, client_features=["envoy.lrs.supports_send_all_clusters"])


def report(count, cluster="a"):
    stats = load_report_pb2.ClusterStats(cluster_name=cluster, total_dropped_requests=count)
    stats.load_report_interval.FromMilliseconds(1234)
    return lrs_pb2.LoadStatsRequest(cluster_stats=[stats])


def first(*arguments, **fields):
    return lrs_pb2.LoadStatsRequest(node=node(*arguments, **fields))


def order(*clusters, **fields):
    response = lrs_pb2.LoadStatsResponse(clusters=clusters, **fields)
    response.load_reporting_interval.FromMilliseconds(100)
    return response


def test_SVC_05_reports_and_orders_are_passed_on_byte_for_byte(relay, reporting, services, upstream_protocol):
    call = services(relay).load_reports()
    opening = first()
    # Fields that nobody knows stay as they are.
    unknown = lrs_pb2.LoadStatsRequest.FromString(opening.SerializeToString() + b"\xca\x3e\x03abc")
    call.send(unknown)
    stream = reporting.stream("envoy-1")
    assert stream.received == [unknown.SerializeToString()]
    answer = order("a", "b", report_endpoint_granularity=True)
    stream.send(answer.SerializeToString() + b"\xca\x3e\x01x")
    assert call.expect().SerializeToString() == answer.SerializeToString() + b"\xca\x3e\x01x"
    reports = [report(number) for number in range(50)]
    for each in reports:
        call.send(each)
    assert stream.wait(51)[1:] == [each.SerializeToString() for each in reports]
    assert relay.metric("weir_downstream_service_requests_total", service="load_reports") == 51
    assert relay.metric("weir_downstream_service_streams", service="load_reports") == 1
    for number in range(20):
        stream.send(order(f"c{number}"))
    assert [call.expect().clusters[0] for _ in range(20)] == [f"c{number}" for number in range(20)]


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.PERMISSION_DENIED,
                                  grpc.StatusCode.RESOURCE_EXHAUSTED])
def test_SVC_05_the_upstreams_end_is_the_clients(relay, reporting, services, code):
    call = services(relay).load_reports()
    call.send(first())
    reporting.stream("envoy-1").end(code, "no more, 50 % off")
    assert call.status() == (code, "no more, 50 % off")


def test_SVC_05_an_upstream_that_ends_with_ok_ends_the_client_with_ok(relay, reporting, services):
    call = services(relay).load_reports()
    call.send(first())
    stream = reporting.stream("envoy-1")
    stream.send(order("a"))
    stream.end()
    assert call.expect().clusters == ["a"]
    assert call.status()[0] == grpc.StatusCode.OK


def test_SVC_05_a_client_that_leaves_ends_its_upstream_stream(relay, reporting, services):
    leaving, staying = services(relay), services(relay).load_reports()
    call = leaving.load_reports()
    call.send(first("leaving"))
    staying.send(first("staying"))
    gone, kept = reporting.stream("leaving"), reporting.stream("staying")
    leaving.close()
    eventually(lambda: not gone.open, "the upstream stream to end")
    staying.send(report(1))
    assert len(kept.wait(2)) == 2 and kept.open
    eventually(lambda: relay.metric("weir_downstream_service_streams", service="load_reports") == 1, "one stream")


def test_SVC_05_a_client_that_says_no_more_is_answered_to_the_end(relay, reporting, services):
    call = services(relay).load_reports()
    call.send(first())
    call.half_close()
    stream = reporting.stream("envoy-1")
    eventually(lambda: stream.half_closed, "the end of the client's half")
    stream.send(order("late"))
    assert call.expect().clusters == ["late"]
    stream.end()
    assert call.status()[0] == grpc.StatusCode.OK


def test_SVC_05_an_upstream_that_is_lost_or_away_ends_the_stream_unavailable(plane, relay, reporting, services):
    call = services(relay).load_reports()
    call.send(first())
    reporting.stream("envoy-1")
    plane.stop()
    assert call.status()[0] == grpc.StatusCode.UNAVAILABLE
    away = services(relay).load_reports()
    away.send(first())
    code, message = away.status()
    assert code == grpc.StatusCode.UNAVAILABLE and "primary" in message
    # And it works again when the control plane is back.
    plane.start()

    def again():
        retried = services(relay).load_reports()
        retried.send(first("back"))
        return any(s.open and s.received and s.node.id == "back" for s in reporting.streams)

    eventually(again, "a stream through the relay", interval=0.2)


def test_SVC_05_an_upstream_without_load_reporting_says_so_itself(new_plane, relay_to, services):
    relay = relay_to(new_plane())
    call = services(relay).load_reports()
    call.send(first())
    assert call.status()[0] == grpc.StatusCode.UNIMPLEMENTED


def test_SVC_05_a_group_whose_upstream_is_files_has_nobody_who_takes_load_reports(new_weir, tmp_path, services):
    (tmp_path / "resources").mkdir()
    relay = new_weir({"upstreams": {"demo": {"files": {"path": str(tmp_path / "resources")}}}})
    call = services(relay).load_reports()
    call.send(first())
    code, message = call.status()
    assert code == grpc.StatusCode.UNIMPLEMENTED and "demo" in message and "files" in message


def test_SVC_05_the_rules_choose_the_upstream_without_a_type(plane, new_plane, new_weir, reporting, services):
    other = LoadReporting()
    second = new_plane(start=False)
    second.handlers.append(other)
    second.start()
    relay = new_weir({
        "upstreams": {"one": upstream("delta", plane.address), "two": upstream("delta", second.address)},
        "aggregation": {"rules": [
            {"match": {"node.cluster": "web", "type": ["eds"]}, "key": "eds", "upstream": "one"},
            {"match": {"node.cluster": "web"}, "key": "web", "upstream": "two"},
            {"match": {"node.cluster": "api"}, "key": "api", "upstream": "one"},
        ]},
    })
    for name, cluster in (("w", "web"), ("a", "api")):
        call = services(relay).load_reports()
        call.send(first(name, cluster))
    other.stream("w")
    reporting.stream("a")
    assert len(reporting.streams) == len(other.streams) == 1
    nobody = services(relay).load_reports()
    nobody.send(first("n", "unknown"))
    code, message = nobody.status()
    assert code == grpc.StatusCode.INVALID_ARGUMENT and "unknown" in message
    assert relay.metric("weir_downstream_rejected_total", reason="no_rule") == 1


def test_SVC_05_a_first_message_without_a_node_or_none_at_all_is_refused(plane, relay_to, services, raw):
    relay = relay_to(plane, "delta", {"downstream": {"limits": {"first_request_timeout": "500ms"}}})
    nodeless = services(relay).load_reports()
    nodeless.send(report(1))
    code, message = nodeless.status()
    assert code == grpc.StatusCode.INVALID_ARGUMENT and "node" in message
    wire = raw(relay)
    broken = wire.open(PATH)
    wire.send(broken, b"\0\0\0\0\x02\x0a\x09")
    assert wire.wait_end(broken).grpc_status == 3
    silent = wire.open(PATH)
    assert wire.wait_end(silent).grpc_status == 4
    assert relay.metric("weir_downstream_rejected_total", reason="first_request_timeout") == 1


def test_SVC_05_a_server_that_does_not_read_holds_back_its_client_and_nobody_else(
        relay, reporting, services, raw, connect, plane):
    plane.set(xds.CDS, [xds.cluster("a")])
    reporting.is_reading = False
    wire = raw(relay)
    number = wire.open(PATH)
    wire.send(number, frame(first("busy")))
    reporting.stream("busy")
    big = frame(report(1, "x" * 60_000))
    sent = 0
    # It takes what the windows on the way hold, and then no more.
    while sent < 2000 and wire.h2.local_flow_control_window(number) >= len(big):
        wire.send(number, big)
        wire.pump(0.02)
        sent += 1
    assert sent < 2000, "the relay reads what it cannot pass on"
    client = connect(relay)
    client.subscribe(xds.CDS)
    assert client.expect(xds.CDS).names == ["a"]
    reporting.is_reading = True
    stream = reporting.stream("busy")
    assert len(stream.wait(sent + 1, timeout=30)) == sent + 1


def test_SVC_06_each_client_reports_under_its_own_node_on_its_own_stream(relay, reporting, services, plane, connect):
    plane.set(xds.CDS, [xds.cluster("a")])
    # Their group's own discovery stream goes by the node that opened it.
    discovery = connect(relay, node=xds.node("representative"))
    discovery.subscribe(xds.CDS)
    discovery.expect(xds.CDS)
    calls = {}
    for name in ("one", "two"):
        calls[name] = services(relay).load_reports()
        calls[name].send(first(name))
    streams = {name: reporting.stream(name) for name in calls}
    assert len(reporting.streams) == 2
    for name, stream in streams.items():
        # Its features as it said them: nothing is added, nothing taken away.
        assert stream.node == node(name)
        stream.send(order(name, send_all_clusters=name == "one"))
        answer = calls[name].expect()
        assert answer == order(name, send_all_clusters=name == "one")
        calls[name].send(report(len(name), name))
    for name, stream in streams.items():
        assert stream.messages[-1] == report(len(name), name) or stream.wait(2)
        assert stream.messages[1] == report(len(name), name)


def test_SVC_07_reports_of_a_group_are_not_summed(relay, reporting, services):
    """Aggregation is not offered: what arrives upstream is what each client said, also when one leaves between."""
    clients = [services(relay) for _ in range(3)]
    calls = [client.load_reports() for client in clients]
    for index, call in enumerate(calls):
        call.send(first(f"n{index}"))
        call.send(report(10 + index))
    streams = [reporting.stream(f"n{index}") for index in range(3)]
    for index, stream in enumerate(streams):
        stream.wait(2)
        assert stream.messages[1].cluster_stats[0].total_dropped_requests == 10 + index
    clients[0].close()
    for index in (1, 2):
        calls[index].send(report(20 + index))
        streams[index].wait(3)
        assert streams[index].messages[2].cluster_stats[0].total_dropped_requests == 20 + index
    assert len(streams[0].received) == 2


def test_SVC_05_more_load_reports_than_the_server_takes_streams_on_a_connection(new_plane, reporting, relay_to, services):
    plane = new_plane(start=False, max_streams=10)
    plane.handlers.append(reporting)
    plane.start()
    relay = relay_to(plane, "delta", {"workers": 1})
    client = services(relay)
    calls = [client.load_reports() for _ in range(35)]
    for index, call in enumerate(calls):
        call.send(first(f"n{index}"))
    for index in range(35):
        reporting.stream(f"n{index}")
    assert len({stream.peer for stream in reporting.streams}) >= 4


# --- Real clients.


@pytest.mark.parametrize("mode", ["ads-delta", "ads-sotw"])
def test_SVC_05_a_real_envoy_with_lrs_server_self_reports_through_weir(
        plane, relay_to, reporting, new_envoy, mode):
    """A cluster says `lrs_server: self`; the bootstrap sends load stats to the xDS cluster, which is weir."""
    relay = relay_to(plane, mode.removeprefix("ads-"))
    site = Site(plane, mode)
    backend = HttpBackend("hello")
    try:
        site.publish({"/": "app"}, app=backend)
        cluster = site.cluster("app")
        cluster.lrs_server.self.SetInParent()
        plane.update(xds.CDS, [cluster])
        envoy = new_envoy(relay, mode, load_reports=True)
        envoy.wait_ready()
        stream = reporting.stream("envoy-1")
        assert stream.node.user_agent_name == "envoy"
        stream.send(order("app"))
        site.until("hello")

        def counted():
            return sum(
                locality.total_successful_requests + locality.total_issued_requests
                for message in stream.messages for stats in message.cluster_stats
                if stats.cluster_name == "app" for locality in stats.upstream_locality_stats)

        def ask():
            site.until("hello")
            return counted() > 0

        eventually(ask, "a report that counts the requests", 20, 0.1)
        assert envoy.stat("cluster.app.upstream_rq_200") > 0
    finally:
        backend.close()


def test_SVC_05_grpcs_own_client_reports_through_weir(plane, relay, reporting, tmp_path):
    backend = GrpcBackend("one")
    cluster = xds.cluster("greeter-cluster")
    cluster.lrs_server.self.SetInParent()
    with plane.atomic():
        plane.set(xds.LDS, [xds.api_listener("greeter", "greeter-routes")])
        plane.set(xds.RDS, [xds.routes("greeter-routes", ("", "greeter-cluster"))])
        plane.set(xds.CDS, [cluster])
        plane.set(xds.EDS, [xds.endpoints("greeter-cluster", backend.port)])
    bootstrap = tmp_path / "grpc-bootstrap.json"
    bootstrap.write_text(json.dumps({
        "xds_servers": [{"server_uri": relay.address, "channel_creds": [{"type": "insecure"}],
                         "server_features": ["xds_v3"]}],
        "node": {"id": "grpc-1", "cluster": "web"},
    }))
    caller = Process([sys.executable, "-c", CALLER], tmp_path / "caller.log",
                     {"GRPC_XDS_BOOTSTRAP": str(bootstrap), "GRPC_VERBOSITY": "ERROR"})
    try:
        caller.wait_log("one", timeout=30)
        stream = reporting.stream("grpc-1")
        stream.send(order(send_all_clusters=True))

        def counted():
            return sum(
                locality.total_issued_requests for message in stream.messages for stats in message.cluster_stats
                if stats.cluster_name == "greeter-cluster" for locality in stats.upstream_locality_stats)

        eventually(lambda: counted() > 0, "a report that counts the calls", 20)
        # gRPC reads its feature out of its own node, which came through as it is.
        assert "envoy.lrs.supports_send_all_clusters" in stream.node.client_features
    finally:
        caller.kill()
        backend.close()
