"""Clocks of the main kernels and of a small design: routed on a Lattice ECP5, and for 7-series.

    python benchmarks/timing.py [--json] [--no-design] [--cache DIR]

Columns: LUT levels and carries of the slowest path between registers after synthesis for
7-series, the estimate of its clock there, and what nextpnr reached on an LFE5U-85F. Kernels are
placed alone, so paths over their ports do not count.
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
from hwgen.layers.base import RtlInstance
from hwgen.quant import BINARY, IntType
from hwgen.resources import data_folder
from hwgen.schema import Ecp5Timing, Timing
from tests.layers.stairs import rprelu
from tests.networks import random_reactnet
from tests.rtl.kernels import affine, by_unit, np, staircase, window, xnor

MHZ = 100
INT4, UINT8 = IntType(4, signed=True), IntType(8)


def kernels() -> dict[str, RtlInstance]:
    stairs = rprelu(np.random.default_rng(0), 16, 8)
    cases = {
        "mvau_xnor K 576, SIMD 64, PE 8": xnor(1, 576, 64, pe=8, simd=64),
        "mvau_xnor K 64, SIMD 16, PE 4": xnor(1, 64, 64, pe=4, simd=16),
        "thresholding, 15 steps of 8 bits": staircase(1, 16, 1, UINT8, 15, INT4, -8),
        "thresholding, 1 step of 10 bits, PE 4": staircase(1, 64, 4, IntType(10), 1, BINARY, 0),
        "affine_stairs in a DSP block": by_unit("affine, DSP product", affine(1, 1, stairs)),
        "affine_stairs in LUTs": by_unit("affine, LUT product", affine(1, 1, stairs)),
        "sliding_window 3x3, 8x8x32": window((8, 8, 32), 3, 1, 1, simd=32),
        "sliding_window 3x3 stride 2, 224x224x3": window((224, 224, 3), 3, 2, 1, UINT8, simd=3),
    }
    found = {name: layer.rtl(folding) for name, (layer, folding) in cases.items()}
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


def whole(work: Path, cache: Path) -> dict[str, object]:
    graph = random_reactnet(width=4, blocks=1, size=(5, 4), classes=3)
    foldings = {layer.name: next(layer.foldings()) for layer in graph.layers}
    flow = build_dataflow(graph, foldings, bus_bytes=4, clock_mhz=MHZ)
    flow = flow.with_depths(fifo.size(flow).depths)
    systemverilog.emit(flow).write(work)
    report = synthesise(flow, work, cache / "yosys", board=load_board("pynq-z2"))
    slowest = max(report.timing.values(), key=lambda each: each.ns)
    caches = Caches(cache / "yosys", cache / "nextpnr")
    return row(slowest, Router(work, MHZ, caches).design(flow))


def run(args: argparse.Namespace) -> None:
    rtl, console = args.cache / "rtl", Console(stderr=True)
    caches = Caches(args.cache / "yosys", args.cache / "nextpnr")
    instances, rows = kernels(), {}
    shutil.copytree(data_folder("templates") / "rtl", rtl, dirs_exist_ok=True)
    for instance in instances.values():  # and what was made for them
        Files({f"{name}.sv": text for name, text in instance.sources.items()}).write(rtl)
    pool = Pool(Library.read(rtl, MHZ), FLOW, caches.yosys, jobs=1, timeout_s=1800)
    used = pool.run(instances)
    for name, instance in instances.items():
        console.print(f"{name}: place and route", highlight=False)
        path = kernel_timing.inner(instance.module, used[name].paths)
        rows[name] = row(kernel_timing.of_path(path), Router(rtl, MHZ, caches).kernel(instance))
    if args.design:
        console.print("a small ReActNet: place and route")
        with tempfile.TemporaryDirectory() as work:
            rows["a ReActNet of one block, all of it"] = whole(Path(work), args.cache)
    if args.json:
        print(json.dumps(rows, indent=2))
        return
    table = Table("kernel", "LUT levels", "CARRY4", "7-series, about MHz", "ECP5 MHz", "LUT4", "FF")
    for name, found in rows.items():
        table.add_row(name, *("" if v is None else str(v) for v in list(found.values())[:-1]))
    Console().print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--design", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--cache", type=Path, default=Path("build/timing"))
    run(parser.parse_args())
