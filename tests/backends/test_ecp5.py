"""A board with an ECP5: its pins and PLL, a real bitstream, and every way to fail."""

from __future__ import annotations

import json
import re
import subprocess
from glob import glob
from pathlib import Path
from typing import Any

import pytest

from hwgen import schema, target
from hwgen.backends import ecp5, nextpnr, systemverilog, uart
from hwgen.backends.ecp5_part import LFE5U_85F, Part
from hwgen.backends.nextpnr import Caches, Routed, Router
from hwgen.backends.yosys import Usage, occupied
from hwgen.board import Capacity, Ecp5, load_board
from hwgen.dataflow import Dataflow, build_dataflow
from hwgen.errors import ResourceError, ToolError, UserInputError
from hwgen.files import check_seal, seal, write_bytes
from hwgen.journal import Journal
from hwgen.layers import Add, Fork
from hwgen.layers.base import Folding, Resources
from hwgen.quant import IntType, QuantGraph, Scaling, Tensor
from hwgen.run import run_tool
from hwgen.technology import ECP5
from tests.rtl.tools import VERILATOR, ToolFailure, yosys

PLL_MODEL = """
(* blackbox *) module EHXPLLL #(
    parameter FEEDBK_PATH = "", parameter CLKOP_ENABLE = "", parameter CLKOS_ENABLE = "",
    parameter OUTDIVIDER_MUXA = "", parameter OUTDIVIDER_MUXB = "", parameter PLLRST_ENA = "",
    parameter INTFB_WAKE = "", parameter STDBY_ENABLE = "", parameter DPHASE_SOURCE = "",
    parameter CLKI_DIV = 1, parameter CLKFB_DIV = 1, parameter CLKOP_DIV = 1,
    parameter CLKOS_DIV = 1, parameter CLKOP_CPHASE = 0, parameter CLKOS_CPHASE = 0
) (
    input CLKI, CLKFB, RST, STDBY, PLLWAKESYNC, ENCLKOP, ENCLKOS, PHASESEL1, PHASESEL0, PHASEDIR,
    input PHASESTEP, PHASELOADREG, output CLKOP, CLKOS, LOCK
);
endmodule
"""


def board(name: str = "colorlight-i5", **shell: Any) -> Ecp5:
    found = load_board(name)
    assert isinstance(found, Ecp5)
    return found.model_copy(update={"shell": found.shell.model_copy(update=shell)})


def design(clock_mhz: float = 50) -> Dataflow:
    shape, x = (2, 2, 4), IntType(3)
    source, a, b = (Tensor(n, shape, x) for n in ("x", "a", "b"))
    total = Tensor("y", shape, IntType(4))
    layers = (Fork("fork", (source,), (a, b)), Add("add", (a, b), (total,)))
    graph = QuantGraph("two branches", source, total, layers, Scaling(1, 1)).check()
    foldings = {"fork": Folding(pe=1), "add": Folding(pe=2)}
    return build_dataflow(graph, foldings, bus_bytes=4, clock_mhz=clock_mhz, technology=ECP5)


def written(folder: Path, on: Ecp5, flow: Dataflow) -> Router:
    """A build's rtl/ and project/, and what routes it."""
    rtl = systemverilog.emit(flow)
    clock_hz, build_id = round(flow.clock_mhz * 1e6), systemverilog.build_id(rtl)
    project = uart.emit(flow, on.uart.baud, clock_hz, build_id) | ecp5.emit(flow, on)
    (rtl.under("rtl") | project.under("project")).write(folder)
    caches = Caches(folder / "yosys", folder / "nextpnr")
    return Router(folder / "rtl", flow.clock_mhz, caches, part=Part.of(on.part))


