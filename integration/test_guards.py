"""Guards: what the control plane says is kept from the clients, and given to them, over the wire in all combinations."""

import pytest

from weirtest import xds
from weirtest.clients import quiet
from weirtest.waiting import eventually
from weirtest.xds import CDS, EDS, LDS

pytestmark = pytest.mark.relay_only

both_ways = pytest.mark.parametrize("protocol", ["sotw", "delta"])
both_upstreams = pytest.mark.parametrize("upstream_protocol", ["sotw", "delta"])


def clusters(count, timeout=1):
    return [xds.cluster(f"c{i}", timeout) for i in range(count)]


def acknowledged(plane, type_url):
    """Whether the newest response of the type was acknowledged upstream."""
    requests = plane.requests(type_url)
    return bool(requests) and requests[-1].kind == "ack"


@both_upstreams
@both_ways
def test_UP_19_an_empty_push_is_held_until_a_set_follows(plane, relay, connect, upstream_protocol, protocol):
    plane.set(CDS, clusters(10), version="one")
    client = connect(relay, protocol, node=xds.node("a"))
    client.subscribe(CDS)
    client.converge(CDS, plane.expected(CDS))
    first = plane.expected(CDS)
    plane.set(CDS, [], version="two")
    hold = eventually(lambda: relay.held(), "the empty push to be held")
    assert hold["reason"] == "empty" and hold["changes"] == 10 and hold["since"]
    eventually(lambda: acknowledged(plane, CDS), "the push to be acknowledged")
    assert not plane.nacks()
    client.quiet()
    assert client.held(CDS) == first
    # One that comes now, and one that comes back, have the last good state.
    late = connect(relay, protocol, node=xds.node("b"))
    late.subscribe(CDS)
    late.converge(CDS, first)
    if protocol == "delta":
        back = connect(relay, protocol, node=xds.node("c"))
        back.subscribe(CDS, versions=client.versions(CDS))
        answered = back.settle()
        assert all(not response.names and not response.removed for response in answered)
    # It is loud.
    assert any("cds of key \"web\" is held (empty)" in text for text in relay.json("/ready")["degraded"])
    assert relay.get("/ready")[0] == 200
    assert relay.metric("weir_holds", type="cds", reason="empty") == 1
    assert relay.metric("weir_pushes_total", type="cds", outcome="held_empty") == 1
    relay.wait_log("held: clients keep what they have")
    entry = relay.keys()["web"]["types"]["cds"]
    assert entry["version"] == "one" and entry["resources"] == 10
    assert len(relay.json("/config_dump?type=cds")["resources"]) == 10
    plane.set(CDS, clusters(3), version="three")
    for each in (client, late):
        each.converge(CDS, plane.expected(CDS))
    eventually(lambda: relay.held() is None, "the hold to end")
    assert relay.json("/ready")["degraded"] == [] and relay.metric("weir_holds") == 0


@both_ways
def test_UP_19_a_small_set_may_become_empty_and_what_is_allowed_too(plane, relay_to, connect, protocol):
    relay = relay_to(plane, "sotw", {"guards": {"empty_push_min": 3}})
    plane.set(CDS, clusters(2))
    client = connect(relay, protocol)
    client.subscribe(CDS)
    client.converge(CDS, plane.expected(CDS))
    plane.set(CDS, [])
    client.converge(CDS, {})
    plane.set(CDS, clusters(3))
    client.converge(CDS, plane.expected(CDS))
    plane.set(CDS, [])
    eventually(lambda: relay.held(), "the empty push to be held")
    client.quiet()
    relay.configure({"guards": {"empty_push": "allow"}})
    relay.reload()
    client.converge(CDS, {})
    relay.wait_log("the configuration allows it")


@both_upstreams
@both_ways
def test_a_push_that_removes_too_much_is_held(plane, relay_to, connect, upstream_protocol, protocol):
    relay = relay_to(plane, upstream_protocol, {"guards": {"shrink_percent": 50}})
    plane.set(LDS, [xds.listener(f"l{i}", 10000 + i, "r") for i in range(10)])
    client = connect(relay, protocol)
    client.subscribe(LDS)
    client.converge(LDS, plane.expected(LDS))
    before = plane.expected(LDS)
    plane.remove(LDS, *[f"l{i}" for i in range(5)])
    assert eventually(lambda: relay.held("lds"), "the push to be held")["reason"] == "shrink"
    client.quiet()
    assert client.held(LDS) == before
    assert relay.metric("weir_pushes_total", type="lds", outcome="held_shrink") == 1
    status, answer = relay.post("/keys/release?key=web&type=lds")
    assert (status, answer["held"]) == (200, None)
    client.converge(LDS, plane.expected(LDS))


