"""What a client gets for what it subscribes to, in all four combinations of upstream and downstream protocol.

These tests hold for any conforming server, so they also run straight against the scripted control plane.
"""

import pytest

from weirtest import xds
from weirtest.clients import quiet
from weirtest.waiting import eventually
from weirtest.xds import CDS, CUSTOM, EDS, LDS, RDS, SRDS

pytestmark = pytest.mark.usefixtures("upstream_protocol")


@pytest.fixture
def world(plane):
    """Clusters and endpoints a, b, c; the cluster x is not in the wildcard's set; the endpoints e have no cluster."""
    with plane.atomic():
        plane.set(CDS, [xds.cluster(name) for name in "abcx"], version="c1", named_only="x")
        plane.set(EDS, [xds.endpoints(name, 1000) for name in "abce"], version="e1")
    return plane


# --- Both protocols.


def test_SOTW_02_DELTA_01_a_wildcard_brings_everything_and_what_is_added(world, relay, connect, protocol):
    client = connect(relay, protocol)
    client.subscribe(CDS)
    assert client.expect(CDS).names == ["a", "b", "c"]
    client.quiet()
    world.update(CDS, [xds.cluster("d")])
    assert client.expect(CDS).names == (["d"] if client.delta else ["a", "b", "c", "d"])
    client.quiet()
    assert client.held(CDS) == world.expected(CDS)


def test_SOTW_04_an_explicit_star_is_a_wildcard_and_joins_with_names(world, relay, connect, protocol):
    client = connect(relay, protocol)
    client.subscribe(CDS, "*", "x", "a")
    client.converge(CDS, world.expected(CDS, names="abcx"))
    client.quiet()
    assert all(len(set(response.names)) == len(response.names) for response in client.history)


def test_SOTW_01_the_node_comes_once(world, relay, connect, protocol):
    world.set(LDS, [xds.listener("l")])
    client = connect(relay, protocol)
    client.subscribe(CDS)
    client.converge(CDS, world.expected(CDS))
    # The node went with the first request and goes with no other.
    assert not client._message(LDS).HasField("node")
    client.subscribe(LDS)
    client.converge(LDS, world.expected(LDS))
    for stream in world.open_streams():
        assert stream.node.cluster == "web"


def test_SOTW_08_scoped_routes_are_always_whole(plane, relay, connect, protocol):
    plane.set(SRDS, [xds.scoped_routes(name, "r") for name in ("s1", "s2")])
    client = connect(relay, protocol)
    client.subscribe(SRDS)
    client.converge(SRDS, plane.expected(SRDS))
    plane.update(SRDS, [xds.scoped_routes("s1", "other")])
    assert client.expect(SRDS).names == (["s1"] if client.delta else ["s1", "s2"])
    plane.remove(SRDS, "s1")
    last = client.expect(SRDS)
    assert (last.names, last.removed) == (([], ["s1"]) if client.delta else (["s2"], []))
    client.quiet()


def test_names_bring_only_themselves(world, relay, connect, protocol):
    client = connect(relay, protocol)
    client.subscribe(EDS, "a", "b")
    client.converge(EDS, world.expected(EDS, names="ab"))
    world.update(EDS, [xds.endpoints("c", 2)])
    client.quiet()
    world.update(EDS, [xds.endpoints("b", 2)])
    assert client.expect(EDS).names == ["b"]
    client.quiet()


def test_SOTW_05_DELTA_16_a_change_of_one_named_cluster(world, relay, connect, protocol):
    client = connect(relay, protocol)
    client.subscribe(CDS, "a", "b", "x")
    client.converge(CDS, world.expected(CDS, names="abx"))
    client.quiet()
    world.update(CDS, [xds.cluster("b", 2)])
    assert client.expect(CDS).names == (["b"] if client.delta else ["a", "b", "x"])
    client.quiet()
    assert client.held(CDS) == world.expected(CDS, names="abx")


