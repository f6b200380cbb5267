"""Versions: passed through where the protocols agree, made from the content where they do not (XLT, design rule 5)."""

import pytest

from weirtest import xds
from weirtest.clients import quiet
from weirtest.xds import CDS, EDS

pytestmark = pytest.mark.relay_only


@pytest.fixture
def world(plane):
    with plane.atomic():
        plane.set(CDS, [xds.cluster(name) for name in "ab"], version="clusters-7")
        plane.set(EDS, [xds.endpoints(name, 1) for name in "ab"], version="endpoints-9")
    return plane


def test_sotw_to_sotw_passes_the_version(world, relay_to, connect):
    client = connect(relay_to(world, "sotw"), "sotw")
    client.subscribe(CDS)
    assert client.expect(CDS).version == "clusters-7"
    client.subscribe(EDS, "a", "b")
    assert client.expect(EDS).version == "endpoints-9"
    world.update(CDS, [xds.cluster("a", 2)], version="clusters-8")
    assert client.expect(CDS).version == "clusters-8"
    # The changed cluster's endpoints follow, unchanged and under the version they had (ORD-05).
    repeated = client.expect(EDS)
    assert (repeated.version, repeated.names) == ("endpoints-9", ["a"])
    client.quiet()


def test_delta_to_delta_passes_resource_and_system_versions(world, relay_to, connect):
    client = connect(relay_to(world, "delta"), "delta")
    client.subscribe(CDS)
    first = client.expect(CDS)
    assert first.version == "clusters-7" and first.versions == {"a": "clusters-7", "b": "clusters-7"}
    world.update(CDS, [xds.cluster("a", 2)], version="clusters-8", versions={"a": "a-2"})
    second = client.expect(CDS)
    assert second.version == "clusters-8" and second.versions == {"a": "a-2"}
    client.quiet()


def test_XLT_05_sotw_to_delta_versions_follow_the_bytes(world, relay_to, connect):
    relay = relay_to(world, "sotw")
    client = connect(relay, "delta")
    client.subscribe(CDS)
    client.converge(CDS, world.expected(CDS))
    before = client.versions(CDS)
    world.update(CDS, [xds.cluster("b", 2)], version="clusters-8")
    assert client.expect(CDS).names == ["b"]
    after = client.versions(CDS)
    assert after["a"] == before["a"] and after["b"] != before["b"]
    # The first content again has the first version again.
    world.update(CDS, [xds.cluster("b")], version="clusters-9")
    assert client.expect(CDS).versions == {"b": before["b"]}
    client.close()
    again = connect(relay, "delta")
    again.subscribe(CDS, versions=before)
    assert [name for response in again.settle() for name in response.names] == []


def test_XLT_05_two_relays_give_the_same_versions(world, relay_to, connect):
    clients = [connect(relay_to(world, "sotw"), "delta") for _ in range(2)]
    for client in clients:
        client.subscribe(CDS)
        client.converge(CDS, world.expected(CDS))
    assert clients[0].versions(CDS) == clients[1].versions(CDS)
    # A client that moves between them is not sent what it holds.
    moved = connect(clients[1].address, "delta")
    moved.subscribe(CDS, versions=clients[0].versions(CDS))
    assert [name for response in moved.settle() for name in response.names] == []


def test_XLT_06_delta_to_sotw_the_version_is_the_visible_content(world, relay_to, connect):
    clients = [connect(relay_to(world, "delta"), "sotw") for _ in range(2)]
    for client in clients:
        client.subscribe(CDS, "a")
        client.expect(CDS)
    assert clients[0].history[0].version == clients[1].history[0].version != ""
    world.update(CDS, [xds.cluster("b", 2)])
    quiet(*clients)
    world.update(CDS, [xds.cluster("a", 2)])
    assert clients[0].expect(CDS).version == clients[1].expect(CDS).version != clients[0].history[0].version


