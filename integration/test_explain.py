"""`/explain` of a connected client: what it asked for, what it has, and why it lacks the rest."""

import pytest
from weirtest import xds
from weirtest.http import ask
from weirtest.waiting import eventually
from weirtest.xds import CDS, EDS

pytestmark = pytest.mark.relay_only


def explained(relay, node, kind):
    answer = relay.json(f"/explain?node={node}")
    assert len(answer["clients"]) == 1
    return answer["clients"][0]["types"].get(kind)


def missing(relay, node, kind):
    """name → reason of what a client lacks."""
    return {entry["name"]: entry["reason"] for entry in explained(relay, node, kind)["missing"]}


def settled(relay, node, kind, expected):
    eventually(lambda: missing(relay, node, kind) == expected, lambda: f"{missing(relay, node, kind)} to be {expected}")
    return explained(relay, node, kind)


def test_the_rules_and_what_a_client_has(plane, relay, connect):
    plane.set(CDS, [xds.cluster(name) for name in "ab"], version="7")
    client = connect(relay, "delta", node=xds.node("n1", "shop"))
    client.subscribe(CDS)
    client.expect(CDS)
    eventually(lambda: relay.clients()[0]["types"]["cds"]["state"] == "acked", "the acknowledgement")
    answer = relay.json("/explain?node=n1")
    assert (answer["key"], answer["upstream"], answer["rejected"]) == ("shop", "primary", [])
    found = answer["clients"][0]
    assert (found["node"], found["key"], found["service"], found["protocol"]) == ("n1", "shop", "ads", "delta")
    assert found["peer"].startswith("127.0.0.1:")
    clusters = found["types"]["cds"]
    assert (clusters["subscribed"], clusters["state"], clusters["upstream_version"]) == (["*"], "acked", "7")
    assert clusters["resources"] == {"accepted": 2, "sent": 0, "rejected": 0, "missing": 0, "not_looked_at": 0}
    assert clusters["missing"] == [] and clusters["waiting"] is None and clusters["held"] is None
    # The id alone means the client that has it; other fields mean a node that need not exist.
    assert relay.json("/explain?node.id=n1")["clients"] == answer["clients"]
    assert "clients" not in relay.json("/explain?node.id=n1&node.cluster=other")
    assert "clients" not in relay.json("/explain?node.id=nobody")
    assert relay.json("/explain?node=n1&type=eds".replace("eds", "cds"))["clients"]


def test_who_is_not_connected(relay):
    reply = ask(relay, "/explain?node=nobody")
    assert reply.status == 404 and "nobody" in reply.error and "/clients" in reply.error
    reply = ask(relay, "/explain?node=nobody&node.cluster=x")
    assert reply.status == 400 and "node.cluster" in reply.error


def test_what_does_not_exist_and_what_is_waited_for(plane, relay, connect):
    plane.set(EDS, [xds.endpoints("a", 1)], version="9")
    client = connect(relay, "delta", node=xds.node("n1"))
    client.subscribe(EDS, "a")
    client.expect(EDS)
    # A server that says nothing of a name that it does not have.
    plane.answers_unknown_names = False
    client.subscribe(EDS, "ghost")
    endpoints = eventually(lambda: (e := explained(relay, "n1", "eds"))["missing"] and e, "the name to be missing")
    entry = endpoints["missing"][0]
    assert entry["name"] == "ghost" and entry["reason"] in ("waiting_for_upstream", "does_not_exist")
    assert "primary" in entry["detail"] and endpoints["resources"]["missing"] == 1


def test_what_is_not_acknowledged(plane, relay, connect):
    plane.set(CDS, [xds.cluster("a")], version="1")
    client = connect(relay, "delta", node=xds.node("n1"), auto_ack=False)
    client.subscribe(CDS)
    first = client.expect(CDS)
    plane.update(CDS, [xds.cluster("b")], version="2")
    clusters = settled(relay, "n1", "cds", {"b": "waiting_for_ack"})
    assert first.nonce in clusters["missing"][0]["detail"]
    assert clusters["waiting"]["reason"] == "waiting_for_ack" and clusters["state"] == "sent"
    assert clusters["resources"]["sent"] == 1 and clusters["sent"] == "1" and clusters["upstream_version"] == "2"
    client.nack(first, "no good")
    client.expect(CDS)
    rejected = eventually(lambda: (e := explained(relay, "n1", "cds"))["nack"] and e, "the rejection")
    assert "no good" in rejected["nack"]["message"]


def test_what_is_held(plane, relay_to, connect):
    plane.set(EDS, [xds.endpoints("a", 1)], version="1")
    relay = relay_to(plane)
    client = connect(relay, "delta", node=xds.node("n1"))
    client.subscribe(EDS, "a", "b")
    client.expect(EDS)
    settled(relay, "n1", "eds", {"b": "does_not_exist"})
    assert ask(relay, "/keys/hold?key=web&type=eds", "POST").status == 200
    plane.update(EDS, [xds.endpoints("b", 1)], version="2")
    endpoints = settled(relay, "n1", "eds", {"b": "held"})
    assert "2" in endpoints["missing"][0]["detail"] and endpoints["held"]["reason"] == "operator"
    assert ask(relay, "/keys/release?key=web&type=eds", "POST").status == 200
    settled(relay, "n1", "eds", {})


def test_an_upstream_that_is_away(plane, relay, connect):
    plane.set(CDS, [xds.cluster("a")])
    client = connect(relay, "delta", node=xds.node("n1"))
    client.subscribe(CDS)
    client.expect(CDS)
    plane.stop()
    eventually(lambda: relay.json("/keys")["keys"][0]["upstream"]["state"] == "disconnected", "the loss to show")
    client.subscribe(EDS, "x")
    endpoints = settled(relay, "n1", "eds", {"x": "upstream_unavailable"})
    assert "primary" in endpoints["missing"][0]["detail"] and endpoints["state"] == "waiting"


def test_names_are_bounded_with_a_count(plane, relay, connect):
    plane.set(EDS, [xds.endpoints("a", 1)], version="9")
    client = connect(relay, "delta", node=xds.node("n1"))
    client.subscribe(EDS, "a", *[f"x{i:03}" for i in range(250)])
    client.expect(EDS)
    endpoints = eventually(
        lambda: (e := explained(relay, "n1", "eds"))["resources"]["accepted"] == 1 and e, "the acknowledgement")
    assert len(endpoints["missing"]) == 100 and endpoints["resources"]["missing"] == 250
    assert len(endpoints["subscribed"]) == 100 and endpoints["subscribed_count"] == 251
    text = ask(relay, "/explain?node=n1&format=text").text
    assert text.startswith("key: web\n") and "missing: 150 more" in text and "(251 names)" in text
