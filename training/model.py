"""The ReActNet family in Brevitas, and its real-valued twins.

    images (N, C, S, S)
      quantise -> 3x3 or 7x7 convolution -> norm -> Q [-> 3x3 max pool]     stem
      halves x [ one convolution with its shortcut ]                        as the plan lists them
      global mean [-> Q rounding down] -> linear                            logits (N, classes)

    half:      y = Q(rprelu( x + branch(rsign(x)) )),  branch(s) = Q(norm(conv(s)))
    stride 2:  the shortcut x is floor(mean 2x2), a quantiser that rounds down
    doubling:  a second branch on the same signs and shortcut (MobileNet based),
               y = Q(rprelu( concat(x + branch(s), x + twin(s)) )),
               or one wide branch and a shortcut Q(norm(conv1x1(floor(mean 2x2)))) (ResNet based)

Q is the residual quantiser: R signed bits, a power-of-two scale that a half's shortcut and
branches share, so that every Add is an integer add of R + 1 bits. Without `exact` there is no Q:
that is the network of the paper, binary and otherwise real. Source: ReActNet (arXiv 2003.03488),
figure 5.
"""

import itertools
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.architectures import HalfPlan
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


@dataclass(frozen=True, slots=True)
class Formats:
    """How numbers are held: what is binary, and whether all the rest lies on the grids."""

    config: ModelConfig
    precision: Precision
    exact: bool

    def residual(self, limit: float) -> nn.Module:
        """Q of a stream over [-limit, limit)."""
        return residual_quant(self.config.residual_bits, limit) if self.exact else nn.Identity()

    def floor(self, limit: float, bits: int) -> nn.Module:
        """A quantiser that rounds down."""
        return floor_quant(bits, limit) if self.exact else nn.Identity()

    @property
    def images(self) -> nn.Module:
        """Quantiser of the network's input."""
        config = self.config
        return input_quant(config.input_bits, config.input_signed) if self.exact else nn.Identity()

    @property
    def real_weights(self) -> Any:
        """Weight quantiser of the first and last layer and of real convolutions within."""
        if not self.exact:
            return None
        return FixedPointWeightQuant.let(bit_width=self.config.first_last_bits)


class Branch(nn.Module):
    """What a half adds to its shortcut: (N, C, H, W) -> (N, M, H/s, W/s) on the shortcut's grid.

    Binary: signs by binary weights. Real: the residual stream by weights of several bits.
    """

    def __init__(self, plan: HalfPlan, limit: float, formats: Formats) -> None:
        super().__init__()
        self.binary = not plan.real
        self.limit = limit
        binary = self.binary and formats.precision is Precision.BINARY
        around = plan.kernel // 2
        signs = self.binary and formats.precision is not Precision.FLOAT
        self.minus1_pad = around if signs and formats.config.pad == "minus1" else 0
        self.conv = QuantConv2d(
            plan.in_width,
            plan.in_width if plan.twin else plan.width,
            plan.kernel,
            stride=plan.stride,
            padding=around - self.minus1_pad,
            groups=plan.groups,
            bias=False,
            weight_quant=BinaryWeightQuant if binary else self._real_weights(formats),
        )
        self.norm = nn.BatchNorm2d(self.conv.out_channels, eps=BATCH_NORM_EPS)
        self.quant = formats.residual(limit)

    def _real_weights(self, formats: Formats) -> Any:
        return None if self.binary else formats.real_weights

    def forward(self, x: Tensor) -> Tensor:
        """Convolve, normalise, quantise."""
        if self.minus1_pad:
            x = F.pad(x, [self.minus1_pad] * 4, value=-1.0)
        y: Tensor = self.quant(self.norm(self.conv(x)))
        return y


class Projection(nn.Module):
    """Shortcut of a ResNet-based half that doubles: (N, C, H, W) -> (N, 2 C, H/s, W/s)."""

    def __init__(self, plan: HalfPlan, limit: float, formats: Formats) -> None:
        super().__init__()
        self.limit = limit
        self.pool = _pool(plan, limit, formats)
        self.conv = QuantConv2d(
            plan.in_width, plan.width, 1, bias=False, weight_quant=formats.real_weights
        )
        self.norm = nn.BatchNorm2d(plan.width, eps=BATCH_NORM_EPS)
        self.quant = formats.residual(limit)

    def forward(self, x: Tensor) -> Tensor:
        """Average, convolve, normalise, quantise."""
        y: Tensor = self.quant(self.norm(self.conv(self.pool(x))))
        return y


