"""QuantGraph: the meaning of a network, integers and bits only.

A graph is a list of layers in topological order. Every tensor has a name, a shape
``(H, W, C)`` and an integer type; every tensor is produced once and consumed once, so a value
with two readers passes through an explicit ``Fork``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from hwgen.errors import UnsupportedError

if TYPE_CHECKING:
    from hwgen.layers.base import Layer

IntArray = NDArray[np.int64]
Range = tuple[int, int]  # the least and the largest value


@dataclass(frozen=True, slots=True)
class IntType:
    """A two's complement or unsigned integer of ``bits`` bits.

    One unsigned bit is also the binary type of the network: 1 stands for +1 and 0 for -1, but
    only the XNOR MVAU reads it so.
    """

    bits: int
    signed: bool = False

    @classmethod
    def holding(cls, lo: int, hi: int) -> Self:
        """The smallest type that holds every integer of ``[lo, hi]``."""
        if lo >= 0:
            return cls(max(1, int(hi).bit_length()))
        return cls(1 + max(int(-lo - 1).bit_length(), int(max(hi, 0)).bit_length()), signed=True)

    @classmethod
    def parse(cls, name: str) -> Self:
        """Read a FINN datatype name such as ``UINT4``, ``INT8`` or ``BINARY``."""
        if name in ("BINARY", "BIPOLAR"):
            return cls(1)
        for prefix, signed in (("UINT", False), ("INT", True)):
            if name.startswith(prefix) and name[len(prefix) :].isdigit():
                return cls(int(name[len(prefix) :]), signed)
        raise UnsupportedError(f"datatype {name} is not an integer type")

    @property
    def lo(self) -> int:
        """The smallest value."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def hi(self) -> int:
        """The largest value."""
        return (1 << (self.bits - self.signed)) - 1

    @property
    def range(self) -> Range:
        """(lo, hi)."""
        return self.lo, self.hi

    def __str__(self) -> str:
        return f"{'INT' if self.signed else 'UINT'}{self.bits}"


BINARY = IntType(1)


@dataclass(frozen=True, slots=True)
class Tensor:
    """One frame of a stream: ``shape`` is (H, W, C), the channel index runs fastest."""

    name: str
    shape: tuple[int, int, int]
    dtype: IntType

    @property
    def channels(self) -> int:
        """C, the fastest running dimension."""
        return self.shape[2]

    @property
    def pixels(self) -> int:
        """H * W."""
        return self.shape[0] * self.shape[1]

    @property
    def size(self) -> int:
        """Elements in a frame."""
        return self.pixels * self.channels


HostStep = tuple[str, tuple[float, ...]]
"""A numpy function of the image and its other arguments, one number or one for every channel."""


@dataclass(frozen=True, slots=True)
class Scaling:
    """How the float world outside maps to the integers inside.

    Input: ``input_steps`` one after another on the (N, C, H, W) float32 tensor, then
    ``clip(round_half_even(x / input_scale))`` to ``input_limits``, or to the input's type.
    Output: ``y * output_scale + output_offset``, each one number or one for every channel.
    """

    input_scale: float
    output_scale: float | tuple[float, ...]
    output_offset: float | tuple[float, ...] = 0.0
    input_steps: tuple[HostStep, ...] = ()
    input_limits: tuple[int, int] | None = None

    @classmethod
    def parse(cls, values: dict[str, Any]) -> Self:
        """Read it back from a file, which has lists for tuples."""

        def tuples(value: Any) -> Any:
            return tuple(map(tuples, value)) if isinstance(value, list) else value

        return cls(**{key: tuples(value) for key, value in values.items()})

    def limits(self, dtype: IntType) -> tuple[int, int]:
        """The least and the largest integer that enters."""
        return self.input_limits or (dtype.lo, dtype.hi)

    def floats(self, output: NDArray[Any]) -> NDArray[np.float64]:
        """The numbers that the network's integers (..., channels) stand for."""
        numbers: NDArray[np.float64] = output * np.asarray(self.output_scale) + np.asarray(
            self.output_offset
        )
        return numbers

    def agrees(self, output: IntArray, numbers: NDArray[Any]) -> NDArray[np.bool_]:
        """Whether integers (..., channels) are what float32 ``numbers`` of the output stand for.

        One scale, a power of two, without an offset: the numbers are exactly the integers times
        it. Elsewhere float32 arithmetic rounds, and the integers nearest to the numbers have to be
        the same; where a scale is 0, the numbers are the offset.
        """
        scale, offset = np.asarray(self.output_scale), np.asarray(self.output_offset)
        if scale.ndim == 0 and not offset.any() and np.frexp(scale)[0] == 0.5:
            exact: NDArray[np.bool_] = output * scale == numbers
            return exact
        flat = np.broadcast_to(scale == 0, output.shape)
        steps = np.rint((numbers - offset) / np.where(scale == 0, 1, scale))
        near: NDArray[np.bool_] = np.where(flat, np.isclose(numbers, offset), steps == output)
        return near


