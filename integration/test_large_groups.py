"""Large groups: what their home does is done elsewhere meanwhile, and each worker takes its part in pieces (AGG-21)."""

import pytest

from weirtest import waiting, xds
from weirtest.clients import follow
from weirtest.waiting import eventually
from weirtest.xds import CDS, EDS

pytestmark = pytest.mark.relay_only

both_ways = pytest.mark.parametrize("protocol", ["sotw", "delta"])
both_upstreams = pytest.mark.parametrize("upstream_protocol", ["sotw", "delta"])
#: More than what is worked on in one turn of a loop.
LARGE = 6000


@both_upstreams
@both_ways
def test_AGG_21_a_large_group_is_taken_whole_and_in_order(plane, relay_to, connect, upstream_protocol, protocol):
    relay = relay_to(plane, upstream_protocol, {"downstream": {"limits": {"max_request_size": "16MiB"}}})
    resources = xds.clusters(LARGE)
    plane.set(CDS, resources, version="one")
    first, = follow(relay, connect, protocol, plane.expected(CDS))
    eventually(lambda: plane.requests(CDS)[-1].kind == "ack", "the response to be acknowledged")
    # Changes right after each other: each is whole, and the last one wins.
    for timeout in (2, 3):
        plane.update(CDS, xds.clusters(LARGE, timeout)[: LARGE - 1])
    plane.update(CDS, [xds.cluster("late")], remove=["c00000"])
    first.converge(CDS, plane.expected(CDS), timeout=30)
    # What was pushed while the group was worked on is there for those who come then, too; so are dumps and commands.
    plane.update(CDS, xds.clusters(LARGE, 4)[1:])
    status, _ = relay.post("/keys/hold?key=web&type=cds")
    assert status == 200
    assert len(relay.json("/config_dump?type=cds&limit=100000")["resources"]) == LARGE
    assert relay.post("/keys/release?key=web&type=cds")[0] == 200
    second, = follow(relay, connect, protocol, plane.expected(CDS))
    first.converge(CDS, plane.expected(CDS), timeout=30)
    # The control plane goes away in the midst of a push, and comes back with the same.
    plane.update(CDS, xds.clusters(LARGE, 5)[1:])
    plane.restart()
    for client in (first, second):
        client.converge(CDS, plane.expected(CDS), timeout=30)
    assert not plane.nacks()


@both_upstreams
def test_AGG_05_a_client_that_names_thousands_is_answered_whole(plane, relay_to, connect, upstream_protocol):
    relay = relay_to(plane, upstream_protocol, {"workers": 1})
    names = [f"c{i:05d}" for i in range(LARGE)]
    plane.set(EDS, [xds.endpoints(name, 1) for name in names])
    for protocol in ("delta", "sotw"):
        client = connect(relay, protocol, node=xds.node(protocol))
        client.subscribe(EDS, *names)
        client.converge(EDS, plane.expected(EDS, names=names), timeout=30)
        plane.update(EDS, [xds.endpoints(names[7], 2), xds.endpoints(names[-1], 2)])
        client.converge(EDS, plane.expected(EDS, names=names), timeout=30)
        client.close()


def test_AGG_08_a_large_group_comes_back_from_the_disk(plane, relay_to, connect, tmp_path):
    relay = relay_to(plane, "delta", {"cache": {"store": {"path": str(tmp_path / "store")}}})
    # The store has two seconds to answer: what a sanitizer makes slow gets less to read.
    count = LARGE if waiting.patience == 1 else 2500
    plane.set(CDS, xds.clusters(count))
    expected = plane.expected(CDS)
    follow(relay, connect, "delta", expected)
    relay.written()
    plane.stop()
    relay.kill()
    relay.start()
    for protocol in ("delta", "sotw"):
        follow(relay, connect, protocol, expected)
    assert relay.keys()["web"]["types"]["cds"]["resources"] == count
