"""Connections that come and go by the ten thousand, each in one of the ways in which they do."""

import selectors
import socket
import struct
import time

import h2.config
import h2.connection
from envoy.service.discovery.v3 import discovery_pb2

from weirtest import weir as weir_module
from weirtest import xds
from weirtest.controlplane import ControlPlane
from weirtest.raw import frame
from weirtest.waiting import eventually
from weirtest.xds import CDS

#: Open at a time.
CROWD = 64
#: What a cycle does with its connection: waits for its resources and leaves by FIN or RST, leaves in the middle of the
#: preface, closes at once, says that nothing more comes and reads to the end.
MANNERS = ("fin", "rst", "fin", "rst", "torn", "silent", "half")


def conversation(number, clusters=1):
    """What a client says from its first byte to its first request."""
    wire = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    wire.initiate_connection()
    wire.send_headers(1, [(":method", "POST"), (":scheme", "http"), (":path", xds.path_of("sotw")),
                          (":authority", "localhost"), ("te", "trailers"), ("content-type", "application/grpc")])
    node = xds.node(f"churn-{number}", f"churn-{number % clusters}")
    wire.send_data(1, frame(discovery_pb2.DiscoveryRequest(type_url=CDS, node=node)))
    return wire.data_to_send()


class Cycle:
    """One connection on its way."""

    def __init__(self, address, manner, data, marker, place):
        self.manner, self.data, self.marker, self.received = manner, data, marker, b""
        self.socket = socket.socket()
        self.socket.setblocking(False)
        # Ports are fewer than cycles; each of these addresses has its own.
        self.socket.bind((f"127.0.0.{2 + place % 8}", 0))
        self.socket.connect_ex(address)
        self.is_sent = False

    def step(self, events):
        """True when it is over."""
        try:
            if events & selectors.EVENT_WRITE and not self.is_sent:
                self.is_sent = True
                if self.manner == "silent":
                    return self._leave(False)
                self.socket.send(self.data[:40] if self.manner == "torn" else self.data)
                if self.manner == "torn":
                    return self._leave(True)
                if self.manner == "half":
                    self.socket.shutdown(socket.SHUT_WR)
            if events & selectors.EVENT_READ:
                data = self.socket.recv(65536)
                self.received += data
                if not data or self.manner != "half" and self.marker in self.received:
                    return self._leave(self.manner == "rst")
        except ConnectionError:
            return self._leave(False)
        return False

    def _leave(self, reset):
        if reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()
        return True


def cycles(address, count, marker, clusters=1):
    """Lets `count` connections come and go; how many of those that waited for their resources had them."""
    host, port = address.rsplit(":", 1)
    talks = [conversation(number, clusters) for number in range(max(50, clusters))]
    selector, begun, open_, served, waiting = selectors.DefaultSelector(), 0, 0, 0, 0
    deadline = time.monotonic() + 600
    while begun < count or open_:
        assert time.monotonic() < deadline, f"{open_} connections hang after {begun}"
        while begun < count and open_ < CROWD:
            cycle = Cycle((host, int(port)), MANNERS[begun % len(MANNERS)], talks[begun % len(talks)], marker, begun)
            selector.register(cycle.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, cycle)
            begun, open_ = begun + 1, open_ + 1
        for key, events in selector.select(5):
            cycle, file = key.data, key.fd
            if cycle.is_sent and not events & selectors.EVENT_READ:
                continue
            if cycle.step(events):
                selector.unregister(file)
                open_ -= 1
                if cycle.manner in ("fin", "rst"):
                    waiting += 1
                    served += marker in cycle.received
            elif cycle.is_sent and key.events != selectors.EVENT_READ:
                selector.modify(file, selectors.EVENT_READ, cycle)
    selector.close()
    return served, waiting


def resident_kib(relay):
    with open(f"/proc/{relay.process.pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))


def rest(relay):
    """Waits until the relay has nobody left and looks at it: (descriptors, resident KiB)."""
    eventually(lambda: relay.metric("weir_downstream_connections") == 0, "all connections to be gone", 20, 0.1)
    eventually(lambda: relay.metric("weir_cache_groups") == 0, "all groups to be closed", 20, 0.1)
    return relay.metric("process_open_fds"), resident_kib(relay)


def run(folder, count, warm=None):
    """`count` cycles against a relay of its own; fails on anything that is not given back."""
    plane = ControlPlane().start()
    plane.set(CDS, [xds.cluster(f"cluster-{number}") for number in range(20)])
    relay = weir_module.Weir(folder, {
        "upstreams": {"primary": weir_module.upstream("delta", plane.address)}, "log": {"level": "error"},
        "cache": {"linger": "200ms"}}, name="churned")
    relay.start()
    try:
        cycles(relay.address, warm or max(2000, count // 10), b"cluster-19")
        descriptors, resident = rest(relay)
        started = time.monotonic()
        served, waiting = cycles(relay.address, count, b"cluster-19")
        seconds = time.monotonic() - started
        assert served == waiting, f"{served} of {waiting} had their resources"
        after = rest(relay)
        assert after[0] <= descriptors + 2, f"{after[0]} descriptors after {count} cycles, {descriptors} before"
        growth = 100 * (after[1] / resident - 1)
        assert growth <= 5, f"{after[1]} KiB resident after {count} cycles, {resident} before: {growth:+.1f} %"
        return {
            "connections that came and went": count, "seconds": round(seconds, 1), "served": served,
            "descriptors before and after": (descriptors, after[0]), "resident KiB before and after": (
                resident, after[1]), "growth": f"{growth:+.2f} %"}
    finally:
        relay.stop()
        plane.stop()
