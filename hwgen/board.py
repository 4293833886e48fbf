"""Boards as data: one strict YAML file each."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hwgen.errors import UserInputError
from hwgen.layers.base import Resources
from hwgen.resources import data_folder


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Capacity(_Strict):
    """What the part holds; BRAM in blocks of 36 kbit."""

    LUT: Annotated[int, Field(gt=0)]
    FF: Annotated[int, Field(gt=0)]
    BRAM36: Annotated[int, Field(ge=0)]
    DSP: Annotated[int, Field(ge=0)]


class Dma(_Strict):
    """The bus between memory and the design."""

    bus_bytes: Literal[4, 8, 16]
    max_length_bits: Annotated[int, Field(ge=8, le=26)]


class ProcessingSystem(_Strict):
    """What the Vivado flow of a Zynq needs to know of its processing system.

    ``board_part`` is a pattern of Vivado's board files; where they are not installed, ``config``
    sets the same things, as parameters of the processing_system7 block.
    """

    board_part: Annotated[str, Field(pattern=r"^[\w.-]+(:[\w.*-]+){3}$")]
    ddr_port: Annotated[str, Field(pattern=r"^S_AXI_HP[0-3]$")]
    ddr_port_bits: Literal[32, 64]
    control_port: Annotated[str, Field(pattern=r"^M_AXI_GP[01]$")]
    config: dict[
        Annotated[str, Field(pattern=r"^PCW_[A-Z0-9_]+$")],
        Annotated[str, Field(pattern=r"^[\w .-]+$")],  # nothing that Tcl would read as syntax
    ]


class Board(_Strict):
    """A board: its part, capacity, clock and the way data comes in."""

    name: str
    title: str
    family: Literal["zynq7"]
    part: str
    finn_board: str
    resources: Capacity
    usable: Annotated[float, Field(gt=0, le=1)]
    clock_mhz: Annotated[float, Field(gt=0)]
    max_clock_mhz: Annotated[float, Field(gt=0)]
    dma: Dma
    ps: ProcessingSystem

    @model_validator(mode="after")
    def _clock_within_reach(self) -> Self:
        if self.clock_mhz > self.max_clock_mhz:
            raise ValueError(f"clock_mhz {self.clock_mhz} is above max_clock_mhz")
        return self

    def budget(self) -> Resources:
        """What a design may plan with."""
        r = self.resources
        u = self.usable
        return Resources(r.LUT * u, r.FF * u, r.BRAM36 * u, r.DSP * u)


def explain(error: ValidationError, known: dict[str, object] | None = None) -> str:
    """One line for all that is wrong in a file, with the nearest known key."""
    lines = []
    for item in error.errors():
        where = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            near = difflib.get_close_matches(str(item["loc"][-1]), list(known or {}), 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            lines.append(f"unknown key {where}{hint}")
        else:
            lines.append(f"{where}: {item['msg']}")
    return "; ".join(lines)


def _known_keys() -> dict[str, object]:
    """Every key a board file may hold, at any depth."""
    parts: tuple[type[_Strict], ...] = (Board, Capacity, Dma, ProcessingSystem)
    return {key: field for part in parts for key, field in part.model_fields.items()}


def board_names() -> list[str]:
    """Names of the boards that hwgen ships."""
    return sorted(path.stem for path in data_folder("boards").glob("*.yaml"))


def load_board_file(path: Path) -> Board:
    """Read one board file; every problem in it is one ``UserInputError``."""
    try:
        return Board.model_validate(yaml.safe_load(path.read_text()))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserInputError(f"board file {path} cannot be read: {error}") from error
    except ValidationError as error:
        raise UserInputError(f"board file {path}: {explain(error, _known_keys())}") from error


def load_board(name: str) -> Board:
    """A board by name (any case), or by the path of a YAML file."""
    if name.endswith((".yaml", ".yml")):
        return load_board_file(Path(name))
    names = board_names()
    if name.lower() in names:
        return load_board_file(data_folder("boards") / f"{name.lower()}.yaml")
    near = difflib.get_close_matches(name.lower(), names, 1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise UserInputError(f"unknown board {name!r}; {hint}boards: {', '.join(names)}")
