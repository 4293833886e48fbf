"""What the two software engines share: the graph as calls on named variables, and file names."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hwgen.errors import ToolError
from hwgen.quant import IntArray, QuantGraph, Tensor


@dataclass(frozen=True, slots=True)
class Variable:
    """A tensor as generated code names it; ``file`` is the stem of its dump."""

    name: str
    tensor: Tensor
    file: str

    @property
    def shape(self) -> str:
        """What one frame of it is, for a comment: ``(8, 8, 32) INT8``."""
        return f"({', '.join(map(str, self.tensor.shape))}) {self.tensor.dtype}"


@dataclass(frozen=True, slots=True)
class Step:
    """One layer as a call: ``outputs = function(inputs, **scalars, **arrays)``."""

    layer: str
    function: str
    inputs: tuple[Variable, ...]
    outputs: tuple[Variable, ...]
    scalars: Mapping[str, int]
    arrays: Mapping[str, NDArray[np.signedinteger]]


def variables(graph: QuantGraph) -> dict[str, Variable]:
    """Every tensor's variable by tensor name: ``t0`` is the input."""
    files = _distinct(graph.tensors)
    return {
        name: Variable(f"t{i}", tensor, files[name])
        for i, (name, tensor) in enumerate(graph.tensors.items())
    }


def steps(graph: QuantGraph) -> tuple[Step, ...]:
    """The layers in order, constants in the narrowest type that holds them."""
    names, titles = variables(graph), _distinct(layer.name for layer in graph.layers)
    found = []
    for layer in graph.layers:
        call = layer.call()
        found.append(
            Step(
                titles[layer.name],
                call.function,
                tuple(names[t.name] for t in layer.inputs),
                tuple(names[t.name] for t in layer.outputs),
                call.scalars,
                {key: narrowed(array) for key, array in call.arrays.items()},
            )
        )
    return tuple(found)


def narrowed(values: IntArray) -> NDArray[np.signedinteger]:
    """The same values in the narrowest little-endian signed type that holds them."""
    lo, hi = (int(values.min()), int(values.max())) if values.size else (0, 0)
    for size in (1, 2, 4, 8):
        kind = np.dtype(f"<i{size}")
        if np.iinfo(kind).min <= lo and hi <= np.iinfo(kind).max:
            return np.ascontiguousarray(values.astype(kind))
    raise AssertionError(f"[{lo}, {hi}] needs more than 64 bits")


def npy(values: NDArray[np.generic]) -> bytes:
    """The bytes of a .npy file."""
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.ascontiguousarray(values), (1, 0), allow_pickle=False)
    return stream.getvalue()


def read_npy(path: Path) -> IntArray:
    """Integers that an engine wrote, as int64."""
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ToolError(f"the engine left no readable {path}: {error}") from error
    return np.asarray(values, np.int64)


def read_dump(graph: QuantGraph, folder: Path) -> dict[str, IntArray]:
    """Every tensor an engine dumped into ``folder``, by tensor name."""
    return {
        name: read_npy(folder / f"{variable.file}.npy")
        for name, variable in variables(graph).items()
    }


def plain(name: str) -> str:
    """``name`` with everything but letters, digits and underscores replaced."""
    return re.sub(r"\W", "_", name, flags=re.ASCII)


def _distinct(names: Iterable[str]) -> dict[str, str]:
    """Plain names that differ even where upper and lower case are one."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        choices = (plain(name) + (f"_{i}" if i else "") for i in count())
        found[name] = next(choice for choice in choices if choice.lower() not in taken)
        taken.add(found[name].lower())
    return found
