"""The last good state on disk: what outlives the relay, whatever happens to it, to its control plane and to the disk."""

import base64
import json
import os
import random
import subprocess
import threading
import time

import pytest

from weirtest import weir as weir_module
from weirtest import xds
from weirtest.clients import quiet
from weirtest.waiting import eventually
from weirtest.xds import CDS, EDS, LDS, SDS

pytestmark = pytest.mark.relay_only


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "store"


@pytest.fixture
def stored(relay_to, folder):
    """A maker of relays with a store: `stored(plane, "sotw", {store fields})`."""

    def make(plane, protocol="delta", store=None, config=None, **fields):
        base = {"cache": {"store": {"path": str(folder), **(store or {})}}}
        return relay_to(plane, protocol, weir_module.merge(base, config or {}), **fields)

    return make


@pytest.fixture
def world(plane):
    with plane.atomic():
        plane.set(CDS, [xds.cluster(name) for name in "abc"])
        plane.set(EDS, [xds.endpoints(name, 1) for name in "abc"])
        plane.set(LDS, [xds.listener("one")])
    return plane


def follow(connect, relay, world, protocol, **options):
    """A client that holds everything."""
    client = connect(relay, protocol, node=xds.node(protocol), **options)
    client.subscribe(CDS)
    client.subscribe(EDS, "a", "b")
    client.subscribe(LDS)
    holds(client, world)
    return client


def holds(client, world):
    client.converge(CDS, world.expected(CDS))
    client.converge(EDS, world.expected(EDS, names="ab"))
    client.converge(LDS, world.expected(LDS))


def file_of(folder):
    return folder / "weir.mdb"


def everything_in(folder):
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file())


# --- A restart.


@pytest.mark.parametrize("end", ["killed", "stopped"])
def test_AGG_08_the_last_good_state_survives_the_relay(world, stored, connect, upstream_protocol, end):
    relay = stored(world, upstream_protocol)
    clients = {protocol: follow(connect, relay, world, protocol) for protocol in ("sotw", "delta")}
    world.update(CDS, [xds.cluster("a", 7)], remove=["c"])
    for client in clients.values():
        holds(client, world)
    versions = {url: {r.type_url: r.version for r in clients["sotw"].history}[url] for url in (CDS, EDS, LDS)}
    relay.written()
    world.stop()
    relay.kill() if end == "killed" else relay.stop()
    relay.start()
    for protocol in ("sotw", "delta"):
        again = follow(connect, relay, world, protocol)
        again.quiet()
        if protocol == "sotw":
            assert {r.type_url: r.version for r in again.history} == versions
        else:
            assert again.versions(CDS) == clients["delta"].versions(CDS)
    assert relay.metric("weir_store_restored_total") == 1
    assert relay.keys()["web"]["types"]["cds"]["stale"] is True
    assert any(text.startswith("upstream primary") for text in relay.json("/ready")["degraded"])


def test_AGG_08_clients_that_come_back_with_what_is_stored_are_sent_nothing(world, stored, connect, upstream_protocol):
    relay = stored(world, upstream_protocol)
    sotw, delta = (follow(connect, relay, world, protocol) for protocol in ("sotw", "delta"))
    held = {url: delta.versions(url) for url in (CDS, EDS, LDS)}
    versions = {r.type_url: r.version for r in sotw.history}
    relay.written()
    world.stop()
    relay.kill()
    relay.start()
    again = connect(relay, "delta", node=xds.node("delta"))
    again.subscribe(CDS, versions=held[CDS])
    again.subscribe(EDS, "a", "b", versions=held[EDS])
    again.subscribe(LDS, versions=held[LDS])
    same = connect(relay, "sotw", node=xds.node("sotw"))
    for url in (CDS, LDS):
        same.request(url, version_info=versions[url])
    eventually(lambda: relay.metric("weir_store_restored_total") == 1, "the group to be restored")
    quiet(same, seconds=2.0)
    # A first request for the wildcard is always answered in delta; with nothing in it.
    assert [(r.type_url, r.names, r.removed) for r in again.drain() if r.names or r.removed] == []
    # What is there is there all the same.
    other = connect(relay, "sotw", node=xds.node("other"))
    other.subscribe(CDS)
    other.converge(CDS, world.expected(CDS))


