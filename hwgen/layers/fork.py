"""Fork: gives one stream to several readers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
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
class Fork(Layer):
    """Every output equals the input; a beat is taken when every reader has room for it."""

    finn_ops: ClassVar[tuple[str, ...]] = ("DuplicateStreams",)

    @classmethod
    def from_finn(cls, node: FinnNode) -> Self:
        """Read a DuplicateStreams node."""
        return cls(node.name, node.inputs, node.outputs)

    def check(self) -> None:
        """Two outputs or more, of the input's shape and type."""
        if len(self.outputs) < 2:
            raise self.fail("it has a single reader")
        if any(replace(o, name=self.input.name) != self.input for o in self.outputs):
            raise self.fail("an output differs from the input")

    def call(self) -> Call:
        """Call ``ops.fork``."""
        return Call("fork", {"outputs": len(self.outputs)})

    def ranges(self, *inputs: Range) -> tuple[Range, ...]:
        """The input's, for every output."""
        return inputs * len(self.outputs)

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
        """Combinational."""
        return one_to_one(self.cycles(folding), latency=0)

    def resources(self, folding: Folding) -> Resources:
        """Handshake only."""
        del folding
        return Resources(lut=2 * len(self.outputs), ff=len(self.outputs))

    def rtl(self, folding: Folding) -> RtlInstance:
        """Instantiate fork_stream.sv."""
        return RtlInstance(
            "fork_stream",
            {"OUTPUTS": len(self.outputs), "WIDTH": folding.pe * self.input.dtype.bits},
        )
