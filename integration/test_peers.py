"""The suite's own peers, without weir: when these hold, a failure elsewhere is the relay's."""

import time

import grpc
import pytest
from envoy.service.discovery.v3 import discovery_pb2

from weirtest import xds
from weirtest.raw import frame
from weirtest.waiting import eventually
from weirtest.xds import CDS, CUSTOM, EDS, LDS


@pytest.fixture
def direct(plane):
    """The control plane with three clusters and their endpoints."""
    with plane.atomic():
        plane.set(CDS, [xds.cluster(name) for name in "abc"], version="c1")
        plane.set(EDS, [xds.endpoints(name, 1000) for name in "abc"], version="e1")
    return plane


def test_wildcard_and_named_subscriptions(direct, connect, protocol):
    client = connect(direct, protocol)
    client.subscribe(CDS)
    assert client.expect(CDS).names == ["a", "b", "c"]
    client.subscribe(EDS, "a", "b")
    assert client.expect(EDS).names == ["a", "b"]
    client.quiet()
    assert client.held(CDS) == direct.expected(CDS)
    assert direct.interest(CDS) == {"*"} and direct.interest(EDS) == {"a", "b"}


def test_every_request_is_remembered_with_its_kind(direct, connect, protocol):
    client = connect(direct, protocol, auto_ack=False)
    client.subscribe(CDS)
    client.ack(client.expect(CDS))
    direct.update(CDS, [xds.cluster("a", 2)], version="c2")
    response = client.expect(CDS)
    assert response.version == "c2" and response.names == (["a"] if client.delta else ["a", "b", "c"])
    client.nack(response, "no")
    eventually(lambda: len(direct.requests(CDS)) == 3, "three requests")
    assert [request.kind for request in direct.requests(CDS)] == ["first", "ack", "nack"]
    assert direct.nacks()[0].message.error_detail.message == "no"
    assert direct.stream().node.id == "node-1"


def test_removals_and_unknown_names(direct, connect, protocol):
    client = connect(direct, protocol)
    client.subscribe(CDS)
    client.subscribe(EDS, "a", "zz")
    client.converge(CDS, direct.expected(CDS))
    client.converge(EDS, direct.expected(EDS, names="a"))
    direct.remove(CDS, "b")
    client.converge(CDS, direct.expected(CDS))
    direct.update(EDS, [xds.endpoints("zz", 1)])
    client.converge(EDS, direct.expected(EDS, names=["a", "zz"]))
    client.quiet()


def test_an_unsubscribed_name_is_sent_again_when_it_is_named_again(direct, connect, protocol):
    client = connect(direct, protocol)
    client.subscribe(EDS, "a", "b")
    client.expect(EDS)
    client.unsubscribe(EDS, "a")
    eventually(lambda: direct.interest(EDS) == {"b"}, "the interest to shrink")
    direct.update(EDS, [xds.endpoints("a", 2)])
    client.quiet()
    client.subscribe(EDS, "a")
    assert client.expect(EDS).bodies["a"] == direct.expected(EDS)["a"]


def test_initial_versions_spare_a_delta_client_what_it_holds(direct, connect):
    client = connect(direct, "delta")
    client.subscribe(CDS, versions={"a": "c1", "b": "old", "gone": "c1"})
    response = client.expect(CDS)
    assert response.names == ["b", "c"] and response.removed == ["gone"]


def test_restart_on_the_same_port(direct, connect, protocol):
    client = connect(direct, protocol)
    client.subscribe(CDS)
    client.expect(CDS)
    direct.stop()
    assert client.status()[0] == grpc.StatusCode.UNAVAILABLE
    direct.start()
    again = connect(direct, protocol)
    again.subscribe(CDS)
    again.converge(CDS, direct.expected(CDS))


def test_worlds_by_key(direct, connect, protocol):
    direct.key_of = lambda node: node.cluster
    direct.set(LDS, [xds.listener("one")], key="one")
    direct.set(LDS, [xds.listener("two")], key="two")
    for key in ("one", "two"):
        client = connect(direct, protocol, node=xds.node(cluster=key))
        client.subscribe(LDS)
        assert client.expect(LDS).names == [key]


