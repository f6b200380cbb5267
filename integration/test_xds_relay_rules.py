"""Rule files of the Go xds-relay: its keys, its errors, and what `weir check` and `weir explain` say of a file."""

import json

import grpc
import pytest

from weirtest import xds
from weirtest.waiting import eventually
from weirtest.weir import command
from weirtest.xds import CDS, EDS, LDS

pytestmark = pytest.mark.relay_only

#: Clusters for each node cluster, endpoints for each service over all nodes; listeners need metadata.
KEYER = {
    "fragments": [
        {"rules": [
            {"match": {"request_type_match": {"types": [CDS]}}, "result": {"string_fragment": "cds"}},
            {"match": {"request_type_match": {"types": [EDS]}}, "result": {"and_result": {"result_predicates": [
                {"string_fragment": "eds-"}, {"resource_names_fragment": {"element": 0, "action": {"exact": True}}}]}}},
            {"match": {"request_type_match": {"types": [LDS]}}, "result": {"request_node_fragment": {
                "node_metadata_action": {"path": [{"key": "tier"}], "action": {"exact": True}}}}},
        ]},
        {"rules": [
            {"match": {"not_match": {"request_type_match": {"types": [EDS]}}}, "result": {"request_node_fragment": {
                "cluster_action": {"regex_action": {"pattern": "^(.*)-.*$", "replace": "$1"}}}}},
        ]},
    ],
}


@pytest.fixture
def keyer(tmp_path):
    path = tmp_path / "keyer.yaml"
    path.write_text(json.dumps(KEYER))
    return path


@pytest.fixture
def world(plane):
    with plane.atomic():
        plane.set(CDS, [xds.cluster(name) for name in "ab"])
        plane.set(EDS, [xds.endpoints(name, 1) for name in "ab"])
        plane.set(LDS, [xds.listener("l")])
    return plane


@pytest.fixture
def relay(world, relay_to, keyer, upstream_protocol):
    return relay_to(world, upstream_protocol, {"aggregation": {"rules": None, "xds_relay_rules": str(keyer)}})


def keys(relay):
    return {key for key, entry in relay.keys().items() if entry["streams"]}


def test_AGG_03_each_type_has_the_key_that_the_file_gives_it(world, relay, connect, protocol):
    clients = [connect(relay, protocol, node=xds.node(f"n{i}", cluster)) for i, cluster in enumerate(["web-1", "web-2"])]
    for client in clients:
        client.subscribe(CDS)
        client.converge(CDS, world.expected(CDS))
        client.subscribe(EDS, "a")
        client.converge(EDS, world.expected(EDS, names="a"))
    assert set(relay.keys()) == {"cds_web", "eds-a"}
    # One subscription upstream for both, of each type.
    assert len(world.requests(CDS, "first")) == 1 and len(world.requests(EDS, "first")) == 1
    world.update(EDS, [xds.endpoints("a", 2)])
    for client in clients:
        client.converge(EDS, world.expected(EDS, names="a"))


def test_AGG_03_a_type_moves_when_the_names_that_make_its_key_do(world, relay, connect, protocol):
    client = connect(relay, protocol, node=xds.node("n", "web-1"))
    client.subscribe(EDS, "a")
    client.converge(EDS, world.expected(EDS, names="a"))
    client.subscribe(EDS, "b")
    client.unsubscribe(EDS, "a")
    eventually(lambda: client.held(EDS).get("b") == world.expected(EDS, names="b")["b"], "the endpoints of b")
    eventually(lambda: "eds-b" in relay.keys(), "the key of b")
    eventually(lambda: "eds-a" not in keys(relay), "the key of a to be left")


@pytest.mark.parametrize("type_url, node, text", [
    (EDS, xds.node("n", "web-1"), "resource names is empty"),
    (LDS, xds.node("n", "web-1"), "Path to key is inexistent"),
    (CDS, xds.node("n", ""), "RequestNodeFragment regex match resulted in an empty fragment"),
], ids=["no-names", "no-metadata", "no-cluster"])
def test_what_the_file_cannot_map_ends_the_stream_with_its_words(world, relay, connect, type_url, node, text):
    client = connect(relay, "sotw", node=node)
    client.request(type_url)
    code, details = client.status()
    assert (code, details) == (grpc.StatusCode.INVALID_ARGUMENT, text)


def test_check_warns_of_what_the_file_surely_does_not_mean(tmp_path, keyer):
    config = tmp_path / "relay.yaml"
    config.write_text("upstreams: {p: {servers: ['127.0.0.1:1']}}\naggregation: {xds_relay_rules: keyer.yaml}\n")
    assert (command("check", "--config", config).stdout, command("check", "--config", config).stderr) == ("OK\n", "")
    keyer.write_text("""\
fragments:
  - rules:
      - match: {any_match: true}
        result: {string_fragment: a}
      - match: {request_node_match: {id_match: {exact_match: ""}}}
        result: {string_fragment: b}
      - match: {request_node_match: {id_match: {regex_match: x}}}
        result: {request_node_fragment: {id_action: {regex_action: {pattern: (x), replace: $1y}}}}
""")
    result = command("check", "--config", config)
    assert (result.returncode, result.stdout) == (0, "OK\n")
    places = [line.split(": ")[:2] for line in result.stderr.splitlines()]
    assert places == [[f"{keyer}:{place}", "warning"] for place in ("5:62", "7:9", "8:92")], result.stderr
    assert "rules[2] and rules[0] (line 3) can match the same request" in result.stderr


def test_explain_tells_fragment_rule_and_piece(tmp_path, keyer):
    config, node = tmp_path / "relay.yaml", tmp_path / "node.json"
    config.write_text("upstreams: {p: {servers: ['127.0.0.1:1']}}\naggregation: {xds_relay_rules: keyer.yaml}\n")
    node.write_text(json.dumps({"id": "n", "cluster": "web-1"}))

    def explain(*arguments):
        return command("explain", "--config", config, "--node", node, *arguments)

    assert explain("--type", "cds").stdout.splitlines() == [
        "key: cds_web", "rule: fragments[0].rules[0] + fragments[1].rules[0]", "upstream: p", "captures:",
        "  fragments[0].rules[0]: cds", "  fragments[1].rules[0]: web", "rejected:",
        "  fragments[0].rules[1]: it is for eds only, not for cds",
        "  fragments[0].rules[2]: it is for lds only, not for cds"]
    answer = json.loads(explain("--type", "eds", "--resources", "svc,other", "--json").stdout)
    assert answer["key"] == "eds-svc" and answer["captures"] == {"fragments[0].rules[1]": "eds-svc"}
    failed = explain("--type", "lds")
    assert failed.returncode == 1 and "error: Path to key is inexistent" in failed.stdout
    assert "  fragments[0].rules[2]: its evaluation fails: Path to key is inexistent" in failed.stdout.splitlines()
