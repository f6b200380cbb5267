"""The relay as a client: what it asks, acknowledges and rejects, and how it rides out the control plane's absence (UP)."""

import re
import socket
import time

import grpc
import pytest
from envoy.service.discovery.v3 import discovery_pb2

from weirtest import weir as weir_module
from weirtest import xds
from weirtest.clients import quiet
from weirtest.tap import Tap
from weirtest.waiting import eventually
from weirtest.xds import CDS, EDS, LDS, RDS, RTDS

pytestmark = pytest.mark.relay_only


@pytest.fixture
def world(plane):
    with plane.atomic():
        plane.set(CDS, [xds.cluster(name) for name in "abc"])
        plane.set(EDS, [xds.endpoints(name, 1) for name in "abc"])
    return plane


@pytest.fixture
def watchers(world, relay, connect, upstream_protocol):
    """A SotW and a delta client that hold everything."""
    made = [connect(relay, protocol, node=xds.node(protocol)) for protocol in ("sotw", "delta")]
    for client in made:
        client.subscribe(CDS)
        client.subscribe(EDS, "a", "b")
        client.converge(CDS, world.expected(CDS))
        client.converge(EDS, world.expected(EDS, names="ab"))
    quiet(*made)
    return made


def response(protocol, type_url, resources, nonce="hand-made", version="hand-made", removed=()):
    """A response by hand; `resources` are (name, Any) pairs."""
    if protocol == "sotw":
        return discovery_pb2.DiscoveryResponse(
            type_url=type_url, nonce=nonce, version_info=version, resources=[body for _, body in resources])
    return discovery_pb2.DeltaDiscoveryResponse(
        type_url=type_url, nonce=nonce, system_version_info=version, removed_resources=removed, resources=[
            discovery_pb2.Resource(name=name, version=version, resource=body) for name, body in resources
        ])


def answer_to(plane, nonce):
    """The relay's request that answers a nonce."""
    return eventually(
        lambda: next((r for r in plane.requests() if r.message.response_nonce == nonce), None),
        f"an answer to {nonce}")


# --- Requests.


def test_UP_01_UP_02_complete_node_and_an_ack_for_every_response(world, watchers, upstream_protocol):
    for timeout in range(2, 6):
        world.update(CDS, [xds.cluster("a", timeout)])
        for client in watchers:
            client.converge(CDS, world.expected(CDS))
    stream = world.stream()
    assert stream.protocol == upstream_protocol and stream.path == xds.path_of(upstream_protocol)
    first = stream.requests[0].message
    assert first.node.id and first.node.cluster == "web" and first.node.user_agent_name
    eventually(lambda: {s.nonce for s in stream.sent} == {r.message.response_nonce for r in stream.requests} - {""},
               "one ACK for every response")
    if upstream_protocol == "sotw":
        versions = {s.nonce: s.version_info for s in stream.sent}
        assert all(r.message.version_info == versions[r.message.response_nonce]
                   for r in stream.requests if r.kind == "ack")


def test_UP_14_the_wildcard_upstream_is_an_empty_first_request(world, watchers):
    first = world.requests(CDS, "first")[0].message
    assert not list(getattr(first, "resource_names", [])) and not list(getattr(first, "resource_names_subscribe", []))


def test_UP_01_the_node_template_names_the_relay(world, relay_to, connect, upstream_protocol):
    relay = relay_to(world, upstream_protocol, node={"id": "weir/{key}", "cluster": "{node.cluster}"})
    client = connect(relay, "delta")
    client.subscribe(CDS)
    client.expect(CDS)
    assert (world.stream().node.id, world.stream().node.cluster) == ("weir/web", "web")


# --- Losing and finding the control plane.


def test_AGG_08_AGG_09_clients_notice_nothing_of_a_restart(world, relay, connect, watchers):
    world.stop()
    eventually(lambda: relay.metric("weir_upstream_connected", upstream="primary") == 0, "the loss to be noticed")
    quiet(*watchers)
    newcomers = [connect(relay, protocol, node=xds.node("new-" + protocol)) for protocol in ("sotw", "delta")]
    for client in newcomers:
        client.subscribe(CDS)
        client.subscribe(EDS, "b")
        client.converge(CDS, world.expected(CDS))
        client.converge(EDS, world.expected(EDS, names="b"))
    assert relay.get("/ready")[0] == 200 and relay.json("/ready")["degraded"]
    world.start()
    eventually(lambda: world.interest(CDS) == {"*"} and world.interest(EDS) == {"a", "b"}, "the relay to come back")
    quiet(*watchers, *newcomers, seconds=1.0)
    eventually(lambda: not relay.json("/ready")["degraded"], "the relay to be well again")


