"""Streamlining by evaluation: a QONNX graph becomes a graph of integers in FINN's dialect.

In the sense of the FINN paper (Umuroglu et al., 2017) every float scale, bias, norm and activation
is absorbed into integer thresholds. FINN's own rewriting rules are missing or unsound for a
ReActNet, so the graph is walked once instead: linear operators are emitted on integers, unary
operators pend, and where a quantiser ends them the whole chain is evaluated (staircase.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx
from qonnx.core.modelwrapper import ModelWrapper

from hwgen.errors import UnsupportedError, UserInputError
from hwgen.frontend.load import ENDS, LINEAR, PASS, QUANTISERS, UNARY, supported
from hwgen.frontend.products import Products
from hwgen.frontend.quantisers import Quantisers
from hwgen.frontend.values import Grid, IntegerGraph, Stream, Walk, attributes_of, fail
from hwgen.quant import Scaling

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


class _Operators(Quantisers, Products):
    """All operators; the rest of them join, pool, concatenate or only pend."""

    scores = ""  # what a network that ends in places chooses from

    def unary(self, node: onnx.NodeProto) -> None:
        """Operators of one stream and constants pend; Add of two streams is emitted."""
        streams = [name for name in node.input if name in self.streams]
        if len(streams) == 2 and node.op_type == "Add":
            self.streams[node.output[0]] = self.join(node)
            return
        if len(streams) != 1 or (node.op_type in ("Sub", "Div") and node.input[0] not in streams):
            raise fail(node, "its inputs are not one quantised stream and constants")
        for name in node.input:
            value = self.constant(name)
            channels = self.streams[streams[0]].channels
            if value is not None and value.size not in (1, channels):
                raise fail(node, f"constant {name} of shape {value.shape} is not per channel")
        stream = self.streams[streams[0]]
        if any(stream.pads):
            raise fail(node, "it stands between a Pad and its convolution")
        factor = self.power_of_two(node)
        if factor is not None and not stream.pending:
            grid = replace(stream.grid, scale=stream.grid.scale * factor)
            self.streams[node.output[0]] = replace(stream, grid=grid)
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
        plain = all((x.grid.gain, x.grid.base) == (1, 0) for x in (a, b))
        if not plain or not np.array_equal(a.grid.scale, b.grid.scale) or a.grid.scale.size > 1:
            raise fail(
                node,
                f"its branches have scales {a.grid.scale} and {b.grid.scale}; "
                "a residual needs one shared scale",
            )
        lo, hi = a.lo + b.lo, a.hi + b.hi
        out = self.emit.add(a.name, b.name, a.shape, lo, hi)
        self.equals[out] = (node.output[0], a.grid)
        return Stream(out, a.shape, lo, hi, a.grid)

    def concat(self, node: onnx.NodeProto) -> None:
        """Channels of several integer streams of one scale, one after another."""
        streams = [self.settled(node, name) for name in node.input]
        if attributes_of(node)["axis"] not in (1, -3):
            raise fail(node, f"axis {attributes_of(node)['axis']} is not that of the channels, 1")
        first, *others = streams
        if any(s.binary or s.weights for s in streams):
            raise fail(node, "it joins bits or products; quantise products, join before the sign")
        if any(any(s.pads) for s in streams):
            raise fail(node, "it stands between a Pad and its convolution")
        for other in others:
            if other.shape[1:3] != first.shape[1:3]:
                raise fail(node, f"images of {first.shape[1:3]} and {other.shape[1:3]} differ")
            if first.grid.scale.size != 1 or not np.array_equal(first.grid.scale, other.grid.scale):
                raise fail(
                    node,
                    f"its inputs have scales {first.grid.scale} and {other.grid.scale}; "
                    "quantise them with one shared scale",
                )
        lo, hi = min(s.lo for s in streams), max(s.hi for s in streams)
        shape = (*first.shape[:3], sum(s.channels for s in streams))
        out = self.emit.concat([s.name for s in streams], shape, lo, hi)
        self.equals[out] = (node.output[0], first.grid)
        self.streams[node.output[0]] = Stream(out, shape, lo, hi, first.grid)

    def max_pool(self, node: onnx.NodeProto) -> None:
        """MaxPool of an integer stream; padding never wins."""
        stream = self.settled(node, node.input[0])
        attributes = attributes_of(node)
        kernel, strides = attributes["kernel_shape"], attributes.get("strides", [1, 1])
        pads = attributes.get("pads", [0] * 4)
        if stream.binary or stream.weights or any(stream.pads):
            raise fail(node, "it pools bits, products or padded images; put a Quant in front")
        plain = not attributes.get("ceil_mode") and set(attributes.get("dilations", [1])) == {1}
        if len(kernel) != 2 or any(len(set(v)) > 1 for v in (kernel, strides, pads)) or not plain:
            raise fail(
                node, "only square kernels, strides and pads without ceil_mode or dilation pool"
            )
        geometry = (kernel[0], strides[0], pads[0])
        out, shape = self.emit.max_pool(stream.name, stream.shape, geometry, stream.lo)
        self.equals[out] = (node.output[0], stream.grid)
        self.streams[node.output[0]] = replace(stream, name=out, shape=shape)

    def pool(self, node: onnx.NodeProto) -> None:
        """Global average or sum: an integer sum; the division goes into the scale."""
        stream = self.settled(node, node.input[0])
        if node.op_type in ("ReduceMean", "ReduceSum"):
            axes = self.constant(node.input[1]) if len(node.input) > 1 else None
            listed = attributes_of(node).get("axes", []) if axes is None else axes.reshape(-1)
            if sorted(int(a) % 4 for a in listed) != [2, 3]:
                raise fail(node, f"axes {list(listed)} are not the image's (2, 3)")
        pixels = stream.shape[1] * stream.shape[2]
        lo, hi = stream.lo * pixels, stream.hi * pixels
        out, shape = self.emit.global_sum(stream.name, stream.shape, lo, hi)
        divisor = 1 if node.op_type == "ReduceSum" else pixels
        grid = Grid(stream.grid.scale / np.float32(divisor))
        if stream.binary:
            raise fail(node, "pooling of binary tensors is not supported")
        self.streams[node.output[0]] = Stream(out, shape, lo, hi, grid)
        self.equals[out] = (node.output[0], grid)

    def alias(self, node: onnx.NodeProto) -> None:
        """Reshapes that keep the order of a single pixel's channels."""
        stream = self.stream(node, node.input[0])
        if node.op_type not in ("Identity", "Dropout") and stream.shape[1:3] != (1, 1):
            raise fail(node, f"flattening an image of {stream.shape[1]}x{stream.shape[2]} pixels")
        self.streams[node.output[0]] = stream

    def finish(self) -> IntegerGraph:
        """Emit what pends at the output (a bias on the accumulator grid) and close the graph."""
        name = self.model.graph.output[0].name
        if name not in self.streams:
            raise UnsupportedError(f"output {name} does not depend on the input")
        stream = self.streams[name]
        if not self.emit.nodes:
            raise UnsupportedError("the network holds no layer behind its input")
        for node in stream.pending:
            stream = self.output_bias(node, stream)
        scale = np.unique(stream.grid.scale)
        if scale.size != 1 or (stream.grid.gain, stream.grid.base) != (1, 0):
            raise UnsupportedError(
                f"output {name} has no single scale ({scale[:4]}): the last layer needs "
                "per-tensor integer weights"
            )
        if stream.weights or stream.name in self.flipped:
            self.flip_nothing(stream)
        self.equals[stream.name] = (self.scores or name, stream.grid)
        if self.top_k is None:
            model = self.emit.model(stream.name)
            return IntegerGraph(model, Scaling(self.input_scale, float(scale[0])), self.equals)
        places = self.emit.top_k(stream.name, stream.shape, self.top_k)
        return IntegerGraph(self.emit.model(places), Scaling(self.input_scale, 1.0), self.equals)

    def choose(self, node: onnx.NodeProto) -> None:
        """TopK or ArgMax over the classes, which end the network."""
        attributes = attributes_of(node)
        k, output, axis = 1, node.output[0], attributes.get("axis", 0)
        if node.op_type == "TopK":
            count = self.constant(node.input[1])
            if count is None or not attributes.get("largest", 1) or not attributes.get("sorted", 1):
                raise fail(node, "the largest, sorted, and a constant number of them are supported")
            if len(node.output) < 2:
                raise fail(node, "it has no output of indices")
            k, output, axis = int(count.reshape(-1)[0]), node.output[1], attributes.get("axis", -1)
        if axis not in (1, -1, 3) or attributes.get("select_last_index", 0):
            raise fail(node, "only the first largest over the classes is supported")
        if output != self.model.graph.output[0].name:
            raise fail(node, "it does not end the network; make its indices the only output")
        self.scores = node.input[0]
        self.streams[output] = self.stream(node, node.input[0])
        self.end_in_top_k(k)

    def end_in_top_k(self, k: int) -> None:
        """Remember to append it."""
        classes = self.streams[self.model.graph.output[0].name].channels
        if self.top_k is not None:
            raise UnsupportedError("the network ends in TopK or ArgMax already; leave --top-k out")
        if not 1 <= k <= classes:
            raise UserInputError(f"top-k {k}: the network has {classes} outputs")
        self.top_k = k

    def flip_nothing(self, stream: Stream) -> None:
        """The logits themselves must not have been negated for a quantiser elsewhere."""
        if self.flipped.get(stream.name, np.zeros(1, bool)).any():
            raise UnsupportedError("the output is also quantised with falling channels")

    def output_bias(self, node: onnx.NodeProto, stream: Stream) -> Stream:
        """A constant Add at the output, exact on the integer grid or refused."""
        constant = [v for v in (self.constant(i) for i in node.input) if v is not None]
        if node.op_type != "Add" or len(constant) != 1:
            raise fail(node, "only a bias may follow the last product")
        exact = constant[0].reshape(-1).astype(np.float64) / stream.grid.scale.astype(np.float64)
        integers = np.rint(exact).astype(np.int64)
        if not np.array_equal(integers, exact):
            worst = float(np.max(np.abs(exact - integers)))
            raise fail(
                node,
                f"the bias is off the accumulator grid by up to {worst:.3g} steps; round it to "
                f"multiples of {float(stream.grid.scale.reshape(-1)[0]):.6g} before export",
            )
        integers = np.broadcast_to(integers, (stream.channels,))
        lo, hi = stream.lo + min(int(integers.min()), 0), stream.hi + max(int(integers.max()), 0)
        out, _ = self.emit.add_constant(stream.name, stream.shape, integers, lo, hi)
        return replace(stream, name=out, lo=lo, hi=hi, pending=(), weights=())
