"""Which integers can reach a layer: ranges followed through the graph, narrower than the types."""

from __future__ import annotations

from dataclasses import replace

from hwgen.quant import QuantGraph, Range


def narrow(graph: QuantGraph) -> QuantGraph:
    """Tell every layer the range of the integers that can reach it, whatever the image."""
    found: dict[str, Range] = {graph.input.name: graph.input.dtype.range}
    layers = []
    for layer in graph.layers:
        told = layer.within(*(found[tensor.name] for tensor in layer.inputs))
        ranges = told.ranges(*(found[tensor.name] for tensor in layer.inputs))
        found.update(zip((tensor.name for tensor in layer.outputs), ranges, strict=True))
        layers.append(told)
    return replace(graph, layers=tuple(layers))
