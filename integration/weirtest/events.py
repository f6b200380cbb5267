"""A listener to the relay's live events (server-sent events over HTTP/1.1)."""

import http.client
import json
import socket
import threading
from dataclasses import dataclass

from weirtest.waiting import eventually


@dataclass
class Event:
    kind: str
    data: dict


class Listener:
    """Reads events in a thread of its own, until it is closed or the stream ends."""

    def __init__(self, relay, query="", headers=None, context=None, reads=True, receive_buffer=None):
        host, port = relay.admin.rsplit(":", 1)
        if context is None:
            self.connection = http.client.HTTPConnection(host, int(port), timeout=30)
        else:
            self.connection = http.client.HTTPSConnection(host, int(port), timeout=30, context=context)
        if receive_buffer:
            # Before it connects, so that it counts from the first segment on.
            plain = socket.socket()
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            plain.settimeout(30)
            plain.connect((host, int(port)))
            self.connection.sock = plain
        self.connection.request("GET", "/events" + query, headers=headers or {})
        self.response = self.connection.getresponse()
        self.status, self.kind = self.response.status, self.response.headers.get("Content-Type", "")
        self.events, self.comments, self.ended = [], 0, None
        self.body = self.response.read().decode() if self.status != 200 else ""
        self.thread = None
        if self.status == 200:
            # The first line says that the relay has taken notice.
            self._line()
            if reads:
                self.read()

    def read(self):
        """Begins to read."""
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _line(self):
        line = self.response.readline()
        if line.startswith(b":"):
            self.comments += 1
        return line

    def _read(self):
        kind = ""
        try:
            while line := self._line():
                if line.startswith(b"event: "):
                    kind = line[7:].strip().decode()
                elif line.startswith(b"data: "):
                    self.events.append(Event(kind, json.loads(line[6:])))
            self.ended = "end"
        except (OSError, http.client.HTTPException, ValueError, AttributeError) as error:
            # The last: the connection was closed under its hands.
            self.ended = f"{type(error).__name__}: {error}"

    def of(self, kind, **fields):
        """Events of a kind so far whose data has these fields."""
        return [
            e for e in list(self.events)
            if e.kind == kind and all(e.data.get(name) == value for name, value in fields.items())
        ]

    def wait(self, kind, **fields):
        """The first such event, once there is one."""
        return eventually(
            lambda: self.of(kind, **fields), lambda: f"{kind} {fields}; there are {self.events[-20:]}")[0].data

    def close(self):
        try:
            if self.connection.sock:
                self.connection.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.response.close()
        self.connection.close()
