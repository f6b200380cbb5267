"""Live events: what happens, as it happens, for those who listen; and what becomes of those who do not read."""

import http.client
import ssl

import pytest

from weirtest import weir as weir_module
from weirtest import xds
from weirtest.events import Listener
from weirtest.waiting import eventually
from weirtest.xds import CDS, EDS

pytestmark = pytest.mark.relay_only

both_upstreams = pytest.mark.parametrize("upstream_protocol", ["sotw", "delta"])
both_ways = pytest.mark.parametrize("protocol", ["sotw", "delta"])


def clusters(count, timeout=1):
    return [xds.cluster(f"c{i}", timeout) for i in range(count)]


@pytest.fixture
def listen(new_weir):
    """A maker of listeners."""
    made = []

    def make(relay, query="", **options):
        made.append(Listener(relay, query, **options))
        return made[-1]

    yield make
    for listener in made:
        listener.close()


@both_upstreams
@both_ways
def test_a_listener_sees_the_whole_conversation(plane, relay, connect, listen, upstream_protocol, protocol):
    listener = listen(relay)
    assert listener.status == 200 and listener.kind == "text/event-stream"
    plane.set(CDS, clusters(2), version="one")
    client = connect(relay, protocol, node=xds.node("evil\nnode"))
    client.subscribe(CDS)
    client.converge(CDS, plane.expected(CDS))
    connected = listener.wait("connect")
    assert connected["key"] == "web" and connected["node"] == "evil\nnode" and "127.0.0.1" in connected["detail"]
    assert plane.address in listener.wait("upstream")["detail"]
    request = listener.wait("request", type="cds")
    assert request["node"] == "evil\nnode" and request["at"].endswith("Z")
    push = listener.wait("push", type="cds", key="web")
    response = listener.wait("response", type="cds")
    assert response["push"] == push["push"] and response["nonce"].startswith("w")
    assert listener.wait("ack", type="cds", nonce=response["nonce"])["push"] == push["push"]
    # The next one is rejected.
    client.auto_ack = False
    client.drain()
    plane.set(CDS, clusters(2, 2), version="two")
    client.nack(client.expect(CDS), "it does not suit me")
    nack = listener.wait("nack", type="cds")
    assert nack["detail"] == "it does not suit me"
    assert listener.wait("push", push=nack["push"])["version"] == plane.version(CDS)
    assert [p["id"] for p in relay.json("/history?key=web&type=cds")["pushes"]][0] == nack["push"]
    client.close()
    assert listener.wait("disconnect")["node"] == "evil\nnode"
    plane.stop()
    eventually(lambda: any("disconnected" in e.data["detail"] for e in listener.of("upstream")), "the loss to be told")


@both_upstreams
def test_holds_and_rollbacks_are_told(plane, relay, connect, listen, upstream_protocol):
    plane.set(CDS, clusters(10), version="one")
    client = connect(relay, "delta")
    client.subscribe(CDS)
    client.converge(CDS, plane.expected(CDS))
    first = plane.expected(CDS)
    listener = listen(relay, "?kind=hold,push")
    plane.set(CDS, [], version="two")
    hold = listener.wait("hold", key="web", type="cds")
    assert hold["detail"].startswith("held (empty)")
    assert listener.wait("push", push=hold["push"])["detail"].startswith("held_empty")
    assert relay.get("/keys/release?key=web&type=cds", "POST")[0] == 200
    client.converge(CDS, {})
    eventually(lambda: any("no longer held" in e.data["detail"] for e in listener.of("hold")), "the release")
    assert relay.get("/keys/rollback?key=web&type=cds", "POST")[0] == 200
    client.converge(CDS, first)
    eventually(lambda: any(e.data["detail"].startswith("rolled_back") for e in listener.of("push")), "the rollback")
    assert {e.kind for e in listener.events} == {"hold", "push"}


def test_filters_choose_by_key_node_type_and_kind(plane, relay, connect, listen):
    listeners = {
        query: listen(relay, query)
        for query in ("?key=one", "?node=b", "?type=eds", "?kind=ack", "?key=two&type=cds&kind=response,ack")
    }
    plane.set(CDS, clusters(1))
    plane.set(EDS, [xds.endpoints("c0", 1)])
    for id, cluster in (("a", "one"), ("b", "two")):
        client = connect(relay, "delta", node=xds.node(id, cluster))
        client.subscribe(CDS)
        client.subscribe(EDS, "c0")
        client.converge(EDS, plane.expected(EDS, names=["c0"]))
        client.converge(CDS, plane.expected(CDS))
    for listener in listeners.values():
        listener.wait("ack")
    eventually(lambda: len(listeners["?kind=ack"].events) >= 4, "all ACKs")

    def values(query, name):
        return {event.data.get(name) for event in list(listeners[query].events)}

    assert values("?key=one", "key") == {"one"} and "a" in values("?key=one", "node")
    assert values("?node=b", "node") == {"b"} and values("?node=b", "key") == {"two"}
    assert values("?type=eds", "type") == {"eds"}
    assert {e.kind for e in listeners["?kind=ack"].events} == {"ack"}
    mixed = listeners["?key=two&type=cds&kind=response,ack"]
    assert {e.kind for e in mixed.events} == {"response", "ack"}
    assert {(e.data["key"], e.data["type"]) for e in mixed.events} == {("two", "cds")}


