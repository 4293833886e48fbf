"""Quantisers: what they make of constants, of the network's input, and of pending chains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx

from hwgen.errors import UnsupportedError
from hwgen.frontend.staircase import (
    EXHAUSTIVE,
    NotMonotone,
    chain_function,
    difference,
    extract,
)
from hwgen.frontend.values import (
    Grid,
    Stream,
    Walk,
    Weights,
    attributes_of,
    datatype,
    evaluating,
    fail,
)
from hwgen.frontend.wellformed import broadcasts_to
from hwgen.quant import BINARY, IntArray, IntType

ROUNDING = ("ROUND", "HALF_EVEN", "FLOOR")


class Quantisers(Walk):
    """Quant, BipolarQuant, and the AveragePool that a Quant ends."""

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
            raise fail(node, "its scale is not a constant")
        scale = np.asarray(scale, np.float32)
        if not scale.size or not (np.isfinite(scale) & (scale > 0)).all():
            raise fail(node, "its scale is not a positive number; export it again")
        rank = len(self.model.get_tensor_shape(node.input[0]) or scale.shape)
        values = (self.constant(name) for name in node.input[1:])
        if any(value is not None and value.ndim > rank for value in values):
            raise fail(node, f"its parameters have more axes than its input, {rank}")
        if node.op_type == "BipolarQuant":
            return scale, BINARY
        zero, bits = self.constant(node.input[2]), self.constant(node.input[3])
        if zero is None or np.any(zero) or zero.size not in (1, scale.size) or bits is None:
            raise fail(node, "its zero point is not 0 or its bit width is not a constant")
        width = float(bits.reshape(-1)[0])
        if bits.size != 1 or not 1 <= width <= 16 or width != int(width):
            raise fail(node, f"a bit width of {width:g} is not supported; 1 to 16 are")
        attributes = attributes_of(node)
        if attributes.get("rounding_mode", "ROUND").upper() not in ROUNDING:
            raise fail(node, f"rounding mode {attributes['rounding_mode']}")
        return scale, IntType(int(width), bool(attributes.get("signed", 1)))

    def quantised_constant(self, node: onnx.NodeProto) -> Weights:
        """Run the quantiser on its constant; integers are what it returns over its scale."""
        scale, dtype = self.target(node)
        stored = np.asarray(self.constant(node.input[0]))
        if not stored.size or not broadcasts_to([stored, scale], stored.shape):
            raise fail(node, f"a scale of shape {scale.shape} does not fit {stored.shape} weights")
        values = self.run(node)
        if not np.isfinite(values).all():
            raise fail(node, "its weights are NaN or infinite")
        integers = np.rint(values.astype(np.float64) / scale).astype(np.int64)
        if not np.array_equal(integers.astype(np.float32) * scale, values):
            raise fail(node, "its output is not an integer multiple of its scale")
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
        with evaluating(f"node {node.name} ({node.op_type})"):
            return np.asarray(execute_onnx(single, {})[node.output[0]], np.float32)

    def quantised_input(self, node: onnx.NodeProto) -> Stream:
        """The network's input; the host quantises it, so it enters as integers."""
        scale, dtype = self.target(node)
        if scale.size != 1 or node.op_type == "BipolarQuant" or attributes_of(node).get("narrow"):
            raise fail(node, "the input needs a full-range Quant with one scale")
        if attributes_of(node).get("rounding_mode", "ROUND").upper() == "FLOOR":
            raise fail(node, "the host rounds the input to nearest; use rounding mode ROUND")
        shape = self.model.get_tensor_shape(node.input[0])
        if shape is None or len(shape) != 4:
            raise fail(node, f"the network's input has shape {shape}; (N, C, H, W) is supported")
        nhwc = (1, shape[2], shape[3], shape[1])
        self.input_scale = float(scale.reshape(-1)[0])
        name = self.emit.input("global_in", nhwc, datatype(dtype))
        grid = Grid(scale.reshape(-1))
        self.equals[name] = (node.output[0], grid)
        return Stream(name, nhwc, dtype.lo, dtype.hi, grid)

    def staircase(self, node: onnx.NodeProto, stream: Stream) -> Stream:
        """Evaluate the pending chain and ``node`` itself; emit a MultiThreshold."""
        scale, dtype = self.target(node)
        if scale.size != 1:
            raise fail(node, "an activation needs one scale for all channels")
        for pend in stream.pending:
            slope = self.constant(pend.input[1]) if pend.op_type == "PRelu" else None
            if slope is not None and (slope < 0).any() and stream.hi - stream.lo >= EXHAUSTIVE:
                raise fail(
                    pend,
                    f"a slope below zero is not monotone, and {stream.hi - stream.lo + 1} values "
                    f"are too many for a table of it ({EXHAUSTIVE}); quantise before it",
                )
        narrow = int(bool(attributes_of(node).get("narrow"))) if dtype != BINARY else 0
        lowest, levels = dtype.lo + narrow, dtype.hi - dtype.lo - narrow
        apply = chain_function(self.model, [*stream.pending, node], stream.channels)

        def level_of(x: IntArray) -> IntArray:
            y = apply(stream.grid.value(x)).astype(np.float64) / float(scale.reshape(-1)[0])
            level = np.rint(y).astype(np.int64)
            return (level + 1) // 2 if dtype == BINARY else level - lowest

        try:
            out = self.stairs(stream, level_of, levels, (lowest, datatype(dtype)))
        except UnsupportedError as error:
            raise fail(node, str(error)) from error
        if dtype == BINARY:
            grid = Grid(scale.reshape(-1), gain=2, base=-1)
            result = Stream(out, stream.shape, 0, 1, grid, binary=True)
        else:
            grid = Grid(scale.reshape(-1))
            result = Stream(out, stream.shape, lowest, dtype.hi, grid)
        self.equals[out] = (node.output[0], grid)
        return result

    def stairs(
        self,
        stream: Stream,
        level_of: Callable[[IntArray], IntArray],
        levels: int,
        output: tuple[int, Any],
    ) -> str:
        """Emit a function of a stream's integers: ``output`` is its lowest value and its type.

        A staircase where every channel rises, or falls and a product is before it; else the
        difference of two staircases.
        """
        lowest, dtype = output
        try:
            found = extract(level_of, stream.channels, stream.lo, stream.hi, levels)
            if self.flip(stream, found.flip):
                matrix = found.thresholds
                return self.emit.threshold(stream.name, stream.shape, matrix, lowest, dtype)
        except NotMonotone:
            pass
        if stream.hi - stream.lo >= EXHAUSTIVE:
            raise UnsupportedError(
                f"a channel falls with no product before it that could be negated, and "
                f"{stream.hi - stream.lo + 1} values are too many for a table; use fewer bits"
            )
        self.flip(stream, np.zeros(stream.channels, bool))
        flipped = self.flipped.get(stream.name, np.zeros(1, bool))
        held = self.emit.types[stream.name]
        parts = difference(
            lambda x: level_of(np.where(flipped, stream.lo + stream.hi - x, x)),
            stream.channels,
            stream.lo,
            stream.hi,
            (int(held.min()), int(held.max()) + 1),
        )
        up, down = (
            self.emit.threshold(
                stream.name,
                stream.shape,
                matrix,
                start,
                datatype(IntType.holding(min(start, 0), max(start + matrix.shape[1], 0))),
            )
            for start, matrix in zip((lowest, 0), parts, strict=True)
        )
        return self.emit.subtract(up, down, stream.shape, dtype)

    def flip(self, stream: Stream, flip: NDArray[np.bool_]) -> bool:
        """Negate the weight columns of falling channels (a negative batch norm gamma).

        False where that cannot be: no product is before them, or another reader has decided.
        """
        if stream.name in self.flipped:
            return np.array_equal(self.flipped[stream.name], flip)
        if flip.any() and not stream.weights:
            return False
        self.flipped[stream.name] = flip
        self.emit.negate_columns(stream.weights, flip)
        self.emit.negate_columns(stream.borders, flip)
        return True

    def average_pool(self, node: onnx.NodeProto) -> None:
        """AveragePool waits for its quantiser; it must cut the image into squares."""
        stream = self.settled(node, node.input[0])
        attributes = attributes_of(node)
        kernel, pads = attributes["kernel_shape"], attributes.get("pads", [0])
        strides = attributes.get("strides", [1] * len(kernel))
        if any(pads) or any(stream.pads) or attributes.get("auto_pad", "NOTSET") != "NOTSET":
            raise fail(node, "average pooling with padding is not supported; pool without")
        k = kernel[0]
        square = list(kernel) == list(strides) == [k, k] and k >= 2 and not k & (k - 1)
        if not square or set(attributes.get("dilations", [1])) != {1}:
            raise fail(
                node,
                f"kernel {list(kernel)} with stride {list(strides)} is not supported; use a square "
                "of 2x2 (4x4, ...) and a stride equal to it",
            )
        if stream.shape[1] % k or stream.shape[2] % k:
            raise fail(
                node,
                f"{stream.shape[1]}x{stream.shape[2]} pixels are not whole squares of {k}x{k}; "
                "use an image size that is a multiple",
            )
        source = self.model.find_producer(node.input[0])
        if source is None or source.op_type != "Quant" or stream.binary:
            # FINN types sums as INT32 for a while, and shifts by the bits the output lacks
            raise fail(
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
            raise fail(others[0], f"it follows an AveragePool; {remedy}")
        scale, dtype = self.target(node)
        rounding = attributes_of(node).get("rounding_mode", "ROUND").upper()
        if node.op_type != "Quant" or rounding != "FLOOR":
            raise fail(node, f"it follows an AveragePool and does not round down; {remedy}")
        if scale.size != 1 or not np.array_equal(scale.reshape(-1), stream.grid.scale):
            raise fail(
                node,
                f"its scale is {scale.reshape(-1)}, that of the AveragePool's input "
                f"{stream.grid.scale}; {remedy}",
            )
        if np.frexp(scale.reshape(-1)[0])[0] != 0.5:
            raise fail(
                node,
                f"behind an AveragePool a scale of {float(scale.reshape(-1)[0]):g} rounds inexactly"
                "; use a power of two",
            )
        lowest = dtype.lo + int(bool(attributes_of(node).get("narrow")))
        if lowest > stream.lo or dtype.hi < stream.hi:
            raise fail(node, f"it clips means of [{stream.lo}, {stream.hi}]; give it their bits")
        kernel = attributes_of(pool)["kernel_shape"][0]
        out, shape = self.emit.average(stream.name, stream.shape, kernel)
        self.equals[out] = (node.output[0], stream.grid)
        return Stream(out, shape, stream.lo, stream.hi, stream.grid)
