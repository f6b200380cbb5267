"""Snapshots put over HTTP instead of a control plane: checked, atomic, conditional, kept, and pushed like any other."""

import base64
import subprocess
import sys
import threading
from contextlib import closing

import grpc
import httpx
import pytest
from envoy.service.discovery.v3 import discovery_pb2

from weirtest import weir as weir_module
from weirtest import xds
from weirtest.backend import HttpBackend
from weirtest.ports import free_port
from weirtest.process import Process
from weirtest.push import ROOT, TOKEN, Push, as_json, as_protobuf
from weirtest.traffic import fetch
from weirtest.waiting import eventually, never
from weirtest.xds import CDS, EDS, LDS, SDS

pytestmark = pytest.mark.relay_only


@pytest.fixture
def push(new_weir, tmp_path):
    return Push(new_weir, tmp_path)


def names(client, type_url):
    return sorted(client.held(type_url))


def names_in(answer):
    return sorted(resource.get("name", resource.get("cluster_name")) for resource in answer.json()["resources"])


# --- Putting.


def test_a_snapshot_is_served_and_the_next_one_goes_out_as_the_difference(push, connect, protocol):
    first = push.put("web", xds.cluster("a"), xds.cluster("b"), xds.endpoints("a", 1), version="1")
    assert first.status_code == 201, first.text
    assert first.json()["outcome"] == "created" and first.json()["version_info"] == "1"
    assert first.json()["types"]["cds"] == {
        "version_info": "1", "resources": 2, "added": ["a", "b"], "changed": [], "removed": [], "names_left_out": 0}
    assert first.headers["ETag"] == first.json()["etag"] == push.get("web").headers["ETag"]
    client = connect(push.relay, protocol)
    client.subscribe(CDS)
    client.subscribe(EDS, "a")
    eventually(lambda: names(client, CDS) == ["a", "b"] and names(client, EDS) == ["a"], "the snapshot")
    client.settle()
    second = push.put("web", xds.cluster("a", 9), xds.cluster("c"), xds.endpoints("a", 1), version="2")
    assert (second.status_code, second.json()["outcome"]) == (200, "replaced")
    cds = second.json()["types"]["cds"]
    assert (cds["added"], cds["changed"], cds["removed"]) == (["c"], ["a"], ["b"])
    eventually(lambda: names(client, CDS) == ["a", "c"], "what is in the second one")
    if client.delta:
        response = client.expect(CDS)
        assert sorted(response.names) == ["a", "c"] and client.expect(CDS).removed == ["b"]
        # They stayed what they were; a cluster that changes has them sent again (ORD-05).
        assert client.expect(EDS).names == ["a"]
        client.quiet()
    again = push.put("web", xds.cluster("a", 9), xds.cluster("c"), xds.endpoints("a", 1), version="2")
    assert (again.status_code, again.json()["outcome"]) == (200, "unchanged")
    assert again.headers["ETag"] == second.headers["ETag"] != first.headers["ETag"]
    client.settle()
    assert push.relay.keys()["web"]["types"]["cds"]["version"] == "2"


def test_protobuf_says_the_same_as_JSON(push):
    messages = [xds.cluster("a"), xds.endpoints("a", 1), xds.listener("l")]
    push.put("web", *messages, version="1")
    shown = push.get("web").json()
    answer = push.send("web", as_protobuf(*messages, version="1"), kind="application/x-protobuf")
    assert answer.status_code == 200, answer.text
    assert push.get("web").json() == shown and names_in(push.get("web")) == ["a", "a", "l"]
    again = push.send("web", as_protobuf(*messages, version="1"), kind="application/x-protobuf")
    assert again.json()["outcome"] == "unchanged" and again.headers["ETag"] == answer.headers["ETag"]


def test_what_is_read_can_be_put_back(push):
    push.put("web", xds.cluster("a"), xds.endpoints("a", 1), xds.listener("l"), version="1")
    answer = push.get("web")
    back = push.send("web", answer.content)
    assert (back.status_code, back.json()["outcome"]) == (200, "unchanged")
    assert answer.headers["Content-Type"] == "application/json"
    assert push.get("web", **{"If-None-Match": answer.headers["ETag"]}).status_code == 304
    assert push.client.head(push.path("web")).headers["ETag"] == answer.headers["ETag"]


