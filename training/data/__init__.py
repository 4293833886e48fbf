"""Data sets: what the network is trained on and what it is held to."""

from pathlib import Path

from hwgen.errors import UserInputError
from training.data import cifar, digits, folder, foreign, mnist, shapes
from training.data.examples import Dataset, Examples, Split, stacked

__all__ = ["NAMES", "Dataset", "Examples", "Split", "load_dataset", "stacked"]

NAMES = ("digits", "shapes", "mnist", "fashion-mnist", "cifar10", "cifar100", "folder")
"""The data sets known by name; ``package.module:Name`` is a class of torchvision's kind."""


def load_dataset(name: str, source: Path | None, image_size: int, *, crop: float = 1.0) -> Dataset:
    """Read a data set; ``source`` is the folder of its files, ``image_size`` what the model reads.

    ``crop`` is the least share of an image's area that a random part has (image folders only).

    Nothing is downloaded. Raises ``UserInputError`` that says which files belong where.
    """
    if name == "digits":
        return digits.load()
    if name == "shapes":
        return shapes.load(image_size)
    if name not in NAMES and ":" not in name:
        raise UserInputError(
            f"data {name!r} is not known; choose {', '.join(NAMES)}, or package.module:Name of a "
            "data set of torchvision's kind"
        )
    if source is None:
        raise UserInputError(f"data {name} needs data_folder: the folder of its files")
    if name in ("mnist", "fashion-mnist"):
        return mnist.load(name, source, image_size)
    if name in ("cifar10", "cifar100"):
        return cifar.load(name, source, image_size)
    if name == "folder":
        return folder.load(source, image_size, crop)
    return foreign.load(name, source, image_size)