@pytest.mark.parametrize("honours", [True, False], ids=["server-honours-versions", "server-ignores-versions"])
def test_AGG_09_AGG_10_only_the_difference_of_an_absence_is_sent(world, relay, watchers, honours):
    world.honour_initial_versions = honours
    world.stop()
    with world.atomic():
        world.update(CDS, [xds.cluster("a", 2)], remove=["c"])
        world.update(EDS, [xds.endpoints("b", 2)])
    world.start()
    for client in watchers:
        client.converge(CDS, world.expected(CDS))
        client.converge(EDS, world.expected(EDS, names="ab"))
        client.quiet()
    delta = watchers[1]
    last = [r for r in delta.history if r.type_url == CDS][1:]
    assert [name for r in last for name in r.names] == ["a"]
    assert [name for r in last for name in r.removed] == ["c"]


def test_UP_07_UP_08_what_is_said_again_after_a_reset(world, watchers, upstream_protocol):
    world.update(CDS, [xds.cluster("a", 2)])
    for client in watchers:
        client.converge(CDS, world.expected(CDS))
        client.settle()
    before = world.stream()
    eventually(lambda: before.subscriptions[CDS].acked_nonce == before.subscriptions[CDS].nonce, "the last ACK")
    world.close_streams()
    after = eventually(lambda: next((s for s in world.open_streams() if s is not before), None), "a new stream")
    eventually(lambda: len(after.subscriptions) == 2, "both types")
    assert before.requests and after.requests[0].message.node == before.requests[0].message.node
    first = {r.type_url: r.message for r in after.requests if r.kind == "first"}
    assert all(message.response_nonce == "" for message in first.values())
    if upstream_protocol == "sotw":
        assert first[CDS].version_info == world.version(CDS) and list(first[CDS].resource_names) == []
        assert first[EDS].version_info == world.version(EDS) and sorted(first[EDS].resource_names) == ["a", "b"]
    else:
        assert dict(first[CDS].initial_resource_versions) == {
            name: world.resource_version(CDS, name) for name in "abc"}
        assert sorted(first[EDS].resource_names_subscribe) == ["a", "b"]
        assert set(first[EDS].initial_resource_versions) == {"a", "b"}
    quiet(*watchers)


def test_UP_07_UP_15_what_nobody_wants_any_more_is_not_asked_for_again(world, relay, connect, upstream_protocol):
    stayer, leaver = (connect(relay, "delta", node=xds.node(name)) for name in ("stayer", "leaver"))
    stayer.subscribe(EDS, "a")
    stayer.expect(EDS)
    leaver.subscribe(CDS, "a")
    leaver.expect(CDS)
    leaver.close()
    eventually(lambda: world.interest(CDS) == set(), "the clusters to be given up")
    before = world.stream()
    world.close_streams()
    after = eventually(lambda: next((s for s in world.open_streams() if s is not before and s.requests), None),
                       "a new stream")
    stayer.quiet(0.5)
    assert {request.type_url for request in after.requests} == {EDS}


def test_UP_12_time_without_an_answer_counts_on_a_connected_stream_only(world, relay, connect, watchers):
    delta, sotw = (connect(relay, protocol, node=xds.node("asks-" + protocol)) for protocol in ("delta", "sotw"))
    world.silent.add(LDS)
    delta.subscribe(LDS, "zz")
    sotw.subscribe(LDS, "zz")
    eventually(lambda: world.interest(LDS) == {"zz"}, "the name upstream")
    asked = time.monotonic()
    # A stream that is lost counts for nothing: the time begins anew on the next one.
    time.sleep(4)
    world.close_streams()
    eventually(lambda: world.interest(LDS) == {"zz"} and len(world.open_streams()) == 1, "a new stream")
    again = time.monotonic()
    assert delta.expect(LDS, 30).removed == ["zz"]
    # 15 s after it was asked on the stream that stayed, not after it was asked first.
    assert time.monotonic() - again > 14 and time.monotonic() - asked > 18
    sotw.quiet()
    world.silent.clear()
    world.set(LDS, [xds.listener("zz")])
    for client in (delta, sotw):
        client.converge(LDS, world.expected(LDS))


