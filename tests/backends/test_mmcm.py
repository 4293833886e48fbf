"""Clocks of a 7-series part: dividers within the data sheet's limits, the best there are."""

from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwgen.backends.mmcm import Mmcm, mmcm
from hwgen.errors import UserInputError


def legal(m: Mmcm) -> bool:
    """DS181, speed grade -1, written out once more."""
    return (
        10 <= m.input_mhz / m.divide_in <= 450
        and 600 <= m.vco_mhz <= 1200
        and 1 <= m.divide_in <= 106
        and 2 <= m.multiply <= 64
        and 1 <= m.divide_out <= 128
    )


@pytest.mark.parametrize(
    ("given_mhz", "wanted", "dividers"),
    [(100, 80, (1, 12, 15)), (100, 200, (1, 12, 6)), (12, 100, (1, 50, 6)), (125, 50, (5, 48, 24))],
)
def test_common_clocks_are_exact_with_the_fastest_vco(
    given_mhz: float, wanted: float, dividers: tuple[int, int, int]
) -> None:
    assert mmcm(given_mhz, wanted) == Mmcm(Fraction(given_mhz), *dividers)


def test_the_oscillators_own_clock_needs_none() -> None:
    assert mmcm(100, 100) is None
    assert mmcm(2, 2) is None


@given(st.sampled_from([12, 25, 50, 100, 125]), st.integers(50, 2500))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_every_clock_is_legal_never_too_fast_and_the_nearest(oscillator: int, tenths: int) -> None:
    wanted = tenths / 10
    found = mmcm(oscillator, wanted)
    if found is None:
        assert oscillator == wanted
        return
    assert legal(found)
    assert found.mhz <= Fraction(str(wanted))
    for divide_in, multiply in product(range(1, 13), range(2, 65)):  # brute force, one by one
        divide_out = max(1, round(oscillator / divide_in * multiply / wanted))
        for divisor in (divide_out, divide_out + 1):
            other = Mmcm(Fraction(oscillator), divide_in, multiply, divisor)
            if legal(other) and other.mhz <= Fraction(str(wanted)):
                assert other.mhz <= found.mhz


@pytest.mark.parametrize(
    ("given_mhz", "wanted", "message"),
    [
        (100, 4, "no MMCM makes 4 MHz of 100 MHz; none below is possible"),
        (100, 1300, r"no MMCM makes 1300 MHz of 100 MHz; 1200 MHz is the nearest below"),
        (2, 50, "takes 10 to 800 MHz, not the 2 MHz of clock_in_mhz"),
    ],
)
def test_what_cannot_be_made_is_said(given_mhz: float, wanted: float, message: str) -> None:
    with pytest.raises(UserInputError, match=message):
        mmcm(given_mhz, wanted)
