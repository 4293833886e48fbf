"""What is exact and builds, but costs something or may surprise."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from numpy.typing import NDArray
from qonnx.core.modelwrapper import ModelWrapper

from hwgen.frontend.load import QUANTISERS
from hwgen.frontend.staircase import chain_function
from hwgen.frontend.values import Stream, Walk, attributes_of
from hwgen.preflight import Hazard

FLOAT32_BITS = 24  # integers of more bits are not all exact in FINN's float32 tensors
CLOSE = 4  # units in the last place
MOST_POINTS = 1 << 20  # integers that are looked at, in all channels of a quantiser


def of_node(walk: Walk, node: onnx.NodeProto) -> Iterator[Hazard]:
    """Of parameters alone: slopes below zero."""
    slope: NDArray[np.float32] | None = None
    if node.op_type == "PRelu":
        slope = walk.constant(node.input[1])
    elif node.op_type == "LeakyRelu":
        slope = np.array(attributes_of(node).get("alpha", 0.01))
    if slope is not None and (slope < 0).any():
        yield Hazard(
            "negative_slope",
            node.name,
            f"{np.count_nonzero(slope < 0)} of {slope.size} slopes are below 0 "
            f"(least {float(slope.min()):.3g}): not monotone; exact, but where it shows, "
            "the activation takes two staircases instead of one (import-reactnet --clamp-slopes)",
        )


def of_result(walk: Walk, node: onnx.NodeProto, first: int) -> Iterator[Hazard]:
    """Of what a node became: zero padding of bits, thresholds that hang on float rounding."""
    stream = walk.streams.get(node.output[0])
    made = walk.emit.nodes[first:]
    if made and stream is not None and stream.borders:
        yield Hazard(
            "zero_padding",
            node.name,
            "a binary convolution is padded with 0, a third value: exact, but every border class "
            "gets constants of its own; -1 costs nothing (training option pad: minus1)",
        )
    if node.op_type in QUANTISERS and made and made[-1].op_type == "MultiThreshold":
        yield from _close_calls(walk, node, made[-1])


def _close_calls(walk: Walk, node: onnx.NodeProto, made: onnx.NodeProto) -> Iterator[Hazard]:
    """Thresholds at which the float value lies within a few units in the last place of a tie."""
    stream = walk.streams.get(node.input[0])
    thresholds = walk.emit.constants[made.input[1]].astype(np.int64)
    if stream is None or not stream.pending or thresholds.size > MOST_POINTS:
        return
    if node.op_type == "Trunc":  # rounds to integers before it cuts them
        return
    scale = float(np.asarray(walk.constant(node.input[1])).reshape(-1)[0])
    at = thresholds.T
    tie = 0.0 if node.op_type == "BipolarQuant" else 0.5
    close = 0
    for x in (at - 1, at):
        y, size = _before(walk, stream, np.clip(x, stream.lo, stream.hi))
        distance = np.abs(y / scale - tie - np.rint(y / scale - tie)) * scale
        if node.op_type == "BipolarQuant":
            distance = np.abs(y)
        close += int(np.sum((distance <= CLOSE * np.spacing(size)) & (distance > 0)))
    if close:
        yield Hazard(
            "near_float_precision",
            node.name,
            f"{close} of {thresholds.size} thresholds lie within {CLOSE} units of float32's last "
            "place of a rounding tie: exact to this file's arithmetic, but other float software "
            "may round them the other way",
        )


def _before(
    walk: Walk, stream: Stream, x: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Values in front of the quantiser at integers (n, channels), and the largest magnitude met."""
    start = stream.grid.value(x)
    chain = chain_function(walk.model, stream.pending, stream.channels, stream.grid.order)
    y = chain(start)
    return y.astype(np.float64), np.maximum(np.abs(start), np.abs(y))


def of_types(model: ModelWrapper) -> Iterator[Hazard]:
    """Integers that FINN's float32 tensors, or hwgen's 32-bit accumulators, cannot all hold."""
    for node in model.graph.node:
        dtype = model.get_tensor_datatype(node.output[0])
        most = max(abs(int(dtype.min())), abs(int(dtype.max())))
        if most > 1 << FLOAT32_BITS:
            yield Hazard(
                "wide_accumulator",
                node.name,
                f"its integers reach {most}: more than 2**24, past the exact range of FINN's "
                "float32; fewer bits or channels would do",
            )
