"""Start, reload, drain and stop of the process."""

import json
import os
import signal
import socket
import threading
import time

import grpc
import pytest
from envoy.service.discovery.v3 import discovery_pb2

from weirtest import weir as weir_module
from weirtest import xds
from weirtest.raw import RawClient, frame
from weirtest.waiting import eventually
from weirtest.xds import CDS

pytestmark = pytest.mark.relay_only


@pytest.fixture
def world(plane):
    plane.set(CDS, [xds.cluster("a")])
    return plane


def test_WIRE_12_sigterm_drains_with_goaway_and_exits_0(world, relay_to, connect, raw, protocol):
    relay = relay_to(world, "delta", {"downstream": {"drain_timeout": "1s"}})
    client = connect(relay, protocol)
    client.subscribe(CDS)
    client.expect(CDS)
    wire = raw(relay)
    number = wire.open(xds.path_of("sotw"))
    wire.send(number, frame(discovery_pb2.DiscoveryRequest(type_url=CDS, node=xds.node())))
    wire.wait_messages(number, 1)
    process, relay.process = relay.process, None
    process.signal(signal.SIGTERM)
    wire.until(lambda: wire.goaways, "a GOAWAY")
    assert wire.goaways[0].error_code == 0
    assert client.status()[0] in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.OK)
    stream = wire.wait_end(number)
    assert stream.grpc_status == 14 or stream.reset is not None
    assert process.wait(10) == 0
    assert "Fatal error" not in process.log


def test_WIRE_12_a_drain_ends_streams_one_after_another(world, relay_to, raw):
    relay = relay_to(world, "delta", {"downstream": {"drain_timeout": "3s"}})
    clients = [raw(relay) for _ in range(60)]
    for client in clients:
        number = client.open(xds.path_of("sotw"))
        client.send(number, frame(discovery_pb2.DiscoveryRequest(type_url=CDS, node=xds.node())))
        client.wait_messages(number, 1)
    process, relay.process = relay.process, None
    process.signal(signal.SIGTERM)
    for client in clients:
        client.socket.settimeout(0.001)
    ended = {}
    while len(ended) < len(clients):
        for client in clients:
            if client in ended:
                continue
            client.pump(0)
            stream, = client.streams.values()
            if stream.ended or client.closed:
                ended[client] = time.monotonic()
                assert client.goaways and stream.grpc_status == 14
    times = sorted(ended.values())
    crowd = max(sum(first <= other < first + 0.2 for other in times) for first in times)
    assert times[-1] - times[0] > 1.5 and crowd < len(times) / 2, f"{crowd} of {len(times)} within 200 ms"
    assert process.wait(10) == 0


def test_while_draining_it_serves_who_is_there_and_is_not_ready(world, relay_to, connect):
    relay = relay_to(world, "delta", {"downstream": {"drain_timeout": "2s"}})
    client = connect(relay, "delta")
    client.subscribe(CDS)
    client.expect(CDS)
    assert relay.get("/ready")[0] == 200
    process, relay.process = relay.process, None
    process.signal(signal.SIGTERM)
    eventually(lambda: relay.get("/ready")[0] == 503, "not to be ready", 1.5)
    client.drain()
    assert process.wait(10) == 0


def test_sigint_is_a_stop_as_well(world, relay_to):
    relay = relay_to(world)
    process, relay.process = relay.process, None
    process.signal(signal.SIGINT)
    assert process.wait(10) == 0


def test_sighup_takes_new_rules_and_keeps_the_old_ones_when_the_file_is_wrong(world, relay_to, connect):
    relay = relay_to(world)
    first = connect(relay, "delta")
    first.subscribe(CDS)
    first.expect(CDS)
    relay.configure({"aggregation": {"rules": [{"key": "new/{node.cluster}"}]}})
    relay.reload()

    def key_of_a_new_client():
        client = connect(relay, "delta", node=xds.node("probe"))
        client.subscribe(CDS)
        client.expect(CDS)
        found = [c["key"] for c in relay.clients("?node=probe")]
        client.close()
        return found[-1] if found else None

    eventually(lambda: key_of_a_new_client() == "new/web", "the new rule")
    first.settle()
    assert first.ended is None and first.held(CDS) == world.expected(CDS)
    relay.configure({"aggregation": {"rules": [{"kee": "broken/{node.cluster}"}]}})
    relay.reload()
    relay.process.wait_log("kee")
    assert key_of_a_new_client() == "new/web"