def test_UP_13_a_change_of_names_after_a_nack(world, relay, watchers, upstream_protocol):
    world.push_raw(response(upstream_protocol, EDS, [("a", xds.pack(xds.cluster("a")))], nonce="bad"))
    assert answer_to(world, "bad").kind == "nack"
    watchers[0].subscribe(EDS, "c")
    change = eventually(
        lambda: next((r.message for r in world.requests(EDS) if "c" in r.names and not r.message.HasField(
            "error_detail")), None), "the new name upstream")
    if upstream_protocol == "sotw":
        assert change.response_nonce == "bad" and change.version_info == world.version(EDS)
        # This control plane knows only its own nonces; as a strict one it does not answer.
    else:
        assert change.response_nonce == ""


def test_UP_16_many_clients_wishes_are_few_requests(world, relay, connect, upstream_protocol):
    names = [f"e{i}" for i in range(100)]
    world.set(EDS, [xds.endpoints(name, 1) for name in names])
    clients = [connect(relay, ("delta", "sotw")[i % 2], node=xds.node(f"n{i}")) for i in range(50)]
    for i, client in enumerate(clients):
        for first in range(0, 20, 5):
            client.subscribe(EDS, *(names[(2 * i + first + k) % 100] for k in range(5)))
    for i, client in enumerate(clients):
        client.converge(EDS, world.expected(EDS, names={names[(2 * i + k) % 100] for k in range(20)}))
    asked = [name for request in world.requests(EDS) if request.kind != "ack" for name in request.names]
    changes = [request for request in world.requests(EDS) if request.kind != "ack"]
    assert world.interest(EDS) == set(names) and len(changes) < 100
    if upstream_protocol == "delta":
        assert len(asked) == len(set(asked)) == 100


def test_UP_10_a_server_that_closes_at_once_is_not_hammered(world, relay, watchers):
    world.refuse = (grpc.StatusCode.UNAVAILABLE, "go away")
    asked = 0

    async def refuse(requests, context, *rest):
        nonlocal asked
        asked += 1
        await context.abort(*world.refuse)

    original, world._serve = world._serve, refuse
    world.close_streams()
    quiet(*watchers, seconds=2.0)
    assert 2 <= asked <= 60, f"{asked} attempts in 2 s with a back-off of 50 to 250 ms"
    world._serve, world.refuse = original, None
    world.update(CDS, [xds.cluster("a", 9)])
    for client in watchers:
        client.converge(CDS, world.expected(CDS))


def test_cold_timeout_ends_streams_that_can_be_given_nothing(new_plane, relay_to, connect, upstream_protocol, protocol):
    relay = relay_to(new_plane(start=False), upstream_protocol, cold_timeout="500ms")
    client = connect(relay, protocol)
    client.subscribe(CDS)
    code, message = client.status()
    assert code == grpc.StatusCode.UNAVAILABLE and message
    assert client.history == []
    assert relay.get("/ready")[0] == 200 and relay.json("/ready")["degraded"]


def test_a_control_plane_that_comes_late_serves_those_who_wait(new_plane, relay_to, connect, upstream_protocol, protocol):
    plane = new_plane(start=False)
    plane.set(CDS, [xds.cluster("a")])
    client = connect(relay_to(plane, upstream_protocol, cold_timeout="20s"), protocol)
    client.subscribe(CDS)
    client.quiet()
    plane.start()
    client.converge(CDS, plane.expected(CDS))


