"""A TCP forwarder that can be told to be a bad network."""

import asyncio
import socket
import struct

from weirtest.loop import shared_loop

SLOW_BYTES, SLOW_PAUSE = 200, 0.02


class FaultProxy:
    """Forwards to `address` until told otherwise; what is told holds for all connections, old and new.

    `hole` swallows whatever comes, and a connection that lost something stays a hole for good; `freeze` holds everything
    back and loses nothing; `slow` trickles; `refuse` closes what connects; `normal` forwards.
    """

    MANNERS = ("normal", "hole", "freeze", "slow", "refuse")

    def __init__(self, address):
        self.host, port = address.rsplit(":", 1)
        self.target = int(port)
        self.manner = "normal"
        self.connections = {}
        self.peers = shared_loop()
        self.thawed = self.peers.call(asyncio.Event)
        self.peers.call(self.thawed.set)
        self.server = self.peers.run(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    def stop(self):
        def body():
            self.server.close()
            self._cut(reset=False)

        self.peers.call(body)

    def be(self, manner):
        assert manner in self.MANNERS, manner

        def body():
            self.manner = manner
            if manner == "freeze":
                self.thawed.clear()
            else:
                self.thawed.set()
            if manner == "refuse":
                self._cut(reset=True)

        self.peers.call(body)

    def cut(self, reset=True):
        """Ends every connection on both sides, by RST or by FIN."""
        self.peers.call(lambda: self._cut(reset))

    def inject(self, data, towards):
        """Puts bytes of its own into every connection, `towards` the `client` or the `server`."""

        def body():
            for client, server in list(self.connections.values()):
                writer = client if towards == "client" else server
                if writer is not None:
                    writer.write(data)

        self.peers.call(body)

    def _cut(self, reset):
        for task, writers in list(self.connections.items()):
            for writer in filter(None, writers):
                if reset:
                    raw = writer.get_extra_info("socket")
                    if raw is not None:
                        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.close()
            task.cancel()

    async def _serve(self, reader, writer):
        task = asyncio.current_task()
        if self.manner == "refuse":
            writer.close()
            return
        self.connections[task] = (writer, None)
        far = None
        try:
            if self.manner == "hole":
                while await reader.read(65536):
                    pass
                return
            await self.thawed.wait()
            far_reader, far = await asyncio.open_connection(self.host, self.target)
            self.connections[task] = (writer, far)
            lost = []
            await asyncio.gather(self._pump(reader, far, lost), self._pump(far_reader, writer, lost))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self.connections.pop(task, None)
            for each in filter(None, (writer, far)):
                each.close()

    async def _pump(self, reader, writer, lost):
        while data := await reader.read(65536):
            if self.manner == "hole" or lost:
                lost.append(True)
                continue
            await self.thawed.wait()
            while self.manner == "slow" and data:
                writer.write(data[:SLOW_BYTES])
                data = data[SLOW_BYTES:]
                await asyncio.sleep(SLOW_PAUSE)
            writer.write(data)
            await writer.drain()
        if not lost:
            writer.close()
