"""The debug endpoint's manners: errors, methods, headers, filters by node, and a worker that does not turn."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from weirtest import xds
from weirtest.http import ask
from weirtest.threads import stopped
from weirtest.waiting import eventually
from weirtest.xds import CDS, EDS

pytestmark = pytest.mark.relay_only


@pytest.fixture
def fleet(plane, relay, connect):
    """Three clients with metadata, everything acknowledged."""
    with plane.atomic():
        plane.set(CDS, [xds.cluster(name) for name in "ab"], version="7")
        plane.set(EDS, [xds.endpoints(name, 1) for name in "ab"], version="9")
    clients = []
    for name, tier, port in (("edge-1", "gold", 80), ("edge-2", "silver", 81), ("core-1", "gold", 80)):
        metadata = {"tier": tier, "port": port, "canary": tier == "silver", "labels": {"app": name[:4]}}
        client = connect(relay, "delta", node=xds.node(name, metadata=metadata))
        client.subscribe(CDS)
        client.expect(CDS)
        client.subscribe(EDS, "a")
        client.expect(EDS)
        clients.append(client)
    eventually(
        lambda: [t["state"] for c in relay.clients() for t in c["types"].values()] == ["acked"] * 6,
        "every response to be acknowledged")
    return clients


@pytest.mark.parametrize("path, words", [
    ("/clinets", ["/clinets", "did you mean /clients?"]),
    ("/keys?kye=x", ["kye", "did you mean key?"]),
    ("/keys?limit=0", ["limit=0", "1 to 100000"]),
    ("/keys?limit=many", ["limit=many"]),
    ("/clients?cursor=here", ["cursor=here", "0.128"]),
    ("/clients?type=cdss", ["cdss", "did you mean cds?"]),
    ("/clients?state=ackd", ["ackd", "did you mean acked?"]),
    ("/clients?node:prefx=a", ["node:prefx"]),
    ("/clients?node:regex=(", ["regular expression"]),
    ("/clients?node.metadata.tier:prefx=a", ["did you mean prefix?"]),
    ("/config_dump?type=Cluster", ["Cluster"]),
    ("/keys?format=xml", ["json, text"]),
    ("/keys?key=a&key=b", ["key", "once"]),
    ("/ready?x=1", ["x", "format"]),
    ("/metrics?x=1", ["no parameters"]),
    ("/explain?node.idd=x", ["did you mean node.id?"]),
    ("/debug/config_dump", ["proxyID"]),
    ("/debug/config_dump?proxyID=x&types=foo", ["foo", "cds"]),
])
def test_errors_say_what_would_be_right(relay, path, words):
    reply = ask(relay, path)
    assert reply.status == (404 if path == "/clinets" else 400)
    for word in words:
        assert word in reply.error
    assert ask(relay, path, "HEAD").status == reply.status


@pytest.mark.parametrize("path, words", [
    ("/logging", ["level"]), ("/logging?level=loud", ["debug, info, warning, error"]), ("/keys/hold", ["key"]),
    ("/keys/hold?key=web", ["type"]), ("/keys/hold?key=web&type=cdx", ["did you mean cds?"]),
    ("/keys/refresh?kee=web", ["did you mean key?"]), ("/drain?now=1", ["no parameters"])])
def test_errors_of_what_is_posted(relay, path, words):
    reply = ask(relay, path, "POST")
    assert reply.status == 400
    for word in words:
        assert word in reply.error
    assert relay.json("/ready")["state"] == "LIVE"


def test_methods(relay):
    for path, allow in (("/keys", "GET, HEAD"), ("/logging", "GET, HEAD, POST"), ("/drain", "POST")):
        for method in ("PUT", "DELETE", "OPTIONS", "PATCH"):
            reply = ask(relay, path, method)
            assert (reply.status, reply.headers["Allow"]) == (405, allow) and allow in reply.error
    assert ask(relay, "/keys", "POST").status == 405 and ask(relay, "/drain").status == 405


def test_the_status_of_commands(fleet, relay):
    def post(path):
        return ask(relay, path, "POST")

    assert post("/logging?level=info").json == {"level": "info"}
    assert post("/keys/hold?key=nobody&type=cds").status == 404
    assert post("/keys/hold?key=web&type=lds").status == 404
    held = post("/keys/hold?key=web&type=cds")
    assert held.status == 200 and held.json["held"]["reason"] == "operator"
    assert post("/keys/release?key=web&type=cds").status == 200
    assert post("/keys/release?key=web&type=cds").status == 409
    assert post("/keys/rollback?key=web&type=cds").status == 409
    assert post("/keys/rollback?key=web&type=cds&to=nonsense").status == 404
    assert post("/keys/refresh?key=web").status == 200
    assert post("/keys/evict?key=web").status == 409
    assert post("/drain").json == {"state": "DRAINING"}
    assert relay.get("/ready")[0] == 503


def test_gzip_is_sent_when_it_is_asked_for(fleet, relay):
    plain = ask(relay, "/openapi.json")
    packed = ask(relay, "/openapi.json", accept_encoding="br, gzip;q=0.8")
    assert plain.headers["Content-Encoding"] is None and packed.headers["Content-Encoding"] == "gzip"
    assert packed.text == plain.text and len(packed.raw) < len(plain.raw) / 4
    assert "Accept-Encoding" in packed.headers["Vary"] and packed.headers["ETag"] != plain.headers["ETag"]
    for refusal in ("gzip;q=0", "identity", "identity, gzip;q=0.5", ""):
        assert ask(relay, "/openapi.json", accept_encoding=refusal).headers["Content-Encoding"] is None
    assert ask(relay, "/logging", accept_encoding="gzip").headers["Content-Encoding"] is None, "too small to gain"


def test_what_has_not_changed_is_not_sent_again(plane, fleet, relay):
    first = ask(relay, "/config_dump?type=cds")
    tag = first.headers["ETag"]
    again = ask(relay, "/config_dump?type=cds", if_none_match=f'"other", {tag}')
    assert again.status == 304 and again.raw == b"" and again.headers["ETag"] == tag
    plane.update(CDS, [xds.cluster("c")])
    eventually(lambda: ask(relay, "/config_dump?type=cds", if_none_match=tag).status == 200, "the new content")


@pytest.mark.parametrize("path", [
    "/", "/ready", "/live", "/server_info", "/keys", "/clients", "/upstreams", "/config_dump", "/explain?node.id=x",
    "/debug/syncz", "/metrics", "/memory", "/logging", "/openapi.json"])
def test_HEAD_says_what_GET_would_send(fleet, relay, path):
    head, get = ask(relay, path, "HEAD"), ask(relay, path)
    assert (head.status, head.raw) == (200, b"") and get.raw
    assert head.headers["Content-Type"] == get.headers["Content-Type"]
    if path not in ("/metrics", "/memory", "/server_info"):  # they change by themselves
        assert head.headers["Content-Length"] == get.headers["Content-Length"]


@pytest.mark.parametrize("query, expected", [
    ("node=edge-1", {"edge-1"}), ("node=edge", set()), ("node:prefix=edge-", {"edge-1", "edge-2"}),
    ("node:suffix=-1", {"edge-1", "core-1"}), ("node:contains=ore", {"core-1"}),
    ("node:regex=.*-[2-9]", {"edge-2"}), ("node.metadata.tier=gold", {"edge-1", "core-1"}),
    ("node.metadata.tier:prefix=si", {"edge-2"}), ("node.metadata.port=80", {"edge-1", "core-1"}),
    ("node.metadata.canary=true", {"edge-2"}), ("node.metadata.labels.app=core", {"core-1"}),
    ("node.metadata.nothing=x", set()), ("node:prefix=edge&node.metadata.tier=gold", {"edge-1"}),
    ("key=web", {"edge-1", "edge-2", "core-1"}), ("key=x", set()), ("type=eds&state=acked&node=core-1", {"core-1"}),
    ("state=nacked", set()), ("type=lds", set()), ("node=", {"edge-1", "edge-2", "core-1"})])
def test_clients_are_found_as_CSDS_finds_them(fleet, relay, query, expected):
    answer = relay.json("/clients?" + query)
    assert {client["node"] for client in answer["clients"]} == expected and answer["total"] == len(expected)


def test_clients_by_state(plane, fleet, relay):
    fleet[0].auto_ack = False
    plane.update(CDS, [xds.cluster("c")])
    fleet[0].nack(fleet[0].expect(CDS), "no good")
    eventually(lambda: [c["node"] for c in relay.clients("?state=nacked")] == ["edge-1"], "the rejection")
    assert [c["node"] for c in relay.clients("?state=nacked&type=cds")] == ["edge-1"]
    assert relay.clients("?state=nacked&type=eds") == []


def test_syncz_has_the_shape_of_istiods(plane, fleet, relay):
    proxies = {proxy["proxy"]: proxy for proxy in relay.json("/debug/syncz")}
    assert set(proxies) == {"edge-1", "edge-2", "core-1"}
    one = proxies["edge-1"]
    assert one["cluster_sent"] == one["cluster_acked"] != "" and "listener_sent" not in one
    assert one["resources"][CDS]["status"] == "SYNCED" and one["resources"][CDS]["sent_version"] == "7"
    fleet[0].auto_ack = False
    plane.update(CDS, [xds.cluster("c")])
    fleet[0].nack(fleet[0].expect(CDS), "no good")

    def proxy():
        return relay.json("/debug/syncz?proxyID=edge-1")[0]

    stale = eventually(lambda: proxy() if proxy()["resources"][CDS]["lastError"] else None, "the rejection")
    assert stale["resources"][CDS]["status"] == "STALE" and "no good" in stale["resources"][CDS]["lastError"]
    assert stale["cluster_sent"] != one["cluster_sent"] and stale.get("cluster_acked") != stale["cluster_sent"]
    table = relay.get("/debug/syncz?format=text")[2]
    assert table.startswith("NAME") and "STALE" in table and "SYNCED" in table and "IGNORED" in table
    assert len(relay.json("/debug/syncz?node:prefix=edge-")) == 2


def test_the_config_dump_of_a_proxy_has_the_shape_of_envoys(fleet, relay):
    dump = relay.json("/debug/config_dump?proxyID=edge-1")
    assert [config["@type"].rsplit(".", 1)[1] for config in dump["configs"]] == ["ClustersConfigDump"]
    clusters = dump["configs"][0]["dynamicActiveClusters"]
    assert {entry["cluster"]["name"] for entry in clusters} == {"a", "b"} and clusters[0]["versionInfo"] == "7"
    both = relay.json("/debug/config_dump?proxyID=edge-1&include_eds=true")["configs"]
    assert [entry["endpointConfig"]["cluster_name"] for entry in both[1]["dynamicEndpointConfigs"]] == ["a"]
    assert relay.json("/debug/config_dump?proxyID=edge-1&types=eds")["configs"] == both[1:]
    reply = ask(relay, "/debug/config_dump?proxyID=edge-9")
    assert reply.status == 404 and "edge-9" in reply.error


def test_memory(fleet, relay):
    memory = relay.json("/memory")
    assert memory["resident_bytes"] > memory["cache_bytes"] > 0
    assert (memory["groups"], memory["streams"], memory["cache_resources"]) == (1, 3, 3)
    assert fields_of(relay.get("/memory?format=text")[2])["groups"] == "1"


def fields_of(text):
    return dict(line.split(None, 1) for line in text.splitlines())


@pytest.mark.parametrize("path", ["/ready", "/live", "/server_info", "/keys", "/clients", "/upstreams", "/config_dump",
                                  "/explain?node=edge-1", "/debug/syncz", "/debug/config_dump?proxyID=edge-1",
                                  "/memory", "/logging"])
def test_every_answer_has_a_form_for_people(fleet, relay, path):
    reply = ask(relay, path + ("&" if "?" in path else "?") + "format=text")
    assert reply.status == 200 and reply.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert reply.text.endswith("\n") and "{" not in reply.text


def test_a_worker_that_does_not_turn_is_named_and_the_others_answer(fleet, relay):
    whole = {client["node"] for client in relay.clients()}
    lists = {"/clients": "clients", "/keys": "keys", "/config_dump": "resources"}
    others = ["/memory", "/clients?format=text", "/debug/syncz", "/metrics"]
    commands = [f"/keys/refresh?key={key}" for key in "abcdefgh"]
    with stopped(relay.process.pid, "weir-worker-1"), ThreadPoolExecutor(20) as pool:
        asked = {path: pool.submit(ask, relay, path, timeout=20) for path in [*lists, *others]}
        posted = [pool.submit(ask, relay, path, "POST", timeout=20) for path in commands]
        # What asks no worker answers at once.
        for path in ("/ready", "/server_info", "/upstreams", "/logging", "/openapi.json", "/explain?node.cluster=web"):
            assert ask(relay, path, timeout=1.5).status == 200
        replies = {path: future.result() for path, future in asked.items()}
        for path, name in lists.items():
            assert replies[path].json["missing_workers"] == [1] and isinstance(replies[path].json[name], list)
        assert replies["/memory"].json["missing_workers"] == [1] and replies["/metrics"].status == 200
        assert "no answer from worker 1" in replies["/clients?format=text"].text
        assert replies["/debug/syncz"].status == 503 and "1" in replies["/debug/syncz"].error
        # A command is carried out or refused, never both.
        refusals = [reply for reply in (future.result() for future in posted) if reply.status != 404]
        assert {reply.status for reply in refusals} == {503} and 0 < len(refusals) < len(commands)
        assert "worker 1" in refusals[0].error and "nothing was done" in refusals[0].error
    assert {client["node"] for client in relay.clients()} == whole
    assert "missing_workers" not in relay.json("/clients")
