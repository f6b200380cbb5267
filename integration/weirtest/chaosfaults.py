"""The faults: each does its harm while the world goes on changing, and undoes what can be undone."""

import os
import resource
import signal
import socket
import ssl
import struct
import subprocess
import time

from envoy.service.discovery.v3 import discovery_pb2

from weirtest import xds
from weirtest.raw import RawClient, frame
from weirtest.waiting import eventually
from weirtest.xds import CDS, RTDS

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FAULTS = {}


def fault(function):
    FAULTS[function.__name__.replace("_", "-")] = function
    return function


def host_and_port(address):
    host, port = address.rsplit(":", 1)
    return host, int(port)


# --- Processes that die or hang.


@fault
def relay_killed(chaos):
    chaos.change(chaos.chance.randint(0, 5), 0.01)
    chaos.kill_relay()
    time.sleep(chaos.chance.uniform(0, 0.3))
    chaos.change(2)
    chaos.start_relay()


@fault
def relay_killed_while_it_starts(chaos):
    chaos.kill_relay()
    for _ in range(3):
        chaos.relay.start(wait=False)
        time.sleep(chaos.chance.uniform(0.005, 0.15))
        chaos.change()
        chaos.kill_relay()
    chaos.start_relay()


@fault
def upstream_killed(chaos):
    chaos.change(3, 0.01)
    chaos.plane.kill()
    chaos.change(2)
    time.sleep(chaos.chance.uniform(0, 0.8))
    chaos.plane.start(chaos.model)


@fault
def both_killed(chaos):
    """The relay comes back alone: everybody is served one and the same last good state."""
    chaos.change(3, 0.02)
    time.sleep(0.5)
    chaos.plane.kill()
    chaos.kill_relay()
    chaos.start_relay()
    for each in chaos.followers:
        eventually(
            lambda: (lambda state: state["distinct"] == 1 and state["open"] == each.count)(each.state()),
            lambda: f"{each.cluster} to be served from the store: {each.state()}", 20, 0.1)
    chaos.change(2)
    chaos.plane.start(chaos.model)


@fault
def upstream_hangs(chaos):
    """Its sockets are open, and nobody is at home."""
    chaos.plane.signal(signal.SIGSTOP)
    try:
        chaos.model.evolve(3)
        time.sleep(chaos.chance.uniform(0.3, 2.5))
    finally:
        chaos.plane.signal(signal.SIGCONT)
    chaos.change(2)


@fault
def relay_hangs(chaos):
    chaos.relay.process.signal(signal.SIGSTOP)
    try:
        chaos.change(3, 0.02)
        time.sleep(chaos.chance.uniform(0.2, 1.5))
    finally:
        chaos.relay.process.signal(signal.SIGCONT)


# --- Networks.


@fault
def upstream_behind_a_black_hole(chaos):
    chaos.upstream.be("hole")
    chaos.change(3, 0.1)
    time.sleep(chaos.chance.uniform(1.0, 3.0))
    chaos.upstream.be("normal")


@fault
def upstream_network_stands_still(chaos):
    chaos.upstream.be("freeze")
    chaos.change(3, 0.05)
    time.sleep(chaos.chance.uniform(0.2, 1.2))
    chaos.upstream.be("normal")


@fault
def upstream_is_slow(chaos):
    chaos.upstream.be("slow")
    chaos.change(5, 0.1)
    chaos.upstream.be("normal")


@fault
def upstream_refuses(chaos):
    chaos.upstream.be("refuse")
    chaos.change(3, 0.1)
    chaos.upstream.be("normal")


@fault
def upstream_connections_are_cut(chaos):
    for _ in range(chaos.chance.randint(1, 5)):
        chaos.change()
        chaos.upstream.cut(reset=chaos.chance.random() < 0.5)
        time.sleep(chaos.chance.uniform(0, 0.2))


@fault
def clients_behind_a_black_hole(chaos):
    """Half-open on both sides: the relay finds by keepalive that nobody is there."""
    chaos.downstream.be("hole")
    chaos.change(3, 0.1)
    eventually(lambda: chaos.relay.metric("weir_downstream_connections") <= chaos.baseline and len(
        chaos.relay.clients("?key=shop")) == 0, lambda: "the half-open connections to be closed", 15, 0.1)
    # What the clients wait for never comes; they are told by the network.
    chaos.downstream.be("refuse")
    chaos.downstream.be("normal")


@fault
def clients_are_cut(chaos):
    for _ in range(chaos.chance.randint(2, 6)):
        chaos.change()
        chaos.downstream.cut(reset=chaos.chance.random() < 0.5)
        for each in chaos.followers:
            each.say(f"cut {chaos.chance.randint(1, each.count)}")
        time.sleep(chaos.chance.uniform(0, 0.2))


