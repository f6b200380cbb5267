"""Client status (CSDS): what each connected client holds, as far as its answers tell (SVC-01 to SVC-04, AGG-24)."""

import base64
import threading
import time

import grpc
import pytest
from envoy.extensions.transport_sockets.tls.v3 import tls_pb2
from envoy.service.discovery.v3 import discovery_pb2
from envoy.service.status.v3 import csds_pb2
from envoy.type.matcher.v3 import node_pb2, string_pb2, struct_pb2, value_pb2

from weirtest import xds
from weirtest.ports import free_port
from weirtest.raw import frame
from weirtest.services import code_of
from weirtest.waiting import eventually
from weirtest.xds import CDS, EDS, LDS, SDS

pytestmark = pytest.mark.relay_only

SYNCED, NOT_SENT, STALE, ERROR = (csds_pb2.ConfigStatus.Value(name) for name in ("SYNCED", "NOT_SENT", "STALE", "ERROR"))


def by_id(**matcher):
    return node_pb2.NodeMatcher(node_id=string_pb2.StringMatcher(**matcher))


def by_metadata(path, **value):
    keys = [struct_pb2.StructMatcher.PathSegment(key=key) for key in path]
    return node_pb2.NodeMatcher(node_metadatas=[
        struct_pb2.StructMatcher(path=keys, value=value_pb2.ValueMatcher(**value))])


def states(response, type_url=None):
    """node id → name → (status, version)."""
    return {
        config.node.id: {
            entry.name: (entry.config_status, entry.version_info) for entry in config.generic_xds_configs
            if type_url in (None, entry.type_url)
        } for config in response.config
    }


def ids(response):
    return sorted(config.node.id for config in response.config)


@pytest.mark.parametrize("upstream_protocol", ["delta", "sotw"])
def test_SVC_01_a_resource_goes_from_not_sent_to_stale_synced_and_error(
        relay, plane, services, connect, protocol, upstream_protocol):
    csds = services(relay)
    client = connect(relay, protocol, node=xds.node("one", "web"), auto_ack=False)
    client.subscribe(EDS, "a")
    eventually(lambda: ids(csds.client_status()) == ["one"], "the client")
    # Asked for, and nobody has answered.
    assert states(csds.client_status()) == {"one": {"a": (NOT_SENT, "")}}
    before = time.time()
    plane.set(EDS, [xds.endpoints("a", 1)], version="v1")
    first = client.expect(EDS)
    response = csds.client_status()
    version = first.version if protocol == "sotw" else first.versions["a"]
    assert states(response) == {"one": {"a": (STALE, version)}}
    client.ack(first)
    eventually(lambda: states(csds.client_status())["one"]["a"][0] == SYNCED, "the ACK to count")
    response = csds.client_status()
    [config] = response.config
    [entry] = config.generic_xds_configs
    assert entry.type_url == EDS and entry.version_info == version
    assert before - 1 <= entry.last_updated.ToMicroseconds() / 1e6 <= time.time() + 1
    assert entry.client_status == 0 and not entry.HasField("error_state") and not entry.is_static_resource
    assert entry.xds_config.value == xds.pack(xds.endpoints("a", 1)).value
    assert not config.xds_config and config.client_scope == "web"
    assert config.node == xds.node("one", "web")

    plane.update(EDS, [xds.endpoints("a", 2)], version="v2")
    second = client.expect(EDS)
    client.nack(second, "no such port")
    eventually(lambda: states(csds.client_status())["one"]["a"][0] == ERROR, "the NACK to count")
    [entry] = csds.client_status().config[0].generic_xds_configs
    rejected = second.version if protocol == "sotw" else second.versions["a"]
    # The rejected configuration is the one that is shown.
    assert entry.xds_config.value == xds.pack(xds.endpoints("a", 2)).value
    assert entry.error_state.details == "no such port" and entry.error_state.version_info == rejected
    assert entry.error_state.last_update_attempt.seconds > 0

    plane.update(EDS, [xds.endpoints("a", 3)], version="v3")
    client.ack(client.expect(EDS))
    eventually(lambda: states(csds.client_status())["one"]["a"][0] == SYNCED, "the error to be over")


def test_SVC_01_in_delta_only_what_was_sent_is_unsettled(plane, relay, services, connect):
    plane.set(EDS, [xds.endpoints("a", 1), xds.endpoints("b", 1)])
    csds = services(relay)
    client = connect(relay, "delta", auto_ack=False)
    client.subscribe(EDS, "a", "b")
    client.ack(client.expect(EDS))

    def now():
        return {name: state for name, (state, _) in states(csds.client_status())["node-1"].items()}

    eventually(lambda: now() == {"a": SYNCED, "b": SYNCED}, "both to be accepted")
    plane.update(EDS, [xds.endpoints("b", 2)])
    second = client.expect(EDS)
    assert now() == {"a": SYNCED, "b": STALE}
    # What waits for an answer to the one before has not been sent.
    plane.update(EDS, [xds.endpoints("a", 3)])
    eventually(lambda: now() == {"a": NOT_SENT, "b": STALE}, "the change to be held back")
    client.nack(second)
    third = client.expect(EDS)
    assert third.names == ["a"] and now()["a"] == STALE


