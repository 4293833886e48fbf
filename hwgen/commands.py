"""What each command of the command line does, in a few calls."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from hwgen.board import board_names, load_board
from hwgen.files import check_seal
from hwgen.journal import console
from hwgen.resources import data_folder

DEFAULT_RUN = Path("runs/digits")
QUICK_IMAGES = 8  # verified at the end of a build; `hwgen verify` takes them all


def train_network(
    config: Path | None, overrides: Sequence[str], out: Path | None, *, resume: bool, devices: int
) -> Path:
    """Train; return the checkpoint."""
    from training.train import load_config, train

    folder = out or Path("runs") / (config.stem if config else "digits")
    result = train(load_config(config, overrides), folder, resume, devices)
    shown = {
        key: f"{100 * value:.2f} %" for key, value in result.metrics.items() if "accuracy" in key
    }
    console.print(f"{result.checkpoint}: " + ", ".join(f"{k} {v}" for k, v in shown.items()))
    return result.checkpoint


def export_network(checkpoint: Path, out: Path | None) -> Path:
    """Export; return the QONNX file."""
    from training.export import export

    model = export(checkpoint, out or checkpoint.with_name("model.onnx"))
    console.print(f"{model}, verification data {model.with_suffix('.data.npz')}")
    return model


def default_network() -> Path:
    """The QONNX file of the default network, trained once if it is not there yet."""
    model = DEFAULT_RUN / "model.onnx"
    if model.is_file() and model.with_suffix(".data.npz").is_file():
        return model
    checkpoint = DEFAULT_RUN / "checkpoint.pt"
    if not checkpoint.is_file():
        console.print("training the default network on the handwritten digits: about a minute")
        resume = DEFAULT_RUN.is_dir()
        train_network(None, (), DEFAULT_RUN, resume=resume, devices=1)
    return export_network(checkpoint, model)


def build_network(config: Path | None, flags: Mapping[str, Any]) -> Path:
    """Build, and verify on a few images unless told not to; return the folder."""
    from hwgen.config import read_config

    settings = read_config(config, flags)
    settings.loaded_board()  # a wrong board is said before anything is trained
    model = settings.model or default_network()
    from hwgen.build import build

    built = build(settings, model)
    flow = built.dataflow
    console.print(
        f"{built.folder}: {flow.max_cycles} cycles a frame, "
        f"{flow.fps:,.0f} frames/s at {flow.clock_mhz:g} MHz, "
        f"about {flow.resources.lut:,.0f} LUT; report/index.html"
    )
    if settings.verify:
        verify_build(built.folder, (), images=QUICK_IMAGES, input_file=None)
    return built.folder


def verify_build(
    folder: Path, engines: Sequence[str], *, images: int | None, input_file: Path | None
) -> None:
    """Run engines and show their verdicts."""
    from hwgen.verify import ENGINES, verify

    chosen = tuple(name for name in ENGINES if name in engines) or ENGINES
    verdicts = verify(folder, engines=chosen, images=images, input_file=input_file)
    for name, verdict in verdicts.items():
        console.print(
            f"{name:>10}: {verdict.images} images, {verdict.mismatches} mismatches, "
            f"{verdict.seconds:.1f} s"
        )


def write_report(folder: Path, *, open_it: bool) -> None:
    """Write the HTML report, and open it if asked."""
    from hwgen import report

    check_seal(folder)
    page = report.write(folder)
    console.print(str(page))
    if open_it:
        import webbrowser

        webbrowser.open(page.resolve().as_uri())


def list_boards() -> None:
    """Print the table of boards."""
    table = Table("board", "part", "LUT", "FF", "BRAM36", "DSP", "MHz")
    for name in board_names():
        board = load_board(name)
        r = board.resources
        numbers = (r.LUT, r.FF, r.BRAM36, r.DSP)
        table.add_row(name, board.part, *map(str, numbers), f"{board.clock_mhz:g}")
    console.print(table)


def show_board(name: str) -> None:
    """Print a board's YAML file."""
    board = load_board(name)
    console.print((data_folder("boards") / f"{board.name}.yaml").read_text(), markup=False)


def run_demo(out: Path, board: str, *, synth: bool) -> None:
    """The main job: train, export, build, verify everything, report."""
    from hwgen.config import read_config

    started = time.monotonic()
    settings = read_config(None, {"board": board, "out": out, "synth": synth, "verify": False})
    settings.loaded_board()
    model = default_network()
    from hwgen.build import build

    built = build(settings, model)
    verify_build(built.folder, (), images=None, input_file=None)
    console.print(f"done in {time.monotonic() - started:.0f} s: {out / 'report' / 'index.html'}")
