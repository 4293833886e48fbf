"""A network as its host sees it: what goes over the line, and what it means."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hwgen.backends.uart import SHAPES
from hwgen.errors import UserInputError
from hwgen.images import require_images, to_integers
from hwgen.layers.axis import AxisIn, AxisOut
from hwgen.quant import IntArray, IntType, Scaling, Tensor


@dataclass(frozen=True, slots=True)
class Design:
    """host/shapes.json of a build; ``classes``: results are places, best first, not scores."""

    build_id: int
    baud: int
    input: AxisIn
    output: AxisOut
    scaling: Scaling
    classes: bool
    clock_mhz: float
    frames_per_second: float

    @classmethod
    def read(cls, build: Path) -> Self:
        """The design of a build folder; ``UserInputError`` if its board has no serial line."""
        path = build / SHAPES
        if not path.is_file():
            raise UserInputError(
                f"{build} was not built for a board with a serial line ({SHAPES} is missing); "
                "hwgen boards lists them, docs/boards says how the others run"
            )
        values: dict[str, Any] = json.loads(path.read_text())
        bus = int(values["bus_bytes"])
        scaling = (
            *("input_scale", "output_scale", "output_offset"),
            *("input_steps", "input_limits"),
        )
        return cls(
            build_id=int(values["build_id"], 16),
            baud=int(values["baud"]),
            input=AxisIn.of("input", _tensor("input", values["input"]), bus),
            output=AxisOut.of("output", _tensor("output", values["output"]), bus),
            scaling=Scaling.parse({key: values[key] for key in scaling}),
            classes=bool(values["classes"]),
            clock_mhz=float(values["clock_mhz"]),
            frames_per_second=float(values["frames_per_second"]),
        )

    def to_bytes(self, images: NDArray[Any]) -> bytes:
        """What the line carries of images: floats (N, C, H, W), or integers (N, H, W, C)."""
        require_images(self.input.input, images)
        return self.input.to_bytes(to_integers(self.input.input, self.scaling, images)).tobytes()

    def from_bytes(self, data: bytes) -> IntArray:
        """Results of what the line carried: (N, C) where they are 1 by 1, else (N, H, W, C)."""
        results = self.output.from_bytes(data)
        return results[:, 0, 0] if self.output.input.pixels == 1 else results

    def classes_of(self, results: IntArray) -> IntArray:
        """The best class (N) of every result."""
        flat = results.reshape(len(results), -1)
        return flat[:, 0] if self.classes else np.argmax(flat, axis=1)

    def line_limit(self, baud: int) -> float:
        """Images a second that a line can carry with nothing but images, or results, on it."""
        return baud / 10 / max(self.input.frame_bytes, self.output.frame_bytes)


def _tensor(name: str, values: dict[str, Any]) -> Tensor:
    h, w, c = values["shape"]
    return Tensor(name, (h, w, c), IntType(values["bits"], signed=values["signed"]))