@fault
def half_open_connections(chaos):
    """A crowd that connects, says a part of what is to be said, and nothing more."""
    beginnings = [b"", PREFACE[:10], PREFACE, PREFACE + b"\0\0\0\4\0\0\0\0\0", _call()[:-3]]
    crowd = []
    for number in range(60):
        each = socket.create_connection(host_and_port(chaos.relay.address), timeout=5)
        each.sendall(beginnings[number % len(beginnings)])
        crowd.append(each)
    chaos.change(5, 0.05)
    for number, each in enumerate(crowd):
        if number % 2:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        each.close()


# --- Readers.


@fault
def slow_readers(chaos):
    for each in chaos.followers:
        each.say(f"pause {each.count // 2}")
    chaos.downstream.be("slow")
    chaos.change(20, 0.03)
    chaos.downstream.be("normal")
    for each in chaos.followers:
        each.say("resume")


@fault
def dead_readers(chaos):
    """They ask for all there is, and never read."""
    dead = []
    for number in range(10):
        reader = RawClient(chaos.relay.address, auto_window=False, initial_window=chaos.chance.choice((0, 100, 65535)))
        stream = reader.open(xds.path_of("sotw"))
        reader.send(stream, _request("web" if number % 2 else "shop"))
        dead.append(reader)
    chaos.change(20, 0.03)
    for reader in dead:
        reader.close()


# --- Resources.


@fault
def descriptors_run_out(chaos):
    pid = chaos.relay.process.pid
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    crowd = []
    try:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (len(os.listdir(f"/proc/{pid}/fd")) + 3, hard))
        for _ in range(20):
            crowd.append(socket.create_connection(host_and_port(chaos.relay.address), timeout=5))
        chaos.upstream.cut()
        for each in chaos.followers:
            each.say("cut 5")
        chaos.change(5, 0.1)
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
        for each in crowd:
            each.close()


@fault
def disk_full(chaos):
    if chaos.disk is None:
        return files_may_not_grow(chaos)
    filler = chaos.disk / "filler"
    with open(filler, "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    chaos.change(10, 0.05)
    if chaos.chance.random() < 0.5:
        chaos.kill_relay()
        chaos.start_relay()
        chaos.change(3, 0.05)
    filler.unlink()


@fault
def files_may_not_grow(chaos):
    """As a quota does; the signal that comes with it must not be the end."""
    pid = chaos.relay.process.pid
    soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (8192, hard))
    try:
        chaos.change(10, 0.05)
        time.sleep(0.3)
        assert chaos.relay.process.running, f"the relay died of a quota: {chaos.relay.process.popen.returncode}"
    finally:
        if chaos.relay.process.running:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))


@fault
def store_is_read_only(chaos):
    if chaos.disk is None:
        return
    chaos.kill_relay()
    _mount(chaos, "ro")
    try:
        chaos.start_relay()
        chaos.change(5, 0.05)
        eventually(lambda: chaos.relay.json("/ready")["degraded"], "the read-only store to be told")
    finally:
        chaos.kill_relay()
        _mount(chaos, "rw")
    chaos.start_relay()


def _mount(chaos, how):
    subprocess.run(["mount", "-o", f"remount,{how}", str(chaos.disk)], check=True, capture_output=True)


# --- Bytes that mean nothing.


def _request(cluster="web", **fields):
    message = discovery_pb2.DiscoveryRequest(type_url=CDS, node=xds.node("chaos", cluster), **fields)
    return frame(message)


def _call():
    """The bytes of a whole ADS call, as a client sends them."""
    import h2.config
    import h2.connection
    wire = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    wire.initiate_connection()
    wire.send_headers(1, [(":method", "POST"), (":scheme", "http"), (":path", xds.path_of("sotw")),
                          (":authority", "localhost"), ("te", "trailers"), ("content-type", "application/grpc")])
    wire.send_data(1, _request())
    return wire.data_to_send()


def _send(address, data, wait=0.0):
    try:
        with socket.create_connection(address, timeout=2) as connection:
            connection.sendall(data)
            if wait:
                connection.settimeout(wait)
                connection.recv(4096)
    except OSError:
        pass


def _damaged(chance, data):
    data = bytearray(data)
    for _ in range(chance.choice((1, 3, 20))):
        data[chance.randrange(len(data))] = chance.randrange(256)
    return bytes(data[:chance.randrange(1, len(data) + 1)] if chance.random() < 0.3 else data)


@fault
def nonsense_from_clients(chaos):
    address, whole = host_and_port(chaos.relay.address), _call()
    for _ in range(80):
        kind = chaos.chance.randrange(3)
        if kind == 0:
            data = chaos.chance.randbytes(chaos.chance.randrange(1, 2000))
        elif kind == 1:
            data = PREFACE + chaos.chance.randbytes(chaos.chance.randrange(1, 500))
        else:
            data = PREFACE + _damaged(chaos.chance, whole[len(PREFACE):])
        _send(address, data, 0.02)
    chaos.downstream.inject(chaos.chance.randbytes(64), "server")
    chaos.change(2)


