"""Requests to the debug endpoint with headers of one's own."""

import gzip
import http.client
import json

from weirtest import waiting


class Reply:
    def __init__(self, response):
        self.status, self.headers, self.raw = response.status, response.headers, response.read()

    @property
    def text(self):
        packed = self.headers.get("Content-Encoding") == "gzip"
        return (gzip.decompress(self.raw) if packed else self.raw).decode()

    @property
    def json(self):
        return json.loads(self.text)

    @property
    def error(self):
        """What an error says; checks that it is JSON."""
        assert self.headers["Content-Type"] == "application/json", self.headers
        body = self.json
        assert set(body) == {"error"} and body["error"], body
        return body["error"]


def ask(relay, path, method="GET", timeout=10, **headers):
    """Header names in Python's way: `accept_encoding="gzip"`."""
    connection = http.client.HTTPConnection("127.0.0.1", relay.admin_port, timeout=timeout * waiting.patience)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): text for name, text in headers.items()})
        return Reply(connection.getresponse())
    finally:
        connection.close()
