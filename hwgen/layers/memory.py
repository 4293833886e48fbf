"""Memory files for ``$readmemh``: one hexadecimal word a line, named by their content."""

from __future__ import annotations

import hashlib

import numpy as np

from hwgen.layers.base import RAM_STYLES, Folding
from hwgen.quant import IntArray


def words(lanes: IntArray, bits: int) -> list[int]:
    """Pack each row of ``lanes`` (words, elements), two's complement, element 0 lowest."""
    mask = (1 << bits) - 1
    packed = []
    for row in lanes:
        word = 0
        for i, value in enumerate(row):
            word |= (int(value) & mask) << (i * bits)
        packed.append(word)
    return packed


def text(values: list[int], width: int) -> bytes:
    """The file's bytes; ends with a newline, without which simulators drop the last word."""
    digits = -(-width // 4)
    return "".join(f"{v:0{digits}x}\n" for v in values).encode()


def named(kind: str, content: bytes) -> str:
    """A file name that changes exactly when the content does."""
    return f"{kind}_{hashlib.sha256(content).hexdigest()[:12]}"


def mem_file(kind: str, lanes: IntArray, bits: int) -> tuple[str, bytes]:
    """Name and content of a memory whose word i holds row i of ``lanes``."""
    rows = np.asarray(lanes)
    content = text(words(rows, bits), bits * rows.shape[1])
    return f"{named(kind, content)}.mem", content


def style_parameter(folding: Folding) -> dict[str, int]:
    """``STYLE`` of rom.sv, where it is not that of the size."""
    style = RAM_STYLES.index(folding.ram_style)
    return {"STYLE": style} if style else {}
