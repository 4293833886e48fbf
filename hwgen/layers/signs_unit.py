"""Integers times signs, bit by bit: the compressor trees of binary products, over all bits at once.

Of an unsigned number x of A bits x[j] and a weight of +1 (bit w = 1) or -1 (w = 0),

    sum over j of 2^j (x[j] xnor w)  =  x where w = 1,  2^A - 1 - x where w = 0

so a tree over the agreements of all bits is the product, but for 2^A - 1 for every 0 of a column
of W. That is known, as is the bias, and part of the value that the column's sum starts with. A
signed x is an unsigned one, its highest bit inverted, less 2^(A - 1). There is no multiplier, and
no adder of single products.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from hwgen.layers.base import Resources
from hwgen.layers.compressor import Tree
from hwgen.layers.xnor_unit import RippleUnit, tree_of
from hwgen.quant import BINARY, IntArray, IntType


@dataclass(frozen=True)
class SignsUnit(RippleUnit):
    """bias + sum of ``a`` times signs, whose bits are ``weights`` (K, M), in ``bits`` bits."""

    a: IntType = BINARY
    bias: IntArray = field(default_factory=lambda: np.zeros(1, np.int64), repr=False)

    @property
    def planes(self) -> int:
        """Bits of an input."""
        return self.a.bits

    @property
    def name(self) -> str:
        """What reports call it."""
        return "XNOR pairs of all bits, compressor tree"

    @property
    def tree(self) -> str:
        """By its operands."""
        return f"tree_pairs_{self.folding.simd}x{self.planes}{self.suffix}"

    @property
    def sum_bits(self) -> int:
        """Sums count modulo 2^bits."""
        return self.bits

    @property
    def varied(self) -> bool:
        """Columns start differently."""
        return self.folds[1] > 1

    def trees(self) -> Mapping[str, Tree]:
        """Of twos by pair and ones by row, for every bit."""
        pairs, rows = self.pairs
        columns = [j + k for j in range(self.planes) for k in (1,) * pairs + (0,) * rows]
        return {self.tree: tree_of(tuple(columns), 0, self.span)}

    def lane_words(self) -> tuple[IntArray, IntArray]:
        """The weights; sums start with the bias, less what zeros and the sign of x add."""
        k, zeros = len(self.weights), (1 - self.weights).sum(axis=0)
        moved = (1 << (self.planes - 1)) * (k - 2 * zeros) if self.a.signed else 0
        return self.weights, self.bias - ((1 << self.planes) - 1) * zeros - moved

    @property
    def cost(self) -> Resources:
        """Pairs and their registers, for every bit."""
        pairs, rows = self.pairs
        bits = Resources(lut=pairs * self.planes, ff=(pairs + rows) * self.planes)
        return self.total(self.lane_cost + bits, Resources())

    def _module(self) -> str:
        sign = "s" if self.a.signed else "u"
        return f"{RippleUnit._module(self)}_{sign}{self.planes}"

    def _context(self) -> dict[str, object]:
        return {**RippleUnit._context(self), "signed": self.a.signed}
