"""Subtract: the difference of two staircases, which makes any function of one integer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from hwgen.layers.add import Add
from hwgen.layers.base import Call, Folding, Layer, RtlInstance
from hwgen.layers.fork import Fork
from hwgen.layers.threshold import Threshold
from hwgen.quant import QuantGraph, Range

MOST_VALUES = 1 << 20


@dataclass(frozen=True, slots=True)
class Subtract(Add):
    """Element-wise difference a - b of two tensors of one shape.

    Its type may hold less than the types of a and b ask for: where both are staircases of one
    tensor, ``require_fitting`` looks at every value that this tensor can have.
    """

    finn_ops: ClassVar[tuple[str, ...]] = ("ElementwiseSub",)

    def check(self) -> None:
        """Equal shapes."""
        a, b = self.inputs
        if not a.shape == b.shape == self.output.shape:
            raise self.fail(f"shapes {a.shape} and {b.shape} differ")

    def ranges(self, *inputs: Range) -> tuple[Range, ...]:
        """Differences of the ends, within the type."""
        (a_lo, a_hi), (b_lo, b_hi) = inputs
        dtype = self.output.dtype
        return ((max(a_lo - b_hi, dtype.lo), min(a_hi - b_lo, dtype.hi)),)

    def call(self) -> Call:
        """Call ``ops.subtract``."""
        return Call("subtract")

    def rtl(self, folding: Folding) -> RtlInstance:
        """Instantiate add_streams.sv."""
        instance = Add.rtl(self, folding)
        return replace(instance, parameters={**instance.parameters, "SUBTRACT": 1})


def require_fitting(graph: QuantGraph) -> None:
    """Raise ``UnsupportedError`` unless the type of every difference holds all its values."""
    makers: dict[str, Layer] = {t.name: layer for layer in graph.layers for t in layer.outputs}
    for layer in graph.layers:
        if not isinstance(layer, Subtract):
            continue
        a, b = layer.inputs
        lo, hi = a.dtype.lo - b.dtype.hi, a.dtype.hi - b.dtype.lo
        if lo < layer.output.dtype.lo or hi > layer.output.dtype.hi:
            lo, hi = _range(layer, makers.get(a.name), makers.get(b.name), makers)
        if lo < layer.output.dtype.lo or hi > layer.output.dtype.hi:
            raise layer.fail(f"differences reach [{lo}, {hi}], outside {layer.output.dtype}")


def _range(
    layer: Subtract, a: Layer | None, b: Layer | None, makers: dict[str, Layer]
) -> tuple[int, int]:
    """Least and largest difference of two staircases over all values of their input's type."""
    if not (isinstance(a, Threshold) and isinstance(b, Threshold)):
        raise layer.fail("its inputs are not staircases, and its type is less than theirs")
    source = makers.get(a.input.name)
    dtype = a.input.dtype
    if not isinstance(source, Fork) or makers.get(b.input.name) is not source:
        raise layer.fail("its inputs are not of one tensor, and its type is less than theirs")
    if dtype.hi - dtype.lo >= MOST_VALUES:
        raise layer.fail(f"{dtype} has too many values to look at each")
    x = np.arange(dtype.lo, dtype.hi + 1)[:, None, None, None]
    x = np.broadcast_to(x, (len(x), 1, 1, a.input.channels))
    difference = a.evaluate(x)[0] - b.evaluate(x)[0]
    return int(difference.min()), int(difference.max())
