"""The first difference between an engine and the integer graph: where it is, and its tensors."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hwgen.engine import EngineRun, first_difference, interpret
from hwgen.files import write_json
from hwgen.quant import IntArray, QuantGraph

FOLDER = "first_mismatch"
Tensors = Mapping[str, IntArray]


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Where an engine differs first, and all tensors of that image, each (1, H, W, C).

    ``where`` is what verification.json tells: layer, image, channel, y, x, expected, got.
    """

    where: Mapping[str, Any]
    frame: IntArray
    expected: Tensors
    got: Tensors


def locate(
    graph: QuantGraph, run: Callable[[IntArray, bool], EngineRun], frames: IntArray, image: int
) -> Mismatch | None:
    """Run one image again with all layers recorded, and find the first that differs.

    None if the image alone comes out right: the engine remembers something of earlier frames.
    """
    frame = frames[image : image + 1]
    expected, traced = interpret(graph, frame), run(frame, True)
    where = first_difference(graph, expected, traced.tensors)
    if where is None:
        return None
    return Mismatch({**where, "image": image}, frame, expected, traced.tensors)


def save(folder: Path, graph: QuantGraph, engine: str, found: Mismatch) -> Path:
    """Write ``folder``/first_mismatch anew: tensors as .npy (1, H, W, C) and mismatch.json.

    ``expected`` and ``got`` are the layer's output, ``input`` what it should read (``input_1`` and
    on where it reads several), ``frame`` the network's input. Returns the folder.
    """
    target = folder / FOLDER
    clear(folder)
    target.mkdir(parents=True)
    layer = next(x for x in graph.layers if x.name == found.where["layer"])
    output = next(
        t.name
        for t in layer.outputs
        if t.name in found.got and not np.array_equal(found.expected[t.name], found.got[t.name])
    )
    arrays = {"expected": found.expected[output], "got": found.got[output], "frame": found.frame}
    for number, tensor in enumerate(layer.inputs):
        arrays[f"input_{number}" if number else "input"] = found.expected[tensor.name]
    for name, array in arrays.items():
        np.save(target / f"{name}.npy", array)
    want, have = arrays["expected"], arrays["got"]
    same_shape = want.shape == have.shape
    description = {
        **found.where,
        "engine": engine,
        "kind": type(layer).__name__,
        "tensor": output,
        "elements": want.size,
        "differing": int(np.count_nonzero(want != have)) if same_shape else want.size,
        "files": {name: f"{name}.npy" for name in arrays},
    }
    write_json(target / "mismatch.json", description)
    return target


def clear(folder: Path) -> None:
    """Remove the mismatch of an earlier run."""
    shutil.rmtree(folder / FOLDER, ignore_errors=True)
