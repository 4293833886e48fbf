"""Streamlining by evaluation: a QONNX graph becomes a graph of integers in FINN's dialect.

In the sense of the FINN paper (Umuroglu et al., 2017) every float scale, bias, norm and activation
is absorbed into integer thresholds. FINN's own rewriting rules are missing or unsound for a
ReActNet, so the graph is walked once instead: linear operators are emitted on integers, unary
operators pend, and where a quantiser ends them the whole chain is evaluated (staircase.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from qonnx.core.modelwrapper import ModelWrapper

from hwgen.errors import UnsupportedError
from hwgen.frontend.load import ENDS, LINEAR, PASS, QUANTISERS, UNARY, supported
from hwgen.frontend.outputs import Outputs
from hwgen.frontend.pools import Pools
from hwgen.frontend.products import Products
from hwgen.frontend.values import IntegerGraph, Stream, Walk, Weights, attributes_of, fail

Handler = Callable[[onnx.NodeProto], None]
Visit = Callable[[Walk, onnx.NodeProto, Handler], None]


def strictly(walk: Walk, node: onnx.NodeProto, handler: Handler) -> None:
    """Visit a node; what it cannot be is an error."""
    try:
        handler(node)
    except UnsupportedError as error:
        if f"({node.op_type})" in str(error):
            raise
        raise fail(node, str(error)) from error
    walk.require_shapes(node)


def streamline(
    model: ModelWrapper, top_k: int | None = None, visit: Visit = strictly
) -> IntegerGraph:
    """Turn a cleaned-up QONNX model into its integer graph (NHWC, FINN's dialect).

    With ``top_k`` it ends in the places of that many largest outputs. Raises ``UnsupportedError``
    that names the node in the way, why, and the remedy. ``visit`` calls the handler of a node, or
    survives its failure (survey.py).
    """
    walk = _Operators(model)
    walk.begin()
    handlers: dict[str, Handler] = {
        **dict.fromkeys(QUANTISERS, walk.quantise),
        **dict.fromkeys(UNARY, walk.unary),
        **dict.fromkeys(PASS, walk.alias),
        **dict.fromkeys(LINEAR, walk.multiply),
        "Conv": walk.convolve,
        "Pad": walk.pad,
        "ReduceMean": walk.pool,
        "ReduceSum": walk.pool,
        "GlobalAveragePool": walk.pool,
        "AveragePool": walk.average_pool,
        "MaxPool": walk.max_pool,
        "Concat": walk.concat,
        "Transpose": walk.transpose,
        **dict.fromkeys(ENDS, walk.choose),
    }
    for node in list(model.graph.node):
        visit(walk, node, handlers[node.op_type] if supported(node) else unknown)
    if top_k is not None:
        walk.end_in_top_k(top_k)
    return walk.finish()


def unknown(node: onnx.NodeProto) -> None:
    """No operator that hwgen knows."""
    raise fail(node, "the operator is not supported")


class _Operators(Pools, Products, Outputs):
    """All operators; the rest of them join, concatenate, flatten or only pend."""

    def unary(self, node: onnx.NodeProto) -> None:
        """Operators of one stream and constants pend; Add of two streams is emitted."""
        streams = [name for name in node.input if name in self.streams]
        if len(streams) == 2 and node.op_type == "Add":
            self.streams[node.output[0]] = self.join(node)
            return
        if len(streams) != 1 or (node.op_type in ("Sub", "Div") and node.input[0] not in streams):
            raise fail(node, "its inputs are not one quantised stream and constants")
        stream = self.streams[streams[0]]
        rank = len(self.model.get_tensor_shape(streams[0]) or ())
        for name in node.input:
            value = self.constant(name)
            if value is not None and not per_channel(node, value, stream.channels, rank):
                raise fail(node, f"constant {name} of shape {value.shape} is not per channel")
        if any(stream.pads):
            raise fail(node, "it stands between a Pad and its convolution")
        factor = self.power_of_two(node)
        if factor is not None and not stream.pending and stream.name:
            grid = replace(stream.grid, scale=stream.grid.scale * factor)
            self.streams[node.output[0]] = replace(stream, grid=grid, source=node.output[0])
            return
        self.streams[node.output[0]] = replace(stream, pending=(*stream.pending, node))

    def power_of_two(self, node: onnx.NodeProto) -> np.float32 | None:
        """What a Mul or Div by one power of two multiplies with: exact, so the scale takes it."""
        value = next((v for v in map(self.constant, node.input) if v is not None), None)
        if node.op_type not in ("Mul", "Div") or value is None or value.size != 1:
            return None
        number = np.float32(value.reshape(-1)[0])
        if np.frexp(number)[0] != 0.5:
            return None
        return number if node.op_type == "Mul" else np.float32(1) / number

    def join(self, node: onnx.NodeProto) -> Stream:
        """Add of two integer streams of one scale."""
        a, b = (self.settled(node, name) for name in node.input)
        if a.shape != b.shape:
            raise fail(node, f"shapes {a.shape} and {b.shape} differ")
        if any(any(x.pads) or x.grid.order is not None for x in (a, b)):
            raise fail(node, "it adds images that are padded or flattened; add them before")
        plain = all(x.grid.plain for x in (a, b))
        if not plain or not np.array_equal(a.grid.scale, b.grid.scale) or not a.grid.uniform:
            raise fail(
                node,
                f"its branches have scales {a.grid.scale} and {b.grid.scale}; "
                "a residual needs one shared scale",
            )
        lo, hi = a.lo + b.lo, a.hi + b.hi
        out = self.emit.add(a.name, b.name, a.shape, lo, hi)
        self.equals[out] = (node.output[0], a.grid)
        self.sums[node.output[0]] = a.grid
        return Stream(out, a.shape, lo, hi, a.grid, source=node.output[0])

    def concat(self, node: onnx.NodeProto) -> None:
        """Channels of several integer streams of one scale, one after another."""
        streams = [self.settled(node, name) for name in node.input]
        if attributes_of(node)["axis"] not in (1, -3):
            raise fail(node, f"axis {attributes_of(node)['axis']} is not that of the channels, 1")
        first, *others = streams
        if any(s.binary or s.weights for s in streams):
            raise fail(node, "it joins bits or products; quantise products, join before the sign")
        if any(any(s.pads) or s.grid.order is not None for s in streams):
            raise fail(node, "its inputs are padded or flattened; join them before")
        for other in others:
            if other.shape[1:3] != first.shape[1:3]:
                raise fail(node, f"images of {first.shape[1:3]} and {other.shape[1:3]} differ")
            if not first.grid.uniform or not np.array_equal(first.grid.scale, other.grid.scale):
                raise fail(
                    node,
                    f"its inputs have scales {first.grid.scale} and {other.grid.scale}; "
                    "quantise them with one shared scale",
                )
        lo, hi = min(s.lo for s in streams), max(s.hi for s in streams)
        shape = (*first.shape[:3], sum(s.channels for s in streams))
        out = self.emit.concat([s.name for s in streams], shape, lo, hi)
        self.equals[out] = (node.output[0], first.grid)
        self.streams[node.output[0]] = Stream(out, shape, lo, hi, first.grid, source=node.output[0])

    def transpose(self, node: onnx.NodeProto) -> None:
        """Of weights alone: images keep their order."""
        if node.input[0] not in self.weights:
            raise fail(node, "only quantised weights are transposed")
        weights, order = self.weights[node.input[0]], attributes_of(node).get("perm")
        scale = weights.scale
        if scale.size > 1:
            scale = scale.reshape((1,) * (weights.integers.ndim - scale.ndim) + scale.shape)
            scale = scale.transpose(order)
        self.weights[node.output[0]] = Weights(weights.integers.transpose(order), scale)

    def alias(self, node: onnx.NodeProto) -> None:
        """What keeps the integers: reshapes of one pixel, and the flattening of an image."""
        if node.input[0] in self.weights:
            raise fail(node, "it reshapes weights; export weights in their shape")
        stream = self.stream(node, node.input[0])
        if node.op_type in ("Identity", "Dropout") or stream.shape[1:3] == (1, 1):
            self.streams[node.output[0]] = replace(stream, source=self.renamed(stream, node))
            return
        shape = self.model.get_tensor_shape(node.output[0])
        if len(shape) != 2 or shape[1] != np.prod(stream.shape):
            raise fail(node, f"an image {stream.shape[1:]} becomes {shape}; it may become one row")
        if stream.name:
            self.streams[node.output[0]] = self.flattened(self.settled(node, node.input[0]))
        else:
            self.streams[node.output[0]] = replace(stream, flat=True)

    def renamed(self, stream: Stream, node: onnx.NodeProto) -> str:
        """The original tensor that a stream stands for behind a node that changes nothing."""
        return stream.source if stream.pending else str(node.output[0])


def per_channel(node: onnx.NodeProto, value: NDArray[Any], channels: int, rank: int) -> bool:
    """Whether a constant is one number or one for every channel of a tensor (N, C, ...)."""
    if value.size == 1 or node.op_type == "BatchNormalization":
        return value.size in (1, channels)
    shape = (1,) * (rank - value.ndim) + value.shape
    return len(shape) == rank and shape[1] == channels == value.size
