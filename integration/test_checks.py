"""What the relay looks at by itself: drift from the control plane, and freshness on each worker."""

import pytest

from weirtest import weir as weir_module
from weirtest import xds
from weirtest.clients import quiet
from weirtest.waiting import eventually
from weirtest.xds import CDS, EDS

pytestmark = pytest.mark.relay_only

DRIFT = {"checks": {"drift": {"confirm_after": "1s", "timeout": "2s"}}}


def check(relay, key="web"):
    assert relay.post(f"/checks/drift?key={key}") == (200, {"key": key, "state": "queued"})


def drifted(relay):
    return relay.json("/checks")["drift"]["groups"]


def outcomes(relay, outcome):
    return relay.metric("weir_drift_checks_total", outcome=outcome)


def acknowledged(plane):
    """Waits until the group's own stream has answered everything: an answer makes the control plane look again."""
    subscriptions = plane.streams[0].subscriptions
    eventually(lambda: all(each.acked_nonce == each.nonce for each in subscriptions.values()), "the answers")


@pytest.fixture
def followed(plane, relay_to, connect):
    """A maker of a relay and a client that follows clusters and two endpoints through it."""

    def make(upstream_protocol, protocol="delta", config=None):
        relay = relay_to(plane, upstream_protocol, weir_module.merge(DRIFT, config or {}))
        with plane.atomic():
            plane.set(CDS, [xds.cluster(name) for name in "abc"])
            plane.set(EDS, [xds.endpoints(name, 1) for name in "abc"])
        client = connect(relay, protocol)
        client.subscribe(CDS)
        client.subscribe(EDS, "a", "b")
        client.converge(CDS, plane.expected(CDS))
        client.converge(EDS, plane.expected(EDS, names="ab"))
        acknowledged(plane)
        return relay, client

    return make


# --- Drift.


@pytest.mark.parametrize("end", ["told", "refreshed"])
def test_what_a_control_plane_forgets_to_push_is_drift(plane, followed, upstream_protocol, end):
    relay, client = followed(upstream_protocol)
    with plane.forgetting():
        plane.update(CDS, [xds.cluster("a", 7), xds.cluster("d")], remove=["c"])
        plane.update(EDS, [xds.endpoints("b", 2)])
    streams = len(plane.streams)
    check(relay)
    [group] = eventually(lambda: drifted(relay), "the drift to be found")
    found = {(each["type"], each["name"], each["kind"]) for each in group["names"]}
    assert found == {("cds", "a", "different"), ("cds", "d", "missing"), ("cds", "c", "extra"),
                     ("eds", "b", "different")}
    assert (group["key"], group["upstream"], group["differences"], group["healed"]) == ("web", "primary", 4, False)
    # A short stream of the group's own node for each look, on the connection that is there.
    looks = plane.streams[streams:]
    assert 2 <= len(looks) and {stream.node.id for stream in looks} == {plane.streams[0].node.id}
    assert {stream.peer for stream in looks} == {plane.streams[0].peer}
    # It is loud, and nothing else.
    assert relay.metric("weir_drift_groups") == 1 and outcomes(relay, "drift") >= 1
    assert any("key \"web\" has drifted from upstream primary" in text for text in relay.json("/ready")["degraded"])
    relay.wait_log("drift: the group holds something else")
    assert "different" in relay.get("/checks?format=text")[2]
    client.quiet()
    if end == "told":
        plane.tell(CDS, EDS)
    else:
        assert relay.post("/keys/refresh?key=web")[0] == 200
    client.converge(CDS, plane.expected(CDS))
    client.converge(EDS, plane.expected(EDS, names="ab"))
    eventually(lambda: not drifted(relay), "the drift to end")
    assert relay.metric("weir_drift_groups") == 0 and relay.json("/ready")["degraded"] == []
    relay.wait_log("drift has ended")


