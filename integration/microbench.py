"""The pure parts by themselves (`make bench-micro`): time, instructions and allocations of one operation, beside the
counts in `microbench.json`, which `--write` renews.

Instructions and allocations are counted by valgrind, so they do not depend on who else uses the machine; they do on the
compiler and the C library. More than 10 % above the table is a warning, never a failure.
"""

import argparse
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
BINARY = ROOT / ".build" / "release" / "weir-bench"
TABLE = pathlib.Path(__file__).with_name("microbench.json")
#: What valgrind is told to count, and one part of its output for each call of it.
MEASURED = "weir_bench_measured"
ALLOCATORS = {"malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc"}
TOLERANCE = 1.10
#: Set beside ours: what another implementation says of operations of the same name, in memory and in nanoseconds.
OTHERS = {"set": 186, "get": 12, "watch": 70, "mixed": 44}


def cases(output):
    return [json.loads(line) for line in output.splitlines()]


def timed():
    run = subprocess.run([BINARY, "micro", "--factor", "5"], check=True, capture_output=True, text=True, timeout=60)
    return cases(run.stdout)


def counted():
    """Instructions and allocations of each case, in order; nothing where there is no valgrind."""
    if not shutil.which("valgrind"):
        return []
    with tempfile.TemporaryDirectory(prefix="weir-micro-") as folder:
        # Valgrind reads all that a debugger would; without that it starts in a second.
        binary, parts = pathlib.Path(folder) / "weir-bench", pathlib.Path(folder) / "parts"
        subprocess.run(["strip", "-g", "-o", binary, BINARY], check=True)
        run = subprocess.run(
            ["valgrind", "--tool=callgrind", f"--callgrind-out-file={parts}", f"--zero-before={MEASURED}",
             f"--dump-after={MEASURED}", binary, "micro"],
            check=True, capture_output=True, text=True, timeout=300)
        found = []
        for number, case in enumerate(cases(run.stdout), 1):
            instructions, allocations = read_part(pathlib.Path(f"{parts}.{number}").read_text())
            found.append((instructions / case["operations"], allocations / case["operations"]))
        return found


def read_part(text):
    """The sum of a part's costs, and how often something was allocated in it."""
    names, callee, allocations = {}, "", 0
    for line in text.splitlines():
        if match := re.match(r"c?fn=\((\d+)\)(?: (.*))?", line):
            if match[2]:
                names[match[1]] = match[2]
            if line[0] == "c":
                callee = names[match[1]]
        elif line.startswith("calls=") and callee in ALLOCATORS:
            allocations += int(line[6:].split()[0])
    return int(re.search(r"^(?:totals|summary): (\d+)", text, re.M)[1]), allocations


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="make what was counted the table to compare with")
    options = parser.parse_args()
    known = json.loads(TABLE.read_text()) if TABLE.exists() else {}
    times, counts = timed(), counted()
    if not counts:
        print("valgrind is not installed: times only")
    print(f"{'':<75} {'ns':>10} {'instructions':>13} {'allocations':>12} {'table':>10}")
    worse = []
    for case, (instructions, allocations) in zip(times, counts or [(None, None)] * len(times)):
        name = case["case"]
        line = f"{name:<75} {case['ns']:>10.0f}"
        if instructions is not None:
            before = known.get(name, {}).get("instructions")
            line += f" {instructions:>13.0f} {allocations:>12.2f}"
            line += f" {100 * (instructions / before - 1):>+9.1f}%" if before else f" {'new':>10}"
            if before and instructions > before * TOLERANCE:
                worse.append(name)
        print(line)
        if (other := OTHERS.get(name.split(":")[0])) is not None:
            print(f"    nebucloud-xds says of its own: {other} ns")
    for name in worse:
        print(f"WARNING: more instructions than in {TABLE.name}: {name}")
    if options.write and counts:
        table = {case["case"]: {"instructions": round(count[0]), "allocations": round(count[1], 2)}
                 for case, count in zip(times, counts)}
        TABLE.write_text(json.dumps(table, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
