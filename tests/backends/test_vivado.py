"""The Vivado project: checked by running build.tcl against stand-ins of Vivado's commands."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hwgen.backends import systemverilog, vivado
from hwgen.board import Zynq, board_names, load_board
from hwgen.dataflow import Dataflow, build_dataflow
from hwgen.files import Files
from tests.networks import random_reactnet
from tests.vivado_standins import tcl
from tests.vivado_standins.vivado import Setup, Vivado

TOP = "module hwgen_top (input wire logic aclk);\nendmodule\n"
RTL = {"hwgen_top.sv": TOP, "mvau.sv": "module mvau;\nendmodule\n", "w0.mem": "0\n"}
CLOCK_HZ = 100_000_000
FILES = Files({name: text.encode() for name, text in {**RTL, "filelist.f": ""}.items()})
# the branches that only other boards and installations take: another control port, board files
OTHERS = {
    "pynq-z2": ("control_port M_AXI_GP0", "control_port M_AXI_GP1", "tul.com.tw:pynq-z2:part0:1.0"),
    "kv260": ("", "", "xilinx.com:kv260_som:part0:1.4"),
}
VERSIONS = ("2020.1", "2020.2.2", "2023.1", "2025.1.1_AR000")
ZYNQS = [name for name in board_names() if isinstance(load_board(name), Zynq)]


def zynq(name: str = "pynq-z2", **ps: str) -> Zynq:
    """A board, with other settings of its processing system."""
    board = load_board(name)
    assert isinstance(board, Zynq)
    return board.model_copy(update={"ps": board.ps.model_copy(update=ps)})


def example(board: Zynq, **changes: int) -> Dataflow:
    graph = random_reactnet(**changes)
    foldings = {layer.name: next(layer.foldings()) for layer in graph.layers}
    return build_dataflow(graph, foldings, bus_bytes=board.bus_bytes, clock_mhz=CLOCK_HZ / 1e6)


def write(out: Path, board: Zynq | None = None) -> Path:
    """A build folder as far as Vivado needs it; returns the script."""
    board = board or zynq()
    vivado.emit(example(board), board, FILES).write(out / "project")
    for name, text in RTL.items():
        (out / "rtl").mkdir(exist_ok=True)
        (out / "rtl" / name).write_text(text)
    return out / "project" / "build.tcl"


def run(
    script: Path, setup: Setup | None = None, interpreter: str = "", cwd: Path | None = None
) -> tuple[tcl.Outcome, Vivado]:
    session = Vivado(setup or Setup())
    interpreter = interpreter or tcl.available()[0]
    return tcl.run(script, cwd or script.parent, session.commands(), interpreter), session


@pytest.fixture(scope="module", autouse=True)
def _interpreter() -> None:
    """No pip package carries a Tcl for Linux, so a Python without tkinter may have none."""
    if not tcl.available():
        pytest.skip(tcl.MISSING)


@pytest.mark.parametrize("interpreter", tcl.available())
@pytest.mark.parametrize(
    ("name", "version"),
    [
        *((name, version) for name in OTHERS for version in VERSIONS),
        *((name, "2023.1") for name in ZYNQS if name not in OTHERS),
    ],
)
def test_one_command_makes_bitstream_and_reports(
    tmp_path: Path, interpreter: str, version: str, name: str
) -> None:
    board = zynq(name)
    script = write(tmp_path / "build", board)
    outcome, session = run(script, Setup(version=version), interpreter)
    assert outcome.stderr == ""
    assert outcome.status == 0
    assert (script.parent / "bitfile/hwgen.bit").read_bytes() == b"bits"
    assert "EDKSYSTEM" in (script.parent / "bitfile/hwgen.hwh").read_text()
    report = tmp_path / "build" / "report"
    assert (report / "post_synth_resources.rpt").read_text().startswith("synth_1\n")
    assert (report / "post_route_timing.rpt").read_text().startswith("impl_1\n")
    assert f"fabric clock {CLOCK_HZ} Hz" in outcome.stdout
    assert session.part == board.part
    assert session.warnings == []


def test_a_place_that_vivado_would_misread_is_refused(tmp_path: Path) -> None:
    outcome, _ = run(write(tmp_path / "a build"))
    assert outcome.status == 1
    assert "a build/project has blanks; move the build elsewhere" in outcome.stderr


def test_any_working_folder_will_do_and_nothing_is_left_there(tmp_path: Path) -> None:
    script = write(tmp_path / "build")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    outcome, _ = run(script, cwd=elsewhere)
    assert outcome.status == 0
    assert list(elsewhere.iterdir()) == []
    assert sorted(p.name for p in (tmp_path / "build").iterdir()) == ["project", "report", "rtl"]


def test_a_second_run_replaces_the_first(tmp_path: Path) -> None:
    script = write(tmp_path)
    assert run(script)[0].status == 0
    assert run(script)[0].status == 0
    outcome, _ = run(script, Setup(synth_fails=True))
    assert outcome.status == 1
    assert not (tmp_path / "project/bitfile/hwgen.bit").exists()


def test_the_script_names_no_absolute_path(tmp_path: Path) -> None:
    text = write(tmp_path).read_text()
    assert not re.search(r"(?<![\w.*])/[a-zA-Z]\w*/", text)
    assert str(tmp_path) not in text


def test_without_board_files_the_processing_system_is_configured_in_full(tmp_path: Path) -> None:
    board = zynq()
    _, session = run(write(tmp_path))
    config = session.cells["/ps"].config
    assert {key: config[key] for key in board.ps.config} == board.ps.config
    assert config["PCW_FPGA0_PERIPHERAL_FREQMHZ"] == "100"
    assert config["PCW_S_AXI_HP0_DATA_WIDTH"] == "64"
    assert session.board_part == ""


def test_with_board_files_the_newest_preset_is_used(tmp_path: Path) -> None:
    parts = ("tul.com.tw:pynq-z2:part0:1.0", "tul.com.tw:pynq-z2:part0:1.10", "x.com:y:part0:2.0")
    outcome, session = run(write(tmp_path), Setup(board_parts=parts))
    assert outcome.status == 0
    assert session.board_part == "tul.com.tw:pynq-z2:part0:1.10"
    config = session.cells["/ps"].config
    assert config["PCW_UIPARAM_DDR_PARTNO"] == "of the board preset"
    assert config["PCW_USE_S_AXI_HP0"] == "1"


@pytest.mark.parametrize("preset", [True, False])
def test_an_ultrascale_has_one_port_each_way_and_one_interrupt(
    tmp_path: Path, preset: bool
) -> None:
    board = zynq("kv260")
    found = ("xilinx.com:kv260_som:part0:1.4",) if preset else ()
    outcome, session = run(write(tmp_path, board), Setup(board_parts=found))
    assert outcome.stderr == ""
    config = session.cells["/ps"].config
    open_ports = {key for key, value in config.items() if "__USE__" in key and value == "1"}
    assert open_ports == {
        "PSU__USE__M_AXI_GP0",  # HPM0_FPD
        "PSU__USE__S_AXI_GP2",  # HP0_FPD
        "PSU__USE__IRQ0",
        "PSU__USE__FABRIC__RST",
    }
    assert config["PSU__SAXIGP2__DATA_WIDTH"] == "128"
    assert config["PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ"] == "100"
    assert config["PSU__DDRC__ENABLE"] == ("of the board preset" if preset else "1")
    assert session.cells["/dma"].config["c_addr_width"] == "40"  # DDR above 32 GB is in reach


def test_the_dma_is_as_the_board_file_says(tmp_path: Path) -> None:
    board = zynq()
    dma = board.dma.model_copy(update={"max_length_bits": 23})
    board = board.model_copy(update={"bus_bytes": 4, "dma": dma})
    outcome, session = run(write(tmp_path, board))
    assert outcome.status == 0
    config = session.cells["/dma"].config
    assert config["c_include_sg"] == "0"
    assert config["c_include_mm2s"] == config["c_include_s2mm"] == "1"
    assert config["c_sg_length_width"] == "23"
    assert {v for k, v in config.items() if k.endswith("data_width")} == {"32"}


@pytest.mark.parametrize(
    ("name", "ddr", "control"),
    [
        ("pynq-z2", "S_AXI_HP2", "M_AXI_GP1"),
        ("kv260", "S_AXI_HP1_FPD", "M_AXI_HPM1_FPD"),
        ("kv260", "S_AXI_HP2_FPD", "M_AXI_HPM0_LPD"),
        ("kv260", "S_AXI_HP3_FPD", "M_AXI_HPM0_FPD"),
    ],
)
def test_other_ports_of_the_processing_system_work_as_well(
    tmp_path: Path, name: str, ddr: str, control: str
) -> None:
    outcome, session = run(write(tmp_path, zynq(name, ddr_port=ddr, control_port=control)))
    assert outcome.stderr == ""
    assert ("/memory/M00_AXI", f"/ps/{ddr}") in session.links
    assert (f"/ps/{control}", "/control/S00_AXI") in session.links


@pytest.mark.parametrize(
    ("setup", "message"),
    [
        (Setup(version="2019.2"), "Vivado 2019.2 is too old; 2020.1 or later"),
        (Setup(synth_fails=True), "synth_1 ended with 'synth_design ERROR'; see "),
        (Setup(route_fails=True), "impl_1 ended with 'write_bitstream ERROR'; see "),
        (Setup(wns="-0.312"), "timing is not met at 100 MHz: worst setup slack -0.312 ns"),
        (Setup(whs="-0.001"), "timing is not met at 100 MHz: worst hold slack -0.001 ns"),
        (Setup(wns=""), "no setup slack is known after routing"),
        (Setup(unread_memory="w0.mem"), "synthesis did not find a memory file:"),
        (Setup(no_bitstream=True), "Vivado ended without a bitstream and its .hwh"),
    ],
)
def test_a_failure_ends_with_status_1_and_one_line(
    tmp_path: Path, setup: Setup, message: str
) -> None:
    outcome, _ = run(write(tmp_path), setup)
    assert outcome.status == 1
    assert outcome.stderr.startswith(f"ERROR: {message}")
    assert outcome.stderr.count("\n") == 1
    assert not (tmp_path / "project/bitfile/hwgen.bit").exists()


def test_a_timing_failure_says_what_to_do(tmp_path: Path) -> None:
    outcome, session = run(write(tmp_path), Setup(wns="-1.5"))
    assert "lower --clock-mhz" in outcome.stderr
    assert "post_route_timing.rpt" in session.reports


@pytest.mark.parametrize("name", RTL)
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    script = write(tmp_path)
    (tmp_path / "rtl" / name).unlink()
    outcome, _ = run(script)
    assert outcome.status == 1
    assert f"{name} is missing; run hwgen build again" in outcome.stderr


# --- the stand-ins find mistakes: each mutation of the script must fail ------------------------

COMMAND = re.compile(
    r"(?<=[\[ ])(create|add|set_property|get_(?!p)|connect_bd|assign|validate|save_bd|generate|"
    r"make_w|launch|wait|open_run|close_design|report|update)\w*"
)
SINK = re.compile(r" {8}\w+/[\w${}]+( \\)?")


def mutants(text: str) -> Iterator[tuple[str, str]]:
    """Descriptions and texts of scripts with one mistake."""
    lines = text.splitlines()

    def changed(i: int, line: str) -> str:
        return "\n".join([*lines[:i], line, *lines[i + 1 :]])

    for i, line in enumerate(lines):
        if line.startswith("#") or "error " in line or "proc " in line:
            continue
        whole = re.fullmatch(r" +connect(_interface)? \S+/\S+ \S+/[^ \\]+", line)
        if whole:
            yield f"without connection {line.strip()}", changed(i, "")
        if SINK.fullmatch(line):
            last = not line.endswith("\\")
            yield f"without sink {line.strip()}", changed(i, "        {*}{}" + " \\" * (not last))
        if whole or SINK.fullmatch(line) or re.match(r" +connect \S+/", line):
            yield f"misspelt pin {line.strip()}", changed(i, re.sub(r"/", "/x", line, count=1))
        for kind, found in (
            ("command", COMMAND.search(line)),
            ("option", re.search(r"(?<!lsort)(?<!puts)(?<!match)(?<!double) -[a-z_]{3,}", line)),
            ("parameter", re.search(r"CONFIG\.(?!FREQ_HZ)\w+(?![\w$])", line)),
            ("row", re.search(r"M_AXI_HPM\w+ PSU__\w+|S_AXI_HP0_FPD GP2", line)),
        ):
            if found:
                wrong = f"{line[: found.end()]}x{line[found.end() :]}"
                yield f"misspelt {kind} {wrong.strip()}", changed(i, wrong)


@pytest.mark.parametrize("name", OTHERS)
def test_every_single_mistake_is_found(tmp_path: Path, name: str) -> None:
    script = write(tmp_path, zynq(name))
    text = script.read_text()
    old, new, board_part = OTHERS[name]
    seen: dict[str, int] = {}
    for description, mutant in mutants(text):
        assert mutant != text
        script.write_text(mutant)
        outcome, _ = run(script)
        if outcome.status == 0:
            script.write_text(mutant.replace(old, new))
            outcome, _ = run(script, Setup(board_parts=(board_part,)))
        assert outcome.status == 1, description
        assert outcome.stderr.startswith("ERROR: "), description
        kind = " ".join(description.split()[:2])
        seen[kind] = seen.get(kind, 0) + 1
    assert seen["without connection"] == 14
    assert seen["without sink"] == 29
    assert seen["misspelt pin"] == 14 + 29 + 3
    least = {"pynq-z2": (40, 30, 30, 0), "kv260": (40, 30, 20, 4)}[name]
    kinds = ("command", "option", "parameter", "row")
    assert all(seen.get(f"misspelt {k}", 0) >= n for k, n in zip(kinds, least, strict=True)), seen


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("set clock_mhz 100\n", "", 'can\'t read "clock_mhz": no such variable'),
        ("$length_bits \\", "$lenght_bits \\", 'can\'t read "lenght_bits": no such variable'),
        ("    assign_bd_address\n", "", "address segments are not mapped"),
        ("    validate_bd_design\n", "", "not validated and saved"),
        ("set length_bits 26", "set length_bits 27", "c_sg_length_width cannot be '27'"),
        ("axi_dma:7.1", "axi_dma:7.2", "no block"),
        ("c_include_sg 0", "c_include_sg 1", "m_axi_sg_aclk is not connected"),
        ("tdata_width $stream_bits", "tdata_width 32", "bits, "),
        ("synth_checkpoint_mode None", "synth_checkpoint_mode Hierarchical", "memory files"),
        ("dma/M_AXIS_MM2S network/s_axis", "dma/M_AXIS_MM2S dma/S_AXIS_S2MM", "already"),
        ("network/m_axis dma/S_AXIS_S2MM", "dma/M_AXIS_MM2S dma/S_AXIS_S2MM", "already"),
        ("lines/In1", "lines/In0", "/lines/In0 is connected already"),
        ("connect lines/dout", "connect ps/FCLK_CLK0", "different kinds"),
        ("network/aresetn", "network/aclk", "different kinds"),
        ("-reference hwgen_shell", "-reference hwgen_top", "cannot have a SystemVerilog top"),
        ("NUM_PORTS 2", "NUM_PORTS 3", "/lines/In2 is not connected"),
        ("NUM_MI 3", "NUM_MI 4", "/control/M03_ACLK is not connected"),
        ("control/M02_AXI network/s_axi", "control/M02_AXI network/s_axis", "do not fit"),
    ],
)
def test_a_wrong_value_is_found(tmp_path: Path, old: str, new: str, message: str) -> None:
    script = write(tmp_path)
    text = script.read_text()
    assert old in text
    script.write_text(text.replace(old, new, 1))
    outcome, _ = run(script)
    assert outcome.status == 1
    assert message in outcome.stderr


def test_a_shell_without_the_network_is_found(tmp_path: Path) -> None:
    script = write(tmp_path)
    (tmp_path / "rtl/hwgen_top.sv").write_text("module other;\nendmodule\n")
    outcome, _ = run(script)
    assert "module hwgen_top is not in the project" in outcome.stderr
    shell = script.parent / "hwgen_shell.v"
    shell.write_text(shell.read_text().replace("s_axis:m_axis:s_axi", "s_axis:s_axi"))
    (tmp_path / "rtl/hwgen_top.sv").write_text(TOP)
    outcome, _ = run(script)
    message = "clock of ['m_axis', 's_axi', 's_axis'] is given for ['s_axi', 's_axis'] only"
    assert message in outcome.stderr


def test_the_generated_rtl_makes_a_project(tmp_path: Path) -> None:
    board = zynq()
    dataflow = example(board)
    rtl = systemverilog.emit(dataflow)
    rtl.write(tmp_path / "rtl")
    vivado.emit(dataflow, board, rtl).write(tmp_path / "project")
    outcome, session = run(tmp_path / "project/build.tcl")
    assert outcome.stderr == ""
    added = {Path(name).name for name in session.files}
    assert {name for name in rtl if name.endswith((".sv", ".mem"))} <= added
    kinds = {v["FILE_TYPE"] for k, v in session.files.items() if k.endswith(".mem")}
    assert kinds == {"Memory Initialization Files"}


# --- emission ---------------------------------------------------------------------------------


def test_emission_is_reproducible_and_lists_what_belongs_to_the_project() -> None:
    board = zynq()
    one, two = (vivado.emit(example(board), board, FILES) for _ in range(2))
    assert one.digest() == two.digest()
    text = one.content["build.tcl"].decode()
    assert "hwgen_top.sv" in text
    assert "w0.mem" in text
    assert "filelist.f" not in text


def test_a_network_name_cannot_break_out_of_a_comment() -> None:
    board = zynq()
    dataflow = example(board)
    wild = replace(dataflow, graph=replace(dataflow.graph, name="x\nexec rm\n[exit]*/"))
    files = vivado.emit(wild, board, FILES).content
    for name in ("build.tcl", "hwgen_shell.v", "synth_ooc.tcl"):
        assert b"x_exec rm__exit" in files[name].splitlines()[0]
    assert not [name for name, data in files.items() if b"exec rm\n" in data]
    with pytest.raises(AssertionError, match="cannot stand in a Tcl list"):
        vivado.emit(dataflow, board, Files({"a b.sv": b""}))
