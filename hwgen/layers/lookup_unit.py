"""The table of all values of a staircase: the smallest circuit where x has few bits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwgen.layers.base import Resources, RtlInstance
from hwgen.layers.costs import LEAST_BLOCK_DEPTH, MOST_LUT_DEPTH, block_rams
from hwgen.layers.memory import named, text
from hwgen.layers.stairs import Stairs, Unit
from hwgen.quant import IntArray

BANK = 64  # words that a LUT holds a bit of
MOST_BLOCK_DEPTH = 16384  # words of a lane; one bit of so many fills a block RAM of 18 kbit


@dataclass(frozen=True, slots=True)
class LookupUnit(Unit):
    """table[c, x]: no comparison and no product.

    ``block``: the tables lie in block RAM, else in LUTs.
    """

    block: bool

    @classmethod
    def possible(cls, stairs: Stairs, pe: int) -> Iterator[LookupUnit]:
        """Tables in LUTs and in block RAM, where these are deep enough for it and no deeper."""
        depth = stairs.channels // pe << stairs.x.bits
        if depth <= MOST_LUT_DEPTH:
            yield cls(stairs, pe, block=False)
        if LEAST_BLOCK_DEPTH < depth <= MOST_BLOCK_DEPTH:
            yield cls(stairs, pe, block=True)

    @property
    def name(self) -> str:
        """With the home of the tables."""
        return f"table in {'block RAM' if self.block else 'LUTs'}"

    @property
    def latency(self) -> int:
        """The read register is the output."""
        return 1

    @property
    def depth(self) -> int:
        """Words of a lane's table."""
        return self.fold << self.stairs.x.bits

    @property
    def cost(self) -> Resources:
        """A table for every lane, and what counts the beats of a pixel.

        In LUTs a bank of 64 words of a column is a LUT, unless it is one value throughout or stands
        there already; choosing between equal neighbours is free. Fitted to Yosys over popcounts
        of 32 to 288 bits, RPReLU and signs: 12 % off in the mean, 31 % at most.
        """
        bits, count = self.stairs.y.bits, (self.fold - 1).bit_length()
        control = Resources(lut=2 + count, ff=1 + count)
        if self.block:
            return control + Resources(bram36=self.pe * block_rams(bits, self.depth))
        banks = self._banks()
        distinct = sum(len({*lane.flat} - {0, 2**BANK - 1}) for lane in banks)
        changes = int((banks[..., 1:] != banks[..., :-1]).sum())
        return control + Resources(lut=0.9 * distinct + 0.31 * changes, ff=self.pe * bits)

    def _banks(self) -> NDArray[np.uint64]:
        """The tables (PE, y.bits, banks), 64 words of a column in a number."""
        lanes = self.tables().reshape(self.pe, 1, -1)
        full = np.pad(lanes, ((0, 0), (0, 0), (0, -self.depth % BANK)), mode="edge")
        columns = (full >> np.arange(self.stairs.y.bits)[None, :, None] & 1).astype(np.uint8)
        return np.packbits(columns, axis=2).view(np.uint64)

    def tables(self) -> IntArray:
        """Bit patterns of y (PE, C / PE, 2**x.bits), by the bit pattern of x."""
        x, y = self.stairs.x, self.stairs.y
        values = np.arange(x.lo, x.hi + 1)
        rows = np.stack([np.searchsorted(t, values, side="right") for t in self.stairs.thresholds])
        patterns = np.roll(self.stairs.offset + rows, x.lo, axis=1) & ((1 << y.bits) - 1)
        return patterns.reshape(self.fold, self.pe, -1).swapaxes(0, 1)

    def rtl(self) -> RtlInstance:
        """Instantiate lookup.sv, which says what stands where in its memories."""
        bits = self.stairs.y.bits
        parts = [text([int(v) for v in lane.flat], bits) for lane in self.tables()]
        prefix = named("table", b"|".join(parts))
        return RtlInstance(
            "lookup",
            {
                "CHANNELS": self.stairs.channels,
                "PE": self.pe,
                "IN_BITS": self.stairs.x.bits,
                "OUT_BITS": bits,
                "BLOCK": 1 if self.block else 2,
                "TABLE": prefix,
            },
            {f"{prefix}_{p:02x}.mem": part for p, part in enumerate(parts)},
        )
