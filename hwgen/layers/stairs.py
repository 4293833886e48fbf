"""The circuits that compute a staircase: what they have in common, and the binary search."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from hwgen.layers.base import Resources, RtlInstance
from hwgen.layers.costs import known_rom
from hwgen.layers.memory import named, text, words
from hwgen.quant import IntArray, IntType, Range

# What a board's whole stock of a resource counts for beside its LUTs. LUTs are what binary networks
# run out of; the budget sees to it that there is enough of the others.
PRICES = {"lut": 1.0, "ff": 1 / 4, "bram36": 1 / 2, "dsp": 1 / 10}

# The same for one of each, in LUTs, when units are compared: an XC7Z020 has 53,200 LUTs, 106,400
# flip-flops, 140 block RAMs and 220 DSP blocks.
LUTS = {"lut": 1.0, "ff": 0.125, "bram36": 190.0, "dsp": 24.0}


def area(cost: Resources) -> float:
    """Cost in LUTs."""
    return sum(weight * float(getattr(cost, kind)) for kind, weight in LUTS.items())


@dataclass(frozen=True, slots=True)
class Stairs:
    """y = offset + sum_i(x >= thresholds[c, i]), for x and y of these types.

    ``reach``: the range of the x that can occur.
    """

    thresholds: IntArray = field(repr=False)
    offset: int
    x: IntType
    y: IntType
    reach: Range

    @property
    def channels(self) -> int:
        """Rows of ``thresholds``."""
        return len(self.thresholds)

    @property
    def levels(self) -> int:
        """The highest level."""
        return int(self.thresholds.shape[1])


@dataclass(frozen=True, slots=True)
class Unit(ABC):
    """A circuit for ``stairs`` with ``pe`` lanes, one beat a cycle."""

    stairs: Stairs
    pe: int

    @property
    @abstractmethod
    def name(self) -> str:
        """What reports call it."""

    @property
    @abstractmethod
    def latency(self) -> int:
        """Cycles from a beat in to its beat out."""

    @property
    @abstractmethod
    def cost(self) -> Resources:
        """Estimated resources; fitted to Yosys results."""

    @abstractmethod
    def rtl(self) -> RtlInstance:
        """The kernel instance."""

    @property
    def fold(self) -> int:
        """Beats a pixel."""
        return self.stairs.channels // self.pe

    @property
    def input_parameters(self) -> dict[str, int]:
        """What every kernel is told of x."""
        x = self.stairs.x
        shape = {"CHANNELS": self.stairs.channels, "PE": self.pe}
        return {**shape, "IN_BITS": x.bits, "IN_SIGNED": int(x.signed)}

    @property
    def output_parameters(self) -> dict[str, int]:
        """What every kernel is told of y."""
        bits = self.stairs.y.bits
        return {"OUT_BITS": bits, "OFFSET": self.stairs.offset & ((1 << bits) - 1)}


@dataclass(frozen=True, slots=True)
class SearchUnit(Unit):
    """Binary search over the thresholds, pipelined (FINN's RTL thresholding).

    ``steps`` stages of one comparator and one memory each, for 2**steps - 1 thresholds. Missing
    ones are set to a value that is never reached.
    """

    @property
    def name(self) -> str:
        """A single stage is a comparator."""
        return "comparator" if self.steps == 1 else "binary search"

    @property
    def steps(self) -> int:
        """Stages of the search."""
        return max(1, self.stairs.levels.bit_length())

    @property
    def latency(self) -> int:
        """A cycle a stage, and the output register."""
        return self.steps + 1

    @property
    def threshold_type(self) -> IntType:
        """Holds the type of x, and one more than x can be, for thresholds out of reach."""
        x = self.stairs.x
        return IntType.holding(x.lo, max(x.hi, self.stairs.reach[1] + 1))

    def search_tree(self) -> IntArray:
        """Thresholds (C, 2**steps - 1), clipped to their type and padded with unreachable ones."""
        lo, hi = self.stairs.reach
        full = np.full((self.stairs.channels, 2**self.steps - 1), self.threshold_type.hi)
        full[:, : self.stairs.levels] = np.clip(self.stairs.thresholds, lo, hi + 1)
        return full

    @property
    def cost(self) -> Resources:
        """A comparator and a table for every stage of every lane."""
        bits, found = self.threshold_type.bits, Resources(lut=4, ff=6 + 4 * self.steps)
        for middles in self.middles():
            found += known_rom(middles.reshape(self.pe, -1).T, bits)
            found += Resources(lut=0.6 * bits * self.pe, ff=bits * self.pe)
        return found

    def middles(self) -> Iterator[IntArray]:
        """For every stage the thresholds (PE, C / PE, 2**stage) amid what is open."""
        tree = self.search_tree()
        for stage in range(self.steps):
            width = 2 ** (self.steps - stage)
            chosen = tree[:, width // 2 - 1 :: width]
            yield chosen.reshape(self.fold, self.pe, -1).swapaxes(0, 1)

    def rtl(self) -> RtlInstance:
        """Instantiate thresholding.sv.

        Stage s of lane p searches a memory of its own, ``<THRESHOLDS>_<pp><s>.mem`` (hexadecimal
        digits): word ``cf * 2**s + prefix`` is the threshold in the middle of what the s decided
        bits ``prefix`` leave open, for channel ``cf * PE + p``.
        """
        bits = self.threshold_type.bits
        parts = {}
        for stage, middles in enumerate(self.middles()):
            for lane in range(self.pe):
                values = words(middles[lane].reshape(-1, 1), bits)
                parts[f"{lane:02x}{stage:x}"] = text(values, bits)
        prefix = named("thresholds", b"|".join(parts.values()))
        return RtlInstance(
            "thresholding",
            {
                **self.input_parameters,
                "STEPS": self.steps,
                "T_BITS": bits,
                "T_SIGNED": int(self.threshold_type.signed),
                **self.output_parameters,
                "THRESHOLDS": prefix,
            },
            {f"{prefix}_{suffix}.mem": part for suffix, part in parts.items()},
        )
