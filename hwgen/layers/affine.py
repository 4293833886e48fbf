"""Staircases as straight lines: exact integer parameters, found from the thresholds alone.

A staircase whose steps follow a line, or two lines that meet at a knee (RPReLU), is

    level(x) = clip((slope * x + offset) >> shift, 0, levels)

A line fits a range of x where it passes on or above every step's first x, at that step's level,
and below that level at the x before. These are linear in slope and offset, and the gap between
what the offset must reach and what it may reach is concave in the slope. So a slope that fails
names the two steps that it violates most, and they bound the slope from one side: the simplest
dyadic number within the bounds either fits, or tightens them. A few rounds settle a channel.

``fit`` returns nothing that is not proven: it compares the lines with the staircase at the first
and the last integer of every level. Lines rise (slope >= 0) and so does the staircase, so
equality there is equality at every integer of the range.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from hwgen.quant import IntArray, IntType

SHIFT_LIMIT = 40
PRODUCT_BITS = 60  # of slope times x, which int64 holds beside offsets
CHUNK = 1 << 20  # thresholds worked on at a time; bounds the memory to some tens of MB
_FAR = 1 << 62

Mask = NDArray[np.bool_]
Line = tuple[IntArray, IntArray, Mask]


class NotAffineError(ValueError):
    """A staircase that no pair of lines equals; the message says where and why."""


@dataclass(frozen=True)  # with a dict, for its cached properties
class AffineStairs:
    """level(c, x) = clip((slope[c, k] * x + offset[c, k]) >> shift, 0, levels), k = x >= knee[c].

    knee (C), slope and offset (C, 2); slopes are not negative. ``reach``: the x that it is proven
    for. Where ``segments`` is 1, both columns are equal in every channel.
    """

    reach: tuple[int, int]
    levels: int
    shift: int
    knee: IntArray
    slope: IntArray
    offset: IntArray

    @cached_property
    def segments(self) -> int:
        """Lines a channel: 1 or 2."""
        return 1 + int((self.slope[:, 0] != self.slope[:, 1]).any())

    @cached_property
    def slope_bits(self) -> int:
        """Bits of the largest slope, an unsigned number."""
        return max(1, int(self.slope.max()).bit_length())

    @cached_property
    def offset_type(self) -> IntType:
        """Holds every offset."""
        return IntType.holding(min(int(self.offset.min()), -1), max(int(self.offset.max()), 0))

    @cached_property
    def sum_type(self) -> IntType:
        """Holds slope * x + offset for every x of its line's part of ``reach``."""
        lo, hi = self.reach
        starts = np.stack([np.full_like(self.knee, lo), np.maximum(self.knee, lo)], axis=1)
        ends = np.stack([np.maximum(self.knee - 1, lo), np.full_like(self.knee, hi)], axis=1)
        least = int((self.slope * starts + self.offset).min())
        most = int((self.slope * ends + self.offset).max())
        return IntType.holding(min(least, -1), max(most, 0))

    def level_of(self, channel: int, x: IntArray) -> IntArray:
        """The levels of one channel at integers x of any shape."""
        side = (x >= self.knee[channel]).astype(np.int64)
        raised = self.slope[channel][side] * x + self.offset[channel][side]
        levels: IntArray = np.clip(raised >> self.shift, 0, self.levels)
        return levels


