"""Stops single threads of a process that this one has started, with ptrace: what a wedged loop is to the others."""

import ctypes
import os
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

SEIZE, INTERRUPT, DETACH = 0x4206, 0x4207, 17


def thread_id(pid, name):
    for task in Path(f"/proc/{pid}/task").iterdir():
        if (task / "comm").read_text().strip() == name:
            return int(task.name)
    raise AssertionError(f"process {pid} has no thread {name}")


@contextmanager
def stopped(pid, name):
    """Keeps a thread from running. Skips the test where that is not allowed."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    libc.ptrace.restype = ctypes.c_long
    tid = thread_id(pid, name)
    started, finish, refused = threading.Event(), threading.Event(), []

    def trace():  # one thread does it all, for it is the tracer
        if libc.ptrace(SEIZE, tid, None, None) or libc.ptrace(INTERRUPT, tid, None, None):
            refused.append(os.strerror(ctypes.get_errno()))
            return started.set()
        os.waitpid(tid, 0x40000000)  # __WALL
        started.set()
        finish.wait()
        libc.ptrace(DETACH, tid, None, None)

    tracer = threading.Thread(target=trace)
    tracer.start()
    try:
        started.wait()
        if refused:
            pytest.skip(f"a thread cannot be stopped here: {refused[0]}")
        yield tid
    finally:
        finish.set()
        tracer.join()
