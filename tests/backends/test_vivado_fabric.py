"""Boards without a processor, and the network alone: scripts, pins, clocks, and the RTL between."""

import re
import subprocess
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import pytest

from hwgen.backends import systemverilog, vivado
from hwgen.board import Artix7, Button, load_board
from hwgen.files import Files
from hwgen.target import for_board
from tests.backends.test_vivado import example, mutants, zynq
from tests.rtl.tools import VERILATOR, run_lint, yosys
from tests.vivado_standins import tcl, xdc
from tests.vivado_standins.alone import Alone
from tests.vivado_standins.vivado import Setup, Vivado

NETWORK = "module hwgen_top (\n    input  wire logic aclk\n);\nendmodule\n"


def arty(**shell: object) -> Artix7:
    board = load_board("arty-a7-100t")
    assert isinstance(board, Artix7)
    return board.model_copy(update={"shell": board.shell.model_copy(update=shell)})


def files(board: Artix7 | None = None, clock_mhz: float = 100) -> Files:
    """A build folder as far as Vivado needs it: the whole network."""
    board = board or arty()
    flow = replace(example(board), clock_mhz=clock_mhz)
    rtl = systemverilog.emit(flow)
    return rtl.under("rtl") | for_board(flow, board, rtl, (None, None))


def write(out: Path, board: Artix7 | None = None, clock_mhz: float = 100) -> Path:
    files(board, clock_mhz).write(out)
    return out / "project" / "build.tcl"


def run(script: Path, setup: Setup | None = None) -> tuple[tcl.Outcome, Vivado]:
    session = Vivado(setup or Setup())
    return tcl.run(script, script.parent, session.commands(), tcl.available()[0]), session


@pytest.fixture(scope="module", autouse=True)
def _interpreter() -> None:
    if not tcl.available():
        pytest.skip(tcl.MISSING)


# --- the project ------------------------------------------------------------------------------


@pytest.mark.parametrize("clock_mhz", [100, 80])
def test_one_command_makes_a_bitstream(tmp_path: Path, clock_mhz: float) -> None:
    script = write(tmp_path / "build", clock_mhz=clock_mhz)
    outcome, session = run(script)
    assert (outcome.stderr, outcome.status) == ("", 0)
    assert (script.parent / "bitfile/hwgen.bit").read_bytes() == b"bits"
    assert session.warnings == []
    assert session.top == "board_top"
    assert session.part == "xc7a100tcsg324-1"
    assert sorted(p.name for p in (tmp_path / "build/report").iterdir()) == [
        "post_route_resources.rpt",
        "post_route_timing.rpt",
        "post_synth_resources.rpt",
    ]


def test_the_pins_are_the_boards(tmp_path: Path) -> None:
    _, session = run(write(tmp_path))
    found = session.constraints
    assert {port: given["PACKAGE_PIN"] for port, given in found.ports.items()} == {
        "clk_pin_i": "E3",
        "reset_i": "C2",
        "uart_rx_i": "A9",
        "uart_tx_o": "D10",
    }
    assert {given["IOSTANDARD"] for given in found.ports.values()} == {"LVCMOS33"}
    assert found.clocks == {"clk_pin_i": 10.0}
    assert "PULLUP" in found.ports["reset_i"]


@pytest.mark.parametrize(
    ("setup", "message"),
    [
        (Setup(synth_fails=True), "synth_1 ended with 'synth_design ERROR'; see "),
        (Setup(wns="-0.312"), "timing is not met at 100 MHz: worst setup slack -0.312 ns"),
        (Setup(unread_memory="w0.mem"), "synthesis did not find a memory file:"),
        (Setup(no_bitstream=True), "Vivado ended without a bitstream"),
    ],
)
def test_a_failure_is_one_line(tmp_path: Path, setup: Setup, message: str) -> None:
    outcome, _ = run(write(tmp_path), setup)
    assert outcome.status == 1
    assert outcome.stderr.startswith(f"ERROR: {message}")
    assert outcome.stderr.count("\n") == 1
    assert not (tmp_path / "project/bitfile/hwgen.bit").exists()


