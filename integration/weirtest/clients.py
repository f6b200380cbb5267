"""Scripted xDS clients on grpcio: SotW and delta, ADS and per-type, with every request under the test's hand."""

import asyncio
import threading
import time
from dataclasses import dataclass

import grpc
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf.message import DecodeError
from google.rpc import status_pb2

from weirtest import xds
from weirtest.loop import shared_loop
from weirtest.waiting import eventually

QUIET = 0.3


@dataclass
class Resource:
    """A resource as it was received; `version` is empty in SotW."""

    name: str
    version: str
    body: bytes


@dataclass
class Response:
    """A response of either protocol in one shape."""

    type_url: str
    version: str
    nonce: str
    resources: list
    removed: list
    message: object
    at: float

    @property
    def names(self):
        return sorted(resource.name for resource in self.resources)

    @property
    def bodies(self):
        return {resource.name: resource.body for resource in self.resources}

    @property
    def versions(self):
        return {resource.name: resource.version for resource in self.resources}


class XdsClient:
    """One discovery stream on a connection of its own.

    With `auto_ack` (default) every response is acknowledged as it arrives. Either way the client keeps `state`, the
    model of what it holds, type → name → Resource, and an inbox of unread responses that `expect` takes from.
    `service` is None for ADS, else the type whose own service is used.
    """

    def __init__(self, address, protocol, node=None, service=None, auto_ack=True, credentials=None, options=(),
                 metadata=None):
        self.address, self.protocol, self.service, self.auto_ack = address, protocol, service, auto_ack
        self.node = xds.node() if node is None else node
        self.peers = shared_loop()
        # A response changes state, nonces and inbox together, as seen by the test's thread.
        self.lock = threading.Lock()
        self.state, self.names, self.nonces, self.accepted = {}, {}, {}, {}
        self.given_up, self.legacy_wildcards = {}, set()
        self.inbox, self.history = [], []
        self.ended = None
        self._sent_node = False
        self._call = None
        # gRPC takes one write at a time; acknowledgements and the test's own requests meet here.
        self._writing = asyncio.Lock()
        self.peers.run(self._open(address, credentials, list(options), metadata))

    @property
    def delta(self):
        return self.protocol == "delta"

    # --- Connection.

    async def _open(self, address, credentials, options, metadata):
        options += [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1),
                    ("grpc.max_send_message_length", -1), ("grpc.enable_retries", 0)]
        if credentials:
            self.channel = grpc.aio.secure_channel(address, credentials, options)
        else:
            self.channel = grpc.aio.insecure_channel(address, options)
        self._call = self.channel.stream_stream(xds.path_of(self.protocol, self.service))(metadata=metadata)
        self._reader = asyncio.ensure_future(self._read())

    async def _read(self):
        try:
            while (data := await self._call.read()) is not grpc.aio.EOF:
                await self._receive(data)
        except (grpc.aio.AioRpcError, asyncio.CancelledError):
            pass
        except DecodeError as error:
            self.ended = (grpc.StatusCode.DATA_LOSS, f"the client cannot decode a response: {error}")
            self._call.cancel()
            return
        self.ended = (await self._call.code(), await self._call.details())

    async def _receive(self, data):
        response = self._decode(data)
        with self.lock:
            self._apply(response)
            self.history.append(response)
            self.inbox.append(response)
            self.nonces[response.type_url] = response.nonce
            if self.auto_ack:
                self.accepted[response.type_url] = response.version
        if self.auto_ack:
            await self._write(self._answer(response, None))

    async def _write(self, message):
        try:
            async with self._writing:
                await self._call.write(message if isinstance(message, bytes) else message.SerializeToString())
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError, asyncio.CancelledError):
            pass

    def close(self):
        """Ends the stream and the connection; safe to call twice."""

        async def body():
            self._call.cancel()
            await self._reader
            await self.channel.close()

        self.peers.run(body())

    def half_close(self):
        """Tells the server that no further request comes."""
        self.peers.run(self._call.done_writing())

    def status(self, timeout=10.0):
        """Waits for the stream's end: (status code, message)."""
        return eventually(lambda: self.ended, "the stream to end", timeout)

    # --- Responses.

    def _decode(self, data):
        if self.delta:
            message = discovery_pb2.DeltaDiscoveryResponse.FromString(data)
            resources = [Resource(r.name, r.version, r.resource.value) for r in message.resources]
            return Response(message.type_url, message.system_version_info, message.nonce, resources,
                            list(message.removed_resources), message, time.monotonic())
        message = discovery_pb2.DiscoveryResponse.FromString(data)
        resources = [self._unwrapped(message.type_url, each) for each in message.resources]
        return Response(message.type_url, message.version_info, message.nonce, resources, [], message,
                        time.monotonic())

    @staticmethod
    def _unwrapped(type_url, any_message):
        """An entry of SotW; one in the wrapper has its name there."""
        if any_message.type_url != xds.PREFIX + "envoy.service.discovery.v3.Resource":
            return Resource(xds.name_of(type_url, any_message.value), "", any_message.value)
        inner = discovery_pb2.Resource.FromString(any_message.value)
        return Resource(inner.name, "", inner.resource.value)

    def _apply(self, response):
        held = self.state.setdefault(response.type_url, {})
        info = xds.TYPES.get(response.type_url)
        if not self.delta and (info is None or info.full_set):
            held.clear()
        for name in response.removed:
            held.pop(name, None)
        for resource in response.resources:
            if self._wants(response.type_url, resource.name):
                held[resource.name] = resource

    def _wants(self, type_url, name):
        """False for what was given up: a response that crossed the request is ignored, as real clients do."""
        if name not in self.given_up.get(type_url, ()):
            return True
        return type_url in self.legacy_wildcards or "*" in self.names[type_url]

    # --- Requests.

    def _message(self, type_url):
        kind = discovery_pb2.DeltaDiscoveryRequest if self.delta else discovery_pb2.DiscoveryRequest
        message = kind(type_url=type_url)
        if not self._sent_node:
            message.node.CopyFrom(self.node)
            self._sent_node = True
        return message

    def _answer(self, response, error):
        message = self._message(response.type_url)
        message.response_nonce = response.nonce
        if error is not None:
            message.error_detail.CopyFrom(status_pb2.Status(code=grpc.StatusCode.INTERNAL.value[0], message=error))
        if not self.delta:
            message.version_info = self.accepted.get(response.type_url, "")
            message.resource_names.extend(sorted(self.names.get(response.type_url, ())))
        return message

    def send(self, message):
        """Sends a request message (or bytes) exactly as it is."""
        self.peers.run(self._write(message))

    def request(self, type_url, **fields):
        """Sends a request made of `fields`; the node is added when it is the stream's first."""
        message = self._message(type_url)
        for name, value in fields.items():
            if isinstance(value, (list, tuple)):
                getattr(message, name).extend(value)
            elif isinstance(value, dict):
                getattr(message, name).update(value)
            elif isinstance(value, (str, int)):
                setattr(message, name, value)
            else:
                getattr(message, name).CopyFrom(value)
        self.send(message)

    def subscribe(self, type_url, *names, versions=None):
        """Adds names to the type's subscription; without names on a fresh type: the (legacy) wildcard.

        `versions` (delta): the initial_resource_versions of a first request.
        """
        with self.lock:
            if type_url not in self.names and not names:
                self.legacy_wildcards.add(type_url)
            elif names and not self.delta:
                self.legacy_wildcards.discard(type_url)
            self.names.setdefault(type_url, set()).update(names)
            self.given_up.setdefault(type_url, set()).difference_update(names)
        if self.delta:
            self.request(type_url, resource_names_subscribe=sorted(names), initial_resource_versions=versions or {})
        else:
            self._list(type_url)

    def unsubscribe(self, type_url, *names):
        """Drops names from the subscription, and from what the client holds as a real client does."""
        with self.lock:
            self.names.setdefault(type_url, set()).difference_update(names)
            self.given_up.setdefault(type_url, set()).update(names)
            if "*" in names:
                self.legacy_wildcards.discard(type_url)
            for name in names:
                self.state.get(type_url, {}).pop(name, None)
        if self.delta:
            self.request(type_url, resource_names_unsubscribe=sorted(names))
        else:
            self._list(type_url)

    def _list(self, type_url):
        self.request(
            type_url, resource_names=sorted(self.names[type_url]), response_nonce=self.nonces.get(type_url, ""),
            version_info=self.accepted.get(type_url, ""))

    def ack(self, response):
        self.accepted[response.type_url] = response.version
        self.send(self._answer(response, None))

    def nack(self, response, error="rejected by the test"):
        self.send(self._answer(response, error))

    # --- Assertions.

    def expect(self, type_url=None, timeout=10.0):
        """Takes the oldest unread response (of a type), waiting for it."""

        def take():
            with self.lock:
                for response in self.inbox:
                    if type_url in (None, response.type_url):
                        self.inbox.remove(response)
                        return response
            assert self.ended is None, f"the stream ended with {self.ended}"
            return None

        return eventually(take, f"a {xds.SHORT.get(type_url, type_url)} response ({self.protocol})", timeout)

    def drain(self):
        """Takes all unread responses."""
        with self.lock:
            taken, self.inbox = self.inbox, []
        return taken

    def settle(self, seconds=QUIET):
        """Gives the server time to answer what it may or may not answer; takes and returns all unread responses."""
        time.sleep(seconds)
        assert self.ended is None, f"the stream ended with {self.ended}"
        return self.drain()

    def quiet(self, seconds=QUIET):
        """Nothing unread now, and nothing arrives for `seconds`; the stream stays open."""
        time.sleep(seconds)
        assert self.ended is None, f"the stream ended with {self.ended}"
        assert not self.inbox, f"unexpected: {[summary(r) for r in self.inbox]}"

    def held(self, type_url):
        """name → resource bytes of what the client now holds."""
        with self.lock:
            return {name: resource.body for name, resource in self.state.get(type_url, {}).items()}

    def versions(self, type_url):
        """name → version of what the client now holds (delta)."""
        with self.lock:
            return {name: resource.version for name, resource in self.state.get(type_url, {}).items()}

    def converge(self, type_url, expected, timeout=10.0):
        """Waits until the client holds exactly `expected` (name → bytes) and takes the responses read until then."""
        eventually(
            lambda: self.held(type_url) == expected,
            lambda: f"{xds.SHORT.get(type_url, type_url)} {sorted(expected)} ({self.protocol}); "
            f"held {sorted(self.held(type_url))}, stream {self.ended or 'open'}", timeout)
        return self.drain()


def summary(response):
    """A response in one line, for messages of failed assertions."""
    return (f"{xds.SHORT.get(response.type_url, response.type_url)} version={response.version!r} "
            f"nonce={response.nonce!r} +{response.names} -{response.removed}")


def follow(relay, connect, protocol, expected, count=1, **options):
    """So many clients with the wildcard of clusters, that hold what is expected."""
    made = [connect(relay, protocol, node=xds.node(f"n{i}"), **options) for i in range(count)]
    for client in made:
        client.subscribe(xds.CDS)
    for client in made:
        client.converge(xds.CDS, expected, timeout=30)
    return made


def quiet(*clients, seconds=QUIET):
    """`XdsClient.quiet` for several clients at once."""
    time.sleep(seconds)
    for client in clients:
        client.quiet(0)
