"""Clocks of the main kernels and of a small design: routed on a Lattice ECP5, and for 7-series.

    python benchmarks/timing.py [--json] [--no-design] [--cache DIR]

Columns: LUT levels and CARRY4 of the slowest path between registers after synthesis for 7-series,
the estimate of its clock there, and what nextpnr reached on an LFE5U-85F; in brackets, what
--max-levels, at its least value, makes of each. Kernels are placed alone, so paths over their ports
do not count.
"""

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hwgen import fifo
from hwgen.backends import kernel_timing, systemverilog
from hwgen.backends.nextpnr import Caches, Router
from hwgen.backends.yosys import FLOW, synthesise
from hwgen.backends.yosys_pool import Library, Pool
from hwgen.board import load_board
from hwgen.dataflow import build_dataflow
from hwgen.files import Files
from hwgen.layers import Add
from hwgen.layers.base import Folding, RtlInstance
from hwgen.layers.pipeline import LEAST
from hwgen.quant import IntType, Tensor
from hwgen.resources import data_folder
from hwgen.schema import Ecp5Timing, Timing
from tests.layers.stairs import rprelu
from tests.networks import random_reactnet
from tests.rtl.kernels import (
    Case,
    affine,
    by_unit,
    integer,
    np,
    sign_by,
    staircase,
    window,
    xnor_by,
)
from tests.rtl.test_levels import bounded, max_pool
from tests.rtl.test_low_bit import depthwise
from tests.rtl.test_pool_concat import pool

MHZ = 100
INT4, INT8, UINT8 = IntType(4, signed=True), IntType(8, signed=True), IntType(8)


def add(pixels: int, channels: int, pe: int) -> Case:
    """Of two images of bytes."""
    shape = (1, pixels, channels)
    inputs = (Tensor("a", shape, INT8), Tensor("b", shape, INT8))
    layer = Add("add", inputs, (Tensor("y", shape, IntType(9, signed=True)),))
    return layer, layer.legal(Folding(pe))


def cases() -> dict[str, Case]:
    """The kernels by what they are."""
    stairs = rprelu(np.random.default_rng(0), 16, 8)
    return {
        "mvau, adders, K 576, SIMD 64, PE 8": xnor_by("adders", 1, 576, 64, pe=8, simd=64),
        "mvau, AND, K 576, SIMD 64, PE 8": xnor_by("AND", 1, 576, 64, pe=8, simd=64),
        "mvau and sign, AND, K 576, SIMD 16, PE 4": sign_by("AND", 1, 576, 64, pe=4, simd=16),
        "mvau, XNOR pairs, K 576, SIMD 64, PE 2": xnor_by("XNOR", 1, 576, 64, pe=2, simd=64),
        "mvau, 4 x 4 bits in LUTs, K 27, PE 4": integer(1, 27, 16, 4, 9, IntType(4), INT4),
        "mvau, 8 x 8 bits in DSPs, K 27, PE 4": integer(1, 27, 16, 4, 9, UINT8, INT8),
        "depthwise, 4 x 4 bits, PE 4": depthwise((8, 8, 64), 9, IntType(4), INT4, pe=4),
        "thresholding, 15 steps of 8 bits": staircase(1, 16, 1, UINT8, 15, INT4, -8),
        "thresholding, 127 steps of 12 bits": staircase(1, 16, 1, IntType(12), 127, INT8, -64),
        "affine_stairs in a DSP block": by_unit("affine, DSP product", affine(1, 1, stairs)),
        "affine_stairs in LUTs": by_unit("affine, LUT product", affine(1, 1, stairs)),
        "sliding_window 3x3, 8x8x32": window((8, 8, 32), 3, 1, 1, simd=32),
        "sliding_window 3x3 stride 2, 224x224x3": window((224, 224, 3), 3, 2, 1, UINT8, simd=3),
        "patch_window 3x3, 32x32x3": window((32, 32, 3), 3, 1, 1, UINT8, simd=27),
        "pool_max 2x2, 96x96x12, PE 2": max_pool((96, 96, 12), pe=2),
        "pool_avg 2x2, 8x8x16, PE 4": pool((8, 8, 16), INT8, pe=4),
        "add, PE 4": add(8, 16, pe=4),
    }


