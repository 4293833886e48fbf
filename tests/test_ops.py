"""hwgen/ops.py against plain Python loops: the meaning that every engine is held to."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from hwgen import ops
from hwgen.quant import IntArray


def rng_ints(seed: int, lo: int, hi: int, *shape: int) -> IntArray:
    return np.random.default_rng(seed).integers(lo, hi + 1, size=shape)


@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("pad", [0, 1])
def test_window_takes_taps_by_row_column_channel(kernel: int, stride: int, pad: int) -> None:
    x = rng_ints(kernel + 10 * stride + 100 * pad, -8, 7, 2, 7, 6, 3)
    pad_value = -5
    got = ops.window(x, kernel=kernel, stride=stride, pad=pad, pad_value=pad_value)
    n, h, w, c = x.shape
    out_h = len(range(0, h + 2 * pad - kernel + 1, stride))
    out_w = len(range(0, w + 2 * pad - kernel + 1, stride))
    assert got.shape == (n, out_h, out_w, kernel * kernel * c)
    for i, oy, ox in itertools.product(range(n), range(out_h), range(out_w)):
        want = []
        for ky, kx, ch in itertools.product(range(kernel), range(kernel), range(c)):
            y, xx = oy * stride + ky - pad, ox * stride + kx - pad
            inside = 0 <= y < h and 0 <= xx < w
            want.append(int(x[i, y, xx, ch]) if inside else pad_value)
        assert got[i, oy, ox].tolist() == want


@pytest.mark.parametrize(("stride", "pad"), [(1, 0), (1, 1), (2, 0), (2, 1)])
def test_binary_convolution_of_plus_and_minus_one_equals_torch(stride: int, pad: int) -> None:
    x, weights = rng_ints(1, 0, 1, 2, 7, 5, 6), rng_ints(2, 0, 1, 3 * 3 * 6, 4)
    patches = ops.window(x, kernel=3, stride=stride, pad=pad, pad_value=0)
    popcounts = ops.xnor_matmul(patches, weights=weights)
    image = torch.from_numpy((2.0 * x - 1).transpose(0, 3, 1, 2))
    image = torch.nn.functional.pad(image, (pad,) * 4, value=-1.0)
    kernel = torch.from_numpy((2.0 * weights - 1).reshape(3, 3, 6, 4).transpose(3, 2, 0, 1))
    want = torch.nn.functional.conv2d(image, kernel, stride=stride).numpy().transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(2 * popcounts - weights.shape[0], want)


@pytest.mark.parametrize("k", [1, 2, 7, 8, 63, 64, 65])
def test_xnor_matmul_counts_equal_bits(k: int) -> None:
    x, weights = rng_ints(k, 0, 1, 2, 2, 3, k), rng_ints(k + 1, 0, 1, k, 3)
    x[0, 0, 0], weights[:, 0] = 1, 1  # all K bits agree: the largest popcount is K itself
    got = ops.xnor_matmul(x, weights=weights)
    assert got[0, 0, 0, 0] == k
    for n, y, xx, m in np.ndindex(got.shape):
        want = sum(int(a) == int(b) for a, b in zip(x[n, y, xx], weights[:, m], strict=True))
        assert got[n, y, xx, m] == want


def test_matmul_is_exact_up_to_32_bits() -> None:
    x, weights = rng_ints(3, 0, 2**8 - 1, 2, 1, 2, 40), rng_ints(4, -(2**17), 2**17, 40, 3)
    x[0, 0, 0], weights[:, 0] = 2**8 - 1, 2**17
    bias = rng_ints(5, -(2**29), 2**29, 3)
    got = ops.matmul(x, weights=weights, bias=bias)
    for n, y, xx, m in np.ndindex(got.shape):
        want = int(bias[m])
        for a, b in zip(x[n, y, xx], weights[:, m], strict=True):
            want += int(a) * int(b)
        assert got[n, y, xx, m] == want


def test_threshold_counts_ties_and_leaves_unreachable_steps_out() -> None:
    thresholds = np.array([[-9, 0, 0, 3, 99], [-8, -7, 7, 8, 8], [50, 60, 70, 80, 90]])
    x = np.stack([np.arange(-8, 8)] * 3, axis=-1).reshape(1, 4, 4, 3)
    got = ops.threshold(x, thresholds=thresholds, offset=-2)
    for n, y, xx, c in np.ndindex(got.shape):
        value = int(x[n, y, xx, c])
        assert got[n, y, xx, c] == -2 + sum(value >= int(t) for t in thresholds[c])


def test_sign_of_zero_is_plus_one() -> None:
    x = np.array([-1, 0, 1]).reshape(1, 1, 3, 1)
    assert ops.threshold(x, thresholds=np.array([[0]]), offset=0).ravel().tolist() == [0, 1, 1]


def test_a_staircase_without_steps_is_its_offset() -> None:
    x = rng_ints(6, -8, 7, 1, 2, 2, 3)
    got = ops.threshold(x, thresholds=np.zeros((3, 0), np.int64), offset=4)
    assert (got == 4).all()


def test_global_sum_adds_every_pixel_of_a_channel() -> None:
    x = rng_ints(7, -128, 127, 2, 3, 4, 5)
    got = ops.global_sum(x)
    assert got.shape == (2, 1, 1, 5)
    for n, c in itertools.product(range(2), range(5)):
        assert got[n, 0, 0, c] == sum(
            int(x[n, y, xx, c]) for y, xx in itertools.product(range(3), range(4))
        )


def test_add_and_fork_are_element_wise() -> None:
    a, b = rng_ints(8, -128, 127, 2, 3, 2, 4), rng_ints(9, -128, 127, 2, 3, 2, 4)
    got = ops.add(a, b)
    assert all(got[i] == int(a[i]) + int(b[i]) for i in np.ndindex(a.shape))
    first, second, third = ops.fork(a, outputs=3)
    for copy in (first, second, third):
        np.testing.assert_array_equal(copy, a)


def test_average_pool_rounds_the_mean_of_every_square_down() -> None:
    x = rng_ints(10, -128, 127, 2, 4, 8, 3)
    for kernel in (2, 4):
        got = ops.average_pool(x, kernel=kernel)
        assert got.shape == (2, 4 // kernel, 8 // kernel, 3)
        for n, y, xx, c in np.ndindex(got.shape):
            square = x[n, y * kernel : (y + 1) * kernel, xx * kernel : (xx + 1) * kernel, c]
            assert got[n, y, xx, c] == math.floor(sum(map(int, square.flat)) / kernel**2)


def test_concat_keeps_the_order_of_inputs_and_channels() -> None:
    a, b, c = (rng_ints(11 + i, -8, 7, 2, 2, 3, n) for i, n in enumerate((1, 3, 2)))
    got = ops.concat(a, b, c)
    for n, y, x in np.ndindex(2, 2, 3):
        want = [*a[n, y, x], *b[n, y, x], *c[n, y, x]]
        assert got[n, y, x].tolist() == want
