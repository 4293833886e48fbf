"""Networks in Brevitas as its users write them: what a QONNX file looks like that we did not make.

Statistics of the batch norms and scales of the quantisers are random, as if trained.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from training.quiet import quiet

with quiet():  # Brevitas warns as it is imported
    from brevitas.export import export_qonnx
    from brevitas.nn import QuantConv2d, QuantIdentity, QuantLinear, QuantReLU, TruncAvgPool2d
    from brevitas.quant import (
        Int8ActPerTensorFixedPoint,
        Int8ActPerTensorFloat,
        Int8WeightPerChannelFloat,
        Int8WeightPerTensorFloat,
        ShiftedUint8ActPerTensorFloat,
        SignedBinaryActPerTensorConst,
        SignedBinaryWeightPerTensorConst,
    )

SIGNS = SignedBinaryWeightPerTensorConst


class TensorNorm(nn.Module):
    """Batch norm of all outputs together, the end of Brevitas' example networks."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.tensor(1.3)), nn.Parameter(torch.tensor(-0.2))
        self.register_buffer("mean", torch.tensor(0.7))
        self.register_buffer("variance", torch.tensor(2.1))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / (self.variance + 1e-4).pow(0.5) * self.weight + self.bias


def sign_or_tanh(bits: int) -> nn.Module:
    """The activation of CNV and of the MLPs."""
    if bits == 1:
        return QuantIdentity(act_quant=SignedBinaryActPerTensorConst)
    return QuantIdentity(bit_width=bits, act_quant=Int8ActPerTensorFloat)


def weights(bits: int) -> dict[str, object]:
    """Binary or a few bits with one scale."""
    if bits == 1:
        return {"weight_quant": SIGNS}
    return {"weight_quant": Int8WeightPerTensorFloat, "weight_bit_width": bits}


class Cnv(nn.Module):
    """Six 3x3 convolutions without padding, two max pools, three linear layers; 32x32 inputs."""

    def __init__(
        self, weight_bits: int = 1, bits: int = 1, width: int = 64, hidden: int = 512
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [QuantIdentity(act_quant=Int8ActPerTensorFixedPoint)]
        before, w = 3, weights(weight_bits)
        for i, after in enumerate((width, width, 2 * width, 2 * width, 4 * width, 4 * width)):
            layers += [
                QuantConv2d(before, after, 3, bias=False, **w),
                nn.BatchNorm2d(after, eps=1e-4),
                sign_or_tanh(bits),
            ]
            layers += [nn.MaxPool2d(2)] if i in (1, 3) else []
            before = after
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            *(QuantLinear(4 * width, hidden, bias=False, **w), nn.BatchNorm1d(hidden)),
            *(sign_or_tanh(bits), QuantLinear(hidden, hidden, bias=False, **w)),
            *(nn.BatchNorm1d(hidden), sign_or_tanh(bits)),
            *(QuantLinear(hidden, 10, bias=False, **w), TensorNorm()),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(2.0 * x - torch.tensor([1.0]))
        return self.classifier(x.view(x.shape[0], -1))


class Mlp(nn.Module):
    """TFC and LFC: flattened images through linear layers."""

    def __init__(self, weight_bits: int, bits: int, hidden: int, side: int = 28) -> None:
        super().__init__()
        w = weights(weight_bits)
        layers: list[nn.Module] = [sign_or_tanh(bits), nn.Dropout(0.2)]
        before = side * side
        for _ in range(3):
            layers += [QuantLinear(before, hidden, bias=False, **w), nn.BatchNorm1d(hidden)]
            layers += [sign_or_tanh(bits), nn.Dropout(0.2)]
            before = hidden
        layers += [QuantLinear(before, 10, bias=False, **w), TensorNorm()]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(2.0 * x.view(x.shape[0], -1) - torch.tensor([1.0]))


class MobileNet(nn.Module):
    """Separable convolutions of 4 bits: depthwise 3x3, pointwise, batch norms between."""

    def __init__(self, bits: int = 4, width: int = 8) -> None:
        super().__init__()
        act = {"bit_width": bits}
        w = {"weight_bit_width": bits, "weight_quant": Int8WeightPerChannelFloat, "bias": False}
        first = {**w, "weight_bit_width": 8}
        layers: list[nn.Module] = [QuantIdentity(act_quant=Int8ActPerTensorFloat)]
        layers += [QuantConv2d(3, width, 3, stride=2, padding=1, **first), nn.BatchNorm2d(width)]
        layers.append(QuantReLU(**act))
        for stride, after in ((1, 2 * width), (2, 3 * width), (1, 3 * width)):
            layers += [
                QuantConv2d(width, width, 3, stride=stride, padding=1, groups=width, **w),
                *(nn.BatchNorm2d(width), QuantReLU(**act)),
                *(QuantConv2d(width, after, 1, **w), nn.BatchNorm2d(after), QuantReLU(**act)),
            ]
            width = after
        self.features = nn.Sequential(*layers)
        self.pool = nn.Sequential(nn.AvgPool2d(4), QuantIdentity(bit_width=8))
        self.classifier = QuantLinear(width, 10, weight_bit_width=8, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.features(x))
        return self.classifier(x.flatten(1))


class Block(nn.Module):
    """A residual block whose branches share the quantiser in front of their sum."""

    def __init__(self, before: int, after: int, stride: int, bits: int) -> None:
        super().__init__()
        w = {"weight_bit_width": bits, "weight_quant": Int8WeightPerChannelFloat, "bias": False}
        self.main = nn.Sequential(
            QuantConv2d(before, after, 3, stride=stride, padding=1, **w),
            nn.BatchNorm2d(after),
            QuantReLU(bit_width=bits),
            QuantConv2d(after, after, 3, padding=1, **w),
            nn.BatchNorm2d(after),
        )
        self.shortcut = nn.Sequential()
        if stride > 1 or before != after:
            self.shortcut = nn.Sequential(
                QuantConv2d(before, after, 1, stride=stride, **w), nn.BatchNorm2d(after)
            )
        self.shared = QuantIdentity(bit_width=bits + 2, act_quant=Int8ActPerTensorFloat)
        self.relu = QuantReLU(bit_width=bits)

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.shared(self.main(x)) + self.shared(self.shortcut(x)))