def fit(thresholds: IntArray, reach: tuple[int, int]) -> AffineStairs:
    """Lines equal to sum_i(x >= thresholds[c, i]) at every integer x of ``reach``.

    thresholds (C, n >= 1) ascend along n, n < 2^16; reach is (lo, hi), both included, integers of
    at most 33 bits. All channels share one shift, the least that serves them all. Raises
    ``NotAffineError`` that names a channel if one is no such staircase, or only with a shift past
    ``SHIFT_LIMIT`` or products past ``PRODUCT_BITS`` bits.
    """
    (lo, hi), (channels, levels) = reach, thresholds.shape
    clipped = np.clip(thresholds, lo, hi + 1)
    rows = max(1, CHUNK // max(levels, 1))
    parts = [_Steps(clipped[i : i + rows]) for i in range(0, channels, rows)]
    lines = _Lines.joined([_lines(part, lo, hi) for part in parts])
    if not lines.fits.all():
        raise NotAffineError(
            f"channel {int(np.argmin(lines.fits))} is not one line or two of at most "
            f"{SHIFT_LIMIT} bits of fraction"
        )
    shift = int(lines.shift.max())
    slope = lines.slope << (shift - lines.shift)
    widest, most = int(slope.max()), _most_slope(lo, hi)
    if widest > most:
        raise NotAffineError(
            f"channel {int(np.argmax(slope.max(axis=1)))} needs a slope of {widest.bit_length()} "
            f"bits beside channels that need a shift of {shift}; {most.bit_length()} are possible"
        )
    offset = np.empty_like(slope)
    for i, part in enumerate(parts):
        at = slice(i * rows, i * rows + rows)
        knee = lines.knee[at]
        first, last = np.full_like(knee, lo), np.full_like(knee, hi)
        turn = np.where(knee == lo, last, knee - 1)  # of a single line: there is none
        offset[at, 0] = part.span(first, turn).offset(slope[at, 0], shift)
        offset[at, 1] = part.span(knee, last).offset(slope[at, 1], shift)
    stairs = AffineStairs(reach, levels, shift, lines.knee, slope, offset)
    require_equal(stairs, clipped)
    return stairs


def _most_slope(lo: int, hi: int) -> int:
    """The largest slope whose products fit."""
    return (1 << PRODUCT_BITS - IntType.holding(min(lo, -1), hi).bits) - 1


def require_equal(stairs: AffineStairs, thresholds: IntArray) -> None:
    """Raise ``NotAffineError`` unless ``stairs`` equal the thresholds (C, n) on their reach.

    Looks at the first and the last integer of every level and of either line. The staircase rises
    everywhere and the unit on either side of the knee, so no integer between can differ: this is
    as good as looking at all of them.
    """
    lo, hi = stairs.reach
    if (stairs.slope < 0).any():
        raise NotAffineError("a slope is negative")
    for c, row in enumerate(np.clip(thresholds, lo, hi + 1)):
        knee = int(stairs.knee[c])
        x = np.clip(np.concatenate([row, row - 1, [lo, hi, knee - 1, knee]]), lo, hi)
        wrong = stairs.level_of(c, x) != np.searchsorted(row, x, side="right")
        if wrong.any():
            raise NotAffineError(f"channel {c} differs at x = {int(x[np.argmax(wrong)])}")


@dataclass(frozen=True, slots=True)
class _Lines:
    """For every channel a knee (C), two slopes with shifts of their own (C, 2), or no fit (C)."""

    knee: IntArray
    slope: IntArray
    shift: IntArray
    fits: Mask

    def put(self, channels: IntArray, lines: _Lines) -> None:
        """Replace what these channels have."""
        for name in ("knee", "slope", "shift", "fits"):
            getattr(self, name)[channels] = getattr(lines, name)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """The channels of all parts."""
        names = ("knee", "slope", "shift", "fits")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def _lines(steps: _Steps, lo: int, hi: int) -> _Lines:
    """One line where that is enough, else two.

    Where any knee serves, the least start of a line that runs to ``hi`` does, because the line
    before it then has the least to meet. A line of slope 1 is tried first: it is what an RPReLU
    between equal scales has, and its other line gets the fewest bits.
    """
    first, last = (np.full(steps.channels, x) for x in (lo, hi))
    slope, shift, fits = steps.span(first, last).line()
    found = _Lines(first.copy(), np.stack([slope] * 2, axis=1), np.stack([shift] * 2, axis=1), fits)
    for upper in (_Span.unit_line, _Span.line):
        rest = np.flatnonzero(~found.fits)
        if len(rest) and hi > lo:
            found.put(rest, _two_lines(steps.of(rest), first[rest], last[rest], upper))
    return found


def _two_lines(
    steps: _Steps, first: IntArray, last: IntArray, upper: Callable[[_Span], Line]
) -> _Lines:
    """An upper line, as ``upper`` finds it, from the least knee on, and any line below it."""
    knee = _least(lambda k: upper(steps.span(k, last))[2], first, last)
    below, above = steps.span(first, knee - 1).line(), upper(steps.span(knee, last))
    slope = np.stack([below[0], above[0]], axis=1)
    shift = np.stack([below[1], above[1]], axis=1)
    return _Lines(knee, slope, shift, below[2] & above[2])


def _least(feasible: Callable[[IntArray], Mask], bad: IntArray, good: IntArray) -> IntArray:
    """By bisection the least k that is feasible; ``bad`` is not, ``good`` and all above are."""
    while (good - bad > 1).any():
        middle = (bad + good) // 2
        ok = feasible(middle)
        bad, good = np.where(ok, bad, middle), np.where(ok, middle, good)
    return good


@dataclass(frozen=True, slots=True)
class _Steps:
    """Thresholds (C, n) within the reach or just above it."""

    thresholds: IntArray

    @property
    def channels(self) -> int:
        return len(self.thresholds)

    def of(self, channels: IntArray) -> _Steps:
        return _Steps(self.thresholds[channels])

    def span(self, first: IntArray, last: IntArray) -> _Span:
        """What a line must meet from ``first`` to ``last`` (C), both included."""
        t, lo, hi = self.thresholds, first[:, None], last[:, None]
        return _Span(np.maximum(t, lo), np.minimum(t - 1, hi), t <= hi, t > lo)


@dataclass(frozen=True, slots=True)
class _Span:
    """slope * on[c, i] + offset reaches level i + 1 where asked, at under[c, i] it does not."""

    on: IntArray
    under: IntArray
    asks_on: Mask
    asks_under: Mask

    def of(self, channels: IntArray) -> _Span:
        """These channels only."""
        at = channels
        return _Span(self.on[at], self.under[at], self.asks_on[at], self.asks_under[at])

    def offsets(self, slope: IntArray, shift: IntArray) -> tuple[IntArray, IntArray, IntArray]:
        """The least offset (C) and the largest that the lines may have, and who says so (C, 2)."""
        level = np.arange(1, self.on.shape[1] + 1) << shift[:, None]
        need = np.where(self.asks_on, level - slope[:, None] * self.on, -_FAR)
        have = np.where(self.asks_under, level - 1 - slope[:, None] * self.under, _FAR)
        steps = np.stack([need.argmax(axis=1), have.argmin(axis=1)], axis=1)
        rows = np.arange(len(slope))
        return need[rows, steps[:, 0]], have[rows, steps[:, 1]], steps

    def offset(self, slope: IntArray, shift: int) -> IntArray:
        """The least offset for slopes that fit; the largest where there is no least."""
        need, have, _ = self.offsets(slope, np.full(len(slope), shift))
        return np.where(need > -_FAR, need, np.where(have < _FAR, have, 0))

    def unit_line(self) -> Line:
        """Slope 1."""
        shift = np.zeros(len(self.on), np.int64)
        need, have, _ = self.offsets(shift + 1, shift)
        return shift + 1, shift, need <= have

    def line(self) -> Line:
        """The simplest dyadic slope (C), its shift (C), and whether there is one (C)."""
        count = len(self.on)
        slope, shift = np.zeros(count, np.int64), np.zeros(count, np.int64)
        fits, live = np.zeros(count, np.bool_), np.arange(count)
        steepest = self.on.shape[1] + 1  # more rises past all levels in a step
        bounds = np.array([[-1, 1, steepest, 1]] * count)  # above a / b, below c / d
        here, most = self, _most_slope(int(self.on.min()), int(self.on.max()))
        while len(live):
            m, s = _simplest(bounds[live], most)
            need, have, steps = here.offsets(m, np.maximum(s, 0))
            done = (s >= 0) & (need <= have)
            slope[live[done]], shift[live[done]], fits[live[done]] = m[done], s[done], True
            rows = np.arange(len(live))
            rise = steps[:, 0] - steps[:, 1]
            run = here.on[rows, steps[:, 0]] - here.under[rows, steps[:, 1]]
            _tighten(bounds, live, rise, run)
            keep = np.flatnonzero((s >= 0) & ~done)
            live, here = live[keep], here.of(keep)
        return slope, shift, fits


def _simplest(bounds: IntArray, most: int) -> tuple[IntArray, IntArray]:
    """The least s with an integer m of 0..most and a/b < m/2^s < c/d: m, s; s = -1 if none."""
    m, s = np.zeros(len(bounds), np.int64), np.full(len(bounds), -1)
    a, b, c, d = bounds.T
    unset = np.flatnonzero(a * d < c * b)
    for shift in range(SHIFT_LIMIT + 1):
        a, b, c, d = bounds[unset].T
        least = np.maximum((a << shift) // b + 1, 0)
        inside = (least <= most) & (least < -(-(c << shift) // d))
        m[unset[inside]], s[unset[inside]] = least[inside], shift
        unset = unset[~inside]
        if not len(unset):
            break
    return m, s


def _tighten(bounds: IntArray, live: IntArray, rise: IntArray, run: IntArray) -> None:
    """Two steps want slope * run > rise: a bound from below where run > 0, else from above."""
    a, b, c, d = bounds[live].T
    lower = (run > 0) & (rise * b > a * run)
    upper = (run < 0) & (rise * d > c * run)
    bounds[live[lower], :2] = np.stack([rise, run], axis=1)[lower]
    bounds[live[upper], 2:] = -np.stack([rise, run], axis=1)[upper]
