"""Quantisers: what they make of constants, of the network's input, and of pending chains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx

from hwgen.errors import UnsupportedError
from hwgen.frontend.inputs import Inputs, Target
from hwgen.frontend.staircase import (
    EXHAUSTIVE,
    NotMonotone,
    Staircase,
    chain_function,
    difference,
    extract,
)
from hwgen.frontend.values import Stream, Weights, attributes_of, datatype, evaluating, fail
from hwgen.frontend.wellformed import broadcasts_to
from hwgen.quant import IntArray, IntType


class Quantisers(Inputs):
    """Quant, BipolarQuant and Trunc."""

    def quantise(self, node: onnx.NodeProto) -> None:
        """Quant and BipolarQuant: of constants, of the network's input, or of a chain.

        Trunc only ends a chain, which it may: it is a staircase like any other quantiser.
        """
        source = node.input[0]
        if node.op_type == "Trunc" and not self.stream(node, source).name:
            raise fail(node, "it cuts integers short, and the network's input is none yet")
        if self.constant(source) is not None:
            self.weights[node.output[0]] = self.quantised_constant(node)
            return
        stream = self.stream(node, source)
        if not stream.name:
            made = self.quantised_input(node, stream)
            if stream.flat:  # in the original before it is quantised
                del self.equals[made.name]
                made = self.flattened(made)
                self.equals[made.name] = (node.output[0], made.grid)
            self.streams[node.output[0]] = made
        else:
            self.streams[node.output[0]] = self.staircase(node, stream)

    def quantised_constant(self, node: onnx.NodeProto) -> Weights:
        """Run the quantiser on its constant; integers are what it returns over its scale."""
        scale, stored = self.scale_of(node), np.asarray(self.constant(node.input[0]))
        if not stored.size or not broadcasts_to([stored, scale], stored.shape):
            raise fail(node, f"a scale of shape {scale.shape} does not fit {stored.shape} weights")
        values = self.run(node)
        if not np.isfinite(values).all():
            raise fail(node, "its weights are NaN or infinite")
        integers = np.rint(values.astype(np.float64) / scale).astype(np.int64)
        if not np.array_equal(integers.astype(np.float32) * scale, values):
            raise fail(node, "its output is not an integer multiple of its scale")
        return Weights(integers, np.asarray(scale, np.float32))

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
            value = self.constant(name)
            if value is None:
                raise fail(node, f"{name} is not a constant")
            single.set_initializer(name, value)
        with evaluating(f"node {node.name} ({node.op_type})"):
            return np.asarray(execute_onnx(single, {})[node.output[0]], np.float32)

    def staircase(self, node: onnx.NodeProto, stream: Stream) -> Stream:
        """Evaluate the pending chain and ``node`` itself; emit a MultiThreshold."""
        target = self.target(node)
        if target.scale.size != 1:
            raise fail(node, "an activation needs one scale for all channels")
        for pend in stream.pending:
            if stream.hi - stream.lo >= EXHAUSTIVE and not self.rises_or_falls(pend):
                raise fail(
                    pend,
                    f"a slope below zero is not monotone, and {stream.hi - stream.lo + 1} values "
                    f"are too many for a table of it ({EXHAUSTIVE}); quantise before it",
                )
        chain = [*stream.pending, node]
        apply = chain_function(self.model, chain, stream.channels, stream.grid.order)

        def level_of(x: IntArray) -> IntArray:
            y = target.grid.steps(apply(stream.grid.value(x)))
            return np.rint(y).astype(np.int64) - target.limits[0]

        lowest, highest = target.limits
        try:
            stairs = extract(level_of, stream.channels, stream.lo, stream.hi, highest - lowest)
        except NotMonotone:
            stairs = None
        except UnsupportedError as error:
            raise fail(node, str(error)) from error
        grid = replace(target.grid, order=stream.grid.order)
        made = replace(stream, grid=grid, pending=(), source=node.output[0])
        if stairs is not None and same(stairs, stream, target):
            self.equals[stream.name] = (node.output[0], grid)
            return made
        if stairs is None:
            name = self.rise_and_fall(stream, level_of, target)
        else:
            turned, mask = self.turned(stream, stairs.flip)
            thresholds = stairs.thresholds - (stream.lo + stream.hi) * mask[:, None]
            name = self.emit.threshold(
                turned.name, stream.shape, thresholds, lowest, datatype(target.dtype)
            )
        self.equals[name] = (node.output[0], grid)
        made = replace(made, name=name, lo=lowest, hi=highest, binary=target.binary)
        return replace(made, weights=(), borders=())

    def rise_and_fall(
        self, stream: Stream, level_of: Callable[[IntArray], IntArray], target: Target
    ) -> str:
        """A function that is not monotone: the difference of two staircases of one tensor."""
        turned, mask = self.turned(stream, np.zeros(stream.channels, bool))
        held, shift = self.emit.types[turned.name], (stream.lo + stream.hi) * mask[:, None]
        ends = int(held.min() + shift.min()), int(held.max() + shift.max()) + 1
        parts = difference(level_of, stream.channels, stream.lo, stream.hi, ends)
        up, down = (
            self.emit.threshold(
                turned.name,
                stream.shape,
                np.clip(matrix - shift, int(held.min()), int(held.max()) + 1),
                start,
                datatype(IntType.holding(min(start, 0), max(start + matrix.shape[1], 0))),
            )
            for start, matrix in zip((target.limits[0], 0), parts, strict=True)
        )
        return self.emit.subtract(up, down, stream.shape, datatype(target.dtype))

    def rises_or_falls(self, node: onnx.NodeProto) -> bool:
        """Whether an operator is monotone; those with a slope of their own below 0 may not be."""
        if node.op_type == "LeakyRelu":
            return float(attributes_of(node).get("alpha", 0.01)) >= 0
        slope = self.constant(node.input[1]) if node.op_type == "PRelu" else None
        return slope is None or not (slope < 0).any()


def same(stairs: Staircase, stream: Stream, target: Target) -> bool:
    """Whether a quantiser leaves every integer as it is, in the same type."""
    lo, hi = target.limits
    if stream.binary != target.binary or stream.weights or stairs.flip.any():
        return False
    if (lo, hi) != (stream.lo, stream.hi):
        return False
    return bool((stairs.thresholds == np.arange(lo + 1, hi + 1)).all())
