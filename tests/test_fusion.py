"""Hardware makes one kernel of a binary product and its sign; nothing else changes."""

from __future__ import annotations

import numpy as np

from hwgen import fifo, folding
from hwgen.backends.systemverilog import tensor_streams
from hwgen.board import load_board
from hwgen.engine import interpret
from hwgen.fusion import fuse
from hwgen.layers import Threshold, XnorMvau
from hwgen.layers.base import Folding
from hwgen.layers.xnor_sign import XnorSign
from tests.backends.designs import signs_graph as signs
from tests.backends.designs import sized


def test_only_signs_of_binary_products_are_fused() -> None:
    graph = signs()
    fused = {layer.name: layer.parts for layer in fuse(graph).layers if len(layer.parts) > 1}
    assert [[type(part) for part in parts] for parts in fused.values()] == [
        [XnorMvau, Threshold]
    ] * 3
    assert [part for layer in fuse(graph).layers for part in layer.parts] == list(graph.layers)


def test_a_fused_layer_means_what_its_parts_mean() -> None:
    graph = signs()
    frames = np.random.default_rng(0).integers(0, 256, (3, *graph.input.shape))
    values = interpret(graph, frames)
    for layer in fuse(graph).layers:
        (found,) = layer.evaluate(values[layer.input.name])
        np.testing.assert_array_equal(found, values[layer.output.name])


def test_its_stage_has_one_folding_and_no_stream_within() -> None:
    graph = signs()
    foldings = folding.fastest(graph, load_board("pynq-z2"))
    flow = sized(graph, foldings)
    fused = [stage for stage in flow.stages if isinstance(stage.layer, XnorSign)]
    inner = {stage.layer.parts[0].output.name for stage in fused}
    assert len(inner) == 3
    assert flow.hidden == inner
    every = {t.name for layer in graph.layers for t in layer.outputs}
    assert set(tensor_streams(flow)) == every - inner
    assert set(flow.foldings) == {layer.name for layer in graph.layers}
    for stage in fused:
        product, sign = stage.layer.parts
        assert flow.foldings[product.name] == foldings[product.name] == stage.folding
        assert flow.foldings[sign.name].pe == foldings[sign.name].pe == stage.folding.pe
    assert fifo.size(flow).depths.keys() == {stream.name for stream in flow.streams}


def test_a_sign_costs_less_than_a_comparator() -> None:
    for layer in fuse(signs()).layers:
        if isinstance(layer, XnorSign):
            for fold in [*layer.foldings()][:-1]:  # the last has one fold: constants
                apart = layer.product.resources(fold) + layer.sign.resources(Folding(fold.pe))
                assert layer.resources(fold).lut <= apart.lut + 20, fold