def test_SOTW_06_XLT_01_XLT_02_clusters_are_removed_to_the_last(world, relay, connect, protocol):
    client = connect(relay, protocol)
    client.subscribe(CDS)
    first = client.expect(CDS)
    with world.atomic():
        world.update(CDS, [xds.cluster("d")], remove=["a"])
    response = client.expect(CDS)
    if client.delta:
        assert (response.names, response.removed) == (["d"], ["a"])
    else:
        assert response.names == ["b", "c", "d"]
    client.quiet()
    world.remove(CDS, "b", "c", "d")
    last = client.expect(CDS)
    assert last.names == [] and sorted(last.removed) == (["b", "c", "d"] if client.delta else [])
    assert last.nonce not in (first.nonce, response.nonce) and last.version not in (first.version, response.version)
    client.quiet()


def test_SOTW_07_DELTA_20_the_removal_of_endpoints(world, relay, connect, protocol, upstream_protocol):
    client = connect(relay, protocol)
    client.subscribe(EDS, "a", "b")
    client.converge(EDS, world.expected(EDS, names="ab"))
    world.remove(EDS, "a")
    if client.delta and upstream_protocol == "delta":
        assert client.expect(EDS).removed == ["a"]
    client.quiet()
    world.update(EDS, [xds.endpoints("b", 2)])
    assert client.expect(EDS).names == ["b"]
    client.quiet()


def test_SOTW_09_a_name_given_up_and_named_again_is_sent_again(world, relay, connect, protocol):
    client = connect(relay, protocol)
    client.subscribe(EDS, "a")
    client.expect(EDS)
    client.unsubscribe(EDS, "a")
    client.quiet()
    client.subscribe(EDS, "a")
    assert client.expect(EDS).bodies == world.expected(EDS, names="a")
    client.subscribe(EDS, "b")
    response = client.expect(EDS)
    assert response.bodies["b"] == world.expected(EDS)["b"]
    client.quiet()


def test_SOTW_10_DELTA_08_a_missing_name_is_remembered(world, relay, connect, protocol, upstream_protocol):
    client = connect(relay, protocol)
    client.subscribe(EDS, "a", "zz")
    client.converge(EDS, world.expected(EDS, names="a"))
    if client.delta and upstream_protocol == "delta":
        eventually(lambda: any(response.removed == ["zz"] for response in client.history), "zz among the removed")
        client.drain()
    client.quiet()
    world.update(EDS, [xds.endpoints("zz", 1)])
    assert client.expect(EDS).names == ["zz"]
    client.quiet()


def test_SOTW_17_an_acknowledgement_and_a_repeated_request_get_no_answer(world, relay, connect, protocol):
    client = connect(relay, protocol, auto_ack=False)
    client.subscribe(EDS, "a")
    response = client.expect(EDS)
    client.ack(response)
    client.quiet()
    client.ack(response)
    client.quiet()


def test_SOTW_15_DELTA_11_after_a_nack_only_new_content_is_sent(world, relay, connect, protocol):
    client = connect(relay, protocol, auto_ack=False)
    client.subscribe(EDS, "a", "b")
    client.ack(client.expect(EDS))
    world.update(EDS, [xds.endpoints("a", 2)])
    rejected = client.expect(EDS)
    client.nack(rejected)
    client.quiet(0.5)
    client.nack(rejected)
    client.quiet()
    world.update(EDS, [xds.endpoints("a", 3)])
    better = client.expect(EDS)
    assert better.bodies["a"] == world.expected(EDS)["a"] and better.nonce != rejected.nonce
    client.ack(better)
    client.quiet()


def test_SOTW_16_DELTA_10_a_nack_may_carry_a_change_of_names(world, relay, connect, protocol):
    client = connect(relay, protocol, auto_ack=False)
    client.subscribe(EDS, "a")
    rejected = client.expect(EDS)
    message = client._answer(rejected, "no")
    if client.delta:
        message.resource_names_subscribe.append("b")
    else:
        message.resource_names.append("b")
    client.send(message)
    assert client.expect(EDS).names == ["b"]
    client.quiet()


def test_SOTW_21_types_on_one_stream_are_independent(world, relay, connect, protocol):
    client = connect(relay, protocol, auto_ack=False)
    client.subscribe(EDS, "e")
    client.subscribe(CDS)
    client.nack(client.expect(EDS))
    client.ack(client.expect(CDS))
    for timeout in (2, 3):
        world.update(CDS, [xds.cluster("b", timeout)])
        client.ack(client.expect(CDS))
    client.quiet()


