"""thresholding.sv: every beat, in the cycle that the schedule promises."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwgen.quant import BINARY, IntType
from tests.rtl.bench import ROUGH, STEADY, Bench, Dut, initiation_interval
from tests.rtl.kernels import by_unit, check_cycles, check_layer, label, staircase
from tests.rtl.tools import lint

INT3, INT4, INT8, INT10 = (IntType(n, signed=True) for n in (3, 4, 8, 10))
UINT3, UINT4, UINT5, UINT7 = (IntType(n) for n in (3, 4, 5, 7))

CASES = [
    by_unit("comparator" if case[0].thresholds.shape[1] == 1 else "binary search", case)
    for case in (
        staircase(5, 8, 2, UINT7, 15, UINT4, 0),
        staircase(3, 12, 3, INT10, 255, INT8, -128),
        staircase(4, 5, 5, UINT7, 1, BINARY, 0),  # one threshold, no memory: RSign
        staircase(4, 6, 1, INT4, 2, INT3, -1),
        staircase(3, 3, 3, UINT5, 7, UINT3, 0),
        staircase(3, 1, 1, UINT5, 10, IntType(5, signed=True), -5),
        staircase(2, 36, 9, INT8, 14, INT4, -7),
        staircase(2, 18, 1, UINT3, 6, UINT4, 9),
        staircase(2, 17, 17, INT8, 3, INT8, 100),  # lanes beyond one hexadecimal digit
    )
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
    steps = layer.rtl(folding).parameters["STEPS"]
    result = check_cycles(bench, index, CASES[index], steps + 1)
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
        ({"STEPS": 0}, "STEPS must be 1 .. 16"),
        ({"IN_BITS": 8, "T_BITS": 7}, "must hold every input"),
        ({"IN_SIGNED": 1, "T_SIGNED": 0}, "must hold every input"),
    ],
)
def test_impossible_parameters_are_refused(parameters: dict[str, int], message: str) -> None:
    assert message in lint("thresholding", {**parameters, "THRESHOLDS": "t"})
