"""What a network computes, layer by layer, before anything is built: work and parameters.

Work is counted as in the ReActNet paper (arXiv 2003.03488): BOPs are binary and FLOPs real
multiply-accumulates of convolutions and linear layers, and OPs = BOPs / 64 + FLOPs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """A convolution or linear layer. Shapes are (C, H, W) or (C,); ``bits`` those of a weight."""

    name: str
    input: tuple[int, ...]
    output: tuple[int, ...]
    binary_macs: int
    real_macs: int
    parameters: int
    bits: int

    @classmethod
    def of(
        cls,
        name: str,
        shapes: tuple[Sequence[int], Sequence[int]],
        weights: tuple[int, int],
        *,
        binary: bool,
    ) -> Row:
        """The row of a layer with ``weights`` = (how many, bits each), each used once a pixel."""
        before, behind = (tuple(int(n) for n in shape) for shape in shapes)
        pixels = 1
        for side in behind[1:]:
            pixels *= side
        count, bits = weights
        macs = pixels * count
        work = (macs, 0) if binary else (0, macs)
        return cls(name, before, behind, *work, count, bits)


@dataclass(frozen=True, slots=True)
class Summary:
    """All rows of a network, and its parameters beside the weights (norms, thresholds, slopes)."""

    name: str
    rows: tuple[Row, ...]
    other_parameters: int

    @property
    def bops(self) -> int:
        """Binary multiply-accumulates an image."""
        return sum(row.binary_macs for row in self.rows)

    @property
    def flops(self) -> int:
        """Real multiply-accumulates an image."""
        return sum(row.real_macs for row in self.rows)

    @property
    def ops(self) -> float:
        """BOPs / 64 + FLOPs."""
        return self.bops / 64 + self.flops

    @property
    def weight_bits(self) -> int:
        """Bits of all weights."""
        return sum(row.parameters * row.bits for row in self.rows)

    def to_json(self) -> dict[str, Any]:
        """Everything, totals included."""
        return {
            "name": self.name,
            "layers": [asdict(row) for row in self.rows],
            "bops": self.bops,
            "flops": self.flops,
            "ops": self.ops,
            "weights": sum(row.parameters for row in self.rows),
            "weight_bits": self.weight_bits,
            "other_parameters": self.other_parameters,
        }
