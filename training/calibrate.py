"""Limits of the residual stream, found on images: what each Q should cover."""

import math

import torch
from torch import Tensor, nn

from training.model import Branch, Half, Projection, ReActNet

SMALLEST, LARGEST = -6, 10
"""Limits that are tried: 2^-6 to 2^10."""
SAMPLES = 1 << 16
"""Values of a place and batch that are looked at, taken at equal distances."""


@torch.no_grad()
def calibrate(net: ReActNet, images: Tensor, batch: int = 64) -> tuple[float, ...]:
    """The power of two for the stem and every half that loses least, in squares, on images.

    ``net`` has no grids (`exact` false). A stream shares its limit with the branches that are
    added to it, so the errors of all of them count. images: (N, C, S, S).
    """
    seen: list[list[Tensor]] = [[] for _ in range(1 + len(net.halves))]
    hooks = []
    for place, module in _places(net):

        def watch(_: nn.Module, given: tuple[Tensor], __: Tensor, place: int = place) -> None:
            values = given[0].flatten()
            seen[place].append(values[:: max(1, values.numel() // SAMPLES)].float())

        hooks.append(module.register_forward_hook(watch))
    training = net.training
    net.eval()
    for start in range(0, len(images), batch):
        net(images[start : start + batch])
    net.train(training)
    for hook in hooks:
        hook.remove()
    return tuple(best_limit(torch.cat(values), net.config.residual_bits) for values in seen)


def _places(net: ReActNet) -> list[tuple[int, nn.Module]]:
    """Every Q with the stream it belongs to: 0 behind the stem, i behind half i - 1."""
    found: list[tuple[int, nn.Module]] = [(0, net.stem.quant)]
    for index, half in enumerate(net.halves):
        assert isinstance(half, Half)
        adds = [m for m in half.modules() if isinstance(m, Branch | Projection)]
        found += [(index, module.quant) for module in adds]
        found.append((index + 1, half.quant))
    return found


def best_limit(values: Tensor, bits: int) -> float:
    """The power of two L for which `bits` signed bits over [-L, L) lose least, in squares."""

    def loss(exponent: int) -> float:
        step = math.ldexp(1.0, exponent + 1 - bits)
        level = torch.round(values / step).clamp(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        return float((level * step - values).double().square().mean())

    return math.ldexp(1.0, min(range(SMALLEST, LARGEST + 1), key=loss))
