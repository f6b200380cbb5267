"""A world that changes at random, and the control plane that serves it from a process of its own, to be killed.

As a program: `python -m weirtest.chaosworld PORT`, with one JSON command a line on standard input, each answered.
"""

import base64
import json
import os
import random
import subprocess
import sys
from pathlib import Path

from weirtest import xds
from weirtest.xds import CDS, EDS, LDS, RDS

ROUTES = 4
CLUSTERS_MIN, CLUSTERS_MAX = 8, 30
#: Every cluster that there may ever be.
NAMES = [f"c{number}" for number in range(40)]


class Model:
    """What there is: kind → name → serial. A serial grows with every change, so content never comes back."""

    KINDS = ("clusters", "endpoints", "listeners", "routes")

    def __init__(self, chance, clusters=16):
        self.chance, self.serial, self.step = chance, 0, 0
        names = NAMES[:clusters]
        self.content = {
            "clusters": {name: self._next() for name in names}, "endpoints": {name: self._next() for name in names},
            "listeners": {f"l{number}": self._next() for number in range(4)},
            "routes": {f"r{number}": self._next() for number in range(ROUTES)},
        }
        # What an earlier one made need not be made again.
        self._made = {}

    def _next(self):
        self.serial += 1
        return self.serial

    def evolve(self, count=1):
        """`count` changes at once."""
        self.step += 1
        for _ in range(count):
            self._change()

    def touch(self):
        """Changes one of each kind."""
        self.step += 1
        for kind in self.KINDS:
            self.content[kind][self.chance.choice(sorted(self.content[kind]))] = self._next()

    def _change(self):
        chance, clusters = self.chance, self.content["clusters"]
        what = chance.choices(("endpoints", "cluster", "listener", "route", "add", "remove"), (10, 4, 1, 2, 2, 2))[0]
        if what == "add" and len(clusters) < CLUSTERS_MAX:
            name = chance.choice([each for each in NAMES if each not in clusters])
            clusters[name] = self._next()
            self.content["endpoints"][name] = self._next()
        elif what == "remove" and len(clusters) > CLUSTERS_MIN:
            name = chance.choice(sorted(clusters))
            del clusters[name], self.content["endpoints"][name]
        else:
            kind = {"cluster": "clusters", "listener": "listeners", "route": "routes"}.get(what, "endpoints")
            self.content[kind][chance.choice(sorted(self.content[kind]))] = self._next()

    def expected(self):
        """Type → name → bytes."""
        made, world = {}, {}
        for kind, type_url in zip(self.KINDS, (CDS, EDS, LDS, RDS)):
            world[type_url] = {}
            for name, serial in self.content[kind].items():
                key = (kind, name, serial)
                made[key] = self._made.get(key) or xds.pack(resource(*key)).value
                world[type_url][name] = made[key]
        self._made = made
        return world


def resource(kind, name, serial):
    """The message that stands for (kind, name, serial)."""
    if kind == "clusters":
        message = xds.cluster(name, serial)
        message.alt_stat_name = "x" * 200
        return message
    if kind == "endpoints":
        return xds.endpoints(name, *range(8000, 8010), host=f"10.{serial >> 16 & 255}.{serial >> 8 & 255}.{serial & 255}")
    if kind == "listeners":
        return xds.listener(name, 10000 + serial % 50000, f"r{serial % ROUTES}")
    return xds.routes(name, (f"/{serial}", "c0"), ("/", "c1"))


def serial_of(cluster):
    """The serial in a cluster's bytes."""
    return xds.TYPES[CDS].message.FromString(cluster).connect_timeout.seconds


class PlaneProcess:
    """The control plane as a child process."""

    def __init__(self, port, log):
        self.port, self.log, self.child = port, log, None
        self.address = f"127.0.0.1:{port}"
        self.epoch = 0

    @property
    def running(self):
        return self.child is not None and self.child.poll() is None

    def start(self, model):
        self.epoch += 1
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen(
                [sys.executable, "-m", "weirtest.chaosworld", str(self.port)], stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=log, cwd=Path(__file__).resolve().parents[1], env={**os.environ})
        self.show(model)
        self.tell(do="listen")

    def show(self, model):
        """Serves what the model says now."""
        self.tell(do="show", content=model.content, version=f"{self.epoch}.{model.step}")

    def tell(self, **command):
        """Sends a command and takes its answer; one that is dead, or stopped, hears nothing."""
        if not self.running:
            return None
        try:
            self.child.stdin.write(json.dumps(command).encode() + b"\n")
            self.child.stdin.flush()
            return json.loads(self.child.stdout.readline() or "null")
        except (BrokenPipeError, ValueError):
            return None

    def signal(self, number):
        self.child.send_signal(number)

    def kill(self):
        if self.child is not None:
            self.child.kill()
            self.child.wait(10)
            self.child.stdin.close()
            self.child.stdout.close()
            self.child = None


def _show(plane, command):
    content, version = command["content"], command["version"]
    with plane.atomic():
        for kind, type_url in zip(Model.KINDS, (CDS, EDS, LDS, RDS)):
            plane.set(type_url, [resource(kind, name, serial) for name, serial in content[kind].items()],
                      version=version, versions={name: str(serial) for name, serial in content[kind].items()})


def _garbage(seed):
    """Bytes that are no response, or are one that must not be."""
    from envoy.service.discovery.v3 import discovery_pb2

    chance = random.Random(seed)
    kind = chance.choice(("noise", "type", "torn", "nameless"))
    if kind == "noise":
        return chance.randbytes(chance.randrange(1, 200))
    message = discovery_pb2.DeltaDiscoveryResponse(type_url=CDS, nonce=f"garbage-{seed}", system_version_info="x")
    if kind == "type":
        message.resources.add(name="c0", version="x").resource.CopyFrom(xds.pack(xds.listener("c0")))
    elif kind == "nameless":
        message.resources.add(version="x").resource.CopyFrom(xds.pack(xds.cluster("")))
    else:
        message.resources.add(name="c0", version="x").resource.CopyFrom(xds.pack(xds.cluster("c0")))
        # Within its last field, the nonce: elsewhere what is left could be a response that means something.
        return message.SerializeToString()[:-chance.randrange(1, 8)]
    return message.SerializeToString()


def main(port):
    from weirtest.controlplane import ControlPlane

    plane = ControlPlane(port=port)
    for line in sys.stdin:
        command = json.loads(line)
        answer = True
        if command["do"] == "listen":
            plane.start()
        elif command["do"] == "show":
            _show(plane, command)
        elif command["do"] == "garbage":
            plane.push_raw(_garbage(command["seed"]))
        elif command["do"] == "raw":
            plane.push_raw(base64.b64decode(command["bytes"]))
        elif command["do"] == "end-streams":
            plane.close_streams()
        # It remembers every request; a long run must not.
        for stream in plane.streams:
            del stream.requests[:-100], stream.sent[:-100]
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    main(int(sys.argv[1]))
