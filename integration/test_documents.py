"""The documents: their commands run and print what they show, their links lead somewhere.

How a command is marked to be run stands in CONTRIBUTING.md, *Documents*.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from weirtest import envoy as envoy_module
from weirtest import weir as weir_module
from weirtest.process import Process
from weirtest.published import Published
from weirtest.waiting import eventually

pytestmark = pytest.mark.relay_only

ROOT = weir_module.ROOT
SKIPPED = {".build", ".venv", ".git", "artifacts", ".pytest_cache"}
DOCUMENTS = sorted(path for path in ROOT.rglob("*.md") if not SKIPPED & set(path.relative_to(ROOT).parts))
#: A mark, and the fenced block that follows it.
MARKED = re.compile(r"^ *<!-- (run|file|stop)(?:[: ]+([^\n]*?))? -->\n(?:( *)```\w*\n(.*?)^ *```$)?", re.M | re.S)


def name(path):
    return str(path.relative_to(ROOT))


def without_blocks(text):
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.M | re.S)


# --- Commands.


class Session:
    """What a reader has: an empty folder with configs/ and .venv/ in it, weir and envoy on the path."""

    def __init__(self, folder):
        self.folder = folder
        self.published = Published(folder / "configs")
        programs = folder / "programs"
        for path, target in ((programs / "weir", weir_module.BINARY), (programs / "envoy", envoy_module.BINARY),
                             (folder / ".venv/bin/envoy", envoy_module.BINARY),
                             (folder / ".venv/bin/python", sys.executable)):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f'#!/bin/sh\nexec "{Path(target).absolute()}" "$@"\n')
            path.chmod(0o755)
        self.environment = {
            **os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "NO_COLOR": "1", "SWIFT_BACKTRACE": "enable=no",
            "WEIR_ADMIN": f"http://127.0.0.1:{self.published.ports[9901]}", "GRPC_VERBOSITY": "NONE",
        }
        self.running = []

    def write(self, path, text):
        (self.folder / path).write_text(self.published.moved(text))

    def start(self, command, line):
        """Starts a program that goes on, and waits until it has printed `line`."""
        process = Process(["bash", "-c", f"exec {self.published.moved(command)}"],
                          self.folder / f"background-{len(self.running) + 1}.log", self.environment, self.folder)
        self.running.append(process)
        process.wait_log(line, timeout=30)

    def run(self, command, shown, status):
        """Runs a command until it ends with `status` and prints what is `shown`; `...` stands for anything."""
        pattern = ".*".join(re.escape(piece) for piece in shown.strip().split("..."))
        last = None

        def done():
            nonlocal last
            last = subprocess.run(
                ["bash", "-c", self.published.moved(command)], cwd=self.folder, env=self.environment, text=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30)
            printed = "\n".join(line.rstrip() for line in self.published.published(last.stdout).strip().splitlines())
            return last.returncode == status and (not shown.strip() or re.fullmatch(pattern, printed, re.S))

        eventually(done, lambda: f"$ {command}\nto print\n{shown}\nIt ended with {last.returncode} and printed\n"
                   f"{last.stdout}\n{self.logs()}", 15, 0.3)

    def logs(self):
        return "\n".join(f"--- {process.arguments[-1]}\n{process.tail(15)}" for process in self.running)

    def stop(self):
        for process in reversed(self.running):
            process.kill()
        self.running.clear()


def commands(block):
    """The commands of a block, each with what it is shown to print; a command may go on after a backslash."""
    found = []
    for line in block.splitlines():
        if found and found[-1][0].endswith("\\"):
            found[-1][0] += "\n" + line
        elif line.startswith("$ "):
            found.append([line[2:], ""])
        elif found:
            found[-1][1] += line + "\n"
        elif line.strip():
            raise AssertionError(f"a block that is run begins with a command: {line}")
    return [(re.sub(r"  +# .*$", "", command), shown) for command, shown in found]


RUNNABLE = [path for path in DOCUMENTS
            if "CONTRIBUTING" not in path.name and "run" in {match[1] for match in MARKED.finditer(path.read_text())}]


@pytest.mark.parametrize("path", RUNNABLE, ids=name)
def test_commands_print_what_the_document_shows(path, tmp_path):
    session = Session(tmp_path)
    try:
        for mark, argument, indent, block in MARKED.findall(path.read_text()):
            block = re.sub(f"^{indent}", "", block, flags=re.M)
            if mark == "stop":
                session.stop()
            elif mark == "file":
                session.write(argument, block)
            elif argument.startswith("until "):
                [(command, _)] = commands(block)
                session.start(command, argument.removeprefix("until "))
            else:
                status = int(argument.removeprefix("status ") or 0)
                for command, shown in commands(block):
                    session.run(command, shown, status)
    finally:
        session.stop()


def test_the_walk_through_is_run():
    assert {name(path) for path in RUNNABLE} >= {"README.md", "docs/getting-started.md", "docs/configuration.md"}
    assert commands("$ a  # why\nb\n$ c \\\n  d\n") == [("a", "b\n"), ("c \\\n  d", "")]


# --- What is not run exists at least.


def shown_commands(program):
    """Every command line of the program in a console block: (document, words after the program's name)."""
    for path in DOCUMENTS:
        for block in re.findall(r"^ *```console\n(.*?)^ *```$", path.read_text(), re.M | re.S):
            # Where a block shows prompts, what is without one is output.
            prompt = r"\$ " if re.search(r"^ *\$ ", block, re.M) else ""
            for line in re.findall(rf"^ *{prompt}{program} (.*)$", block, re.M):
                yield name(path), re.split(r"\s{2,}#|\|", line)[0].split()


def test_every_command_and_option_of_weir_in_the_documents_exists():
    found = list(shown_commands("weir"))
    assert len(found) > 30
    helps = {}
    for document, words in found:
        plain = [word for word in words if not word.startswith("-")]
        asked = tuple(plain[:2] if plain[:1] == ["store"] else plain[:1])
        if asked not in helps:
            helps[asked] = weir_module.command(*asked, "--help")
        assert helps[asked].returncode == 0, f"{document}: weir {' '.join(words)}"
        for option in (word.split("=")[0] for word in words if word.startswith("--")):
            assert option in helps[asked].stdout or option in ("--help", "--version"), \
                f"{document}: weir {' '.join(words)}: no {option}"


def test_every_target_of_make_in_the_documents_exists():
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.M))
    for document, words in shown_commands("make"):
        asked = [word for word in words if re.fullmatch(r"[a-z-]+", word)]
        assert set(asked) <= targets, f"{document}: make {' '.join(words)}"