def test_a_rule_for_an_upstream_that_came_with_a_reload_is_refused_in_words_and_costs_nothing(world, relay_to, connect):
    relay = relay_to(world, "delta", {"cache": {"max_groups": 2}})
    first = connect(relay, "delta")
    first.subscribe(CDS)
    first.expect(CDS)
    relay.configure({
        "upstreams": {"second": {"protocol": "delta", "servers": [world.address]}},
        "aggregation": {"rules": [
            {"match": {"node.cluster": "new"}, "key": "new", "upstream": "second"}, {"key": "{node.cluster}"}]}})
    relay.reload()
    eventually(lambda: "configuration reloaded" in relay.log, "the reload")
    for count in range(3):
        client = connect(relay, "delta", node=xds.node(f"n{count}", "new"))
        client.subscribe(CDS)
        code, message = client.status()
        assert code == grpc.StatusCode.UNAVAILABLE
        assert "second" in message and "restart" in message and "max_groups" not in message
    # None of the refused took a place.
    other = connect(relay, "delta", node=xds.node("n", "other"))
    other.subscribe(CDS)
    other.expect(CDS)


def test_an_address_that_is_taken_is_named(world, relay_to, new_weir, plane):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        relay = new_weir({"upstreams": {"primary": weir_module.upstream("delta", plane.address)},
                          "downstream": {"listeners": [{"address": address}]}}, start=False)
        result = weir_module.command("serve", "--config", relay.config_path)
    assert result.returncode == 1
    assert address in result.stderr and "in use" in result.stderr.lower()


def test_logs_can_be_json(world, relay_to, connect):
    relay = relay_to(world, "delta", {"log": {"format": "json"}})
    client = connect(relay, "delta")
    client.subscribe(CDS)
    client.expect(CDS)
    # The log is written by a thread of its own.
    lines = [json.loads(line) for line in eventually(lambda: relay.log, "the log to be written").splitlines()]
    assert lines and all(isinstance(line, dict) for line in lines)


# --- Rules that change under live streams.


def test_sighup_moves_live_streams_to_the_groups_of_the_new_rules(new_plane, relay_to, connect, protocol,
                                                                 upstream_protocol):
    plane = new_plane()
    plane.key_of = lambda node: node.id
    for key in ("old", "new"):
        plane.set(CDS, [xds.cluster(name) for name in ("a", key)], key=key)
    relay = relay_to(plane, upstream_protocol, node={"id": "{key}"}, config={
        "aggregation": {"rules": [{"match": {"node.metadata.tier": "gold"}, "key": "old"}, {"key": "stay"}]}})
    plane.set(CDS, [xds.cluster("s")], key="stay")
    node = xds.node("n1", metadata={"tier": "gold"})
    mover, stayer = connect(relay, protocol, node=node), connect(relay, protocol, node=xds.node("n2"))
    for client, key in ((mover, "old"), (stayer, "stay")):
        client.subscribe(CDS)
        client.converge(CDS, plane.expected(CDS, key=key))
        client.settle()
    relay.configure({"aggregation": {"rules": [{"match": {"node.metadata.tier": "gold"}, "key": "new"},
                                               {"key": "stay"}]}})
    relay.reload()
    mover.converge(CDS, plane.expected(CDS, key="new"))
    eventually(lambda: [c["key"] for c in relay.clients("?node=n1")] == ["new"], "the new key")
    plane.update(CDS, [xds.cluster("later")], key="new")
    mover.converge(CDS, plane.expected(CDS, key="new"))
    stayer.quiet()
    assert len(stayer.history) == 1
    eventually(lambda: set(relay.keys()) == {"new", "stay"}, "the old group to be given up")
    # A stream that no rule takes any more is told so.
    relay.configure({"aggregation": {"rules": [{"match": {"node.id": "n2"}, "key": "stay"}]}})
    relay.reload()
    assert mover.status()[0] == grpc.StatusCode.INVALID_ARGUMENT
    stayer.quiet()