@pytest.mark.parametrize("honours", [True, False], ids=["server-honours-versions", "server-ignores-versions"])
def test_AGG_09_AGG_10_when_the_control_plane_returns_only_the_difference_flows(
        world, stored, connect, upstream_protocol, honours):
    world.honour_initial_versions = honours
    relay = stored(world, upstream_protocol)
    follow(connect, relay, world, "delta")
    relay.written()
    world.stop()
    relay.kill()
    relay.start()
    client = follow(connect, relay, world, "delta")
    seen = len(client.history)
    with world.atomic():
        world.update(CDS, [xds.cluster("a", 9)], remove=["c"])
        world.update(EDS, [xds.endpoints("b", 2)])
    world.start()
    holds(client, world)
    client.settle(1.5)
    new = client.history[seen:]
    assert [(r.type_url, name) for r in new for name in r.names if r.type_url == CDS] == [(CDS, "a")]
    assert [name for r in new for name in r.removed] == ["c"]
    assert not [r for r in new if r.type_url == LDS]
    assert relay.keys()["web"]["types"]["cds"]["stale"] is False
    if upstream_protocol == "delta":
        first = next(r for r in reversed(world.requests(CDS, "first")))
        assert set(first.message.initial_resource_versions) == set("abc")
        assert first.message.initial_resource_versions["b"] == world.resource_version(CDS, "b")


def test_a_living_control_planes_newer_state_is_the_first_that_clients_see(world, stored, connect, upstream_protocol):
    relay = stored(world, upstream_protocol)
    follow(connect, relay, world, "delta")
    relay.written()
    relay.kill()
    world.update(CDS, [xds.cluster("a", 9)], remove=["c"])
    relay.start()
    for protocol in ("sotw", "delta"):
        client = connect(relay, protocol, node=xds.node(protocol))
        client.subscribe(CDS)
        client.converge(CDS, world.expected(CDS))
        assert len([r for r in client.history if r.names]) == 1


def test_a_group_that_nobody_used_for_a_while_is_served_from_the_disk(world, stored, connect):
    relay = stored(world)
    client = follow(connect, relay, world, "delta")
    relay.written()
    client.close()
    eventually(lambda: relay.keys() == {}, "the group to be closed")
    world.stop()
    follow(connect, relay, world, "sotw")


def test_names_that_clients_give_up_do_not_pile_up(world, stored, connect, folder):
    relay = stored(world)
    client = follow(connect, relay, world, "delta")
    relay.written()
    client.unsubscribe(EDS, "b")

    def names():
        done = weir_module.command("store", "export", "--path", folder)
        return {r["name"] for r in json.loads(done.stdout)["resources"] if "ClusterLoad" in r["type_url"]}

    eventually(lambda: names() == {"a"}, "the name to be gone from the store")


def test_a_kill_at_any_moment_leaves_a_good_file_with_a_state_that_was(world, stored, connect, folder):
    relay = stored(world)
    for round_ in range(4):
        client = connect(relay, "delta", node=xds.node("n"))
        client.subscribe(CDS)
        stop = threading.Event()
        states = [world.expected(CDS)]

        def push():
            number = 0
            while not stop.is_set():
                number += 1
                world.update(CDS, [xds.cluster(name, 10 * round_ + number % 7 + 1) for name in "ab"])
                states.append(world.expected(CDS))
                time.sleep(0.005)

        thread = threading.Thread(target=push)
        thread.start()
        eventually(lambda: relay.metric("weir_store_writes_total") > 1 + round_, "some transactions")
        relay.kill()
        stop.set()
        thread.join()
        client.close()
        world.stop()
        relay.start()
        client = connect(relay, "sotw", node=xds.node("n"))
        client.subscribe(CDS)
        client.expect(CDS)
        assert client.held(CDS) in states
        client.close()
        done = weir_module.command("store", "verify", "--path", folder)
        assert (done.returncode, done.stderr) == (0, "")
        assert not list(folder.glob("*.set-aside-*"))
        world.start()


