"""Many clients, few upstream subscriptions: groups, unions, joiners, leavers, and clients that reject (AGG)."""

import pytest

from weirtest import xds
from weirtest.clients import quiet
from weirtest.waiting import eventually, never
from weirtest.xds import CDS, EDS, LDS

pytestmark = [pytest.mark.relay_only, pytest.mark.usefixtures("upstream_protocol")]
PROTOCOLS = ("delta", "sotw")


@pytest.fixture
def world(plane):
    with plane.atomic():
        plane.set(CDS, [xds.cluster(name) for name in "abc"])
        plane.set(EDS, [xds.endpoints(name, 1) for name in "abc"])
    return plane


def group(connect, relay, count, cluster="web"):
    """Clients of one group, every second one SotW."""
    return [
        connect(relay, PROTOCOLS[i % 2], node=xds.node(f"{cluster}-{i}", cluster)) for i in range(count)
    ]


def test_AGG_01_a_mixed_group_is_one_subscription_upstream(world, relay, connect):
    clients = group(connect, relay, 20)
    for client in clients:
        client.subscribe(CDS)
        client.subscribe(EDS, "a")
    for client in clients:
        client.converge(CDS, world.expected(CDS))
        client.converge(EDS, world.expected(EDS, names="a"))
    assert len(world.open_streams()) == 1
    assert len(world.requests(CDS, "first")) == 1 and len(world.requests(EDS, "first")) == 1
    world.update(CDS, [xds.cluster("d")])
    for client in clients:
        client.converge(CDS, world.expected(CDS))
    eventually(lambda: len(world.requests(CDS)) == 3, "one subscription and two ACKs")
    never(lambda: len(world.requests(CDS)) > 3, "more requests than that")


