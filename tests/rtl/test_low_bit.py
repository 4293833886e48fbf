"""Depthwise products, flattened images and products of few bits: exact, in time, clean, in LUTs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from hwgen.errors import UnsupportedError
from hwgen.layers import Depthwise, FinnNode, Flatten, IntMvau, Window, from_finn
from hwgen.layers.base import Folding, Parameter
from hwgen.layers.multiplier import Multiplier
from hwgen.quant import BINARY, IntArray, IntType, Tensor
from tests.rtl.bench import ROUGH, Bench, Dut, check_layer, initiation_interval
from tests.rtl.kernels import ByProducts, Case, check_cycles, integer
from tests.rtl.test_kernels_synthesis import blocks, cells_of, flip_flops
from tests.rtl.test_mvau import latency
from tests.rtl.tools import lint, luts

INT2, INT3, INT4, INT8 = (IntType(n, signed=True) for n in (2, 3, 4, 8))
UINT1, UINT2, UINT4, UINT8 = (IntType(n) for n in (1, 2, 4, 8))


def random_weights(rng: np.random.Generator, shape: tuple[int, int], w: IntType) -> IntArray:
    """Weights that reach the ends of their type; signs for BINARY."""
    if w == BINARY:
        return 2 * rng.integers(0, 2, shape) - 1
    weights = rng.integers(w.lo, w.hi, shape, endpoint=True)
    weights.flat[0], weights.flat[-1] = w.lo, w.hi
    return weights


def depthwise(
    shape: tuple[int, int, int], taps: int, a: IntType, w: IntType, pe: int = 1, bias: int = 50
) -> Case:
    rng = np.random.default_rng([taps, *shape])
    channels = shape[2]
    weights, biases = (
        random_weights(rng, (taps, channels), w),
        rng.integers(-bias, bias + 1, channels),
    )
    corners = np.stack([weights * a.lo, weights * a.hi])
    lo = np.minimum(corners.min(axis=0), 0).sum(axis=0) + np.minimum(biases, 0)
    hi = np.maximum(corners.max(axis=0), 0).sum(axis=0) + np.maximum(biases, 0)
    x = Tensor("x", (*shape[:2], taps * channels), a)
    y = Tensor("y", shape, IntType.holding(int(lo.min()), int(hi.max())))
    layer = Depthwise("depthwise", (x,), (y,), weights, biases)
    layer.check()
    return layer, layer.legal(Folding(pe))


def flatten(shape: tuple[int, int, int], dtype: IntType, simd: int = 1) -> Case:
    x = Tensor("x", shape, dtype)
    layer = Flatten("flatten", (x,), (Tensor("y", (1, 1, x.size), dtype),))
    layer.check()
    return layer, layer.legal(Folding(simd=simd))


def signs(pixels: int, k: int, m: int, pe: int, simd: int, a: IntType) -> Case:
    """An integer MVAU whose weights are -1 and +1, a bit each in memory."""
    rng = np.random.default_rng([k, m])
    weights = random_weights(rng, (k, m), BINARY)
    bound = k * max(-a.lo, a.hi)
    x, y = (
        Tensor("x", (1, pixels, k), a),
        Tensor("y", (1, pixels, m), IntType.holding(-bound, bound)),
    )
    layer = ByProducts("signs", (x,), (y,), weights, np.zeros(m, np.int64))
    layer.check()
    return layer, layer.legal(Folding(pe, simd))


LAYERS = [
    depthwise((3, 4, 8), 9, UINT4, INT4, pe=2),
    depthwise((2, 3, 6), 9, INT8, INT8, pe=3),
    depthwise((4, 2, 5), 1, INT4, INT2, pe=1),
    depthwise((2, 2, 4), 4, UINT2, BINARY, pe=4),
    depthwise((1, 3, 3), 25, UINT1, INT3, pe=1),
    depthwise((2, 2, 1), 9, UINT8, UINT2, pe=1),
    depthwise((3, 1, 7), 9, INT2, BINARY, pe=7),
    depthwise((1, 1, 2), 1, UINT1, UINT1, pe=2),
    flatten((3, 2, 6), INT4, simd=3),
    flatten((1, 5, 2), UINT1, simd=2),
    flatten((4, 4, 1), UINT8),
    integer(3, 12, 6, pe=2, simd=4, a=UINT1, w=INT4),
    integer(3, 18, 4, pe=2, simd=9, a=UINT2, w=INT2),
    integer(3, 18, 4, pe=4, simd=3, a=UINT4, w=INT8),
    integer(2, 8, 4, pe=1, simd=8, a=INT8, w=UINT4),
    integer(3, 5, 3, pe=3, simd=5, a=INT8, w=UINT1),
    signs(4, 16, 6, pe=3, simd=8, a=UINT2),
    signs(3, 9, 4, pe=2, simd=3, a=INT8),
    signs(3, 7, 5, pe=5, simd=7, a=UINT8),
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
    plan = layer.schedule(folding)
    if isinstance(layer, Flatten):
        result = check_layer(bench, case, layer, folding, frames=5)
        np.testing.assert_array_equal(result.out_cycles[0], result.in_cycles[0])
    else:
        own = latency(layer, folding.simd) if isinstance(layer, IntMvau) else plan.latency
        result = check_cycles(bench, case, LAYERS[case], own)
    assert initiation_interval(result, 5) == plan.cycles == layer.cycles(folding)
    assert plan.need[-1] == plan.free[-1] == layer.input.size // layer.lanes(folding)[0]


@pytest.mark.parametrize("dut", [Dut.of_layer(*case) for case in LAYERS], ids=NAMES)
def test_lint_is_clean(dut: Dut) -> None:
    assert lint(dut.module, dut.parameters) == ""


WRONG: list[tuple[str, dict[str, Parameter], str]] = [
    ("depthwise", {"PE": 3, "WEIGHTS": "w", "BIAS": "b"}, "PE must divide CHANNELS"),
    ("depthwise", {"ACC_BITS": 0, "WEIGHTS": "w", "BIAS": "b"}, "at least 1"),
    ("flatten", {"WIDTH": 0}, "at least 1"),
    ("multiply", {"W_BIPOLAR": 1, "W_BITS": 2}, "W_BITS 1 where W_BIPOLAR"),
]


@pytest.mark.parametrize(("module", "parameters", "message"), WRONG)
def test_impossible_parameters_are_refused_at_elaboration(
    module: str, parameters: dict[str, Parameter], message: str
) -> None:
    assert message in lint(module, parameters)


@pytest.mark.parametrize("case", range(11), ids=NAMES[:11])
def test_ranges_are_those_of_the_worst_inputs(case: int) -> None:
    layer, _ = LAYERS[case]
    dtype = layer.input.dtype
    ((lo, hi),) = layer.ranges((dtype.lo, dtype.hi))
    if isinstance(layer, Flatten):
        assert (lo, hi) == (dtype.lo, dtype.hi)
        return
    assert isinstance(layer, Depthwise)
    worst = np.where(layer.weights > 0, dtype.hi, dtype.lo).reshape(1, 1, 1, -1)
    best = np.where(layer.weights > 0, dtype.lo, dtype.hi).reshape(1, 1, 1, -1)
    assert layer.evaluate(worst)[0].max() == hi
    assert layer.evaluate(best)[0].min() == lo


@pytest.mark.parametrize("stride", [1, 2])
def test_a_window_and_a_depthwise_product_are_torchs_convolution(stride: int) -> None:
    layer, _ = depthwise((3, 4, 5), 9, INT4, INT4)
    assert isinstance(layer, Depthwise)
    rng = np.random.default_rng(4)
    x = rng.integers(-8, 8, (2, 6, 7, 5))
    shape = ((6 - 1) // stride + 1, (7 - 1) // stride + 1, 45)
    tensors = (Tensor("x", (6, 7, 5), INT4),), (Tensor("p", shape, INT4),)
    (patches,) = Window("w", *tensors, 3, stride, 1).evaluate(x)
    (got,) = layer.evaluate(patches)
    kernels = torch.from_numpy(layer.weights.T.reshape(5, 1, 3, 3)).double()
    nchw = torch.from_numpy(x.transpose(0, 3, 1, 2)).double()
    bias = torch.from_numpy(layer.bias).double()
    want = torch.nn.functional.conv2d(nchw, kernels, bias, stride, 1, groups=5)
    np.testing.assert_array_equal(got, want.numpy().transpose(0, 2, 3, 1))


def test_few_bits_take_no_dsp_block_and_many_do() -> None:
    assert not Multiplier.of(UINT4, np.array([[-8, 7]])).dsp
    assert not Multiplier.of(UINT8, np.array([[-1, 1]])).dsp
    assert not Multiplier.of(UINT1, np.array([[-128, 127]])).dsp
    assert Multiplier.of(UINT8, np.array([[-128, 127]])).dsp
    assert Multiplier.of(INT8, np.array([[1, -1]])).weight_bits == 1
    assert Multiplier.of(INT8, np.array([[1, 0]])).weight_bits == 1
    assert Multiplier.of(INT8, np.array([[0, -1]])).weight_bits == 1


SYNTHESISED = [
    depthwise((8, 8, 16), 9, UINT4, INT4, pe=4),
    depthwise((8, 8, 32), 9, INT8, INT8, pe=2),
    integer(1, 72, 16, pe=4, simd=8, a=UINT2, w=INT2),
    integer(1, 72, 16, pe=4, simd=9, a=UINT4, w=INT4),
    integer(1, 64, 8, pe=2, simd=8, a=UINT1, w=INT8),
    signs(1, 64, 16, pe=4, simd=16, a=UINT2),
    integer(1, 32, 8, pe=2, simd=4, a=UINT8, w=INT8),
]


@pytest.mark.slow
def test_estimates_are_those_of_yosys(tmp_path: Path) -> None:
    for (layer, folding), cells in zip(SYNTHESISED, cells_of(SYNTHESISED, tmp_path), strict=True):
        estimate, what = layer.resources(folding), f"{layer.name} {folding}: {dict(cells)}"
        assert cells["DSP48E1"] == estimate.dsp, what
        assert 0.7 * luts(cells) - 10 <= estimate.lut <= 1.4 * luts(cells) + 10, what
        assert 0.7 * flip_flops(cells) - 10 <= estimate.ff <= 1.4 * flip_flops(cells) + 10, what
        assert blocks(cells) == estimate.bram36, what


def test_finns_nodes_are_read() -> None:
    x, y = Tensor("x", (2, 3, 4), INT4), Tensor("y", (1, 1, 24), INT4)
    window = {"ConvKernelDim": [2, 3], "Stride": [1, 1]}
    layer = from_finn(FinnNode("ConvolutionInputGenerator", "n", window, (x,), (), (y,)))
    assert isinstance(layer, Flatten)
    kernels = np.arange(36).reshape(4, 1, 3, 3)
    patches, out = Tensor("x", (2, 3, 36), UINT2), Tensor("y", (2, 3, 4), IntType(12))
    node = FinnNode("VVAU", "n", {}, (patches,), (kernels, np.array([[[[1, 2, 3, 4]]]])), (out,))
    product = from_finn(node)
    assert isinstance(product, Depthwise)
    product.check()
    assert product.weights[5].tolist() == [5, 14, 23, 32]
    assert product.bias.tolist() == [1, 2, 3, 4]


def test_layers_that_do_not_fit_are_refused() -> None:
    layer, _ = depthwise((2, 2, 4), 4, UINT2, INT4)
    assert isinstance(layer, Depthwise)
    narrow = Tensor("y", layer.output.shape, INT4)
    with pytest.raises(UnsupportedError, match="outside INT4"):
        Depthwise("d", layer.inputs, (narrow,), layer.weights, layer.bias).check()
    with pytest.raises(UnsupportedError, match="gives"):
        Flatten("f", layer.inputs, (narrow,)).check()
