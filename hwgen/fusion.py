"""Layers that hardware makes one kernel of; the graph and its software stay as they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from hwgen.layers.base import Folding, Layer
from hwgen.layers.xnor_sign import XnorSign
from hwgen.quant import QuantGraph


def fuse(graph: QuantGraph) -> QuantGraph:
    """Put a binary product and the sign behind it, which alone reads it, into one layer."""
    readers = {tensor.name: layer for layer in graph.layers for tensor in layer.inputs}
    layers: list[Layer] = []
    gone: set[str] = set()
    for layer in graph.layers:
        behind = readers.get(layer.outputs[0].name)
        if behind is not None and XnorSign.fits(layer, behind):
            assert len(behind.inputs) == 1
            layers.append(XnorSign.of(layer, behind))  # type: ignore[arg-type]  # as fits says
            gone.add(behind.name)
        elif layer.name not in gone:
            layers.append(layer)
    return replace(graph, layers=tuple(layers))


def unfused(layers: Iterable[Layer], foldings: Mapping[str, Folding]) -> dict[str, Folding]:
    """Foldings by the layers of the graph, from those of the fused: parts have the same PE."""
    found: dict[str, Folding] = {}
    for layer in layers:
        for part in layer.parts:
            whole = foldings[layer.name]
            found[part.name] = whole if part.name == layer.name else Folding(pe=whole.pe)
    return found
