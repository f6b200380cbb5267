"""Waiting for a condition with a deadline; the suite never sleeps and hopes."""

import time

#: How many times as long as usual a condition may take to come true; `conftest.py` says so for a slow build.
patience = 1


def eventually(condition, what="the condition", timeout=10.0, interval=0.01):
    """Polls `condition` until it returns something true, and returns that; fails with `what` after `timeout` seconds,
    times `patience`.

    `what` may be a function: it is asked only when the wait has failed, so it can describe the last state seen.
    """
    timeout *= patience
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout} s for {what() if callable(what) else what}")
        time.sleep(interval)


def never(condition, what, seconds=0.3, interval=0.02):
    """Fails as soon as `condition` returns something true within `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            raise AssertionError(f"{what() if callable(what) else what}: {value}")
        time.sleep(interval)
