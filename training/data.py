"""Data sets: what the network is trained on and what it is held to."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

HELD_OUT = 360
SPLIT_SEED = 0
"""The split is part of the data set: it does not change with the seed of a training run."""


@dataclass(frozen=True, slots=True)
class Split:
    """Images (N, C, H, W) float32 in [0, 1] with their labels (N,) int64."""

    images: NDArray[np.float32]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.from_numpy(self.images[index]), int(self.labels[index])

    def seeded(self, key: tuple[int, ...]) -> "Split":
        """The same: nothing in it is random."""
        return self


@dataclass(frozen=True, slots=True)
class Dataset:
    """The images to learn from and those held out, which no training decision may see."""

    train: Split
    held_out: Split
    num_classes: int


def digits() -> Dataset:
    """1797 handwritten digits of 8x8 pixels, 17 grey levels (scikit-learn, from UCI 1998)."""
    bunch = load_digits()
    images = (bunch.images[:, None] / 16.0).astype(np.float32)
    labels = bunch.target.astype(np.int64)
    x_train, x_test, y_train, y_test = train_test_split(
        images, labels, test_size=HELD_OUT, stratify=labels, random_state=SPLIT_SEED
    )
    return Dataset(Split(x_train, y_train), Split(x_test, y_test), num_classes=10)


DATASETS: dict[str, Callable[[], Dataset]] = {"digits": digits}
