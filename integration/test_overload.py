"""Too many requests, connections and handshakes, too little memory, no descriptors, and clients that do not read."""

import os
import resource
import socket
import ssl
import threading
import time
from collections import Counter

import grpc
import pytest
from envoy.service.discovery.v3 import discovery_pb2

from weirtest import weir as weir_module
from weirtest import xds
from weirtest.raw import RawClient, frame
from weirtest.waiting import eventually
from weirtest.xds import CDS, EDS, RTDS

pytestmark = pytest.mark.relay_only


def limits(**fields):
    return {"downstream": {"limits": fields}}


def rejected(relay, reason):
    return relay.metric("weir_downstream_rejected_total", reason=reason)


def request(type_url, *names, node=None, **fields):
    message = discovery_pb2.DiscoveryRequest(type_url=type_url, resource_names=names, **fields)
    if node is not None:
        message.node.CopyFrom(node)
    return frame(message)


def subscribed(connect, relay, plane, **options):
    client = connect(relay, "delta", **options)
    client.subscribe(CDS)
    client.converge(CDS, plane.expected(CDS))
    return client


@pytest.fixture
def world(plane):
    plane.set(CDS, [xds.cluster("a")])
    return plane


# --- Requests.


def test_too_many_requests_slow_the_stream_and_end_nothing(world, relay_to, raw, connect):
    relay = relay_to(world, "delta", limits(max_requests_per_second=5))
    client = raw(relay)
    number = client.open(xds.path_of("sotw"))
    begun = time.monotonic()
    client.send(number, request(EDS, "e0", node=xds.node()))
    for count in range(1, 20):
        client.send(number, request(EDS, *(f"e{i}" for i in range(count + 1))))
    # A well-behaved stream of the same connection is read meanwhile.
    other = client.open(xds.path_of("sotw"))
    client.send(other, request(CDS, node=xds.node()))
    client.wait_messages(other, 1)
    eventually(lambda: relay.metric("weir_downstream_requests_total", type="eds") == 20, "all requests", 20)
    # Five at once, and five a second.
    assert time.monotonic() - begun >= 2.8
    assert relay.metric("weir_downstream_requests_paced_total") >= 10
    world.set(EDS, [xds.endpoints("e19", 1)])
    client.until(lambda: client.streams[number].messages(), "the last request's answer")
    assert client.streams[number].reset is None and client.streams[number].grpc_status is None
    # What was paused is forgotten with its client, and what is reloaded holds for streams that are there.
    for count in range(20):
        client.send(number, request(EDS, f"f{count}"))
    relay.configure(limits(max_requests_per_second=0))
    relay.reload()
    eventually(lambda: relay.metric("weir_downstream_requests_total", type="eds") == 40, "the rest", 3)


# --- Connections and handshakes.


def test_connections_beyond_the_limit_are_closed_and_counted_and_a_reload_raises_it(world, relay_to, connect, raw):
    relay = relay_to(world, "delta", limits(max_connections=2))
    client = subscribed(connect, relay, world)
    held = raw(relay)
    held.pump(0.1)
    for _ in range(3):
        refused = RawClient(relay.address)
        refused.until(lambda: refused.closed, "the end of the connection")
    assert rejected(relay, "too_many_connections") == 3
    world.update(CDS, [xds.cluster("b")])
    client.converge(CDS, world.expected(CDS))
    relay.configure(limits(max_connections=10))
    relay.reload()
    eventually(lambda: "configuration reloaded" in relay.log, "the reload")
    subscribed(connect, relay, world, node=xds.node("second"), options=[("grpc.use_local_subchannel_pool", 1)])


