"""The debug endpoint: every path, field by field, as dashboards and scripts rely on it."""

import base64
import json
import re

import pytest
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf import any_pb2

from weirtest import xds
from weirtest.waiting import eventually
from weirtest.xds import CDS, EDS, SDS

pytestmark = pytest.mark.relay_only

READ_PATHS = ["/ready", "/live", "/server_info", "/keys", "/clients", "/upstreams", "/config_dump"]


@pytest.fixture
def world(plane):
    with plane.atomic():
        plane.set(CDS, [xds.cluster(name) for name in "ab"], version="clusters-7")
        plane.set(EDS, [xds.endpoints(name, 1) for name in "ab"], version="endpoints-9")
    return plane


@pytest.fixture
def clients(world, relay, connect):
    """A SotW client with the wildcard, a delta client with names; all acknowledged."""
    made = {protocol: connect(relay, protocol, node=xds.node(f"{protocol}-1")) for protocol in ("sotw", "delta")}
    for client in made.values():
        client.subscribe(CDS)
        client.expect(CDS)
    made["delta"].subscribe(EDS, "a")
    made["delta"].expect(EDS)
    eventually(lambda: all(t["state"] == "acked" for c in relay.clients() for t in c["types"].values()),
               "every response to be acknowledged")
    return made


def test_ready_and_live(world, relay, clients):
    assert relay.json("/ready") == {"state": "LIVE", "degraded": []}
    assert relay.get("/live")[0] == 200
    world.stop()
    degraded = eventually(lambda: relay.json("/ready")["degraded"], "the loss of the upstream to show")
    assert len(degraded) == 1 and degraded[0].startswith("upstream primary")
    world.start()
    eventually(lambda: relay.json("/ready")["degraded"] == [], "the upstream to be well again")


def test_server_info(relay):
    info = relay.json("/server_info")
    assert set(info) >= {"version", "state", "uptime_seconds", "pid", "workers", "config"}
    assert info["state"] == "LIVE" and info["pid"] == relay.process.pid and info["workers"] == 2
    assert info["uptime_seconds"] >= 0 and re.fullmatch(r"\d+\.\d+\.\d+\S*", info["version"])


def test_keys(world, relay, clients):
    keys = relay.json("/keys")["keys"]
    assert len(keys) == 1
    key = keys[0]
    assert set(key) >= {"key", "upstream", "streams", "types"} and key["key"] == "web" and key["streams"] == 2
    assert set(key["upstream"]) >= {"name", "server", "state"}
    assert (key["upstream"]["name"], key["upstream"]["server"]) == ("primary", world.address)
    assert set(key["types"]) == {"cds", "eds"}
    clusters = key["types"]["cds"]
    assert set(clusters) >= {"version", "resources", "bytes", "streams", "acked", "nacked", "pending", "updated"}
    assert clusters["version"] == "clusters-7" and clusters["resources"] == 2 and clusters["bytes"] > 0
    assert (clusters["streams"], clusters["acked"], clusters["nacked"], clusters["pending"]) == (2, 2, 0, 0)
    assert clusters["updated"]


def test_clients_and_their_filters(relay, clients):
    found = {client["node"]: client for client in relay.clients()}
    assert set(found) == {"sotw-1", "delta-1"}
    delta = found["delta-1"]
    assert set(delta) >= {"node", "cluster", "peer", "key", "service", "protocol", "since", "types"}
    assert (delta["cluster"], delta["key"], delta["service"], delta["protocol"]) == ("web", "web", "ads", "delta")
    assert delta["peer"].startswith("127.0.0.1") and delta["since"]
    clusters, endpoints = delta["types"]["cds"], delta["types"]["eds"]
    assert set(clusters) >= {"subscribed", "sent", "acked", "state", "nack"}
    assert clusters["subscribed"] == "*" and endpoints["subscribed"] == ["a"]
    assert clusters["sent"] == clusters["acked"] == "clusters-7" and clusters["nack"] is None
    assert found["sotw-1"]["protocol"] == "sotw"
    assert [client["node"] for client in relay.clients("?node=sotw-1")] == ["sotw-1"]
    assert len(relay.clients("?key=web")) == 2 and relay.clients("?key=other") == []


