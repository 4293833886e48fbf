"""Average pool and concat: exact, as fast as their schedules, and made of what is meant."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwgen.errors import UnsupportedError
from hwgen.layers import AveragePool, Concat, FinnNode, from_finn
from hwgen.layers.base import Folding, Parameter
from hwgen.quant import BINARY, IntType, Tensor
from tests.rtl.bench import (
    ROUGH,
    Bench,
    Dut,
    Traffic,
    check_layer,
    initiation_interval,
    latency,
)
from tests.rtl.kernels import Case
from tests.rtl.tools import lint, luts, synthesise

INT2, INT4, INT8 = IntType(2, True), IntType(4, True), IntType(8, True)
UINT3, UINT8 = IntType(3), IntType(8)


def pool(shape: tuple[int, int, int], dtype: IntType, pe: int, kernel: int = 2) -> Case:
    h, w, c = shape
    out = Tensor("y", (h // kernel, w // kernel, c), dtype)
    layer = AveragePool("pool", (Tensor("x", shape, dtype),), (out,), kernel)
    layer.check()
    return layer, layer.legal(Folding(pe))


def concat(
    pixels: tuple[int, int], parts: list[tuple[int, IntType]], dtype: IntType, pe: int
) -> Case:
    inputs = tuple(Tensor(f"x{i}", (*pixels, c), kind) for i, (c, kind) in enumerate(parts))
    out = Tensor("y", (*pixels, sum(c for c, _ in parts)), dtype)
    layer = Concat("concat", inputs, (out,))
    layer.check()
    return layer, layer.legal(Folding(pe))


POOLS = [
    pool((4, 6, 6), INT4, pe=1),
    pool((6, 4, 6), INT8, pe=3),
    pool((4, 4, 4), UINT8, pe=4),
    pool((2, 2, 3), INT8, pe=3),  # a single word: a register
    pool((2, 2, 4), INT2, pe=1),
    pool((8, 2, 4), BINARY, pe=2),
    pool((8, 8, 3), INT4, pe=1, kernel=4),
    pool((4, 8, 2), UINT3, pe=2, kernel=4),
    pool((2, 10, 5), INT4, pe=1),
]
CONCATS = [
    concat((3, 4), [(4, INT4), (4, INT4)], INT4, pe=1),
    concat((2, 3), [(4, INT4), (8, UINT3)], INT8, pe=4),
    concat((2, 2), [(2, INT2), (6, INT8), (4, BINARY)], INT8, pe=2),
    concat((3, 3), [(6, BINARY), (6, BINARY)], BINARY, pe=6),
    concat((1, 5), [(1, UINT8), (3, UINT3)], UINT8, pe=1),
    concat((2, 2), [(1, UINT3), (2, INT2), (3, UINT3), (1, INT4)], INT4, pe=1),
]
LAYERS = [*POOLS, *CONCATS]
NAMES = [f"{layer.name}{i}-pe{folding.pe}" for i, (layer, folding) in enumerate(LAYERS)]


@pytest.fixture(scope="module")
def bench(bench_cache: Path) -> Bench:
    return Bench.build([Dut.of_layer(*case) for case in LAYERS], bench_cache)


@pytest.mark.parametrize("case", range(len(LAYERS)), ids=NAMES)
def test_layer_equals_its_integer_meaning_under_any_traffic(bench: Bench, case: int) -> None:
    for traffic in ROUGH:
        check_layer(bench, case, *LAYERS[case], frames=5, traffic=traffic)


@pytest.mark.parametrize("case", range(len(LAYERS)), ids=NAMES)
def test_every_beat_leaves_in_the_cycle_of_the_schedule(bench: Bench, case: int) -> None:
    """Fed at full speed the kernel fires in every cycle, from frame to frame as well."""
    layer, folding = LAYERS[case]
    plan, frames = layer.schedule(folding), 5
    result = check_layer(bench, case, layer, folding, frames=frames)
    assert initiation_interval(result, frames) == layer.cycles(folding) == plan.cycles
    assert latency(result, layer, folding) == plan.latency == 1
    emits = np.flatnonzero(np.tile(np.diff(plan.emit, prepend=0), frames))
    start = min(int(cycles[0]) for cycles in result.in_cycles)
    np.testing.assert_array_equal(result.out_cycles[0], start + emits + plan.latency)
    for port, cycles in enumerate(result.in_cycles):
        taken = np.flatnonzero(np.tile(np.diff(plan.free_of(port), prepend=0), frames))
        np.testing.assert_array_equal(cycles, start + taken)


@pytest.mark.parametrize("case", range(len(LAYERS)), ids=NAMES)
def test_schedules_take_every_beat_of_every_port_and_make_every_one(case: int) -> None:
    layer, folding = LAYERS[case]
    plan = layer.schedule(folding)
    assert len(plan.emit) == plan.need.shape[-1] == plan.free.shape[-1] == layer.cycles(folding)
    for port, tensor in enumerate(layer.inputs):
        assert plan.need_of(port)[-1] == plan.free_of(port)[-1] == tensor.size // folding.pe
    assert plan.emit[-1] == layer.output.size // folding.pe


def test_a_mean_is_rounded_down_on_either_side_of_zero(bench: Bench) -> None:
    """Every sum of a square, brute force: 4 pixels around each multiple of 1/4."""
    layer, folding = POOLS[0]
    rng = np.random.default_rng(3)
    x = rng.integers(-8, 8, (20, *layer.input.shape))
    check_layer(bench, 0, layer, folding, frames=20, inputs=[x])
    (y,) = layer.evaluate(x)
    squares = [x[:, i::2, j::2].astype(float) for i in (0, 1) for j in (0, 1)]
    np.testing.assert_array_equal(y, np.floor(sum(squares) / 4))
    assert {0.25, 0.5, 0.75} <= set((sum(squares) / 4 % 1).ravel())


def test_a_port_waits_while_another_has_its_turn(bench: Bench) -> None:
    """No beat of input 1 is taken before input 0's part of the pixel, however late that is."""
    case = len(POOLS)
    layer, folding = LAYERS[case]
    for seed in range(3):
        result = check_layer(
            bench, case, layer, folding, frames=4, traffic=Traffic(seed=seed, idle=0.6, stall=0.3)
        )
        first, second = (c.reshape(-1, 4) for c in result.in_cycles)
        assert (first.max(axis=1) < second.min(axis=1)).all()
        assert (second.max(axis=1)[:-1] < first.min(axis=1)[1:]).all()


