"""The lines of a staircase equal it at every integer, and are found wherever there are any."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from time import perf_counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwgen.layers.affine import AffineStairs, NotAffineError, fit, require_equal
from hwgen.quant import IntArray, IntType
from tests.layers.stairs import Reach, batch_norm, levels_of, rprelu, thresholds_of

SEEDS = st.integers(0, 2**32 - 1)


def assert_equal(lines: AffineStairs, thresholds: IntArray, reach: Reach) -> None:
    """Brute force: every channel at every integer, in Python's own integers."""
    x = np.arange(reach[0], reach[1] + 1)
    for c, expected in enumerate(levels_of(thresholds, x)):
        m, b = (array[c].astype(object) for array in (lines.slope, lines.offset))
        upper = x >= lines.knee[c]
        sums = np.where(upper, m[1] * x.astype(object) + b[1], m[0] * x.astype(object) + b[0])
        found = np.clip(sums >> lines.shift, 0, thresholds.shape[1])
        np.testing.assert_array_equal(found.astype(np.int64), expected, f"channel {c}")
        assert lines.sum_type.lo <= min(sums)
        assert max(sums) <= lines.sum_type.hi


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=SEEDS, bits=st.integers(2, 8), k=st.integers(1, 700))
def test_batch_norms_are_one_line(seed: int, bits: int, k: int) -> None:
    thresholds, reach, _ = batch_norm(np.random.default_rng(seed), 12, k, bits)
    lines = fit(thresholds, reach)
    assert_equal(lines, thresholds, reach)
    assert lines.segments == 1


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    seed=SEEDS,
    bits=st.integers(2, 8),
    scale=st.one_of(st.sampled_from([0.25, 0.5, 1.0, 2.0]), st.floats(0.2, 3)),
)
def test_rprelus_are_two_lines_at_most(seed: int, bits: int, scale: float) -> None:
    thresholds, reach, _ = rprelu(np.random.default_rng(seed), 12, bits, scale)
    assert_equal(fit(thresholds, reach), thresholds, reach)


def test_between_equal_scales_the_upper_line_of_an_rprelu_has_slope_1() -> None:
    thresholds, reach, _ = rprelu(np.random.default_rng(1), 64, 8)
    lines = fit(thresholds, reach)
    rising = (lines.slope[:, 0] != lines.slope[:, 1]).nonzero()[0]
    assert len(rising) > 50
    assert (lines.slope[rising, 1] == 1 << lines.shift).all()


@settings(max_examples=200, deadline=None, derandomize=True)
@given(data=st.data(), lo=st.integers(-9, 3), size=st.integers(1, 14), steps=st.integers(1, 6))
def test_lines_are_found_exactly_where_there_are_any(
    data: st.DataObject, lo: int, size: int, steps: int
) -> None:
    """Random staircases, out of reach on either side, against all pairs of steps and all knees."""
    hi = lo + size - 1
    row = sorted(data.draw(st.lists(st.integers(lo - 2, hi + 3), min_size=steps, max_size=steps)))
    thresholds = np.array([row])
    ranges = [[(lo, hi)]] + [[(lo, k - 1), (k, hi)] for k in range(lo + 1, hi + 1)]
    possible = any(all(line_exists(row, *span) for span in spans) for spans in ranges)
    try:
        lines = fit(thresholds, (lo, hi))
    except NotAffineError:
        assert not possible
    else:
        assert possible
        assert_equal(lines, thresholds, (lo, hi))


def line_exists(row: list[int], lo: int, hi: int) -> bool:
    """Whether a real slope >= 0 meets what all pairs of steps demand of it within [lo, hi].

    Step i is reached at ``on``, step j not yet at ``under``: slope * (on - under) > i - j.
    """
    least, most = Fraction(-1), Fraction(10**6)
    for i, on in ((i, max(t, lo)) for i, t in enumerate(row) if t <= hi):
        for j, under in ((j, min(t - 1, hi)) for j, t in enumerate(row) if t > lo):
            if on > under:
                least = max(least, Fraction(i - j, on - under))
            elif on < under:
                most = min(most, Fraction(i - j, on - under))
            elif i >= j:
                return False
    return least < most and most > 0


