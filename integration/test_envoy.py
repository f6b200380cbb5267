"""The real Envoy behind weir, by ADS (SotW and delta) and by per-type gRPC services."""

import pytest

from weirtest import xds
from weirtest.backend import HttpBackend
from weirtest.site import Site
from weirtest.traffic import Traffic
from weirtest.waiting import eventually

pytestmark = pytest.mark.usefixtures("upstream_protocol")


@pytest.fixture(params=["ads-sotw", "ads-delta"])
def ads_mode(request):
    return request.param


@pytest.fixture(params=["grpc-sotw", "grpc-delta"])
def grpc_mode(request):
    return request.param


@pytest.fixture
def backends():
    made = {name: HttpBackend(name) for name in ("blue", "green")}
    yield made
    for backend in made.values():
        backend.close()


def launch(plane, relay, new_envoy, mode, **routes_to):
    site = Site(plane, mode)
    site.publish({"/": "blue"}, **routes_to)
    return site, new_envoy(relay, mode)


def test_serves_through_to_a_backend_and_follows_an_endpoint_change(plane, relay, new_envoy, ads_mode, backends):
    site, _ = launch(plane, relay, new_envoy, ads_mode, blue=backends["blue"])
    site.until("blue")
    site.move("blue", backends["green"])
    site.until("green")


def test_adding_a_cluster_and_a_route_loses_no_request(plane, relay, new_envoy, ads_mode, backends):
    site, envoy = launch(plane, relay, new_envoy, ads_mode, blue=backends["blue"])
    site.until("blue")
    with Traffic(site.port) as traffic:
        eventually(lambda: len(traffic.answers) > 50, "traffic")
        site.add("/green", "green", backends["green"])
        site.until("green", "/green")
        enough = len(traffic.answers) + 50
        eventually(lambda: len(traffic.answers) > enough, "more traffic")
    assert not traffic.failures
    assert envoy.stat("cluster_manager.cds.update_rejected") == 0


def test_ORD_05_a_changed_eds_cluster_leaves_warming(plane, relay, new_envoy, ads_mode, backends):
    site, envoy = launch(plane, relay, new_envoy, ads_mode, blue=backends["blue"])
    site.until("blue")
    with Traffic(site.port) as traffic:
        for timeout in (2, 3):
            site.change_cluster("blue", timeout)

            def active():
                section = envoy.section("ClustersConfigDump")
                clusters = [c["cluster"] for c in section.get("dynamic_active_clusters", [])]
                return [c for c in clusters if c["connect_timeout"] == f"{timeout}s"]

            eventually(active, f"the cluster with a timeout of {timeout} s to become active", 10, 0.05)
            assert envoy.stat("cluster_manager.warming_clusters") == 0
        site.move("blue", backends["green"])
        site.until("green")
    assert not traffic.failures


def test_XLT_envoy_shows_the_versions_it_was_given(plane, relay, new_envoy, ads_mode, backends, upstream_protocol):
    site, envoy = launch(plane, relay, new_envoy, ads_mode, blue=backends["blue"])
    site.until("blue")
    dump = envoy.section("ClustersConfigDump")
    version = dump["dynamic_active_clusters"][0]["version_info"]
    assert version
    if ads_mode.endswith(upstream_protocol):
        assert version == plane.version(xds.CDS)
    listeners = envoy.section("ListenersConfigDump")["dynamic_listeners"]
    assert listeners[0]["active_state"]["version_info"]
    if ads_mode.endswith(upstream_protocol):
        assert listeners[0]["active_state"]["version_info"] == plane.version(xds.LDS)


def test_a_removed_listener_closes_and_a_removed_cluster_goes(plane, relay, new_envoy, ads_mode, backends):
    site, envoy = launch(plane, relay, new_envoy, ads_mode, **backends)
    site.until("blue")
    plane.remove(xds.CDS, "green")
    eventually(lambda: envoy.stat("cluster_manager.active_clusters") == 2, "the cluster to go")
    site.until("blue")
    plane.set(xds.LDS, [])
    eventually(lambda: envoy.stat("listener_manager.total_listeners_active") == 0, "the listener to go")


def test_per_type_services_serve_and_follow_an_endpoint_change(plane, relay, new_envoy, grpc_mode, backends):
    site, envoy = launch(plane, relay, new_envoy, grpc_mode, **backends)
    site.until("blue")
    site.move("blue", backends["green"])
    site.until("green")
    site.routes = {"/": "green"}
    plane.update(xds.RDS, [site.route_configuration()])
    eventually(lambda: envoy.stat("http.ingress.rds.routes.update_success") == 2, "the second route table")
    site.until("green")


def test_per_type_services_bring_the_listeners_certificate_by_sds(plane, relay, new_envoy, grpc_mode, backends,
                                                                  certificates):
    site = Site(plane, grpc_mode, secret="web-certificate")
    plane.set(xds.SDS, [xds.secret(
        "web-certificate", certificates.server.certificate_bytes, certificates.server.key_bytes)])
    site.publish({"/": "blue"}, blue=backends["blue"])
    new_envoy(relay, grpc_mode)
    trusting = certificates.raw_context(alpn=())
    site.until("blue", tls=trusting)
    # A rotated certificate reaches the listener, too.
    plane.set(xds.SDS, [xds.secret(
        "web-certificate", certificates.wrong_server.certificate_bytes, certificates.wrong_server.key_bytes)])
    site.until("blue", tls=certificates.raw_context(ca=certificates.wrong_ca, alpn=()))
