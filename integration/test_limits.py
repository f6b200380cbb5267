"""Many streams, large messages, compression, peers that fall silent or do not read: what wears relays out (WIRE)."""

import time

import h2.settings
import pytest
from envoy.service.discovery.v3 import discovery_pb2

from weirtest import xds
from weirtest.raw import frame
from weirtest.tap import Tap
from weirtest.waiting import eventually
from weirtest.xds import CDS, EDS, RTDS, SDS

pytestmark = pytest.mark.relay_only
MEBIBYTE = 1 << 20
#: gRPC's own limit of a message, unless a client raises it.
MESSAGE_MAX = 4 * MEBIBYTE
GZIP = [("grpc.default_compression_algorithm", 2)]


@pytest.fixture
def world(plane):
    with plane.atomic():
        plane.set(CDS, [xds.cluster(name) for name in "abc"])
        plane.set(EDS, [xds.endpoints(name, 1) for name in "abc"])
    return plane


def request(type_url, *names, node=None, **fields):
    """A SotW request as it goes over the wire."""
    message = discovery_pb2.DiscoveryRequest(type_url=type_url, resource_names=names, **fields)
    if node is not None:
        message.node.CopyFrom(node)
    return frame(message)


def large_cluster(name, size):
    """A cluster of about `size` bytes that hardly compress into less for being many."""
    message = xds.cluster(name)
    message.alt_stat_name = name * (size // len(name))
    return message


# --- Many streams.


@pytest.mark.release_build
def test_WIRE_11_two_thousand_streams_of_one_type_on_one_connection(world, relay, raw, upstream_protocol):
    names = [f"e{i}" for i in range(2000)]
    world.set(EDS, [xds.endpoints(name, 1) for name in names])
    client = raw(relay)
    client.pump(0.2)
    assert client.remote_settings.get(h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS, 2**31) >= len(names)
    numbers = {}
    for count, name in enumerate(names):
        numbers[name] = client.open(xds.path_of("sotw", EDS))
        client.send(numbers[name], request(EDS, name, node=xds.node()))
        if count % 50 == 0:
            client.pump(0)
    client.until(lambda: all(client.streams[number].data for number in numbers.values()),
                 "an answer on every stream", 60)
    client.until(lambda: all(client.streams[number].messages() for number in numbers.values()), "whole answers")
    for name, number in numbers.items():
        response = discovery_pb2.DiscoveryResponse.FromString(client.streams[number].messages()[0])
        assert [body.value for body in response.resources] == [world.expected(EDS)[name]]
    assert len(world.open_streams()) == 1 and world.interest(EDS) == set(names)
    client.close()
    eventually(lambda: relay.metric("weir_downstream_streams") == 0, "the streams to be gone")


def test_WIRE_11_a_control_plane_that_allows_a_hundred_streams_serves_250_groups(new_plane, relay_to, raw,
                                                                               upstream_protocol):
    plane = new_plane(max_streams=100)
    plane.key_of = lambda node: node.cluster
    keys = [f"group-{i}" for i in range(250)]
    for key in keys:
        plane.set(CDS, [xds.cluster(key)], key=key)
    client = raw(relay_to(plane, upstream_protocol))
    numbers = {}
    for key in keys:
        numbers[key] = client.open(xds.path_of("sotw"))
        client.send(numbers[key], request(CDS, node=xds.node("n", key)))
        client.pump(0)
    client.until(lambda: all(client.streams[number].messages() for number in numbers.values()),
                 "an answer for every group", 60)
    for key, number in numbers.items():
        response = discovery_pb2.DiscoveryResponse.FromString(client.streams[number].messages()[0])
        assert [body.value for body in response.resources] == [plane.expected(CDS, key)[key]]
    streams = plane.open_streams()
    assert len(streams) == 250
    connections = [stream.peer for stream in streams]
    assert max(connections.count(peer) for peer in set(connections)) <= 100


# --- Large messages.


@pytest.mark.release_build
def test_WIRE_06_DELTA_21_thirty_mebibytes_in_and_out(world, relay, connect, upstream_protocol):
    world.set(CDS, [large_cluster(f"cluster-{i:03d}-", 100_000) for i in range(300)])
    delta, sotw = connect(relay, "delta"), connect(relay, "sotw")
    for client in (delta, sotw):
        client.subscribe(CDS)
    for client in (delta, sotw):
        client.converge(CDS, world.expected(CDS), 30)
    parts = [response.message for response in delta.history]
    assert len(parts) >= 8 and all(part.ByteSize() <= MESSAGE_MAX for part in parts)
    assert len({part.nonce for part in parts}) == len(parts)
    names = [resource.name for part in parts for resource in part.resources]
    assert len(names) == len(set(names)) == 300
    assert len(sotw.history) == 1 and sotw.history[0].message.ByteSize() > 30_000_000
    # A message that gRPC's clients refuse by default is something to know of.
    assert relay.metric("weir_downstream_oversized_total", type="cds") >= 1
    relay.wait_log("max_response_size")
    world.update(CDS, [xds.cluster("cluster-000-")])
    delta.converge(CDS, world.expected(CDS), 30)
    assert delta.history[-1].names == ["cluster-000-"]


@pytest.mark.release_build
def test_WIRE_05_UP_08_DELTA_12_reconnects_with_more_than_four_mebibytes_of_versions(world, relay_to, connect):
    clusters = [xds.cluster(f"{i:05d}" + "n" * 200) for i in range(20_000)]
    world.set(CDS, clusters)
    relay = relay_to(world, "delta")
    client = connect(relay, "delta")
    client.subscribe(CDS)
    client.converge(CDS, world.expected(CDS), 30)
    held = client.versions(CDS)
    # The control plane is told what is held.
    world.close_streams()
    again = eventually(lambda: next((s for s in world.open_streams() if s.requests), None), "a new stream", 20)
    first = again.requests[0].message
    assert first.ByteSize() > MESSAGE_MAX and len(first.initial_resource_versions) == len(clusters)
    client.quiet()
    client.close()
    # So is the relay.
    world.update(CDS, [xds.cluster(clusters[7].name, 2)], remove=[clusters[8].name])
    back = connect(relay, "delta")
    back.subscribe(CDS, versions=held)
    response = back.expect(CDS, 20)
    assert (response.names, response.removed) == ([clusters[7].name], [clusters[8].name])
    back.quiet()


# --- Compression.


def test_WIRE_04_gzip_on_messages_both_ways(new_plane, relay_to, connect, upstream_protocol, protocol):
    plane = new_plane(options=GZIP)
    plane.set(RTDS, [xds.runtime("layer", text="0" * (2 * MEBIBYTE))])
    upstream = Tap(plane.address)
    relay = relay_to(plane, upstream_protocol, {"upstreams": {"primary": {"servers": [upstream.address]}}})
    downstream = Tap(relay.address)
    client = connect(downstream.address, protocol, options=GZIP)
    # Names that nobody knows: a request worth compressing.
    client.subscribe(RTDS, "layer", *(f"{i}-" + "n" * 1000 for i in range(1000)))
    client.converge(RTDS, plane.expected(RTDS))
    assert upstream.from_server < MEBIBYTE, "the control plane did not compress"
    assert downstream.from_client < MEBIBYTE // 2, "the client did not compress"
    assert downstream.from_server > 2 * MEBIBYTE, "the relay compressed; it is not meant to"
    plane.update(RTDS, [xds.runtime("layer", text="1" * (2 * MEBIBYTE))])
    client.converge(RTDS, plane.expected(RTDS))
    client.close()
    for tap in (upstream, downstream):
        tap.stop()


# --- Peers that ping, fall silent, or do not read.


def test_WIRE_13_pings_are_answered_however_often_they_come(world, relay, raw):
    client = raw(relay)
    number = client.open(xds.path_of("sotw"))
    client.send(number, request(CDS, node=xds.node()))
    client.wait_messages(number, 1)
    # More than the relay keeps answers for a peer that does not read them (256), a handful at a time.
    for count in range(300):
        client.h2.ping(count.to_bytes(8, "big"))
        client.flush()
        if count % 10 == 9:
            client.until(lambda: len(client.pongs) == count + 1, "the answers")
    assert client.goaways == [] and not client.closed and client.streams[number].reset is None
    world.update(CDS, [xds.cluster("a", 2)])
    first = discovery_pb2.DiscoveryResponse.FromString(client.streams[number].messages()[0])
    client.send(number, request(CDS, response_nonce=first.nonce, version_info=first.version_info))
    assert len(client.wait_messages(number, 2)) == 2


@pytest.mark.parametrize("way", ["reset", "close", "silence"])
def test_WIRE_08_WIRE_13_clients_that_vanish_are_forgotten(world, relay_to, raw, upstream_protocol, way):
    relay = relay_to(world, upstream_protocol, {"downstream": {"keepalive": {"interval": "300ms", "timeout": "300ms"}}})
    client = raw(relay)
    names = [f"e{i}" for i in range(50)]
    world.set(EDS, [xds.endpoints(name, 1) for name in names])
    numbers = []
    for name in names:
        numbers.append(client.open(xds.path_of("sotw", EDS)))
        client.send(numbers[-1], request(EDS, name, node=xds.node()))
    client.until(lambda: all(client.streams[number].messages() for number in numbers), "the answers")
    assert world.interest(EDS) == set(names)
    if way == "reset":
        for number in numbers:
            client.h2.reset_stream(number, 8)
        client.flush()
    elif way == "close":
        client.close()
    # Silence: this client answers no PING unless it is pumped.
    eventually(lambda: relay.metric("weir_downstream_streams") == 0, "the streams to be gone")
    eventually(lambda: not world.open_streams(), "the upstream stream to end")
    eventually(lambda: relay.keys() == {}, "the group to go")
    if way == "silence":
        eventually(lambda: relay.metric("weir_downstream_connections") == 0, "the connection to be gone")
        client.pump(0.1)
        assert client.closed


def test_SOTW_24_what_a_client_gave_up_is_not_sent_when_it_reads_again(world, relay, raw, upstream_protocol):
    world.set(SDS, [xds.secret("s", b"c" * 1000, b"k" * 1000)])
    client = raw(relay, auto_window=False, initial_window=1000)
    number = client.open(xds.path_of("sotw"))
    client.send(number, request(SDS, "s", node=xds.node()))
    client.until(lambda: len(client.streams[number].data) >= 1000, "the first bytes")
    # The answer is half out. Another one falls due, and then the client wants none.
    world.set(SDS, [xds.secret("s", b"d" * 1000, b"k" * 1000)])
    eventually(lambda: relay.keys()["web"]["types"]["sds"]["version"] == world.version(SDS)
               or upstream_protocol == "delta" and len(world.stream().sent) == 2, "the second secret")
    client.send(number, request(SDS))
    eventually(lambda: relay.clients()[0]["types"]["sds"]["subscribed"] == [], "the end of the subscription")
    client.h2.increment_flow_control_window(MEBIBYTE, number)
    client.h2.increment_flow_control_window(MEBIBYTE)
    client.flush()
    first = discovery_pb2.DiscoveryResponse.FromString(client.wait_messages(number, 1)[0])
    # As Envoy answers what it does not want: without taking the version over.
    client.send(number, request(SDS, response_nonce=first.nonce))
    client.pump(1.0)
    assert len(client.streams[number].messages()) == 1


def test_WIRE_12_the_age_of_connections_varies_and_is_announced(world, relay_to, raw):
    relay = relay_to(world, "delta", {"downstream": {"max_connection_age": "2s"}})
    clients = [raw(relay) for _ in range(20)]
    numbers = []
    for client in clients:
        numbers.append(client.open(xds.path_of("sotw")))
        client.send(numbers[-1], request(CDS, node=xds.node()))
        client.wait_messages(numbers[-1], 1)
        client.socket.settimeout(0.001)
    told = {}
    deadline = time.monotonic() + 10
    while len(told) < len(clients):
        assert time.monotonic() < deadline, f"{len(told)} of {len(clients)} connections were asked to go"
        for client in clients:
            client.pump(0)
            if client.goaways and client not in told:
                told[client] = time.monotonic()
    times = sorted(told.values())
    # 10 % of 2 s either way: connections that were made together do not go together.
    assert times[-1] - times[0] > 0.1
    # Streams live on for a while after the GOAWAY.
    world.update(CDS, [xds.cluster("a", 2)])
    first = discovery_pb2.DiscoveryResponse.FromString(clients[0].streams[numbers[0]].messages()[0])
    clients[0].send(numbers[0], request(CDS, response_nonce=first.nonce, version_info=first.version_info))
    assert len(clients[0].wait_messages(numbers[0], 2)) == 2
