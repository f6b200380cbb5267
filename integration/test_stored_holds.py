"""Holds that outlive the relay, where there is a store: after a restart, after a crash, and amid everything else."""

import threading

import pytest

from weirtest import weir as weir_module
from weirtest import xds
from weirtest.clients import follow, quiet
from weirtest.waiting import eventually
from weirtest.xds import CDS

pytestmark = pytest.mark.relay_only

both_ways = pytest.mark.parametrize("protocol", ["sotw", "delta"])
both_upstreams = pytest.mark.parametrize("upstream_protocol", ["sotw", "delta"])


@pytest.mark.parametrize("how", ["empty", "operator", "rollback"])
def test_AGG_08_a_hold_survives_the_relay_where_there_is_a_store(
        plane, relay_to, connect, tmp_path, upstream_protocol, how):
    protocol = "delta" if upstream_protocol == "sotw" else "sotw"
    relay = relay_to(plane, upstream_protocol, {"cache": {"store": {"path": str(tmp_path / "store")}}})

    def changed():
        """The hold, once it keeps something back."""
        hold = relay.held()
        return hold if hold and hold["changes"] else None

    def come():
        client = connect(relay, protocol)
        client.subscribe(CDS)
        client.converge(CDS, good)
        return client

    plane.set(CDS, [xds.cluster(f"c{i}") for i in range(10)])
    good = plane.expected(CDS)
    client = come()
    if how == "empty":
        plane.set(CDS, [])
    elif how == "operator":
        assert relay.post("/keys/hold?key=web&type=cds")[0] == 200
        plane.update(CDS, [xds.cluster("c1", 7)], remove=["c2"])
    else:
        plane.update(CDS, [xds.cluster("c1", 7)], remove=["c2"])
        client.converge(CDS, plane.expected(CDS))
        assert relay.post("/keys/rollback?key=web&type=cds")[0] == 200
        client.converge(CDS, good)
    reason = eventually(changed, "the hold")["reason"]
    for _ in range(2 if how == "empty" else 1):
        eventually(lambda: relay.metric("weir_store_behind_seconds") == 0, "the store to be written")
        client.close()
        relay.stop()
        relay.start()
        client = come()
        hold = eventually(changed, "the hold to be there again")
        assert hold["reason"] == reason
        if how != "empty":
            assert "127.0.0.1" in hold["detail"]
        client.quiet()
        assert client.held(CDS) == good
    assert relay.post("/keys/release?key=web&type=cds")[0] == 200
    client.converge(CDS, plane.expected(CDS))
    # What was released stays released.
    good = plane.expected(CDS)
    client.close()
    relay.stop()
    relay.start()
    client = come()
    client.settle()
    assert client.held(CDS) == good and relay.held() is None


@pytest.mark.parametrize("is_away", [False, True], ids=["plane-up", "plane-down"])
@both_upstreams
def test_AGG_08_UP_19_what_a_guard_holds_is_held_after_a_kill(
        plane, relay_to, connect, tmp_path, upstream_protocol, is_away):
    relay = relay_to(plane, upstream_protocol, {
        "guards": {"shrink_percent": 50}, "cache": {"store": {"path": str(tmp_path / "store")}}})
    plane.set(CDS, xds.clusters(10), version="one")
    first = plane.expected(CDS)
    follow(relay, connect, "delta", first)
    plane.set(CDS, xds.clusters(3), version="two")
    assert eventually(lambda: relay.held(), "the push to be held")["reason"] == "shrink"
    relay.written()
    if is_away:
        plane.pause()
    relay.kill()
    relay.start()
    clients = [*follow(relay, connect, "delta", first), *follow(relay, connect, "sotw", first)]
    if is_away:
        plane.resume()
    hold = eventually(lambda: relay.held(), "the push to be held again")
    assert hold["reason"] == "shrink" and hold["changes"] == 7
    assert relay.metric("weir_holds", type="cds", reason="shrink") == 1
    assert any("(shrink)" in text for text in relay.json("/ready")["degraded"])
    quiet(*clients)
    assert all(client.held(CDS) == first for client in clients)
    assert relay.post("/keys/release?key=web&type=cds")[0] == 200
    for client in clients:
        client.converge(CDS, plane.expected(CDS))
    assert relay.held() is None and relay.metric("weir_holds") == 0


