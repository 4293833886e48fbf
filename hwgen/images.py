"""What users give as images, as the integers that enter a network; every problem in words."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.errors import UserInputError
from hwgen.quant import IntArray, Scaling, Tensor, quantise


def require_images(source: Tensor, x: NDArray[Any]) -> None:
    """Raise ``UserInputError`` unless ``x`` has numbers of the network's shape.

    Floats (N, C, H, W) as the ONNX network has them, or integers (N, H, W, C).
    """
    if x.dtype.kind not in "fiub":
        raise UserInputError(f"images have dtype {x.dtype}; floats or integers are needed")
    h, w, c = source.shape
    wanted = (c, h, w) if x.dtype.kind == "f" else (h, w, c)
    if x.ndim != 4 or x.shape[1:] != wanted:
        text = ", ".join(map(str, wanted))
        raise UserInputError(
            f"images of dtype {x.dtype} have shape {x.shape}; (N, {text}) is needed"
        )
    if x.dtype.kind == "f" and np.isnan(x).any():
        raise UserInputError("images hold NaN")


def to_integers(source: Tensor, scaling: Scaling, images: NDArray[Any]) -> IntArray:
    """The integers (N, H, W, C) that enter the network for float images; integers pass.

    Raises ``UserInputError`` for integers that the network does not read.
    """
    if images.dtype.kind == "f":
        return quantise(scaling, source, images.astype(np.float32))
    lo, hi = scaling.limits(source.dtype)
    if images.size and (images.min() < lo or images.max() > hi):
        raise UserInputError(
            f"images hold integers of [{images.min()}, {images.max()}], outside [{lo}, {hi}]; "
            "integers must be quantised already, other images be floats (N, C, H, W)"
        )
    return images.astype(np.int64)
