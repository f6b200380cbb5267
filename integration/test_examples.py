"""The configurations in configs/: valid, with clients that fit them, and run where that takes no more than loopback."""

import json
import subprocess

import pytest
import yaml
from cryptography import x509

from weirtest import envoy as envoy_module
from weirtest import weir as weir_module
from weirtest import xds
from weirtest.backend import GrpcBackend
from weirtest.certs import build
from weirtest.process import Process
from weirtest.proxyless import calling
from weirtest.published import Published
from weirtest.traffic import fetch
from weirtest.waiting import eventually

pytestmark = pytest.mark.relay_only

CONFIGS = weir_module.ROOT / "configs"
RELAYS = sorted(path.name for path in CONFIGS.glob("*.yaml") if "\nupstreams:" in path.read_text())
ENVOYS = sorted(path.name for path in CONFIGS.glob("envoy-*.yaml"))
ACME = "spiffe://mesh.example/tenant/acme/edge"
#: A relay, a client of it (with the name in its certificate, if it needs one), and the key that the client gets.
PAIRS = [
    ("demo.yaml", "envoy-demo.yaml", None, "demo"),
    ("minimal.yaml", "envoy-demo.yaml", None, "demo"),
    ("single-region.yaml", "envoy-single-region.yaml", None, "edge/eu-1b"),
    ("two-tier-zone.yaml", "envoy-single-region.yaml", None, "edge"),
    ("two-tier-global.yaml", "envoy-single-region.yaml", None, "edge"),
    ("mtls.yaml", "envoy-mtls.yaml", "spiffe://prod/ns/web/sa/envoy", "web/demo"),
    ("mtls.yaml", "grpc-mtls.json", "spiffe://prod/ns/web/sa/envoy", "web/checkout"),
    ("multi-tenant.yaml", "envoy-multi-tenant.yaml", ACME, "tenant/acme/edge"),
    ("grpc-proxyless.yaml", "grpc-proxyless.json", None, "grpc/eu-1b"),
    ("files-origin.yaml", "envoy-files-origin.yaml", None, "edge"),
    ("files-origin.yaml", "grpc-files-origin.json", None, "jobs"),
    ("push.yaml", "envoy-push.yaml", None, "edge"),
    ("staged-rollout.yaml", "envoy-single-region.yaml", None, "edge"),
]


@pytest.fixture
def publish(tmp_path, certificates):
    """A maker of runnable copies of configs/, with certificates: `publish("name", {text: other text})`."""

    def make(name="configs", replace=None):
        made = Published(tmp_path / name, {"/var/lib/weir": str(tmp_path / f"{name}-store"), **(replace or {})})
        acme = build(tmp_path, f"{name}-acme", certificates.ca, [x509.UniformResourceIdentifier(ACME)])
        for file, pair in (("ca", certificates.ca), ("server", certificates.server), ("relay", certificates.client),
                           ("client", acme)):
            made.add_pair(file, pair)
        (made.folder / "tokens").write_text("registry 5f0c1d27\n")
        return made

    return make


@pytest.fixture
def run(tmp_path):
    """Starts programs, which end with the test, the last one first: `run("name", [arguments], {environment})`."""
    started = []

    def start(name, arguments, environment=None, cwd=None):
        started.append(Process(arguments, tmp_path / f"{name}.log", environment, cwd=cwd))
        return started[-1]

    yield start
    for process in reversed(started):
        process.kill()


@pytest.fixture
def serve(run):
    """Starts a relay of a copy of configs/ and waits until it is ready."""

    def start(published, name):
        relay = run(f"weir-{name}", [weir_module.BINARY, "serve", "--config", published.folder / name],
                    {"SWIFT_BACKTRACE": "enable=no"})
        eventually(lambda: fetch(published.ports[9901], "/ready")[0] == 200, lambda: relay.tail(), 20, 0.05)
        return relay

    return start


@pytest.fixture
def envoy(run):
    """Starts an Envoy of a copy of configs/."""

    def start(published, name):
        return run(name, [envoy_module.BINARY, "-c", published.folder / name, "--concurrency", "1",
                          "--disable-hot-restart"], cwd=published.folder)

    return start


