"""affine_stairs.sv: every integer of every channel, every beat in the promised cycle."""

from __future__ import annotations

from itertools import cycle
from pathlib import Path

import numpy as np
import pytest

from hwgen.layers.threshold import Threshold
from hwgen.quant import IntArray, IntType
from tests.layers.stairs import batch_norm, rprelu, thresholds_of
from tests.rtl.bench import ROUGH, STEADY, Bench, Dut, initiation_interval
from tests.rtl.kernels import Case, affine, by_unit, check_cycles, check_layer, label
from tests.rtl.tools import RTL, lint, yosys

UNITS = cycle(("affine, DSP product", "affine, LUT product"))


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def odd() -> tuple[IntArray, tuple[int, int], IntType]:
    """Levels that are no power of two, flat, saturated and unreachable channels."""
    rows = [[-9, -3, 3, 9, 15], [-40, -40, -40, -40, -40], [0, 0, 0, 0, 0], [99, 99, 99, 99, 99]]
    return np.array([*rows, [-30, -20, -10, -9, -8], [-32, 31, 31, 31, 31]]), (-32, 31), IntType(6)


def stem() -> tuple[IntArray, tuple[int, int], IntType]:
    """Sums of 14 bits."""
    gain, y = rng(9).uniform(0.01, 0.1, (4, 1)), IntType(8, signed=True)
    reach = (-7000, 7100)
    return thresholds_of(lambda x: gain * x + 3.3, reach, y), reach, y


CASES: list[Case] = [
    by_unit(unit, case)
    for case in (
        affine(5, 2, rprelu(rng(1), 8, 8)),
        affine(4, 3, rprelu(rng(2), 6, 4, 0.5)),
        affine(3, 5, rprelu(rng(3), 5, 3)),  # constants: a single beat a pixel
        affine(3, 1, rprelu(rng(4), 7, 6, 0.8)),
        affine(2, 1, batch_norm(rng(5), 36, 72, 8)),
        affine(3, 4, batch_norm(rng(6), 4, 31, 2)),
        affine(3, 2, odd(), lo=7),
        affine(2, 17, rprelu(rng(7), 17, 4)),  # lanes beyond one hexadecimal digit
        affine(1, 1, rprelu(rng(8), 150, 4)),  # lines in block RAM
        affine(2, 2, stem()),
    )
    for unit in (next(UNITS), next(UNITS))
]
INDICES = range(len(CASES))
NAMES = [f"{label(c)}-{c[0].rtl(c[1]).parameters['DSP']}" for c in CASES]


@pytest.fixture(scope="module")
def bench(bench_cache: Path) -> Bench:
    return Bench.build([Dut.of_layer(*case) for case in CASES], bench_cache)


def reachable(layer: Threshold, frames: int, seed: int) -> IntArray:
    """Random integers of the reach, its ends well represented."""
    assert layer.reach is not None
    lo, hi = layer.reach
    shape = (frames, *layer.input.shape)
    ends = rng(seed).choice([lo, hi, min(max(0, lo), hi)], shape)
    values = rng(seed + 1).integers(lo, hi, shape, endpoint=True)
    return np.where(rng(seed + 2).random(shape) < 0.1, ends, values)


@pytest.mark.parametrize("index", INDICES, ids=NAMES)
def test_equals_the_integer_meaning_under_any_traffic(bench: Bench, index: int) -> None:
    layer, folding = CASES[index]
    assert isinstance(layer, Threshold)
    for traffic in ROUGH:
        x = reachable(layer, 4, traffic.seed)
        check_layer(bench, index, layer, folding, frames=4, traffic=traffic, inputs=[x])


@pytest.mark.parametrize("index", INDICES, ids=NAMES)
def test_every_beat_leaves_in_the_promised_cycle(bench: Bench, index: int) -> None:
    layer, folding = CASES[index]
    assert isinstance(layer, Threshold)
    segments = layer.rtl(folding).parameters["SEGMENTS"]
    assert isinstance(segments, int)
    x = reachable(layer, 5, 1)
    result = check_cycles(bench, index, CASES[index], segments + 3, inputs=[x])
    assert initiation_interval(result, frames=5) == layer.cycles(folding)


@pytest.mark.parametrize("index", INDICES, ids=NAMES)
def test_every_integer_of_the_reach_in_every_channel(bench: Bench, index: int) -> None:
    layer, folding = CASES[index]
    assert isinstance(layer, Threshold)
    assert layer.reach is not None
    pixels, channels = layer.input.shape[1:]
    values = np.arange(layer.reach[0], layer.reach[1] + 1)
    values = np.append(values, np.full(-len(values) % pixels, values[0]))
    x = np.repeat(values[:, None], channels, axis=1).reshape(-1, 1, pixels, channels)
    check_layer(bench, index, layer, folding, frames=len(x), traffic=STEADY, inputs=[x])


def test_the_cases_cover_every_kind_of_unit() -> None:
    parameters = [layer.rtl(folding).parameters for layer, folding in CASES]
    for name in ("SEGMENTS", "DSP", "BLOCK", "IN_SIGNED"):
        assert len({p[name] for p in parameters}) == 2, name
    assert {3, 5, 15, 255} <= {p["LEVELS"] for p in parameters}


@pytest.mark.parametrize("index", INDICES, ids=NAMES)
def test_lint_is_clean(index: int) -> None:
    dut = Dut.of_layer(*CASES[index])
    assert lint(dut.module, dut.parameters) == ""


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"CHANNELS": 8, "PE": 3}, "PE must divide CHANNELS"),
        ({"SEGMENTS": 3}, "SEGMENTS must be 1 or 2"),
        ({"M_BITS": 0}, "must be at least 1"),
        ({"SHIFT": 14, "SUM_BITS": 15, "B_BITS": 15}, "SUM_BITS must be SHIFT"),
        ({"B_BITS": 30}, "B_BITS at most SUM_BITS"),
    ],
)
def test_impossible_parameters_are_refused(parameters: dict[str, int], message: str) -> None:
    assert message in lint("affine_stairs", {**parameters, "KNEES": "k", "LINES": "l"})


@pytest.mark.parametrize(("x", "m"), [(2, 1), (3, 2), (4, 3), (2, 5), (5, 6), (3, 7), (4, 8)])
def test_a_product_in_luts_of_all_operands(x: int, m: int, tmp_path: Path) -> None:
    """Proven by SAT over all of them, against the multiplication of Yosys."""
    (tmp_path / "equal.sv").write_text(
        f"module equal (input signed [{x - 1}:0] x, input [{m - 1}:0] m, output ok);\n"
        f"  wire [{x + m - 1}:0] product;\n"
        f"  lut_product #(.X_BITS({x}), .M_BITS({m})) u (\n"
        "      .clk_i(1'b0), .en_i(1'b0), .x_i(x), .m_i(m), .product_o(product));\n"
        f"  wire signed [{x + m}:0] expected = x * $signed({{1'b0, m}});\n"
        "  assign ok = $signed(product) == expected;\n"
        "endmodule\n"
    )
    modules = ("lut_product", "lut_product_tree", "delay_line")
    sources = " ".join(str(RTL / f"{name}.sv") for name in modules)
    yosys(
        [
            f"read_verilog -sv -defer {sources} equal.sv",
            "hierarchy -top equal",
            "proc",
            "flatten",
            "opt",
            "sat -verify -prove ok 1",
        ],
        tmp_path,
    )
