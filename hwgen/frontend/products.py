"""Products: convolutions and linear layers on integers."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import onnx
from numpy.typing import NDArray

from hwgen import ops
from hwgen.frontend.padding import Padding, squared
from hwgen.frontend.values import FLOAT32_EXACT, Grid, Stream, Weights, attributes_of, fail
from hwgen.quant import IntArray

MOST_GROUPS = 16  # every group is a product of its own


@dataclass(frozen=True, slots=True)
class Matrix:
    """Weights (K, M) as products multiply with them; ``scale`` is one number or M."""

    integers: IntArray
    scale: NDArray[np.float32]

    @property
    def binary(self) -> bool:
        """All +1 or -1."""
        return bool(np.isin(self.integers, (-1, 1)).all())

    def bases(self, base: IntArray, depthwise: bool) -> IntArray:
        """What inputs that are too large by minus ``base`` (channels) add to the products (M)."""
        if depthwise:
            own: IntArray = (self.integers * base).sum(axis=0)
            return own
        taps = self.integers.reshape(-1, len(base), self.integers.shape[1])  # channels fastest
        found: IntArray = (taps * base[:, None]).sum(axis=(0, 1))
        return found


@dataclass(frozen=True, slots=True)
class Geometry:
    """A convolution's square kernel, its stride, and the groups of its channels."""

    kernel: int
    stride: int
    groups: int = 1


