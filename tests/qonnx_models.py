"""QONNX files made by hand with random parameters: the frontend's inputs without training."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

BREVITAS = "qonnx.custom_op.general"


@dataclass
class ModelBuilder:
    """Appends nodes; ``here`` is the tensor at the end of the graph."""

    seed: int = 0
    shape: tuple[int, int, int] = (2, 6, 5)
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    here: str = "images"
    channels: int = 2
    pixels: int = 0

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.channels, self.pixels = self.shape[0], self.shape[1] * self.shape[2]

    def const(self, value: object) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(value, np.float32)
        return name

    def node(self, op: str, *inputs: str, domain: str = "", **attributes: object) -> str:
        out = f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(op, inputs, [out], name=out, domain=domain, **attributes)
        )
        return out

    def quant(
        self, x: str, bits: int, scale: float, *, signed: bool = True, rounding: str = "ROUND"
    ) -> str:
        inputs = (x, self.const(scale), self.const(0), self.const(bits))
        kind = {"signed": int(signed), "narrow": 0, "rounding_mode": rounding}
        return self.node("Quant", *inputs, domain=BREVITAS, **kind)

    def bipolar(self, x: str, scale: object = 1.0) -> str:
        return self.node("BipolarQuant", x, self.const(scale), domain=BREVITAS)

    def per_channel(self, low: float, high: float) -> np.ndarray:
        return self.rng.uniform(low, high, (self.channels, 1, 1)).astype(np.float32)

    def batch_norm(self, spread: float, *, dyadic: bool = False) -> None:
        """Gammas of both signs; dyadic parameters make rounding ties likely."""
        c = self.channels
        gamma = self.rng.uniform(-1, 1, c)
        beta = self.rng.uniform(-1, 1, c)
        if dyadic:
            gamma, beta = np.round(gamma * 4) / 4, np.round(beta * 8) / 8
        mean, var = self.rng.uniform(-1, 1, c), self.rng.uniform(0.5, 1.5, c)
        if dyadic:
            mean, var = np.zeros(c), np.ones(c)
        names = [self.const(v) for v in (gamma, beta, mean * spread, var * spread**2)]
        if dyadic:
            names[3] = self.const(var)
        self.here = self.node("BatchNormalization", self.here, *names, epsilon=0.0)

    def stem(self, width: int, scale: float = 2**-3, bits: int = 4) -> None:
        """8-bit input, 8-bit 3x3 convolution, BN, residual quantiser."""
        x = self.quant(self.here, 8, 2**-8, signed=False)
        weights = self.const(self.rng.uniform(-1, 1, (width, self.channels, 3, 3)))
        w = self.quant(weights, 8, 2**-7)
        self.here = self.node("Conv", x, w, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
        self.channels = width
        self.batch_norm(0.5)
        self.here = self.quant(self.here, bits, scale)

    def binary_conv(self, width: int, kernel: int, *, pad: float | None = -1.0) -> None:
        """Sign, padding, binary convolution with per-channel scales."""
        self.conv_of_bits(self.bipolar(self.here), width, kernel, pad=pad)

    def conv_of_bits(
        self, x: str, width: int, kernel: int, stride: int = 1, *, pad: float | None = -1.0
    ) -> None:
        """Padding, binary convolution with per-channel scales."""
        pads = [0, 0, 0, 0]
        if kernel > 1 and pad is not None:
            amounts = f"pads_{len(self.nodes)}"
            self.constants[amounts] = np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64)
            x = self.node("Pad", x, amounts, self.const(pad), mode="constant")
        elif kernel > 1:
            pads = [1, 1, 1, 1]
        weights = self.const(self.rng.uniform(-1, 1, (width, self.channels, kernel, kernel)))
        alpha = self.rng.uniform(0.1, 1, (width, 1, 1, 1))
        self.here = self.node(
            "Conv",
            x,
            self.bipolar(weights, alpha),
            kernel_shape=[kernel, kernel],
            pads=pads,
            strides=[stride, stride],
        )
        self.channels = width

    def average_pool(self, x: str, bits: int, scale: float, *, rounding: str = "FLOOR") -> str:
        """Mean of 2x2 pixels, back to the grid."""
        mean = self.node("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
        return self.quant(mean, bits, scale, rounding=rounding)

    def half_block(
        self,
        kernel: int,
        scale: float = 2**-3,
        bits: int = 4,
        *,
        stride: int = 1,
        double: bool = False,
        **kind: bool,
    ) -> None:
        """RSign, binary convolution, BN, residual Add, RPReLU; double: two of the middle three."""
        shortcut = self.here
        self.here = self.node("Add", self.here, self.const(self.per_channel(-0.5, 0.5)))
        signs, fan_in = self.bipolar(self.here), kernel**2 * self.channels
        if stride == 2:
            shortcut, self.pixels = self.average_pool(shortcut, bits, scale), self.pixels // 4
        sums = []
        for _ in range(2 if double else 1):
            self.conv_of_bits(signs, self.channels, kernel, stride)
            self.batch_norm(fan_in**0.5, **kind)
            sums.append(self.node("Add", self.quant(self.here, bits, scale), shortcut))
        self.here = sums[0]
        if double:
            self.here = self.node("Concat", *sums, axis=1)
            self.channels *= 2
        self.here = self.node("Add", self.here, self.const(self.per_channel(-0.3, 0.3)))
        self.here = self.node("PRelu", self.here, self.const(self.per_channel(0, 0.5)))
        self.here = self.node("Add", self.here, self.const(self.per_channel(-0.3, 0.3)))
        self.here = self.quant(self.here, bits, scale)

    def head(self, classes: int, scale: float = 2**-3, *, on_grid: bool = True) -> None:
        """Global average, 8-bit classifier with bias."""
        mean = self.node("GlobalAveragePool", self.here)
        flat = self.node("Flatten", mean, axis=1)
        w = self.quant(self.const(self.rng.uniform(-1, 1, (classes, self.channels))), 8, 2**-7)
        step = scale / self.pixels * 2**-7
        bias = self.rng.integers(-50, 50, classes) * np.float32(step)
        bias = bias if on_grid else bias + np.float32(step / 3)
        self.here = self.node("Gemm", flat, w, self.const(bias), transB=1)
        self.channels = classes

    def model(self) -> onnx.ModelProto:
        """The finished file; the output's rank follows from its producer."""
        dims = [1, self.channels] if self.nodes[-1].op_type == "Gemm" else [1, self.channels, 1, 1]
        out = helper.make_tensor_value_info(self.here, TensorProto.FLOAT, dims)
        image = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, *self.shape])
        constants = [numpy_helper.from_array(v, k) for k, v in self.constants.items()]
        graph = helper.make_graph(self.nodes, "random", [image], [out], constants)
        opsets = [helper.make_opsetid("", 18), helper.make_opsetid(BREVITAS, 2)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=9)

    def save(self, path: Path) -> Path:
        """Write the file."""
        onnx.save(self.model(), path)
        return path


def reactnet(
    seed: int = 0, *, width: int = 4, blocks: int = 1, bits: int = 4, dyadic: bool = False
) -> ModelBuilder:
    """A small ReActNet with random parameters; 32 pixels make the head's scale exact."""
    builder = ModelBuilder(seed, shape=(2, 4, 8))
    builder.stem(width, bits=bits)
    for _ in range(blocks):
        builder.half_block(3, bits=bits, dyadic=dyadic)
        builder.half_block(1, bits=bits, dyadic=dyadic)
    builder.head(5)
    return builder


def reducing_reactnet(
    seed: int,
    blocks: list[tuple[int, bool]],
    *,
    width: int = 3,
    bits: int = 4,
    shape: tuple[int, int, int] = (2, 4, 8),
    dyadic: bool = False,
) -> ModelBuilder:
    """A ReActNet whose blocks have a stride each, and double the width or not."""
    builder = ModelBuilder(seed, shape=shape)
    builder.stem(width, bits=bits)
    for stride, double in blocks:
        builder.half_block(3, bits=bits, stride=stride, dyadic=dyadic)
        builder.half_block(1, bits=bits, double=double, dyadic=dyadic)
    builder.head(5)
    return builder
