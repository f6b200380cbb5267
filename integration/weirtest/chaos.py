"""A relay between a control plane and clients, all in processes of their own, to which faults are done from a seed.

After each fault everything must be as if nothing had been: every client holds exactly what the control plane has, the
relay is alive, ready and not degraded, and holds no more descriptors than before. Times are the machine's, so a seed
repeats the faults and their order, and nearly the moments.
"""

import contextlib
import random
import re
import signal
import subprocess
import threading
import time
from collections import Counter

from weirtest import weir as weir_module
from weirtest import waiting, xds
from weirtest.certs import Certificates
from weirtest.chaosworld import NAMES, ROUTES, Model, PlaneProcess, serial_of
from weirtest.clients import XdsClient
from weirtest.faultproxy import FaultProxy
from weirtest.follow import Digest, Followers, program
from weirtest.ports import free_port
from weirtest.waiting import eventually
from weirtest.xds import CDS, EDS, LDS, RDS

#: Streams of the two groups: straight to the relay, and through a proxy that can be made a bad network.
DIRECT, PROXIED = 40, 20
#: A turn of a loop longer than this is a stalled loop, even on a machine that others use too.
STALL_MAX = 3.0
#: Descriptors that come and go: connections to the control plane, questions to the debug endpoint.
DESCRIPTORS_SPARE = 6


class PatientClient:
    """A scripted client that comes back, with nothing, whenever its stream ends."""

    def __init__(self, address, protocol, cluster, upstream):
        self.address, self.protocol, self.cluster = address, protocol, cluster
        # SotW cannot say that endpoints are gone, on either side of the relay (XLT-01, XLT-03).
        self.keeps_endpoints = "sotw" in (protocol, upstream)
        self.client, self.retry_at = None, 0.0
        self.seen = 0
        self.newest, self.backwards = {}, []

    def attend(self):
        """To be called again and again: comes back if need be, and looks at what came."""
        if self.client is not None and self.client.ended is not None:
            self._read()
            self.client.close()
            self.client, self.retry_at = None, time.monotonic() + 0.2
        if self.client is None:
            if time.monotonic() < self.retry_at:
                return
            self.client, self.seen = XdsClient(self.address, self.protocol, node=xds.node(
                f"patient-{self.protocol}", self.cluster)), 0
            self.client.subscribe(CDS)
            self.client.subscribe(LDS)
            self.client.subscribe(EDS, *NAMES)
            self.client.subscribe(RDS, *(f"r{number}" for number in range(ROUTES)))
        self._read()

    def _read(self):
        with self.client.lock:
            new, self.seen = self.client.history[self.seen:], len(self.client.history)
            self.client.inbox.clear()
        for response in new:
            if response.type_url == CDS:
                for name, body in response.bodies.items():
                    serial = serial_of(body)
                    if serial < self.newest.get(name, 0):
                        self.backwards.append(f"{name} from {self.newest[name]} to {serial}")
                    self.newest[name] = serial

    def forget(self):
        """A relay that was killed may have lost the last pushes."""
        self.newest = {}

    def holds(self, world):
        client = self.client
        return client is not None and client.ended is None and all(
            self._held(client, type_url, world) == world[type_url] for type_url in (CDS, EDS, LDS, RDS))

    def difference(self, world):
        """What is missing, different or too much, for a person to read."""
        if (client := self.client) is None or client.ended is not None:
            return "not connected"
        found = []
        for type_url in (CDS, EDS, LDS, RDS):
            held, wanted = self._held(client, type_url, world), world[type_url]
            found += [f"{type_url.rsplit(chr(46), 1)[1]} {name} missing" for name in wanted if name not in held]
            found += [f"{type_url.rsplit(chr(46), 1)[1]} {name} too much" for name in held if name not in wanted]
            found += [f"{type_url.rsplit(chr(46), 1)[1]} {name} different" for name in wanted if held.get(name, wanted[name]) != wanted[name]]
        return ", ".join(found)

    def _held(self, client, type_url, world):
        held = client.held(type_url)
        if self.keeps_endpoints and type_url == EDS:
            return {name: body for name, body in held.items() if name in world[type_url]}
        return held

    def close(self):
        if self.client is not None:
            self.client.close()


