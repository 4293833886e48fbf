"""What each command of the command line does, in a few calls."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from hwgen.board import board_names, load_board
from hwgen.files import check_seal, write_json
from hwgen.journal import console
from hwgen.summary import Summary

DEFAULT_RUN = Path("runs/digits")
REFERENCE_BATCH = 64
QUICK_IMAGES = 8  # verified at the end of a build; `hwgen verify` takes them all


def train_network(
    config: Path | None,
    overrides: Sequence[str],
    out: Path | None,
    *,
    resume: bool,
    devices: int = 1,
    nodes: int = 1,
    reference: bool = True,
) -> Path:
    """Train, and say what exactness cost; return the checkpoint."""
    from training.train import is_main_process, load_config, train, write_metrics

    folder = out or Path("runs") / (config.stem if config else "digits")
    result = train(load_config(config, overrides), folder, resume, devices, nodes)
    if is_main_process():
        if reference:
            result.metrics["reference_accuracy"] = _reference_accuracy(result.checkpoint)
            write_metrics(result)
        _show_accuracies(result.checkpoint, result.metrics)
    return result.checkpoint


ACCURACIES = {
    "float_accuracy": "real-valued twin",
    "step1_accuracy": "binary activations (step 1)",
    "float_binarised_accuracy": "binary, otherwise float (step 2)",
    "brevitas_accuracy": "in the hardware's arithmetic",
    "reference_accuracy": "the hardware's reference (integers)",
}


def _show_accuracies(checkpoint: Path, metrics: Mapping[str, Any]) -> None:
    """Print every accuracy on the held-out images, and the cost of exactness."""
    table = Table("network", "held-out accuracy", title=str(checkpoint))
    for key, name in ACCURACIES.items():
        if key in metrics:
            table.add_row(name, f"{100 * metrics[key]:.2f} %")
    console.print(table)
    if "float_binarised_accuracy" in metrics:
        cost = metrics["float_binarised_accuracy"] - metrics["brevitas_accuracy"]
        console.print(f"cost of exactness: {100 * cost:.2f} points")


def _reference_accuracy(checkpoint: Path) -> float:
    """Export, import, and run the integer graph on the verification images."""
    import numpy as np

    from hwgen.data import load_data
    from hwgen.engine import interpret
    from hwgen.frontend.importer import import_model
    from hwgen.quant import quantise_input
    from training.export import export

    console.print("running the hardware's reference on the held-out images")
    model = export(checkpoint, checkpoint.with_name("model.onnx"))
    data = load_data(model.with_suffix(".data.npz"))
    assert data.labels is not None
    graph = import_model(model, data.images).graph
    frames = quantise_input(graph, data.images)
    right = 0
    for start in range(0, len(frames), REFERENCE_BATCH):
        part = slice(start, start + REFERENCE_BATCH)
        logits = interpret(graph, frames[part], keep=False)[graph.output.name]
        right += int(np.sum(logits.reshape(len(logits), -1).argmax(axis=1) == data.labels[part]))
    return right / len(frames)


def show_summary(what: str, *, as_json: bool) -> None:
    """Print what a configuration, an architecture, a checkpoint or a QONNX file computes."""
    summary = _summarise(what)
    if as_json:
        console.print_json(data=summary.to_json())
        return
    table = Table("layer", "in", "out", "binary MACs", "real MACs", "weights", "bits", title=what)
    for row in summary.rows:
        shapes = ("x".join(map(str, shape)) for shape in (row.input, row.output))
        numbers = (row.binary_macs, row.real_macs, row.parameters, row.bits)
        table.add_row(row.name, *shapes, *(f"{n:,}" if n else "" for n in numbers))
    console.print(table)
    console.print(
        f"{summary.bops:.4g} BOPs, {summary.flops:.4g} FLOPs, "
        f"OPs = BOPs / 64 + FLOPs = {summary.ops:.4g}; "
        f"weights {summary.weight_bits / 8e6:.3g} MB, "
        f"{summary.other_parameters:,} other parameters"
    )


def _summarise(what: str) -> Summary:
    from training.architectures import ARCHITECTURES

    path = Path(what)
    if path.suffix == ".onnx":
        from hwgen.frontend.summary import summarise as of_model

        return of_model(path)
    from training.config import ModelConfig, load_config
    from training.summary import summarise

    if what in ARCHITECTURES:
        return summarise(ModelConfig(arch=what), what)
    if path.suffix == ".pt":
        from training.checkpoint import load

        return summarise(load(path).config.model, path.stem)
    return summarise(load_config(path, ()).model, path.stem)


def import_checkpoint(
    path: Path, arch: str, images: Path, out: Path | None, formats: Mapping[str, Any], clamp: bool
) -> Path:
    """Bring a checkpoint of the ReActNet authors in; return the QONNX file."""
    from training.import_reactnet import bring_in

    model = (out or Path("runs") / path.name.split(".")[0]) / "model.onnx"
    given = {key: value for key, value in formats.items() if value is not None}
    config, losses = bring_in(path, arch, images, model, given, clamp_slopes=clamp)
    table = Table("step", "accuracy", "same class as the float network", title=str(path))
    for loss in losses:
        right = "" if loss.accuracy is None else f"{100 * loss.accuracy:.2f} %"
        table.add_row(loss.step, right, f"{100 * loss.agreement:.2f} %")
    console.print(table)
    steps = [asdict(loss) for loss in losses]
    write_json(model.with_name("import.json"), {"config": config.model_dump(), "steps": steps})
    console.print(f"{model}, verification data {model.with_suffix('.data.npz')}")
    return model


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
        train_network(None, (), DEFAULT_RUN, resume=resume, reference=False)
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
    folder: Path,
    engines: Sequence[str],
    *,
    images: int | None,
    input_file: Path | None,
    trace: Path | None = None,
) -> None:
    """Run engines and show their verdicts."""
    from hwgen.verify import ENGINES, verify

    chosen = tuple(name for name in ENGINES if name in engines) or ENGINES
    verdicts = verify(folder, engines=chosen, images=images, input_file=input_file, trace=trace)
    for name, verdict in verdicts.items():
        console.print(
            f"{name:>10}: {verdict.images} images, {verdict.mismatches} mismatches, "
            f"{verdict.seconds:.1f} s"
        )


def write_report(folder: Path, *, open_it: bool) -> None:
    """Write the HTML report, and open it if asked; Vivado may have run without us."""
    from hwgen import report
    from hwgen.backends import vivado_reports

    check_seal(folder)
    vivado_reports.write(folder / "report", report.read(folder).config.clock_mhz)
    page = report.write(folder)
    console.print(str(page))
    if open_it:
        import webbrowser

        webbrowser.open(page.resolve().as_uri())


def list_boards(*, as_json: bool) -> None:
    """Print the table of boards, and what can be made for each on this machine."""
    from hwgen.catalogue import describe, ways

    boards = [load_board(name) for name in board_names()]
    if as_json:
        print(json.dumps([describe(board) for board in boards], indent=2))
        return
    table = Table("board, and what is made here", "part", "capacity", show_lines=True)
    for board in boards:
        r = board.resources
        makes = "project; " + "; or ".join(map(str, ways(board)))
        table.add_row(
            f"[bold]{board.name}[/]: {board.title}\n{makes}",
            f"{board.part}\n{board.family}, {board.clock_mhz:g} MHz",
            f"{r.LUT:,} LUT, {r.FF:,} FF\n{r.BRAM36} BRAM36, {r.DSP:,} DSP",
        )
    console.print(table)


def new_board(name: str, like: str, out: Path | None) -> Path:
    """Begin a board file as a copy of ``like``'s; return its path."""
    from hwgen.catalogue import begin

    path = begin(name, like, out)
    console.print(f"{path}: edit it, then hwgen build MODEL --board {path}", markup=False)
    return path


def show_board(name: str) -> None:
    """Print a board's YAML file."""
    from hwgen.catalogue import file_of

    load_board(name)
    console.print(file_of(name).read_text(), markup=False)


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
