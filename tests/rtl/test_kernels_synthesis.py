"""Yosys makes LUTs, LUTRAM, block RAM and DSP blocks of the compute kernels as meant."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from hwgen.layers.base import literal
from hwgen.quant import BINARY, IntType
from tests.layers.stairs import batch_norm, rprelu
from tests.rtl.bench import Dut
from tests.rtl.kernels import (
    Case,
    affine,
    by_unit,
    integer,
    sign_by,
    staircase,
    styled,
    window,
    xnor_by,
)
from tests.rtl.tools import RTL, luts, yosys

UINT8, INT8, UINT10 = IntType(8), IntType(8, signed=True), IntType(10)
INT4 = IntType(4, signed=True)
DSP, LUT = "affine, DSP product", "affine, LUT product"
RNG = np.random.default_rng(0)


def cells_of(cases: Sequence[Case], work: Path) -> list[Counter[str]]:
    """7-series cells of every kernel, each flattened into a module of its own; one run for all."""
    body, top = [], []
    made: set[str] = set()
    for i, (layer, folding) in enumerate(cases):
        dut = Dut.of_layer(layer, folding)
        for name, content in dut.memories.items():
            (work / name).write_bytes(content)
        for name, text in dut.sources.items():
            (work / f"{name}.sv").write_bytes(text)
            made.add(f"{name}.sv")
        values = ", ".join(f".{k}({literal(v)})" for k, v in dut.parameters.items())
        width = dut.out_widths[0]
        body.append(
            f"(* keep_hierarchy *) module k{i} (input clk, rst, valid, ready,\n"
            f"    input [{dut.in_widths[0] - 1}:0] x, output [{width + 1}:0] y);\n"
            f"  {dut.module} #({values}) u (.clk_i(clk), .rst_i(rst), .s_valid_i(valid),\n"
            f"    .m_ready_i(ready), .s_data_i(x), .s_ready_o(y[{width}]),\n"
            f"    .m_valid_o(y[{width + 1}]), .m_data_o(y[{width - 1}:0]));\n"
            "endmodule\n"
        )
        top.append(f"  (* keep *) k{i} u{i} (.clk(clk));\n")
    kernels = "".join(body)
    (work / "top.sv").write_text(f"{kernels}module top (input clk);\n{''.join(top)}endmodule\n")
    files = " ".join([*(str(path) for path in sorted(RTL.glob("*.sv"))), *sorted(made)])
    synth = "synth_xilinx -flatten -noiopad -noclkbuf -top top"
    yosys(
        [
            f"read_verilog -sv -defer {files} top.sv",
            "hierarchy -top top",
            "setattr -mod -set keep_hierarchy 1 *rom_table",  # see rom_table.sv
            f"{synth} -run begin:finalize",
            "setattr -mod -unset keep_hierarchy *rom_table",
            "flatten",
            f"{synth} -run finalize:check",
            "select k*",
            "write_json -selected cells.json",
        ],
        work,
    )
    modules = json.loads((work / "cells.json").read_text())["modules"]
    found = [modules[f"k{i}"] for i in range(len(cases))]
    return [Counter(cell["type"] for cell in kernel["cells"].values()) for kernel in found]


def blocks(cells: Counter[str]) -> float:
    """Block RAM in units of 36 kbit."""
    return cells["RAMB36E1"] + cells["RAMB18E1"] / 2


def flip_flops(cells: Counter[str]) -> int:
    return sum(n for kind, n in cells.items() if kind.startswith("FD"))


# case, block RAM, LUTs at most (LUTRAM included), flip-flops at most, DSP blocks
EXPECTED: list[tuple[Case, float, int, int, int]] = [
    (window((8, 8, 32), 3, 1, 1, simd=32), 0, 110, 90, 0),  # 32 x 32
    (window((8, 8, 4), 3, 1, 1, UINT8), 0, 130, 70, 0),  # 128 x 8
    (window((32, 4, 16), 3, 2, 1, simd=16), 0, 110, 70, 0),  # 20 x 16
    (window((32, 32, 80), 3, 1, 1, simd=16), 0.5, 130, 80, 0),  # 640 x 16
    (window((32, 32, 128), 3, 1, 1, simd=128), 0, 600, 200, 0),  # 128 x 128: not deep
    (window((32, 32, 3), 3, 1, 0, UINT8, simd=27), 0, 60, 310, 0),  # whole patches
    (window((28, 28, 32), 3, 1, 1, simd=288), 0, 95, 700, 0),  # padded: two registers a bit
    (xnor_by("adders", 1, 9, 4, pe=4, simd=9), 0, 30, 40, 0),  # constant weights
    (xnor_by("adders", 1, 144, 16, pe=4, simd=16), 0, 290, 200, 0),  # 36 x 64
    (xnor_by("adders", 1, 288, 32, pe=4, simd=32), 2, 320, 190, 0),  # 72 x 128
    (xnor_by("adders", 1, 64, 64, pe=1, simd=2), 0.5, 66, 60, 0),  # 2048 x 2
    (xnor_by("adders", 1, 288, 64, pe=8, simd=9), 1, 270, 140, 0),  # 256 x 72
    (styled(xnor_by("adders", 1, 144, 16, pe=4, simd=16), "block"), 1, 230, 140, 0),
    (styled(xnor_by("adders", 1, 288, 32, pe=4, simd=32), "distributed"), 0, 600, 330, 0),
    (styled(sign_by("AND", 1, 288, 32, pe=4, simd=32), "distributed"), 0, 480, 520, 0),
    (integer(1, 27, 8, pe=2, simd=3, a=UINT8, w=INT8), 0, 320, 180, 6),
    (styled(integer(1, 27, 8, pe=2, simd=3, a=UINT8, w=INT8), "block"), 1, 320, 180, 6),
    (staircase(1, 16, 1, UINT8, 1, BINARY, 0), 0, 25, 30, 0),
    (staircase(1, 16, 1, UINT8, 15, INT4, -8), 0, 110, 110, 0),  # 16 .. 128 words
    (staircase(1, 64, 1, UINT10, 31, IntType(5), 0), 1.5, 120, 140, 0),  # 64 .. 1024 words
]

# the same for units of staircases that are lines
LINES: list[tuple[Case, float, int, int, int]] = [
    (by_unit(DSP, affine(1, 2, rprelu(RNG, 8, 8))), 0, 80, 100, 2),
    (by_unit(DSP, affine(1, 1, rprelu(RNG, 16, 4))), 0, 35, 50, 1),
    (by_unit(DSP, affine(1, 1, rprelu(RNG, 128, 8))), 1, 60, 80, 1),
    (by_unit(DSP, affine(1, 1, batch_norm(RNG, 32, 576, 8))), 0, 65, 70, 1),  # a sum in the DSP
    (by_unit(LUT, affine(1, 1, rprelu(RNG, 16, 4))), 0, 95, 90, 0),
    (by_unit(LUT, affine(1, 1, rprelu(RNG, 16, 8))), 0, 240, 160, 0),
]


def require(
    expected: Sequence[tuple[Case, float, int, int, int]], found: Sequence[Counter[str]]
) -> None:
    """Assert every row of ``expected`` of the cells found for it."""
    for ((layer, folding), bram, lut, ff, dsp), cells in zip(expected, found, strict=True):
        name = f"{layer.name} {layer.input.shape} {folding}: {dict(cells)}"
        assert blocks(cells) == bram, name
        assert luts(cells) <= lut, name
        assert flip_flops(cells) <= ff, name
        assert cells["DSP48E1"] == dsp, name


@pytest.mark.slow
def test_memories_and_products_become_what_is_meant(tmp_path: Path) -> None:
    require(EXPECTED, cells_of([row[0] for row in EXPECTED], tmp_path))


@pytest.mark.slow
def test_lines_become_what_is_meant_and_cost_what_is_estimated(tmp_path: Path) -> None:
    found = cells_of([row[0] for row in LINES], tmp_path)
    require(LINES, found)
    for ((layer, folding), *_), cells in zip(LINES, found, strict=True):
        estimate, what = layer.resources(folding), f"{layer} {folding}: {dict(cells)}"
        assert 0.75 * luts(cells) - 10 <= estimate.lut <= 1.3 * luts(cells) + 10, what
        assert 0.75 * flip_flops(cells) - 10 <= estimate.ff <= 1.3 * flip_flops(cells) + 10, what
        assert blocks(cells) == estimate.bram36, what
        assert cells["DSP48E1"] == estimate.dsp, what