@both_upstreams
@both_ways
def test_an_operator_holds_a_type_and_releases_the_newest(plane, relay, connect, upstream_protocol, protocol):
    with plane.atomic():
        plane.set(CDS, clusters(2))
        plane.set(EDS, [xds.endpoints(name, 1) for name in ("a", "b", "c")])
    client = connect(relay, protocol, node=xds.node("a"))
    client.subscribe(EDS, "a", "b")
    client.converge(EDS, plane.expected(EDS, names=["a", "b"]))
    first = plane.expected(EDS, names=["a", "b", "c"])
    status, answer = relay.post("/keys/hold?key=web&type=eds")
    assert status == 200 and answer["held"]["reason"] == "operator" and answer["key"] == "web"
    for port in (2, 3):
        plane.update(EDS, [xds.endpoints("a", port)])
    eventually(lambda: relay.held("eds")["changes"] == 1, "the pushes to arrive")
    eventually(lambda: relay.metric("weir_pushes_total", type="eds", outcome="held_operator") >= 1, "them to be counted")
    # A name that nobody asked for before has nothing to be kept at.
    late = connect(relay, protocol, node=xds.node("b"))
    late.subscribe(EDS, "a", "c")
    late.converge(EDS, {name: first[name] for name in ("a", "c")})
    quiet(client)
    assert relay.post("/keys/release?key=web&type=eds")[0] == 200
    client.converge(EDS, plane.expected(EDS, names=["a", "b"]))
    late.converge(EDS, plane.expected(EDS, names=["a", "c"]))
    assert len(client.drain()) == 0
    for word in (" audit ", "path=/keys/hold", "path=/keys/release", "peer=127.0.0.1:"):
        relay.wait_log(word)


@both_upstreams
@both_ways
def test_a_rollback_brings_an_earlier_state_back(plane, relay, connect, upstream_protocol, protocol):
    plane.set(CDS, clusters(3, 1), version="v1")
    client = connect(relay, protocol, node=xds.node("a"))
    client.subscribe(CDS)
    client.converge(CDS, plane.expected(CDS))
    states = {"v1": plane.expected(CDS)}
    plane.set(CDS, clusters(4, 2), version="v2")
    client.converge(CDS, plane.expected(CDS))
    states["v2"] = plane.expected(CDS)
    plane.set(CDS, clusters(2, 3), version="v3")
    client.converge(CDS, plane.expected(CDS))
    history = relay.keys()["web"]["types"]["cds"]["history"]
    assert [(past["version"], past["resources"]) for past in history] == [("v2", 4), ("v1", 3)]
    status, answer = relay.post("/keys/rollback?key=web&type=cds")
    assert (status, answer["version"], answer["held"]["reason"]) == (200, "v2", "operator")
    client.converge(CDS, states["v2"])
    status, answer = relay.post("/keys/rollback?key=web&type=cds&to=v1")
    assert (status, answer["version"]) == (200, "v1")
    client.converge(CDS, states["v1"])
    late = connect(relay, protocol, node=xds.node("b"))
    late.subscribe(CDS)
    late.converge(CDS, states["v1"])
    plane.set(CDS, clusters(5, 4), version="v4")
    eventually(lambda: relay.held()["version"] == "v4", "the newest to be held")
    quiet(client, late)
    assert relay.post("/keys/release?key=web&type=cds")[0] == 200
    for each in (client, late):
        each.converge(CDS, plane.expected(CDS))
    status, answer = relay.post("/keys/rollback?key=web&type=cds&to=never")
    assert status == 404 and "v3" not in answer["error"].split("kept are")[0] and "kept are" in answer["error"]


def test_commands_that_cannot_be_carried_out_say_why(plane, relay, connect):
    plane.set(CDS, clusters(1))
    client = connect(relay, "delta")
    client.subscribe(CDS)
    client.converge(CDS, plane.expected(CDS))
    for path, status, word in [
        ("/keys/hold", 400, "?key=KEY"), ("/keys/hold?key=web", 400, "&type=TYPE"),
        ("/keys/hold?key=nobody&type=cds", 404, "nobody"), ("/keys/hold?key=web&type=lds", 404, "cds"),
        ("/keys/release?key=web&type=cds", 409, "nothing"), ("/keys/rollback?key=web&type=cds", 409, "no earlier state"),
        ("/keys/rollback?key=web&type=cds&to=x", 404, '"x"'), ("/keys/evict?key=web", 409, "streams use"),
        ("/keys/evict?key=nobody", 404, "nobody"), ("/keys/refresh", 400, "?key=KEY"),
    ]:
        found, answer = relay.post(path)
        assert found == status and word in answer["error"], (path, found, answer)
    assert relay.get("/keys/hold?key=web&type=cds")[0] == 405


@both_upstreams
def test_a_refresh_asks_for_everything_again_and_clients_hear_nothing(plane, relay, connect, upstream_protocol):
    plane.set(CDS, clusters(3))
    client = connect(relay, "delta")
    client.subscribe(CDS)
    client.converge(CDS, plane.expected(CDS))
    streams = len(list(plane.streams))
    assert relay.post("/keys/refresh?key=web")[0] == 200
    eventually(lambda: len(list(plane.streams)) > streams and acknowledged(plane, CDS), "everything to be asked again")
    client.quiet()


def test_a_group_without_streams_is_evicted(plane, relay_to, connect):
    relay = relay_to(plane, "delta", {"cache": {"linger": "1h"}})
    plane.set(CDS, clusters(1))
    client = connect(relay, "delta")
    client.subscribe(CDS)
    client.converge(CDS, plane.expected(CDS))
    client.close()
    eventually(lambda: relay.post("/keys/evict?key=web")[0] == 200, "the group to be given up")
    assert relay.keys() == {}
    eventually(lambda: not plane.open_streams(), "the upstream stream to end")


