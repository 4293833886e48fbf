"""The circuits that compute a binary matrix-vector product, and what they cost.

All count agreements of SIMD activations with SIMD weights a cycle, for PE columns, and add the
counts of the SF cycles of a column up:

* ``AdderUnit``: adders that synthesis makes of the sum. Any family, and the best where the weights
  are constants (one fold).
* ``RippleUnit``: a LUT adds two agreements to what came before, then a compressor tree.
* ``AndUnit``: |a xnor w| = |a| + 2 |~a & ~w| - |~w|. The AND costs a flip-flop and no LUT, since a
  is its reset; |a| is counted once for all columns; what remains is a tree over plain bits. |~w| is
  known, so that of a whole column is part of the value that its sum starts with.

The last two are built of primitives (``compressor.py``). Their sums may start anywhere, so that a
single threshold T costs nothing: the sum starts at half the range of its type less T, and its
highest bit says whether T was reached. Start values that differ from column to column have a
table, or come with the weights, whichever is smaller: then every weight word carries a few bits of
the start value of the next column.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from math import ceil

import numpy as np

from hwgen.layers.base import RAM_STYLES, Choice, Folding, Parameter, Resources, RtlInstance
from hwgen.layers.compressor import Tree, compress
from hwgen.layers.compressor_rtl import describe
from hwgen.layers.costs import in_block, ram_luts, rom
from hwgen.layers.memory import mem_file, style_parameter
from hwgen.layers.pipeline import SPAN, adders
from hwgen.layers.stairs import area
from hwgen.quant import IntArray

DEPTH = 6  # LUTs in a row of a RippleUnit; no bound on levels is less
CONTROL = Resources(lut=24, ff=24)  # counters and valid bits
FOLDED = Resources(lut=16)  # more of that where a sum takes several cycles


@dataclass(frozen=True)
class XnorUnit(ABC):
    """Popcounts by ``weights`` (K, M), of ``bits`` bits, or whether they reach thresholds."""

    weights: IntArray = field(repr=False)
    folding: Folding
    bits: int
    thresholds: IntArray | None = field(default=None, repr=False)
    levels: int | None = None  # see pipeline.py

    @property
    def planes(self) -> int:
        """Bits of an element of the input."""
        return 1

    @property
    @abstractmethod
    def name(self) -> str:
        """What reports call it."""

    @property
    @abstractmethod
    def stages(self) -> int:
        """Registers from operands to the sum that takes them in."""

    @property
    @abstractmethod
    def cost(self) -> Resources:
        """Estimated resources."""

    @abstractmethod
    def rtl(self) -> RtlInstance:
        """The kernel instance."""

    @property
    def latency(self) -> int:
        """Cycles from operands to the finished sum: their registers, ``stages``, the sum's."""
        return self.stages + self.register + 2

    @property
    def span(self) -> int:
        """Adders between registers; the last ones of wide trees have long carry chains."""
        return adders(self.levels and self.levels - 2 * (self.folding.simd > 64))

    @property
    def word_bits(self) -> int:
        """Bits of a weight word."""
        return self.folding.pe * self.folding.simd

    @property
    def register(self) -> int:
        """Whether weights have a register behind block RAM, whose read takes several levels."""
        sf, nf = self.folds
        return int(
            self.levels is not None and in_block(self.word_bits, sf * nf, self.folding.ram_style)
        )

    @cached_property
    def folds(self) -> tuple[int, int]:
        """(SF, NF)."""
        k, m = self.weights.shape
        return k // self.folding.simd, m // self.folding.pe

    def memory_cost(self, word_bits: int) -> Resources:
        """Weights in words of so many bits, and the replay buffer where vectors are read again."""
        sf, nf = self.folds
        replays = nf > 1 and sf > 1
        replay = ram_luts(self.folding.simd * self.planes, 2 * sf) if replays else 0
        return rom(word_bits, sf * nf, self.folding.ram_style) + Resources(lut=replay)

    def words(self, weights: IntArray) -> IntArray:
        """Bits of word nf * SF + sf: W[sf * SIMD + i, nf * PE + p] at p * SIMD + i."""
        (sf, nf), (pe, simd) = self.folds, (self.folding.pe, self.folding.simd)
        tiled = weights.reshape(sf, simd, nf, pe).transpose(2, 0, 3, 1)
        return tiled.reshape(nf * sf, pe * simd)