def test_SOTW_11_nonces_never_repeat(world, relay, connect, protocol):
    client = connect(relay, protocol)
    client.subscribe(CDS)
    client.subscribe(EDS, "a")
    for port in range(2, 12):
        with world.atomic():
            world.update(CDS, [xds.cluster("a", port)])
            world.update(EDS, [xds.endpoints("a", port)])
        client.converge(CDS, world.expected(CDS))
        client.converge(EDS, world.expected(EDS, names="a"))
    nonces = [(response.type_url, response.nonce) for response in client.history]
    assert len(set(nonces)) == len(nonces) and all(nonce for _, nonce in nonces)


def test_SOTW_26_streams_of_one_node_are_independent(world, relay, connect, protocol):
    first, second = (connect(relay, protocol, service=EDS) for _ in range(2))
    first.subscribe(EDS, "a")
    second.subscribe(EDS, "b")
    first.converge(EDS, world.expected(EDS, names="a"))
    second.converge(EDS, world.expected(EDS, names="b"))
    first.close()
    world.update(EDS, [xds.endpoints("a", 2), xds.endpoints("b", 2)])
    second.converge(EDS, world.expected(EDS, names="b"))
    second.quiet()


@pytest.mark.parametrize("type_url", [CDS, EDS, LDS, RDS], ids=lambda url: xds.SHORT[url])
def test_per_type_services_serve_their_type(plane, relay, connect, protocol, type_url):
    resource = {CDS: xds.cluster, EDS: xds.endpoints, LDS: xds.listener, RDS: xds.routes}[type_url]
    plane.set(type_url, [resource("one")])
    client = connect(relay, protocol, service=type_url)
    client.subscribe(type_url, "one")
    client.converge(type_url, plane.expected(type_url))
    client.quiet()


def test_ORD_06_ORD_07_dependent_types_are_answered_first_and_in_part(world, relay, connect, protocol):
    world.set(LDS, [xds.listener("l")])
    client = connect(relay, protocol)
    client.subscribe(EDS, "a", "zz")
    assert client.expect(EDS).names == ["a"]
    client.subscribe(LDS)
    assert client.expect(LDS).names == ["l"]


def test_UP_04_AGG_22_unknown_types_and_fields_pass_untouched(plane, relay, connect, protocol):
    # A field that nobody declares (number 1000), and a varint in more bytes than it needs.
    odd = xds.thing("t", "text")
    odd.value += bytes([0xc0, 0x3e, 0x81, 0x80, 0x00])
    plane.set(CUSTOM, [odd])
    cluster = xds.pack(xds.cluster("a"))
    cluster.value += bytes([0xc0, 0x3e, 0x81, 0x80, 0x00])
    plane.set(CDS, [cluster])
    client = connect(relay, protocol)
    client.subscribe(CUSTOM)
    client.subscribe(CDS)
    client.converge(CUSTOM, {"t": odd.value})
    client.converge(CDS, {"a": cluster.value})


def test_NAME_01_names_are_opaque(plane, relay, connect, protocol):
    names = ["outbound|80||x/y*z", " spaced name ", "per%2Fcent", "grüße", "n" * 4096, "folder/*x"]
    plane.set(EDS, [xds.endpoints(name, 1) for name in names])
    client = connect(relay, protocol)
    client.subscribe(EDS, *names)
    client.converge(EDS, plane.expected(EDS))


def test_NAME_15_an_empty_list_of_endpoints_is_no_wildcard(world, relay, connect, protocol):
    client = connect(relay, protocol)
    client.subscribe(EDS)
    client.quiet()
    client.subscribe(EDS, "a")
    client.converge(EDS, world.expected(EDS, names="a"))


# --- SotW only.