@dataclass(frozen=True, slots=True)
class QuantGraph:
    """A whole network; ``layers`` in topological order.

    ``fused`` lists FINN nodes that have no layer of their own, each with the layer that does
    their work: (FMPadding_0, ConvolutionInputGenerator_0).
    """

    name: str
    input: Tensor
    output: Tensor
    layers: tuple[Layer, ...]
    scaling: Scaling
    fused: tuple[tuple[str, str], ...] = ()

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Every tensor by name, the input first."""
        return {t.name: t for t in (self.input, *(o for lay in self.layers for o in lay.outputs))}

    def layer(self, name: str) -> Layer:
        """The layer of that name."""
        return next(layer for layer in self.layers if layer.name == name)

    @property
    def levels(self) -> int | None:
        """The most LUT levels between the registers of kernels, None without such a bound."""
        return self.layers[0].levels

    def pipelined(self, levels: int | None) -> Self:
        """With at most so many LUT levels between the registers of kernels."""
        return replace(self, layers=tuple(replace(each, levels=levels) for each in self.layers))

    def check(self) -> Self:
        """Raise ``UnsupportedError`` unless every tensor is made once and read once, in order."""
        unread = {self.input.name: self.input}
        names: set[str] = set()
        for layer in self.layers:
            if layer.name in names:
                raise UnsupportedError(f"two layers are named {layer.name}")
            names.add(layer.name)
            for tensor in layer.inputs:
                if unread.pop(tensor.name, None) != tensor:
                    raise UnsupportedError(
                        f"layer {layer.name} reads {tensor.name}, which no earlier layer makes "
                        "with that shape and type, or which another layer has read"
                    )
            for tensor in layer.outputs:
                if tensor.name in unread:
                    raise UnsupportedError(f"tensor {tensor.name} is made twice")
                unread[tensor.name] = tensor
            layer.check()
        if unread != {self.output.name: self.output}:
            raise UnsupportedError(
                f"tensors left unread: {sorted(set(unread) - {self.output.name})}"
            )
        return self


def quantise_input(graph: QuantGraph, images: NDArray[np.float32]) -> IntArray:
    """Turn float images (N, C, H, W) into the integers (N, H, W, C) the first layer reads."""
    h, w, c = graph.input.shape
    if images.ndim != 4 or images.shape[1:] != (c, h, w):
        raise UnsupportedError(
            f"images have shape {images.shape}, the network reads (N, {c}, {h}, {w})"
        )
    if np.isnan(images).any():
        raise UnsupportedError("images hold NaN")
    return quantise(graph.scaling, graph.input, images)


def quantise(scaling: Scaling, source: Tensor, images: NDArray[np.float32]) -> IntArray:
    """The integers (N, H, W, C) of ``source`` for images (N, C, H, W) that fit it."""
    with np.errstate(over="ignore"):
        scaled = prepare(scaling, images) / np.float32(scaling.input_scale)
    clipped = np.clip(np.round(scaled), *scaling.limits(source.dtype))
    return np.ascontiguousarray(clipped.astype(np.int64).transpose(0, 2, 3, 1))


def prepare(scaling: Scaling, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """The host's steps on images (N, C, H, W), in float32 as the original network has them."""
    x = images.astype(np.float32)
    for function, values in scaling.input_steps:
        by_channel = [np.asarray(values, np.float32).reshape(1, -1, 1, 1)] if values else []
        x = getattr(np, function)(x, *by_channel)
    return x