def test_flat_saturated_and_unreachable_channels() -> None:
    lo, hi = -20, 19
    rows = np.array(
        [
            [-50, -40, -30],  # all steps below
            [20, 20, 20],  # none reached
            [100, 200, 300],
            [0, 0, 0],  # all at once
            [-30, 0, 40],  # one step within
            [-20, 19, 19],  # at the very ends
            [-20, -19, -18],
            [17, 18, 19],
        ]
    )
    lines = fit(rows, (lo, hi))
    assert_equal(lines, rows, (lo, hi))


def test_an_input_of_one_value() -> None:
    rows = np.array([[5, 6, 7], [4, 4, 4], [3, 5, 9]])
    assert_equal(fit(rows, (5, 5)), rows, (5, 5))


def test_half_even_ties_have_no_lines_and_the_channel_is_named() -> None:
    """Every tie of 0.25 x goes to the even side: steps of 3 and 5 in turn, which no line has."""
    y = IntType(4, signed=True)
    good, reach, _ = rprelu(np.random.default_rng(0), 3, 4)
    ties = thresholds_of(lambda x: 0.25 * x[None], reach, y)
    with pytest.raises(NotAffineError, match="channel 3 is not one line or two of at most 40 bi"):
        fit(np.concatenate([good, ties, good]), reach)


def test_channels_that_need_too_wide_a_slope_together_are_named() -> None:
    reach = (0, 2**23)
    gentle = np.arange(1, 256) * 4_000_011 // 255
    sudden = np.full(255, 1000)
    fit(gentle[None], reach)
    fit(sudden[None], reach)
    with pytest.raises(NotAffineError, match="channel 1 needs a slope of .* bits beside channels"):
        fit(np.stack([gentle, sudden]), reach)


@pytest.mark.slow
def test_sums_of_a_stem() -> None:
    """Inputs of 21 bits, most of whose range is saturated."""
    rng = np.random.default_rng(3)
    gain, bias = rng.uniform(1e-3, 9e-3, (16, 1)), rng.uniform(-50, 50, (16, 1))
    reach, y = (-870_000, 860_000), IntType(8, signed=True)
    thresholds = thresholds_of(lambda x: gain * x + bias, reach, y)
    assert_equal(fit(thresholds, reach), thresholds, reach)


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1.0, 0.7])
def test_residuals_of_16_bits(scale: float) -> None:
    thresholds, reach, _ = rprelu(np.random.default_rng(2), 4, 16, scale)
    assert thresholds.shape == (4, 65535)
    lines = fit(thresholds, reach)
    x = np.arange(reach[0], reach[1] + 1)
    for c in range(4):
        expected = np.searchsorted(thresholds[c], x, side="right")
        np.testing.assert_array_equal(lines.level_of(c, x), expected)


def test_a_thousand_channels_take_seconds() -> None:
    thresholds, reach, _ = rprelu(np.random.default_rng(4), 1024, 8, 0.6)
    start = perf_counter()
    fit(thresholds, reach)
    assert perf_counter() - start < 10


@pytest.mark.parametrize("part", ["offset", "slope", "knee"])
def test_the_proof_refuses_what_is_off_by_one_at_one_integer(part: str) -> None:
    thresholds, reach, _ = rprelu(np.random.default_rng(5), 6, 6)
    lines = fit(thresholds, reach)
    x = np.arange(reach[0], reach[1] + 1)
    refused = 0
    for c in range(6):
        for step in (-1, 1):
            array = getattr(lines, part).copy()
            array[c, ...] += step
            changed = replace(lines, **{part: array})
            equal = (changed.level_of(c, x) == levels_of(thresholds[c : c + 1], x)[0]).all()
            if equal:
                require_equal(changed, thresholds)
            else:
                refused += 1
                with pytest.raises(NotAffineError, match=f"channel {c} differs at x = "):
                    require_equal(changed, thresholds)
    assert refused >= 2


def test_the_proof_refuses_a_falling_line() -> None:
    thresholds, reach, _ = rprelu(np.random.default_rng(5), 6, 6)
    lines = fit(thresholds, reach)
    with pytest.raises(NotAffineError, match="negative"):
        require_equal(replace(lines, slope=-lines.slope), thresholds)
