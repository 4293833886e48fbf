"""Average pool: the shortcut of a block that halves the image."""

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
from hwgen.layers.costs import one_port_luts
from hwgen.quant import Range


@dataclass(frozen=True, slots=True)
class AveragePool(Layer):
    """(H, W, C) to (H / kernel, W / kernel, C): the mean of each square, rounded down."""

    finn_ops: ClassVar[tuple[str, ...]] = ("Pool",)

    kernel: int

    @classmethod
    def from_finn(cls, node: FinnNode) -> Self:
        """Read a QuantAvgPool whose input is the image, not patches; its windows do not overlap.

        FINN shifts the sum right by the bits that the output lacks; between equal types, which
        ``check`` asks for, and for a power of two of pixels that divides by their number.
        """
        kernel = [int(k) for k in node.attributes["KernelSize"]]
        stride = [int(s) for s in node.attributes.get("Stride", kernel)]
        layer = cls(node.name, node.inputs, node.outputs, kernel[0])
        if node.attributes.get("Function", "QuantAvgPool") != "QuantAvgPool":
            raise layer.fail(f"{node.attributes['Function']} is not supported; QuantAvgPool is")
        if len(set(kernel)) != 1 or stride != kernel:
            raise layer.fail(f"kernel {kernel} with stride {stride}; it needs a square, k = stride")
        return layer

    def check(self) -> None:
        """A power of two of pixels in whole squares, and one type, which holds every mean."""
        x, y, k = self.input, self.output, self.kernel
        if k < 2 or k & (k - 1):
            raise self.fail(f"kernel {k} is not supported; it must be 2, 4, 8, ...")
        if x.shape[0] % k or x.shape[1] % k:
            raise self.fail(f"{x.shape[0]} x {x.shape[1]} pixels are not multiples of kernel {k}")
        if y.shape != (x.shape[0] // k, x.shape[1] // k, x.channels):
            raise self.fail(f"{x.shape} gives {y.shape}")
        if y.dtype != x.dtype:
            raise self.fail(f"the mean of {x.dtype} is {x.dtype}, not {y.dtype}")

    def call(self) -> Call:
        """Call ``ops.average_pool``."""
        return Call("average_pool", {"kernel": self.kernel})

    def ranges(self, *inputs: Range) -> tuple[Range, ...]:
        """A mean rounded down stays within the input's."""
        return inputs

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
        """Means appear while the last pixel of their square is read."""
        h, w, c = self.input.shape
        last = np.arange(1, max(h, w) + 1) % self.kernel == 0
        done = np.repeat(last[:h, None] & last[None, :w], c // folding.pe)
        count = np.arange(1, self.cycles(folding) + 1, dtype=np.int64)
        emit = np.cumsum(done, dtype=np.int64)
        return Schedule(need=count, free=count, emit=emit, buffer=0, latency=1)

    def resources(self, folding: Folding) -> Resources:
        """An adder a lane and the sums of the squares in progress in LUTRAM."""
        growth = 2 * (self.kernel.bit_length() - 1)
        data = folding.pe * self.input.dtype.bits
        sums = data + folding.pe * growth
        words = self.output.shape[1] * self.input.channels // folding.pe
        if words == 1:
            return Resources(lut=6 + sums, ff=2 + growth + sums)
        control = 2 + growth + (words - 1).bit_length()
        return Resources(lut=14 + sums + one_port_luts(sums, words), ff=control + data)

    def rtl(self, folding: Folding) -> RtlInstance:
        """Instantiate pool_avg.sv."""
        h, w, c = self.input.shape
        return RtlInstance(
            "pool_avg",
            {
                "HEIGHT": h,
                "WIDTH": w,
                "CHANNELS": c,
                "KERNEL": self.kernel,
                "PE": folding.pe,
                "BITS": self.input.dtype.bits,
                "SIGNED": int(self.input.dtype.signed),
            },
        )
