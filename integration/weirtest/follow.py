"""`weir-bench follow`: many streams in a process of their own that know exactly what they hold."""

import contextlib
import json
import os
import select
import subprocess
import time

from weirtest import weir as weir_module
from weirtest.xds import CDS, EDS, LDS, RDS

#: In the order in which the program counts types.
TYPES = [CDS, EDS, LDS, RDS]
_MASK = (1 << 64) - 1


def program():
    """The path of weir-bench: beside the relay under test, or the release build; None where neither is."""
    for path in (weir_module.BINARY.parent / "weir-bench", weir_module.ROOT / ".build/release/weir-bench"):
        if path.exists():
            return path
    return None


def _hash(place, name, body):
    value = 0xCBF29CE484222325
    for byte in bytes([place]) + name.encode() + b"\0" + body:
        value = ((value ^ byte) * 0x100000001B3) & _MASK
    return value


class Digest:
    """The digest that a follower has who holds all of a world; remembers what has not changed."""

    def __init__(self):
        self.known = {}

    def of(self, world):
        """`world`: type → name → bytes."""
        total, known = 0, {}
        for place, type_url in enumerate(TYPES):
            for name, body in world[type_url].items():
                key = (place, name, body)
                known[key] = self.known.get(key) or _hash(*key)
                total += known[key]
        self.known = known
        return f"{total & _MASK:x}"


class Followers:
    """`count` streams on as many connections to `address`."""

    def __init__(self, address, count, cluster="web", log=None, nice=0, **options):
        self.count, self.cluster, self.address = count, cluster, address
        arguments = [str(program()), "follow", "--connect", address, "--connections", str(count), "--cluster", cluster]
        for name, value in options.items():
            arguments += ["--" + name.replace("_", "-"), str(value)]
        if nice:
            arguments = ["nice", "-n", str(nice), *arguments]
        self.errors = open(log or os.devnull, "ab")
        self.child = subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors)
        self.unread = b""
        self._event("following")

    def say(self, line):
        self.child.stdin.write(f"{line}\n".encode())
        self.child.stdin.flush()

    def _event(self, name, timeout=120):
        deadline = time.monotonic() + timeout
        output = self.child.stdout.fileno()
        while True:
            while b"\n" not in self.unread:
                ready = select.select([output], [], [], max(0, deadline - time.monotonic()))[0]
                data = os.read(output, 65536) if ready else b""
                assert data, f"weir-bench gave no {name!r} and " + ("ended" if ready else "was too slow")
                self.unread += data
            line, self.unread = self.unread.split(b"\n", 1)
            event = json.loads(line)
            if event["event"] == name:
                return event

    def state(self):
        """Who holds what, and what befell the connections."""
        self.say("state")
        return self._event("state")

    def odd(self, digest):
        self.say(f"odd {digest}")
        return self._event("odd")

    @staticmethod
    def hold(state, digest, count):
        """Whether everybody is connected and holds what the digest stands for."""
        return state["states"] == [[digest, count]] and state["open"] == count

    def difference(self, digest, world):
        """What one of those holds that hold something else, in words."""
        odd = self.odd(digest)
        if odd["index"] is None:
            return "all hold the right thing"
        lines = []
        for place, (short, type_url) in enumerate(zip(("cds", "eds", "lds", "rds"), TYPES)):
            wanted = {name: f"{_hash(place, name, body):x}" for name, body in world[type_url].items()}
            held = odd["held"][short]
            missing, extra = sorted(wanted.keys() - held.keys()), sorted(held.keys() - wanted.keys())
            other = sorted(name for name in wanted.keys() & held.keys() if wanted[name] != held[name])
            if missing or extra or other:
                lines.append(f"{short}: missing {missing}, too many {extra}, other content {other}")
        return f"follower {odd['index']} ({odd['variant']}, {'open' if odd['open'] else 'cut off'}) " + "; ".join(lines)

    def stop(self):
        if self.child.poll() is None:
            self.child.stdin.close()
            self.child.terminate()
            try:
                self.child.wait(5)
            except subprocess.TimeoutExpired:
                self.child.kill()
                # Who waits for it here keeps others from being stopped.
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.child.wait(20)
        self.child.stdout.close()
        self.errors.close()