def test_UP_09_UP_11_another_server_takes_over_and_its_versions_are_its_own(new_plane, relay_to, new_weir, connect,
                                                                           upstream_protocol, protocol):
    first, second = new_plane(), new_plane()
    first.set(CDS, [xds.cluster("a", 1)], version="v1")
    second.set(CDS, [xds.cluster("a", 2)], version="v1")
    section = weir_module.upstream(upstream_protocol, first.address, second.address)
    relay = new_weir({"upstreams": {"primary": section}})
    client = connect(relay, protocol)
    client.subscribe(CDS)
    client.converge(CDS, first.expected(CDS))
    first.stop()
    client.converge(CDS, second.expected(CDS))
    opening = second.requests(CDS, "first")[0].message
    assert not getattr(opening, "version_info", "") and not dict(getattr(opening, "initial_resource_versions", {}))
    # The first in order of preference gets its clients back.
    first.start()
    client.converge(CDS, first.expected(CDS), timeout=20)
    eventually(lambda: not second.open_streams(), "the second server's stream to end", 20)


def test_UP_18_delta_falls_back_to_sotw_where_it_is_not_implemented(new_plane, relay_to, connect, protocol):
    plane = new_plane(protocols=["sotw"])
    plane.set(CDS, [xds.cluster("a")])
    relay = relay_to(plane, "delta")
    client = connect(relay, protocol)
    client.subscribe(CDS)
    client.converge(CDS, plane.expected(CDS))
    assert plane.stream().protocol == "sotw"
    eventually(lambda: "sotw" in relay.log.lower(), "the change in the log")


# --- Responses that are not right.


def test_UP_03_UP_05_UP_06_a_wrong_type_is_nacked_and_the_rest_is_used(world, relay, watchers, upstream_protocol):
    good, wrong = xds.pack(xds.cluster("a", 7)), xds.pack(xds.endpoints("b", 1))
    keep = [(name, xds.pack(xds.cluster(name))) for name in "c"] if upstream_protocol == "sotw" else []
    world.push_raw(response(upstream_protocol, CDS, [("a", good), ("b", wrong), *keep]))
    answer = answer_to(world, "hand-made")
    assert answer.kind == "nack" and "b" in answer.message.error_detail.message
    for client in watchers:
        eventually(lambda: client.held(CDS).get("a") == good.value, "the good one")
        if upstream_protocol == "delta":
            assert client.held(CDS)["b"] == world.expected(CDS)["b"]
    assert len(world.open_streams()) == 1


def test_SOTW_23_UP_06_duplicate_names_are_nacked_and_never_reach_a_client(world, watchers, upstream_protocol):
    bodies = [("a", xds.pack(xds.cluster("a", 7))), ("a", xds.pack(xds.cluster("a", 8)))]
    if upstream_protocol == "sotw":
        bodies += [(name, xds.pack(xds.cluster(name))) for name in "bc"]
    world.push_raw(response(upstream_protocol, CDS, bodies))
    assert answer_to(world, "hand-made").kind == "nack"
    for client in watchers:
        for received in client.settle():
            assert len(set(received.names)) == len(received.names)
    world.update(CDS, [xds.cluster("a", 9)])
    for client in watchers:
        client.converge(CDS, world.expected(CDS))


def test_UP_06_a_name_in_both_lists_is_nacked(world, relay_to, connect):
    client = connect(relay_to(world, "delta"), "delta")
    client.subscribe(CDS)
    client.expect(CDS)
    world.push_raw(response("delta", CDS, [("a", xds.pack(xds.cluster("a", 7)))], removed=["a"]))
    assert answer_to(world, "hand-made").kind == "nack"


def test_UP_17_a_type_never_asked_for_is_ignored(world, watchers, upstream_protocol):
    seen = len(world.requests())
    world.push_raw(response(upstream_protocol, RTDS, [("layer", xds.pack(xds.runtime("layer")))]))
    quiet(*watchers)
    assert len(world.requests()) == seen and len(world.open_streams()) == 1


def test_bytes_that_are_no_message_do_not_reach_or_disturb_anyone(world, relay, watchers):
    world.push_raw(b"\xff\xff\xff\xff")
    quiet(*watchers)
    eventually(lambda: world.open_streams() and CDS in world.open_streams()[-1].subscriptions, "a stream again")
    world.update(CDS, [xds.cluster("a", 9)])
    for client in watchers:
        client.converge(CDS, world.expected(CDS))


