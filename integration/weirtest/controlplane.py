"""A control plane whose every move a test decides, and which remembers everything it was told.

It serves ADS and the per-type services, SotW and delta, over grpc.aio in the suite's loop. What it serves is a *world*
per key; `key_of` maps a node to its key (default: one world for all).
"""

import asyncio
import contextlib
import itertools
import threading
import time
from dataclasses import dataclass, field

import grpc
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf import any_pb2

from weirtest import xds
from weirtest.loop import shared_loop
from weirtest.ports import free_port
from weirtest.waiting import eventually

#: The order in which a change of several types goes out (conformance ORD-01).
PUSH_ORDER = [xds.CDS, xds.EDS, xds.LDS, xds.SRDS, xds.RDS, xds.SDS, xds.ECDS, xds.RTDS]


@dataclass
class Entry:
    """One resource of a world; `serial` changes whenever it has to be sent again."""

    version: str
    body: any_pb2.Any
    serial: int
    in_wildcard: bool = True


@dataclass
class TypeState:
    version: str = "0"
    entries: dict = field(default_factory=dict)


@dataclass
class Request:
    """One request as it arrived. `kind`: `first` (of its type on the stream), `ack`, `nack` or `update`."""

    stream: "Stream"
    type_url: str
    kind: str
    message: object
    at: float

    @property
    def names(self):
        """The names that it lists: all wanted (SotW) or newly wanted (delta)."""
        if self.stream.protocol == "sotw":
            return list(self.message.resource_names)
        return list(self.message.resource_names_subscribe)


class Subscription:
    """What one stream asked of one type, and what it was sent."""

    def __init__(self):
        self.names = set()
        self.legacy_wildcard = False
        self.explicit = False
        self.nonce = ""
        self.acked_nonce = ""
        self.sent = {}
        self.sent_version = None
        self.missing = set()

    @property
    def wildcard(self):
        return self.legacy_wildcard or "*" in self.names

    def covers(self, name, entry):
        return name in self.names or (self.wildcard and entry.in_wildcard)


