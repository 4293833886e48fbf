"""Top-k: the classes instead of their scores, at a network's end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from hwgen.layers.base import Call, FinnNode, Folding, Layer, Resources, RtlInstance, Schedule


@dataclass(frozen=True, slots=True)
class TopK(Layer):
    """(1, 1, C) to (1, 1, k): places of the k largest, largest first, among equals the lower."""

    finn_ops: ClassVar[tuple[str, ...]] = ("LabelSelect",)

    k: int

    @classmethod
    def from_finn(cls, node: FinnNode) -> Self:
        """Read a LabelSelect node."""
        return cls(node.name, node.inputs, node.outputs, int(node.attributes["K"]))

    def check(self) -> None:
        """One pixel, k of its channels, and a type that holds every place."""
        if self.input.pixels != 1 or self.output.shape != (1, 1, self.k):
            raise self.fail(f"{self.input.shape} gives {self.output.shape}")
        if not 1 <= self.k <= self.input.channels:
            raise self.fail(f"k {self.k} of {self.input.channels} classes")
        if self.output.dtype.lo > 0 or self.output.dtype.hi < self.input.channels - 1:
            raise self.fail(f"{self.input.channels} places leave {self.output.dtype}")

    def call(self) -> Call:
        """Call ``ops.top_k``."""
        return Call("top_k", {"k": self.k})

    def foldings(self) -> Iterator[Folding]:
        """One value a cycle."""
        yield Folding()

    def lanes(self, folding: Folding) -> tuple[int, int]:
        """One value in, one place out."""
        del folding
        return 1, 1

    def cycles(self, folding: Folding) -> int:
        """A cycle for every value, and for every place but the first."""
        del folding
        return self.input.channels + self.k - 1

    def schedule(self, folding: Folding) -> Schedule:
        """The first place leaves with the last value, the others in the cycles behind it."""
        firing = np.arange(1, self.cycles(folding) + 1, dtype=np.int64)
        taken = np.minimum(firing, self.input.channels)
        emit = np.maximum(firing - self.input.channels + 1, 0)
        return Schedule(need=taken, free=taken, emit=emit, buffer=0, latency=1)

    def resources(self, folding: Folding) -> Resources:
        """A comparator and an entry of value and place for each of the k."""
        del folding
        bits, place = self.input.dtype.bits, (self.input.channels - 1).bit_length()
        entry = 1 + bits + place
        return Resources(
            lut=10 + 1.3 * place + self.k * bits / 2 + (self.k - 1) * 1.2 * entry,
            ff=4 + 2 * place + self.k * entry,
        )

    def rtl(self, folding: Folding) -> RtlInstance:
        """Instantiate top_k.sv."""
        return RtlInstance(
            "top_k",
            {
                "CHANNELS": self.input.channels,
                "K": self.k,
                "IN_BITS": self.input.dtype.bits,
                "IN_SIGNED": int(self.input.dtype.signed),
                "OUT_BITS": self.output.dtype.bits,
            },
        )
