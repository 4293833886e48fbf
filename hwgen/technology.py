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

# LUT4 for a LUT6 and flip-flops for a flip-flop, as nextpnr places them: cells after Yosys 0.70 for
# ECP5 (LUT4; two for a carry cell, and two at either end of a chain that has a constant or logic
# there; six for LUTRAM of 16 x 4 bits) over the estimate, summed by kind over the network on
# handwritten digits at 192, 2,048 and 24,576 cycles a frame, and 8 % for what packing adds. The
# sums were then 104, 108 and 91 % of the LUTs that nextpnr placed (65,500, 14,400 and 9,700).
ECP5 = Technology(
    "ECP5",
    "ecp5",
    _costs(
        luts={
            "adders": 3.0,
            "adders over constants": 3.0,
            "XNOR pairs, compressor tree": 3.1,
            "AND in flip-flop resets, compressor tree": 4.5,
            "comparator": 1.9,
            "binary search": 1.85,
            "table in LUTs": 3.3,
            "affine, LUT product": 1.85,
            "affine, DSP product": 2.1,
            "Add": 2.0,
            "AxisIn": 3.2,
            "AxisOut": 1,
            "Fork": 1.35,
            "GlobalSum": 3.7,
            "IntMvau": 3.5,
            "WidthConverter": 1.65,
            "Window": 2.9,
            "FIFO of registers": 1.1,
            "FIFO in LUTRAM": 3.4,
            "FIFO in block RAM": 2.5,
            OTHER: 3.0,
        },
        ff={
            "adders": 1.1,
            "adders over constants": 1.3,
            "affine, DSP product": 2.1,  # a multiplier takes in no register here
            "binary search": 1.1,
            "GlobalSum": 1.1,
            "IntMvau": 1.3,
        },
    ),
)


def technology_of(family: str) -> Technology:
    """That of a board's family; Vivado takes 7-series cells for UltraScale+ too."""
    return ECP5 if family == "ecp5" else SERIES7
