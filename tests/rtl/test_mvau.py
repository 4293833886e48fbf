"""mvau_xnor.sv and mvau_int.sv: every beat, in the cycle that the schedule promises."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hwgen.layers.base import Layer
from hwgen.layers.mvau import XnorMvau
from hwgen.quant import IntType
from tests.rtl.bench import ROUGH, RTL, Bench, Dut, initiation_interval
from tests.rtl.kernels import Case, check_cycles, check_layer, integer, label, xnor_by
from tests.rtl.tools import lint, yosys

INT2, INT3, INT8 = (IntType(n, signed=True) for n in (2, 3, 8))
UINT2, UINT3, UINT8 = (IntType(n) for n in (2, 3, 8))


def xnor(pixels: int, k: int, m: int, pe: int, simd: int) -> Case:
    """A binary MVAU with mvau_xnor.sv; test_binary_mvau.py has the others."""
    return xnor_by("adders", pixels, k, m, pe, simd)


XNOR = [
    xnor(5, 64, 8, pe=4, simd=32),
    xnor(5, 45, 12, pe=3, simd=9),
    xnor(4, 8, 2, pe=2, simd=8),  # SF = NF = 1: a constant for weights; K = 2^n
    xnor(4, 1, 1, pe=1, simd=1),
    xnor(3, 256, 6, pe=1, simd=256),  # SF = 1
    xnor(3, 24, 7, pe=7, simd=4),  # NF = 1
    xnor(3, 288, 16, pe=4, simd=32),
    xnor(3, 6, 4, pe=1, simd=2),
    xnor(4, 16, 3, pe=1, simd=16),
    xnor(2, 12, 64, pe=1, simd=3),
    xnor(2, 60, 30, pe=5, simd=12),
    xnor(2, 36, 18, pe=9, simd=6),
    xnor(2, 35, 12, pe=12, simd=5),
    xnor(3, 600, 3, pe=3, simd=300),  # two registers in the popcount
    xnor(3, 1, 5, pe=1, simd=1),
]
INT = [
    integer(5, 27, 8, pe=4, simd=9, a=UINT8, w=INT8),
    integer(3, 12, 6, pe=6, simd=12, a=INT3, w=INT3),
    integer(3, 40, 10, pe=1, simd=20, a=INT8, w=INT8),
    integer(4, 6, 4, pe=1, simd=1, a=UINT3, w=UINT2),
    integer(4, 1, 1, pe=1, simd=1, a=UINT8, w=INT2),
    integer(3, 9, 5, pe=5, simd=3, a=INT8, w=UINT2),
    integer(2, 30, 9, pe=3, simd=6, a=UINT2, w=INT3, bias=0),
    integer(2, 5, 12, pe=2, simd=5, a=INT8, w=INT8),
    integer(2, 64, 4, pe=2, simd=32, a=INT2, w=INT2),
]
CASES = XNOR + INT
INDICES = range(len(CASES))


def latency(layer: Layer, simd: int) -> int:
    """From a firing to its sum; a register after every fourth level of adders."""
    if isinstance(layer, XnorMvau):
        return 2 + max(simd.bit_length() - 1, 0) // 4
    return 3 + (simd - 1).bit_length() // 4


@pytest.fixture(scope="module")
def bench(bench_cache: Path) -> Bench:
    return Bench.build([Dut.of_layer(*case) for case in CASES], bench_cache)


@pytest.mark.parametrize("index", INDICES, ids=[label(c) for c in CASES])
def test_equals_the_integer_meaning_under_any_traffic(bench: Bench, index: int) -> None:
    for traffic in ROUGH:
        check_layer(bench, index, *CASES[index], frames=4, traffic=traffic)


@pytest.mark.parametrize("index", INDICES, ids=[label(c) for c in CASES])
def test_every_beat_leaves_in_the_promised_cycle(bench: Bench, index: int) -> None:
    layer, folding = CASES[index]
    result = check_cycles(bench, index, CASES[index], latency(layer, folding.simd))
    assert initiation_interval(result, frames=5) == layer.cycles(folding)


SIMDS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 31, 32, 63, 64, 127, 128, 255, 256)


@pytest.mark.slow
def test_popcount_tree_equals_the_sum_that_verilator_simulates(
    bench_cache: Path, tmp_path: Path
) -> None:
    rtl = shutil.copytree(RTL, tmp_path / "rtl")
    source = rtl / "xnor_popcount.sv"
    text = source.read_text()
    assert "`ifdef VERILATOR" in text
    source.write_text(text.replace("`ifdef VERILATOR", "`ifdef NO_TOOL"))
    cases: list[Case] = [xnor(8, 2 * simd, 2, 1, simd) for simd in SIMDS]
    bench = Bench.build([Dut.of_layer(*case) for case in cases], bench_cache, rtl)
    for index, (layer, folding) in enumerate(cases):
        for traffic in ROUGH[:5]:
            check_layer(bench, index, layer, folding, frames=6, traffic=traffic)
        check_cycles(bench, index, cases[index], latency(layer, folding.simd))


PROOF = """
module proof #(parameter int unsigned N = 1) (input wire [N-1:0] a, w, output wire equal);
  wire [$clog2(N+1)-1:0] meaning, tree;
  xnor_popcount #(.SIMD(N)) u_meaning (.clk_i(1'b0), .en_i(1'b1), .a_i(a), .w_i(w),
                                       .count_o(meaning));
  popcount_tree #(.SIMD(N)) u_tree (.clk_i(1'b0), .en_i(1'b1), .a_i(a), .w_i(w), .count_o(tree));
  assign equal = meaning == tree;
