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
SERIES7 = Technology("7-series")
_ONE = Resources(1, 1, 1, 1)
ECP5 = Technology("ECP5", "ecp5", {OTHER: _ONE})


def technology_of(family: str) -> Technology:
    """That of a board's family; Vivado takes 7-series cells for UltraScale+ too."""
    return ECP5 if family == "ecp5" else SERIES7
