"""The board, simulated: its whole top, serial shell included, behind a pseudo-terminal."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from hwgen.backends import rtlsim, uart
from hwgen.dataflow import Dataflow
from hwgen.errors import UserInputError
from hwgen.files import Files
from hwgen.render import render, static
from hwgen.run import Background, background

FOLDER = "uartsim"
PROGRAM = "uartsim"
PROJECT = "../project"  # seen from the folder, a sibling of rtl/ and project/
QUIET_CLOCKS = 100_000  # at least, before the simulation waits for the host


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong on the line, both ways; probabilities, drawn with ``seed``.

    ``noise``: of a bit to be flipped; ``drop``, ``repeat``: of a byte to be lost, or to come twice;
    ``garbage``: of random bytes in front of a byte; ``replay``: of one of the last 8 data frames
    to reach the board again. ``reset``: the board is reset after every so many bytes of the host.
    ``skew``: by which share the host's bits are longer than the board's.
    """

    seed: int = 0
    noise: float = 0.0
    drop: float = 0.0
    repeat: float = 0.0
    garbage: float = 0.0
    replay: float = 0.0
    reset: int = 0
    skew: float = 0.0


NO_FAULTS = Faults()


def emit(dataflow: Dataflow) -> Files:
    """The folder ``uartsim/``."""
    memories = {name for stage in dataflow.stages for name in stage.rtl().memories}
    context = {
        "network": " ".join(dataflow.graph.name.split()),
        "memories": [json.dumps(name) for name in sorted(memories)],
        "patience": QUIET_CLOCKS + rtlsim.patience(dataflow),
    }
    return Files(
        {
            rtlsim.ONES: static(f"rtlsim/{rtlsim.ONES}"),
            "main.cpp": static("uartsim/main.cpp"),
            "design.h": render("uartsim/design.h.j2", context),
        }
    )


def command(
    python: str, made: str, sources: Sequence[str], rate: tuple[int, int]
) -> tuple[str, ...]:
    """What builds the program ``made``, run in its folder; ``rate``: clocks and bits a second."""
    clocks, bits = rate
    return rtlsim.verilate(
        python,
        top=uart.TOP,
        made=made,
        sources=(*sources, "main.cpp"),
        options=(
            *(f"-GCLOCK_HZ={clocks}", f"-GBAUD={bits}"),
            *("-CFLAGS", f"-DHWGEN_CLOCKS_A_BIT={clocks}./{bits}"),
        ),
    )


def build(folder: Path, rate: tuple[int, int] | None = None) -> Path:
    """Compile the simulated board of the build ``folder``, unless it is there; return the program.

    ``rate`` is the clock in Hz and the baud rate of the board, which is exact; by default a bit
    takes the fewest clocks that the receiver accepts, which simulates fastest. Raises
    ``UserInputError`` for a build whose board has no serial line.
    """
    home, rtl = folder / FOLDER, folder / "rtl"
    if not (home / "main.cpp").is_file():
        raise UserInputError(
            f"{folder} was not built for a board with a serial line; its driver/ runs on the board "
            "(hwgen boards lists them)"
        )
    shell = sorted((folder / "project").glob("uart_*.sv")) + sorted(
        path for path in (folder / "project").glob("*.sv") if path.stem in uart.SHARED
    )
    top = folder / "project" / f"{uart.TOP}.sv"
    sources = [f"{PROJECT}/{path.name}" for path in (*shell, top)]
    harness = [home / name for name in ("main.cpp", "design.h", rtlsim.ONES)]
    made = home / (PROGRAM if rate is None else f"{PROGRAM}_exact")
    rtlsim.compile_program(
        made,
        command(sys.executable, made.name, sources, rate or (uart.CLOCKS_A_BIT, 1)),
        [*rtlsim.design_sources(rtl), *shell, top, *harness],
        stamp=made.with_suffix(".json"),
        log=home / "build.log",
    )
    return made


@contextmanager
def running(
    program: Path, faults: Faults = NO_FAULTS, counts: Path | None = None
) -> Iterator[tuple[str, Background]]:
    """Run the compiled ``program``: the port to open, and the process.

    ``counts`` is a file that gets, when it ends, how many bytes, clocks and faults there were.
    """
    words: list[str | Path] = [program.resolve()]
    for name, value in asdict(faults).items():
        words += [f"--{name}", str(value)]
    words += ["--counts", counts.resolve()] if counts else []
    with tempfile.TemporaryDirectory() as temporary:
        log = Path(temporary) / "log.txt"
        with background(words, cwd=program.parent, log=log) as process:
            yield process.first_line(), process
