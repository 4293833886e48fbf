"""Sliding window: pads an image and streams its patches, tap by tap (im2col)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import log2
from typing import ClassVar, Self

import numpy as np

from hwgen.errors import FoldingError
from hwgen.layers.base import (
    Call,
    FinnNode,
    Folding,
    Layer,
    Resources,
    RtlInstance,
    Schedule,
    Settings,
    lane_foldings,
)
from hwgen.layers.costs import block_rams, ram_luts
from hwgen.quant import IntArray


@dataclass(frozen=True, slots=True)
class Window(Layer):
    """(H, W, C) to (OH, OW, kernel * kernel * C), taps ordered (ky, kx, c).

    Padding is made by address generation, so it takes neither cycles nor memory. Padded binary
    taps are 0 bits, which means -1.
    """

    finn_ops: ClassVar[tuple[str, ...]] = ("ConvolutionInputGenerator",)

    kernel: int
    stride: int
    pad: int
    pad_value: int = 0

    @classmethod
    def from_finn(cls, node: FinnNode) -> Self:
        """Read a square ConvolutionInputGenerator; ``Padding`` is that of a fused FMPadding.

        In front of a depthwise product FINN's hardware has another order of taps, but its meaning
        and our stream have the same.
        """
        attributes = node.attributes
        kernel, stride = attributes["ConvKernelDim"], attributes["Stride"]
        pads = attributes.get("Padding", [0])
        layer = cls(node.name, node.inputs, node.outputs, kernel[0], stride[0], pads[0])
        if len(set(kernel)) > 1 or len(set(stride)) > 1:
            raise layer.fail(f"kernel {kernel} or stride {stride} is not square")
        if len(set(pads)) > 1:
            raise layer.fail(f"padding {pads} is not equal on all sides")
        if set(attributes.get("Dilation", [1])) != {1}:
            raise layer.fail(f"dilation {attributes['Dilation']} is not 1")
        return layer

    def check(self) -> None:
        """The output shape follows from kernel, stride and pad."""
        h, w, c = self.input.shape
        out_h, out_w = ((n + 2 * self.pad - self.kernel) // self.stride + 1 for n in (h, w))
        if min(out_h, out_w) < 1 or self.pad >= self.kernel:
            raise self.fail(f"kernel {self.kernel}, pad {self.pad} on a {h}x{w} image")
        if self.output.shape != (out_h, out_w, self.kernel**2 * c):
            raise self.fail(f"{self.input.shape} gives {self.output.shape}")
        if not self.output.dtype.lo <= self.pad_value <= self.output.dtype.hi:
            raise self.fail(f"pad value {self.pad_value} is outside {self.output.dtype}")

    def call(self) -> Call:
        """Call ``ops.window``."""
        return Call(
            "window",
            {
                "kernel": self.kernel,
                "stride": self.stride,
                "pad": self.pad,
                "pad_value": self.pad_value,
            },
        )

    @property
    def patch(self) -> Folding | None:
        """A whole patch a cycle (FINN's parallel_window), where patch_window.sv can."""
        if self.kernel < 2 or 2 * self.pad >= self.kernel or self.input.shape[1] < 2:
            return None
        return Folding(simd=self.output.channels)

    def foldings(self) -> Iterator[Folding]:
        """SIMD divides the channels, or is that of a whole patch."""
        yield from (Folding(simd=f.pe) for f in lane_foldings(self.input.channels))
        if self.patch is not None:
            yield self.patch

    def settings(self, folding: Folding) -> Settings:
        """FINN folds the window by channels, and says apart that it shows whole patches."""
        found: Settings = {"SIMD": self.lanes(folding)[0]}
        return found | {"parallel_window": 1} if folding == self.patch else found

    def read_settings(self, settings: Mapping[str, int]) -> Folding:
        """A parallel window takes all channels at once."""
        if not settings.get("parallel_window", 0):
            return Folding(simd=settings.get("SIMD", 1))
        if self.patch is None or settings.get("SIMD", 1) != self.input.channels:
            raise FoldingError(
                f"layer {self.name}: parallel_window needs a SIMD of all {self.input.channels} "
                "channels, a kernel of at least 2 that is more than twice the padding, and an "
                "image at least 2 wide"
            )
        return self.patch

    def lanes(self, folding: Folding) -> tuple[int, int]:
        """SIMD channels in and out; or a pixel in and a patch out."""
        return min(folding.simd, self.input.channels), folding.simd

    def cycles(self, folding: Folding) -> int:
        """One cycle an output beat, or an input beat where a stride makes those more.

        With whole patches a pixel, and more while the last patches reach into the padding.
        """
        if folding == self.patch:
            return max(self.input.pixels, int(self._completed[-1]) + 1)
        return max(self.input.size, self.output.size) // folding.simd

    @property
    def _completed(self) -> IntArray:
        """By patch, the step of patch_window.sv that completes it, of an image in one long row."""
        (_, w, _), (out_h, out_w, _) = self.input.shape, self.output.shape
        nearest = self.kernel - 1 - self.pad
        oy, ox = np.ogrid[:out_h, :out_w]
        y, x = oy * self.stride + nearest, ox * self.stride + nearest
        steps: IntArray = (y * w + x).reshape(-1)
        return steps

    def schedule(self, folding: Folding) -> Schedule:
        """Outputs wait for the exact beat they show; rows are freed whole.

        Firings are the output beats; where a stride makes input beats more, those set the rate.
        With whole patches a firing is a step, which takes a pixel as long as there is one.
        """
        if folding == self.patch:
            steps = np.arange(1, self.cycles(folding) + 1, dtype=np.int64)
            taken = np.minimum(steps, self.input.pixels)
            emit = np.searchsorted(self._completed, steps, side="left").astype(np.int64)
            return Schedule(taken, taken, emit, buffer=0, latency=1 + (self.pad > 0))
        h, w, c = self.input.shape
        out_h, out_w, _ = self.output.shape
        fold = c // folding.simd
        oy, ox, ky, kx, f = np.ogrid[:out_h, :out_w, : self.kernel, : self.kernel, :fold]
        y, x = oy * self.stride + ky - self.pad, ox * self.stride + kx - self.pad
        inside = (y >= 0) & (y < h) & (x >= 0) & (x < w)
        # a frame's first taps may be padding, but it starts with its first beat
        need = np.where(inside, (y * w + x) * fold + f + 1, 1).reshape(-1)
        beats = need.size
        row = np.arange(beats) // (beats // out_h)
        next_row = np.clip((row + 1) * self.stride - self.pad, 0, h)
        last_of_row = np.arange(1, beats + 1) % (beats // out_h) == 0
        free = np.where(last_of_row, next_row, np.clip(row * self.stride - self.pad, 0, h)) * (
            w * fold
        )
        free[-1] = h * w * fold
        return Schedule(
            need=np.maximum.accumulate(need),
            free=free,
            emit=np.arange(1, beats + 1),
            buffer=self.buffer_rows * w * fold,
            latency=2,
        )

    @property
    def buffer_rows(self) -> int:
        """Rows of the circular buffer: a window's and those of the next step.

        At least those that hide the refill between two frames: the last window's, with the rows
        that a stride leaves unread, and the next frame's first.
        """
        inside = self.kernel - self.pad
        unread = (self.input.shape[0] + 2 * self.pad - self.kernel) % self.stride
        return max(self.kernel + self.stride, 2 * inside + unread)

    def resources(self, folding: Folding) -> Resources:
        """Line buffer in LUTRAM or block RAM, and the address generator."""
        if folding == self.patch:
            return self._patch_resources()
        _, w, c = self.input.shape
        width = folding.simd * self.input.dtype.bits
        depth = self.buffer_rows * w * (c // folding.simd)
        uneven = self.buffer_rows & (self.buffer_rows - 1) != 0
        luts = 11 + 5 * self.kernel + 4.4 * log2(depth) + 8 * uneven
        control = Resources(lut=luts, ff=17 + 5.1 * log2(depth))
        if depth * width > 8192 and depth > 256:  # as sliding_window.sv decides
            return control + Resources(bram36=block_rams(width, depth))
        return control + Resources(lut=ram_luts(width, depth), ff=width)

    def _patch_resources(self) -> Resources:
        """Of patch_window.sv: rows in one memory, the window, and the output where it is padded."""
        _, w, c = self.input.shape
        pixel = c * self.input.dtype.bits
        column, patch = (self.kernel - 1) * pixel, self.kernel**2 * pixel
        padded = self.pad > 0
        border = 4 + 3 * self.kernel if padded else 0
        control = Resources(lut=14 + 2 * log2(w) + border, ff=16 + 3 * log2(w))
        held = Resources(ff=patch * (1 + padded) + column)
        if column * w > 8192 and w > 256:  # as patch_window.sv decides
            return control + Resources(ff=patch * (1 + padded), bram36=block_rams(column, w))
        return control + held + Resources(lut=ram_luts(column, w))

    def rtl(self, folding: Folding) -> RtlInstance:
        """Instantiate sliding_window.sv, or patch_window.sv for whole patches."""
        h, w, c = self.input.shape
        image = {
            "HEIGHT": h,
            "WIDTH": w,
            "CHANNELS": c,
            "KERNEL": self.kernel,
            "STRIDE": self.stride,
            "PAD": self.pad,
            "PAD_VALUE": self.pad_value & ((1 << self.input.dtype.bits) - 1),
            "BITS": self.input.dtype.bits,
        }
        if folding == self.patch:
            return RtlInstance("patch_window", image)
        rows = {"SIMD": folding.simd, "ROWS": self.buffer_rows}
        return RtlInstance("sliding_window", image | rows)