# --- Links.


def anchors(text):
    """The anchors of a document's headings, as they are made where Markdown is shown."""
    found = set()
    for heading in re.findall(r"^#{1,6} +(.*?)\s*$", without_blocks(text), re.M):
        heading = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", heading).replace(" ", "-")
        number = 1
        unique = anchor
        while unique in found:
            unique, number = f"{anchor}-{number}", number + 1
        found.add(unique)
    return found


def links(text):
    plain = re.sub(r"`[^`\n]*`", "", without_blocks(text))
    return re.findall(r"\]\(([^)\s]+)\)", plain) + re.findall(r"^\[[^]]+\]: (\S+)$", plain, re.M)


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_links_lead_somewhere(path):
    for link in links(path.read_text()):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        file = (path.parent / target).resolve() if target else path
        assert file.exists(), f"{name(path)}: {link}"
        assert ROOT in file.parents, f"{name(path)}: {link} leads out of the tree"
        if anchor:
            assert anchor in anchors(file.read_text()), f"{name(path)}: {link}"


def test_every_document_is_in_the_index():
    index = {(ROOT / "docs" / link.split("#")[0]).resolve() for link in links((ROOT / "docs/README.md").read_text())}
    missing = [name(path) for path in DOCUMENTS if path.parent == ROOT / "docs" and path not in index]
    assert missing == ["docs/README.md"]
    decisions = {(ROOT / "docs/decisions" / link).resolve()
                 for link in links((ROOT / "docs/decisions/README.md").read_text())}
    assert {path for path in DOCUMENTS if path.parent.name == "decisions"} - decisions == {
        ROOT / "docs/decisions/README.md"}


def test_anchors_and_links_are_found():
    assert anchors("# A `b` (c), d\n## Two\n## Two\n```\n# no\n```\n") == {"a-b-c-d", "two", "two-1"}
    assert links("[a](b.md#c) `[x](y)`\n```\n[n](o)\n```\n[d]: e.md\n") == ["b.md#c", "e.md"]