def test_WIRE_12_a_connection_of_max_age_is_asked_to_leave_and_its_client_loses_nothing(world, relay_to, connect, raw):
    relay = relay_to(world, "delta", {"downstream": {"max_connection_age": "2s"}})
    clients = [raw(relay) for _ in range(12)]
    opened = time.monotonic()
    for client in clients:
        number = client.open(xds.path_of("sotw"))
        client.send(number, frame(discovery_pb2.DiscoveryRequest(type_url=CDS, node=xds.node())))
        client.wait_messages(number, 1)
        client.socket.settimeout(0.001)
    asked = {}
    while len(asked) < len(clients):
        assert time.monotonic() - opened < 10
        for client in clients:
            client.pump(0)
            if client.goaways and client not in asked:
                asked[client] = time.monotonic() - opened
    # ±10 %, not all at once; the streams go on for a while.
    assert 1.6 < min(asked.values()) and max(asked.values()) < 4
    assert max(asked.values()) - min(asked.values()) > 0.05
    assert not any(stream.ended for client in clients for stream in client.streams.values())
    assert clients[0].goaways[0].error_code == 0


# --- Under a service manager.


class Manager:
    """Stands in for systemd: a notify socket, and a listening socket that outlives the relay."""

    def __init__(self, folder, abstract):
        self.name = f"@weir-test-{os.getpid()}-{folder.name}" if abstract else str(folder / "notify.sock")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + self.name[1:] if abstract else self.name)
        self.socket.settimeout(0.05)
        self.heard = []

    def poll(self):
        try:
            while True:
                self.heard.append(self.socket.recv(4096).decode())
        except TimeoutError:
            return self.heard

    def wait(self, text, after=0):
        eventually(lambda: any(text in message for message in self.poll()[after:]), lambda: f"{text} in {self.heard}")


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    made = Manager(tmp_path, request.param == "abstract")
    yield made
    made.socket.close()


def test_systemd_is_told_of_start_reload_life_and_stop(world, new_weir, manager, plane):
    relay = new_weir({"upstreams": {"primary": weir_module.upstream("delta", plane.address)}}, start=False)
    relay.start(environment={"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "400000"})
    manager.wait("READY=1")
    assert relay.get("/ready")[0] == 200
    manager.wait("WATCHDOG=1")
    seen = len(manager.poll())
    manager.wait("WATCHDOG=1", seen)
    seen = len(manager.poll())
    relay.reload()
    manager.wait("RELOADING=1\nMONOTONIC_USEC=", seen)
    manager.wait("READY=1", seen)
    seen = len(manager.poll())
    process, relay.process = relay.process, None
    process.signal(signal.SIGTERM)
    manager.wait("STOPPING=1", seen)
    assert process.wait(10) == 0


def test_a_restart_under_socket_activation_refuses_no_connection(world, new_weir, plane, protocol):
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        address = "127.0.0.1:%d" % listening.getsockname()[1]
        relay = new_weir({
            "upstreams": {"primary": weir_module.upstream("delta", plane.address)}, "workers": 2,
            "downstream": {"listeners": [{"address": address}], "drain_timeout": "200ms"}}, start=False)
        relay.start(passed=[listening])
        relay.wait_log("listening on a socket of the service manager")
        stop, failures, served = threading.Event(), [], []

        def come_and_go():
            # Connections that are refused, or accepted and never served, are what must not be.
            while not stop.is_set():
                client = None
                try:
                    client = RawClient(address)
                    number = client.open(xds.path_of("sotw"))
                    client.send(number, frame(discovery_pb2.DiscoveryRequest(type_url=CDS, node=xds.node())))
                    client.wait_messages(number, 1, 10)
                    served.append(1)
                except ConnectionRefusedError as error:
                    failures.append(error)
                except (OSError, AssertionError):
                    pass  # It was on the old process when that ended; who comes back is served.
                finally:
                    if client:
                        client.close()

        threads = [threading.Thread(target=come_and_go) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(3):
            count = len(served)
            eventually(lambda: len(served) > count + 20, "clients to be served")
            relay.stop()
            relay.start(passed=[listening])
        count = len(served)
        eventually(lambda: len(served) > count + 20, "clients to be served after the last restart")
        stop.set()
        for thread in threads:
            thread.join(20)
        assert not failures
