"""Matrix-vector-activation units: the arithmetic of every convolution and linear layer."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

import numpy as np

from hwgen.errors import FoldingError
from hwgen.layers.base import (
    RAM_STYLES,
    Call,
    Choice,
    FinnNode,
    Folding,
    Layer,
    Resources,
    RtlInstance,
    Schedule,
    divisors,
)
from hwgen.layers.costs import in_block, known_rom, ram_luts, ram_styles, rom
from hwgen.layers.memory import mem_file, style_parameter
from hwgen.layers.multiplier import Multiplier
from hwgen.layers.pipeline import SPAN, adders
from hwgen.layers.signs_unit import SignsUnit
from hwgen.layers.stairs import area
from hwgen.layers.xnor_unit import XnorUnit, choose, smallest, xnor_units
from hwgen.quant import BINARY, IntArray, IntType, Range


@dataclass(frozen=True, slots=True)
class Mvau(Layer):
    """(H, W, K) to (H, W, M) by weights (K, M), ``simd`` rows and ``pe`` columns a cycle."""

    words: ClassVar[tuple[str, ...]] = ("ram_style",)

    weights: IntArray = field(repr=False)

    @property
    def matrix(self) -> tuple[int, int]:
        """(K, M)."""
        k, m = self.weights.shape
        return k, m

    def fold(self, folding: Folding) -> tuple[int, int]:
        """(synapse folds K / SIMD, neuron folds M / PE)."""
        k, m = self.matrix
        return k // folding.simd, m // folding.pe

    def check_shapes(self) -> None:
        """The weight matrix fits the tensors."""
        h, w, c = self.input.shape
        k, m = self.matrix
        if c != k or self.output.shape != (h, w, m):
            raise self.fail(f"{self.input.shape} by weights {k}x{m} gives {self.output.shape}")

    def check_range(self, lo: int, hi: int) -> None:
        """The output type holds every sum that can occur."""
        if lo < self.output.dtype.lo or hi > self.output.dtype.hi:
            raise self.fail(f"sums reach [{lo}, {hi}], outside {self.output.dtype}")

    @property
    def weight_bits(self) -> int:
        """Bits of a weight in memory."""
        return 1

    def foldings(self) -> Iterator[Folding]:
        """SIMD divides K, PE divides M, FINN's rule; and where the weights lie."""
        (k, m), bits = self.matrix, self.weight_bits
        for simd in divisors(k):
            for pe in divisors(m):
                styles = ram_styles(pe * simd * bits, k * m // (pe * simd))
                yield from (Folding(pe, simd, style) for style in styles)

    def read_settings(self, settings: Mapping[str, int]) -> Folding:
        """PE, SIMD and ram_style."""
        style = str(settings.get("ram_style", "auto"))
        if style not in RAM_STYLES:
            raise FoldingError(
                f"layer {self.name}: ram_style {style!r} is not one of {', '.join(RAM_STYLES)}"
            )
        return replace(Layer.read_settings(self, settings), ram_style=style)

    def lanes(self, folding: Folding) -> tuple[int, int]:
        """SIMD elements in, PE elements out."""
        return folding.simd, folding.pe

    def cycles(self, folding: Folding) -> int:
        """Pixels times synapse folds times neuron folds."""
        sf, nf = self.fold(folding)
        return self.input.pixels * sf * nf

    def schedule(self, folding: Folding) -> Schedule:
        """A vector is read once and replayed from a two-vector buffer for further neuron folds.

        One of a single beat waits at the input instead.
        """
        sf, nf = self.fold(folding)
        pixel, n, s = np.ogrid[: self.input.pixels, :nf, :sf]
        need = pixel * sf + np.where(n == 0, s + 1, sf)
        free = pixel * sf + np.where(n == nf - 1, s + 1, 0)
        emit = pixel * nf + n + (s == sf - 1)
        replays = nf > 1 and sf > 1
        return Schedule(
            need=np.ascontiguousarray(need).reshape(-1),
            free=np.ascontiguousarray(free).reshape(-1),
            emit=np.ascontiguousarray(emit).reshape(-1),
            buffer=2 * sf if replays else 0,
            latency=self.pipeline(folding) + replays,  # the replay buffer takes a cycle
        )

    @abstractmethod
    def pipeline(self, folding: Folding) -> int:
        """Registers from an operand to the finished sum; equals the kernel's."""

    def weight_memory(self, folding: Folding, weights: IntArray, bits: int) -> tuple[str, bytes]:
        """Word nf * SF + sf holds W[sf * SIMD + i, nf * PE + p] at bit (p * SIMD + i) * bits."""
        sf, nf = self.fold(folding)
        tiled = weights.reshape(sf, folding.simd, nf, folding.pe)
        rows = tiled.transpose(2, 0, 3, 1).reshape(nf * sf, folding.pe * folding.simd)
        return mem_file("weights", rows, bits)

    def memory_cost(self, folding: Folding, weight_bits: int) -> Resources:
        """Weight ROM, and the replay buffer of two vectors where they are read again."""
        sf, nf = self.fold(folding)
        width = folding.pe * folding.simd * weight_bits
        replays = nf > 1 and sf > 1
        replay = ram_luts(folding.simd * self.input.dtype.bits, 2 * sf) if replays else 0
        return rom(width, sf * nf, folding.ram_style) + Resources(lut=replay)


@dataclass(frozen=True, slots=True)
class XnorMvau(Mvau):
    """Popcount of XNOR over K bits: y = sum_k xnor(x_k, W[k, m]), in [0, K]."""

    finn_ops: ClassVar[tuple[str, ...]] = ("MVAU:xnor",)

    @classmethod
    def from_finn(cls, node: FinnNode) -> Self:
        """Read an MVAU with binaryXnorMode (FINN: matrixvectoractivation)."""
        return cls(node.name, node.inputs, node.outputs, node.constants[0])

    def check(self) -> None:
        """Bits in, bits as weights, popcounts 0..K out (K = 2^n needs n + 1 bits)."""
        self.check_shapes()
        if self.input.dtype != BINARY or not np.isin(self.weights, (0, 1)).all():
            raise self.fail("an XNOR product needs 1-bit inputs and weights")
        self.check_range(0, self.matrix[0])

    def pipeline(self, folding: Folding) -> int:
        """That of the chosen unit."""
        return self.unit(folding).latency

    def ranges(self, *inputs: Range) -> tuple[Range, ...]:
        """Popcounts of K bits."""
        del inputs
        return ((0, self.matrix[0]),)

    def call(self) -> Call:
        """Call ``ops.xnor_matmul``."""
        return Call("xnor_matmul", {}, {"weights": self.weights})

    def units(self, folding: Folding) -> tuple[XnorUnit, ...]:
        """Every circuit that computes the layer."""
        return xnor_units(self.weights, folding, self.output.dtype.bits, levels=self.levels)

    def unit(self, folding: Folding) -> XnorUnit:
        """The smallest of them."""
        return smallest(self.units(folding))

    def choice(self, folding: Folding) -> Choice:
        """The units with their costs."""
        return choose(self.units(folding))

    def resources(self, folding: Folding) -> Resources:
        """Those of the chosen unit."""
        return self.unit(folding).cost

    def binary_lanes(self, folding: Folding) -> int:
        """PE * SIMD."""
        return folding.pe * folding.simd

    def rtl(self, folding: Folding) -> RtlInstance:
        """Instantiate the chosen unit."""
        return self.unit(folding).rtl()


@dataclass(frozen=True, slots=True)
class IntMvau(Mvau):
    """Integer product: y = bias[m] + sum_k x_k * W[k, m]."""

    finn_ops: ClassVar[tuple[str, ...]] = ("MVAU",)

    bias: IntArray = field(repr=False)

    @classmethod
    def from_finn(cls, node: FinnNode) -> Self:
        """Read an MVAU without binaryXnorMode; a second constant is a fused bias."""
        weights = node.constants[0]
        bias = np.zeros(weights.shape[1], np.int64)
        if len(node.constants) > 1:
            bias = bias + node.constants[1].reshape(-1)
        return cls(node.name, node.inputs, node.outputs, weights, bias)

    @property
    def multiplier(self) -> Multiplier:
        """What a lane multiplies with."""
        return Multiplier.of(self.input.dtype, self.weights)

    @property
    def weight_bits(self) -> int:
        """As the multiplier takes them."""
        return self.multiplier.weight_bits

    def check(self) -> None:
        """No sum of any order leaves the accumulator, which has at most 32 bits."""
        self.check_shapes()
        corners = np.stack([self.weights * self.input.dtype.lo, self.weights * self.input.dtype.hi])
        lo = int(np.min(np.minimum(corners.min(axis=0), 0).sum(axis=0) + np.minimum(self.bias, 0)))
        hi = int(np.max(np.maximum(corners.max(axis=0), 0).sum(axis=0) + np.maximum(self.bias, 0)))
        if IntType.holding(lo, hi).bits > 32:
            raise self.fail(f"sums reach [{lo}, {hi}], more than 32 bits")
        self.check_range(lo, hi)

    def signs(self, folding: Folding) -> SignsUnit | None:
        """The circuit for weights of +1 and -1, where they are and where it is the smallest."""
        unit = self._signs(folding)
        return unit if unit and area(unit.cost) < area(self._products(folding)) else None

    def _signs(self, folding: Folding) -> SignsUnit | None:
        if not self.multiplier.bipolar:
            return None
        bits, acc = self.multiplier.encoded(self.weights), self.output.dtype.bits
        return SignsUnit(bits, folding, acc, None, self.levels, self.input.dtype, self.bias)

    def choice(self, folding: Folding) -> Choice | None:
        """Products or agreements, where weights are signs."""
        unit = self._signs(folding)
        if not unit:
            return None
        costs = {"products": self._products(folding), unit.name: unit.cost}
        return Choice(min(costs, key=lambda name: area(costs[name])), "smallest", costs)

    def pipeline(self, folding: Folding) -> int:
        """Three, and those that the adder tree (STAGES in mvau_int.sv) and weights have."""
        if unit := self.signs(folding):
            return unit.latency
        stages = (folding.simd - 1).bit_length() // self.span
        return 3 + stages + self.register(folding)

    @property
    def span(self) -> int:
        """Adders between registers; fewer among DSP blocks, of which the first adds nothing."""
        if self.levels is None or not self.multiplier.dsp:
            return adders(self.levels)
        return min(2, max(1, adders(self.levels) - 1))

    def register(self, folding: Folding) -> int:
        """Whether operands have a register behind the weights' read: of block RAM, before DSPs.

        A read of block RAM takes several levels; a DSP block has the register inside.
        """
        sf, nf = self.fold(folding)
        width = folding.pe * folding.simd * self.weight_bits
        block = in_block(width, sf * nf, folding.ram_style)
        return int(self.levels is not None and (block or self.multiplier.dsp))

    def ranges(self, *inputs: Range) -> tuple[Range, ...]:
        """Every column's sum with each input at the end that its weight makes worst."""
        ((lo, hi),) = inputs
        ends = np.stack([self.weights * lo, self.weights * hi])
        least, most = ends.min(axis=0).sum(axis=0), ends.max(axis=0).sum(axis=0)
        return ((int((least + self.bias).min()), int((most + self.bias).max())),)

    def call(self) -> Call:
        """Call ``ops.matmul``."""
        return Call("matmul", {}, {"weights": self.weights, "bias": self.bias})

    def resources(self, folding: Folding) -> Resources:
        """Those of the chosen circuit."""
        unit = self.signs(folding)
        return unit.cost if unit else self._products(folding)

    def _products(self, folding: Folding) -> Resources:
        """A multiplier a lane, an adder tree per PE, and the memories.

        DSP blocks have registers, the first two adders, and the accumulator of a lone lane.
        """
        acc, mult, pe, simd = self.output.dtype.bits, self.multiplier, folding.pe, folding.simd
        if mult.dsp:
            summing = 0.6 * max(simd - 3, 0) * (mult.product_bits + 1) + acc * (simd > 1)
        else:
            summing = (simd - 1) * (mult.product_bits + 1) + acc
        held = mult.weight_bits / 2 if mult.dsp else mult.product_bits
        sums = simd > 1 if mult.dsp else 1 + (simd - 1).bit_length() // self.span
        if self.levels is not None:  # between the adders; beside block RAM, if not within DSPs
            held += mult.product_bits * (1 - self.span / SPAN)
            held += mult.weight_bits * (self.register(folding) and not mult.dsp)
        return (
            self.memory_cost(folding, mult.weight_bits)
            + known_rom(self.bias.reshape(-1, pe), acc)
            + mult.resources(pe * simd)
            + Resources(lut=40 + pe * summing, ff=40 + pe * (simd * held + sums * acc))
        )

    def rtl(self, folding: Folding) -> RtlInstance:
        """Instantiate mvau_int.sv; bias word nf holds PE accumulator start values."""
        if unit := self.signs(folding):
            return unit.rtl()
        k, m = self.matrix
        mult, acc = self.multiplier, self.output.dtype.bits
        encoded = mult.encoded(self.weights)
        weights, weight_words = self.weight_memory(folding, encoded, mult.weight_bits)
        bias, bias_words = mem_file("bias", self.bias.reshape(-1, folding.pe), acc)
        return RtlInstance(
            "mvau_int",
            {
                "K": k,
                "M": m,
                "SIMD": folding.simd,
                "PE": folding.pe,
                **mult.parameters,
                "ACC_BITS": acc,
                **style_parameter(folding),
                **({"SPAN": self.span} if self.span != SPAN else {}),
                **({"REGISTER": 1} if self.register(folding) else {}),
                "WEIGHTS": weights,
                "BIAS": bias,
            },
            {weights: weight_words, bias: bias_words},
        )