class ResNet(nn.Module):
    """Weights and activations of two bits, first and last layer of eight."""

    def __init__(self, bits: int = 2, width: int = 8) -> None:
        super().__init__()
        w = {"weight_bit_width": 8, "weight_quant": Int8WeightPerTensorFloat}
        self.stem = nn.Sequential(
            QuantIdentity(act_quant=ShiftedUint8ActPerTensorFloat),
            QuantConv2d(3, width, 3, padding=1, bias=False, **w),
            nn.BatchNorm2d(width),
            QuantReLU(bit_width=bits),
        )
        self.blocks = nn.Sequential(Block(width, width, 1, bits), Block(width, 2 * width, 2, bits))
        self.classifier = QuantLinear(2 * width, 10, bias=True, **w)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.stem(x))
        return self.classifier(nn.functional.adaptive_avg_pool2d(x, 1).flatten(1))


class Truncating(nn.Module):
    """Average pools whose sums are cut to fewer bits, one rounding down and one to nearest."""

    def __init__(self, bits: int = 4, width: int = 6) -> None:
        super().__init__()
        w = {"weight_bit_width": bits, "bias": False}
        kept = {"bit_width": bits, "return_quant_tensor": True}
        self.features = nn.Sequential(
            QuantIdentity(bit_width=8, act_quant=Int8ActPerTensorFloat),
            *(QuantConv2d(3, width, 3, padding=1, **w), nn.BatchNorm2d(width), QuantReLU(**kept)),
            TruncAvgPool2d(kernel_size=2, float_to_int_impl_type="floor", **kept),
            *(QuantConv2d(width, width, 3, **w), nn.BatchNorm2d(width)),
            QuantIdentity(act_quant=Int8ActPerTensorFloat, **kept),
            TruncAvgPool2d(kernel_size=3, float_to_int_impl_type="round", **kept),
        )
        self.classifier = QuantLinear(width, 10, bias=True, weight_bit_width=8)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).flatten(1))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, int, int]]] = {
    "CNV-W1A1": (lambda: Cnv(1, 1), (3, 32, 32)),
    "CNV-W1A2": (lambda: Cnv(1, 2), (3, 32, 32)),
    "CNV-W2A2": (lambda: Cnv(2, 2), (3, 32, 32)),
    "TFC-W1A1": (lambda: Mlp(1, 1, 64), (1, 28, 28)),
    "TFC-W1A2": (lambda: Mlp(1, 2, 64), (1, 28, 28)),
    "TFC-W2A2": (lambda: Mlp(2, 2, 64), (1, 28, 28)),
    "LFC-W1A1": (lambda: Mlp(1, 1, 1024), (1, 28, 28)),
    "LFC-W1A2": (lambda: Mlp(1, 2, 1024), (1, 28, 28)),
    "MobileNet-W4A4": (MobileNet, (3, 16, 16)),
    "ResNet-W2A2": (ResNet, (3, 16, 16)),
    "Truncating-W4A4": (Truncating, (3, 10, 10)),
}


def randomised(network: nn.Module, shape: tuple[int, int, int], seed: int) -> nn.Module:
    """Two passes in training mode for scales and statistics, then gammas of both signs."""
    torch.manual_seed(seed)
    network.train()
    with torch.no_grad(), quiet():
        for _ in range(3):
            network(torch.rand((8, *shape)))
        for module in network.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                signs = torch.randint(0, 2, module.weight.shape) * 2 - 1
                module.weight.mul_(signs)
                module.bias.uniform_(-0.5, 0.5)
    return network.eval()


def export(name: str, path: Path, seed: int = 0) -> Path:
    """Write one of ``NETWORKS`` as QONNX."""
    torch.manual_seed(seed)
    make, shape = NETWORKS[name]
    with quiet():
        network = make()
    return export_network(randomised(network, shape, seed), shape, path)


def export_network(network: nn.Module, shape: tuple[int, int, int], path: Path) -> Path:
    """Export quietly: the exporter prints the traceback of an opset it gives up."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            export_qonnx(network, torch.rand((1, *shape)), str(path))
    finally:
        logging.disable(previous)
    return path
