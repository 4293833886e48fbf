"""A large ReActNet with random weights, from Brevitas to cppsim: time and memory of every stage.

    python benchmarks/reactnet_a.py [--arch reactnet-a] [--image-size 224] [--images 2] [--out DIR]

Its norms have the statistics of random images, its activations random shifts and slopes, and the
grids of its residual stream are calibrated, so that every layer sees values as in a trained one.
Ends with what it would take on every board, at the least throughput and at 30 frames a second.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.networks import random_network
from hwgen import folding
from hwgen.backends import cpp
from hwgen.board import board_names, load_board
from hwgen.dataflow import build_dataflow
from hwgen.engine import interpret
from hwgen.errors import HwgenError
from hwgen.folding import shortfalls
from hwgen.frontend.importer import import_model
from hwgen.layers.base import Resources
from hwgen.quant import QuantGraph, quantise_input
from training.config import ModelConfig
from training.export import write

FPS = 30
console = Console()


@dataclass
class Stages:
    """Seconds and the peak of resident memory, stage by stage."""

    table: Table = field(default_factory=lambda: Table("stage", "seconds", "peak GB", "what"))

    @contextmanager
    def stage(self, name: str) -> Iterator[list[str]]:
        """Time what is done within; what is said of it goes into the list."""
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
        said: list[str] = []
        started = time.monotonic()
        yield said
        seconds = time.monotonic() - started
        lines = Path("/proc/self/status").read_text().splitlines()
        status = dict(line.split(":", 1) for line in lines)
        peak = int(status["VmHWM"].split()[0]) / 2**20
        self.table.add_row(name, f"{seconds:.1f}", f"{peak:.2f}", ", ".join(said))
        console.print(f"{name}: {seconds:.1f} s, {peak:.2f} GB; {', '.join(said)}")


def on_boards(graph: QuantGraph) -> Table:
    """The cost of the smallest design on every board, and of one of ``FPS`` frames a second."""
    columns = ("board", "design", "cycles", "LUT", "FF", "BRAM36", "DSP", "too much")
    table = Table(*columns, title=f"{graph.name}: estimates without FIFOs")
    for name in board_names():
        board = load_board(name)
        most = int(board.clock_mhz * 1e6 / FPS)
        designs = {
            "smallest": folding.smallest(graph, board),
            f"{FPS} fps": folding.for_rate(graph, board, most),
        }
        for design, chosen in designs.items():
            cost = sum((lay.resources(chosen[lay.name]) for lay in graph.layers), Resources())
            found = max(lay.cycles(chosen[lay.name]) for lay in graph.layers)
            numbers = (cost.lut, cost.ff, cost.bram36, cost.dsp)
            short = "; ".join(shortfalls(cost, board)) or "fits"
            table.add_row(name, design, f"{found:,}", *(f"{n:,.0f}" for n in numbers), short)
    return table


def run(args: argparse.Namespace) -> None:
    stages, formats = Stages(), {"width": args.width} if args.width else {}
    config = ModelConfig(
        arch=args.arch,
        image_size=args.image_size,
        residual_bits=args.bits,
        residual_limit="auto",
        pooled_bits=8,
        pad=args.pad,
        **formats,
    )
    shape = (args.images, config.in_channels, config.image_size, config.image_size)
    images = torch.from_numpy(np.random.default_rng(1).random(shape, np.float32))
    model = args.out / f"{args.arch}.onnx"
    with stages.stage("random network, calibrated"):
        net = random_network(config, images)
    with stages.stage("export to QONNX") as said:
        write(net, (images, None), model, float_accuracy=None)
        said.append(f"{model.stat().st_size / 1e6:.1f} MB")
    with stages.stage("import: integers, FINN layers") as said:
        imported = import_model(model, images.numpy(), count=args.count)
        said.append(f"{len(imported.graph.layers)} layers, exact on {args.count} images")
    graph = imported.graph
    frames = quantise_input(graph, images.numpy())
    with stages.stage("integer interpreter") as said:
        want = interpret(graph, frames, keep=False)[graph.output.name]
        with torch.no_grad():
            logits = net(images).numpy()
        got = want.reshape(len(want), -1).astype(np.float32) * np.float32(
            graph.scaling.output_scale
        )
        said.append(f"{int((logits != got).any(axis=1).sum())} of {len(want)} differ from Brevitas")
    cppsim(stages, graph, frames, want, args.out / "cppsim")
    with stages.stage("folding and dataflow") as said:
        said.append(dataflow(graph))
    console.print(stages.table)
    console.print(on_boards(graph))


def cppsim(stages: Stages, graph: QuantGraph, frames: Any, want: Any, folder: Path) -> None:
    with stages.stage("cppsim: generate and compile"):
        cpp.emit(graph).write(folder)
        library = cpp.build(folder, folder / "build.log")
    with stages.stage("cppsim: run") as said:
        ran = cpp.run(library, graph, frames)
        wrong = int((ran.output != want).reshape(len(want), -1).any(axis=1).sum())
        said.append(f"{wrong} of {len(want)} images differ")
        said.append(f"{1000 * ran.seconds / len(want):.1f} ms an image on all cores")


def dataflow(graph: QuantGraph) -> str:
    board = load_board("pynq-z2")
    try:
        folding.fastest(graph, board)
    except HwgenError as error:
        console.print(f"[bold]{board.name}:[/] {error}", highlight=False)
    chosen = folding.for_rate(graph, board, int(board.clock_mhz * 1e6 / FPS))
    flow = build_dataflow(graph, chosen, bus_bytes=board.bus_bytes, clock_mhz=board.clock_mhz)
    return f"{len(flow.stages)} stages, {flow.max_cycles:,} cycles a frame at {FPS} fps"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arch", default="reactnet-a")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--width", type=int, help="channels of the stem [default: the paper's]")
    parser.add_argument("--bits", type=int, default=8, help="of the residual stream")
    parser.add_argument("--pad", default="minus1", choices=("minus1", "zero"))
    parser.add_argument("--images", type=int, default=2)
    parser.add_argument("--count", type=int, default=1, help="images of the frontend's comparison")
    parser.add_argument("--out", type=Path, default=Path("build/reactnet-a"))
    run(parser.parse_args())
