"""Verilator as a linter, and Yosys in a child process (it can abort)."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from hwgen.layers.base import Parameter, literal

RTL = Path(__file__).parents[2] / "templates" / "rtl"
VERILATOR = Path(sys.executable).parent / "verilator-cli"
DONE = "HWGEN_DONE"
YOSYS = """
import sys
from pyosys import libyosys
design = libyosys.Design()
for command in sys.stdin.read().splitlines():
    libyosys.run_pass(command, design)
"""


class ToolFailure(Exception):
    """A tool ended without its result; the message has its log."""


def lint(
    module: str,
    parameters: Mapping[str, Parameter],
    sources: Mapping[str, bytes] | None = None,
    *,
    structural: bool = False,
) -> str:
    """What ``verilator --lint-only -Wall`` says about ``module``; empty if it is clean.

    ``sources``: modules that are not in templates/rtl. ``structural``: what tools other than
    Verilator read, around models of the primitives.
    """
    values = [f"-G{k}={literal(v)}" for k, v in parameters.items()]
    texts = {path.stem: path.read_text() for path in RTL.glob("*.sv")}
    texts |= {name: text.decode() for name, text in (sources or {}).items()}
    extra: list[str | Path] = []
    if structural:
        texts = {k: v.replace("`ifdef VERILATOR", "`ifdef NO_TOOL") for k, v in texts.items()}
        extra = ["-Wno-MULTITOP", "-Wno-DECLFILENAME", RTL.parents[1] / "tests/rtl/primitives.sv"]
    with tempfile.TemporaryDirectory() as folder:
        for name, text in texts.items():
            Path(folder, f"{name}.sv").write_text(text)
        options = ["-y", folder, *values, "--top-module", module]
        return run_lint([*options, *extra, Path(folder, f"{module}.sv")])


def run_lint(arguments: Sequence[str | Path], cwd: Path | None = None) -> str:
    """What ``verilator --lint-only -Wall`` says; empty if all is clean."""
    done = subprocess.run(
        [VERILATOR, "--lint-only", "-Wall", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    lines = (done.stdout + done.stderr).splitlines()
    found = "\n".join(line for line in lines if not line.startswith("- "))
    if bool(done.returncode) != bool(found):
        raise ToolFailure(f"verilator ended with {done.returncode}: {found}")
    return found


def yosys(commands: Sequence[str], work: Path) -> str:
    """Run Yosys commands in folder ``work``; the log, once all of them have succeeded."""
    script = "\n".join([*commands, f"log {DONE}"])
    done = subprocess.run(
        [sys.executable, "-c", YOSYS],
        input=script,
        cwd=work,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if done.returncode or f"\n{DONE}" not in done.stdout:
        raise ToolFailure(f"{script}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
    return done.stdout


def synthesise(
    instances: Sequence[tuple[str, Mapping[str, Parameter]]],
    work: Path,
    command: str = "synth_xilinx -noiopad -noclkbuf",
) -> list[Counter[str]]:
    """Cells by type for every (module, parameters); one run for all, because each costs seconds."""
    body = []
    for i, (module, parameters) in enumerate(instances):
        values = ", ".join(f".{name}({literal(value)})" for name, value in parameters.items())
        body.append(f"  (* keep *) {module} #({values}) u{i} (.clk_i(clk_i));\n")
    (work / "top.sv").write_text(f"module top (input clk_i);\n{''.join(body)}endmodule\n")
    sources = " ".join(f"{RTL / module}.sv" for module in sorted({m for m, _ in instances}))
    yosys(
        [
            f"read_verilog -sv {sources} top.sv",
            "hierarchy -top top",
            "setattr -mod -set keep_hierarchy 1 *",
            f"{command} -top top",
            "write_json cells.json",
        ],
        work,
    )
    design = json.loads((work / "cells.json").read_text())["modules"]
    types = [design["top"]["cells"][f"u{i}"]["type"] for i in range(len(instances))]
    return [Counter(cell["type"] for cell in design[t]["cells"].values()) for t in types]


def luts(cells: Mapping[str, int]) -> int:
    """LUTs that ``cells`` of a 7-series part occupy, LUTRAM included."""
    sizes = {f"LUT{i}": 1 for i in range(1, 7)} | {"LUT6_2": 1, "SRL16E": 1, "SRLC32E": 1}
    sizes |= {"RAM32M": 4, "RAM64M": 4, "RAM32X1D": 2, "RAM64X1D": 2, "RAM128X1D": 4}
    sizes |= {"RAM32X1S": 1, "RAM64X1S": 1, "RAM128X1S": 2, "RAM256X1S": 4}
    return sum(sizes.get(cell, 0) * count for cell, count in cells.items())
