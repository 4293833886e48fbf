"""Folders of images as ImageNet has them: train/CLASS/*.jpg and val/CLASS/*.jpg."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from hwgen.errors import UserInputError
from training.data.examples import Dataset

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
SHORT_SIDE = 256 / 224
"""Held-out images are resized to this many times the network's size, and cut in the middle."""


@dataclass(frozen=True, slots=True)
class ImageFolder:
    """Images read from files as they are needed; byte v stands for v / 256.

    With a key, an image is a random part of ``least`` to all of its area (as Inception was
    trained); without, its middle.
    """

    paths: tuple[Path, ...]
    labels: NDArray[np.int64]
    size: int
    least: float = 1.0
    key: tuple[int, ...] | None = None

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        path = self.paths[index]
        try:
            with Image.open(path) as opened:
                image = opened.convert("RGB")
        except (OSError, UnidentifiedImageError, ValueError) as error:
            raise UserInputError(f"image {path} cannot be read: {error}") from None
        if self.key is None or self.least == 1.0:
            image = self._middle(image)
        else:
            image = self._part(image, np.random.default_rng([*self.key, index]))
        pixels = torch.from_numpy(np.array(image, np.uint8)).permute(2, 0, 1)
        return pixels / 256, int(self.labels[index])

    def seeded(self, key: tuple[int, ...]) -> ImageFolder:
        """The same images, each a random part that follows from key and index."""
        return replace(self, key=key)

    def _middle(self, image: Image.Image) -> Image.Image:
        short = math.ceil(self.size * SHORT_SIDE)
        scale = short / min(image.size)
        wide, high = (max(short, round(side * scale)) for side in image.size)
        image = image.resize((wide, high), Image.Resampling.BILINEAR)
        left, top = (wide - self.size) // 2, (high - self.size) // 2
        return image.crop((left, top, left + self.size, top + self.size))

    def _part(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        wide, high = image.size
        for _ in range(10):
            area = wide * high * rng.uniform(self.least, 1.0)
            ratio = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
            w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < w <= wide and 0 < h <= high:
                left, top = (int(rng.integers(0, n + 1)) for n in (wide - w, high - h))
                box = (left, top, left + w, top + h)
                return image.resize((self.size, self.size), Image.Resampling.BILINEAR, box=box)
        return self._middle(image)


def load(folder: Path, image_size: int, least: float) -> Dataset:
    """A data set of the classes in train/ and val/; ``least`` is of the random parts' area."""
    classes = {part: _classes(folder / part) for part in ("train", "val")}
    if classes["train"] != classes["val"]:
        odd = sorted(set(classes["train"]) ^ set(classes["val"]))
        raise UserInputError(
            f"data folder: {folder}/train and {folder}/val have different classes: "
            f"{', '.join(odd[:5])}"
        )
    train, val = (
        _examples(folder / part, classes["train"], image_size) for part in ("train", "val")
    )
    return Dataset(replace(train, least=least), val, num_classes=len(classes["train"]))


def _classes(folder: Path) -> list[str]:
    inside = folder.iterdir() if folder.is_dir() else ()
    found = sorted(path.name for path in inside if path.is_dir())
    if len(found) < 2:
        raise UserInputError(
            f"data folder: {folder} holds {len(found)} class folders; put images into "
            "train/CLASS/ and val/CLASS/ of data_folder"
        )
    return found


def _examples(folder: Path, classes: list[str], size: int) -> ImageFolder:
    paths: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        files = sorted(p for p in (folder / name).rglob("*") if p.suffix.lower() in SUFFIXES)
        if not files:
            raise UserInputError(
                f"data folder: {folder / name} holds no images ({', '.join(SUFFIXES)})"
            )
        paths += files
        labels += [label] * len(files)
    return ImageFolder(tuple(paths), np.array(labels, np.int64), size)
