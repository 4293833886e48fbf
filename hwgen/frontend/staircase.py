"""Integer staircases of trained functions, found by evaluating the functions themselves.

A chain of operators between two integer tensors (scale, batch norm, RPReLU, quantiser) is run as
it stands in the graph, in the graph's own float arithmetic, at the integers the tensor can take.
Rounding, ties and float error are then right by construction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx

from hwgen.errors import UnsupportedError
from hwgen.frontend.values import evaluating
from hwgen.quant import IntArray

FloatArray = NDArray[np.float32]
EXHAUSTIVE = 1 << 12  # ranges up to this size are evaluated at every integer
MOST_STEPS = 1 << 26  # thresholds, or integers to evaluate, in all channels


ELEMENTWISE = ("Add", "Sub", "Mul", "Div", "PRelu")


def chain_function(
    model: ModelWrapper,
    nodes: Sequence[onnx.NodeProto],
    channels: int,
    order: IntArray | None = None,
) -> Callable[[FloatArray], FloatArray]:
    """The composition of ``nodes`` as a function of float arrays (n, channels).

    The nodes run through qonnx exactly as in the whole model; their constants come from it.
    ``order[c]`` is the place in the original tensor of channel c.
    """
    constants = {
        name: _by_channel(node, model.get_initializer(name))
        for node in nodes
        for name in node.input
        if name
    }

    chain = _renamed(nodes, constants)
    here = chain[-1].output[0]

    def apply(values: FloatArray) -> FloatArray:
        shape = [len(values), channels, 1, 1]
        first, *infos = (
            helper.make_tensor_value_info(name, 1, shape)
            for name in ("x", *(f"y{i}" for i in range(len(chain))))
        )
        graph = helper.make_graph(chain, "chain", [first], infos[-1:])
        graph.value_info.extend(infos[:-1])
        small = ModelWrapper(helper.make_model(graph, opset_imports=model.model.opset_import))
        for name, value in constants.items():
            if value is not None:
                small.set_initializer(name, value)
        x = values if order is None else values[:, np.argsort(order)]
        with evaluating(f"the operators up to {nodes[-1].name}"):
            result = execute_onnx(small, {"x": x.reshape(shape)})[here]
        result = np.asarray(result, np.float32)
        if result.size != values.size or not np.isfinite(result).all():
            raise UnsupportedError("the operators before it give NaN, infinities or other shapes")
        y = result.reshape(len(values), channels)
        return y if order is None else y[:, order]

    return apply


def _renamed(nodes: Sequence[onnx.NodeProto], constants: Mapping[str, Any]) -> list[onnx.NodeProto]:
    """The nodes one behind another: x to y0, y0 to y1, and so on."""
    chain, here = [], "x"
    for i, node in enumerate(nodes):
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        data = next(k for k, n in enumerate(node.input) if n and constants[n] is None)
        copy.input[data] = here
        del copy.output[1:]
        here = copy.output[0] = f"y{i}"
        chain.append(copy)
    return chain


def _by_channel(node: onnx.NodeProto, value: Any) -> Any:
    """A constant of an elementwise operator, one for every channel, in the shape of the chain."""
    if value is None or node.op_type not in ELEMENTWISE or np.size(value) == 1:
        return value
    return np.asarray(value).reshape(-1, 1, 1)


@dataclass(frozen=True, slots=True)
class Staircase:
    """y = lo + sum(x >= thresholds[c]); ``flip[c]`` says that x must be negated first."""

    thresholds: IntArray
    flip: NDArray[np.bool_]


class NotMonotone(UnsupportedError):
    """A channel rises and falls."""


def difference(
    level_of: Callable[[IntArray], IntArray],
    channels: int,
    lo: int,
    hi: int,
    reach: tuple[int, int],
) -> tuple[IntArray, IntArray]:
    """Two staircases whose difference is any function: level_of(x) = sum(x >= up) - sum(x >= down).

    ``level_of`` maps integers (n, channels) of [lo, hi] to levels of 0 and more (the Jordan
    decomposition: one staircase takes every rise, the other every fall). Thresholds are
    (channels, n); those always reached are reach[0], those never reached reach[1].
    """
    x = np.arange(lo, hi + 1)
    table = level_of(np.repeat(x[:, None], channels, axis=1))
    steps = np.diff(table, axis=0)
    ups, downs = [], []
    for c in range(channels):
        always = np.full(table[0, c], reach[0])
        ups.append(np.concatenate([always, np.repeat(x[1:], np.maximum(steps[:, c], 0))]))
        downs.append(np.repeat(x[1:], np.maximum(-steps[:, c], 0)))
    return _padded(ups, reach[1]), _padded(downs, reach[1])


def _padded(rows: Sequence[IntArray], value: int) -> IntArray:
    """Rows of different lengths as one matrix, at least one wide."""
    width = max(1, *(len(row) for row in rows))
    filled = [np.concatenate([row, np.full(width - len(row), value)]) for row in rows]
    return np.stack(filled).astype(np.int64)


def extract(
    level_of: Callable[[IntArray], IntArray], channels: int, lo: int, hi: int, levels: int
) -> Staircase:
    """Read the thresholds off a monotone per-channel function.

    ``level_of`` maps integers (n, channels) of [lo, hi] to levels 0..levels. A channel may fall
    instead of rise; its thresholds are then those of x -> level_of(lo + hi - x). A threshold that
    is never reached is hi + 1. Raises ``NotMonotone`` if a channel rises and falls.
    """
    if channels * max(levels, min(hi - lo, EXHAUSTIVE)) > MOST_STEPS:
        raise UnsupportedError(f"{channels} channels of {levels} thresholds are too many")
    ends = level_of(np.array([[lo] * channels, [hi] * channels]))
    flip = ends[0] > ends[1]

    def rising(x: IntArray) -> IntArray:
        return level_of(np.where(flip, lo + hi - x, x))

    if hi - lo < EXHAUSTIVE:
        return Staircase(_by_table(rising, channels, lo, hi, levels), flip)
    return Staircase(_by_bisection(rising, channels, lo, hi, levels), flip)


def _by_table(
    rising: Callable[[IntArray], IntArray], channels: int, lo: int, hi: int, levels: int
) -> IntArray:
    x = np.arange(lo, hi + 1)
    table = rising(np.repeat(x[:, None], channels, axis=1))
    falls = np.argwhere(np.diff(table, axis=0) < 0)
    if len(falls):
        at, channel = (int(v) for v in falls[0])
        raise NotMonotone(
            f"channel {channel} falls at {lo + at + 1} after it rose: not a staircase "
            "(a negative PReLU slope?)"
        )
    wanted = np.arange(1, levels + 1)
    return lo + np.stack([np.searchsorted(table[:, c], wanted) for c in range(channels)])


def _by_bisection(
    rising: Callable[[IntArray], IntArray], channels: int, lo: int, hi: int, levels: int
) -> IntArray:
    """All thresholds at once: low stays below each, high is at or above it."""
    wanted = np.arange(1, levels + 1)[:, None]
    low = np.full((levels, channels), lo - 1)
    high = np.full((levels, channels), hi + 1)
    while (high - low > 1).any():
        middle = (low + high) // 2
        reached = rising(np.clip(middle, lo, hi)) >= wanted
        high = np.where(reached & (high - low > 1), middle, high)
        low = np.where(~reached & (high - low > 1), middle, low)
    return high.T
