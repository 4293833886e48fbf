"""Cells and trees of primitives, proven against their meaning with Yosys' own models of those."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwgen.layers.compressor import compress
from hwgen.layers.compressor_rtl import describe
from hwgen.render import render
from tests.layers.test_compressor import Heap, ands, ones, random_heap
from tests.rtl.tools import RTL, yosys

PROVEN = "SAT proof finished - no model found: SUCCESS!"
CELLS = (
    "counter_chains",
    "full_adders",
    "ripple_adder",
    "xnor_adders",
    "running_sum",
    "carry_chain",
    "delay_line",
)

# every cell for all its inputs: module, how it is used, what must hold
MEANINGS = {
    "counter_chains": """
  wire [20:0] b = in[20:0]; wire [2:0] one, two, four;
  counter_chains #(.COUNT(3), .CHAIN(2)) u (.bits_i(b), .ones_o(one), .twos_o(two),
                                            .fours_o(four));
  assign equal = {four[0], two[0], one[0]} == $countones(b[6:0])
              && {four[1], two[1], one[1]} == $countones(b[13:7])
              && {four[2], two[2], one[2]} == $countones(b[20:14]);""",
    "full_adders": """
  wire [1:0] one, two;
  full_adders #(.COUNT(2)) u (.bits_i(in[5:0]), .ones_o(one), .twos_o(two));
  assign equal = {two[0], one[0]} == $countones(in[2:0])
              && {two[1], one[1]} == $countones(in[5:3]);""",
    "ripple_adder": """
  wire [6:0] sum;
  ripple_adder #(.WIDTH(6)) u (.carry_i(in[0]), .x_i(in[6:1]), .y_i(in[12:7]), .sum_o(sum));
  assign equal = sum == {1'b0, in[6:1]} + {1'b0, in[12:7]} + in[0];""",
    "xnor_adders": """
  wire [1:0] one; wire [4:0] two;
  xnor_adders #(.SIMD(9), .DEPTH(3)) u (.a_i(in[8:0]), .w_i(in[17:9]), .ones_o(one),
                                        .twos_o(two));
  assign equal = $countones(in[8:0] ~^ in[17:9]) == $countones(one) + 2 * $countones(two);""",
    "running_sum": """
  wire [5:0] sum;
  running_sum #(.WIDTH(6), .IN_BITS(4), .HOLD(0)) u (.clk_i(1'b0), .add_i(1'b0), .first_i(in[10]),
      .start_i(in[5:0]), .x_i(in[9:6]), .sum_o(sum));
  assign equal = sum == 6'(in[9:6]) + (in[10] ? in[5:0] : 6'd0);""",
}


def prove(proof: str, files: list[Path], work: Path) -> None:
    """Assert that output ``equal`` of module ``proof`` is 1 for all its inputs."""
    (work / "proof.sv").write_text(proof)
    names = " ".join(str(f) for f in (*(RTL / f"{cell}.sv" for cell in CELLS), *files))
    log = yosys(
        [
            f"read_verilog -sv -defer {names} proof.sv",
            "read_verilog +/xilinx/cells_sim.v",
            "hierarchy -top proof",
            "proc",
            "flatten",
            "opt",
            "sat -verify -prove equal 1 proof",
        ],
        work,
    )
    assert PROVEN in log


@pytest.mark.parametrize("cell", MEANINGS)
def test_a_cell_is_right_for_all_inputs(cell: str, tmp_path: Path) -> None:
    prove(
        f"module proof (input [31:0] in, output equal);{MEANINGS[cell]}\nendmodule\n", [], tmp_path
    )


TREES: dict[str, Heap] = {
    **{f"ones{n}": ones(n) for n in (1, 2, 3, 4, 5, 6, 7, 8, 11, 15, 16, 18, 20)},
    **{f"ands{n}": ands(n) for n in (1, 4, 9, 14)},
    **{f"random{seed}": tuple((c, 0) for c, _ in random_heap(seed)[:18]) for seed in range(4)},
}


@pytest.mark.parametrize("heap", TREES.values(), ids=TREES)
def test_a_tree_is_proven_equal_to_its_twin(heap: Heap, tmp_path: Path) -> None:
    text = render("structural/compressor.sv.j2", describe(compress(heap, 100), "tree")).decode()
    (tmp_path / "tree.sv").write_text(text)
    twin = text.replace("`ifdef VERILATOR", "`ifndef VERILATOR").replace(
        "module tree", "module twin"
    )
    (tmp_path / "twin.sv").write_text(twin)
    bits = f"input [{len(heap) - 1}:0] bits"
    ports = ".clk_i(1'b0), .en_i(1'b1), .bits_i(bits)"
    proof = (
        f"module proof ({bits}, output equal);\n  wire [31:0] a, b;\n"
        f"  tree u_tree ({ports}, .sum_o(a));\n  twin u_twin ({ports}, .sum_o(b));\n"
        f"  localparam int W = {len(compress(heap, 100).result)};\n"
        "  assign equal = a[W-1:0] == b[W-1:0];\nendmodule\n"
    )
    prove(proof, [tmp_path / "tree.sv", tmp_path / "twin.sv"], tmp_path)


def test_a_wrong_cell_is_found(tmp_path: Path) -> None:
    source = (RTL / "counter_chains.sv").read_text()
    wrong = source.replace("32'he880_8000", "32'he880_8001").replace(
        "module counter_chains", "module wrong_chains"
    )
    assert wrong.count("8001") == 1
    (tmp_path / "wrong.sv").write_text(wrong)
    text = MEANINGS["counter_chains"].replace("counter_chains", "wrong_chains")
    with pytest.raises(Exception, match="proof did fail"):
        prove(
            f"module proof (input [31:0] in, output equal);{text}\nendmodule\n",
            [tmp_path / "wrong.sv"],
            tmp_path,
        )
