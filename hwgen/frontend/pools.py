"""Pools: largest, mean and sum of pixels, on integers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx

from hwgen.frontend.quantisers import Quantisers
from hwgen.frontend.staircase import chain_function
from hwgen.frontend.values import FLOAT32_EXACT, Stream, attributes_of, fail

Geometry = tuple[int, int, int]
"""Kernel, stride and padding, all square."""


class Pools(Quantisers):
    """MaxPool, AveragePool, and the pools of whole images."""

    def quantise(self, node: onnx.NodeProto) -> None:
        """A quantiser; one behind an AveragePool that waits for it is part of the pool."""
        stream = self.streams.get(node.input[0])
        if stream is not None and any(n.op_type == "AveragePool" for n in stream.pending):
            self.streams[node.output[0]] = self.average(node, stream)
        else:
            super().quantise(node)

    def max_pool(self, node: onnx.NodeProto) -> None:
        """MaxPool of integers; padding never wins.

        What pends is monotone, so it may as well come behind the pool; channels in which it falls
        are negated first.
        """
        stream, later = self.stream(node, node.input[0]), ()
        if stream.pending and stream.name:
            stream, later = self.rising(node, stream), stream.pending
        else:
            stream = self.settled(node, node.input[0])
        if any(stream.pads):
            raise fail(node, "it stands between a Pad and its convolution")
        geometry = self.geometry(node)
        out, shape = self.emit.max_pool(stream.name, stream.shape, geometry, stream.lo)
        made = replace(stream, name=out, shape=shape, weights=(), borders=(), pending=later)
        if later:
            self.streams[node.output[0]] = replace(made, source="")
            return
        self.equals[out] = (node.output[0], stream.grid)
        self.streams[node.output[0]] = replace(made, source=node.output[0])
        if stream.weights:  # its values are sums, off their grid by float error
            self.sums[node.output[0]] = stream.grid

    def rising(self, node: onnx.NodeProto, stream: Stream) -> Stream:
        """Integers in whose order the values behind the pending chain are, the chain left out."""
        for pend in stream.pending:
            if not self.rises_or_falls(pend):
                raise fail(node, f"it follows {pend.op_type} with a negative slope; pool before")
        chain = chain_function(self.model, stream.pending, stream.channels, stream.grid.order)
        ends = np.array([[stream.lo] * stream.channels, [stream.hi] * stream.channels])
        first, last = chain(stream.grid.value(ends))
        falls = last < first
        return self.turned(stream, falls)[0]

    def geometry(self, node: onnx.NodeProto) -> Geometry:
        """Kernel, stride and padding of a pool, all square, or refused."""
        attributes = attributes_of(node)
        kernel, strides = attributes["kernel_shape"], attributes.get("strides", [1, 1])
        pads = attributes.get("pads", [0] * 4)
        plain = not attributes.get("ceil_mode") and set(attributes.get("dilations", [1])) == {1}
        plain &= attributes.get("auto_pad", "NOTSET") in ("NOTSET", "VALID")
        if len(kernel) != 2 or any(len(set(v)) > 1 for v in (kernel, strides, pads)) or not plain:
            raise fail(
                node, "only square kernels, strides and pads without ceil_mode or dilation pool"
            )
        return int(kernel[0]), int(strides[0]), int(pads[0])

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
        self.summed(node, replace(stream, name=out, shape=shape, lo=lo, hi=hi), pixels, divisor)

    def summed(self, node: onnx.NodeProto, stream: Stream, pixels: int, divisor: int) -> None:
        """Sums of ``pixels`` integers each, which stand for their mean where divided."""
        if max(-stream.lo, stream.hi) >= FLOAT32_EXACT:
            raise fail(node, f"its sums reach {stream.hi}, past FINN's exact range of 2**24")
        grid = stream.grid
        grid = replace(grid, scale=grid.scale / np.float32(divisor), base=grid.base * pixels)
        self.sums[node.output[0]] = grid
        self.equals[stream.name] = (node.output[0], grid)
        stream = replace(stream, grid=grid, binary=False, source=node.output[0])
        self.streams[node.output[0]] = replace(stream, weights=(), borders=())

    def average_pool(self, node: onnx.NodeProto) -> None:
        """AveragePool: a shift where its quantiser makes it one, else a sum like any other."""
        stream = self.settled(node, node.input[0])
        if any(stream.pads):
            raise fail(node, "it stands between a Pad and its convolution")
        if self.shifts(node, stream):
            self.streams[node.output[0]] = replace(stream, pending=(node,))
            return
        kernel, stride, pad = self.geometry(node)
        whole = (kernel, kernel, 0) == (*stream.shape[1:3], pad)
        if pad and not attributes_of(node).get("count_include_pad", 0):
            raise fail(
                node,
                "padding that does not count makes other means at the border; pool without "
                "padding, or count it (count_include_pad)",
            )
        if pad and not stream.grid.plain:
            raise fail(node, "padding of a tensor whose integer 0 is not 0; pool without padding")
        pixels = kernel**2
        lo, hi = min(stream.lo * pixels, 0), stream.hi * pixels
        if whole:
            out, shape = self.emit.global_sum(stream.name, stream.shape, lo, hi)
        else:
            ones = np.ones((pixels, stream.channels), np.int64)
            patches, shape = self.emit.patches(
                stream.name, stream.shape, kernel, stride, pad, depthwise=True
            )
            shape = (*shape[:3], stream.channels)
            out, _ = self.emit.depthwise(patches, shape, ones, kernel, max(-lo, hi))
        self.summed(node, replace(stream, name=out, shape=shape, lo=lo, hi=hi), pixels, pixels)

    def shifts(self, node: onnx.NodeProto, stream: Stream) -> bool:
        """Whether AveragePool and the one quantiser behind it are floor(sum / pixels).

        They are where squares of a power of two do not overlap, and the quantiser rounds down on
        its input's own grid of a power of two, without clipping.
        """
        attributes = attributes_of(node)
        kernel, pads = attributes["kernel_shape"], attributes.get("pads", [0])
        k, strides = kernel[0], attributes.get("strides", [1] * len(kernel))
        square = list(kernel) == list(strides) == [k, k] and k >= 2 and not k & (k - 1)
        whole = not (stream.shape[1] % k or stream.shape[2] % k or any(pads))
        source = self.model.find_producer(node.input[0])
        readers = self.model.find_consumers(node.output[0]) or []
        # FINN types sums as INT32 for a while, and shifts by the bits the output lacks
        if not square or not whole or source is None or source.op_type != "Quant":
            return False
        if len(readers) != 1 or readers[0].op_type != "Quant" or stream.binary:
            return False
        target = self.target(readers[0])
        scale = target.scale.reshape(-1)
        dyadic = scale.size == 1 and bool(np.frexp(scale[0])[0] == 0.5)
        same_grid = np.array_equal(scale, stream.grid.scale) and stream.grid.plain
        holds = target.lo <= stream.lo and target.hi >= stream.hi
        return target.rounding == "FLOOR" and dyadic and same_grid and holds

    def average(self, node: onnx.NodeProto, stream: Stream) -> Stream:
        """AveragePool and its quantiser as one operator."""
        kernel = attributes_of(stream.pending[0])["kernel_shape"][0]
        out, shape = self.emit.average(stream.name, stream.shape, kernel)
        self.equals[out] = (node.output[0], stream.grid)
        return Stream(out, shape, stream.lo, stream.hi, stream.grid, source=node.output[0])
