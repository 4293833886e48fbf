"""project/ for Vivado: one script from RTL to bitstream by family, one for the network alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from hwgen.backends import axi_shell, openxc7
from hwgen.backends.mmcm import Mmcm, mmcm
from hwgen.backends.systemverilog import plain
from hwgen.board import Artix7, Board, Zynq, Zynq7
from hwgen.dataflow import Dataflow
from hwgen.files import Files
from hwgen.render import render

_SOURCES = (".sv", ".svh", ".v")
_PLAIN_NAME = re.compile(r"[\w.-]+(/[\w.-]+)*")


def emit(dataflow: Dataflow, board: Zynq, rtl: Files) -> Files:
    """Files of project/; ``rtl`` is the content of rtl/.

    Of those, SystemVerilog, Verilog and .mem files become part of the project.
    """
    shell = axi_shell.emit(dataflow, rtl)
    context = {
        **_network(dataflow, board, sorted(rtl)),
        **_processing_system(board),
        "shell": sorted(shell),
        "bus_bits": 8 * dataflow.axis_in.bus_bytes,
        "length_bits": board.dma.max_length_bits,
    }
    script = Files({"build.tcl": render("vivado/zynq/build.tcl.j2", context)})
    return script | shell | _alone(context)


def emit_artix7(
    dataflow: Dataflow, board: Artix7, rtl_files: Sequence[str], shell_files: Sequence[str]
) -> Files:
    """Files of project/ of a board without a processor, for Vivado and for openXC7.

    ``shell_files`` are ``hwgen_uart_top`` and the serial shell's, beside the script. Raises
    ``UserInputError`` for a clock that the part cannot make.
    """
    made, shell = clock(dataflow, board), board.shell
    pins = {"clk_pin_i": shell.clock_pin, "uart_rx_i": shell.rx_pin, "uart_tx_o": shell.tx_pin}
    if shell.reset is not None:
        pins["reset_i"] = shell.reset.pin
    context = {
        **_network(dataflow, board, rtl_files),
        "shell": ["board_top.sv", *_plain(shell_files)],
        "mmcm": made,
        "clock_hz": clock_hz(dataflow, board),
        "clock_in_mhz": f"{shell.clock_in_mhz:g}",
        "clock_in_ns": f"{1000 / shell.clock_in_mhz:.3f}",
        "baud": board.uart.baud,
        "pins": tuple(pins.items()),
        "io_standard": shell.io_standard,
        "reset": shell.reset,
        "config_voltage": {"LVCMOS33": "3.3", "LVCMOS25": "2.5"}.get(shell.io_standard),
    }
    names = ("build.tcl", "board_top.sv", "pins.xdc", "timing.xdc")
    project = Files({n: render(f"vivado/artix7/{n}.j2", context) for n in names})
    open_flow = Files({openxc7.SCRIPT: render(f"openxc7/{openxc7.SCRIPT}.j2", context)})
    return project | open_flow | _alone(context)


def clock(dataflow: Dataflow, board: Artix7) -> Mmcm | None:
    """What makes the network's clock of the board's oscillator."""
    return mmcm(board.shell.clock_in_mhz, dataflow.clock_mhz)


def clock_hz(dataflow: Dataflow, board: Artix7) -> int:
    """The clock that the network really gets, to the nearest hertz."""
    made = clock(dataflow, board)
    return round((made.mhz if made else dataflow.clock_mhz) * 1_000_000)


def _alone(context: Mapping[str, object]) -> Files:
    """The script that synthesises the network out of context."""
    names = ("synth_ooc.tcl", "ooc.xdc")
    return Files({n: render(f"vivado/ooc/{n}.j2", context) for n in names})


def _network(dataflow: Dataflow, board: Board, rtl_files: Sequence[str]) -> dict[str, object]:
    """What a script of any family knows of the network and its sources."""
    names = _plain(rtl_files)
    return {
        "network": plain(dataflow.graph.name),
        "title": plain(board.title),
        "part": board.part,
        "clock_mhz": f"{dataflow.clock_mhz:g}",
        "clock_ns": f"{1000 / dataflow.clock_mhz:.3f}",
        "sources": [name for name in names if name.endswith(_SOURCES)],
        "memories": [name for name in names if name.endswith(".mem")],
    }


def _plain(names: Sequence[str]) -> Sequence[str]:
    for name in names:
        if not _PLAIN_NAME.fullmatch(name):
            raise AssertionError(f"RTL file name {name!r} cannot stand in a Tcl list")
    return names


def _processing_system(board: Zynq) -> dict[str, object]:
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