class Half(nn.Module):
    """A convolution with its shortcut: (N, C, H, W) -> (N, C', H/s, W/s), from grid to grid.

    C' is C, or 2 C by a second convolution (the twin) or by a projection; the stride s is 1 or 2.
    """

    def __init__(self, plan: HalfPlan, limits: tuple[float, float], formats: Formats) -> None:
        super().__init__()
        limit, out_limit = limits
        self.limits = limits
        signs = formats.precision is not Precision.FLOAT and not plan.real
        self.sign = RSign(plan.in_width) if signs else nn.Identity()
        self.branch = Branch(plan, limit, formats)
        self.twin = Branch(plan, limit, formats) if plan.twin else None
        self.shortcut = (
            Projection(plan, limit, formats) if plan.project else _pool(plan, limit, formats)
        )
        self.act = RPReLU(plan.width)
        self.quant = formats.residual(out_limit)

    def forward(self, x: Tensor) -> Tensor:
        """Add each branch to the shortcut, concatenate, activate, and return to the grid."""
        signs, shortcut = self.sign(x), self.shortcut(x)  # (N, C, H, W), (N, C or C', H/s, W/s)
        y: Tensor = self.branch(signs) + shortcut
        if self.twin is not None:
            y = torch.cat([y, self.twin(signs) + shortcut], dim=1)  # (N, 2 C, H/s, W/s)
        y = self.quant(self.act(y))
        return y


class Stem(nn.Module):
    """Images (N, C, S, S) to the residual stream (N, W, S', S'): a convolution of integers."""

    def __init__(self, config: ModelConfig, limit: float, formats: Formats) -> None:
        super().__init__()
        self.limit = limit
        self.input = formats.images
        self.conv = QuantConv2d(
            config.in_channels,
            config.width,
            config.stem.kernel,
            stride=config.stem.stride,
            padding=config.stem.kernel // 2,
            bias=False,
            weight_quant=formats.real_weights,
        )
        self.norm = nn.BatchNorm2d(config.width, eps=BATCH_NORM_EPS)
        self.quant = formats.residual(limit)
        self.pool = nn.MaxPool2d(3, 2, padding=1) if config.stem.max_pool else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        """Quantise, convolve with zero padding, normalise, quantise, pool."""
        x: Tensor = self.pool(self.quant(self.norm(self.conv(self.input(images)))))
        return x


class GlobalMean(nn.Module):
    """(N, C, H, W) to (N, C): the sum over the pixels, divided by 2^k, 2^k >= H W > 2^(k-1).

    For images of 2^k pixels that is the mean; for others the classifier's weights take up the
    rest. A power of two keeps every value exact.
    """

    def __init__(self, size: int, limit: float, formats: Formats) -> None:
        super().__init__()
        self.divisor = 2.0 ** (size * size - 1).bit_length()
        bits = formats.config.pooled_bits
        self.floor = nn.Identity() if bits is None else formats.floor(limit, bits)

    def forward(self, x: Tensor) -> Tensor:
        """Sum, shift, and round down if bits are short."""
        y: Tensor = self.floor(x.sum(dim=(2, 3)) / self.divisor)
        return y


class ReActNet(nn.Module):
    """A network at one of its precisions; parameter names are the same at the binary ones.

    ``exact`` puts everything that is not binary on the hardware's grids; no float network is.
    """

    def __init__(
        self,
        config: ModelConfig,
        precision: Precision = Precision.BINARY,
        exact: bool = True,
    ) -> None:
        super().__init__()
        self.config = config
        self.exact = exact and precision is not Precision.FLOAT
        formats = Formats(config, precision, self.exact)
        plans = config.halves
        limits = config.limits if self.exact else (1.0,) * (1 + len(plans))
        self.stem = Stem(config, limits[0], formats)
        self.halves = nn.Sequential(
            *(
                Half(plan, between, formats)
                for plan, between in zip(plans, itertools.pairwise(limits), strict=True)
            )
        )
        self.pool = GlobalMean(config.final_size, limits[-1], formats)
        self.classifier = QuantLinear(
            plans[-1].width if plans else config.width,
            config.num_classes,
            weight_quant=formats.real_weights,
        )

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, C, S, S) to logits (N, classes)."""
        x = self.stem(images)  # (N, W, S', S')
        x = self.halves(x)  # (N, W', S", S")
        x = self.pool(x)  # (N, W')
        logits: Tensor = self.classifier(x)
        return logits

    @torch.no_grad()
    def clamp_(self) -> None:
        """Keep latent binary weights in [-1, 1] and slopes at 0 or more, after a step."""
        for module in self.modules():
            if isinstance(module, Branch) and module.binary:
                module.conv.weight.clamp_(-1.0, 1.0)
            elif isinstance(module, RPReLU):
                module.clamp_()

    def freeze_norms(self) -> None:
        """Normalise by the statistics gathered so far, even while training; call after train()."""
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval().requires_grad_(False)


def _pool(plan: HalfPlan, limit: float, formats: Formats) -> nn.Module:
    """The shortcut of stride 2: a 2x2 mean, rounded down to the grid."""
    if plan.stride == 1:
        return nn.Identity()
    return nn.Sequential(nn.AvgPool2d(2), formats.floor(limit, formats.config.residual_bits))
