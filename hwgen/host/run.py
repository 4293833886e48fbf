"""``hwgen run`` and ``hwgen simulate-board``: images through a board, real or simulated."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from hwgen.backends import uartsim
from hwgen.backends.software import npy
from hwgen.data import load_arrays
from hwgen.errors import LineError, MismatchError, UserInputError
from hwgen.files import check_seal, write_bytes
from hwgen.host.design import Design
from hwgen.host.line import Line
from hwgen.host.link import Link
from hwgen.host.session import Statistics
from hwgen.journal import console
from hwgen.quant import IntArray
from hwgen.saved import DATA

SIMULATED = "sim"  # as a port: the simulated board


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run gave: results (N, ...) int64, seconds of the transfer, what the line did."""

    results: IntArray
    seconds: float
    statistics: Statistics


def run_build(
    build: Path,
    port: str,
    images: Path | None,
    *,
    labels: Path | None = None,
    out: Path | None = None,
    baud: int | None = None,
    timeout_s: float = 5.0,
    check: bool = False,
) -> Outcome:
    """Send images through the board at ``port`` and say how it went.

    ``images``: .npy or .npz (images, labels) of floats (N, C, H, W) or integers (N, H, W, C); by
    default those the build was verified on. ``check`` compares with the build's C++ model and
    raises ``MismatchError`` at a difference. Raises ``LineError`` for what is wrong at the port.
    """
    check_seal(build)
    design = Design.read(build)
    arrays = load_arrays(images or build / DATA)
    pictures, truth = arrays["images"], _labels(labels, arrays)
    if truth is not None and truth.shape != (len(pictures),):
        raise UserInputError(f"labels have shape {truth.shape}, ({len(pictures)},) is needed")
    data = design.to_bytes(pictures)
    expected = _expected(build, pictures) if check else None
    rate = baud or design.baud
    with _at(build, port) as name:
        outcome = transfer(design, name, rate, data, build=str(build), timeout_s=timeout_s)
    if out is not None:
        write_bytes(out, npy(outcome.results))
    _tell(design, outcome, None if port == SIMULATED else rate)
    if truth is not None:
        right = int(np.sum(design.classes_of(outcome.results) == truth))
        console.print(f"accuracy {100 * right / len(truth):.2f} % ({right} of {len(truth)})")
    if out is not None:
        console.print(f"{out}: int64 {outcome.results.shape}")
    if expected is not None:
        _compare(outcome.results, expected)
    return outcome


def transfer(
    design: Design, port: str, baud: int, data: bytes, *, build: str, timeout_s: float
) -> Outcome:
    """Images as bytes through the board at ``port``, with a bar on the screen."""
    count = len(data) // design.input.frame_bytes
    line = Line(port, baud, timeout_s=timeout_s)
    try:
        link = Link(line, timeout_s)
        info = link.find(design.build_id, build)
        sizes = design.input.frame_bytes, design.output.frame_bytes
        if (info.image_bytes, info.result_bytes) != sizes:
            raise LineError(
                f"the board takes {info.image_bytes} and returns {info.result_bytes} bytes an "
                f"image, {build} says {sizes[0]} and {sizes[1]}; load its bitstream again"
            )
        with _bar() as bar:
            task = bar.add_task(port, total=count, rate="")
            started = time.monotonic()

            def progress(done: int) -> None:
                rate = done / (time.monotonic() - started)
                bar.update(task, completed=done, rate=f"{rate:,.0f} images/s")

            results = link.run(data, info, progress)
            seconds = time.monotonic() - started
    finally:
        line.close()
    return Outcome(design.from_bytes(results), seconds, link.statistics)


def simulate_board(
    build: Path, faults: uartsim.Faults, *, exact: bool, counts: Path | None
) -> None:
    """Compile the board of ``build`` and run it behind a pseudo-terminal until interrupted.

    ``exact``: with the board's own clock and baud rate, which is slower to simulate.
    """
    check_seal(build)
    design = Design.read(build)
    rate = (round(design.clock_mhz * 1e6), design.baud) if exact else None
    with uartsim.running(_compiled(build, rate), faults, counts) as (port, process):
        text = f"{build} runs at {port}; hwgen run {build} --port {port}; Ctrl-C ends it"
        console.print(text, soft_wrap=True)
        process.wait()


@contextmanager
def _at(build: Path, port: str) -> Iterator[str]:
    """The port to open; for ``SIMULATED``, a simulated board runs behind it."""
    if port != SIMULATED:
        yield port
        return
    with uartsim.running(_compiled(build)) as (name, _):
        yield name


def _compiled(build: Path, rate: tuple[int, int] | None = None) -> Path:
    with console.status("compiling the simulated board"):
        return uartsim.build(build, rate)


def _labels(path: Path | None, arrays: dict[str, NDArray[Any]]) -> NDArray[Any] | None:
    """Labels from a file of their own, or those beside the images, if any."""
    return arrays.get("labels") if path is None else load_arrays(path)["images"]


def _expected(build: Path, images: NDArray[Any]) -> IntArray:
    """What the build's C++ model gives."""
    from hwgen.model import Model  # compiles it

    with console.status("running the C++ model"):
        return Model.of_build(build).run(images)


def _compare(results: IntArray, expected: IntArray) -> None:
    """Raise ``MismatchError`` at the first image whose results differ."""
    wrong = np.flatnonzero((results != expected).reshape(len(results), -1).any(axis=1))
    if len(wrong):
        at = int(wrong[0])
        raise MismatchError(
            f"{len(wrong)} of {len(results)} images differ from the C++ model, first image {at}: "
            f"{results[at].reshape(-1)[:10].tolist()} instead of "
            f"{expected[at].reshape(-1)[:10].tolist()}"
        )
    console.print(f"equal to the C++ model: {len(results)} of {len(results)}")


def _tell(design: Design, outcome: Outcome, baud: int | None) -> None:
    """Rate, and what the line cost; ``baud`` None: simulated, its rate says nothing."""
    count = len(outcome.results)
    rate = count / outcome.seconds if outcome.seconds else 0.0
    text = f"{count:,} images in {outcome.seconds:.1f} s: {rate:,.0f} images/s"
    if baud is not None:
        limit = design.line_limit(baud)
        text += f", {100 * rate / limit:.0f} % of the {limit:,.0f} that {baud} baud can carry"
    text += f"; the network itself could do {design.frames_per_second:,.0f}"
    console.print(text, soft_wrap=True)
    s = outcome.statistics
    if s.damaged or s.retransmitted or s.sessions > 1:
        console.print(
            f"line: {s.damaged} frames damaged, {s.retransmitted} of {s.frames} sent again, "
            f"{s.sessions - 1} resets of the board"
        )


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.completed}/{task.total} {task.fields[rate]}"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