class Chaos:
    """The whole stage. `say` is told each step, as a line."""

    def __init__(self, seed, folder, say=lambda line: None, followers=True):
        self.seed, self.folder, self.say = seed, folder, say
        self.chance = random.Random(seed)
        self.model = Model(self.chance)
        self.digest = Digest()
        self.certificates = Certificates(folder / "certificates")
        self.plane = PlaneProcess(free_port(), folder / "plane.log")
        self.upstream = FaultProxy(self.plane.address)
        self.relay = weir_module.Weir(folder, self._config())
        self.tls_port = free_port()
        self.relay.configure({"downstream": {"listeners": [
            {"address": self.relay.address},
            {"address": f"127.0.0.1:{self.tls_port}", "tls": {
                "certificate_chain": str(self.certificates.server.certificate),
                "private_key": str(self.certificates.server.key)}}]}})
        self.downstream = FaultProxy(self.relay.address)
        self.patients, self.followers = [], []
        self.with_followers = followers and program() is not None
        self.baseline = 0
        self.done = Counter()
        self.kills = 0
        self._attending = None
        self._over = threading.Event()

    def _config(self):
        self.store = self._store_folder()
        self.protocol = self.chance.choice(("delta", "sotw"))
        upstream = weir_module.upstream(
            self.protocol, self.upstream.address, cold_timeout="2s",
            keepalive={"interval": "700ms", "timeout": "700ms"})
        return {
            "upstreams": {"primary": upstream},
            "downstream": {
                "keepalive": {"interval": "1s", "timeout": "1s"},
                "limits": {"stalled_reader_timeout": "3s", "first_request_timeout": "2s", "ack_timeout": "2s"},
            },
            "cache": {"store": {"path": str(self.store)}},
            "log": {"level": "info"},
        }

    def _store_folder(self):
        """A small disk of its own where this machine lets us mount one, else a folder."""
        folder = self.folder / "disk"
        folder.mkdir(parents=True)
        made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True)
        self.disk = folder if made.returncode == 0 else None
        return folder / "store"

    # --- Life.

    def start(self):
        self.plane.start(self.model)
        self.relay.start()
        places = ((self.relay.address, "web", DIRECT), (self.downstream.address, "shop", PROXIED))
        for place, (address, cluster, count) in enumerate(places):
            for protocol in ("sotw", "delta"):
                self.patients.append(PatientClient(address, protocol, cluster, self.protocol))
            if self.with_followers:
                self.followers.append(Followers(
                    address, count, cluster, self.folder / f"follow-{cluster}.log", routes=ROUTES, seed=self.seed,
                    backoff_initial_ms=50, backoff_max_ms=500, connect_timeout_ms=3000))
        self._attending = threading.Thread(target=self._attend, daemon=True)
        self._attending.start()
        self.check("the start")
        self.baseline = self.descriptors()
        return self

    def _attend(self):
        while not self._over.wait(0.02):
            for patient in self.patients:
                try:
                    patient.attend()
                except Exception as error:  # noqa: BLE001: a client that cannot come back yet tries again
                    self.say(f"  {patient.protocol} client of {patient.cluster}: {error!r}")

    def stop(self):
        """Everybody leaves, the relay last; it must be alive, and drain."""
        self._over.set()
        if self._attending:
            self._attending.join(10)
        try:
            for each in self.followers:
                each.stop()
            for patient in self.patients:
                patient.close()
            if self.plane.child is not None:
                with contextlib.suppress(ProcessLookupError):
                    self.plane.signal(signal.SIGCONT)
            self.relay.stop()
        finally:
            self.plane.kill()
            self.upstream.stop()
            self.downstream.stop()
            if self.disk:
                subprocess.run(["umount", "-l", str(self.disk)], capture_output=True)

    # --- What happens.

    def change(self, times=1, pause=0.0):
        """The control plane's content changes; one that is dead shows it when it is back."""
        for _ in range(times):
            self.model.evolve(self.chance.randint(1, 4))
            if self.plane.running:
                self.plane.show(self.model)
            if pause:
                time.sleep(pause)

    def kill_relay(self):
        self.kills += 1
        for patient in self.patients:
            patient.forget()
        self.relay.process.signal(signal.SIGKILL)
        self.relay.process.wait(5)

    def start_relay(self):
        self.relay.start()

    def run(self, fault, name):
        """One fault, and the proof that it is over."""
        self.done[name] += 1
        self.say(f"{name} ...")
        started = time.monotonic()
        fault(self)
        self.check(name)
        self.say(f"{name}: all is well after {time.monotonic() - started:.1f} s")

    # --- What must hold.

    def check(self, after):
        """Everybody holds exactly what the control plane has; nothing is left of the trouble."""
        assert self.relay.process.running, f"after {after}: the relay has died:\n{self.relay.process.tail()}"
        self.model.touch()
        self.plane.show(self.model)
        world = self.model.expected()
        self.until_all_hold(world, after)
        backwards = [text for patient in self.patients for text in patient.backwards]
        assert not backwards, f"after {after}: older content replaced newer: {backwards}"
        self._healthy(after)

    def until_all_hold(self, world, after, timeout=30):
        digest = self.digest.of(world)
        for each in self.followers:
            state = None

            def done():
                nonlocal state
                state = each.state()
                return each.hold(state, digest, each.count)

            eventually(done, lambda: f"all streams of {each.cluster} to hold what the control plane has, after {after}; "
                       f"{state}, wanted {digest}: {each.difference(digest, world)}", timeout, 0.1)
            assert state["undecodable"] == 0 and state["emptied"] == 0, f"after {after}: {state}"
        for patient in self.patients:
            eventually(lambda: patient.holds(world), lambda: f"the {patient.protocol} client of {patient.cluster} to hold "
                       f"what the control plane has, after {after}: {patient.difference(world)}", timeout, 0.05)

    def _healthy(self, after):
        relay = self.relay
        eventually(lambda: relay.get("/live")[0] == 200, f"/live to be 200 after {after}", 5, 0.05)
        last = None

        def ready():
            nonlocal last
            last = relay.get("/ready")
            return last[0] == 200 and relay.json("/ready")["degraded"] == []

        eventually(ready, lambda: f"/ready to have nothing degraded after {after}: {last}", 20, 0.1)
        eventually(lambda: not self.baseline or self.descriptors() <= self.baseline + DESCRIPTORS_SPARE,
                   lambda: f"descriptors to be given back after {after}: {self.descriptors()}, at first {self.baseline}",
                   15, 0.2)
        marks = [mark for mark in weir_module.CRASH_MARKS if mark in relay.process.log]
        assert not marks, f"after {after}: {marks} in the log"
        stalls = [float(text) for text in re.findall(r"a turn of a loop took long.*?seconds=\"?([0-9.e-]+)", relay.log)]
        assert max(stalls, default=0) < STALL_MAX * waiting.patience, f"after {after}: a loop stood still for {max(stalls)} s"

    def descriptors(self):
        return self.relay.metric("process_open_fds")

    def figures(self):
        """What it was like, for the report."""
        stalls = re.findall(r"a turn of a loop took long.*?seconds=\"?([0-9.e-]+)", self.relay.log)
        states = [each.state() for each in self.followers]
        return {
            "faults": sum(self.done.values()), "kills of the relay": self.kills, "pushes": self.model.step,
            "responses to followers": sum(state["messages"] for state in states),
            "connections lost": sum(state["lost"] for state in states),
            "slow turns": len(stalls), "longest turn": max(map(float, stalls), default=0.0),
            "descriptors": (self.baseline, self.descriptors()),
        }
