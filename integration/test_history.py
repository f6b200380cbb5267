"""The history of pushes and what is different between two states, as the debug endpoint tells them."""

import json
import re

import pytest
from envoy.service.discovery.v3 import discovery_pb2

from weirtest import xds
from weirtest.waiting import eventually
from weirtest.xds import CDS, EDS, SDS

pytestmark = pytest.mark.relay_only

both_upstreams = pytest.mark.parametrize("upstream_protocol", ["sotw", "delta"])
both_ways = pytest.mark.parametrize("protocol", ["sotw", "delta"])


def clusters(count, timeout=1):
    return [xds.cluster(f"c{i}", timeout) for i in range(count)]


def history(relay, query="?key=web&type=cds"):
    return relay.json("/history" + query)["pushes"]


def newest(relay, version, outcome=None, ready=lambda push: True, query="?key=web&type=cds"):
    """The newest push of a version, once it is there (and `ready`)."""

    def look():
        found = [push for push in history(relay, query) if push["version"] == version]
        return found[0] if found and outcome in (None, found[0]["outcome"]) and ready(found[0]) else None

    return eventually(look, lambda: f"version {version} in the history, which is {history(relay, query)}")


def all_acked(relay, count):
    """Waits until every client has acknowledged its clusters."""

    def look():
        clients = relay.clients()
        return len(clients) == count and all(c["types"]["cds"]["state"] == "acked" for c in clients)

    eventually(look, "everything to be acknowledged")


def fails(relay, path, status):
    found, kind, body = relay.get(path)
    assert found == status and kind.startswith("application/json"), (path, found, body)
    return json.loads(body)["error"]


@both_upstreams
@both_ways
def test_a_push_tells_what_it_changed_and_how_long_it_took(plane, relay, connect, upstream_protocol, protocol):
    plane.set(CDS, clusters(3), version="one")
    fleet = [connect(relay, protocol, node=xds.node(f"n{i}")) for i in range(8)]
    for client in fleet:
        client.subscribe(CDS)
        client.converge(CDS, plane.expected(CDS))
    all_acked(relay, 8)
    for client in fleet:
        client.auto_ack = False
    with plane.atomic():
        plane.remove(CDS, "c0")
        plane.update(CDS, [xds.cluster("c1", 2), xds.cluster("new")])
    for client in fleet:
        client.converge(CDS, plane.expected(CDS))
    version = plane.version(CDS)
    push = newest(relay, version, "sent", lambda push: push["written_ms"] is not None)
    assert (push["key"], push["type"], push["upstream"], push["server"]) == ("web", "cds", "primary", plane.address)
    assert (push["added"], push["changed"], push["removed"]) == (["new"], ["c1"], ["c0"])
    assert re.fullmatch(r"[0-9a-f]{16}", push["id"]) and push["responses"] == 8
    assert 0 < push["written_ms"] < 10_000 and push["acked_ms"] is None and push["nacks"] == []
    relay.wait_log(f"push={push['id']}")
    # One leaves, the others answer: nobody is waited for any more.
    for client in fleet[:-1]:
        client.ack(client.history[-1])
    assert newest(relay, version)["acked_ms"] is None
    fleet[-1].close()
    push = newest(relay, version, ready=lambda push: push["acked_ms"] is not None)
    assert push["acked_ms"] >= push["written_ms"]
    ids = [push["id"] for push in history(relay)]
    assert ids == sorted(ids, reverse=True) and len(ids) == len(set(ids))
    assert [push["id"] for push in history(relay, "?limit=1")] == ids[:1]
    assert history(relay, "?key=other") == [] and history(relay, "?type=eds") == []
    text = relay.get("/history?format=text")[2].splitlines()
    assert text[0].split()[:5] == ["ID", "AT", "KEY", "TYPE", "VERSION"] and ids[0] in text[1]


