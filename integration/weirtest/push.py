"""Snapshots put over HTTP: their two forms, and a relay with one who puts them."""

import json
from urllib.parse import quote

import httpx
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf import json_format

from weirtest import xds
from weirtest.ports import free_port

TOKEN = "5f0c1d27"
ROOT = "/v1/snapshots"


def as_json(*messages, version=None):
    """A snapshot in Protobuf's JSON form."""
    body = {"resources": [
        {"@type": xds.PREFIX + message.DESCRIPTOR.full_name,
         **json_format.MessageToDict(message, preserving_proto_field_name=True)} for message in messages]}
    return {"version_info": version, **body} if version else body


def as_protobuf(*messages, version=""):
    response = discovery_pb2.DiscoveryResponse(version_info=version)
    for message in messages:
        response.resources.append(xds.pack(message))
    return response.SerializeToString()


class Push:
    """A relay that takes snapshots, and one who puts them."""

    def __init__(self, new_weir, folder, http=None, **config):
        self.tokens = folder / "tokens"
        self.tokens.write_text(f"# who may\nback-end {TOKEN}\n")
        self.port = free_port()
        fields = {"address": f"127.0.0.1:{self.port}", "token_file": "tokens", **(http or {})}
        self.scheme = "https" if "tls" in fields else "http"
        self.relay = new_weir(
            {"upstreams": {"registry": {"http": fields, "cold_timeout": "300ms"}}, **config})
        self.client = self.caller()

    def caller(self, token=TOKEN, **options):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=f"{self.scheme}://127.0.0.1:{self.port}", headers=headers, timeout=20,
                            trust_env=False, **options)

    @staticmethod
    def path(key=None, type=None):
        return "/".join([ROOT, *(quote(part, safe="") for part in (key, type) if part is not None)])

    def put(self, key, *messages, type=None, version=None, headers=None, query=""):
        return self.client.put(self.path(key, type) + query, json=as_json(*messages, version=version), headers=headers)

    def send(self, key, body, type=None, kind="application/json", query="", headers=None):
        """Any body."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.client.put(self.path(key, type) + query, content=content,
                               headers={"Content-Type": kind, **(headers or {})})

    def get(self, key=None, type=None, **headers):
        return self.client.get(self.path(key, type), headers=headers)

    def delete(self, key, type=None, query="", **headers):
        return self.client.delete(self.path(key, type) + query, headers=headers)
