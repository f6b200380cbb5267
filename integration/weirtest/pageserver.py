"""A stand-in for a relay's debug endpoint: the page's real files, and answers that a test decides.

For what a relay shows only after much has happened. Every answer has the shape that docs/debug-endpoint.md says.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from weirtest.weir import ROOT

FILES = ROOT / "Sources" / "CWeirPage" / "files"
KINDS = {"html": "text/html; charset=utf-8", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


class PageServer:
    """`answers`: path → JSON, a function of the query that gives it, or a list of (event, data) to be streamed."""

    def __init__(self, answers):
        self.answers = answers
        self.asked = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outer._get(self)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.stopping = threading.Event()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def stop(self):
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def _get(self, handler):
        parts = urlsplit(handler.path)
        query = dict(parse_qsl(parts.query))
        self.asked.append((parts.path, query))
        if parts.path == "/" or parts.path.startswith("/page/"):
            path = FILES / ("page.html" if parts.path == "/" else parts.path.removeprefix("/page/"))
            return self._send(handler, 200, KINDS[path.suffix[1:]], path.read_bytes())
        answer = self.answers.get(parts.path)
        answer = answer(query) if callable(answer) else answer
        if answer is None:
            return self._send(handler, 404, "application/json", b'{"error": "there is no such path here"}')
        if isinstance(answer, list):
            return self._stream(handler, answer)
        self._send(handler, 200, "application/json", json.dumps(answer).encode())

    def _send(self, handler, status, kind, body):
        handler.send_response(status)
        for name, value in (("Content-Type", kind), ("Content-Length", str(len(body))), ("Cache-Control", "no-store")):
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    def _stream(self, handler, events):
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Connection", "close")
        handler.end_headers()
        for name, data in events:
            handler.wfile.write(f"event: {name}\ndata: {json.dumps(data)}\n\n".encode())
        handler.wfile.flush()
        self.stopping.wait(60)
        handler.close_connection = True
