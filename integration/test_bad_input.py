"""What a peer must not send: the right refusal, a logged reason, and nobody else disturbed (WIRE, SOTW-22, AGG-20)."""

import gzip
import re
import struct

import grpc
import pytest
from envoy.service.discovery.v3 import discovery_pb2

from weirtest import xds
from weirtest.raw import frame, send_garbage
from weirtest.waiting import eventually
from weirtest.xds import CDS, EDS, LDS, RTDS

pytestmark = pytest.mark.relay_only


@pytest.fixture
def world(plane):
    with plane.atomic():
        plane.set(CDS, [xds.cluster(name) for name in "abc"])
        plane.set(EDS, [xds.endpoints(name, 1) for name in "abc"])
    return plane


@pytest.fixture
def bystander(world, relay, connect):
    """A client that must not notice anything: checked at the end of every test."""
    client = connect(relay, "delta", node=xds.node("bystander"))
    client.subscribe(CDS)
    client.converge(CDS, world.expected(CDS))
    yield client
    assert relay.process.running, f"the relay died:\n{relay.process.tail()}"
    world.update(CDS, [xds.cluster("z", 9)])
    client.converge(CDS, world.expected(CDS))


def sotw(type_url=CDS, node=True, **fields):
    message = discovery_pb2.DiscoveryRequest(type_url=type_url, **fields)
    if node:
        message.node.CopyFrom(xds.node())
    return message


def call(raw, relay, data, path=None, **options):
    """Sends bytes on a new stream of a new connection; (connection, stream number)."""
    client = raw(relay)
    number = client.open(path or xds.path_of("sotw"), **options)
    client.send(number, data)
    return client, number


def refusal(raw, relay, data, path=None, **options):
    """The ended stream that answers `data`."""
    client, number = call(raw, relay, data, path, **options)
    stream = client.wait_end(number)
    assert stream.messages() == []
    return stream


# --- Requests that cannot be served.


@pytest.mark.parametrize("path", [xds.path_of("sotw"), xds.path_of("delta"), xds.path_of("sotw", EDS)])
def test_WIRE_10_bytes_that_are_no_protobuf(relay, bystander, raw, path):
    stream = refusal(raw, relay, frame(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), path)
    assert stream.grpc_status in (3, 13) and stream.grpc_message
    eventually(lambda: relay.metric("weir_downstream_rejected_total") >= 1, "the refusal to be counted")
    words = "malformed|decode|protobuf|INVALID_ARGUMENT|" + re.escape(stream.grpc_message)
    eventually(lambda: re.search(words, relay.log), "the reason in the log")


@pytest.mark.parametrize("protocol", ["sotw", "delta"])
def test_SOTW_22_ads_without_a_type_url(relay, bystander, connect, protocol):
    client = connect(relay, protocol)
    client.request("")
    code, message = client.status()
    assert code == grpc.StatusCode.INVALID_ARGUMENT and "type_url" in message


def test_SOTW_22_another_type_on_a_per_type_service(relay, bystander, connect, protocol):
    client = connect(relay, protocol, service=EDS)
    client.subscribe(CDS)
    code, message = client.status()
    assert code == grpc.StatusCode.INVALID_ARGUMENT and message


def test_SOTW_22_a_per_type_service_implies_its_type(world, relay, bystander, connect, protocol):
    client = connect(relay, protocol, service=EDS)
    if client.delta:
        client.request("", resource_names_subscribe=["a"])
    else:
        client.request("", resource_names=["a"])
    response = client.expect(EDS)
    assert response.names == ["a"]
    bodies = [r.resource if client.delta else r for r in response.message.resources]
    assert [body.type_url for body in bodies] == [EDS]


