"""MNIST and Fashion-MNIST from their published idx files."""

import gzip
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hwgen.errors import UserInputError
from training.data.examples import Dataset, Split, fitted

PARTS = {"train": "train", "held out": "t10k"}


def load(name: str, folder: Path, image_size: int) -> Dataset:
    """28x28 grey images, zeros around them up to ``image_size``; files gzipped or not."""
    splits = []
    for prefix in PARTS.values():
        images = _read(folder, f"{prefix}-images-idx3-ubyte", name, 3)
        labels = _read(folder, f"{prefix}-labels-idx1-ubyte", name, 1)
        if len(images) != len(labels):
            raise UserInputError(
                f"data {name}: {len(images)} images but {len(labels)} labels in {folder} ({prefix})"
            )
        splits.append(Split(fitted(images[:, None], image_size, name), labels.astype(np.int64)))
    return Dataset(splits[0], splits[1], num_classes=10)


def _read(folder: Path, stem: str, name: str, dimensions: int) -> NDArray[np.uint8]:
    """An idx file of bytes: magic number, sizes, values."""
    found = next((p for p in (folder / stem, folder / f"{stem}.gz") if p.is_file()), None)
    if found is None:
        raise UserInputError(
            f"data {name}: {folder / stem} (or .gz) is missing; put the four published files "
            f"train- and t10k-, images-idx3-ubyte and labels-idx1-ubyte, into {folder}"
        )
    try:
        content = found.read_bytes()
        if found.suffix == ".gz":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise UserInputError(f"data {name}: {found} cannot be read: {error}") from None
    header = 4 + 4 * dimensions
    sizes = np.frombuffer(content[4:header], ">u4") if len(content) >= header else np.zeros(1)
    magic = bytes([0, 0, 8, dimensions])
    if content[:4] != magic or len(content) != header + int(np.prod(sizes, dtype=np.int64)):
        raise UserInputError(f"data {name}: {found} is not a whole idx file of {dimensions} sizes")
    return np.frombuffer(content[header:], np.uint8).reshape([int(n) for n in sizes])
