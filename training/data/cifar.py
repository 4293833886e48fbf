"""CIFAR-10 and CIFAR-100 from their published archives, in the binary or the Python version."""

import io
import pickle
import tarfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.errors import UserInputError
from training.data.examples import Dataset, Split, fitted

PIXELS = 3 * 32 * 32


class _Layout:
    """Where one of the two data sets keeps its images, and which labels count."""

    def __init__(self, name: str) -> None:
        self.name = name
        ten = name == "cifar10"
        batches = [f"data_batch_{i}" for i in range(1, 6)] if ten else ["train"]
        self.parts = (batches, ["test_batch"] if ten else ["test"])
        self.classes = 10 if ten else 100
        self.label = b"labels" if ten else b"fine_labels"
        self.label_bytes = 1 if ten else 2  # of the binary version; the last one counts
        self.folders = (
            "." if ten else ".",
            "cifar-10-batches-bin" if ten else "cifar-100-binary",
            "cifar-10-batches-py" if ten else "cifar-100-python",
        )
        self.archives = tuple(
            f"cifar-{'10' if ten else '100'}-{kind}.tar.gz" for kind in ("binary", "python")
        )


def load(name: str, folder: Path, image_size: int) -> Dataset:
    """32x32 RGB images from an archive in ``folder``, or from its extracted files."""
    layout = _Layout(name)
    files = _Files(layout, folder)
    splits = []
    for part in layout.parts:
        images, labels = zip(*(files.read(stem) for stem in part), strict=True)
        whole = fitted(np.concatenate(images), image_size, name)
        splits.append(Split(whole, np.concatenate(labels).astype(np.int64)))
    return Dataset(splits[0], splits[1], num_classes=layout.classes)


class _Files:
    """The files of a data set, in folders or in an archive."""

    def __init__(self, layout: _Layout, folder: Path) -> None:
        self.layout, self.folder = layout, folder
        self.archived: dict[str, bytes] = {}
        if not any(self._paths(layout.parts[0][0])):
            self.archived = self._unpack()

    def _paths(self, stem: str) -> Iterable[Path]:
        names = [stem, f"{stem}.bin"]
        paths = (self.folder / sub / n for sub in self.layout.folders for n in names)
        return [path for path in paths if path.is_file()]

    def _unpack(self) -> dict[str, bytes]:
        path = next(
            (self.folder / a for a in self.layout.archives if (self.folder / a).is_file()), None
        )
        if path is None:
            raise UserInputError(
                f"data {self.layout.name}: put the published {' or '.join(self.layout.archives)}, "
                f"or its extracted files, into {self.folder}"
            )
        try:
            with tarfile.open(path) as archive:
                members = [member for member in archive if member.isfile()]
                return {
                    Path(member.name).name: stream.read()
                    for member in members
                    if (stream := archive.extractfile(member)) is not None
                }
        except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
            raise UserInputError(
                f"data {self.layout.name}: {path} is damaged or cut short: {error}"
            ) from None

    def read(self, stem: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Images (N, 3, 32, 32) and labels (N,) of one file."""
        name = stem
        if self.archived:
            name = next((n for n in (stem, f"{stem}.bin") if n in self.archived), stem)
            content = self.archived.get(name)
        else:
            path = next(iter(self._paths(stem)), None)
            name = stem if path is None else path.name
            content = None if path is None else path.read_bytes()
        if content is None:
            raise UserInputError(f"data {self.layout.name}: {stem} is missing in {self.folder}")
        images, labels = (self._binary if name.endswith(".bin") else self._pickled)(name, content)
        if labels.size and not 0 <= labels.min() <= labels.max() < self.layout.classes:
            raise self._damaged(name, f"labels outside 0..{self.layout.classes - 1}")
        return images, labels

    def _damaged(self, name: str, why: str) -> UserInputError:
        return UserInputError(f"data {self.layout.name}: file {name} in {self.folder}: {why}")

    def _binary(self, name: str, content: bytes) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        size = self.layout.label_bytes + PIXELS
        if not content or len(content) % size:
            raise self._damaged(name, f"{len(content)} bytes are not records of {size}")
        rows = np.frombuffer(content, np.uint8).reshape(-1, size)
        labels = rows[:, self.layout.label_bytes - 1].astype(np.int64)
        return rows[:, self.layout.label_bytes :].reshape(-1, 3, 32, 32), labels

    def _pickled(self, name: str, content: bytes) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        try:
            batch: Any = _Plain(io.BytesIO(content), encoding="bytes").load()
            images = np.asarray(batch[b"data"])
            labels = np.asarray(batch[self.layout.label], np.int64)
        except Exception as error:  # whatever a damaged pickle makes of itself
            raise self._damaged(name, f"not a whole batch ({error})") from None
        if images.dtype != np.uint8 or images.shape != (len(labels), PIXELS):
            raise self._damaged(name, f"images of {images.dtype} {images.shape}")
        return images.reshape(-1, 3, 32, 32), labels


class _Plain(pickle.Unpickler):
    """Reads arrays and plain containers; a pickle that asks for anything else is refused."""

    ALLOWED = frozenset(
        {
            ("numpy", "dtype"),
            ("numpy", "ndarray"),
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("_codecs", "encode"),
        }
    )

    def find_class(self, module: str, name: str) -> Any:
        """Look up one of the few names that arrays need."""
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)