def test_SVC_01_there_is_one_entry_for_each_client_with_all_its_types(plane, relay, services, connect):
    plane.set(CDS, [xds.cluster("a"), xds.cluster("b")])
    plane.set(EDS, [xds.endpoints("a", 1)])
    clients = [connect(relay, protocol, node=xds.node(f"n{i}", "web")) for i, protocol in enumerate(("sotw", "delta"))]
    for client in clients:
        client.subscribe(CDS)
        client.subscribe(EDS, "a", "gone")
        client.converge(CDS, plane.expected(CDS))
        client.converge(EDS, plane.expected(EDS, names=["a"]))
    csds = services(relay)

    def settled():
        answer = csds.client_status()
        found = states(answer)
        return found if all(
            {name: state for name, (state, _) in found[f"n{i}"].items()} == {
                "a": SYNCED, "b": SYNCED, "gone": NOT_SENT} for i in range(2)) else None

    eventually(settled, "both clients to be settled")
    for config in csds.client_status().config:
        assert sorted((entry.type_url, entry.name) for entry in config.generic_xds_configs) == [
            (CDS, "a"), (CDS, "b"), (EDS, "a"), (EDS, "gone")]
    clients[0].close()
    eventually(lambda: ids(csds.client_status()) == ["n1"], "the client that left to be gone")


def test_SVC_01_streams_of_one_connection_are_one_client(plane, relay, services, raw):
    """Per-type services: an Envoy has several streams, on one connection."""
    plane.set(CDS, [xds.cluster("a")])
    plane.set(LDS, [])
    wire = raw(relay)
    for type_url in (CDS, EDS):
        number = wire.open(xds.path_of("sotw", type_url))
        wire.send(number, frame(discovery_pb2.DiscoveryRequest(
            node=xds.node("same"), resource_names=["a"] if type_url == EDS else [])))
    csds = services(relay)
    eventually(lambda: len(csds.client_status().config) == 1 and
               len(csds.client_status().config[0].generic_xds_configs) == 2, "one client with two types")


def test_SVC_02_the_relays_own_view_of_its_upstream_is_not_among_the_clients(plane, relay, services, connect):
    """Decided against: only clients are shown; /keys and /config_dump have what the relay itself holds."""
    plane.set(CDS, [xds.cluster("a")])
    csds = services(relay)
    assert not csds.client_status().config
    client = connect(relay, node=xds.node("one"))
    client.subscribe(CDS)
    client.expect(CDS)
    answer = csds.client_status()
    assert ids(answer) == ["one"]
    assert all(entry.client_status == 0 for entry in answer.config[0].generic_xds_configs)
    client.close()
    # The group lingers, and with it what the relay holds; no client does.
    eventually(lambda: not csds.client_status().config, "nobody to be left")


@pytest.fixture
def fleet(plane, relay, connect):
    plane.set(CDS, [xds.cluster("a")])
    for name, metadata in (
            ("web-1", {"tier": "gold", "port": 80, "zones": ["x", "y"]}),
            ("web-2", {"tier": "silver", "app": {"name": "shop"}, "canary": True}), ("API-1", {"none": None})):
        client = connect(relay, node=xds.node(name, metadata=metadata))
        client.subscribe(CDS)
        client.expect(CDS)
    return relay


@pytest.mark.parametrize("matchers, expected", [
    ([], ["API-1", "web-1", "web-2"]),
    ([by_id(exact="web-1")], ["web-1"]),
    ([by_id(exact="web-1"), by_id(exact="API-1")], ["API-1", "web-1"]),
    ([by_id(prefix="web-")], ["web-1", "web-2"]),
    ([by_id(suffix="-1")], ["API-1", "web-1"]),
    ([by_id(contains="PI")], ["API-1"]),
    ([by_id(prefix="api", ignore_case=True)], ["API-1"]),
    ([by_id(safe_regex={"regex": "web-[2-9]"})], ["web-2"]),
    ([by_id(safe_regex={"regex": "web"})], []),
    ([by_metadata(["tier"], string_match={"exact": "gold"})], ["web-1"]),
    ([by_metadata(["app", "name"], string_match={"prefix": "sh"})], ["web-2"]),
    ([by_metadata(["port"], double_match={"exact": 80})], ["web-1"]),
    ([by_metadata(["port"], double_match={"range": {"start": 79, "end": 80}})], []),
    ([by_metadata(["canary"], bool_match=True)], ["web-2"]),
    ([by_metadata(["tier"], present_match=True)], ["web-1", "web-2"]),
    ([by_metadata(["none"], null_match={})], ["API-1"]),
    ([by_metadata(["zones"], list_match={"one_of": {"string_match": {"exact": "y"}}})], ["web-1"]),
    ([node_pb2.NodeMatcher(
        node_id=string_pb2.StringMatcher(prefix="web"),
        node_metadatas=by_metadata(["tier"], string_match={"exact": "silver"}).node_metadatas)], ["web-2"]),
    ([by_id(exact="nobody")], []),
])
def test_SVC_03_node_matchers_are_ored_and_their_parts_anded(fleet, services, matchers, expected):
    assert ids(services(fleet).client_status(node_matchers=matchers)) == expected


