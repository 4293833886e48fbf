"""Ranges followed through a graph hold every integer that occurs in it."""

from __future__ import annotations

import numpy as np
import pytest

from hwgen.engine import interpret
from hwgen.layers import Add, BorderBias, IntMvau, Layer, Threshold
from hwgen.quant import BINARY, IntType, QuantGraph, Tensor
from hwgen.reach import narrow
from tests.backends.engines import odd_network
from tests.networks import random_images, random_reactnet, reducing_reactnet

INT4 = IntType(4, signed=True)


def ranges_of(graph: QuantGraph) -> dict[str, tuple[int, int]]:
    """As ``narrow`` follows them, by tensor."""
    found = {graph.input.name: graph.input.dtype.range}
    for layer in graph.layers:
        ranges = layer.ranges(*(found[t.name] for t in layer.inputs))
        found.update(zip((t.name for t in layer.outputs), ranges, strict=True))
    return found


@pytest.mark.parametrize(
    "graph",
    [random_reactnet(3, residual_bits=5), reducing_reactnet(2, reductions=1), odd_network()],
    ids=["plain", "reducing", "odd"],
)
def test_no_tensor_leaves_its_range_and_no_range_its_type(graph: QuantGraph) -> None:
    ranges = ranges_of(graph)
    dtype = graph.input.dtype
    ends = np.stack([np.full(graph.input.shape, v) for v in dtype.range])
    images = np.concatenate([random_images(graph, 20), ends])
    for name, values in interpret(graph, images).items():
        lo, hi = ranges[name]
        assert lo <= values.min()
        assert values.max() <= hi
        if name in graph.tensors:
            assert graph.tensors[name].dtype.lo <= lo
            assert hi <= graph.tensors[name].dtype.hi


def extremes(layer: Layer, *inputs: tuple[int, int]) -> tuple[int, int]:
    """The least and the largest output over all combinations of the inputs' ends."""
    values = []
    size = layer.inputs[0].channels
    for bits in range(2 ** (size * len(inputs))):
        picks = [bits >> i & 1 for i in range(size * len(inputs))]
        arrays = [
            np.array([ends[p] for p in picks[i * size : (i + 1) * size]]).reshape(1, 1, 1, size)
            for i, ends in enumerate(inputs)
        ]
        values.append(layer.evaluate(*arrays)[0])
    return int(np.min(values)), int(np.max(values))


def test_sums_reach_the_ends_of_their_ranges() -> None:
    rng = np.random.default_rng(0)
    x, y = Tensor("x", (1, 1, 3), INT4), Tensor("y", (1, 1, 2), IntType(16, signed=True))
    mvau = IntMvau("p", (x,), (y,), rng.integers(-7, 8, (3, 2)), rng.integers(-20, 20, 2))
    add = Add("a", (x, x), (Tensor("z", (1, 1, 3), IntType(5, signed=True)),))
    for layer, inputs in ((mvau, ((-5, 6),)), (mvau, ((2, 7),)), (add, ((-5, 6), (-8, 2)))):
        assert layer.ranges(*inputs) == (extremes(layer, *inputs),)


def test_a_border_bias_stays_within_its_type() -> None:
    x, y = (Tensor(n, (1, 2, 3), INT4) for n in "xy")
    zeros, classes = np.zeros(1, np.int64), np.arange(2)
    layer = BorderBias("b", (x,), (y,), np.array([[-2, 0, 1], [3, 0, 0]]), zeros, classes)
    assert layer.ranges((-4, 2)) == ((-6, 5),)
    assert layer.ranges((-8, 7)) == ((-8, 7),)


def test_a_staircase_is_told_what_reaches_it() -> None:
    graph = narrow(random_reactnet(residual_bits=4))
    found = [x for x in graph.layers if isinstance(x, Threshold)]
    behind_adds = [x for x in found if x.input.dtype == IntType(5, signed=True)]
    assert {x.reach for x in behind_adds} == {(-16, 14)}
    assert {x.reach for x in found if x.output.dtype == BINARY} == {(-8, 7)}
