"""A TCP forwarder between two peers that counts what goes through."""

import asyncio

from weirtest.loop import LoopServer


class Tap(LoopServer):
    """Forwards connections to `address` and counts the bytes each way; `stop` cuts them."""

    def __init__(self, address):
        self.host, port = address.rsplit(":", 1)
        self.target = int(port)
        self.from_client, self.from_server = 0, 0
        self.holes = set()
        super().__init__()

    def stop_accepting(self):
        """Refuses new connections; those there are go on."""
        self.peers.call(self.server.close)

    def black_hole(self):
        """From now on nothing passes on the connections there are; they stay open. New ones are forwarded."""
        self.peers.call(lambda: self.holes.update(self.tasks))

    async def _serve(self, reader, writer):
        task = asyncio.current_task()
        far_reader, far_writer = await asyncio.open_connection(self.host, self.target)
        try:
            await asyncio.gather(self._pump(reader, far_writer, "from_client", task),
                                 self._pump(far_reader, writer, "from_server", task))
        finally:
            far_writer.close()

    async def _pump(self, reader, writer, counter, task):
        while data := await reader.read(65536):
            if task in self.holes:
                continue
            setattr(self, counter, getattr(self, counter) + len(data))
            writer.write(data)
            await writer.drain()
        writer.close()