def test_one_change_among_many_writes_little(new_plane, stored, connect, folder):
    plane = new_plane()
    plane.set(EDS, [xds.endpoints(f"e{number}", 1) for number in range(2000)])
    relay = stored(plane)
    client = connect(relay, "delta")
    client.subscribe(EDS, *[f"e{number}" for number in range(2000)])
    client.converge(EDS, plane.expected(EDS))
    count = relay.written()
    pid = relay.process.popen.pid

    def bytes_written():
        fields = dict(line.split(": ") for line in open(f"/proc/{pid}/io").read().splitlines())
        return int(fields["wchar"])

    before = bytes_written()
    plane.update(EDS, [xds.endpoints("e7", 2)])
    client.converge(EDS, plane.expected(EDS))
    relay.written(more_than=count)
    # The log and the answers to this test's own questions are in it, too.
    assert bytes_written() - before < 300_000 < file_of(folder).stat().st_size


# --- Files that cannot be used.


def spoil(path, how):
    data = bytearray(path.read_bytes())
    if how == "truncated":
        # The two heads are there, and nothing that they speak of.
        data = data[:2 * 4096 + 2048]
    elif how == "zeroed-page":
        for offset in range(8192, len(data), 4096):
            data[offset:offset + 4096] = bytes(4096)
    elif how == "flipped":
        # In old pages, too: which of them count is the library's business.
        data = data.replace(b"envoy.config.cluster.v3.Cluster", b"envoy.config.Cluster.v3.Cluster")
    elif how == "text":
        data = bytearray(b"this is somebody's file\n" * 1000)
    elif how == "empty":
        data = bytearray()
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("how", ["truncated", "zeroed-page", "flipped", "text", "empty"])
def test_a_damaged_or_foreign_file_is_set_aside(world, stored, connect, folder, how):
    relay = stored(world)
    follow(connect, relay, world, "delta")
    relay.written()
    relay.stop()
    spoil(file_of(folder), how)
    spoilt = file_of(folder).read_bytes()
    if how not in ("text", "empty"):
        assert weir_module.command("store", "verify", "--path", folder).returncode != 0
    relay.start()
    aside = list(folder.glob("weir.mdb.set-aside-*"))
    assert [path.read_bytes() for path in aside] == [spoilt]
    line = relay.wait_log("set aside")
    assert aside[0].name in line
    # It goes on, with an empty store, and fills it.
    follow(connect, relay, world, "delta")
    relay.written()
    assert weir_module.command("store", "verify", "--path", folder).returncode == 0


def test_random_damage_never_stops_the_relay(world, stored, connect, folder, new_weir):
    relay = stored(world)
    follow(connect, relay, world, "delta")
    relay.written()
    relay.stop()
    good = file_of(folder).read_bytes()
    for seed in range(12):
        chance = random.Random(seed)
        data = bytearray(good)
        for _ in range(chance.choice([1, 10, 1000])):
            data[chance.randrange(len(data))] = chance.randrange(256)
        file_of(folder).write_bytes(bytes(data))
        relay.start()
        client = connect(relay, "sotw", node=xds.node("n"))
        client.subscribe(CDS)
        client.converge(CDS, world.expected(CDS))
        client.close()
        relay.stop()


def test_a_store_in_use_by_another_relay_is_left_alone(world, stored, connect, folder):
    first = stored(world)
    second = stored(world)
    assert any("another process" in text for text in second.json("/ready")["degraded"])
    follow(connect, second, world, "delta")
    follow(connect, first, world, "delta")
    first.written()
    first.kill()
    # The one that was left takes over, with everything that it has.
    eventually(lambda: second.json("/ready")["degraded"] == [], "the second relay to have the store", 15)
    second.written()
    second.kill()
    world.stop()
    first.start()
    follow(connect, first, world, "sotw")


