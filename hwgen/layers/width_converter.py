"""Width converter: regroups a stream between two kernels of different parallelism."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import lcm
from typing import Self

import numpy as np

from hwgen.layers.base import Call, FinnNode, Folding, Layer, Resources, RtlInstance, Schedule
from hwgen.quant import Tensor


@dataclass(frozen=True, slots=True)
class WidthConverter(Layer):
    """``in_lanes`` elements a beat to ``out_lanes``; one divides the other.

    It has no meaning of its own: only a Dataflow holds it, and its folding is fixed.
    """

    in_lanes: int
    out_lanes: int

    @classmethod
    def chain(cls, name: str, tensor: Tensor, have: int, want: int) -> tuple[Self, ...]:
        """What takes ``tensor`` from ``have`` lanes to ``want``: none, one or two converters."""
        if have == want:
            return ()
        if have % want and want % have:
            common = lcm(have, want)
            widen = cls(f"{name}a", (tensor,), (tensor,), have, common)
            return (widen, cls(name, (tensor,), (tensor,), common, want))
        return (cls(name, (tensor,), (tensor,), have, want),)

    @classmethod
    def from_finn(cls, node: FinnNode) -> Self:
        """Never called: converters are inserted after folding."""
        raise AssertionError(node.name)

    def check(self) -> None:
        """One width divides the other, and both divide the tensor."""
        narrow, wide = sorted((self.in_lanes, self.out_lanes))
        if wide % narrow or self.input.size % wide:
            raise self.fail(f"{self.in_lanes} to {self.out_lanes} lanes of {self.input.size}")

    def call(self) -> Call:
        """The identity."""
        return Call("fork", {"outputs": 1})

    def foldings(self) -> Iterator[Folding]:
        """The one it was made for."""
        yield Folding(pe=self.out_lanes, simd=self.in_lanes)

    def lanes(self, folding: Folding) -> tuple[int, int]:
        """As made."""
        del folding
        return self.in_lanes, self.out_lanes

    def cycles(self, folding: Folding) -> int:
        """One beat a cycle on the narrow side."""
        del folding
        return self.input.size // min(self.in_lanes, self.out_lanes)

    def schedule(self, folding: Folding) -> Schedule:
        """Widening emits with the last part; narrowing holds one wide beat."""
        count = np.arange(1, self.cycles(folding) + 1, dtype=np.int64)
        if self.in_lanes < self.out_lanes:
            ratio = self.out_lanes // self.in_lanes
            return Schedule(need=count, free=count, emit=count // ratio, buffer=0, latency=1)
        ratio = self.in_lanes // self.out_lanes
        need = (count - 1) // ratio + 1
        return Schedule(need=need, free=count // ratio, emit=count, buffer=1, latency=1)

    def resources(self, folding: Folding) -> Resources:
        """A register of the wide side and, narrowing, a multiplexer."""
        del folding
        bits = self.input.dtype.bits
        wide = max(self.in_lanes, self.out_lanes) * bits
        return Resources(
            lut=5 + (0.375 * wide if self.in_lanes > self.out_lanes else 0), ff=4 + wide
        )

    def rtl(self, folding: Folding) -> RtlInstance:
        """Instantiate width_converter.sv."""
        del folding
        bits = self.input.dtype.bits
        return RtlInstance(
            "width_converter",
            {"IN_WIDTH": self.in_lanes * bits, "OUT_WIDTH": self.out_lanes * bits},
        )
