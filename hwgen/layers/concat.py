"""Concat: joins the channels of several tensors, pixel by pixel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, gcd
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
from hwgen.quant import Range


@dataclass(frozen=True, slots=True)
class Concat(Layer):
    """A pixel's channels are those of input 0, then those of input 1, and so on."""

    finn_ops: ClassVar[tuple[str, ...]] = ("StreamingConcat",)

    @classmethod
    def from_finn(cls, node: FinnNode) -> Self:
        """Read a StreamingConcat node."""
        return cls(node.name, node.inputs, node.outputs)

    def check(self) -> None:
        """Two inputs or more of one height and width, and an output type that holds them all."""
        y = self.output
        if len(self.inputs) < 2:
            raise self.fail("it has a single input")
        if any(x.shape[:2] != y.shape[:2] for x in self.inputs) or y.channels != sum(
            x.channels for x in self.inputs
        ):
            raise self.fail(f"{', '.join(str(x.shape) for x in self.inputs)} give {y.shape}")
        for x in self.inputs:
            if x.dtype.lo < y.dtype.lo or x.dtype.hi > y.dtype.hi:
                raise self.fail(f"{x.name}, {x.dtype}, leaves {y.dtype}")

    def call(self) -> Call:
        """Call ``ops.concat``."""
        return Call("concat")

    def ranges(self, *inputs: Range) -> tuple[Range, ...]:
        """From the lowest of all inputs to the highest."""
        return ((min(lo for lo, _ in inputs), max(hi for _, hi in inputs)),)

    def foldings(self) -> Iterator[Folding]:
        """PE divides the channels of every input."""
        return lane_foldings(gcd(*(x.channels for x in self.inputs)))

    def lanes(self, folding: Folding) -> tuple[int, int]:
        """PE at every port."""
        return folding.pe, folding.pe

    def cycles(self, folding: Folding) -> int:
        """One beat a cycle."""
        return self.output.size // folding.pe

    def schedule(self, folding: Folding) -> Schedule:
        """A beat out for a beat in, each pixel's from input 0 first."""
        ports = np.arange(len(self.inputs))
        port = np.repeat(ports, [x.channels // folding.pe for x in self.inputs])
        turns = np.tile(port, self.output.pixels)
        taken = np.cumsum(turns[None, :] == ports[:, None], axis=1, dtype=np.int64)
        count = np.arange(1, self.cycles(folding) + 1, dtype=np.int64)
        return Schedule(need=taken, free=taken, emit=count, buffer=0, latency=1)

    def resources(self, folding: Folding) -> Resources:
        """A multiplexer and the output register."""
        bits, ports = folding.pe * self.output.dtype.bits, len(self.inputs)
        fold = max(x.channels for x in self.inputs) // folding.pe
        control = 1 + ports + (fold - 1).bit_length()
        return Resources(lut=7 + bits * ceil((2 * ports - 1) / 5), ff=control + bits)

    def rtl(self, folding: Folding) -> RtlInstance:
        """Instantiate concat_streams.sv."""
        return RtlInstance(
            "concat_streams",
            {
                "INPUTS": len(self.inputs),
                "PE": folding.pe,
                "FOLDS": tuple(x.channels // folding.pe for x in self.inputs),
                "IN_BITS": tuple(x.dtype.bits for x in self.inputs),
                "IN_SIGNED": tuple(int(x.dtype.signed) for x in self.inputs),
                "ALL_BITS": sum(x.dtype.bits for x in self.inputs),
                "OUT_BITS": self.output.dtype.bits,
            },
        )