def test_a_listener_that_does_not_read_loses_events_and_is_told_how_many(plane, relay, connect, listen):
    plane.set(CDS, clusters(1), version="x" * 900)
    fleet = [connect(relay, "sotw", node=xds.node("n" * 900 + str(i))) for i in range(30)]
    for client in fleet:
        client.subscribe(CDS)
        client.converge(CDS, plane.expected(CDS))
    slow = listen(relay, reads=False, receive_buffer=16 << 10)
    other = listen(relay, "?kind=push")
    round_number = 0

    def dropped():
        nonlocal round_number
        for _ in range(5):
            round_number += 1
            plane.set(CDS, clusters(1, 1 + round_number % 50), version="x" * 900 + str(round_number))
            for client in fleet:
                client.converge(CDS, plane.expected(CDS))
        return relay.metric("weir_events_dropped_total")

    eventually(dropped, "events to be dropped", 60)
    # Nobody else is concerned, and nobody waits.
    eventually(lambda: other.of("push", version="x" * 900 + str(round_number)), "the other listener to have it all")
    assert not other.of("dropped")
    slow.read()
    counts = eventually(lambda: slow.of("dropped"), "the loss to be told", 20)
    assert counts[0].data["count"] > 0
    slow.close()
    eventually(lambda: relay.metric("weir_event_listeners") == 1, "the listener to be missed", 25)


def test_listeners_are_few(relay, listen):
    several = [listen(relay, "?kind=hold") for _ in range(16)]
    assert all(each.status == 200 for each in several)
    assert relay.metric("weir_event_listeners") == 16
    one_more = listen(relay)
    assert one_more.status == 503 and "16" in one_more.body


def test_what_is_no_kind_is_refused(relay):
    status, kind, body = relay.get("/events?kind=ack,nothing")
    assert status == 400 and "nothing" in body and "disconnect" in body and kind.startswith("application/json")
    connection = http.client.HTTPConnection(relay.admin, timeout=5)
    connection.request("HEAD", "/events")
    answer = connection.getresponse()
    assert answer.status == 200 and answer.headers["Content-Type"] == "text/event-stream"
    connection.close()
    assert relay.get("/events", "POST")[0] == 405


def test_a_shutdown_ends_the_listeners_cleanly(plane, relay, connect, listen):
    listener = listen(relay)
    quiet = listen(relay, "?kind=hold")
    plane.set(CDS, clusters(1))
    client = connect(relay, "delta")
    client.subscribe(CDS)
    listener.wait("ack")
    relay.stop()
    for each in (listener, quiet):
        eventually(lambda: each.ended, "the stream to end")
        assert each.ended == "end"
    # While it drains it tells what leaves.
    assert listener.of("disconnect")


def test_listening_takes_a_token_and_works_behind_TLS(plane, new_weir, connect, listen, certificates, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("me secret-token\n")
    relay = new_weir({
        "upstreams": {"primary": weir_module.upstream("delta", plane.address)},
        "admin": {"token_file": str(tokens), "tls": {
            "certificate_chain": str(certificates.server.certificate), "private_key": str(certificates.server.key)}}},
        start=False)
    relay.start(wait=False)
    context = ssl.create_default_context(cafile=str(certificates.ca.certificate))

    def refused():
        try:
            return listen(relay, context=context).status == 401
        except OSError:
            return False

    eventually(refused, "the endpoint")
    listener = listen(relay, headers={"Authorization": "Bearer secret-token"}, context=context)
    plane.set(CDS, clusters(1))
    client = connect(relay, "delta")
    client.subscribe(CDS)
    assert listener.wait("ack")["type"] == "cds"
    relay.stop()
    eventually(lambda: listener.ended, "the stream to end")
    assert listener.ended == "end"


def test_the_relays_own_clients_are_not_shown(plane, relay_to, connect, listen):
    plane.set(CDS, clusters(2), version="one")
    relay = relay_to(plane, config={"checks": {"freshness": {"interval": "1s"}}})
    client = connect(relay, "delta", node=xds.node("proxy"))
    client.subscribe(CDS)
    client.converge(CDS, plane.expected(CDS))
    listener = listen(relay)
    eventually(lambda: relay.metric("weir_freshness_checks_total", outcome="fresh") >= 2, "questions of self-check clients")
    plane.set(CDS, clusters(2, 2), version="two")
    listener.wait("ack", type="cds", node="proxy")
    assert {event.data["node"] for event in listener.events if event.data.get("node")} == {"proxy"}
