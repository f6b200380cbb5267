"""The library products, by the examples that are built on them (docs/library.md)."""

import json
import signal
import sys
import urllib.request

import pytest
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf import any_pb2
from test_proxyless_grpc import CALLER

from weirtest import weir as weir_module
from weirtest import xds
from weirtest.backend import GrpcBackend, HttpBackend
from weirtest.ports import free_port
from weirtest.process import Process
from weirtest.services import NOT_SERVING, REFLECTION, SERVING, ServiceClient
from weirtest.waiting import eventually
from weirtest.xds import CDS, EDS

pytestmark = pytest.mark.relay_only


def example(name):
    """The program of an example: beside weir, or else that of the release build."""
    beside = weir_module.BINARY.parent / name
    return beside if beside.exists() else weir_module.ROOT / ".build/release" / name


@pytest.fixture
def simple_client(tmp_path):
    """A maker of `simple-client`s; each must end with status 0 when it is asked to."""
    made = []

    def make(server, protocol, *subscriptions):
        log = tmp_path / f"simple-client{len(made) + 1}.log"
        flags = ["--sotw"] if protocol == "sotw" else []
        made.append(Process(
            [example("simple-client"), *flags, "--cluster", "web", getattr(server, "address", server),
             *subscriptions], log))
        return made[-1]

    yield make
    for client in made:
        if client.running:
            client.signal(signal.SIGTERM)
    assert [client.wait(10) for client in made] == [0] * len(made)


@pytest.fixture(params=["plane", "relay"])
def server(request):
    """What the client talks to: the scripted control plane itself, or weir in front of it."""
    return request.getfixturevalue(request.param)


def test_a_client_follows_what_it_subscribes_to(plane, server, simple_client, protocol):
    plane.set(CDS, [xds.cluster("a"), xds.cluster("b")])
    plane.set(EDS, [xds.endpoints("a", 1), xds.endpoints("b", 2)])
    client = simple_client(server, protocol, "cds", "eds=b,c")
    for line in ("connected to", "+ cds a", "+ cds b", "+ eds b"):
        client.wait_log(line)
    before = len(client.log.splitlines())
    with plane.atomic():
        plane.remove(CDS, "a")
        plane.update(EDS, [xds.endpoints("a", 3), xds.endpoints("b", 3)])
    client.wait_log("- cds a")
    eventually(lambda: client.log.count("+ eds b") == 2, "the changed endpoints")
    # What it did not ask for, or has already, it is not told.
    assert not any("+ eds a" in line or "+ cds" in line for line in client.log.splitlines()[before:])
    assert plane.interest(EDS) == {"b", "c"}
    assert "NACK" not in client.log and plane.nacks() == []


def test_a_client_rejects_what_it_cannot_read_and_uses_the_rest(plane, simple_client, protocol):
    plane.set(CDS, [xds.cluster("a"), xds.cluster("b")])
    client = simple_client(plane, protocol, "cds")
    client.wait_log("+ cds b")
    # A length that leads beyond the end.
    bad = any_pb2.Any(type_url=CDS, value=b"\x0a\x01b\x12\xff")
    resources = [("a", xds.pack(xds.cluster("a", 7))), ("b", bad)]
    if protocol == "sotw":
        response = discovery_pb2.DiscoveryResponse(
            type_url=CDS, nonce="bad", version_info="bad", resources=[body for _, body in resources])
    else:
        response = discovery_pb2.DeltaDiscoveryResponse(type_url=CDS, nonce="bad", resources=[
            discovery_pb2.Resource(name=name, version="bad", resource=body) for name, body in resources])
    plane.push_raw(response)
    nack = eventually(lambda: plane.nacks(CDS), "a NACK")[0].message
    assert nack.response_nonce == "bad" and "the message ends inside a field" in nack.error_detail.message
    client.wait_log("NACK cds")
    eventually(lambda: client.log.count("+ cds a") == 2, "the good one of the same response")
    assert "- cds b" not in client.log
    # A response that is right again is taken.
    plane.update(CDS, [xds.cluster("b", 9)])
    eventually(lambda: client.log.count("+ cds b") == 2, "the next version of the bad one")


def test_a_client_comes_back_and_is_told_only_what_changed(plane, simple_client):
    plane.set(CDS, [xds.cluster("a"), xds.cluster("b")])
    client = simple_client(plane, "delta", "cds")
    client.wait_log("+ cds b")
    plane.close_streams()
    client.wait_log("disconnected from")
    eventually(lambda: client.log.count("connected to") >= 2, "another stream")
    first = eventually(lambda: [r for r in plane.requests(CDS, "first") if r.stream.open], "its first request")[0]
    assert set(first.message.initial_resource_versions) == {"a", "b"}
    plane.update(CDS, [xds.cluster("a", 5)])
    eventually(lambda: client.log.count("+ cds a") == 2, "the change")
    assert client.log.count("+ cds b") == 1


