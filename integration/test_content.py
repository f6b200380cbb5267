"""What resources carry beside their payload: times to live, names that mean more, aliases, errors.

The control plane says everything by hand here, so that a test decides each entry of a response.
"""

import pytest
from envoy.config.route.v3 import route_components_pb2
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf import any_pb2, duration_pb2
from google.rpc import status_pb2

from weirtest import xds
from weirtest.waiting import eventually
from weirtest.xds import CDS, EDS, RDS

pytestmark = pytest.mark.relay_only

WRAPPER = xds.PREFIX + "envoy.service.discovery.v3.Resource"
VHDS = xds.PREFIX + "envoy.config.route.v3.VirtualHost"
LEDS = xds.PREFIX + "envoy.config.endpoint.v3.LbEndpoint"
TTL, WRAPS, WRAPS_TOO = ("xds.config.supports-resource-ttl", "xds.config.resource-in-sotw",
                         "xds.config.supports-resource-in-sotw")
NOT_FOUND, UNAVAILABLE = 5, 14


def entry(name, message=None, version="1", ttl=None, aliases=(), type_url=None, do_not_cache=False):
    """An entry of a response: without a message it has no payload."""
    made = discovery_pb2.Resource(name=name, version=version, aliases=aliases)
    if isinstance(message, bytes):
        made.resource.CopyFrom(any_pb2.Any(type_url=type_url, value=message))
    elif message is not None:
        made.resource.CopyFrom(xds.pack(message))
    if ttl is not None:
        made.ttl.CopyFrom(duration_pb2.Duration(seconds=int(ttl), nanos=round(ttl % 1 * 1e9)))
    if do_not_cache:
        made.cache_control.do_not_cache = True
    return made


def error(name, code, message="why"):
    return discovery_pb2.ResourceError(
        resource_name=discovery_pb2.ResourceName(name=name), error_detail=status_pb2.Status(code=code, message=message))


class Voice:
    """Says responses by hand, in whichever protocol the relay speaks upstream; the plane itself stays silent."""

    def __init__(self, plane, protocol):
        self.plane, self.protocol = plane, protocol

    def stream(self, type_url, name=None):
        """The stream that asked for the type (and the name)."""
        self.plane.silent.add(type_url)

        def find():
            for stream in self.plane.open_streams():
                interest = stream.interest(type_url)
                if type_url in stream.subscriptions and (name is None or name in interest):
                    return stream
            return None

        return eventually(find, f"a request for {name or type_url}")

    def say(self, type_url, *entries, removed=(), errors=(), version="v1", name=None):
        stream = self.stream(type_url, name)
        nonce = self.plane.next_nonce()
        if self.protocol == "delta":
            response = discovery_pb2.DeltaDiscoveryResponse(
                type_url=type_url, nonce=nonce, system_version_info=version, resources=entries,
                removed_resources=removed, resource_errors=errors)
        else:
            assert not removed, "SotW has no word for a removal"
            wrapped = [any_pb2.Any(type_url=WRAPPER, value=each.SerializeToString()) for each in entries]
            response = discovery_pb2.DiscoveryResponse(
                type_url=type_url, nonce=nonce, version_info=version, resources=wrapped, resource_errors=errors)
        stream.subscriptions[type_url].nonce = nonce
        self.plane.push_raw(response, stream)


@pytest.fixture
def voice(plane, upstream_protocol):
    plane.silent.update([CDS, EDS, RDS, VHDS, LEDS])
    return Voice(plane, upstream_protocol)


def entries(response):
    """name → entry of a response; SotW entries are unwrapped, those without wrapper have the payload alone."""
    if isinstance(response.message, discovery_pb2.DeltaDiscoveryResponse):
        return {each.name: each for each in response.message.resources}
    found = {}
    for each in response.message.resources:
        if each.type_url == WRAPPER:
            inner = discovery_pb2.Resource.FromString(each.value)
            found[inner.name] = inner
        else:
            found[xds.name_of(response.type_url, each.value)] = discovery_pb2.Resource(resource=each)
    return found


