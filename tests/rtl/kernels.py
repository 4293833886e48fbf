"""Layers for the tests of the compute kernels, and the cycles that a schedule promises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hwgen.layers.base import Folding, Layer
from hwgen.layers.mvau import IntMvau, XnorMvau
from hwgen.layers.stairs import Unit
from hwgen.layers.threshold import Threshold
from hwgen.layers.window import Window
from hwgen.layers.xnor_sign import XnorSign
from hwgen.layers.xnor_unit import XnorUnit
from hwgen.quant import BINARY, IntArray, IntType, Tensor
from tests.rtl.bench import Bench, Result, check_layer

Case = tuple[Layer, Folding]


def styled(case: Case, ram_style: str) -> Case:
    """The same with its weights in block RAM or in LUTs."""
    layer, folding = case
    return _case(layer, replace(folding, ram_style=ram_style))


def label(case: Case) -> str:
    """A test's name."""
    layer, folding = case
    shape = "x".join(map(str, layer.input.shape))
    return f"{layer.name}-{shape}-{layer.output.channels}-pe{folding.pe}-simd{folding.simd}"


def _case(layer: Layer, folding: Folding) -> Case:
    layer.check()
    return layer, layer.legal(folding)


def window(
    shape: tuple[int, int, int],
    kernel: int,
    stride: int,
    pad: int,
    dtype: IntType = BINARY,
    simd: int = 1,
    pad_value: int = 0,
) -> Case:
    """A sliding window."""
    h, w, c = shape
    out_h, out_w = ((n + 2 * pad - kernel) // stride + 1 for n in (h, w))
    out = Tensor("y", (out_h, out_w, kernel**2 * c), dtype)
    name = f"window-k{kernel}s{stride}p{pad}"
    layer = Window(name, (Tensor("x", shape, dtype),), (out,), kernel, stride, pad, pad_value)
    return _case(layer, Folding(simd=simd))


def xnor(pixels: int, k: int, m: int, pe: int, simd: int) -> Case:
    """A binary MVAU with random weights."""
    weights = np.random.default_rng([k, m]).integers(0, 2, (k, m))
    x, y = Tensor("x", (1, pixels, k), BINARY), Tensor("y", (1, pixels, m), IntType.holding(0, k))
    return _case(XnorMvau("xnor", (x,), (y,), weights), Folding(pe, simd))


@dataclass(frozen=True, slots=True)
class XnorBy(XnorMvau):
    """A binary MVAU that takes its unit whose name starts so, be it the smallest or not."""

    wanted: str = ""

    def units(self, folding: Folding) -> tuple[XnorUnit, ...]:
        found = XnorMvau.units(self, folding)
        return tuple(unit for unit in found if unit.name.startswith(self.wanted))


def xnor_by(wanted: str, pixels: int, k: int, m: int, pe: int, simd: int) -> Case:
    """A binary MVAU with the unit whose name starts so."""
    layer, folding = xnor(pixels, k, m, pe, simd)
    assert isinstance(layer, XnorMvau)
    by = XnorBy(layer.name, layer.inputs, layer.outputs, layer.weights, wanted=wanted)
    return _case(by, folding)


@dataclass(frozen=True, slots=True)
class SignBy(XnorSign):
    """A binary MVAU and its sign with the unit whose name starts so."""

    wanted: str = ""

    def units(self, folding: Folding) -> tuple[XnorUnit, ...]:
        found = XnorSign.units(self, folding)
        return tuple(unit for unit in found if unit.name.startswith(self.wanted))


def sign_by(wanted: str, pixels: int, k: int, m: int, pe: int, simd: int) -> Case:
    """A binary MVAU and its sign; of all columns, one never and one always reaches."""
    product, folding = xnor(pixels, k, m, pe, simd)
    assert isinstance(product, XnorMvau)
    rng = np.random.default_rng([k, m])
    levels = np.clip(rng.normal(k / 2, k**0.5 / 2 + 1, m).round().astype(np.int64), 0, k + 1)
    levels[0], levels[-1] = -7 if k % 2 else 0, k + 1 + k % 3
    y = Tensor("z", product.output.shape, BINARY)
    sign = Threshold("sign", product.outputs, (y,), levels[:, None])
    assert XnorSign.fits(product, sign)
    return _case(SignBy("sign", product.inputs, (y,), product, sign, wanted=wanted), folding)


@dataclass(frozen=True, slots=True)
class ByProducts(IntMvau):
    """An integer MVAU of mvau_int.sv, be it the smallest or not."""

    def signs(self, folding: Folding) -> None:
        del folding


def integer(
    pixels: int, k: int, m: int, pe: int, simd: int, a: IntType, w: IntType, bias: int = 1000
) -> Case:
    """An integer MVAU with random weights that reach their type's ends, in the least type."""
    rng = np.random.default_rng([k, m])
    weights = rng.integers(w.lo, w.hi, (k, m), endpoint=True)
    weights[0, 0], weights[-1, -1] = w.lo, w.hi
    biases = rng.integers(-bias, bias + 1, m)
    corners = np.stack([weights * a.lo, weights * a.hi])
    lo = np.minimum(corners.min(axis=0), 0).sum(axis=0) + np.minimum(biases, 0)
    hi = np.maximum(corners.max(axis=0), 0).sum(axis=0) + np.maximum(biases, 0)
    x = Tensor("x", (1, pixels, k), a)
    y = Tensor("y", (1, pixels, m), IntType.holding(int(lo.min()), int(hi.max())))
    return _case(ByProducts("int", (x,), (y,), weights, biases), Folding(pe, simd))


@dataclass(frozen=True, slots=True)
class ThresholdBy(Threshold):
    """A Threshold that takes its unit of this name, be it the smallest or not."""

    wanted: str = ""

    def units(self, folding: Folding) -> tuple[Unit, ...]:
        found = Threshold.units(self, folding)
        return tuple(unit for unit in found if unit.name == self.wanted)


def by_unit(wanted: str, case: Case) -> Case:
    """A Threshold's case with the unit of this name."""
    layer, folding = case
    assert isinstance(layer, Threshold)
    parts = (layer.inputs, layer.outputs, layer.thresholds, layer.offset, layer.reach)
    return _case(ThresholdBy(layer.name, *parts, wanted=wanted), folding)


def affine(
    pixels: int,
    pe: int,
    stairs: tuple[IntArray, tuple[int, int], IntType],
    *,
    lo: int | None = None,
) -> Case:
    """A staircase that lines equal: thresholds (C, n), reach, type of y; offset, if not y.lo."""
    thresholds, reach, y = stairs
    shape, offset = (1, pixels, len(thresholds)), y.lo if lo is None else lo
    x, out = Tensor("x", shape, IntType.holding(*reach)), Tensor("y", shape, y)
    return _case(Threshold("lines", (x,), (out,), thresholds, offset, reach), Folding(pe))


def staircase(
    pixels: int, channels: int, pe: int, x: IntType, steps: int, y: IntType, offset: int
) -> Case:
    """Random ascending thresholds, some out of reach on either side."""
    rng = np.random.default_rng([channels, steps])
    thresholds = np.sort(rng.integers(x.lo - 2, x.hi + 4, (channels, steps)), axis=1)
    shape = (1, pixels, channels)
    layer = Threshold("stairs", (Tensor("x", shape, x),), (Tensor("y", shape, y),), thresholds)
    layer = Threshold(layer.name, layer.inputs, layer.outputs, thresholds, offset)
    return _case(layer, Folding(pe))


def promised_cycles(case: Case, frames: int, latency: int) -> IntArray:
    """When every output beat stands at the port, if inputs and outputs never wait; cycle 0 first.

    Plays the schedule: a beat is taken in while the buffer has room, a firing happens in the
    first cycle in which what it needs is there. Without a buffer a firing takes its beat itself.
    """
    layer, folding = case
    plan = layer.schedule(folding)
    # what follows the last output only waits for the inputs' rate, if there is a buffer
    firings = plan.firings if plan.buffer == 0 else int(np.argmax(plan.emit)) + 1
    need = np.maximum(plan.need[:firings], 1)  # no frame starts before its first beat
    beats_in = layer.input.size // layer.lanes(folding)[0]
    emitted = np.diff(plan.emit[:firings], prepend=0)
    found = []
    time = taken = freed = 0
    for frame in range(frames):
        for i in range(firings):
            wanted = frame * beats_in + int(need[i])
            while True:
                room = plan.buffer == 0 or taken - freed < plan.buffer
                ready = wanted <= taken + (plan.buffer == 0)
                offered = taken < frames * beats_in
                taken += offered and room and (plan.buffer != 0 or ready and wanted > taken)
                time += 1
                if ready:
                    break
            freed = frame * beats_in + int(plan.free[i])
            if emitted[i]:
                found.append(time - 1 + latency)
    return np.array(found)


def check_cycles(
    bench: Bench,
    index: int,
    case: Case,
    latency: int,
    frames: int = 5,
    inputs: Sequence[IntArray] | None = None,
) -> Result:
    """Assert that every beat leaves in the cycle that the schedule promises for it."""
    layer, folding = case
    result = check_layer(bench, index, layer, folding, frames=frames, inputs=inputs)
    np.testing.assert_array_equal(result.out_cycles[0], promised_cycles(case, frames, latency))
    assert latency <= layer.schedule(folding).latency
    return result
