"""Clocks that a 7-series part makes of its oscillator: the dividers of its MMCM, MMCME2_ADV.

    VCO = oscillator / divide_in * multiply,  clock = VCO / divide_out

Limits are those of the slowest speed grade, -1 (AMD DS181, MMCM switching characteristics). The
dividers are whole numbers: fractions, which the part has too, jitter more.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from hwgen.errors import UserInputError

INPUT_MHZ = (10, 800)
PHASE_DETECTOR_MHZ = (10, 450)
VCO_MHZ = (600, 1200)
DIVIDE_IN, MULTIPLY, DIVIDE_OUT = range(1, 107), range(2, 65), range(1, 129)
SLACK = Fraction(2, 100)  # of the clock asked for, that it may fall short


@dataclass(frozen=True, slots=True)
class Mmcm:
    """Dividers, and the oscillator in MHz that they are for."""

    input_mhz: Fraction
    divide_in: int
    multiply: int
    divide_out: int

    @property
    def vco_mhz(self) -> Fraction:
        """Of the oscillator within."""
        return self.input_mhz / self.divide_in * self.multiply

    @property
    def mhz(self) -> Fraction:
        """The clock it makes."""
        return self.vco_mhz / self.divide_out


def mmcm(input_mhz: float, wanted_mhz: float) -> Mmcm | None:
    """The dividers for the fastest clock up to ``wanted_mhz``; None: the oscillator is that clock.

    Of several the one with the fastest VCO, which jitters least. Raises ``UserInputError`` where
    the clock would fall short by more than 2 %, or the oscillator is out of the MMCM's range.
    """
    given, wanted = Fraction(str(input_mhz)), Fraction(str(wanted_mhz))
    if given == wanted:
        return None
    if not INPUT_MHZ[0] <= given <= INPUT_MHZ[1]:
        raise UserInputError(
            f"an MMCM takes {INPUT_MHZ[0]} to {INPUT_MHZ[1]} MHz, not the {input_mhz:g} MHz of "
            "clock_in_mhz; set --clock-mhz to the oscillator's"
        )
    best = max(_candidates(given, wanted), key=lambda m: (m.mhz, m.vco_mhz), default=None)
    if best is None or best.mhz < wanted * (1 - SLACK):
        near = f"{float(best.mhz):g} MHz is the nearest below" if best else "none below is possible"
        raise UserInputError(f"no MMCM makes {wanted_mhz:g} MHz of {input_mhz:g} MHz; {near}")
    return best


def _candidates(given: Fraction, wanted: Fraction) -> list[Mmcm]:
    """For every frequency of the VCO the fastest clock up to ``wanted``."""
    found = []
    for divide_in in DIVIDE_IN:
        if not PHASE_DETECTOR_MHZ[0] <= given / divide_in <= PHASE_DETECTOR_MHZ[1]:
            continue
        for multiply in MULTIPLY:
            vco = given / divide_in * multiply
            divide_out = -(-vco // wanted)
            if VCO_MHZ[0] <= vco <= VCO_MHZ[1] and divide_out in DIVIDE_OUT:
                found.append(Mmcm(given, divide_in, multiply, int(divide_out)))
    return found
