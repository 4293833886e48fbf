"""The network's input: bytes that the hardware reads, or floats that the host quantises."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import onnx
from numpy.typing import NDArray

from hwgen.errors import UnsupportedError
from hwgen.frontend.values import (
    FLOAT32_EXACT,
    Grid,
    Host,
    Stream,
    Walk,
    attributes_of,
    datatype,
    fail,
)
from hwgen.quant import BINARY, HostStep, IntType

ROUNDING = ("ROUND", "HALF_EVEN", "FLOOR")
BYTES = IntType(8)
HOST_FUNCTIONS = {"Add": "add", "Sub": "subtract", "Mul": "multiply", "Div": "divide"}


@dataclass(frozen=True, slots=True)
class Target:
    """What a quantiser makes: integers of [lo, hi] times ``scale``; bits where ``binary``."""

    scale: NDArray[np.float32]
    dtype: IntType
    zero: int
    lo: int
    hi: int
    rounding: str

    @property
    def binary(self) -> bool:
        """Whether it tells signs, bit 1 for +1."""
        return self.dtype == BINARY and (self.lo, self.hi) == (-1, 1)

    @property
    def grid(self) -> Grid:
        """That of the integers."""
        return Grid(self.scale.reshape(-1), 2, -1) if self.binary else Grid(self.scale.reshape(-1))

    @property
    def limits(self) -> tuple[int, int]:
        """The integers in hardware: bits, or integers less their zero point."""
        return (0, 1) if self.binary else (self.lo, self.hi)


class Inputs(Walk):
    """What stands between the network's input and its first integers."""

    def begin(self) -> None:
        """Make the network's input a stream of integers, or of floats that the host quantises.

        Integers are what is annotated as such, and bytes what is divided by 255 first of all.
        """
        name = self.model.graph.input[0].name
        shape = self.model.get_tensor_shape(name)
        if shape is None or len(shape) not in (2, 4):
            raise UnsupportedError(
                f"the network's input has shape {shape}; (N, C, H, W) and (N, C) are supported"
            )
        c, h, w = (*shape[1:], 1, 1)[:3]
        nhwc = (1, int(h), int(w), int(c))
        annotated = self.model.get_tensor_datatype(name)
        readers = self.model.find_consumers(name) or []
        if annotated.is_integer():
            dtype = IntType.parse(annotated.name)
        elif readers and all(self.divides_by_255(node) for node in readers):
            dtype = BYTES
        else:
            self.streams[name] = Stream("", nhwc, 0, 0, Grid(np.ones(1, np.float32)), source=name)
            return
        grid = Grid(np.ones(1, np.float32))
        out = self.emit.input("global_in", nhwc, datatype(dtype))
        self.equals[out] = (name, grid)
        self.streams[name] = Stream(out, nhwc, dtype.lo, dtype.hi, grid, source=name)

    def divides_by_255(self, node: onnx.NodeProto) -> bool:
        """Whether a node brings bytes to [0, 1]."""
        value = self.constant(node.input[1]) if len(node.input) == 2 else None
        if value is None or value.size != 1 or node.op_type not in ("Mul", "Div"):
            return False
        number = np.float32(value.reshape(-1)[0])
        return bool(number == (255 if node.op_type == "Div" else np.float32(1) / np.float32(255)))

    def target(self, node: onnx.NodeProto) -> Target:
        """Scale and integers of a quantiser; a binary one has the type of one bit."""
        scale = self.scale_of(node)
        zero, bits = self.parameters(node)
        if node.op_type == "Trunc" and (zero or bits == 1):
            raise fail(node, "with a zero point, or to 1 bit, it is not supported; use a Quant")
        attributes = attributes_of(node)
        signed, narrow = bool(attributes.get("signed", 1)), bool(attributes.get("narrow"))
        if node.op_type == "BipolarQuant" or (bits == 1 and signed):
            if zero:
                raise fail(node, "a binary quantiser with a zero point is not supported")
            return Target(scale, BINARY, 0, -1, 1, "SIGN")
        rounding = attributes.get("rounding_mode", "ROUND").upper()
        if rounding not in ROUNDING:
            raise fail(node, f"rounding mode {rounding} is not supported; {', '.join(ROUNDING)}")
        whole = IntType(bits, signed)
        lo, hi = whole.lo + (narrow and signed) - zero, whole.hi - zero
        return Target(scale, whole if not zero else IntType.holding(lo, hi), zero, lo, hi, rounding)

    def scale_of(self, node: onnx.NodeProto) -> NDArray[np.float32]:
        """The scale of a quantiser's output: positive numbers."""
        scale = self.constant(node.input[4 if node.op_type == "Trunc" else 1])
        if scale is None:
            raise fail(node, "its scale is not a constant")
        scale = np.asarray(scale, np.float32)
        if not scale.size or not (np.isfinite(scale) & (scale > 0)).all():
            raise fail(node, "its scale is not a positive number; export it again")
        rank = len(self.model.get_tensor_shape(node.input[0]) or scale.shape)
        values = (self.constant(name) for name in node.input[1:])
        if any(value is not None and value.ndim > rank for value in values):
            raise fail(node, f"its parameters have more axes than its input, {rank}")
        return scale

    def parameters(self, node: onnx.NodeProto) -> tuple[int, int]:
        """Zero point and bit width of a Quant or Trunc; 0 and 1 for a BipolarQuant."""
        if node.op_type == "BipolarQuant":
            return 0, 1
        width_at = 5 if node.op_type == "Trunc" else 3
        zero, bits = self.constant(node.input[2]), self.constant(node.input[width_at])
        if zero is None or bits is None:
            raise fail(node, "its zero point or bit width is not a constant")
        if bits.size != 1 or not 1 <= float(bits.reshape(-1)[0]) <= 16:
            told = f"{float(bits.reshape(-1)[0]):g}" if bits.size == 1 else f"shape {bits.shape}"
            raise fail(node, f"a bit width of {told} is not supported; 1 to 16 are")
        if not zero.size or not np.isfinite(zero).all():
            raise fail(node, "its zero point is not a number")
        number, width = float(zero.reshape(-1)[0]), float(bits.reshape(-1)[0])
        if zero.size != 1 or number != int(number) or width != int(width):
            raise fail(node, "one whole zero point and bit width for all channels are supported")
        if abs(number) >= FLOAT32_EXACT:
            raise fail(node, f"its zero point {number:g} is past float32's exact range of 2**24")
        return int(number), int(width)

    def quantised_input(self, node: onnx.NodeProto, stream: Stream) -> Stream:
        """The network's float input; the host quantises it, so it enters as integers."""
        target = self.target(node)
        if target.scale.size != 1:
            raise fail(node, "the input needs one scale for all channels")
        steps = tuple(s for n in stream.pending for s in self.host_steps(n))
        scale = float(target.scale.reshape(-1)[0])
        lo, hi = target.limits
        # Where the host does more than divide and round to nearest, all it does is a step.
        divided: tuple[HostStep, ...] = (("divide", (scale,)),)
        if target.binary:
            steps, scale = (*steps, *divided, ("floor", ()), ("add", (1.0,))), 1.0
        elif target.rounding == "FLOOR" or target.zero:
            zero = float(target.zero)
            function = "floor" if target.rounding == "FLOOR" else "rint"
            held = (("maximum", (lo + zero,)), ("minimum", (hi + zero,)), (function, ()))
            steps = (*steps, *divided, ("add", (zero,)), *held, ("subtract", (zero,)))
            scale = 1.0
        if self.emit.source:
            raise fail(node, "the network's input is quantised twice; quantise it once")
        full = (lo, hi) == (target.dtype.lo, target.dtype.hi)
        self.host = Host(scale, steps, None if full else (lo, hi))
        name = self.emit.input("global_in", stream.shape, datatype(target.dtype))
        self.equals[name] = (node.output[0], target.grid)
        found = Stream(name, stream.shape, lo, hi, target.grid, source=node.output[0])
        return replace(found, binary=target.binary)

    def host_steps(self, node: onnx.NodeProto) -> list[HostStep]:
        """An operator in front of the first quantiser, as the host computes it."""
        values = [self.constant(name) for name in node.input if name]
        numbers = [tuple(float(x) for x in v.reshape(-1)) for v in values if v is not None]
        if node.op_type in HOST_FUNCTIONS and len(numbers) == 1 and values[0] is None:
            return [(HOST_FUNCTIONS[node.op_type], numbers[0])]
        if node.op_type in ("Add", "Mul") and len(numbers) == 1:
            return [(HOST_FUNCTIONS[node.op_type], numbers[0])]
        if node.op_type == "Relu":
            return [("maximum", (0.0,))]
        if node.op_type == "Clip" and len(numbers) == 2:
            return [("maximum", numbers[0]), ("minimum", numbers[1])]
        raise fail(
            node,
            "in front of the first quantiser only Add, Sub, Mul, Div, Relu and Clip are "
            "supported; annotate the input as UINT8, and hardware takes any operator there",
        )
