"""A scripted load reporting service for the control plane: remembers every byte, answers when the test says."""

import asyncio

import grpc
from envoy.service.load_stats.v3 import lrs_pb2

from weirtest.loop import shared_loop
from weirtest.waiting import eventually

PATH = "/envoy.service.load_stats.v3.LoadReportingService/StreamLoadStats"


class LoadStream:
    """One client's stream."""

    def __init__(self, peer):
        self.peer, self.received, self.outbox = peer, [], asyncio.Queue()
        self.half_closed, self.open = False, True

    @property
    def messages(self):
        return [lrs_pb2.LoadStatsRequest.FromString(data) for data in list(self.received)]

    @property
    def node(self):
        return self.messages[0].node if self.received else None

    def send(self, response):
        """Queues a response message, or raw bytes."""
        data = response if isinstance(response, bytes) else response.SerializeToString()
        shared_loop().call(lambda: self.outbox.put_nowait(data))

    def end(self, code=grpc.StatusCode.OK, message=""):
        """Queues the end of the stream."""
        shared_loop().call(lambda: self.outbox.put_nowait((code, message)))

    def wait(self, count, timeout=10.0):
        """Waits for `count` messages; returns them as bytes."""
        eventually(lambda: len(self.received) >= count, lambda: f"{count} load reports, got {len(self.received)}",
                   timeout)
        return list(self.received)


class LoadReporting(grpc.GenericRpcHandler):
    """To be put among a control plane's `handlers` before it starts."""

    def __init__(self):
        self.streams = []
        #: Stops reading the clients' messages, as a server that hangs.
        self.is_reading = True

    def service(self, details):
        return grpc.stream_stream_rpc_method_handler(self._serve) if details.method == PATH else None

    def stream(self, node_id=None, timeout=20.0):
        """Waits for the newest open stream (of a node)."""

        def find():
            found = [s for s in list(self.streams) if s.open and s.received]
            return next((s for s in reversed(found) if node_id in (None, s.node.id)), None)

        return eventually(find, f"a load report stream of {node_id or 'any node'}", timeout)

    async def _serve(self, requests, context):
        stream = LoadStream(context.peer())
        self.streams.append(stream)
        reader = asyncio.ensure_future(self._read(stream, requests))
        try:
            while True:
                item = await stream.outbox.get()
                if isinstance(item, tuple):
                    if item[0] is grpc.StatusCode.OK:
                        return
                    await context.abort(*item)
                await context.write(item)
        finally:
            stream.open = False
            reader.cancel()

    async def _read(self, stream, requests):
        async for data in requests:
            stream.received.append(data)
            while not self.is_reading:
                await asyncio.sleep(0.02)
        stream.half_closed = True