endmodule
"""


@pytest.mark.slow
def test_popcount_tree_is_proven_equal_where_sat_can(tmp_path: Path) -> None:
    (tmp_path / "proof.sv").write_text(PROOF)
    files = " ".join(f"{RTL}/{m}.sv" for m in ("xnor_popcount", "popcount_tree", "delay_line"))
    commands = [f"read_verilog -sv -defer -D VERILATOR {files} proof.sv", "design -save all"]
    sizes = range(1, 14)
    for n in sizes:
        commands += ["design -load all", f"hierarchy -top proof -chparam N {n}"]
        commands += [
            "rename -top proof",
            "proc",
            "flatten",
            "opt",
            "sat -verify -prove equal 1 proof",
        ]
    log = yosys(commands, tmp_path)
    assert log.count("SAT proof finished - no model found: SUCCESS!") == len(sizes)


@pytest.mark.parametrize("index", INDICES, ids=[label(c) for c in CASES])
def test_lint_is_clean(index: int) -> None:
    dut = Dut.of_layer(*CASES[index])
    assert lint(dut.module, dut.parameters) == ""


@pytest.mark.parametrize(
    ("module", "parameters", "message"),
    [
        ("mvau_xnor", {"K": 64, "SIMD": 5, "WEIGHTS": "w"}, "SIMD must divide K"),
        ("mvau_xnor", {"M": 8, "PE": 3, "WEIGHTS": "w"}, "PE must divide M"),
        ("mvau_xnor", {"K": 64, "ACC_BITS": 6, "WEIGHTS": "w"}, "ACC_BITS must hold K"),
        ("mvau_int", {"M": 8, "PE": 3, "WEIGHTS": "w", "BIAS": "b"}, "PE must divide M"),
        ("replay_buffer", {"NF": 0}, "at least 1"),
        ("popcount_tree", {"SIMD": 7, "STAGES": 3}, "at most the levels"),
        ("adder_tree", {"N": 4, "STAGES": 3}, "at most the levels"),
    ],
)
def test_impossible_parameters_are_refused(
    module: str, parameters: dict[str, int | str], message: str
) -> None:
    assert message in lint(module, parameters)
