"""Mutual TLS: who may claim which node, versions, rotated issuers, and the configurations shown for it."""

import json
import re
import shutil
import ssl

import grpc
import pytest

from weirtest import envoy as envoy_module
from weirtest import weir as weir_module
from weirtest import xds
from weirtest.ports import free_port
from weirtest.process import Process
from weirtest.raw import RawClient
from weirtest.traffic import fetch
from weirtest.waiting import eventually
from weirtest.xds import CDS

pytestmark = pytest.mark.relay_only
OWN_NAMESPACE = [{"san": "spiffe://prod/ns/(?<ns>[^/]+)/sa/.*", "node.id": "{ns}/.*"}]
ADVICE = "tls_maximum_protocol_version: TLSv1_3"


@pytest.fixture
def world(plane):
    plane.set(CDS, [xds.cluster("a")])
    return plane


@pytest.fixture
def mtls(world, new_weir, certificates):
    """A maker of relays that want client certificates: `mtls({config changes}, minimum_version=...)`."""

    def make(config=None, **tls):
        relay = new_weir({"upstreams": {"primary": weir_module.upstream("delta", world.address)}}, start=False)
        section = {"certificate_chain": str(certificates.server.certificate),
                   "private_key": str(certificates.server.key), "client_ca": str(certificates.ca.certificate), **tls}
        relay.configure({"downstream": {"listeners": [{"address": relay.address, "tls": section}]}})
        relay.configure(config or {})
        return relay.start()

    return make


# --- The node against the name.


def test_a_name_may_claim_its_own_nodes_only(world, mtls, connect, certificates, protocol):
    relay = mtls({"identity": OWN_NAMESPACE})
    own = connect(relay, protocol, node=xds.node("web/1"),
                  credentials=certificates.channel_credentials(client=certificates.client))
    own.subscribe(CDS)
    own.converge(CDS, world.expected(CDS))
    for pair, claim in ((certificates.client, "db/1"), (certificates.other_client, "web/1")):
        liar = connect(relay, protocol, node=xds.node(claim),
                       credentials=certificates.channel_credentials(client=pair))
        liar.subscribe(CDS)
        code, text = liar.status()
        assert code == grpc.StatusCode.PERMISSION_DENIED and claim in text
        assert liar.history == []
    assert relay.metric("weir_downstream_rejected_total", reason="identity") == 2
    line = relay.wait_log("stream refused", "db/1")
    assert "spiffe://prod/ns/web/sa/envoy" in line
    # Only the honest one has a group; a reload holds for those who come.
    assert len(relay.clients()) == 1
    relay.configure({"identity": [{"san": ".*"}]})
    relay.reload()
    eventually(lambda: "configuration reloaded" in relay.log, "the reload")
    back = connect(relay, protocol, node=xds.node("db/1"),
                   credentials=certificates.channel_credentials(client=certificates.client))
    back.subscribe(CDS)
    back.converge(CDS, world.expected(CDS))


def test_explain_shows_what_identity_says(world, mtls, tmp_path):
    relay = mtls({"identity": OWN_NAMESPACE})
    node = tmp_path / "node.json"
    node.write_text(json.dumps({"id": "db/1", "cluster": "web"}))

    def explain(*more):
        return weir_module.command("explain", "--config", relay.config_path, "--node", node, *more)

    denied = explain("--peer-san", "spiffe://prod/ns/web/sa/envoy")
    assert denied.returncode == 1 and denied.stdout.startswith("denied: ") and "db/1" in denied.stdout
    assert explain().returncode == 1
    fine = explain("--peer-san", "spiffe://prod/ns/db/sa/envoy")
    assert fine.returncode == 0 and fine.stdout.startswith("key: web\n")
    assert "denied" in json.loads(explain("--peer-san", "spiffe://prod/ns/web/sa/envoy", "--json").stdout)
    assert "denied" in relay.json("/explain?node.id=db/1&node.cluster=web&peer.san=spiffe://prod/ns/web/sa/envoy")


# --- TLS.


def test_one_point_three_is_spoken_wherever_it_is_offered(mtls, certificates):
    relay = mtls()
    context = certificates.raw_context(client=certificates.client)
    for limit, spoken in ((ssl.TLSVersion.TLSv1_3, "TLSv1.3"), (ssl.TLSVersion.TLSv1_2, "TLSv1.2")):
        context.maximum_version = limit
        client = RawClient(relay.address, tls=context)
        assert client.socket.version() == spoken
        client.close()