def test_what_is_pushed_late_is_no_drift(plane, followed, upstream_protocol):
    relay, client = followed(upstream_protocol)
    with plane.forgetting():
        plane.update(CDS, [xds.cluster("a", 7)])
    check(relay)
    eventually(lambda: outcomes(relay, "differs"), "the first look")
    plane.tell(CDS)
    client.converge(CDS, plane.expected(CDS))
    eventually(lambda: outcomes(relay, "same"), "the second look")
    assert outcomes(relay, "drift") == 0 and not drifted(relay)


def test_what_is_overtaken_by_another_push_is_no_drift(plane, followed):
    relay, client = followed("delta", config={"checks": {"drift": {"confirm_after": "3s"}}})
    with plane.forgetting():
        plane.update(CDS, [xds.cluster("a", 7)])
    check(relay)
    eventually(lambda: outcomes(relay, "differs"), "the first look")
    plane.tell(CDS)
    client.converge(CDS, plane.expected(CDS))
    acknowledged(plane)
    with plane.forgetting():
        plane.update(CDS, [xds.cluster("a", 8)])
    eventually(lambda: outcomes(relay, "differs") >= 2, "the second look")
    assert outcomes(relay, "drift") == 0
    # This one lasts.
    eventually(lambda: drifted(relay), "the drift to be found")


def test_drift_is_healed_once_where_that_is_wanted(plane, followed, upstream_protocol):
    relay, client = followed(upstream_protocol, "sotw", {"checks": {"drift": {"heal": True}}})
    with plane.forgetting():
        plane.update(CDS, [xds.cluster("a", 7)], remove=["c"])
    check(relay)
    client.converge(CDS, plane.expected(CDS))
    eventually(lambda: not drifted(relay) and "drift has ended" in relay.log, "the drift to end")
    assert relay.metric("weir_drift_heals_total") == 1
    relay.wait_log("the group is refreshed because it has drifted")


def test_what_a_guard_holds_is_no_drift(plane, relay_to, connect, upstream_protocol):
    relay = relay_to(plane, upstream_protocol, DRIFT)
    plane.set(CDS, [xds.cluster(f"c{i}") for i in range(10)])
    client = connect(relay, "delta")
    client.subscribe(CDS)
    client.converge(CDS, plane.expected(CDS))
    plane.set(CDS, [])
    eventually(lambda: relay.keys()["web"]["types"]["cds"]["held"], "the push to be held")
    check(relay)
    eventually(lambda: outcomes(relay, "same"), "a look")
    assert outcomes(relay, "differs") == 0


def test_groups_are_looked_at_in_turn(plane, relay_to, connect):
    relay = relay_to(plane, "delta", {"checks": {"drift": {"interval": "1s", "confirm_after": "1s"}}})
    plane.set(CDS, [xds.cluster("a")])
    clients = []
    for number in range(5):
        clients.append(connect(relay, "delta", node=xds.node(f"n{number}", cluster=f"k{number}")))
        clients[-1].subscribe(CDS)
        clients[-1].converge(CDS, plane.expected(CDS))
    eventually(lambda: all(sum(s.node.cluster == f"k{n}" for s in list(plane.streams) if s.node) >= 3
                           for n in range(5)), "two looks at every group", timeout=30)
    quiet(*clients)
    assert outcomes(relay, "differs") == 0 and outcomes(relay, "same") >= 10 - 2
    assert 0 <= relay.metric("weir_drift_check_age_seconds") <= 5
    # A look is over when it is answered.
    assert len(plane.open_streams()) <= 5 + 2


def test_a_control_plane_that_says_nothing_to_a_newcomer_is_no_drift(plane, followed):
    relay, client = followed("delta")
    plane.silent.update([CDS, EDS])
    check(relay)
    eventually(lambda: outcomes(relay, "unanswered"), "the look to end")
    plane.silent.clear()
    plane.refuse = None
    assert not drifted(relay) and outcomes(relay, "differs") == 0
    client.quiet()


def test_a_look_needs_a_group(relay):
    assert relay.post("/checks/drift?key=none")[0] == 404
    assert relay.post("/checks/drift")[0] == 400
    assert relay.get("/checks/drift")[0] == 405
    assert drifted(relay) == []


# --- Freshness.

