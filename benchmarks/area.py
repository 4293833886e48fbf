"""What designs cost: the estimate against Yosys by kind of kernel, and how cost grows.

    python benchmarks/area.py [--json FILE] [--quick]

Designs of several networks and rates for the PYNQ-Z2 are synthesised kernel by kernel (results are
cached, so a second run is short). The first table has the error of the estimated LUTs, by which
folding decides, for each kind of kernel and for whole designs; the second the share of a ReActNet's
LUTs that batch norm, RSign and RPReLU take; the third FINN's CNV-W1A1 beside ours at its rate; the
last the slopes of LUTs over rate and over width, both logarithmic: 1 would be proportional.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.networks import random_graph
from hwgen import folding
from hwgen.backends import systemverilog, yosys
from hwgen.board import Board, load_board
from hwgen.build import yosys_cache
from hwgen.dataflow import Dataflow
from hwgen.frontend.importer import import_model
from hwgen.layers import Threshold
from hwgen.layers.base import Resources
from hwgen.quant import QuantGraph
from tests import brevitas_models
from tests.networks import random_reactnet

FINN_LUT, FINN_FF, FINN_BRAM36 = 21_135, 31_517, 98 + 9 / 2  # CNV-W1A1 after synthesis, published
FINN_LANES, FINN_CYCLES = 2_273, 32_768
RATES = (1, 4, 16)  # parts of the fastest rate
WIDTHS = (8, 16, 32, 64)
NEGLIGIBLE = 40  # LUTs: errors of smaller kernels are no percentages
LARGE = "ReActNet-18 of 16 channels, 8 bits"
BLOCKS = ({"width": 16}, {"width": 32, "stride": 2}, {"width": 64, "stride": 2})
REACTNETS: Mapping[str, Mapping[str, Any]] = {  # the default network, and one that reduces
    "ReActNet, 4 bits": {"image_size": 8, "width": 32, "blocks": 3, "residual_bits": 4},
    "ReActNet, reducing, 8 bits": {"image_size": 16, "width": 16, "blocks": BLOCKS},
}
console = Console()

Json = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--quick", action="store_true", help="small networks alone")
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    board = load_board("pynq-z2")
    graphs = networks(args.quick)
    synthesised = [each for graph in graphs.values() for each in designs(graph, board)]
    found: Json = {"estimate": errors(synthesised)}
    found["activations"] = activations(synthesised)
    if not args.quick:
        found["cnv"] = at_finns_rate(graphs["CNV-W1A1"], board)
    found["growth"] = growth(board)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))


def networks(quick: bool) -> Mapping[str, QuantGraph]:
    """ReActNets of 4 and 8 bits, and Brevitas' CNV and a depthwise network."""
    found = {name: random_graph(name, **config) for name, config in REACTNETS.items()}
    if not quick:
        found[LARGE] = random_graph(LARGE, arch="reactnet-18", image_size=32, width=16)
    for name in () if quick else ("CNV-W1A1", "MobileNet-W4A4"):
        with tempfile.TemporaryDirectory() as folder:
            path = brevitas_models.export(name, Path(folder) / f"{name}.onnx")
            found[name] = import_model(path, None, count=1).graph
    return found


Design = tuple[Dataflow, yosys.SynthReport]


def synthesise(flow: Dataflow, board: Board) -> Design:
    """Synthesise every kernel."""
    with tempfile.TemporaryDirectory() as folder:
        systemverilog.emit(flow).write(Path(folder))
        return flow, yosys.synthesise(flow, Path(folder), yosys_cache(), board=board)


def designs(graph: QuantGraph, board: Board) -> list[Design]:
    """The fastest design and slower ones."""
    fastest, _ = folding.plan(graph, board, folding.fastest(graph, board), board.clock_mhz)
    found = []
    for part in RATES:
        chosen = folding.for_rate(graph, board, part * fastest.max_cycles)
        flow, _ = folding.plan(graph, board, chosen, board.clock_mhz)
        console.print(f"{graph.name}: {flow.max_cycles} cycles a frame", highlight=False)
        found.append(synthesise(flow, board))
    return found


