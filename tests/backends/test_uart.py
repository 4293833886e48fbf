"""The serial shell around a network: files, lint, and boards it cannot serve."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hwgen.backends import systemverilog, uart
from hwgen.dataflow import Dataflow
from hwgen.errors import ResourceError
from hwgen.files import Files
from tests.backends.designs import design
from tests.rtl.tools import run_lint


def whole(flow: Dataflow, baud: int = 1_000_000, clock_hz: int = 50_000_000) -> Files:
    """rtl/ and project/ of a build."""
    rtl = systemverilog.emit(flow)
    project = uart.emit(flow, baud, clock_hz, systemverilog.build_id(rtl))
    return rtl.under("rtl") | project.under("project")


@pytest.mark.parametrize("name", ["small", "folded"])  # 8 and 4 bytes a beat
def test_the_top_around_a_network_lints_clean(name: str, tmp_path: Path) -> None:
    files = whole(design(name))
    files.write(tmp_path)
    paths = [tmp_path / path for path in files if path.endswith(".sv")]
    assert len({path.name for path in paths}) == len(paths), "a module stands twice"
    assert run_lint([*paths, "--top-module", uart.TOP], cwd=tmp_path / "rtl") == ""


def test_hardware_and_host_carry_the_id_of_the_rtl() -> None:
    flow = design("small")
    rtl = systemverilog.emit(flow)
    number = systemverilog.build_id(rtl)
    top = uart.emit(flow, 115_200, 12_000_000, number).content[f"{uart.TOP}.sv"].decode()
    assert f".BUILD_ID(64'h{number:016x})" in top
    host = json.loads(uart.emit_host(flow, 115_200, number).content[uart.SHAPES])
    assert int(host["build_id"], 16) == number
    assert host["input"]["frame_bytes"] == flow.axis_in.beats * host["bus_bytes"]


def test_a_rate_that_the_clock_cannot_sample_is_refused_with_the_highest() -> None:
    flow = design("small")
    assert uart.emit(flow, 3_000_000, 24_000_000, 0)
    with pytest.raises(ResourceError, match=r"6\.7 clocks of 20 MHz.* to 2500000 or less"):
        uart.emit(flow, 3_000_000, 20_000_000, 0)


def test_impossible_parameters_are_refused_at_elaboration() -> None:
    shell = Path(uart.__file__).parents[2] / "templates" / "shell"
    folders = ["-y", shell, "-y", shell.parent / "rtl"]
    for parameters, message in (
        (["-GCLOCK_HZ=7000000", "-GBAUD=1000000"], "at least 8 clocks"),
        (["-GINBOX_BITS=4"], "from 5 to 14"),
        (["-GOUTBOX_BITS=15"], "from 5 to 14"),
    ):
        arguments = [shell / "uart_shell.sv", *parameters, "--top-module", "uart_shell", *folders]
        assert message in run_lint(arguments)
