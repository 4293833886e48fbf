"""The affine staircase unit: one multiplier a lane, in a DSP block or in LUTs."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.layers.affine import AffineStairs
from hwgen.layers.base import Resources, RtlInstance
from hwgen.layers.costs import (
    ROM_LUT_DEPTH,
    block_rams,
    distinct_columns,
    known_rom,
    rom_in_luts,
)
from hwgen.layers.memory import named, text
from hwgen.layers.pipeline import adders
from hwgen.layers.stairs import Unit, area


@dataclass(frozen=True, slots=True)
class AffineUnit(Unit):
    """clip((M * x + B) >> shift): ``lines`` are proven to equal the thresholds.

    ``dsp``: products in DSP blocks, else in LUTs.
    """

    lines: AffineStairs
    dsp: bool
    levels: int | None = None  # see pipeline.py

    @property
    def name(self) -> str:
        """With the home of its products."""
        return f"affine, {'DSP' if self.dsp else 'LUT'} product"

    @property
    def latency(self) -> int:
        """Knee, line, product, sum, clip; a single line has no knee. More within a product."""
        return self.lines.segments + 3 + self.stages + self.register

    @property
    def possible(self) -> bool:
        """Whether it keeps to a bound on levels: a product over several DSP blocks does not."""
        several = self.dsp and dsps(self.x_bits, self.lines.slope_bits + 1) > 1
        return self.levels is None or not several

    @property
    def stages(self) -> int:
        """Registers between the adders of a product in LUTs (STAGES in affine_stairs.sv)."""
        if self.levels is None or self.dsp:
            return 0
        return (ceil(self.lines.slope_bits / 2) - 1).bit_length() // self.span

    @property
    def span(self) -> int:
        """Adders between registers of a product in LUTs.

        Behind the first there is a choice, and wide carry chains take a level more.
        """
        wide = (self.x_bits + self.lines.slope_bits) // 27
        return adders(self.levels and max(1, self.levels - 1 - wide))

    @property
    def register(self) -> int:
        """Whether lines have a register between block RAM and DSP block."""
        return int(self.levels is not None and self.block and self.dsp)

    @property
    def x_bits(self) -> int:
        """The input as a signed number."""
        return self.stairs.x.bits + (not self.stairs.x.signed)

    @property
    def sum_bits(self) -> int:
        """Sign, at least one bit of level, and the fraction."""
        return max(self.lines.sum_type.bits, self.lines.shift + 2)

    @property
    def offset_bits(self) -> int:
        """Offsets count modulo 2**sum_bits."""
        return min(self.sum_bits, self.lines.offset_type.bits)

    @property
    def block(self) -> bool:
        """Whether the lines lie in block RAM: where they are deep and LUTs would be larger."""
        width, depth = self.line_shape
        if depth <= ROM_LUT_DEPTH:
            return False
        blocks = Resources(bram36=block_rams(width, depth))
        return depth > 2 * ROM_LUT_DEPTH or area(blocks) < area(rom_in_luts(width, depth))

    @property
    def line_shape(self) -> tuple[int, int]:
        """Bits and words of a lane's memory of lines."""
        return self.lines.slope_bits + self.offset_bits, self.fold * self.lines.segments

    @property
    def cost(self) -> Resources:
        """Memories, knee comparison, product and sum, and the clip, of every lane."""
        x, m, y = self.stairs.x.bits, self.lines.slope_bits, self.stairs.y.bits
        over = self.sum_bits - self.lines.shift - 1 - y  # bits of a level that y has not
        lane = Resources(lut=y + max(over, 0) / 5, ff=y)
        if self.lines.segments == 2:
            lane += Resources(lut=0.6 * x, ff=x)
        if self.dsp:
            held = 5 if self.fold > 1 else 0  # of slopes and x that stay outside
            lane += Resources(ff=held, dsp=dsps(self.x_bits, m + 1))
        else:
            constant = 0.4 if self.fold * self.lines.segments == 1 else 1
            product = constant * product_luts(x, m)
            registers = self.x_bits + 2 * m + self.sum_bits + 2 * self.stages * (x + m)
            lane += Resources(lut=product + self.sum_bits, ff=registers)
        lanes = (self.pe * getattr(lane, kind) for kind in ("lut", "ff", "bram36", "dsp"))
        return Resources(lut=5, ff=16) + self._memory_cost() + Resources(*lanes)

    def _memory_cost(self) -> Resources:
        """Of lines and knees; DSP blocks take in the registers of slopes."""
        width, depth = self.line_shape
        knees = Resources()
        if self.lines.segments == 2:
            knees = known_rom(self.lines.knee.reshape(self.fold, self.pe), self.stairs.x.bits)
        if self.block:
            return knees + Resources(bram36=self.pe * block_rams(width, depth))
        slopes, offsets = (
            distinct_columns(table[:, -self.lines.segments :].reshape(depth, self.pe), bits)
            for table, bits in (
                (self.lines.slope, self.lines.slope_bits),
                (self.lines.offset, self.offset_bits),
            )
        )
        return knees + Resources(lut=rom_in_luts(slopes + offsets, depth).lut, ff=offsets)

    def rtl(self) -> RtlInstance:
        """Instantiate affine_stairs.sv, which says what stands where in its memories."""
        lines, x = self.lines, self.stairs.x
        knees, files = self._memories("knees", lines.knee[:, None] & ((1 << x.bits) - 1), x.bits)
        if lines.segments == 1:
            files = {}
        mask = (1 << self.offset_bits) - 1
        pairs = zip(lines.slope.flat, lines.offset.flat, strict=True)
        packed = [(int(b) & mask) << lines.slope_bits | int(m) for m, b in pairs]
        table = np.array(packed, object).reshape(lines.slope.shape)[:, -lines.segments :]
        prefix, words = self._memories("lines", table, self.offset_bits + lines.slope_bits)
        return RtlInstance(
            "affine_stairs",
            {
                **self.input_parameters,
                "SEGMENTS": lines.segments,
                "M_BITS": lines.slope_bits,
                "B_BITS": self.offset_bits,
                "SHIFT": lines.shift,
                "SUM_BITS": self.sum_bits,
                "LEVELS": self.stairs.levels,
                **self.output_parameters,
                "DSP": int(self.dsp),
                **({"SPAN": self.span} if self.stages else {}),
                **({"REGISTER": 1} if self.register else {}),
                "BLOCK": int(self.block),
                "KNEES": knees,
                "LINES": prefix,
            },
            {**files, **words},
        )

    def _memories(self, kind: str, table: NDArray[Any], bits: int) -> tuple[str, dict[str, bytes]]:
        """Prefix and files, one a lane, of a table (C, words a channel)."""
        lanes = table.reshape(self.fold, self.pe, -1)
        parts = [text([int(v) for v in lanes[:, p].flat], bits) for p in range(self.pe)]
        prefix = named(kind, b"|".join(parts))
        return prefix, {f"{prefix}_{p:02x}.mem": part for p, part in enumerate(parts)}


def dsps(a: int, b: int) -> int:
    """DSP48E1 blocks (25 x 18 bits) of a product of signed numbers of ``a`` and ``b`` bits."""
    return min(
        max(1, ceil((wide - 1) / 24)) * max(1, ceil((narrow - 1) / 17))
        for wide, narrow in ((a, b), (b, a))
    )


def product_luts(x: int, m: int) -> int:
    """LUTs of lut_product.sv: 3x, and its tree."""
    return x + 1 + _tree_luts(x, m)


def _tree_luts(x: int, m: int) -> int:
    """Adders, and choices among multiples of x that no adder takes in."""
    if m <= 2:
        return x + m
    low = (m + 3) // 4 * 2
    high = m - low
    return _tree_luts(x, low) + (_tree_luts(x, high) if high > 2 else 0) + x + high
