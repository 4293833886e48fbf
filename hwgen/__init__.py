"""hwgen: from a trained ReActNet to proven XNOR-popcount hardware.

``hwgen.load("build/NAME-BOARD").run(images)`` gives the hardware's exact outputs in software.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from hwgen.model import Model

__version__ = "0.1.0"
__all__ = ["load"]


def load(build: str | Path, *, simd: str = "auto") -> Model:
    """Load a finished build's C++ model; compiles it first if that was not done yet.

    ``simd``: auto, portable, avx2 or avx512; the integers are the same. Raises ``HwgenError`` in
    words for a folder that is no build, for damaged files and for a missing compiler.
    """
    from hwgen.model import Model  # numpy; `import hwgen` stays instant

    return Model.of_build(build, simd)
