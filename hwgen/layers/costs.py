"""Cost of memories, fitted to what Yosys infers for 7-series from templates/rtl."""

from __future__ import annotations

from math import ceil, log2

import numpy as np

from hwgen.layers.base import Resources
from hwgen.quant import IntArray

ROM_LUT_DEPTH = 64  # templates/rtl/rom.sv: deeper and larger tables go to block RAM
ROM_LUT_BITS = 2048
MOST_LUT_DEPTH = 1024  # words of a table that may be told to lie in LUTs: 16 LUTs a bit
LEAST_BLOCK_DEPTH = 16  # a table that may be told to lie in block RAM is deeper


def ram_luts(width: int, depth: int) -> float:
    """LUTs of a LUTRAM: RAM32M holds 6 bits by 32 in 4 LUTs, RAM64M 3 by 64."""
    if depth <= 32:
        return 4 * ceil(width / 6)
    banks = ceil(depth / 64)
    select = width * ceil(log2(banks) / 2) if banks > 1 else 0
    return 4 * ceil(width / 3) * banks + select


def one_port_luts(width: int, depth: int) -> float:
    """LUTs of a LUTRAM read and written at one address: 8 bits by 32 in 4 LUTs, or 1 by 64 in 1."""
    if depth <= 32:
        return 4 * ceil(width / 8)
    return width * (ceil(depth / 64) + (ceil(log2(depth / 256)) if depth > 256 else 0))


BLOCK_SHAPES = ((36, 512), (18, 1024), (9, 2048), (4, 4096), (2, 8192), (1, 16384))


def block_rams(width: int, depth: int) -> float:
    """Blocks of 36 kbit: halves of them in their best shape, 36 bits by 512 to 1 by 16,384."""
    return min(0.5 * ceil(width / w) * ceil(depth / d) for w, d in BLOCK_SHAPES)


def in_block(width: int, depth: int, style: str = "auto") -> bool:
    """Whether a table lies in block RAM, by size unless ``style`` says."""
    large = depth > ROM_LUT_DEPTH and width * depth > ROM_LUT_BITS
    return depth > 1 and (large if style == "auto" else style == "block")


def ram_styles(width: int, depth: int) -> tuple[str, ...]:
    """The styles to choose among for a table; only one where the other never pays."""
    if in_block(width, depth):
        return ("auto", "distributed") if depth <= MOST_LUT_DEPTH else ("auto",)
    return ("auto", "block") if depth > LEAST_BLOCK_DEPTH else ("auto",)


def rom(width: int, depth: int, style: str = "auto") -> Resources:
    """A table: nothing for a single word; LUTs while it is small, else block RAM, unless told."""
    if depth == 1:
        return Resources()
    if in_block(width, depth, style):
        return Resources(bram36=block_rams(width, depth))
    if depth <= 16:  # of a few words there are few different columns, each made once
        columns = min(width, 2 ** (depth - 1))
        return Resources(lut=0.75 * columns, ff=columns)
    return rom_in_luts(width, depth)


def known_rom(words: IntArray, bits: int) -> Resources:
    """Tables (depth, lanes) of these words, all read at one address, by size in LUTs or blocks.

    In LUTs a column that stands there already, or that is one value throughout, is free.
    """
    depth, lanes = words.shape
    if in_block(bits, depth):
        return Resources(bram36=lanes * block_rams(bits, depth))
    return rom_in_luts(distinct_columns(words, bits), depth)


def distinct_columns(words: IntArray, bits: int) -> int:
    """The different columns of tables (depth, lanes) that change: of so many bits each."""
    columns = (words[:, :, None] >> np.arange(bits) & 1).astype(np.uint8)
    packed = np.packbits(columns.reshape(len(words), -1), axis=0).T
    constant = {np.packbits(np.full(len(words), v, np.uint8)).tobytes() for v in (0, 1)}
    return len({column.tobytes() for column in packed} - constant)


def rom_in_luts(width: int, depth: int) -> Resources:
    """A table of more than 16 words in LUTs: one a bit and 64 words, and what selects."""
    banks = ceil(depth / ROM_LUT_DEPTH)
    select = 1 if banks <= 2 else 1.1 if banks <= 4 else 1.3
    return Resources(lut=width * banks * select, ff=width)
