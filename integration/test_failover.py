"""The servers of an upstream: which one is used, how they are left and returned to, and what is never done (UP)."""

import shutil
import time

import pytest

from weirtest import weir as weir_module
from weirtest import xds
from weirtest.badserver import BadServer
from weirtest.tap import Tap
from weirtest.waiting import eventually, never
from weirtest.xds import CDS, EDS

pytestmark = pytest.mark.relay_only


@pytest.fixture
def pair(new_plane):
    """Two control planes with the same content under other versions."""
    made = [new_plane(), new_plane()]
    for number, plane in enumerate(made):
        plane.set(CDS, [xds.cluster(name) for name in "ab"], version=f"v{number}")
        plane.set(EDS, [xds.endpoints("a", 1)], version=f"v{number}")
    return made


@pytest.fixture
def relay_of(new_weir):
    """A maker of relays in front of several servers."""

    def make(protocol, *servers, **fields):
        addresses = [getattr(server, "address", server) for server in servers]
        # One worker, so that attempts can be counted.
        return new_weir({"upstreams": {"primary": weir_module.upstream(protocol, *addresses, **fields)}, "workers": 1})

    return make


@pytest.fixture
def bad():
    """A maker of servers that are of no use."""
    made = []

    def make(manner):
        made.append(BadServer(manner))
        return made[-1]

    yield make
    for each in made:
        each.stop()


def servers(relay):
    return relay.json("/upstreams")["upstreams"][0]["servers"]


def states(relay):
    return [server["state"] for server in servers(relay)]


def watch(connect, relay, expected, protocol="delta"):
    client = connect(relay, protocol)
    client.subscribe(CDS)
    client.converge(CDS, expected)
    client.settle()
    return client


def test_UP_09_UP_11_failover_and_return_are_not_noticed_by_clients(pair, relay_of, connect, upstream_protocol,
                                                                   protocol):
    first, second = pair
    relay = relay_of(upstream_protocol, first, second)
    client = watch(connect, relay, first.expected(CDS), protocol)
    first.stop()
    eventually(lambda: second.interest(CDS) == {"*"}, "the second server to be asked")
    opening = second.requests(CDS, "first")[0].message
    assert not getattr(opening, "version_info", "") and not dict(getattr(opening, "initial_resource_versions", {}))
    client.quiet()
    eventually(lambda: states(relay) == ["failed", "connected"], "the states")
    assert servers(relay)[0]["last_error"] and servers(relay)[1]["connected_since"]
    assert not relay.json("/ready")["degraded"]
    # The second goes on to be listened to until the first has answered.
    first.set(CDS, [xds.cluster("a", 9), xds.cluster("b")], version="v2")
    first.pause()
    first.start()
    eventually(lambda: first.requests(CDS, "first")[1:], "the first server to be tried out")
    assert second.open_streams()
    second.update(CDS, [xds.cluster("c")])
    client.converge(CDS, second.expected(CDS))
    first.resume()
    client.converge(CDS, first.expected(CDS))
    eventually(lambda: not second.open_streams(), "the second server to be left")
    eventually(lambda: states(relay) == ["connected", "idle"], "the states")
    assert all(not dict(getattr(r.message, "initial_resource_versions", {})) for r in first.requests(CDS, "first")[1:])
    client.quiet()


@pytest.mark.parametrize("manner", ["close", "silent", "goaway", "reset", "unavailable", "no-streams"])
def test_UP_11_a_first_server_that_is_of_no_use_makes_nothing_go_back_and_forth(pair, bad, relay_of, connect, manner,
                                                                               upstream_protocol):
    useless, good = bad(manner), pair[1]
    relay = relay_of(upstream_protocol, useless, good, connect_timeout="300ms")
    client = watch(connect, relay, good.expected(CDS))
    assert servers(relay)[0]["last_error"]
    before = useless.connections
    for timeout in range(2, 7):
        # Longer than the longest rest, so that it is tried out in between.
        client.quiet(0.4)
        good.update(CDS, [xds.cluster("a", timeout)])
        client.converge(CDS, good.expected(CDS))
    assert len(good.streams) == 1 and good.open_streams(), "the stream that works was given up"
    assert 1 <= useless.connections - before <= 40
    assert len(client.history) == 6


def test_UP_11_a_first_server_that_answers_nothing_is_not_returned_to(pair, relay_of, connect, upstream_protocol):
    first, second = pair
    relay = relay_of(upstream_protocol, first, second)
    client = watch(connect, relay, first.expected(CDS))
    first.stop()
    eventually(lambda: second.interest(CDS) == {"*"}, "the second server to be asked")
    first.silent.add(CDS)
    first.start()
    eventually(lambda: first.requests(CDS, "first")[1:], "the first server to be tried out")
    never(lambda: not second.open_streams(), "the second server is left", 2)
    second.update(CDS, [xds.cluster("c")])
    client.converge(CDS, second.expected(CDS))


@pytest.mark.parametrize("manner", ["close", "goaway", "reset", "unavailable", "no-streams"])
@pytest.mark.parametrize("count", [1, 2])
def test_UP_10_servers_that_are_of_no_use_are_tried_a_bounded_number_of_times(bad, relay_of, connect, manner, count):
    useless = [bad(manner) for _ in range(count)]
    relay = relay_of("delta", *useless, cold_timeout="1s")
    client = connect(relay, "delta")
    client.subscribe(CDS)
    # A group with nothing cached is told so, however often there is a connection for a moment.
    assert client.status(timeout=5)[0].name == "UNAVAILABLE" and client.history == []
    asker = connect(relay, "delta")
    asker.subscribe(CDS)
    before = [server.connections + server.streams for server in useless]
    time.sleep(2)
    for server, start in zip(useless, before):
        # Rests of 125 ms on average: 16 of them, and as many streams as connections.
        assert server.connections + server.streams - start <= 64
    assert relay.json("/ready")["degraded"] and relay.get("/ready")[0] == 200