def ttl_of(made):
    return made.ttl.seconds + made.ttl.nanos / 1e9 if made.HasField("ttl") else None


def errors_of(response):
    return {each.resource_name.name: each.error_detail.code for each in response.message.resource_errors}


# --- Times to live.


@pytest.mark.parametrize("features", [(), (TTL, ), (WRAPS, ), (TTL, WRAPS), (TTL, WRAPS_TOO)], ids="-".join)
def test_TTL_01_who_is_told_of_a_time_to_live(voice, relay, connect, protocol, features):
    client = connect(relay, protocol, node=xds.node(client_features=features))
    client.subscribe(CDS)
    voice.say(CDS, entry("a", xds.cluster("a"), ttl=30))
    made = entries(client.expect(CDS))["a"]
    assert made.resource.value == xds.pack(xds.cluster("a")).value
    takes = client.delta or TTL in features and len(features) == 2
    assert ttl_of(made) == (30 if takes else None)
    client.quiet()


def test_TTL_02_TTL_06_heartbeats_are_no_updates(voice, relay, connect, protocol):
    client = connect(relay, protocol, node=xds.node(client_features=[TTL, WRAPS]))
    plain = connect(relay, "sotw")
    client.subscribe(CDS)
    plain.subscribe(CDS)
    voice.say(CDS, entry("a", xds.cluster("a"), ttl=30), entry("b", xds.cluster("b")))
    first = client.expect(CDS)
    plain.expect(CDS)
    for _ in range(3):
        voice.say(CDS, entry("a", ttl=40))
        beat = entries(client.expect(CDS))
        assert ttl_of(beat["a"]) == 40
        if client.delta:
            assert list(beat) == ["a"] and not beat["a"].HasField("resource")
            assert beat["a"].version == entries(first)["a"].version
        else:
            # Envoy takes a set without b for its deletion, so everything is there, and whole.
            assert sorted(beat) == ["a", "b"] and beat["a"].resource.value == entries(first)["a"].resource.value
    plain.quiet()
    late = connect(relay, protocol, node=xds.node(client_features=[TTL, WRAPS]))
    late.subscribe(CDS)
    made = entries(late.expect(CDS))
    assert made["a"].resource.value == xds.pack(xds.cluster("a")).value
    assert not voice.plane.nacks(CDS)


def test_TTL_03_TTL_04_without_heartbeats_it_ends_and_joiners_get_what_is_left(plane, voice, relay, connect, protocol):
    watcher = connect(relay, "delta")
    watcher.subscribe(CDS)
    voice.say(CDS, entry("a", xds.cluster("a"), ttl=3), entry("b", xds.cluster("b")))
    begun = watcher.expect(CDS).at
    plane.stop()
    watcher.quiet(1.0)
    joiner = connect(relay, protocol, node=xds.node(client_features=[TTL, WRAPS]))
    joiner.subscribe(CDS)
    response = joiner.expect(CDS)
    left = ttl_of(entries(response)["a"])
    assert left <= 3 - 1.0 and left >= 3 - (response.at - begun) - 0.5
    gone = watcher.expect(CDS)
    assert gone.removed == ["a"] and 2.5 <= gone.at - begun <= 4
    late = connect(relay, protocol)
    late.subscribe(CDS)
    assert late.expect(CDS).names == ["b"]
    watcher.quiet()


def test_TTL_07_XLT_05_another_time_to_live_is_no_other_content(voice, relay, connect):
    client = connect(relay, "delta")
    client.subscribe(CDS)
    voice.say(CDS, entry("a", xds.cluster("a"), ttl=30))
    client.expect(CDS)
    before = client.versions(CDS)
    voice.say(CDS, entry("a", xds.cluster("a"), ttl=2))
    assert ttl_of(entries(client.expect(CDS))["a"]) == 2
    voice.say(CDS, entry("a", xds.cluster("a")))
    made = entries(client.expect(CDS))["a"]
    assert ttl_of(made) is None and made.version == before["a"]
    client.quiet(2.5)


# --- Names.


