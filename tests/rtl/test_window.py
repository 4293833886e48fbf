"""sliding_window.sv: every beat, in the cycle that the schedule promises."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from hwgen.layers.window import Window
from hwgen.quant import IntType
from tests.rtl.bench import ROUGH, Bench, Dut, initiation_interval
from tests.rtl.kernels import Case, check_cycles, check_layer, label, window
from tests.rtl.tools import lint

LATENCY = 1
INT8, UINT2 = IntType(8, signed=True), IntType(2)


def random_cases(count: int, seed: int) -> list[Case]:
    """Small windows of every kind."""
    rng = random.Random(seed)
    cases = []
    while len(cases) < count:
        kernel, stride = rng.randint(1, 5), rng.randint(1, 4)
        pad = rng.randint(0, kernel - 1)
        h, w = rng.randint(1, 9), rng.randint(1, 9)
        if min(h, w) + 2 * pad < kernel:
            continue
        simd, fold = rng.choice([1, 2, 3, 5, 6, 9, 12]), rng.choice([1, 2, 3, 5])
        dtype = rng.choice([IntType(1), UINT2, IntType(3, signed=True), INT8])
        value = rng.choice([dtype.lo, 0, dtype.hi])
        cases.append(window((h, w, simd * fold), kernel, stride, pad, dtype, simd, value))
    return cases


def patches(count: int, seed: int) -> list[Case]:
    """Windows of every kind that show whole patches."""
    rng = random.Random(seed)
    cases = []
    while len(cases) < count:
        kernel, stride = rng.randint(2, 7), rng.randint(1, 4)
        pad = rng.randint(0, (kernel - 1) // 2)
        h, w, c = rng.randint(1, 9), rng.randint(2, 9), rng.choice([1, 2, 3, 5])
        if min(h, w) + 2 * pad < kernel:
            continue
        dtype = rng.choice([IntType(1), UINT2, IntType(3, signed=True), INT8])
        value = rng.choice([dtype.lo, 0, dtype.hi])
        simd = kernel**2 * c
        cases.append(window((h, w, c), kernel, stride, pad, dtype, simd, value))
    return cases


WHOLE = [
    window((8, 8, 3), 3, 1, 1, INT8, simd=27),
    window((8, 8, 4), 3, 1, 0, simd=36),
    window((9, 12, 2), 3, 2, 1, INT8, simd=18, pad_value=-3),  # trailing column
    window((3, 40, 2), 3, 1, 1, simd=18),
    window((1, 2, 1), 3, 1, 1, simd=9),
    window((2, 2, 1), 2, 1, 0, simd=4),
    window((12, 5, 1), 7, 2, 3, simd=49),
    window((5, 2, 1), 7, 1, 3, simd=49),  # a row of pixels ends two rows of the window before
    window((2, 300, 6), 3, 1, 1, INT8, simd=54),  # rows in block RAM
    window((9, 4, 1), 2, 3, 0, simd=4),  # rows are skipped, and left over
    *patches(24, seed=3),
]

CASES = [
    window((8, 8, 8), 3, 1, 1, simd=4),
    window((9, 12, 6), 3, 2, 1, INT8, simd=3, pad_value=-3),  # trailing column
    window((4, 4, 3), 3, 1, 0, INT8),
    window((7, 6, 4), 1, 2, 0, UINT2, simd=2),  # more input than output; trailing column
    window((6, 9, 2), 1, 1, 0, simd=1),
    window((3, 5, 2), 5, 1, 2, IntType(3), pad_value=5),  # the kernel exceeds the image
    window((1, 1, 4), 3, 1, 1, simd=2),
    window((16, 5, 1), 7, 2, 3),  # long frame, narrow rows
    window((3, 40, 2), 3, 1, 1, simd=2),  # several frames in the buffer
    window((6, 40, 1), 3, 1, 0),  # unpadded and wide: the refill shows
    window((2, 150, 8), 3, 1, 1, INT8, simd=2),  # block RAM; rows of no power of two of words
    window((5, 24, 1), 2, 3, 0),  # rows are skipped, and left over
    *random_cases(24, seed=7),
    *WHOLE,
]
INDICES = range(len(CASES))


@pytest.fixture(scope="module")
def bench(bench_cache: Path) -> Bench:
    return Bench.build([Dut.of_layer(*case) for case in CASES], bench_cache)


@pytest.mark.parametrize("index", INDICES, ids=[label(c) for c in CASES])
def test_equals_the_integer_meaning_under_any_traffic(bench: Bench, index: int) -> None:
    for traffic in ROUGH:
        check_layer(bench, index, *CASES[index], frames=4, traffic=traffic)


def refill_is_hidden(layer: Window) -> bool:
    """The rows of the next frame that its first patches need fit beside the last patches."""
    unread = (layer.input.shape[0] + 2 * layer.pad - layer.kernel) % layer.stride
    return layer.buffer_rows >= 2 * (layer.kernel - layer.pad) + unread


@pytest.mark.parametrize("index", INDICES, ids=[label(c) for c in CASES])
def test_every_beat_leaves_in_the_promised_cycle(bench: Bench, index: int) -> None:
    layer, folding = CASES[index]
    assert isinstance(layer, Window)
    whole = folding == layer.patch
    latency = layer.schedule(folding).latency if whole else LATENCY
    result = check_cycles(bench, index, CASES[index], latency, frames=8)
    if whole or refill_is_hidden(layer):
        assert initiation_interval(result, frames=8) == layer.cycles(folding)


def test_padded_networks_have_no_bubble_between_frames() -> None:
    for kernel, stride, height in ((1, 1, 8), (1, 2, 8), (3, 1, 8), (3, 2, 8), (3, 2, 7)):
        layer, _ = window((height, 8, 1), kernel, stride, kernel // 2)
        assert isinstance(layer, Window)
        assert refill_is_hidden(layer)


@pytest.mark.parametrize("index", INDICES, ids=[label(c) for c in CASES])
def test_lint_is_clean(index: int) -> None:
    dut = Dut.of_layer(*CASES[index])
    assert lint(dut.module, dut.parameters) == ""


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"CHANNELS": 6, "SIMD": 4}, "SIMD must divide CHANNELS"),
        ({"KERNEL": 3, "PAD": 3}, "PAD below KERNEL"),
        ({"KERNEL": 5, "PAD": 0, "HEIGHT": 4}, "must hold the kernel"),
    ],
)
def test_impossible_parameters_are_refused(parameters: dict[str, int], message: str) -> None:
    assert message in lint("sliding_window", parameters)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"KERNEL": 3, "PAD": 2}, "2 * PAD below KERNEL"),
        ({"KERNEL": 1, "PAD": 0}, "at least 2"),
        ({"WIDTH": 1}, "KERNEL and WIDTH must be at least 2"),
        ({"KERNEL": 5, "PAD": 0, "HEIGHT": 4}, "must hold the kernel"),
    ],
)
def test_impossible_patches_are_refused(parameters: dict[str, int], message: str) -> None:
    assert message in lint("patch_window", parameters)
