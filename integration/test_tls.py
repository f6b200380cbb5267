"""TLS and mutual TLS on both sides, refusals with a reason, rotation, and unix sockets."""

import shutil
import ssl
import tempfile
from pathlib import Path

import grpc
import pytest

from weirtest import weir as weir_module
from weirtest import xds
from weirtest.raw import RawClient
from weirtest.waiting import eventually
from weirtest.xds import CDS, SDS

pytestmark = pytest.mark.relay_only


@pytest.fixture
def world(plane):
    plane.set(CDS, [xds.cluster("a")])
    return plane


@pytest.fixture
def tls_relay(world, new_weir, certificates):
    """A maker of relays with TLS on the listener: `tls_relay(client_ca=..., ...)`."""

    def make(**tls):
        relay = new_weir({"upstreams": {"primary": weir_module.upstream("delta", world.address)}}, start=False)
        section = {"certificate_chain": str(certificates.server.certificate),
                   "private_key": str(certificates.server.key)}
        relay.configure({"downstream": {"listeners": [{"address": relay.address, "tls": {**section, **tls}}]}})
        return relay.start()

    return make


def served(connect, relay, world, credentials, protocol="delta"):
    client = connect(relay, protocol, credentials=credentials)
    client.subscribe(CDS)
    client.converge(CDS, world.expected(CDS))
    return client


def refused(connect, relay, credentials):
    client = connect(relay, "delta", credentials=credentials)
    client.subscribe(CDS)
    assert client.status()[0] == grpc.StatusCode.UNAVAILABLE
    assert client.history == []


def logs(relay, *words):
    """Waits for a log line that holds one of `words`, whatever the case."""
    return eventually(
        lambda: next((line for line in relay.log.splitlines() if any(w in line.lower() for w in words)), None),
        lambda: f"one of {words} in the log:\n{relay.process.tail()}")


# --- Downstream.


def test_tls_serves_those_who_trust_it_and_h2_is_negotiated(world, tls_relay, connect, raw, certificates, protocol):
    relay = tls_relay()
    served(connect, relay, world, certificates.channel_credentials(), protocol)
    assert raw(relay, tls=certificates.raw_context()).socket.selected_alpn_protocol() == "h2"
    # Who does not trust our CA leaves; who speaks plaintext is cut off; neither disturbs the rest.
    refused(connect, relay, certificates.channel_credentials(ca=certificates.wrong_ca))
    refused(connect, relay, None)
    served(connect, relay, world, certificates.channel_credentials(), protocol)


def test_mutual_tls_refuses_strangers_and_says_why(world, tls_relay, connect, certificates):
    relay = tls_relay(client_ca=str(certificates.ca.certificate))
    served(connect, relay, world, certificates.channel_credentials(client=certificates.client))
    refused(connect, relay, certificates.channel_credentials())
    logs(relay, "did not return a certificate", "no certificate", "certificate required")
    refused(connect, relay, certificates.channel_credentials(client=certificates.wrong_client))
    logs(relay, "verify failed", "unable to get local issuer", "not trusted", "unknown ca", "self-signed")
    served(connect, relay, world, certificates.channel_credentials(client=certificates.client))


def test_allowed_sans_decide_by_the_certificates_name(world, tls_relay, connect, certificates):
    relay = tls_relay(client_ca=str(certificates.ca.certificate), allowed_sans=["spiffe://prod/ns/*/sa/envoy"])
    served(connect, relay, world, certificates.channel_credentials(client=certificates.client))
    client = connect(relay, "delta", credentials=certificates.channel_credentials(client=certificates.other_client))
    client.subscribe(CDS)
    assert client.status()[0] in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.PERMISSION_DENIED)
    assert client.history == []
    logs(relay, "spiffe://test/ns/web/sa/curl")


def test_the_verified_name_can_make_the_key(world, tls_relay, connect, certificates):
    relay = tls_relay(client_ca=str(certificates.ca.certificate))
    relay.stop()
    relay.configure({"aggregation": {"rules": [
        {"match": {"peer.san": "spiffe://prod/ns/(?<ns>[a-z]+)/sa/.*"}, "key": "ns/{ns}"}]}})
    relay.start()
    served(connect, relay, world, certificates.channel_credentials(client=certificates.client))
    assert set(relay.keys()) == {"ns/web"}


