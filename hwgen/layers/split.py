"""Split: the channels of every pixel in equal parts, one for every group of a convolution."""

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
from hwgen.quant import IntArray, Range


@dataclass(frozen=True, slots=True)
class Split(Layer):
    """(H, W, C) to several (H, W, C / outputs): channels in order, the first part first."""

    finn_ops: ClassVar[tuple[str, ...]] = ("StreamingSplit",)

    @classmethod
    def from_finn(cls, node: FinnNode) -> Self:
        """Read a StreamingSplit node."""
        return cls(node.name, node.inputs, node.outputs)

    def check(self) -> None:
        """At least two equal parts of the input's type."""
        h, w, c = self.input.shape
        count = len(self.outputs)
        if count < 2 or c % count:
            raise self.fail(f"{c} channels in {count} equal parts")
        for part in self.outputs:
            if part.shape != (h, w, c // count) or part.dtype != self.input.dtype:
                raise self.fail(
                    f"{self.input.shape} {self.input.dtype} gives {part.shape} {part.dtype}"
                )

    def call(self) -> Call:
        """Call ``ops.split``."""
        return Call("split", {"outputs": len(self.outputs)})

    def ranges(self, *inputs: Range) -> tuple[Range, ...]:
        """The input's, for every output."""
        return inputs * len(self.outputs)

    def foldings(self) -> Iterator[Folding]:
        """PE divides the channels of a part."""
        return lane_foldings(self.outputs[0].channels)

    def lanes(self, folding: Folding) -> tuple[int, int]:
        """PE in and out."""
        return folding.pe, folding.pe

    def cycles(self, folding: Folding) -> int:
        """One beat a cycle."""
        return self.input.size // folding.pe

    def schedule(self, folding: Folding) -> Schedule:
        """Every beat in is a beat at the output whose turn it is."""
        beats = self.cycles(folding)
        fold = self.outputs[0].channels // folding.pe
        count = np.arange(1, beats + 1, dtype=np.int64)
        turn = np.arange(beats) // fold % len(self.outputs)
        emit: IntArray = np.cumsum(
            turn[None, :] == np.arange(len(self.outputs))[:, None], axis=1, dtype=np.int64
        )
        return Schedule(need=count, free=count, emit=emit, buffer=0, latency=0)

    def resources(self, folding: Folding) -> Resources:
        """Whose turn it is, and the beat of that turn; data passes through wires."""
        fold = self.outputs[0].channels // folding.pe
        state = len(self.outputs) + (fold - 1).bit_length()
        return Resources(lut=4 + 1.5 * state, ff=state)

    def rtl(self, folding: Folding) -> RtlInstance:
        """Instantiate split_streams.sv."""
        return RtlInstance(
            "split_streams",
            {
                "OUTPUTS": len(self.outputs),
                "FOLD": self.outputs[0].channels // folding.pe,
                "WIDTH": folding.pe * self.input.dtype.bits,
            },
        )
