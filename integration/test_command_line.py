"""The command line: what it prints, where it complains, and how it exits."""

import json
import re

import pytest

from weirtest.weir import command

pytestmark = pytest.mark.relay_only

GOOD = """\
upstreams:
  primary:
    servers: ["127.0.0.1:1"]
aggregation:
  rules:
    - name: edge
      match:
        node.cluster: "edge-(?<env>[a-z]+)"
      key: "edge/{env}/{node.locality.region}"
    - name: clusters-only
      match: {type: cds}
      key: "cds/{node.cluster}"
    - key: "{node.cluster}"
"""


@pytest.fixture
def config(tmp_path):
    """Writes a relay.yaml and returns its path."""

    def write(text=GOOD):
        path = tmp_path / "relay.yaml"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def node(tmp_path):
    def write(**fields):
        path = tmp_path / "node.json"
        path.write_text(json.dumps({"id": "n1", **fields}))
        return path

    return write


# --- Help and version.


def test_help_and_version():
    top = command("--help")
    assert top.returncode == 0 and top.stderr == ""
    for word in ("serve", "check", "explain", "--version"):
        assert word in top.stdout
    for sub in ("serve", "check", "explain"):
        result = command(sub, "--help")
        assert result.returncode == 0 and "--config" in result.stdout and result.stderr == ""
    version = command("--version")
    assert version.returncode == 0 and re.search(r"\d+\.\d+\.\d+", version.stdout)


@pytest.mark.parametrize("arguments, words", [
    ([], ["usage"]),
    (["chek", "--config", "x"], ["chek", "check"]),
    (["check"], ["--config"]),
    (["check", "--config"], ["--config"]),
    (["check", "--confg", "x"], ["--confg", "--config"]),
    (["explain", "--config", "x"], ["--node"]),
], ids=["nothing", "unknown-command", "no-config", "no-value", "unknown-option", "no-node"])
def test_bad_usage_exits_2_and_says_what_would_be_right(arguments, words):
    result = command(*arguments)
    assert result.returncode == 2
    for word in words:
        assert word in result.stderr.lower()


# --- check.


def test_check_says_OK(config):
    result = command("check", "--config", config())
    assert (result.returncode, result.stdout.strip(), result.stderr) == (0, "OK", "")


def test_check_of_a_file_that_is_not_there(tmp_path):
    result = command("check", "--config", tmp_path / "absent.yaml")
    assert result.returncode == 2 and "absent.yaml" in result.stdout + result.stderr


BROKEN = [
    ("unknown-field", GOOD.replace("servers:", "serves:"), 3, 5, ["serves", "servers"]),
    ("wrong-type", GOOD + "workers: many\n", 14, 10, ["workers"]),
    ("bad-duration", GOOD + "cache:\n  linger: 5 parsecs\n", 15, 11, ["linger"]),
    ("bad-size", GOOD + "downstream:\n  limits: {max_request_size: huge}\n", 15, 30, ["max_request_size"]),
    ("bad-pattern", GOOD.replace("[a-z]+)", "[a-z+)"), 8, None, ["node.cluster"]),
    ("unknown-key-field", GOOD.replace("{node.locality.region}", "{node.locality.regin}"), 9, None, ["regin", "region"]),
    ("bad-protocol", GOOD.replace("    servers:", "    protocol: grpc\n    servers:"), 3, 15, ["grpc", "delta", "sotw"]),
    ("bad-address", GOOD + "admin: {address: nowhere}\n", 14, 18, ["nowhere"]),
    ("unknown-upstream", GOOD + "      upstream: secondary\n", 14, 17, ["secondary", "primary"]),
    ("empty-key", GOOD.replace('key: "{node.cluster}"', 'key: ""'), 13, 12, ["key"]),
    ("not-yaml", "upstreams: [", None, None, []),
    ("missing-sections", "log: {level: info}\n", 1, None, ["upstreams"]),
]


@pytest.mark.parametrize("text, line, column, words", [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN])
def test_check_names_file_line_and_column(config, text, line, column, words):
    path = config(text)
    result = command("check", "--config", path)
    assert result.returncode == 2
    output = result.stdout + result.stderr
    found = re.search(rf"{re.escape(str(path))}:(\d+):(\d+): error: .+", output)
    assert found, output
    assert line in (None, int(found[1])), output
    assert column in (None, int(found[2])), output
    for word in words:
        assert word in output


def test_check_reports_every_error_at_once(config):
    result = command("check", "--config", config(GOOD.replace("servers:", "serves:") + "workers: many\nlogg: {}\n"))
    output = result.stdout + result.stderr
    assert len(re.findall(r": error: ", output)) >= 3
    assert "serves" in output and "workers" in output and "logg" in output


def test_serve_refuses_an_invalid_file(config):
    result = command("serve", "--config", config(GOOD + "workers: many\n"))
    assert result.returncode == 2 and "workers" in result.stderr


def test_a_missing_certificate_file_is_an_error(config):
    result = command("check", "--config", config(GOOD + """\
downstream:
  listeners:
    - address: 127.0.0.1:18000
      tls: {certificate_chain: absent.crt, private_key: absent.key}
"""))
    assert result.returncode == 2 and "absent.crt" in result.stdout + result.stderr


def test_environment_variables_stand_in_scalars(config):
    text = GOOD.replace("127.0.0.1:1", "${CONTROL_PLANE}") + "workers: ${WORKERS:-3}\n"
    result = command("check", "--config", config(text), environment={"CONTROL_PLANE": "127.0.0.1:1"})
    assert (result.returncode, result.stdout.strip()) == (0, "OK"), result.stderr
    result = command("check", "--config", config(text))
    assert result.returncode == 2 and "CONTROL_PLANE" in result.stdout + result.stderr


# --- explain.


def test_explain_names_the_key_first_then_the_rule_and_why_not_the_others(config, node):
    path = node(cluster="edge-prod", locality={"region": "eu west"})
    result = command("explain", "--config", config(), "--node", path)
    assert result.returncode == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "key: edge/prod/eu%20west" and "edge" in result.stdout and "prod" in result.stdout


def test_explain_as_json(config, node):
    result = command("explain", "--config", config(), "--node", node(cluster="web"), "--type", "cds", "--json")
    assert result.returncode == 0
    answer = json.loads(result.stdout)
    assert answer["key"] == "cds/web" and answer["rule"] == "clusters-only" and answer["upstream"] == "primary"
    assert answer["rejected"][0]["rule"] == "edge" and answer["rejected"][0]["reason"]
    answer = json.loads(command("explain", "--config", config(), "--node", node(cluster="web"), "--type", "eds",
                                "--json").stdout)
    assert answer["key"] == "web" and len(answer["rejected"]) == 2
    path = node(cluster="edge-test", locality={"region": "eu"})
    answer = json.loads(command("explain", "--config", config(), "--node", path, "--json").stdout)
    assert answer["key"] == "edge/test/eu" and answer["captures"] == {"env": "test"}


def test_explain_without_a_matching_rule(config, node):
    result = command("explain", "--config", config(), "--node", node())
    assert result.returncode == 1 and "no rule matched" in result.stdout + result.stderr


def test_explain_with_a_node_that_is_no_node(config, tmp_path):
    path = tmp_path / "node.json"
    path.write_text("{\"id\": ")
    result = command("explain", "--config", config(), "--node", path)
    assert result.returncode in (1, 2) and "node.json" in result.stderr
