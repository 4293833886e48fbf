"""What a FIFO costs in each kind of memory (templates/rtl/fifo.sv), fitted to Yosys, 7-series."""

from __future__ import annotations

from math import ceil

from hwgen.layers.base import Resources
from hwgen.layers.costs import block_rams

BANK = 16  # words; more than two banks are addressed bank by bank
CONTROL = {2: 5, 8: 7, 16: 9, 32: 10, 64: 16}  # LUTs besides the memory, by capacity


def places(depth: int) -> int:
    """Words of the ring: the power of two from ``depth`` on, or whole banks."""
    return 1 << (max(depth, 2) - 1).bit_length() if depth <= 2 * BANK else BANK * ceil(depth / BANK)


def registers(width: int, depth: int) -> Resources:
    """Two beats in registers, or one; none is wires."""
    if depth == 0:
        return Resources()
    return Resources(2, 1 + width) if depth == 1 else Resources(4 + width, 2 + 2 * width)


def lutram(width: int, depth: int) -> Resources:
    """LUTRAM: four LUTs hold 6 bits by 32 or 3 by 64; many banks of it have to be selected."""
    words, addr = places(depth), _address_bits(depth)
    small, large = ceil(words / 32), ceil(words / 64)
    if words <= 64:
        memory, control = 4 * (ceil(width / 6) if small == 1 else ceil(width / 3)), _control(depth)
        return Resources(lut=memory + control, ff=2 + 2 * addr)
    memory = 4 * min(ceil(width / 6) * small, ceil(width / 3) * large)
    select = width * max(1, 0.4 * large)
    return Resources(lut=memory + select + 4 * addr - 5 + large / 2, ff=2 + 2 * addr)


def block(width: int, depth: int) -> Resources:
    """Block RAM."""
    addr = _address_bits(depth)
    control = max(_control(min(depth, 64)), 5 * addr - 16)
    return Resources(lut=control, ff=3 + 2 * addr, bram36=block_rams(width, places(depth)))


def _address_bits(depth: int) -> int:
    return (places(depth) - 1).bit_length()


def _control(depth: int) -> int:
    return next(luts for most, luts in CONTROL.items() if depth <= most)
