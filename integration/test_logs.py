"""The log: one line one event, stable fields, nothing secret, no flood."""

import json

import pytest

from weirtest import xds
from weirtest.waiting import eventually
from weirtest.xds import CDS, SDS

pytestmark = pytest.mark.relay_only


def lines(weir):
    return [json.loads(line) for line in weir.log.splitlines() if line]


def find(weir, message, **fields):
    return [line for line in lines(weir) if line["message"] == message
            and all(line.get(name) == value for name, value in fields.items())]


@pytest.fixture
def json_weir(plane, relay_to):
    return relay_to(plane, config={"log": {"format": "json", "level": "debug"}})


def test_every_line_is_one_object_with_time_level_and_message(plane, json_weir, connect):
    plane.set(CDS, [xds.cluster("a")], version="1")
    client = connect(json_weir, "delta", node=xds.node('evil"\n{"level":"error"}'), auto_ack=False)
    client.subscribe(CDS)
    client.nack(client.expect(CDS), "first\nsecond \x1b[31m")
    nack = eventually(lambda: find(json_weir, "NACK"), "the NACK in the log")[0]
    assert nack["node"] == 'evil"\n{"level":"error"}' and nack["detail"].startswith("first\nsecond")
    assert nack["key"] and nack["type"] == "cds" and nack["code"]
    for line in lines(json_weir):
        assert {"time", "level", "message"} <= set(line) and line["level"] in ("debug", "info", "warning", "error")
        assert all(isinstance(value, str) for value in line.values())
        assert not any(name.startswith("_") for name in line), line
    assert "\x1b" not in json_weir.log


def test_messages_are_sentences_that_do_not_vary(plane, json_weir, connect):
    """What varies stands in fields: two refusals differ in nothing but these."""
    for name in ("one", "two"):
        connect(json_weir, "delta", node=xds.node(name, cluster="")).subscribe(CDS)
    eventually(lambda: len(find(json_weir, "stream refused")) == 2, "both refusals")
    assert {line["node"] for line in find(json_weir, "stream refused")} == {"one", "two"}


def test_the_level_changes_while_it_runs(plane, relay_to, connect):
    weir = relay_to(plane, config={"log": {"format": "json", "level": "warning"}})
    plane.set(CDS, [xds.cluster("a")], version="1")
    connect(weir, "delta", node=xds.node("quiet")).subscribe(CDS)
    eventually(lambda: weir.clients(), "the client")
    assert not [line for line in lines(weir) if line["level"] in ("debug", "info")]
    weir.get("/logging?level=debug", method="POST")
    connect(weir, "delta", node=xds.node("loud")).subscribe(CDS)
    eventually(lambda: find(weir, "client connected"), "the new level to hold")


def test_a_storm_is_cut_and_counted(plane, json_weir, connect):
    plane.set(CDS, [xds.cluster("a")], version="0")
    client = connect(json_weir, "delta", node=xds.node("angry"), auto_ack=False)
    client.subscribe(CDS)
    for version in range(1, 151):
        client.nack(client.expect(CDS), "never")
        plane.set(CDS, [xds.cluster("a", timeout=version + 1)], version=str(version))
    eventually(lambda: json_weir.metric("weir_log_lines_dropped_total", reason="limited") > 20, "lines to be left out")
    eventually(lambda: len(find(json_weir, "NACK")) >= 100, "the lines")
    assert len(find(json_weir, "NACK")) == 100
    left_out = eventually(lambda: find(json_weir, "log lines were left out", what="NACK"), "the count in the log", timeout=20)
    assert int(left_out[0]["count"]) > 20


def test_secrets_do_not_appear(plane, json_weir, connect):
    plane.set(SDS, [xds.secret("s", b"public", b"very-private-key-material")], version="1")
    client = connect(json_weir, "delta", node=xds.node("holder"), auto_ack=False)
    client.subscribe(SDS, "s")
    client.nack(client.expect(SDS), "cannot use it")
    eventually(lambda: find(json_weir, "NACK"), "the NACK in the log")
    assert "very-private-key-material" not in json_weir.log
