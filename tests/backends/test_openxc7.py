"""The open flow for Artix-7: its Yosys script for real, its other tools by programs on PATH."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hwgen.backends import openxc7
from hwgen.board import load_board
from hwgen.errors import ToolError
from hwgen.journal import Journal
from hwgen.target import make_bitstream
from tests.backends.test_vivado import example
from tests.backends.test_vivado_fabric import arty, write
from tests.rtl.tools import yosys

PART = "xc7a100tcsg324-1"

# each checks what it is given by the others and by us, and leaves what the next one reads
FAKES = {
    "yosys": """
assert sys.argv[1:] == ["-s", "openxc7.ys"]
script = pathlib.Path("openxc7.ys").read_text().splitlines()
for line in script:
    if line.startswith("read_verilog"):
        assert pathlib.Path(line.split()[-1]).is_file(), line
write(script[-1].split()[-1], "netlist")
""",
    "nextpnr-xilinx": """
given = options("chipdb", "xdc", "freq", "json", "fasm")
assert pathlib.Path(given["chipdb"]).read_text() == "xc7a100t"
assert "PACKAGE_PIN E3" in pathlib.Path(given["xdc"]).read_text()
assert float(given["freq"]) == 100
assert pathlib.Path(given["json"]).read_text() == "netlist"
print("Info: Max frequency for clock 'early': 1.00 MHz (FAIL at 100.00 MHz)")
print("Info: Max frequency for clock       'clk': 123.45 MHz (PASS at 100.00 MHz)")
write(given["fasm"], "fasm")
""",
    "fasm2frames": """
given, (fasm, frames) = options("part", "db-root", rest=2)
assert given["part"] == "xc7a100tcsg324-1"
assert (pathlib.Path(given["db-root"]) / given["part"]).is_dir()
assert pathlib.Path(fasm).read_text() == "fasm"
write(frames, "frames")
""",
    "xc7frames2bit": """
given = options("part_file", "part_name", "frm_file", "output_file")
assert pathlib.Path(given["part_file"]).read_text() == "part"
assert given["part_name"] == "xc7a100tcsg324-1"
assert pathlib.Path(given["frm_file"]).read_text() == "frames"
write(given["output_file"], "bits")
""",
}
HEAD = """#!{python}
import pathlib, sys
def write(path, text):
    pathlib.Path(path).write_text(text)
def options(*names, rest=0):
    words = sys.argv[1 : len(sys.argv) - rest]
    given = dict(zip((w.removeprefix("--") for w in words[::2]), words[1::2], strict=True))
    assert sorted(given) == sorted(names), given
    return (given, sys.argv[-rest:]) if rest else given
