"""lookup.sv: every beat, in the cycle that the schedule promises."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwgen.quant import BINARY, IntType
from tests.rtl.bench import ROUGH, STEADY, Bench, Dut, initiation_interval
from tests.rtl.kernels import by_unit, check_cycles, check_layer, label, staircase
from tests.rtl.tools import lint

INT4, INT5, INT8, INT9 = (IntType(n, signed=True) for n in (4, 5, 8, 9))
UINT1, UINT3, UINT5, UINT6 = (IntType(n) for n in (1, 3, 5, 6))
LUTS, BLOCKS = "table in LUTs", "table in block RAM"

CASES = [
    by_unit(LUTS, staircase(5, 8, 2, UINT6, 15, INT4, -8)),
    by_unit(BLOCKS, staircase(5, 8, 2, UINT6, 15, INT4, -8)),
    by_unit(LUTS, staircase(4, 12, 4, INT5, 15, INT4, -8)),  # a fold that is no power of two
    by_unit(BLOCKS, staircase(3, 6, 2, INT9, 255, INT8, -128)),
    by_unit(LUTS, staircase(4, 6, 6, INT4, 1, BINARY, 0)),  # one beat a pixel: RSign
    by_unit(LUTS, staircase(4, 6, 1, INT4, 2, UINT3, 5)),
    by_unit(LUTS, staircase(3, 18, 18, UINT1, 2, UINT5, 0)),  # two digits of lanes, one bit
    by_unit(BLOCKS, staircase(2, 5, 1, UINT5, 7, INT8, 100)),
]
INDICES = range(len(CASES))


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
    result = check_cycles(bench, index, CASES[index], latency=1)
    assert initiation_interval(result, frames=5) == layer.cycles(folding)


@pytest.mark.parametrize("index", INDICES, ids=[label(c) for c in CASES])
def test_every_input_value_of_every_channel(bench: Bench, index: int) -> None:
    layer, folding = CASES[index]
    pixels, channels = layer.input.shape[1:]
    values = np.arange(layer.input.dtype.lo, layer.input.dtype.hi + 1)
    values = np.append(values, np.zeros(-len(values) % pixels, np.int64))
    x = np.repeat(values[:, None], channels, axis=1).reshape(-1, 1, pixels, channels)
    check_layer(bench, index, layer, folding, frames=len(x), traffic=STEADY, inputs=[x])


@pytest.mark.parametrize("index", INDICES, ids=[label(c) for c in CASES])
def test_lint_is_clean(index: int) -> None:
    dut = Dut.of_layer(*CASES[index])
    assert lint(dut.module, dut.parameters) == ""


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"CHANNELS": 8, "PE": 3}, "PE must divide CHANNELS"),
        ({"IN_BITS": 17}, "IN_BITS must be 1 .. 16"),
        ({"OUT_BITS": 0}, "OUT_BITS at least 1"),
    ],
)
def test_impossible_parameters_are_refused(parameters: dict[str, int], message: str) -> None:
    assert message in lint("lookup", {**parameters, "TABLE": "t"})