class Products(Padding):
    """Conv, Gemm and MatMul."""

    def convolve(self, node: onnx.NodeProto) -> None:
        """Conv: pad, im2col, then a product on integers; for every group of channels its own."""
        stream, weights = self.settled(node, node.input[0]), self.matrix(node, node.input[1])
        attributes = attributes_of(node)
        groups, auto = attributes.get("group", 1), attributes.get("auto_pad", "NOTSET")
        if set(attributes.get("dilations", [1])) != {1} or auto not in ("NOTSET", "VALID"):
            raise fail(node, "dilation and auto_pad are not supported; give pads as numbers")
        pads = [int(p) for p in attributes.get("pads", [0, 0, 0, 0])]
        stride = attributes.get("strides", [1, 1])
        if weights.integers.ndim != 4 or len(set(stride)) > 1:
            raise fail(node, f"kernel {weights.integers.shape[2:]} or stride {stride} not square")
        if weights.scale.size > 1 and weights.scale.shape != (weights.scale.size, 1, 1, 1):
            raise fail(node, f"weight scales of shape {weights.scale.shape} are not per output")
        if any(pads) and any(stream.pads):
            raise fail(node, "two paddings follow one another")
        zeros = stream.zeros or (stream.binary and any(pads))
        weights, pad = squared(node, weights, pads if any(pads) else list(stream.pads))
        stream = replace(stream, pads=(pad,) * 4, zeros=zeros)
        geometry = Geometry(weights.integers.shape[2], stride[0], groups)
        outputs = weights.integers.shape[0]
        depthwise = groups == stream.channels == outputs
        if groups > MOST_GROUPS and not depthwise:
            raise fail(
                node,
                f"{groups} groups are not supported; up to {MOST_GROUPS} are, or one for every "
                "channel",
            )
        if stream.channels % groups or outputs % groups:
            raise fail(node, f"{stream.channels} channels to {outputs} in {groups} groups")
        if groups == 1 or depthwise:
            made = self.convolution(node, stream, weights, geometry)
        else:
            made = self.grouped(node, stream, weights, replace(geometry, groups=1), groups)
        self.finish_product(node, made)

    def finish_product(self, node: onnx.NodeProto, product: Stream) -> None:
        """Name what the sums stand for; a constant bias has an Add of its own (normalise.py)."""
        if len(node.input) > 2 and node.input[2]:
            raise fail(node, "its bias is not a constant")
        self.sums[node.output[0]] = product.grid
        self.streams[node.output[0]] = replace(product, source=node.output[0])

    def convolution(
        self, node: onnx.NodeProto, stream: Stream, weights: Weights, geometry: Geometry
    ) -> Stream:
        """One convolution of all channels of a stream, dense or depthwise."""
        depthwise = geometry.groups > 1
        outputs = weights.integers.shape[0]
        # (M, C, ky, kx) to (ky, kx, C, M): the order of im2col on NHWC; depthwise (ky, kx, M)
        order = (2, 3, 0, 1) if depthwise else (2, 3, 1, 0)
        matrix = Matrix(
            weights.integers.transpose(*order).reshape(-1, outputs), weights.scale.reshape(-1)
        )
        cut = self.cut(stream, weights.integers, geometry) if stream.zeros else None
        odd = cut is not None and bool((cut % 2).any())
        if odd:  # counted in halves
            matrix = replace(matrix, integers=2 * matrix.integers)
        patches = self.emit.patches(
            stream.name,
            stream.shape,
            geometry.kernel,
            geometry.stride,
            stream.pads[0],
            depthwise=depthwise,
        )
        kernel = geometry.kernel if depthwise else 0
        product = self.product(node, stream, patches, matrix, kernel, halves=odd)
        if cut is None:
            return product
        bias = cut[None] if odd else cut[None] // 2
        name, held = self.emit.add_constant(
            product.name, product.shape, bias, product.lo, product.hi
        )
        return replace(product, name=name, borders=(held,))

    def cut(self, stream: Stream, weights: IntArray, geometry: Geometry) -> IntArray:
        """The sums (OH, OW, M) of the weights that fall on padding, pixel by pixel.

        A padded tap counts as bit 0, which means -1, and should count as 0: the sum of its weights
        is missing from the dot product, half of it from the count of bits.
        """
        pad, kernel = stream.pads[0], geometry.kernel
        inside = np.zeros((1, stream.shape[1] + 2 * pad, stream.shape[2] + 2 * pad, 1), np.int64)
        inside[:, pad : pad + stream.shape[1], pad : pad + stream.shape[2]] = 1
        taps = ops.window(inside, kernel=kernel, stride=geometry.stride, pad=0, pad_value=0)[0]
        by_tap = weights.sum(axis=1).reshape(len(weights), -1)  # (M, ky * kx)
        missing: IntArray = (1 - taps) @ by_tap.T
        return missing

    def grouped(
        self,
        node: onnx.NodeProto,
        stream: Stream,
        weights: Weights,
        geometry: Geometry,
        groups: int,
    ) -> Stream:
        """A convolution for every part of the channels; their products side by side."""
        outputs = weights.integers.shape[0]
        names, shape = self.emit.split(stream.name, stream.shape, groups)
        scales = np.broadcast_to(weights.scale.reshape(-1), (outputs,)).reshape(groups, -1)
        parts = [
            self.convolution(
                node,
                replace(stream, name=name, shape=shape),
                Weights(integers, scale),
                geometry,
            )
            for name, integers, scale in zip(
                names, np.split(weights.integers, groups), scales, strict=True
            )
        ]
        if len({p.grid.gain for p in parts}) > 1:
            raise fail(node, "some of its groups are binary and some are not")
        lo, hi = min(p.lo for p in parts), max(p.hi for p in parts)
        whole = (*parts[0].shape[:3], outputs)
        out = self.emit.concat([p.name for p in parts], whole, lo, hi)
        each = (*parts[0].shape[:3], outputs // groups)
        scale = np.concatenate([np.broadcast_to(p.grid.scale, each[3:]) for p in parts])
        base = np.concatenate([np.broadcast_to(p.grid.base, each[3:]) for p in parts])
        one = np.unique(scale).size == 1
        grid = Grid(scale[:1] if one else scale, parts[0].grid.gain, base)
        return Stream(
            out,
            whole,
            lo,
            hi,
            grid,
            weights=tuple(name for p in parts for name in p.weights),
            borders=tuple(name for p in parts for name in p.borders),
        )

    def multiply(self, node: onnx.NodeProto) -> None:
        """Gemm and MatMul on a single pixel."""
        stream, weights = self.settled(node, node.input[0]), self.matrix(node, node.input[1])
        attributes = attributes_of(node)
        if node.op_type == "Gemm" and (
            attributes.get("alpha", 1.0) != 1.0
            or attributes.get("beta", 1.0) != 1.0
            or attributes.get("transA", 0)
        ):
            raise fail(node, "alpha, beta and transA are not supported")
        shape = self.model.get_tensor_shape(node.input[0])
        if weights.integers.ndim != 2 or (shape is not None and len(shape) != 2):
            raise fail(node, f"its input {shape} and weights need two axes; Flatten in front")
        transposed = node.op_type == "Gemm" and attributes.get("transB", 0)
        integers, scale = weights.integers, weights.scale
        if scale.size > 1 and scale.ndim == 2 and transposed:
            scale = scale.T
        if integers.ndim != 2 or (scale.size > 1 and scale.shape[:-1] not in ((), (1,))):
            raise fail(node, f"weight scales of shape {weights.scale.shape} are not per output")
        if stream.shape[1:3] != (1, 1):
            raise fail(node, f"its input is still an image of {stream.shape[1]}x{stream.shape[2]}")
        rows = integers.T if transposed else integers
        if stream.grid.order is not None and len(rows) == stream.channels:
            rows = rows[stream.grid.order]
        matrix = Matrix(np.ascontiguousarray(rows), scale.reshape(-1))
        self.finish_product(
            node, self.product(node, stream, (stream.name, stream.shape), matrix, 0)
        )

    def matrix(self, node: onnx.NodeProto, name: str) -> Weights:
        """The quantised weights a node reads."""
        if name not in self.weights:
            raise fail(node, f"its weights {name} are not quantised")
        return self.weights[name]

    def product(
        self,
        node: onnx.NodeProto,
        stream: Stream,
        patches: tuple[str, tuple[int, int, int, int]],
        matrix: Matrix,
        kernel: int,
        *,
        halves: bool = False,
    ) -> Stream:
        """Binary by binary as XNOR-popcount, else integer by integer.

        Bits b by integers w: the sum of (2 b - 1) w is 2 times that of b w, less that of w; other
        inputs with a base likewise.
        ``kernel`` is that of a depthwise product, else 0; ``halves`` says that weights are doubled.
        """
        name, shape = patches
        k, m = matrix.integers.shape
        if shape[3] != (k * m if kernel else k):
            raise fail(node, f"{shape[3]} inputs by a weight matrix of {k} rows")
        if not stream.binary and not stream.grid.plain and any(stream.pads):
            raise fail(node, "it pads a product of bits; put a Quant in front")
        if not kernel and not stream.grid.uniform:
            raise fail(node, "its input has a scale for every channel; put a Quant in front")
        if matrix.scale.size not in (1, m):
            raise fail(node, f"{matrix.scale.size} scales for {m} columns of weights")
        scale = np.asarray(stream.grid.scale * matrix.scale, np.float32)
        out_shape = (*shape[:3], m)
        if stream.binary and matrix.binary and not kernel:
            out, initializer = self.emit.xnor(name, out_shape, (matrix.integers + 1) // 2)
            return Stream(out, out_shape, 0, k, Grid(scale, 2, -k), weights=(initializer,))
        bound = int(np.abs(matrix.integers).sum(axis=0).max() * max(-stream.lo, stream.hi))
        bound = max(bound, 1)
        if bound >= FLOAT32_EXACT:
            raise fail(node, f"its sums reach {bound}, past FINN's exact range of 2**24")
        if kernel:
            out, initializer = self.emit.depthwise(name, out_shape, matrix.integers, kernel, bound)
        else:
            out, initializer = self.emit.matmul(name, out_shape, matrix.integers, bound)
        bases = matrix.bases(np.broadcast_to(stream.grid.base, stream.channels), kernel > 0)
        gain = stream.grid.gain
        grid = Grid(scale, 1, bases // 2) if halves else Grid(scale, gain, bases)
        return Stream(out, out_shape, -bound, bound, grid, weights=(initializer,))