def test_SOTW_03_after_a_name_an_empty_list_is_nothing(world, relay, connect):
    client = connect(relay, "sotw")
    client.subscribe(CDS)
    client.converge(CDS, world.expected(CDS))
    client.subscribe(CDS, "*", "x")
    client.converge(CDS, world.expected(CDS, names="abcx"))
    client.unsubscribe(CDS, "*")
    assert all(response.names == ["x"] for response in client.settle())
    client.unsubscribe(CDS, "x")
    assert all(response.names == [] for response in client.settle())
    world.update(CDS, [xds.cluster(name, 9) for name in "abcx"])
    quiet(client)


def test_SOTW_12a_a_request_under_way_with_a_new_response_is_not_lost(world, relay, connect):
    client = connect(relay, "sotw", auto_ack=False)
    client.subscribe(EDS, "a")
    first = client.expect(EDS)
    client.ack(first)
    world.update(EDS, [xds.endpoints("a", 2)])
    second = client.expect(EDS)
    client.request(EDS, resource_names=["a", "b"], response_nonce=first.nonce, version_info=first.version)
    client.request(EDS, resource_names=["a", "b"], response_nonce=second.nonce, version_info=second.version)
    third = client.expect(EDS)
    assert third.names == ["b"]
    client.names[EDS] = {"a", "b"}
    client.ack(third)
    client.quiet()


@pytest.mark.relay_only
def test_SOTW_12b_names_after_a_nack_are_not_lost_with_an_old_nonce(world, relay, connect):
    client = connect(relay, "sotw", auto_ack=False)
    client.subscribe(EDS, "a")
    first = client.expect(EDS)
    client.ack(first)
    world.update(EDS, [xds.endpoints("a", 2)])
    client.nack(client.expect(EDS))
    client.request(EDS, resource_names=["a", "b"], response_nonce=first.nonce, version_info=first.version)
    assert client.expect(EDS).names == ["b"]
    client.quiet()


def test_SOTW_12c_a_stale_request_without_news_gets_no_answer(world, relay, connect):
    client = connect(relay, "sotw", auto_ack=False)
    client.subscribe(EDS, "a")
    first = client.expect(EDS)
    client.ack(first)
    world.update(EDS, [xds.endpoints("a", 2)])
    client.ack(client.expect(EDS))
    client.request(EDS, resource_names=["a"], response_nonce=first.nonce, version_info=first.version)
    client.quiet()


def test_SOTW_13_an_empty_nonce_in_mid_stream_is_a_subscription(world, relay, connect):
    client = connect(relay, "sotw")
    client.subscribe(EDS, "a")
    client.expect(EDS)
    client.unsubscribe(EDS, "a")
    client.quiet()
    client.names[EDS] = {"a"}
    client.request(EDS, resource_names=["a"], response_nonce="", version_info="")
    assert client.expect(EDS).names == ["a"]
    client.quiet()


def test_SOTW_14_an_old_version_without_an_error_is_no_nack(world, relay, connect):
    client = connect(relay, "sotw", auto_ack=False)
    client.subscribe(EDS, "a")
    client.ack(client.expect(EDS))
    world.update(EDS, [xds.endpoints("a", 2)])
    second = client.expect(EDS)
    client.request(EDS, resource_names=["a", "b"], response_nonce=second.nonce, version_info="old")
    assert "b" in client.expect(EDS).names
    client.quiet()


def test_SOTW_20_a_burst_of_growing_lists_ends_complete(world, relay, connect):
    names = [f"e{i:03d}" for i in range(200)]
    world.set(EDS, [xds.endpoints(name, 1) for name in names])
    client = connect(relay, "sotw")
    client.names[EDS] = set(names)
    for count in range(1, len(names) + 1):
        client.request(EDS, resource_names=names[:count])
    client.converge(EDS, world.expected(EDS))
    client.settle()
    assert len(client.history) < 200
    world.update(EDS, [xds.endpoints("e000", 2)])
    assert client.expect(EDS).names == ["e000"]


