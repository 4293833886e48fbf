"""Kernels with a bound on LUT levels: the same results and rates, as late as schedules say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hwgen.layers import MaxPool
from hwgen.layers.base import Folding
from hwgen.layers.mvau import Mvau
from hwgen.layers.pipeline import LEAST
from hwgen.layers.xnor_sign import XnorSign
from hwgen.quant import IntArray, IntType, Tensor
from tests.backends.designs import design
from tests.layers.stairs import rprelu
from tests.rtl.bench import ROUGH, Bench, Dut, initiation_interval
from tests.rtl.kernels import (
    Case,
    affine,
    by_unit,
    check_cycles,
    check_layer,
    integer,
    sign_by,
    styled,
    xnor_by,
)
from tests.rtl.test_low_bit import depthwise, signs
from tests.rtl.tools import lint

UINT4, UINT8 = IntType(4), IntType(8)
INT4, INT8 = IntType(4, signed=True), IntType(8, signed=True)
STAIRS = rprelu(np.random.default_rng(0), 16, 8)


def max_pool(shape: tuple[int, int, int], pe: int) -> Case:
    """Of 2 x 2 bytes, wide enough for block RAM."""
    h, w, c = shape
    out = Tensor("y", (h // 2, w // 2, c), UINT8)
    layer = MaxPool("max", (Tensor("x", shape, UINT8),), (out,), 2, 2, 0)
    layer.check()
    return layer, layer.legal(Folding(pe))


PLAIN = {
    "adders, weights in block RAM": styled(xnor_by("adders", 3, 72, 8, 2, 9), "block"),
    "adders": xnor_by("adders", 3, 64, 4, 2, 64),
    "constants": xnor_by("adders", 3, 24, 3, 3, 24),
    "pairs, weights in block RAM": styled(xnor_by("XNOR", 3, 72, 8, 2, 9), "block"),
    "and": xnor_by("AND", 3, 128, 6, 3, 32),
    "sign of pairs": styled(sign_by("XNOR", 3, 72, 8, 2, 18), "block"),
    "sign of and": sign_by("AND", 3, 128, 6, 3, 32),
    "integers by signs": styled(signs(3, 72, 8, 2, 9, UINT4), "block"),
    "integers in LUTs": styled(integer(3, 40, 6, 2, 20, UINT4, INT4), "block"),
    "integers in DSP blocks": integer(3, 27, 8, 4, 9, UINT8, INT8),
    "depthwise, weights in block RAM": depthwise((2, 3, 64), 9, UINT4, INT4, pe=4),
    "lines in LUTs": by_unit("affine, LUT product", affine(3, 4, STAIRS)),
    "lines in DSP blocks": by_unit("affine, DSP product", affine(3, 1, STAIRS)),
    "maximum": max_pool((4, 96, 12), pe=2),
}
LEVELS = (LEAST, 9)


def bounded(case: Case, levels: int) -> Case:
    """The same with a bound."""
    layer, folding = case
    if isinstance(layer, XnorSign):
        layer = replace(layer, product=replace(layer.product, levels=levels))
    return replace(layer, levels=levels), folding


NAMES = [f"{name}, {levels}" for name in PLAIN for levels in LEVELS]
CASES = [bounded(case, levels) for case in PLAIN.values() for levels in LEVELS]
INDICES = pytest.mark.parametrize("index", range(len(CASES)), ids=NAMES)


@pytest.fixture(scope="module", params=["twin", pytest.param("primitives", marks=pytest.mark.slow)])
def bench(bench_cache: Path, request: pytest.FixtureRequest) -> Bench:
    duts = [Dut.of_layer(*case) for case in CASES]
    return Bench.build(duts, bench_cache, structural=request.param == "primitives")


def inputs(case: Case, frames: int, seed: int) -> list[IntArray] | None:
    """Within the reach of a staircase of lines; else whatever the bench takes."""
    layer, _ = case
    reach = getattr(layer, "reach", None)
    if reach is None:
        return None
    rng = np.random.default_rng(seed)
    return [rng.integers(*reach, (frames, *layer.input.shape), endpoint=True)]


@INDICES
def test_equals_the_integer_meaning_under_any_traffic(bench: Bench, index: int) -> None:
    for traffic in ROUGH:
        x = inputs(CASES[index], 3, traffic.seed)
        check_layer(bench, index, *CASES[index], frames=3, traffic=traffic, inputs=x)


@INDICES
def test_every_beat_leaves_in_the_promised_cycle(bench: Bench, index: int) -> None:
    layer, folding = CASES[index]
    plan = layer.schedule(folding)
    inner = isinstance(layer, Mvau | XnorSign) and plan.buffer > 0  # the replay buffer's cycle
    own = plan.latency - (inner or isinstance(layer, MaxPool))
    result = check_cycles(bench, index, CASES[index], own, inputs=inputs(CASES[index], 5, 1))
    assert initiation_interval(result, frames=5) == layer.cycles(folding)


@INDICES
def test_lint_is_clean(index: int) -> None:
    dut = Dut.of_layer(*CASES[index])
    assert lint(dut.module, dut.parameters, dut.sources) == ""


def test_a_design_knows_its_bound_and_its_schedules_are_later() -> None:
    flow = design("pipelined")
    free = flow.graph.pipelined(None)
    later = 0
    for stage in flow.stages:
        if stage.name in {layer.name for layer in free.layers}:
            assert stage.layer.levels == LEAST
            plain = free.layer(stage.name).schedule(stage.folding)
            assert stage.schedule().latency >= plain.latency
            later += stage.schedule().latency > plain.latency
    assert later >= 2


@pytest.mark.parametrize("name", PLAIN)
def test_less_levels_take_more_registers_and_no_other_rate(name: str) -> None:
    layer, folding = PLAIN[name]
    plain, *found = (layer, *(bounded(PLAIN[name], levels)[0] for levels in (99, 9, LEAST)))
    latencies = [each.schedule(folding).latency for each in found]
    assert latencies == sorted(latencies)
    assert latencies[-1] >= plain.schedule(folding).latency
    assert {each.cycles(folding) for each in found} == {plain.cycles(folding)}
    assert found[-1].resources(folding).ff >= plain.resources(folding).ff
