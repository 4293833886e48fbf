"""Flatten: an image as one pixel, in front of a linear layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Flatten(Layer):
    """(H, W, C) to (1, 1, H * W * C): the stream as it is, only its shape is another.

    FINN has it as a window of the whole image, whose one patch is the image in its own order.
    """

    finn_ops: ClassVar[tuple[str, ...]] = ("ConvolutionInputGenerator:image",)

    @classmethod
    def is_flatten(cls, node: FinnNode) -> bool:
        """Whether a ConvolutionInputGenerator shows the unpadded image as its only patch."""
        kernel = [int(k) for k in node.attributes["ConvKernelDim"]]
        padded = any(node.attributes.get("Padding", [0]))
        depthwise = bool(node.attributes.get("depthwise", 0))
        return kernel == list(node.inputs[0].shape[:2]) and not padded and not depthwise

    @classmethod
    def from_finn(cls, node: FinnNode) -> Self:
        """Read a ConvolutionInputGenerator whose kernel is the image."""
        return cls(node.name, node.inputs, node.outputs)

    def check(self) -> None:
        """All elements of the input, in its type."""
        x, y = self.input, self.output
        if y.shape != (1, 1, x.size) or y.dtype != x.dtype:
            raise self.fail(f"{x.shape} {x.dtype} gives {y.shape} {y.dtype}")

    def call(self) -> Call:
        """Call ``ops.flatten``."""
        return Call("flatten")

    def foldings(self) -> Iterator[Folding]:
        """SIMD divides the channels of a pixel."""
        return (Folding(simd=f.pe) for f in lane_foldings(self.input.channels))

    def lanes(self, folding: Folding) -> tuple[int, int]:
        """SIMD in and out."""
        return folding.simd, folding.simd

    def cycles(self, folding: Folding) -> int:
        """One beat a cycle."""
        return self.input.size // folding.simd

    def schedule(self, folding: Folding) -> Schedule:
        """Every beat in is a beat out, in the same cycle."""
        return one_to_one(self.cycles(folding), latency=0)

    def resources(self, folding: Folding) -> Resources:
        """Wires."""
        del folding
        return Resources()

    def rtl(self, folding: Folding) -> RtlInstance:
        """Instantiate flatten.sv."""
        return RtlInstance("flatten", {"WIDTH": folding.simd * self.input.dtype.bits})
