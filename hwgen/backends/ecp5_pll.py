"""Clocks that an ECP5 makes of its oscillator: the dividers of its PLL, EHXPLLL.

Feedback is over the output CLKOP, the design runs on CLKOS:

    VCO = oscillator / CLKI_DIV * CLKFB_DIV * CLKOP_DIV,  CLKOS = VCO / CLKOS_DIV

Limits are those of the family's data sheet (Lattice FPGA-DS-02012, sysCLOCK PLL timing).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

from hwgen.errors import UserInputError

INPUT_MHZ = (8, 400)
PHASE_DETECTOR_MHZ = (10, 400)
VCO_MHZ = (400, 800)
OUTPUT_MHZ = (Fraction("3.125"), 400)
FEEDBACK_DIVIDERS = range(1, 81)
DIVIDERS = range(1, 129)  # of the input and of the outputs


@dataclass(frozen=True, slots=True)
class Pll:
    """Dividers, and the oscillator they are for."""

    input_mhz: Fraction
    clki_div: int
    clkfb_div: int
    clkop_div: int
    clkos_div: int

    @property
    def vco_mhz(self) -> Fraction:
        """Of the oscillator within."""
        return self.input_mhz / self.clki_div * self.clkfb_div * self.clkop_div

    @property
    def mhz(self) -> Fraction:
        """The clock it makes."""
        return self.vco_mhz / self.clkos_div

    @property
    def hz(self) -> int:
        """The same, to the nearest hertz."""
        return round(self.mhz * 1_000_000)

    @property
    def parameters(self) -> dict[str, int]:
        """As board_top.sv has them."""
        return {
            "CLKI_DIV": self.clki_div,
            "CLKFB_DIV": self.clkfb_div,
            "CLKOP_DIV": self.clkop_div,
            "CLKOS_DIV": self.clkos_div,
            "CLOCK_HZ": self.hz,
        }


def highest(input_mhz: float, limit_mhz: float | Fraction) -> Pll:
    """The highest clock of at most ``limit_mhz`` that the PLL makes of ``input_mhz``.

    Of equal clocks the one with the fastest phase detector, then with the fastest VCO.
    Raises ``UserInputError`` where there is none.
    """
    given, limit = _exact(input_mhz), _exact(limit_mhz)
    if not INPUT_MHZ[0] <= given <= INPUT_MHZ[1]:
        raise UserInputError(
            f"an ECP5's PLL takes {INPUT_MHZ[0]} to {INPUT_MHZ[1]} MHz, not {float(given):g} MHz; "
            "correct shell.clock_in_mhz in the board file"
        )
    possible = (_under(pll, limit) for pll in _vcos(given))
    plls = [pll for pll in possible if pll is not None]
    if not plls:
        raise UserInputError(
            f"an ECP5's PLL makes {float(OUTPUT_MHZ[0]):g} to {OUTPUT_MHZ[1]} MHz, so none of at "
            f"most {float(limit):g} MHz; raise --clock-mhz"
        )
    return max(plls, key=lambda pll: (pll.mhz, -pll.clki_div, pll.vco_mhz))


def below(pll: Pll, limit_mhz: float | Fraction) -> Pll:
    """The highest clock that is below that of ``pll`` and at most ``limit_mhz``."""
    step = Fraction(1, 10**6)  # closer than any two clocks that dividers of this size can make
    return highest(float(pll.input_mhz), min(_exact(limit_mhz), pll.mhz - step))


def _exact(mhz: float | Fraction) -> Fraction:
    """The decimal number that was written."""
    return mhz if isinstance(mhz, Fraction) else Fraction(repr(float(mhz)))


def _under(pll: Pll, limit: Fraction) -> Pll | None:
    """``pll`` with the least divider that keeps its clock within ``limit``."""
    divider = max(1, -(-pll.vco_mhz // min(limit, Fraction(OUTPUT_MHZ[1]))))
    found = Pll(pll.input_mhz, pll.clki_div, pll.clkfb_div, pll.clkop_div, int(divider))
    return found if divider in DIVIDERS and found.mhz >= OUTPUT_MHZ[0] else None


@cache
def _vcos(given: Fraction) -> tuple[Pll, ...]:
    """Every frequency of the VCO once, by its fastest phase detector."""
    found: dict[Fraction, Pll] = {}
    for pll in _loops(given):
        found.setdefault(pll.vco_mhz, pll)
    return tuple(found.values())


def _loops(given: Fraction) -> Iterator[Pll]:
    """Every lawful loop, the fastest phase detectors first."""
    for divider in DIVIDERS:
        detector = given / divider
        if not PHASE_DETECTOR_MHZ[0] <= detector <= PHASE_DETECTOR_MHZ[1]:
            continue
        for feedback in FEEDBACK_DIVIDERS:
            output = detector * feedback  # CLKOP
            if not OUTPUT_MHZ[0] <= output <= OUTPUT_MHZ[1]:
                continue
            first = -(-VCO_MHZ[0] // output)
            for out in range(int(first), int(VCO_MHZ[1] // output) + 1):
                if out in DIVIDERS:
                    yield Pll(given, divider, feedback, out, 1)
