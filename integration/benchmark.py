"""The benchmarks of `make bench`: weir, an origin and a load client on loopback, beside the raw write loop.

weir has one core, everything else the other. Each figure is taken from runs that alternate with the raw loop, because
the spread of a shared machine is large; ratios are ratios of medians. Output: a table, and JSON with `--json FILE`.
"""

import argparse
import json
import os
import pathlib
import platform
import re
import resource
import select
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
RELEASE = ROOT / ".build" / "release"
#: One process cannot hold more sockets than this on a usual machine; larger loads are split.
SOCKETS_MAX = 9_000


class Process:
    """A child with a core of its own (None: any) that reports events as JSON lines."""

    def __init__(self, core, *command):
        cores = os.sched_getaffinity(0)
        prefix = ["taskset", "-c", str(core)] if core in cores and len(cores) > 1 else []
        self.child = subprocess.Popen([*prefix, *map(str, command)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.unread = b""

    @property
    def pid(self):
        return self.child.pid

    def say(self, line):
        os.write(self.child.stdin.fileno(), f"{line}\n".encode())

    def event(self, name, timeout=600):
        """The next event of that name; one that does not come in time is an error, for somebody has died."""
        deadline = time.monotonic() + timeout
        while True:
            event = json.loads(self._line(deadline, name))
            if event["event"] == name:
                return event

    def _line(self, deadline, name):
        output = self.child.stdout.fileno()
        while b"\n" not in self.unread:
            ready = select.select([output], [], [], max(0, deadline - time.monotonic()))[0]
            data = os.read(output, 65536) if ready else b""
            if not data:
                raise RuntimeError(f"{self.child.args} gave no {name!r} and " + ("ended" if ready else "was too slow"))
            self.unread += data
        line, self.unread = self.unread.split(b"\n", 1)
        return line

    def cpu_ms(self):
        total = 0
        for task in os.listdir(f"/proc/{self.pid}/task"):
            with open(f"/proc/{self.pid}/task/{task}/schedstat") as file:
                total += int(file.read().split()[0])
        return total / 1e6

    def busiest_ms(self, before):
        """CPU milliseconds of the worker thread that took most since `before`, a result of `workers_ms`."""
        return max(now - before[name] for name, now in self.workers_ms().items())

    def workers_ms(self):
        found = {}
        for task in os.listdir(f"/proc/{self.pid}/task"):
            with open(f"/proc/{self.pid}/task/{task}/comm") as file:
                name = file.read().strip()
            with open(f"/proc/{self.pid}/task/{task}/schedstat") as file:
                if name.startswith("weir-worker"):
                    found[name] = int(file.read().split()[0]) / 1e6
        return found

    def rss_kib(self):
        with open(f"/proc/{self.pid}/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))

    def end(self):
        self.child.stdin.close()
        self.child.terminate()
        try:
            self.child.wait(10)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        self.child.stdout.close()


class Bench:
    """One weir with an origin and its load."""

    def __init__(self, options, clusters=100, endpoints=10, workers=1, listeners="", upstream="delta", under=()):
        self.options = options
        self.clusters = clusters
        self.folder = tempfile.TemporaryDirectory(prefix="weir-bench-")
        self.address, self.origin_address, self.admin = (f"127.0.0.1:{port}" for port in free_ports(3))
        config = pathlib.Path(self.folder.name) / "relay.yaml"
        config.write_text(f"""
downstream:
  listeners: [{{address: "{self.address}"{listeners}}}]
  limits: {{max_connections: 1000000, max_streams_per_connection: 100000}}
upstreams: {{primary: {{servers: ["{self.origin_address}"], protocol: {upstream}}}}}
aggregation: {{rules: [{{key: "{{node.cluster}}"}}]}}
admin: {{address: "{self.admin}"}}
workers: {workers}
log: {{level: error}}
""")
        self.origin = Process(1, RELEASE / "weir-bench", "origin", "--listen", self.origin_address, "--clusters",
                              clusters, "--endpoints", endpoints)
        self.origin.event("listening")
        binary = under[-1] if under else RELEASE / "weir"
        self.weir = Process(0 if workers == 1 else None, *under[:-1], binary, "serve", "--config", config)
        self.loads = []
        self._until_ready()
        self.rss_before = self.weir.rss_kib()

    def _until_ready(self):
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://{self.admin}/ready", timeout=1).read()
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError("weir does not get ready")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in [*self.loads, self.weir, self.origin]:
            process.end()
        self.folder.cleanup()

    def connect(self, connections, variant, *more):
        """Opens streams and waits until they have everything. Returns the bytes they received."""
        left = connections
        while left > 0:
            share = min(left, SOCKETS_MAX)
            self.loads.append(
                Process(1, RELEASE / "weir-bench", "load", "--connect", self.address, "--connections", share,
                        "--clusters", self.clusters, "--variant", variant, *more))
            left -= share
        return sum(load.event("synced")["bytes"] for load in self.loads)

    def change(self, index):
        """One resource changes; returns weir's CPU time, and how long it took to reach the streams."""
        for load in self.loads:
            load.say("expect")
            load.event("ready")
        before = self.weir.cpu_ms()
        self.origin.say(f"change {index % self.clusters}")
        received = [load.event("received") for load in self.loads]
        time.sleep(0.5)  # the ACKs
        return {
            "cpu_ms": self.weir.cpu_ms() - before,
            "p50_ms": max(event["p50_ms"] for event in received),
            "p99_ms": max(event["p99_ms"] for event in received),
            "max_ms": max(event["max_ms"] for event in received),
            "bytes": sum(event["bytes"] for event in received),
        }

    def push_ms_while_stopped(self, index):
        """How long a change takes from the upstream's bytes to the last write, while the clients do not run."""
        names = ("weir_push_seconds_sum", "weir_push_seconds_count")
        before = [self.metric(name) for name in names]
        for load in self.loads:
            os.kill(load.pid, signal.SIGSTOP)
        self.origin.say(f"change {index % self.clusters}")
        time.sleep(1)
        after = [self.metric(name) for name in names]
        for load in self.loads:
            os.kill(load.pid, signal.SIGCONT)
        time.sleep(1)
        return 1000 * (after[0] - before[0]) / (after[1] - before[1])

    def count(self, what):
        """Tells callgrind to begin to count, or to write what it counted."""
        subprocess.run(["callgrind_control", what, str(self.weir.pid)], check=True, stdout=subprocess.DEVNULL)

    def metric(self, name):
        text = urllib.request.urlopen(f"http://{self.admin}/metrics", timeout=10).read().decode()
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))


FIXTURES = ROOT / "Tests" / "Fixtures" / "TLS"
SECURE_LISTENER = (f', tls: {{certificate_chain: "{FIXTURES}/server.crt", private_key: "{FIXTURES}/server.key", '
                   f'client_ca: "{FIXTURES}/ca.crt"}}')
SECURE_CLIENT = ("--ca", FIXTURES / "ca.crt", "--certificate", FIXTURES / "envoy.crt", "--key", FIXTURES / "envoy.key",
                 "--server-name", "localhost")


def handshake_ms():
    """CPU milliseconds of the server's side of one mutual TLS handshake, in memory."""
    process = Process(0, RELEASE / "weir-bench", "handshakes", *SECURE_CLIENT, "--server-certificate",
                      FIXTURES / "server.crt", "--server-key", FIXTURES / "server.key")
    milliseconds = process.event("handshakes")["cpu_ms_each"]
    process.end()
    return milliseconds


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def raw(sockets, size, mode="raw"):
    """CPU milliseconds of the plain loop that writes `size` bytes to each of `sockets` sockets; with "raw-cold", of one
    that accepts the connections, too, and reads what clients say. Those who read are on the other core, like the clients."""
    share = min(sockets, SOCKETS_MAX)
    process = Process(0, RELEASE / "weir-bench", mode, "--sockets", share, "--bytes", size, "--rounds", 1,
                      "--readers-core", 1)
    milliseconds = process.event(mode.replace("-", "_"))["cpu_ms"]
    process.end()
    return milliseconds * sockets / share


def median(values):
    return statistics.median(values)


def in_turn(both, index):
    """One of two first, and the other first the next time: what others do to the machine meets both alike."""
    return both if index % 2 == 0 else tuple(reversed(both))


# --- Scenarios. Each returns rows of the table: (what, value, unit, goal).


def fan_out(options, variant):
    """One changed resource to many streams."""
    count = options.streams
    with Bench(options) as bench:
        bench.connect(count, variant)
        time.sleep(1)
        runs, floors = [], []
        for index in range(options.rounds):
            run = bench.change(index)
            runs.append(run)
            floors.append(raw(count, max(1, run["bytes"] // count)))
    cpu, floor = median([run["cpu_ms"] for run in runs]), median(floors)
    return [
        (f"CPU of weir for one change to {count} {variant} streams", cpu, "ms", ""),
        (f"CPU of the raw write loop, {runs[0]['bytes'] // count} bytes each", floor, "ms", ""),
        ("ratio", cpu / floor, "", "<= 2.5"),
        ("p50 from the origin's write", median([run["p50_ms"] for run in runs]), "ms", ""),
        ("p99", median([run["p99_ms"] for run in runs]), "ms", "<= 150"),
        ("last", median([run["max_ms"] for run in runs]), "ms", ""),
    ]


def width(options):
    """Whether a change costs more when each stream holds more."""
    count = options.streams // 5
    results = {}
    for clusters in (100, 1000):
        with Bench(options, clusters=clusters) as bench:
            bench.connect(count, "delta")
            time.sleep(1)
            results[clusters] = median([bench.change(index)["cpu_ms"] for index in range(options.rounds)])
    return [
        (f"CPU for one change to {count} delta streams of 100 clusters", results[100], "ms", ""),
        ("... of 1,000 clusters", results[1000], "ms", ""),
        ("ratio", results[1000] / results[100], "", "<= 1.2"),
    ]


def cold(options, variant="delta"):
    """Everything to everybody from nothing."""
    count = options.streams
    cpus, floors, talks, volume = [], [], [], 0
    for _ in range(max(1, options.rounds // 2)):
        with Bench(options) as bench:
            before = bench.weir.cpu_ms()
            volume = bench.connect(count, variant)
            time.sleep(0.5)
            cpus.append(bench.weir.cpu_ms() - before)
        floors.append(raw(count, volume // count))
        talks.append(raw(count, volume // count, "raw-cold"))
    return [
        (f"CPU of weir until {count} {variant} streams have {volume / 1e6:.0f} MB", median(cpus), "ms", ""),
        ("CPU of the raw write loop for those bytes", median(floors), "ms", ""),
        ("ratio", median(cpus) / median(floors), "", "<= 2"),
        ("CPU of a loop that accepts the connections, too, reads, and understands nothing", median(talks), "ms", ""),
        ("ratio of that to the raw write loop", median(talks) / median(floors), "", ""),
        ("ratio of weir to that", median(cpus) / median(talks), "", ""),
    ]


def memory(options):
    """What a connected, idle client costs."""
    count = options.streams
    rows = []
    with Bench(options) as bench:
        bench.connect(count, "delta")
        time.sleep(3)
        rows.append((f"RSS per idle plaintext connection, {count} of them",
                     (bench.weir.rss_kib() - bench.rss_before) / count, "KiB", "<= 18"))
        # Long enough for everybody's keepalive probes, which begin 30 s after the last word.
        idle, before = options.idle_s, bench.weir.cpu_ms()
        time.sleep(idle)
        rows.append((f"CPU while idle, over {idle} s", (bench.weir.cpu_ms() - before) / idle / 10, "% of a core",
                     "< 0.5"))
    connections, streams = max(1, count // 100), 100
    with Bench(options) as bench:
        bench.connect(connections, "delta", "--streams", streams)
        time.sleep(3)
        rows.append((f"RSS per stream, {streams} streams on each of {connections} connections",
                     (bench.weir.rss_kib() - bench.rss_before) / connections / streams, "KiB", "<= 2"))
    with Bench(options, listeners=SECURE_LISTENER) as bench:
        secure = max(1, count // 5)
        before = bench.weir.cpu_ms()
        bench.connect(secure, "delta", *SECURE_CLIENT, "--ramp", "300")
        time.sleep(3)
        rows.append((f"RSS per mTLS connection, {secure} of them",
                     (bench.weir.rss_kib() - bench.rss_before) / secure, "KiB", "<= 45"))
        rows.append(("CPU per mTLS connection until synced", (bench.weir.cpu_ms() - before) / secure, "ms", ""))
    return rows


def stalled(options):
    """Streams that never read, among others; changes in turn with a relay whose streams all read."""
    count = options.streams
    times, growth = {0: [], 1: []}, {}
    with Bench(options) as reading, Bench(options) as mixed:
        benches = {0: reading, 1: mixed}
        for percent, bench in benches.items():
            bench.connect(count, "delta", "--stalled", percent)
        time.sleep(1)
        for percent, bench in benches.items():
            growth[percent] = -bench.weir.rss_kib()
        for index in range(2 * options.rounds):
            for percent in in_turn((0, 1), index):
                times[percent].append(benches[percent].change(index)["p99_ms"])
        for percent, bench in benches.items():
            growth[percent] += bench.weir.rss_kib()
    rows = []
    for percent in (0, 1):
        rows.append((f"p99 with {percent} % that never read", median(times[percent]), "ms", ""))
        rows.append(("growth of RSS over the changes", growth[percent], "KiB", ""))
    rows.append(("p99, change", 100 * (median(times[1]) / median(times[0]) - 1), "%", "< 10"))
    return rows


def burst(options):
    """A thousand changes a second."""
    count = options.streams // 10
    seconds = 5
    with Bench(options) as bench:
        bench.connect(count, "delta")
        time.sleep(1)
        before, rss = bench.weir.cpu_ms(), bench.weir.rss_kib()
        sent = bench.metric("weir_downstream_responses_total")
        for load in bench.loads:
            load.say("collect")
            load.event("ready")
        bench.origin.say(f"burst 1000 {1000 * seconds}")
        bench.origin.event("burst_over")
        time.sleep(0.5)
        for load in bench.loads:
            load.say("report")
        received = [load.event("received") for load in bench.loads]
        responses = bench.metric("weir_downstream_responses_total") - sent
        return [
            (f"responses for {1000 * seconds} changes in {seconds} s to {count} streams, per stream",
             responses / count, "", f"<= {1000 * seconds}"),
            ("CPU", (bench.weir.cpu_ms() - before) / seconds / 10, "% of a core", ""),
            ("p99 of the responses", max(event["p99_ms"] for event in received), "ms", ""),
            ("growth of RSS", bench.weir.rss_kib() - rss, "KiB", "flat"),
        ]


def scaling(options):
    """How the cost of a change moves with the streams, with what each holds, and with the size of what changes."""
    small, rows = max(1, options.streams // 5), []
    for count, clusters, endpoints in (
            (small, 100, 10), (options.streams, 100, 10), (small, 1000, 10), (small, 100, 50), (small, 100, 200)):
        with Bench(options, clusters=clusters, endpoints=endpoints) as bench:
            bench.connect(count, "delta")
            time.sleep(1)
            runs = [bench.change(index) for index in range(options.rounds)]
            what = f"{count} streams, {clusters} clusters each, {runs[0]['bytes'] // count} bytes"
            rows.append((f"CPU of weir per stream: {what}", 1000 * median([run["cpu_ms"] for run in runs]) / count,
                         "us", ""))
    return rows


def many(options):
    """Five streams on each of many connections, each with some of many endpoints."""
    connections, streams = options.streams, 5
    with Bench(options, clusters=options.streams, endpoints=10) as bench:
        bench.connect(connections, "delta", "--streams", streams, "--subset", 20)
        time.sleep(3)
        return [
            (f"RSS with {streams * connections} streams and {10 * options.streams} endpoints",
             bench.weir.rss_kib() / 1024, "MiB", "<= 1536"),
        ]


def workers(options):
    """What a second worker brings. The clients stand still while the wall clock is looked at: they need a core, too."""
    count = options.streams
    cpus, walls = {1: [], 2: []}, {1: [], 2: []}
    with Bench(options, workers=1) as one, Bench(options, workers=2) as two:
        benches = {1: one, 2: two}
        for bench in benches.values():
            bench.connect(count, "delta")
        time.sleep(1)
        for index in range(options.rounds):
            for number in in_turn((1, 2), index):
                bench = benches[number]
                before = bench.weir.workers_ms()
                bench.change(2 * index)
                cpus[number].append(bench.weir.busiest_ms(before))
                walls[number].append(bench.push_ms_while_stopped(2 * index + 1))
    busiest = {number: median(values) for number, values in cpus.items()}
    wall = {number: median(values) for number, values in walls.items()}
    return [
        (f"CPU of the busiest worker for one change to {count} delta streams, 1 worker", busiest[1], "ms", ""),
        ("... 2 workers", busiest[2], "ms", ""),
        ("ratio", busiest[1] / busiest[2], "", ">= 1.7"),
        ("from the upstream's bytes to the last write, 1 worker", wall[1], "ms", ""),
        ("... 2 workers on 2 cores", wall[2], "ms", ""),
        ("ratio", wall[1] / wall[2], "", ">= 1.7"),
    ]


def storm(options):
    """All mTLS clients are gone and come back at once, saying what they hold."""
    count = options.streams
    bare = handshake_ms()
    with Bench(options, listeners=SECURE_LISTENER) as bench:
        bench.connect(count, "delta", *SECURE_CLIENT, "--ramp", "1000")
        time.sleep(2)
        requests = bench.metric("weir_downstream_requests_total")
        responses = bench.metric("weir_downstream_responses_total")
        cpu, begun = bench.weir.cpu_ms(), time.monotonic()
        for load in bench.loads:
            load.say("reconnect 10000")
        for load in bench.loads:
            load.event("reconnected")
        while bench.metric("weir_downstream_requests_total") < requests + 2 * count:
            if time.monotonic() - begun > 120:
                raise RuntimeError("not all clients came back")
            time.sleep(0.1)
        wall, cpu = time.monotonic() - begun, bench.weir.cpu_ms() - cpu
        for load in bench.loads:
            load.say("report")
        received = [load.event("received") for load in bench.loads]
        again = bench.metric("weir_downstream_responses_total") - responses
    return [
        (f"until {count} mTLS clients are back", wall * 1000, "ms", ""),
        ("CPU of weir for each", cpu / count, "ms", ""),
        ("CPU of the server's side of a bare handshake", bare, "ms", ""),
        ("ratio", cpu / count / bare, "", "<= 1.3"),
        ("streams that ended meanwhile", sum(event["ended"] for event in received) - count, "", "0"),
        ("responses to those who came back", again, "", "0"),
    ]


def counts(options):
    """What a push costs in counts, which do not depend on the machine: system calls, and valgrind's of weir's code."""
    count = min(200, options.streams)
    rows = system_calls(options, count)
    if not shutil.which("valgrind"):
        return rows
    with tempfile.TemporaryDirectory(prefix="weir-counts-") as folder:
        binary, out = pathlib.Path(folder) / "weir", pathlib.Path(folder) / "out"
        subprocess.run(["strip", "-g", "-o", binary, RELEASE / "weir"], check=True)
        for clusters in (100, 1000):
            under = ["valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={out}", binary]
            with Bench(options, clusters=clusters, under=under) as bench:
                bench.connect(count, "delta")
                bench.change(50)
                bench.count("-z")
                for index in range(3):
                    bench.change(index)
                bench.count("-d")
                part = max(pathlib.Path(folder).glob("out.*"), key=lambda path: path.stat().st_mtime)
                figures = read_counts(part.read_text())
                for path in pathlib.Path(folder).glob("out*"):
                    path.unlink()
            for what, value in figures.items():
                rows.append((f"{what} per stream and change, {clusters} clusters", value / count / 3, "", ""))
    return rows


def system_calls(options, count):
    """By strace, of those that a stream takes part in."""
    if not shutil.which("strace"):
        return []
    with tempfile.NamedTemporaryFile(prefix="weir-strace-") as file, Bench(options) as bench:
        bench.connect(count, "delta")
        time.sleep(1)
        trace = subprocess.Popen(["strace", "-c", "-f", "-p", str(bench.weir.pid), "-o", file.name],
                                 stderr=subprocess.DEVNULL)
        time.sleep(1)
        for index in range(3):
            bench.change(index)
        trace.send_signal(signal.SIGINT)
        trace.wait(10)
        text = pathlib.Path(file.name).read_text()
        calls = re.findall(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+) (?: +\d+)? *(\w+)$", text, re.M)
    return [(f"{name} per stream and change", int(number) / count / 3, "", "")
            for number, name in calls if int(number) > count]


def read_counts(text):
    """Of one part of callgrind's output: instructions, and calls of what is better not called."""
    wanted = {"malloc": "allocations", "calloc": "allocations", "realloc": "allocations",
              "posix_memalign": "allocations", "swift_retain": "references taken and let go",
              "swift_release": "references taken and let go", "swift_beginAccess": "checks for exclusive access"}
    found = {"instructions": int(re.search(r"^(?:totals|summary): (\d+)", text, re.M)[1])}
    found.update({name: 0 for name in wanted.values()})
    names, callee = {}, ""
    for line in text.splitlines():
        if match := re.match(r"c?fn=\((\d+)\)(?: (.*))?", line):
            if match[2]:
                names[match[1]] = match[2]
            if line[0] == "c":
                callee = names[match[1]]
        elif line.startswith("calls=") and callee in wanted:
            found[wanted[callee]] += int(line[6:].split()[0])
    return found


SCENARIOS = {
    "fan-out-delta": lambda options: fan_out(options, "delta"),
    "fan-out-sotw": lambda options: fan_out(options, "sotw"),
    "width": width,
    "cold-delta": cold,
    "cold-sotw": lambda options: cold(options, "sotw"),
    "memory": memory,
    "stalled": stalled,
    "burst": burst,
    "scaling": scaling,
    "many": many,
    "workers": workers,
    "storm": storm,
    "counts": counts,
}


def machine():
    with open("/proc/cpuinfo") as file:
        model = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), "unknown")
    return f"{os.cpu_count()} cores, {model}, Linux {platform.release()}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="*", help=f"of {', '.join(SCENARIOS)}; default: all")
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--idle-s", type=int, default=60, help="how long idle streams are watched")
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    unknown = [name for name in options.scenarios if name not in SCENARIOS]
    if unknown:
        parser.error(f"no scenario {', '.join(unknown)}; there are {', '.join(SCENARIOS)}")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    results = {"machine": machine(), "streams": options.streams, "rounds": options.rounds, "scenarios": {}}
    print(f"{results['machine']}; {options.streams} streams, median of {options.rounds}", flush=True)
    for name in options.scenarios or SCENARIOS:
        print(f"\n{name}: {(SCENARIOS[name].__doc__ or '').strip()}", flush=True)
        rows = SCENARIOS[name](options)
        results["scenarios"][name] = [dict(zip(("what", "value", "unit", "goal"), row)) for row in rows]
        for what, value, unit, goal in rows:
            print(f"  {what:<78} {value:>12.2f} {unit:<12} {goal}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