def node_of(path):
    """The node that a bootstrap shows, as a node in JSON, with what the client itself adds to it."""
    bootstrap = yaml.safe_load(path.read_text())
    agent = "gRPC C-core" if path.suffix == ".json" else "envoy"
    return {**bootstrap["node"], "userAgentName": agent}


# --- Each by itself.


@pytest.mark.parametrize("name", RELAYS)
def test_every_relay_is_valid(publish, name):
    answer = weir_module.command("check", "--config", publish().folder / name)
    assert (answer.returncode, answer.stdout.strip(), answer.stderr) == (0, "OK", "")


@pytest.mark.parametrize("name", ENVOYS)
def test_every_envoy_bootstrap_is_valid(publish, name):
    answer = subprocess.run(
        [str(envoy_module.BINARY), "--mode", "validate", "--log-level", "warning", "-c", name],
        cwd=publish().folder, capture_output=True, text=True, timeout=30)
    assert answer.returncode == 0, answer.stderr


@pytest.mark.parametrize("relay, client, san, key", PAIRS, ids=[f"{pair[0]}-{pair[1]}" for pair in PAIRS])
def test_a_client_gets_its_key(publish, tmp_path, relay, client, san, key):
    folder = publish().folder
    node = tmp_path / "node.json"
    node.write_text(json.dumps(node_of(folder / client)))
    arguments = ["explain", "--config", folder / relay, "--node", node, "--json"]
    if san:
        arguments += ["--peer-san", san]
    answer = weir_module.command(*arguments)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert json.loads(answer.stdout)["key"] == key


def test_every_configuration_has_a_client_and_a_line_in_the_table():
    assert {pair[0] for pair in PAIRS} == set(RELAYS)
    clients = {pair[1] for pair in PAIRS}
    assert clients == set(ENVOYS) | {path.name for path in CONFIGS.glob("*.json")}
    table = (CONFIGS / "README.md").read_text()
    assert [name for name in [*RELAYS, *clients] if f"]({name})" not in table] == []


def test_a_tenant_cannot_be_another(publish, tmp_path):
    folder = publish().folder
    node = tmp_path / "node.json"
    node.write_text(json.dumps(node_of(folder / "envoy-multi-tenant.yaml")))

    def explain(san):
        return weir_module.command(
            "explain", "--config", folder / "multi-tenant.yaml", "--node", node, "--json", "--peer-san", san)

    assert explain("spiffe://mesh.example/tenant/other/edge").returncode == 1
    assert explain("spiffe://elsewhere.example/tenant/acme/edge").returncode == 1
    operator = explain("spiffe://mesh.example/operators/tool")
    assert json.loads(operator.stdout)["key"] == "tenant/acme/edge"


# --- Run.


def publish_site(plane, port, backend_port):
    """One listener, route, cluster and endpoint."""
    with plane.atomic():
        plane.set(xds.CDS, [xds.cluster("backend", 1, xds.from_ads())])
        plane.set(xds.EDS, [xds.endpoints("backend", backend_port)])
        plane.set(xds.LDS, [xds.listener("web", port, "routes", xds.from_ads())])
        plane.set(xds.RDS, [xds.routes("routes", ("/", "backend"))])


def test_two_tiers_serve_an_envoy_and_the_zone_outlives_the_upper_one(publish, plane, serve, envoy):
    upper = publish("global", {"control-plane.example.internal:18000": plane.address})
    zone = publish("zone", {"weir-global.example.internal:18000": f"127.0.0.1:{upper.ports[18000]}",
                            "weir.example.internal": "127.0.0.1"})
    publish_site(plane, zone.ports[10000], upper.ports[9901])
    above, below = serve(upper, "two-tier-global.yaml"), serve(zone, "two-tier-zone.yaml")
    envoy(zone, "envoy-single-region.yaml")
    eventually(lambda: fetch(zone.ports[10000], "/live")[0] == 200, lambda: below.tail(), 20, 0.1)
    # One stream for the group on each tier, whatever is below; the control plane sees what the upper one shows.
    assert [stream.node.id for stream in plane.open_streams()] == ["weir/edge"]
    clients = json.loads(fetch(upper.ports[9901], "/clients")[1])["clients"]
    assert {client["node"] for client in clients} == {"zone-b/edge"}
    above.kill()
    below.wait_log("unavailable")
    assert json.loads(fetch(zone.ports[9901], "/keys")[1])["keys"][0]["key"] == "edge"
    assert fetch(zone.ports[9901], "/ready")[0] == 200
    assert below.running


