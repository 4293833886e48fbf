"""Staircases of trained functions in float64, and what they are at every integer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hwgen.quant import IntArray, IntType

Floats = NDArray[np.float64]
Reach = tuple[int, int]


def thresholds_of(function: Callable[[Floats], Floats], reach: Reach, y: IntType) -> IntArray:
    """Thresholds (C, n) of round-half-even and clip to ``y``; the function gives (C, N) of (N).

    One that is never reached is hi + 1, one that all integers reach is lo.
    """
    x = np.arange(reach[0], reach[1] + 1)
    level = np.clip(np.rint(function(x.astype(np.float64))), y.lo, y.hi).astype(np.int64) - y.lo
    assert (np.diff(level, axis=1) >= 0).all()
    wanted = np.arange(1, y.hi - y.lo + 1)
    return reach[0] + np.stack([np.searchsorted(row, wanted) for row in level])


def levels_of(thresholds: IntArray, x: IntArray) -> IntArray:
    """Levels (C, N) at integers x (N), by counting."""
    return np.stack([(x >= row[:, None]).sum(axis=0) for row in thresholds])


def batch_norm(
    rng: np.random.Generator, channels: int, k: int, bits: int
) -> tuple[IntArray, Reach, IntType]:
    """BN of the popcounts of K bits: rising channels with means and spreads of all kinds."""
    y = IntType(bits, signed=True)

    def column(lo: float, hi: float) -> Floats:
        return rng.uniform(lo, hi, (channels, 1))

    mean, spread = column(-1, 1) * k**0.5, column(0.3, 2) * k**0.5
    gain, bias = column(0, 1.5) * (y.hi + 1) / 2, column(-1, 1) * (y.hi + 1) / 2
    return thresholds_of(lambda p: (2 * p - k - mean) / spread * gain + bias, (0, k), y), (0, k), y


def rprelu(
    rng: np.random.Generator, channels: int, bits: int, scale: float = 1.0
) -> tuple[IntArray, Reach, IntType]:
    """RPReLU of a residual sum; ``scale``: that of its input over that of its output."""
    y = IntType(bits, signed=True)
    shift, bias = (rng.normal(0, y.hi / 4 + 0.3, (channels, 1)) for _ in range(2))
    slope = rng.uniform(0, 1.2, (channels, 1))

    def function(x: Floats) -> Floats:
        moved = x + shift
        return (np.where(moved >= 0, moved, slope * moved) + bias) * scale

    reach = (2 * y.lo, 2 * y.hi)
    return thresholds_of(function, reach, y), reach, y
