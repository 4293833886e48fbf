"""Dataflows on which the RTL is emitted and simulated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache

import numpy as np

from hwgen import fifo, folding
from hwgen.board import load_board
from hwgen.dataflow import Dataflow, build_dataflow
from hwgen.layers import Add, GlobalSum, Layer, Threshold
from hwgen.layers.base import Folding
from hwgen.layers.pipeline import LEAST
from hwgen.quant import BINARY, IntType, QuantGraph, Scaling, Tensor
from hwgen.reach import narrow
from tests.layers.stairs import Floats, thresholds_of
from tests.networks import _Chain, random_reactnet, reducing_reactnet

RESIDUAL = IntType(4, signed=True)


def sized(graph: QuantGraph, foldings: Mapping[str, Folding], bus_bytes: int = 8) -> Dataflow:
    """The dataflow with the FIFO depths of the analysis."""
    flow = build_dataflow(graph, foldings, bus_bytes=bus_bytes, clock_mhz=100)
    return flow.with_depths(fifo.size(flow).depths)


def nearest(graph: QuantGraph, pe: Callable[[int], int], simd: int) -> dict[str, Folding]:
    """For layer i the legal folding nearest to PE = pe(i), SIMD = simd."""

    def distance(layer: Layer, index: int) -> Folding:
        return min(layer.foldings(), key=lambda f: abs(f.pe - pe(index)) + abs(f.simd - simd))

    return {layer.name: distance(layer, i) for i, layer in enumerate(graph.layers)}


def chain(seed: int, shape: tuple[int, int, int]) -> _Chain:
    """An empty network that reads 8-bit frames."""
    return _Chain(np.random.default_rng(seed), Tensor("image", shape, IntType(8)))


def finish(name: str, layers: _Chain) -> QuantGraph:
    """The network that ``layers`` make."""
    first = layers.layers[0].input
    return QuantGraph(name, first, layers.here, tuple(layers.layers), Scaling(1, 1)).check()


def global_sum(layers: _Chain) -> None:
    h, w, c = layers.here.shape
    lo, hi = layers.here.dtype.lo * h * w, layers.here.dtype.hi * h * w
    out = layers.out((1, 1, c), IntType.holding(lo, hi))
    layers.push(GlobalSum("GlobalAccPool_0", (layers.here,), (out,)))


def odd_lanes() -> Dataflow:
    """Neighbours of 2 and 3 lanes: every stream passes a converter, or two in a row."""
    graph = random_reactnet(3, width=6, size=(4, 3), residual_bits=3)
    return sized(graph, nearest(graph, lambda i: 2 + i % 2, 3))


def balanced() -> Dataflow:
    """Two blocks, every layer as slow as 135 cycles allow: many share the bottleneck's interval."""
    graph = random_reactnet(1, width=6, blocks=2, size=(5, 3), in_channels=3, residual_bits=3)
    return sized(graph, slowest(graph, 135), bus_bytes=16)


def slowest(graph: QuantGraph, max_cycles: int) -> dict[str, Folding]:
    """Every layer's slowest folding within a number of cycles."""
    return {
        layer.name: max(
            (f for f in layer.foldings() if layer.cycles(f) <= max_cycles),
            key=lambda f, layer=layer: (layer.cycles(f), f.pe),
        )
        for layer in graph.layers
    }


def folded() -> Dataflow:
    """Neuron folds in every product, for a rate far below the fastest, on a narrow bus."""
    graph = random_reactnet(4, width=8, size=(4, 5), classes=7)
    return sized(graph, folding.for_rate(graph, load_board("pynq-z2"), 3000), bus_bytes=4)


def strided() -> Dataflow:
    """Strides of 2, which leave rows and columns unread, and no padding."""
    layers = chain(5, (9, 8, 3))
    layers.window(3, stride=2)
    layers.product(6)
    layers.threshold(RESIDUAL)
    layers.half_block(3, RESIDUAL)
    layers.window(2, stride=2, pad=0)
    layers.product(8, bits=4)
    layers.threshold(RESIDUAL)
    layers.half_block(1, RESIDUAL)
    layers.product(3)
    graph = finish("strided", layers)
    return sized(graph, nearest(graph, lambda i: 1 + i % 3, 4))


def deep_popcount() -> Dataflow:
    """A popcount of 256 bits, several registers deep, on a branch that has no cycle to spare."""
    layers = chain(6, (4, 4, 3))
    layers.product(256)
    layers.threshold(RESIDUAL)
    layers.half_block(1, RESIDUAL)
    global_sum(layers)
    layers.product(5)
    graph = finish("deep popcount", layers)
    foldings = nearest(graph, lambda _: 2, 1)
    return sized(graph, {**foldings, "MVAU_0": Folding(2, 3), "MVAU_1": Folding(2, 256)})


def reducing() -> Dataflow:
    """An average pool beside a strided window, and twin branches that a concat joins, in step."""
    graph = reducing_reactnet(8, width=4, size=(6, 4))
    return sized(graph, folding.fastest(graph, load_board("pynq-z2")))


def reducing_twice() -> Dataflow:
    """Two reductions in odd lanes: pool and concat of several beats a pixel, converters between."""
    graph = reducing_reactnet(9, width=6, reductions=2, size=(8, 8), residual_bits=3)
    return sized(graph, nearest(graph, lambda i: 1 + i % 3, 3))


