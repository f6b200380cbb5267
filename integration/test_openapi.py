"""`/openapi.json` against the real answers: what it says is there is there, and the answers are what it says."""

import json
import re
import subprocess
import sys
from pathlib import Path

import jsonschema_rs
import pytest
from weirtest import xds
from weirtest.http import ask
from weirtest.waiting import eventually
from weirtest.xds import CDS, EDS, SDS

pytestmark = pytest.mark.relay_only


@pytest.fixture
def world(plane, relay, connect, certificates):
    """Something of everything: types, states, a hold, an upstream that is well."""
    with plane.atomic():
        plane.set(CDS, [xds.cluster(name) for name in "ab"], version="7")
        plane.set(EDS, [xds.endpoints("a", 1)], version="9")
        plane.set(SDS, [xds.secret("s", certificates.server.certificate_bytes, certificates.server.key_bytes)])
    for protocol in ("sotw", "delta"):
        client = connect(relay, protocol, node=xds.node(f"{protocol}-1"))
        client.subscribe(CDS)
        client.expect(CDS)
        client.subscribe(EDS, "a", "missing")
        client.expect(EDS)
    client.subscribe(SDS, "s")
    client.expect(SDS)
    plane.set(CDS, [xds.cluster(name) for name in "abc"], version="8")
    client.expect(CDS)
    silent = connect(relay, "delta", node=xds.node("nack-1"), auto_ack=False)
    silent.subscribe(CDS)
    silent.nack(silent.expect(CDS), "no good")
    eventually(lambda: relay.clients("?state=nacked"), "the rejection")
    assert ask(relay, "/keys/hold?key=web&type=eds", "POST").status == 200
    return relay


@pytest.fixture
def document(relay):
    return relay.json("/openapi.json")


def operations(document):
    return {(method.upper(), path) for path, item in document["paths"].items() for method in item}


def test_every_path_of_the_document_is_served(relay, document):
    assert document["openapi"].startswith("3.")
    for method, path in sorted(operations(document)):
        if method == "POST":
            continue
        if path in ("/events",):
            continue
        reply = ask(relay, path, method)
        assert reply.status in (200, 400), f"{method} {path}: {reply.status}"
        assert reply.status == 200 or "needs ?" in (reply.text or "needs ?")
    for method, path in operations(document):
        other = "PUT" if method != "PUT" else "PATCH"
        allowed = ask(relay, path, other).headers["Allow"].split(", ")
        assert set(allowed) == {m for m, p in operations(document) if p == path}


def test_every_path_that_is_served_is_in_the_document(relay, document):
    """The router's cases, read from its source: each is in the document, and none is only there."""
    sources = Path(__file__).parents[1] / "Sources/WeirServer/Admin"
    router = (sources / "AdminServer.swift").read_text()
    served = set(re.findall(r'\("(GET|POST)", "([^"]+)"\)', router))
    assert len(served) > 20
    # The page's document lies at "/", beside its other files.
    served.add(("GET", "/"))
    assert served == {(method, path) for method, path in operations(document) if method != "HEAD"}
    # And the reference for people has them all.
    reference = (Path(__file__).parents[1] / "docs/debug-endpoint.md").read_text()
    for _, path in served:
        assert f"`{path}" in reference or f"POST {path}" in reference, path


def test_every_reference_of_the_document_leads_somewhere(document):
    names = set(document["components"]["schemas"])
    used = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert used <= names and len({o["operationId"] for i in document["paths"].values() for o in i.values()}) == len(
        operations(document))


def test_answers_are_what_the_document_says(world, tmp_path):
    """schemathesis makes requests of the document, good and bad ones, and holds the answers against it."""
    result = subprocess.run(
        [str(Path(sys.executable).with_name("schemathesis")), "run", f"http://{world.admin}/openapi.json",
         "--checks", "not_a_server_error,status_code_conformance,content_type_conformance,"
                     "response_schema_conformance,negative_data_rejection,unsupported_method",
         "--exclude-path", "/drain", "--exclude-path", "/events",
         "--phases", "examples,coverage,fuzzing", "--max-examples", "8", "--seed", "1", "--workers", "2",
         "--request-timeout", "5", "--generation-database", "none"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout[-8000:] + result.stderr[-2000:]
    assert world.json("/ready")["state"] == "LIVE"


def test_real_answers_with_content_fit_their_schemas(world, document):
    """The answers of a relay with content, in full: schemathesis rarely asks for what is there."""
    asked = {
        "/ready": "Ready", "/live": "Live", "/server_info": "ServerInfo", "/keys": "Keys", "/clients": "Clients",
        "/clients?limit=1": "Clients", "/upstreams": "Upstreams", "/config_dump": "ConfigDump",
        "/explain?node.cluster=web": "Explanation", "/explain?node=nack-1": "Explanation",
        "/explain?node=delta-1": "Explanation", "/debug/syncz": "Syncz",
        "/debug/config_dump?proxyID=delta-1&include_eds=true": "ProxyConfigDump", "/memory": "Memory",
        "/logging": "Logging", "/overview": "Overview", "/activity": "Activity", "/checks": "Checks",
        "/history": "History", "/diff?key=web&type=cds": "Diff", "/openapi.json": "Document"}
    for path, name in asked.items():
        schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        answer = world.json(path)
        jsonschema_rs.validate(schema, answer)
        assert answer
    for path, status in (("/keys/release?key=web&type=eds", 200), ("/keys/hold?key=web&type=cds", 200),
                         ("/keys/refresh?key=web", 200)):
        reply = ask(world, path, "POST")
        assert reply.status == status
        schema = {"$ref": "#/components/schemas/Command", "components": document["components"]}
        jsonschema_rs.validate(schema, reply.json)
