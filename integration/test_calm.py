"""The calm in the middle: large groups, holds that outlive a crash, and everything at once."""

import json
import signal
import threading
import time

import pytest

from weirtest import waiting, xds
from weirtest import weir as weir_module
from weirtest.clients import quiet
from weirtest.waiting import eventually
from weirtest.xds import CDS, EDS

pytestmark = pytest.mark.relay_only

both_ways = pytest.mark.parametrize("protocol", ["sotw", "delta"])
both_upstreams = pytest.mark.parametrize("upstream_protocol", ["sotw", "delta"])
#: More than what is worked on in one turn of a loop.
LARGE = 6000


def clusters(count, timeout=1):
    return [xds.cluster(f"c{i:05d}", timeout) for i in range(count)]


def post(relay, path):
    status, _, body = relay.get(path, "POST")
    return status, json.loads(body)


def held(relay, key="web"):
    entry = relay.keys().get(key)
    return entry and entry["types"].get("cds", {}).get("held")


def kill(relay):
    """As a crash does: SIGKILL, no goodbye."""
    relay.process.signal(signal.SIGKILL)
    relay.process.wait(5)
    relay.process = None


def written(relay):
    """Waits until everything that the relay knows is on the disk."""

    def done():
        return relay.metric("weir_store_writes_total") and relay.metric("weir_store_behind_seconds") == 0

    eventually(done, "the store to be written")
    time.sleep(0.3)
    eventually(done, "the store to be written")


def follow(relay, connect, protocol, expected, count=1, **options):
    made = [connect(relay, protocol, node=xds.node(f"n{i}"), **options) for i in range(count)]
    for client in made:
        client.subscribe(CDS)
    for client in made:
        client.converge(CDS, expected, timeout=30)
    return made


# --- Large groups: what their home does is done elsewhere meanwhile, and each worker takes its part in pieces.


@both_upstreams
@both_ways
def test_AGG_21_a_large_group_is_taken_whole_and_in_order(plane, relay_to, connect, upstream_protocol, protocol):
    relay = relay_to(plane, upstream_protocol, {"downstream": {"limits": {"max_request_size": "16MiB"}}})
    resources = clusters(LARGE)
    plane.set(CDS, resources, version="one")
    first, = follow(relay, connect, protocol, plane.expected(CDS))
    eventually(lambda: plane.requests(CDS)[-1].kind == "ack", "the response to be acknowledged")
    # Changes right after each other: each is whole, and the last one wins.
    for timeout in (2, 3):
        plane.update(CDS, clusters(LARGE, timeout)[: LARGE - 1])
    plane.update(CDS, [xds.cluster("late")], remove=["c00000"])
    first.converge(CDS, plane.expected(CDS), timeout=30)
    # What was pushed while the group was worked on is there for those who come then, too; so are dumps and commands.
    plane.update(CDS, clusters(LARGE, 4)[1:])
    status, _ = post(relay, "/keys/hold?key=web&type=cds")
    assert status == 200
    assert len(relay.json("/config_dump?type=cds&limit=100000")["resources"]) == LARGE
    assert post(relay, "/keys/release?key=web&type=cds")[0] == 200
    second, = follow(relay, connect, protocol, plane.expected(CDS))
    first.converge(CDS, plane.expected(CDS), timeout=30)
    # The control plane goes away in the midst of a push, and comes back with the same.
    plane.update(CDS, clusters(LARGE, 5)[1:])
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
    plane.set(CDS, clusters(count))
    expected = plane.expected(CDS)
    follow(relay, connect, "delta", expected)
    written(relay)
    plane.stop()
    kill(relay)
    relay.start()
    for protocol in ("delta", "sotw"):
        follow(relay, connect, protocol, expected)
    assert relay.keys()["web"]["types"]["cds"]["resources"] == count


# --- Holds that outlive a crash.


@pytest.mark.parametrize("is_away", [False, True], ids=["plane-up", "plane-down"])
@both_upstreams
def test_AGG_08_UP_19_what_a_guard_holds_is_held_after_a_kill(
        plane, relay_to, connect, tmp_path, upstream_protocol, is_away):
    relay = relay_to(plane, upstream_protocol, {
        "guards": {"shrink_percent": 50}, "cache": {"store": {"path": str(tmp_path / "store")}}})
    plane.set(CDS, clusters(10), version="one")
    first = plane.expected(CDS)
    follow(relay, connect, "delta", first)
    plane.set(CDS, clusters(3), version="two")
    assert eventually(lambda: held(relay), "the push to be held")["reason"] == "shrink"
    written(relay)
    if is_away:
        plane.pause()
    kill(relay)
    relay.start()
    clients = [*follow(relay, connect, "delta", first), *follow(relay, connect, "sotw", first)]
    if is_away:
        plane.resume()
    hold = eventually(lambda: held(relay), "the push to be held again")
    assert hold["reason"] == "shrink" and hold["changes"] == 7
    assert relay.metric("weir_holds", type="cds", reason="shrink") == 1
    assert any("(shrink)" in text for text in relay.json("/ready")["degraded"])
    quiet(*clients)
    assert all(client.held(CDS) == first for client in clients)
    assert post(relay, "/keys/release?key=web&type=cds")[0] == 200
    for client in clients:
        client.converge(CDS, plane.expected(CDS))
    assert held(relay) is None and relay.metric("weir_holds") == 0


