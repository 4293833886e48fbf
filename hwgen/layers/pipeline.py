"""Registers within kernels, by the most LUT levels that may lie between two of them.

A level is a LUT and the net to it. An adder, a LUT and a carry chain of some CARRY4, takes as long
as 2.4 levels, the read of a block RAM as 3.2 more than that of a flip-flop (``cell_times.py``). A
layer's ``levels`` is the bound; None leaves kernels as small as they are without one.
"""

from __future__ import annotations

LEAST = 6  # some searched staircases, max pools and FIFOs, which have no bound, need 7
SPAN = 4  # adders between registers where nothing is asked for
_ADDER = 2.4


def adders(levels: int | None) -> int:
    """Adders in a row that may lie between registers."""
    return SPAN if levels is None else max(1, int(levels / _ADDER))
