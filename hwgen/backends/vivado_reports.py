"""Vivado's text reports as JSON: resources by module after synthesis, slack after routing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from hwgen.errors import ToolError
from hwgen.files import write_json
from hwgen.schema import PostRouteTiming

RESOURCES, TIMING = "post_synth_resources", "post_route_timing"

# FINN's name of a resource, and Vivado's headings for it over the years and families
_COLUMNS = {
    "LUT": ("Total LUTs",),
    "SRL": ("SRLs",),
    "FF": ("FFs",),
    "BRAM_36K": ("RAMB36",),
    "BRAM_18K": ("RAMB18",),
    "URAM": ("URAM",),
    "DSP": ("DSP Blocks", "DSP48 Blocks", "DSP"),
}
_NEEDED = ("LUT", "FF", "BRAM_36K", "BRAM_18K", "DSP")
_CORE = "hwgen_top"
_SLACKS = ("wns_ns", "tns_ns", "failing_setup", "endpoints", "whs_ns", "ths_ns", "failing_hold")


def write(reports: Path, clock_mhz: float) -> None:
    """Write the .json beside each .rpt that is there.

    Raises ``ToolError`` for a report in which the figures are not to be found.
    """
    resources, timing = (reports / f"{name}.rpt" for name in (RESOURCES, TIMING))
    if resources.is_file():
        write_json(resources.with_suffix(".json"), post_synth_resources(resources))
    if timing.is_file():
        found = post_route_timing(timing, clock_mhz)
        write_json(timing.with_suffix(".json"), found.model_dump(mode="json"))


def post_synth_resources(path: Path) -> dict[str, dict[str, int]]:
    """LUT, SRL, FF, BRAM_36K, BRAM_18K and DSP by module, as FINN writes them.

    Modules are the whole design, ``(top)``; the network, ``hwgen_top``; and what stands in it, by
    the names of the other reports (FIFOs as in the RTL).
    """
    found: dict[str, dict[str, int]] = {}
    core_depth = None
    for depth, instance, module, figures in _rows(path):
        if core_depth is not None and depth <= core_depth:
            core_depth = None
        if not found:
            found["(top)"] = figures
        if module == _CORE and core_depth is None:
            found[_CORE] = figures
            core_depth = depth
        elif core_depth is not None and depth == core_depth + 1 and instance[0] != "(":
            found[instance.removeprefix("u_")] = figures
    return found


def _rows(path: Path) -> Iterator[tuple[int, str, str, dict[str, int]]]:
    """Depth, instance, module and figures of every line of the table of ``-hierarchical``."""
    columns: dict[str, int] = {}
    some = False
    for line in path.read_text(errors="replace").splitlines():
        if not line.startswith("|"):
            continue
        cells = line.strip("|").split("|")
        names = [cell.strip() for cell in cells]
        if names[0] == "Instance":
            columns = _columns(names, path)
        elif columns:
            depth = len(cells[0]) - len(cells[0].lstrip())
            try:
                figures = {kind: int(names[at]) for kind, at in columns.items()}
            except (ValueError, IndexError) as error:
                raise ToolError(f"{path}: no figures in '{line.strip()}'") from error
            some = True
            yield depth // 2, names[0], names[1], figures
    if not some:
        raise ToolError(f"{path} holds no table of utilisation by hierarchy")


def _columns(names: list[str], path: Path) -> dict[str, int]:
    """Where each kind of resource stands."""
    found = {
        kind: names.index(next(h for h in headings if h in names))
        for kind, headings in _COLUMNS.items()
        if set(headings) & set(names)
    }
    lacking = [kind for kind in _NEEDED if kind not in found]
    if lacking:
        raise ToolError(f"{path}: no column for {', '.join(lacking)} among {', '.join(names)}")
    return found


def post_route_timing(path: Path, clock_mhz: float) -> PostRouteTiming:
    """The line of the Design Timing Summary, and the clock that its worst slack allows."""
    text = path.read_text(errors="replace")
    table = re.search(r"^ +WNS\(ns\).*\n[ -]+\n *(\S.*)$", text, re.M)
    try:
        cells = table[1].split() if table else []
        slacks = dict(zip(_SLACKS, map(float, cells), strict=False))
        period = 1000 / clock_mhz
        return PostRouteTiming(
            clock_mhz=clock_mhz,
            fmax_mhz=round(1000 / (period - slacks["wns_ns"]), 2),
            wns_ns=slacks["wns_ns"],
            tns_ns=slacks["tns_ns"],
            whs_ns=slacks["whs_ns"],
            ths_ns=slacks["ths_ns"],
            failing_endpoints=int(slacks["failing_setup"] + slacks["failing_hold"]),
            endpoints=int(slacks["endpoints"]),
        )
    except (ValueError, KeyError, ZeroDivisionError) as error:
        raise ToolError(f"{path} holds no timing summary with slacks") from error
