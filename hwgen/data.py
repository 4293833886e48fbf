"""Verification data: images, and what is known of them."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.errors import UserInputError


@dataclass(frozen=True, slots=True)
class VerificationData:
    """images (N, C, H, W) float32; labels (N), brevitas_logits (N, classes) where known.

    Accuracies are those of the network before the integers: of the real-valued twin (float) and
    of Brevitas, in [0, 1].
    """

    images: NDArray[np.float32]
    labels: NDArray[np.int64] | None = None
    brevitas_logits: NDArray[np.float32] | None = None
    float_accuracy: float | None = None
    brevitas_accuracy: float | None = None

    def to_bytes(self) -> bytes:
        """An .npz that ``load_data`` reads."""
        known = {
            name: np.asarray(value)
            for name in self.__slots__
            if (value := getattr(self, name)) is not None
        }
        stream = io.BytesIO()
        np.savez(stream, allow_pickle=False, **known)
        return stream.getvalue()


def load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an ``.npz``, or of an ``.npy`` as images; ``images`` is among them.

    Every problem is one ``UserInputError``.
    """
    try:
        loaded = np.load(path, allow_pickle=False)
        arrays = {"images": loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserInputError(f"images {path} cannot be read as .npy or .npz: {error}") from error
    if "images" not in arrays:
        raise UserInputError(f"images {path}: no array named images, only {', '.join(arrays)}")
    return arrays


def load_data(path: Path) -> VerificationData:
    """Read ``.npy`` (images alone) or ``.npz``; every problem is one ``UserInputError``."""
    arrays = load_arrays(path)
    images = arrays["images"]
    if images.ndim != 4 or not len(images) or images.dtype.kind not in "fiu":
        raise UserInputError(
            f"images {path}: shape {images.shape} of {images.dtype}; "
            "numbers (N, C, H, W) are needed"
        )
    if images.dtype.kind == "f" and not np.isfinite(images).all():
        raise UserInputError(f"images {path}: NaN or infinite values")
    labels, logits = arrays.get("labels"), arrays.get("brevitas_logits")
    for name, value in (("labels", labels), ("brevitas_logits", logits)):
        if value is not None and len(value) != len(images):
            raise UserInputError(f"images {path}: {len(images)} images but {len(value)} {name}")
    return VerificationData(
        images=images.astype(np.float32),
        labels=None if labels is None else labels.astype(np.int64),
        brevitas_logits=None if logits is None else logits.astype(np.float32),
        float_accuracy=_scalar(arrays, "float_accuracy"),
        brevitas_accuracy=_scalar(arrays, "brevitas_accuracy"),
    )


def _scalar(arrays: dict[str, NDArray[np.float64]], name: str) -> float | None:
    return float(arrays[name].reshape(-1)[0]) if name in arrays else None