def test_every_pin_has_a_place_and_a_standard() -> None:
    lpf = ecp5.emit(design(), board("ulx3s-85f")).content["board.lpf"].decode()
    places = dict(re.findall(r'LOCATE COMP "(\w+)" SITE "(\w+)";', lpf))
    assert places == {"clk_i": "G2", "uart_rx_i": "M1", "uart_tx_o": "L4", "button_i": "R1"}
    standards = dict(re.findall(r'IOBUF PORT "(\w+)" (IO_TYPE=\w+ PULLMODE=\w+);', lpf))
    assert standards["button_i"] == "IO_TYPE=LVCMOS33 PULLMODE=DOWN"
    assert standards["uart_rx_i"] == "IO_TYPE=LVCMOS33 PULLMODE=UP"
    assert set(standards) == set(places)
    assert 'FREQUENCY PORT "clk_i" 25 MHZ;' in lpf


@pytest.mark.parametrize("name", ["ulx3s-85f", "colorlight-i5"])
def test_the_top_has_the_ports_of_the_constraints_and_lints(name: str, tmp_path: Path) -> None:
    on = board(name)
    written(tmp_path, on, design())
    text = (tmp_path / "project" / "board_top.sv").read_text()
    ports = set(re.findall(r"(?:input|output) +wire logic (\w+)", text))
    lpf = (tmp_path / "project" / "board.lpf").read_text()
    assert ports == set(re.findall(r'COMP "(\w+)"', lpf))
    assert ("button_i" in ports) == (on.shell.reset is not None)
    (tmp_path / "EHXPLLL.v").write_text(PLL_MODEL)
    files = [*sorted((tmp_path / "rtl").glob("*.sv")), *sorted((tmp_path / "project").glob("*.sv"))]
    done = subprocess.run(
        [VERILATOR, "--lint-only", "-Wall", "-Wno-DECLFILENAME", "-Wno-UNUSEDSIGNAL"]
        + ["-Wno-UNDRIVEN", "-Wno-UNUSEDPARAM", "--top-module", "board_top", "EHXPLLL.v", *files],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr


def test_a_button_that_is_low_when_pressed_is_inverted() -> None:
    shell = board("ulx3s-85f").shell
    assert shell.reset is not None
    low = board("ulx3s-85f", reset=shell.reset.model_copy(update={"active_low": True}))
    files = ecp5.emit(design(), low).content
    assert b"pressed = !button_i;" in files["board_top.sv"]
    assert b'"button_i" IO_TYPE=LVCMOS33 PULLMODE=UP' in files["board.lpf"]


@pytest.mark.slow
def test_reset_holds_until_the_pll_has_locked_and_while_the_button_is_pressed(
    tmp_path: Path,
) -> None:
    top = ecp5.emit(design(33.3), board("ulx3s-85f")).content["board_top.sv"]
    bench = Path(__file__).with_name("board_top_bench.sv")
    assert simulate(tmp_path / "good", top, bench) == ""
    wrong = top.replace(b"{reset[2:0], pressed}", b"{reset[2:0], 1'b0}")
    assert wrong != top
    assert "the button resets" in simulate(tmp_path / "wrong", wrong, bench)


def simulate(folder: Path, top: bytes, bench: Path) -> str:
    """What is wrong with the top; nothing for all good."""
    write_bytes(folder / "board_top.sv", top)
    words = ["--binary", "--timing", "--assert", "-Wno-fatal", "-Wno-lint"]
    words += ["--timescale", "1ns/1ps", "--top-module", "bench", "-o", "bench"]
    words += ["-MAKEFLAGS", "OPT_FAST=-O0 OPT_SLOW=-O0 OPT_GLOBAL=-O0"]  # it runs for a microsecond
    subprocess.run(
        [VERILATOR, *words, "board_top.sv", bench],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    done = subprocess.run(
        [folder / "obj_dir" / "bench"], capture_output=True, text=True, check=False
    )
    return "" if "all good" in done.stdout else done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("LFE5U-85F-6BG381C", Part("LFE5U-85F", "--85k", "CABGA381", 6, 205)),
        ("LFE5U-25F-7BG256I", Part("LFE5U-25F", "--25k", "CABGA256", 7, 197)),
        ("LFE5UM5G-45F-8BG554C", Part("LFE5UM5G-45F", "--um5g-45k", "CABGA554", 8, 245)),
        ("LFE5U-12F-6MG285C", Part("LFE5U-12F", "--12k", "CSFBGA285", 6, 118)),
    ],
)
def test_a_full_part_name_is_understood(name: str, part: Part) -> None:
    assert Part.of(name) == part


