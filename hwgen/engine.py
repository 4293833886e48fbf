"""What every engine returns, and the comparison that nothing may pass with a difference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.errors import MismatchError
from hwgen.layers import TopK
from hwgen.quant import IntArray, QuantGraph


@dataclass(frozen=True, slots=True)
class EngineRun:
    """One run of an engine over N frames.

    ``output`` is (N, H, W, C) int64; ``tensors`` holds the layer outputs that were recorded, by
    tensor name, each (N, H, W, C); ``stats`` what the engine measured (cycles, for example).
    """

    output: IntArray
    seconds: float
    tensors: Mapping[str, IntArray] = field(default_factory=dict)
    stats: Mapping[str, float] = field(default_factory=dict)


def interpret(graph: QuantGraph, frames: IntArray, *, keep: bool = True) -> dict[str, IntArray]:
    """Run the integer graph on frames (N, H, W, C); every tensor by name, or only the output."""
    values = {graph.input.name: frames}
    for layer in graph.layers:
        inputs = [values[t.name] if keep else values.pop(t.name) for t in layer.inputs]
        values.update(zip((t.name for t in layer.outputs), layer.evaluate(*inputs), strict=True))
    return values


def chosen(graph: QuantGraph, output: NDArray[Any]) -> NDArray[Any]:
    """Classes in the order of their scores, best first: (N, k).

    ``output`` is the network's, (N, ...): places already where it ends in top-k, else scores, of
    which the lower place comes first among equals.
    """
    flat = output.reshape(len(output), -1)
    if isinstance(graph.layers[-1], TopK):
        return flat
    return np.argsort(-flat, axis=1, kind="stable")


def first_difference(
    graph: QuantGraph, expected: Mapping[str, IntArray], got: Mapping[str, IntArray]
) -> dict[str, int | str] | None:
    """The first tensor, in layer order, that differs, and where; None if all are equal.

    Only tensors present in both are compared. Returns layer, image, channel, pixel row and
    column, and the two values.
    """
    for layer in graph.layers:
        for tensor in layer.outputs:
            if tensor.name not in got or tensor.name not in expected:
                continue
            want, have = expected[tensor.name], got[tensor.name]
            if want.shape != have.shape:
                return {"layer": layer.name, "shapes": f"{want.shape} against {have.shape}"}
            if not np.array_equal(want, have):
                n, y, x, c = (int(i) for i in np.argwhere(want != have)[0])
                return {
                    "layer": layer.name,
                    "image": n,
                    "channel": c,
                    "y": y,
                    "x": x,
                    "expected": int(want[n, y, x, c]),
                    "got": int(have[n, y, x, c]),
                }
    return None


def require_equal(
    graph: QuantGraph, expected: Mapping[str, IntArray], got: Mapping[str, IntArray], engine: str
) -> None:
    """Raise ``MismatchError`` that names the first differing layer, channel and pixel."""
    found = first_difference(graph, expected, got)
    if found is not None:
        where = ", ".join(f"{key} {value}" for key, value in found.items())
        raise MismatchError(f"{engine} differs from the integer graph: {where}")
