"""AXI4-Stream edges: between the bus of a DMA and the element streams of the kernels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from hwgen.layers.base import (
    Call,
    FinnNode,
    Folding,
    Layer,
    Resources,
    RtlInstance,
    Schedule,
    divisors,
)
from hwgen.quant import IntArray, Tensor


@dataclass(frozen=True, slots=True)
class AxisEdge(Layer):
    """What both edges share: the frame's layout on a bus of ``bus_bytes`` bytes a beat.

    Elements take ``element_bytes`` bytes each (1, 2 or 4, two's complement), packed densely and
    little-endian; a frame starts on a beat of its own and its last beat is padded with zeros.
    An edge has no meaning of its own: only a Dataflow holds it.
    """

    bus_bytes: int

    @classmethod
    def of(cls, name: str, tensor: Tensor, bus_bytes: int) -> Self:
        """The edge through which ``tensor`` enters or leaves."""
        return cls(name, (tensor,), (tensor,), bus_bytes)

    @classmethod
    def from_finn(cls, node: FinnNode) -> Self:
        """Never called: edges are inserted after folding."""
        raise AssertionError(node.name)

    @property
    def element_bytes(self) -> int:
        """Bytes an element takes on the bus."""
        return next(n for n in (1, 2, 4) if self.input.dtype.bits <= 8 * n)

    @property
    def beats(self) -> int:
        """Bus beats a frame."""
        return -(-self.input.size * self.element_bytes // self.bus_bytes)

    def check(self) -> None:
        """Elements of at most 32 bits."""
        if self.input.dtype.bits > 32:
            raise self.fail(f"{self.input.dtype} is wider than 32 bits")

    def call(self) -> Call:
        """The identity."""
        return Call("fork", {"outputs": 1})

    def foldings(self) -> Iterator[Folding]:
        """Elements a cycle: what divides both a bus beat and the channels."""
        per_beat = self.bus_bytes // self.element_bytes
        return (Folding(pe=d) for d in divisors(per_beat) if self.input.channels % d == 0)

    def cycles(self, folding: Folding) -> int:
        """One cycle for ``pe`` elements."""
        return self.input.size // folding.pe

    def resources(self, folding: Folding) -> Resources:
        """A bus register and its multiplexer."""
        return Resources(lut=12 + 2 * self.bus_bytes / folding.pe, ff=8 + 8 * self.bus_bytes)

    @property
    def frame_bytes(self) -> int:
        """Bytes a frame takes on the bus, whole beats."""
        return self.beats * self.bus_bytes

    def to_bytes(self, values: IntArray) -> NDArray[np.uint8]:
        """Bytes (N, frame_bytes) on the bus of frames (N, H, W, C)."""
        kind = np.dtype(f"<i{self.element_bytes}")
        frames = values.reshape(len(values), -1).astype(kind).view(np.uint8)
        padded = np.zeros((len(values), self.frame_bytes), np.uint8)
        padded[:, : frames.shape[1]] = frames
        return padded

    def from_bytes(self, data: bytes) -> IntArray:
        """Frames (N, H, W, C) of bytes on the bus."""
        raw = np.frombuffer(data, np.uint8).reshape(-1, self.frame_bytes)
        kind = np.dtype(f"<{'i' if self.input.dtype.signed else 'u'}{self.element_bytes}")
        used = np.ascontiguousarray(raw[:, : self.input.size * self.element_bytes]).view(kind)
        return used.astype(np.int64).reshape(-1, *self.input.shape)

    def pack(self, values: IntArray) -> list[int]:
        """Bus words of frames (N, H, W, C)."""
        data, step = self.to_bytes(values).tobytes(), self.bus_bytes
        return [int.from_bytes(data[i : i + step], "little") for i in range(0, len(data), step)]

    def unpack(self, beats: list[int]) -> IntArray:
        """Frames (N, H, W, C) of bus words."""
        return self.from_bytes(b"".join(b.to_bytes(self.bus_bytes, "little") for b in beats))


@dataclass(frozen=True, slots=True)
class AxisIn(AxisEdge):
    """Bus to elements."""

    def lanes(self, folding: Folding) -> tuple[int, int]:
        """Elements a bus beat, elements a cycle."""
        return self.bus_bytes // self.element_bytes, folding.pe

    def schedule(self, folding: Folding) -> Schedule:
        """A bus beat is held until its last element has left."""
        count = np.arange(1, self.cycles(folding) + 1, dtype=np.int64)
        ratio = self.bus_bytes // (self.element_bytes * folding.pe)
        free = count // ratio
        free[-1] = self.beats
        return Schedule(need=(count - 1) // ratio + 1, free=free, emit=count, buffer=1, latency=1)

    def rtl(self, folding: Folding) -> RtlInstance:
        """Instantiate axis_in.sv."""
        return RtlInstance(
            "axis_in",
            {
                "AXIS_BYTES": self.bus_bytes,
                "ELEM_BYTES": self.element_bytes,
                "BITS": self.input.dtype.bits,
                "ELEMENTS": self.input.size,
                "LANES": folding.pe,
            },
        )


@dataclass(frozen=True, slots=True)
class AxisOut(AxisEdge):
    """Elements to bus, with TLAST on a frame's last beat and TKEEP on its used bytes."""

    def lanes(self, folding: Folding) -> tuple[int, int]:
        """Elements a cycle, elements a bus beat."""
        return folding.pe, self.bus_bytes // self.element_bytes

    def schedule(self, folding: Folding) -> Schedule:
        """A bus beat leaves with its last element."""
        count = np.arange(1, self.cycles(folding) + 1, dtype=np.int64)
        ratio = self.bus_bytes // (self.element_bytes * folding.pe)
        emit = count // ratio
        emit[-1] = self.beats
        return Schedule(need=count, free=count, emit=emit, buffer=0, latency=1)

    def rtl(self, folding: Folding) -> RtlInstance:
        """Instantiate axis_out.sv."""
        return RtlInstance(
            "axis_out",
            {
                "AXIS_BYTES": self.bus_bytes,
                "ELEM_BYTES": self.element_bytes,
                "BITS": self.input.dtype.bits,
                "SIGNED": int(self.input.dtype.signed),
                "ELEMENTS": self.input.size,
                "LANES": folding.pe,
            },
        )
