"""Threshold: a monotone per-channel staircase, which is what every activation becomes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np

from hwgen.errors import FoldingError
from hwgen.layers.affine import AffineStairs, NotAffineError, fit
from hwgen.layers.affine_unit import AffineUnit
from hwgen.layers.base import (
    Call,
    Choice,
    FinnNode,
    Folding,
    Layer,
    Resources,
    RtlInstance,
    Schedule,
    lane_foldings,
    one_to_one,
)
from hwgen.layers.lookup_unit import LookupUnit
from hwgen.layers.stairs import SearchUnit, Stairs, Unit, area
from hwgen.quant import IntArray, Range


@dataclass(frozen=True, slots=True)
class Threshold(Layer):
    """y = offset + sum_i(x >= T[c, i]); thresholds (C, n), ascending along n.

    ``reach``: the range of the x that can occur; that of their type if None. The hardware is the
    smallest of the units that equal the thresholds at every such x.
    """

    finn_ops: ClassVar[tuple[str, ...]] = ("Thresholding",)
    words: ClassVar[tuple[str, ...]] = ("unit",)

    thresholds: IntArray = field(repr=False)
    offset: int = 0
    reach: Range | None = None
    memo: list[AffineStairs | str] = field(
        default_factory=list, init=False, repr=False, compare=False
    )

    @classmethod
    def from_finn(cls, node: FinnNode) -> Self:
        """Read a Thresholding node; a single row of thresholds serves every channel."""
        channels = node.inputs[0].channels
        rows = np.broadcast_to(node.constants[0], (channels, node.constants[0].shape[1]))
        # FINN's ActVal is the output before any threshold is reached
        return cls(node.name, node.inputs, node.outputs, rows, int(node.attributes["ActVal"]))

    @property
    def stairs(self) -> Stairs:
        """The staircase alone."""
        x = self.input.dtype
        return Stairs(self.thresholds, self.offset, x, self.output.dtype, self.reach or x.range)

    def lines(self) -> AffineStairs | str:
        """The staircase as lines, or why not; found once, because the search for them takes long.

        A single step is compared with its threshold: the same circuit with or without a line.
        """
        if self.thresholds.shape[1] < 2:
            return "a single step"
        if not self.memo:
            try:
                self.memo.append(fit(self.thresholds, self.reach or self.input.dtype.range))
            except NotAffineError as error:
                self.memo.append(f"not affine: {error}")
        return self.memo[0]

    def units(self, folding: Folding) -> tuple[Unit, ...]:
        """Every circuit that computes the layer."""
        lines, stairs, pe = self.lines(), self.stairs, folding.pe
        found = (SearchUnit(stairs, pe), *LookupUnit.possible(stairs, pe))
        if isinstance(lines, str):
            return found
        affine = (AffineUnit(stairs, pe, lines, dsp, self.levels) for dsp in (False, True))
        return (*found, *(unit for unit in affine if unit.possible))

    def unit(self, folding: Folding) -> Unit:
        """The one that is asked for, else the smallest."""
        units, wanted = self.units(folding), folding.unit
        if wanted == "auto":
            return min(units, key=lambda unit: area(unit.cost))
        for unit in units:
            if unit.name == wanted:
                return unit
        raise FoldingError(
            f"layer {self.name}: unit {wanted!r} is not possible with PE={folding.pe}; possible: "
            f"auto; {'; '.join(unit.name for unit in units)}"
        )

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

    def ranges(self, *inputs: Range) -> tuple[Range, ...]:
        """No step, or all of them."""
        del inputs
        return ((self.offset, self.offset + self.thresholds.shape[1]),)

    def within(self, *inputs: Range) -> Self:
        """Keep the range for the units that are exact on it."""
        return replace(self, reach=inputs[0])

    def foldings(self) -> Iterator[Folding]:
        """PE divides the channels."""
        return lane_foldings(self.input.channels)

    def variants(self, folding: Folding) -> Iterator[Folding]:
        """The smallest unit, and every other."""
        yield folding
        units, chosen = self.units(folding), self.unit(folding).name
        yield from (replace(folding, unit=u.name) for u in units if u.name != chosen)

    def read_settings(self, settings: Mapping[str, Any]) -> Folding:
        """PE and unit."""
        return Folding(pe=settings.get("PE", 1), unit=str(settings.get("unit", "auto")))

    def legal(self, folding: Folding) -> Folding:
        """PE divides the channels, and there is the unit that is asked for."""
        if Layer.legal(self, folding).unit != "auto":
            self.unit(folding)
        return folding

    def lanes(self, folding: Folding) -> tuple[int, int]:
        """PE in and out."""
        return folding.pe, folding.pe

    def cycles(self, folding: Folding) -> int:
        """One beat a cycle."""
        return self.input.size // folding.pe

    def schedule(self, folding: Folding) -> Schedule:
        """Every beat in is a beat out, as much later as the unit takes."""
        return one_to_one(self.cycles(folding), latency=self.unit(folding).latency)

    def choice(self, folding: Folding) -> Choice:
        """The units, and why the larger or impossible ones are not taken."""
        lines, units = self.lines(), self.units(folding)
        why = lines if isinstance(lines, str) else "smallest"
        if folding.unit != "auto":
            why = "asked for"
        return Choice(self.unit(folding).name, why, {unit.name: unit.cost for unit in units})

    def resources(self, folding: Folding) -> Resources:
        """Those of the chosen unit."""
        return self.unit(folding).cost

    def rtl(self, folding: Folding) -> RtlInstance:
        """Instantiate the chosen unit."""
        return self.unit(folding).rtl()