@dataclass(frozen=True)
class AdderUnit(XnorUnit):
    """mvau_xnor.sv: adders as synthesis finds them."""

    @property
    def name(self) -> str:
        """Constants where there is one fold."""
        return "adders over constants" if self.folds == (1, 1) else "adders"

    @property
    def stages(self) -> int:
        """One for every ``span`` levels of the popcount tree (STAGES in mvau_xnor.sv)."""
        return (self.folding.simd.bit_length() - 1) // self.span

    @property
    def cost(self) -> Resources:
        """Adder tree and accumulator per PE, and the memories."""
        simd, pe = self.folding.simd, self.folding.pe
        acc, lanes = self.bits, pe * simd
        if self.folds == (1, 1):  # weights are constants and vanish into the popcount
            return Resources(lut=20 + 0.6 * lanes, ff=40 + simd + pe * 2 * acc)
        levels = 1 + max(simd - 1, 1).bit_length()
        read = (lanes + simd) * self.register
        return self.memory_cost(lanes) + Resources(
            lut=30 + 1.55 * lanes + pe * acc,
            ff=40 + simd + pe * (levels + acc + self._more_held) + read,
        )

    @property
    def _more_held(self) -> float:
        """Bits of counts, in registers that only a bound on levels asks for."""
        return 0 if self.levels is None else self.folding.simd * (1 - 1 / (1 + self.stages))

    def rtl(self) -> RtlInstance:
        """Instantiate mvau_xnor.sv."""
        k, m = self.weights.shape
        name, content = mem_file("weights", self.words(self.weights), 1)
        return RtlInstance(
            "mvau_xnor",
            {
                "K": k,
                "M": m,
                "SIMD": self.folding.simd,
                "PE": self.folding.pe,
                "ACC_BITS": self.bits,
                **style_parameter(self.folding),
                **({"SPAN": self.span} if self.span != SPAN else {}),
                **({"REGISTER": 1} if self.register else {}),
                "WEIGHTS": name,
            },
            {name: content},
        )


