"""Feed damaged ONNX files to the frontend: every one must be built, or refused in one clear line.

    python benchmarks/fuzz.py --count 2000

Prints how many were tried, refused cleanly, accepted, and how many crashed; ends with 1 if any did.
``hwgen check`` must give the same verdict as an import: another one counts as a crash too.
"""

from __future__ import annotations

import argparse
import collections
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hwgen.board import load_board  # noqa: E402
from hwgen.errors import HwgenError, MismatchError  # noqa: E402
from hwgen.frontend.importer import import_model  # noqa: E402
from hwgen.frontend.summary import summarise  # noqa: E402
from hwgen.frontend.survey import survey  # noqa: E402
from hwgen.preflight import fit  # noqa: E402
from tests.fuzzing import bases, damaged  # noqa: E402

SECONDS = 30  # of processor time for one file: a busy machine is no hang
MEMORY = 8 << 30  # bytes of address space


class HangError(BaseException):
    """A file took more time than it may."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0, help="of the first file")
    parser.add_argument("--no-check", action="store_true", help="do not compare with hwgen check")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    signal.signal(signal.SIGPROF, _hang)
    started = time.monotonic()
    tally: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(options.seed, options.seed + options.count):
            tally[attempt(Path(folder) / "m.onnx", seed, compare=not options.no_check)] += 1
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"{options.count} files in {time.monotonic() - started:.0f} s: "
        f"{tally['clean']} clean errors, {tally['accepted']} accepted, {tally['crash']} crashes; "
        f"at most {peak:.2f} GB"
    )
    return 1 if tally["crash"] else 0


def attempt(path: Path, seed: int, *, compare: bool) -> str:
    """Import one damaged file; how it ended."""
    models = bases()
    data, what = damaged(models[seed % len(models)], seed)
    path.write_bytes(data)
    try:
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        outcome, said = verdict(path)
        if compare:
            agreed, problems = checked(path)
            if agreed != (outcome == "accepted"):
                raise AssertionError(f"import: {outcome} {said}; check: {agreed} {problems}")
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        print(f"seed {seed} ({what}): {type(error).__name__}: {str(error)[:600]}", flush=True)
        traceback.print_exc(limit=-3, file=sys.stdout)
        return "crash"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return outcome


def verdict(path: Path) -> tuple[str, str]:
    """Whether a file was accepted, and what was said if not."""
    try:
        import_model(path, None, count=1)
    except MismatchError:
        raise
    except HwgenError as error:
        return "clean", str(error)
    return "accepted", ""


def checked(path: Path) -> tuple[bool, str]:
    """The verdict of ``hwgen check`` and its problems."""
    try:
        found, graph = survey(path)
        summarise(path)
    except HwgenError as error:
        return False, str(error)
    if graph is not None:
        fit(graph, load_board("pynq-z2"))
    return found.ok, " | ".join(p.reason for p in found.problems)


def _hang(*_: object) -> None:
    raise HangError(f"more than {SECONDS} s of processor time")


if __name__ == "__main__":
    sys.exit(main())