@pytest.mark.parametrize("is_away", [False, True], ids=["plane-up", "plane-down"])
@both_upstreams
@both_ways
def test_AGG_08_a_push_that_clients_rejected_is_held_after_a_kill(
        plane, relay_to, connect, tmp_path, upstream_protocol, protocol, is_away):
    relay = relay_to(plane, upstream_protocol, {
        "guards": {"rollout": {"first": 1, "wait": "1s"}}, "cache": {"store": {"path": str(tmp_path / "store")}}})
    plane.set(CDS, clusters(3))
    first = plane.expected(CDS)
    clients = follow(relay, connect, protocol, first, 3)
    eventually(lambda: all(c["types"]["cds"]["state"] == "acked" for c in relay.clients()), "all to acknowledge")
    for client in clients:
        client.drain()
        client.auto_ack = False
    plane.set(CDS, clusters(4, 2))
    second = plane.expected(CDS)
    canary = eventually(lambda: [c for c in clients if c.held(CDS) == second], "one to get the push")[0]
    canary.nack(canary.expect(CDS), "no such filter: envoy.lua")
    before = eventually(lambda: held(relay), "the push to be held")
    assert before["reason"] == "nack"
    written(relay)
    if is_away:
        plane.pause()
    kill(relay)
    relay.start()
    # Those that come now would accept it; nobody is asked once more.
    again = follow(relay, connect, protocol, first, 3)
    hold = eventually(lambda: held(relay), "the push to be held again")
    assert hold["reason"] == "nack" and "no such filter: envoy.lua" in hold["detail"]
    assert hold["since"] == before["since"]
    assert relay.metric("weir_holds", type="cds", reason="nack") == 1
    if is_away:
        plane.resume()
    eventually(lambda: held(relay)["changes"] == 4, "the control plane to say it again")
    quiet(*again, seconds=1.5)
    assert all(client.held(CDS) == first for client in again)
    assert "no such filter: envoy.lua" in eventually(
        lambda: plane.nacks(CDS), "the control plane to be told")[-1].message.error_detail.message
    assert post(relay, "/keys/release?key=web&type=cds")[0] == 200
    for client in again:
        client.converge(CDS, second)
    eventually(lambda: held(relay) is None and relay.metric("weir_holds") == 0, "the hold to end")


# --- Everything at once.


@both_upstreams
def test_a_reload_amid_a_trial_a_hold_and_writing_loses_nothing(
        plane, relay_to, connect, tmp_path, upstream_protocol):
    def rules(mover, *first):
        return {"aggregation": {"rules": [
            *first, *({"match": {"node.metadata.group": group}, "key": group} for group in ("held", "tried", "busy")),
            {"match": {"node.metadata.group": "mover"}, "key": mover}]}}

    def come(group, count=1):
        made = [connect(relay, "delta", node=xds.node(f"{group}{i}", metadata={"group": group})) for i in range(count)]
        for client in made:
            client.subscribe(CDS)
        return made

    plane.key_of = lambda node: node.id
    relay = relay_to(plane, upstream_protocol, weir_module.merge(rules("before"), {
        "guards": {"shrink_percent": 50, "rollout": {"first": 1, "wait": "3s"}},
        "cache": {"store": {"path": str(tmp_path / "store")}}}), node={"id": "{key}"})
    for key in ("held", "tried", "busy", "before", "after"):
        plane.set(CDS, clusters(10), key=key)
    first = plane.expected(CDS, key="held")
    clients = {group: come(group, 3) for group in ("held", "tried", "busy", "mover")}
    for client in sum(clients.values(), []):
        client.converge(CDS, first)
    plane.set(CDS, clusters(3), key="held")
    eventually(lambda: held(relay, "held"), "a hold")
    ended = threading.Event()

    def keep_changing():
        count = 0
        while not ended.is_set():
            count += 1
            plane.update(CDS, clusters(10, 1 + count), key="busy")
            ended.wait(0.02)

    changing = threading.Thread(target=keep_changing)
    changing.start()
    try:
        for client in clients["tried"]:
            client.auto_ack = False
        plane.set(CDS, clusters(11, 2), key="tried")
        eventually(lambda: relay.keys()["tried"]["types"]["cds"]["rollout"], "the trial")
        # One of those it may be tried on moves, too; commands come for a key that is about to go.
        for mover in ("after", "before", "after"):
            relay.configure(rules(mover, {"match": {"node.id": "tried1"}, "key": "after"}))
            relay.reload()
            for path in ("hold", "release", "rollback"):
                status, answer = post(relay, f"/keys/{path}?key=before&type=cds")
                assert status in (200, 404, 409), answer
        eventually(lambda: relay.log.count("configuration reloaded") == 3, "the reloads")
        for client in [*clients["mover"], clients["tried"][1]]:
            client.auto_ack = True
            eventually(lambda: [c["key"] for c in relay.clients(f"?node={client.node.id}")] == ["after"], "the move")
    finally:
        ended.set()
        changing.join()
    for client in (clients["tried"][0], clients["tried"][2]):
        client.converge(CDS, plane.expected(CDS, key="tried"), timeout=15)
    for client in clients["busy"]:
        client.converge(CDS, plane.expected(CDS, key="busy"), timeout=15)
    for client in clients["mover"]:
        client.converge(CDS, plane.expected(CDS, key="after"))
    assert held(relay, "held")["reason"] == "shrink"
    assert all(client.held(CDS) == first for client in clients["held"])
    written(relay)
    kill(relay)
    relay.start()
    back, = come("held")
    back.converge(CDS, first)
    assert eventually(lambda: held(relay, "held"), "the hold")["reason"] == "shrink"
    back.quiet()