def test_SVC_03_matchers_that_cannot_be_used_are_refused(fleet, services):
    csds = services(fleet)
    for matcher, word in ((by_id(safe_regex={"regex": "("}), "regular expression"),
                          (by_id(custom={"name": "x"}), "custom"),
                          (by_metadata([], bool_match=True), "path")):
        code, message = code_of(csds.client_status, node_matchers=[matcher])
        assert code == grpc.StatusCode.INVALID_ARGUMENT and word in message
    code, message = code_of(csds.client_status, node_matchers=[by_id(exact="x")] * 300)
    assert code == grpc.StatusCode.INVALID_ARGUMENT and "256" in message


def test_SVC_03_contents_can_be_left_out(fleet, services):
    csds = services(fleet)
    for config in csds.client_status(exclude_resource_contents=True).config:
        for entry in config.generic_xds_configs:
            assert not entry.HasField("xds_config") and entry.name == "a" and entry.version_info
    assert csds.client_status().config[0].generic_xds_configs[0].HasField("xds_config")


def test_SVC_03_a_stream_gives_one_response_for_each_request_and_is_no_watch(plane, fleet, services, connect):
    call = services(fleet).client_status_stream()
    call.quiet()
    assert len(call.ask(csds_pb2.ClientStatusRequest()).config) == 3
    plane.update(CDS, [xds.cluster("a", 2)])
    call.quiet()
    requests = [csds_pb2.ClientStatusRequest(node_matchers=[by_id(exact=name)])
                for name in ("web-1", "nobody", "web-2") * 5]
    for each in requests:
        call.send(each)
    call.half_close()
    for each in requests:
        wanted = each.node_matchers[0].node_id.exact
        assert ids(call.expect()) == ([] if wanted == "nobody" else [wanted])
    assert call.status()[0] == grpc.StatusCode.OK


def test_SVC_03_who_may_ask_is_said_apart_from_discovery(plane, relay_to, services, certificates, connect):
    tls = {"certificate_chain": str(certificates.server.certificate), "private_key": str(certificates.server.key),
           "client_ca": str(certificates.ca.certificate)}
    address = f"127.0.0.1:{free_port()}"
    relay = relay_to(plane, "delta", {"downstream": {
        "listeners": [{"address": address, "tls": tls}],
        "client_status": {"allowed_sans": ["spiffe://test/**"]}}})
    relay.address = address
    proxy = services(relay, credentials=certificates.channel_credentials(client=certificates.client))
    code, message = code_of(proxy.client_status)
    assert code == grpc.StatusCode.PERMISSION_DENIED and "allowed_sans" in message
    assert proxy.client_status_stream().status()[0] == grpc.StatusCode.PERMISSION_DENIED
    assert relay.metric("weir_downstream_rejected_total", reason="not_allowed") == 2
    # Everything else is as it was for it.
    assert proxy.check() == 1
    operator = services(relay, credentials=certificates.channel_credentials(client=certificates.other_client))
    assert not operator.client_status().config


MARK = b"weirtest-private-key-bytes"


