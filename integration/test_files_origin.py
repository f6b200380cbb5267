"""Resource files instead of a control plane: served, watched, and never the reason for losing what was good."""

import json

import pytest
from google.protobuf import json_format

from weirtest import xds
from weirtest.waiting import eventually, never
from weirtest.xds import CDS, EDS, LDS

pytestmark = pytest.mark.relay_only


def document(*messages):
    """Resources in Envoy's file format, as JSON text (which is YAML, too)."""
    return json.dumps({"resources": [
        {"@type": xds.PREFIX + message.DESCRIPTOR.full_name,
         **json_format.MessageToDict(message, preserving_proto_field_name=True)} for message in messages
    ]}, indent=2)


def save(path, text):
    """Writes a file as editors do: whole, under another name, then renamed."""
    path.with_suffix(".new").write_text(text)
    path.with_suffix(".new").rename(path)


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "resources"
    made.mkdir()
    save(made / "clusters.yaml", document(xds.cluster("a"), xds.cluster("b"), xds.endpoints("a", 1)))
    return made


@pytest.fixture
def relay(new_weir, folder):
    return new_weir({"upstreams": {"demo": {"files": {"path": "resources"}}}})


@pytest.fixture
def client(relay, connect, protocol):
    made = connect(relay, protocol)
    made.subscribe(CDS)
    made.subscribe(EDS, "a")
    eventually(lambda: names(made, CDS) == ["a", "b"] and names(made, EDS) == ["a"], "what is in the file")
    made.settle()
    return made


def names(client, type_url):
    return sorted(client.held(type_url))


def cluster_of(client, name):
    return xds.TYPES[CDS].message.FromString(client.held(CDS)[name])


def test_the_files_content_is_served_in_its_meaning(client):
    assert cluster_of(client, "a") == xds.cluster("a")
    assert xds.TYPES[EDS].message.FromString(client.held(EDS)["a"]) == xds.endpoints("a", 1)


def test_an_edited_file_reaches_the_clients(client, folder):
    save(folder / "clusters.yaml", document(xds.cluster("a", 2), xds.cluster("c"), xds.endpoints("a", 1)))
    eventually(lambda: names(client, CDS) == ["a", "c"], "the change")
    # What comes goes out before what goes (ORD-01).
    assert "c" in client.expect(CDS).names
    assert cluster_of(client, "a").connect_timeout.seconds == 2
    client.settle()
    # Written in place, without a rename, counts as well.
    (folder / "clusters.yaml").write_text(document(xds.cluster("a", 3), xds.endpoints("a", 1)))
    eventually(lambda: names(client, CDS) == ["a"], "the next change")


def test_a_saved_file_without_a_change_sends_nothing(client, folder):
    save(folder / "clusters.yaml", (folder / "clusters.yaml").read_text() + "\n")
    client.quiet(1.0)


def test_files_of_a_folder_add_up_in_yaml_and_json(client, folder):
    (folder / "more.json").write_text(document(xds.cluster("from-json")))
    eventually(lambda: names(client, CDS) == ["a", "b", "from-json"], "the new file's cluster")
    (folder / "yet-more.yml").write_text(
        'resources:\n- "@type": type.googleapis.com/envoy.config.cluster.v3.Cluster\n  name: from-yaml\n')
    eventually(lambda: "from-yaml" in names(client, CDS), "the YAML file's cluster")
    (folder / "more.json").unlink()
    eventually(lambda: names(client, CDS) == ["a", "b", "from-yaml"], "the removal")


@pytest.mark.parametrize("text, line", [
    ("resources:\n- name: [unclosed\n", None),
    ('resources:\n- "@type": type.googleapis.com/envoy.config.cluster.v3.Cluster\n  name: a\n  conect_timeout: 1s\n', 4),
    ('resources:\n- "@type": type.googleapis.com/no.such.Type\n  name: a\n', 2),
], ids=["broken-yaml", "unknown-field", "unknown-type"])
def test_a_broken_file_is_named_by_line_and_changes_nothing(client, relay, folder, text, line):
    held = dict(client.held(CDS))
    save(folder / "clusters.yaml", text)
    relay.process.wait_log(f"clusters.yaml:{line}" if line else "clusters.yaml:")
    client.quiet()
    assert client.held(CDS) == held
    save(folder / "clusters.yaml", document(xds.cluster("a", 7), xds.endpoints("a", 1)))
    eventually(lambda: names(client, CDS) == ["a"], "the mended file")


def test_one_resource_twice_is_an_error_and_changes_nothing(client, relay, folder):
    (folder / "again.yaml").write_text(document(xds.cluster("a", 9)))
    relay.process.wait_log("again.yaml")
    client.quiet()
    assert cluster_of(client, "a") == xds.cluster("a")


def test_the_key_may_stand_in_the_path(new_weir, tmp_path, connect, protocol):
    for key in ("one", "two"):
        (tmp_path / key).mkdir()
        save(tmp_path / key / "l.yaml", document(xds.listener(f"listener-{key}")))
    relay = new_weir({"upstreams": {"demo": {"files": {"path": str(tmp_path / "{key}")}}}})
    for key in ("one", "two"):
        client = connect(relay, protocol, node=xds.node(cluster=key))
        client.subscribe(LDS)
        eventually(lambda: names(client, LDS) == [f"listener-{key}"], "the group's own listener")


def test_no_key_can_climb_out_of_the_path(new_weir, tmp_path, connect, protocol):
    (tmp_path / "base").mkdir()
    save(tmp_path / "secret.yaml", document(xds.listener("secret")))
    relay = new_weir({"upstreams": {"demo": {"files": {"path": str(tmp_path / "base" / "{key}")}}}})
    for cluster in ("../secret.yaml", "..", "."):
        client = connect(relay, protocol, node=xds.node(cluster=cluster))
        client.subscribe(LDS)
        never(lambda: client.held(LDS), "a listener from outside the folder")


def test_names_that_are_not_in_the_files_are_reported_missing_to_delta(relay, connect, client):
    if client.delta:
        client.subscribe(EDS, "zz")
        assert client.expect(EDS).removed == ["zz"]
    late = connect(relay, client.protocol, node=xds.node("late"))
    late.subscribe(EDS, "a", "zz")
    eventually(lambda: names(late, EDS) == ["a"], "what there is")