def test_pause_raw_pushes_and_closing(direct, connect, protocol):
    client = connect(direct, protocol)
    client.subscribe(CDS)
    client.expect(CDS)
    direct.pause()
    direct.update(CDS, [xds.cluster("a", 3)])
    client.quiet()
    direct.resume()
    client.expect(CDS)
    kind = discovery_pb2.DeltaDiscoveryResponse if client.delta else discovery_pb2.DiscoveryResponse
    direct.push_raw(kind(type_url=CDS, nonce="mine"))
    assert client.expect(CDS).nonce == "mine"
    direct.close_streams(grpc.StatusCode.RESOURCE_EXHAUSTED, "enough")
    assert client.status() == (grpc.StatusCode.RESOURCE_EXHAUSTED, "enough")


def test_only_one_protocol(new_plane, connect):
    plane = new_plane(protocols=["sotw"])
    plane.set(CDS, [xds.cluster("a")])

    def unimplemented():
        client = connect(plane, "delta")
        client.subscribe(CDS)
        # gRPC's client says INTERNAL where its request crosses the end of the stream.
        return client.status()[0] == grpc.StatusCode.UNIMPLEMENTED

    eventually(unimplemented, "a call of the other protocol to be refused")
    client = connect(plane, "sotw")
    client.subscribe(CDS)
    client.expect(CDS)


def test_per_type_services_and_custom_types(direct, connect, protocol):
    direct.set(CUSTOM, [xds.thing("t", "text")])
    client = connect(direct, protocol, service=EDS)
    client.subscribe(EDS, "a")
    assert client.expect(EDS).names == ["a"]
    client = connect(direct, protocol)
    client.subscribe(CUSTOM)
    client.converge(CUSTOM, {"t": xds.thing("t", "text").value})


def test_raw_client_one_byte_per_frame(direct, raw):
    client = raw(direct)
    number = client.open(xds.path_of("sotw"))
    request = discovery_pb2.DiscoveryRequest(type_url=CDS, node=xds.node())
    client.send(number, frame(request), chunk=1)
    answer = discovery_pb2.DiscoveryResponse.FromString(client.wait_messages(number, 1)[0])
    assert len(answer.resources) == 3
    number = client.open("/x.Y/Z")
    assert client.wait_end(number).grpc_status == 12


def test_raw_client_can_stall_a_stream(direct, raw):
    direct.set(EDS, [xds.endpoints("a", *range(1, 500))])
    client = raw(direct, auto_window=False, initial_window=1000)
    number = client.open(xds.path_of("sotw"))
    client.send(number, frame(discovery_pb2.DiscoveryRequest(type_url=EDS, resource_names=["a"], node=xds.node())))
    client.until(lambda: len(client.streams[number].data) == 1000, "as much as the window takes")
    client.pump(0.2)
    assert client.streams[number].messages() == []
    client.auto_window = True
    client.h2.increment_flow_control_window(1 << 20, number)
    client.flush()
    assert len(client.wait_messages(number, 1)) == 1


def test_mutual_tls(new_plane, connect, certificates):
    plane = new_plane(credentials=certificates.server_credentials(client_ca=certificates.ca))
    plane.set(CDS, [xds.cluster("a")])
    client = connect(plane, "delta", credentials=certificates.channel_credentials(client=certificates.client))
    client.subscribe(CDS)
    client.expect(CDS)
    for credentials in (certificates.channel_credentials(),
                        certificates.channel_credentials(client=certificates.wrong_client),
                        certificates.channel_credentials(ca=certificates.wrong_ca, client=certificates.client)):
        stranger = connect(plane, "delta", credentials=credentials)
        assert stranger.status()[0] == grpc.StatusCode.UNAVAILABLE


def test_two_hundred_clients_are_served_within_seconds(direct, connect):
    started = time.monotonic()
    clients = [connect(direct, ("delta", "sotw")[i % 2]) for i in range(200)]
    for client in clients:
        client.subscribe(CDS)
    for client in clients:
        client.converge(CDS, direct.expected(CDS))
    assert len(direct.open_streams()) == 200
    assert time.monotonic() - started < 30
