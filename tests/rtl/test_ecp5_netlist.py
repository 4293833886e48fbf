"""The mapped netlists that nextpnr gets are simulated, cell by cell, against the integer meaning.

Not the RTL is proven here but what synthesis for an ECP5 made of it: LUT4, carries, multiplexers,
LUTRAM and flip-flops, by Yosys' own models of these cells.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from hwgen.backends.nextpnr import FLOW, Netlist
from hwgen.backends.systemverilog import library
from hwgen.backends.yosys_pool import Library, Pool
from hwgen.files import Files
from hwgen.quant import IntType
from hwgen.technology import ECP5
from tests.rtl.bench import ROUGH, Bench, Dut, check_layer
from tests.rtl.kernels import Case, sign_by, staircase, window, xnor_by
from tests.rtl.tools import yosys

UINT8, INT4 = IntType(8), IntType(4, signed=True)
CASES: dict[str, Case] = {
    "sign, ANDs in resets": sign_by("AND", 3, 72, 8, pe=4, simd=36),
    "sign, XNOR pairs": sign_by("XNOR", 3, 64, 8, pe=2, simd=16),
    "adders": xnor_by("adders", 3, 64, 8, pe=2, simd=16),
    "binary search": staircase(3, 8, 2, UINT8, 15, INT4, -8),
    "window in LUTRAM": window((5, 6, 4), 3, 1, 1, simd=4),
}


def netlists(work: Path) -> dict[str, Netlist]:
    """What the flow makes of every kernel, nothing of it from a cache."""
    instances = {name: layer.rtl(folding) for name, (layer, folding) in CASES.items()}
    made = {n: text for each in instances.values() for n, text in each.sources.items()}
    sources = {f"{name}.sv": text for name, text in (library(ECP5) | made).items()}
    Files(sources).write(work / "rtl")
    pool = Pool(Library.read(work / "rtl", 50), FLOW, work / "yosys", jobs=1, timeout_s=300)
    return pool.run(instances)


def verilog(design: dict[str, Netlist], work: Path) -> str:
    """Netlists as one Verilog file, every cell replaced by what its model says."""
    (work / "netlist.json").write_text(json.dumps({"creator": "hwgen", "modules": design}))
    yosys(
        [
            "read_verilog -D NO_INCLUDES +/lattice/cells_sim_ecp5.v",
            "read_json netlist.json",
            "hierarchy -check",  # gives every cell a model with its parameters
            "proc",
            "flatten",
            "opt_expr",  # the models' unused choices, so that all registers see one clock
            "opt_clean",
            "select " + " ".join(design),
            "write_verilog -noattr -selected netlist.v",
        ],
        work,
    )
    return (work / "netlist.v").read_text()


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, bench_cache: Path) -> Bench:
    """The netlists behind the ports of the kernels."""
    work = tmp_path_factory.mktemp("ecp5")
    found = netlists(work)
    kinds = {cell["type"] for netlist in found.values() for cell in netlist["cells"].values()}
    assert kinds == {"LUT4", "CCU2C", "PFUMX", "L6MUX21", "TRELLIS_FF", "TRELLIS_DPR16X4"}
    units = {name: f"unit_{index}" for index, name in enumerate(CASES)}
    text = verilog({units[name]: netlist for name, netlist in found.items()}, work)
    duts = []
    for name, (layer, folding) in CASES.items():
        mapped = {units[name]: text.encode()} if name == next(iter(CASES)) else {units[name]: b""}
        ports = Dut.of_layer(layer, folding)
        duts.append(replace(ports, module=units[name], parameters={}, memories={}, sources=mapped))
    return Bench.build(duts, bench_cache)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_mapped_netlist_computes_the_layer_under_any_traffic(bench: Bench, name: str) -> None:
    layer, folding = CASES[name]
    for traffic in ROUGH:
        check_layer(bench, list(CASES).index(name), layer, folding, frames=3, traffic=traffic)
