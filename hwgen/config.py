"""BuildConfig: what a build is asked to do; CLI flags and YAML keys are made from its fields."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hwgen.board import Board, explain, load_board
from hwgen.errors import UserInputError
from hwgen.layers.pipeline import LEAST


class BuildConfig(BaseModel):
    """One build. Every field is a flag of ``hwgen build`` and a key of its YAML file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Annotated[
        Path | None, Field(description="QONNX file; without it, the default network")
    ] = None
    board: Annotated[str, Field(description="board name, or a board's YAML file")] = "pynq-z2"
    out: Annotated[Path | None, Field(description="output folder [default: build/MODEL-BOARD]")] = (
        None
    )
    fps: Annotated[
        float | None, Field(gt=0, description="frames a second to reach with least area")
    ] = None
    clock_mhz: Annotated[
        float | None, Field(gt=0, description="fabric clock [default: the board's]")
    ] = None
    folding: Annotated[
        Path | None, Field(description="PE and SIMD by layer: a final_hw_config.json")
    ] = None
    max_levels: Annotated[
        int | None,
        Field(
            ge=LEAST,
            description="LUT levels that may lie between the registers of a kernel; more registers "
            "then, proven with Yosys (a level is 0.62 ns on 7-series, an adder 2.4 levels)",
        ),
    ] = None
    engine: Annotated[
        Literal["rtl", "finn"],
        Field(description="whose hardware: hwgen's own RTL, or FINN's (finn build needs Vivado)"),
    ] = "rtl"
    images: Annotated[
        Path | None,
        Field(
            description="verification images: .npz with images (N,C,H,W), optionally labels and "
            "brevitas_logits, or .npy [default: MODEL.data.npz, else noise]"
        ),
    ] = None
    top_k: Annotated[
        int | None,
        Field(ge=1, description="end in the places of the K largest outputs, not in the outputs"),
    ] = None
    synth: Annotated[bool, Field(description="synthesise with Yosys and report resources")] = False
    pnr: Annotated[
        bool,
        Field(description="place and route on a Lattice ECP5 with nextpnr and report its clock"),
    ] = False
    bitstream: Annotated[bool, Field(description="run the board's tool to make a bitstream")] = (
        False
    )
    verify: Annotated[bool, Field(description="run all engines on some images at the end")] = True

    def loaded_board(self) -> Board:
        """The board, with a legal clock."""
        board = load_board(self.board)
        if self.clock_mhz is not None and self.clock_mhz > board.max_clock_mhz:
            raise UserInputError(
                f"clock_mhz {self.clock_mhz:g} is above the {board.max_clock_mhz:g} MHz that "
                f"{board.name} allows"
            )
        return board


def read_config(path: Path | None, flags: Mapping[str, Any]) -> BuildConfig:
    """Merge a YAML file with flags; flags win. Every problem is one ``UserInputError``."""
    data: dict[str, Any] = {}
    if path is not None:
        try:
            loaded = yaml.safe_load(path.read_text())
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise UserInputError(f"config file {path} cannot be read: {error}") from error
        if not isinstance(loaded, dict):
            raise UserInputError(f"config file {path} holds no keys")
        data.update(loaded)
    data.update({key: value for key, value in flags.items() if value is not None})
    try:
        return BuildConfig.model_validate(data)
    except ValidationError as error:
        where = f"config file {path}" if path is not None else "options"
        raise UserInputError(f"{where}: {explain(error, BuildConfig.model_fields)}") from error