def test_a_version_is_made_of_the_content_where_none_is_given(push):
    first = push.put("web", xds.cluster("a")).json()["version_info"]
    assert push.put("web", xds.cluster("b")).json()["version_info"] != first
    assert push.put("web", xds.cluster("a")).json()["version_info"] == first


def test_types_may_be_put_one_by_one_and_the_others_are_waited_for(push, connect, protocol):
    assert push.put("web", xds.cluster("a"), type="cds", version="c1").status_code == 201
    client = connect(push.relay, protocol)
    client.subscribe(CDS)
    client.subscribe(LDS)
    eventually(lambda: names(client, CDS) == ["a"], "the clusters")
    never(lambda: any(response.type_url == LDS for response in client.history), "an answer about listeners", 0.6)
    assert push.get("web", "lds").status_code == 404
    url = xds.PREFIX + "envoy.config.listener.v3.Listener"
    assert push.put("web", xds.listener("l"), type=url, version="l1").status_code == 201
    eventually(lambda: names(client, LDS) == ["l"], "the listeners")
    listed = push.get().json()["snapshots"][0]
    assert {type: entry["version_info"] for type, entry in listed["types"].items()} == {"cds": "c1", "lds": "l1"}
    assert listed["version_info"] is None
    # One type is changed, or forgotten, and has a tag of its own.
    tag = push.get("web", "cds").headers["ETag"]
    assert push.put("web", xds.listener("m"), type="lds").json()["outcome"] == "replaced"
    assert push.get("web", "cds").headers["ETag"] == tag
    eventually(lambda: names(client, LDS) == ["m"], "the new listeners")
    assert push.delete("web", "lds").json()["outcome"] == "removed"
    client.settle()
    assert names(client, LDS) == ["m"] and push.get("web", "lds").status_code == 404


def test_a_whole_snapshot_says_that_what_it_does_not_mention_is_not_there(push, connect):
    push.put("web", xds.cluster("a"))
    client = connect(push.relay, "delta")
    client.subscribe(LDS)
    assert client.expect(LDS).names == []
    client.subscribe(EDS, "zz")
    assert client.expect(EDS).removed == ["zz"]
    assert push.get("web", "lds").json()["resources"] == []


def test_a_key_that_nothing_was_put_for_is_a_control_plane_that_cannot_be_reached(push, connect, protocol):
    client = connect(push.relay, protocol)
    client.subscribe(CDS)
    code, message = client.status()
    assert code == grpc.StatusCode.UNAVAILABLE and 'no snapshot was put for key "web"' in message
    assert client.history == []
    # Another that waits is served as soon as there is one.
    push.put("other", xds.cluster("x"))
    waiting = connect(push.relay, protocol)
    waiting.subscribe(CDS)
    push.put("web", xds.cluster("a"))
    eventually(lambda: names(waiting, CDS) == ["a"], "the snapshot")


def test_what_is_removed_stays_with_its_clients(push, connect, protocol):
    push.put("web", xds.cluster("a"))
    client = connect(push.relay, protocol)
    client.subscribe(CDS)
    eventually(lambda: names(client, CDS) == ["a"], "the snapshot")
    client.settle()
    answer = push.delete("web")
    assert (answer.status_code, answer.json()["outcome"]) == (200, "removed")
    assert push.delete("web").status_code == push.get("web").status_code == 404
    client.quiet()
    assert names(client, CDS) == ["a"]
    client.close()
    eventually(lambda: "web" not in push.relay.keys(), "the group to go")
    late = connect(push.relay, protocol)
    late.subscribe(CDS)
    assert late.status()[0] == grpc.StatusCode.UNAVAILABLE
    assert push.put("web", xds.cluster("b")).status_code == 201


