"""Every benchmark in one run, and docs/benchmarks.md from what they print.

    python benchmarks/all.py [--only area timing] [--no-write]

Each script runs ours and its peers side by side; what it prints goes into the page as it is, with
the machine and the date. About half an hour. With --only, the other sections stay as they are.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
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
HEAD = """# Benchmarks

Written by `python benchmarks/all.py`; what the scripts print, each with its machine and date. Other
work on the machine makes times longer, and ratios less so. LUTs are Yosys', before placement; what
Yosys and nextpnr found is cached, so a script may be quicker than its first run.
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=SCRIPTS, default=list(SCRIPTS))
    parser.add_argument("--no-write", action="store_true", help="print alone")
    args = parser.parse_args()
    parts, failed = sections(), []
    for name in args.only:
        text, seconds, status = run(name)
        print(text, flush=True)
        failed += [name] if status else []
        parts[SCRIPTS[name]] = (
            f"`python benchmarks/{name}.py`, {seconds:.0f} s; {machine()}\n\n"
            f"```\n{text.strip()}\n```\n"
        )
    if failed:
        print(f"failed: {', '.join(failed)}; {PAGE} is left as it was", file=sys.stderr)
        return 1
    if not args.no_write:
        known = [f"## {title}\n\n{parts[title]}" for title in SCRIPTS.values() if title in parts]
        PAGE.write_text("\n".join([HEAD, *known]))
    return 0


def sections() -> dict[str, str]:
    """Those of the page, by title."""
    if not PAGE.is_file():
        return {}
    _, *parts = re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)
    found = (part.partition("\n") for part in parts)
    return {title: f"{body.strip()}\n" for title, _, body in found}


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


def machine() -> str:
    """Processor and date."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [ln for ln in cpuinfo.read_text().splitlines() if ln.startswith("model name")]
        processor = names[0].partition(":")[2].strip() if names else processor
    return f"{processor}, {os.cpu_count()} cores, {time.strftime('%Y-%m-%d')}"


if __name__ == "__main__":
    sys.exit(main())
