"""One asyncio loop in a thread of its own, in which every scripted peer of the suite lives; and servers in it."""

import asyncio
import threading


class LoopThread:
    """Runs coroutines and plain functions in the loop, from any other thread."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._main, name="peers", daemon=True)
        self.thread.start()

    def _main(self):
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def run(self, coroutine, timeout=20.0):
        """Runs a coroutine in the loop and returns its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout)

    def call(self, function, *arguments):
        """Runs a plain function in the loop and returns its result."""

        async def body():
            return function(*arguments)

        return self.run(body())

    def post(self, function, *arguments):
        """Runs a plain function in the loop soon, without waiting for it."""
        self.loop.call_soon_threadsafe(function, *arguments)


_shared = None


def shared_loop():
    """The loop of this process, started on first use."""
    global _shared
    if _shared is None:
        _shared = LoopThread()
    return _shared


class LoopServer:
    """A TCP server of the shared loop on a free port of loopback; who inherits says in `_serve` what becomes of a
    connection. `stop` cuts them."""

    def __init__(self):
        self.peers, self.tasks = shared_loop(), set()
        self.server = self.peers.run(asyncio.start_server(self._serve_task, "127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    def stop(self):
        def body():
            self.server.close()
            for task in self.tasks:
                task.cancel()

        self.peers.call(body)

    async def _serve_task(self, reader, writer):
        task = asyncio.current_task()
        self.tasks.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self.tasks.discard(task)
            writer.close()
