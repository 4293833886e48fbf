"""project/ of a Zynq board: one Vivado script from RTL to bitstream, and its run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hwgen.board import Board, Zynq7, ZynqMP
from hwgen.dataflow import Dataflow
from hwgen.errors import ToolError
from hwgen.files import Files
from hwgen.render import render
from hwgen.run import find_tool, run_tool

COMMAND = ("vivado", "-mode", "batch", "-nojournal", "-nolog", "-source", "build.tcl")
HOURS = 8  # a full design takes minutes to a few hours
_SOURCES = (".sv", ".svh", ".v")
_PLAIN_NAME = re.compile(r"[\w.-]+(/[\w.-]+)*")


@dataclass(frozen=True, slots=True)
class Bitfile:
    """What configures the board: the bitstream, and the description of it that PYNQ reads."""

    bit: Path
    hwh: Path


def emit(dataflow: Dataflow, board: Zynq7 | ZynqMP, rtl_files: Sequence[str]) -> Files:
    """Files of project/; ``rtl_files`` are names relative to rtl/.

    Of those, SystemVerilog, Verilog and .mem files become part of the project.
    """
    bus_bytes = dataflow.axis_in.bus_bytes
    last_beat = dataflow.axis_in.beats - 1
    context = {
        **_network(dataflow, board, rtl_files),
        **_processing_system(board),
        "bus_bytes": bus_bytes,
        "bus_bits": 8 * bus_bytes,
        "length_bits": board.dma.max_length_bits,
        "last_beat": last_beat,
        "beat_bits": max(1, last_beat.bit_length()),
    }
    names = ("build.tcl", "hwgen_shell.v")
    return Files({n: render(f"vivado/zynq/{n}.j2", context) for n in names})


def _network(dataflow: Dataflow, board: Board, rtl_files: Sequence[str]) -> dict[str, object]:
    """What a script of any family knows of the network and its sources."""
    for name in rtl_files:
        if not _PLAIN_NAME.fullmatch(name):
            raise AssertionError(f"RTL file name {name!r} cannot stand in a Tcl list")
    return {
        "network": plain(dataflow.graph.name),
        "title": plain(board.title),
        "part": board.part,
        "clock_mhz": f"{dataflow.clock_mhz:g}",
        "sources": [name for name in rtl_files if name.endswith(_SOURCES)],
        "memories": [name for name in rtl_files if name.endswith(".mem")],
    }


def _processing_system(board: Zynq7 | ZynqMP) -> dict[str, object]:
    """The processing system, its ports, and the pins that the block design joins by name."""
    ps = board.ps
    context: dict[str, object] = {
        "family": board.family,
        "board_part": ps.board_part,
        "control_port": ps.control_port,
        "ddr_port": ps.ddr_port,
        "ddr_port_bits": ps.ddr_port_bits,
        "ps_config": tuple(ps.config.items()),
    }
    if isinstance(board, Zynq7):
        return context | {
            "address_bits": 32,
            "ps_clock": "FCLK_CLK0",
            "ps_reset": "FCLK_RESET0_N",
            "ps_interrupt": "IRQ_F2P",
            "control_clock": "${control_port}_ACLK",
            "ddr_clock": "${ddr_port}_ACLK",
        }
    return context | {
        "address_bits": 40,  # memory beyond 2 GB lies above 32 GB
        "ps_clock": "pl_clk0",
        "ps_reset": "pl_resetn0",
        "ps_interrupt": "pl_ps_irq0",
        "control_clock": _clock_mp(ps.control_port),
        "ddr_clock": _clock_mp(ps.ddr_port),
    }


def _clock_mp(port: str) -> str:
    """The clock pin of a port of zynq_ultra_ps_e: ``saxihp0_fpd_aclk`` of ``S_AXI_HP0_FPD``."""
    return f"{port.lower().replace('_axi_', 'axi')}_aclk"


def run(project: Path, log: Path) -> Bitfile:
    """Make the bitstream with the Vivado on PATH; without one, say what to run elsewhere."""
    made = Bitfile(project / "bitfile" / "hwgen.bit", project / "bitfile" / "hwgen.hwh")
    try:
        find_tool(COMMAND[0])
    except ToolError as error:
        raise ToolError(
            f"{error}; or copy the build folder to a machine that has it and run there, "
            f"in {project}: vivado -mode batch -source build.tcl"
        ) from error
    # the tool runs inside the project: a relative log or result would be looked up there
    run_tool(
        COMMAND,
        cwd=project,
        log=log.resolve(),
        timeout_s=HOURS * 3600,
        expect=(made.bit.resolve(), made.hwh.resolve()),
    )
    return made


def plain(text: str) -> str:
    """``text`` without what could end a comment or string of a generated file."""
    return re.sub(r"[^\w .:()+-]", "_", text)
