"""The dividers of an ECP5's PLL: within the data sheet's limits, and none better left out."""

from __future__ import annotations

import re
from fractions import Fraction
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwgen.backends.ecp5_pll import Pll, below, highest
from hwgen.errors import UserInputError
from hwgen.run import run_tool


def lawful(pll: Pll) -> bool:
    """By the data sheet, in words of its own."""
    detector = pll.input_mhz / pll.clki_div
    feedback = pll.vco_mhz / pll.clkop_div
    return (
        8 <= pll.input_mhz <= 400
        and 10 <= detector <= 400
        and 400 <= pll.vco_mhz <= 800
        and Fraction("3.125") <= feedback <= 400
        and Fraction("3.125") <= pll.mhz <= 400
        and feedback == detector * pll.clkfb_div
        and pll.clkfb_div in range(1, 81)
        and all(d in range(1, 129) for d in (pll.clki_div, pll.clkop_div, pll.clkos_div))
    )


def best_by_search(input_mhz: int, limit: Fraction) -> Fraction:
    """The highest clock of all, by trying every divider; VCO = input / i * (fb * op)."""
    loops = {fb * op for fb, op in product(range(1, 81), range(1, 129))}
    vcos = {
        Fraction(input_mhz * n, i)
        for i in range(1, input_mhz // 10 + 1)
        for n in loops
        if 400 * i <= input_mhz * n <= 800 * i
    }
    clocks = {vco / out for vco in vcos for out in range(1, 129)}
    return max(clock for clock in clocks if clock <= min(limit, 400))


@pytest.mark.parametrize("input_mhz", [12, 16, 25, 27, 48, 100])
@pytest.mark.parametrize("limit", ["3.2", "33.333", "50", "87.9", "163.7", "400", "1000"])
def test_no_lawful_clock_is_higher(input_mhz: int, limit: str) -> None:
    found = highest(input_mhz, float(limit))
    assert lawful(found)
    assert found.mhz == best_by_search(input_mhz, Fraction(limit))


@settings(deadline=None, max_examples=15)
@given(st.floats(10, 400), st.floats(3.5, 400))
def test_any_oscillator_gives_a_lawful_clock(input_mhz: float, limit: float) -> None:
    found = highest(input_mhz, limit)
    assert lawful(found)
    assert limit * 0.9 < found.mhz <= Fraction(repr(limit))


def test_a_clock_that_can_be_made_exactly_is() -> None:
    assert highest(25, 50).mhz == 50
    assert highest(25, 50).hz == 50_000_000
    assert highest(25, 62.5).parameters["CLOCK_HZ"] == 62_500_000


def test_the_next_lower_clock_is_lower_and_near() -> None:
    pll = highest(25, 50)
    for _ in range(20):
        lower = below(pll, 1000)
        assert lawful(lower)
        assert pll.mhz * Fraction("0.98") < lower.mhz < pll.mhz
        pll = lower
    assert below(pll, 20.01).mhz == 20


@pytest.mark.parametrize(
    ("input_mhz", "limit", "says"),
    [(7.9, 50, "clock_in_mhz"), (401, 50, "clock_in_mhz"), (25, 3, "--clock-mhz")],
)
def test_what_no_divider_can_do_is_said(input_mhz: float, limit: float, says: str) -> None:
    with pytest.raises(UserInputError, match=says):
        highest(input_mhz, limit)


def test_the_packers_own_calculator_takes_our_clock_for_possible(tmp_path: Path) -> None:
    """An independent search, which optimises otherwise: it comes no closer from below."""
    for wanted in (50, 87.5):
        words = ["yowasp-ecppll", "-i", "25", "-o", str(wanted), "--highres", "-f", "pll.v"]
        made = tmp_path / "pll.v"
        run_tool(words, cwd=tmp_path, log=tmp_path / "log", timeout_s=120, expect=[made])
        divider = {
            key: int(value) for key, value in re.findall(r"\.(\w+_DIV)\((\d+)\)", made.read_text())
        }
        theirs = Pll(
            Fraction(25),
            *(divider[f"{name}_DIV"] for name in ("CLKI", "CLKFB", "CLKOP")),
            divider.get("CLKOS_DIV", divider["CLKOP_DIV"]),
        )
        assert theirs.mhz == highest(25, wanted).mhz == Fraction(str(wanted))
