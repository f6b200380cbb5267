"""The README's walk-through: the demo configuration, the ready-made Envoy bootstrap, an edited file."""

import pytest

from weirtest import envoy as envoy_module
from weirtest import weir as weir_module
from weirtest.process import Process
from weirtest.published import Published
from weirtest.traffic import fetch
from weirtest.waiting import eventually

pytestmark = pytest.mark.relay_only


@pytest.fixture
def demo(tmp_path):
    """A copy of configs/ on free ports; returns the folder and the ports by their published numbers."""
    published = Published(tmp_path / "configs")
    return published.folder, published.ports


def test_the_demo_serves_an_envoy_and_follows_an_edit(demo, tmp_path):
    folder, ports = demo
    assert weir_module.command("check", "--config", folder / "demo.yaml").stdout.strip() == "OK"
    relay = Process([weir_module.BINARY, "serve", "--config", folder / "demo.yaml"], tmp_path / "weir.log")
    envoy = Process([envoy_module.BINARY, "-c", folder / "envoy-demo.yaml", "--concurrency", "1",
                     "--disable-hot-restart"], tmp_path / "envoy.log")
    try:
        greeting = eventually(lambda: found if (found := fetch(ports[10000]))[0] == 200 else None,
                              lambda: f"the greeting; weir says:\n{relay.tail()}", 20, 0.1)
        assert greeting == (200, "Hello from a route that came through weir.\n")
        assert fetch(ports[10000], "/server_info")[0] == 200
        routes = folder / "resources" / "routes.yaml"
        routes.write_text(routes.read_text().replace("Hello from", "Greetings from"))
        eventually(lambda: fetch(ports[10000])[1].startswith("Greetings"), "the edited greeting", 10, 0.1)
        assert fetch(ports[9901])[0] == 200
        relay.popen.terminate()
        assert relay.wait(35) == 0
        assert fetch(ports[10000])[0] == 200, "Envoy goes on without weir"
    finally:
        envoy.kill()
        relay.kill()
