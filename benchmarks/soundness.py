"""Random networks through every engine: how many, and how many of them differ.

    python benchmarks/soundness.py --networks 500

Every network is compared with qonnx' execution of its file on the integer graph and in reference;
every tenth also in cppsim and every twenty-fifth in rtlsim, at random foldings and under
back-pressure (--cppsim-every, --rtlsim-every). A network follows from its seed, so any line of the
result can be repeated with --first SEED --networks 1. Exit code 1 if any output differs.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hwgen.errors import HwgenError, UnsupportedError
from tests.random_networks import RandomNetwork
from tests.soundness import Outcome, check


def main() -> int:
    parser = argparse.ArgumentParser(description="random networks through every engine")
    parser.add_argument("--networks", type=int, default=500)
    parser.add_argument("--first", type=int, default=0, help="seed of the first network")
    parser.add_argument("--cppsim-every", type=int, default=10, help="0: never")
    parser.add_argument("--rtlsim-every", type=int, default=25, help="0: never")
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    outcomes: list[Outcome] = []
    refused: Counter[str] = Counter()
    failed = 0
    started = time.monotonic()
    for index in range(args.networks):
        engines = ["reference"]
        engines += ["cppsim"] if args.cppsim_every and index % args.cppsim_every == 0 else []
        engines += ["rtlsim"] if args.rtlsim_every and index % args.rtlsim_every == 0 else []
        seed = args.first + index
        try:
            outcome = one(seed, engines)
        except UnsupportedError as error:
            refused[str(error)] += 1
            continue
        except (HwgenError, AssertionError) as error:
            failed += 1
            print(f"network {seed}: {error}", flush=True)
            continue
        outcomes.append(outcome)
        for wrong in outcome.wrong:
            print(f"network {seed}: {wrong}", flush=True)
    return report(outcomes, refused, failed, time.monotonic() - started)


def one(seed: int, engines: list[str]) -> Outcome:
    folder = Path(tempfile.mkdtemp(prefix="hwgen-soundness-"))
    try:
        return check(RandomNetwork(seed), folder, engines)
    finally:
        shutil.rmtree(folder)


def report(outcomes: list[Outcome], refused: Counter[str], failed: int, seconds: float) -> int:
    """Print the counts; 1 if anything differs."""
    wrong = failed + sum(bool(outcome.wrong) for outcome in outcomes)
    images = sum(outcome.images for outcome in outcomes)
    kinds = Counter(kind for outcome in outcomes for kind in outcome.layers)
    runs = Counter(engine for outcome in outcomes for engine in outcome.engines)
    print(f"networks {len(outcomes) + failed}, images {images}, seconds {seconds:.0f}")
    print("networks by engine:", ", ".join(f"{name} {n}" for name, n in runs.items()))
    print("layers:", ", ".join(f"{name} {n}" for name, n in kinds.most_common()))
    print(f"refused {sum(refused.values())}")
    for why, count in refused.most_common():
        print(f"  {count} x {why}")
    print(f"mismatches {wrong}")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
