"""What several workers do at the same time."""

import time
from pathlib import Path

import pytest

from weirtest import preload
from weirtest import weir as weir_module
from weirtest import xds
from weirtest.waiting import eventually
from weirtest.xds import CDS

pytestmark = pytest.mark.relay_only

#: A response with this much in it is told from all else that is sent.
PUSHED_BYTES = 20_000
#: More on each worker than it writes to in one go.
CLIENTS = 200


@pytest.fixture
def calls(tmp_path):
    """The calls of processes that `environment` is given to: (thread, call, descriptor, bytes)."""
    class Calls:
        environment = {"LD_PRELOAD": preload.build("calls", tmp_path), "CALLS_FILE": str(tmp_path / "calls")}

        def read(self):
            lines = [line.split() for line in (tmp_path / "calls").read_text().splitlines()]
            return [(thread, call, int(descriptor), int(count)) for thread, call, descriptor, count in lines]

    return Calls()


@pytest.fixture
def pushed(new_plane, new_weir, connect, calls):
    """A change that two workers' clients have taken: the calls, where those for it begin, and the threads' names."""
    plane = new_plane()
    plane.set(CDS, [xds.cluster("a")])
    relay = new_weir({"upstreams": {"primary": weir_module.upstream("delta", plane.address)}, "workers": 2}, start=False)
    relay.start(environment=calls.environment)
    clients = [connect(relay, "delta", node=xds.node(f"n{index}")) for index in range(CLIENTS)]
    for client in clients:
        client.subscribe(CDS)
        client.converge(CDS, plane.expected(CDS))
    time.sleep(0.5)  # until nobody has anything left to do
    before = len(calls.read())
    plane.set(CDS, [xds.cluster("a"), xds.cluster("b" * PUSHED_BYTES)])
    for client in clients:
        client.converge(CDS, plane.expected(CDS))
    tasks = Path(f"/proc/{relay.process.pid}/task")
    return calls.read(), before, {task.name: (task / "comm").read_text().strip() for task in tasks.iterdir()}


def test_the_other_worker_hears_of_a_change_before_the_first_writes_it(pushed):
    noted, begin, names = pushed
    writes = [(thread, place) for place, (thread, call, _, count) in enumerate(noted)
              if call == "send" and count > PUSHED_BYTES]
    workers = sorted({thread for thread, _ in writes})
    assert len(writes) == CLIENTS and len(workers) == 2, "each worker has some clients"
    journal = next(thread for thread, name in names.items() if name == "weir-journal")

    def told(thread, by):
        """When one thread first wakes up another."""
        doorbells = {descriptor for who, call, descriptor, _ in noted if who == thread and call == "woken"}
        return next((place for place, (who, call, descriptor, _) in enumerate(noted)
                     if place >= begin and who == by and call == "wake" and descriptor in doorbells), len(noted))

    home, other = min((workers, workers[::-1]), key=lambda pair: told(pair[1], by=pair[0]))
    written = next(place for thread, place in writes if thread == home)
    # And the journal before: what the others do with a push is told of a push that it knows.
    assert told(journal, by=home) < told(other, by=home) < written