@pytest.mark.parametrize("security", ["plaintext", "tls"])
def test_UP_11_a_server_that_takes_connections_and_is_silent_is_left_after_connect_timeout(
        pair, bad, relay_of, connect, certificates, new_plane, security):
    fields = {"connect_timeout": "500ms"}
    good = pair[1]
    if security == "tls":
        good = new_plane(credentials=certificates.server_credentials())
        good.set(CDS, [xds.cluster("a")])
        fields["tls"] = {"ca": str(certificates.ca.certificate), "server_name": "localhost"}
    relay = relay_of("delta", bad("silent"), good, **fields)
    begun = time.monotonic()
    watch(connect, relay, good.expected(CDS))
    assert time.monotonic() - begun < 5
    error = servers(relay)[0]["last_error"]
    assert ("TLS handshake" if security == "tls" else "SETTINGS") in error and "0.5 s" in error


def test_UP_20_a_black_hole_makes_the_next_server_take_over(pair, relay_of, connect, upstream_protocol):
    first, second = pair
    tap = Tap(first.address)
    relay = relay_of(upstream_protocol, tap, second, keepalive={"interval": "300ms", "timeout": "300ms"})
    client = watch(connect, relay, first.expected(CDS))
    second.update(CDS, [xds.cluster("c")])
    tap.stop_accepting()
    tap.black_hole()
    client.converge(CDS, second.expected(CDS))
    tap.stop()


def test_a_relay_that_is_started_before_its_upstream_waits_without_work(new_plane, relay_of, connect):
    plane = new_plane(start=False)
    plane.set(CDS, [xds.cluster("a")])
    relay = relay_of("delta", plane, cold_timeout="20s")
    client = connect(relay, "delta")
    client.subscribe(CDS)
    eventually(lambda: states(relay) == ["failed"], "the first failure")
    before = relay.metric("process_cpu_seconds_total"), relay.log.count("upstream server unavailable")
    client.quiet(3)
    assert relay.metric("process_cpu_seconds_total") - before[0] < 0.5
    assert 3 <= relay.log.count("upstream server unavailable") - before[1] <= 40
    assert relay.get("/ready")[0] == 200
    plane.start()
    client.converge(CDS, plane.expected(CDS), timeout=2)


def test_an_unsynced_control_plane_is_never_answered_for(pair, relay_of, connect, upstream_protocol, protocol):
    first, second = pair
    first.silent.add(CDS)
    second.silent.add(CDS)
    relay = relay_of(upstream_protocol, first, second)
    client = connect(relay, protocol)
    client.subscribe(CDS)
    eventually(lambda: first.interest(CDS), "the first server to be asked")
    first.stop()
    eventually(lambda: second.interest(CDS), "the second server to be asked")
    client.quiet(1)
    second.silent.clear()
    second.update(CDS, [xds.cluster("c")])
    client.converge(CDS, second.expected(CDS))


def test_the_age_of_the_data_is_told_while_the_upstream_is_away(plane, relay_of, connect, upstream_protocol):
    plane.set(CDS, [xds.cluster("a")])
    relay = relay_of(upstream_protocol, plane)
    watch(connect, relay, plane.expected(CDS))

    def age():
        return relay.metric("weir_upstream_data_age_seconds", upstream="primary")

    assert age() == 0
    plane.stop()
    eventually(lambda: age() >= 2, "the data to age")
    assert relay.json("/ready")["degraded"]
    plane.start()
    eventually(lambda: age() == 0, "the data to be current again")


def test_upstream_tls_files_are_watched(new_plane, relay_of, connect, certificates, tmp_path):
    plane = new_plane(credentials=certificates.server_credentials(client_ca=certificates.ca))
    plane.set(CDS, [xds.cluster("a")])

    def install(pair):
        for part, source in (("key", pair.key), ("crt", pair.certificate)):
            shutil.copy(source, tmp_path / f"next.{part}")
            (tmp_path / f"next.{part}").rename(tmp_path / f"live.{part}")

    install(certificates.wrong_client)
    relay = relay_of("delta", plane, cold_timeout="20s", tls={
        "ca": str(certificates.ca.certificate), "certificate_chain": "live.crt", "private_key": "live.key",
        "server_name": "localhost"})
    client = connect(relay, "delta")
    client.subscribe(CDS)
    eventually(lambda: states(relay) == ["failed"], "the refusal")
    install(certificates.client)
    client.converge(CDS, plane.expected(CDS))
    relay.wait_log("upstream TLS files reloaded")


def test_servers_are_taken_over_by_a_reload(pair, relay_of, connect, upstream_protocol, protocol):
    first, second = pair
    relay = relay_of(upstream_protocol, first)
    client = watch(connect, relay, first.expected(CDS), protocol)
    relay.configure({"upstreams": {"primary": {"servers": [second.address]}}})
    relay.reload()
    eventually(lambda: second.interest(CDS) == {"*"} and not first.open_streams(), "the new server to be used")
    client.quiet()
    second.update(CDS, [xds.cluster("c")])
    client.converge(CDS, second.expected(CDS))
    assert [server["address"] for server in servers(relay)] == [second.address]
    assert "only after a restart" not in relay.log
