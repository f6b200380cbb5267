"""The relay under test: a generated relay.yaml, the release binary, its debug endpoint."""

import copy
import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import yaml

from weirtest import waiting
from weirtest.ports import free_port
from weirtest.process import Process
from weirtest.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("WEIR_BINARY", ROOT / ".build/release/weir"))
#: Words that a healthy relay never logs.
CRASH_MARKS = ("Fatal error", "AddressSanitizer", "ThreadSanitizer", "*** Signal", "runtime error:")


def is_sanitized():
    """Whether the binary was built with a sanitizer, whose checks make it several times as slow."""
    program = BINARY.read_bytes()
    return b"__asan_init" in program or b"__tsan_init" in program


def merge(base, changes):
    """`changes` laid over `base`, mapping by mapping; a value of None removes the field."""
    merged = copy.deepcopy(base)
    for name, value in changes.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, dict) and isinstance(merged.get(name), dict):
            merged[name] = merge(merged[name], value)
        else:
            merged[name] = value
    return merged


def base_config(address, admin):
    """What every test's relay.yaml starts from: short times, so that tests need not wait."""
    return {
        "downstream": {
            "listeners": [{"address": address}],
            "drain_timeout": "500ms",
        },
        "aggregation": {"rules": [{"key": "{node.cluster}"}]},
        "cache": {"linger": "500ms"},
        "admin": {"address": admin},
        "log": {"level": "debug", "format": "text"},
        "workers": 2,
    }


def upstream(protocol, *addresses, **fields):
    """An upstream section with impatient reconnects."""
    return {
        "protocol": protocol,
        "servers": list(addresses),
        "backoff": {"initial": "50ms", "max": "250ms"},
        "connect_timeout": "2s",
        **fields,
    }


def command(*arguments, environment=None, cwd=None, timeout=30):
    """Runs the binary to its end; returns the completed process with text output."""
    return subprocess.run(
        [str(BINARY), *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=timeout * waiting.patience, cwd=cwd, env={**os.environ, "SWIFT_BACKTRACE": "enable=no", **(environment or {})})


class Weir:
    """One running relay."""

    def __init__(self, folder, config=None, name="weir"):
        self.folder, self.name = Path(folder), name
        self.port, self.admin_port = free_port(), free_port()
        self.address, self.admin = f"127.0.0.1:{self.port}", f"127.0.0.1:{self.admin_port}"
        self.config = base_config(self.address, self.admin)
        self.config_path = self.folder / f"{name}.yaml"
        self.process = None
        self.configure(config or {})

    def configure(self, changes):
        """Lays changes over the configuration file; a running relay is told by SIGHUP, by `reload`."""
        self.config = merge(self.config, changes)
        self.config_path.write_text(yaml.safe_dump(self.config, sort_keys=False))

    def reload(self):
        self.process.signal(signal.SIGHUP)

    def start(self, wait=True, environment=None, passed=()):
        """`passed`: listening sockets, handed over as a service manager does."""
        self.process = Process(
            [BINARY, "serve", "--config", self.config_path], self.folder / f"{self.name}.log",
            {"SWIFT_BACKTRACE": "enable=no", **(environment or {})}, passed=passed)
        if wait:
            eventually(self._ready, lambda: f"{self.name} to be ready; its log ends:\n{self.process.tail()}")
        return self

    def _ready(self):
        assert self.process.running, f"{self.name} exited {self.process.popen.returncode}:\n{self.process.tail()}"
        try:
            return self.get("/ready")[0] == 200
        except OSError:
            return False

    def stop(self, timeout=15.0):
        """SIGTERM; checks that the relay was alive, drained, did not crash, and exited 0."""
        if self.process is None:
            return
        process, self.process = self.process, None
        try:
            assert process.running, f"{self.name} died with {process.popen.returncode}:\n{process.tail()}"
            process.signal(signal.SIGTERM)
            status = process.wait(timeout * waiting.patience)
            assert status == 0, f"{self.name} exited {status} on SIGTERM:\n{process.tail()}"
            marks = [mark for mark in CRASH_MARKS if mark in process.log]
            assert not marks, f"{self.name} logged {marks}:\n{process.tail()}"
        finally:
            process.kill()

    def kill(self):
        """As a crash does: SIGKILL, no goodbye."""
        self.process.signal(signal.SIGKILL)
        self.process.wait(5)
        self.process = None

    def written(self, more_than=0):
        """Waits until everything that the relay knows is on the disk; returns the number of transactions."""

        def done():
            count = self.metric("weir_store_writes_total")
            return count if count > more_than and self.metric("weir_store_behind_seconds") == 0 else None

        count = eventually(done, "the store to be written")
        # Nothing more comes: what was under way when the first came is there too.
        while True:
            time.sleep(0.3)
            now = self.metric("weir_store_writes_total")
            if now == count:
                return count
            count = now

    @property
    def log(self):
        """What is written so far: a thread of its own writes lines some time after what they tell of."""
        return self.process.log

    def wait_log(self, *texts, timeout=10.0):
        """Waits for a line of the log with all `texts`; returns it."""
        return self.process.wait_log(*texts, timeout=timeout)

    # --- The debug endpoint.

    def get(self, path, method="GET"):
        """(status, content type, body as text)."""
        request = urllib.request.Request(f"http://{self.admin}{path}", method=method)
        try:
            with urllib.request.urlopen(request, timeout=5 * waiting.patience) as answer:
                return answer.status, answer.headers.get("Content-Type", ""), answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.headers.get("Content-Type", ""), error.read().decode()

    def json(self, path):
        status, kind, body = self.get(path)
        assert status == 200, f"{path}: {status}: {body}"
        assert kind.startswith("application/json"), f"{path}: {kind}"
        return json.loads(body)

    def post(self, path):
        """(status, JSON) of a POST."""
        status, kind, body = self.get(path, "POST")
        assert kind.startswith("application/json"), body
        return status, json.loads(body)

    def held(self, type="cds", key="web"):
        """What is said of a hold of a type; None where nothing is held."""
        entry = self.keys().get(key)
        return entry and entry["types"].get(type, {}).get("held")

    def keys(self):
        """key → its entry of /keys."""
        return {entry["key"]: entry for entry in self.json("/keys")["keys"]}

    def clients(self, query=""):
        return self.json("/clients" + query)["clients"]

    def metrics(self):
        """(name, sorted labels as a tuple of pairs) → value, from the Prometheus text."""
        values = {}
        for line in self.get("/metrics")[2].splitlines():
            if line and not line.startswith("#"):
                series, value = line.rsplit(" ", 1)
                name, _, rest = series.partition("{")
                labels = []
                for pair in filter(None, rest.rstrip("}").split(",")):
                    label, _, text = pair.partition("=")
                    labels.append((label.strip(), text.strip('"')))
                values[(name, tuple(sorted(labels)))] = float(value)
        return values

    def metric(self, name, **labels):
        """The sum of a metric's series whose labels include `labels`."""
        return sum(
            value for (series, pairs), value in self.metrics().items()
            if series == name and all(pair in pairs for pair in labels.items()))