def test_every_single_mistake_is_found(tmp_path: Path) -> None:
    script = write(tmp_path)
    text = script.read_text()
    kinds = []
    for description, mutant in mutants(text):
        script.write_text(mutant)
        outcome, _ = run(script)
        assert outcome.status == 1, description
        kinds.append(description.split()[1])
    assert kinds.count("command") >= 20
    assert kinds.count("option") >= 14


@pytest.mark.parametrize("name", ["pins.xdc", "timing.xdc"])
def test_every_line_of_the_constraints_counts(tmp_path: Path, name: str) -> None:
    script = write(tmp_path)
    path = script.parent / name
    lines = path.read_text().splitlines()
    wanted = [i for i, line in enumerate(lines) if line and line[0] != "#" and "PULL" not in line]
    assert len(wanted) >= 6
    for i in wanted:
        path.write_text("\n".join(lines[:i] + lines[i + 1 :]))
        assert run(script)[0].status == 1, f"without {lines[i]}"
        for old, new in (("get_ports ", "get_ports x"), ("set_", "xset_"), ("create", "xcreate")):
            if old in lines[i]:
                path.write_text(
                    "\n".join([*lines[:i], lines[i].replace(old, new), *lines[i + 1 :]])
                )
                assert run(script)[0].status == 1, f"{old} in {lines[i]}"