def errors(found: list[Design]) -> Json:
    """Relative errors of estimated LUTs by kind of kernel, and of designs."""
    kinds: dict[str, list[float]] = defaultdict(list)
    for flow, report in found:
        modelled = Resources()
        for stage in flow.stages:
            if stage.name in report.layers:
                counted = report.layers[stage.name].resources.lut
                modelled += stage.resources
                if counted >= NEGLIGIBLE:
                    kinds[type(stage.layer).__name__].append(stage.resources.lut / counted - 1)
        kinds["whole design"].append(flow.resources.lut / report.total.resources.lut - 1)
    table = Table(
        "kernel", "instances", "mean error", "worst", title="estimated LUTs against Yosys"
    )
    rows: Json = {}
    for kind, values in sorted(kinds.items(), key=lambda item: (item[0] == "whole design", item)):
        mean, worst = float(np.mean(np.abs(values))), max(values, key=abs)
        rows[kind] = {"instances": len(values), "mean": mean, "worst": worst}
        table.add_row(kind, str(len(values)), f"{100 * mean:.1f} %", f"{100 * worst:+.1f} %")
    console.print(table)
    return rows


def activations(found: list[Design]) -> Json:
    """The share of LUTs of what stands between products: batch norm, RSign, RPReLU."""
    table = Table("ReActNet", "cycles a frame", "LUT", "staircases", "share", "DSP")
    table.title = "batch norm, RSign and RPReLU"
    rows: Json = {}
    for flow, report in found:
        stairs = [s.name for s in flow.stages if isinstance(s.layer, Threshold)]
        if flow.graph.name not in {*REACTNETS, LARGE}:
            continue
        luts = sum(report.layers[name].resources.lut for name in stairs)
        total = report.total.resources.lut
        cells = (flow.graph.name, f"{flow.max_cycles}", f"{total:.0f}", f"{luts:.0f}")
        table.add_row(*cells, f"{100 * luts / total:.1f} %", f"{report.total.resources.dsp:.0f}")
        rows[f"{flow.graph.name} {flow.max_cycles}"] = luts / total
    console.print(table)
    return rows


def at_finns_rate(graph: QuantGraph, board: Board) -> Json:
    """CNV at the initiation interval of FINN's published design."""
    chosen = folding.for_rate(graph, board, FINN_CYCLES)
    flow, report = synthesise(folding.plan(graph, board, chosen, board.clock_mhz)[0], board)
    used = report.total.resources
    table = Table("CNV-W1A1", "hwgen, Yosys", "FINN, published", "ratio")
    rows = {
        "cycles a frame": (flow.max_cycles, FINN_CYCLES),
        "binary lanes": (flow.binary_lanes, FINN_LANES),
        "LUT": (used.lut, FINN_LUT),
        "FF": (used.ff, FINN_FF),
        "BRAM36": (used.bram36, FINN_BRAM36),
        "LUT a binary lane": (used.lut / flow.binary_lanes, FINN_LUT / FINN_LANES),
    }
    for name, (ours, theirs) in rows.items():
        table.add_row(name, f"{ours:,.4g}", f"{theirs:,.4g}", f"{theirs / ours:.2f}")
    console.print(table)
    return {name: {"ours": ours, "finn": theirs} for name, (ours, theirs) in rows.items()}


def growth(board: Board) -> Json:
    """LUTs over rate for one network, and over width at one rate, by the estimate."""
    graph = random_reactnet(width=32, blocks=2, size=(8, 8))
    points = folding.trade_off(graph, board, folding_cycles(graph, board))
    rates = [(1 / p.cycles, p.cost.lut) for p in points]
    by_width = []
    for width in WIDTHS:
        wide = random_reactnet(width=width, blocks=2, size=(8, 8))
        cycles = 64 * WIDTHS[-1] * 9
        flow, _ = folding.plan(wide, board, folding.for_rate(wide, board, cycles), board.clock_mhz)
        by_width.append((width, flow.resources.lut))
    table = Table("LUTs over", "from", "to", "slope (log-log)")
    found: Json = {}
    for name, pairs in (("rate", rates), ("width", by_width)):
        x, y = np.log(np.array(pairs, float)).T
        slope = float(np.polyfit(x, y, 1)[0])
        ends = [max(pairs)[1], min(pairs)[1]]
        table.add_row(name, f"{min(ends):,.0f} LUT", f"{max(ends):,.0f} LUT", f"{slope:.2f}")
        found[name] = {"slope": slope, "points": pairs}
    console.print(table)
    return found


def folding_cycles(graph: QuantGraph, board: Board) -> int:
    """Of the fastest design."""
    flow, _ = folding.plan(graph, board, folding.fastest(graph, board), board.clock_mhz)
    return flow.max_cycles


if __name__ == "__main__":
    main()
