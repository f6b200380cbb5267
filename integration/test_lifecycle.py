"""Start, reload, drain and stop of the process."""

import json
import signal
import socket
import time

import grpc
import pytest
from envoy.service.discovery.v3 import discovery_pb2

from weirtest import weir as weir_module
from weirtest import xds
from weirtest.raw import frame
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
    first.quiet()
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
    lines = [json.loads(line) for line in relay.log.splitlines()]
    assert lines and all(isinstance(line, dict) for line in lines)
