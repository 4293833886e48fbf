"""A build's network as a Python function: images in, the hardware's exact integers out.

model = hwgen.load("build/digits-pynq-z2")
model.run(images)                  # integer logits, or class indices behind an argmax
model.run(images, scores=True)     # the float logits they stand for
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.backends import cpp
from hwgen.backends.cpp_library import Library
from hwgen.errors import UserInputError
from hwgen.files import check_seal
from hwgen.images import require_images, to_integers
from hwgen.quant import Scaling

CHUNK = 256  # images between two chances to interrupt


@dataclass(frozen=True, slots=True)
class Model:
    """The C++ model of a build, loaded.

    ``classes``: whether the network ends in argmax or top-k, and gives places instead of scores.
    """

    library: Library
    scaling: Scaling
    classes: bool
    simd: str

    @classmethod
    def of_build(cls, build: str | Path, simd: str = "auto") -> Model:
        """Load the model of a finished build folder."""
        check_seal(Path(build))
        return cls.of_folder(Path(build) / "cppsim", simd)

    @classmethod
    def of_folder(cls, folder: Path, simd: str = "auto") -> Model:
        """Load the model in a build's folder ``cppsim``."""
        scaling, classes = cpp.read_meaning(folder)
        library = Library.open(cpp.build(folder, folder / "build.log"))
        library.require_simd(simd)
        return cls(library, scaling, classes, simd)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of a float image, as the ONNX network has it."""
        h, w, c = self.library.input.shape
        return c, h, w

    @property
    def input_range(self) -> tuple[int, int]:
        """The least and the largest integer that enters."""
        return self.scaling.limits(self.library.input.dtype)

    def run(
        self, images: NDArray[Any], *, scores: bool = False, threads: int | None = None
    ) -> NDArray[Any]:
        """Outputs of all images: (N, outputs), or (N, H, W, C) where they are images.

        ``images``: floats (N, C, H, W) as the ONNX network has them, or integers (N, H, W, C) that
        are quantised already. Gives int64, or with ``scores`` the float64 numbers that these stand
        for. ``threads``: all cores unless told.
        """
        if scores and self.classes:
            raise UserInputError("the network ends in argmax: it has class indices, no scores")
        count = threads if threads is not None else len(os.sched_getaffinity(0))
        if count < 1:
            raise UserInputError(f"threads is {threads}; it must be at least 1")
        x = np.asarray(images)
        require_images(self.library.input, x)
        output = self.library.outputs(len(x))
        for start in range(0, len(x), CHUNK):
            part = slice(start, start + CHUNK)
            integers = to_integers(self.library.input, self.scaling, x[part])
            self.library.run(integers, output[part], threads=count, simd=self.simd)
        flat = output[:, 0, 0] if self.library.output.pixels == 1 else output
        return self.scaling.floats(flat) if scores else flat