CLEAN = [Dut.of_layer(*case) for case in LAYERS]
WRONG: list[tuple[str, dict[str, Parameter], str]] = [
    ("pool_avg", {"KERNEL": 3, "HEIGHT": 6, "WIDTH": 6}, "a power of two"),
    ("pool_avg", {"KERNEL": 1}, "at least 2"),
    ("pool_avg", {"WIDTH": 5}, "multiples of KERNEL"),
    ("pool_avg", {"CHANNELS": 6, "PE": 4}, "PE must divide CHANNELS"),
    ("concat_streams", {"ALL_BITS": 15}, "the sum of IN_BITS"),
    ("concat_streams", {"OUT_BITS": 7}, "1 .. OUT_BITS"),
    ("concat_streams", {"FOLDS": (1, 0)}, "FOLDS must be at least 1"),
]


@pytest.mark.parametrize("dut", CLEAN, ids=NAMES)
def test_lint_is_clean(dut: Dut) -> None:
    assert lint(dut.module, dut.parameters) == ""


@pytest.mark.parametrize(("module", "parameters", "message"), WRONG)
def test_impossible_parameters_are_refused_at_elaboration(
    module: str, parameters: dict[str, Parameter], message: str
) -> None:
    assert message in lint(module, parameters)


SYNTHESISED = [
    pool((32, 32, 32), INT4, pe=4),  # 128 words of 24 bits
    pool((8, 8, 16), INT4, pe=2),  # 32 words of 12 bits
    pool((8, 8, 64), INT8, pe=64),  # 4 words of 640 bits
    concat((8, 8), [(64, INT4), (64, INT4)], INT4, pe=4),
    concat((8, 8), [(16, INT8), (16, UINT3), (16, INT4)], INT8, pe=2),
]