class Stream:
    """One discovery stream that the relay (or a client under direct test) opened."""

    def __init__(self, plane, number, path, protocol, type_url, peer):
        self.plane, self.number, self.path, self.protocol, self.type_url = plane, number, path, protocol, type_url
        self.peer = peer
        self.node = None
        self.key = None
        self.open = True
        self.requests = []
        self.subscriptions = {}
        self.sent = []
        self.outbox = asyncio.Queue()

    def interest(self, type_url):
        """The names now subscribed; `*` stands for the wildcard."""
        subscription = self.subscriptions.get(type_url)
        if subscription is None:
            return set()
        return set(subscription.names) | ({"*"} if subscription.wildcard else set())

    # --- Requests, in the loop's thread.

    def receive(self, data):
        kind = discovery_pb2.DiscoveryRequest if self.protocol == "sotw" else discovery_pb2.DeltaDiscoveryRequest
        message = kind.FromString(data)
        type_url = message.type_url or self.type_url or ""
        if self.node is None:
            self.node = message.node
            self.key = self.plane.key_of(message.node)
        first = type_url not in self.subscriptions
        subscription = self.subscriptions.setdefault(type_url, Subscription())
        what = self._classify(message, subscription, first)
        self.requests.append(Request(self, type_url, what, message, time.monotonic()))
        if self.protocol == "sotw":
            self._receive_sotw(message, type_url, subscription, first)
        else:
            self._receive_delta(message, type_url, subscription, first)

    @staticmethod
    def _classify(message, subscription, first):
        if first:
            return "first"
        if message.HasField("error_detail"):
            return "nack"
        if not message.response_nonce or message.response_nonce == subscription.acked_nonce:
            return "update"
        subscription.acked_nonce = message.response_nonce
        return "ack"

    def _receive_sotw(self, message, type_url, subscription, first):
        if not first and message.response_nonce not in ("", subscription.nonce):
            return
        wanted = set(message.resource_names)
        subscription.explicit = subscription.explicit or bool(wanted)
        subscription.legacy_wildcard = not subscription.explicit and self.plane.empty_is_wildcard(type_url)
        added = wanted - subscription.names
        for name in subscription.names - wanted:
            subscription.sent.pop(name, None)
        subscription.names = wanted
        self.offer(type_url, again=added, first=first)

    def _receive_delta(self, message, type_url, subscription, first):
        added, dropped = set(message.resource_names_subscribe), set(message.resource_names_unsubscribe)
        if first:
            subscription.legacy_wildcard = not added and self.plane.empty_is_wildcard(type_url)
            if self.plane.honour_initial_versions:
                subscription.sent = {name: version for name, version in message.initial_resource_versions.items()}
        subscription.names = (subscription.names | added) - dropped
        if "*" in dropped:
            subscription.legacy_wildcard = False
        again = set() if first else added | (dropped if subscription.wildcard else set())
        if first:
            again = {name for name in added if name not in subscription.sent}
        for name in dropped:
            if not subscription.wildcard:
                subscription.sent.pop(name, None)
        self.offer(type_url, again=again, first=first)

    # --- Responses.

    def offer(self, type_url, again=(), first=False):
        """Sends what the subscription is owed; the names in `again` whether or not they changed."""
        subscription = self.subscriptions.get(type_url)
        if subscription is None or type_url in self.plane.silent:
            return
        with self.plane.lock:
            state = self.plane.world(self.key).get(type_url)
            if state is None:
                return
            if self.protocol == "sotw":
                response = self._sotw_response(type_url, state, subscription, set(again), first)
            else:
                response = self._delta_response(type_url, state, subscription, set(again), first)
        if response is None:
            return
        self.send(response)
        if type_url == xds.CDS and self.plane.resend_endpoints and xds.EDS in self.subscriptions:
            names = self._sent_names(response) & self.subscriptions[xds.EDS].names
            if names:
                self.offer(xds.EDS, again=names)

    def _sent_names(self, response):
        if self.protocol == "delta":
            return {resource.name for resource in response.resources}
        return {xds.name_of(response.type_url, body.value) for body in response.resources}

    def _sotw_response(self, type_url, state, subscription, again, first):
        covered = {n: e for n, e in state.entries.items() if subscription.covers(n, e)}
        if not subscription.names and not subscription.wildcard:
            return None
        changed = {n for n, e in covered.items() if n in again or subscription.sent.get(n) != e.serial}
        if xds.TYPES.get(type_url) is None or xds.TYPES[type_url].full_set:
            known = {n: e.serial for n, e in covered.items()}
            if known == subscription.sent and state.version == subscription.sent_version and not again and not first:
                return None
            chosen, subscription.sent = covered, known
        else:
            if not changed:
                return None
            chosen = {n: covered[n] for n in covered if n in changed}
            subscription.sent.update({n: e.serial for n, e in chosen.items()})
        subscription.sent_version = state.version
        subscription.nonce = self.plane.next_nonce()
        return discovery_pb2.DiscoveryResponse(
            version_info=state.version, type_url=type_url, nonce=subscription.nonce,
            resources=[e.body for e in chosen.values()])

    def _delta_response(self, type_url, state, subscription, again, first):
        covered = {n: e for n, e in state.entries.items() if subscription.covers(n, e)}
        owed = {
            n: e for n, e in covered.items()
            if n in again or "*" in again or subscription.sent.get(n) not in (e.serial, e.version)
        }
        removed = {n for n in subscription.sent if n not in covered}
        removed |= {n for n in again if n != "*" and n not in covered and (n in subscription.names or
                                                                           subscription.wildcard)}
        absent = {n for n in subscription.names if n != "*" and n not in state.entries}
        removed |= absent - subscription.missing
        subscription.missing = absent
        if not owed and not removed and not (first and subscription.wildcard):
            return None
        for name in removed:
            subscription.sent.pop(name, None)
        subscription.sent.update({n: e.serial for n, e in covered.items()})
        subscription.nonce = self.plane.next_nonce()
        return discovery_pb2.DeltaDiscoveryResponse(
            system_version_info=state.version, type_url=type_url, nonce=subscription.nonce,
            resources=[self._wrap(n, e) for n, e in owed.items()],
            removed_resources=sorted(removed))

    def _wrap(self, name, entry):
        wrapped = discovery_pb2.Resource(name=name, version=entry.version, resource=entry.body)
        if name in self.plane.do_not_cache:
            wrapped.cache_control.do_not_cache = True
        return wrapped

    def send(self, response):
        """Queues a response message (or raw bytes) as it is."""
        self.sent.append(response)
        data = response if isinstance(response, bytes) else response.SerializeToString()
        self.outbox.put_nowait(data)

    def close(self, code, message):
        """Queues the end of the stream."""
        self.outbox.put_nowait((code, message))