@both_ways
def test_a_rejected_push_names_who_rejected_it(plane, relay, connect, protocol):
    plane.set(CDS, clusters(2), version="one")
    good, bad = (connect(relay, protocol, node=xds.node(name)) for name in ("good", "bad"))
    for client in (good, bad):
        client.subscribe(CDS)
        client.converge(CDS, plane.expected(CDS))
    all_acked(relay, 2)
    bad.auto_ack = False
    bad.drain()
    plane.set(CDS, clusters(3), version="two")
    bad.nack(bad.expect(CDS), "no\x1b[2Jthanks")
    push = newest(relay, plane.version(CDS), ready=lambda push: push["nack_count"] == 1)
    assert push["nacks"] == [{"node": "bad", "message": "no\x1b[2Jthanks"}]
    assert "\\u001b" in relay.get("/history")[2]
    log = eventually(lambda: [line for line in relay.log.splitlines() if " NACK " in line], "the NACK to be logged")
    assert f"push={push['id']}" in log[0] and "\x1b" not in log[0]
    newest(relay, plane.version(CDS), ready=lambda push: push["acked_ms"] is not None)


def test_a_response_that_the_relay_rejects_says_why(plane, relay_to, connect):
    relay = relay_to(plane, "sotw")
    plane.set(CDS, clusters(1), version="one")
    client = connect(relay, "delta")
    client.subscribe(CDS)
    client.converge(CDS, plane.expected(CDS))
    broken = xds.pack(xds.cluster("broken"))
    broken.value = b"\xff\xff"
    plane.push_raw(discovery_pb2.DiscoveryResponse(
        version_info="bad", type_url=CDS, nonce=plane.next_nonce(), resources=[broken]))
    push = newest(relay, "bad", "rejected")
    assert push["detail"] and push["added"] == []


@both_upstreams
def test_what_is_held_and_given_back_is_told(plane, relay, connect, upstream_protocol):
    plane.set(CDS, clusters(10), version="one")
    client = connect(relay, "sotw")
    client.subscribe(CDS)
    client.converge(CDS, plane.expected(CDS))
    first = plane.expected(CDS)
    plane.set(CDS, [], version="two")
    push = newest(relay, plane.version(CDS), "held_empty")
    assert len(push["removed"]) == 10 and push["written_ms"] is None and push["acked_ms"] is None
    assert "removes 10 of 10" in push["detail"]
    # What is held can be looked at before it is released.
    difference = relay.json(f"/diff?key=web&type=cds&to={push['id']}")
    assert difference["removed"] == sorted(f"c{i}" for i in range(10))
    assert relay.get("/keys/release?key=web&type=cds", "POST")[0] == 200
    client.converge(CDS, {})
    push = newest(relay, plane.version(CDS), "released", lambda push: push["acked_ms"] is not None)
    assert len(push["removed"]) == 10 and "released by" in push["detail"]
    assert relay.get("/keys/rollback?key=web&type=cds", "POST")[0] == 200
    client.converge(CDS, first)
    push = history(relay)[0]
    assert push["outcome"] == "rolled_back" and len(push["added"]) == 10 and "rolled back by" in push["detail"]
    plane.set(CDS, clusters(3), version="three")
    push = newest(relay, plane.version(CDS), "held_operator")


def test_a_rollout_is_tried_and_then_sent_or_held(plane, relay_to, connect):
    relay = relay_to(plane, "delta", {"guards": {"rollout": {"first": 1, "wait": "20s"}}})
    plane.set(CDS, clusters(2))
    fleet = [connect(relay, "delta", node=xds.node(f"n{i}")) for i in range(4)]
    for client in fleet:
        client.subscribe(CDS)
        client.converge(CDS, plane.expected(CDS))
    all_acked(relay, 4)
    for client in fleet:
        client.auto_ack = False
        client.drain()
    plane.set(CDS, clusters(2, 2))
    good = plane.version(CDS)
    push = newest(relay, good, "tried")
    ahead = eventually(lambda: [c for c in fleet if c.inbox], "one to get it")[0]
    for client in fleet:
        client.auto_ack = client is not ahead
    ahead.ack(ahead.expect(CDS))
    sent = newest(relay, good, "sent", lambda push: push["acked_ms"] is not None)
    assert sent["id"] == push["id"] and sent["responses"] >= 3
    ahead.auto_ack = True
    for client in fleet:
        client.converge(CDS, plane.expected(CDS))
    all_acked(relay, 4)
    for client in fleet:
        client.auto_ack = False
        client.drain()
    plane.set(CDS, clusters(2, 3))
    bad = plane.version(CDS)
    ahead = eventually(lambda: [c for c in fleet if c.inbox], "one to get it")[0]
    ahead.nack(ahead.expect(CDS), "not this")
    push = newest(relay, bad, "held_nack", lambda push: push["nack_count"] == 1)
    assert "not this" in push["detail"] and push["nacks"][0]["message"] == "not this"


