"""Clients that turn HTTP/2 against the relay: each is bounded, ended and counted, and nobody else notices."""

import socket
import struct
import time

import pytest
from envoy.service.discovery.v3 import discovery_pb2
from hpack import Encoder

from weirtest import raw, waiting, xds
from weirtest.waiting import eventually
from weirtest.xds import CDS

pytestmark = pytest.mark.relay_only

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 2, 3, 4, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS = 0x1, 0x1, 0x4


def h2_frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def call_headers(*more):
    return Encoder().encode([
        (":method", "POST"), (":scheme", "http"), (":path", xds.path_of("sotw")), (":authority", "localhost"),
        ("te", "trailers"), ("content-type", "application/grpc"), *more])


class Attacker:
    """A socket that writes whatever it likes, and notes what comes back."""

    def __init__(self, relay):
        host, port = relay.address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=10)
        self.received, self.closed = b"", False
        self.write(PREFACE + h2_frame(SETTINGS, 0, 0) + h2_frame(SETTINGS, ACK, 0))

    def write(self, data, read=True):
        """Writes while there is somebody to write to; reads meanwhile, unless asked not to."""
        view = memoryview(data)
        deadline = time.monotonic() + 20
        self.socket.settimeout(0.05)
        while view and not self.closed:
            assert time.monotonic() < deadline, "the relay neither reads nor ends the connection"
            try:
                view = view[self.socket.send(view[:65536]):]
            except TimeoutError:
                if not read:
                    return False
            except (BrokenPipeError, ConnectionResetError):
                self.closed = True
            if read:
                self.read(0)
        return not self.closed

    def read(self, seconds):
        deadline = time.monotonic() + seconds
        while not self.closed:
            self.socket.settimeout(max(0.001, min(0.05, deadline - time.monotonic())))
            try:
                data = self.socket.recv(1 << 16)
            except TimeoutError:
                data = None
            except ConnectionResetError:
                data = b""
            if data == b"":
                self.closed = True
            elif data:
                self.received += data
            if data is None and time.monotonic() >= deadline:
                return

    def frames(self):
        """(kind, flags, stream, payload) of what was received."""
        at, found = 0, []
        while at + 9 <= len(self.received):
            length = int.from_bytes(self.received[at:at + 3], "big")
            kind, flags = self.received[at + 3], self.received[at + 4]
            stream = int.from_bytes(self.received[at + 5:at + 9], "big")
            found.append((kind, flags, stream, self.received[at + 9:at + 9 + length]))
            at += 9 + length
        return found

    def wait_end(self, seconds=10):
        self.read(seconds * waiting.patience)
        assert self.closed, f"the connection lives on; frames: {[f[:3] for f in self.frames()][-5:]}"

    def close(self):
        self.socket.close()


@pytest.fixture
def attack(relay):
    made = []

    def make():
        made.append(Attacker(relay))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def bystander(plane, relay, connect):
    """A client that must go on being served; called, it proves that it is."""
    plane.set(CDS, [xds.cluster("a")])
    client = connect(relay, "delta")
    client.subscribe(CDS)
    client.converge(CDS, plane.expected(CDS))
    changes = iter(range(1, 1000))

    def served():
        plane.update(CDS, [xds.cluster(f"c{next(changes)}")])
        client.converge(CDS, plane.expected(CDS))

    return served


def ended(relay, attacker, bystander, reason="broken_connection"):
    attacker.wait_end()
    eventually(lambda: relay.metric("weir_downstream_rejected_total", reason=reason) >= 1, f"a count of {reason}")
    bystander()


def test_rapid_resets_end_the_connection(relay, attack, bystander):
    attacker = attack()
    block = call_headers()
    reset = struct.pack(">I", 8)
    # More than a client may end at once (10,000), each before it is answered.
    for base in range(0, 30_000, 1000):
        if not attacker.write(b"".join(
                h2_frame(HEADERS, END_HEADERS, 2 * n + 1, block) + h2_frame(RST_STREAM, 0, 2 * n + 1, reset)
                for n in range(base, base + 1000))):
            break
    ended(relay, attacker, bystander)


def test_a_flood_of_continuations_ends_the_connection(relay, attack, bystander):
    attacker = attack()
    attacker.write(h2_frame(HEADERS, 0, 1, call_headers()))
    for _ in range(1000):
        if not attacker.write(h2_frame(CONTINUATION, 0, 1, Encoder().encode([("x-filler", "f" * 4000)])) * 10):
            break
    ended(relay, attacker, bystander)


def test_a_flood_of_empty_continuations_ends_the_connection(relay, attack, bystander):
    attacker = attack()
    attacker.write(h2_frame(HEADERS, 0, 1, call_headers()))
    for _ in range(500):
        if not attacker.write(h2_frame(CONTINUATION, 0, 1) * 1000):
            break
    ended(relay, attacker, bystander)


