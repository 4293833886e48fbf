"""How fast whole designs are built and simulated.

    python benchmarks/rtlsim.py [--json FILE] [--frames 60]

For each network `hwgen build` runs as a user would call it (import, folding, RTL, software; cold
caches), then with `--synth`, and its RTL is compiled and simulated back to back. Cycles a second
are those of one thread; the measured cycles a frame must equal the model's.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import time
import warnings
from pathlib import Path
from unittest import mock

import numpy as np
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hwgen import build as building
from hwgen.backends import rtlsim
from hwgen.config import BuildConfig
from tests import brevitas_models

NETWORKS = {  # network of Brevitas and frames/s asked for; None: the fastest that fits
    "TFC-W1A1": ("TFC-W1A1", None),
    "MobileNet-W4A4": ("MobileNet-W4A4", None),
    "CNV-W1A1": ("CNV-W1A1", None),
    "CNV-W1A1, FINN's rate": ("CNV-W1A1", 3052),
}
console = Console()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    columns = ("network", "build s", "with Yosys s", "Verilator s", "cycles a frame", "M cycles/s")
    table, found = Table(*columns), {}
    for name in args.networks:
        with tempfile.TemporaryDirectory() as folder:
            row = measure(*NETWORKS[name], Path(folder), args.frames)
        found[name] = row
        table.add_row(name, *(f"{value:,.4g}" for value in row.values()))
    console.print(table)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))


def measure(name: str, fps: float | None, folder: Path, frames: int) -> dict[str, float]:
    """Seconds of every part, and the speed of the simulation."""
    model = brevitas_models.export(name, folder / f"{name}.onnx")
    config = BuildConfig(board="pynq-z2", fps=fps, out=folder / "build", verify=False)
    start = time.monotonic()
    built = building.build(config, model)
    plain = time.monotonic() - start
    with mock.patch.object(building, "yosys_cache", return_value=folder / "cache"):
        start = time.monotonic()
        building.build(config.model_copy(update={"synth": True}), model)
        synth = time.monotonic() - start
    rtl, where = built.folder / "rtl", built.folder / "rtlsim"
    start = time.monotonic()
    rtlsim.build(rtl, where, folder / "log")
    compiled = time.monotonic() - start
    dtype = built.dataflow.graph.input.dtype
    shape = (frames, *built.dataflow.graph.input.shape)
    images = np.random.default_rng(0).integers(dtype.lo, dtype.hi, shape, endpoint=True)
    stats = rtlsim.run(where, built.dataflow, images).stats
    if stats["cycles_per_frame"] != built.dataflow.max_cycles:
        raise AssertionError(f"{name}: {stats['cycles_per_frame']} cycles a frame measured")
    return {
        "build_s": plain,
        "build_synth_s": synth,
        "verilator_s": compiled,
        "cycles_per_frame": stats["cycles_per_frame"],
        "mega_cycles_per_second": stats["simulated_cycles_per_second"] / 1e6,
    }


if __name__ == "__main__":
    main()
