"""Metrics as a real Prometheus sees them, and the rules and the dashboard that come with the project."""

import json
import re
import subprocess
import time
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
import yaml

from weirtest import xds
from weirtest.ports import free_port
from weirtest.process import Process
from weirtest.waiting import eventually
from weirtest.weir import upstream
from weirtest.xds import CDS, EDS

pytestmark = pytest.mark.relay_only

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
RULES = CONFIGS / "prometheus"
DASHBOARD = CONFIGS / "grafana" / "weir.json"


def promtool(*arguments, text=None, cwd=None):
    return subprocess.run(["promtool", *map(str, arguments)], input=text, cwd=cwd, capture_output=True, text=True, timeout=60)


def queries():
    """Every query of the rules and of the dashboard, variables filled in."""
    rules = [rule["expr"] for group in yaml.safe_load((RULES / "alerts.yaml").read_text())["groups"] for rule in group["rules"]]
    panels = [target["expr"] for panel in json.loads(DASHBOARD.read_text())["panels"] for target in panel.get("targets", [])]
    return [expression.replace("$__rate_interval", "1m").replace("$instance", ".*") for expression in rules + panels]


@pytest.fixture
def busy(plane, relay_to, connect):
    """A relay with two groups, of three clients and one; one client rejects what it gets."""
    with plane.atomic():
        plane.set(CDS, [xds.cluster(name) for name in "ab"], version="1")
        plane.set(EDS, [xds.endpoints(name, 1) for name in "ab"], version="1")
    weir = relay_to(plane, config={"admin": {"metrics_keys": 1}})
    for cluster, number in (("big", 3), ("small", 1)):
        for index in range(number):
            client = connect(weir, "delta", node=xds.node(f"{cluster}-{index}", cluster=cluster), auto_ack=False)
            client.subscribe(CDS)
            response = client.expect(CDS)
            client.ack(response) if index < 2 else client.nack(response, "no good")
    eventually(lambda: weir.metric("weir_downstream_subscriptions", type="cds", state="pending") == 0, "all to have answered")
    return weir


def test_promtool_finds_nothing_wrong_with_the_metrics(busy):
    checked = promtool("check", "metrics", text=busy.get("/metrics")[2])
    assert checked.returncode == 0 and checked.stdout == checked.stderr == "", checked.stdout + checked.stderr


def test_subscriptions_by_what_clients_said(busy):
    assert busy.metric("weir_downstream_subscriptions", type="cds", state="acked") == 3
    assert busy.metric("weir_downstream_subscriptions", type="cds", state="nacked") == 1
    assert busy.metric("weir_downstream_streams_opened_total") == 4


def test_only_the_largest_groups_have_series_and_only_where_asked_for(busy):
    series = {(name, labels): value for (name, labels), value in busy.metrics().items() if name.startswith("weir_key_")}
    assert series == {
        ("weir_key_streams", (("key", "big"),)): 3, ("weir_key_resources", (("key", "big"),)): 2,
        ("weir_key_bytes", (("key", "big"),)): series[("weir_key_bytes", (("key", "big"),))]}
    busy.configure({"admin": {"metrics_keys": 0}})
    busy.reload()
    eventually(lambda: "weir_key_" not in busy.get("/metrics")[2], "the series to go")


def test_reloads_are_counted(busy):
    before = busy.metric("weir_config_reload_success_timestamp_seconds")
    assert time.time() - 300 < before <= time.time()
    busy.config_path.write_text("dowstream: {}\n")
    busy.reload()
    eventually(lambda: busy.metric("weir_config_reloads_total", result="failure") == 1, "the failed reload")
    assert busy.metric("weir_config_reload_success_timestamp_seconds") == before
    busy.configure({})
    busy.reload()
    eventually(lambda: busy.metric("weir_config_reloads_total", result="success") == 1, "the good reload")


def test_upstream_responses_have_a_time(busy):
    at = busy.metric("weir_upstream_last_response_timestamp_seconds", upstream="primary", type="cds")
    assert time.time() - 60 < at <= time.time()
    assert ("weir_upstream_last_response_timestamp_seconds" not in
            {name for (name, labels) in busy.metrics() if ("type", "rtds") in labels})


def test_readiness_and_degradation_are_metrics(busy, plane):
    assert busy.metric("weir_ready") == 1 and busy.metric("weir_degraded") == 0
    plane.stop()
    eventually(lambda: busy.metric("weir_degraded") == 1, "the loss of the upstream to show")
    assert busy.metric("weir_ready") == 1