@pytest.mark.parametrize("reads", [True, False], ids=["reads-the-answers", "reads-nothing"])
@pytest.mark.parametrize("kind", ["ping", "settings"])
def test_a_flood_of_frames_that_want_an_answer_ends_the_connection(relay, attack, bystander, kind, reads):
    attacker = attack()
    one = h2_frame(PING, 0, 0, b"12345678") if kind == "ping" else h2_frame(SETTINGS, 0, 0)
    for _ in range(1000):
        if not attacker.write(one * 1000, read=reads):
            break
    ended(relay, attacker, bystander)


def test_a_flood_of_empty_data_ends_the_connection(relay, attack, bystander):
    attacker = attack()
    attacker.write(h2_frame(HEADERS, END_HEADERS, 1, call_headers()))
    for _ in range(1000):
        if not attacker.write(h2_frame(DATA, 0, 1) * 1000):
            break
    ended(relay, attacker, bystander)


@pytest.mark.parametrize("where", ["stream", "connection"])
def test_a_window_opened_byte_by_byte_ends_the_connection(plane, relay, attack, bystander, where):
    """Each byte of window would let a byte of a large response go, in a frame and a write of its own."""
    plane.set(CDS, [xds.cluster(f"{'c' * 200}{i}") for i in range(500)])
    attacker = attack()
    # SETTINGS_INITIAL_WINDOW_SIZE: nothing of a stream may leave.
    attacker.write(h2_frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0)))
    request = raw.frame(discovery_pb2.DiscoveryRequest(node=xds.node("dribble"), type_url=CDS))
    attacker.write(h2_frame(HEADERS, END_HEADERS, 1, call_headers()) + h2_frame(DATA, 0, 1, request))
    one = h2_frame(WINDOW_UPDATE, 0, 1 if where == "stream" else 0, struct.pack(">I", 1))
    for _ in range(1000):
        if not attacker.write(one * 100):
            break
    ended(relay, attacker, bystander)


@pytest.mark.parametrize("kind", ["priority", "unknown"])
def test_frames_that_mean_nothing_are_passed_over(relay, attack, bystander, kind):
    attacker = attack()
    one = h2_frame(PRIORITY, 0, 3, struct.pack(">IB", 0, 16)) if kind == "priority" else h2_frame(0xBB, 0, 0, b"x")
    before = relay.metric("process_resident_memory_bytes")
    for _ in range(300):
        assert attacker.write(one * 1000)
    bystander()
    attacker.write(h2_frame(PING, 0, 0, b"12345678"))
    eventually(lambda: attacker.read(0.05) or any(f[:2] == (PING, ACK) for f in attacker.frames()), "an answer")
    assert relay.metric("process_resident_memory_bytes") - before < 16 << 20


def test_a_header_bomb_costs_its_sender_the_stream_only(relay, attack, bystander):
    """HPACK's bomb: one large field in the table, then references to it, each a byte long."""
    attacker = attack()
    encoder = Encoder()
    large = encoder.encode([("x-large", "x" * 3900)])
    attacker.write(h2_frame(HEADERS, END_HEADERS, 1, call_headers() + large))
    before = relay.metric("process_resident_memory_bytes")
    # 16,000 references: 62 MiB of headers if one were to keep them.
    for number in range(3, 203, 2):
        if not attacker.write(h2_frame(HEADERS, END_HEADERS, number, call_headers() + b"\xbe" * 16_000)):
            break

    def refused():
        attacker.read(0.2)
        return [f for f in attacker.frames() if f[0] == HEADERS and f[2] >= 3]

    eventually(lambda: attacker.closed or len(refused()) == 100, lambda: f"100 answers; {len(refused())} came")
    assert relay.metric("process_resident_memory_bytes") - before < 32 << 20
    eventually(lambda: relay.metric("weir_downstream_rejected_total", reason="bad_headers")
               + relay.metric("weir_downstream_rejected_total", reason="broken_connection") >= 1, "a count")
    bystander()


def test_more_streams_than_allowed_end_the_connection(relay, attack, bystander):
    relay.configure({"downstream": {"limits": {"max_streams_per_connection": 10}}})
    relay.reload()
    eventually(lambda: "configuration reloaded" in relay.log, "the reload")

    def told_ten():
        """A connection that was made when its worker had the new limit."""
        attacker = attack()
        attacker.read(0.3)
        settings = b"".join(payload for kind, _, _, payload in attacker.frames() if kind == SETTINGS)
        return struct.pack(">HI", 3, 10) in settings and attacker

    attacker = eventually(told_ten, "connections to be told of the limit")
    # Those that are allowed are answered, and the one too many shows that the client does not keep to what it agreed to.
    block = call_headers()
    attacker.write(b"".join(h2_frame(HEADERS, END_HEADERS, 2 * n + 1, block) for n in range(11)))
    ended(relay, attacker, bystander)
