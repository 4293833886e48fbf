"""Which integers can reach a layer: ranges followed through the graph, narrower than the types."""

from __future__ import annotations

from dataclasses import replace

from hwgen.quant import QuantGraph, Range


def narrow(graph: QuantGraph) -> QuantGraph:
    """Tell every layer the range of the integers that can reach it, whatever the image."""
    found = ranges(graph)
    layers = (lay.within(*(found[tensor.name] for tensor in lay.inputs)) for lay in graph.layers)
    return replace(graph, layers=tuple(layers))


def ranges(graph: QuantGraph) -> dict[str, Range]:
    """The integers that every tensor can take, whatever the image, by its name."""
    found: dict[str, Range] = {graph.input.name: graph.input.dtype.range}
    for layer in graph.layers:
        told = layer.within(*(found[tensor.name] for tensor in layer.inputs))
        made = told.ranges(*(found[tensor.name] for tensor in layer.inputs))
        found.update(zip((tensor.name for tensor in layer.outputs), made, strict=True))
    return found
