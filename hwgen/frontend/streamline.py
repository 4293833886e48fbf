"""Streamlining by evaluation: a QONNX graph becomes a graph of integers in FINN's dialect.

In the sense of the FINN paper (Umuroglu et al., 2017) every float scale, bias, norm and activation
is absorbed into integer thresholds. FINN's own rewriting rules are missing or unsound for a
ReActNet, so the graph is walked once instead: linear operators are emitted on integers, unary
operators pend, and where a quantiser ends them the whole chain is evaluated (staircase.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx

from hwgen.errors import UnsupportedError
from hwgen.frontend.emit import Emitter
from hwgen.frontend.load import LINEAR, PASS, QUANTISERS, UNARY
from hwgen.frontend.staircase import EXHAUSTIVE, chain_function, extract
from hwgen.quant import BINARY, IntArray, IntType, Scaling

ROUNDING = ("ROUND", "HALF_EVEN", "FLOOR")
FLOAT32_EXACT = 1 << 24  # integers up to here are exact in FINN's float32 tensors


@dataclass(frozen=True, slots=True)
class Grid:
    """How the integers x of a tensor stand for numbers: (gain * x + base) * scale[c].

    gain and base are 1 and 0, but for bits 2 and -1, and for popcounts over K bits 2 and -K.
    """

    scale: NDArray[np.float32]
    gain: int = 1
    base: int = 0

    def value(self, x: IntArray) -> NDArray[np.float32]:
        """The numbers that integers (..., channels) stand for, in float32 as the graph has them."""
        return np.asarray(self.gain * x + self.base, np.float32) * self.scale


@dataclass(frozen=True, slots=True)
class Stream:
    """A tensor of the integer graph, and what of the original graph still pends on it.

    shape is (N, H, W, C); integers lie in [lo, hi]; ``pending`` are unary nodes not applied yet;
    ``pads`` (top, left, bottom, right) wait for the convolution; ``weights`` names the matrix of
    the product that made the tensor, whose columns may be negated.
    """

    name: str
    shape: tuple[int, int, int, int]
    lo: int
    hi: int
    grid: Grid
    binary: bool = False
    pending: tuple[onnx.NodeProto, ...] = ()
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    weights: str | None = None

    @property
    def channels(self) -> int:
        """C."""
        return self.shape[3]


@dataclass(frozen=True, slots=True)
class Weights:
    """Quantised constants: ``integers * scale`` (scale broadcastable over axis 0)."""

    integers: IntArray
    scale: NDArray[np.float32]
    bits: int

    @property
    def binary(self) -> bool:
        """All +1 or -1."""
        return self.bits == 1


@dataclass(frozen=True, slots=True)
class IntegerGraph:
    """The result: the model, its scaling, and which original tensor each integer tensor equals."""

    model: ModelWrapper
    scaling: Scaling
    equals: dict[str, tuple[str, Grid]]


@dataclass(slots=True)
class _Walk:
    """The state of one walk over a cleaned-up QONNX model."""

    model: ModelWrapper
    emit: Emitter = field(default_factory=Emitter)
    streams: dict[str, Stream] = field(default_factory=dict)
    weights: dict[str, Weights] = field(default_factory=dict)
    flipped: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    equals: dict[str, tuple[str, Grid]] = field(default_factory=dict)
    input_scale: float = 0.0

    # -- reading ---------------------------------------------------------------------------

    def constant(self, name: str) -> NDArray[Any] | None:
        """Value of an initializer, or None."""
        found = self.model.get_initializer(name)
        return None if found is None else np.asarray(found)

    def stream(self, node: onnx.NodeProto, name: str) -> Stream:
        """The stream a node reads; the network's float input is none yet."""
        if name not in self.streams:
            raise _fail(node, f"input {name} is neither quantised nor a constant")
        return self.streams[name]

    def settled(self, node: onnx.NodeProto, name: str) -> Stream:
        """The stream a node reads, which must be integers with nothing pending."""
        stream = self.stream(node, name)
        if stream.pending:
            raise _fail(
                node,
                f"input {name} is not quantised (it follows {stream.pending[-1].op_type}); "
                "put a Quant or BipolarQuant in front",
            )
        return stream

    # -- one method for every kind of operator ---------------------------------------------

    def quantise(self, node: onnx.NodeProto) -> None:
        """Quant and BipolarQuant: of constants, of the network's input, or of a chain."""
        source = node.input[0]
        if self.constant(source) is not None:
            self.weights[node.output[0]] = self.quantised_constant(node)
        elif source == self.model.graph.input[0].name:
            self.streams[node.output[0]] = self.quantised_input(node)
        elif any(n.op_type == "AveragePool" for n in self.stream(node, source).pending):
            self.streams[node.output[0]] = self.average(node, self.stream(node, source))
        else:
            self.streams[node.output[0]] = self.staircase(node, self.stream(node, source))

    def target(self, node: onnx.NodeProto) -> tuple[NDArray[np.float32], IntType]:
        """Scale and integer type of a quantiser; a binary one has the type of one bit."""
        scale = self.constant(node.input[1])
        if scale is None:
            raise _fail(node, "its scale is not a constant")
        scale = np.asarray(scale, np.float32)
        if node.op_type == "BipolarQuant":
            return scale, BINARY
        zero, bits = self.constant(node.input[2]), self.constant(node.input[3])
        if zero is None or np.any(zero) or bits is None:
            raise _fail(node, "its zero point is not 0 or its bit width is not a constant")
        if np.size(bits) != 1 or not 1 <= float(bits) <= 16 or float(bits) != int(bits):
            raise _fail(node, f"a bit width of {bits} is not supported; 1 to 16 are")
        attributes = _attributes(node)
        if attributes.get("rounding_mode", "ROUND").upper() not in ROUNDING:
            raise _fail(node, f"rounding mode {attributes['rounding_mode']}")
        return scale, IntType(int(bits), bool(attributes.get("signed", 1)))

    def quantised_constant(self, node: onnx.NodeProto) -> Weights:
        """Run the quantiser on its constant; integers are what it returns over its scale."""
        scale, dtype = self.target(node)
        values = self.run(node)
        integers = np.rint(values.astype(np.float64) / scale).astype(np.int64)
        if not np.array_equal(integers.astype(np.float32) * scale, values):
            raise _fail(node, "its output is not an integer multiple of its scale")
        return Weights(integers, scale, 1 if np.isin(integers, (-1, 1)).all() else dtype.bits)

    def run(self, node: onnx.NodeProto) -> NDArray[np.float32]:
        """Execute one node of constants."""
        shape = self.model.get_tensor_shape(node.output[0])
        out = helper.make_tensor_value_info(node.output[0], 1, shape)
        single = ModelWrapper(
            helper.make_model(
                helper.make_graph([node], "constant", [], [out]),
                opset_imports=self.model.model.opset_import,
            )
        )
        for name in node.input:
            single.set_initializer(name, self.constant(name))
        return np.asarray(execute_onnx(single, {})[node.output[0]], np.float32)

    def quantised_input(self, node: onnx.NodeProto) -> Stream:
        """The network's input; the host quantises it, so it enters as integers."""
        scale, dtype = self.target(node)
        if scale.size != 1 or node.op_type == "BipolarQuant" or _attributes(node).get("narrow"):
            raise _fail(node, "the input needs a full-range Quant with one scale")
        if _attributes(node).get("rounding_mode", "ROUND").upper() == "FLOOR":
            raise _fail(node, "the host rounds the input to nearest; use rounding mode ROUND")
        shape = self.model.get_tensor_shape(node.input[0])
        if shape is None or len(shape) != 4:
            raise _fail(node, f"the network's input has shape {shape}; (N, C, H, W) is supported")
        nhwc = (1, shape[2], shape[3], shape[1])
        self.input_scale = float(scale.reshape(-1)[0])
        name = self.emit.input("global_in", nhwc, _datatype(dtype))
        grid = Grid(scale.reshape(-1))
        self.equals[name] = (node.output[0], grid)
        return Stream(name, nhwc, dtype.lo, dtype.hi, grid)

    def staircase(self, node: onnx.NodeProto, stream: Stream) -> Stream:
        """Evaluate the pending chain and ``node`` itself; emit a MultiThreshold."""
        scale, dtype = self.target(node)
        if scale.size != 1:
            raise _fail(node, "an activation needs one scale for all channels")
        for pend in stream.pending:
            slope = self.constant(pend.input[1]) if pend.op_type == "PRelu" else None
            if slope is not None and (slope < 0).any() and stream.hi - stream.lo >= EXHAUSTIVE:
                raise _fail(pend, "a negative PReLU slope is not monotone")
        narrow = int(bool(_attributes(node).get("narrow"))) if dtype != BINARY else 0
        lowest, levels = dtype.lo + narrow, dtype.hi - dtype.lo - narrow
        apply = chain_function(self.model, [*stream.pending, node], stream.channels)

        def level_of(x: IntArray) -> IntArray:
            y = apply(stream.grid.value(x)).astype(np.float64) / float(scale.reshape(-1)[0])
            level = np.rint(y).astype(np.int64)
            return (level + 1) // 2 if dtype == BINARY else level - lowest

        try:
            stairs = extract(level_of, stream.channels, stream.lo, stream.hi, levels)
        except UnsupportedError as error:
            raise _fail(node, str(error)) from error
        self.flip(node, stream, stairs.flip)
        out_type = BINARY if dtype == BINARY else dtype
        out = self.emit.threshold(
            stream.name, stream.shape, stairs.thresholds, lowest, _datatype(out_type)
        )
        if dtype == BINARY:
            grid = Grid(scale.reshape(-1), gain=2, base=-1)
            result = Stream(out, stream.shape, 0, 1, grid, binary=True)
        else:
            grid = Grid(scale.reshape(-1))
            result = Stream(out, stream.shape, lowest, dtype.hi, grid)
        self.equals[out] = (node.output[0], grid)
        return result

    def flip(self, node: onnx.NodeProto, stream: Stream, flip: NDArray[np.bool_]) -> None:
        """Negate the weight columns of falling channels (a negative batch norm gamma)."""
        if not flip.any() and stream.name not in self.flipped:
            return
        if stream.weights is None:
            raise _fail(node, f"channel {int(np.argmax(flip))} falls, and no product is before it")
        if stream.name in self.flipped:
            if not np.array_equal(self.flipped[stream.name], flip):
                raise _fail(node, "two quantisers of one product rise and fall differently")
            return
        self.flipped[stream.name] = flip
        self.emit.negate_columns(stream.weights, flip)

    def pad(self, node: onnx.NodeProto) -> None:
        """Padding waits for its convolution; its value must be one the tensor can take."""
        stream = self.settled(node, node.input[0])
        pads, value = self.constant(node.input[1]), self.constant(node.input[2])
        if pads is None or (len(node.input) > 3 and node.input[3]):
            raise _fail(node, "its pads are not constants over all axes")
        amounts = [int(p) for p in pads]
        fill = 0.0 if value is None else float(value.reshape(-1)[0])
        if _attributes(node).get("mode", "constant") != "constant" or len(amounts) != 8:
            raise _fail(node, "only constant padding of images is supported")
        top, left, bottom, right = amounts[2], amounts[3], amounts[6], amounts[7]
        if any(amounts[i] for i in (0, 1, 4, 5)) or len({top, left, bottom, right}) > 1:
            raise _fail(node, f"pads {amounts} are not equal on the four sides of the image")
        wanted = float(stream.grid.value(np.zeros(1, np.int64))[0])  # integer 0: -1 or 0
        if fill != wanted:
            raise _fail(node, _padding_advice(stream, fill))
        if any(stream.pads):
            raise _fail(node, "two paddings follow one another")
        self.streams[node.output[0]] = replace(stream, pads=(top, left, bottom, right))

    def convolve(self, node: onnx.NodeProto) -> None:
        """Conv: pad, im2col, then a product on integers."""
        stream, weights = self.settled(node, node.input[0]), self.matrix(node, node.input[1])
        attributes = _attributes(node)
        if attributes.get("group", 1) != 1 or set(attributes.get("dilations", [1])) != {1}:
            raise _fail(node, "groups and dilation are not supported")
        pads = [int(p) for p in attributes.get("pads", [0, 0, 0, 0])]
        if any(pads):
            if stream.binary:
                raise _fail(node, _padding_advice(stream, 0.0))
            if any(stream.pads) or len(set(pads)) > 1:
                raise _fail(node, f"pads {pads} are not equal on the four sides")
            stream = replace(stream, pads=(pads[0], pads[1], pads[2], pads[3]))
        kernel = weights.integers.shape[2:]
        stride = attributes.get("strides", [1, 1])
        if len(kernel) != 2 or len(set(kernel)) > 1 or len(set(stride)) > 1:
            raise _fail(node, f"kernel {kernel} or stride {stride} is not square")
        patches = self.emit.patches(stream.name, stream.shape, kernel[0], stride[0], stream.pads[0])
        # (M, C, ky, kx) to (ky, kx, C, M): the order of im2col on NHWC
        k_by_m = weights.integers.transpose(2, 3, 1, 0).reshape(-1, weights.integers.shape[0])
        product = self.product(node, stream, patches, k_by_m, weights)
        self.streams[node.output[0]] = self.with_bias(node, product)

    def multiply(self, node: onnx.NodeProto) -> None:
        """Gemm and MatMul on a single pixel."""
        stream, weights = self.settled(node, node.input[0]), self.matrix(node, node.input[1])
        attributes = _attributes(node)
        if node.op_type == "Gemm" and (
            attributes.get("alpha", 1.0) != 1.0
            or attributes.get("beta", 1.0) != 1.0
            or attributes.get("transA", 0)
        ):
            raise _fail(node, "alpha, beta and transA are not supported")
        transposed = node.op_type == "Gemm" and attributes.get("transB", 0)
        if not transposed and weights.scale.size > 1:
            raise _fail(node, "per-channel weight scales need transB")
        k_by_m = weights.integers.T if transposed else weights.integers
        if stream.shape[1:3] != (1, 1):
            raise _fail(node, f"its input is still an image of {stream.shape[1]}x{stream.shape[2]}")
        product = self.product(node, stream, (stream.name, stream.shape), k_by_m, weights)
        self.streams[node.output[0]] = self.with_bias(node, product)

    def matrix(self, node: onnx.NodeProto, name: str) -> Weights:
        """The quantised weights a node reads."""
        if name not in self.weights:
            raise _fail(node, f"its weights {name} are not quantised")
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
            raise _fail(node, f"{shape[3]} inputs by a weight matrix of {k} rows")
        scale = np.asarray(stream.grid.scale * weights.scale.reshape(-1), np.float32)
        out_shape = (*shape[:3], m)
        if stream.binary and weights.binary:
            out, initializer = self.emit.xnor(name, out_shape, (k_by_m + 1) // 2)
            grid = Grid(scale, gain=2, base=-k)
            return Stream(out, out_shape, 0, k, grid, weights=initializer)
        if stream.binary:
            raise _fail(node, "binary inputs by weights of several bits are not supported yet")
        bound = int(np.max(np.abs(k_by_m).sum(axis=0)) * max(-stream.lo, stream.hi))
        if bound >= FLOAT32_EXACT:
            raise _fail(node, f"its sums reach {bound}, past FINN's exact range of 2**24")
        out, initializer = self.emit.matmul(name, out_shape, k_by_m, bound)
        return Stream(out, out_shape, -bound, bound, Grid(scale), weights=initializer)

    def with_bias(self, node: onnx.NodeProto, stream: Stream) -> Stream:
        """A bias pends, like an Add of its own; at the network's end it becomes integers."""
        if len(node.input) < 3 or not node.input[2]:
            return stream
        bias = self.constant(node.input[2])
        if bias is None:
            raise _fail(node, "its bias is not a constant")
        name = f"{node.output[0]}_bias"
        self.model.set_initializer(name, bias.reshape(1, -1, 1, 1).astype(np.float32))
        add = helper.make_node("Add", [stream.name, name], [f"{name}ed"], name=f"{node.name}_bias")
        return replace(stream, pending=(*stream.pending, add))

    def unary(self, node: onnx.NodeProto) -> None:
        """Operators of one stream and constants pend; Add of two streams is emitted."""
        streams = [name for name in node.input if name in self.streams]
        if len(streams) == 2 and node.op_type == "Add":
            self.streams[node.output[0]] = self.join(node)
            return
        if len(streams) != 1 or (node.op_type in ("Sub", "Div") and node.input[0] not in streams):
            raise _fail(node, "its inputs are not one quantised stream and constants")
        for name in node.input:
            value = self.constant(name)
            channels = self.streams[streams[0]].channels
            if value is not None and value.size not in (1, channels):
                raise _fail(node, f"constant {name} of shape {value.shape} is not per channel")
        stream = self.streams[streams[0]]
        if any(stream.pads):
            raise _fail(node, "it stands between a Pad and its convolution")
        self.streams[node.output[0]] = replace(stream, pending=(*stream.pending, node))

    def join(self, node: onnx.NodeProto) -> Stream:
        """Add of two integer streams of one scale."""
        a, b = (self.settled(node, name) for name in node.input)
        if a.shape != b.shape:
            raise _fail(node, f"shapes {a.shape} and {b.shape} differ")
        if a.grid != b.grid and not (
            np.array_equal(a.grid.scale, b.grid.scale) and (a.grid.gain, b.grid.gain) == (1, 1)
        ):
            raise _fail(
                node,
                f"its branches have scales {a.grid.scale} and {b.grid.scale}; "
                "a residual needs one shared scale",
            )
        lo, hi = a.lo + b.lo, a.hi + b.hi
        out = self.emit.add(a.name, b.name, a.shape, lo, hi)
        self.equals[out] = (node.output[0], a.grid)
        return Stream(out, a.shape, lo, hi, a.grid)

    def average_pool(self, node: onnx.NodeProto) -> None:
        """AveragePool waits for its quantiser; it must cut the image into squares."""
        stream = self.settled(node, node.input[0])
        attributes = _attributes(node)
        kernel, pads = attributes["kernel_shape"], attributes.get("pads", [0])
        strides = attributes.get("strides", [1] * len(kernel))
        if any(pads) or any(stream.pads) or attributes.get("auto_pad", "NOTSET") != "NOTSET":
            raise _fail(node, "average pooling with padding is not supported; pool without")
        k = kernel[0]
        square = list(kernel) == list(strides) == [k, k] and k >= 2 and not k & (k - 1)
        if not square or set(attributes.get("dilations", [1])) != {1}:
            raise _fail(
                node,
                f"kernel {list(kernel)} with stride {list(strides)} is not supported; use a square "
                "of 2x2 (4x4, ...) and a stride equal to it",
            )
        if stream.shape[1] % k or stream.shape[2] % k:
            raise _fail(
                node,
                f"{stream.shape[1]}x{stream.shape[2]} pixels are not whole squares of {k}x{k}; "
                "use an image size that is a multiple",
            )
        source = self.model.find_producer(node.input[0])
        if source is None or source.op_type != "Quant" or stream.binary:
            # FINN types sums as INT32 for a while, and shifts by the bits the output lacks
            raise _fail(
                node,
                f"its input {node.input[0]} is not the output of a Quant of 2 bits or more; "
                "put one in front",
            )
        self.streams[node.output[0]] = replace(stream, pending=(node,))

    def average(self, node: onnx.NodeProto, stream: Stream) -> Stream:
        """AveragePool and a quantiser that rounds down, on one grid: floor(sum / pixels)."""
        pool, *others = stream.pending
        remedy = "put a Quant of the pool's input scale with rounding mode FLOOR right behind it"
        if others:
            raise _fail(others[0], f"it follows an AveragePool; {remedy}")
        scale, dtype = self.target(node)
        rounding = _attributes(node).get("rounding_mode", "ROUND").upper()
        if node.op_type != "Quant" or rounding != "FLOOR":
            raise _fail(node, f"it follows an AveragePool and does not round down; {remedy}")
        if scale.size != 1 or not np.array_equal(scale.reshape(-1), stream.grid.scale):
            raise _fail(
                node,
                f"its scale is {scale.reshape(-1)}, that of the AveragePool's input "
                f"{stream.grid.scale}; {remedy}",
            )
        if np.frexp(scale.reshape(-1)[0])[0] != 0.5:
            raise _fail(
                node,
                f"behind an AveragePool a scale of {float(scale.reshape(-1)[0]):g} rounds inexactly"
                "; use a power of two",
            )
        lowest = dtype.lo + int(bool(_attributes(node).get("narrow")))
        if lowest > stream.lo or dtype.hi < stream.hi:
            raise _fail(node, f"it clips means of [{stream.lo}, {stream.hi}]; give it their bits")
        kernel = _attributes(pool)["kernel_shape"][0]
        out, shape = self.emit.average(stream.name, stream.shape, kernel)
        self.equals[out] = (node.output[0], stream.grid)
        return Stream(out, shape, stream.lo, stream.hi, stream.grid)

    def concat(self, node: onnx.NodeProto) -> None:
        """Channels of several integer streams of one scale, one after another."""
        streams = [self.settled(node, name) for name in node.input]
        if _attributes(node)["axis"] not in (1, -3):
            raise _fail(node, f"axis {_attributes(node)['axis']} is not that of the channels, 1")
        first, *others = streams
        if any(s.binary or s.weights is not None for s in streams):
            raise _fail(node, "it joins bits or products; quantise products, join before the sign")
        if any(any(s.pads) for s in streams):
            raise _fail(node, "it stands between a Pad and its convolution")
        for other in others:
            if other.shape[1:3] != first.shape[1:3]:
                raise _fail(node, f"images of {first.shape[1:3]} and {other.shape[1:3]} differ")
            if first.grid.scale.size != 1 or not np.array_equal(first.grid.scale, other.grid.scale):
                raise _fail(
                    node,
                    f"its inputs have scales {first.grid.scale} and {other.grid.scale}; "
                    "quantise them with one shared scale",
                )
        lo, hi = min(s.lo for s in streams), max(s.hi for s in streams)
        shape = (*first.shape[:3], sum(s.channels for s in streams))
        out = self.emit.concat([s.name for s in streams], shape, lo, hi)
        self.equals[out] = (node.output[0], first.grid)
        self.streams[node.output[0]] = Stream(out, shape, lo, hi, first.grid)

    def pool(self, node: onnx.NodeProto) -> None:
        """Global average: an integer sum; the division goes into the scale."""
        stream = self.settled(node, node.input[0])
        if node.op_type == "ReduceMean":
            axes = self.constant(node.input[1]) if len(node.input) > 1 else None
            listed = _attributes(node).get("axes", []) if axes is None else axes
            if sorted(int(a) % 4 for a in listed) != [2, 3]:
                raise _fail(node, f"axes {list(listed)} are not the image's (2, 3)")
        pixels = stream.shape[1] * stream.shape[2]
        lo, hi = stream.lo * pixels, stream.hi * pixels
        out, shape = self.emit.global_sum(stream.name, stream.shape, lo, hi)
        grid = Grid(stream.grid.scale / np.float32(pixels))
        if stream.binary:
            raise _fail(node, "pooling of binary tensors is not supported")
        self.streams[node.output[0]] = Stream(out, shape, lo, hi, grid)
        self.equals[out] = (node.output[0], grid)

    def alias(self, node: onnx.NodeProto) -> None:
        """Reshapes that keep the order of a single pixel's channels."""
        stream = self.stream(node, node.input[0])
        if node.op_type not in ("Identity", "Dropout") and stream.shape[1:3] != (1, 1):
            raise _fail(node, f"flattening an image of {stream.shape[1]}x{stream.shape[2]} pixels")
        self.streams[node.output[0]] = stream

    # -- the end -----------------------------------------------------------------------------

    def finish(self) -> IntegerGraph:
        """Emit what pends at the output (a bias on the accumulator grid) and close the graph."""
        name = self.model.graph.output[0].name
        if name not in self.streams:
            raise UnsupportedError(f"output {name} does not depend on the input")
        stream = self.streams[name]
        for node in stream.pending:
            stream = self.output_bias(node, stream)
        scale = np.unique(stream.grid.scale)
        if scale.size != 1 or (stream.grid.gain, stream.grid.base) != (1, 0):
            raise UnsupportedError(
                f"output {name} has no single scale ({scale[:4]}): the last layer needs "
                "per-tensor integer weights"
            )
        if stream.weights is not None or stream.name in self.flipped:
            self.flip_nothing(stream)
        self.equals[stream.name] = (name, stream.grid)
        model = self.emit.model(stream.name)
        return IntegerGraph(model, Scaling(self.input_scale, float(scale[0])), self.equals)

    def flip_nothing(self, stream: Stream) -> None:
        """The logits themselves must not have been negated for a quantiser elsewhere."""
        if self.flipped.get(stream.name, np.zeros(1, bool)).any():
            raise UnsupportedError("the output is also quantised with falling channels")

    def output_bias(self, node: onnx.NodeProto, stream: Stream) -> Stream:
        """A constant Add at the output, exact on the integer grid or refused."""
        constant = [v for v in (self.constant(i) for i in node.input) if v is not None]
        if node.op_type != "Add" or len(constant) != 1:
            raise _fail(node, "only a bias may follow the last product")
        exact = constant[0].reshape(-1).astype(np.float64) / stream.grid.scale.astype(np.float64)
        integers = np.rint(exact).astype(np.int64)
        if not np.array_equal(integers, exact):
            worst = float(np.max(np.abs(exact - integers)))
            raise _fail(
                node,
                f"the bias is off the accumulator grid by up to {worst:.3g} steps; round it to "
                f"multiples of {float(stream.grid.scale.reshape(-1)[0]):.6g} before export",
            )
        integers = np.broadcast_to(integers, (stream.channels,))
        lo, hi = stream.lo + min(int(integers.min()), 0), stream.hi + max(int(integers.max()), 0)
        out = self.emit.add_constant(stream.name, stream.shape, integers, lo, hi)
        return replace(stream, name=out, lo=lo, hi=hi, pending=(), weights=None)


def streamline(model: ModelWrapper) -> IntegerGraph:
    """Turn a cleaned-up QONNX model into its integer graph (NHWC, FINN's dialect).

    Raises ``UnsupportedError`` that names the node in the way, why, and the remedy.
    """
    walk = _Walk(model)
    handlers: dict[str, Callable[[onnx.NodeProto], None]] = {
        **dict.fromkeys(QUANTISERS, walk.quantise),
        **dict.fromkeys(UNARY, walk.unary),
        **dict.fromkeys(PASS, walk.alias),
        **dict.fromkeys(LINEAR, walk.multiply),
        "Conv": walk.convolve,
        "Pad": walk.pad,
        "ReduceMean": walk.pool,
        "GlobalAveragePool": walk.pool,
        "AveragePool": walk.average_pool,
        "Concat": walk.concat,
    }
    for node in list(model.graph.node):
        handlers[node.op_type](node)
    return walk.finish()


def _fail(node: onnx.NodeProto, why: str) -> UnsupportedError:
    return UnsupportedError(f"node {node.name or node.output[0]} ({node.op_type}): {why}")


def _padding_advice(stream: Stream, fill: float) -> str:
    if stream.binary:
        return (
            f"a binary tensor padded with {fill:g} holds a third value that binary hardware "
            "has not; pad with -1 (training option pad: minus1)"
        )
    return f"padding with {fill:g} is not supported; pad with 0"


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    found = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    return {k: v.decode() if isinstance(v, bytes) else v for k, v in found.items()}


def _datatype(dtype: IntType) -> Any:
    return DataType["BINARY"] if dtype == BINARY else DataType[str(dtype)]
