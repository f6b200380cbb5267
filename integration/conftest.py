"""Fixtures of the integration suite.

With WEIR_TEST_DIRECT=1 the clients talk straight to the scripted control plane, without weir: this proves the peers.
Tests that are about the relay itself (marked `relay_only`) are deselected then.
"""

import os
import re
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
# gRPC's C core: no proxies from the environment, no chatter on standard error.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
os.environ.setdefault("no_proxy", "127.0.0.1,localhost")

from weirtest import waiting  # noqa: E402
from weirtest import weir as weir_module  # noqa: E402
from weirtest.certs import Certificates  # noqa: E402
from weirtest.clients import XdsClient  # noqa: E402
from weirtest.controlplane import ControlPlane  # noqa: E402
from weirtest.envoy import Envoy  # noqa: E402
from weirtest.raw import RawClient  # noqa: E402
from weirtest.services import ServiceClient  # noqa: E402

DIRECT = os.environ.get("WEIR_TEST_DIRECT") == "1"
ARTIFACTS = Path(__file__).resolve().parent / "artifacts"


def pytest_configure(config):
    config.addinivalue_line("markers", "relay_only: is about the relay; not run in direct mode")
    config.addinivalue_line("markers", "release_build: needs the speed and the memory use of the release build")
    if not DIRECT and not weir_module.BINARY.exists():
        raise pytest.UsageError(
            f"{weir_module.BINARY} does not exist: run `make build`, or set WEIR_BINARY, "
            "or WEIR_TEST_DIRECT=1 to test the peers alone")
    if not DIRECT and weir_module.is_sanitized():
        waiting.patience = 4


def pytest_collection_modifyitems(config, items):
    if waiting.patience > 1:
        for item in items:
            bound = item.get_closest_marker("timeout")
            seconds = bound.args[0] if bound else float(config.getini("timeout"))
            item.add_marker(pytest.mark.timeout(seconds * waiting.patience), append=False)
    if not DIRECT:
        return
    kept = [item for item in items if not _needs_relay(item)]
    config.hook.pytest_deselected(items=[item for item in items if _needs_relay(item)])
    items[:] = kept


def _needs_relay(item):
    if item.get_closest_marker("relay_only"):
        return True
    parameters = getattr(item, "callspec", None)
    return parameters is not None and parameters.params.get("upstream_protocol") == "sotw"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Keeps logs and configurations of a failed test in integration/artifacts."""
    report = yield
    folder = item.funcargs.get("tmp_path") if hasattr(item, "funcargs") else None
    if report.failed and folder and folder.exists():
        target = ARTIFACTS / re.sub(r"[^\w.-]+", "_", item.name)
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(folder, target, ignore=shutil.ignore_patterns("*.sock"))
        for log in sorted(folder.glob("weir*.log")):
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-60:])
            report.sections.append((f"end of {log.name} (all of it in {target})", tail))
    return report


@pytest.fixture(params=["delta", "sotw"], ids=["up-delta", "up-sotw"])
def upstream_protocol(request):
    """What the relay speaks with the control plane."""
    return request.param


@pytest.fixture(params=["delta", "sotw"], ids=["down-delta", "down-sotw"])
def protocol(request):
    """What the client speaks with the relay."""
    return request.param


# Everything is torn down against the stream: clients first, then relays, control planes last.


@pytest.fixture
def new_plane():
    """A maker of scripted control planes."""
    made = []

    def make(start=True, **options):
        made.append(ControlPlane(**options))
        return made[-1].start() if start else made[-1]

    yield make
    for each in made:
        each.stop()


@pytest.fixture
def plane(new_plane):
    """A scripted control plane that runs and speaks both protocols."""
    control_plane = new_plane()
    control_plane.resend_endpoints = DIRECT
    return control_plane


class Direct:
    """Stands in for the relay in direct mode: the control plane's own address."""

    def __init__(self, plane):
        self.address = plane.address


@pytest.fixture
def new_weir(tmp_path, new_plane):
    """A maker of relays from a configuration; every one is stopped by SIGTERM and must then exit 0."""
    made = []

    def make(config, name=None, start=True):
        relay = weir_module.Weir(tmp_path, config, name or f"weir{len(made) + 1}")
        made.append(relay)
        return relay.start() if start else relay

    yield make
    errors = []
    for relay in reversed(made):
        try:
            relay.stop()
        except AssertionError as error:
            errors.append(str(error))
    assert not errors, "\n".join(errors)


@pytest.fixture
def relay_to(new_weir):
    """A maker of relays in front of a control plane: `relay_to(plane, "sotw", {config changes})`."""

    def make(plane, protocol="delta", config=None, **fields):
        if DIRECT:
            return Direct(plane)
        base = {"upstreams": {"primary": weir_module.upstream(protocol, plane.address, **fields)}}
        return new_weir(weir_module.merge(base, config or {}))

    return make


@pytest.fixture
def relay(plane, relay_to, request):
    """A relay with the usual configuration in front of `plane`; the test's `upstream_protocol` decides the protocol."""
    parameters = getattr(request.node, "callspec", None)
    chosen = parameters.params.get("upstream_protocol", "delta") if parameters else "delta"
    return relay_to(plane, chosen)


@pytest.fixture
def connect(new_weir):
    """A maker of scripted clients: `connect(relay, "sotw", node=..., service=...)`."""
    made = []

    def make(server, protocol="delta", **options):
        made.append(XdsClient(getattr(server, "address", server), protocol, **options))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def raw(new_weir):
    """A maker of raw HTTP/2 clients."""
    made = []

    def make(server, **options):
        made.append(RawClient(getattr(server, "address", server), **options))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def services(new_weir):
    """A maker of clients of the services beside discovery: `services(relay, tls=...)`."""
    made = []

    def make(server, **options):
        made.append(ServiceClient(server.address, **options))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def new_envoy(tmp_path, new_weir):
    """A maker of real Envoys."""
    made = []

    def make(server, mode, **options):
        made.append(Envoy(tmp_path, mode, getattr(server, "address", server), f"envoy{len(made) + 1}", **options))
        return made[-1]

    yield make
    for envoy in made:
        envoy.stop()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))