# --- The server.


@pytest.fixture
def simple_server(tmp_path):
    """A maker of `simple-server`s in front of backends; each must drain on SIGTERM and end with status 0."""
    made = []

    def make(*backends, seconds=3600):
        server = SimpleServer(tmp_path, f"simple-server{len(made) + 1}", seconds, backends)
        made.append(server)
        return server

    yield make
    for server in made:
        if server.process.running:
            server.process.signal(signal.SIGTERM)
    assert [server.process.wait(15) for server in made] == [0] * len(made)


class SimpleServer:
    """One running `simple-server`."""

    def __init__(self, folder, name, seconds, backends):
        self.address, self.ingress = f"127.0.0.1:{free_port()}", free_port()
        self.admin = f"127.0.0.1:{free_port()}"
        self.process = Process(
            [example("simple-server"), self.address, self.admin, self.ingress, seconds,
             *(f"127.0.0.1:{backend.port}" for backend in backends)], folder / f"{name}.log")
        self.process.wait_log("listening")

    def get(self, path):
        with urllib.request.urlopen(f"http://{self.admin}{path}", timeout=5) as answer:
            return answer.read().decode()


def test_a_real_envoy_follows_the_servers_snapshots(simple_server, new_envoy, protocol):
    backends = [HttpBackend("blue"), HttpBackend("green")]
    try:
        server = simple_server(*backends, seconds=1)
        new_envoy(server, f"ads-{protocol}").wait_ready()

        def answer():
            with urllib.request.urlopen(f"http://127.0.0.1:{server.ingress}/", timeout=5) as reply:
                return reply.read().decode()

        seen = set()
        eventually(lambda: seen.add(tolerant(answer)) or {"blue", "green"} <= seen, lambda: f"both; saw {seen}", 20)
        assert "rejects" not in server.process.log
    finally:
        for backend in backends:
            backend.close()


def tolerant(body):
    """What `body` gives; None while there is nobody who answers."""
    try:
        return body()
    except OSError:
        return None


def test_grpc_s_own_client_follows_the_servers_snapshots(simple_server, tmp_path):
    backends = [GrpcBackend("one"), GrpcBackend("two")]
    server = simple_server(*backends, seconds=1)
    bootstrap = tmp_path / "bootstrap.json"
    bootstrap.write_text(json.dumps({
        "xds_servers": [{"server_uri": server.address, "channel_creds": [{"type": "insecure"}],
                         "server_features": ["xds_v3"]}],
        "node": {"id": "grpc-1"},
    }))
    caller = Process([sys.executable, "-c", CALLER], tmp_path / "caller.log",
                     {"GRPC_XDS_BOOTSTRAP": str(bootstrap), "GRPC_VERBOSITY": "ERROR"})
    try:
        caller.wait_log("one", timeout=30)
        caller.wait_log("two", timeout=20)
        assert [line for line in caller.log.splitlines() if line.startswith("error")] == []
    finally:
        caller.kill()
        for backend in backends:
            backend.close()


def test_health_reflection_metrics_and_a_graceful_end(simple_server, connect):
    backend = HttpBackend("blue")
    server = simple_server(backend)
    services = ServiceClient(server.address)
    try:
        assert services.check() == SERVING
        watch = services.watch()
        assert watch.expect().status == SERVING
        reflection = services.reflection()
        listed = reflection.ask(REFLECTION["ServerReflectionRequest"](list_services=""))
        names = {service.name for service in listed.list_services_response.service}
        assert "envoy.service.discovery.v3.AggregatedDiscoveryService" in names
        reflection.half_close()
        client = connect(server, "delta", node=node("e", "envoy"))
        client.subscribe(CDS)
        assert client.expect(CDS).names == ["backend"]
        stranger = connect(server, "delta", node=node("s", "other"))
        stranger.subscribe(CDS)
        code, message = stranger.status()
        assert code.name == "INVALID_ARGUMENT" and "for Envoy and gRPC" in message
        assert 'weir_downstream_streams{' in server.get("/metrics")
        assert "LIVE" in server.get("/ready")
        assert json.loads(server.get("/explain?node.user_agent_name=envoy&format=json"))["key"] == "envoy"
        server.process.signal(signal.SIGTERM)
        assert watch.expect().status == NOT_SERVING
        assert client.status()[0].name == "UNAVAILABLE"
        assert server.process.wait(15) == 0
    finally:
        services.close()
        backend.close()


def node(id, program):
    message = xds.node(id=id)
    message.user_agent_name = program
    return message