# --- Disks that cannot be written.


@pytest.mark.parametrize("kind", ["file-in-the-way", "proc"])
def test_a_folder_that_cannot_be_written_is_said_loudly_and_weir_serves(
        world, stored, connect, tmp_path, kind):
    (tmp_path / "file").write_text("")
    path = {"file-in-the-way": tmp_path / "file" / "store", "proc": "/proc/weir-store"}[kind]
    relay = stored(world, store={"path": str(path)})
    follow(connect, relay, world, "delta")
    status, _, body = relay.get("/ready")
    assert status == 200 and any(text.startswith("store: open") for text in json.loads(body)["degraded"])
    relay.wait_log("the store cannot be opened")
    relay.wait_log(str(path))
    assert relay.metric("weir_store_errors_total", reason="open") >= 1


def test_a_full_store_loses_nothing_else(new_plane, stored, connect, folder):
    plane = new_plane()
    plane.key_of = lambda node: node.cluster
    plane.set(CDS, [xds.cluster("a")], key="small")
    plane.set(CDS, [xds.cluster(f"c{n}-" + "x" * 400) for n in range(4000)], key="large")
    relay = stored(plane, store={"max_size": "1MiB"})
    small = connect(relay, "delta", node=xds.node("s", cluster="small"))
    small.subscribe(CDS)
    small.converge(CDS, plane.expected(CDS, key="small"))
    relay.written()
    large = connect(relay, "delta", node=xds.node("l", cluster="large"))
    large.subscribe(CDS)
    large.converge(CDS, plane.expected(CDS, key="large"))
    eventually(lambda: relay.metric("weir_store_errors_total", reason="full") > 0, "the store to be full")
    assert any(text.startswith("store: full") for text in relay.json("/ready")["degraded"])
    assert relay.get("/ready")[0] == 200
    # Clients hear of everything all the same, and what fits is written.
    plane.set(CDS, [xds.cluster("a", 5)], key="small")
    small.converge(CDS, plane.expected(CDS, key="small"))
    plane.update(CDS, [xds.cluster("new")], key="large")
    large.converge(CDS, plane.expected(CDS, key="large"))
    # When there is room again it is used.
    large.close()
    plane.set(CDS, [xds.cluster("a", 6)], key="small")
    small.converge(CDS, plane.expected(CDS, key="small"))
    eventually(lambda: relay.metric("weir_store_behind_seconds") >= 0 and "cds" in json.dumps(relay.keys()), "an answer")

    def on_disk():
        done = weir_module.command("store", "export", "--path", folder, "--key", "small")
        return done.returncode == 0 and '"6s"' in done.stdout

    eventually(on_disk, "the small group's newest state to be on the disk", 15)


