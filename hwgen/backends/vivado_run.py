"""The run of Vivado: what it does while it lasts, and in one line why it failed."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hwgen.backends import vivado_reports
from hwgen.errors import ToolError, ToolFailure
from hwgen.run import find_tool, run_tool

COMMAND = ("vivado", "-mode", "batch", "-nojournal", "-nolog", "-source", "build.tcl")
HOURS = 8  # a full design takes minutes to a few hours
_STEP = re.compile(r"hwgen: (.+)|Command: (\w+)")
_LICENCE = re.compile(r"\[Common 17-345\].*?feature '([^']*)'.*?device '([^']*)'")
_NO_PART = re.compile(r"Part '?[\w-]+'? not found|part could not be found", re.I)
_ELSEWHERE = re.compile(r"; see (\S+)$")


@dataclass(frozen=True, slots=True)
class Bitfile:
    """What configures the board: the bitstream and, for PYNQ, the description that it reads."""

    bit: Path
    hwh: Path | None


def installed() -> bool:
    """Whether Vivado is on PATH."""
    try:
        find_tool(COMMAND[0])
    except ToolError:
        return False
    return True


def bitstream(
    folder: Path, clock_mhz: float, *, hwh: bool = True, say: Callable[[str], None]
) -> Bitfile:
    """``run`` of a build folder, and its reports as JSON in report/.

    What Vivado reported is read even where it failed after that, as for slack.
    """
    project, reports = folder / "project", folder / "report"
    try:
        made = run(project, project / "vivado.log", hwh=hwh, say=say)
    except ToolError:
        with contextlib.suppress(ToolError):
            vivado_reports.write(reports, clock_mhz)
        raise
    vivado_reports.write(reports, clock_mhz)
    return made


def run(
    project: Path,
    log: Path,
    *,
    hwh: bool = True,
    say: Callable[[str], None] = lambda _: None,
    timeout_s: float = HOURS * 3600,
) -> Bitfile:
    """Make the bitstream with the Vivado on PATH; without one, say what to run elsewhere.

    ``say`` is told every step as it begins. ``hwh``: the project makes one too. Raises
    ``ToolError`` with the first error of Vivado, and what to do where that is known.
    """
    bit = project / "bitfile" / "hwgen.bit"
    made = Bitfile(bit, bit.with_suffix(".hwh") if hwh else None)
    try:
        find_tool(COMMAND[0])
    except ToolError as error:
        raise ToolError(
            f"{error}; or copy the build folder to a machine that has it and run there, "
            f"in {project}: vivado -mode batch -source build.tcl"
        ) from error

    def watch(line: str) -> None:
        if found := _STEP.match(line):
            say(f"vivado: {found[1] or found[2]}")

    # the tool runs inside the project: a relative log or result would be looked up there
    try:
        run_tool(
            COMMAND,
            cwd=project,
            log=log.resolve(),
            timeout_s=timeout_s,
            expect=[path.resolve() for path in (made.bit, made.hwh) if path],
            watch=watch,
        )
    except ToolFailure as failure:
        cause = explain(log.read_text(errors="replace"))
        if cause is None:
            raise
        raise ToolError(f"vivado failed: {cause}; log: {log}") from failure
    return made


def explain(log: str) -> str | None:
    """Why Vivado failed, of its first error; None where the log has none.

    An error that only names the log of a run gives way to the first one in that.
    """
    first = _first_error(log)
    if first is None:
        return None
    elsewhere = _ELSEWHERE.search(first)
    if elsewhere and Path(elsewhere[1]).is_file():
        inner = _first_error(Path(elsewhere[1]).read_text(errors="replace"))
        first = f"{inner} ({first})" if inner else first
    if licence := _LICENCE.search(first):
        feature, device = licence.groups()
        return (
            f"it has no licence for {device} (feature {feature}); get one from AMD and name its "
            "file in XILINXD_LICENSE_FILE, or take a board whose part the free Standard edition "
            "covers, as pynq-z2"
        )
    if _NO_PART.search(first):
        return f"{first}; add the part's family in Vivado's installer (Add Design Tools or Devices)"
    return first


def _first_error(text: str) -> str | None:
    lines = (line.strip() for line in text.splitlines())
    return next((x.removeprefix("ERROR:").strip() for x in lines if x.startswith("ERROR:")), None)
