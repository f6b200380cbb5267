"""`make chaos`: faults by the seed's dice for some minutes, and 50,000 connections that come and go.

    python integration/chaos.py --seed 7 --minutes 10
"""

import argparse
import os
import random
import resource
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from weirtest import churn  # noqa: E402
from weirtest.chaos import Chaos  # noqa: E402
from weirtest.chaosfaults import FAULTS  # noqa: E402

ARTIFACTS = Path(__file__).resolve().parent / "artifacts"


def say(line):
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


def order(seed, seconds):
    """Names of faults without end, each once in every round, until the time is over."""
    chance, end = random.Random(seed), time.monotonic() + seconds
    while True:
        names = sorted(FAULTS)
        chance.shuffle(names)
        for name in names:
            if time.monotonic() > end:
                return
            yield name


def faults(seed, seconds, folder, only):
    chaos = Chaos(seed, folder, say)
    try:
        chaos.start()
        for name in only or order(seed, seconds):
            chaos.run(FAULTS[name], name)
        for what, value in chaos.figures().items():
            say(f"  {what}: {value}")
    finally:
        chaos.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faults", nargs="*", metavar="FAULT", help=f"only these: {', '.join(sorted(FAULTS))}")
    parser.add_argument("--seed", type=int, default=random.randrange(100_000))
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--cycles", type=int, default=50_000, help="connections that come and go; 0: none")
    options = parser.parse_args()
    unknown = [name for name in options.faults if name not in FAULTS]
    if unknown:
        parser.error(f"no fault {', '.join(unknown)}")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    folder = Path(tempfile.mkdtemp(prefix="weir-chaos-"))
    say(f"seed {options.seed}, {options.minutes:g} minutes; logs in {folder}")
    try:
        faults(options.seed, options.minutes * 60, folder / "faults", options.faults)
        if options.cycles and not options.faults:
            for what, value in churn.run(folder, options.cycles).items():
                say(f"  {what}: {value}")
    except BaseException:
        traceback.print_exc()
        kept = ARTIFACTS / f"chaos-{options.seed}"
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(folder, kept, ignore=shutil.ignore_patterns("disk"))
        say(f"FAILED; logs in {kept}; again: make chaos SEED={options.seed} MINUTES={options.minutes:g}")
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    say(f"seed {options.seed}: all is well")
    return 0


if __name__ == "__main__":
    sys.exit(main())