@pytest.mark.slow
@pytest.mark.parametrize("command", ["synth_xilinx -noiopad -noclkbuf", "synth_ecp5", "synth"])
def test_every_family_synthesises_both(command: str, tmp_path: Path) -> None:
    duts = [Dut.of_layer(*case) for case in SYNTHESISED]
    found = synthesise([(d.module, d.parameters) for d in duts], tmp_path, command)
    for cells in found:
        assert sum(cells.values()) > 0
    if command.startswith("synth_xilinx"):
        for (layer, folding), cells in zip(SYNTHESISED, found, strict=True):
            estimate = layer.resources(folding)
            rams = {cell for cell in cells if cell.startswith("RAM")}
            assert rams <= {"RAM32M", "RAM64X1S", "RAM128X1S", "RAM256X1S"}
            assert bool(rams) == isinstance(layer, AveragePool)
            assert luts(cells) <= 1.1 * estimate.lut + 10
            assert sum(n for kind, n in cells.items() if kind.startswith("FD")) <= (
                1.1 * estimate.ff + 6
            )


# What is refused, and how FINN's nodes are read.


@pytest.mark.parametrize(
    ("shape", "kernel", "out", "words"),
    [
        ((6, 6, 1), 3, (2, 2, 1), "kernel 3"),
        ((4, 4, 1), 1, (4, 4, 1), "kernel 1"),
        ((5, 4, 1), 2, (2, 2, 1), "not multiples"),
        ((4, 6, 1), 2, (2, 2, 1), "gives"),
        ((4, 4, 2), 2, (2, 2, 1), "gives"),
    ],
)
def test_a_pool_that_does_not_fit_is_refused(
    shape: tuple[int, int, int], kernel: int, out: tuple[int, int, int], words: str
) -> None:
    layer = AveragePool("p", (Tensor("x", shape, INT4),), (Tensor("y", out, INT4),), kernel)
    with pytest.raises(UnsupportedError, match=words):
        layer.check()


def test_a_pool_that_changes_its_type_is_refused() -> None:
    x, y = Tensor("x", (4, 4, 1), INT4), Tensor("y", (2, 2, 1), INT8)
    with pytest.raises(UnsupportedError, match="the mean of INT4 is INT4, not INT8"):
        AveragePool("p", (x,), (y,), 2).check()


@pytest.mark.parametrize(
    ("inputs", "out", "words"),
    [
        ([((2, 2, 4), INT4)], ((2, 2, 4), INT4), "single input"),
        ([((2, 2, 4), INT4), ((2, 3, 4), INT4)], ((2, 2, 8), INT4), "give"),
        ([((2, 2, 4), INT4), ((2, 2, 4), INT4)], ((2, 2, 7), INT4), "give"),
        ([((2, 2, 4), INT4), ((2, 2, 4), UINT8)], ((2, 2, 8), INT8), "x1, UINT8, leaves INT8"),
    ],
)
def test_a_concat_that_does_not_fit_is_refused(
    inputs: list[tuple[tuple[int, int, int], IntType]],
    out: tuple[tuple[int, int, int], IntType],
    words: str,
) -> None:
    xs = tuple(Tensor(f"x{i}", *x) for i, x in enumerate(inputs))
    with pytest.raises(UnsupportedError, match=words):
        Concat("c", xs, (Tensor("y", *out),)).check()


def finn(op: str, attributes: dict[str, object]) -> FinnNode:
    x, y = Tensor("x", (4, 4, 2), INT4), Tensor("y", (2, 2, 2), INT4)
    return FinnNode(op, "n", attributes, (x,), (), (y,))


def test_finns_nodes_are_read() -> None:
    layer = from_finn(finn("Pool", {"KernelSize": [2, 2], "Function": "QuantAvgPool"}))
    assert isinstance(layer, AveragePool)
    assert layer.kernel == 2
    layer.check()
    assert isinstance(from_finn(finn("StreamingConcat", {"SIMD": 1})), Concat)


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"KernelSize": [2, 2], "Function": "SumPool"}, "SumPool is not supported"),
        ({"KernelSize": [2, 4]}, "a square"),
        ({"KernelSize": [2, 2], "Stride": [1, 1]}, "k = stride"),
    ],
)
def test_other_pools_are_refused(attributes: dict[str, object], words: str) -> None:
    with pytest.raises(UnsupportedError, match=words):
        from_finn(finn("Pool", attributes))
