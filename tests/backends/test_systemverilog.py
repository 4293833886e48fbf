"""The emitted RTL: accepted by the tools, reproducible, readable.

After a wanted change of the top, renew its golden copy and read the difference:

    python -m tests.backends.test_systemverilog && git diff tests/golden/top
"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from hwgen import __version__
from hwgen.backends import rtlsim, systemverilog
from hwgen.dataflow import Dataflow
from hwgen.run import run_tool
from tests.backends.designs import DESIGNS, design, sized, small
from tests.networks import random_reactnet

GOLDEN = Path(__file__).parents[1] / "golden" / "top" / "hwgen_top.sv"


def lint(folder: Path, *extra: str) -> str:
    """Everything Verilator has to say about the design."""
    arguments = [
        "--lint-only",
        "-Wall",
        "--quiet-stats",
        "--top-module",
        "hwgen_top",
        "-f",
        "filelist.f",
        *extra,
    ]
    log = folder.parent / "lint.log"
    return run_tool(["verilator-cli", *arguments], cwd=folder, log=log)


def golden_text(dataflow: Dataflow) -> str:
    """The top, without what changes by release."""
    top = systemverilog.emit(dataflow).content["hwgen_top.sv"].decode()
    return top.replace(f"hwgen {__version__};", "hwgen VERSION;")


@pytest.mark.parametrize("name", DESIGNS)
def test_verilator_has_no_complaint(name: str, tmp_path: Path) -> None:
    systemverilog.emit(design(name)).write(tmp_path / "rtl")
    assert lint(tmp_path / "rtl") == ""


def test_verilator_has_no_complaint_about_the_probes(tmp_path: Path) -> None:
    systemverilog.emit(design("odd_lanes")).write(tmp_path / "rtl")
    rtlsim.emit(design("odd_lanes")).write(tmp_path / "rtlsim")
    assert lint(tmp_path / "rtl", "-DHWGEN_PROBE", "../rtlsim/stream_probe.sv") == ""


@pytest.mark.parametrize("name", ["odd_lanes", "strided"])
def test_yosys_reads_and_elaborates_it(name: str, tmp_path: Path) -> None:
    systemverilog.emit(design(name)).write(tmp_path / "rtl")
    script = (
        "from pyosys import libyosys as ys\n"
        "d = ys.Design()\n"
        "for line in open('filelist.f'):\n"
        "    ys.run_pass('read_verilog -sv -defer ' + line.strip(), d)\n"
        "for step in ('hierarchy -check -top hwgen_top', 'proc', 'check -assert'):\n"
        "    ys.run_pass(step, d)\n"
        "print('read to the end')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path / "rtl", capture_output=True, text=True
    )
    assert "read to the end" in done.stdout, done.stderr


def test_without_the_define_no_trace_of_the_probes_is_left(tmp_path: Path) -> None:
    files = systemverilog.emit(design("odd_lanes"))
    assert "stream_probe.sv" not in files.content
    files.write(tmp_path / "rtl")
    seen = run_tool(
        ["verilator-cli", "-E", "-P", "hwgen_top.sv"], cwd=tmp_path / "rtl", log=tmp_path / "log"
    )
    assert "module hwgen_top" in seen
    assert "probe" not in seen


@pytest.mark.parametrize("name", ["balanced", "small"])
def test_the_same_dataflow_gives_the_same_bytes(name: str) -> None:
    first, second = (systemverilog.emit(DESIGNS[name]()) for _ in range(2))
    assert first.content == second.content


def test_only_kernels_in_use_are_copied() -> None:
    """``small`` has neither a window nor a global sum; sub-modules come with their kernels."""
    content = systemverilog.emit(design("small")).content
    modules = {path.removesuffix(".sv") for path in content if path.endswith(".sv")}
    assert {"mvau_xnor", "mvau_int", "thresholding", "fork_stream", "fifo", "rom"} <= modules
    assert not {"sliding_window", "global_sum"} & modules
    assert content["filelist.f"].decode().split() == sorted(f"{m}.sv" for m in modules)


def test_every_memory_that_is_named_is_there_and_no_other() -> None:
    content = systemverilog.emit(design("strided")).content
    top = content["hwgen_top.sv"].decode()
    for name in re.findall(r'"(\w+\.mem)"', top):
        assert name in content
    for path in content:
        if path.endswith(".mem"):
            assert path in top or re.sub(r"_[0-9a-f]{2,3}\.mem", "", path) in top


def test_names_that_are_no_identifiers_are_made_legal_and_stay_apart(tmp_path: Path) -> None:
    graph = random_reactnet(0, width=2, size=(3, 3), classes=2)
    strange = ["wire", "conv/1", "conv.1", "CONV_1", "1st", "", "a b", "é", "rst", "module_"]
    new = {layer.name: name for layer, name in zip(graph.layers, strange, strict=False)}
    layers = tuple(replace(layer, name=new.get(layer.name, layer.name)) for layer in graph.layers)
    named = replace(graph, name='net "x" */\n`error //', layers=layers).check()
    flow = sized(named, {layer.name: next(layer.foldings()) for layer in layers})
    systemverilog.emit(flow).write(tmp_path / "rtl")
    assert lint(tmp_path / "rtl") == ""


def test_the_top_equals_its_golden_copy() -> None:
    assert golden_text(design("small")) == GOLDEN.read_text()


if __name__ == "__main__":
    GOLDEN.parent.mkdir(parents=True, exist_ok=True)
    GOLDEN.write_text(golden_text(small()))
