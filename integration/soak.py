"""`make soak`: thousands of clients under a content that changes all the time, for minutes.

    python integration/soak.py --minutes 20 --clients 2000
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

from weirtest.soak import Soak  # noqa: E402

ARTIFACTS = Path(__file__).resolve().parent / "artifacts"


def say(line):
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=random.randrange(100_000))
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--clients", type=int, default=2000)
    parser.add_argument("--rate", type=float, default=4, help="changes in a second")
    parser.add_argument("--churn", type=int, default=20, help="clients that reconnect in a second")
    parser.add_argument("--nice", type=int, default=0)
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    folder = Path(tempfile.mkdtemp(prefix="weir-soak-"))
    say(f"seed {options.seed}: {options.clients} clients, {options.rate:g} changes a second, {options.minutes:g} minutes")
    try:
        soak = Soak(folder, options.seed, options.clients, options.rate, options.churn, options.nice, say)
        for what, value in soak.run(options.minutes * 60, min(60, options.minutes * 6)).items():
            say(f"  {what}: {value}")
    except BaseException:
        traceback.print_exc()
        kept = ARTIFACTS / f"soak-{options.seed}"
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(folder, kept)
        say(f"FAILED; logs in {kept}; again: make soak SEED={options.seed} MINUTES={options.minutes:g}")
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
