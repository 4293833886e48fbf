"""From a float-binarised network to the hardware's arithmetic, one step at a time."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.calibrate import calibrate
from training.exact import make_exact
from training.model import Branch, Projection, ReActNet
from training.quantizers import RPReLU

BATCH = 64


@dataclass(frozen=True, slots=True)
class Loss:
    """Accuracy (None without labels) and agreement with the float network after a step.

    ``agreement`` is the share of images that get the class the float network gives them.
    """

    step: str
    accuracy: float | None
    agreement: float


def quantise(
    net: ReActNet, images: Tensor, labels: Tensor | None, *, clamp_slopes: bool = False
) -> tuple[ReActNet, list[Loss]]:
    """Calibrate on images and put everything on the hardware's grids; what each step costs.

    ``net`` is binary and otherwise float; images (N, C, S, S), labels (N,). Activations of negative
    PReLU slope take two staircases each in hardware; ``clamp_slopes`` sets them to 0 instead.
    """
    net.eval()
    want = classes(net, images)
    losses = [_loss("binarised, otherwise float", want, want, labels)]
    negative = negative_slopes(net)
    if negative and clamp_slopes:
        net = copy.deepcopy(net)
        net.clamp_()
        got = classes(net, images)
        losses.append(_loss(f"{negative} negative slopes set to 0", got, want, labels))
    limits = calibrate(net, images)
    config = net.config.model_copy(update={"residual_limit": limits})
    exact = ReActNet(config, exact=True).eval()
    exact.load_state_dict(net.state_dict())
    for step, mixed in _mixtures(net, exact):
        losses.append(_loss(step, classes(mixed, images), want, labels))
    make_exact(exact)
    losses.append(_loss("parameters rounded", classes(exact, images), want, labels))
    return exact, losses


def negative_slopes(net: ReActNet) -> int:
    """How many channels have an activation that is not monotone."""
    acts = (module for module in net.modules() if isinstance(module, RPReLU))
    return sum(int((act.prelu.weight < 0).sum()) for act in acts)


@torch.no_grad()
def classes(net: nn.Module, images: Tensor) -> Tensor:
    """The class of every image: (N,)."""
    parts = [net(images[i : i + BATCH]).argmax(dim=1) for i in range(0, len(images), BATCH)]
    return torch.cat(parts)


def _loss(step: str, got: Tensor, want: Tensor, labels: Tensor | None) -> Loss:
    right = None if labels is None else float((got == labels).double().mean())
    return Loss(step, right, float((got == want).double().mean()))


def _mixtures(net: ReActNet, exact: ReActNet) -> Iterator[tuple[str, nn.Module]]:
    """The float network with ever more of the exact one's modules in place of its own."""
    config = exact.config
    real = {m.conv for m in exact.modules() if isinstance(m, Branch) and not m.binary}
    real |= {m.conv for m in exact.modules() if isinstance(m, Projection)}
    groups: dict[str, list[str]] = {
        f"residual stream of {config.residual_bits} bits": [],
        f"real weights of {config.first_last_bits} bits": ["stem.conv", "classifier"],
        f"images of {config.input_bits} bits": ["stem.input"],
    }
    residual, weights, _ = groups.values()
    for name, module in exact.named_modules():
        last = name.rsplit(".", 1)[-1]
        if name.endswith(".quant") or (last == "1" and ".shortcut" in name):
            residual.append(name)
        elif module in real:
            weights.append(name)
    if config.pooled_bits is not None:
        groups[f"global mean of {config.pooled_bits} bits"] = ["pool.floor"]
    mixed = copy.deepcopy(net)
    for step, names in groups.items():
        for name in names:
            mixed.set_submodule(name, copy.deepcopy(exact.get_submodule(name)))
        yield step, mixed
