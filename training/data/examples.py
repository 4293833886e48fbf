"""Images with labels, in memory or read as they are needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Examples(Protocol):
    """Images (C, S, S) float32 of [0, 1] with their labels, by index."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """All labels: (N,)."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[Tensor, int]: ...

    def seeded(self, key: tuple[int, ...]) -> Examples:
        """The same examples; what is random in reading them follows from key and index alone."""


@dataclass(frozen=True, slots=True)
class Split:
    """Images (N, C, S, S) in memory, and their labels (N,).

    float32 images are as they are; of bytes, v stands for v / 256, which the network's input
    quantiser leaves as it is.
    """

    images: NDArray[np.float32] | NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = torch.from_numpy(self.images[index])
        return image if image.is_floating_point() else image / 256, int(self.labels[index])

    def seeded(self, key: tuple[int, ...]) -> Self:
        """The same: nothing in it is random."""
        del key
        return self


@dataclass(frozen=True, slots=True)
class Dataset:
    """The examples to learn from and those held out, which no training decision may see."""

    train: Examples
    held_out: Examples
    num_classes: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of an image."""
        channels, height, width = self.held_out[0][0].shape
        return channels, height, width


def stacked(examples: Examples, count: int | None = None) -> tuple[Tensor, NDArray[np.int64]]:
    """All images, or ``count`` at equal distances, as one tensor (N, C, S, S), with labels (N,)."""
    count = len(examples) if count is None else min(count, len(examples))
    found = [examples[i * len(examples) // count] for i in range(count)]
    return torch.stack([image for image, _ in found]), np.array([label for _, label in found])


def fitted(images: NDArray[np.uint8], size: int, what: str) -> NDArray[np.uint8]:
    """Images (N, C, S, S) with zeros around them up to ``size`` pixels each way."""
    from hwgen.errors import UserInputError

    missing = size - images.shape[2]
    if missing < 0:
        raise UserInputError(
            f"data {what}: images have {images.shape[2]}x{images.shape[3]} pixels, more than "
            f"model.image_size {size}"
        )
    before, behind = missing // 2, missing - missing // 2
    return np.pad(images, ((0, 0), (0, 0), (before, behind), (before, behind)))
