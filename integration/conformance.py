"""Holds docs/conformance.md, the sources and the results of the tests against each other.

    conformance.py                      the table against the sources and the results of the last `make test`
    conformance.py --sources-only       the table against the names of the tests alone
    conformance.py --write              writes the table's column of tests anew, from the names of the tests

A test proves an item when the item's id stands in its name: `SOTW-05` in the name of a Swift test, `SOTW_05` in that of
a Python function. Exit status 1 when something does not fit, 2 when there are no results to look at.
"""

import argparse
import ast
import json
import re
import sys
import xml.etree.ElementTree
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "docs/conformance.md"
SWIFT_RESULTS = ROOT / ".build/conformance/swift.jsonl"
PYTEST_RESULTS = ROOT / ".build/conformance/integration.xml"

GROUPS = ("WIRE", "SOTW", "DELTA", "UP", "XLT", "AGG", "ORD", "TTL", "NAME", "SVC")
_ID = re.compile(rf"(?<![A-Z])({'|'.join(GROUPS)})[-_](\d\d)(?!\d)")
_ROW = re.compile(rf"^\| ((?:{'|'.join(GROUPS)})-\d\d) \|")
#: What the second column may hold: nothing, a star, or a star for one kind of upstream, where the item has no other.
STARS = ("", "★", "★ sotw", "★ delta")
KINDS = ("up-delta", "up-sotw")


def ids_in(name):
    """The ids that a test's name carries."""
    return [f"{group}-{number}" for group, number in _ID.findall(name)]


# --- The table.


@dataclass
class Item:
    """One row of the table."""

    id: str
    star: str
    text: str
    status: str
    tests: list
    line: int

    @property
    def group(self):
        return self.id.split("-")[0]

    @property
    def is_met(self):
        return self.status != "not yet"

    @property
    def is_otherwise(self):
        return self.status.startswith("otherwise:")


def _cells(line):
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def read_table(text):
    """(items in order, faults)."""
    items, faults, seen = [], [], set()
    for number, line in enumerate(text.splitlines(), 1):
        if not _ROW.match(line):
            continue
        cells = _cells(line)
        if len(cells) != 5:
            faults.append(f"line {number}: {len(cells)} columns instead of 5 (a bar in a cell is written \\|)")
            continue
        item = Item(*cells[:4], tests=[test for test in cells[4].split("<br>") if test], line=number)
        if item.id in seen:
            faults.append(f"line {number}: {item.id} stands twice")
        seen.add(item.id)
        if item.star not in STARS:
            faults.append(f"line {number}: {item.id}: \"{item.star}\" is none of {', '.join(map(repr, STARS))}")
        if item.status not in ("met", "not yet") and not re.match(r"(met; |otherwise: )\S", item.status):
            faults.append(f"line {number}: {item.id}: the status is `met`, `met; NOTE`, `otherwise: WHAT AND WHY` or "
                          f"`not yet`, not \"{item.status}\"")
        items.append(item)
    return items, faults


def write_tests(text, tests):
    """The text with the last column of every row made of `tests` (id → labels)."""
    lines = []
    for line in text.splitlines():
        row = _ROW.match(line)
        if row:
            kept = re.split(r"(?<!\\)\|", line)[1:-2]
            column = "<br>".join(label.replace("|", "\\|") for label in tests.get(row[1], ()))
            line = "|" + "|".join(kept) + (f"| {column} |" if column else "| |")
        lines.append(line)
    return "\n".join(lines) + "\n"


# --- The names of the tests.


def swift_tests(folder):
    """label → ids, of the Swift tests whose names carry ids. The label is `MODULE: name`."""
    found = {}
    for path in sorted(folder.glob("*/**/*.swift")):
        for name in re.findall(r'@Test\(\s*"((?:[^"\\]|\\.)*)"', path.read_text()):
            name = name.replace('\\"', '"').replace("\\\\", "\\")
            if ids_in(name):
                found[f"{path.relative_to(folder).parts[0]}: {name}"] = ids_in(name)
    return found


def python_tests(folder):
    """label → ids, of the Python tests whose names carry ids. The label is `FILE: name`."""
    found = {}
    for path in sorted(folder.glob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(), str(path))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and ids_in(node.name):
                found[f"{path.name}: {node.name}"] = ids_in(node.name)
    return found


def source_tests(root=ROOT):
    """id → sorted labels of the tests that carry it."""
    tests = defaultdict(list)
    for label, ids in (swift_tests(root / "Tests") | python_tests(root / "integration")).items():
        for each in dict.fromkeys(ids):
            tests[each].append(label)
    return {each: sorted(labels) for each, labels in tests.items()}


# --- The results of the tests.


