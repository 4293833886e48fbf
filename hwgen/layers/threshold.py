"""Threshold: a monotone per-channel staircase, which is what every activation becomes."""

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
from hwgen.layers.memory import named, text, words
from hwgen.quant import IntArray, IntType


@dataclass(frozen=True, slots=True)
class Threshold(Layer):
    """y = offset + sum_i(x >= T[c, i]); thresholds (C, n), ascending along n.

    The hardware is a pipelined binary search (FINN's RTL thresholding): ``steps`` stages of one
    comparator and one memory each, for 2**steps - 1 thresholds. Missing ones are set to a value
    that is never reached.
    """

    finn_ops: ClassVar[tuple[str, ...]] = ("Thresholding",)

    thresholds: IntArray = field(repr=False)
    offset: int = 0

    @classmethod
    def from_finn(cls, node: FinnNode) -> Self:
        """Read a Thresholding node; a single row of thresholds serves every channel."""
        channels = node.inputs[0].channels
        rows = np.broadcast_to(node.constants[0], (channels, node.constants[0].shape[1]))
        # FINN's ActVal is the output before any threshold is reached
        return cls(node.name, node.inputs, node.outputs, rows, int(node.attributes["ActVal"]))

    @property
    def steps(self) -> int:
        """Stages of the binary search."""
        return max(1, int(self.thresholds.shape[1]).bit_length())

    @property
    def threshold_type(self) -> IntType:
        """Holds every input and one more, so that a threshold can be out of reach."""
        return IntType.holding(min(self.input.dtype.lo, 0), self.input.dtype.hi + 1)

    def check(self) -> None:
        """Ascending thresholds within reach of their type, and an output type that holds y."""
        if self.input.shape != self.output.shape or len(self.thresholds) != self.input.channels:
            raise self.fail(f"{self.input.shape} by {self.thresholds.shape} thresholds")
        if (np.diff(self.thresholds, axis=1) < 0).any():
            raise self.fail("thresholds do not ascend")
        if self.offset < self.output.dtype.lo:
            raise self.fail(f"offset {self.offset} is outside {self.output.dtype}")
        if self.offset + self.thresholds.shape[1] > self.output.dtype.hi:
            raise self.fail(f"{self.thresholds.shape[1]} steps leave {self.output.dtype}")

    def call(self) -> Call:
        """Call ``ops.threshold``."""
        return Call("threshold", {"offset": self.offset}, {"thresholds": self.thresholds})

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
        """Every beat in is a beat out, ``steps`` stages later."""
        return one_to_one(self.cycles(folding), latency=self.steps + 1)

    def search_tree(self) -> IntArray:
        """Thresholds (C, 2**steps - 1), clipped to their type and padded with unreachable ones."""
        reach = self.threshold_type
        full = np.full((self.input.channels, 2**self.steps - 1), reach.hi)
        full[:, : self.thresholds.shape[1]] = np.clip(
            self.thresholds, self.input.dtype.lo, self.input.dtype.hi + 1
        )
        return full

    def resources(self, folding: Folding) -> Resources:
        """A comparator and a table for every stage of every lane."""
        bits, fold = self.threshold_type.bits, self.input.channels // folding.pe
        lane = Resources()
        for stage in range(self.steps):
            lane += rom(bits, fold << stage) + Resources(lut=0.6 * bits, ff=bits)
        pe = folding.pe
        return Resources(8 + pe * lane.lut, 20 + pe * lane.ff, pe * lane.bram36)

    def rtl(self, folding: Folding) -> RtlInstance:
        """Instantiate thresholding.sv.

        Stage s of lane p searches a memory of its own, ``<THRESHOLDS>_<pp><s>.mem`` (hexadecimal
        digits): word ``cf * 2**s + prefix`` is the threshold in the middle of what the s decided
        bits ``prefix`` leave open, for channel ``cf * PE + p``.
        """
        tree, bits = self.search_tree(), self.threshold_type.bits
        fold = self.input.channels // folding.pe
        parts = {}
        for stage in range(self.steps):
            width = 2 ** (self.steps - stage)
            middles = tree[:, width // 2 - 1 :: width].reshape(fold, folding.pe, -1)
            for lane in range(folding.pe):
                values = words(middles[:, lane, :].reshape(-1, 1), bits)
                parts[f"{lane:02x}{stage:x}"] = text(values, bits)
        prefix = named("thresholds", b"|".join(parts.values()))
        return RtlInstance(
            "thresholding",
            {
                "CHANNELS": self.input.channels,
                "PE": folding.pe,
                "IN_BITS": self.input.dtype.bits,
                "IN_SIGNED": int(self.input.dtype.signed),
                "STEPS": self.steps,
                "T_BITS": bits,
                "T_SIGNED": int(self.threshold_type.signed),
                "OUT_BITS": self.output.dtype.bits,
                "OFFSET": self.offset & ((1 << self.output.dtype.bits) - 1),
                "THRESHOLDS": prefix,
            },
            {f"{prefix}_{suffix}.mem": part for suffix, part in parts.items()},
        )
