"""Proof by breaking it, in a bounded form: `make chaos` and `make soak` do the same for as long as one likes."""

import os
import random
import shutil
import signal
import struct
import time

import grpc
import pytest

from weirtest import churn, follow, preload
from weirtest import weir as weir_module
from weirtest import xds
from weirtest.chaos import Chaos
from weirtest.chaosfaults import FAULTS
from weirtest.soak import Soak
from weirtest.waiting import eventually, never
from weirtest.xds import CDS

import storm

pytestmark = pytest.mark.relay_only
needs_bench = pytest.mark.skipif(follow.program() is None, reason="weir-bench is not built")


# --- Faults from a seed.


@pytest.mark.timeout(300)
def test_AGG_08_every_fault_is_survived_and_leaves_nothing_behind(tmp_path):
    seed = int(os.environ.get("WEIR_CHAOS_SEED", "1"))
    chaos = Chaos(seed, tmp_path, print)
    names = sorted(FAULTS)
    random.Random(seed).shuffle(names)
    try:
        chaos.start()
        for name in names:
            chaos.run(FAULTS[name], name)
    except AssertionError:
        print(f"again: WEIR_CHAOS_SEED={seed} pytest integration/test_chaos.py, or make chaos SEED={seed}")
        raise
    finally:
        chaos.stop()


@needs_bench
def test_a_check_that_finds_nothing_would_find_something(tmp_path):
    """The proof is worth something: content that the clients do not have is noticed."""
    chaos = Chaos(1, tmp_path)
    try:
        chaos.start()
        world = chaos.model.expected()
        chaos.until_all_hold(world, "nothing", timeout=5)
        world[CDS]["c0"] = world[CDS]["c1"]
        with pytest.raises(AssertionError, match="cds: .*other content .'c0'"):
            chaos.until_all_hold(world, "a lie", timeout=0.5)
    finally:
        chaos.stop()


# --- Leaks.


@pytest.mark.release_build
@pytest.mark.timeout(180)
def test_connections_that_come_and_go_leave_nothing(tmp_path):
    churn.run(tmp_path, 20_000)


@needs_bench
@pytest.mark.release_build
@pytest.mark.timeout(180)
def test_many_clients_under_constant_change_hold_what_there_is(tmp_path):
    figures = Soak(tmp_path, 1, clients=200, rate=10, churn=10).run(6, 2)
    assert figures["divergence"] == 0 and figures["changes"] > 10


@needs_bench
@pytest.mark.release_build
@pytest.mark.timeout(180)
def test_a_storm_of_a_fleet_is_admitted_and_nobody_who_was_let_in_times_out(tmp_path):
    figures = storm.run(tmp_path, 300, 100, limit=60)
    assert figures["timed out"] == 0
    assert figures["counted as delayed"] > 100


# --- Certificates that expire, and are rotated.


def rotate(source, folder, name):
    """Puts a pair in place as a careful rotation does: by renaming, the key first."""
    for part, origin in (("key", source.key), ("crt", source.certificate)):
        shutil.copy(origin, folder / f"{name}.new")
        (folder / f"{name}.new").rename(folder / f"{name}.{part}")


def test_certificates_expire_and_their_successors_are_taken_without_a_restart(new_plane, new_weir, connect, certificates,
                                                                            tmp_path):
    plane = new_plane(credentials=certificates.server_credentials(client_ca=certificates.ca))
    plane.set(CDS, [xds.cluster("a")])
    until = time.monotonic() + 5
    short = certificates.short_lived(tmp_path, "short", 5)
    rotate(short, tmp_path, "live")
    relay = new_weir({"upstreams": {"primary": weir_module.upstream("delta", plane.address, tls={
        "ca": str(certificates.ca.certificate), "certificate_chain": "live.crt", "private_key": "live.key",
        "server_name": "localhost"})}}, start=False)
    relay.configure({"downstream": {"listeners": [
        {"address": relay.address, "tls": {"certificate_chain": "live.crt", "private_key": "live.key"}}]}})
    relay.start()
    credentials = certificates.channel_credentials()
    old = connect(relay, "delta", credentials=credentials)
    old.subscribe(CDS)
    old.converge(CDS, plane.expected(CDS))
    time.sleep(max(0.0, until + 1 - time.monotonic()))
    # Who is connected stays; who comes is not served by a name that is over, and neither is the relay.
    plane.update(CDS, [xds.cluster("b")])
    old.converge(CDS, plane.expected(CDS))
    late = connect(relay, "delta", credentials=credentials)
    late.subscribe(CDS)
    assert late.status()[0] == grpc.StatusCode.UNAVAILABLE
    plane.restart()
    plane.update(CDS, [xds.cluster("c")])
    eventually(lambda: relay.json("/upstreams")["upstreams"][0]["servers"][0]["last_error"], "the refusal to be told")
    eventually(lambda: relay.json("/ready")["degraded"], "the loss of the upstream to be told")
    never(lambda: old.ended or set(old.held(CDS)) != set("ab"), "the client to lose what it has")
    # The successor.
    rotate(certificates.short_lived(tmp_path, "next", 3600), tmp_path, "live")
    old.converge(CDS, plane.expected(CDS), timeout=20)

    def served():
        client = connect(relay, "delta", credentials=credentials)
        client.subscribe(CDS)
        eventually(lambda: client.ended or client.held(CDS) == plane.expected(CDS), "an answer")
        return client.ended is None

    eventually(served, "a new client to be served", 20, 0.2)
    assert relay.json("/ready")["degraded"] == []


