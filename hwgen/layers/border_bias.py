"""Border bias: what zero padding adds to sums that were made with -1 at the border."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
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
    one_to_one,
)
from hwgen.layers.costs import rom
from hwgen.layers.memory import mem_file
from hwgen.quant import IntArray, IntType, Range


@dataclass(frozen=True, slots=True)
class BorderBias(Layer):
    """y[y, x, c] = x[y, x, c] + bias[rows[y] * columns' classes + columns[x], c].

    Pixels with the same taps cut off by the border are a class; ``rows`` (H) and ``columns`` (W)
    give a pixel's class by its place, and runs of one class lie together. bias is (classes, C).
    """

    finn_ops: ClassVar[tuple[str, ...]] = ("ElementwiseAdd:constant",)

    bias: IntArray = field(repr=False)
    rows: IntArray = field(repr=False)
    columns: IntArray = field(repr=False)

    @classmethod
    def from_finn(cls, node: FinnNode) -> Self:
        """Read an ElementwiseAdd of a constant that broadcasts to (1, H, W, C)."""
        h, w, c = node.inputs[0].shape
        full = np.broadcast_to(node.constants[0], (1, h, w, c))[0]
        rows, row_starts = _runs(full)
        columns, column_starts = _runs(full.transpose(1, 0, 2))
        bias = full[row_starts][:, column_starts].reshape(-1, c)
        return cls(node.name, node.inputs, node.outputs, bias, rows, columns)

    @property
    def bias_type(self) -> IntType:
        """The smallest type that holds every bias."""
        return IntType.holding(int(self.bias.min()), int(self.bias.max()))

    def check(self) -> None:
        """Shapes fit, classes count up from 0, and the type holds every sum that can occur.

        The output may be narrower than input plus bias: sums wrap to it exactly where they fit.
        """
        h, w, c = self.input.shape
        if self.output.shape != (h, w, c) or self.bias.shape[1:] != (c,):
            raise self.fail(f"{self.input.shape} by {self.bias.shape} gives {self.output.shape}")
        for axis, size in ((self.rows, h), (self.columns, w)):
            if len(axis) != size or axis[0] != 0 or not np.isin(np.diff(axis), (0, 1)).all():
                raise self.fail(f"classes {axis} do not count up along {size} pixels")
        if (int(self.rows[-1]) + 1) * (int(self.columns[-1]) + 1) != len(self.bias):
            raise self.fail(f"{len(self.bias)} classes of biases")
        if self.output.dtype.bits > 32:
            raise self.fail(f"{self.output.dtype} is wider than 32 bits")

    def call(self) -> Call:
        """Call ``ops.border_bias``."""
        arrays = {"bias": self.bias, "rows": self.rows, "columns": self.columns}
        return Call("border_bias", {}, arrays)

    def ranges(self, *inputs: Range) -> tuple[Range, ...]:
        """The input's and the biases', within the type."""
        ((lo, hi),) = inputs
        dtype = self.output.dtype
        return (
            (max(lo + int(self.bias.min()), dtype.lo), min(hi + int(self.bias.max()), dtype.hi)),
        )

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
        """Every beat in is a beat out, two cycles later."""
        return one_to_one(self.cycles(folding), latency=2)

    def resources(self, folding: Folding) -> Resources:
        """A table of all classes and an adder a lane."""
        bits, fold = self.output.dtype.bits, self.input.channels // folding.pe
        table = rom(folding.pe * self.bias_type.bits, len(self.bias) * fold)
        data = folding.pe * self.input.dtype.bits
        return table + Resources(lut=26 + folding.pe * bits, ff=20 + data + folding.pe * bits)

    def rtl(self, folding: Folding) -> RtlInstance:
        """Instantiate border_bias.sv; word class * FOLD + f holds the biases of channel fold f."""
        h, w, c = self.input.shape
        table, content = mem_file("border", self.bias.reshape(-1, folding.pe), self.bias_type.bits)
        return RtlInstance(
            "border_bias",
            {
                "HEIGHT": h,
                "WIDTH": w,
                "CHANNELS": c,
                "PE": folding.pe,
                "ROW_CLASSES": int(self.rows[-1]) + 1,
                "COLUMN_CLASSES": int(self.columns[-1]) + 1,
                "ROW_ENDS": tuple(_ends(self.rows)),
                "COLUMN_ENDS": tuple(_ends(self.columns)),
                "IN_BITS": self.input.dtype.bits,
                "IN_SIGNED": int(self.input.dtype.signed),
                "BIAS_BITS": self.bias_type.bits,
                "BIAS_SIGNED": int(self.bias_type.signed),
                "OUT_BITS": self.output.dtype.bits,
                "BIASES": table,
            },
            {table: content},
        )


def _runs(values: IntArray) -> tuple[IntArray, IntArray]:
    """Class of every entry along axis 0, counted up at every change; where each class starts."""
    flat = values.reshape(len(values), -1)
    changes = (flat[1:] != flat[:-1]).any(axis=1)
    classes = np.concatenate([[0], np.cumsum(changes)]).astype(np.int64)
    return classes, np.flatnonzero(np.concatenate([[True], changes]))


def _ends(classes: IntArray) -> list[int]:
    """The last place of every class."""
    return [int(at) for at in np.flatnonzero(np.diff(classes, append=-1))]
