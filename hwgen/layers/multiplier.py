"""How a lane of an integer product multiplies: in LUTs where these are few, else in a DSP block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from hwgen.layers.base import Resources
from hwgen.quant import IntArray, IntType

DSP_LUTS = 52  # more LUTs than this and a DSP block is the better multiplier


@dataclass(frozen=True, slots=True)
class Multiplier:
    """One multiply.sv: inputs ``a`` by weights ``w``, which are signs where ``bipolar``."""

    a: IntType
    w: IntType
    bipolar: bool

    @classmethod
    def of(cls, a: IntType, weights: IntArray) -> Self:
        """The smallest for an input type and the weights themselves."""
        w = IntType.holding(int(weights.min()), int(weights.max()))
        return cls(a, w, bool(np.isin(weights, (-1, 1)).all()))

    @property
    def weight_bits(self) -> int:
        """Bits of a weight in memory."""
        return 1 if self.bipolar else self.w.bits

    @property
    def product_bits(self) -> int:
        """As multiply.sv has it."""
        unsigned = not (self.a.signed or self.w.signed or self.bipolar)
        return self.a.bits + self.weight_bits + unsigned

    @property
    def luts(self) -> float:
        """LUTs of the product without a DSP block; fitted to Yosys."""
        narrow, wide = sorted((self.a.bits, self.weight_bits))
        if narrow == 1:
            return wide * self.bipolar
        return (1.05 if narrow <= 4 else 1.5) * narrow * wide

    @property
    def dsp(self) -> bool:
        """Whether a DSP block does it."""
        return self.luts > DSP_LUTS

    def encoded(self, weights: IntArray) -> IntArray:
        """Weights as memory holds them: bits for signs."""
        return (weights + 1) // 2 if self.bipolar else weights

    def resources(self, lanes: int) -> Resources:
        """What ``lanes`` products cost."""
        return Resources(dsp=lanes) if self.dsp else Resources(lut=self.luts * lanes)

    @property
    def parameters(self) -> dict[str, int]:
        """As multiply.sv and what instantiates it have them."""
        return {
            "A_BITS": self.a.bits,
            "A_SIGNED": int(self.a.signed),
            "W_BITS": self.weight_bits,
            "W_SIGNED": int(self.w.signed and not self.bipolar),
            "W_BIPOLAR": int(self.bipolar),
            "DSP": int(self.dsp),
        }
