"""Depthwise product: every channel of a convolution by its own kernel."""

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
)
from hwgen.layers.costs import in_block, known_rom, one_port_luts, rom
from hwgen.layers.memory import mem_file
from hwgen.layers.multiplier import Multiplier
from hwgen.quant import IntArray, IntType, Range


@dataclass(frozen=True, slots=True)
class Depthwise(Layer):
    """(H, W, taps * C) to (H, W, C): y[c] = bias[c] + sum over t of x[t, c] * W[t, c].

    It reads the patches of a sliding window as they come, tap by tap and channels fastest, and
    keeps a sum for every channel.
    """

    finn_ops: ClassVar[tuple[str, ...]] = ("VVAU",)

    weights: IntArray = field(repr=False)
    bias: IntArray = field(repr=False)

    @classmethod
    def from_finn(cls, node: FinnNode) -> Self:
        """Read a VVAU without thresholds; a second constant is a fused bias."""
        kernels = node.constants[0]  # (C, 1, ky, kx)
        weights = np.ascontiguousarray(kernels.reshape(len(kernels), -1).T)
        bias = np.zeros(len(kernels), np.int64)
        if len(node.constants) > 1:
            bias = bias + node.constants[1].reshape(-1)
        return cls(node.name, node.inputs, node.outputs, weights, bias)

    @property
    def weight_type(self) -> IntType:
        """The smallest type that holds every weight."""
        return IntType.holding(int(self.weights.min()), int(self.weights.max()))

    @property
    def multiplier(self) -> Multiplier:
        """What a lane multiplies with."""
        return Multiplier.of(self.input.dtype, self.weights)

    def fold(self, folding: Folding) -> int:
        """Beats a tap."""
        return self.output.channels // folding.pe

    def check(self) -> None:
        """Shapes fit, and no sum of any order leaves the output type, of at most 32 bits."""
        h, w, k = self.input.shape
        taps, channels = self.weights.shape
        if k != taps * channels or self.output.shape != (h, w, channels):
            raise self.fail(f"{self.input.shape} by {taps} taps gives {self.output.shape}")
        corners = np.stack([self.weights * self.input.dtype.lo, self.weights * self.input.dtype.hi])
        lo = int(np.min(np.minimum(corners.min(axis=0), 0).sum(axis=0) + np.minimum(self.bias, 0)))
        hi = int(np.max(np.maximum(corners.max(axis=0), 0).sum(axis=0) + np.maximum(self.bias, 0)))
        if self.output.dtype.bits > 32:
            raise self.fail(f"sums reach [{lo}, {hi}], more than 32 bits")
        if lo < self.output.dtype.lo or hi > self.output.dtype.hi:
            raise self.fail(f"sums reach [{lo}, {hi}], outside {self.output.dtype}")

    def call(self) -> Call:
        """Call ``ops.depthwise``."""
        return Call("depthwise", {}, {"weights": self.weights, "bias": self.bias})

    def ranges(self, *inputs: Range) -> tuple[Range, ...]:
        """Every channel's sum with each input at the end that its weight makes worst."""
        ((lo, hi),) = inputs
        ends = np.stack([self.weights * lo, self.weights * hi])
        least, most = ends.min(axis=0).sum(axis=0), ends.max(axis=0).sum(axis=0)
        return ((int((least + self.bias).min()), int((most + self.bias).max())),)

    def foldings(self) -> Iterator[Folding]:
        """PE divides the channels."""
        return lane_foldings(self.output.channels)

    def lanes(self, folding: Folding) -> tuple[int, int]:
        """PE in and out."""
        return folding.pe, folding.pe

    def cycles(self, folding: Folding) -> int:
        """One beat a cycle."""
        return self.input.size // folding.pe

    def schedule(self, folding: Folding) -> Schedule:
        """Sums leave with the last tap of their patch."""
        beats, fold = self.cycles(folding), self.fold(folding)
        count = np.arange(1, beats + 1, dtype=np.int64)
        last = np.arange(beats) // fold % len(self.weights) == len(self.weights) - 1
        emit, latency = np.cumsum(last, dtype=np.int64), 3 + self.register(folding)
        return Schedule(need=count, free=count, emit=emit, buffer=0, latency=latency)

    def register(self, folding: Folding) -> int:
        """Whether operands have a register behind weights in block RAM, whose read is slow."""
        width = folding.pe * self.multiplier.weight_bits
        block = in_block(width, len(self.weights) * self.fold(folding))
        return int(self.levels is not None and block)

    def resources(self, folding: Folding) -> Resources:
        """A multiplier and an adder a lane, weights, and the sums in LUTRAM."""
        fold, acc = self.fold(folding), folding.pe * self.output.dtype.bits
        words = len(self.weights) * fold
        bias = known_rom(self.bias.reshape(fold, folding.pe), self.output.dtype.bits)
        tables = rom(folding.pe * self.multiplier.weight_bits, words) + bias
        memory = one_port_luts(acc, fold) if fold > 1 else 0
        lanes = self.multiplier.resources(folding.pe)
        held = self.input.dtype.bits + self.multiplier.product_bits
        data = 8 if self.multiplier.dsp else folding.pe * held
        if self.register(folding) and not self.multiplier.dsp:
            data += folding.pe * (self.input.dtype.bits + self.multiplier.weight_bits)
        return tables + lanes + Resources(lut=22 + acc + memory, ff=24 + data + acc)

    def rtl(self, folding: Folding) -> RtlInstance:
        """Instantiate depthwise.sv; word tap * FOLD + f holds W[tap, f * PE + p]."""
        taps, channels = self.weights.shape
        mult, acc = self.multiplier, self.output.dtype.bits
        rows = mult.encoded(self.weights).reshape(-1, folding.pe)
        weights, weight_words = mem_file("weights", rows, mult.weight_bits)
        bias, bias_words = mem_file("bias", self.bias.reshape(-1, folding.pe), acc)
        return RtlInstance(
            "depthwise",
            {
                "TAPS": taps,
                "CHANNELS": channels,
                "PE": folding.pe,
                **mult.parameters,
                "ACC_BITS": acc,
                **({"REGISTER": 1} if self.register(folding) else {}),
                "WEIGHTS": weights,
                "BIAS": bias,
            },
            {weights: weight_words, bias: bias_words},
        )
