"""Checkpoints of the public ReActNet repository, brought into our networks.

Their parameters carry over one to one, into a network with zero padding:

    ReActNet-A   feature.N.move11 (RSign), binary_3x3, bn1, move12, prelu1, move13 (RPReLU),
                 move21, binary_pw and bn2, or binary_pw_down1/2 and bn2_1/2, move22, prelu2, move23
    Bi-Real      layerL.B.move0, binary_conv, bn1, move1, prelu, move2, downsample.1 and .2

What changes is where constants stand: their images are normalised by mean and deviation, ours
only less their mean (the stem's weights take up the deviation, and zero padding stays right);
their weight scale is the mean |w|, ours is rounded (the norm behind it takes up the rest); their
global mean is ours times a constant that goes into the classifier. sign(0) is +1 here and 0 there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

from hwgen.data import load_data
from hwgen.errors import UserInputError
from training.config import ModelConfig
from training.export import write
from training.model import BATCH_NORM_EPS, Branch, Half, Projection, ReActNet
from training.quantise import Loss, quantise
from training.quantizers import QuantConv2d, RSign
from training.teacher import IMAGENET_MEAN, IMAGENET_STD

THEIR_EPS = 1e-5
IMPORTABLE = ("reactnet-a", "bireal-18", "bireal-34")
IGNORED = ("num_batches_tracked", "total_ops", "total_params")


@dataclass
class _Source:
    """Their tensors by name; what is taken is remembered, so that nothing is left over unseen."""

    path: Path
    tensors: dict[str, Tensor]
    taken: set[str] = field(default_factory=set)

    def take(self, name: str, shape: torch.Size | tuple[int, ...]) -> Tensor:
        """A tensor, reshaped from whatever has as many elements."""
        if name not in self.tensors:
            raise UserInputError(f"{self.path}: parameter {name} is missing; is --arch right?")
        found = self.tensors[name]
        wanted = torch.Size(shape)
        if found.numel() != wanted.numel():
            raise UserInputError(
                f"{self.path}: parameter {name} has shape {tuple(found.shape)}, which does not fit "
                f"{tuple(wanted)}; is --arch right?"
            )
        if not torch.isfinite(found).all():
            raise UserInputError(f"{self.path}: parameter {name} holds NaN or infinite values")
        self.taken.add(name)
        return found.detach().float().reshape(wanted)

    def finish(self) -> None:
        """Refuse a file with more in it than was understood."""
        left = [n for n in self.tensors if n not in self.taken and n.split(".")[-1] not in IGNORED]
        if left:
            raise UserInputError(
                f"{self.path}: {len(left)} parameters are not of this architecture, "
                f"{', '.join(left[:4])}; is --arch right?"
            )


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name, without the prefix of nn.DataParallel."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UserInputError(f"{path}: cannot read: {error.strerror or error}") from None
    except (UnpicklingError, RuntimeError, EOFError, KeyError, ValueError) as error:
        reason = str(error).strip().splitlines()[0][:200] if str(error) else type(error).__name__
        raise UserInputError(f"{path}: not a readable PyTorch checkpoint: {reason}") from None
    state: Any = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(t, Tensor) for t in state.values()):
        raise UserInputError(f"{path}: holds no state_dict of tensors")
    return {str(name).removeprefix("module."): tensor for name, tensor in state.items()}


def convert(path: Path, arch: str, image_size: int | None = None, **formats: Any) -> ReActNet:
    """The network of a checkpoint, binary and otherwise float, in evaluation mode.

    It reads images less their mean. ``formats`` are further keys of ``ModelConfig``; width and
    classes come from the file. Raises ``UserInputError`` for a file of another architecture.
    """
    source = _Source(path, read_state(path))
    mobile = arch == "reactnet-a"
    stem, last = ("feature.0.conv1", "fc") if mobile else ("conv1", "fc")
    for name in (f"{stem}.weight", f"{last}.weight"):
        if name not in source.tensors or source.tensors[name].ndim < 2:
            raise UserInputError(f"{path}: parameter {name} is missing; is --arch {arch} right?")
    keys: dict[str, Any] = {
        "width": source.tensors[f"{stem}.weight"].shape[0],
        "num_classes": source.tensors[f"{last}.weight"].shape[0],
        "pad": "zero",
        "input_bits": 9,
        "input_signed": True,
        **formats,
    }
    if image_size is not None:
        keys["image_size"] = image_size
    net = ReActNet(ModelConfig(arch=arch, **keys), exact=False)
    with torch.no_grad():
        _stem(source, net, stem)
        if mobile:
            _mobile(source, net)
        else:
            _bireal(source, net)
        _classifier(source, net)
    source.finish()
    return net.eval()


def bring_in(
    path: Path,
    arch: str,
    images: Path,
    model: Path,
    formats: Mapping[str, Any],
    *,
    clamp_slopes: bool = False,
) -> tuple[ModelConfig, list[Loss]]:
    """Convert a checkpoint, quantise it on images, and write its QONNX file to ``model``.

    ``images`` is a file of images (N, 3, S, S) in [0, 1], with labels (N,) if they are known. Also
    returns what each step of quantisation costs on them.
    """
    net = convert(path, arch, **formats)
    data, config = load_data(images), net.config
    shape = (config.in_channels, config.image_size, config.image_size)
    if data.images.shape[1:] != shape:
        raise UserInputError(
            f"images {images} have shape {data.images.shape[1:]}, the network reads {shape}; "
            "--image-size changes what it reads"
        )
    seen = less_mean(torch.from_numpy(data.images))
    labels = None if data.labels is None else torch.from_numpy(data.labels)
    exact, losses = quantise(net, seen, labels, clamp_slopes=clamp_slopes)
    write(exact, (seen, data.labels), model, float_accuracy=losses[0].accuracy, what=path)
    return exact.config, losses


def less_mean(images: Tensor) -> Tensor:
    """Images (N, 3, S, S) of [0, 1] less their channels' mean, which is rounded to the grid."""
    mean = torch.round(torch.tensor(IMAGENET_MEAN).reshape(1, -1, 1, 1) * 256) / 256
    return images - mean


