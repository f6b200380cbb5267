"""A raw HTTP/2 client on h2, for what no well-behaved gRPC library would send."""

import socket
import ssl
import struct
import time
from urllib.parse import unquote

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

from weirtest import waiting


def frame(message, flag=0):
    """gRPC's length-prefixed form of a message."""
    data = message if isinstance(message, bytes) else message.SerializeToString()
    return struct.pack(">BI", flag, len(data)) + data


class RawStream:
    """What has been seen of one stream."""

    def __init__(self):
        self.headers, self.trailers, self.data = None, None, bytearray()
        self.ended, self.reset = False, None

    def header(self, name):
        """A header or trailer's value, or None."""
        for block in (self.headers, self.trailers):
            for key, value in block or []:
                if key == name:
                    return value
        return None

    @property
    def grpc_status(self):
        value = self.header("grpc-status")
        return None if value is None else int(value)

    @property
    def grpc_message(self):
        return unquote(self.header("grpc-message") or "")

    def messages(self):
        """The complete gRPC messages received so far, as bytes."""
        found, at = [], 0
        while at + 5 <= len(self.data):
            _, length = struct.unpack_from(">BI", self.data, at)
            if at + 5 + length > len(self.data):
                break
            found.append(bytes(self.data[at + 5:at + 5 + length]))
            at += 5 + length
        return found


# A graceful GOAWAY lets open streams go on; h2 takes any GOAWAY for the end of the connection.
h2.connection.H2ConnectionStateMachine._transitions[
    (h2.connection.ConnectionState.CLIENT_OPEN, h2.connection.ConnectionInputs.RECV_GOAWAY)
] = (None, h2.connection.ConnectionState.CLIENT_OPEN)


class RawClient:
    """One connection. `auto_window=False` never opens a flow-control window again after the first bytes."""

    def __init__(self, address, tls=None, auto_window=True, initial_window=None):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=5)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")
        self.socket.settimeout(0.05)
        self.auto_window = auto_window
        self.streams = {}
        self.goaways, self.pongs, self.closed = [], [], False
        self.pings = 0
        self.remote_settings = {}
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(
            client_side=True, header_encoding="utf-8", validate_outbound_headers=False,
            normalize_outbound_headers=False))
        if initial_window is not None:
            self.h2.local_settings = h2.settings.Settings(
                client=True, initial_values={h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: initial_window})
        self.h2.initiate_connection()
        self.flush()

    def open(self, path, headers=(), method="POST", content_type="application/grpc"):
        """Sends the request headers of a gRPC call; returns the stream's number."""
        number = self.h2.get_next_available_stream_id()
        block = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "localhost"),
                 ("te", "trailers"), ("content-type", content_type), *headers]
        self.h2.send_headers(number, block)
        self.streams[number] = RawStream()
        self.flush()
        return number

    def send(self, number, data, end=False, chunk=16384):
        """Sends bytes in DATA frames of at most `chunk` bytes, obeying the peer's windows."""
        at = 0
        while at < len(data):
            room = min(self.h2.local_flow_control_window(number), chunk, len(data) - at)
            if room == 0:
                self.pump(0.05)
                if self.closed or self.streams[number].ended or self.streams[number].reset is not None:
                    return
                continue
            self.h2.send_data(number, data[at:at + room])
            at += room
            self.flush()
        if end:
            self.h2.end_stream(number)
            self.flush()

    def flush(self):
        data = self.h2.data_to_send()
        if data:
            try:
                self.socket.sendall(data)
            except (BrokenPipeError, ConnectionResetError):
                self.closed = True

    def pump(self, seconds=0.05):
        """Reads and handles what arrives within `seconds` (at least one read)."""
        deadline = time.monotonic() + seconds
        while not self.closed:
            try:
                data = self.socket.recv(65536)
            except (TimeoutError, ssl.SSLWantReadError):
                data = None
            except ConnectionResetError:
                data = b""
            if data == b"":
                self.closed = True
            elif data:
                for event in self.h2.receive_data(data):
                    self._handle(event)
                self.flush()
            if time.monotonic() >= deadline:
                return

    def _handle(self, event):
        stream = self.streams.get(getattr(event, "stream_id", None))
        if isinstance(event, h2.events.ResponseReceived):
            stream.headers = event.headers
        elif isinstance(event, h2.events.TrailersReceived):
            stream.trailers = event.headers
        elif isinstance(event, h2.events.DataReceived):
            stream.data += event.data
            if self.auto_window:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            stream.ended = True
        elif isinstance(event, h2.events.StreamReset):
            stream.reset = event.error_code
        elif isinstance(event, h2.events.ConnectionTerminated):
            event.messages_before = {number: len(each.messages()) for number, each in self.streams.items()}
            self.goaways.append(event)
        elif isinstance(event, h2.events.PingReceived):
            self.pings += 1
        elif isinstance(event, h2.events.PingAckReceived):
            self.pongs.append(event.ping_data)
        elif isinstance(event, h2.events.RemoteSettingsChanged):
            self.remote_settings.update({k: v.new_value for k, v in event.changed_settings.items()})

    def until(self, condition, what, timeout=10.0):
        """Pumps until `condition` holds."""
        timeout *= waiting.patience
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, f"waited {timeout} s for {what}"
            assert not self.closed or condition(), f"the connection was closed while waiting for {what}"
            self.pump(0.02)

    def wait_end(self, number, timeout=10.0):
        """Waits for the end of a stream by trailers or reset; returns it."""
        stream = self.streams[number]
        self.until(lambda: stream.ended or stream.reset is not None, "the stream's end", timeout)
        return stream

    def wait_messages(self, number, count, timeout=10.0):
        """Waits for `count` complete messages; returns them."""
        stream = self.streams[number]
        self.until(lambda: len(stream.messages()) >= count or stream.ended, f"{count} messages", timeout)
        return stream.messages()

    def wait_closed(self, timeout=10.0):
        """Waits for the server to close the connection."""
        deadline = time.monotonic() + timeout * waiting.patience
        while not self.closed:
            assert time.monotonic() < deadline, "the server did not close the connection"
            self.pump(0.02)

    def close(self):
        self.socket.close()
        self.closed = True


def send_garbage(address, data, timeout=5.0):
    """Opens a TCP connection, sends bytes, and returns what came back until the server closed it."""
    host, port = address.rsplit(":", 1)
    received = bytearray()
    with socket.create_connection((host, int(port)), timeout=timeout) as connection:
        connection.sendall(data)
        try:
            while chunk := connection.recv(4096):
                received += chunk
        except ConnectionResetError:
            pass
    return bytes(received)
