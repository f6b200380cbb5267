"""Which share of the sources' lines tests have run, by module; `make coverage` runs the tests.

    line_coverage.py FOLDER                 FOLDER: the build with profiles, such as .build/coverage
    line_coverage.py FOLDER --missing NAME  the lines of a module, or of a file, that no test ran

Counts are those of the Swift tests, and of the runs of weir whose profiles lie in FOLDER/profiles. Exit status 1 when the
pure modules, or all sources, are below their bound.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "Sources"
#: No sockets, clock, threads or logs: nothing there that only a whole relay could reach.
PURE = ("WeirBase", "WeirXDS", "WeirRules", "WeirEngine", "WeirObserve", "WeirTrace", "WeirHash", "WeirGzip", "WeirRegex")
#: What is no part of the relay.
LEFT_OUT = ("weir-bench",)
#: Percent of lines. What needs sockets is the integration suite's to test, so that all sources can be judged with it only.
PURE_MIN, ALL_MIN = 85, 80


def llvm(tool, *arguments):
    """What one of the toolchain's own tools prints; others do not read its profiles."""
    folder = Path(os.path.realpath(shutil.which("swift"))).parent
    return subprocess.run(
        [str(folder / tool), *map(str, arguments)], check=True, stdout=subprocess.PIPE, text=True).stdout


def merged_profile(build):
    """One profile of all runs, and whether there are any of weir itself."""
    units = sorted((build / "debug/codecov").glob("*.profraw"))
    if not units:
        sys.exit(f"there are no profiles in {build}: run `make coverage`")
    runs = sorted((build / "profiles").glob("*.profraw"))
    merged = build / "all.profdata"
    # A run that was killed may have left half a profile, which is no reason to count none.
    llvm("llvm-profdata", "merge", "--sparse", "--failure-mode=all", "-o", merged, *units, *runs)
    return merged, bool(runs)


def programs(build, with_runs):
    """What was run, as llvm-cov wants it."""
    tests = next((build / "debug").glob("*.xctest"))
    return [str(tests), *(["-object", str(build / "debug/weir")] if with_runs else [])]


def measured(build, profile, with_runs):
    """Module → file → (lines, lines that ran)."""
    text = llvm("llvm-cov", "export", "--summary-only", "--ignore-filename-regex", r"/(Tests|\.build)/",
                f"--instr-profile={profile}", *programs(build, with_runs))
    modules = defaultdict(dict)
    for each in json.loads(text)["data"][0]["files"]:
        path = Path(each["filename"])
        if not path.is_relative_to(SOURCES) or path.suffix == ".h":
            continue
        name = path.relative_to(SOURCES)
        if name.parts[0] not in LEFT_OUT:
            modules[name.parts[0]][str(name)] = (each["summary"]["lines"]["count"], each["summary"]["lines"]["covered"])
    return modules


def total(modules, names=None):
    """Lines, and lines that ran, of some modules or all."""
    counts = [count for name, files in modules.items() if names is None or name in names for count in files.values()]
    return sum(lines for lines, _ in counts), sum(ran for _, ran in counts)


def too_low(modules, with_runs):
    """What is below its bound."""
    low = []
    for text, names, least in (("the pure modules are", PURE, PURE_MIN), ("all sources together are", None, ALL_MIN)):
        lines, ran = total(modules, names)
        if 100 * ran < least * lines and (names or with_runs):
            low.append(f"{text} below {least} %")
    return low


def line(name, counts):
    lines, ran = counts
    return f"| {name} | {lines} | {100 * ran / max(lines, 1):.1f} % |"


def show_missing(build, profile, with_runs, wanted):
    """Prints the lines that no test ran, file by file."""
    paths = [each for each in SOURCES.rglob("*") if each.suffix in (".swift", ".c", ".cpp")
             and wanted in (each.name, each.relative_to(SOURCES).parts[0], str(each.relative_to(SOURCES)))]
    for path in sorted(paths):
        text = llvm("llvm-cov", "show", f"--instr-profile={profile}", *programs(build, with_runs), path)
        rows = [row.split("|", 2) for row in text.splitlines() if row.count("|") >= 2]
        missing = [f"{number.strip():>5} {code}" for number, count, code in rows if count.strip() == "0"]
        if missing:
            print(f"\n{path.relative_to(ROOT)}", *missing, sep="\n")


def main():
    parser = argparse.ArgumentParser(description="The share of lines that tests have run.")
    parser.add_argument("build", type=Path, help="the build with profiles")
    parser.add_argument("--missing", help="a module or file: print its lines that did not run")
    options = parser.parse_args()
    profile, with_runs = merged_profile(options.build)
    if options.missing:
        return show_missing(options.build, profile, with_runs, options.missing)
    modules = measured(options.build, profile, with_runs)
    absent = set(PURE) - set(modules)
    if absent:
        sys.exit(f"no counts of {', '.join(sorted(absent))}: was the list of pure modules changed?")
    pure, everything = total(modules, PURE), total(modules)
    print("| module | lines | run by tests |", "|---|---|---|", sep="\n")
    for name in [*PURE, *sorted(set(modules) - set(PURE))]:
        print(line(name, total(modules, [name])))
    print(line("**pure modules**", pure), line("**all**", everything), sep="\n")
    low = too_low(modules, with_runs)
    for text in low:
        print(f"line coverage: {text}", file=sys.stderr)
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main())
