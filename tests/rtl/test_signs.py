"""Integers times signs, as bits in compressor trees: as their twins, and as their primitives."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from hwgen.layers import IntMvau
from hwgen.layers.base import Folding
from hwgen.layers.signs_unit import SignsUnit
from hwgen.quant import IntType, Tensor
from tests.rtl.bench import ROUGH, Bench, Dut, initiation_interval
from tests.rtl.kernels import Case, check_cycles, check_layer
from tests.rtl.test_kernels_synthesis import cells_of, flip_flops
from tests.rtl.tools import lint, luts

INT2, INT8 = IntType(2, signed=True), IntType(8, signed=True)
UINT1, UINT2, UINT3, UINT8 = (IntType(n) for n in (1, 2, 3, 8))


@dataclass(frozen=True, slots=True)
class SignsBy(IntMvau):
    """An integer MVAU that takes the circuit for signs, be it the smallest or not."""

    def signs(self, folding: Folding) -> SignsUnit | None:
        return self._signs(folding)


def signs(pixels: int, k: int, m: int, pe: int, simd: int, a: IntType) -> Case:
    """Random signs, one column of each alone, in the least type that holds every sum."""
    rng = np.random.default_rng([k, m, a.bits])
    weights, bias = 2 * rng.integers(0, 2, (k, m)) - 1, rng.integers(-99, 100, m)
    weights[:, 0], weights[:, -1] = -1, 1
    ends = np.stack([weights * a.lo, weights * a.hi])
    lo, hi = ends.min(axis=0).sum(axis=0) + bias, ends.max(axis=0).sum(axis=0) + bias
    x = Tensor("x", (1, pixels, k), a)
    y = Tensor("y", (1, pixels, m), IntType.holding(int(min(lo.min(), -1)), int(hi.max())))
    layer = SignsBy("signs", (x,), (y,), weights, bias)
    layer.check()
    return layer, layer.legal(Folding(pe, simd))


CASES = [
    signs(5, 27, 8, 2, 27, UINT8),  # one fold of rows
    signs(4, 27, 8, 8, 9, INT8),  # NF = 1
    signs(4, 18, 6, 6, 18, UINT2),  # one fold of all
    signs(4, 36, 6, 3, 6, INT2),
    signs(5, 9, 4, 1, 1, UINT3),
    signs(3, 10, 5, 1, 5, INT8),
    signs(3, 32, 4, 2, 16, UINT1),
]
layer, folding = signs(4, 36, 6, 3, 12, UINT8)
CASES += [(replace(layer, levels=levels), folding) for levels in (6, 8)]
CASES += [(layer, replace(folding, ram_style="block"))]
INDICES = pytest.mark.parametrize("index", range(len(CASES)))


@pytest.fixture(scope="module", params=["twin", pytest.param("primitives", marks=pytest.mark.slow)])
def bench(bench_cache: Path, request: pytest.FixtureRequest) -> Bench:
    duts = [Dut.of_layer(*case) for case in CASES]
    return Bench.build(duts, bench_cache, structural=request.param == "primitives")


@INDICES
def test_equals_the_integer_meaning_under_any_traffic(bench: Bench, index: int) -> None:
    for traffic in ROUGH:
        check_layer(bench, index, *CASES[index], frames=4, traffic=traffic)


@INDICES
def test_every_beat_leaves_in_the_promised_cycle(bench: Bench, index: int) -> None:
    case: Case = CASES[index]
    layer, folding = case
    unit = layer.signs(folding)  # type: ignore[attr-defined]
    result = check_cycles(bench, index, case, unit.latency)
    assert initiation_interval(result, frames=5) == layer.cycles(folding)


@INDICES
@pytest.mark.parametrize("structural", [False, True], ids=["twin", "primitives"])
def test_lint_is_clean(index: int, structural: bool) -> None:
    dut = Dut.of_layer(*CASES[index])
    assert lint(dut.module, dut.parameters, dut.sources, structural=structural) == ""


def test_it_is_taken_where_it_is_smaller_and_the_report_says_so() -> None:
    layer, folding = signs(1, 72, 8, 2, 36, UINT8)
    plain = IntMvau("int", layer.inputs, layer.outputs, layer.weights, layer.bias)  # type: ignore[attr-defined]
    choice = plain.choice(folding)
    assert choice is not None
    assert choice.chosen == "XNOR pairs of all bits, compressor tree"
    assert plain.resources(folding) == choice.candidates[choice.chosen]
    assert choice.candidates["products"].lut > 2 * choice.candidates[choice.chosen].lut
    three = replace(plain, weights=3 * plain.weights)
    assert three.choice(folding) is None


@pytest.mark.slow
def test_the_estimate_is_close(tmp_path: Path) -> None:
    cases = [signs(1, 54, 8, 2, 27, UINT8), signs(1, 144, 16, 4, 36, UINT2)]
    for (layer, folding), cells in zip(cases, cells_of(cases, tmp_path), strict=True):
        estimate = layer.resources(folding)
        assert 0.85 * luts(cells) <= estimate.lut <= 1.15 * luts(cells), (estimate, cells)
        ff = flip_flops(cells)
        assert 0.85 * ff <= estimate.ff <= 1.15 * ff, (estimate, cells)
