"""Max pool: what follows a ResNet's first convolution."""

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
from hwgen.layers.window import Window
from hwgen.quant import Tensor


@dataclass(frozen=True, slots=True)
class MaxPool(Layer):
    """(H, W, C) to (OH, OW, C): the largest of kernel x kernel pixels, padded with the least.

    A sliding window, whose padding is the type's lowest value, and a running maximum behind it.
    """

    finn_ops: ClassVar[tuple[str, ...]] = ("Pool:max",)

    kernel: int
    stride: int
    pad: int

    @classmethod
    def from_finn(cls, node: FinnNode) -> Self:
        """Read a Pool of function MaxPool whose input is the image, not patches."""
        attributes = node.attributes
        kernel = [int(k) for k in attributes["KernelSize"]]
        stride = [int(s) for s in attributes.get("Stride", kernel)]
        pads = [int(p) for p in attributes.get("Padding", [0])]
        layer = cls(node.name, node.inputs, node.outputs, kernel[0], stride[0], pads[0])
        for what, values in (("kernel", kernel), ("stride", stride), ("padding", pads)):
            if len(set(values)) > 1:
                raise layer.fail(f"{what} {values} is not square")
        if pads[0] and node.inputs[0].dtype.lo != 0 and not attributes.get("PadsWithLowest"):
            raise layer.fail(f"FINN pads {node.inputs[0].dtype} with 0, which is not its lowest")
        return layer

    @property
    def window(self) -> Window:
        """The sliding window in front of the maximum."""
        h, w, c = self.input.shape
        side = 2 * self.pad - self.kernel
        shape = (
            (h + side) // self.stride + 1,
            (w + side) // self.stride + 1,
            self.kernel**2 * c,
        )
        patches = Tensor(f"{self.output.name}_patches", shape, self.input.dtype)
        geometry = (self.kernel, self.stride, self.pad)
        return Window(self.name, self.inputs, (patches,), *geometry, self.input.dtype.lo)

    def check(self) -> None:
        """The window fits, every patch shows a pixel, and the type stays."""
        self.window.check()
        h, w, _ = self.window.output.shape
        if self.kernel < 2 or 2 * self.pad > self.kernel:
            raise self.fail(f"kernel {self.kernel}, pad {self.pad}; pad at most half the kernel")
        if self.output.shape != (h, w, self.input.channels):
            raise self.fail(f"{self.input.shape} gives {self.output.shape}")
        if self.output.dtype != self.input.dtype:
            raise self.fail(f"the maximum of {self.input.dtype} is not {self.output.dtype}")

    def call(self) -> Call:
        """Call ``ops.max_pool``."""
        return Call("max_pool", {"kernel": self.kernel, "stride": self.stride, "pad": self.pad})

    def foldings(self) -> Iterator[Folding]:
        """PE divides the channels."""
        return lane_foldings(self.input.channels)

    def lanes(self, folding: Folding) -> tuple[int, int]:
        """PE in and out."""
        return folding.pe, folding.pe

    def cycles(self, folding: Folding) -> int:
        """Those of the window."""
        return self.window.cycles(Folding(simd=folding.pe))

    def schedule(self, folding: Folding) -> Schedule:
        """The window's; a maximum leaves with the last tap of its patch, a cycle later."""
        taps = self.window.schedule(Folding(simd=folding.pe))
        fold, beats = self.input.channels // folding.pe, len(taps.emit)
        last = np.arange(beats) // fold % self.kernel**2 == self.kernel**2 - 1
        emit = np.cumsum(last, dtype=np.int64)
        latency = taps.latency + 1 + self.register(folding)
        return Schedule(taps.need, taps.free, emit, taps.buffer, latency)

    def register(self, folding: Folding) -> int:
        """Whether there is a register behind the window's line buffer in block RAM."""
        window = self.window.resources(Folding(simd=folding.pe))
        return int(self.levels is not None and window.bram36 > 0)

    def resources(self, folding: Folding) -> Resources:
        """The window, a comparator a lane, and the running maxima in LUTRAM."""
        data, fold = folding.pe * self.input.dtype.bits, self.input.channels // folding.pe
        cost = self.window.resources(Folding(simd=folding.pe))
        held = one_port_luts(data, fold) if fold > 1 else 0
        copies = 1 + (fold == 1) + self.register(folding)
        return cost + Resources(lut=12 + 1.5 * data + held, ff=12 + copies * data)

    def rtl(self, folding: Folding) -> RtlInstance:
        """Instantiate pool_max.sv."""
        window = self.window.rtl(Folding(simd=folding.pe)).parameters
        shared = ("HEIGHT", "WIDTH", "CHANNELS", "KERNEL", "STRIDE", "PAD", "BITS", "ROWS")
        return RtlInstance(
            "pool_max",
            {
                **{name: window[name] for name in shared},
                "PE": folding.pe,
                **({"REGISTER": 1} if self.register(folding) else {}),
                "SIGNED": int(self.input.dtype.signed),
            },
        )