@pytest.mark.parametrize("node", [None, xds.node("lost", "")], ids=["no-node", "no-cluster"])
def test_AGG_20_a_node_that_no_rule_takes(relay, bystander, connect, protocol, node):
    client = connect(relay, protocol, node=node or xds.base_pb2.Node())
    client.subscribe(CDS)
    code, message = client.status()
    assert code == grpc.StatusCode.INVALID_ARGUMENT and ("no rule matched" in message or "node" in message)
    if node is not None:
        assert "lost" in message
        relay.wait_log("lost")


def test_WIRE_09_the_message_of_a_refusal_is_percent_encoded(relay, bystander, raw):
    odd = "50%\n grüße"
    message = sotw(node=False)
    message.node.id = odd
    client, number = call(raw, relay, frame(message))
    stream = client.wait_end(number)
    encoded = stream.header("grpc-message")
    assert encoded.isascii() and "\n" not in encoded
    assert "grüße" in stream.grpc_message and "50%" in stream.grpc_message
    # This client's half is still open: it is reset without an error, after the trailers.
    client.until(lambda: stream.reset is not None, "the reset of the open half")
    assert stream.reset == 0 and stream.ended


def test_an_oversized_message(world, relay_to, connect, raw):
    relay = relay_to(world, "delta", {"downstream": {"limits": {"max_request_size": "64KiB"}}})
    client = connect(relay, "delta")
    client.subscribe(CDS)
    client.expect(CDS)
    stream = refusal(raw, relay, frame(sotw(EDS, resource_names=["n" * 1000 + str(i) for i in range(200)])))
    assert stream.grpc_status == 8 and stream.grpc_message
    # An announced length alone is enough, before any of it is buffered.
    stream = refusal(raw, relay, struct.pack(">BI", 0, 0xffffffff))
    assert stream.grpc_status == 8
    # The stream's end is not the connection's.
    world.update(CDS, [xds.cluster("a", 2)])
    client.expect(CDS)


def test_a_stream_without_a_first_request_ends(world, relay_to, raw):
    relay = relay_to(world, "delta", {"downstream": {"limits": {"first_request_timeout": "300ms"}}})
    client = raw(relay)
    stream = client.wait_end(client.open(xds.path_of("delta")))
    assert stream.grpc_status not in (None, 0) and stream.grpc_message


def test_more_connections_than_allowed(world, relay_to, connect, raw):
    relay = relay_to(world, "delta", {"downstream": {"limits": {"max_connections": 2}}})
    first = connect(relay, "delta")
    first.subscribe(CDS)
    first.expect(CDS)
    second, third = raw(relay), None
    second.pump(0.2)
    try:
        third = raw(relay)
        third.wait_closed()
    except ConnectionError:
        pass
    first.quiet()
    second.close()
    eventually(lambda: relay.metric("weir_downstream_connections") == 1, "the second connection to be gone")
    fourth = connect(relay, "sotw")
    fourth.subscribe(CDS)
    fourth.expect(CDS)


# --- HTTP/2 and gRPC framing.


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x00" * 64, bytes(range(256)) * 4,
                                  b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 64],
                         ids=["http1", "zeros", "noise", "noise-after-preface"])
def test_bytes_that_are_no_http2_close_the_connection(relay, bystander, data):
    send_garbage(relay.address, data)
    eventually(lambda: relay.metric("weir_downstream_connections") == 1, "only the bystander's connection to be left")


@pytest.mark.usefixtures("upstream_protocol")
@pytest.mark.parametrize("path", ["/x.Y/Z", "/", xds.path_of("sotw", LDS).lower(), "/" + xds.ADS])
def test_WIRE_01_unknown_paths_are_unimplemented(relay, bystander, raw, path):
    client = raw(relay)
    stream = client.wait_end(client.open(path))
    assert stream.header(":status") == "200" and stream.grpc_status == 12
    assert stream.header("content-type").startswith("application/grpc")
    assert stream.trailers is None, "trailers-only: one HEADERS frame"