"""

Install = Callable[..., Path]


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """A machine with openXC7, some tools of it changed; return the folder it is installed in."""

    def install(**changed: str) -> Path:
        home = tmp_path / "openxc7"
        (home / "bin").mkdir(parents=True)
        for name, body in FAKES.items():
            program = home / "bin" / name
            text = changed.get(name.replace("-", "_"), body)
            program.write_text(HEAD.format(python=sys.executable) + text)
            program.chmod(0o755)
        chips, xray = home / "share/nextpnr/xilinx-chipdb", home / "share/nextpnr/prjxray-db"
        chips.mkdir(parents=True)
        (chips / "xc7a100t.bin").write_text("xc7a100t")
        (xray / "artix7" / PART).mkdir(parents=True)
        (xray / "artix7" / PART / "part.yaml").write_text("part")
        monkeypatch.setenv("PATH", f"{home / 'bin'}{os.pathsep}/usr/bin{os.pathsep}/bin")
        for variable in ("CHIPDB", "PRJXRAY_DB_DIR"):
            monkeypatch.delenv(variable, raising=False)
        return home

    return install


def run(build: Path, said: list[str] | None = None) -> Path:
    say = (said if said is not None else []).append
    return openxc7.bitstream(build, PART, 100, say)


@pytest.fixture
def build(tmp_path: Path) -> Path:
    return write(tmp_path / "a build").parents[1]


def test_four_tools_make_a_bitstream(tools: Install, build: Path) -> None:
    tools()
    said: list[str] = []
    bit = run(build, said)
    assert bit == build / "project/bitfile/hwgen.bit"
    assert bit.read_text() == "bits"
    assert said == [
        "openXC7: yosys",
        "openXC7: nextpnr-xilinx",
        "openXC7: 123.45 MHz for clk",
        "openXC7: fasm2frames",
        "openXC7: xc7frames2bit",
    ]


def test_it_is_taken_where_vivado_is_not(
    tools: Install, build: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tools()
    taken: list[str] = []
    monkeypatch.setattr("hwgen.target.openxc7.bitstream", lambda *_: taken.append("openXC7"))
    monkeypatch.setattr(
        "hwgen.target.vivado_run.bitstream", lambda *_, **__: taken.append("Vivado")
    )

    def make() -> None:
        journal = Journal(tmp_path / "log", 1, title="")
        router: Any = None  # which this board does not need
        make_bitstream(build, example(arty()), arty(), router, journal)

    make()
    (home / "bin/vivado").write_text("#!/bin/sh\n")
    (home / "bin/vivado").chmod(0o755)
    make()
    for program in home.glob("bin/*"):
        program.unlink()
    make()  # neither: Vivado's error says what to install
    assert taken == ["openXC7", "Vivado", "Vivado"]


def test_databases_can_lie_elsewhere(
    tools: Install, build: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    share = tools() / "share/nextpnr"
    (share / "xilinx-chipdb").rename(tmp_path / "chips")
    (share / "prjxray-db").rename(tmp_path / "xray")
    with pytest.raises(ToolError, match=r"xilinx-chipdb/xc7a100t.bin is not there; .*set CHIPDB "):
        run(build)
    monkeypatch.setenv("CHIPDB", str(tmp_path / "chips"))
    with pytest.raises(ToolError, match=r"prjxray-db/artix7 is not there; .* PRJXRAY_DB_DIR "):
        run(build)
    monkeypatch.setenv("PRJXRAY_DB_DIR", str(tmp_path / "xray"))
    assert run(build).read_text() == "bits"


@pytest.mark.parametrize(
    ("name", "body", "message"),
    [
        ("yosys", "print('ERROR: syntax error'); sys.exit(1)", "yosys failed: syntax error; log: "),
        (
            "nextpnr_xilinx",
            "print(\"ERROR: Max frequency for clock 'clk': 80.00 MHz (FAIL at 100.00 MHz)\")\n"
            "sys.exit(1)",
            "80.00 MHz (FAIL at 100.00 MHz); build again with a lower --clock-mhz; log: ",
        ),
        ("nextpnr_xilinx", "pass", "nextpnr-xilinx failed (no "),
        (
            "fasm2frames",
            "raise SystemExit('KeyError: INT_L')",
            "fasm2frames failed (exit status 1)",
        ),
        ("xc7frames2bit", "pass", "xc7frames2bit failed (no "),
    ],
)
def test_the_tool_that_fails_is_named(
    tools: Install, build: Path, name: str, body: str, message: str
) -> None:
    tools(**{name: body})
    (build / "project/bitfile").mkdir()
    (build / "project/bitfile/hwgen.bit").write_text("stale")
    with pytest.raises(ToolError) as caught:
        run(build)
    assert message in str(caught.value)
    assert not (build / "project/bitfile/hwgen.bit").exists()


def test_a_part_that_is_no_artix7_is_refused() -> None:
    with pytest.raises(ToolError, match="openXC7 has no part xcku3p"):
        openxc7.databases("xcku3p-x")


@pytest.mark.slow
def test_the_script_is_what_yosys_takes_and_the_netlist_is_of_the_part(build: Path) -> None:
    project = build / "project"
    (project / "openxc7").mkdir()
    commands = [
        line for line in (project / openxc7.SCRIPT).read_text().splitlines() if line[0] != "#"
    ]
    log = yosys(commands, project)
    assert "ERROR" not in log
    top = json.loads((project / "openxc7/hwgen.json").read_text())["modules"]["board_top"]
    assert set(top["ports"]) == {"clk_pin_i", "reset_i", "uart_rx_i", "uart_tx_o"}
    kinds = {cell["type"] for cell in top["cells"].values()}
    assert {"BUFG", "IBUF", "OBUF", "LUT6", "FDRE", "CARRY4"} <= kinds
    assert not {kind for kind in kinds if kind.startswith("$") and kind != "$scopeinfo"}
    pins = (project / "pins.xdc").read_text()
    assert all(f"[get_ports {port}]" in pins for port in top["ports"])
    assert load_board("arty-a7-100t").part == PART
