"""The integer meaning of every layer kind, in numpy alone.

Each function takes arrays (N, H, W, C) of int64 and returns one array, or a tuple of arrays where
a layer has several outputs. A build carries a verbatim copy of this file as ``reference/ops.py``,
so it imports nothing but numpy.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]


def window(x: IntArray, *, kernel: int, stride: int, pad: int, pad_value: int) -> IntArray:
    """im2col: (N, H, W, C) to (N, OH, OW, kernel * kernel * C), taps ordered (ky, kx, c)."""
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)), constant_values=pad_value)
    out_h = (padded.shape[1] - kernel) // stride + 1
    out_w = (padded.shape[2] - kernel) // stride + 1
    taps = [
        padded[:, ky : ky + stride * out_h : stride, kx : kx + stride * out_w : stride]
        for ky in range(kernel)
        for kx in range(kernel)
    ]
    return np.concatenate([t[:, :out_h, :out_w] for t in taps], axis=3)


def xnor_matmul(x: IntArray, *, weights: IntArray) -> IntArray:
    """popcount(xnor(x, w)) over K: bits (N, H, W, K) and weight bits (K, M) to (N, H, W, M)."""
    k = weights.shape[0]
    popcounts: IntArray = (_exact_matmul(2 * x - 1, 2 * weights - 1) + k) // 2
    return popcounts


def matmul(x: IntArray, *, weights: IntArray, bias: IntArray) -> IntArray:
    """Integer matrix product: (N, H, W, K) with weights (K, M) plus bias (M) to (N, H, W, M)."""
    return _exact_matmul(x, weights) + bias


def depthwise(x: IntArray, *, weights: IntArray, bias: IntArray) -> IntArray:
    """Every channel by its own weights (taps, C): (N, H, W, taps * C) to (N, H, W, C)."""
    taps, channels = weights.shape
    patches = x.reshape(*x.shape[:3], taps, channels)
    total: IntArray = (patches * weights).sum(axis=3) + bias
    return total


def flatten(x: IntArray) -> IntArray:
    """All pixels' channels as those of one: (N, H, W, C) to (N, 1, 1, H * W * C)."""
    return x.reshape(len(x), 1, 1, -1)


def _exact_matmul(x: IntArray, weights: IntArray) -> IntArray:
    """Multiply in float64 (BLAS); exact while every partial sum stays below 2**53."""
    product: IntArray = np.rint(x.astype(np.float64) @ weights.astype(np.float64)).astype(np.int64)
    return product


def threshold(x: IntArray, *, thresholds: IntArray, offset: int) -> IntArray:
    """Staircase y = offset + sum_i(x >= T[c, i]); thresholds (C, n) ascend along n."""
    flat = x.reshape(-1, x.shape[-1])
    out = np.empty_like(flat)
    for c in range(flat.shape[1]):
        out[:, c] = np.searchsorted(thresholds[c], flat[:, c], side="right")
    return out.reshape(x.shape) + offset


def add(a: IntArray, b: IntArray) -> IntArray:
    """Element-wise integer sum."""
    return a + b


def subtract(a: IntArray, b: IntArray) -> IntArray:
    """Element-wise integer difference."""
    return a - b


def fork(x: IntArray, *, outputs: int) -> tuple[IntArray, ...]:
    """The same values for every reader."""
    return (x,) * outputs


def global_sum(x: IntArray) -> IntArray:
    """Sum over all pixels: (N, H, W, C) to (N, 1, 1, C)."""
    total: IntArray = x.sum(axis=(1, 2), keepdims=True)
    return total


def average_pool(x: IntArray, *, kernel: int) -> IntArray:
    """Mean of every kernel x kernel square, rounded down: (N, H, W, C) to (N, H/k, W/k, C)."""
    n, h, w, c = x.shape
    squares = x.reshape(n, h // kernel, kernel, w // kernel, kernel, c)
    mean: IntArray = squares.sum(axis=(2, 4)) // kernel**2
    return mean


def concat(*xs: IntArray) -> IntArray:
    """The channels of all inputs, pixel by pixel, the first input's first."""
    return np.concatenate(xs, axis=3)


def max_pool(x: IntArray, *, kernel: int, stride: int, pad: int) -> IntArray:
    """Largest of every kernel x kernel patch, by channel; padding never wins."""
    lowest = int(np.iinfo(np.int64).min)
    taps = window(x, kernel=kernel, stride=stride, pad=pad, pad_value=lowest)
    n, h, w, _ = taps.shape
    largest: IntArray = taps.reshape(n, h, w, kernel**2, x.shape[3]).max(axis=3)
    return largest


def border_bias(x: IntArray, *, bias: IntArray, rows: IntArray, columns: IntArray) -> IntArray:
    """Bias by the classes of a pixel's row and column: bias (classes, C), rows (H), columns (W)."""
    across = columns[-1] + 1
    total: IntArray = x + bias[rows[:, None] * across + columns[None, :]]
    return total


def split(x: IntArray, *, outputs: int) -> tuple[IntArray, ...]:
    """The channels in equal parts, one part for every output."""
    return tuple(np.split(x, outputs, axis=3))


def top_k(x: IntArray, *, k: int) -> IntArray:
    """Places of the k largest channels, largest first, the lower place first among equals."""
    order: IntArray = np.argsort(-x, axis=3, kind="stable")[..., :k]
    return order
