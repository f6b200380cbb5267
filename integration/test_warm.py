"""A cold replica that is filled from a sibling relay: never as authority, never in a circle."""

import grpc
import pytest

from weirtest import weir as weir_module
from weirtest import xds
from weirtest.clients import quiet
from weirtest.waiting import eventually
from weirtest.xds import CDS, EDS

pytestmark = pytest.mark.relay_only


@pytest.fixture
def replica(new_weir):
    """A maker of relays: `replica(protocol, plane, warm_from=[...])`."""

    def make(protocol, plane, warm_from=(), cold_timeout="20s", **config):
        address = getattr(plane, "address", plane)
        base = {"upstreams": {"primary": weir_module.upstream(protocol, address, cold_timeout=cold_timeout)}}
        if warm_from:
            base["cache"] = {"warm_from": [getattr(each, "address", each) for each in warm_from]}
        return new_weir(weir_module.merge(base, config))

    return make


@pytest.fixture
def world(plane):
    plane.set(CDS, [xds.cluster(name) for name in "ab"])
    plane.set(EDS, [xds.endpoints(name, 1) for name in "ab"])
    return plane


def join(connect, relay, world, protocol, name="n"):
    client = connect(relay, protocol, node=xds.node(name))
    client.subscribe(CDS)
    client.subscribe(EDS, "a")
    client.converge(CDS, world.expected(CDS))
    client.converge(EDS, world.expected(EDS, names="a"))
    client.settle()
    return client


def test_a_cold_replica_serves_what_a_sibling_has_until_the_upstream_answers(world, new_plane, replica, connect,
                                                                            upstream_protocol, protocol):
    other = new_plane(start=False)
    sibling = replica(upstream_protocol, world)
    keeper = join(connect, sibling, world, "delta", "keeper")
    relay = replica(upstream_protocol, other, [sibling])
    client = join(connect, relay, world, protocol)
    assert relay.keys()["web"]["stale"] and relay.metric("weir_cache_stale_groups") == 1
    assert not sibling.keys()["web"]["stale"] and sibling.metric("weir_cache_stale_groups") == 0
    assert relay.json("/ready")["degraded"] and relay.get("/ready")[0] == 200
    eventually(lambda: relay.metric("weir_upstream_data_age_seconds", upstream="primary") >= 1, "the data to age")
    # It follows the sibling while there is nobody better.
    world.update(CDS, [xds.cluster("a", 7)])
    client.converge(CDS, world.expected(CDS))
    client.settle()
    # The upstream has the last word: what it has is served, what it has not goes.
    other.set(CDS, [xds.cluster("a", 8), xds.cluster("c")])
    other.set(EDS, [xds.endpoints("a", 2)])
    other.start()
    client.converge(CDS, other.expected(CDS))
    client.converge(EDS, other.expected(EDS, names="a"))
    eventually(lambda: not relay.keys()["web"]["stale"], "the content to be confirmed")
    assert relay.metric("weir_cache_stale_groups") == 0
    opening = other.requests(CDS, "first")[0].message
    assert not getattr(opening, "version_info", "") and not dict(getattr(opening, "initial_resource_versions", {}))
    eventually(lambda: len(sibling.clients()) == 1, "the sibling to be left")
    world.update(CDS, [xds.cluster("a", 9)])
    keeper.converge(CDS, world.expected(CDS))
    client.quiet()


def test_the_upstream_with_the_same_content_is_not_noticed(world, new_plane, replica, connect, upstream_protocol,
                                                          protocol):
    other = new_plane(start=False)
    sibling = replica(upstream_protocol, world)
    join(connect, sibling, world, "delta", "keeper")
    relay = replica(upstream_protocol, other, [sibling])
    client = join(connect, relay, world, protocol)
    for type_url, resources in ((CDS, [xds.cluster(name) for name in "ab"]),
                                (EDS, [xds.endpoints(name, 1) for name in "ab"])):
        other.set(type_url, resources)
    other.start()
    eventually(lambda: not relay.keys()["web"]["stale"], "the content to be confirmed")
    client.quiet()


def test_borrowed_content_is_not_passed_on_and_nothing_goes_in_a_circle(world, new_plane, replica, connect):
    dead = new_plane(start=False)
    sibling = replica("delta", world)
    keeper = join(connect, sibling, world, "delta", "keeper")
    relay = replica("delta", dead, [sibling])
    client = join(connect, relay, world, "delta")
    # What this one has it has borrowed.
    third = replica("delta", dead, [relay], cold_timeout="2s")
    late = connect(third, "delta", node=xds.node("late"))
    late.subscribe(CDS)
    assert late.status()[0] == grpc.StatusCode.UNAVAILABLE and late.history == []
    assert relay.metric("weir_downstream_rejected_total", reason="not_confirmed") >= 1
    quiet(client, keeper)


def test_two_cold_replicas_that_know_only_each_other_have_nothing(new_plane, new_weir, replica, connect):
    dead = new_plane(start=False)
    first = replica("delta", dead, cold_timeout="2s")
    second = replica("delta", dead, [first], cold_timeout="2s")
    first.stop()
    first.configure({"cache": {"warm_from": [second.address]}})
    first.start()
    clients = [connect(relay, "delta", node=xds.node("n")) for relay in (first, second)]
    for client in clients:
        client.subscribe(CDS)
    for client in clients:
        assert client.status()[0] == grpc.StatusCode.UNAVAILABLE and client.history == []
    for relay in (first, second):
        assert relay.log.count("a cold group is filled from a sibling relay") == 1
        assert relay.metric("weir_downstream_rejected_total", reason="not_confirmed") <= 40
    eventually(lambda: not first.keys() and not second.keys(), "the groups to go", 15)


def test_a_sibling_whose_rules_say_another_key_gives_nothing(world, new_plane, replica, connect):
    sibling = replica("delta", world, aggregation={"rules": [{"key": "other/{node.cluster}"}]})
    join(connect, sibling, world, "delta", "keeper")
    relay = replica("delta", new_plane(start=False), [sibling], cold_timeout="2s")
    client = connect(relay, "delta")
    client.subscribe(CDS)
    assert client.status()[0] == grpc.StatusCode.UNAVAILABLE and client.history == []
