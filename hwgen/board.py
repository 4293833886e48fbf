"""Boards as data: one strict YAML file each."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

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
    """The DMA between memory and the design."""

    max_length_bits: Annotated[int, Field(ge=8, le=26)]


_BOARD_PART = r"^[\w.-]+(:[\w.*-]+){3}$"
_PLAIN = r"^[\w .-]+$"  # nothing that Tcl would read as syntax


class ProcessingSystem7(_Strict):
    """What the Vivado flow needs to know of a Zynq-7000's processing system.

    ``board_part`` is a pattern of Vivado's board files; where they are not installed, ``config``
    sets the same things, as parameters of the processing_system7 block.
    """

    board_part: Annotated[str, Field(pattern=_BOARD_PART)]
    ddr_port: Annotated[str, Field(pattern=r"^S_AXI_HP[0-3]$")]
    ddr_port_bits: Literal[32, 64]
    control_port: Annotated[str, Field(pattern=r"^M_AXI_GP[01]$")]
    config: dict[
        Annotated[str, Field(pattern=r"^PCW_[A-Z0-9_]+$")],
        Annotated[str, Field(pattern=_PLAIN)],
    ]


class ProcessingSystemMP(_Strict):
    """The same of a Zynq UltraScale+; ``config`` has parameters of the zynq_ultra_ps_e block."""

    board_part: Annotated[str, Field(pattern=_BOARD_PART)]
    ddr_port: Annotated[str, Field(pattern=r"^S_AXI_HP[0-3]_FPD$")]
    ddr_port_bits: Literal[32, 64, 128]
    control_port: Annotated[str, Field(pattern=r"^M_AXI_HPM(0_FPD|1_FPD|0_LPD)$")]
    config: dict[
        Annotated[str, Field(pattern=r"^PSU__[A-Z0-9_]+$")],
        Annotated[str, Field(pattern=_PLAIN)],
    ]


class Uart(_Strict):
    """The serial line to the host: 8 data bits, no parity, 1 stop bit."""

    baud: Annotated[int, Field(ge=9600, le=12_000_000)]


Pin = Annotated[str, Field(pattern=r"^[A-Z]{1,2}[0-9]{1,2}$")]


class Button(_Strict):
    """A push button and its level while pressed; the pin is pulled to the other one."""

    pin: Pin
    active_low: bool


class Shell(_Strict):
    """What the design meets at the pins: a clock, a serial line, and a reset button if any.

    The FPGA drives ``tx_pin`` and listens at ``rx_pin``, however the board's maker names them.
    """

    io_standard: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")]
    clock_pin: Pin
    clock_in_mhz: Annotated[float, Field(gt=0)]
    tx_pin: Pin
    rx_pin: Pin
    reset: Button | None = None


class _Board(_Strict):
    """What every board has: part, capacity, clock.

    ``usable`` is the share of each resource that a design may plan with, ``bus_bytes`` the width
    of the AXI4-Stream on either side of the network.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    title: str
    part: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")]
    resources: Capacity
    usable: Annotated[float, Field(gt=0, le=1)]
    clock_mhz: Annotated[float, Field(gt=0)]
    max_clock_mhz: Annotated[float, Field(gt=0)]
    bus_bytes: Literal[4, 8, 16]

    @model_validator(mode="after")
    def _clock_within_reach(self) -> Self:
        if self.clock_mhz > self.max_clock_mhz:
            raise ValueError(f"clock_mhz {self.clock_mhz} is above max_clock_mhz")
        return self

    @property
    def finn_part(self) -> str | None:
        """The part for FINN's estimates, which know AMD's parts alone."""
        return self.part

    def budget(self) -> Resources:
        """What a design may plan with."""
        r = self.resources
        u = self.usable
        return Resources(r.LUT * u, r.FF * u, r.BRAM36 * u, r.DSP * u)


class _Zynq(_Board):
    """A processor beside the fabric, which reaches the network by DMA.

    ``finn_board`` is FINN's name of the board, where it has one.
    """

    finn_board: str | None = None
    dma: Dma


class Zynq7(_Zynq):
    """A Zynq-7000."""

    family: Literal["zynq7"]
    ps: ProcessingSystem7


class ZynqMP(_Zynq):
    """A Zynq UltraScale+ MPSoC."""

    family: Literal["zynqmp"]
    ps: ProcessingSystemMP


class _Fabric(_Board):
    """Fabric alone: the host reaches the network over a serial line."""

    uart: Uart
    shell: Shell


class Artix7(_Fabric):
    """An Artix-7."""

    family: Literal["artix7"]


class Ecp5(_Fabric):
    """A Lattice ECP5; LUT counts LUT4, BRAM36 pairs of EBR (18 kbit), DSP MULT18X18D."""

    family: Literal["ecp5"]

    @property
    def finn_part(self) -> None:
        """None: to FINN it is no part."""
        return None


Zynq = Zynq7 | ZynqMP
Board = Annotated[Zynq7 | ZynqMP | Artix7 | Ecp5, Field(discriminator="family")]

FAMILIES: dict[str, type[_Board]] = {
    "artix7": Artix7,
    "ecp5": Ecp5,
    "zynq7": Zynq7,
    "zynqmp": ZynqMP,
}
_ADAPTER: TypeAdapter[Board] = TypeAdapter(Board)


def explain(error: ValidationError, known: Iterable[str] = ()) -> str:
    """One line for all that is wrong in a file, with the nearest known key."""
    lines = []
    for item in error.errors():
        path = [str(part) for part in item["loc"] if part not in FAMILIES]
        where = ".".join(path)
        if item["type"] == "extra_forbidden":
            near = difflib.get_close_matches(path[-1], list(known), 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            lines.append(f"unknown key {where}{hint}")
        elif item["type"] == "union_tag_not_found":
            lines.append("family: Field required")
        elif item["type"] == "union_tag_invalid":
            lines.append(f"family: {item['ctx']['tag']!r} is not one of {', '.join(FAMILIES)}")
        else:
            lines.append(f"{where}: {item['msg']}".removeprefix(": "))
    return "; ".join(lines)


def _keys(model: type[BaseModel]) -> Iterator[str]:
    """Every key that a part of a board file may hold, at any depth."""
    for name, field in model.model_fields.items():
        yield name
        for inner in (field.annotation, *typing.get_args(field.annotation)):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                yield from _keys(inner)


def parse_board(values: object, where: str) -> Board:
    """A board of the content of its file; every problem is one error that begins with ``where``."""
    if not isinstance(values, dict):
        raise UserInputError(f"{where} holds no keys")
    try:
        return _ADAPTER.validate_python(values)
    except ValidationError as error:
        model = FAMILIES.get(str(values.get("family")), _Board)
        raise UserInputError(f"{where}: {explain(error, _keys(model))}") from error


def board_names() -> list[str]:
    """Names of the boards that hwgen ships."""
    return sorted(path.stem for path in data_folder("boards").glob("*.yaml"))


def load_board_file(path: Path) -> Board:
    """Read one board file; every problem in it is one ``UserInputError``."""
    try:
        values = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserInputError(f"board file {path} cannot be read: {error}") from error
    return parse_board(values, f"board file {path}")


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
