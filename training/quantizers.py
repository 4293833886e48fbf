"""The quantisers of a ReActNet, as Brevitas injectors that export to Quant and BipolarQuant nodes.

Sources: ReActNet (arXiv 2003.03488) for the sign's gradient and the weight scale; Brevitas for the
injector mechanism: a quantiser returns (value, scale, zero point, bit width).
"""

from typing import Any

import torch
from torch import Tensor, nn

from training.quiet import quiet

with quiet():
    from brevitas.core.function_wrapper import TensorClamp
    from brevitas.inject import ExtendedInjector
    from brevitas.inject.enum import FloatToIntImplType, ScalingImplType
    from brevitas.nn import QuantConv2d, QuantIdentity, QuantLinear
    from brevitas.proxy import ActQuantProxyFromInjector, WeightQuantProxyFromInjector
    from brevitas.quant.base import IntQuant, PerTensorPoTScaling8bit, UintQuant
    from brevitas.quant.fixed_point import Int8WeightPerTensorFixedPoint
    from brevitas.quant.solver import ActQuantSolver

    # Brevitas drops tensor names in each layer; PyTorch warns at a process's first such call.
    torch.zeros(1).rename(None)  # type: ignore[no-untyped-call]

__all__ = [
    "BinaryWeightQuant",
    "FixedPointWeightQuant",
    "QuantConv2d",
    "QuantLinear",
    "RPReLU",
    "RSign",
    "floor_quant",
    "input_quant",
    "residual_quant",
]

WEIGHT_SCALE_BITS = 4
"""Significant bits kept of a binary weight's scale. The norm behind the convolution takes up the
rounding (3 % at most), and p * scale is exact in float32 for every dot product |p| < 2^20."""

Quantised = tuple[Tensor, Tensor, Tensor, Tensor]


def sign(x: Tensor) -> Tensor:
    """+1 where x >= 0, else -1: zero counts as positive, as in the hardware."""
    return torch.where(x >= 0, torch.ones_like(x), -torch.ones_like(x))


def round_significant(x: Tensor, bits: int) -> Tensor:
    """Round positive values to `bits` significant binary digits."""
    mantissa, exponent = torch.frexp(x)
    return torch.ldexp(torch.round(mantissa * 2**bits), exponent - bits)


class ActivationSign(torch.autograd.Function):
    """Sign whose derivative is taken as 2 + 2x on [-1, 0), 2 - 2x on [0, 1) and 0 elsewhere."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Return the sign of x."""
        ctx.save_for_backward(x)
        return sign(x)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
        """Scale the gradient by the derivative of the piecewise quadratic approximation."""
        (x,) = ctx.saved_tensors
        derivative: Tensor = (2.0 - 2.0 * x.abs()).clamp(min=0.0)
        return grad_outputs[0] * derivative


class WeightSign(torch.autograd.Function):
    """sign(w) * scale; the gradient passes unchanged where |w| <= 1 and stops elsewhere."""

    @staticmethod
    def forward(ctx: Any, w: Tensor, scale: Tensor) -> Tensor:
        """Return the binary weights; w (M, C, k, k), scale (M, 1, 1, 1)."""
        ctx.save_for_backward(w)
        return sign(w) * scale

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        """Clip the gradient to |w| <= 1; the scale is detached."""
        (w,) = ctx.saved_tensors
        return grad_outputs[0] * (w.abs() <= 1.0), None


class _OneBit(nn.Module):
    """What Brevitas asks beside the value: a zero point of 0 and a width of 1 bit."""

    zero: Tensor
    one: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("zero", torch.tensor(0.0), persistent=False)
        self.register_buffer("one", torch.tensor(1.0), persistent=False)


class BinaryActivation(_OneBit):
    """Activations to {-1, +1}, scale 1."""

    def forward(self, x: Tensor) -> Quantised:
        """Binarise x of any shape."""
        y: Tensor = ActivationSign.apply(x)  # type: ignore[no-untyped-call]
        return y, self.one, self.zero, self.one