def test_WIRE_02_content_types(relay, bystander, raw):
    for kind in ("application/grpc", "application/grpc+proto", "application/grpc;charset=utf-8"):
        client, number = call(raw, relay, frame(sotw()), content_type=kind)
        assert len(client.wait_messages(number, 1)) == 1
    client = raw(relay)
    stream = client.wait_end(client.open(xds.path_of("sotw"), content_type="text/plain"))
    assert stream.header(":status") == "415"


@pytest.mark.usefixtures("upstream_protocol")
def test_WIRE_03_messages_do_not_depend_on_frames(relay, bystander, raw):
    client = raw(relay)
    number = client.open(xds.path_of("sotw"))
    client.send(number, frame(sotw()), chunk=1)
    client.wait_messages(number, 1)
    both = frame(sotw(EDS, node=False, resource_names=["a"])) + frame(sotw(LDS, node=False, resource_names=["l"]))
    client.send(number, both + frame(sotw(EDS, node=False, resource_names=["a", "b"]))[:3])
    client.wait_messages(number, 2)
    client.send(number, frame(sotw(EDS, node=False, resource_names=["a", "b"]))[3:])
    found = [discovery_pb2.DiscoveryResponse.FromString(data) for data in client.wait_messages(number, 2)]
    assert [message.type_url for message in found[:2]] == [CDS, EDS]


def test_WIRE_04_compression(world, relay, bystander, raw):
    assert refusal(raw, relay, frame(b"\x00", flag=1)).grpc_status == 13
    stream = refusal(raw, relay, frame(sotw(), flag=1), headers=[("grpc-encoding", "snappy")])
    assert stream.grpc_status == 12 and stream.header("grpc-accept-encoding")
    if "gzip" in stream.header("grpc-accept-encoding"):
        packed = frame(gzip.compress(sotw().SerializeToString()), flag=1)
        client, number = call(raw, relay, packed, headers=[("grpc-encoding", "gzip")])
        assert len(discovery_pb2.DiscoveryResponse.FromString(client.wait_messages(number, 1)[0]).resources) == 3


def test_WIRE_04_a_small_message_that_inflates_beyond_the_limit(relay, bystander, raw):
    bomb = frame(gzip.compress(b"\x00" * (64 << 20)), flag=1)
    stream = refusal(raw, relay, bomb, headers=[("grpc-encoding", "gzip")])
    assert stream.grpc_status in (8, 12)


def test_WIRE_07_a_clients_deadline_ends_its_stream(relay, bystander, raw):
    client, number = call(raw, relay, frame(sotw()), headers=[("grpc-timeout", "500m")])
    client.wait_messages(number, 1)
    stream = client.wait_end(number, 5)
    assert stream.grpc_status == 4 or stream.reset == 8


def test_WIRE_07_a_stream_may_be_idle_for_longer_than_any_of_the_relays_times(world, relay_to, raw, protocol):
    # Instead of ten minutes under the usual times: every time that the relay has is short, and passes several times.
    relay = relay_to(world, "delta", {
        "downstream": {
            "limits": {"first_request_timeout": "100ms", "ack_timeout": "50ms"},
            "keepalive": {"interval": "50ms", "timeout": "2s"},
            "max_connection_age": "0s",
        },
        "upstreams": {"primary": {"cold_timeout": "100ms", "connect_timeout": "100ms"}},
        "cache": {"linger": "50ms"},
    })
    message = sotw() if protocol == "sotw" else discovery_pb2.DeltaDiscoveryRequest(type_url=CDS, node=xds.node())
    client, number = call(raw, relay, frame(message), xds.path_of(protocol))
    client.wait_messages(number, 1)
    # Neither an ACK nor anything else is said, but for HTTP/2's own answers to PINGs.
    client.until(lambda: client.pings >= 5, "5 PINGs of keepalive", 20)
    stream = client.streams[number]
    assert not client.closed and not stream.ended and stream.reset is None
    assert len(stream.messages()) == 1
    world.update(CDS, [xds.cluster("a", 7)])
    client.wait_messages(number, 2)


