"""Products: convolutions and linear layers on integers, and the padding in front of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
from onnx import helper

from hwgen import ops
from hwgen.frontend.values import Grid, Stream, Walk, Weights, attributes_of, fail
from hwgen.quant import IntArray

MOST_GROUPS = 16  # every group is a product of its own
FLOAT32_EXACT = 1 << 24  # integers up to here are exact in FINN's float32 tensors


class Products(Walk):
    """Pad, Conv, Gemm and MatMul."""

    def pad(self, node: onnx.NodeProto) -> None:
        """Padding waits for its convolution; its value must be one the tensor can take."""
        stream = self.settled(node, node.input[0])
        pads = self.constant(node.input[1])
        value = self.constant(node.input[2]) if len(node.input) > 2 else None
        if pads is None or (len(node.input) > 3 and node.input[3]):
            raise fail(node, "its pads are not constants over all axes")
        amounts = [int(p) for p in pads.reshape(-1)]
        fill = 0.0 if value is None else float(value.reshape(-1)[0])
        if attributes_of(node).get("mode", "constant") != "constant" or len(amounts) != 8:
            raise fail(node, "only constant padding of images is supported")
        top, left, bottom, right = amounts[2], amounts[3], amounts[6], amounts[7]
        if any(amounts[i] for i in (0, 1, 4, 5)) or len({top, left, bottom, right}) > 1:
            raise fail(node, f"pads {amounts} are not equal on the four sides of the image")
        wanted = float(stream.grid.value(np.zeros(1, np.int64))[0])  # integer 0: -1 or 0
        zeros = stream.binary and fill == 0.0
        if fill != wanted and not zeros:
            raise fail(node, padding_advice(stream, fill))
        if any(stream.pads):
            raise fail(node, "two paddings follow one another")
        around = (top, left, bottom, right)
        self.streams[node.output[0]] = replace(stream, pads=around, zeros=zeros)

    def convolve(self, node: onnx.NodeProto) -> None:
        """Conv: pad, im2col, then a product on integers; for every group of channels its own."""
        stream, weights = self.settled(node, node.input[0]), self.matrix(node, node.input[1])
        attributes = attributes_of(node)
        groups = attributes.get("group", 1)
        if set(attributes.get("dilations", [1])) != {1}:
            raise fail(node, "dilation is not supported")
        if groups > MOST_GROUPS:
            raise fail(node, f"{groups} groups are not supported; up to {MOST_GROUPS} are")
        pads = [int(p) for p in attributes.get("pads", [0, 0, 0, 0])]
        if any(pads):
            if any(stream.pads) or len(set(pads)) > 1:
                raise fail(node, f"pads {pads} are not equal on the four sides")
            equal = (pads[0], pads[1], pads[2], pads[3])
            stream = replace(stream, pads=equal, zeros=stream.binary)
        kernel = weights.integers.shape[2:]
        stride = attributes.get("strides", [1, 1])
        if len(kernel) != 2 or len(set(kernel)) > 1 or len(set(stride)) > 1:
            raise fail(node, f"kernel {kernel} or stride {stride} is not square")
        if groups == 1:
            product = self.convolution(node, stream, weights, stride[0])
        else:
            product = self.grouped(node, stream, weights, stride[0], groups)
        self.streams[node.output[0]] = self.with_bias(node, product)

    def convolution(
        self, node: onnx.NodeProto, stream: Stream, weights: Weights, stride: int
    ) -> Stream:
        """One convolution of all channels of a stream."""
        kernel = weights.integers.shape[2]
        patches = self.emit.patches(stream.name, stream.shape, kernel, stride, stream.pads[0])
        # (M, C, ky, kx) to (ky, kx, C, M): the order of im2col on NHWC
        k_by_m = weights.integers.transpose(2, 3, 1, 0).reshape(-1, weights.integers.shape[0])
        product = self.product(node, stream, patches, k_by_m, weights)
        return self.zero_border(node, stream, product, weights, stride) if stream.zeros else product

    def grouped(
        self, node: onnx.NodeProto, stream: Stream, weights: Weights, stride: int, groups: int
    ) -> Stream:
        """A convolution for every part of the channels; their products side by side."""
        outputs = weights.integers.shape[0]
        if stream.channels % groups or outputs % groups:
            raise fail(node, f"{stream.channels} channels to {outputs} in {groups} groups")
        names, shape = self.emit.split(stream.name, stream.shape, groups)
        scales = np.broadcast_to(weights.scale.reshape(-1), (outputs,)).reshape(groups, -1)
        parts = [
            self.convolution(
                node,
                replace(stream, name=name, shape=shape),
                Weights(integers, scale, weights.bits),
                stride,
            )
            for name, integers, scale in zip(
                names, np.split(weights.integers, groups), scales, strict=True
            )
        ]
        lo, hi = min(p.lo for p in parts), max(p.hi for p in parts)
        whole = (*parts[0].shape[:3], outputs)
        out = self.emit.concat([p.name for p in parts], whole, lo, hi)
        scale = np.concatenate([p.grid.scale for p in parts])
        return Stream(
            out,
            whole,
            lo,
            hi,
            replace(parts[0].grid, scale=scale if np.unique(scale).size > 1 else scale[:1]),
            weights=tuple(name for p in parts for name in p.weights),
            borders=tuple(name for p in parts for name in p.borders),
        )

    def zero_border(
        self, node: onnx.NodeProto, stream: Stream, product: Stream, weights: Weights, stride: int
    ) -> Stream:
        """What padding of 0 changes in popcounts that were made with padding of -1.

        A padded tap has counted -w and should have counted 0: half the sum of its weights is added
        to the popcount, so that the dot product is 2 q - K as everywhere.
        """
        kernel, pad = weights.integers.shape[2], stream.pads[0]
        inside = np.zeros((1, stream.shape[1] + 2 * pad, stream.shape[2] + 2 * pad, 1), np.int64)
        inside[:, pad : pad + stream.shape[1], pad : pad + stream.shape[2]] = 1
        taps = ops.window(inside, kernel=kernel, stride=stride, pad=0, pad_value=0)[0]
        by_tap = weights.integers.sum(axis=1).reshape(len(weights.integers), -1)  # (M, ky * kx)
        cut: IntArray = (1 - taps) @ by_tap.T  # (OH, OW, M)
        if (cut % 2).any():
            raise fail(
                node,
                f"zero padding of {stream.channels} binary channels gives half-integers; use an "
                "even number of channels, or pad with -1 (training option pad: minus1)",
            )
        name, bias = self.emit.add_constant(
            product.name, product.shape, cut[None] // 2, product.lo, product.hi
        )
        return replace(product, name=name, borders=(bias,))

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
        if not transposed and weights.scale.size > 1:
            raise fail(node, "per-channel weight scales need transB")
        k_by_m = weights.integers.T if transposed else weights.integers
        if stream.shape[1:3] != (1, 1):
            raise fail(node, f"its input is still an image of {stream.shape[1]}x{stream.shape[2]}")
        product = self.product(node, stream, (stream.name, stream.shape), k_by_m, weights)
        self.streams[node.output[0]] = self.with_bias(node, product)

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
        k_by_m: IntArray,
        weights: Weights,
    ) -> Stream:
        """Binary by binary as XNOR-popcount, else integer by integer."""
        name, shape = patches
        k, m = k_by_m.shape
        if shape[3] != k:
            raise fail(node, f"{shape[3]} inputs by a weight matrix of {k} rows")
        if stream.grid.scale.size != 1 or weights.scale.size not in (1, m):
            raise fail(
                node,
                f"{stream.grid.scale.size} scales of its input and {weights.scale.size} of its "
                f"{m} columns of weights do not go together; quantise its input with one scale",
            )
        scale = np.asarray(stream.grid.scale * weights.scale.reshape(-1), np.float32)
        out_shape = (*shape[:3], m)
        if stream.binary and weights.binary:
            out, initializer = self.emit.xnor(name, out_shape, (k_by_m + 1) // 2)
            grid = Grid(scale, gain=2, base=-k)
            return Stream(out, out_shape, 0, k, grid, weights=(initializer,))
        if stream.binary:
            raise fail(node, "binary inputs by weights of several bits are not supported yet")
        bound = int(np.max(np.abs(k_by_m).sum(axis=0)) * max(-stream.lo, stream.hi))
        if bound >= FLOAT32_EXACT:
            raise fail(node, f"its sums reach {bound}, past FINN's exact range of 2**24")
        out, initializer = self.emit.matmul(name, out_shape, k_by_m, bound)
        return Stream(out, out_shape, -bound, bound, Grid(scale), weights=(initializer,))

    def with_bias(self, node: onnx.NodeProto, stream: Stream) -> Stream:
        """A bias pends, like an Add of its own; at the network's end it becomes integers."""
        if len(node.input) < 3 or not node.input[2]:
            return stream
        bias = self.constant(node.input[2])
        if bias is None:
            raise fail(node, "its bias is not a constant")
        if bias.size != stream.channels and (node.op_type == "Conv" or bias.size != 1):
            raise fail(node, f"a bias of shape {bias.shape} for {stream.channels} channels")
        name = f"{node.output[0]}_bias"
        self.model.set_initializer(name, bias.reshape(1, -1, 1, 1).astype(np.float32))
        add = helper.make_node("Add", [stream.name, name], [f"{name}ed"], name=f"{node.name}_bias")
        return replace(stream, pending=(*stream.pending, add))


def padding_advice(stream: Stream, fill: float) -> str:
    """Why a tensor cannot be padded with ``fill``, and what to do."""
    if stream.binary:
        return (
            f"a binary tensor padded with {fill:g} holds a third value that binary hardware "
            "has not; pad with -1 or 0"
        )
    return f"padding with {fill:g} is not supported; pad with 0"