def test_the_ends_of_certificates(plane, new_weir, certificates):
    server = certificates.server
    files = {"certificate_chain": str(server.certificate), "private_key": str(server.key)}
    weir = new_weir({"upstreams": {"primary": upstream("delta", plane.address)}}, start=False)
    weir.configure({"downstream": {"listeners": [{"address": weir.address, "tls": files}]}})
    weir.start()
    ends = {dict(labels)["role"]: value for (name, labels), value in weir.metrics().items()
            if name == "weir_certificate_expiry_timestamp_seconds"}
    assert set(ends) == {"listener"} and ends["listener"] > time.time()


def test_a_client_that_leaves_at_a_large_response_is_noticed(plane, relay, connect):
    plane.set(CDS, [xds.cluster("small")], version="1")
    weir = relay
    client = connect(weir, "sotw", node=xds.node("narrow"))
    client.subscribe(CDS)
    client.expect(CDS)
    client.close()
    eventually(lambda: weir.metric("weir_downstream_streams") == 0, "the stream to end")
    assert weir.metric("weir_downstream_streams_lost_after_large_response_total") == 0
    plane.set(CDS, [xds.cluster(f"c{index}-" + "x" * 200) for index in range(8000)], version="2")
    client = connect(weir, "sotw", node=xds.node("narrow"))
    client.subscribe(CDS)
    # The relay may still remember the small set, and answer with that first.
    eventually(lambda: len(client.expect(CDS).resources) == 8000, "the large response")
    client.close()
    eventually(lambda: weir.metric("weir_downstream_streams_lost_after_large_response_total") == 1, "the loss to be counted")
    line = weir.wait_log("receive limit")
    assert "node=narrow" in line and "key=" in line


def test_a_real_prometheus_scrapes_it_and_knows_every_query(busy, tmp_path):
    port = free_port()
    config = yaml.safe_load((RULES / "prometheus.yaml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["scrape_configs"][0]["static_configs"][0]["targets"] = [busy.admin]
    (tmp_path / "alerts.yaml").write_text((RULES / "alerts.yaml").read_text())
    (tmp_path / "prometheus.yaml").write_text(yaml.safe_dump(config))
    prometheus = Process(
        ["prometheus", f"--config.file={tmp_path}/prometheus.yaml", f"--storage.tsdb.path={tmp_path}/data",
         f"--web.listen-address=127.0.0.1:{port}"], tmp_path / "prometheus.log")

    def ask(path, **query):
        url = f"http://127.0.0.1:{port}{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=5) as answer:
            return json.loads(answer.read())["data"]

    def value(expression):
        try:
            found = ask("/api/v1/query", query=expression)["result"]
        except OSError:
            return None
        return float(found[0]["value"][1]) if found else None

    try:
        eventually(lambda: value('up{job="weir"}') == 1, "Prometheus to scrape the relay", timeout=30)
        assert value('sum(weir_downstream_subscriptions{type="cds",state="acked"})') == 3
        target = ask("/api/v1/targets")["activeTargets"][0]
        assert target["health"] == "up" and target["lastError"] == ""
        metadata = ask("/api/v1/metadata")
        names = {name for name in metadata if name.startswith(("weir_", "process_"))}
        assert all(metadata[name][0]["help"] for name in names)
        for expression in queries():
            ask("/api/v1/query", query=expression)
            for name in re.findall(r"\b(?:weir|process)_[a-z_]+", expression):
                family = re.sub(r"_(bucket|sum|count)$", "", name)
                absent = {"weir_certificate_expiry_timestamp_seconds"}
                assert family in names | absent, f"{expression}: there is no {name}"
        eventually(lambda: all(rule["health"] == "ok" for group in ask("/api/v1/rules")["groups"] for rule in group["rules"]),
                   "all rules to be evaluated")
    finally:
        prometheus.kill()


def test_the_alert_rules_fire_when_they_should():
    for arguments in (("check", "rules", "alerts.yaml"), ("check", "config", "prometheus.yaml"), ("test", "rules", "alerts_test.yaml")):
        done = promtool(*arguments, cwd=RULES)
        assert done.returncode == 0, done.stdout + done.stderr
    tested = {rule["alertname"] for test in yaml.safe_load((RULES / "alerts_test.yaml").read_text())["tests"]
              for rule in test["alert_rule_test"] if rule.get("exp_alerts")}
    rules = {rule["alert"] for group in yaml.safe_load((RULES / "alerts.yaml").read_text())["groups"] for rule in group["rules"]}
    assert tested == rules


def test_the_dashboard_is_whole():
    dashboard = json.loads(DASHBOARD.read_text())
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) > 15
    places = [panel["gridPos"] for panel in panels]
    for one in places:
        assert one["x"] + one["w"] <= 24
        overlapping = [other for other in places if other is not one and one["x"] < other["x"] + other["w"] and other["x"] < one["x"] + one["w"]
                       and one["y"] < other["y"] + other["h"] and other["y"] < one["y"] + one["h"]]
        assert not overlapping
    for panel in panels:
        assert panel["type"] == "row" or all(target["expr"] for target in panel["targets"])