# --- Rollouts.

ROLLOUT = {"guards": {"rollout": {"first": 1, "wait": "20s"}}}


def fleet(relay, connect, protocol, count, **options):
    """Clients of one group, all with the wildcard of clusters."""
    clients = [connect(relay, protocol, node=xds.node(f"n{i}"), **options)
               for i in range(count)]
    for client in clients:
        client.subscribe(CDS)
    return clients


def all_acked(relay, count):
    def look():
        clients = relay.clients()
        return len(clients) == count and all(c["types"]["cds"]["state"] == "acked" for c in clients)

    eventually(look, "everything to be acknowledged")


@both_upstreams
@both_ways
def test_a_rollout_gives_a_push_to_one_stream_and_then_to_all(plane, relay_to, connect, upstream_protocol, protocol):
    relay = relay_to(plane, upstream_protocol, ROLLOUT)
    plane.set(CDS, clusters(3))
    clients = fleet(relay, connect, protocol, 6)
    first = plane.expected(CDS)
    for client in clients:
        client.converge(CDS, first)
    all_acked(relay, 6)
    for client in clients:
        client.auto_ack = False
    plane.set(CDS, clusters(4, 2))
    second = plane.expected(CDS)
    ahead = eventually(lambda: [c for c in clients if c.held(CDS) == second], "one to get the push")
    quiet(*[c for c in clients if c not in ahead])
    assert len(ahead) == 1
    rollout = relay.keys()["web"]["types"]["cds"]["rollout"]
    assert (rollout["first"], rollout["accepted"], rollout["rejected"]) == (1, 0, 0)
    late = connect(relay, protocol, node=xds.node("late"))
    late.subscribe(CDS)
    late.converge(CDS, first)
    for client in clients:
        client.auto_ack = True
    ahead[0].ack(ahead[0].expect(CDS))
    for client in [*clients, late]:
        client.converge(CDS, second)
    eventually(lambda: acknowledged(plane, CDS), "the push to be acknowledged")
    assert not plane.nacks() and relay.metric("weir_pushes_total", type="cds", outcome="sent") == 2
    assert relay.keys()["web"]["types"]["cds"]["rollout"] is None


@both_upstreams
@both_ways
def test_a_rollout_that_is_rejected_is_held_and_taken_back(plane, relay_to, connect, upstream_protocol, protocol):
    relay = relay_to(plane, upstream_protocol, ROLLOUT)
    plane.set(CDS, clusters(3))
    clients = fleet(relay, connect, protocol, 4)
    first = plane.expected(CDS)
    for client in clients:
        client.converge(CDS, first)
    all_acked(relay, 4)
    for client in clients:
        client.drain()
        client.auto_ack = False
    plane.set(CDS, clusters(4, 2))
    second = plane.expected(CDS)
    canary = eventually(lambda: [c for c in clients if c.held(CDS) == second], "one to get the push")[0]
    response = canary.expect(CDS)
    for client in clients:
        client.auto_ack = True
    canary.nack(response, "no such filter: envoy.lua")
    hold = eventually(lambda: relay.held(), "the push to be held")
    assert hold["reason"] == "nack" and "no such filter: envoy.lua" in hold["detail"]
    # The one that had it is given the last good state again, the others hear nothing.
    canary.converge(CDS, first)
    quiet(*[c for c in clients if c is not canary])
    nacks = eventually(lambda: plane.nacks(CDS), "the control plane to be told")
    assert len(nacks) == 1 and "no such filter: envoy.lua" in nacks[0].message.error_detail.message
    assert relay.metric("weir_pushes_total", type="cds", outcome="held_nack") == 1
    assert relay.metric("weir_holds", type="cds", reason="nack") == 1
    assert any("(nack)" in text for text in relay.json("/ready")["degraded"])
    late = connect(relay, protocol, node=xds.node("late"))
    late.subscribe(CDS)
    late.converge(CDS, first)
    # A better push is tried, accepted, and given to all.
    plane.set(CDS, clusters(2, 3))
    for client in [*clients, late]:
        client.converge(CDS, plane.expected(CDS))
    eventually(lambda: relay.held() is None and acknowledged(plane, CDS), "the hold to end")


@both_ways
def test_a_rollout_that_nobody_answers_goes_on_after_wait(plane, relay_to, connect, protocol):
    relay = relay_to(plane, "delta", {"guards": {"rollout": {"first": "50%", "wait": "1s"}}})
    plane.set(CDS, clusters(3))
    clients = fleet(relay, connect, protocol, 4)
    for client in clients:
        client.converge(CDS, plane.expected(CDS))
    all_acked(relay, 4)
    for client in clients:
        client.auto_ack = False
    plane.set(CDS, clusters(3, 2))
    second = plane.expected(CDS)
    eventually(lambda: sum(c.held(CDS) == second for c in clients) == 2, "half of them to get it")
    for client in clients:
        client.converge(CDS, second)