def test_AGG_24_SVC_03_secrets_are_in_no_answer_and_no_log(plane, relay, services, connect, protocol):
    secret = xds.secret("tls", b"certificate", MARK)
    cluster = xds.cluster("a")
    inline = cluster.transport_socket
    inline.name = "tls"
    context = tls_pb2.UpstreamTlsContext()
    context.common_tls_context.tls_certificates.add().private_key.inline_bytes = MARK
    inline.typed_config.Pack(context)
    plane.set(SDS, [secret])
    plane.set(CDS, [cluster])
    client = connect(relay, protocol, auto_ack=False)
    client.subscribe(SDS, "tls")
    client.subscribe(CDS)
    received = client.expect(SDS)
    assert MARK in received.bodies["tls"]
    client.nack(received, "rejected")
    client.ack(client.expect(CDS))
    eventually(lambda: "NACK" in relay.log, "the NACK to be logged")
    csds = services(relay)
    answer = csds.client_status()
    entries = {entry.name: entry for entry in answer.config[0].generic_xds_configs}
    assert set(entries) == {"tls", "a"}
    assert not entries["tls"].HasField("xds_config") and not entries["tls"].error_state.HasField("failed_configuration")
    assert entries["a"].HasField("xds_config")
    texts = [answer.SerializeToString(), relay.log.encode()]
    for path in ("/config_dump", "/clients", "/keys", "/metrics", "/clients?format=text"):
        texts.append(relay.get(path)[2].encode())
    plane.stop()
    eventually(lambda: relay.json("/ready")["degraded"], "the upstream to be missed")
    texts.append(relay.log.encode())
    for text in texts:
        assert MARK not in text
        # Base64 of the bytes at each of the three alignments, without the ends that depend on neighbours.
        for lead in (b"", b"x", b"xx"):
            assert base64.b64encode(lead + MARK)[4:-4] not in text


@pytest.mark.parametrize("fetch", [True, False])
def test_SVC_04_an_answer_that_is_too_large_is_refused_and_says_what_to_do(plane, relay_to, services, connect, fetch):
    plane.set(CDS, [xds.cluster(f"c{number}") for number in range(300)])
    relay = relay_to(plane, "delta", {"downstream": {"limits": {"max_response_size": "48KiB"}}})
    for name in ("one", "two"):
        client = connect(relay, node=xds.node(name))
        client.subscribe(CDS)
        client.converge(CDS, plane.expected(CDS))
    csds = services(relay)

    def ask(**fields):
        if fetch:
            return code_of(csds.client_status, **fields)
        call = csds.client_status_stream()
        call.send(csds_pb2.ClientStatusRequest(**fields))
        return call.status()

    code, message = ask()
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "node_matchers" in message and "exclude_resource_contents" in message
    # Paged by matcher, and without the contents, it fits.
    one = csds.client_status(node_matchers=[by_id(exact="one")], exclude_resource_contents=True)
    assert len(one.config[0].generic_xds_configs) == 300


def test_SVC_04_questions_about_50000_resources_do_not_delay_discovery(plane, relay_to, services, connect):
    plane.set(CDS, [xds.cluster(f"cluster-{number}") for number in range(50_000)])
    relay = relay_to(plane, "delta", {"workers": 1, "downstream": {"limits": {"max_response_size": "64MiB"}}})
    large = connect(relay, "delta", node=xds.node("large"))
    large.subscribe(CDS)
    large.converge(CDS, plane.expected(CDS), timeout=60)
    small = connect(relay, "delta", node=xds.node("small"))
    plane.set(EDS, [xds.endpoints("e", 1)])
    small.subscribe(EDS, "e")
    small.expect(EDS)
    csds = services(relay)
    answers, over = [], threading.Event()

    def ask():
        while not over.is_set():
            answers.append(csds.client_status(exclude_resource_contents=True))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    try:
        eventually(lambda: answers, "the first answer", 60)
        for number in range(20):
            plane.update(EDS, [xds.endpoints("e", 100 + number)])
            # Far below what building one answer takes, were it done on the worker.
            small.expect(EDS, timeout=10)
    finally:
        over.set()
        thread.join(60)
    assert {len(config.generic_xds_configs) for config in answers[0].config} == {50_000, 1}


def test_SVC_04_few_questions_are_answered_at_once(plane, relay, services, connect):
    """However many ask: each is answered, or refused because others are being answered."""
    plane.set(CDS, [xds.cluster(f"c{number}") for number in range(200)])
    client = connect(relay)
    client.subscribe(CDS)
    client.converge(CDS, plane.expected(CDS))
    csds = services(relay)
    calls = [csds.client_status_stream() for _ in range(40)]
    for call in calls:
        call.send(csds_pb2.ClientStatusRequest())
        call.half_close()
    ends = [call.status()[0] for call in calls]
    assert grpc.StatusCode.OK in ends
    assert set(ends) <= {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert relay.metric("weir_downstream_rejected_total", reason="too_many_queries") == ends.count(
        grpc.StatusCode.RESOURCE_EXHAUSTED)
    # None is lost: the next one is answered.
    assert csds.client_status().config


def test_SVC_01_without_descriptors_contents_are_not_shown(plane, new_weir, services, connect, monkeypatch):
    monkeypatch.setenv("WEIR_DESCRIPTORS", "/nonexistent/xds-descriptors.binpb")
    plane.set(CDS, [xds.cluster("a")])
    relay = new_weir({"upstreams": {"primary": {"servers": [plane.address]}}})
    client = connect(relay)
    client.subscribe(CDS)
    client.expect(CDS)
    [entry] = services(relay).client_status().config[0].generic_xds_configs
    assert entry.name == "a" and not entry.HasField("xds_config")
