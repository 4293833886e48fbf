"""Padding in front of convolutions, and kernels that it makes square."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx

from hwgen.frontend.values import Stream, Walk, Weights, attributes_of, fail


class Padding(Walk):
    """Pad."""

    def pad(self, node: onnx.NodeProto) -> None:
        """Padding waits for its convolution; its value must be one the tensor can take."""
        stream = self.settled(node, node.input[0])
        pads, value = self.constant(node.input[1]), None
        if len(node.input) > 2 and node.input[2]:
            value = self.constant(node.input[2])
        if pads is None or (len(node.input) > 3 and node.input[3]):
            raise fail(node, "its pads are not constants over all axes")
        amounts = [int(p) for p in pads.reshape(-1)]
        fill = 0.0 if value is None else float(value.reshape(-1)[0])
        if attributes_of(node).get("mode", "constant") != "constant" or len(amounts) != 8:
            raise fail(node, "only constant padding of images is supported")
        top, left, bottom, right = amounts[2], amounts[3], amounts[6], amounts[7]
        if any(amounts[i] for i in (0, 1, 4, 5)) or len({top, left, bottom, right}) > 1:
            raise fail(node, f"pads {amounts} are not equal on the four sides of the image")
        wanted = float(stream.grid.value(np.zeros(1, np.int64)).reshape(-1)[0])  # integer 0: -1, 0
        zeros = stream.binary and fill == 0.0
        if fill != wanted and not zeros:
            raise fail(node, padding_advice(stream, fill))
        if any(stream.pads):
            raise fail(node, "two paddings follow one another")
        around = (top, left, bottom, right)
        self.streams[node.output[0]] = replace(stream, pads=around, zeros=zeros)


def squared(node: onnx.NodeProto, weights: Weights, pads: list[int]) -> tuple[Weights, int]:
    """A kernel that is not square, in the middle of one that is: zeros around, and more padding.

    Refused where the padding is not the same on all four sides of the square.
    """
    tall, wide = weights.integers.shape[2:]
    side = max(tall, wide)
    above, beside = side - tall, side - wide
    top, left, bottom, right = pads
    grown = {top + above // 2, left + beside // 2, bottom + above // 2, right + beside // 2}
    if above % 2 or beside % 2 or len(grown) > 1:
        raise fail(
            node,
            f"kernel {tall}x{wide} with pads {pads}: only square kernels with equal pads, and "
            "those that fit in the middle of one, are supported",
        )
    (pad,) = grown
    if pad >= side:
        raise fail(node, f"a padding of {pad} is not below the kernel {side}; pad less")
    around = ((0, 0), (0, 0), (above // 2,) * 2, (beside // 2,) * 2)
    return replace(weights, integers=np.pad(weights.integers, around)), pad


def padding_advice(stream: Stream, fill: float) -> str:
    """Why a tensor cannot be padded with ``fill``, and what to do."""
    if stream.binary:
        return (
            f"a binary tensor padded with {fill:g} holds a third value that binary hardware "
            "has not; pad with -1 or 0"
        )
    return f"padding with {fill:g} is not supported; pad with 0"
