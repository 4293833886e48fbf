"""Every benchmark in one run, and docs/benchmarks.md from what they print.

    python benchmarks/all.py [--only area timing] [--no-write]

Each script runs ours and its peers side by side; what it prints goes into the page as it is, with
the machine and the date. About half an hour.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "benchmarks.md"
SCRIPTS = {  # file, and what it is about
    "kernels": "LUTs of binary kernels",
    "area": "Designs: estimate, FINN, growth",
    "timing": "Clock: ECP5 place and route, LUT levels",
    "cppsim": "Software speed",
    "rtlsim": "Build time and simulation speed",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=SCRIPTS, default=list(SCRIPTS))
    parser.add_argument("--no-write", action="store_true", help="print alone")
    args = parser.parse_args()
    parts, failed = [], []
    for name in args.only:
        text, seconds, status = run(name)
        print(text, flush=True)
        failed += [name] if status else []
        title = f"## {SCRIPTS[name]}\n\n`python benchmarks/{name}.py`, {seconds:.0f} s\n"
        parts.append(f"{title}\n```\n{text.strip()}\n```\n")
    if failed:
        print(f"failed: {', '.join(failed)}; {PAGE} is left as it was", file=sys.stderr)
        return 1
    if not args.no_write:
        PAGE.write_text("\n".join([head(), *parts]))
    return 0


def run(name: str) -> tuple[str, float, int]:
    """What a script prints, how long it takes and its exit status."""
    start = time.monotonic()
    environment = {**os.environ, "COLUMNS": "110", "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, str(HERE / f"{name}.py")],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    text = "\n".join(line.rstrip() for line in done.stdout.splitlines())
    if done.returncode:
        text += f"\n{done.stderr[-2000:]}"
    return text, time.monotonic() - start, done.returncode


def head() -> str:
    """Title, machine and date."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [ln for ln in cpuinfo.read_text().splitlines() if ln.startswith("model name")]
        processor = names[0].partition(":")[2].strip() if names else processor
    return (
        "# Benchmarks\n\n"
        f"{processor}, {os.cpu_count()} cores, {time.strftime('%Y-%m-%d')}, written by\n"
        "`python benchmarks/all.py`. Other work on the machine makes times longer, and ratios "
        "less so.\n"
    )


if __name__ == "__main__":
    sys.exit(main())