def test_WIRE_15_headers_come_before_the_first_message(relay, bystander, raw):
    client, number = call(raw, relay, frame(sotw(EDS, resource_names=["nobody-knows-it"])))
    client.until(lambda: client.streams[number].headers, "the response headers", 2)
    assert client.streams[number].messages() == []


@pytest.mark.release_build
def test_WIRE_05_a_request_of_twelve_megabytes(relay, bystander, connect):
    client = connect(relay, "delta")
    names = [f"cluster-{i:05d}-" + "n" * 80 for i in range(60000)]
    client.request(EDS, resource_names_subscribe=["a", *names], initial_resource_versions={n: "v" for n in names})
    eventually(lambda: set(client.held(EDS)) == {"a"}, "the one name that exists", 20)


@pytest.mark.release_build
def test_WIRE_14_a_stalled_reader_delays_nobody_and_gets_the_newest_state(world, relay_to, connect, raw,
                                                                         upstream_protocol):
    relay = relay_to(world, upstream_protocol, {"downstream": {"limits": {"ack_timeout": "60s"}}})
    bystander = connect(relay, "delta")
    bystander.subscribe(CDS)
    bystander.converge(CDS, world.expected(CDS))
    world.set(RTDS, [xds.runtime("layer", text="0" * (1 << 20))])
    client = raw(relay, auto_window=False, initial_window=1000)
    number = client.open(xds.path_of("sotw"))
    client.send(number, frame(sotw(RTDS, resource_names=["layer"])))
    client.until(lambda: len(client.streams[number].data) >= 1000, "the first bytes")
    before = relay.metric("process_resident_memory_bytes")
    for count in range(1, 60):
        world.update(RTDS, [xds.runtime("layer", text=str(count % 10) * (1 << 20))])
        world.update(CDS, [xds.cluster("a", count)])
        bystander.converge(CDS, world.expected(CDS))
    assert relay.metric("process_resident_memory_bytes") - before < 32 << 20
    client.auto_window = True
    client.h2.increment_flow_control_window(1 << 24, number)
    client.h2.increment_flow_control_window(1 << 24)
    client.flush()
    first = discovery_pb2.DiscoveryResponse.FromString(client.wait_messages(number, 1)[0])
    client.send(number, frame(sotw(RTDS, node=False, resource_names=["layer"], response_nonce=first.nonce,
                                   version_info=first.version_info)))
    second = discovery_pb2.DiscoveryResponse.FromString(client.wait_messages(number, 2)[1])
    assert second.resources[0].value == world.expected(RTDS)["layer"]
    client.pump(0.3)
    assert len(client.streams[number].messages()) == 2


def test_WIRE_14_a_client_of_many_types_that_reads_is_not_taken_for_one_that_does_not(world, relay, connect, raw):
    types = [f"{xds.PREFIX}example.weirtest.v1.T{i}" for i in range(200)]
    for type_url in types:
        body = xds.thing(type_url[-4:])
        body.type_url = type_url
        world.set(type_url, [body])
    first = connect(relay, "sotw")
    for type_url in types:
        first.subscribe(type_url)
    for type_url in types:
        first.expect(type_url)
    # Everything is cached: all that is asked in one piece could be answered in one turn.
    requests = b"".join(frame(sotw(type_url, node=type_url == types[0])) for type_url in types)
    client, number = call(raw, relay, requests)
    got = [discovery_pb2.DiscoveryResponse.FromString(data) for data in client.wait_messages(number, len(types))]
    assert {response.type_url for response in got} == set(types)
    assert client.streams[number].grpc_status is None
    assert relay.metric("weir_downstream_rejected_total", reason="slow_consumer") == 0


def test_rapid_resets_do_not_disturb(relay, bystander, raw):
    client = raw(relay)
    for _ in range(200):
        number = client.open(xds.path_of("delta"))
        client.h2.reset_stream(number, 8)
        client.flush()
        if client.closed:
            break
    client.pump(0.2)
    eventually(lambda: relay.metric("weir_downstream_streams") == 1, "the streams to be gone")