@fault
def nonsense_under_tls(chaos):
    address = ("127.0.0.1", chaos.tls_port)
    hello = _client_hello()
    for number in range(60):
        data = (chaos.chance.randbytes(chaos.chance.randrange(1, 600)), _damaged(chaos.chance, hello),
                hello[:chaos.chance.randrange(1, len(hello))], PREFACE, hello + hello)[number % 5]
        _send(address, data, 0.02)
    # And bytes that mean nothing inside of a good session.
    context = chaos.certificates.raw_context()
    for _ in range(5):
        try:
            with socket.create_connection(address, timeout=2) as plain:
                with context.wrap_socket(plain, server_hostname="localhost") as secured:
                    secured.sendall(chaos.chance.randbytes(300))
        except OSError:
            pass
    chaos.change(2)


def _client_hello():
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    context.set_alpn_protocols(["h2"])
    half = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    try:
        half.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


@fault
def nonsense_from_the_upstream(chaos):
    """Bytes that break its connection, and messages that break the protocol."""
    for _ in range(4):
        chaos.plane.tell(do="garbage", seed=chaos.chance.randrange(1 << 30))
        chaos.change()
    chaos.upstream.inject(chaos.chance.randbytes(chaos.chance.randrange(1, 300)), "client")
    chaos.change(2)
    chaos.plane.tell(do="garbage", seed=chaos.chance.randrange(1 << 30))
    time.sleep(0.1)
    # What it said in earnest counts again from here.
    chaos.plane.tell(do="end-streams")
    chaos.change(2)


@fault
def nonsense_at_the_debug_endpoint(chaos):
    address = host_and_port(chaos.relay.admin)
    lines = [b"GET /keys HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /clients?limit=-1 HTTP/1.1\r\nHost: x\r\n\r\n",
             b"POST /keys/rollback?key=web&type=cds&to=%00%ff HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n"]
    crowd = []
    for number in range(60):
        data = (chaos.chance.randbytes(300), _damaged(chaos.chance, lines[number % 3]), lines[number % 3][:9],
                b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n")[number % 4]
        _send(address, data, 0.02)
    for _ in range(40):
        each = socket.create_connection(address, timeout=5)
        each.sendall(b"GET /ke")
        crowd.append(each)
    chaos.change(2)
    for each in crowd:
        each.close()


# --- And those who run it.


@fault
def reloads(chaos):
    for number in range(4):
        chaos.relay.configure({"downstream": {"limits": {"max_requests_per_second": number % 2 * 1000}}})
        chaos.relay.reload()
        chaos.change(2, 0.03)
    # Half a file.
    whole = chaos.relay.config_path.read_text()
    chaos.relay.config_path.write_text(whole[:len(whole) // 2] + "\n\t: [")
    chaos.relay.reload()
    chaos.change(2, 0.05)
    chaos.relay.configure({})
    chaos.relay.reload()


@fault
def a_type_nobody_knows(chaos):
    """Wishes that the control plane never answers, given up again."""
    readers = []
    for number in range(20):
        reader = RawClient(chaos.relay.address)
        stream = reader.open(xds.path_of("sotw"))
        message = discovery_pb2.DiscoveryRequest(
            type_url=RTDS, node=xds.node("chaos", "web"), resource_names=[f"nothing-{number}"])
        reader.send(stream, frame(message))
        readers.append(reader)
    chaos.change(3, 0.03)
    for reader in readers:
        reader.close()


@fault
def everything_at_once(chaos):
    """A few seconds in which anything may happen to anybody, one thing on top of another."""
    deeds = [
        lambda: chaos.change(), lambda: chaos.change(3), lambda: chaos.upstream.cut(), lambda: chaos.downstream.cut(),
        lambda: chaos.followers and chaos.chance.choice(chaos.followers).say(f"cut {chaos.chance.randint(1, 20)}"),
        lambda: chaos.followers and chaos.chance.choice(chaos.followers).say(f"pause {chaos.chance.randint(1, 20)}"),
        lambda: [each.say("resume") for each in chaos.followers],
        lambda: chaos.upstream.be(chaos.chance.choice(chaos.upstream.MANNERS)),
        lambda: chaos.downstream.be(chaos.chance.choice(chaos.downstream.MANNERS)),
        lambda: chaos.upstream.be("normal"), lambda: chaos.downstream.be("normal"), lambda: chaos.relay.reload(),
        lambda: (chaos.plane.kill(), time.sleep(chaos.chance.uniform(0, 0.3)), chaos.plane.start(chaos.model)),
        lambda: (chaos.kill_relay(), time.sleep(chaos.chance.uniform(0, 0.3)), chaos.start_relay()),
        lambda: _send(host_and_port(chaos.relay.address), _damaged(chaos.chance, _call())),
    ]
    end = time.monotonic() + chaos.chance.uniform(2, 4)
    while time.monotonic() < end:
        chaos.chance.choice(deeds)()
        time.sleep(chaos.chance.uniform(0, 0.15))
    for network in (chaos.upstream, chaos.downstream):
        network.be("normal")
    for each in chaos.followers:
        each.say("resume")
