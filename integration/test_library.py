"""The library products, by the examples that are built on them (docs/library.md)."""

import signal

import pytest
from google.protobuf import any_pb2

from weirtest import weir as weir_module
from weirtest import xds
from weirtest.process import Process
from weirtest.waiting import eventually
from weirtest.xds import CDS, EDS

EXAMPLES = weir_module.BINARY.parent


@pytest.fixture
def simple_client(tmp_path):
    """A maker of `simple-client`s; each must end with status 0 when it is asked to."""
    made = []

    def make(server, protocol, *subscriptions):
        log = tmp_path / f"simple-client{len(made) + 1}.log"
        flags = ["--sotw"] if protocol == "sotw" else []
        made.append(Process(
            [EXAMPLES / "simple-client", *flags, "--cluster", "web", getattr(server, "address", server),
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
    from envoy.service.discovery.v3 import discovery_pb2
    if protocol == "sotw":
        response = discovery_pb2.DiscoveryResponse(
            type_url=CDS, nonce="bad", version_info="bad", resources=[body for _, body in resources])
    else:
        response = discovery_pb2.DeltaDiscoveryResponse(type_url=CDS, nonce="bad", resources=[
            discovery_pb2.Resource(name=name, version="bad", resource=body) for name, body in resources])
    plane.push_raw(response)
    nack = eventually(lambda: plane.nacks(CDS), "a NACK")[0].message
    assert nack.response_nonce == "bad" and "truncated" in nack.error_detail.message or "ends" in nack.error_detail.message
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
