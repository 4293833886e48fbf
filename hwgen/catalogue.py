"""The boards as a list, with what can be made for each on this machine; and a file to begin one."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hwgen.backends import ecp5, nextpnr, openxc7
from hwgen.board import Board, board_names, load_board
from hwgen.errors import ToolError, UserInputError
from hwgen.files import write_bytes
from hwgen.resources import data_folder
from hwgen.run import find_tool

# by family: the tools, all needed, of each way to a bitstream
_WAYS: dict[str, dict[str, tuple[str, ...]]] = {
    "zynq7": {"Vivado": ("vivado",)},
    "zynqmp": {"Vivado": ("vivado",)},
    "artix7": {"Vivado": ("vivado",), "openXC7": openxc7.TOOLS},
    "ecp5": {"Yosys and nextpnr": (nextpnr.TOOL, ecp5.PACK)},
}
_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")


@dataclass(frozen=True, slots=True)
class Way:
    """One way to a bitstream, and which of its tools this machine lacks."""

    name: str
    tools: tuple[str, ...]
    missing: tuple[str, ...]

    def __str__(self) -> str:
        if not self.missing:
            return f"bitstream ({self.tools[0]})"
        return f"bitstream needs {self.name} ({', '.join(self.missing)} not found)"


def ways(board: Board) -> tuple[Way, ...]:
    """The ways to a bitstream for ``board``."""
    return tuple(
        Way(name, tools, tuple(tool for tool in tools if not _there(tool)))
        for name, tools in _WAYS[board.family].items()
    )


def _there(tool: str) -> bool:
    try:
        find_tool(tool)
    except ToolError:
        return False
    return True


def describe(board: Board) -> dict[str, Any]:
    """One board for machines: stable keys."""
    return {
        "name": board.name,
        "title": board.title,
        "family": board.family,
        "part": board.part,
        "resources": board.resources.model_dump(),
        "usable": board.usable,
        "clock_mhz": board.clock_mhz,
        "max_clock_mhz": board.max_clock_mhz,
        "bitstream": [asdict(way) for way in ways(board)],
    }


def begin(name: str, like: str, out: Path | None) -> Path:
    """Write the file of a new board as a copy of ``like``'s; return its path.

    Raises ``UserInputError`` for a name that is taken or not legal, and where the file exists.
    """
    if not _NAME.fullmatch(name):
        raise UserInputError(
            f"board name {name!r} is not legal; use small letters, digits and hyphens, as my-board"
        )
    if name in board_names():
        raise UserInputError(f"board {name} exists already (hwgen boards show {name})")
    source = load_board(like)
    path = out or Path(f"{name}.yaml")
    if path.exists():
        raise UserInputError(f"{path} exists; remove it, or write elsewhere with --out")
    text = file_of(like).read_text()
    body = re.sub(r"\A(#.*\n)+", "", text)
    for key, value in (("name", name), ("title", f"My board, after {source.title}")):
        body = re.sub(rf"(?m)^{key}: .*$", f"{key}: {value}", body, count=1)
    head = (
        f"# {name}: begun as a copy of {source.name} ({source.family}).\n"
        "# Compare every value with the board's documents and name them here.\n"
        f"# Use it by its path: hwgen build MODEL --board {path.name}\n"
    )
    write_bytes(path, (head + body).encode())
    load_board(str(path))
    return path


def file_of(name: str) -> Path:
    """The file of a board by name, or the path itself."""
    shipped = data_folder("boards") / f"{name.lower()}.yaml"
    return Path(name) if name.endswith((".yaml", ".yml")) else shipped