@pytest.mark.relay_only
def test_SOTW_25_a_change_of_names_after_a_nack_is_no_ack(world, relay, connect):
    client = connect(relay, "sotw", auto_ack=False)
    client.subscribe(EDS, "a")
    first = client.expect(EDS)
    client.ack(first)
    world.update(EDS, [xds.endpoints("a", 2)])
    second = client.expect(EDS)
    client.nack(second, "cannot use this")

    def state():
        return relay.clients()[0]["types"]["eds"]

    eventually(lambda: state()["state"] == "nacked", "the NACK")
    client.request(EDS, resource_names=["a", "b"], response_nonce=second.nonce, version_info=first.version)
    third = client.expect(EDS)
    assert state()["state"] == "nacked" and state()["nack"]["version"] == second.version
    client.names[EDS] = {"a", "b"}
    client.ack(third)
    eventually(lambda: state()["state"] == "acked" and state()["nack"] is None, "the ACK")


@pytest.mark.parametrize("nonce", ["", "left-over"])
def test_SOTW_18_SOTW_19_a_version_from_an_earlier_stream_still_gets_endpoints(world, relay, connect, nonce):
    client = connect(relay, "sotw")
    client.subscribe(EDS, "a")
    version = client.expect(EDS).version
    client.close()
    again = connect(relay, "sotw")
    again.names[EDS] = {"a", "b"}
    again.request(EDS, resource_names=["a", "b"], version_info=version, response_nonce=nonce)
    again.converge(EDS, world.expected(EDS, names="ab"))
    again.quiet()


# --- Delta only.


def test_DELTA_01_an_empty_set_is_answered_once_it_is_known(world, relay, connect):
    client = connect(relay, "delta")
    client.subscribe(LDS)
    # The control plane has not spoken of listeners: that says nothing of them.
    client.quiet()
    world.set(LDS, [])
    response = client.expect(LDS)
    assert response.nonce and (response.names, response.removed) == ([], [])
    client.quiet()
    late = connect(relay, "delta", node=xds.node("late"))
    late.subscribe(LDS)
    assert late.expect(LDS).names == []
    world.set(LDS, [xds.listener("l")])
    for each in (client, late):
        assert each.expect(LDS).names == ["l"]
    quiet(client, late)


def test_DELTA_03_the_legacy_wildcard_ends_by_that_word_alone(world, relay, connect):
    client = connect(relay, "delta")
    client.subscribe(CDS)
    client.converge(CDS, world.expected(CDS))
    client.unsubscribe(CDS, "*")
    client.quiet()
    world.update(CDS, [xds.cluster(name, 2) for name in "abc"])
    client.quiet()
    client.subscribe(CDS, "*")
    assert client.expect(CDS).names == ["a", "b", "c"]



def test_DELTA_02_names_beside_the_legacy_wildcard_keep_it(world, relay, connect):
    client = connect(relay, "delta")
    client.subscribe(CDS)
    client.converge(CDS, world.expected(CDS))
    client.subscribe(CDS, "x")
    assert client.expect(CDS).names == ["x"]
    world.update(CDS, [xds.cluster("b", 2)])
    assert client.expect(CDS).names == ["b"]
    client.quiet()


def test_DELTA_03_DELTA_04_the_end_of_the_wildcard_and_of_everything(world, relay, connect):
    client = connect(relay, "delta")
    client.subscribe(CDS)
    client.expect(CDS)
    client.subscribe(CDS, "a")
    assert client.expect(CDS).names == ["a"]
    client.unsubscribe(CDS, "*")
    assert all(response.names == [] for response in client.settle())
    world.update(CDS, [xds.cluster(name, 2) for name in "abc"])
    assert client.expect(CDS).names == ["a"]
    client.unsubscribe(CDS, "a")
    client.quiet()
    world.update(CDS, [xds.cluster(name, 3) for name in "abc"])
    client.quiet()


def test_DELTA_05_a_repeated_subscription_is_answered_again(world, relay, connect):
    client = connect(relay, "delta")
    client.subscribe(EDS, "a")
    first = client.expect(EDS)
    client.subscribe(EDS, "a")
    assert client.expect(EDS).versions == first.versions
    client.quiet()
    for _ in range(2):
        client.subscribe(CDS, "*")
        assert client.expect(CDS).names == ["a", "b", "c"]
    client.quiet()


