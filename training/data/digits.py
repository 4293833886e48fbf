"""Handwritten digits that come with scikit-learn."""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from training.data.examples import Dataset, Split

HELD_OUT = 360
SPLIT_SEED = 0
"""The split is part of the data set: it does not change with the seed of a training run."""


def load() -> Dataset:
    """1797 handwritten digits of 8x8 pixels, 17 grey levels (from UCI, 1998)."""
    bunch = load_digits()
    images = (bunch.images[:, None] / 16.0).astype(np.float32)
    labels = bunch.target.astype(np.int64)
    x_train, x_test, y_train, y_test = train_test_split(
        images, labels, test_size=HELD_OUT, stratify=labels, random_state=SPLIT_SEED
    )
    return Dataset(Split(x_train, y_train), Split(x_test, y_test), num_classes=10)
