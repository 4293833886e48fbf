"""Global sum: the integer part of a global average pool."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from hwgen.layers.base import (
    Call,
    FinnNode,
    Folding,
    Layer,
    Resources,
    RtlInstance,
    Schedule,
    lane_foldings,
)


@dataclass(frozen=True, slots=True)
class GlobalSum(Layer):
    """(H, W, C) to (1, 1, C) by summing all pixels; the division is part of the output scale."""

    finn_ops: ClassVar[tuple[str, ...]] = ("GlobalAccPool",)

    @classmethod
    def from_finn(cls, node: FinnNode) -> Self:
        """Read a GlobalAccPool node."""
        return cls(node.name, node.inputs, node.outputs)

    def check(self) -> None:
        """The output type holds the sum of all pixels."""
        x, y = self.input, self.output
        if y.shape != (1, 1, x.channels):
            raise self.fail(f"{x.shape} gives {y.shape}")
        if x.dtype.lo * x.pixels < y.dtype.lo or x.dtype.hi * x.pixels > y.dtype.hi:
            raise self.fail(f"{x.pixels} pixels of {x.dtype} leave {y.dtype}")

    def call(self) -> Call:
        """Call ``ops.global_sum``."""
        return Call("global_sum")

    def foldings(self) -> Iterator[Folding]:
        """PE divides the channels."""
        return lane_foldings(self.input.channels)

    def lanes(self, folding: Folding) -> tuple[int, int]:
        """PE in and out."""
        return folding.pe, folding.pe

    def cycles(self, folding: Folding) -> int:
        """One beat a cycle."""
        return self.input.size // folding.pe

    def schedule(self, folding: Folding) -> Schedule:
        """Sums appear while the last pixel is read."""
        beats, fold = self.cycles(folding), self.input.channels // folding.pe
        count = np.arange(1, beats + 1, dtype=np.int64)
        emit = np.maximum(count - (beats - fold), 0)
        return Schedule(need=count, free=count, emit=emit, buffer=0, latency=1)

    def resources(self, folding: Folding) -> Resources:
        """An adder a lane and the running sums in LUTRAM."""
        bits = self.output.dtype.bits
        return Resources(lut=10 + folding.pe * bits * 5 / 3, ff=14 + folding.pe * bits)

    def rtl(self, folding: Folding) -> RtlInstance:
        """Instantiate global_sum.sv."""
        return RtlInstance(
            "global_sum",
            {
                "PIXELS": self.input.pixels,
                "CHANNELS": self.input.channels,
                "PE": folding.pe,
                "IN_BITS": self.input.dtype.bits,
                "IN_SIGNED": int(self.input.dtype.signed),
                "OUT_BITS": self.output.dtype.bits,
            },
        )
