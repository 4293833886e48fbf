"""What the family of a board adds to a build: its project, its host's side, its bitstream."""

from __future__ import annotations

from pathlib import Path

from hwgen.backends import (
    ecp5,
    openxc7,
    pynq,
    pynqsim,
    systemverilog,
    uart,
    uartsim,
    vivado,
    vivado_run,
)
from hwgen.backends.nextpnr import Router
from hwgen.board import Artix7, Board, Ecp5, Zynq7, ZynqMP
from hwgen.dataflow import Dataflow
from hwgen.files import Files, write_json
from hwgen.journal import Journal
from hwgen.quant import IntArray

Example = tuple[IntArray, IntArray]  # frames (N, H, W, C), and what the network returns


def for_board(flow: Dataflow, board: Board, rtl: Files, example: Example) -> Files:
    """What a board of this family needs around the network: project/, and its host's side.

    ``rtl`` is the content of rtl/, ``example`` a few frames and what the network returns for them.
    """
    match board:
        case Zynq7() | ZynqMP():
            return (
                vivado.emit(flow, board, rtl).under("project")
                | pynq.emit(flow, board, rtl, example).under("driver")
                | pynqsim.emit(flow).under(pynqsim.FOLDER)
            )
        case Artix7():
            build_id = systemverilog.build_id(rtl)
            shell = uart.emit(flow, board.uart.baud, vivado.clock_hz(flow, board), build_id)
            project = shell | vivado.emit_artix7(flow, board, sorted(rtl), sorted(shell))
            return project.under("project") | _serial_host(flow, board.uart.baud, build_id)
        case Ecp5():
            baud, clock_hz = board.uart.baud, round(flow.clock_mhz * 1e6)
            build_id = systemverilog.build_id(rtl)
            project = uart.emit(flow, baud, clock_hz, build_id) | ecp5.emit(flow, board)
            return project.under("project") | _serial_host(flow, baud, build_id)


def _serial_host(flow: Dataflow, baud: int, build_id: int) -> Files:
    """For the host of a board on a serial line: what it must know, and the board simulated."""
    return uart.emit_host(flow, baud, build_id) | uartsim.emit(flow).under(uartsim.FOLDER)


def make_bitstream(
    folder: Path, flow: Dataflow, board: Board, router: Router, journal: Journal
) -> Files:
    """Run the tools of the board's family on project/, once ``require_bitstream`` agreed.

    ``router`` is of the build's kernels, for a board that nextpnr places on. Returns what is to be
    part of the finished build.
    """
    match board:
        case Zynq7() | ZynqMP():
            vivado_run.bitstream(folder, flow.clock_mhz, say=journal.detail)
        case Artix7():
            if openxc7.installed() and not vivado_run.installed():
                openxc7.bitstream(folder, board.part, flow.clock_mhz, journal.detail)
            else:
                vivado_run.bitstream(folder, flow.clock_mhz, hwh=False, say=journal.detail)
        case Ecp5():
            return _ecp5_bitstream(folder, flow, board, router, journal)
    return Files()


def require_bitstream(board: Board) -> None:
    """Raise ``ToolError`` where a tool is missing of which it is known before any work."""
    if isinstance(board, Ecp5):
        ecp5.require_tools()


def _ecp5_bitstream(
    folder: Path, flow: Dataflow, board: Ecp5, router: Router, journal: Journal
) -> Files:
    """project/bitfile, and report/ecp5_bitstream.json with the clock that was met."""
    made, record = ecp5.make(folder / "project", flow, board, router, journal.say)
    write_json(folder / "report" / "ecp5_bitstream.json", record.model_dump(mode="json"))
    journal.say(
        f"{made.bit}: {record.bit_bytes / 1e6:.2f} MB at {record.clock_mhz:.4g} MHz, "
        f"{record.fps:,.0f} frames/s; routed for up to {record.timing.fmax_mhz or 0:.1f} MHz"
    )
    return Files({f"project/bitfile/{p.name}": p.read_bytes() for p in (made.bit, made.svf)})
