"""Random networks of the shape of a ReActNet, made without training or FINN."""

from __future__ import annotations

import numpy as np

from hwgen.layers import (
    Add,
    AveragePool,
    Concat,
    Fork,
    GlobalSum,
    IntMvau,
    Layer,
    Threshold,
    Window,
    XnorMvau,
)
from hwgen.quant import BINARY, IntArray, IntType, QuantGraph, Scaling, Tensor


def sorted_thresholds(
    rng: np.random.Generator, channels: int, steps: int, lo: int, hi: int
) -> IntArray:
    """Ascending thresholds within [lo, hi + 1], ties and out-of-reach ones included."""
    return np.sort(rng.integers(lo, hi + 2, size=(channels, steps)), axis=1)


class _Chain:
    """Appends layers behind one another; ``here`` is the tensor at the end."""

    def __init__(self, rng: np.random.Generator, start: Tensor) -> None:
        self.rng, self.here, self.layers = rng, start, list[Layer]()

    def name(self, kind: str) -> str:
        return f"{kind}_{sum(layer.name.startswith(kind) for layer in self.layers)}"

    def out(self, shape: tuple[int, int, int], dtype: IntType) -> Tensor:
        return Tensor(f"t{len(self.layers)}", shape, dtype)

    def push(self, layer: Layer) -> None:
        self.layers.append(layer)
        self.here = layer.outputs[0]

    def window(self, kernel: int, stride: int = 1, pad: int = 1) -> None:
        h, w, c = self.here.shape
        shape = (
            (h + 2 * pad - kernel) // stride + 1,
            (w + 2 * pad - kernel) // stride + 1,
            kernel**2 * c,
        )
        out = self.out(shape, self.here.dtype)
        self.push(Window(self.name("Window"), (self.here,), (out,), kernel, stride, pad))

    def xnor(self, channels: int) -> None:
        h, w, k = self.here.shape
        out = self.out((h, w, channels), IntType.holding(0, k))
        weights = self.rng.integers(0, 2, size=(k, channels))
        self.push(XnorMvau(self.name("MVAU"), (self.here,), (out,), weights))

    def product(self, channels: int, bits: int = 8) -> None:
        h, w, k = self.here.shape
        half = 1 << (bits - 1)
        weights = self.rng.integers(-half, half, size=(k, channels))
        bias = self.rng.integers(-100, 101, size=channels)
        bound = k * half * max(-self.here.dtype.lo, self.here.dtype.hi) + 100
        out = self.out((h, w, channels), IntType.holding(-bound, bound))
        self.push(IntMvau(self.name("MVAU"), (self.here,), (out,), weights, bias))

    def threshold(self, dtype: IntType) -> None:
        steps = dtype.hi - dtype.lo
        x = self.here
        spread = sorted_thresholds(self.rng, x.channels, steps, x.dtype.lo, x.dtype.hi)
        out = self.out(x.shape, dtype)
        offset = dtype.lo
        self.push(Threshold(self.name("Thresholding"), (x,), (out,), spread, offset))

    def fork(self) -> Tensor:
        """Fork; go on from output 0 and return output 1."""
        return self.split(2)[1]

    def split(self, readers: int) -> tuple[Tensor, ...]:
        """Fork for ``readers``; go on from output 0."""
        a = self.out(self.here.shape, self.here.dtype)
        outs = (a, *(Tensor(f"{a.name}{x}", a.shape, a.dtype) for x in "bcdef"[: readers - 1]))
        self.push(Fork(self.name("DuplicateStreams"), (self.here,), outs))
        return outs

    def pool(self, kernel: int = 2) -> None:
        h, w, c = self.here.shape
        out = self.out((h // kernel, w // kernel, c), self.here.dtype)
        self.push(AveragePool(self.name("Pool"), (self.here,), (out,), kernel))

    def concat(self, *parts: Tensor) -> None:
        lo, hi = min(t.dtype.lo for t in parts), max(t.dtype.hi for t in parts)
        shape = (*self.here.shape[:2], sum(t.channels for t in parts))
        out = self.out(shape, IntType.holding(lo, hi))
        self.push(Concat(self.name("StreamingConcat"), parts, (out,)))

    def add(self, other: Tensor) -> None:
        a = self.here.dtype
        dtype = IntType.holding(a.lo + other.dtype.lo, a.hi + other.dtype.hi)
        out = self.out(self.here.shape, dtype)
        self.push(Add(self.name("ElementwiseAdd"), (self.here, other), (out,)))

    def half_block(self, kernel: int, residual: IntType) -> None:
        """RSign, binary convolution, BN, add the shortcut, RPReLU."""
        shortcut = self.fork()
        self.threshold(BINARY)
        if kernel > 1:
            self.window(kernel, pad=kernel // 2)
        self.xnor(shortcut.channels)
        self.threshold(residual)
        self.add(shortcut)
        self.threshold(residual)

    def reduction_block(self, residual: IntType) -> None:
        """Halves the image, then doubles the channels."""
        self.strided_half(residual)
        self.twin_halves(residual)

    def strided_half(self, residual: IntType) -> None:
        """A half block of a 3x3 convolution of stride 2, its shortcut an average pool."""
        main, shortcut = self.split(2)
        self.here = shortcut
        self.pool()
        pooled, self.here = self.here, main
        self.threshold(BINARY)
        self.window(3, stride=2)
        self.xnor(shortcut.channels)
        self.threshold(residual)
        self.add(pooled)
        self.threshold(residual)

    def twin_halves(self, residual: IntType) -> None:
        """Two 1x1 half blocks that share their input and its sign; their outputs joined."""
        _, *shortcuts = self.split(3)
        self.threshold(BINARY)
        halves = []
        for bits, shortcut in zip(self.split(2), shortcuts, strict=True):
            self.here = bits
            self.xnor(shortcut.channels)
            self.threshold(residual)
            self.add(shortcut)
            self.threshold(residual)
            halves.append(self.here)
        self.concat(*halves)


def random_reactnet(
    seed: int = 0,
    *,
    width: int = 8,
    blocks: int = 1,
    size: tuple[int, int] = (6, 5),
    in_channels: int = 1,
    classes: int = 5,
    residual_bits: int = 4,
) -> QuantGraph:
    """Stem, ``blocks`` blocks of a 3x3 and a 1x1 half, global sum, classifier."""
    rng = np.random.default_rng(seed)
    residual = IntType(residual_bits, signed=True)
    source = Tensor("image", (*size, in_channels), IntType(8))
    chain = _Chain(rng, source)
    chain.window(3)
    chain.product(width)
    chain.threshold(residual)
    for _ in range(blocks):
        chain.half_block(3, residual)
        chain.half_block(1, residual)
    total = IntType.holding(residual.lo * size[0] * size[1], residual.hi * size[0] * size[1])
    out = chain.out((1, 1, width), total)
    chain.push(GlobalSum("GlobalAccPool_0", (chain.here,), (out,)))
    chain.product(classes)
    graph = QuantGraph("random", source, chain.here, tuple(chain.layers), Scaling(2**-8, 2**-10))
    return graph.check()


def reducing_reactnet(
    seed: int = 0,
    *,
    width: int = 4,
    reductions: int = 1,
    size: tuple[int, int] = (6, 4),
    residual_bits: int = 4,
) -> QuantGraph:
    """Stem, then reduction blocks that halve the image and double the channels, classifier."""
    residual = IntType(residual_bits, signed=True)
    source = Tensor("image", (*size, 1), IntType(8))
    chain = _Chain(np.random.default_rng(seed), source)
    chain.window(3)
    chain.product(width)
    chain.threshold(residual)
    for _ in range(reductions):
        chain.reduction_block(residual)
    chain.half_block(3, residual)
    x = chain.here
    total = IntType.holding(residual.lo * x.pixels, residual.hi * x.pixels)
    chain.push(GlobalSum("GlobalAccPool_0", (x,), (chain.out((1, 1, x.channels), total),)))
    chain.product(5)
    graph = QuantGraph("reducing", source, chain.here, tuple(chain.layers), Scaling(2**-8, 2**-10))
    return graph.check()


def random_images(graph: QuantGraph, count: int, seed: int = 0) -> IntArray:
    """Integer frames (N, H, W, C) over the whole input range."""
    rng = np.random.default_rng(seed)
    dtype = graph.input.dtype
    return rng.integers(dtype.lo, dtype.hi + 1, size=(count, *graph.input.shape))
