"""Delays of 7-series cells in nanoseconds: an estimate for speed grade -1, before placement.

Cells as Vivado's timing reports print them for such parts, rounded; ``NET`` for every net that
leaves a slice, whatever its length and fan-out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

NET = 0.50
LUT, MUXF = 0.12, 0.24
CARRY_IN, CARRY, CARRY_OUT = 0.40, 0.11, 0.33  # S or DI to CO; CI to CO, a CARRY4; CI to O
CLOCK_TO_OUT, SETUP, ENABLE, RESET = 0.46, 0.05, 0.20, 0.43  # of flip-flops
SHIFT_TO_OUT, LUTRAM_TO_OUT, LUTRAM_SETUP = 1.60, 1.30, 0.40
BLOCK_TO_OUT, BLOCK_REGISTER, BLOCK_SETUP = 2.45, 0.88, 0.55
MULTIPLY, ALU, DSP_TO_OUT, DSP_SETUP = 3.30, 1.70, 0.43, 0.40

LEVEL = LUT + NET  # what one LUT takes of a clock period
OVERHEAD = CLOCK_TO_OUT + NET + SETUP  # what a path without a LUT takes

_FLIP_FLOP = re.compile(r"FD[RSCP]E(_1)?")
_LUTRAM = re.compile(r"RAM\d+")
# by the output that is read asynchronously: what its address ports are called
_ADDRESS = {
    **{f"DO{x}": f"ADDR{x}" for x in "ABCD"},
    **{"SPO": r"A\d*", "DPO": r"DPRA\d*", "O": r"A\d*", "Q": r"A\d*"},
}
_READ_ONLY = r"ADDR[ABC]|DPRA\d*"  # the other addresses are those of writing too


@dataclass(frozen=True, slots=True)
class Timing:
    """Of a cell with a clock: by port, and under "" for the others.

    ``through``: unregistered ways, (output, pattern of inputs) to nanoseconds, each ``luts``
    levels; ``unclocked``: pattern of the inputs that the clock has nothing to do with.
    """

    out: Mapping[str, float]
    setup: Mapping[str, float]
    through: Mapping[tuple[str, str], float] = field(default_factory=dict)
    luts: int = 0
    unclocked: str = ""

    def to_out(self, port: str) -> float:
        """Clock to output."""
        return self.out.get(port, self.out[""])

    def to_clock(self, port: str) -> float:
        """Setup."""
        return self.setup.get(port, self.setup[""])


def timing(cell: Mapping[str, Any]) -> Timing:
    """Of a cell of Yosys' JSON netlist; one that is not known counts as a flip-flop."""
    kind = str(cell["type"])
    if kind == "DSP48E1":
        return _dsp(cell)
    if kind.startswith("RAMB"):
        registers = {port: _number(cell, f"{port[:3]}_REG", 0) for port in ("DOADO", "DOBDO")}
        out = {port: BLOCK_REGISTER if on else BLOCK_TO_OUT for port, on in registers.items()}
        return Timing({**out, "": BLOCK_TO_OUT}, {"": BLOCK_SETUP})
    if kind.startswith("SRL"):
        reads = {("Q", _ADDRESS["Q"]): LUT}
        return Timing({"": SHIFT_TO_OUT}, {"": LUTRAM_SETUP}, reads, 1, _ADDRESS["Q"])
    if _LUTRAM.match(kind):
        reads = {item: LUT for item in _ADDRESS.items() if item[0] in cell["connections"]}
        return Timing({"": LUTRAM_TO_OUT}, {"": LUTRAM_SETUP}, reads, 1, _READ_ONLY)
    return Timing({"": CLOCK_TO_OUT}, {"D": SETUP, "CE": ENABLE, "": RESET})


def _dsp(cell: Mapping[str, Any]) -> Timing:
    """Operands, product and sum of a DSP block may each have a register, or none."""
    a, b = (_number(cell, f"{x}REG", 1) for x in "AB")
    c, m, p = (_number(cell, f"{x}REG", 1) for x in "CMP")
    multiplies = cell["parameters"].get("USE_MULT", "MULTIPLY") != "NONE"
    product = MULTIPLY if multiplies else 0.0
    to_sum = {"C": (c, 0.0), "PCIN": (0, 0.0)}
    to_sum |= {port: (on, product) for port, on in (("A", a), ("ACIN", a), ("B", b), ("BCIN", b))}
    setup: dict[str, float] = {"": DSP_SETUP}
    through: dict[tuple[str, str], float] = {}
    out = DSP_TO_OUT
    for port, (registered, before) in to_sum.items():
        stopped = m and before > 0  # by the register of the product
        if registered:
            rest = 0.0 if p else ALU if stopped else before + ALU
            out = max(out, DSP_TO_OUT + rest)
        elif stopped or p:
            setup[port] = before if stopped else before + ALU
            out = max(out, DSP_TO_OUT + (0.0 if p else ALU))
        else:
            through |= {(to, port): before + ALU for to in ("P", "PCOUT")}
    return Timing({"": out}, setup, through, unclocked="|".join(sorted({p for _, p in through})))


def _number(cell: Mapping[str, Any], name: str, default: int) -> int:
    """A parameter; Yosys writes it as binary digits."""
    value = cell["parameters"].get(name, default)
    return int(value, 2) if isinstance(value, str) else int(value)
