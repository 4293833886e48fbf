"""The mapped netlists that nextpnr gets are simulated, cell by cell, against the integer meaning.

Not the RTL is proven here but what synthesis for an ECP5 made of it: LUT4, carries, multiplexers,
LUTRAM and flip-flops, by Yosys' own models of these cells.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hwgen import fifo
from hwgen.backends import systemverilog
from hwgen.backends.nextpnr import FLOW, Caches, Netlist, Router
from hwgen.backends.systemverilog import library
from hwgen.backends.yosys_pool import Library, Pool
from hwgen.dataflow import build_dataflow
from hwgen.engine import interpret
from hwgen.files import Files
from hwgen.quant import IntType
from hwgen.technology import ECP5
from tests.networks import random_reactnet
from tests.rtl.bench import ROUGH, STEADY, Bench, Dut, check_layer, random_frames
from tests.rtl.kernels import Case, sign_by, staircase, window, xnor_by
from tests.rtl.tools import yosys

UINT8, INT4 = IntType(8), IntType(4, signed=True)
CASES: dict[str, Case] = {
    "sign, ANDs in resets": sign_by("AND", 3, 36, 4, pe=2, simd=18),
    "sign, XNOR pairs": sign_by("XNOR", 3, 32, 4, pe=2, simd=16),
    "adders": xnor_by("adders", 3, 32, 4, pe=2, simd=16),
    "binary search": staircase(3, 8, 2, UINT8, 15, INT4, -8),
    "window in LUTRAM": window((5, 6, 4), 3, 1, 1, simd=4),
}


MULTIPLIER = Path(__file__).with_name("mult18x18d.v")


def netlists(work: Path) -> dict[str, Netlist]:
    """What the flow makes of every kernel, nothing of it from a cache."""
    instances = {name: layer.rtl(folding) for name, (layer, folding) in CASES.items()}
    made = {n: text for each in instances.values() for n, text in each.sources.items()}
    sources = {f"{name}.sv": text for name, text in (library(ECP5) | made).items()}
    Files(sources).write(work / "rtl")
    pool = Pool(Library.read(work / "rtl", 50), FLOW, work / "yosys", jobs=1, timeout_s=300)
    return pool.run(instances)


def verilog(design: dict[str, Netlist], work: Path, *wanted: str) -> str:
    """Netlists as one Verilog file, every cell replaced by what its model says.

    ``wanted``: the modules, what they instantiate within them; all where none is named.
    """
    (work / "netlist.json").write_text(json.dumps({"creator": "hwgen", "modules": design}))
    yosys(
        [
            "read_verilog -D NO_INCLUDES +/lattice/cells_sim_ecp5.v",
            f"read_verilog {MULTIPLIER}",
            "read_json netlist.json",
            "hierarchy -check",  # gives every cell a model with its parameters
            "proc",
            "flatten",
            "opt_expr",  # the models' unused choices, so that all registers see one clock
            "opt_clean",
            "select " + " ".join(wanted or design),
            "write_verilog -noattr -selected netlist.v",
        ],
        work,
    )
    return (work / "netlist.v").read_text()


def damaged(netlist: Netlist) -> Netlist:
    """The netlist with the carry cells' sums inverted, as a faulty mapping would have it."""
    cells = {}
    for name, cell in netlist["cells"].items():
        cells[name] = cell = dict(cell)
        if cell["type"] == "CCU2C":
            flipped = cell["parameters"]["INIT0"].translate(str.maketrans("01", "10"))
            cell["parameters"] = cell["parameters"] | {"INIT0": flipped}
    return {**netlist, "cells": cells}


WRONG = "sign, XNOR pairs"


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, bench_cache: Path) -> Bench:
    """The netlists behind the ports of the kernels, and a damaged one last."""
    work = tmp_path_factory.mktemp("ecp5")
    found = netlists(work)
    kinds = {cell["type"] for netlist in found.values() for cell in netlist["cells"].values()}
    assert kinds == {"LUT4", "CCU2C", "PFUMX", "L6MUX21", "TRELLIS_FF", "TRELLIS_DPR16X4"}
    design = [*found.values(), damaged(found[WRONG])]
    units = {f"unit_{index}": netlist for index, netlist in enumerate(design)}
    text = {"unit_0": verilog(units, work).encode()}  # a file of all modules
    duts = [
        replace(Dut.of_layer(*case), module=unit, parameters={}, memories={}, sources=text)
        for unit, case in zip(units, [*CASES.values(), CASES[WRONG]], strict=True)
    ]
    text |= dict.fromkeys([*units][1:], b"")
    return Bench.build(duts, bench_cache)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_mapped_netlist_computes_the_layer_under_any_traffic(bench: Bench, name: str) -> None:
    layer, folding = CASES[name]
    for traffic in ROUGH:
        check_layer(bench, list(CASES).index(name), layer, folding, frames=3, traffic=traffic)


@pytest.mark.slow
def test_a_netlist_with_wrong_tables_is_found(bench: Bench) -> None:
    layer, folding = CASES[WRONG]
    with pytest.raises(AssertionError, match="Mismatched elements"):
        check_layer(bench, len(CASES), layer, folding, frames=3)


SHELL = """
module whole_design (
    input clk_i, rst_i, s_valid_i, output s_ready_o, input [31:0] s_data_i,
    output m_valid_o, input m_ready_i, output [31:0] m_data_o
);
  hwgen_top u_top (
      .aclk(clk_i), .aresetn(!rst_i),
      .s_axis_tvalid(s_valid_i), .s_axis_tready(s_ready_o), .s_axis_tdata(s_data_i),
      .s_axis_tkeep(4'hf), .s_axis_tlast(1'b0),
      .m_axis_tvalid(m_valid_o), .m_axis_tready(m_ready_i), .m_axis_tdata(m_data_o)
  );
endmodule
"""


@pytest.mark.slow
def test_a_whole_mapped_design_computes_the_network(tmp_path: Path, bench_cache: Path) -> None:
    """Everything that the bitstream of a board holds of the network, from bus to bus."""
    graph = random_reactnet(width=4, blocks=1, size=(5, 4), classes=3)
    foldings = {layer.name: next(layer.foldings()) for layer in graph.layers}
    flow = build_dataflow(graph, foldings, bus_bytes=4, clock_mhz=50, technology=ECP5)
    flow = flow.with_depths(fifo.size(flow).depths)
    systemverilog.emit(flow).write(tmp_path / "rtl")
    caches = Caches(tmp_path / "yosys", tmp_path / "nextpnr")
    design = Router(tmp_path / "rtl", 50, caches).netlists(flow)
    text = SHELL + verilog(design, tmp_path, systemverilog.TOP)
    dut = Dut("whole_design", {}, (32,), (32,), sources={"whole_design": text.encode()})
    bench = Bench.build([dut], bench_cache)
    frames = random_frames(graph.input, 4, seed=1)
    expected = interpret(graph, frames, keep=False)[graph.output.name]
    sent, count = flow.axis_in.pack(frames), len(frames) * flow.axis_out.beats
    for traffic in (STEADY, ROUGH[4], ROUGH[7]):
        found = bench.run(0, [sent], [count], traffic)
        np.testing.assert_array_equal(flow.axis_out.unpack(found.outputs[0]), expected)