@pytest.mark.parametrize("is_away", [False, True], ids=["plane-up", "plane-down"])
@both_upstreams
@both_ways
def test_AGG_08_a_push_that_clients_rejected_is_held_after_a_kill(
        plane, relay_to, connect, tmp_path, upstream_protocol, protocol, is_away):
    relay = relay_to(plane, upstream_protocol, {
        "guards": {"rollout": {"first": 1, "wait": "1s"}}, "cache": {"store": {"path": str(tmp_path / "store")}}})
    plane.set(CDS, xds.clusters(3))
    first = plane.expected(CDS)
    clients = follow(relay, connect, protocol, first, 3)
    eventually(lambda: all(c["types"]["cds"]["state"] == "acked" for c in relay.clients()), "all to acknowledge")
    for client in clients:
        client.drain()
        client.auto_ack = False
    plane.set(CDS, xds.clusters(4, 2))
    second = plane.expected(CDS)
    canary = eventually(lambda: [c for c in clients if c.held(CDS) == second], "one to get the push")[0]
    canary.nack(canary.expect(CDS), "no such filter: envoy.lua")
    before = eventually(lambda: relay.held(), "the push to be held")
    assert before["reason"] == "nack"
    relay.written()
    if is_away:
        plane.pause()
    relay.kill()
    relay.start()
    # Those that come now would accept it; nobody is asked once more.
    again = follow(relay, connect, protocol, first, 3)
    hold = eventually(lambda: relay.held(), "the push to be held again")
    assert hold["reason"] == "nack" and "no such filter: envoy.lua" in hold["detail"]
    assert hold["since"] == before["since"]
    assert relay.metric("weir_holds", type="cds", reason="nack") == 1
    if is_away:
        plane.resume()
    eventually(lambda: relay.held()["changes"] == 4, "the control plane to say it again")
    quiet(*again, seconds=1.5)
    assert all(client.held(CDS) == first for client in again)
    assert "no such filter: envoy.lua" in eventually(
        lambda: plane.nacks(CDS), "the control plane to be told")[-1].message.error_detail.message
    assert relay.post("/keys/release?key=web&type=cds")[0] == 200
    for client in again:
        client.converge(CDS, second)
    eventually(lambda: relay.held() is None and relay.metric("weir_holds") == 0, "the hold to end")


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
        plane.set(CDS, xds.clusters(10), key=key)
    first = plane.expected(CDS, key="held")
    clients = {group: come(group, 3) for group in ("held", "tried", "busy", "mover")}
    for client in sum(clients.values(), []):
        client.converge(CDS, first)
    plane.set(CDS, xds.clusters(3), key="held")
    eventually(lambda: relay.held(key="held"), "a hold")
    ended = threading.Event()

    def keep_changing():
        count = 0
        while not ended.is_set():
            count += 1
            plane.update(CDS, xds.clusters(10, 1 + count), key="busy")
            ended.wait(0.02)

    changing = threading.Thread(target=keep_changing)
    changing.start()
    try:
        for client in clients["tried"]:
            client.auto_ack = False
        plane.set(CDS, xds.clusters(11, 2), key="tried")
        eventually(lambda: relay.keys()["tried"]["types"]["cds"]["rollout"], "the trial")
        # One of those it may be tried on moves, too; commands come for a key that is about to go.
        for mover in ("after", "before", "after"):
            relay.configure(rules(mover, {"match": {"node.id": "tried1"}, "key": "after"}))
            relay.reload()
            for path in ("hold", "release", "rollback"):
                status, answer = relay.post(f"/keys/{path}?key=before&type=cds")
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
    assert relay.held(key="held")["reason"] == "shrink"
    assert all(client.held(CDS) == first for client in clients["held"])
    relay.written()
    relay.kill()
    relay.start()
    back, = come("held")
    back.converge(CDS, first)
    assert eventually(lambda: relay.held(key="held"), "the hold")["reason"] == "shrink"
    back.quiet()
