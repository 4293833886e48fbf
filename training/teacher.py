"""Teachers: whose answers the binary steps learn."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hwgen.errors import UserInputError
from training import checkpoint

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Teacher(nn.Module):
    """A network in evaluation mode: images (N, C, S, S) of [0, 1] to logits (N, classes)."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net.eval().requires_grad_(False)

    def forward(self, images: Tensor, indices: Tensor) -> Tensor:
        """Answer to images; ``indices`` (N,) are their places in the training set."""
        del indices
        logits: Tensor = self.net(images)
        return logits


class SavedLogits(nn.Module):
    """Answers given before: (images of the training set, classes)."""

    logits: Tensor

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.register_buffer("logits", logits)

    def forward(self, images: Tensor, indices: Tensor) -> Tensor:
        """Look the images up; their augmentation is not seen."""
        del images
        return self.logits[indices]


class _Normalised(nn.Module):
    """A torchvision network, which reads images less their mean, over their deviation."""

    mean: Tensor
    std: Tensor

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).reshape(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_STD).reshape(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.net((images - self.mean) / self.std)
        return logits


def load_teacher(name: str, count: int, classes: int) -> nn.Module:
    """The teacher of `TrainConfig.teacher_from`, for ``count`` training images of ``classes``.

    A path of a checkpoint, ``torchvision:NAME:WEIGHTS.pth``, or an .npy file of logits.
    """
    if name.startswith("torchvision:"):
        return Teacher(_torchvision(name))
    path = Path(name)
    if path.suffix == ".npy":
        return SavedLogits(_saved(path, (count, classes)))
    net = checkpoint.load(path).net
    if net.config.num_classes != classes:
        raise UserInputError(
            f"teacher {path} knows {net.config.num_classes} classes, the data set has {classes}"
        )
    return Teacher(net)


def _saved(path: Path, shape: tuple[int, int]) -> Tensor:
    try:
        logits: Any = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UserInputError(f"teacher {path}: not a readable .npy file: {error}") from None
    if logits.shape != shape or logits.dtype.kind != "f" or not np.isfinite(logits).all():
        raise UserInputError(
            f"teacher {path} holds {logits.dtype} {logits.shape}; a finite float array {shape} is "
            "needed: a row for every training image, in order"
        )
    return torch.from_numpy(logits.astype(np.float32))


def _torchvision(name: str) -> nn.Module:
    _, _, rest = name.partition(":")
    model, colon, weights = rest.partition(":")
    if not colon:
        raise UserInputError(f"teacher {name!r}: expected torchvision:NAME:WEIGHTS.pth")
    try:
        from torchvision import models  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        raise UserInputError(
            f"teacher {name!r} needs torchvision, which is not installed; install the version that "
            "belongs to your PyTorch, or give logits (.npy) or a checkpoint of hwgen"
        ) from None
    try:
        net: nn.Module = models.get_model(model, weights=None)
        net.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    except (OSError, ValueError, RuntimeError, KeyError, EOFError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserInputError(f"teacher {name!r}: {reason}") from None
    return _Normalised(net)