def test_ORD_05_the_relay_sends_endpoints_again_after_their_cluster_changed(world, relay, connect, upstream_protocol,
                                                                           protocol):
    client = connect(relay, protocol)
    client.subscribe(CDS)
    client.subscribe(EDS, "a", "b")
    client.converge(CDS, world.expected(CDS))
    client.converge(EDS, world.expected(EDS, names="ab"))
    client.settle()
    world.update(CDS, [xds.cluster("a", 2)])
    client.expect(CDS)
    if protocol == "sotw":
        client.subscribe(EDS)
    response_again = client.expect(EDS)
    assert response_again.bodies["a"] == world.expected(EDS)["a"]
    client.settle()
    client.quiet()


@pytest.mark.parametrize("fault", ["reset", "pause"])
def test_ORD_02_types_arrive_in_the_order_in_which_they_were_sent(world, relay, connect, upstream_protocol, protocol,
                                                                 fault):
    world.set(LDS, [xds.listener("l")])
    client = connect(relay, protocol)
    client.subscribe(CDS)
    client.subscribe(LDS)
    client.subscribe(EDS, "a", "d")
    client.converge(CDS, world.expected(CDS))
    client.converge(LDS, world.expected(LDS))
    client.converge(EDS, world.expected(EDS, names="a"))
    client.settle()
    if fault == "reset":
        world.close_streams()
        eventually(lambda: world.interest(LDS) and world.interest(EDS), "the relay to come back")
        # An ACK that is still on its way would draw out its own type's change before its turn.
        eventually(lambda: all(s.acked_nonce == s.nonce for s in world.stream().subscriptions.values()), "its ACKs")
    else:
        world.pause()
    with world.atomic():
        world.update(CDS, [xds.cluster("d")])
        world.update(EDS, [xds.endpoints("d", 1)])
        world.update(LDS, [xds.listener("l", 10001)])
    world.resume()
    client.converge(LDS, world.expected(LDS))
    client.converge(EDS, world.expected(EDS, names="ad"))
    order = [r.type_url for r in client.history]
    last = {url: max(i for i, r in enumerate(client.history) if r.type_url == url) for url in (CDS, LDS)}
    assert last[CDS] < last[LDS], order


# --- Order over the wire.


def order_of(client):
    """Each response of a client's life as (type, what it brought: name → body)."""
    return [(r.type_url, r.bodies) for r in client.history]


def test_ORD_01_one_push_of_all_types_arrives_make_before_break(world, relay, connect, upstream_protocol, protocol):
    world.set(LDS, [xds.listener("l")])
    world.set(RDS, [xds.routes("routes", ("/", "a"))])
    clients = [connect(relay, protocol, node=xds.node(f"n{i}")) for i in range(20)]
    for client in clients:
        # In the worst order: whoever asks first is not answered first later.
        for type_url, names in ((RDS, ["routes"]), (LDS, []), (EDS, ["a", "n"]), (CDS, [])):
            client.subscribe(type_url, *names)
    for client in clients:
        client.converge(CDS, world.expected(CDS))
        client.converge(RDS, world.expected(RDS))
        client.settle()
        client.history.clear()
    eventually(lambda: all(s.acked_nonce == s.nonce for s in world.stream().subscriptions.values()), "the relay's ACKs")
    with world.atomic():
        world.update(RDS, [xds.routes("routes", ("/", "n"))])
        world.update(LDS, [xds.listener("l", 10001)])
        world.update(EDS, [xds.endpoints("n", 1)])
        world.update(CDS, [xds.cluster("n")])
    for client in clients:
        client.converge(RDS, world.expected(RDS))
        client.converge(LDS, world.expected(LDS))
        client.converge(EDS, world.expected(EDS, names=["a", "n"]))
        types = [type_url for type_url, _ in order_of(client)]
        first = [types.index(type_url) for type_url in (CDS, EDS, LDS, RDS)]
        assert first == sorted(first), [xds.SHORT[type_url] for type_url in types]


