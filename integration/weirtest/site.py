"""One web site as a control plane describes it to Envoy: a listener, routes, clusters, endpoints, all changeable."""

from weirtest import xds
from weirtest.ports import free_port
from weirtest.traffic import fetch
from weirtest.waiting import eventually


class Site:
    """Publishes on `plane`; `mode` is the bootstrap mode of the Envoy that will read it (see envoy.MODES)."""

    def __init__(self, plane, mode, secret=None):
        self.plane, self.secret = plane, secret
        self.port = free_port()
        if mode.startswith("ads"):
            self.source = xds.from_ads()
        else:
            self.source = xds.from_service(delta=mode.endswith("delta"))
        self.routes, self.backends, self.timeouts = {}, {}, {}

    def publish(self, routes, **backends):
        """Puts everything up at once: path prefix → cluster, and cluster → backend."""
        self.routes = routes
        self.backends = backends
        with self.plane.atomic():
            self.plane.set(xds.CDS, [self.cluster(name) for name in backends])
            self.plane.set(xds.EDS, [xds.endpoints(name, backend.port) for name, backend in backends.items()])
            self.plane.set(xds.LDS, [xds.listener(
                "web", self.port, "routes", self.source, secret=self.secret, secret_source=self.source)])
            self.plane.set(xds.RDS, [self.route_configuration()])

    def cluster(self, name):
        return xds.cluster(name, self.timeouts.get(name, 1), self.source)

    def route_configuration(self):
        return xds.routes("routes", *sorted(self.routes.items(), reverse=True))

    def move(self, name, backend):
        """Only the endpoints of one cluster change."""
        self.backends[name] = backend
        self.plane.update(xds.EDS, [xds.endpoints(name, backend.port)])

    def add(self, prefix, name, backend):
        """A new cluster with its endpoints, and the route to it."""
        self.backends[name], self.routes[prefix] = backend, name
        with self.plane.atomic():
            self.plane.update(xds.CDS, [self.cluster(name)])
            self.plane.update(xds.EDS, [xds.endpoints(name, backend.port)])
            self.plane.update(xds.RDS, [self.route_configuration()])

    def change_cluster(self, name, timeout):
        """The cluster changes and its endpoints do not: Envoy warms the new cluster."""
        self.timeouts[name] = timeout
        self.plane.update(xds.CDS, [self.cluster(name)])

    def until(self, body, path="/", tls=None, timeout=20.0):
        """Waits until the site answers with `body`."""
        last = None

        def answered():
            nonlocal last
            last = fetch(self.port, path, tls)
            return last == (200, body)

        eventually(answered, lambda: f"{path} to answer {body!r}; last answer {last}", timeout, 0.05)