def test_DELTA_06_giving_up_a_name_under_a_wildcard_is_answered(world, relay, connect):
    client = connect(relay, "delta")
    client.subscribe(CDS)
    client.expect(CDS)
    client.subscribe(CDS, "x")
    assert client.expect(CDS).names == ["x"]
    client.unsubscribe(CDS, "x")
    assert client.expect(CDS).removed == ["x"]
    client.subscribe(CDS, "a")
    assert client.expect(CDS).names == ["a"]
    client.unsubscribe(CDS, "a")
    assert client.expect(CDS).names == ["a"]
    client.quiet()


def test_DELTA_07_giving_up_an_unknown_name_is_ignored(world, relay, connect):
    client = connect(relay, "delta")
    client.subscribe(EDS, "a")
    client.expect(EDS)
    client.unsubscribe(EDS, "never-seen")
    client.quiet()


def test_DELTA_09_a_stale_nonce_does_not_lose_a_subscription(world, relay, connect):
    client = connect(relay, "delta", auto_ack=False)
    client.subscribe(EDS, "a")
    first = client.expect(EDS)
    client.ack(first)
    world.update(EDS, [xds.endpoints("a", 2)])
    second = client.expect(EDS)
    client.request(EDS, response_nonce=first.nonce, resource_names_subscribe=["b"])
    client.ack(second)
    assert client.expect(EDS).names == ["b"]


def test_DELTA_12_known_versions_are_not_sent_again_on_a_new_stream(world, relay, connect):
    client = connect(relay, "delta")
    client.subscribe(CDS)
    client.converge(CDS, world.expected(CDS))
    held = client.versions(CDS)
    client.close()
    # Until the second stream opens, b changes, c goes and d comes.
    world.update(CDS, [xds.cluster("b", 2), xds.cluster("d")], remove=["c"])
    watcher = connect(relay, "delta", node=xds.node("watcher"))
    watcher.subscribe(CDS)
    watcher.converge(CDS, world.expected(CDS))
    again = connect(relay, "delta")
    again.subscribe(CDS, versions=held)
    response = again.expect(CDS)
    assert (response.names, response.removed) == (["b", "d"], ["c"])
    again.quiet()


def test_DELTA_13_a_known_version_is_not_a_subscription(world, relay, connect):
    client = connect(relay, "delta")
    client.subscribe(EDS, "a", versions={"b": "e1"})
    client.expect(EDS)
    client.drain()
    world.update(EDS, [xds.endpoints("b", 2)])
    client.quiet()


@pytest.mark.relay_only
def test_DELTA_14_no_response_names_a_resource_twice(world, relay, connect):
    client = connect(relay, "delta")
    client.subscribe(CDS)
    client.subscribe(CDS, "x", "a")
    client.converge(CDS, world.expected(CDS, names="abcx"))
    for count in range(2, 42):
        if count % 2:
            world.update(CDS, [xds.cluster("a", count)])
        else:
            world.remove(CDS, "a")
    client.converge(CDS, world.expected(CDS, names="abcx"))
    assert "a" in client.held(CDS)
    for response in client.history:
        names = [resource.name for resource in response.resources] + response.removed
        assert len(set(names)) == len(names)


def test_DELTA_15_every_resource_has_name_version_and_type(world, relay, connect):
    client = connect(relay, "delta")
    client.subscribe(CDS)
    for resource in client.expect(CDS).message.resources:
        assert resource.name and resource.version and resource.resource.type_url == CDS


def test_DELTA_17_other_types_flow_while_one_is_not_acknowledged(world, relay, connect):
    client = connect(relay, "delta", auto_ack=False)
    client.subscribe(EDS, "e")
    client.expect(EDS)
    client.subscribe(CDS)
    client.ack(client.expect(CDS))
    world.update(CDS, [xds.cluster("a", 2)])
    client.ack(client.expect(CDS))
    client.quiet()


def test_DELTA_19_star_subscribed_and_given_up_in_one_request_is_no_wildcard(world, relay, connect):
    client = connect(relay, "delta")
    client.request(CDS, resource_names_subscribe=["*"], resource_names_unsubscribe=["*"])
    assert all(response.names == [] for response in client.settle())
    world.update(CDS, [xds.cluster("a", 2)])
    client.quiet()
    client.subscribe(CDS, "x")
    assert client.expect(CDS).names == ["x"]
    client.quiet()
