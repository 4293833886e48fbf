"""pynqsim/: a PYNQ board whose design Verilator simulates, for the driver as it is."""

from __future__ import annotations

import json

from hwgen.backends import axi_shell, rtlsim
from hwgen.backends.systemverilog import plain
from hwgen.dataflow import Dataflow
from hwgen.files import Files
from hwgen.render import render, static

FOLDER = "pynqsim"
BITFILE = "hwgen.bit"  # here, the program
SHELL = tuple(f"../project/{name}" for name in (*axi_shell.KERNELS, f"{axi_shell.TOP}.v"))
_UNCHANGED = ("board.cpp", "pynq/__init__.py")


def command(python: str) -> tuple[str, ...]:
    """What builds the program, run in its folder."""
    return rtlsim.verilate(python, top=axi_shell.TOP, made=BITFILE, sources=(*SHELL, "board.cpp"))


def emit(dataflow: Dataflow) -> Files:
    """The folder ``pynqsim/``, a sibling of rtl/, project/ and driver/."""
    memories = {name for stage in dataflow.stages for name in stage.rtl().memories}
    network = plain(dataflow.graph.name)
    board = {
        "network": network,
        "bus_bytes": dataflow.axis_in.bus_bytes,
        "patience": rtlsim.patience(dataflow),
        "memories": [json.dumps(name) for name in sorted(memories)],
    }
    simulate = {"network": network, "command": [json.dumps(word) for word in command("{python}")]}
    return Files(
        {
            "board.h": render("pynqsim/board.h.j2", board),
            rtlsim.ONES: static(f"rtlsim/{rtlsim.ONES}"),
            "simulate.py": render("pynqsim/simulate.py.j2", simulate),
            **{name: static(f"pynqsim/{name}") for name in _UNCHANGED},
        }
    )