FRESHNESS = {"checks": {"freshness": {"interval": "1s"}}}


def fresh(relay):
    return relay.metric("weir_freshness_checks_total", outcome="fresh")


def test_a_self_check_client_is_served_and_counted_nowhere(plane, relay_to, connect, upstream_protocol, protocol):
    relay = relay_to(plane, upstream_protocol, FRESHNESS)
    with plane.atomic():
        plane.set(CDS, [xds.cluster("a")])
        plane.set(EDS, [xds.endpoints("a", 1)])
    client = connect(relay, protocol)
    client.subscribe(CDS)
    client.subscribe(EDS, "a")
    client.converge(CDS, plane.expected(CDS))
    client.converge(EDS, plane.expected(EDS))
    eventually(lambda: fresh(relay) >= 2, "both types to be looked at")
    for number in range(2, 12):
        plane.update(CDS, [xds.cluster("a", number)])
        plane.update(EDS, [xds.endpoints("a", number)])
        client.converge(CDS, plane.expected(CDS))
        client.converge(EDS, plane.expected(EDS))
    assert relay.metric("weir_freshness_seconds_count") >= 5
    assert relay.metric("weir_freshness_lag_seconds") == 0
    assert all(
        value == 0 or ("outcome", "fresh") in labels for (name, labels), value in relay.metrics().items()
        if name == "weir_freshness_checks_total")
    assert any(worker["answered"] and worker["place"] for worker in relay.json("/checks")["freshness"]["workers"])
    # Nobody counts it.
    assert len(relay.clients()) == 1 and relay.metric("weir_downstream_streams") == 1
    assert relay.keys()["web"]["streams"] == 1 and relay.keys()["web"]["types"]["cds"]["streams"] == 1
    eventually(lambda: relay.metric("weir_downstream_acks_total") == len(client.history), "the client's own ACKs")
    assert relay.metric("weir_downstream_responses_total") == len(client.history)
    # Nobody upstream hears of it: one stream, whose requests but for the first are answers.
    assert len(plane.streams) == 1
    assert {request.kind for request in plane.requests()} == {"first", "ack"}
    assert relay.json("/ready")["degraded"] == []
    # And it keeps no group alive.
    client.close()
    eventually(lambda: not plane.open_streams() and not relay.keys(), "the group to be closed")


def test_a_self_check_client_needs_no_certificate(plane, new_weir, connect, certificates):
    plane.set(CDS, [xds.cluster("a")])
    relay = new_weir(
        weir_module.merge(FRESHNESS, {"upstreams": {"primary": weir_module.upstream("delta", plane.address)}}),
        start=False)
    relay.configure({"downstream": {"listeners": [{"address": relay.address, "tls": {
        "certificate_chain": str(certificates.server.certificate), "private_key": str(certificates.server.key),
        "client_ca": str(certificates.ca.certificate), "allowed_sans": ["spiffe://prod/**"]}}]}})
    relay.start()
    client = connect(relay, "delta", credentials=certificates.channel_credentials(client=certificates.client))
    client.subscribe(CDS)
    client.converge(CDS, plane.expected(CDS))
    eventually(lambda: fresh(relay) >= 2, "the self-check client to be served")
    assert relay.metric("weir_downstream_connections") == 1


def test_a_rollout_never_goes_to_a_self_check_client_first(plane, relay_to, connect):
    relay = relay_to(plane, "delta", {**FRESHNESS, "guards": {"rollout": {"first": 1, "wait": "20s"}}, "workers": 1})
    plane.set(CDS, [xds.cluster("a")])
    client = connect(relay, "delta", auto_ack=False)
    client.subscribe(CDS)
    client.ack(client.expect(CDS))
    eventually(lambda: fresh(relay) >= 1, "the self-check client to be there")
    plane.update(CDS, [xds.cluster("a", 2)])
    # The one client there is gets it first, and rejects it.
    client.nack(client.expect(CDS))
    eventually(lambda: (relay.keys()["web"]["types"]["cds"]["held"] or {}).get("reason") == "nack", "the hold")
    assert plane.nacks()
