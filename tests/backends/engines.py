"""Networks on which the software engines are compared with the integer graph."""

from __future__ import annotations

import numpy as np

from hwgen.layers.add import Add
from hwgen.layers.base import Layer
from hwgen.layers.border_bias import BorderBias
from hwgen.layers.concat import Concat
from hwgen.layers.depthwise import Depthwise
from hwgen.layers.flatten import Flatten
from hwgen.layers.fork import Fork
from hwgen.layers.global_sum import GlobalSum
from hwgen.layers.max_pool import MaxPool
from hwgen.layers.mvau import IntMvau, XnorMvau
from hwgen.layers.pool import AveragePool
from hwgen.layers.split import Split
from hwgen.layers.subtract import Subtract
from hwgen.layers.threshold import Threshold
from hwgen.layers.top_k import TopK
from hwgen.layers.window import Window
from hwgen.quant import BINARY, IntArray, IntType, QuantGraph, Scaling, Tensor
from tests.networks import random_images, random_reactnet, reducing_reactnet


class _Graph:
    """Appends layers; every method returns the tensors that its layer makes.

    ``values`` follows the tensors on a few random frames, so that thresholds fall where the data
    is and ties happen.
    """

    def __init__(self, source: Tensor, seed: int) -> None:
        self.source, self.layers, self.rng = source, list[Layer](), np.random.default_rng(seed)
        low, high = source.dtype.lo, source.dtype.hi
        self.values = {source: self.rng.integers(low, high + 1, size=(20, *source.shape))}
        self.made = 0

    def fresh(self, shape: tuple[int, int, int], dtype: IntType) -> Tensor:
        self.made += 1
        return Tensor(f"net/{self.made}.out", shape, dtype)  # as ONNX may name a tensor

    def push(self, layer: Layer) -> Tensor:
        self.layers.append(layer)
        found = layer.evaluate(*(self.values[t] for t in layer.inputs))
        self.values.update(zip(layer.outputs, found, strict=True))
        return layer.outputs[0]

    def name(self) -> str:
        return f"node.{len(self.layers)}"

    def window(self, x: Tensor, kernel: int, stride: int, pad: int, pad_value: int = 0) -> Tensor:
        h, w = ((n + 2 * pad - kernel) // stride + 1 for n in x.shape[:2])
        out = self.fresh((h, w, kernel**2 * x.channels), x.dtype)
        return self.push(Window(self.name(), (x,), (out,), kernel, stride, pad, pad_value))

    def xnor(self, x: Tensor, channels: int) -> Tensor:
        out = self.fresh((*x.shape[:2], channels), IntType.holding(0, x.channels))
        weights = self.rng.integers(0, 2, size=(x.channels, channels))
        return self.push(XnorMvau(self.name(), (x,), (out,), weights))

    def product(self, x: Tensor, channels: int, lo: int, hi: int, bias: int = 100) -> Tensor:
        weights = self.rng.integers(lo, hi + 1, size=(x.channels, channels))
        biases = self.rng.integers(-bias, bias + 1, size=channels)
        corners = np.stack([weights * x.dtype.lo, weights * x.dtype.hi])
        least = int((np.minimum(corners.min(axis=0), 0).sum(axis=0) + np.minimum(biases, 0)).min())
        most = int((np.maximum(corners.max(axis=0), 0).sum(axis=0) + np.maximum(biases, 0)).max())
        out = self.fresh((*x.shape[:2], channels), IntType.holding(least, most))
        return self.push(IntMvau(self.name(), (x,), (out,), weights, biases))

    def threshold(self, x: Tensor, steps: int, offset: int, dtype: IntType) -> Tensor:
        seen = self.values[x].reshape(-1, x.channels)
        table = self.rng.choice(seen, size=steps, axis=0).T.copy()
        if steps > 2:
            table[:, 0], table[:, 1] = x.dtype.lo - 3, x.dtype.hi + 3
        table = np.sort(table, axis=1)
        return self.push(Threshold(self.name(), (x,), (self.fresh(x.shape, dtype),), table, offset))

    def sign(self, x: Tensor) -> Tensor:
        return self.threshold(x, 1, 0, BINARY)

    def fork(self, x: Tensor, outputs: int) -> tuple[Tensor, ...]:
        outs = tuple(self.fresh(x.shape, x.dtype) for _ in range(outputs))
        self.push(Fork(self.name(), (x,), outs))
        return outs

    def add(self, a: Tensor, b: Tensor) -> Tensor:
        dtype = IntType.holding(a.dtype.lo + b.dtype.lo, a.dtype.hi + b.dtype.hi)
        return self.push(Add(self.name(), (a, b), (self.fresh(a.shape, dtype),)))

    def subtract(self, a: Tensor, b: Tensor) -> Tensor:
        dtype = IntType.holding(a.dtype.lo - b.dtype.hi, a.dtype.hi - b.dtype.lo)
        return self.push(Subtract(self.name(), (a, b), (self.fresh(a.shape, dtype),)))

    def global_sum(self, x: Tensor) -> Tensor:
        dtype = IntType.holding(x.dtype.lo * x.pixels, x.dtype.hi * x.pixels)
        return self.push(GlobalSum(self.name(), (x,), (self.fresh((1, 1, x.channels), dtype),)))

    def pool(self, x: Tensor, kernel: int) -> Tensor:
        h, w, c = x.shape
        out = self.fresh((h // kernel, w // kernel, c), x.dtype)
        return self.push(AveragePool(self.name(), (x,), (out,), kernel))

    def concat(self, *xs: Tensor) -> Tensor:
        dtype = IntType.holding(min(x.dtype.lo for x in xs), max(x.dtype.hi for x in xs))
        out = self.fresh((*xs[0].shape[:2], sum(x.channels for x in xs)), dtype)
        return self.push(Concat(self.name(), xs, (out,)))

    def max_pool(self, x: Tensor, kernel: int, stride: int, pad: int) -> Tensor:
        h, w = ((n + 2 * pad - kernel) // stride + 1 for n in x.shape[:2])
        out = self.fresh((h, w, x.channels), x.dtype)
        return self.push(MaxPool(self.name(), (x,), (out,), kernel, stride, pad))

    def depthwise(self, x: Tensor, taps: int, lo: int, hi: int) -> Tensor:
        h, w, c = x.shape
        weights = self.rng.integers(lo, hi + 1, size=(taps, c // taps))
        bias = self.rng.integers(-50, 51, size=c // taps)
        most = int(np.abs(weights).sum(axis=0).max()) * max(-x.dtype.lo, x.dtype.hi) + 50
        out = self.fresh((h, w, c // taps), IntType.holding(-most, most))
        return self.push(Depthwise(self.name(), (x,), (out,), weights, bias))

    def border_bias(self, x: Tensor) -> Tensor:
        h, w, c = x.shape
        rows, columns = (np.minimum(np.arange(n), 2) for n in (h, w))
        bias = self.rng.integers(-9, 10, size=(9, c))
        out = self.fresh(x.shape, IntType.holding(x.dtype.lo - 9, x.dtype.hi + 9))
        return self.push(BorderBias(self.name(), (x,), (out,), bias, rows, columns))

    def split(self, x: Tensor, parts: int) -> tuple[Tensor, ...]:
        h, w, c = x.shape
        outs = tuple(self.fresh((h, w, c // parts), x.dtype) for _ in range(parts))
        self.push(Split(self.name(), (x,), outs))
        return outs

    def flatten(self, x: Tensor) -> Tensor:
        out = self.fresh((1, 1, x.size), x.dtype)
        return self.push(Flatten(self.name(), (x,), (out,)))

    def top_k(self, x: Tensor, k: int) -> Tensor:
        out = self.fresh((1, 1, k), IntType.holding(0, x.channels - 1))
        return self.push(TopK(self.name(), (x,), (out,), k))

    def stairs(self, x: Tensor, table: IntArray, offset: int, dtype: IntType) -> Tensor:
        out = self.fresh(x.shape, dtype)
        return self.push(Threshold(self.name(), (x,), (out,), table, offset))

    def finish(self, output: Tensor) -> QuantGraph:
        scaling = Scaling(0.1, 0.3, -1.5)
        return QuantGraph('an "odd" net', self.source, output, tuple(self.layers), scaling).check()


def odd_network() -> QuantGraph:
    """What a ReActNet of today does not have, but the layers allow.

    Strides, no padding, +1 padding of bits, padding of integers, bits that are added, forked,
    summed and multiplied as integers, popcounts of one bit, 32-bit sums (signed and unsigned),
    a constant staircase, an output of several pixels, and names that are no identifiers.
    """
    g = _Graph(Tensor("net.input:0", (9, 12, 2), IntType(8, signed=True)), seed=7)
    x = g.product(g.window(g.source, 3, 2, 1, pad_value=-7), 11, -(2**20), 2**20, bias=2**20)
    assert x.dtype == IntType(32, signed=True)
    a, b, c = g.fork(g.threshold(x, 37, -20, IntType(7, signed=True)), 3)
    a1, a2 = g.fork(g.sign(a), 2)
    left = g.add(c, g.add(a1, g.sign(b)))
    left = g.window(g.threshold(left, 100, 0, IntType(7)), 2, 3, 1, pad_value=3)
    left = g.product(left, 11, 0, 2**20, bias=0)
    assert left.dtype == IntType(32)
    left = g.threshold(left, 5, 0, IntType(3))
    right = g.sign(g.xnor(g.window(a2, 2, 1, 1, pad_value=1), 66))
    right = g.xnor(g.window(right, 3, 2, 0), 11)
    right = g.threshold(right, 3, -1, IntType(3, signed=True))
    x = g.sign(g.product(g.subtract(left, right), 128, -4, 3))
    x = g.sign(g.xnor(g.window(x, 2, 1, 1), 1))  # whole words; then a tensor of one channel
    x = g.xnor(x, 70)
    assert x.dtype == BINARY
    p, q, r = g.fork(x, 3)
    x = g.add(g.product(p, 3, -100, 100), g.threshold(g.product(q, 3, -9, 9), 0, 5, IntType(4)))
    scores = g.product(g.global_sum(r), 3, -5, 5)
    pixel = g.product(g.window(x, 3, 2, 0), 3, 0, 1)
    return g.finish(g.add(g.window(scores, 2, 1, 1), g.window(pixel, 2, 1, 1)))


def joined_network() -> QuantGraph:
    """Pools and concats of every type: bits across words, mixed signs, 32 bits, three inputs."""
    g = _Graph(Tensor("image", (8, 12, 3), IntType(8)), seed=11)
    wide, image = g.fork(g.source, 2)
    wide = g.product(wide, 4, -(2**20), 2**20, bias=2**20)
    wide = g.pool(wide, 4)
    a, b, c = g.fork(g.pool(g.threshold(image, 20, -9, IntType(5, signed=True)), 2), 3)
    bits = g.concat(g.sign(g.product(a, 70, -4, 3)), g.sign(b), g.sign(g.product(c, 60, -2, 5)))
    assert bits.dtype == BINARY
    assert bits.channels == 133
    p, q, r = g.fork(bits, 3)
    mixed = g.concat(g.xnor(p, 5), g.xnor(q, 2))
    mixed = g.concat(g.pool(mixed, 2), g.pool(r, 2), wide)
    assert mixed.dtype.signed
    assert mixed.dtype.bits > 20
    return g.finish(mixed)


def pooled_network() -> QuantGraph:
    """Every other kind: pools of bits and integers, depthwise products, border biases, parts.

    Also a product of more bits than a byte counts in the steps of a carry-save adder.
    """
    g = _Graph(Tensor("image", (9, 7, 3), IntType(8, signed=True)), seed=13)
    x = g.max_pool(g.product(g.window(g.source, 3, 1, 1), 6, -9, 9), 3, 2, 1)
    x = g.threshold(g.border_bias(x), 12, -6, IntType(4, signed=True))
    a, b, c = g.split(g.product(x, 51, -3, 3), 3)
    a = g.depthwise(g.window(a, 3, 1, 1, pad_value=2), 9, -7, 7)
    b = g.depthwise(b, 1, -200, 200)
    bits = g.sign(g.concat(g.sign(a), g.sign(b), g.sign(c)))
    p, q, r = g.fork(g.max_pool(bits, 2, 1, 1), 3)
    parts = g.split(p, 3)
    p = g.concat(g.flatten(parts[0]), g.flatten(parts[1]), g.flatten(parts[2]))
    q = g.depthwise(g.window(q, 2, 1, 0), 4, -3, 3)
    q = g.flatten(g.threshold(q, 2, -1, IntType(2, signed=True)))
    r = g.flatten(g.window(g.sign(g.product(r, 3, -2, 2)), 2, 4, 1))
    many = g.sign(g.product(r, 8300, -1, 1))
    scores = g.add(g.xnor(many, 37), g.add(g.product(q, 37, -2, 2), g.xnor(p, 37)))
    return g.finish(g.top_k(scores, 5))


def _steps_of(levels: IntArray, steps: int, lo: int) -> IntArray:
    """Thresholds of a rising function whose levels at lo, lo + 1, ... are given."""
    return lo + np.searchsorted(levels, np.arange(1, steps + 1)).astype(np.int64)


def stairs_network(dtype: IntType) -> QuantGraph:
    """Staircases of many steps: lines, bent lines, jumps, ties, constants, and none of these."""
    channels, steps = 70, 200
    g = _Graph(Tensor("x", (1, 1, channels), dtype), seed=17)
    x = np.arange(dtype.lo, dtype.hi + 1, dtype=np.float64)
    rows = []
    for c in range(channels):
        width = g.rng.uniform(0.2, 3) * len(x) / steps  # of a step
        start, knee = g.rng.uniform(dtype.lo, dtype.hi, size=2)
        slopes = g.rng.uniform(0, 2, size=2) * (c % 7 != 1) + (c % 7 == 1)
        y = (np.where(x < knee, slopes[0], slopes[1]) * (x - knee) + knee - start) / width
        if c % 7 == 2:
            y = np.round(y / 5) * 5  # jumps
        if c % 7 == 3:
            y = np.maximum.accumulate(y + 3 * np.sin(x / width / 9))  # no lines
        if c % 7 == 4:
            y = np.full_like(y, g.rng.choice([-1, 77, steps + 1]))
        if c % 7 == 5:
            y = (x - knee) / 2**10 * 2 ** g.rng.integers(0, 10) + 100  # ties, rounded to even
        rows.append(_steps_of(np.clip(np.round(y), 0, steps).astype(np.int64), steps, dtype.lo))
    rows[6] = np.sort(g.rng.integers(dtype.lo - 5, dtype.hi + 6, size=steps))
    return g.finish(g.stairs(g.source, np.stack(rows), -100, IntType(8, signed=True)))


def frames(graph: QuantGraph, count: int) -> IntArray:
    """Random frames, the first all at the input's lowest value, the second at its highest."""
    images = random_images(graph, count, seed=count)
    images[0], images[1] = graph.input.dtype.lo, graph.input.dtype.hi
    return images


REACTNETS = {
    "width 8, K = 2^3": random_reactnet(1, width=8, size=(6, 5), residual_bits=4),
    "width 12, two blocks": random_reactnet(
        2, width=12, blocks=2, size=(3, 7), in_channels=3, residual_bits=2
    ),
    "width 70, 8-bit residual": random_reactnet(3, width=70, size=(5, 4), residual_bits=8),
    "width 64, K = 2^6": random_reactnet(4, width=64, size=(4, 6), residual_bits=5),
    "width 96": random_reactnet(5, width=96, size=(2, 3), residual_bits=6),
}
REDUCING = {
    "one reduction": reducing_reactnet(6, width=5, size=(4, 6), residual_bits=3),
    "two reductions": reducing_reactnet(7, width=33, reductions=2, size=(8, 4), residual_bits=6),
}
NETWORKS = {
    **REACTNETS,
    **REDUCING,
    "odd": odd_network(),
    "joined": joined_network(),
    "pooled": pooled_network(),
}
STAIRS = {bits: stairs_network(IntType(bits, signed=True)) for bits in (10, 18)}