class ControlPlane(grpc.GenericRpcHandler):
    """The scriptable server. All methods without underscore may be called from the test's thread."""

    def __init__(self, protocols=("sotw", "delta"), credentials=None, max_streams=None, port=None, options=()):
        self.protocols = set(protocols)
        self.options = list(options)
        self.credentials = credentials
        self.max_streams = max_streams
        self.port = port or free_port()
        self.peers = shared_loop()
        self.lock = threading.RLock()
        self.worlds = {}
        self.key_of = lambda node: ""
        self.honour_initial_versions = True
        #: Send endpoints again after their cluster changed, as Envoy needs (ORD-05). Off: leave that to the relay.
        self.resend_endpoints = False
        self.silent = set()
        #: Names that go out as not to be cached (delta).
        self.do_not_cache = set()
        self.refuse = None
        self.streams = []
        #: Generic handlers of further services, to be set before `start`.
        self.handlers = []
        self.server = None
        self._gate = None
        self._nonces = itertools.count(1)
        self._serials = itertools.count(1)
        self._versions = itertools.count(1)
        self._batch = None
        self._paths = xds.all_paths()

    # --- Life.

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def start(self):
        """Listens on the plane's port; again after `stop`."""

        async def body():
            if self._gate is None:
                self._gate = asyncio.Event()
                self._gate.set()
            options = [("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", -1),
                       ("grpc.max_send_message_length", -1), ("grpc.http2.max_pings_without_data", 0),
                       ("grpc.keepalive_permit_without_calls", 1),
                       ("grpc.http2.min_ping_interval_without_data_ms", 100), *self.options]
            if self.max_streams:
                options.append(("grpc.max_concurrent_streams", self.max_streams))
            # What a test says of an option stands for what is said above.
            server = grpc.aio.server(options=list(dict(options).items()))
            server.add_generic_rpc_handlers((self, *self.handlers))
            if self.credentials:
                server.add_secure_port(self.address, self.credentials)
            else:
                server.add_insecure_port(self.address)
            await server.start()
            return server

        self.server = self.peers.run(body())
        return self

    def stop(self):
        """Cuts every connection and stops listening."""
        if self.server is None:
            return
        self.peers.run(self.server.stop(None))
        self.server = None
        eventually(lambda: not self.open_streams(), "the control plane's streams to end")

    def leave(self, grace):
        """Takes no connections and no streams any more (GOAWAY); open streams may go on for `grace` seconds."""
        server, self.server = self.server, None
        self.peers.call(lambda: asyncio.ensure_future(server.stop(grace)))

    def restart(self):
        self.stop()
        return self.start()

    def pause(self):
        """Holds all responses back, as a control plane that hangs."""
        self.peers.call(self._gate.clear)

    def resume(self):
        self.peers.call(self._gate.set)

    # --- The world.

    def world(self, key):
        return self.worlds.setdefault(key, {})

    def next_nonce(self):
        return f"u{next(self._nonces)}"

    def empty_is_wildcard(self, type_url):
        info = xds.TYPES.get(type_url)
        return info is None or info.wildcard

    @contextlib.contextmanager
    def atomic(self):
        """Changes inside become visible together and go out in ORD-01's order."""
        with self.lock:
            self._batch = []
            try:
                yield
            finally:
                touched, self._batch = self._batch, None
        self._flush(touched)

    @contextlib.contextmanager
    def forgetting(self):
        """Changes inside are known to streams that open later; those that are open hear of them by `tell` only."""
        with self.lock:
            self._batch = []
            try:
                yield
            finally:
                self._batch = None

    def tell(self, *types, key=""):
        """Pushes what was forgotten."""
        self._flush([(type_url, key) for type_url in types])

    def set(self, type_url, resources, version=None, key="", named_only=(), versions=None):
        """Makes `resources` the whole content of the type. `named_only`: names the wildcard does not cover."""
        with self.lock:
            state = self.world(key).setdefault(type_url, TypeState())
            names = {self._name(type_url, resource) for resource in resources}
            gone = [name for name in state.entries if name not in names]
        self.update(type_url, resources, remove=gone, version=version, key=key, named_only=named_only,
                    versions=versions)

    def update(self, type_url, resources=(), remove=(), version=None, key="", named_only=(), versions=None,
               force=False):
        """Adds, changes and removes; resources that stay byte-equal are sent again only with `force`."""
        with self.lock:
            state = self.world(key).setdefault(type_url, TypeState())
            state.version = version or f"{xds.SHORT.get(type_url, 'x')}-{next(self._versions)}"
            for name in remove:
                state.entries.pop(name, None)
            for resource in resources:
                body = resource if isinstance(resource, any_pb2.Any) else xds.pack(resource)
                name = self._name(type_url, resource)
                old = state.entries.get(name)
                wanted = (versions or {}).get(name)
                if old is not None and old.body == body and not force and wanted in (None, old.version):
                    continue
                state.entries[name] = Entry(
                    wanted or state.version, body, next(self._serials),
                    name not in named_only if old is None else old.in_wildcard)
        self._touch(type_url, key)

    def remove(self, type_url, *names, version=None, key=""):
        self.update(type_url, remove=names, version=version, key=key)

    def expected(self, type_url, key="", names=None):
        """What a client must end up with: name → resource bytes (the wildcard's, or those of `names`)."""
        with self.lock:
            entries = self.world(key).get(type_url, TypeState()).entries
            return {
                n: e.body.value for n, e in entries.items() if (e.in_wildcard if names is None else n in names)
            }

    def version(self, type_url, key=""):
        return self.world(key)[type_url].version

    def resource_version(self, type_url, name, key=""):
        return self.world(key)[type_url].entries[name].version

    @staticmethod
    def _name(type_url, resource):
        if isinstance(resource, any_pb2.Any):
            return xds.name_of(type_url, resource.value)
        return getattr(resource, xds.TYPES[type_url].name_field)

    def _touch(self, type_url, key):
        # Never under the lock: the loop takes it while it builds the responses that this waits for.
        if self._batch is not None:
            self._batch.append((type_url, key))
        else:
            self._flush([(type_url, key)])

    def _flush(self, touched):
        order = {url: i for i, url in enumerate(PUSH_ORDER)}
        distinct = sorted(set(touched), key=lambda pair: order.get(pair[0], len(order)))

        def body():
            for stream in self.open_streams():
                for type_url, key in distinct:
                    if stream.key == key:
                        stream.offer(type_url)

        self.peers.call(body)

    # --- Hand-made responses and faults.

    def push_raw(self, response, stream=None):
        """Sends a response message or raw bytes on `stream` (default: every open stream), unchanged."""

        def body():
            for each in [stream] if stream else self.open_streams():
                each.send(response)

        self.peers.call(body)

    def close_streams(self, code=grpc.StatusCode.UNAVAILABLE, message="closed by the test"):
        """Ends every open stream with a status."""

        def body():
            for stream in self.open_streams():
                stream.close(code, message)

        self.peers.call(body)

    # --- What was seen.

    def open_streams(self):
        return [stream for stream in list(self.streams) if stream.open]

    def requests(self, type_url=None, kind=None):
        """Every request so far, in order of arrival, filtered."""
        found = [request for stream in list(self.streams) for request in list(stream.requests)]
        found.sort(key=lambda request: request.at)
        return [
            r for r in found if (type_url is None or r.type_url == type_url) and (kind is None or r.kind == kind)
        ]

    def nacks(self, type_url=None):
        return self.requests(type_url, "nack")

    def interest(self, type_url, key=""):
        """The union of what the open streams of a key subscribe to."""
        return set().union(*(s.interest(type_url) for s in self.open_streams() if s.key == key))

    def stream(self, key=""):
        """The one open stream of a key."""
        found = eventually(lambda: [s for s in self.open_streams() if s.key == key], f"a stream of key {key!r}")
        assert len(found) == 1, f"{len(found)} streams of key {key!r}"
        return found[0]

    # --- gRPC.

    def service(self, details):
        found = self._paths.get(details.method)
        if found is None or found[0] not in self.protocols:
            return None
        protocol, type_url = found

        async def serve(requests, context):
            await self._serve(requests, context, details.method, protocol, type_url)

        return grpc.stream_stream_rpc_method_handler(serve)

    async def _serve(self, requests, context, path, protocol, type_url):
        if self.refuse:
            await context.abort(*self.refuse)
        stream = Stream(self, len(self.streams), path, protocol, type_url, context.peer())
        self.streams.append(stream)
        reader = asyncio.ensure_future(self._read(stream, requests))
        try:
            await context.send_initial_metadata(())
            while True:
                item = await stream.outbox.get()
                if item is None:
                    return
                await self._gate.wait()
                if isinstance(item, tuple):
                    stream.open = False
                    await context.abort(*item)
                await context.write(item)
        finally:
            stream.open = False
            reader.cancel()

    @staticmethod
    async def _read(stream, requests):
        try:
            async for data in requests:
                stream.receive(data)
        finally:
            stream.outbox.put_nowait(None)