@pytest.mark.parametrize("name", ["uart_rx.sv", "hwgen_uart_top.sv", "timing.xdc", "board_top.sv"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    script = write(tmp_path)
    (script.parent / name).unlink()
    outcome, _ = run(script)
    assert outcome.status == 1
    assert f"{name} is missing; run hwgen build again" in outcome.stderr


def test_a_module_that_the_script_forgets_is_found(tmp_path: Path) -> None:
    script = write(tmp_path)
    script.write_text(script.read_text().replace("    uart_crc.sv\n", "", 1))
    assert "module uart_crc is not in the project" in run(script)[0].stderr


# --- the top around the shell -------------------------------------------------------------------

BOARDS = {
    "oscillator": (arty(), 100),
    "mmcm": (arty(), 80),
    "active high": (arty(reset=Button(pin="C2", active_low=False)), 80),
    "no button": (arty(reset=None), 100),
}


@pytest.mark.parametrize("name", BOARDS)
def test_the_top_is_what_yosys_finds_in_the_part(tmp_path: Path, name: str) -> None:
    """Yosys has the ports and parameters of BUFG and MMCME2_ADV from the vendor's libraries."""
    board, clock_mhz = BOARDS[name]
    script = write(tmp_path, board, clock_mhz)
    sources = sorted({*script.parent.glob("*.sv"), *(tmp_path / "rtl").glob("*.sv")})
    log = yosys(
        [
            "read_verilog -lib +/xilinx/cells_sim.v",
            "read_verilog -lib +/xilinx/cells_xtra.v",
            *(f"read_verilog -sv -defer {path}" for path in sources),
            "hierarchy -check -top board_top",
            "select -assert-count 1 board_top/t:BUFG",
            f"select -assert-count {int(clock_mhz != 100)} board_top/t:MMCME2_ADV",
            "proc",
            "check -assert board_top",
        ],
        tmp_path / "rtl",
    )
    assert "Warning: Wire board_top" not in log


MODELS = """
`timescale 1ns/1ns
module BUFG (input wire I, output wire O); assign O = I; endmodule
module hwgen_uart_top #(parameter int CLOCK_HZ = 0, parameter int BAUD = 0) (
    input wire clk_i, rst_i, uart_rx_i, output wire uart_tx_o);
  assign uart_tx_o = rst_i;
  always @(posedge clk_i) if (BAUD != 1000000 || CLOCK_HZ != 100000000 || uart_rx_i) $fatal;
endmodule
"""
BENCH = """
module bench;
  logic clk = 0, pressed = 0;
  int edges = 0;
  wire low_reset, high_reset;
  always #5 clk = !clk;
  low  u_low  (.clk_pin_i(clk), .reset_i(!pressed), .uart_rx_i(1'b0), .uart_tx_o(low_reset));
  high u_high (.clk_pin_i(clk), .reset_i(pressed),  .uart_rx_i(1'b0), .uart_tx_o(high_reset));
  always @(negedge clk) begin
    $write("%b%b ", low_reset, high_reset);
    edges <= edges + 1;
    pressed <= edges >= 60 && edges < 80;
    if (edges == 120) $finish;
  end
endmodule
"""


@pytest.mark.slow
def test_reset_lasts_16_clocks_after_power_up_and_after_the_button(tmp_path: Path) -> None:
    text = MODELS
    for name, active_low in (("low", True), ("high", False)):
        board = arty(reset=Button(pin="C2", active_low=active_low))
        top = files(board).content["project/board_top.sv"].decode()
        text += top.replace("module board_top", f"module {name}")
    (tmp_path / "all.sv").write_text(text + BENCH)
    command = [VERILATOR, "--binary", "--timing", "-Wno-fatal", "-CFLAGS", "-O0"]
    command += ["--top-module", "bench", "all.sv"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    done = subprocess.run([tmp_path / "obj_dir/Vbench"], check=True, capture_output=True, text=True)
    found = [word for word in done.stdout.split() if re.fullmatch("[01]{2}", word)]
    assert set(found) == {"11", "00"}  # both polarities alike
    runs = [(level, len(list(group))) for level, group in groupby(found)]
    assert [level for level, _ in runs] == ["11", "00", "11", "00"]
    assert 16 <= runs[0][1] <= 20
    assert 16 + 20 - 3 <= runs[2][1] <= 16 + 20 + 3  # pressed for 20


def test_the_shell_counts_the_clock_that_the_mmcm_really_makes() -> None:
    board = arty()
    made = files(board, 83.3).content["project/board_top.sv"].decode()
    hz = int(re.search(r"CLOCK_HZ\((\d+)\)", made)[1])
    multiply, out = (int(re.search(rf"{k}\((\d+)\)", made)[1]) for k in ("MULT_F", "DIVIDE_F"))
    divide_in = int(re.search(r"DIVCLK_DIVIDE\((\d+)\)", made)[1])
    assert hz == round(100e6 / divide_in * multiply / out)
    assert 83.3e6 * 0.98 < hz <= 83.3e6
    assert f"CLOCK_HZ = {hz}," in files(board, 83.3).content["project/hwgen_uart_top.sv"].decode()


def test_the_top_lints_clean_but_for_the_parts_own_cells(tmp_path: Path) -> None:
    script = write(tmp_path)
    cells = "module BUFG (input wire I, output wire O); assign O = I; endmodule\n"
    (tmp_path / "cells.v").write_text(cells)
    sources = [script.parent / "board_top.sv", tmp_path / "cells.v"]
    options = ["-y", script.parent, "-y", tmp_path / "rtl", "--top-module", "board_top"]
    found = run_lint([*options, "-Wno-DECLFILENAME", *sources], cwd=tmp_path)
    assert [line for line in found.splitlines() if "board_top.sv" in line] == []


# --- the network alone --------------------------------------------------------------------------


def alone(
    script: Path, *args: str, setup: Setup | None = None, interpreter: str = ""
) -> tuple[tcl.Outcome, Alone]:
    session = Alone(setup or Setup())
    chosen = interpreter or tcl.available()[0]
    return tcl.run(script, script.parent, session.commands(), chosen, args), session


def out_of_context(tmp_path: Path, name: str) -> Path:
    if name == "arty-a7-100t":
        return write(tmp_path).with_name("synth_ooc.tcl")
    board = zynq(name)
    flow = example(board)
    rtl = systemverilog.emit(flow)
    rtl.write(tmp_path / "rtl")
    vivado.emit(flow, board, rtl).write(tmp_path / "project")
    return tmp_path / "project/synth_ooc.tcl"


@pytest.mark.parametrize("interpreter", tcl.available())
@pytest.mark.parametrize("name", ["pynq-z2", "kv260", "arty-a7-100t"])
@pytest.mark.parametrize("routed", [False, True])
def test_the_network_is_synthesised_alone(
    tmp_path: Path, interpreter: str, name: str, routed: bool
) -> None:
    script = out_of_context(tmp_path, name)
    outcome, session = alone(script, *["route"] * routed, interpreter=interpreter)
    assert (outcome.stderr, outcome.status) == ("", 0)
    assert session.part == load_board(name).part
    assert session.clocks == {"aclk": 10.0}
    assert session.done == (["synth", "opt", "place", "route"] if routed else ["synth"])
    for report in ("ooc_resources.rpt", "ooc_timing.rpt"):
        assert (tmp_path / "report" / report).read_text() == f"{session.done[-1]}\n"
    reached = 1000 / (10 - 0.412)
    assert f"worst setup slack 0.412 ns at 100 MHz: {reached:.1f} MHz" in outcome.stdout


@pytest.mark.parametrize(
    ("args", "setup", "message"),
    [
        (("rout",), Setup(), "-tclargs can be route, not 'rout'"),
        ((), Setup(version="2019.2"), "Vivado 2019.2 is too old"),
        ((), Setup(synth_fails=True), "[Common 17-69] Command failed: Synthesis failed"),
        (("route",), Setup(route_fails=True), "[Common 17-69] Command failed: Routing failed"),
        ((), Setup(unread_memory="w0.mem"), "synthesis did not find a memory file"),
        ((), Setup(wns=""), "no setup slack is known"),
    ],
)
def test_its_failures_are_one_line(
    tmp_path: Path, args: tuple[str, ...], setup: Setup, message: str
) -> None:
    outcome, _ = alone(out_of_context(tmp_path, "arty-a7-100t"), *args, setup=setup)
    assert outcome.status == 1
    assert outcome.stderr.startswith(f"ERROR: {message}")
    assert outcome.stderr.count("\n") == 1


def test_a_clock_that_is_not_met_is_said_and_is_no_failure(tmp_path: Path) -> None:
    outcome, _ = alone(out_of_context(tmp_path, "arty-a7-100t"), setup=Setup(wns="-2.5"))
    assert outcome.status == 0
    assert "worst setup slack -2.5 ns at 100 MHz: 80.0 MHz" in outcome.stdout


def test_every_single_mistake_of_it_is_found(tmp_path: Path) -> None:
    script = out_of_context(tmp_path, "arty-a7-100t")
    text = script.read_text()
    word = re.compile(
        r"(?<=[\[ ])(create_project|read_|get_|synth_design|opt_|place_|route_design|report_)\w*"
        r"|(?<= )-(?!tclargs)[a-z_]{2,}"
    )
    count = 0
    for i, line in enumerate(text.splitlines()):
        for found in word.finditer("" if line.startswith("#") or "error " in line else line):
            lines = text.splitlines()
            lines[i] = f"{line[: found.end()]}x{line[found.end() :]}"
            script.write_text("\n".join(lines))
            outcome, _ = alone(script, "route")
            assert outcome.status == 1, lines[i]
            count += 1
    assert count >= 25


def test_the_stand_in_reads_constraints_strictly() -> None:
    line = "set_property PACKAGE_PIN A1 [get_ports {}]"
    with pytest.raises(tcl.CommandError, match="two ports share a pin"):
        xdc.read([line.format("a") + "\n" + line.format("b")], ["a", "b"])
    with pytest.raises(tcl.CommandError, match="not understood"):
        xdc.read(["foreach x {1 2} {}"], ["a"])
