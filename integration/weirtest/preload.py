"""Small C libraries that a process loads before the C library (LD_PRELOAD)."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def build(name, folder):
    """Compiles `name`.c into `folder` and returns its path; skips the test where nothing can be loaded first."""
    compiler = shutil.which("cc") or shutil.which("clang")
    if compiler is None or "ASAN_OPTIONS" in os.environ or "TSAN_OPTIONS" in os.environ:
        pytest.skip("no C compiler, or a sanitizer that wants to be loaded first")
    library = folder / f"{name}.so"
    source = Path(__file__).parent / f"{name}.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return str(library)
