"""An ECP5 board without any vendor's tool: Yosys, nextpnr and ecppack, from RTL to bitstream.

``board_top`` puts the pins, the PLL and a reset around ``hwgen_uart_top``. Its dividers are
parameters, so that a clock which routing turned out to forbid gives way to a lower one without any
change of a generated file.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hwgen import schema
from hwgen.backends import ecp5_pll, uart
from hwgen.backends.ecp5_part import Part
from hwgen.backends.nextpnr import Around, Routed, Router
from hwgen.backends.systemverilog import plain
from hwgen.board import Ecp5
from hwgen.dataflow import Dataflow
from hwgen.errors import ResourceError, ToolError
from hwgen.files import Files, write_bytes
from hwgen.layers.base import RtlInstance
from hwgen.render import render
from hwgen.run import find_tool, run_tool

TOP = "board_top"
PACK = "yowasp-ecppack"
PLAIN_MHZ = 75  # what kernels of any network reach without a bound on levels
ATTEMPTS = 4  # of routing, each for a lower clock
MARGIN = 0.03  # further below what the last reached, with every attempt: routings differ by so much


@dataclass(frozen=True, slots=True)
class Bitfile:
    """What configures the board, for a loader (.bit) and for JTAG players (.svf)."""

    bit: Path
    svf: Path


def emit(dataflow: Dataflow, board: Ecp5) -> Files:
    """The files of project/ around those of ``uart.emit``: top, constraints, script."""
    shell, pll = board.shell, ecp5_pll.highest(board.shell.clock_in_mhz, dataflow.clock_mhz)
    pins = [
        {"port": "clk_i", "site": shell.clock_pin, "pull": "NONE"},
        {"port": "uart_rx_i", "site": shell.rx_pin, "pull": "UP"},  # a line that rests is high
        {"port": "uart_tx_o", "site": shell.tx_pin, "pull": "NONE"},
    ]
    if shell.reset is not None:
        pull = "UP" if shell.reset.active_low else "DOWN"
        pins.append({"port": "button_i", "site": shell.reset.pin, "pull": pull})
    context = {
        "network": plain(dataflow.graph.name),
        "title": plain(board.title),
        "top": TOP,
        "core": uart.TOP,
        "input_mhz": f"{shell.clock_in_mhz:g}",
        "pll": pll.parameters,
        "baud": board.uart.baud,
        "button": shell.reset is not None,
        "active_low": shell.reset is not None and shell.reset.active_low,
        "io_standard": shell.io_standard,
        "pins": pins,
        "part": Part.of(board.part),
    }
    return Files(
        {
            f"{TOP}.sv": render(f"ecp5/top/{TOP}.sv.j2", context),
            "board.lpf": render("ecp5/top/board.lpf.j2", context),
            "build.sh": render("ecp5/top/build.sh.j2", context),
        }
    )


def require_tools() -> None:
    """Raise ``ToolError`` before any work is done where the packer is missing."""
    find_tool(PACK)


def make(
    project: Path, dataflow: Dataflow, board: Ecp5, router: Router, say: Callable[[str], None]
) -> tuple[Bitfile, schema.Ecp5Bitstream]:
    """``project``/bitfile of a finished build, and what it runs at.

    The clock is the highest that the PLL makes of those up to ``dataflow.clock_mhz`` that the
    routed design meets. Raises ``ResourceError`` before placement where the board is too small,
    ``ToolError`` where a tool fails or no clock is met.
    """
    require_tools()
    started = time.monotonic()
    pll, routed = _meet_a_clock(project, dataflow, board, router, say)
    made = pack(routed.config, project / "bitfile", project / "ecppack.log")
    record = schema.Ecp5Bitstream(
        clock_mhz=float(pll.mhz),
        asked_mhz=dataflow.clock_mhz,
        clocks={name: round(mhz, 2) for name, mhz in routed.clocks.items()},
        pll=pll.parameters,
        timing=routed.timing,
        bit_bytes=made.bit.stat().st_size,
        fps=float(pll.mhz) * 1e6 / dataflow.max_cycles,
        seconds=round(time.monotonic() - started, 1),
    )
    return made, record


def _meet_a_clock(
    project: Path, dataflow: Dataflow, board: Ecp5, router: Router, say: Callable[[str], None]
) -> tuple[ecp5_pll.Pll, Routed]:
    """Route for the clock that was planned, or for lower ones until one is met."""
    sources = {path.stem: path.read_text() for path in sorted(project.glob("*.sv"))}
    lpf = (project / "board.lpf").read_bytes()
    pll = ecp5_pll.highest(board.shell.clock_in_mhz, dataflow.clock_mhz)
    for attempt in range(ATTEMPTS):
        if pll.hz < uart.CLOCKS_A_BIT * board.uart.baud:
            raise ResourceError(
                f"{board.name}: a clock of {pll.hz / 1e6:.4g} MHz is too slow for "
                f"{board.uart.baud} baud, which takes {uart.CLOCKS_A_BIT} clocks a bit; lower "
                "uart.baud in the board file, or build for fewer frames a second (--fps)"
            )
        around = Around(RtlInstance(TOP, dict(pll.parameters)), sources, lpf)
        routed = router.at(float(pll.mhz)).board(dataflow, around, board.resources)
        reached = routed.timing.fmax_mhz
        if reached is None or reached >= pll.mhz:
            return pll, routed
        lower = ecp5_pll.below(pll, reached * (1 - MARGIN * (attempt + 1)))
        say(
            f"{board.name}: {reached:.1f} MHz routed for {float(pll.mhz):.4g} MHz; "
            f"the clock becomes {float(lower.mhz):.4g} MHz"
        )
        pll = lower
    path = routed.timing.critical_path
    raise ToolError(
        f"{board.name}: no clock was met in {ATTEMPTS} routings, the last reached {reached:.1f} "
        f"MHz{f' ({path.words})' if path else ''}; give a lower --clock-mhz"
    )


def pack(config: bytes, folder: Path, log: Path) -> Bitfile:
    """hwgen.bit and hwgen.svf of a configuration in nextpnr's text."""
    made = Bitfile(folder / "hwgen.bit", folder / "hwgen.svf")
    text = folder / "hwgen.config"
    write_bytes(text, config)
    # the tool runs in a sandbox that sees its own /tmp: paths are relative
    command = [PACK, "--compress", "--svf", made.svf.name, text.name, made.bit.name]
    run_tool(
        command,
        cwd=folder,
        log=log.resolve(),
        timeout_s=600,
        expect=(made.bit.resolve(), made.svf.resolve()),
    )
    text.unlink()
    return made
