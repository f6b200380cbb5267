"""Thousands of streams under a content that changes all the time: nobody may ever hold anything else, and memory must
not grow."""

import os
import random
import statistics
import time

from weirtest import weir as weir_module
from weirtest.chaosworld import ROUTES, Model, PlaneProcess
from weirtest.churn import resident_kib
from weirtest.faultproxy import FaultProxy
from weirtest.follow import Digest, Followers
from weirtest.ports import free_port
from weirtest.waiting import eventually

#: How much more memory the last quarter of a run may show than its second.
GROWTH_MAX = 5.0
#: Streams in one process.
SHARE = 1000
#: Times that everybody comes again before anything is measured.
WARM_UPS = 4


class Soak:
    def __init__(self, folder, seed, clients, rate, churn, nice=0, say=lambda line: None):
        self.folder, self.rate, self.say = folder, rate, say
        self.chance = random.Random(seed)
        self.model, self.digest = Model(self.chance, clusters=20), Digest()
        self.plane = PlaneProcess(free_port(), folder / "plane.log")
        self.network = FaultProxy(self.plane.address)
        self.relay = weir_module.Weir(folder, {
            "upstreams": {"primary": weir_module.upstream("delta", self.network.address)},
            # A machine that others use, too, may be late.
            "downstream": {"keepalive": {"interval": "30s", "timeout": "60s"}},
            "cache": {"store": {"path": str(folder / "store")}}, "log": {"level": "info"}})
        self.clients, self.churn, self.nice, self.seed = clients, churn, nice, seed
        self.followers = []
        self.disturbances = 0

    def run(self, seconds, every):
        """Lives for `seconds`, and looks at everybody each `every` seconds; returns the figures."""
        try:
            self._start()
            self._warm_up()
            samples = [self._look()]
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                self._live(min(time.monotonic() + every, end))
                samples.append(self._look())
                self.say(self._line(samples[-1]))
            return self._figures(samples, seconds)
        finally:
            for each in self.followers:
                each.stop()
            self.relay.stop()
            self.plane.kill()
            self.network.stop()

    def _start(self):
        self.plane.start(self.model)
        self.relay.start()
        if self.nice:
            os.system(f"renice -n {self.nice} -p {self.relay.process.pid} {self.plane.child.pid} >/dev/null")
        left, shares = self.clients, max(1, -(-self.clients // SHARE))
        for number in range(shares):
            count = left // (shares - number)
            left -= count
            self.followers.append(Followers(
                self.relay.address, count, "web", self.folder / f"follow-{number}.log", nice=self.nice, routes=ROUTES,
                seed=self.seed + number, churn=self.churn // shares, ramp=500,
                connect_timeout_ms=30_000))

    def _warm_up(self):
        """Everybody comes again some times: where the memory of many connections lies settles only then."""
        self._look()
        for _ in range(WARM_UPS):
            for each in self.followers:
                each.say(f"cut {each.count}")
            self._look()

    def _live(self, until):
        """Changes, and now and then a control plane that is cut off or starts anew."""
        while (now := time.monotonic()) < until:
            self.model.evolve(self.chance.randint(1, 4))
            dice = self.chance.random()
            if dice < 0.004:
                self.disturbances += 1
                self.plane.kill()
                self.plane.start(self.model)
            elif dice < 0.012:
                self.disturbances += 1
                self.network.cut()
            self.plane.show(self.model)
            time.sleep(max(0.0, now + 1 / self.rate - time.monotonic()))

    def _look(self):
        """Nothing changes for a moment: does everybody hold what there is?"""
        self.model.touch()
        self.plane.show(self.model)
        world = self.model.expected()
        digest = self.digest.of(world)
        for each in self.followers:
            each.say("churn 0")
        started, states = time.monotonic(), []
        for each in self.followers:
            state = None

            def done():
                nonlocal state
                state = each.state()
                return each.hold(state, digest, each.count)

            eventually(done, lambda: f"all streams to hold what there is: {state}; {each.difference(digest, world)}", 240, 0.2)
            assert state["undecodable"] == 0 and state["emptied"] == 0, state
            states.append(state)
        for each in self.followers:
            each.say(f"churn {self.churn // len(self.followers)}")
        metrics = self.relay.metrics()
        total = lambda name: sum(value for (series, _), value in metrics.items() if series == name)
        return {
            "at": time.monotonic(), "waited": started, "resident": resident_kib(self.relay),
            "descriptors": total("process_open_fds"), "cpu": total("process_cpu_seconds_total"),
            "messages": sum(state["messages"] for state in states), "lost": sum(state["lost"] for state in states),
            "cut": sum(state["cut"] for state in states), "step": self.model.step,
            "stalls": total("weir_loop_stalls_total"), "connections": total("weir_downstream_connections"),
            "pushes": total("weir_push_seconds_count"),
        }

    @staticmethod
    def _line(sample):
        return (f"all hold the same: {sample['connections']:.0f} connections, {sample['resident']} KiB resident, "
                f"{sample['step']} changes, {sample['messages']} responses, {sample['cut']} reconnects")

    def _figures(self, samples, seconds):
        quarter = max(1, len(samples) // 4)
        early = statistics.median(each["resident"] for each in samples[quarter:2 * quarter] or samples[:1])
        late = statistics.median(each["resident"] for each in samples[-quarter:])
        growth = 100 * (late / early - 1)
        first, last = samples[0], samples[-1]
        span = last["at"] - first["at"]
        figures = {
            "clients": self.clients, "minutes": round(span / 60, 1), "looks at everybody": len(samples),
            "divergence": 0, "changes": last["step"] - first["step"],
            "responses to clients": last["messages"] - first["messages"], "reconnects": last["cut"] - first["cut"],
            "control plane cut off or restarted": self.disturbances,
            "resident KiB, second quarter and last": (int(early), int(late)), "growth": f"{growth:+.2f} %",
            "resident KiB, least and most": (min(each["resident"] for each in samples),
                                             max(each["resident"] for each in samples)),
            "descriptors, first and last": (int(first["descriptors"]), int(last["descriptors"])),
            "CPU of weir": f"{100 * (last['cpu'] - first['cpu']) / span:.1f} % of a core",
            "turns above 50 ms": int(last["stalls"]),
        }
        assert growth <= GROWTH_MAX, f"memory grows: {figures}"
        assert abs(last["descriptors"] - first["descriptors"]) <= 6, f"descriptors: {figures}"
        return figures