def test_a_key_may_hold_anything(push, connect):
    for key in ("edge/eu", "a%2Fb", "ä b", "cds"):
        assert push.put(key, xds.cluster("x")).status_code == 201
        assert push.get(key, "cds").status_code == 200
    assert [entry["key"] for entry in push.get().json()["snapshots"]] == sorted(("edge/eu", "a%2Fb", "ä b", "cds"))
    first = push.client.get(ROOT, params={"limit": 3}).json()
    rest = push.client.get(ROOT, params={"cursor": first["next_cursor"]}).json()
    assert (len(first["snapshots"]), len(rest["snapshots"]), rest["next_cursor"], rest["total"]) == (3, 1, None, 4)


# --- Conditions.


def test_only_one_of_those_who_read_the_same_may_write(push):
    push.put("web", xds.cluster("c", 1))
    tag = push.get("web").headers["ETag"]
    answers = []

    def write(number):
        with push.caller() as caller:
            answers.append(caller.put(push.path("web"), json=as_json(xds.cluster(f"w{number}")),
                                      headers={"If-Match": tag}))

    threads = [threading.Thread(target=write, args=[number]) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 11
    [winner] = [answer for answer in answers if answer.status_code == 200]
    now = push.get("web").headers["ETag"]
    assert winner.headers["ETag"] == now != tag
    for answer in answers:
        if answer is not winner:
            assert answer.headers["ETag"] == now and "If-Match" in answer.json()["error"]
    assert push.relay.metric("weir_snapshot_requests_total", outcome="conflict") == 11


def test_conditions_of_all_kinds(push):
    def code(answer):
        return answer.status_code

    a = xds.cluster("a")
    assert code(push.put("web", a, headers={"If-Match": "*"})) == 412
    assert code(push.put("web", a, headers={"If-None-Match": "*"})) == 201
    assert code(push.put("web", a, headers={"If-None-Match": "*"})) == 412
    tag = push.get("web").headers["ETag"]
    assert code(push.put("web", a, headers={"If-Match": f'W/{tag}'})) == 412
    assert code(push.put("web", a, headers={"If-Match": f'"x", {tag}'})) == 200
    assert code(push.delete("web", **{"If-Match": '"x"'})) == 412
    # Of one type, it is that type's tag.
    assert code(push.put("web", xds.listener("l"), type="lds", headers={"If-Match": tag})) == 412
    assert code(push.put("web", xds.cluster("b"), type="cds",
                         headers={"If-Match": push.get("web", "cds").headers["ETag"]})) == 200
    assert code(push.delete("web", **{"If-Match": push.get("web").headers["ETag"]})) == 200


# --- What is wrong with it.


def faults(answer):
    """(index, type, name, field) of each mistake."""
    found = []
    for error in answer.json()["errors"]:
        assert error["message"], answer.text
        resource = error.get("resource", {})
        found.append((resource.get("index"), resource.get("type"), resource.get("name"), error["field"]))
    return found


CLUSTER = {"@type": CDS, "name": "a"}
INVALID = {
    "unknown field": ([CLUSTER, {"@type": CDS, "name": "b", "conect_timeout": "1s"}],
                      [(1, "cds", "b", "conect_timeout")]),
    "deep field": ([{"@type": EDS, "cluster_name": "a", "endpoints": [{"lb_endpoints": [{"endpoint": {"adress": {}}}]}]}],
                   [(0, "eds", "a", "endpoints[0].lb_endpoints[0].endpoint.adress")]),
    "every mistake is told": ([{"@type": CDS, "name": "a", "x": 1}, {"@type": CDS, "name": "b", "y": 1}],
                              [(0, "cds", "a", "x"), (1, "cds", "b", "y")]),
    "no name": ([{"@type": CDS}], [(0, "cds", None, "name")]),
    "no name of endpoints": ([{"@type": EDS, "name": "a"}], [(0, "eds", None, "cluster_name")]),
    "no type": ([{"name": "a"}], [(0, None, None, "@type")]),
    "unknown type": ([{"@type": xds.PREFIX + "envoy.config.cluster.v3.Clutser", "name": "a"}],
                     [(0, xds.PREFIX + "envoy.config.cluster.v3.Clutser", "a", "@type")]),
    "type without its prefix": ([{"@type": "envoy.config.cluster.v3.Cluster", "name": "a"}],
                                [(0, "envoy.config.cluster.v3.Cluster", "a", "@type")]),
    "twice": ([CLUSTER, CLUSTER], [(1, "cds", "a", None)]),
    "no object": ([3], [(0, None, None, None)]),
}


@pytest.mark.parametrize("case", INVALID)
def test_mistakes_are_told_by_resource_and_field_and_nothing_changes(shared, case):
    resources, expected = INVALID[case]
    tag = shared.get("web").headers["ETag"]
    answer = shared.send("web", {"version_info": "2", "resources": resources})
    assert answer.status_code == 422 and faults(answer) == expected, answer.text
    assert "nothing was changed" in answer.json()["error"]
    assert shared.get("web").headers["ETag"] == tag


MALFORMED = {
    "no JSON": (b'{"resources": [\n  {"a": }]}', 400, "line 2, column 9"),
    "nothing": (b"", 400, "a value is expected"),
    "a list": (b"[]", 422, "expected an object"),
    "no resources": (b"{}", 422, "missing"),
    "resources of another kind": (b'{"resources": 3}', 422, "expected a list"),
    "an unknown field": (b'{"resources": [], "verison_info": "1"}', 422, 'did you mean \\"version_info\\"'),
    "a version of another kind": (b'{"resources": [], "version_info": 1}', 422, "expected text"),
    "a field twice": (b'{"resources": [], "resources": []}', 422, "repeated"),
    "deep nesting": (b'{"resources": ' + b"[" * 500 + b"]" * 500 + b"}", 400, "deeper"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_what_is_no_snapshot_is_refused(shared, case):
    body, status, text = MALFORMED[case]
    answer = shared.send("web", body)
    assert answer.status_code == status and text in answer.text, answer.text


def test_bytes_that_are_no_protobuf_are_refused(shared):
    kind = "application/x-protobuf"
    assert shared.send("web", b"\xff\xff\xff", kind=kind).status_code == 400
    response = discovery_pb2.DiscoveryResponse()
    response.resources.add(type_url=CDS, value=b"\x0a\x01a\xff\xff")
    answer = shared.send("web", response.SerializeToString(), kind=kind)
    assert answer.status_code == 422 and answer.json()["errors"][0]["resource"]["index"] == 0 or answer.status_code == 400


def test_the_type_of_the_path_is_that_of_the_resources(shared):
    answer = shared.send("web", {"resources": [CLUSTER]}, type="lds")
    assert answer.status_code == 422 and faults(answer) == [(0, "cds", "a", "@type")]
    assert shared.send("web", {"type_url": CDS, "resources": []}, type="lds").status_code == 422
    answer = shared.send("web", {"resources": []}, type="ldss")
    assert answer.status_code == 404 and "lds" in answer.json()["error"]


def test_requests_that_are_none_of_those_that_there_are(shared):
    client = shared.client
    for path in ("/", "/v1", "/v1/snapshots/a/cds/b", "/v1/snapshotsx", "/v2/snapshots"):
        assert client.get(path).status_code == 404, path
    assert client.post(shared.path("web"), json={}).status_code == 405
    answer = client.put(ROOT, json={"resources": []})
    assert answer.status_code == 405 and answer.headers["Allow"] == "GET, HEAD"
    assert shared.send("web", {"resources": []}, query="?dryrun").json()["error"].endswith("did you mean dry_run?")
    assert shared.send("web", {"resources": []}, query="?dry_run=maybe").status_code == 400
    assert shared.send("web", {"resources": []}, kind="text/plain").status_code == 415
    assert shared.send("web", {"resources": []}, headers={"Content-Encoding": "gzip"}).status_code == 415
    assert shared.send("k" * 1025, {"resources": []}).status_code == 400
    assert client.get(ROOT + "?limit=0").status_code == 400


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One relay for the tests that change nothing."""
    folder = tmp_path_factory.mktemp("push")
    started = []

    def make(config):
        started.append(weir_module.Weir(folder, config).start())
        return started[-1]

    made = Push(make, folder)
    made.put("web", xds.cluster("good"))
    yield made
    started[0].stop()


def test_a_dry_run_says_what_would_change_and_changes_nothing(push):
    assert push.put("web", xds.cluster("a"), query="?dry_run").json()["outcome"] == "created"
    assert push.get("web").status_code == 404
    tag = push.put("web", xds.cluster("a"), version="1").headers["ETag"]
    answer = push.put("web", xds.cluster("b"), version="2", query="?dry_run=true")
    assert answer.status_code == 200 and answer.json()["dry_run"] is True
    assert answer.json()["types"]["cds"]["added"] == ["b"] and answer.json()["types"]["cds"]["removed"] == ["a"]
    assert push.get("web").headers["ETag"] == tag == answer.headers["ETag"] != answer.json()["etag"]
    assert push.send("web", {"resources": [{"@type": CDS}]}, query="?dry_run").status_code == 422
    assert push.put("web", headers={"If-Match": '"x"'}, query="?dry_run").status_code == 412
    assert push.delete("web", query="?dry_run").json()["outcome"] == "removed"
    assert push.get("web").status_code == 200
    # What would be is what then is.
    assert push.put("web", xds.cluster("b"), version="2").headers["ETag"] == answer.json()["etag"]


# --- Who may, and how much.


def test_it_takes_a_token(push):
    body = as_json(xds.cluster("a"))
    for token in ("", "wrong", TOKEN + "0", TOKEN[:-1]):
        with push.caller(token) as caller:
            for answer in (caller.put(push.path("web"), json=body), caller.get(ROOT), caller.delete(push.path("web"))):
                assert answer.status_code == 401 and answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert push.get("web").status_code == 404
    # A token that is taken away counts at once, and so does a new one.
    push.tokens.write_text("other 77ab09\n")
    assert push.put("web", xds.cluster("a")).status_code == 401
    with push.caller("77ab09") as caller:
        assert caller.put(push.path("web"), json=body).status_code == 201
    push.relay.process.wait_log("audit")
    [line] = [line for line in push.relay.log.splitlines() if "audit" in line]
    for piece in ("who=other", "method=PUT", "key=web", "outcome=created", "peer=127.0.0.1:"):
        assert piece in line, line
    push.tokens.unlink()
    with push.caller("77ab09") as caller:
        assert caller.get(ROOT).status_code == 401
    assert TOKEN not in push.relay.log and "77ab09" not in push.relay.log
    assert push.relay.metric("weir_snapshot_requests_total", outcome="refused") >= 13


def test_nothing_of_a_body_is_read_for_those_without_a_token(push):
    def endless():
        for _ in range(10_000):
            yield b" " * 65536

    with push.caller("wrong") as caller:
        try:
            answer = caller.put(push.path("web"), content=endless(), headers={"Content-Type": "application/json"})
            assert answer.status_code == 401
        except (httpx.WriteError, httpx.RemoteProtocolError, httpx.ReadError):
            pass  # The connection ends under the writer.
    assert push.put("web", xds.cluster("a")).status_code == 201


def test_sizes_and_keys_are_bounded(new_weir, tmp_path):
    push = Push(new_weir, tmp_path, {"max_snapshot_size": "16KiB", "max_keys": 2})
    large = b'{"resources": []' + b" " * 20_000 + b"}"
    assert push.send("web", large).status_code == 413
    chunked = push.client.put(push.path("web"), content=iter([large]), headers={"Content-Type": "application/json"})
    assert chunked.status_code == 413
    # All types of a key together, too.
    clusters = [xds.cluster(f"cluster-{n}-" + "x" * 200) for n in range(25)]
    assert push.put("web", *clusters, type="cds").status_code == 201
    many = [xds.endpoints(f"cluster-{n}-" + "x" * 200, 1) for n in range(25)]
    answer = push.send("web", as_protobuf(*many, *[xds.endpoints("y" * 200 + str(n), 1) for n in range(20)]), type="eds",
                       kind="application/x-protobuf")
    assert answer.status_code == 413 and "max_snapshot_size" in answer.json()["error"], answer.text
    assert push.get("web", "eds").status_code == 404
    assert push.put("second", xds.cluster("a")).status_code == 201
    answer = push.put("third", xds.cluster("a"))
    assert answer.status_code == 507 and "max_keys" in answer.json()["error"]
    assert push.put("second", xds.cluster("b")).status_code == 200
    push.delete("web")
    assert push.put("third", xds.cluster("a")).status_code == 201


def test_over_TLS(new_weir, tmp_path, certificates):
    files = {"certificate_chain": str(certificates.server.certificate), "private_key": str(certificates.server.key)}
    push = Push(new_weir, tmp_path, {"tls": files})
    push.client = push.caller(verify=certificates.raw_context(alpn=()))
    assert push.put("web", xds.cluster("a")).status_code == 201
    [upstream] = push.relay.json("/upstreams")["upstreams"]
    assert upstream["servers"][0]["address"] == f"https://127.0.0.1:{push.port}"
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://127.0.0.1:{push.port}{ROOT}", trust_env=False)


# --- Secrets.


def test_secrets_are_never_shown_and_what_is_shown_is_not_taken_for_one(push, connect):
    secret = xds.secret("s", b"certificate", b"very private")
    push.put("web", xds.cluster("a"), secret)
    shown = push.get("web")
    assert "very private" not in shown.text
    assert base64.b64encode(b"very private").decode() not in shown.text
    client = connect(push.relay, "delta")
    client.subscribe(SDS, "s")
    assert b"very private" in client.expect(SDS).bodies["s"]
    # Whoever reads, edits and puts back would lose the key.
    back = push.send("web", shown.content)
    assert back.status_code == 422 and "[redacted]" in back.json()["errors"][0]["message"], back.text
    assert back.json()["errors"][0]["resource"]["name"] == "s"
    assert push.get("web").headers["ETag"] == shown.headers["ETag"]
    # The other types can be.
    assert push.send("web", push.get("web", "cds").content, type="cds").json()["outcome"] == "unchanged"


# --- The disk.


def test_a_restart_with_a_store_serves_and_shows_the_same(new_weir, tmp_path, connect, protocol):
    push = Push(new_weir, tmp_path, cache={"store": {"path": str(tmp_path / "store")}})
    assert push.put("web", xds.cluster("old"), xds.listener("l"), version="1").json()["stored"] is True
    push.put("web", xds.cluster("a"), xds.cluster("b"), xds.secret("s", b"certificate", b"private"), version="2")
    push.put("parts", xds.cluster("p"), type="cds", version="7")
    push.put("gone", xds.cluster("g"))
    push.delete("gone")
    before = {path: push.client.get(path).content for path in (push.path("parts"), push.path("web", "cds"))}
    # Without a warning: what was answered is on the disk.
    push.relay.process.kill()
    push.relay.start()
    eventually(lambda: push.get("web").status_code == 200, "the snapshots")
    for path, content in before.items():
        assert push.client.get(path).content == content
    assert [entry["key"] for entry in push.get().json()["snapshots"]] == ["parts", "web"]
    assert push.get("parts", "lds").status_code == 404 and push.get("web", "lds").json()["resources"] == []
    # Secrets are not stored unless the configuration says so: they are waited for, not gone.
    assert push.get("web", "sds").status_code == 404
    client = connect(push.relay, protocol)
    client.subscribe(CDS)
    eventually(lambda: names(client, CDS) == ["a", "b"], "what was stored")
    client.settle()
    assert push.put("web", xds.cluster("a"), type="cds").json()["stored"] is True
    eventually(lambda: names(client, CDS) == ["a"], "what is put then")
    answer = weir_module.command("store", "verify", "--path", tmp_path / "store")
    assert answer.returncode == 0, answer.stdout + answer.stderr


# --- The rest of the relay.


def test_a_push_is_told_of_and_guarded_like_any_other(push, connect, protocol):
    push.put("web", *[xds.cluster(f"c{n}") for n in range(12)], version="1")
    client = connect(push.relay, protocol)
    client.subscribe(CDS)
    eventually(lambda: len(names(client, CDS)) == 12, "the clusters")
    client.settle()
    assert push.put("web", version="2").status_code == 200
    eventually(lambda: push.relay.keys()["web"]["types"]["cds"]["held"], "the empty push to be held")
    client.quiet()
    assert len(names(client, CDS)) == 12
    push.put("web", xds.cluster("c1"), version="3")
    eventually(lambda: names(client, CDS) == ["c1"], "the next push")
    pushes = push.relay.json("/history?key=web&type=cds")["pushes"]
    assert [(entry["version"], entry["upstream"]) for entry in pushes] == [
        ("3", "registry"), ("2", "registry"), ("1", "registry")]
    assert pushes[1]["outcome"] == "held_empty"
    [upstream] = push.relay.json("/upstreams")["upstreams"]
    assert (upstream["name"], upstream["protocol"], upstream["servers"][0]["state"]) == ("registry", "http", "connected")
    assert push.relay.keys()["web"]["upstream"] == {"name": "registry", "server": "http", "state": "connected"}
    assert push.relay.metric("weir_snapshot_keys", upstream="registry") == 1
    assert push.relay.metric("weir_snapshot_requests_total", outcome="put") == 3
    assert push.relay.metric("weir_pushes_total", type="cds", outcome="held_empty") == 1
    assert push.relay.metric("weir_pushes_total", type="cds", outcome="sent") == 2
    assert push.relay.json("/ready")["degraded"] == []


# --- A back end that does it.


def test_a_back_end_with_a_database_feeds_Envoy(push, tmp_path, new_envoy):
    listener, api = free_port(), free_port()
    database = tmp_path / "registry.sqlite"
    with closing(HttpBackend("blue")) as blue, closing(HttpBackend("green")) as green:
        registry = Process(
            [sys.executable, "-m", "uvicorn", "service_registry:app", "--port", str(api), "--no-access-log",
             "--app-dir", weir_module.ROOT / "integration" / "examples"], tmp_path / "registry.log",
            {"REGISTRY_DATABASE": str(database), "REGISTRY_WEIR": f"http://127.0.0.1:{push.port}",
             "REGISTRY_TOKEN": TOKEN, "REGISTRY_KEY": "web", "REGISTRY_LISTENER_PORT": str(listener)})
        try:
            registry.wait_log("Application startup complete", timeout=20)
            new_envoy(push.relay, "ads-delta")

            def answers(path, expected):
                eventually(lambda: fetch(listener, path) == expected, lambda: f"{path}: {expected}\n{registry.tail()}",
                           20, 0.05)

            def service(method, name, backend):
                answer = httpx.request(method, f"http://127.0.0.1:{api}/services/{name}/endpoints/127.0.0.1:"
                                       f"{backend.port}", trust_env=False)
                assert answer.status_code == 200, answer.text

            service("PUT", "greeter", blue)
            answers("/greeter/", (200, "blue"))
            service("PUT", "greeter", green)
            service("DELETE", "greeter", blue)
            answers("/greeter/", (200, "green"))
            # A row that is changed by other hands.
            subprocess.run(
                [sys.executable, "-c", "import sqlite3, sys; d = sqlite3.connect(sys.argv[1]);"
                 "d.execute('UPDATE endpoints SET port = ?', [sys.argv[2]]); d.commit()", database, str(blue.port)],
                check=True)
            answers("/greeter/", (200, "blue"))
            # Somebody else puts something: the back end overrules them.
            push.delete("web")
            eventually(lambda: push.get("web").status_code == 200, "the snapshot to be put again", 20, 0.1)
            answers("/greeter/", (200, "blue"))
        finally:
            registry.kill()