def test_AGG_01_two_hundred_mixed_clients_in_three_groups_are_three_streams(plane, relay, connect):
    plane.key_of = lambda node: node.cluster
    keys = ("one", "two", "three")
    for key in keys:
        plane.set(CDS, [xds.cluster(f"{key}-{i}") for i in range(10)], key=key)
        plane.set(EDS, [xds.endpoints(f"{key}-{i}", 1) for i in range(10)], key=key)
    clients = [(keys[i % 3], connect(relay, PROTOCOLS[i // 3 % 2], node=xds.node(f"n{i}", keys[i % 3])))
               for i in range(200)]
    for key, client in clients:
        client.subscribe(CDS)
        client.subscribe(EDS, f"{key}-1", f"{key}-2")
    for key, client in clients:
        client.converge(CDS, plane.expected(CDS, key))
        client.converge(EDS, plane.expected(EDS, key, names=(f"{key}-1", f"{key}-2")))
    assert len(plane.streams) == 3
    for key in keys:
        plane.update(EDS, [xds.endpoints(f"{key}-1", 2)], key=key)
    for key, client in clients:
        client.converge(EDS, plane.expected(EDS, key, names=(f"{key}-1", f"{key}-2")))
    assert len(plane.streams) == 3
    counts = {key: entry["streams"] for key, entry in relay.keys().items()}
    assert counts == {"one": 67, "two": 67, "three": 66}


def test_AGG_02_equal_names_and_versions_of_two_groups_stay_apart(plane, relay, connect, protocol):
    plane.key_of = lambda node: node.cluster
    for key, timeout in (("k", 1), ("l", 2)):
        plane.set(CDS, [xds.cluster("a", timeout)], version="v1", key=key)
    clients = {key: connect(relay, protocol, node=xds.node(cluster=key)) for key in "kl"}
    for client in clients.values():
        client.subscribe(CDS)
    for key, client in clients.items():
        client.converge(CDS, plane.expected(CDS, key))
    plane.update(CDS, [xds.cluster("a", 3)], version="v2", key="k")
    clients["k"].converge(CDS, plane.expected(CDS, "k"))
    clients["l"].quiet()


def test_AGG_03_only_the_rules_fields_make_the_key(world, relay, connect):
    first = connect(relay, "sotw", node=xds.node("one", region="here"))
    second = connect(relay, "delta", node=xds.node("two", region="there", metadata={"x": 1}))
    first.subscribe(CDS)
    second.subscribe(EDS, "a")
    first.converge(CDS, world.expected(CDS))
    second.converge(EDS, world.expected(EDS, names="a"))
    assert set(relay.keys()) == {"web"} and len(world.open_streams()) == 1


def test_AGG_04_the_node_upstream_outlives_the_client_that_brought_it(world, relay, connect):
    first = connect(relay, "delta", node=xds.node("first"))
    first.subscribe(CDS)
    first.expect(CDS)
    second = connect(relay, "delta", node=xds.node("second"))
    second.subscribe(CDS)
    second.expect(CDS)
    first.close()
    second.quiet()
    world.update(CDS, [xds.cluster("d")])
    second.expect(CDS)
    assert world.stream().node.id == "first" and len(world.streams) == 1


def test_AGG_04_a_template_makes_the_same_node_whoever_comes_first(world, relay_to, connect, upstream_protocol):
    nodes = []
    for first in ("one", "two"):
        relay = relay_to(world, upstream_protocol, node={"id": "weir/{key}", "cluster": "{node.cluster}"})
        client = connect(relay, "delta", node=xds.node(first, region="here"))
        client.subscribe(CDS)
        client.converge(CDS, world.expected(CDS))
        nodes.append(world.streams[-1].node.SerializeToString(deterministic=True))
        client.close()
    assert nodes[0] == nodes[1] and b"weir/web" in nodes[0] and b"here" in nodes[0]


def test_AGG_05_the_union_goes_upstream_and_each_client_gets_its_own(world, relay, connect, protocol):
    first, second = group(connect, relay, 2) if protocol == "delta" else reversed(group(connect, relay, 2))
    first.subscribe(EDS, "a", "b")
    second.subscribe(EDS, "b", "c")
    first.converge(EDS, world.expected(EDS, names="ab"))
    second.converge(EDS, world.expected(EDS, names="bc"))
    assert world.interest(EDS) == {"a", "b", "c"}
    world.update(EDS, [xds.endpoints("c", 2)])
    second.converge(EDS, world.expected(EDS, names="bc"))
    first.quiet()
    world.update(EDS, [xds.endpoints("b", 2)])
    first.converge(EDS, world.expected(EDS, names="ab"))
    second.converge(EDS, world.expected(EDS, names="bc"))
    quiet(first, second)


def test_AGG_06_a_joiner_is_answered_from_the_cache(world, relay, connect, protocol):
    first = connect(relay, "delta")
    first.subscribe(CDS)
    first.subscribe(EDS, "a", "b")
    first.converge(CDS, world.expected(CDS))
    first.converge(EDS, world.expected(EDS, names="ab"))
    first.quiet()
    seen = len(world.requests())
    world.pause()
    joiner = connect(relay, protocol, node=xds.node("joiner"))
    joiner.subscribe(CDS)
    joiner.subscribe(EDS, "b")
    joiner.converge(CDS, world.expected(CDS))
    joiner.converge(EDS, world.expected(EDS, names="b"))
    quiet(first, joiner)
    assert len(world.requests()) == seen


def test_AGG_07_a_name_outlives_its_last_subscriber_by_the_linger_time(world, relay, connect, protocol):
    stayer = connect(relay, "delta", node=xds.node("stayer"))
    stayer.subscribe(EDS, "c")
    stayer.expect(EDS)
    client = connect(relay, protocol)
    client.subscribe(EDS, "a")
    client.expect(EDS)
    client.quiet()
    seen = len(world.requests(EDS))
    # Back within the linger time: upstream hears nothing of it.
    client.unsubscribe(EDS, "a")
    client.subscribe(EDS, "a")
    client.expect(EDS)
    never(lambda: len(world.requests(EDS)) > seen, "a request upstream", 0.8)
    # Away for longer: the name goes, and a later subscriber gets fresh content.
    client.close()
    eventually(lambda: world.interest(EDS) == {"c"}, "the name to be given up upstream")
    world.update(EDS, [xds.endpoints("a", 2)])
    late = connect(relay, protocol)
    late.subscribe(EDS, "a")
    assert late.expect(EDS).bodies == world.expected(EDS, names="a")
    late.quiet()


def test_AGG_07_WIRE_08_a_group_outlives_its_last_stream_by_the_linger_time(world, relay, connect, protocol):
    client = connect(relay, protocol)
    client.subscribe(CDS)
    client.expect(CDS)
    client.close()
    eventually(lambda: not world.open_streams(), "the upstream stream to end")
    eventually(lambda: relay.keys() == {}, "the group to go")
    world.update(CDS, [xds.cluster("a", 5)])
    again = connect(relay, protocol)
    again.subscribe(CDS)
    again.converge(CDS, world.expected(CDS))


@pytest.mark.parametrize("way", ["half-close", "cancel"])
def test_WIRE_08_every_way_a_stream_ends_releases_it(world, relay, connect, protocol, way):
    client = connect(relay, protocol)
    client.subscribe(EDS, "a")
    client.expect(EDS)
    if way == "half-close":
        client.half_close()
        assert client.status()[0].name == "OK"
    else:
        client.close()
    eventually(lambda: relay.clients() == [], "the stream to be gone from /clients")
    eventually(lambda: not world.open_streams(), "the upstream stream to end")


def test_AGG_11_simultaneous_first_subscribers_are_one_request(world, relay, connect):
    world.pause()
    clients = group(connect, relay, 30)
    for client in clients:
        client.subscribe(EDS, "a")
    eventually(lambda: world.interest(EDS) == {"a"}, "the interest upstream")
    world.resume()
    for client in clients:
        client.converge(EDS, world.expected(EDS, names="a"))
    assert sum("a" in request.names for request in world.requests(EDS) if request.kind != "ack") == 1


def test_AGG_12_a_nack_stays_with_the_client_that_sent_it(world, relay, connect, protocol):
    good = connect(relay, protocol, node=xds.node("good"))
    bad = connect(relay, protocol, node=xds.node("bad"), auto_ack=False)
    for client in (good, bad):
        client.subscribe(CDS)
    good.expect(CDS)
    bad.ack(bad.expect(CDS))
    world.update(CDS, [xds.cluster("a", 2)])
    good.expect(CDS)
    bad.nack(bad.expect(CDS), "cannot use this")
    quiet(good, bad)
    assert world.nacks() == []
    state = {client["node"]: client["types"]["cds"] for client in relay.clients()}
    assert state["good"]["state"] == "acked" and state["good"]["nack"] is None
    assert state["bad"]["state"] == "nacked" and "cannot use this" in state["bad"]["nack"]["message"]
    assert relay.keys()["web"]["types"]["cds"]["nacked"] == 1
    assert relay.metric("weir_downstream_nacks_total", type="cds") == 1
    relay.wait_log("cannot use this")
    world.update(CDS, [xds.cluster("a", 3)])
    good.expect(CDS)
    bad.ack(bad.expect(CDS))
    quiet(good, bad)
    eventually(lambda: all(c["types"]["cds"]["nack"] is None for c in relay.clients()), "the NACK to be forgotten")


def test_AGG_13_the_upstreams_ack_waits_for_no_client(world, relay, connect):
    clients = [connect(relay, protocol, node=xds.node(protocol), auto_ack=False) for protocol in PROTOCOLS]
    for client in clients:
        client.subscribe(CDS)
        client.expect(CDS)
    for timeout in range(2, 6):
        world.update(CDS, [xds.cluster("a", timeout)])
    subscription = world.stream().subscriptions[CDS]
    eventually(lambda: subscription.acked_nonce == subscription.nonce, "the ACK of the newest")
    # Nor does their rejection reach it.
    for client in clients:
        client.nack(client.history[0])
    eventually(lambda: relay.metric("weir_downstream_nacks_total", type="cds") == 2, "the NACKs to be counted")
    for client in clients:
        client.expect(CDS)
    assert world.nacks() == []


def test_AGG_14_clients_get_the_same_bytes_under_nonces_of_their_own(world, relay, connect):
    clients = group(connect, relay, 40)
    for client in clients:
        client.subscribe(CDS)
    for timeout in range(2, 8):
        world.update(CDS, [xds.cluster("a", timeout)])
    for client in clients:
        client.converge(CDS, world.expected(CDS))
        nonces = [response.nonce for response in client.history]
        assert len(set(nonces)) == len(nonces)
        assert not {response.nonce for response in client.history} & {sent.nonce for sent in world.stream().sent}


def test_AGG_15_a_client_moves_between_relays_with_the_versions_it_holds(world, relay_to, connect):
    relays = [relay_to(world, "delta") for _ in range(2)]
    clients = [connect(relay, "delta") for relay in relays]
    for client in clients:
        client.subscribe(CDS)
        client.converge(CDS, world.expected(CDS))
    assert clients[0].versions(CDS) == {name: world.resource_version(CDS, name) for name in "abc"}
    moved = connect(relays[1], "delta", node=xds.node("moved"))
    moved.subscribe(CDS, versions=clients[0].versions(CDS))
    moved.quiet()
    world.update(CDS, [xds.cluster("b", 2)])
    assert moved.expect(CDS).names == ["b"]
    # The control plane itself takes them too.
    home = connect(world, "delta", node=xds.node("home"))
    home.subscribe(CDS, versions=clients[1].versions(CDS) | moved.versions(CDS))
    home.settle()
    assert all(response.names == [] for response in home.history)


def test_AGG_16_a_name_of_one_client_sends_nothing_to_the_others(world, relay, connect, protocol):
    first, second = (connect(relay, protocol, node=xds.node(name)) for name in ("one", "two"))
    first.subscribe(EDS, "a")
    first.expect(EDS)
    second.subscribe(EDS, "b")
    second.expect(EDS)
    quiet(first, second)
    second.unsubscribe(EDS, "b")
    quiet(first, second, seconds=1.0)


def test_AGG_17_a_named_cluster_of_one_client_is_not_in_the_wildcard_of_another(world, relay, connect, protocol):
    world.update(CDS, [xds.cluster("x")], named_only="x")
    wild = connect(relay, protocol, node=xds.node("wild"))
    wild.subscribe(CDS)
    wild.converge(CDS, world.expected(CDS))
    picky = connect(relay, protocol, node=xds.node("picky"))
    picky.subscribe(CDS, "x")
    picky.converge(CDS, world.expected(CDS, names="x"))
    quiet(wild, picky)
    late = connect(relay, protocol, node=xds.node("late"))
    late.subscribe(CDS)
    late.converge(CDS, world.expected(CDS))
    late.quiet()


def test_AGG_17_giving_a_name_up_is_answered_only_beside_the_wildcard(world, relay, connect):
    world.update(CDS, [xds.cluster("x")], named_only="x")
    picky, both = (connect(relay, "delta", node=xds.node(name)) for name in ("picky", "both"))
    picky.subscribe(CDS, "x")
    both.subscribe(CDS)
    both.subscribe(CDS, "x")
    picky.converge(CDS, world.expected(CDS, names="x"))
    both.converge(CDS, world.expected(CDS, names="abcx"))
    quiet(picky, both)
    picky.unsubscribe(CDS, "x")
    picky.quiet()
    both.unsubscribe(CDS, "x")
    assert both.expect(CDS).removed == ["x"]
    world.update(CDS, [xds.cluster("x", 2)])
    quiet(picky, both)
    assert both.held(CDS) == world.expected(CDS)


def test_AGG_18_a_missing_name_is_known_to_whoever_asks_next(world, relay_to, connect):
    relay = relay_to(world, "delta")
    first, second = (connect(relay, "delta", node=xds.node(name)) for name in ("one", "two"))
    first.subscribe(CDS, "zz")
    assert first.expect(CDS).removed == ["zz"]
    eventually(lambda: world.requests(CDS)[-1].kind == "ack", "the ACK")
    seen = len(world.requests())
    world.pause()
    second.subscribe(CDS, "zz")
    assert second.expect(CDS).removed == ["zz"]
    quiet(first, second)
    assert len(world.requests()) == seen
    world.resume()
    world.update(CDS, [xds.cluster("zz")])
    for client in (first, second):
        assert client.expect(CDS).names == ["zz"]


def test_AGG_19_limits_of_the_cache_take_nothing_from_those_who_use_it(world, relay_to, connect, upstream_protocol,
                                                                      protocol):
    world.key_of = lambda node: ""
    world.set(EDS, [xds.endpoints(f"e{i}", 1) for i in range(50)])
    relay = relay_to(world, upstream_protocol, {"cache": {"max_groups": 1}})
    client = connect(relay, protocol)
    client.subscribe(EDS, *(f"e{i}" for i in range(50)))
    client.converge(EDS, world.expected(EDS))
    for count in range(3):
        newcomer = connect(relay, protocol, node=xds.node("other", f"group-{count}"))
        newcomer.subscribe(EDS, "e1")
        code, message = newcomer.status()
        assert code.name == "RESOURCE_EXHAUSTED" and "max_groups" in message
    client.quiet()
    assert world.interest(EDS) == {f"e{i}" for i in range(50)}
    world.update(EDS, [xds.endpoints("e7", 2)])
    assert client.expect(EDS).names == ["e7"]
    # There is room again when the group is gone.
    client.close()
    eventually(lambda: relay.keys() == {}, "the group to go")
    late = connect(relay, protocol, node=xds.node("late", "another"))
    late.subscribe(EDS, "e1")
    late.expect(EDS)


def test_AGG_20_the_node_of_the_first_request_holds_for_the_stream(world, relay, connect, protocol):
    client = connect(relay, protocol)
    client.subscribe(CDS)
    client.expect(CDS)
    client.request(LDS, node=xds.node("somebody", "else"))
    client.quiet()
    assert relay.metric("weir_downstream_node_changes_total") == 1
    assert set(relay.keys()) == {"web"}


def test_AGG_21_a_response_is_seen_whole_by_those_who_come_and_go(plane, relay, connect):
    def state(round):
        return [xds.cluster(f"r{round}-{i}") for i in range(100)]

    plane.set(CDS, state(0))
    watchers = group(connect, relay, 4)
    for client in watchers:
        client.subscribe(CDS)
    seen = []
    for round in range(1, 9):
        plane.set(CDS, state(round))
        joiner = connect(relay, PROTOCOLS[round % 2], node=xds.node(f"joiner-{round}"))
        joiner.subscribe(CDS)
        seen.append(joiner)
    for client in watchers + seen:
        client.converge(CDS, plane.expected(CDS))
        held = set()
        for response in client.history:
            held = (held | set(response.names)) - set(response.removed) if client.delta else set(response.names)
            assert len(held) == 100 and len({name.split("-")[0] for name in held}) == 1


def test_AGG_23_what_must_not_be_cached_is_fetched_for_each_subscriber(world, relay_to, connect, protocol):
    world.do_not_cache = {"a"}
    relay = relay_to(world, "delta")
    first, second = (connect(relay, protocol, node=xds.node(name)) for name in ("one", "two"))
    first.subscribe(EDS, "a", "b")
    first.converge(EDS, world.expected(EDS, names="ab"))
    first.quiet()
    if first.delta:
        flags = {r.name: r.cache_control.do_not_cache for sent in first.history for r in sent.message.resources}
        assert flags == {"a": True, "b": False}
    asked = len([request for request in world.requests(EDS) if "a" in request.names])
    # The answer that is held serves nobody: the joiner waits for the control plane.
    world.pause()
    second.subscribe(EDS, "a", "b")
    assert second.expect(EDS).names == ["b"]
    second.quiet()
    assert len([request for request in world.requests(EDS) if "a" in request.names]) == asked + 1
    world.resume()
    second.converge(EDS, world.expected(EDS, names="ab"))
    quiet(first, second)
    world.update(EDS, [xds.endpoints("a", 2)])
    for client in (first, second):
        assert client.expect(EDS).names == ["a"]


def test_rules_take_fields_groups_defaults_and_types(plane, relay_to, connect, upstream_protocol):
    plane.key_of = lambda node: node.cluster
    plane.set(CDS, [xds.cluster("edge")], key="edge-prod")
    plane.set(LDS, [xds.listener("edge")], key="edge-prod")
    plane.set(CDS, [xds.cluster("other")], key="other")
    relay = relay_to(plane, upstream_protocol, {"aggregation": {"rules": [
        {"name": "edge-clusters", "match": {"node.cluster": "edge-(?<env>[a-z]+)", "node.metadata.tier": "gold|silver",
                                            "type": ["cds", "eds"]},
         "key": "edge/{env}/{node.locality.region}"},
        {"name": "rest", "key": "rest/{node.cluster}/{node.metadata.zone:-none}"},
    ]}})
    client = connect(relay, "delta", node=xds.node("n1", "edge-prod", "eu/west", {"tier": "gold"}))
    client.subscribe(CDS)
    client.subscribe(LDS)
    client.converge(CDS, plane.expected(CDS, "edge-prod"))
    client.converge(LDS, plane.expected(LDS, "edge-prod"))
    other = connect(relay, "sotw", node=xds.node("n2", "other", "eu", {"tier": "lead", "zone": 8080}))
    other.subscribe(CDS)
    other.converge(CDS, plane.expected(CDS, "other"))
    assert set(relay.keys()) == {"edge/prod/eu%2Fwest", "rest/edge-prod/none", "rest/other/8080"}


def test_weir_behind_weir_gives_the_same(world, relay, relay_to, connect, upstream_protocol, protocol):
    far = relay_to(relay, upstream_protocol)
    near_client, far_client = (connect(each, protocol) for each in (relay, far))
    for client in (near_client, far_client):
        client.subscribe(CDS)
        client.subscribe(EDS, "a", "b")
    for timeout in (1, 2):
        with world.atomic():
            world.update(CDS, [xds.cluster("a", timeout)])
            world.update(EDS, [xds.endpoints("a", timeout)])
        for client in (near_client, far_client):
            client.converge(CDS, world.expected(CDS))
            client.converge(EDS, world.expected(EDS, names="ab"))
    if protocol == upstream_protocol == "delta":
        assert near_client.versions(CDS) == far_client.versions(CDS)
    assert len(world.open_streams()) == 1
    world.remove(CDS, "c")
    for client in (near_client, far_client):
        client.converge(CDS, world.expected(CDS))
        client.settle()
    quiet(near_client, far_client)
