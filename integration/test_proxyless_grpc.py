"""gRPC's own xDS client: a channel to `xds:///greeter` resolved through weir."""

import pytest

from weirtest import xds
from weirtest.backend import GrpcBackend
from weirtest.proxyless import ProxylessCaller
from weirtest.waiting import eventually

pytestmark = pytest.mark.usefixtures("upstream_protocol")


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
    caller = ProxylessCaller(tmp_path, relay.address)
    try:
        caller.wait_log("one", timeout=30)
        plane.update(xds.EDS, [xds.endpoints("greeter-cluster", backends[1].port)])
        caller.wait_log("two", timeout=20)
        assert caller.errors == []
        # gRPC subscribes by name, without wildcards: no more than it asked for is fetched for it.
        eventually(lambda: plane.interest(xds.EDS, "") == {"greeter-cluster"}, "the interest in endpoints")
        assert plane.interest(xds.CDS) == {"greeter-cluster"}
        assert plane.interest(xds.LDS) == {"greeter"}
    finally:
        caller.kill()