@pytest.mark.parametrize("name", ["xc7z020clg400-1", "LFE5U-85F-9BG381C", "LFE5U-85F-6BG256C"])
def test_a_part_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(UserInputError, match=rf"part {name} is no ECP5.*LFE5U-85F-6BG381C"):
        Part.of(name)


def test_both_ecp5_boards_have_parts_that_are_known() -> None:
    assert Part.of(board("ulx3s-85f").part).option == "--85k"
    assert Part.of(board("colorlight-i5").part).option == "--25k"


RECORDER = """#!/bin/sh
# a tool that notes how it was called and leaves the files that are named
echo "$(basename "$0") in $(basename "$PWD"): $*" >> {calls}
for word in $*; do
  case $word in
    *hwgen.*) touch "$word" ;;
  esac
done
"""


def test_the_script_for_ones_own_tools_calls_each_with_files_that_are_there(
    tmp_path: Path,
) -> None:
    written(tmp_path, board(), design())
    tools, calls = tmp_path / "bin", tmp_path / "calls"
    for name in ("yosys", "nextpnr-ecp5", "ecppack"):
        write_bytes(tools / name, RECORDER.format(calls=calls).encode())
        (tools / name).chmod(0o755)
    script = tmp_path / "project" / "build.sh"
    done = subprocess.run(
        ["sh", script, "7"],
        env={"PATH": f"{tools}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "hwgen.bit" in done.stdout
    yosys_call, nextpnr_call, pack_call = re.split(r"\n(?=[\w-]+ in )", calls.read_text().strip())
    assert yosys_call.startswith("yosys in rtl: ")
    assert nextpnr_call.startswith("nextpnr-ecp5 in project: --25k --package CABGA381 --speed 6 ")
    assert "--seed 7 " in nextpnr_call
    assert pack_call.startswith("ecppack in project: --compress ")
    for name in ("hwgen.json", "board.lpf"):
        assert (tmp_path / "project" / name).is_file()
        assert name in nextpnr_call
    assert (tmp_path / "project" / "bitfile" / "hwgen.bit").is_file()


def test_the_script_reads_all_of_the_design_and_nothing_twice(tmp_path: Path) -> None:
    written(tmp_path, board(), design())
    script = (tmp_path / "project" / "build.sh").read_text()
    (command,) = re.findall(r"^read_verilog .*$", script, re.MULTILINE)
    read_verilog(tmp_path / "rtl", command)
    with pytest.raises(ToolFailure, match="uart_shell"):
        read_verilog(tmp_path / "rtl", command.replace("../project/*.sv", "../project/[bh]*.sv"))


def read_verilog(folder: Path, command: str) -> None:
    """What the script's yosys does first, up to a hierarchy without a gap."""
    words = command.split()
    files = [path for word in words[3:] for path in sorted(glob(word, root_dir=folder))]
    yosys(
        [
            " ".join([*words[:3], *files]),
            "read_verilog -lib +/lattice/cells_bb_ecp5.v",
            "hierarchy -check -top board_top",
        ],
        folder,
    )


def timing(fmax_mhz: float) -> schema.Ecp5Timing:
    return schema.Ecp5Timing(
        device="d",
        package="p",
        speed_grade=6,
        out_of_context=False,
        clock_mhz=50,
        fmax_mhz=fmax_mhz,
        critical_path=None,
        LUT4=1,
        utilisation={},
        tool="t",
    )


class Reaching:
    """A router that reaches given clocks, one after the other; ``asked``: for which ones."""

    def __init__(self, *reached: float) -> None:
        self.reached, self.asked, self.tops = list(reached), [0.0], [{}]

    def at(self, clock_mhz: float) -> Reaching:
        self.asked.append(clock_mhz)
        return self

    def board(self, dataflow: Dataflow, around: nextpnr.Around, room: object) -> Routed:
        self.tops.append(dict(around.top.parameters))
        found = self.reached.pop(0)
        return Routed(timing(found), {"clk": found}, b"config")


def packed(config: bytes, folder: Path, log: Path) -> ecp5.Bitfile:
    folder.mkdir(exist_ok=True)
    for name in ("hwgen.bit", "hwgen.svf"):
        (folder / name).write_bytes(config)
    return ecp5.Bitfile(folder / "hwgen.bit", folder / "hwgen.svf")


def test_a_clock_that_is_missed_gives_way_to_the_next_that_is_met(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ecp5, "pack", packed)
    on, flow, said = board(), design(), []
    written(tmp_path, on, flow)
    before = (tmp_path / "project" / "board_top.sv").read_bytes()
    router: Any = Reaching(41.3, 43)
    _, record = ecp5.make(tmp_path / "project", flow, on, router, said.append)
    assert router.asked[1:] == [50, record.clock_mhz]
    assert 0.96 * 41.3 < record.clock_mhz <= 0.97 * 41.3
    assert record.asked_mhz == 50
    assert record.fps == pytest.approx(record.clock_mhz * 1e6 / flow.max_cycles)
    assert router.tops[-1] == record.pll
    assert record.pll["CLOCK_HZ"] == round(record.clock_mhz * 1e6)
    assert "41.3 MHz routed for 50 MHz" in said[0]
    assert (tmp_path / "project" / "board_top.sv").read_bytes() == before


def test_a_clock_that_is_never_met_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ecp5, "pack", packed)
    written(tmp_path, board(), design())
    router: Any = Reaching(40, 30, 20, 10)
    with pytest.raises(ToolError, match="no clock was met in 4 routings.*10.0 MHz.*--clock-mhz"):
        ecp5.make(tmp_path / "project", design(), board(), router, lambda text: None)


def test_a_clock_too_slow_for_the_serial_line_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ecp5, "pack", packed)
    on = board("ulx3s-85f")
    written(tmp_path, on, design())
    router: Any = Reaching(7.9)
    with pytest.raises(ResourceError, match=r"too slow for 1000000 baud.*uart\.baud"):
        ecp5.make(tmp_path / "project", design(), on, router, lambda text: None)


