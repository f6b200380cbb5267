"""Writes the reference of the library products (`make docs`) to .build/docs, with the toolchain's docc.

Fails on what docc warns of, such as a link that leads nowhere, and on public names without a comment.
"""

import json
import platform
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MODULES = ROOT / ".build/debug/Modules"
GRAPHS = ROOT / ".build/symbol-graphs"
OUTPUT = ROOT / ".build/docs"
#: What the compiler writes by itself, or a protocol of the standard library explains.
INHERITED = {
    "==(_:_:)", "!=(_:_:)", "hash(into:)", "hashValue", "description", "init(rawValue:)", "rawValue", "allCases",
    "localizedDescription",
}


def graph(module):
    """Has the compiler write the public symbols of a module that was built, with their comments."""
    folder = GRAPHS / module
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    # The modules of the C libraries are public to no one, but the compiler wants to know that they exist.
    maps = [*sorted(ROOT.glob("Sources/C*")), *sorted(ROOT.glob("Sources/C*/include")),
            *sorted(path.parent for path in ROOT.glob(".build/debug/C*.build/module.modulemap"))]
    maps = [flag for path in maps for flag in ("-I", str(path))]
    subprocess.run(
        ["swift", "symbolgraph-extract", "-module-name", module, "-I", str(MODULES), *maps,
         "-target", f"{platform.machine()}-unknown-linux-gnu", "-minimum-access-level", "public",
         "-skip-synthesized-members", "-skip-inherited-docs", "-output-dir", str(folder)], check=True)
    return folder


def uncommented(folder, module):
    """The public names of a module that no comment explains."""
    symbols = json.loads((folder / f"{module}.symbols.json").read_text())["symbols"]
    return sorted(
        ".".join(symbol["pathComponents"]) for symbol in symbols
        if "docComment" not in symbol and symbol["pathComponents"][-1] not in INHERITED
        and not symbol["identifier"]["precise"].endswith("SYNTHESIZED"))


def convert(module, folder):
    """The command that makes the pages of a module."""
    return ["docc", "convert", str(ROOT / "Sources" / module / f"{module}.docc"), "--additional-symbol-graph-dir",
            str(folder), "--fallback-display-name", module, "--fallback-bundle-identifier", f"weir.{module}",
            "--output-path", str(OUTPUT / module), "--warnings-as-errors"]


def main(modules):
    OUTPUT.mkdir(parents=True, exist_ok=True)
    missing = []
    for module in modules:
        folder = graph(module)
        missing += [f"{module}: {name}" for name in uncommented(folder, module)]
        if subprocess.run(convert(module, folder)).returncode != 0:
            sys.exit(f"docc finds fault with {module}")
        print(OUTPUT.relative_to(ROOT) / module)
    if missing:
        sys.exit("without a comment:\n  " + "\n  ".join(missing))


if __name__ == "__main__":
    main(sys.argv[1:])