def storm(relay, certificates, count):
    """Connects `count` clients at once; how each ended, and how long the longest took."""
    outcomes, longest, lock = Counter(), [0.0], threading.Lock()
    host, port = relay.address.rsplit(":", 1)

    def one():
        begun = time.monotonic()
        try:
            with socket.create_connection((host, int(port)), timeout=10) as plain:
                with certificates.raw_context().wrap_socket(plain, server_hostname="localhost") as secured:
                    outcome = "admitted" if secured.selected_alpn_protocol() == "h2" else "odd"
        except TimeoutError:
            outcome = "timed out"
        except (OSError, ssl.SSLError):
            outcome = "refused"
        with lock:
            outcomes[outcome] += 1
            longest[0] = max(longest[0], time.monotonic() - begun)

    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes, longest[0]


def tls_relay(world, new_weir, certificates, **fields):
    relay = new_weir({"upstreams": {"primary": weir_module.upstream("delta", world.address)}}, start=False)
    tls = {"certificate_chain": str(certificates.server.certificate), "private_key": str(certificates.server.key)}
    relay.configure({"downstream": {"listeners": [{"address": relay.address, "tls": tls}], "limits": fields}})
    return relay.start()


def test_a_storm_of_handshakes_is_admitted_at_the_rate_and_none_that_was_begun_times_out(world, new_weir, connect,
                                                                                       certificates):
    relay = tls_relay(world, new_weir, certificates, max_handshakes_per_second=40, admission_timeout="1500ms")
    client = subscribed(connect, relay, world, credentials=certificates.channel_credentials())
    outcomes, longest = storm(relay, certificates, 200)
    assert set(outcomes) <= {"admitted", "refused"}, outcomes
    # Those whose turn comes within 1.5 s, at 40 a second, and what the storm itself takes to arrive.
    assert outcomes["admitted"] >= 60 and outcomes["refused"] >= 20, outcomes
    assert longest < 5
    assert rejected(relay, "connection_rate") == outcomes["refused"]
    assert relay.metric("weir_downstream_connections_delayed_total") >= 50
    # A few lines, not one for each.
    assert relay.log.count("too many connections in a second") <= 60
    world.update(CDS, [xds.cluster("b")])
    client.converge(CDS, world.expected(CDS))


def test_connections_per_second_hold_plaintext_clients_back_too(world, relay_to, raw):
    relay = relay_to(world, "delta", limits(max_connections_per_second=5, admission_timeout="1s"))
    begun = time.monotonic()
    clients = [RawClient(relay.address) for _ in range(5)]
    for client in clients:
        client.until(lambda: client.remote_settings, "the relay's settings")
    assert time.monotonic() - begun >= 0.75
    for client in clients:
        client.close()
    assert relay.metric("weir_downstream_connections_delayed_total") >= 1


# --- Descriptors.


def cpu_seconds(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def test_without_descriptors_accepting_rests_and_those_who_are_there_are_served(world, relay, connect):
    client = subscribed(connect, relay, world)
    pid = relay.process.popen.pid
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (len(os.listdir(f"/proc/{pid}/fd")) + 5, hard))
    host, port = relay.address.rsplit(":", 1)
    crowd = [socket.create_connection((host, int(port)), timeout=5) for _ in range(20)]
    eventually(lambda: "Too many open files" in relay.log, "the log to tell")
    before = cpu_seconds(pid)
    begun = time.monotonic()
    world.update(CDS, [xds.cluster("b")])
    client.converge(CDS, world.expected(CDS))
    time.sleep(max(0, begun + 1.5 - time.monotonic()))
    assert cpu_seconds(pid) - before < 0.5, "it spins"
    for each in crowd:
        each.close()
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
    assert eventually(lambda: relay.metric("weir_downstream_accept_pauses_total"), "the metric") >= 1
    subscribed(connect, relay, world, node=xds.node("late"), options=[("grpc.use_local_subchannel_pool", 1)])


# --- Clients that do not read.