def test_NAME_02_the_order_of_parameters_does_not_matter(plane, voice, relay, connect, protocol):
    name, other = "xdstp://x/t/foo?a=1&b=2", "xdstp://x/t/foo?b=2&a=1"
    one, two = connect(relay, protocol), connect(relay, protocol)
    one.subscribe(EDS, name)
    two.subscribe(EDS, other)
    voice.stream(EDS, name)
    voice.say(EDS, entry(name, xds.endpoints(name, 1)))
    for client in (one, two):
        assert client.expect(EDS).names == [name]
    assert plane.interest(EDS) == {name}
    one.subscribe(EDS, "xdstp://x/t/foo?a=1")
    eventually(lambda: plane.interest(EDS) == {name, "xdstp://x/t/foo?a=1"}, "another subscription")
    one.quiet()


def test_NAME_03_NAME_04_NAME_12_glob_collections(plane, relay_to, connect):
    voice = Voice(plane, "delta")
    relay = relay_to(plane, "delta")
    client = connect(relay, "delta")
    glob = "xdstp://x/envoy.config.endpoint.v3.LbEndpoint/foo/*?t=1"
    member = glob.replace("*", "a")
    client.subscribe(LEDS, glob)
    voice.say(LEDS, removed=[glob])
    assert client.expect(LEDS).removed == [glob]
    voice.say(LEDS, entry(member, b"", type_url=LEDS), entry(member.replace("?t=1", ""), b"", type_url=LEDS))
    assert client.expect(LEDS).names == [member]
    late = connect(relay, "delta")
    late.subscribe(LEDS, glob)
    assert late.expect(LEDS).names == [member]
    voice.say(LEDS, removed=[member])
    assert client.expect(LEDS).removed == late.expect(LEDS).removed == [member]
    # A glob of another type, and LEDS over SotW, which does not exist: silence (XLT-10).
    sotw = connect(relay, "sotw")
    sotw.subscribe(LEDS, glob)
    sotw.quiet()


def host(name):
    return route_components_pb2.VirtualHost(name=name, domains=[name])


def test_NAME_08_NAME_09_DELTA_22_virtual_hosts_by_alias(plane, relay_to, connect):
    voice = Voice(plane, "delta")
    relay = relay_to(plane, "delta", {"cache": {"linger": "100ms"}})
    one, two = connect(relay, "delta"), connect(relay, "delta")
    one.subscribe(VHDS, "rc/foo.com")
    voice.say(VHDS, entry("rc/vh1", host("vh1"), aliases=["rc/foo.com", "rc/bar.com"]))
    first = entries(one.expect(VHDS))["rc/vh1"]
    assert list(first.aliases) == ["rc/foo.com", "rc/bar.com"]
    two.subscribe(VHDS, "rc/bar.com")
    assert entries(two.expect(VHDS))["rc/vh1"] == first
    one.subscribe(VHDS, "rc/zz")
    voice.say(VHDS, entry("rc/zz", aliases=["rc/zz"]), name="rc/zz")
    unresolved = entries(one.expect(VHDS))["rc/zz"]
    assert not unresolved.HasField("resource") and list(unresolved.aliases) == ["rc/zz"]
    one.unsubscribe(VHDS, "rc/foo.com")
    eventually(lambda: plane.interest(VHDS) == {"rc/bar.com", "rc/zz"}, "the alias to be given up")
    voice.say(VHDS, entry("rc/vh1", host("new"), version="2", aliases=["rc/foo.com", "rc/bar.com"]))
    assert two.expect(VHDS).versions == {"rc/vh1": "2"}
    one.quiet()
    voice.say(VHDS, removed=["rc/vh1"])
    assert "rc/vh1" in two.expect(VHDS).removed
    assert not plane.nacks(VHDS)


