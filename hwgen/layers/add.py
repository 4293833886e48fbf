"""Add: joins two branches of a residual network on the same integer grid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

from hwgen.layers.base import (
    Call,
    FinnNode,
    Folding,
    Layer,
    Resources,
    RtlInstance,
    Schedule,
    lane_foldings,
    one_to_one,
)
from hwgen.quant import Range


@dataclass(frozen=True, slots=True)
class Add(Layer):
    """Element-wise sum of two tensors of one shape."""

    finn_ops: ClassVar[tuple[str, ...]] = ("ElementwiseAdd", "AddStreams")

    @classmethod
    def from_finn(cls, node: FinnNode) -> Self:
        """Read an ElementwiseAdd of two streams."""
        layer = cls(node.name, node.inputs, node.outputs)
        if len(node.inputs) != 2:
            raise layer.fail("adding a constant to a stream is not supported here")
        return layer

    def check(self) -> None:
        """Equal shapes, and an output type that holds every sum."""
        a, b = self.inputs
        if not a.shape == b.shape == self.output.shape:
            raise self.fail(f"shapes {a.shape} and {b.shape} differ")
        lo, hi = a.dtype.lo + b.dtype.lo, a.dtype.hi + b.dtype.hi
        if lo < self.output.dtype.lo or hi > self.output.dtype.hi:
            raise self.fail(f"sums reach [{lo}, {hi}], outside {self.output.dtype}")

    def call(self) -> Call:
        """Call ``ops.add``."""
        return Call("add")

    def ranges(self, *inputs: Range) -> tuple[Range, ...]:
        """Sums of the ends."""
        (a_lo, a_hi), (b_lo, b_hi) = inputs
        return ((a_lo + b_lo, a_hi + b_hi),)

    def foldings(self) -> Iterator[Folding]:
        """PE divides the channels."""
        return lane_foldings(self.output.channels)

    def lanes(self, folding: Folding) -> tuple[int, int]:
        """PE in and out."""
        return folding.pe, folding.pe

    def cycles(self, folding: Folding) -> int:
        """One beat a cycle."""
        return self.output.size // folding.pe

    def schedule(self, folding: Folding) -> Schedule:
        """A beat out for a beat on both inputs."""
        return one_to_one(self.cycles(folding), latency=1)

    def resources(self, folding: Folding) -> Resources:
        """One adder a lane."""
        bits = self.output.dtype.bits
        return Resources(lut=2 + folding.pe * (bits - 1), ff=1 + folding.pe * bits)

    def rtl(self, folding: Folding) -> RtlInstance:
        """Instantiate add_streams.sv."""
        a, b = self.inputs
        return RtlInstance(
            "add_streams",
            {
                "PE": folding.pe,
                "A_BITS": a.dtype.bits,
                "A_SIGNED": int(a.dtype.signed),
                "B_BITS": b.dtype.bits,
                "B_SIGNED": int(b.dtype.signed),
                "OUT_BITS": self.output.dtype.bits,
            },
        )