class BinaryWeight(_OneBit):
    """Weights to {-s, +s}: s is the mean |w| of an output channel, detached, rounded."""

    def forward(self, w: Tensor) -> Quantised:
        """Binarise w (M, C, k, k) per output channel."""
        mean = w.detach().abs().mean(dim=(1, 2, 3), keepdim=True).clamp(min=2.0**-20)
        scale = round_significant(mean, WEIGHT_SCALE_BITS)
        y: Tensor = WeightSign.apply(w, scale)  # type: ignore[no-untyped-call]
        return y, scale, self.zero, self.one


class _BinaryQuant(ExtendedInjector):  # type: ignore[misc]
    signed = True
    narrow_range = False
    float_to_int_impl_type = FloatToIntImplType.ROUND


class BinaryActivationQuant(_BinaryQuant):
    """Activation quantiser {-1, +1}; exports as BipolarQuant."""

    proxy_class = ActQuantProxyFromInjector
    tensor_quant = BinaryActivation


class BinaryWeightQuant(_BinaryQuant):
    """Weight quantiser {-s, +s} per output channel; exports as BipolarQuant."""

    proxy_class = WeightQuantProxyFromInjector
    tensor_quant = BinaryWeight


class _ConstantPowerOfTwo(PerTensorPoTScaling8bit, ActQuantSolver):  # type: ignore[misc]
    scaling_impl_type = ScalingImplType.CONST
    tensor_clamp_impl = TensorClamp


class SignedGridQuant(IntQuant, _ConstantPowerOfTwo):  # type: ignore[misc]
    """Signed integers times one constant power of two."""


class UnsignedGridQuant(UintQuant, _ConstantPowerOfTwo):  # type: ignore[misc]
    """Unsigned integers times one constant power of two."""


class SignedFloorQuant(SignedGridQuant):
    """Signed integers times one constant power of two, rounded down."""

    float_to_int_impl_type = FloatToIntImplType.FLOOR


FixedPointWeightQuant = Int8WeightPerTensorFixedPoint
"""Signed symmetric weights, one power-of-two scale per tensor, from the largest |w|."""


def residual_quant(bits: int, limit: float) -> nn.Module:
    """Quantiser of the residual stream: `bits` signed bits over [-limit, limit), a power of two."""
    quantiser: nn.Module = QuantIdentity(
        act_quant=SignedGridQuant, bit_width=bits, min_val=-limit, max_val=limit
    )
    return quantiser


def floor_quant(bits: int, limit: float) -> nn.Module:
    """As `residual_quant`, rounded down: behind a 2x2 mean it gives integers floor(sum / 4)."""
    quantiser: nn.Module = QuantIdentity(
        act_quant=SignedFloorQuant, bit_width=bits, min_val=-limit, max_val=limit
    )
    return quantiser


def input_quant(bits: int, signed: bool) -> nn.Module:
    """Quantiser of the images: [0, 1) or [-1, 1) on a grid of 2^-8; fewer bits are coarser."""
    quantiser: nn.Module = QuantIdentity(
        act_quant=SignedGridQuant if signed else UnsignedGridQuant,
        bit_width=bits,
        min_val=-1.0 if signed else 0.0,
        max_val=1.0,
    )
    return quantiser


class RSign(nn.Module):
    """Sign with a learnable threshold per channel: (N, C, H, W) -> {-1, +1}."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))
        self.sign = QuantIdentity(act_quant=BinaryActivationQuant)

    def forward(self, x: Tensor) -> Tensor:
        """Return +1 where x >= -bias of its channel, else -1."""
        y: Tensor = self.sign(x + self.bias)
        return y


class RPReLU(nn.Module):
    """Shifted PReLU per channel, prelu(x + before) + after; monotone since `clamp_` runs."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.before = nn.Parameter(torch.zeros(channels, 1, 1))
        self.prelu = nn.PReLU(channels, init=0.25)
        self.after = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        y: Tensor = self.prelu(x + self.before) + self.after
        return y

    @torch.no_grad()
    def clamp_(self) -> None:
        """Keep the slopes at 0 or more: called after every optimiser step."""
        self.prelu.weight.clamp_(min=0.0)