def test_ORD_03_a_client_that_was_slow_sees_no_route_without_its_cluster(world, relay, connect, upstream_protocol,
                                                                        protocol):
    world.set(RDS, [xds.routes("routes", ("/", "a"))])
    client = connect(relay, protocol, auto_ack=False)
    client.subscribe(CDS)
    client.subscribe(EDS, "a", "y")
    client.subscribe(RDS, "routes")
    client.converge(CDS, world.expected(CDS))
    client.converge(RDS, world.expected(RDS))
    # Nothing of this is acknowledged, so that what follows is put together.
    other = connect(relay, protocol, node=xds.node("other"))
    other.subscribe(CDS)
    other.subscribe(RDS, "routes")
    other.converge(CDS, world.expected(CDS))
    world.update(CDS, [xds.cluster("y")])
    world.update(EDS, [xds.endpoints("y", 1)])
    world.update(RDS, [xds.routes("routes", ("/", "y"))])
    world.update(CDS, remove=["a"])
    other.converge(CDS, world.expected(CDS))
    other.converge(RDS, world.expected(RDS))
    for response in client.settle():
        client.ack(response)
    eventually(lambda: all(client.ack(r) is None for r in client.drain())
               and client.held(CDS) == world.expected(CDS) and client.held(RDS) == world.expected(RDS), "the newest state")
    clusters, target = set(), None
    for response in client.history:
        if response.type_url == CDS:
            clusters = set(response.names) if protocol == "sotw" else (
                clusters | set(response.names)) - set(response.removed)
        elif response.type_url == RDS:
            target = "y" if b"y" in response.bodies["routes"] else "a"
        assert target is None or target in clusters, (target, clusters, [
            (xds.SHORT[r.type_url], r.names, r.removed) for r in client.history])
    assert target == "y" and "a" not in clusters


# --- A control plane that is gone, or goes.


def test_UP_20_a_control_plane_behind_a_black_hole_is_found_and_left(world, relay_to, connect, upstream_protocol):
    tap = Tap(world.address)
    relay = relay_to(world, upstream_protocol, {"upstreams": {"primary": {
        "servers": [tap.address], "keepalive": {"interval": "300ms", "timeout": "300ms"}}}})
    client = connect(relay, "delta")
    client.subscribe(CDS)
    client.converge(CDS, world.expected(CDS))
    before = world.stream()
    tap.black_hole()
    world.update(CDS, [xds.cluster("a", 7)])
    client.converge(CDS, world.expected(CDS))
    assert any(s is not before for s in world.open_streams())
    eventually(lambda: re.search("keepalive|ping", relay.log.lower()), "the reason in the log")
    tap.stop()


def test_UP_20_a_control_plane_that_calls_pings_too_many_is_sent_fewer(new_plane, relay_to, connect):
    # As gRPC servers do by default, when they come more often than every five minutes.
    plane = new_plane(options=[
        ("grpc.http2.min_ping_interval_without_data_ms", 300_000), ("grpc.http2.max_ping_strikes", 1)])
    plane.set(CDS, [xds.cluster("a")])
    relay = relay_to(plane, "delta", keepalive={"interval": "500ms", "timeout": "2s"})
    client = connect(relay, "delta")
    client.subscribe(CDS)
    client.converge(CDS, plane.expected(CDS))
    intervals = lambda: re.findall("more rarely.* interval=([0-9.]+)s", relay.log)
    eventually(lambda: len(intervals()) >= 2, "the PINGs to become rarer", 30)
    assert intervals()[:2] == ["1.0", "2.0"]
    # Nobody notices.
    plane.update(CDS, [xds.cluster("b")])
    client.converge(CDS, plane.expected(CDS))
    assert client.ended is None


def test_UP_20_goaway_moves_new_streams_and_lets_the_old_one_finish(world, new_plane, relay_to, connect,
                                                                   upstream_protocol):
    second = new_plane()
    second.set(CDS, [xds.cluster("elsewhere")])
    relay = relay_to(world, upstream_protocol, {"upstreams": {"primary": {
        "servers": [world.address, second.address]}}})
    client = connect(relay, "delta")
    client.subscribe(CDS)
    client.converge(CDS, world.expected(CDS))
    world.leave(grace=5)
    eventually(lambda: not connects_to(world.address), "the listener to close")
    late = connect(relay, "delta", node=xds.node("late", cluster="late"))
    late.subscribe(CDS)
    late.converge(CDS, second.expected(CDS))
    # The stream that was there before goes on.
    world.update(CDS, [xds.cluster("a", 7)])
    client.converge(CDS, world.expected(CDS), timeout=4)


def connects_to(address):
    host, port = address.rsplit(":", 1)
    try:
        socket.create_connection((host, int(port)), 1).close()
        return True
    except OSError:
        return False