def test_the_upstreams_ca_is_rotated_without_a_restart(new_plane, relay_to, connect, certificates, tmp_path,
                                                       upstream_protocol):
    def trust(*authorities):
        (tmp_path / "ca.new").write_bytes(b"".join(each.certificate_bytes for each in authorities))
        (tmp_path / "ca.new").rename(tmp_path / "ca.pem")

    plane = new_plane(credentials=certificates.server_credentials())
    plane.set(CDS, [xds.cluster("a")])
    trust(certificates.ca)
    relay = relay_to(plane, upstream_protocol, tls={"ca": "ca.pem", "server_name": "localhost"})
    client = connect(relay, "delta")
    client.subscribe(CDS)
    client.converge(CDS, plane.expected(CDS))
    # The control plane comes back with a certificate of an authority that nobody trusts yet.
    plane.stop()
    plane.credentials = certificates.server_credentials(certificates.wrong_server)
    plane.start()
    plane.update(CDS, [xds.cluster("b")])
    eventually(lambda: "verif" in str(relay.json("/upstreams")).lower(), "the refusal to be told", 15)
    never(lambda: client.ended or set(client.held(CDS)) != {"a"}, "the client to lose what it has")
    # Both, as in the midst of a rotation; then only the new one.
    trust(certificates.ca, certificates.wrong_ca)
    client.converge(CDS, plane.expected(CDS), timeout=20)
    trust(certificates.wrong_ca)
    plane.restart()
    plane.update(CDS, [xds.cluster("c")])
    client.converge(CDS, plane.expected(CDS), timeout=20)
    # The old authority counts no more.
    plane.stop()
    plane.credentials = certificates.server_credentials()
    plane.start()
    plane.update(CDS, [xds.cluster("d")])
    eventually(lambda: relay.json("/upstreams")["upstreams"][0]["servers"][0]["state"] == "failed", "the refusal", 15)
    never(lambda: "d" in client.held(CDS), "content of a control plane that is not trusted")


# --- Clocks.


@pytest.fixture
def clock(tmp_path):
    """A wall clock that jumps, for the processes that `environment` is given to."""
    class Clock:
        environment = {"LD_PRELOAD": preload.build("clockjump", tmp_path), "CLOCK_JUMP_FILE": str(tmp_path / "offset")}

        def jump(self, seconds):
            with open(tmp_path / "offset", "r+b") as file:
                file.write(struct.pack("q", seconds))

    (tmp_path / "offset").write_bytes(bytes(8))
    return Clock()


def test_clock_jumps_disturb_nobody(new_plane, new_weir, connect, clock, tmp_path):
    plane = new_plane()
    plane.set(CDS, [xds.cluster("a")])
    relay = new_weir({
        "upstreams": {"primary": weir_module.upstream(
            "delta", plane.address, keepalive={"interval": "300ms", "timeout": "2s"})},
        "downstream": {"keepalive": {"interval": "300ms", "timeout": "2s"}},
        "cache": {"store": {"path": str(tmp_path / "store")}}}, start=False)
    relay.start(environment=clock.environment)
    clients = [connect(relay, protocol, node=xds.node(protocol)) for protocol in ("sotw", "delta")]
    for client in clients:
        client.subscribe(CDS)
        client.converge(CDS, plane.expected(CDS))
    streams = len(plane.streams)
    day = 86400
    for number, offset in enumerate((day, -day, 400 * day, -3600, 0, -20 * 365 * day)):
        clock.jump(offset)
        wanted = time.strftime("%Y-%m", time.gmtime(time.time() + offset))
        plane.set(CDS, [xds.cluster("a", number + 2)])
        for client in clients:
            client.converge(CDS, plane.expected(CDS))
        assert relay.get("/live")[0] == 200 and relay.json("/ready")["degraded"] == []
        eventually(lambda: wanted in relay.log, f"the log to be of {wanted}, for the clock does jump")
    assert len(plane.streams) == streams and all(client.ended is None for client in clients)
    written = lambda: relay.metric("weir_store_behind_seconds") == 0 and relay.metric("weir_store_writes_total") >= 2
    eventually(written, "everything to be stored")
    # The age of what waits is told in whole seconds: the newest change has that long to be written, too.
    never(lambda: not written(), "the store to fall behind", seconds=1.5)
    # What was stored "in the future" is served all the same.
    plane.stop()
    relay.process.signal(signal.SIGKILL)
    relay.process.wait(5)
    clock.jump(-21 * 365 * day)
    relay.start(environment=clock.environment)
    late = connect(relay, "delta", node=xds.node("late"))
    late.subscribe(CDS)
    late.converge(CDS, plane.expected(CDS))