@dataclass
class Result:
    """What became of one test; a test with parameters may both pass and fail."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    #: Python: the kinds of upstream that it passed with.
    kinds: set = field(default_factory=set)


def read_swift_results(path):
    """Display name → Result, from the event stream of Swift Testing; nothing from a run that broke off."""
    names, results, faulty, has_ended = {}, defaultdict(Result), set(), False
    for line in path.read_text().splitlines():
        record = json.loads(line)
        payload = record["payload"]
        has_ended = has_ended or record["kind"] == "event" and payload["kind"] == "runEnded"
        if record["kind"] == "test" and payload["kind"] == "function":
            names[payload["id"]] = payload.get("displayName") or payload["name"]
        if record["kind"] != "event" or payload.get("testID") not in names:
            continue
        result, kind = results[names[payload["testID"]]], payload["kind"]
        if kind == "issueRecorded" and not payload.get("issue", {}).get("isKnown", False):
            faulty.add(payload["testID"])
        elif kind == "testSkipped":
            result.skipped += 1
        elif kind == "testEnded":
            if payload["testID"] in faulty:
                result.failed += 1
            else:
                result.passed += 1
    return results if has_ended else {}


def read_pytest_results(path):
    """Function name → Result, from a JUnit file."""
    results = defaultdict(Result)
    for case in xml.etree.ElementTree.parse(path).getroot().iter("testcase"):
        name, _, parameters = case.get("name").partition("[")
        result, tags = results[name], {child.tag for child in case}
        if tags & {"failure", "error"}:
            result.failed += 1
        elif "skipped" in tags:
            result.skipped += 1
        else:
            result.passed += 1
            result.kinds |= {kind for kind in KINDS if kind in parameters}
    return results


def newest_source():
    """The file of the product or its tests that was changed last."""
    files = [path for folder in ("Sources", "Tests") for path in (ROOT / folder).rglob("*") if path.is_file()]
    return max(files + list((ROOT / "integration").rglob("*.py")), key=lambda path: path.stat().st_mtime)


# --- What must hold.


def check_sources(items, tests):
    """Faults between the table and the names of the tests."""
    faults = []
    known = {item.id for item in items}
    for each in sorted(set(tests) - known):
        faults.append(f"{each} stands in the name of a test and not in the table: {tests[each][0]}")
    for item in items:
        actual = tests.get(item.id, [])
        if item.is_met and not actual:
            faults.append(f"{item.id} is met, says the table, and no test carries its id")
        for label in item.tests:
            if label not in actual:
                faults.append(f"{item.id} names a test that does not exist: {label}")
        for label in actual:
            if label not in item.tests:
                faults.append(f"{item.id} does not name its test: {label}")
    if any("name" in fault for fault in faults):
        faults.append("to write the column of tests anew: integration/conformance.py --write")
    return faults


def check_results(items, swift, python):
    """Faults between the table and the results; the results are by test name."""
    faults = []
    for name, result in list(swift.items()) + list(python.items()):
        if not ids_in(name):
            continue
        if result.failed:
            faults.append(f"failed: {name}")
        elif result.skipped:
            faults.append(f"skipped, so that it proves nothing: {name}")
    for item in items:
        if not item.is_met:
            continue
        mine = [result for name, result in swift.items() if item.id in ids_in(name)]
        wire = [result for name, result in python.items() if item.id in ids_in(name)]
        if not any(result.passed and not result.failed for result in mine + wire):
            faults.append(f"{item.id} is met, says the table, and no test that carries its id has passed")
        if item.star and not any(result.passed for result in wire):
            faults.append(f"{item.id} has a star, and no integration test that carries its id has passed")
        elif item.star == "★":
            missing = set(KINDS) - set().union(*(result.kinds for result in wire))
            if missing:
                faults.append(f"{item.id} has a star, and no integration test of it ran with {', '.join(missing)}")
    return faults


def summary(items):
    """The counts by group, and what is not met, as lines."""
    lines = []
    for group in GROUPS:
        of_group = [item for item in items if item.group == group]
        met = sum(item.is_met for item in of_group)
        otherwise = sum(item.is_otherwise for item in of_group)
        lines.append(f"{group:<6} {met:>3}/{len(of_group)}" + (f"  ({otherwise} decided otherwise)" if otherwise else ""))
    lines.append(f"{'all':<6} {sum(item.is_met for item in items):>3}/{len(items)}")
    missing = [item.id for item in items if not item.is_met]
    if missing:
        lines.append(f"NOT YET MET: {len(missing)} of {len(items)} items: {' '.join(missing)}")
    return lines


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--sources-only", action="store_true", help="look at the names of the tests alone")
    parser.add_argument("--write", action="store_true", help="write the table's column of tests anew")
    parser.add_argument("--swift", type=Path, default=SWIFT_RESULTS, help="event stream of `swift test`")
    parser.add_argument("--pytest", type=Path, default=PYTEST_RESULTS, help="JUnit file of pytest")
    options = parser.parse_args(arguments)
    tests = source_tests()
    if options.write:
        TABLE.write_text(write_tests(TABLE.read_text(), tests))
    items, faults = read_table(TABLE.read_text())
    faults += check_sources(items, tests)
    if not options.sources_only and not options.write:
        for path in (options.swift, options.pytest):
            if not path.exists():
                print(f"{path} does not exist: `make test` writes it", file=sys.stderr)
                return 2
        faults += check_results(items, read_swift_results(options.swift), read_pytest_results(options.pytest))
        if (newer := newest_source()).stat().st_mtime > min(options.swift.stat().st_mtime, options.pytest.stat().st_mtime):
            print(f"The results are older than {newer.relative_to(ROOT)}; `make test` renews them.")
    print("\n".join(summary(items)))
    for fault in faults:
        print(f"conformance: {fault}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