def kernels(levels: int | None) -> dict[str, RtlInstance]:
    found = {}
    for name, case in cases().items():
        layer, folding = case if levels is None else bounded(case, levels)
        found[name] = layer.rtl(folding)
    for width, depth in ((8, 2), (64, 40), (64, 1024)):
        found[f"fifo {width} x {depth}"] = RtlInstance("fifo", {"WIDTH": width, "DEPTH": depth})
    return found


def row(estimate: Timing | None, routed: Ecp5Timing) -> dict[str, object]:
    path = routed.critical_path
    return {
        "lut_levels": estimate.lut_levels if estimate else None,
        "carries": estimate.carries if estimate else None,
        "xc7_estimate_mhz": estimate.mhz if estimate else None,
        "ecp5_mhz": routed.fmax_mhz,
        "ecp5_lut4": routed.LUT4,
        "ecp5_ff": routed.utilisation["TRELLIS_FF"].used,
        "ecp5_path": path.words if path else None,
    }


def whole(work: Path, cache: Path, levels: int | None) -> dict[str, object]:
    graph = random_reactnet(width=8, blocks=1, size=(8, 8), classes=3).pipelined(levels)
    foldings = {layer.name: next(layer.foldings()) for layer in graph.layers}
    flow = build_dataflow(graph, foldings, bus_bytes=4, clock_mhz=MHZ)
    flow = flow.with_depths(fifo.size(flow).depths)
    systemverilog.emit(flow).write(work)
    report = synthesise(flow, work, cache / "yosys", board=load_board("pynq-z2"))
    slowest = max(report.timing.values(), key=lambda each: each.ns)
    caches = Caches(cache / "yosys", cache / "nextpnr")
    return row(slowest, Router(work, MHZ, caches).design(flow))


def measure(cache: Path, levels: int | None, design: bool) -> dict[str, dict[str, object]]:
    """Rows by kernel; with ``design``, of a whole network too."""
    rtl, console = cache / f"rtl{levels or ''}", Console(stderr=True)
    caches = Caches(cache / "yosys", cache / "nextpnr")
    instances, rows = kernels(levels), {}
    shutil.copytree(data_folder("templates") / "rtl", rtl, dirs_exist_ok=True)
    for instance in instances.values():  # and what was made for them
        Files({f"{name}.sv": text for name, text in instance.sources.items()}).write(rtl)
    mhz = MHZ if levels is None else kernel_timing.clock_of(levels - 0.5)
    used = Pool(Library.read(rtl, mhz), FLOW, caches.yosys, jobs=1, timeout_s=1800).run(instances)
    for name, instance in instances.items():
        console.print(f"{name}: place and route", highlight=False)
        path = kernel_timing.inner(instance.module, used[name].paths)
        rows[name] = row(kernel_timing.of_path(path), Router(rtl, MHZ, caches).kernel(instance))
    if design:
        console.print("a small ReActNet: place and route")
        with tempfile.TemporaryDirectory() as work:
            rows["a ReActNet of one block, all of it"] = whole(Path(work), cache, levels)
    return rows


def run(args: argparse.Namespace) -> None:
    rows = measure(args.cache, None, args.design)
    bounded_rows = measure(args.cache, LEAST, args.design)
    if args.json:
        print(json.dumps({"none": rows, f"max_levels {LEAST}": bounded_rows}, indent=2))
        return
    title = f"in brackets: --max-levels {LEAST}"
    names = ("LUT levels", "CARRY4", "7-series, about MHz", "ECP5 MHz", "LUT4", "FF")
    table = Table("kernel", *names, title=title)
    for name, found in rows.items():
        pairs = zip(list(found.values())[:-1], bounded_rows[name].values(), strict=False)
        table.add_row(name, *(_cell(was, now) for was, now in pairs))
    Console().print(table)


def _cell(was: object, now: object) -> str:
    """A figure, and the other one where that differs."""
    if was is None:
        return ""
    return f"{was}" if was == now else f"{was} ({now})"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--design", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--cache", type=Path, default=Path("build/timing"))
    run(parser.parse_args())