def _stem(source: _Source, net: ReActNet, name: str) -> None:
    weight = source.take(f"{name}.weight", net.stem.conv.weight.shape)
    net.stem.conv.weight.copy_(weight / torch.tensor(IMAGENET_STD).reshape(1, -1, 1, 1))
    _norm(source, net.stem.norm, name.replace("conv1", "bn1"))


def _mobile(source: _Source, net: ReActNet) -> None:
    for index, half in enumerate(net.halves):
        assert isinstance(half, Half)
        name, part = f"feature.{index // 2 + 1}", index % 2 + 1
        act = (f"{name}.move{part}2", f"{name}.prelu{part}", f"{name}.move{part}3")
        _edges(source, half, f"{name}.move{part}1", act)
        if part == 1:
            _branch(source, half.branch, f"{name}.binary_3x3", f"{name}.bn1")
        elif half.twin is None:
            _branch(source, half.branch, f"{name}.binary_pw", f"{name}.bn2")
        else:
            _branch(source, half.branch, f"{name}.binary_pw_down1", f"{name}.bn2_1")
            _branch(source, half.twin, f"{name}.binary_pw_down2", f"{name}.bn2_2")


def _bireal(source: _Source, net: ReActNet) -> None:
    layer, place = 1, 0
    for half in net.halves:
        assert isinstance(half, Half)
        if isinstance(half.shortcut, Projection):
            layer, place = layer + 1, 0
        name = f"layer{layer}.{place}"
        _edges(source, half, f"{name}.move0", (f"{name}.move1", f"{name}.prelu", f"{name}.move2"))
        _branch(source, half.branch, f"{name}.binary_conv", f"{name}.bn1")
        if isinstance(half.shortcut, Projection):
            conv = half.shortcut.conv
            conv.weight.copy_(source.take(f"{name}.downsample.1.weight", conv.weight.shape))
            _norm(source, half.shortcut.norm, f"{name}.downsample.2")
        place += 1


def _edges(source: _Source, half: Half, sign: str, act: tuple[str, str, str]) -> None:
    """RSign and RPReLU."""
    assert isinstance(half.sign, RSign)
    half.sign.bias.copy_(source.take(f"{sign}.bias", half.sign.bias.shape))
    before, prelu, after = act
    half.act.before.copy_(source.take(f"{before}.bias", half.act.before.shape))
    half.act.prelu.weight.copy_(source.take(f"{prelu}.weight", half.act.prelu.weight.shape))
    half.act.after.copy_(source.take(f"{after}.bias", half.act.after.shape))


def _branch(source: _Source, branch: Branch, conv: str, norm: str) -> None:
    """A binary convolution; its norm takes up what rounding its scale changes."""
    name = f"{conv}.weights" if f"{conv}.weights" in source.tensors else f"{conv}.weight"
    branch.conv.weight.copy_(source.take(name, branch.conv.weight.shape))
    mean = branch.conv.weight.abs().mean(dim=(1, 2, 3))
    _norm(source, branch.norm, norm, _scale(branch.conv) / mean.clamp(min=2.0**-20))


def _scale(conv: QuantConv2d) -> Tensor:
    scale: Tensor = conv.quant_weight().scale.reshape(-1)
    return scale


def _norm(source: _Source, norm: nn.BatchNorm2d, name: str, ratio: Tensor | None = None) -> None:
    """A norm whose input comes ``ratio`` times as large, and whose eps is another."""
    by = torch.ones(norm.num_features) if ratio is None else ratio
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.weight.copy_(source.take(f"{name}.weight", norm.weight.shape))
    norm.bias.copy_(source.take(f"{name}.bias", norm.bias.shape))
    mean = source.take(f"{name}.running_mean", norm.running_mean.shape)
    variance = source.take(f"{name}.running_var", norm.running_var.shape).double() + THEIR_EPS
    norm.running_mean.copy_(mean * by)
    norm.running_var.copy_(variance * by.double() ** 2 - BATCH_NORM_EPS)


def _classifier(source: _Source, net: ReActNet) -> None:
    """The linear layer, whose input is the mean times pixels / 2^k."""
    weight = source.take("fc.weight", net.classifier.weight.shape)
    net.classifier.weight.copy_(weight * (net.pool.divisor / net.config.final_size**2))
    net.classifier.bias.copy_(source.take("fc.bias", net.classifier.bias.shape))