def test_the_states_of_a_client(world, relay, connect):
    client = connect(relay, "sotw", auto_ack=False)
    client.subscribe(EDS, "nobody-knows-it")

    def state():
        found = relay.clients()
        return found[0]["types"]["eds"]["state"] if found and "eds" in found[0]["types"] else None

    eventually(lambda: state() == "waiting", "the state waiting")
    client.subscribe(EDS, "a")
    response = client.expect(EDS)
    eventually(lambda: state() == "sent", "the state sent")
    client.nack(response, "no good")
    eventually(lambda: state() == "nacked", "the state nacked")
    nack = relay.clients()[0]["types"]["eds"]["nack"]
    assert set(nack) >= {"version", "message", "at"} and "no good" in nack["message"]
    world.update(EDS, [xds.endpoints("a", 2)])
    client.ack(client.expect(EDS))
    eventually(lambda: state() == "acked", "the state acked")
    assert relay.clients()[0]["types"]["eds"]["nack"] is None


def test_upstreams(world, relay, clients):
    upstreams = relay.json("/upstreams")["upstreams"]
    assert len(upstreams) == 1
    upstream = upstreams[0]
    assert set(upstream) >= {"name", "protocol", "servers", "streams"}
    assert (upstream["name"], upstream["protocol"], upstream["streams"]) == ("primary", "delta", 1)
    server = upstream["servers"][0]
    assert set(server) >= {"address", "state", "last_error", "connected_since"}
    assert server["address"] == world.address and server["connected_since"] and not server["last_error"]
    connected = server["state"]
    world.stop()
    lost = eventually(
        lambda: next((s for s in relay.json("/upstreams")["upstreams"][0]["servers"] if s["state"] != connected), None),
        "the loss to show")
    assert not lost["connected_since"]
    eventually(lambda: relay.json("/upstreams")["upstreams"][0]["servers"][0]["last_error"], "the reason")


def test_config_dump_is_readable_json(world, relay, clients):
    resources = relay.json("/config_dump")["resources"]
    assert {(r["key"], r["type_url"], r["name"]) for r in resources} >= {
        ("web", CDS, "a"), ("web", CDS, "b"), ("web", EDS, "a")}
    one = relay.json("/config_dump?key=web&type=cds&name=a")["resources"]
    assert len(one) == 1 and set(one[0]) >= {"key", "type_url", "name", "version", "updated", "resource"}
    assert one[0]["version"] == "clusters-7"
    cluster = one[0]["resource"]
    timeout = cluster.get("connect_timeout", cluster.get("connectTimeout"))
    assert cluster["name"] == "a" and timeout == "1s"
    assert {r["type_url"] for r in relay.json("/config_dump?type=eds")["resources"]} == {EDS}
    assert relay.json("/config_dump?key=other")["resources"] == []


def test_config_dump_of_an_unknown_type_is_base64(world, relay, connect):
    world.set(xds.CUSTOM, [xds.thing("t", "text")])
    client = connect(relay, "delta")
    client.subscribe(xds.CUSTOM)
    client.expect(xds.CUSTOM)
    resource = relay.json("/config_dump")["resources"][0]["resource"]
    assert resource["@type"] == xds.CUSTOM and resource["value"]


def test_AGG_24_private_keys_are_redacted_everywhere(world, relay, connect, certificates):
    world.set(SDS, [xds.secret("s", certificates.server.certificate_bytes, certificates.server.key_bytes)])
    client = connect(relay, "delta")
    client.subscribe(SDS, "s")
    client.expect(SDS)
    dump = relay.get("/config_dump?type=sds")[2]
    assert json.loads(dump)["resources"][0]["name"] == "s"
    key = certificates.server.key_bytes
    line = key.splitlines()[1].decode()
    for text in (dump, relay.log, relay.get("/config_dump?format=text")[2]):
        assert line not in text and base64.b64encode(key).decode()[:60] not in text