def test_the_bitstream_becomes_part_of_the_sealed_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its clock is in the report; a .bit that was changed since is noticed."""
    on, flow = board(), design()
    written(tmp_path, on, flow)
    reaching: Any = Reaching(60)
    monkeypatch.setattr(ecp5, "pack", packed)
    journal = Journal(tmp_path / "build.log", 1, title="test")
    sealed = target.make_bitstream(tmp_path, flow, on, reaching, journal)
    assert set(sealed) == {"project/bitfile/hwgen.bit", "project/bitfile/hwgen.svf"}
    found = json.loads((tmp_path / "report" / "ecp5_bitstream.json").read_text())
    assert schema.Ecp5Bitstream.model_validate(found).clock_mhz == 50
    seal(tmp_path, sealed)
    check_seal(tmp_path)
    (tmp_path / "project" / "bitfile" / "hwgen.bit").write_bytes(b"another")
    with pytest.raises(UserInputError, match="hwgen.bit"):
        check_seal(tmp_path)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo 'Failed to open' >&2; exit 1", r"exit status 1(.|\n)*Failed to open"),
        ("exit 0", r"no .*hwgen\.bit"),
        ("echo x > hwgen.bit", r"no .*hwgen\.svf"),
    ],
)
def test_a_packer_that_fails_or_leaves_nothing_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, message: str
) -> None:
    tool = tmp_path / "yowasp-ecppack"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    monkeypatch.setattr(ecp5, "PACK", str(tool))
    (tmp_path / "bitfile").mkdir()
    (tmp_path / "bitfile" / "hwgen.bit").write_text("of an earlier run")
    with pytest.raises(ToolError, match=message):
        ecp5.pack(b"config", tmp_path / "bitfile", tmp_path / "log")


def test_a_missing_packer_is_said_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ecp5, "PACK", "no-such-ecppack")
    with pytest.raises(ToolError, match="no-such-ecppack is not on PATH"):
        target.require_bitstream(board())


def test_all_that_is_short_is_said_at_once() -> None:
    need = occupied({"LUT4": 90, "CCU2C": 4, "TRELLIS_DPR16X4": 1, "PDPW16KD": 3, "MULT9X9D": 4})
    assert need == Resources(lut=90 + 8 + 6, bram36=1.5, dsp=2)
    enough = Capacity(LUT=104, FF=1, BRAM36=2, DSP=2)
    nextpnr._require_room(need, enough, LFE5U_85F)
    for key, less, says in (("LUT", 103, "LUT 104 of 103"), ("BRAM36", 1, "BRAM36 1.5 of 1")):
        small = enough.model_copy(update={key: less})
        with pytest.raises(ResourceError, match=rf"LFE5U-85F: {says}; .*--fps"):
            nextpnr._require_room(need, small, LFE5U_85F)


def test_a_cell_of_unknown_cost_is_an_error() -> None:
    """So nothing that a part has few of is left out of a count."""
    cells = {"a": {"type": "LUT4"}, "b": {"type": "LUT4"}, "c": {"type": "ALU54B"}}
    with pytest.raises(ValueError, match="ALU54B.*cost is not known"):
        Usage.of_netlist({"cells": cells})
    del cells["c"]
    assert Usage.of_netlist({"cells": cells}).resources == Resources(lut=2)


@pytest.mark.slow
def test_a_netlist_with_too_many_cells_is_refused_before_it_is_placed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on, flow = board(), design()
    router = written(tmp_path, on, flow)
    small = on.model_copy(
        update={"resources": on.resources.model_copy(update={"LUT": 700, "BRAM36": 0})}
    )

    def placing(*args: object, **kwargs: object) -> str:
        raise AssertionError("nextpnr was started")

    monkeypatch.setattr(nextpnr, "run_tool", placing)
    with pytest.raises(ResourceError, match=r"LUT [\d,]+ of 700, BRAM36 1(\.0)? of 0; .*--fps"):
        ecp5.make(tmp_path / "project", flow, small, router, lambda text: None)


@pytest.mark.slow
def test_a_board_gets_the_same_bitstream_twice(tmp_path: Path) -> None:
    """From RTL to configuration, nothing from a cache; what it holds is what was asked for."""
    on, flow = board(), design()
    made = []
    for run in ("one", "two"):
        router = written(tmp_path / run, on, flow)
        found, record = ecp5.make(tmp_path / run / "project", flow, on, router, lambda text: None)
        made.append((found.bit.read_bytes(), found.svf.read_bytes(), replace_seconds(record)))
    assert made[0] == made[1]
    bit, svf, record = made[0]
    assert bit[:2] == b"\xff\x00"  # the comments that a .bit begins with
    assert b"TDO  (41111043)" in svf  # the IDCODE of an LFE5U-25F
    assert record.clock_mhz == 50
    assert min(record.clocks.values()) >= 50
    assert record.timing.utilisation["TRELLIS_IO"].used == 3
    unpack(tmp_path, bit)
    text = (tmp_path / "hwgen.config").read_text()
    words = dict(re.findall(r"word: (CLK\w+_DIV) ([01]+)", text))
    dividers = {name: int(bits, 2) + 1 for name, bits in words.items()}
    assert dividers.get("CLKOP_DIV") == record.pll["CLKOP_DIV"]
    assert dividers.get("CLKOS_DIV") == record.pll["CLKOS_DIV"]
    assert "word: ICP_CURRENT 01100" in text  # 12, as the top says


def replace_seconds(record: schema.Ecp5Bitstream) -> schema.Ecp5Bitstream:
    return record.model_copy(update={"seconds": 0.0})


def unpack(folder: Path, bit: bytes) -> None:
    (folder / "hwgen.bit").write_bytes(bit)
    words = ["yowasp-ecpunpack", "--input", "hwgen.bit", "--textcfg", "hwgen.config"]
    made = folder / "hwgen.config"
    run_tool(words, cwd=folder, log=folder / "unpack.log", timeout_s=120, expect=[made])
