"""Names whose authority belongs to another upstream than the group's own (NAME-07)."""

import pytest

from weirtest import weir as weir_module
from weirtest import xds
from weirtest.waiting import eventually
from weirtest.xds import CDS, EDS

pytestmark = pytest.mark.relay_only

OTHER = {"sotw": "delta", "delta": "sotw"}
A, B, C = (f"xdstp://{authority}.example/envoy.config.endpoint.v3.ClusterLoadAssignment/x" for authority in "abc")


@pytest.fixture
def planes(plane, new_plane):
    """The group's own control plane, and those of the authorities a and b; all three have every name."""
    three = [plane, new_plane(), new_plane()]
    for number, each in enumerate(three):
        each.set(EDS, [xds.endpoints(name, number + 1) for name in ("plain", A, B, C)])
    return three


@pytest.fixture
def relay(planes, new_weir, upstream_protocol):
    own, a, b = (each.address for each in planes)
    return new_weir({
        "upstreams": {
            "primary": weir_module.upstream(upstream_protocol, own, node={"id": "own/{node.id}"}),
            "a": weir_module.upstream(upstream_protocol, a, authorities=["a.example", "d.example"]),
            "b": weir_module.upstream(OTHER[upstream_protocol], b, authorities=["b.example"],
                                      node={"id": "{key}/{node.id}"}),
        },
        "log": {"level": "info"},
    })


def test_NAME_07_one_stream_and_three_upstreams(planes, relay, connect, protocol):
    own, a, b = planes
    client = connect(relay, protocol, node=xds.node("n", "web"))
    client.subscribe(EDS, "plain", A, B, C)
    truth = {**own.expected(EDS, names=("plain", C)), **a.expected(EDS, names=[A]), **b.expected(EDS, names=[B])}
    client.converge(EDS, truth)
    assert own.interest(EDS) == {"plain", C}
    assert a.interest(EDS) == {A} and b.interest(EDS) == {B}
    # Each upstream is shown its own node.
    assert [each.requests(EDS)[0].message.node.id for each in planes] == ["own/n", "n", "web/n"]
    for plane, name in (own, "plain"), (a, A), (b, B):
        plane.update(EDS, [xds.endpoints(name, 9)])
        truth.update(plane.expected(EDS, names=[name]))
        client.converge(EDS, truth)
    key = relay.keys()["web"]
    assert key["types"]["eds"]["resources"] == 4
    dumped = relay.json("/config_dump?key=web&type=eds")["resources"]
    assert {each["name"] for each in dumped} == {"plain", A, B, C}


def test_NAME_07_one_upstream_that_is_lost_takes_no_other_with_it(planes, relay, connect, protocol):
    own, a, b = planes
    client = connect(relay, protocol)
    client.subscribe(EDS, "plain", A, B)
    truth = {**own.expected(EDS, names=["plain"]), **a.expected(EDS, names=[A]), **b.expected(EDS, names=[B])}
    client.converge(EDS, truth)
    for lost, name in (b, B), (own, "plain"):
        lost.stop()
        lost.update(EDS, [xds.endpoints(name, 7)])
        a.update(EDS, [xds.endpoints(A, 20 + len(name))])
        truth.update(a.expected(EDS, names=[A]))
        client.converge(EDS, truth)
        client.quiet()
        lost.start()
        truth.update(lost.expected(EDS, names=[name]))
        client.converge(EDS, truth)


def test_NAME_07_names_given_up_leave_their_upstream(planes, relay, connect):
    own, a, b = planes
    client = connect(relay, "delta", node=xds.node("n", "web"))
    client.subscribe(EDS, "plain", A, B)
    eventually(lambda: len(client.held(EDS)) == 3, "three resources")
    client.unsubscribe(EDS, A, B)
    eventually(lambda: not a.open_streams() and not b.open_streams(), "the streams to end")
    own.update(EDS, [xds.endpoints("plain", 5)])
    client.converge(EDS, own.expected(EDS, names=["plain"]))
    client.close()
    eventually(lambda: not relay.keys(), "the group to end")


def test_NAME_07_a_group_without_anything_of_its_own(planes, relay, connect, protocol):
    own, a, _ = planes
    own.stop()
    client = connect(relay, protocol)
    client.subscribe(EDS, A)
    client.converge(EDS, a.expected(EDS, names=[A]))
    client.subscribe(EDS, A)
    client.subscribe(CDS)
    # Nothing is known of clusters while their control plane is away; the stream goes on all the same.
    assert not own.requests()
    a.update(EDS, [xds.endpoints(A, 8)])
    client.converge(EDS, a.expected(EDS, names=[A]))


def test_NAME_07_an_authority_that_belongs_to_files(planes, new_weir, connect, protocol, tmp_path):
    own = planes[0]
    (tmp_path / "far.yaml").write_text(
        "resources:\n- '@type': " + EDS + "\n  cluster_name: " + A + "\n")
    relay = new_weir({"upstreams": {
        "primary": weir_module.upstream("delta", own.address),
        "far": {"files": {"path": "far.yaml"}, "authorities": ["a.example"]},
    }})
    client = connect(relay, protocol)
    client.subscribe(EDS, "plain", A)
    eventually(lambda: set(client.held(EDS)) == {"plain", A}, "both")
    assert own.interest(EDS) == {"plain"}
