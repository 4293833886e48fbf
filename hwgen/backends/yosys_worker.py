"""Worker process of ``backends.yosys``: synthesises module instances and counts their cells.

``python yosys_worker.py WORK PID TIMEOUT_S`` takes the folders in WORK one by one, each with a
``job.json`` (module, parameters, sources, period_ps) and the files it names, and leaves
``done.json`` in each: its cells or why there are none. Several workers may share WORK. Yosys and
the cell library are loaded once; a job runs in a fork, because Yosys may end the process any time.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

JOB, DONE, LOG, CLAIM, CELLS = "job.json", "done.json", "log", "claimed", "cells.json"
ABSORBED = "INV absorbed"  # an inverter that disappears into the LUTs that read it
IGNORED = ("$scopeinfo",)  # what is left of flattened hierarchy: a note, not a circuit

# without the several hundred cells of cells_xtra.v, of which the kernels use none: every pass
# goes over all modules there are, and with them a small kernel takes three times as long
LIBRARY = ("read_verilog -lib -specify +/xilinx/cells_sim.v",)
_SYNTH = "synth_xilinx -family xc7 -flatten -noiopad -noclkbuf -run"
COARSE = (
    # mapped apart from its neighbours, a table of up to 64 words is one LUT a bit; together
    # with them abc9 takes up to five
    "setattr -mod -set keep_hierarchy 1 *rom_table",
    f"{_SYNTH} prepare:map_memory",
)
MEMORIES = (f"{_SYNTH} map_memory:map_ffram",)  # a second to read its rules; idle without memories


def fine(period_ps: int) -> tuple[str, ...]:
    """What runs after the memories are mapped.

    -flatten: one netlist for a layer, optimised across its helper modules. -noiopad, -noclkbuf:
    a layer is a part of a design and has no pads and clock buffers of its own. LUT mapping is
    ours: synth_xilinx prices a LUT2 below half a LUT6, hoping that two share a site, and maps
    for the least depth, which leaves more LUTs than an implementation at this clock needs
    (measured: up to a quarter); here each LUT is one, and area is recovered on every path that
    meets the clock period.
    """
    return (
        f"{_SYNTH} map_ffram:map_luts",
        "opt_expr -mux_undef -noclkinv",
        f"scratchpad -set abc9.D {period_ps}",
        "scratchpad -set abc9.W 300",  # picoseconds a net takes, as synth_xilinx has it
        "abc9 -luts 6:1",
        "clean",
        "setattr -mod -unset keep_hierarchy *",
        "flatten",
        "opt_clean",
        "xilinx_srl -fixed -minlen 3",
        "techmap -map +/xilinx/lut_map.v -map +/xilinx/cells_map.v -D LUT_WIDTH=6",
        "xilinx_dffopt",
        "opt_lut_ins -tech xilinx",
        f"{_SYNTH} finalize:check",
    )


def script(period_ps: int) -> tuple[str, ...]:
    """Everything that decides the netlist; part of every cache key."""
    return (*LIBRARY, *COARSE, *MEMORIES, *fine(period_ps))


WRAPPER = "hwgen_wrapper"


def wrapper(module: str, parameters: Mapping[str, str]) -> str:
    """SystemVerilog that instantiates ``module`` with its parameters and nothing connected."""
    values = ", ".join(f".{name}({literal})" for name, literal in sorted(parameters.items()))
    return f"module {WRAPPER};\n  {module} #({values}) dut ();\nendmodule\n"


def tally(netlist: Mapping[str, Any], top: str) -> dict[str, int]:
    """Cells of ``top`` by type, from Yosys' JSON netlist.

    An inverter is a LUT of its own where anything but a LUT, or a clock pin that can be
    inverted, reads it; 7-series flip-flops, carry chains and outputs cannot invert. Otherwise
    it is counted as ``ABSORBED``, because implementation merges it into the LUTs behind it.
    """
    module = netlist["modules"][top]
    cells = [c for c in module["cells"].values() if c["type"] not in IGNORED]
    rigid = {bit for port in module["ports"].values() for bit in port["bits"]}
    for cell in cells:
        rigid.update(_rigid_inputs(cell))
    counts = Counter(str(cell["type"]) for cell in cells)
    absorbed = sum(c["type"] == "INV" and c["connections"]["O"][0] not in rigid for c in cells)
    if absorbed:
        counts["INV"] -= absorbed
        counts[ABSORBED] = absorbed
    return {kind: count for kind, count in sorted(counts.items()) if count}


def _rigid_inputs(cell: Mapping[str, Any]) -> Iterator[int | str]:
    """Bits that the cell reads and whose inverse it cannot take instead."""
    if cell["type"].startswith("LUT"):
        return
    for port, direction in cell["port_directions"].items():
        if direction != "output" and port not in ("C", "CLK", "WCLK"):
            yield from cell["connections"].get(port, ())


def synthesise(
    design: Any, sources: list[str], module: str, parameters: Mapping[str, str], period_ps: int
) -> None:
    """Synthesise into ``netlist.json`` of the current folder; ``design`` holds the libraries."""
    from pyosys import libyosys  # noqa: PLC0415  only this process may load it

    def run(*commands: str) -> None:
        for command in commands:
            libyosys.run_pass(command, design)

    Path("wrapper.sv").write_text(wrapper(module, parameters))
    run(*(f'read_verilog -sv -defer "{source}"' for source in (*sources, "wrapper.sv")))
    run(f"hierarchy -check -top {WRAPPER}")
    (instance,) = design.top_module().selected_cells()
    derived = str(instance.type).removeprefix("\\")
    run(f"hierarchy -check -top {derived}", *COARSE)
    run("select t:$mem*")
    memories = len(design.all_selected_modules())
    run("select -clear", *(MEMORIES if memories else ()), *fine(period_ps))
    run(f"rename {derived} netlist", "select netlist", "write_json -selected netlist.json")


def _job(folder: Path, design: Any) -> None:
    """One job, in a process of its own; ``CELLS`` is its end marker."""
    os.chdir(folder)
    log = os.open(LOG, os.O_WRONLY | os.O_CREAT)
    os.dup2(log, 1)
    os.dup2(log, 2)
    synthesise(design, **json.loads(Path(JOB).read_text()))
    netlist = json.loads(Path("netlist.json").read_text())
    _write(Path(CELLS), tally(netlist, "netlist"))


def _write(path: Path, content: object) -> None:
    """Write in one step."""
    unfinished = path.with_name(f"{path.name}.part")
    unfinished.write_text(json.dumps(content))
    unfinished.rename(path)


def main(work: Path, pid: Path, timeout_s: float) -> None:
    """Do every job in ``work`` that no other worker has claimed."""
    from pyosys import libyosys  # noqa: PLC0415

    pid.write_text(str(os.getpid()))
    design = libyosys.Design()
    for command in LIBRARY:
        libyosys.run_pass(command, design)
    fork = multiprocessing.get_context("fork")
    for folder in sorted(path.parent for path in work.glob(f"*/{JOB}")):
        try:
            (folder / CLAIM).mkdir()
        except FileExistsError:
            continue
        child = fork.Process(target=_job, args=(folder, design))
        child.start()
        child.join(timeout_s)
        if child.exitcode is None:
            child.kill()
            child.join()
            outcome: dict[str, object] = {"failure": f"ran past {timeout_s:.0f} s"}
        elif child.exitcode != 0:
            outcome = {"failure": f"exit status {child.exitcode}"}
        elif not (folder / CELLS).is_file():
            outcome = {"failure": "the process left no cells"}
        else:
            outcome = {"cells": json.loads((folder / CELLS).read_text())}
        _write(folder / DONE, outcome)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]))
