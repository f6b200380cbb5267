"""gRPC's own xDS client: a channel to `xds:///greeter` resolved through weir."""

import json
import sys
from pathlib import Path

import pytest

from weirtest import xds
from weirtest.backend import ECHO, GrpcBackend
from weirtest.process import Process
from weirtest.waiting import eventually

pytestmark = pytest.mark.usefixtures("upstream_protocol")

#: Calls for ever and prints each distinct answer, until it is ended.
CALLER = f"""
import sys, time, grpc
channel = grpc.insecure_channel("xds:///greeter")
call = channel.unary_unary({ECHO!r})
last = None
end = time.monotonic() + 60
while time.monotonic() < end:
    try:
        answer = call(b"", timeout=5, wait_for_ready=True).decode()
    except grpc.RpcError as error:
        answer = "error " + str(error.code()) + " " + str(error.details())
    if answer != last:
        print(answer, flush=True)
    last = answer
    time.sleep(0.01)
"""


@pytest.fixture
def backends():
    made = [GrpcBackend("one"), GrpcBackend("two")]
    yield made
    for backend in made:
        backend.close()


def test_calls_go_through_and_follow_an_endpoint_change(plane, relay, backends, tmp_path):
    with plane.atomic():
        plane.set(xds.LDS, [xds.api_listener("greeter", "greeter-routes")])
        plane.set(xds.RDS, [xds.routes("greeter-routes", ("", "greeter-cluster"))])
        plane.set(xds.CDS, [xds.cluster("greeter-cluster"), xds.cluster("other")])
        plane.set(xds.EDS, [xds.endpoints("greeter-cluster", backends[0].port)])
    bootstrap = tmp_path / "grpc-bootstrap.json"
    bootstrap.write_text(json.dumps({
        "xds_servers": [{
            "server_uri": relay.address,
            "channel_creds": [{"type": "insecure"}],
            "server_features": ["xds_v3"],
        }],
        "node": {"id": "grpc-1", "cluster": "web"},
    }))
    caller = Process([sys.executable, "-c", CALLER], tmp_path / "caller.log",
                     {"GRPC_XDS_BOOTSTRAP": str(bootstrap), "GRPC_VERBOSITY": "ERROR"})
    try:
        caller.wait_log("one", timeout=30)
        plane.update(xds.EDS, [xds.endpoints("greeter-cluster", backends[1].port)])
        caller.wait_log("two", timeout=20)
        assert [line for line in caller.log.splitlines() if line.startswith("error")] == []
        # gRPC subscribes by name, without wildcards: no more than it asked for is fetched for it.
        eventually(lambda: plane.interest(xds.EDS, "") == {"greeter-cluster"}, "the interest in endpoints")
        assert plane.interest(xds.CDS) == {"greeter-cluster"}
        assert plane.interest(xds.LDS) == {"greeter"}
    finally:
        caller.kill()
