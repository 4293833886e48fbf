"""An Artix-7 board without a vendor's tool: Yosys, nextpnr-xilinx and Project X-Ray's packers."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hwgen.errors import ToolError, ToolFailure
from hwgen.run import find_tool, run_tool

TOOLS = ("yosys", "nextpnr-xilinx", "fasm2frames", "xc7frames2bit")
SCRIPT = "openxc7.ys"
HOURS = 8
_MAX = re.compile(r"Max frequency for clock\s+'([^']+)': ([\d.]+) MHz")


@dataclass(frozen=True, slots=True)
class Databases:
    """What nextpnr-xilinx and the packers must know of a part."""

    chip: Path
    xray: Path
    part: Path


def installed() -> bool:
    """Whether every tool is on PATH."""
    try:
        for tool in TOOLS:
            find_tool(tool)
    except ToolError:
        return False
    return True


def bitstream(folder: Path, part: str, clock_mhz: float, say: Callable[[str], None]) -> Path:
    """project/bitfile/hwgen.bit of a build folder.

    Raises ``ToolError`` with the first error of the tool that fails, and where the clock is not
    met.
    """
    project = (folder / "project").resolve()
    work, bit = project / "openxc7", project / "bitfile" / "hwgen.bit"
    found = databases(part)
    work.mkdir(parents=True, exist_ok=True)
    bit.parent.mkdir(parents=True, exist_ok=True)
    bit.unlink(missing_ok=True)
    netlist, fasm, frames = (work / f"hwgen.{kind}" for kind in ("json", "fasm", "frames"))
    steps: dict[Path, list[str | Path]] = {
        netlist: ["yosys", "-s", SCRIPT],
        fasm: [
            *("nextpnr-xilinx", "--chipdb", found.chip, "--xdc", "pins.xdc"),
            *("--freq", f"{clock_mhz:g}", "--json", netlist, "--fasm", fasm),
        ],
        frames: ["fasm2frames", "--part", part, "--db-root", found.xray, fasm, frames],
        bit: [
            *("xc7frames2bit", "--part_file", found.part, "--part_name", part),
            *("--frm_file", frames, "--output_file", bit),
        ],
    }
    for made, command in steps.items():
        say(f"openXC7: {command[0]}")
        text = _run(command, project, made)
        for clock, reached in _MAX.findall(text)[-1:]:
            say(f"openXC7: {reached} MHz for {clock}")
    return bit


def databases(part: str) -> Databases:
    """Those beside nextpnr-xilinx, or where the variables of openXC7's own environment point."""
    device = re.match(r"xc7a\d+t", part)
    if device is None:
        raise ToolError(f"openXC7 has no part {part}; hwgen knows its Artix-7 parts alone")
    share = Path(find_tool("nextpnr-xilinx")).resolve().parents[1] / "share" / "nextpnr"
    chip = _first("CHIPDB", share / "xilinx-chipdb", f"{device[0]}.bin")
    xray = _first("PRJXRAY_DB_DIR", share / "prjxray-db", "artix7")
    return Databases(chip, xray, _existing(xray / part / "part.yaml"))


def _first(variable: str, beside: Path, name: str) -> Path:
    given = os.environ.get(variable)
    return _existing(Path(given) / name if given else beside / name, variable)


def _existing(path: Path, variable: str = "PRJXRAY_DB_DIR") -> Path:
    if not path.exists():
        raise ToolError(
            f"openXC7's database {path} is not there; install it there, or set {variable} to the "
            "folder that openXC7 has it in"
        )
    return path


def _run(command: Sequence[str | Path], project: Path, made: Path) -> str:
    """Run one tool in ``project``; its log is project/openxc7/TOOL.log."""
    log = project / "openxc7" / f"{command[0]}.log"
    try:
        return run_tool(command, cwd=project, log=log, timeout_s=HOURS * 3600, expect=[made])
    except ToolFailure as failure:
        lines = log.read_text(errors="replace").splitlines()
        first = next((line for line in lines if line.startswith("ERROR: ")), None)
        if first is None:
            raise
        words = first.removeprefix("ERROR: ").strip()
        remedy = "; build again with a lower --clock-mhz" if "FAIL at" in words else ""
        raise ToolError(f"{command[0]} failed: {words}{remedy}; log: {log}") from failure
