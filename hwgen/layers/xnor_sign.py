"""A binary product and the sign behind it as one kernel, as hardware has them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

from hwgen.layers.base import (
    Call,
    Choice,
    FinnNode,
    Folding,
    Layer,
    Resources,
    RtlInstance,
    Schedule,
)
from hwgen.layers.mvau import XnorMvau
from hwgen.layers.threshold import Threshold
from hwgen.layers.xnor_unit import XnorUnit, choose, smallest, xnor_units
from hwgen.quant import BINARY, IntArray, Range


@dataclass(frozen=True, slots=True)
class XnorSign(Layer):
    """``sign`` of ``product``: the sum starts so that its highest bit is the answer.

    Only a Dataflow holds it, in the place of the two, under the product's name. Popcounts are not
    seen outside.
    """

    product: XnorMvau
    sign: Threshold

    @classmethod
    def of(cls, product: XnorMvau, sign: Threshold) -> Self:
        """Both in one."""
        return cls(product.name, product.inputs, sign.outputs, product, sign)

    @classmethod
    def fits(cls, first: Layer, second: Layer) -> bool:
        """Whether ``second``, which reads ``first``, is the sign of a binary product."""
        return (
            isinstance(first, XnorMvau)
            and isinstance(second, Threshold)
            and second.thresholds.shape[1] == 1
            and second.offset == 0
            and second.output.dtype == BINARY
        )

    @classmethod
    def from_finn(cls, node: FinnNode) -> Self:
        """Never called: FINN's nodes are the two."""
        raise AssertionError(node.name)

    @property
    def parts(self) -> tuple[Layer, ...]:
        """The two layers of the graph."""
        return self.product, self.sign

    def check(self) -> None:
        """As the two do."""
        self.product.check()
        self.sign.check()

    def call(self) -> Call:
        """Software calls the two; the work is that of the product."""
        return self.product.call()

    def evaluate(self, *inputs: IntArray) -> tuple[IntArray, ...]:
        """One after the other."""
        return self.sign.evaluate(*self.product.evaluate(*inputs))

    def ranges(self, *inputs: Range) -> tuple[Range, ...]:
        """Of the sign."""
        return self.sign.ranges(*self.product.ranges(*inputs))

    def foldings(self) -> Iterator[Folding]:
        """Those of the product."""
        return self.product.foldings()

    def lanes(self, folding: Folding) -> tuple[int, int]:
        """SIMD bits in, PE bits out."""
        return self.product.lanes(folding)

    def cycles(self, folding: Folding) -> int:
        """Those of the product."""
        return self.product.cycles(folding)

    def units(self, folding: Folding) -> tuple[XnorUnit, ...]:
        """The product's circuits that take in thresholds."""
        product, thresholds = self.product, self.sign.thresholds[:, 0]
        bits = product.output.dtype.bits
        return xnor_units(product.weights, folding, bits, thresholds, product.levels)

    def unit(self, folding: Folding) -> XnorUnit:
        """The smallest of them."""
        return smallest(self.units(folding))

    def schedule(self, folding: Folding) -> Schedule:
        """That of the product with this circuit's latency."""
        plan = self.product.schedule(folding)
        own, alone = self.unit(folding).latency, self.product.pipeline(folding)
        return replace(plan, latency=plan.latency - alone + own)

    def choice(self, folding: Folding) -> Choice:
        """The circuits; that no comparator is among them is said too."""
        found = choose(self.units(folding))
        return replace(found, why=f"{found.why}; {self.sign.name} is the sign of its sums")

    def resources(self, folding: Folding) -> Resources:
        """Those of the chosen circuit."""
        return self.unit(folding).cost

    def binary_lanes(self, folding: Folding) -> int:
        """PE * SIMD."""
        return self.product.binary_lanes(folding)

    def rtl(self, folding: Folding) -> RtlInstance:
        """Instantiate the chosen circuit."""
        return self.unit(folding).rtl()