def test_AGG_24_a_body_that_cannot_be_read_is_not_shown(world, relay_to, connect):
    world.set(CDS, [xds.cluster("a")])
    relay = relay_to(world, "delta")
    client = connect(relay, "delta")
    client.subscribe(CDS)
    client.expect(CDS)
    # A cluster of which a field says it is longer than what is there.
    body = b"\x0a\x06broken\x12\x7fPRIVATE"
    world.push_raw(discovery_pb2.DeltaDiscoveryResponse(
        type_url=CDS, nonce="raw", resources=[
            discovery_pb2.Resource(name="broken", version="1", resource=any_pb2.Any(type_url=CDS, value=body))]))
    eventually(lambda: len(relay.json("/config_dump")["resources"]) == 2, "both clusters")
    broken = next(r for r in relay.json("/config_dump")["resources"] if r["name"] == "broken")
    assert broken["resource"] == {"@type": CDS, "value": "[redacted]"}
    for path in ("/config_dump", "/config_dump?format=text"):
        text = relay.get(path)[2]
        assert "PRIVATE" not in text and base64.b64encode(body).decode()[:12] not in text


def test_metrics(relay, clients):
    status, kind, body = relay.get("/metrics")
    assert status == 200 and kind.startswith("text/plain")
    assert relay.get("/stats/prometheus")[0] == 200
    names = set(re.findall(r"^(weir_\w+|process_\w+)", body, re.MULTILINE))
    for name in ("weir_build_info", "weir_downstream_connections", "weir_downstream_streams",
                 "weir_downstream_requests_total", "weir_downstream_responses_total", "weir_downstream_acks_total",
                 "weir_upstream_connected", "weir_upstream_responses_total", "weir_pushes_total", "weir_cache_groups",
                 "weir_cache_resources", "weir_cache_bytes", "process_resident_memory_bytes"):
        assert name in names, name
    assert relay.metric("weir_downstream_connections") == 2
    assert relay.metric("weir_downstream_streams", protocol="sotw", service="ads") == 1
    assert relay.metric("weir_downstream_responses_total", type="cds") == 2
    assert relay.metric("weir_downstream_acks_total", type="cds") == 2
    assert relay.metric("weir_downstream_requests_total", type="cds") == 4
    assert relay.metric("weir_upstream_connected", upstream="primary") == 1
    assert relay.metric("weir_pushes_total", type="cds", outcome="sent") == 1
    assert relay.metric("weir_cache_groups") == 1 and relay.metric("weir_cache_resources", type="cds") == 2
    # Every series has its kind declared, once.
    for name in {series.split("{")[0].split(" ")[0] for series in body.splitlines() if series[:1].isalpha()}:
        base = re.sub(r"_(bucket|sum|count)$", "", name)
        assert len(re.findall(rf"^# TYPE ({name}|{base}) ", body, re.MULTILINE)) == 1, name


def test_explain(relay):
    answer = relay.json("/explain?node.id=x&node.cluster=web")
    assert set(answer) >= {"key", "rule", "upstream", "captures", "rejected"}
    assert (answer["key"], answer["upstream"]) == ("web", "primary")


@pytest.mark.parametrize("path", READ_PATHS)
def test_every_page_has_a_text_form_and_refuses_to_be_posted_to(relay, clients, path):
    status, kind, body = relay.get(path + "?format=text")
    assert status in (200, 503) and body
    if path in ("/keys", "/clients", "/upstreams"):
        assert kind.startswith("text/plain") and not body.startswith("{")
    assert relay.get(path, method="POST")[0] in (404, 405)


def test_pages_for_people_and_paths_that_are_not_there(relay):
    status, kind, body = relay.get("/")
    assert status == 200 and kind.startswith("text/html") and "/keys" in body and "/clients" in body
    assert relay.get("/nonsense")[0] == 404


def test_the_pages_of_a_relay_without_clients(relay):
    for path, name in (("/keys", "keys"), ("/clients", "clients"), ("/config_dump", "resources")):
        assert relay.json(path) == {name: [], "total": 0, "next_cursor": None}
