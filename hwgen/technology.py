"""What differs from one family of parts to the next: cells of its own, and what kernels cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hwgen.layers.base import Resources


@dataclass(frozen=True, slots=True)
class Technology:
    """A kind of FPGA fabric.

    Layers estimate what they cost on a 7-series part. ``costs`` has, by kind of kernel, what takes
    the place of one of each of these resources here; empty where kernels are at home.
    ``cells``: the folder of ``templates`` with modules for the 7-series cells that kernels are
    made of, and with those that differ from templates/rtl; None where there are none.
    """

    name: str
    cells: str | None = None
    costs: Mapping[str, Resources] = field(default_factory=dict)

    def price(self, kind: str, cost: Resources) -> Resources:
        """``cost`` of a kernel of ``kind`` on a 7-series part, here."""
        if not self.costs:
            return cost
        each = self.costs.get(kind, self.costs[OTHER])
        return Resources(
            cost.lut * each.lut,
            cost.ff * each.ff,
            cost.bram36 * each.bram36,
            cost.dsp * each.dsp,
        )


OTHER = "other"


def _costs(luts: Mapping[str, float], ff: Mapping[str, float]) -> dict[str, Resources]:
    """Factors by kind; blocks of RAM and DSP take the place of one another."""
    return {kind: Resources(each, ff.get(kind, 1), 1, 1) for kind, each in luts.items()}


SERIES7 = Technology("7-series")

# LUT4 for a LUT6 and flip-flops for a flip-flop: cells after Yosys 0.70 for ECP5 (LUT4, two for a
# carry cell, six for LUTRAM of 16 x 4 bits) over the estimate, summed over the kernels of the
# network on handwritten digits at 3,072, 9,216 and 36,864 cycles a frame (387 kernels), and for
# compressor trees and units that it has not over kernels of up to 512 binary lanes. A table of 64
# words takes four times the LUTs, LUTRAM up to six times, a large tree 3.8 times.
ECP5 = Technology(
    "ECP5",
    "ecp5",
    _costs(
        luts={
            "adders": 2.35,
            "adders over constants": 2.4,
            "XNOR pairs, compressor tree": 3.7,
            "AND in flip-flop resets, compressor tree": 3.8,
            "comparator": 1.05,
            "binary search": 1.8,
            "affine, LUT product": 1.65,
            "affine, DSP product": 1.85,
            "Add": 1.35,
            "AxisIn": 2.35,
            "AxisOut": 1,
            "Fork": 1.25,
            "GlobalSum": 3.7,
            "IntMvau": 3.2,
            "WidthConverter": 1.9,
            "Window": 2.7,
            "FIFO of registers": 1,
            "FIFO in LUTRAM": 3.8,
            "FIFO in block RAM": 2.5,
            OTHER: 2.5,
        },
        ff={
            "adders": 1.1,
            "adders over constants": 1.3,
            "affine, DSP product": 2.1,  # a multiplier takes in no register here
            "binary search": 1.1,
            "GlobalSum": 1.1,
            "IntMvau": 1.1,
        },
    ),
)


def technology_of(family: str) -> Technology:
    """That of a board's family; Vivado takes 7-series cells for UltraScale+ too."""
    return ECP5 if family == "ecp5" else SERIES7
