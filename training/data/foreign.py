"""Data sets of torchvision's kind, by dotted name: Name(root=folder, train=True or False)."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hwgen.errors import UserInputError
from training.data.examples import Dataset, Split, fitted


def load(name: str, folder: Path, image_size: int) -> Dataset:
    """Read all items (image, label) of both parts into memory.

    Images may be PIL images, arrays (H, W), (H, W, C) of bytes, or tensors (C, H, W) of bytes or
    of [0, 1], which are rounded to bytes.
    """
    module, _, attribute = name.partition(":")
    try:
        kind = getattr(importlib.import_module(module), attribute)
        parts = [kind(root=str(folder), train=train) for train in (True, False)]
        splits = [_split(part, image_size, name) for part in parts]
    except UserInputError:
        raise
    except Exception as error:  # code of the user's choice: whatever it raises is about the data
        reason = str(error).strip().splitlines()[0] if str(error).strip() else ""
        raise UserInputError(f"data {name}: {type(error).__name__}: {reason}") from error
    classes = 1 + max(int(split.labels.max()) for split in splits)
    return Dataset(splits[0], splits[1], num_classes=classes)


def _split(part: Any, image_size: int, name: str) -> Split:
    items = [part[i] for i in range(len(part))]
    if not items:
        raise UserInputError(f"data {name}: a part is empty")
    images = np.stack([_bytes(image, name) for image, _ in items])
    return Split(fitted(images, image_size, name), np.array([int(label) for _, label in items]))


def _bytes(image: Any, name: str) -> NDArray[np.uint8]:
    """(C, S, S) bytes."""
    if isinstance(image, torch.Tensor):
        values = image.numpy()
        if values.dtype.kind == "f":
            values = np.clip(np.round(values * 256), 0, 255).astype(np.uint8)
    else:
        values = np.asarray(image)
        values = values[None] if values.ndim == 2 else values.transpose(2, 0, 1)
    if values.dtype != np.uint8 or values.ndim != 3 or values.shape[1] != values.shape[2]:
        raise UserInputError(
            f"data {name}: an image is {values.dtype} {values.shape}; square images of bytes, or "
            "tensors (C, S, S) of [0, 1], are needed"
        )
    return values