def twins() -> Dataflow:
    """Twin branches whose products and whose concat all have no cycle to spare."""
    layers = chain(10, (4, 4, 3))
    layers.product(64)
    layers.threshold(RESIDUAL)
    layers.twin_halves(RESIDUAL)
    layers.product(3)
    graph = finish("twins", layers)
    foldings = nearest(graph, lambda _: 2, 4)
    products = {f"MVAU_{i}": Folding(1, 32) for i in (1, 2)}
    return sized(graph, {**foldings, **products, "StreamingConcat_0": Folding(1)})


class _Trained(_Chain):
    """Staircases as training makes them: BN of sums, RPReLU behind an Add."""

    def threshold(self, dtype: IntType) -> None:
        x, before = self.here, self.layers[-1]
        if dtype == BINARY:
            return super().threshold(dtype)
        ((lo, hi),) = before.ranges(*(t.dtype.range for t in before.inputs))
        ends = ((-1, 1), (0.5, 2), (0, 1))
        shift, gain, low = (self.rng.uniform(*end, (x.channels, 1)) for end in ends)
        middle, half = (lo + hi) / 2, (hi - lo) / 2

        def norm(v: Floats) -> Floats:
            return ((v - middle) / half * 8 + shift) * gain * dtype.hi

        def rprelu(v: Floats) -> Floats:
            moved = v + shift * dtype.hi / 4
            return np.where(moved >= 0, moved, moved * low)

        rows = thresholds_of(rprelu if isinstance(before, Add) else norm, (lo, hi), dtype)
        out = self.out(x.shape, dtype)
        self.push(Threshold(self.name("Thresholding"), (x,), (out,), rows, dtype.lo))


def lines() -> Dataflow:
    """A residual of 8 bits behind staircases that are lines: multipliers, not thresholds."""
    residual = IntType(8, signed=True)
    layers = _Trained(np.random.default_rng(11), Tensor("image", (4, 3, 3), IntType(8)))
    layers.product(6)
    layers.threshold(residual)
    layers.half_block(3, residual)
    layers.half_block(1, residual)
    layers.product(3)
    graph = narrow(finish("lines", layers))
    foldings = nearest(graph, lambda i: 1 + i % 3, 3)
    stairs = [x for x in graph.layers if isinstance(x, Threshold) and x.output.dtype == residual]
    for i, layer in enumerate(stairs):  # products in LUTs and in DSP blocks by turns
        unit = f"affine, {('LUT', 'DSP')[i % 2]} product"
        foldings[layer.name] = replace(foldings[layer.name], unit=unit)
    return sized(graph, foldings)


def pipelined() -> Dataflow:
    """A block and an output layer with as many registers as the least bound on levels takes."""
    layers = chain(13, (4, 4, 3))
    layers.product(64)
    layers.threshold(RESIDUAL)
    layers.half_block(3, RESIDUAL)
    layers.product(5)
    graph = finish("pipelined", layers).pipelined(LEAST)
    foldings = nearest(graph, lambda _: 2, 1)
    shapes = {"MVAU_0": Folding(4, 3), "MVAU_1": Folding(4, 64)}
    return sized(graph, {**foldings, **shapes})


def blocks() -> Dataflow:
    """Every FIFO that may be slower is: in block RAM, those of two beats too."""
    graph = random_reactnet(5, width=4, size=(5, 6), blocks=2)
    flow = build_dataflow(graph, nearest(graph, lambda i: 1 + i % 2, 2), bus_bytes=8, clock_mhz=100)
    sizing = fifo.size(flow)
    return flow.with_depths(sizing.depths).with_blocks(sizing.patient)


def signs_graph() -> QuantGraph:
    """Binary products behind one another: signs between, a residual behind the last."""
    layers = chain(12, (4, 4, 3))
    layers.product(12)
    layers.threshold(BINARY)
    for width in (8, 6):
        layers.window(3)
        layers.xnor(width)
        layers.threshold(BINARY)
    layers.xnor(4)
    layers.threshold(BINARY)
    layers.xnor(5)
    layers.threshold(RESIDUAL)
    layers.product(3)
    return finish("signs", layers)


def signs() -> Dataflow:
    """Signs behind binary products, which hardware fuses: several folds of either kind, and one."""
    graph = signs_graph()
    foldings = nearest(graph, lambda i: 2, 4)
    shapes = {"MVAU_1": Folding(4, 12), "MVAU_2": Folding(2, 72), "MVAU_3": Folding(4, 2)}
    return sized(graph, {**foldings, **shapes})


def small() -> Dataflow:
    """A handful of stages, with a fork, for the golden copy."""
    layers = chain(0, (2, 2, 3))
    layers.product(4)
    layers.threshold(RESIDUAL)
    layers.half_block(1, RESIDUAL)
    graph = finish("small", layers)
    return sized(graph, nearest(graph, lambda i: 2, 2))


DESIGNS = {
    d.__name__: d
    for d in (
        *(odd_lanes, balanced, folded, strided, deep_popcount),
        *(reducing, reducing_twice, twins, lines, pipelined, blocks, signs, small),
    )
}


@cache
def design(name: str) -> Dataflow:
    """One of ``DESIGNS``."""
    return DESIGNS[name]()