def test_NAME_11_a_cluster_on_demand(voice, relay, connect, protocol, upstream_protocol):
    client = connect(relay, protocol)
    client.subscribe(CDS, "x")
    voice.say(CDS, entry("x", xds.cluster("x")), name="x")
    assert client.expect(CDS).names == ["x"]
    wild = connect(relay, protocol)
    wild.subscribe(CDS)
    voice.say(CDS, entry("a", xds.cluster("a")), name="*")
    assert wild.expect(CDS).names == ["a"]
    wild.subscribe(CDS, *([] if wild.delta else ["*"]), "x")
    wild.converge(CDS, {each: xds.pack(xds.cluster(each)).value for each in "ax"})
    client.quiet()
    if upstream_protocol == "delta" and client.delta:
        client.subscribe(CDS, "zz")
        voice.stream(CDS, "zz")
        voice.say(CDS, removed=["zz"], name="zz")
        assert client.expect(CDS).removed == ["zz"]
        late = connect(relay, protocol)
        late.subscribe(CDS, "zz")
        assert late.expect(CDS, timeout=1).removed == ["zz"]


def test_NAME_13_dynamic_parameters_are_refused(voice, relay, connect, protocol):
    client = connect(relay, protocol)
    locator = discovery_pb2.ResourceLocator(name="a", dynamic_parameters={"env": "prod"})
    field = "resource_locators_subscribe" if client.delta else "resource_locators"
    client.request(EDS, **{field: [locator]})
    code, message = client.status()
    assert code.name == "INVALID_ARGUMENT" and "resource locators" in message


# --- Errors of resources.


def test_NAME_14_errors_leave_what_is_held(voice, relay, connect, protocol):
    client = connect(relay, protocol)
    client.subscribe(CDS)
    voice.say(CDS, entry("a", xds.cluster("a")), entry("b", xds.cluster("b")))
    client.expect(CDS)
    voice.say(CDS, entry("a", xds.cluster("a", 2), version="2"), errors=[error("b", UNAVAILABLE)], version="v2")
    response = client.expect(CDS)
    if client.delta:
        assert response.names == ["a"] and errors_of(response) == {"b": UNAVAILABLE}
    else:
        assert response.names == ["a", "b"] and errors_of(response) == {}
    late = connect(relay, protocol)
    late.subscribe(CDS)
    assert late.expect(CDS).names == ["a", "b"]
    client.quiet()


def test_NAME_14_XLT_11_errors_of_what_is_not_there(voice, relay, connect, protocol):
    client, bystander = connect(relay, protocol), connect(relay, protocol)
    client.subscribe(EDS, "b", "zz")
    bystander.subscribe(EDS, "a")
    eventually(lambda: voice.plane.interest(EDS) == {"a", "b", "zz"}, "all names upstream")
    voice.say(EDS, errors=[error("b", UNAVAILABLE), error("zz", NOT_FOUND)])
    response = client.expect(EDS)
    if client.delta:
        assert (response.removed, errors_of(response)) == (["zz"], {"b": UNAVAILABLE})
    else:
        assert (response.names, errors_of(response)) == ([], {"b": UNAVAILABLE, "zz": NOT_FOUND})
    late = connect(relay, protocol)
    late.subscribe(EDS, "b")
    assert errors_of(late.expect(EDS)) == {"b": UNAVAILABLE}
    voice.say(EDS, entry("b", xds.endpoints("b", 1)))
    assert client.expect(EDS).names == late.expect(EDS).names == ["b"]
    later = connect(relay, protocol)
    later.subscribe(EDS, "b")
    assert errors_of(later.expect(EDS)) == {}
    bystander.quiet()


# --- Large answers.


def test_DELTA_21_WIRE_06_an_answer_of_hundreds_of_pieces(plane, relay_to, connect, upstream_protocol):
    relay = relay_to(plane, upstream_protocol, {"downstream": {"limits": {"max_response_size": "64KiB"}}})
    plane.set(CDS, [xds.cluster(f"{i:05}-{'x' * 2000}") for i in range(4000)])
    client = connect(relay, "delta")
    client.subscribe(CDS)
    responses = client.converge(CDS, plane.expected(CDS), timeout=30)
    assert len(responses) > 64
    assert max(response.message.ByteSize() for response in responses) <= 64 * 1024
    assert len({response.nonce for response in responses}) == len(responses)
    assert sum(len(response.names) for response in responses) == 4000
    client.quiet()