@both_upstreams
def test_a_difference_goes_down_to_fields(plane, relay, connect, upstream_protocol):
    plane.set(EDS, [xds.endpoints("a", 1, 2, 3), xds.endpoints("b", 1)], version="one")
    client = connect(relay, "delta")
    client.subscribe(EDS, "a", "b", "c")
    client.converge(EDS, plane.expected(EDS, names=["a", "b"]))
    eventually(lambda: history(relay, "?type=eds"), "the push to be told of")
    first = history(relay, "?type=eds")[0]["id"]
    with plane.atomic():
        plane.update(EDS, [xds.endpoints("a", 1, 9, 3), xds.endpoints("c", 1)])
    client.converge(EDS, plane.expected(EDS, names=["a", "b", "c"]))
    eventually(lambda: history(relay, "?type=eds")[0]["id"] != first, "the second push")
    path = "endpoints[0].lb_endpoints[1].endpoint.address.socket_address.port_value"
    difference = relay.json(f"/diff?key=web&type=eds&from={first}")
    assert difference["added"] == ["c"] and difference["removed"] == []
    [changed] = difference["changed"]
    assert changed["name"] == "a" and changed["fields"] == [{"path": path, "from": 2, "to": 9}]
    last = history(relay, "?type=eds")[0]["id"]
    backwards = relay.json(f"/diff?key=web&type=eds&from={last}&to={first}")
    assert backwards["removed"] == ["c"] and backwards["changed"][0]["fields"][0]["to"] == 2
    text = relay.get(f"/diff?key=web&type=eds&from={first}&format=text")[2]
    assert path in text and "added" in text
    for query, status, word in [
        ("", 400, "?key=KEY"), ("?key=web", 400, "type"), ("?key=none&type=eds", 404, "none"),
        ("?key=web&type=eds&from=never", 404, '"never"'),
    ]:
        assert word in fails(relay, "/diff" + query, status)
    assert "limit" in fails(relay, "/history?limit=0", 400)
    assert "limit" in fails(relay, "/history?limit=many", 400)


def test_secrets_are_named_and_not_shown(plane, relay, connect):
    plane.set(SDS, [xds.secret("s", b"chain-1", b"private-1")], version="one")
    client = connect(relay, "delta")
    client.subscribe(SDS, "s")
    client.converge(SDS, plane.expected(SDS, names=["s"]))
    plane.update(SDS, [xds.secret("s", b"chain-2", b"private-2")])
    client.converge(SDS, plane.expected(SDS, names=["s"]))
    eventually(lambda: len(history(relay, "?type=sds")) == 2, "both pushes to be told of")
    first = history(relay, "?type=sds")[1]["id"]
    answer = relay.get(f"/diff?key=web&type=sds&from={first}")[2]
    assert json.loads(answer)["changed"][0]["name"] == "s" and json.loads(answer)["changed"][0]["fields"] == []
    assert "private" not in answer and "private" not in relay.get("/history")[2]


def test_what_is_not_kept_any_more_is_said(plane, relay_to, connect):
    relay = relay_to(plane, "sotw", {"admin": {"history": {"pushes": 3}}})
    client = connect(relay, "sotw")
    client.subscribe(CDS)
    versions = []
    for timeout in range(1, 6):
        plane.set(CDS, clusters(2, timeout), version=f"v{timeout}")
        client.converge(CDS, plane.expected(CDS))
        versions.append(plane.version(CDS))
        newest(relay, versions[-1])
    assert [push["version"] for push in history(relay)] == versions[:1:-1]
    message = fails(relay, f"/diff?key=web&type=cds&from={versions[0]}", 404)
    assert all(f'"{version}"' in message for version in versions[2:])
    assert len(relay.json(f"/diff?key=web&type=cds&from={versions[2]}")["changed"]) == 2
    relay.configure({"admin": {"history": {"pushes": 0}}})
    relay.reload()
    eventually(lambda: history(relay) == [], "the history to be given up")
    plane.set(CDS, clusters(1), version="last")
    client.converge(CDS, plane.expected(CDS))
    assert history(relay) == []