def test_a_handshake_refused_for_its_version_logs_what_to_do(mtls, certificates):
    relay = mtls(minimum_version="TLSv1.3")
    old = certificates.raw_context(client=certificates.client)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        RawClient(relay.address, tls=old)
    eventually(lambda: ADVICE in relay.log, "the advice")
    assert relay.metric("weir_downstream_rejected_total", reason="handshake") == 1


def test_a_rotated_client_ca_counts_for_new_connections(world, mtls, connect, certificates, tmp_path):
    shutil.copy(certificates.ca.certificate, tmp_path / "clients.crt")
    relay = mtls(client_ca="clients.crt")

    def reaches(pair):
        try:
            client = RawClient(relay.address, tls=certificates.raw_context(client=pair))
            client.until(lambda: client.remote_settings, "the relay's settings", 2)
            client.close()
            return True
        except (ssl.SSLError, ConnectionResetError, AssertionError):
            return False

    old = connect(relay, "delta", credentials=certificates.channel_credentials(client=certificates.client))
    old.subscribe(CDS)
    old.converge(CDS, world.expected(CDS))
    assert not reaches(certificates.wrong_client)
    shutil.copy(certificates.wrong_ca.certificate, tmp_path / "next.crt")
    (tmp_path / "next.crt").rename(tmp_path / "clients.crt")
    eventually(lambda: reaches(certificates.wrong_client), "the new CA", interval=0.1)
    assert not reaches(certificates.client)
    world.update(CDS, [xds.cluster("b")])
    old.converge(CDS, world.expected(CDS))


@pytest.fixture
def example(tmp_path, world, certificates):
    """configs/mtls.yaml and its Envoy on free ports, with certificates beside them."""
    ports = {"18000": free_port(), "9901": free_port(), "19000": free_port()}
    for name in ("mtls.yaml", "envoy-mtls.yaml"):
        text = (weir_module.ROOT / "configs" / name).read_text()
        text = re.sub(r"\b(18000|9901|19000)\b", lambda found: str(ports[found[0]]), text)
        text = text.replace("localhost:18001", world.address)
        for file in ("client.crt", "client.key", "ca.crt"):
            text = text.replace(f"filename: {file}", f"filename: {tmp_path}/{file}")
        (tmp_path / name).write_text(text)
    for pair, name in ((certificates.server, "server"), (certificates.client, "client"), (certificates.client, "relay")):
        shutil.copy(pair.certificate, tmp_path / f"{name}.crt")
        shutil.copy(pair.key, tmp_path / f"{name}.key")
    shutil.copy(certificates.ca.certificate, tmp_path / "ca.crt")
    return tmp_path, ports


@pytest.fixture
def secured_plane(new_plane, certificates):
    plane = new_plane(credentials=certificates.server_credentials(client_ca=certificates.ca))
    plane.set(CDS, [xds.cluster("a")])
    return plane


@pytest.mark.parametrize("params", ["as-shown", "without-tls-params"])
def test_the_examples_of_mutual_tls_fit_each_other(example, secured_plane, world, params):
    folder, ports = example
    config = folder / "mtls.yaml"
    config.write_text(config.read_text().replace(world.address, secured_plane.address))
    assert weir_module.command("check", "--config", config).stdout.strip() == "OK"
    bootstrap = folder / "envoy-mtls.yaml"
    if params == "without-tls-params":
        bootstrap.write_text(re.sub(r"            tls_params:\n(              .*\n){2}", "", bootstrap.read_text()))
    relay = Process([weir_module.BINARY, "serve", "--config", config], folder / "weir.log")
    envoy = Process([envoy_module.BINARY, "-c", bootstrap, "--concurrency", "1", "--disable-hot-restart"],
                    folder / "envoy.log")
    try:
        if params == "as-shown":
            eventually(lambda: fetch(ports["9901"], "/keys")[1].count('"web/demo"'), lambda: relay.tail(), 20, 0.1)
            eventually(lambda: secured_plane.open_streams(), "the upstream's stream", 10)
        else:
            eventually(lambda: ADVICE in relay.log, lambda: f"the advice in\n{relay.tail()}", 20, 0.1)
        relay.popen.terminate()
        assert relay.wait(45) == 0
    finally:
        envoy.kill()
        relay.kill()
