"""The network's end: integers, and what the host makes of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import onnx
from numpy.typing import NDArray

from hwgen.errors import UnsupportedError, UserInputError
from hwgen.frontend.values import IntegerGraph, Stream, Walk, attributes_of, fail
from hwgen.quant import Scaling

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Affine:
    """y = factor * x + offset, each of them one number or one for every channel."""

    factor: Numbers
    offset: Numbers


class Outputs(Walk):
    """TopK and ArgMax, and the factors and offsets behind the last integers."""

    scores = ""  # what a network that ends in places chooses from

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
        rank = len(self.model.get_tensor_shape(node.input[0]))
        if axis not in (1, 1 - rank) or attributes.get("select_last_index", 0):
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

    def finish(self) -> IntegerGraph:
        """Close the graph; what pends at the output is the host's, or a bias on the grid."""
        name = self.model.graph.output[0].name
        if name not in self.streams or not self.streams[name].name:
            raise UnsupportedError(f"output {name} does not depend on the quantised input")
        if not self.emit.nodes:
            raise UnsupportedError(f"output {name} is the input: there is nothing to compute")
        stream = self.streams[name]
        while stream.pending:
            biased = self.biased(stream)
            if biased is None:
                break
            stream = biased
        if stream.grid.order is not None:
            raise UnsupportedError(
                f"output {name} is an image flattened in the order of its channels; end the "
                "network in the image, or in a linear layer"
            )
        stream, _ = self.turned(stream, np.zeros(stream.channels, bool))
        end = self.affine(stream)
        if stream.source:
            self.equals[stream.name] = (stream.source, stream.grid)
        host = self.host
        if self.top_k is None:
            model = self.emit.model(stream.name)
            scaling = Scaling(
                host.scale, number(end.factor), number(end.offset), host.steps, host.limits
            )
            return IntegerGraph(model, scaling, self.equals, self.sums)
        if number(end.factor) != abs(np.max(end.factor)) or isinstance(number(end.offset), tuple):
            raise UnsupportedError(
                "top-k: the outputs have a scale or an offset for every channel, or a negative "
                "scale, so their order is not that of the integers; use per-tensor weights and a "
                "bias on the accumulator grid in the last layer, or leave the choice to the host"
            )
        places = self.emit.top_k(stream.name, stream.shape, self.top_k)
        scaling = Scaling(host.scale, 1.0, 0.0, host.steps, host.limits)
        return IntegerGraph(self.emit.model(places), scaling, self.equals, self.sums)

    def biased(self, stream: Stream) -> Stream | None:
        """A pending bias that is exact on the integers' grid, as integers; else None."""
        node, *others = stream.pending
        constants = [v for v in map(self.constant, node.input) if v is not None]
        grid = stream.grid
        if node.op_type != "Add" or len(constants) != 1 or not grid.uniform or not grid.plain:
            return None
        exact = constants[0].reshape(-1).astype(np.float64) / grid.scale.astype(np.float64)
        integers = np.rint(exact).astype(np.int64)
        if not np.array_equal(integers, exact) or np.abs(exact).max() >= 1 << 24:
            return None
        if not stream.grid.plain:
            return None
        integers = np.broadcast_to(integers, (stream.channels,))
        lo, hi = stream.lo + min(int(integers.min()), 0), stream.hi + max(int(integers.max()), 0)
        out, _ = self.emit.add_constant(stream.name, stream.shape, integers, lo, hi)
        stream, _ = self.turned(stream, np.zeros(stream.channels, bool))
        source = node.output[0]
        self.sums[source] = grid
        made = replace(stream, name=out, lo=lo, hi=hi, pending=tuple(others), source=source)
        return replace(made, weights=(), borders=())

    def affine(self, stream: Stream) -> Affine:
        """What the host multiplies with and adds: the grid, and all that still pends."""
        scale = stream.grid.scale.astype(np.float64)
        found = Affine(stream.grid.gain * scale, stream.grid.base * scale)
        for node in stream.pending:
            found = self.applied(node, found)
        return found

    def applied(self, node: onnx.NodeProto, so_far: Affine) -> Affine:
        """One more operator behind the last integers."""
        values = [self.constant(name) for name in node.input if name]
        numbers = [v.reshape(-1).astype(np.float64) for v in values if v is not None]
        factor, offset = so_far.factor, so_far.offset
        if node.op_type == "BatchNormalization":
            gamma, beta, mean, variance = numbers
            slope = gamma / np.sqrt(variance + attributes_of(node).get("epsilon", 1e-5))
            return Affine(factor * slope, (offset - mean) * slope + beta)
        if len(numbers) == 1 and (values[0] is None or node.op_type in ("Add", "Mul")):
            (v,) = numbers
            if node.op_type in ("Add", "Sub"):
                return Affine(factor, offset + (v if node.op_type == "Add" else -v))
            if node.op_type in ("Mul", "Div"):
                by = v if node.op_type == "Mul" else 1 / v
                return Affine(factor * by, offset * by)
        raise fail(
            node,
            "only factors, offsets and batch norms may follow the last integers; quantise the "
            "output, or end the network here",
        )


def number(values: Numbers) -> float | tuple[float, ...]:
    """One number where all are the same."""
    flat = np.unique(values)
    return float(flat[0]) if flat.size == 1 else tuple(float(v) for v in np.ravel(values))
