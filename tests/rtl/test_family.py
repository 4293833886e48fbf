"""Max pool, border bias, split and top-k: exact, as fast as their schedules, and clean."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from hwgen.errors import UnsupportedError
from hwgen.layers import BorderBias, FinnNode, MaxPool, Split, TopK, from_finn
from hwgen.layers.base import Folding, Parameter
from hwgen.quant import BINARY, IntArray, IntType, Tensor
from tests.rtl.bench import ROUGH, Bench, Dut, check_layer, initiation_interval
from tests.rtl.kernels import Case, check_cycles
from tests.rtl.test_kernels_synthesis import blocks, cells_of, flip_flops
from tests.rtl.tools import lint, luts

INT2, INT4, INT8 = IntType(2, True), IntType(4, True), IntType(8, True)
UINT3, UINT8 = IntType(3), IntType(8)


def max_pool(
    shape: tuple[int, int, int], dtype: IntType, geometry: tuple[int, int, int], pe: int = 1
) -> Case:
    kernel, stride, pad = geometry
    h, w = ((n + 2 * pad - kernel) // stride + 1 for n in shape[:2])
    out = Tensor("y", (h, w, shape[2]), dtype)
    layer = MaxPool("max", (Tensor("x", shape, dtype),), (out,), kernel, stride, pad)
    layer.check()
    return layer, layer.legal(Folding(pe))


def border(
    shape: tuple[int, int, int], rows: list[int], columns: list[int], pe: int = 1, top: int = 9
) -> Case:
    rng = np.random.default_rng(len(rows))
    classes = (rows[-1] + 1) * (columns[-1] + 1)
    bias = rng.integers(-top, top + 1, (classes, shape[2]))
    x, y = Tensor("x", shape, UINT8), Tensor("y", shape, IntType(10, True))
    layer = BorderBias("border", (x,), (y,), bias, np.array(rows), np.array(columns))
    layer.check()
    return layer, layer.legal(Folding(pe))


def split(shape: tuple[int, int, int], parts: int, dtype: IntType, pe: int = 1) -> Case:
    h, w, c = shape
    outs = tuple(Tensor(f"y{i}", (h, w, c // parts), dtype) for i in range(parts))
    layer = Split("split", (Tensor("x", shape, dtype),), outs)
    layer.check()
    return layer, layer.legal(Folding(pe))


def top_k(classes: int, k: int, dtype: IntType) -> Case:
    places = IntType.holding(0, classes - 1)
    x, y = Tensor("x", (1, 1, classes), dtype), Tensor("y", (1, 1, k), places)
    layer = TopK("top", (x,), (y,), k)
    layer.check()
    return layer, Folding()


LAYERS = [
    max_pool((8, 8, 4), INT8, (3, 2, 1), pe=2),
    max_pool((7, 5, 3), INT4, (3, 2, 1), pe=3),
    max_pool((6, 6, 4), UINT3, (2, 2, 0), pe=1),
    max_pool((5, 6, 2), INT2, (3, 1, 1), pe=1),
    max_pool((4, 4, 6), BINARY, (2, 1, 0), pe=6),
    border((5, 6, 4), [0, 1, 1, 1, 2], [0, 1, 1, 1, 1, 2], pe=2),
    border((4, 4, 3), [0, 1, 1, 1], [0, 0, 0, 0], pe=1, top=100),
    border((1, 1, 4), [0], [0], pe=4),
    border((1, 1, 4), [0], [0], pe=2),
    border((2, 3, 2), [0, 1], [0, 1, 2], pe=2),
    border((3, 2, 8), [0, 1, 2], [0, 1], pe=1),
    split((3, 4, 8), 4, INT4, pe=2),
    split((2, 2, 6), 2, UINT8, pe=1),
    split((1, 3, 4), 4, BINARY, pe=1),
    top_k(10, 1, IntType(12, True)),
    top_k(10, 3, INT4),
    top_k(5, 5, UINT3),
    top_k(17, 4, INT2),
    top_k(2, 1, INT8),
    top_k(1, 1, INT8),
]
NAMES = [f"{layer.name}{i}-pe{folding.pe}" for i, (layer, folding) in enumerate(LAYERS)]
CASES = pytest.mark.parametrize("case", range(len(LAYERS)), ids=NAMES)


@pytest.fixture(scope="module")
def bench(bench_cache: Path) -> Bench:
    return Bench.build([Dut.of_layer(*case) for case in LAYERS], bench_cache)


@CASES
def test_layer_equals_its_integer_meaning_under_any_traffic(bench: Bench, case: int) -> None:
    for traffic in ROUGH:
        check_layer(bench, case, *LAYERS[case], frames=5, traffic=traffic)


@CASES
def test_every_beat_leaves_in_the_cycle_of_the_schedule(bench: Bench, case: int) -> None:
    layer, folding = LAYERS[case]
    plan, frames = layer.schedule(folding), 5
    result = check_layer(bench, case, layer, folding, frames=frames)
    assert layer.cycles(folding) == plan.cycles
    assert initiation_interval(result, frames) == plan.cycles
    if isinstance(layer, Split):  # at latency 0, in turns
        for port, cycles in enumerate(result.out_cycles):
            taken = np.diff(np.tile(plan.emit_of(port), (frames, 1)), axis=1, prepend=0).reshape(-1)
            np.testing.assert_array_equal(cycles, result.in_cycles[0][taken > 0])
    else:
        # the window's schedule allows for one cycle more than its kernel takes
        check_cycles(bench, case, LAYERS[case], plan.latency - isinstance(layer, MaxPool))


@CASES
def test_schedules_take_every_beat_and_make_every_one(case: int) -> None:
    layer, folding = LAYERS[case]
    plan = layer.schedule(folding)
    lanes_in, lanes_out = layer.lanes(folding)
    assert plan.firings == plan.need.shape[-1] == plan.free.shape[-1]
    assert plan.need[-1] == plan.free[-1] == layer.input.size // lanes_in
    for port, tensor in enumerate(layer.outputs):
        assert plan.emit_of(port)[-1] == tensor.size // lanes_out


def test_a_maximum_is_that_of_torch() -> None:
    rng = np.random.default_rng(2)
    for layer, _ in LAYERS[:5]:
        assert isinstance(layer, MaxPool)
        dtype = layer.input.dtype
        x = rng.integers(dtype.lo, dtype.hi + 1, (4, *layer.input.shape))
        x[0] = dtype.lo  # only the lowest: padding must not win either
        nchw = torch.from_numpy(x.transpose(0, 3, 1, 2)).double()
        want = torch.nn.functional.max_pool2d(nchw, layer.kernel, layer.stride, layer.pad)
        (got,) = layer.evaluate(x)
        np.testing.assert_array_equal(got, want.numpy().transpose(0, 2, 3, 1))


def test_equal_scores_go_to_the_lower_class(bench: Bench) -> None:
    case = next(
        i for i, (layer, _) in enumerate(LAYERS) if isinstance(layer, TopK) and layer.k == 4
    )
    layer, folding = LAYERS[case]
    scores = np.zeros((3, 1, 1, 17), np.int64)
    scores[1, ..., 5:9] = 1
    scores[2] = -2
    check_layer(bench, case, layer, folding, frames=3, inputs=[scores])
    (places,) = layer.evaluate(scores)
    assert places.reshape(3, 4).tolist() == [[0, 1, 2, 3], [5, 6, 7, 8], [0, 1, 2, 3]]


@pytest.mark.parametrize("dut", [Dut.of_layer(*case) for case in LAYERS], ids=NAMES)
def test_lint_is_clean(dut: Dut) -> None:
    assert lint(dut.module, dut.parameters) == ""


WRONG: list[tuple[str, dict[str, Parameter], str]] = [
    ("pool_max", {"PAD": 2}, "PAD at most half"),
    ("border_bias", {"PE": 3, "BIASES": "x"}, "PE must divide"),
    ("border_bias", {"ROW_ENDS": (2,), "BIASES": "x"}, "must end with the image"),
    ("split_streams", {"OUTPUTS": 1}, "at least 2"),
    ("top_k", {"K": 11}, "K must be"),
    ("top_k", {"OUT_BITS": 3}, "hold every place"),
]


@pytest.mark.parametrize(("module", "parameters", "message"), WRONG)
def test_impossible_parameters_are_refused_at_elaboration(
    module: str, parameters: dict[str, Parameter], message: str
) -> None:
    assert message in lint(module, parameters)


SYNTHESISED = [
    max_pool((112, 112, 64), INT4, (3, 2, 1), pe=1),
    max_pool((16, 16, 16), INT8, (3, 2, 1), pe=4),
    max_pool((16, 16, 4), INT4, (3, 2, 1), pe=4),
    border((8, 8, 32), [0, *[1] * 6, 2], [0, *[1] * 6, 2], pe=4),
    border((8, 8, 64), [0, *[1] * 6, 2], [0, *[1] * 6, 2], pe=1),
    border((8, 8, 8), [0, *[1] * 6, 2], [0, *[1] * 6, 2], pe=8),
    top_k(1000, 1, IntType(20, True)),
    top_k(10, 5, IntType(16, True)),
]


@pytest.mark.slow
def test_estimates_are_those_of_yosys(tmp_path: Path) -> None:
    for (layer, folding), cells in zip(SYNTHESISED, cells_of(SYNTHESISED, tmp_path), strict=True):
        estimate, what = layer.resources(folding), f"{layer.name} {folding}: {dict(cells)}"
        assert 0.75 * luts(cells) - 10 <= estimate.lut <= 1.3 * luts(cells) + 10, what
        assert 0.75 * flip_flops(cells) - 10 <= estimate.ff <= 1.3 * flip_flops(cells) + 10, what
        assert blocks(cells) == estimate.bram36, what


def node(op: str, attributes: dict[str, object], *constants: IntArray) -> FinnNode:
    x, y = Tensor("x", (4, 4, 2), INT4), Tensor("y", (2, 2, 2), INT4)
    return FinnNode(op, "n", attributes, (x,), constants, (y,))


def test_finns_nodes_are_read() -> None:
    pool = {"KernelSize": [3, 3], "Stride": [2, 2], "Function": "MaxPool", "Padding": [1] * 4}
    with pytest.raises(UnsupportedError, match="pads INT4 with 0, which is not its lowest"):
        from_finn(node("Pool", pool))
    layer = from_finn(node("Pool", {**pool, "PadsWithLowest": 1}))
    assert isinstance(layer, MaxPool)
    assert (layer.kernel, layer.stride, layer.pad) == (3, 2, 1)
    layer.check()
    bias = np.zeros((1, 4, 4, 2), np.int64)
    bias[0, 0, :, 0] = 3
    bias[0, :, 3, 1] -= 1
    bordered = from_finn(node("ElementwiseAdd", {}, bias))
    assert isinstance(bordered, BorderBias)
    assert bordered.rows.tolist() == [0, 1, 1, 1]
    assert bordered.columns.tolist() == [0, 0, 0, 1]
    x = np.random.default_rng(0).integers(0, 9, (3, 4, 4, 2))
    np.testing.assert_array_equal(bordered.evaluate(x)[0], x + bias)
    assert isinstance(from_finn(node("StreamingSplit", {})), Split)
    assert isinstance(from_finn(node("LabelSelect", {"K": 3})), TopK)


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (lambda: top_k(4, 5, INT8), "k 5 of 4 classes"),
        (lambda: max_pool((8, 8, 2), INT4, (3, 2, 2)), "pad at most half the kernel"),
        (lambda: split((2, 2, 5), 2, INT4), "5 channels in 2 equal parts"),
        (lambda: border((2, 2, 2), [0, 2], [0, 0]), "do not count up"),
    ],
)
def test_layers_that_do_not_fit_are_refused(layer: object, words: str) -> None:
    with pytest.raises(UnsupportedError, match=words):
        layer()  # type: ignore[operator]
