"""A whole fleet that connects in the same second, with TLS, against `max_handshakes_per_second`.

    python integration/storm.py --clients 10000 --handshakes 500
"""

import argparse
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from weirtest import weir as weir_module  # noqa: E402
from weirtest.certs import Certificates  # noqa: E402
from weirtest.chaosworld import ROUTES, Model, PlaneProcess  # noqa: E402
from weirtest.follow import Digest, Followers  # noqa: E402
from weirtest.ports import free_port  # noqa: E402


def run(folder, clients, rate, say=lambda line: None, limit=300, ramp=None):
    """Returns the figures; fails if more than one connection in a hundred runs into a timeout, or somebody is never served."""
    import random

    certificates = Certificates(folder / "certificates")
    model = Model(random.Random(1), clusters=10)
    plane = PlaneProcess(free_port(), folder / "plane.log")
    relay = weir_module.Weir(folder, {
        "upstreams": {"primary": weir_module.upstream("delta", plane.address)}, "log": {"level": "info"},
        "downstream": {"limits": {
            "max_handshakes_per_second": rate, "admission_timeout": "3s", "max_connections": 50000}}})
    relay.configure({"downstream": {"listeners": [{"address": relay.address, "tls": {
        "certificate_chain": str(certificates.server.certificate), "private_key": str(certificates.server.key),
        "client_ca": str(certificates.ca.certificate)}}]}})
    fleet = None
    try:
        plane.start(model)
        relay.start()
        started = time.monotonic()
        # As Envoy does: five seconds for a connection; back-off from half a second to thirty.
        fleet = Followers(
            relay.address, clients, "web", folder / "fleet.log", routes=ROUTES, ramp=ramp or clients, connect_timeout_ms=5000,
            backoff_initial_ms=500, backoff_max_ms=15000, ca=certificates.ca.certificate,
            certificate=certificates.client.certificate, key=certificates.client.key, server_name="localhost")
        digest = Digest().of(model.expected())
        while True:
            state = fleet.state()
            say(f"{state['open']} streams open; refused {state['refused']}, timed out {state['timed_out']}")
            if fleet.hold(state, digest, clients):
                break
            assert time.monotonic() - started < limit, f"not everybody is served: {state}"
            time.sleep(min(2, clients / 500))
        failed = int(relay.metric("weir_downstream_rejected_total", reason="handshake"))
        attempts = state["connected"] + state["refused"] + state["timed_out"]
        # In the first second the kernel's own queue of connections may be full, and a client is not heard of at all.
        assert state["timed_out"] <= attempts / 100, f"connections time out: {state}; {failed} handshakes failed"
        return {
            "clients": clients, "handshakes per second": rate,
            "seconds until all were served": round(time.monotonic() - started, 1),
            "attempts": attempts,
            "refused": state["refused"], "timed out": state["timed_out"], "lost after their handshake": state["lost"],
            "from connect to HTTP/2 SETTINGS, median and longest, ms": (state["connect_p50_ms"], state["connect_max_ms"]),
            "counted as refused (connection_rate)": int(relay.metric(
                "weir_downstream_rejected_total", reason="connection_rate")),
            "counted as handshakes that failed": failed,
            "counted as delayed": int(relay.metric("weir_downstream_connections_delayed_total")),
            "CPU seconds of weir": round(relay.metric("process_cpu_seconds_total"), 1),
            "resident MiB at the end": round(relay.metric("process_resident_memory_bytes") / 2 ** 20),
            "turns above 50 ms": int(relay.metric("weir_loop_stalls_total")),
        }
    finally:
        if fleet is not None:
            fleet.stop()
        relay.stop()
        plane.kill()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=10_000)
    parser.add_argument("--handshakes", type=int, default=500, help="max_handshakes_per_second")
    parser.add_argument("--ramp", type=int, default=10_000, help="clients that come in a second")
    parser.add_argument("--limit", type=float, default=600, help="seconds until all must be served")
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory(prefix="weir-storm-") as folder:
        for what, value in run(Path(folder), options.clients, options.handshakes, lambda line: print(
                f"{time.strftime('%H:%M:%S')} {line}", flush=True), options.limit, options.ramp).items():
            print(f"  {what}: {value}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
