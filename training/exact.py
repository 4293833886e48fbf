"""Rounding of a trained network's inference parameters, so that float32 evaluation is exact.

After `make_exact` every value that reaches a quantiser without being clipped is a sum of products
that float32 holds without rounding, whatever the order of evaluation. PyTorch, ONNX Runtime and
integer hardware then agree by construction, not by luck. No value lies halfway between two grid
points either, because biases are odd multiples of a step of which everything else is an even
multiple: round-half-even and round-half-up are the same function.

Let y = a x + b come to a quantiser of R signed bits, in units of its step (LSB). |y| < 2^(R-1) + 1
decides between grid points; beyond, y clips. With float32's 24 bits, y is exact on a step of 2^-g,
g = 24 - bits(2^(R-1) + 1 + |b|). So: b an odd multiple of 2^-g, a x an even one.
"""

import math

import torch
from torch import Tensor, nn

from training.config import ModelConfig
from training.model import Branch, Half, Projection, ReActNet
from training.quantizers import WEIGHT_SCALE_BITS, QuantConv2d, RPReLU

FLOAT32_BITS = 24


@torch.no_grad()
def make_exact(net: ReActNet) -> None:
    """Round the norms, activations and the classifier's bias in place, for evaluation only."""
    config, bits = net.config, net.config.residual_bits
    _round_norm(
        net.stem.norm, input_step(config) * _weight_step(net.stem.conv), config, net.stem.limit
    )
    for module in net.modules():
        if isinstance(module, Branch):
            step = 1.0 if module.binary else config.scale(module.limit)
            _round_norm(module.norm, step * _weight_step(module.conv), config, module.limit)
        elif isinstance(module, Projection):
            step = config.scale(module.limit)
            _round_norm(module.norm, step * _weight_step(module.conv), config, module.limit)
        elif isinstance(module, Half):
            before, behind = (config.scale(limit) for limit in module.limits)
            lsb = min(before, behind)
            _round_rprelu(module.act, lsb, bits + round(math.log2(max(before, behind) / lsb)))
    step = pooled_step(net) * net.classifier.quant_weight().scale
    net.classifier.bias.copy_(torch.round(net.classifier.bias / step) * step)


def input_step(config: ModelConfig) -> float:
    """One step of the images' grid."""
    return 2.0 ** (config.input_signed - config.input_bits)


def pooled_step(net: ReActNet) -> float:
    """One step of what the classifier reads."""
    limit, bits = net.config.limits[-1], net.config.pooled_bits
    if bits is None:
        return net.config.scale(limit) / net.pool.divisor
    return math.ldexp(limit, 1 - bits)


@torch.no_grad()
def logit_bits(net: ReActNet) -> int:
    """Bits that the largest possible logit needs in integers: exact in float32 up to 24."""
    weight = net.classifier.quant_weight()
    largest = (weight.value.abs().sum(dim=1) * net.config.limits[-1]).max()
    largest += net.classifier.bias.abs().max()
    return math.ceil(math.log2(float(largest / (pooled_step(net) * weight.scale)) + 1))


def _weight_step(conv: QuantConv2d) -> Tensor:
    """Per channel, the largest power of two that the weights' scale is a multiple of: (M,)."""
    mantissa, exponent = torch.frexp(conv.quant_weight().scale.reshape(-1))
    digits = torch.round(mantissa * 2**WEIGHT_SCALE_BITS).to(torch.int64)
    lowest = torch.bitwise_and(digits, -digits).to(mantissa.dtype)
    return torch.ldexp(lowest, exponent - WEIGHT_SCALE_BITS)


def _free_bits(b: Tensor, bits: int) -> Tensor:
    """Fraction bits g of the module's docstring, for offsets b in LSB."""
    _, exponent = torch.frexp(2.0 ** (bits - 1) + 1 + b.abs())
    return FLOAT32_BITS - exponent


def _odd_multiple(x: Tensor, step: Tensor) -> Tensor:
    """The odd multiple of step next to x."""
    return (2 * torch.floor(x / (2 * step)) + 1) * step


def _round_norm(norm: nn.BatchNorm2d, x_step: Tensor, config: ModelConfig, limit: float) -> None:
    """Fold the statistics, then round: y = gain x + offset, x a multiple of x_step (M,)."""
    lsb, bits = config.scale(limit), config.residual_bits
    assert norm.running_mean is not None
    assert norm.running_var is not None
    gain = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    offset = norm.bias.double() - norm.running_mean.double() * gain
    gain, offset = gain / lsb, offset / lsb
    step = torch.ldexp(torch.ones_like(offset), -_free_bits(offset, bits))
    gain_step = 2 * step / x_step.double()
    norm.weight.copy_(torch.round(gain / gain_step) * gain_step * lsb)
    norm.bias.copy_(_odd_multiple(offset, step) * lsb)
    norm.running_mean.zero_()
    norm.running_var.fill_(1.0 - norm.eps)


def _round_rprelu(act: RPReLU, lsb: float, bits: int) -> None:
    """Round y = slope (x + before) + after for negative x + before, slope 1 else; x in LSB.

    ``bits`` hold x / 2 and the grid that y goes to, both in LSB.
    """
    slope = act.prelu.weight.double()
    before, after = act.before.double().flatten() / lsb, act.after.double().flatten() / lsb
    free = _free_bits(torch.maximum(before.abs(), after.abs()), bits + 1)
    before_bits = (free - 1) // 2
    before_step = torch.ldexp(torch.ones_like(before), -before_bits)
    slope_step = torch.ldexp(torch.ones_like(before), before_bits + 1 - free)
    after_step = torch.ldexp(torch.ones_like(before), -free)
    act.prelu.weight.copy_(torch.round(slope / slope_step) * slope_step)
    act.before.copy_((torch.round(before / before_step) * before_step * lsb).view_as(act.before))
    act.after.copy_((_odd_multiple(after, after_step) * lsb).view_as(act.after))
