"""What the walk over a graph knows of a tensor, and the state it keeps."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper

from hwgen.errors import HwgenError, UnsupportedError
from hwgen.frontend.emit import Emitter
from hwgen.quant import BINARY, HostStep, IntArray, IntType, Scaling

FLOAT32_EXACT = 1 << 24  # integers up to here are exact in FINN's float32 tensors

FARTHEST = 2.0**100  # float32 ends at 2**128


@dataclass(frozen=True, slots=True)
class Grid:
    """How the integers x of a tensor stand for numbers: (gain * x + base[c]) * scale[c].

    gain and base are 1 and 0, but for bits 2 and -1, for popcounts over K bits 2 and -K, and for
    products of bits and integers 2 and minus the sums of the weights. ``order[c]`` is the place of
    channel c in the original tensor, where that was an image flattened in its own order.
    """

    scale: NDArray[np.float32]
    gain: int = 1
    base: int | IntArray = 0
    order: IntArray | None = None

    def value(self, x: IntArray) -> NDArray[np.float32]:
        """The numbers that integers (..., channels) stand for, in float32 as the graph has them."""
        return np.asarray(self.gain * x + self.base, np.float32) * self.scale

    @property
    def plain(self) -> bool:
        """Whether integers are multiples of their scale, 0 for 0."""
        return self.gain == 1 and not np.any(self.base)

    @property
    def uniform(self) -> bool:
        """Whether all channels have one scale."""
        return self.scale.size == 1

    def nearest(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """The grid's numbers nearest to ``values`` (..., channels): float error taken off."""
        integers = np.rint(self.steps(values)).astype(np.int64)
        return self.value(integers)

    def steps(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        """The integers, not rounded yet, that ``values`` (..., channels) stand for."""
        exact = values.astype(np.float64) / self.scale.astype(np.float64)
        steps: NDArray[np.float64] = (exact - self.base) / self.gain
        return steps


@dataclass(frozen=True, slots=True)
class Stream:
    """A tensor of the integer graph, and what of the original graph still pends on it.

    shape is (N, H, W, C); integers lie in [lo, hi] and stand for the original tensor ``source``;
    ``pending`` are unary nodes not applied yet; ``pads`` (top, left, bottom, right) wait for the
    convolution, and ``zeros`` says that a binary tensor is to be padded with 0, a third value;
    ``weights`` name the matrices of the products that made the tensor, side by side, whose columns
    may be negated, and with them ``borders``, the biases that their zero padding took. A stream
    without a name is the network's input before its quantiser: the host computes what pends on it.
    """

    name: str
    shape: tuple[int, int, int, int]
    lo: int
    hi: int
    grid: Grid
    binary: bool = False
    source: str = ""
    pending: tuple[onnx.NodeProto, ...] = ()
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    zeros: bool = False
    weights: tuple[str, ...] = ()
    borders: tuple[str, ...] = ()
    flat: bool = False

    @property
    def channels(self) -> int:
        """C."""
        return self.shape[3]

    @property
    def within_float32(self) -> bool:
        """Whether all values, and the steps between them, are far from overflow and underflow."""
        scale = np.abs(self.grid.scale)
        most = max(abs(self.lo), abs(self.hi), 1) * float(scale.max()) * self.grid.gain
        return float(scale.min()) > FARTHEST**-1 and most < FARTHEST


@dataclass(frozen=True, slots=True)
class Weights:
    """Quantised constants: ``integers * scale``, with a scale that broadcasts."""

    integers: IntArray
    scale: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class IntegerGraph:
    """The result: the model, its scaling, and which original tensor each integer tensor equals.

    ``sums`` are the original tensors that float arithmetic makes of integers, off their grid by
    float error where scales are no powers of two.
    """

    model: ModelWrapper
    scaling: Scaling
    equals: dict[str, tuple[str, Grid]]
    sums: dict[str, Grid]


@dataclass(frozen=True, slots=True)
class Host:
    """What the host makes of an image: ``steps`` on floats, then integers of ``scale``."""

    scale: float = 1.0
    steps: tuple[HostStep, ...] = ()
    limits: tuple[int, int] | None = None


@dataclass
class Walk:
    """The state of one walk over a cleaned-up QONNX model."""

    model: ModelWrapper
    emit: Emitter = field(default_factory=Emitter)
    streams: dict[str, Stream] = field(default_factory=dict)
    weights: dict[str, Weights] = field(default_factory=dict)
    flipped: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    equals: dict[str, tuple[str, Grid]] = field(default_factory=dict)
    sums: dict[str, Grid] = field(default_factory=dict)
    host: Host = field(default_factory=Host)
    top_k: int | None = None

    def constant(self, name: str) -> NDArray[Any] | None:
        """Value of an initializer, or None."""
        found = self.model.get_initializer(name)
        return None if found is None else np.asarray(found)

    def stream(self, node: onnx.NodeProto, name: str) -> Stream:
        """The stream a node reads; the network's float input is none yet."""
        if name not in self.streams:
            raise fail(node, f"input {name} is neither quantised nor a constant")
        return self.streams[name]

    def settled(self, node: onnx.NodeProto, name: str) -> Stream:
        """The stream a node reads, which must be integers with nothing pending.

        One factor for all channels goes into the scale, one offset on the grid becomes integers;
        the columns of a product that was read so are not negated any more.
        """
        stream = self.stream(node, name)
        for index, pend in enumerate(stream.pending):
            moved = self.moved(pend, replace(stream, pending=())) if stream.name else None
            if moved is None:
                raise fail(
                    node,
                    f"input {name} is not quantised (it follows {pend.op_type}); "
                    "put a Quant or BipolarQuant in front",
                )
            stream = replace(moved, pending=stream.pending[index + 1 :])
        if not stream.name:
            raise fail(
                node,
                "the network's input is not quantised; put a Quant in front, or annotate the "
                "input as UINT8",
            )
        return self.turned(stream, np.zeros(stream.channels, bool))[0]

    def moved(self, node: onnx.NodeProto, stream: Stream) -> Stream | None:
        """A stream behind a scalar Mul, Div, Add or Sub, or None where it leaves the grid."""
        values = [v for v in map(self.constant, node.input) if v is not None]
        if len(values) != 1 or values[0].size != 1:
            return None
        number, grid = np.float32(values[0].reshape(-1)[0]), stream.grid
        if node.op_type in ("Mul", "Div") and number > 0:
            factor = number if node.op_type == "Mul" else np.float32(1) / number
            grid = replace(grid, scale=np.asarray(grid.scale * factor, np.float32))
        elif node.op_type in ("Add", "Sub") and grid.uniform:
            sign = 1 if node.op_type == "Add" else -1
            exact = sign * float(number) / float(grid.scale.reshape(-1)[0])
            if exact != round(exact) or stream.binary or not grid.plain:
                return None
            lo, hi = stream.lo + round(exact), stream.hi + round(exact)
            shift = np.full(stream.channels, round(exact), np.int64)
            name, _ = self.emit.add_constant(stream.name, stream.shape, shift, lo, hi)
            stream = Stream(name, stream.shape, lo, hi, grid)
        else:
            return None
        self.sums[node.output[0]] = grid
        return replace(stream, grid=grid, source=node.output[0])

    def flattened(self, stream: Stream) -> Stream:
        """The pixels of an image as the channels of one, in the stream's order (H, W, C)."""
        _, h, w, c = stream.shape
        if (h, w) == (1, 1):
            return stream
        name, shape = self.emit.flatten(stream.name, stream.shape)
        order = np.arange(c * h * w).reshape(c, h, w).transpose(1, 2, 0).reshape(-1)
        grid = stream.grid
        grid = Grid(
            grid.scale if grid.uniform else np.tile(grid.scale, h * w),
            grid.gain,
            grid.base if np.size(grid.base) == 1 else np.tile(grid.base, h * w),
            order,
        )
        return replace(stream, name=name, shape=shape, grid=grid, weights=(), borders=())

    def turned(self, stream: Stream, falls: NDArray[np.bool_]) -> tuple[Stream, NDArray[np.bool_]]:
        """The stream with falling channels turned round; and those that it took a negation for.

        The columns of a product are negated where nobody read it before; x becomes lo + hi - x.
        Other channels are negated themselves: x becomes -x. The grid is that of the new integers.
        """
        before = self.flipped.get(stream.name)
        mask = np.zeros(stream.channels, bool)
        if before is None and stream.weights:
            self.flipped[stream.name] = falls
            self.emit.negate_columns(stream.weights, falls)
            self.emit.negate_columns(stream.borders, falls)
        else:
            mask = falls if before is None else falls ^ before
        if not falls.any() and not mask.any():
            return stream, mask
        # x'' = sign * x + (lo + hi) * (falls - mask)
        sign = np.where(falls, -1, 1)
        moved = (stream.lo + stream.hi) * (falls.astype(np.int64) - mask)
        old = stream.grid
        base: IntArray = sign * np.asarray(old.base) - old.gain * moved
        grid = replace(old, base=base)
        if falls.any():
            grid = replace(grid, scale=np.asarray(sign * old.scale, np.float32))
        stream = replace(stream, grid=grid, binary=False)
        return (self.negated(stream, mask) if mask.any() else stream), mask

    def negated(self, stream: Stream, channels: NDArray[np.bool_]) -> Stream:
        """The stream with some channels multiplied by -1; its grid is as given."""
        lo, hi = min(stream.lo, -stream.hi), max(stream.hi, -stream.lo)
        signs = np.where(channels, -1, 1)[None, :]
        name, _ = self.emit.depthwise(stream.name, stream.shape, signs, 1, max(-lo, hi))
        return replace(stream, name=name, lo=lo, hi=hi, weights=(), borders=())

    def require_shapes(self, node: onnx.NodeProto) -> None:
        """The streams that a node made are as large as the file says."""
        for name in node.output:
            stream, want = self.streams.get(name), self.model.get_tensor_shape(name)
            if stream is not None and not stream.within_float32:
                raise fail(node, "its values leave the range of float32; export the file again")
            waits = stream is not None and (any(stream.pads) or stream.pending)
            if stream is None or waits or not want or node.op_type in ("TopK", "ArgMax"):
                continue
            channels = int(want[1]) if len(want) == 4 else stream.channels
            if math.prod(want[1:]) != math.prod(stream.shape[1:]) or channels != stream.channels:
                raise fail(
                    node,
                    f"its output has shape {list(want)} in the file, but {list(stream.shape)} "
                    "(N, H, W, C) by its attributes; export the file again",
                )


@contextmanager
def evaluating(what: str) -> Iterator[None]:
    """Refuse what ONNX Runtime or qonnx cannot run, whatever they raise at it."""
    try:
        with np.errstate(all="ignore"):  # the result is checked
            yield
    except HwgenError:
        raise
    except Exception as error:
        said = " ".join(str(error).split())[:200]
        raise UnsupportedError(f"{what} cannot be run ({type(error).__name__}: {said})") from error


def fail(node: onnx.NodeProto, why: str) -> UnsupportedError:
    """An error about a node, to be raised by the caller."""
    return UnsupportedError(f"node {node.name or node.output[0]} ({node.op_type}): {why}")


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    """Attributes by name, strings decoded."""
    found = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    return {k: v.decode() if isinstance(v, bytes) else v for k, v in found.items()}


def datatype(dtype: IntType) -> Any:
    """The type as qonnx names it."""
    return DataType["BINARY"] if dtype == BINARY else DataType[str(dtype)]