def test_a_stream_whose_window_stays_shut_is_ended(world, relay_to, raw, connect):
    relay = relay_to(world, "delta", limits(stalled_reader_timeout="1s"))
    reader = subscribed(connect, relay, world)
    world.set(RTDS, [xds.runtime("layer", text="0" * 10_000)])
    stalled = raw(relay, auto_window=False, initial_window=100)
    idle = stalled.open(xds.path_of("sotw"))
    stalled.send(idle, request(RTDS, "nothing-of-this-name", node=xds.node()))
    number = stalled.open(xds.path_of("sotw"))
    stalled.send(number, request(RTDS, "layer", node=xds.node()))
    stalled.until(lambda: stalled.streams[number].reset is not None, "the end of the stream", 15)
    # ENHANCE_YOUR_CALM, which gRPC clients see as RESOURCE_EXHAUSTED.
    assert stalled.streams[number].reset == 11
    assert rejected(relay, "stalled_reader") == 1
    # Who has nothing to read is not slow.
    stalled.pump(1.5)
    assert stalled.streams[idle].reset is None and not stalled.closed
    world.update(CDS, [xds.cluster("b")])
    reader.converge(CDS, world.expected(CDS))


def test_a_connection_that_takes_no_bytes_is_closed(world, relay_to, connect):
    relay = relay_to(world, "delta", limits(stalled_reader_timeout="1s"))
    world.set(RTDS, [xds.runtime("layer", text="0" * (16 << 20))])
    reader = subscribed(connect, relay, world)
    stalled = RawClient(relay.address, initial_window=1 << 30)
    stalled.h2.increment_flow_control_window(1 << 30)
    number = stalled.open(xds.path_of("sotw"))
    stalled.send(number, request(RTDS, "layer", node=xds.node()))
    # From here on it does not read.
    eventually(lambda: rejected(relay, "stalled_reader") >= 1, "the end of its connection", 15)
    eventually(lambda: relay.metric("weir_downstream_connections") == 1, "the connection to be gone")
    world.update(CDS, [xds.cluster("b")])
    reader.converge(CDS, world.expected(CDS))
    stalled.close()


# --- Memory.


def test_short_of_memory_it_turns_newcomers_away_and_serves_who_is_there(world, relay_to, raw, connect):
    relay = relay_to(world, "delta", limits(max_memory="64GiB"))
    client = subscribed(connect, relay, world)
    world.set(RTDS, [xds.runtime("layer", text="0" * 10_000)])
    stalled = raw(relay, auto_window=False, initial_window=100)
    number = stalled.open(xds.path_of("sotw"))
    stalled.send(number, request(RTDS, "layer", node=xds.node()))
    stalled.until(lambda: stalled.streams[number].data, "the first bytes")
    assert relay.metric("weir_memory_pressure") == 0
    relay.configure(limits(max_memory="1MiB"))
    relay.reload()
    eventually(lambda: relay.metric("weir_memory_pressure") == 3, "the pressure to be seen")
    assert any("memory" in text for text in relay.json("/ready")["degraded"])
    # A stream on a connection that is there, a connection, and one who does not read.
    late = stalled.open(xds.path_of("sotw"))
    stalled.send(late, request(CDS, node=xds.node()))
    stalled.until(lambda: stalled.streams[late].grpc_status is not None, "the refusal")
    assert stalled.streams[late].grpc_status == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
    assert "memory" in stalled.streams[late].grpc_message
    refused = RawClient(relay.address)
    refused.until(lambda: refused.closed, "the end of the connection")
    stalled.until(lambda: stalled.streams[number].reset == 11, "the end of the stalled stream", 15)
    assert rejected(relay, "memory") >= 2 and rejected(relay, "stalled_reader") == 1
    world.update(CDS, [xds.cluster("b")])
    client.converge(CDS, world.expected(CDS))
    relay.configure(limits(max_memory=0))
    relay.reload()
    eventually(lambda: relay.metric("weir_memory_pressure") == 0, "the pressure to end")
    subscribed(connect, relay, world, node=xds.node("late"), options=[("grpc.use_local_subchannel_pool", 1)])
    assert relay.json("/ready")["degraded"] == []
