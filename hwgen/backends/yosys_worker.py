"""Worker process of ``backends.yosys``: synthesises module instances and reads their netlists.

``python yosys_worker.py WORK PID TIMEOUT_S FAMILY`` takes the folders in WORK one by one, each
with a ``job.json`` (module, parameters, sources, period_ps) and the files it names, and leaves
``found.json`` in each, what the family's ``read`` makes of the netlist, and then ``done.json``,
which says why where there is none.
Several workers may share WORK. Yosys and the cell library are loaded once; a job runs in a fork,
because Yosys may end the process any time.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwgen.backends import cell_times, levels

JOB, DONE, LOG, CLAIM, FOUND = "job.json", "done.json", "log", "claimed", "found.json"
ABSORBED = "INV absorbed"  # an inverter that disappears into the LUTs that read it
IGNORED = ("$scopeinfo",)  # what is left of flattened hierarchy: a note, not a circuit

_XC7 = "synth_xilinx -family xc7 -flatten -noiopad -noclkbuf -run"
_ECP5 = "synth_lattice -family ecp5 -run"
# mapped apart from its neighbours, a table of up to 64 words is one LUT of six inputs a bit;
# together with them abc9 takes up to five
_TABLES_APART = "setattr -mod -set keep_hierarchy 1 *rom_table"


# as synth_xilinx maps memories, but with rules that the worker reads once, and without the contents
# of block RAMs: nothing that is counted depends on them, and for every block they cost half a
# second
_XC7_RULES = {"lutrams": "+/xilinx/lutrams_xc5v_map.v", "brams": "+/xilinx/brams_xc6v_map.v"}
_XC7_MEMORIES = (
    "memory_libmap -logic-cost-rom 0.015625 -lib +/xilinx/lutrams_xc5v.txt "
    "-lib +/xilinx/brams_xc4v.txt -D HAS_SIZE_36 -D HAS_CASCADE -D HAS_MIXWIDTH_SDP -no-auto-huge",
    "setparam -unset INIT t:$__XILINX_BLOCKRAM_*",
    *(f"techmap -map %{name}" for name in _XC7_RULES),
)


def _rules(files: Mapping[str, str]) -> Iterator[str]:
    """Read files of rules, each into a design by which techmap finds it."""
    for name, file in files.items():
        yield f"read_verilog -nooverwrite -noblackbox {file}"
        yield f"design -stash {name}"


def _xc7_fine(period_ps: int) -> tuple[str, ...]:
    """What runs after the memories are mapped.

    -flatten: one netlist for a layer, optimised across its helper modules. -noiopad, -noclkbuf:
    a layer is a part of a design and has no pads and clock buffers of its own. LUT mapping is
    ours: synth_xilinx prices a LUT2 below half a LUT6, hoping that two share a site, and maps
    for the least depth, which leaves more LUTs than an implementation at this clock needs
    (measured: up to a quarter); here each LUT is one, two and four of them with their MUXF7 and
    MUXF8 make functions of seven and eight inputs, and area is recovered on every path that meets
    the clock period.
    """
    return (
        f"{_XC7} map_ffram:map_luts",
        "opt_expr -mux_undef -noclkinv",
        # picoseconds of a path, and of a LUT with its net, as our own estimate has them
        f"scratchpad -set abc9.D {max(1, period_ps - round(1000 * cell_times.OVERHEAD))}",
        f"scratchpad -set abc9.W {round(1000 * cell_times.LEVEL)}",
        "abc9 -luts 6:1,2,4",
        "clean",
        "setattr -mod -unset keep_hierarchy *",
        "flatten",
        "opt_clean",
        "xilinx_srl -fixed -minlen 3",
        "techmap -map +/xilinx/lut_map.v -map +/xilinx/cells_map.v -D LUT_WIDTH=6",
        "xilinx_dffopt",
        "opt_lut_ins -tech xilinx",
        f"{_XC7} finalize:check",
    )


def _ecp5_fine(period_ps: int) -> tuple[str, ...]:
    """As synth_ecp5 does it, each LUT mapped for depth: the period is not asked for.

    Names are not made up for what has none, which takes minutes in a large module.
    """
    return (
        f"{_ECP5} map_ffram:map_luts",
        "abc9 -W 300",
        "clean",
        "setattr -mod -unset keep_hierarchy *",
        "flatten",
        f"{_ECP5} map_cells:check",
    )


WRAPPER = "hwgen_wrapper"


def wrapper(module: str, parameters: Mapping[str, str]) -> str:
    """SystemVerilog that instantiates ``module`` with its parameters and nothing connected."""
    values = ", ".join(f".{name}({literal})" for name, literal in sorted(parameters.items()))
    return f"module {WRAPPER};\n  {module} #({values}) dut ();\nendmodule\n"


def count(module: Mapping[str, Any]) -> dict[str, object]:
    """What is kept of a netlist: its cells and its longest paths."""
    rigid = _rigid_bits(module)
    paths = levels.to_json(levels.longest(module, rigid))
    return {"cells": tally(module, rigid), "paths": paths}


def tally(module: Mapping[str, Any], rigid: AbstractSet[object]) -> dict[str, int]:
    """Cells of a module of Yosys' JSON netlist by type.

    An inverter is a LUT of its own where anything but a LUT, or a clock pin that can be
    inverted, reads it; 7-series flip-flops, carry chains and outputs cannot invert. Otherwise
    it is counted as ``ABSORBED``, because implementation merges it into the LUTs behind it.
    """
    cells = [c for c in module["cells"].values() if c["type"] not in IGNORED]
    counts = Counter(str(cell["type"]) for cell in cells)
    absorbed = sum(c["type"] == "INV" and c["connections"]["O"][0] not in rigid for c in cells)
    if absorbed:
        counts["INV"] -= absorbed
        counts[ABSORBED] = absorbed
    return {kind: count for kind, count in sorted(counts.items()) if count}


def _rigid_bits(module: Mapping[str, Any]) -> set[int | str]:
    """Bits with a reader that cannot take their inverse instead."""
    rigid = {bit for port in module["ports"].values() for bit in port["bits"]}
    for cell in module["cells"].values():
        rigid.update(_rigid_inputs(cell))
    return rigid


def _rigid_inputs(cell: Mapping[str, Any]) -> Iterator[int | str]:
    """Bits that the cell reads and whose inverse it cannot take instead."""
    if cell["type"].startswith("LUT"):
        return
    for port, direction in cell["port_directions"].items():
        if direction != "output" and port not in ("C", "CLK", "WCLK"):
            yield from cell["connections"].get(port, ())


def strip(module: Mapping[str, Any]) -> dict[str, object]:
    """What place and route needs of a netlist; names only where the source gave them.

    A cell without one is called after the net that it drives, up to a "$".
    """
    names = levels.names(module)
    cells = {}
    for name, cell in module["cells"].items():
        if cell["type"] not in IGNORED:
            driven = (
                b for p, bits in cell["connections"].items() for b in bits if _drives(cell, p)
            )
            net = next((names[bit] for bit in driven if bit in names), "") if "$" in name else ""
            # attributes in capitals set hard blocks up; all others are notes
            set_up = {k: v for k, v in cell.get("attributes", {}).items() if k.isupper()}
            kept = {k: v for k, v in cell.items() if k != "attributes"}
            cells[f"{net}{name}"] = kept | ({"attributes": set_up} if set_up else {})
    nets = {
        name: {"hide_name": 0, "bits": net["bits"]}
        for name, net in module["netnames"].items()
        if not net["hide_name"]
    }
    return {"ports": module["ports"], "cells": cells, "netnames": nets}


def _drives(cell: Mapping[str, Any], port: str) -> bool:
    return bool(cell["port_directions"][port] == "output")


@dataclass(frozen=True, slots=True)
class Family:
    """How modules are synthesised for a family of parts, and what is read off the netlist."""

    library: tuple[str, ...]
    coarse: tuple[str, ...]
    memories: tuple[str, ...]  # idle without memories
    fine: Callable[[int], tuple[str, ...]]
    read: Callable[[Mapping[str, Any]], Mapping[str, object]]

    def script(self, period_ps: int) -> tuple[str, ...]:
        """Everything that decides the netlist; part of every cache key."""
        return (*self.library, *self.coarse, *self.memories, *self.fine(period_ps))


FAMILIES = {
    "xc7": Family(
        # the rules first, for stashing a design empties it
        # without the several hundred cells of cells_xtra.v, of which the kernels use none: every
        # pass goes over all modules there are, and with them a small kernel takes three times as
        # long
        (*_rules(_XC7_RULES), "read_verilog -lib -specify +/xilinx/cells_sim.v"),
        (_TABLES_APART, f"{_XC7} prepare:map_memory"),
        _XC7_MEMORIES,
        _xc7_fine,
        count,
    ),
    "ecp5": Family(
        ("read_verilog -lib -specify +/lattice/cells_sim_ecp5.v +/lattice/cells_bb_ecp5.v",),
        (_TABLES_APART, f"{_ECP5} coarse:map_ram"),
        (f"{_ECP5} map_ram:map_ffram",),
        _ecp5_fine,
        strip,
    ),
}


def synthesise(
    family: Family,
    design: Any,
    sources: list[str],
    module: str,
    parameters: Mapping[str, str],
    period_ps: int,
    units: Mapping[str, str] | None = None,
) -> None:
    """Synthesise into ``netlist.json`` of the current folder; ``design`` holds the libraries.

    Sources are SystemVerilog, and black boxes in Verilog (.v). ``units``: by instance name, the
    black box that takes the place of what it is an instance of.
    """
    from pyosys import libyosys  # noqa: PLC0415  only this process may load it

    def run(*commands: str) -> None:
        for command in commands:
            libyosys.run_pass(command, design)

    Path("wrapper.sv").write_text(wrapper(module, parameters))
    for source in (*sources, "wrapper.sv"):
        run(f'read_verilog {"-sv -defer" if source.endswith(".sv") else "-lib"} "{source}"')
    run(f"hierarchy -check -top {WRAPPER}")
    (instance,) = design.top_module().selected_cells()
    derived = str(instance.type).removeprefix("\\")
    if units:
        run(f"hierarchy -top {derived}")
        for cell in design.top_module().selected_cells():
            unit = units.get(str(cell.name).removeprefix("\\"))
            if unit:
                cell.type = libyosys.IdString(f"\\{unit}")
    run(f"hierarchy -check -top {derived}", *family.coarse)
    run("select t:$mem*")
    memories = len(design.all_selected_modules())
    run("select -clear", *(family.memories if memories else ()), *family.fine(period_ps))
    run(f"rename {derived} netlist", "select netlist", "write_json -selected netlist.json")


def _job(folder: Path, family: Family, design: Any) -> None:
    """One job, in a process of its own; ``FOUND`` is its end marker."""
    os.chdir(folder)
    log = os.open(LOG, os.O_WRONLY | os.O_CREAT)
    os.dup2(log, 1)
    os.dup2(log, 2)
    synthesise(family, design, **json.loads(Path(JOB).read_text()))
    netlist = json.loads(Path("netlist.json").read_text())
    _write(Path(FOUND), family.read(netlist["modules"]["netlist"]))


def _write(path: Path, content: object) -> None:
    """Write in one step."""
    unfinished = path.with_name(f"{path.name}.part")
    unfinished.write_text(json.dumps(content))
    unfinished.rename(path)


def main(work: Path, pid: Path, timeout_s: float, family: Family) -> None:
    """Do every job in ``work`` that no other worker has claimed."""
    from pyosys import libyosys  # noqa: PLC0415

    pid.write_text(str(os.getpid()))
    design = libyosys.Design()
    for command in family.library:
        libyosys.run_pass(command, design)
    fork = multiprocessing.get_context("fork")
    for folder in sorted(path.parent for path in work.glob(f"*/{JOB}")):
        try:
            (folder / CLAIM).mkdir()
        except FileExistsError:
            continue
        child = fork.Process(target=_job, args=(folder, family, design))
        child.start()
        child.join(timeout_s)
        if child.exitcode is None:
            child.kill()
            child.join()
            outcome: dict[str, object] = {"failure": f"ran past {timeout_s:.0f} s"}
        elif child.exitcode != 0:
            outcome = {"failure": f"exit status {child.exitcode}"}
        elif not (folder / FOUND).is_file():
            outcome = {"failure": "the process left no netlist"}
        else:
            outcome = {}
        _write(folder / DONE, outcome)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]), FAMILIES[sys.argv[4]])
