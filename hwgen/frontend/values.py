"""What the walk over a graph knows of a tensor, and the state it keeps."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper

from hwgen.errors import HwgenError, UnsupportedError
from hwgen.frontend.emit import Emitter
from hwgen.quant import BINARY, IntArray, IntType, Scaling

FARTHEST = 2.0**100  # float32 ends at 2**128


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
    ``pads`` (top, left, bottom, right) wait for the convolution, and ``zeros`` says that a binary
    tensor is to be padded with 0, a third value; ``weights`` name the matrices of the products that
    made the tensor, side by side, whose columns may be negated, and with them ``borders``, the
    biases that their zero padding took.
    """

    name: str
    shape: tuple[int, int, int, int]
    lo: int
    hi: int
    grid: Grid
    binary: bool = False
    pending: tuple[onnx.NodeProto, ...] = ()
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    zeros: bool = False
    weights: tuple[str, ...] = ()
    borders: tuple[str, ...] = ()

    @property
    def channels(self) -> int:
        """C."""
        return self.shape[3]

    @property
    def within_float32(self) -> bool:
        """Whether all values, and the steps between them, are far from overflow and underflow."""
        most = max(abs(self.lo), abs(self.hi), 1) * float(self.grid.scale.max()) * self.grid.gain
        return float(self.grid.scale.min()) > FARTHEST**-1 and most < FARTHEST


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


@dataclass
class Walk:
    """The state of one walk over a cleaned-up QONNX model."""

    model: ModelWrapper
    emit: Emitter = field(default_factory=Emitter)
    streams: dict[str, Stream] = field(default_factory=dict)
    weights: dict[str, Weights] = field(default_factory=dict)
    flipped: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    equals: dict[str, tuple[str, Grid]] = field(default_factory=dict)
    input_scale: float = 0.0
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
        """The stream a node reads, which must be integers with nothing pending."""
        stream = self.stream(node, name)
        if stream.pending:
            raise fail(
                node,
                f"input {name} is not quantised (it follows {stream.pending[-1].op_type}); "
                "put a Quant or BipolarQuant in front",
            )
        return stream

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
