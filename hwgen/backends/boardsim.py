"""boardsim/: a PYNQ board whose design Verilator simulates, for the unchanged driver/."""

from __future__ import annotations


from hwgen.backends import axi_shell, rtlsim
from hwgen.backends.systemverilog import plain
from hwgen.dataflow import Dataflow
from hwgen.files import Files
from hwgen.render import render, static

BITFILE = "hwgen.bit"  # here, the program
SOURCES = tuple(f"../project/{name}" for name in (*axi_shell.KERNELS, f"{axi_shell.TOP}.v"))
COMMAND = (
    *("verilator-cli", "--cc", "--exe", "--build", "-j", "2", "-O3"),
    *("--x-assign", "fast", "--x-initial", "unique", "-Wno-fatal"),
    *("--top-module", axi_shell.TOP, "--Mdir", rtlsim.OBJECTS, "-o", f"../{BITFILE}"),
    *("-F", f"{rtlsim.RTL}/filelist.f", *SOURCES, "board.cpp"),
    *rtlsim.compiler("{python}"),
)
_UNCHANGED = ("board.cpp", "pynq/__init__.py")


def emit(dataflow: Dataflow) -> Files:
    """The folder boardsim/, a sibling of rtl/, project/ and driver/."""
    board = {
        "network": plain(dataflow.graph.name),
        "bus_bytes": dataflow.axis_in.bus_bytes,
        "patience": rtlsim.patience(dataflow),
        "memories": rtlsim.memories(dataflow),
    }
    simulate = {"network": plain(dataflow.graph.name), "command": COMMAND}
    return Files(
        {
            "board.h": render("boardsim/board.h.j2", board),
            "simulate.py": render("boardsim/simulate.py.j2", simulate),
            **{name: static(f"boardsim/{name}") for name in _UNCHANGED},
        }
    )