@dataclass(frozen=True)
class TreeUnit(XnorUnit):
    """What units of compressor trees have in common."""

    form = ""

    @property
    @abstractmethod
    def tree(self) -> str:
        """The name of a lane's tree."""

    @abstractmethod
    def trees(self) -> Mapping[str, Tree]:
        """The trees by module name."""

    @abstractmethod
    def lane_words(self) -> tuple[IntArray, IntArray]:
        """Weights as the memory holds them, and what every column's sum starts with."""

    @property
    def late(self) -> bool:
        """Whether operands stop a cycle before all else (mvau_fetch.sv)."""
        return False

    @property
    def suffix(self) -> str:
        """Of the names of modules that a bound on levels changes."""
        return "" if self.levels is None else f"_levels{self.levels}"

    @property
    def sum_bits(self) -> int:
        """Bits of a sum; with a sign for thresholds."""
        return len(self.weights).bit_length() + (self.thresholds is not None)

    @cached_property
    def starts(self) -> IntArray:
        """Start value of every column, as (NF, PE)."""
        _, start = self.lane_words()
        if self.thresholds is not None:
            reachable = np.clip(self.thresholds, 0, len(self.weights) + 1)
            start = start + (1 << (self.sum_bits - 1)) - reachable
        return np.asarray(start % (1 << self.sum_bits)).reshape(self.folds[1], self.folding.pe)

    @property
    def varied(self) -> bool:
        """Whether start values have to be kept; costs must not depend on weights."""
        return self.folds[1] > 1 and (self.form == "and" or self.thresholds is not None)

    @property
    def extra(self) -> int:
        """Bits of a start value in every weight word of the column before; 0 where it has none."""
        (sf, nf), pe = self.folds, self.folding.pe
        if not self.varied:
            return 0
        extra, word = ceil(self.sum_bits / sf), pe * self.folding.simd
        style = self.folding.ram_style
        with_weights = rom(word + pe * extra, sf * nf, style)
        apart = rom(word, sf * nf, style) + self.table
        return extra if area(with_weights) <= area(apart) else 0

    @property
    def table(self) -> Resources:
        """Of start values, and the counter that finds them."""
        nf = self.folds[1]
        counter = Resources(lut=2 + nf.bit_length(), ff=nf.bit_length())
        return rom(self.folding.pe * self.sum_bits, nf) + counter

    @property
    def lane_cost(self) -> Resources:
        """A tree, a sum and its start value, the output."""
        tree, bits = self.trees()[self.tree], self.sum_bits
        out = 1 if self.thresholds is not None else bits
        hold = bits if self.folds[0] > 1 else 0
        start = bits + self.extra * min(self.stages, 2) if self.extra else 0  # a table has its own
        return Resources(
            lut=tree.luts + bits + self.extra * (self.stages > 2),
            ff=_registers(tree) + hold + start + out,
        )

    def total(self, lane: Resources, shared: Resources) -> Resources:
        """Of all lanes and what they share."""
        pe, simd = self.folding.pe, self.folding.simd
        lanes = Resources(lut=pe * lane.lut, ff=pe * lane.ff)
        memory = self.memory_cost(pe * (simd + self.extra))
        held = simd * self.planes
        read = Resources(ff=self.register * (self.word_bits + held))
        control = CONTROL + FOLDED if self.folds[0] > 1 else CONTROL
        if self.varied and not self.extra:
            control += self.table
        return control + Resources(ff=held) + memory + read + lanes + shared

    def rtl(self) -> RtlInstance:
        """Render the module of this shape, and its trees."""
        from hwgen.render import render  # noqa: PLC0415  only a build needs jinja2

        weights, _ = self.lane_words()
        name, content = mem_file("weights", self._memory(weights), 1)
        trees = {
            tree: render("structural/compressor.sv.j2", describe(shape, tree))
            for tree, shape in self.trees().items()
        }
        module = self._module()
        source = render("structural/mvau_binary.sv.j2", {"name": module, **self._context()})
        parameters: dict[str, Parameter] = {"WEIGHTS": name}
        memories = {name: content}
        if self.varied and not self.extra:
            parameters["STARTS"], table = mem_file("starts", self.starts, self.sum_bits)
            memories[str(parameters["STARTS"])] = table
        else:
            parameters["START"] = tuple(int(x) for x in self.starts[0])
        return RtlInstance(module, parameters, memories, {**trees, module: source})

    def _memory(self, weights: IntArray) -> IntArray:
        """Weight words, with start values above: those of the next column, lowest bits first."""
        words = self.words(weights)
        if not self.extra:
            return words
        (sf, nf), extra, bits = self.folds, self.extra, self.sum_bits
        values = np.roll(self.starts, -1, axis=0)  # (NF, PE)
        stream = np.zeros((nf, self.folding.pe, sf * extra), np.int64)
        stream[..., sf * extra - bits :] = values[..., None] >> np.arange(bits) & 1
        by_word = stream.reshape(nf, self.folding.pe, sf, extra).transpose(0, 2, 1, 3)
        return np.concatenate([words, by_word.reshape(nf * sf, -1)], axis=1)

    def _module(self) -> str:
        """A name for the shape."""
        k, m = self.weights.shape
        kind = "sign" if self.thresholds is not None else f"b{self.bits}"
        shape = f"k{k}_m{m}_simd{self.folding.simd}_pe{self.folding.pe}"
        style = "" if self.folding.ram_style == "auto" else f"_{self.folding.ram_style}"
        return f"mvau_{self.form}_{shape}_{kind}{style}{self.suffix}"

    def _context(self) -> dict[str, object]:
        """What the module's template needs."""
        k, m = self.weights.shape
        x_bits = len(self.trees()[self.tree].result)
        return {
            "form": self.form,
            "k": k,
            "m": m,
            "simd": self.folding.simd,
            "pe": self.folding.pe,
            "planes": self.planes,
            "signed": False,
            "sign": self.thresholds is not None,
            "sum_bits": self.sum_bits,
            "out_bits": 1 if self.thresholds is not None else self.bits,
            "x_bits": x_bits,
            "in_bits": min(x_bits, self.sum_bits),
            "extra": self.extra,
            "table": self.varied and not self.extra,
            "columns": self.folds[1],
            "column_bits": max(1, (self.folds[1] - 1).bit_length()),
            "stages": self.stages,
            "register": self.register,
            "late": int(self.late),
            "hold": int(self.folds[0] > 1),
            "style": RAM_STYLES.index(self.folding.ram_style),
            "tree": self.tree,
        }


@dataclass(frozen=True)
class RippleUnit(TreeUnit):
    """Agreements added in pairs."""

    form = "ripple"

    @property
    def name(self) -> str:
        """What reports call it."""
        return "XNOR pairs, compressor tree"

    @property
    def tree(self) -> str:
        """By its operands."""
        return f"tree_pairs_{self.folding.simd}{self.suffix}"

    @property
    def stages(self) -> int:
        """One register behind the pairs."""
        return 1 + self.trees()[self.tree].stages

    @property
    def pairs(self) -> tuple[int, int]:
        """LUTs that add pairs, and the rows they stand in."""
        pairs = (self.folding.simd + 1) // 2
        return pairs, ceil(pairs / DEPTH)

    def trees(self) -> Mapping[str, Tree]:
        """Of twos by pair and ones by row."""
        pairs, rows = self.pairs
        return {self.tree: tree_of((1,) * pairs + (0,) * rows, 0, self.span)}

    def lane_words(self) -> tuple[IntArray, IntArray]:
        """The weights; sums start with nothing."""
        return self.weights, np.zeros(self.weights.shape[1], np.int64)

    @property
    def cost(self) -> Resources:
        """Pairs and their registers."""
        pairs, rows = self.pairs
        return self.total(self.lane_cost + Resources(lut=pairs, ff=pairs + rows), Resources())

    def _context(self) -> dict[str, object]:
        pairs, rows = self.pairs
        return {**TreeUnit._context(self), "pairs": pairs, "rows": rows, "depth": DEPTH}


