"""Child process of ``backends.yosys``: synthesises one module instance and counts its cells.

``python yosys_worker.py SOURCE...`` runs in a folder that holds ``instance.json`` (module,
parameters, period_ps) and the memory files, and writes ``cells.json``. Yosys may end the process
at any time, so it runs apart and ``cells.json`` is its end marker.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

PID, INSTANCE, CELLS = "pid", "instance.json", "cells.json"
ABSORBED = "INV absorbed"  # an inverter that disappears into the LUTs that read it
IGNORED = ("$scopeinfo",)  # what is left of flattened hierarchy: a note, not a circuit

LIBRARY = (
    "read_verilog -lib -specify +/xilinx/cells_sim.v",
    "read_verilog -lib +/xilinx/cells_xtra.v",
)


def script(period_ps: int) -> tuple[str, ...]:
    """What runs on the elaborated module; part of every cache key.

    -flatten: one netlist for a layer, optimised across its helper modules. -noiopad, -noclkbuf:
    a layer is a part of a design and has no pads and clock buffers of its own. LUT mapping is
    ours: synth_xilinx prices a LUT2 below half a LUT6, hoping that two share a site, and maps
    for the least depth, which leaves more LUTs than an implementation at this clock needs
    (measured: up to a quarter); here each LUT is one, and area is recovered on every path that
    meets the clock period.
    """
    synth = "synth_xilinx -family xc7 -flatten -noiopad -noclkbuf"
    return (
        # mapped apart from its neighbours, a table of up to 64 words is one LUT a bit; together
        # with them abc9 takes up to five
        "setattr -mod -set keep_hierarchy 1 *rom_table",
        f"{synth} -run prepare:map_luts",
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
        f"{synth} -run finalize:check",
    )


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
    sources: list[str], module: str, parameters: Mapping[str, str], period_ps: int
) -> None:
    """Synthesise into ``netlist.json`` of the current folder."""
    from pyosys import libyosys  # noqa: PLC0415  only this process may load it

    design = libyosys.Design()
    Path("wrapper.sv").write_text(wrapper(module, parameters))
    for source in (*sources, "wrapper.sv"):
        libyosys.run_pass(f'read_verilog -sv -defer "{source}"', design)
    for command in LIBRARY:
        libyosys.run_pass(command, design)
    libyosys.run_pass(f"hierarchy -check -top {WRAPPER}", design)
    (instance,) = design.top_module().selected_cells()
    derived = str(instance.type).removeprefix("\\")
    libyosys.run_pass(f"hierarchy -check -top {derived}", design)
    for command in script(period_ps):
        libyosys.run_pass(command, design)
    libyosys.run_pass(f"rename {derived} netlist", design)
    libyosys.run_pass("select netlist", design)
    libyosys.run_pass("write_json -selected netlist.json", design)


def main() -> None:
    """Run in the current folder."""
    Path(PID).write_text(str(os.getpid()))
    instance = json.loads(Path(INSTANCE).read_text())
    synthesise(sys.argv[1:], **instance)
    netlist = json.loads(Path("netlist.json").read_text())
    unfinished = Path(f"{CELLS}.part")
    unfinished.write_text(json.dumps(tally(netlist, "netlist")))
    unfinished.rename(CELLS)


if __name__ == "__main__":
    main()