def test_tenants_are_served_by_their_certificates(publish, new_plane, certificates, serve, envoy):
    plane = new_plane(credentials=certificates.server_credentials(client_ca=certificates.ca))
    published = publish(replace={"localhost:18001": plane.address})
    publish_site(plane, published.ports[10000], published.ports[9901])
    relay = serve(published, "multi-tenant.yaml")
    process = envoy(published, "envoy-multi-tenant.yaml")
    eventually(lambda: fetch(published.ports[10000], "/live")[0] == 200,
               lambda: relay.tail() + process.tail(), 20, 0.1)
    assert [stream.node.id for stream in plane.open_streams()] == ["weir/tenant/acme/edge"]
    assert relay.running


def show_greeter(plane, backend):
    """What a gRPC client needs to call `xds:///greeter`."""
    with plane.atomic():
        plane.set(xds.LDS, [xds.api_listener("greeter", "greeter-routes")])
        plane.set(xds.RDS, [xds.routes("greeter-routes", ("", "greeter-cluster"))])
        plane.set(xds.CDS, [xds.cluster("greeter-cluster")])
        plane.set(xds.EDS, [xds.endpoints("greeter-cluster", backend.port)])


def test_gRPC_without_proxies(publish, plane, serve, run):
    backend = GrpcBackend("backend")
    published = publish(replace={"127.0.0.1:18001": plane.address})
    show_greeter(plane, backend)
    relay = serve(published, "grpc-proxyless.yaml")
    try:
        caller = run("caller", calling("xds:///greeter"),
                     {"GRPC_XDS_BOOTSTRAP": str(published.folder / "grpc-proxyless.json")})
        caller.wait_log("b'backend'", timeout=20)
        assert "grpc/eu-1b" in fetch(published.ports[9901], "/keys")[1]
        assert relay.running
    finally:
        backend.close()


def test_gRPC_over_mutual_TLS(publish, new_plane, certificates, serve, run):
    backend = GrpcBackend("backend")
    plane = new_plane(credentials=certificates.server_credentials(client_ca=certificates.ca))
    published = publish(replace={"localhost:18001": plane.address})
    published.add_pair("client", certificates.client)
    show_greeter(plane, backend)
    relay = serve(published, "mtls.yaml")
    try:
        caller = run("caller", calling("xds:///greeter"),
                     {"GRPC_XDS_BOOTSTRAP": str(published.folder / "grpc-mtls.json")}, cwd=published.folder)
        caller.wait_log("b'backend'", timeout=20)
        assert "web/checkout" in fetch(published.ports[9901], "/keys")[1]
        assert relay.running
    finally:
        backend.close()


def test_the_demo_serves_an_envoy_and_follows_an_edit(publish, serve, envoy):
    published = publish()
    relay = serve(published, "demo.yaml")
    envoy(published, "envoy-demo.yaml")
    greeting = "Hello from a route that came through weir.\n"
    eventually(lambda: fetch(published.ports[10000]) == (200, greeting), lambda: relay.tail(), 20, 0.1)
    assert fetch(published.ports[10000], "/server_info")[0] == 200
    routes = published.folder / "resources" / "routes.yaml"
    routes.write_text(routes.read_text().replace("Hello from", "Greetings from"))
    eventually(lambda: fetch(published.ports[10000])[1].startswith("Greetings"), "the edited greeting", 10, 0.1)
    assert fetch(published.ports[9901])[0] == 200
    relay.popen.terminate()
    assert relay.wait(35) == 0
    assert fetch(published.ports[10000])[0] == 200, "Envoy goes on without weir"


def test_files_serve_an_envoy_and_a_gRPC_client(publish, serve, envoy, run):
    published = publish()
    relay = serve(published, "files-origin.yaml")
    envoy(published, "envoy-files-origin.yaml")
    caller = run("caller", calling("xds:///relay", "/grpc.health.v1.Health/Check"),
                 {"GRPC_XDS_BOOTSTRAP": str(published.folder / "grpc-files-origin.json")})
    eventually(lambda: fetch(published.ports[10000]) == (200, "This is the edge.\n"), lambda: relay.tail(), 20, 0.1)
    caller.wait_log(r"b'\x08\x01'", timeout=20)
    assert relay.running