@dataclass(frozen=True)
class AndUnit(TreeUnit):
    """~a & ~w in resets of flip-flops."""

    form = "and"
    register = 0  # the ANDs are one

    @property
    def name(self) -> str:
        """What reports call it."""
        return "AND in flip-flop resets, compressor tree"

    @property
    def late(self) -> bool:
        """Resets do not wait for an enable: in one fold, LUTs make them wait."""
        return self.folds[0] > 1

    @property
    def tree(self) -> str:
        """By its operands; the count of a vector of given length comes at a given time."""
        return f"tree_ands_{self.folding.simd}{self.suffix}"

    @property
    def ones_tree(self) -> str:
        """The tree that counts activations."""
        return f"tree_ones_{self.folding.simd}{self.suffix}"

    @property
    def stages(self) -> int:
        """One register is the AND."""
        return 1 + self.trees()[self.tree].stages

    def trees(self) -> Mapping[str, Tree]:
        """Of ones among activations, and of the ANDs and these ones."""
        simd = self.folding.simd
        ones = tree_of((0,) * simd, 0, self.span)
        late = _ones_stages(ones) - 1  # the ANDs have one register before them
        columns = tuple(range(len(ones.result)))
        return {self.ones_tree: ones, self.tree: tree_of((1,) * simd, late, self.span, columns)}

    def lane_words(self) -> tuple[IntArray, IntArray]:
        """The inverse weights; sums start with - |~w|."""
        inverse = 1 - self.weights
        return inverse, -inverse.sum(axis=0)

    @property
    def cost(self) -> Resources:
        """A flip-flop for every AND; shared, the count of ones and what delays resets."""
        simd, ones = self.folding.simd, self.trees()[self.ones_tree]
        delay = 0 if ones.levels and ones.levels % self.span == 0 else len(ones.result)
        gate = 0 if self.late else simd
        shared = Resources(lut=ones.luts + gate, ff=_registers(ones) + delay)
        return self.total(self.lane_cost + Resources(ff=simd), shared)

    def _context(self) -> dict[str, object]:
        ones = self.trees()[self.ones_tree]
        return {
            **TreeUnit._context(self),
            "ones_tree": self.ones_tree,
            "ones_bits": len(ones.result),
            "ones_delay": _ones_stages(ones) - ones.stages,
        }


def xnor_units(
    weights: IntArray,
    folding: Folding,
    bits: int,
    thresholds: IntArray | None = None,
    levels: int | None = None,
) -> tuple[XnorUnit, ...]:
    """Every circuit; with thresholds, those that take them in."""
    kinds = (AdderUnit, RippleUnit, AndUnit) if thresholds is None else (RippleUnit, AndUnit)
    return tuple(kind(weights, folding, bits, thresholds, levels) for kind in kinds)


def smallest(units: tuple[XnorUnit, ...]) -> XnorUnit:
    """The unit of least area."""
    return min(units, key=lambda unit: area(unit.cost))


def choose(units: tuple[XnorUnit, ...]) -> Choice:
    """The smallest, as reports explain it."""
    chosen = smallest(units)
    why = "smallest"
    if isinstance(chosen, AndUnit):
        why = f"smallest; {chosen.folding.simd} reset nets of {chosen.folding.pe} flip-flops each"
    return Choice(chosen.name, why, {unit.name: unit.cost for unit in units})


@cache
def tree_of(early: tuple[int, ...], late: int, span: int, columns: tuple[int, ...] = ()) -> Tree:
    """Over bits of columns ``early``, and a number's ``columns`` that come ``late`` stages on.

    A register is behind every ``span`` levels.
    """
    heap = tuple((c, 0) for c in early) + tuple((c, late * span) for c in columns)
    return compress(heap, span)


@cache
def _registers(tree: Tree) -> int:
    """Flip-flops between a tree's stages."""
    return sum(map(len, tree.registers()))


def _ones_stages(ones: Tree) -> int:
    """Registers behind the count of activations: whole stages, at least one."""
    return max(1, ceil(ones.levels / ones.span))