def test_a_disk_that_fills_up_is_survived(new_plane, stored, connect, tmp_path):
    mount = tmp_path / "small-disk"
    mount.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(mount)],
                      capture_output=True).returncode != 0:
        pytest.skip("this machine lets nobody mount")
    try:
        plane = new_plane()
        plane.set(CDS, [xds.cluster("a")])
        relay = stored(plane, store={"path": str(mount / "store")})
        client = connect(relay, "delta")
        client.subscribe(CDS)
        client.converge(CDS, plane.expected(CDS))
        relay.written()
        filler = mount / "filler"
        with open(filler, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass
        plane.set(CDS, [xds.cluster(f"c{n}") for n in range(500)])
        client.converge(CDS, plane.expected(CDS))
        eventually(lambda: relay.json("/ready")["degraded"], "the trouble to be told")
        filler.unlink()
        eventually(lambda: not relay.json("/ready")["degraded"], "the store to work again", 20)
        plane.stop()
        relay.kill()
        relay.start()
        client = connect(relay, "sotw")
        client.subscribe(CDS)
        client.converge(CDS, plane.expected(CDS))
        relay.stop()
    finally:
        subprocess.run(["umount", "-l", str(mount)], capture_output=True)


# --- Secrets.


SECRET = b"BEGIN-VERY-PRIVATE-KEY-0123456789"


@pytest.fixture
def secretive(plane):
    with plane.atomic():
        plane.set(CDS, [xds.cluster("a")])
        plane.set(SDS, [xds.secret("tls", b"CERTIFICATE", SECRET)])
    return plane


def fetch_secret(connect, relay, plane, protocol="delta"):
    client = connect(relay, protocol, node=xds.node(protocol))
    client.subscribe(CDS)
    client.subscribe(SDS, "tls")
    client.converge(CDS, plane.expected(CDS))
    client.converge(SDS, plane.expected(SDS))
    return client


def test_secrets_are_not_stored_unless_asked_for(secretive, stored, connect, folder):
    relay = stored(secretive)
    fetch_secret(connect, relay, secretive)
    relay.written()
    relay.stop()
    everything = everything_in(folder)
    assert b"envoy.config.cluster.v3.Cluster" in everything
    assert SECRET not in everything and b"tls.v3.Secret" not in everything
    assert file_of(folder).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("form", ["raw", "hex", "base64"])
def test_secrets_are_stored_encrypted_where_asked_for(secretive, stored, connect, folder, tmp_path, form):
    key = os.urandom(32)
    (tmp_path / "key").write_bytes(
        {"raw": key, "hex": key.hex().encode() + b"\n", "base64": base64.b64encode(key) + b"\n"}[form])
    relay = stored(secretive, store={"secrets": True, "encryption_key": str(tmp_path / "key")})
    fetch_secret(connect, relay, secretive)
    relay.written()
    secretive.stop()
    relay.kill()
    everything = everything_in(folder)
    assert SECRET not in everything and b"CERTIFICATE" not in everything
    relay.start()
    fetch_secret(connect, relay, secretive, "sotw")
    done = weir_module.command("store", "export", "--config", relay.config_path)
    assert base64.b64encode(SECRET).decode() not in done.stdout and '"tls"' in done.stdout
    relay.stop()
    # Another key opens nothing, and is no reason to throw anything away.
    (tmp_path / "key").write_bytes(os.urandom(32))
    relay.start()
    client = connect(relay, "delta")
    client.subscribe(SDS, "tls")
    eventually(lambda: relay.metric("weir_store_errors_total", reason="key") > 0, "the wrong key to be noticed")
    relay.wait_log("cannot be decrypted")
    assert not list(folder.glob("*.set-aside-*"))
    client.close()


# --- The commands.


def test_store_commands(world, stored, connect, folder):
    relay = stored(world)
    follow(connect, relay, world, "delta")
    relay.written()
    # While a relay uses it.
    inspected = weir_module.command("store", "inspect", "--config", relay.config_path)
    assert inspected.returncode == 0
    rows = {tuple(line.split()[:3]) for line in inspected.stdout.splitlines()}
    assert {("web", "primary", "cds"), ("web", "primary", "eds"), ("web", "primary", "lds")} <= rows
    verified = weir_module.command("store", "verify", "--config", relay.config_path)
    assert (verified.returncode, verified.stdout) == (0, "OK: 3 types, 6 resources, 0 of them encrypted\n")
    exported = json.loads(weir_module.command("store", "export", "--path", folder).stdout)["resources"]
    dumped = relay.json("/config_dump")["resources"]
    order = lambda r: (r["type_url"], r["name"])
    assert sorted(exported, key=order) == sorted(dumped, key=order)
    missing = weir_module.command("store", "verify", "--path", folder / "no")
    assert missing.returncode == 1 and "does not exist" in missing.stderr
    assert weir_module.command("store", "polish", "--path", folder).returncode == 2
