"""A ReActNet for small images, in Brevitas, and its real-valued twin.

    images (N, C, S, S) in [0, 1]
      quantise to 8 bits -> 3x3 convolution -> norm -> Q       stem
      blocks x [ binary 3x3 half -> binary 1x1 half ]          each of its width and stride
      global mean -> linear                                    logits (N, classes)

    half:      y = Q(rprelu( x + branch(rsign(x)) )),  branch(s) = Q(norm(conv(s)))
    stride 2:  the 3x3 half's shortcut x is floor(mean 2x2), a quantiser that rounds down
    doubling:  the 1x1 half has a second branch on the same signs and shortcut, and
               y = Q(rprelu( concat(x + branch(s), x + twin(s)) ))

Q is the residual quantiser: R signed bits, one power-of-two scale for the whole stream, so that
every Add is an integer add of R + 1 bits. Source: ReActNet (arXiv 2003.03488), figure 5.
"""

from enum import StrEnum
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.config import ModelConfig
from training.quantizers import (
    BinaryWeightQuant,
    FixedPointWeightQuant,
    QuantConv2d,
    QuantLinear,
    RPReLU,
    RSign,
    floor_quant,
    input_quant,
    residual_quant,
)

BATCH_NORM_EPS = 2.0**-17
"""A power of two, so that variance 1 - eps makes the norm divide by exactly 1 (see exact.py)."""


class Precision(StrEnum):
    """How much of the network is quantised: the three trainings, in their order."""

    FLOAT = "float"
    BINARY_ACTIVATIONS = "binary_activations"
    BINARY = "binary"


class Branch(nn.Module):
    """What a half adds to its shortcut: (N, C, H, W) of +-1 -> (N, C, H/s, W/s) on the grid."""

    def __init__(
        self, config: ModelConfig, channels: int, kernel: int, stride: int, precision: Precision
    ) -> None:
        super().__init__()
        around = kernel // 2
        minus1 = config.pad == "minus1" and precision is not Precision.FLOAT
        self.minus1_pad = around if minus1 else 0
        self.conv = QuantConv2d(
            channels,
            channels,
            kernel,
            stride=stride,
            padding=around - self.minus1_pad,
            bias=False,
            weight_quant=BinaryWeightQuant if precision is Precision.BINARY else None,
        )
        self.norm = nn.BatchNorm2d(channels, eps=BATCH_NORM_EPS)
        self.quant = _residual_quant(config, precision)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve, normalise, quantise."""
        if self.minus1_pad:
            x = F.pad(x, [self.minus1_pad] * 4, value=-1.0)
        y: Tensor = self.quant(self.norm(self.conv(x)))
        return y


class Half(nn.Module):
    """A binary convolution with its shortcut: (N, C, H, W) -> (N, C', H/s, W/s), on the grid.

    C' is C, or 2 C where a second convolution, the twin, doubles the width; the stride s is 1 or 2.
    """

    def __init__(
        self,
        config: ModelConfig,
        channels: tuple[int, int],
        kernel: int,
        stride: int,
        precision: Precision,
    ) -> None:
        super().__init__()
        real = precision is Precision.FLOAT
        width, out_width = channels
        self.sign = nn.Identity() if real else RSign(width)
        self.branch = Branch(config, width, kernel, stride, precision)
        self.twin = (
            Branch(config, width, kernel, stride, precision) if out_width == 2 * width else None
        )
        self.shortcut = _pool(config, precision) if stride == 2 else nn.Identity()
        self.act = RPReLU(out_width)
        self.quant = _residual_quant(config, precision)

    def forward(self, x: Tensor) -> Tensor:
        """Add each branch to the shortcut, concatenate, activate, and return to the grid."""
        signs, shortcut = self.sign(x), self.shortcut(x)  # (N, C, H, W), (N, C, H/s, W/s)
        y: Tensor = self.branch(signs) + shortcut
        if self.twin is not None:
            y = torch.cat([y, self.twin(signs) + shortcut], dim=1)  # (N, 2 C, H/s, W/s)
        y = self.quant(self.act(y))
        return y


class Stem(nn.Module):
    """Images (N, C, S, S) to the residual stream (N, W, S, S): a convolution of 8-bit integers."""

    def __init__(self, config: ModelConfig, precision: Precision) -> None:
        super().__init__()
        self.input = nn.Identity() if precision is Precision.FLOAT else input_quant()
        self.conv = QuantConv2d(
            config.in_channels,
            config.width,
            3,
            padding=1,
            bias=False,
            weight_quant=_end_weights(config, precision),
        )
        self.norm = nn.BatchNorm2d(config.width, eps=BATCH_NORM_EPS)
        self.quant = _residual_quant(config, precision)

    def forward(self, images: Tensor) -> Tensor:
        """Quantise, convolve with zero padding, normalise, quantise."""
        x: Tensor = self.quant(self.norm(self.conv(self.input(images))))
        return x


class ReActNet(nn.Module):
    """The network at one of its precisions; parameter names are the same at the binary ones."""

    def __init__(self, config: ModelConfig, precision: Precision = Precision.BINARY) -> None:
        super().__init__()
        self.config = config
        self.stem = Stem(config, precision)
        halves, width = [], config.width
        for block in config.block_list:
            halves.append(Half(config, (width, width), 3, block.stride, precision))
            halves.append(Half(config, (width, block.width), 1, 1, precision))
            width = block.width
        self.halves = nn.Sequential(*halves)
        self.classifier = QuantLinear(
            width, config.num_classes, weight_quant=_end_weights(config, precision)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, C, S, S) to logits (N, classes)."""
        x = self.stem(images)  # (N, W, S, S)
        x = self.halves(x)  # (N, W', S', S')
        x = x.mean(dim=(2, 3))  # (N, W'): an integer sum times scale / S'^2
        logits: Tensor = self.classifier(x)
        return logits

    @torch.no_grad()
    def clamp_(self) -> None:
        """Keep latent binary weights in [-1, 1] and slopes at 0 or more, after a step."""
        for module in self.modules():
            if isinstance(module, Branch):
                module.conv.weight.clamp_(-1.0, 1.0)
            elif isinstance(module, RPReLU):
                module.clamp_()


def _residual_quant(config: ModelConfig, precision: Precision) -> nn.Module:
    if precision is Precision.FLOAT:
        return nn.Identity()
    return residual_quant(config.residual_bits, config.residual_limit)


def _pool(config: ModelConfig, precision: Precision) -> nn.Module:
    """The shortcut of stride 2: a 2x2 mean, rounded down to the grid."""
    if precision is Precision.FLOAT:
        return nn.AvgPool2d(2)
    return nn.Sequential(nn.AvgPool2d(2), floor_quant(config.residual_bits, config.residual_limit))


def _end_weights(config: ModelConfig, precision: Precision) -> Any:
    """Weight quantiser of the first and the last layer."""
    if precision is Precision.FLOAT:
        return None
    return FixedPointWeightQuant.let(bit_width=config.first_last_bits)
