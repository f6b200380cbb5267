"""Free loopback ports, taken below the kernel's ephemeral range so that no outgoing connection can sit on one."""

import os
import socket

FIRST, LAST = 20000, 32000
_next = FIRST + (os.getpid() * 97) % (LAST - FIRST)


def free_port():
    """A port of 127.0.0.1 that nobody listens on and that this process has not handed out lately."""
    global _next
    for _ in range(LAST - FIRST):
        port, _next = _next, _next + 1 if _next + 1 < LAST else FIRST
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port on 127.0.0.1")