@pytest.mark.parametrize("combination", ["sotw-sotw", "delta-delta", "sotw-delta", "delta-sotw"])
def test_AGG_09_a_new_version_of_the_same_content_is_not_sent(world, relay_to, connect, combination):
    upstream, downstream = combination.split("-")
    relay = relay_to(world, upstream)
    client = connect(relay, downstream)
    client.subscribe(CDS)
    served = client.expect(CDS).version
    same = [xds.cluster(name) for name in "ab"]
    world.update(CDS, same, version="clusters-8", versions={"a": "clusters-8", "b": "clusters-8"}, force=True)
    client.quiet()
    # The served version stays the one under which the content last changed.
    late = connect(relay, downstream, node=xds.node("late"))
    late.subscribe(CDS)
    assert late.expect(CDS).version == served
    # What comes next is sent as usual.
    world.update(CDS, [xds.cluster("a", 2)], version="clusters-9")
    for each in (client, late):
        response = each.expect(CDS)
        assert "a" in response.names and response.version != served
    quiet(client, late)


def test_XLT_03_endpoints_removed_by_delta_stay_with_their_sotw_holders(world, relay_to, connect):
    relay = relay_to(world, "delta")
    holder = connect(relay, "sotw")
    holder.subscribe(EDS, "a")
    holder.expect(EDS)
    world.remove(EDS, "a")
    holder.quiet()
    late = connect(relay, "sotw", node=xds.node("late"))
    late.subscribe(EDS, "a")
    late.quiet()
    world.update(EDS, [xds.endpoints("a", 2)])
    for client in (holder, late):
        client.converge(EDS, world.expected(EDS, names="a"))


def test_XLT_01_a_partial_sotw_response_removes_no_endpoints(world, relay_to, connect):
    client = connect(relay_to(world, "sotw"), "delta")
    client.subscribe(EDS, "a", "b")
    client.converge(EDS, world.expected(EDS))
    world.update(EDS, [xds.endpoints("b", 2)])
    response = client.expect(EDS)
    assert (response.names, response.removed) == (["b"], [])
    client.quiet()


def test_XLT_04_absence_from_a_sotw_response_proves_nothing_for_a_name_never_seen(world, relay_to, connect):
    client = connect(relay_to(world, "sotw"), "delta")
    client.subscribe(CDS, "a", "zz")
    client.converge(CDS, world.expected(CDS, names="a"))
    world.update(CDS, [xds.cluster("a", 2)])
    client.converge(CDS, world.expected(CDS, names="a"))
    client.quiet()
    assert all(response.removed == [] for response in client.history)
    # A name that was there and now is not has been removed.
    world.remove(CDS, "a")
    assert client.expect(CDS).removed == ["a"]


@pytest.mark.parametrize("upstream", ["delta", "sotw"])
def test_XLT_10_a_type_of_delta_alone_is_silence_in_sotw(world, relay_to, connect, upstream):
    client = connect(relay_to(world, upstream), "sotw")
    virtual_hosts = xds.PREFIX + "envoy.config.route.v3.VirtualHost"
    client.request(virtual_hosts, resource_names=["routes/host"])
    client.quiet(0.5)
    client.subscribe(CDS)
    client.converge(CDS, world.expected(CDS))


def test_XLT_09_sotw_and_delta_clients_share_one_subscription_and_converge(plane, relay, connect, upstream_protocol):
    plane.set(CDS, [xds.cluster(f"c{i}") for i in range(20)])
    clients = [connect(relay, protocol) for protocol in ("sotw", "delta")]
    for client in clients:
        client.subscribe(CDS)
    for step in range(100):
        name = f"c{step * 7 % 25}"
        if step % 3 == 0:
            plane.remove(CDS, name)
        else:
            plane.update(CDS, [xds.cluster(name, step)])
    for client in clients:
        client.converge(CDS, plane.expected(CDS))
    assert len(plane.open_streams()) == 1 and len(plane.requests(CDS, "first")) == 1
    # No response held a name twice.
    for response in clients[1].history:
        names = response.names + response.removed
        assert len(set(names)) == len(names)