def test_AGG_24_secrets_are_shared_only_among_clients_of_one_verified_name(world, tls_relay, connect, certificates,
                                                                         protocol):
    world.set(SDS, [xds.secret("s", b"CERTIFICATE", b"KEY-OF-THE-SECRET")])
    relay = tls_relay(client_ca=str(certificates.ca.certificate))
    pairs = [certificates.client, certificates.client, certificates.other_client]
    # All claim to be the same node.
    clients = [connect(relay, protocol, credentials=certificates.channel_credentials(client=pair)) for pair in pairs]
    for client in clients:
        client.subscribe(CDS)
        client.subscribe(SDS, "s")
        client.converge(CDS, world.expected(CDS))
        client.converge(SDS, world.expected(SDS))
    assert len(world.requests(CDS, "first")) == 1 and len(world.requests(SDS, "first")) == 2
    keys = relay.keys()
    assert len(keys) == 3 and "sds" not in keys["web"]["types"]
    assert sorted(entry["types"]["sds"]["streams"] for key, entry in keys.items() if key != "web") == [1, 2]
    assert "KEY-OF-THE-SECRET" not in relay.log and "KEY-OF-THE-SECRET" not in relay.get("/config_dump")[2]


def test_the_minimum_version_is_kept(world, tls_relay, certificates):
    relay = tls_relay(minimum_version="TLSv1.3")
    old = certificates.raw_context()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        RawClient(relay.address, tls=old)
    client = RawClient(relay.address, tls=certificates.raw_context())
    assert client.socket.version() == "TLSv1.3"
    client.close()


def test_a_rotated_certificate_serves_new_connections(world, new_weir, connect, certificates, tmp_path):
    for source, name in ((certificates.server, "live"), ):
        shutil.copy(source.certificate, tmp_path / f"{name}.crt")
        shutil.copy(source.key, tmp_path / f"{name}.key")
    relay = new_weir({"upstreams": {"primary": weir_module.upstream("delta", world.address)}}, start=False)
    # Relative paths are relative to the relay.yaml, which stands in tmp_path.
    relay.configure({"downstream": {"listeners": [
        {"address": relay.address, "tls": {"certificate_chain": "live.crt", "private_key": "live.key"}}]}})
    relay.start()
    old = served(connect, relay, world, certificates.channel_credentials())
    for part in ("key", "crt"):
        source = certificates.wrong_server.key if part == "key" else certificates.wrong_server.certificate
        shutil.copy(source, tmp_path / f"next.{part}")
        (tmp_path / f"next.{part}").rename(tmp_path / f"live.{part}")

    def rotated():
        try:
            RawClient(relay.address, tls=certificates.raw_context(ca=certificates.wrong_ca)).close()
            return True
        except ssl.SSLError:
            return False

    eventually(rotated, "the rotated certificate", interval=0.1)
    world.update(CDS, [xds.cluster("b")])
    old.converge(CDS, world.expected(CDS))


# --- Upstream.


def test_upstream_mutual_tls(new_plane, relay_to, connect, certificates, upstream_protocol):
    plane = new_plane(credentials=certificates.server_credentials(client_ca=certificates.ca))
    plane.set(CDS, [xds.cluster("a")])
    relay = relay_to(plane, upstream_protocol, tls={
        "ca": str(certificates.ca.certificate), "certificate_chain": str(certificates.client.certificate),
        "private_key": str(certificates.client.key), "server_name": "localhost"})
    served(connect, relay, plane, None)


@pytest.mark.parametrize("case", ["wrong-ca", "wrong-name", "no-client-certificate"])
def test_upstream_tls_failures_are_named_and_nothing_is_served(new_plane, relay_to, connect, certificates, case):
    client_ca = certificates.ca if case == "no-client-certificate" else None
    plane = new_plane(credentials=certificates.server_credentials(client_ca=client_ca))
    plane.set(CDS, [xds.cluster("a")])
    ca = certificates.wrong_ca if case == "wrong-ca" else certificates.ca
    name = "elsewhere.example" if case == "wrong-name" else "localhost"
    relay = relay_to(plane, "delta", cold_timeout="1s", tls={"ca": str(ca.certificate), "server_name": name})
    client = connect(relay, "delta")
    client.subscribe(CDS)
    assert client.status()[0] == grpc.StatusCode.UNAVAILABLE
    assert client.history == [] and plane.requests() == []
    server = relay.json("/upstreams")["upstreams"][0]["servers"][0]
    assert server["address"] == plane.address and server["last_error"]
    if case == "wrong-ca":
        logs(relay, "verify failed", "unable to get local issuer", "not trusted", "self-signed")
    if case == "wrong-name":
        logs(relay, "hostname mismatch", "elsewhere.example")


# --- Unix sockets.


def test_a_unix_socket_listener_beside_a_tcp_one(world, new_weir, connect, protocol):
    folder = Path(tempfile.mkdtemp(prefix="weir"))
    try:
        relay = new_weir({"upstreams": {"primary": weir_module.upstream("delta", world.address)}}, start=False)
        address = f"unix://{folder}/weir.sock"
        relay.configure({"downstream": {"listeners": [{"address": relay.address}, {"address": address}]}})
        relay.start()
        for each in (address, relay.address):
            served(connect, each, world, None, protocol)
        # A socket file left behind does not stop the next start.
        relay.stop()
        relay.start()
        served(connect, address, world, None, protocol)
    finally:
        shutil.rmtree(folder)
