"""Random low-bit networks as QONNX files: any topology, shape, bits, scales and signs of gammas.

A network follows from its seed. Where ``dyadic``, all scales and norms are multiples of powers of
two: float32 is then exact and ties are frequent, so outputs must be equal as floats.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.qonnx_models import BREVITAS, ModelBuilder

CHANNELS = (1, 2, 3, 4, 5, 6, 7, 8, 12, 16)


@dataclass(frozen=True)
class Spec:
    """A quantiser: ``bits`` 1 and signed is a sign."""

    bits: int
    signed: bool
    scale: float
    zero: int = 0
    narrow: bool = False
    rounding: str = "ROUND"

    @property
    def binary(self) -> bool:
        return self.bits == 1 and self.signed

    @property
    def largest(self) -> int:
        return 1 if self.binary else 2**self.bits


class RandomNetwork(ModelBuilder):
    """``here`` is always quantised, by ``spec``, between the stages."""

    def __init__(self, seed: int, *, most: int = 3) -> None:
        rng = np.random.default_rng([77, seed])
        sides = [int(n) for n in rng.choice((1, 2, 3, 4, 5, 6, 8, 9), 2)]
        super().__init__(seed, (int(rng.choice(CHANNELS[:5])), *sides))
        self.rng = rng
        self.dyadic = bool(rng.random() < 0.4)
        self.height, self.width = sides
        self.rank, self.annotated, self.index_output = 4, False, False
        self.spec = Spec(8, False, 1.0)
        self.bytes = False
        self.tricks: list[str] = []
        self.begin()
        for _ in range(int(rng.integers(1, most + 1))):
            self.pick(
                self.conv_stage,
                self.conv_stage,
                self.residual,
                self.joined,
                self.max_pool,
                self.average,
                self.depthwise,
                self.twice,
                self.normed,
            )()
        self.finish()

    def pick(self, *choices: object) -> object:
        return choices[int(self.rng.integers(len(choices)))]

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    # -- scales and quantisers -------------------------------------------------------------------

    def number(self, low: float, high: float) -> float:
        """A scale: a power of two, or any."""
        value = float(np.exp2(self.rng.uniform(np.log2(low), np.log2(high))))
        return float(2.0 ** np.round(np.log2(value))) if self.dyadic else float(np.float32(value))

    def random_spec(self, spread: float, *, binary: bool = True) -> Spec:
        """A quantiser for values of about ``spread``."""
        bits = int(self.pick(1, 1, 2, 2, 3, 4, 4, 5, 8))
        signed = self.chance(0.8 if bits == 1 else 0.5)
        if bits == 1 and not binary:
            bits = 2
        scale = self.number(spread / 2**bits, 4 * spread / 2**bits)
        if bits == 1 and signed:
            return Spec(1, True, self.number(0.2, 2))
        zero = int(self.rng.integers(0, 2**bits)) if not signed and self.chance(0.1) else 0
        rounding = "FLOOR" if self.chance(0.1) and self.dyadic else "ROUND"
        return Spec(bits, signed, scale, zero, signed and bits > 1 and self.chance(0.3), rounding)

    def quantised(self, x: str, spec: Spec) -> str:
        if spec.binary:
            return self.bipolar(x, spec.scale)
        inputs = (x, self.const(spec.scale), self.const(spec.zero), self.const(spec.bits))
        kind = {"signed": int(spec.signed), "narrow": int(spec.narrow)}
        return self.node("Quant", *inputs, domain=BREVITAS, rounding_mode=spec.rounding, **kind)

    def weights(self, shape: tuple[int, ...], fan_in: int) -> str:
        """Quantised weights, with one scale or one for every output, in at most 24-bit sums."""
        bits = int(self.pick(1, 1, 2, 3, 4, 5, 8))
        if self.spec.binary and self.chance(0.6):
            bits = 1
        while bits > 1 and fan_in * self.spec.largest * 2 ** (bits - 1) >= 1 << 23:
            bits -= 1
        count = shape[0] if self.chance(0.5) else 1
        scale = np.array([self.number(0.02, 0.2) for _ in range(count)])
        scale = scale.reshape(-1, *[1] * (len(shape) - 1)) if count > 1 else scale[0]
        values = self.const(self.rng.uniform(-1, 1, shape) * 2 ** (bits - 1) * scale)
        if bits == 1:
            return self.bipolar(values, scale)
        kind = {"signed": 1, "narrow": int(self.chance(0.5)), "rounding_mode": "ROUND"}
        inputs = (values, self.const(scale), self.const(0), self.const(bits))
        return self.node("Quant", *inputs, domain=BREVITAS, **kind)

    # -- the beginning ---------------------------------------------------------------------------

    def begin(self) -> None:
        """One of the ways in which images enter."""
        how = self.pick("quant", "quant", "sign", "prepared", "bytes", "divided")
        self.tricks.append(f"input {how}")
        c = self.channels
        if how == "sign":
            x = self.node("Sub", self.here, self.const(0.5))
            self.spec = Spec(1, True, 1.0)
            self.here = self.quantised(x, self.spec)
        elif how == "quant":
            self.spec = Spec(8, False, 2**-8) if self.chance(0.5) else self.random_spec(1.0)
            self.here = self.quantised(self.here, self.spec)
        elif how == "prepared":
            mean = self.rng.integers(0, 8, (c, 1, 1)) / 8
            std = 2.0 ** self.rng.integers(-2, 1, (c, 1, 1))
            x = self.node("Sub", self.here, self.const(mean))
            x = self.node("Div", x, self.const(std))
            self.spec = Spec(8, True, self.number(2**-7, 2**-5))
            self.here = self.quantised(x, self.spec)
        else:
            self.bytes = True
            self.annotated = how == "bytes"
            if how == "divided":
                self.here = self.node("Div", self.here, self.const(255))
                self.spec = Spec(8, False, float(np.float32(1 / 255)))
            if self.chance(0.5):
                self.spec = self.random_spec(1.0 if how == "divided" else 255.0)
                self.here = self.quantised(self.here, self.spec)
            elif how == "divided":
                self.dyadic = False

    # -- stages ----------------------------------------------------------------------------------

    def activated(self, spread: float, spec: Spec | None = None) -> None:
        """Batch norm, activation, quantiser, each of them perhaps."""
        sign_ties = spec is not None and (spec.binary or spec.rounding == "FLOOR")
        if self.chance(0.8) or sign_ties or not self.dyadic:
            self.batch_norm(spread, dyadic=self.dyadic)
            spread = 1.0 if not self.dyadic else spread
        kind = self.pick("none", "none", "relu", "clip", "leaky", "prelu")
        if kind == "relu":
            self.here = self.node("Relu", self.here)
        elif kind == "clip":
            self.here = self.node("Clip", self.here, self.const(-spread), self.const(spread))
        elif kind == "leaky":
            self.here = self.node("LeakyRelu", self.here, alpha=0.125)
        elif kind == "prelu" and self.rank == 4:
            slopes = self.rng.integers(0, 9, (self.channels, 1, 1)) / 8
            self.here = self.node("PRelu", self.here, self.const(slopes))
        self.spec = spec or self.random_spec(spread)
        self.here = self.quantised(self.here, self.spec)

    def spread_of(self, fan_in: int) -> float:
        """About what sums of products are."""
        return float(fan_in**0.5 * self.spec.largest * self.spec.scale * 0.1 + 1e-3)

    def product(self, x: str, width: int, kernel: int, stride: int, groups: int = 1) -> float:
        """A convolution of ``x`` to ``here``; returns the spread of its sums."""
        fan_in = self.channels // groups * kernel**2
        tall = wide = kernel
        pad = int(self.pick(0, kernel // 2))
        if self.height + 2 * pad < kernel or self.width + 2 * pad < kernel:
            pad = kernel // 2
        pads = [pad] * 4
        if kernel == 3 and pad == 1 and stride == 1 and self.chance(0.15):
            (tall, wide), pads = (
                ((1, 3), [0, 1, 0, 1]) if self.chance(0.5) else ((3, 1), [1, 0, 1, 0])
            )
        elif pad and self.spec.binary and self.chance(0.5):
            amounts = f"pads_{len(self.nodes)}"
            self.constants[amounts] = np.array([0, 0, pad, pad] * 2, np.int64)
            fill = self.const(-self.spec.scale)
            x, pads = self.node("Pad", x, amounts, fill, mode="constant"), [0] * 4
        shape = (width, self.channels // groups, tall, wide)
        inputs = [x, self.weights(shape, fan_in)]
        if self.chance(0.3):
            inputs.append(self.const(self.rng.integers(-8, 8, width) / 8))
        spread = self.spread_of(fan_in)
        self.here = self.node(
            "Conv",
            *inputs,
            kernel_shape=[tall, wide],
            pads=pads,
            strides=[stride] * 2,
            group=groups,
        )
        self.height = (self.height + 2 * pad - kernel) // stride + 1
        self.width = (self.width + 2 * pad - kernel) // stride + 1
        self.channels = width
        return spread

    def conv_stage(self) -> None:
        kernel, stride = int(self.pick(1, 1, 2, 3, 3, 5)), int(self.pick(1, 1, 2))
        width, groups = int(self.pick(*CHANNELS)), 1
        if kernel == 2 and min(self.height, self.width) < 2:
            kernel = 1
        if self.channels % 2 == 0 and width % 2 == 0 and self.chance(0.15):
            groups = 2
        self.tricks.append(f"conv {kernel} stride {stride} groups {groups}")
        spread = self.product(self.here, width, kernel, stride, groups)
        if self.chance(0.15) and min(self.height, self.width) >= 2:  # before the quantiser
            self.max_pool()
        self.activated(spread)

    def depthwise(self) -> None:
        kernel = int(self.pick(1, 3, 3))
        self.tricks.append(f"depthwise {kernel}")
        spread = self.product(self.here, self.channels, kernel, int(self.pick(1, 2)), self.channels)
        self.activated(spread)

    def residual(self) -> None:
        """Two branches on one grid, their sum quantised again."""
        self.tricks.append("residual")
        shared = self.random_spec(1.0, binary=False)
        shared = Spec(max(shared.bits, 3), True, shared.scale)
        shortcut, spec, channels = self.quantised(self.here, shared), self.spec, self.channels
        size = (self.height, self.width)
        spread = self.product(self.here, channels, 1, 1)
        self.activated(spread, shared)
        if (self.height, self.width) != size:
            raise AssertionError(spec)
        self.here = self.node("Add", self.here, shortcut)
        self.activated(shared.scale * 2**shared.bits / 2)

    def joined(self) -> None:
        """Two branches side by side."""
        self.tricks.append("concat")
        source, spec, channels = self.here, self.spec, self.channels
        shared = self.random_spec(1.0, binary=False)
        shared = Spec(shared.bits, shared.signed, shared.scale)
        parts, width = [], 0
        for _ in range(2):
            self.here, self.spec, self.channels = source, spec, channels
            self.activated(self.product(source, int(self.pick(1, 2, 3, 4)), 1, 1), shared)
            parts.append(self.here)
            width += self.channels
        self.here, self.channels = self.node("Concat", *parts, axis=1), width

    def twice(self) -> None:
        """One product, read by two quantisers behind norms of their own signs, and a pool."""
        self.tricks.append("product read twice")
        shared = self.random_spec(1.0, binary=False)
        shared = Spec(shared.bits, shared.signed, shared.scale)
        spread = self.product(self.here, int(self.pick(1, 2, 3, 5)), 1, 1)
        source, parts = self.here, []
        for _ in range(2):
            self.here = source
            self.activated(spread, shared)
            parts.append(self.here)
        if self.chance(0.5):
            self.here = self.quantised(source, shared)
            parts.append(self.here)
        self.pick(self.rng.shuffle, len)(parts)
        self.here, self.channels = self.node("Concat", *parts, axis=1), self.channels * len(parts)

    def normed(self) -> None:
        """A batch norm of either sign on integers, in front of a convolution."""
        self.tricks.append("norm before")
        self.activated(self.spec.scale * self.spec.largest)

    def max_pool(self) -> None:
        if min(self.height, self.width) < 2:
            return
        kernel, stride = self.pick((2, 2), (2, 1), (3, 2))
        pad = 1 if kernel == 3 else 0
        self.tricks.append(f"max pool {kernel}")
        self.here = self.node(
            "MaxPool", self.here, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4
        )
        self.height = (self.height + 2 * pad - kernel) // stride + 1
        self.width = (self.width + 2 * pad - kernel) // stride + 1

    def average(self) -> None:
        if min(self.height, self.width) < 2:
            return
        kernel = int(self.pick(2, 2, min(self.height, self.width, 3)))
        stride = int(self.pick(kernel, 1))
        self.tricks.append(f"average pool {kernel}")
        self.here = self.node(
            "AveragePool", self.here, kernel_shape=[kernel] * 2, strides=[stride] * 2
        )
        self.height = (self.height - kernel) // stride + 1
        self.width = (self.width - kernel) // stride + 1
        self.dyadic &= kernel != 3
        self.spec = self.random_spec(self.spec.scale * self.spec.largest, binary=False)
        self.here = self.quantised(self.here, self.spec)

    # -- the end ---------------------------------------------------------------------------------

    def finish(self) -> None:
        """Flatten or pool, perhaps linear layers, a norm, a choice."""
        how = self.pick("flatten", "flatten", "pool", "pool", "image")
        self.tricks.append(f"end {how}")
        if how == "pool":
            pixels = self.height * self.width
            self.dyadic &= pixels & (pixels - 1) == 0
            self.here = self.node("GlobalAveragePool", self.here)
            spread = self.spec.scale * self.spec.largest
            self.spec = Spec(8, True, self.number(spread / 256, spread / 32))
            if self.chance(0.5):
                self.here = self.quantised(self.here, self.spec)
            self.height = self.width = 1
        if how == "image":
            self.product(self.here, int(self.pick(1, 2, 3)), 1, 1)
        else:
            self.here, self.rank = self.node("Flatten", self.here, axis=1), 2
            self.channels *= self.height * self.width
            for _ in range(int(self.pick(0, 0, 1))):
                self.activated(self.linear(int(self.pick(*CHANNELS))))
            self.linear(int(self.pick(1, 2, 3, 5, 10)))
        self.tail()

    def linear(self, width: int) -> float:
        spread = self.spread_of(self.channels)
        bias = [self.const(self.rng.integers(-8, 8, width) / 8)] if self.chance(0.4) else []
        if self.chance(0.7):
            w = self.weights((width, self.channels), self.channels)
            self.here = self.node("Gemm", self.here, w, *bias, transB=1)
        else:
            w = self.weights((width, self.channels), self.channels)
            self.here = self.node("MatMul", self.here, self.node("Transpose", w, perm=[1, 0]))
        self.channels = width
        return spread

    def tail(self) -> None:
        kind = self.pick("none", "none", "norm", "scale", "places")
        self.tricks.append(f"tail {kind}")
        if kind == "norm":
            self.batch_norm(1.0, dyadic=self.dyadic)
        elif kind == "scale":
            self.here = self.node("Mul", self.here, self.const(self.number(0.25, 4)))
            self.here = self.node("Add", self.here, self.const(0.25))

    def model(self) -> onnx.ModelProto:
        dims = [1, self.channels]
        dims += [self.height, self.width] if self.rank == 4 else []
        out = helper.make_tensor_value_info(self.here, TensorProto.FLOAT, dims)
        image = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, *self.shape])
        constants = [numpy_helper.from_array(v, k) for k, v in self.constants.items()]
        graph = helper.make_graph(self.nodes, f"random_{self.seed}", [image], [out], constants)
        if self.annotated:
            entry = onnx.StringStringEntryProto(key="finn_datatype", value="UINT8")
            note = onnx.TensorAnnotation(tensor_name="images", quant_parameter_tensor_names=[entry])
            graph.quantization_annotation.append(note)
        opsets = [helper.make_opsetid("", 18), helper.make_opsetid(BREVITAS, 2)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=9)

    def images(self, count: int) -> np.ndarray:
        """Images over the input's range; bytes where it reads bytes."""
        rng = np.random.default_rng([78, self.seed])
        if self.bytes:
            return rng.integers(0, 256, (count, *self.shape)).astype(np.float32)
        return (rng.integers(-40, 300, (count, *self.shape)) / 256).astype(np.float32)
