"""The run of Vivado, by a program of that name on PATH: its steps, errors, reports and ends."""

import _thread
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hwgen import cli
from hwgen.backends import vivado_reports, vivado_run
from hwgen.board import load_board
from hwgen.commands import write_report
from hwgen.errors import ToolError
from tests.backends.test_vivado import write, zynq
from tests.backends.test_vivado_fabric import files as fabric_files
from tests.qonnx_models import reactnet
from tests.vivado_standins import tcl

FAKE = """#!{python}
import os, pathlib, sys, time
assert sys.argv[1:] == ["-mode", "batch", "-nojournal", "-nolog", "-source", "build.tcl"]
assert pathlib.Path("build.tcl").is_file()
def make(*kinds):
    pathlib.Path("bitfile").mkdir(exist_ok=True)
    for kind in kinds:
        pathlib.Path("bitfile/hwgen." + kind).write_text("new")
def report(name, text):
    pathlib.Path("../report").mkdir(exist_ok=True)
    pathlib.Path("../report", name).write_text(text)
def fail(text):
    print(text)
    sys.exit(1)
UTILISATION = {utilisation!r}
TIMING = {timing!r}
print("fake vivado", flush=True)
{body}
"""
RPT = Path(__file__).parents[1] / "vivado_standins" / "reports"
UTILISATION = (RPT / "utilisation.rpt").read_text()  # in Vivado's format, of no real run
TIMING = (RPT / "timing.rpt").read_text()
MODULES = {
    "(top)": (7321, 100, 9876, 5, 3, 4),
    "hwgen_top": (4300, 20, 4960, 3, 3, 4),
    "fifo_MVAU_0_0": (40, 20, 30, 0, 0, 0),
    "MVAU_0": (900, 0, 800, 1, 0, 4),
    "MVAU_1": (3358, 0, 4130, 2, 3, 0),
}
LATE = TIMING.replace(
    "2.000        0.000                      0", "-2.500     -123.456                     17"
)
REPORTS = 'report("post_synth_resources.rpt", UTILISATION)\nreport("post_route_timing.rpt", {})\n'
GOOD = REPORTS.format("TIMING") + 'make("bit", "hwh")'

Install = Callable[[str], Path]


@pytest.fixture
def vivado(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a program named vivado on PATH that does what its body says; return a build folder."""

    def install(body: str) -> Path:
        program = tmp_path / "bin" / "vivado"
        program.parent.mkdir()
        program.write_text(
            FAKE.format(
                python=sys.executable, body=body, utilisation=UTILISATION, timing=TIMING
            ).replace("LATE", repr(LATE))
        )
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
        (tmp_path / "build/project").mkdir(parents=True)
        (tmp_path / "build/project/build.tcl").write_text("# read by the fake alone\n")
        return tmp_path / "build"

    return install


def refusal(build: Path, **options: object) -> str:
    """The error of a run that fails: one line, and no bitstream."""
    with pytest.raises(ToolError) as caught:
        vivado_run.bitstream(build, 100, say=lambda _: None, **options)
    assert not (build / "project/bitfile/hwgen.bit").exists()
    return str(caught.value)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"


# --- success ------------------------------------------------------------------------------------


def test_a_good_run_leaves_bitstream_and_figures(vivado: Install, monkeypatch) -> None:
    build = vivado(GOOD)
    monkeypatch.chdir(build.parent)
    made = vivado_run.bitstream(Path("build"), 100, say=lambda _: None)
    assert made.hwh is not None
    assert made.bit.read_text() == made.hwh.read_text() == "new"
    assert (build / "project/vivado.log").read_text() == "fake vivado\n"
    found = json.loads((build / "report/post_synth_resources.json").read_text())
    keys = ("LUT", "SRL", "FF", "BRAM_36K", "BRAM_18K", "DSP")
    assert found == {name: dict(zip(keys, row, strict=True)) for name, row in MODULES.items()}
    assert json.loads((build / "report/post_route_timing.json").read_text()) == {
        "clock_mhz": 100,
        "fmax_mhz": 125.0,
        "wns_ns": 2.0,
        "tns_ns": 0.0,
        "whs_ns": 0.021,
        "ths_ns": 0.0,
        "failing_endpoints": 0,
        "endpoints": 26011,
    }


def test_a_board_without_pynq_needs_no_hwh(vivado: Install) -> None:
    made = vivado_run.bitstream(vivado('make("bit")'), 100, hwh=False, say=lambda _: None)
    assert made.hwh is None


def test_steps_are_told_as_they_begin(vivado: Install) -> None:
    """The program goes on only once its last line was heard."""
    body = """
for line in ("hwgen: synth_1", "INFO: noise", "Command: synth_design -top x", "hwgen: impl_1",
             "Command: place_design", "hwgen: worst setup slack 2 ns"):
    print(line, flush=True)
    if "noise" not in line:
        wait = pathlib.Path("heard")
        end = time.monotonic() + 20
        while not wait.exists():
            time.sleep(0.01)
            if time.monotonic() > end:
                fail("nobody listens")
        wait.unlink()
"""
    build = vivado(body + GOOD)
    heard = []

    def say(text: str) -> None:
        heard.append(text)
        (build / "project/heard").touch()

    vivado_run.bitstream(build, 100, say=say)
    assert heard == [
        "vivado: synth_1",
        "vivado: synth_design",
        "vivado: impl_1",
        "vivado: place_design",
        "vivado: worst setup slack 2 ns",
    ]


# --- failure ------------------------------------------------------------------------------------


def test_the_first_error_is_named_with_the_log(vivado: Install) -> None:
    build = vivado('print("WARNING: x\\nERROR: [Synth 8-1] first"); fail("ERROR: second")')
    log = build / "project/vivado.log"
    assert refusal(build) == f"vivado failed: [Synth 8-1] first; log: {log}"


def test_an_error_of_a_run_is_looked_up_in_its_own_log(vivado: Install) -> None:
    build = vivado(
        'pathlib.Path("runme.log").write_text("INFO: a\\nERROR: [Place 30-640] too many LUTs\\n")\n'
        "here = os.getcwd()\n"
        "fail(f\"ERROR: impl_1 ended with 'place_design ERROR'; see {here}/runme.log\")"
    )
    message = refusal(build)
    assert "vivado failed: [Place 30-640] too many LUTs (impl_1 ended with " in message
    assert "\n" not in message


@pytest.mark.parametrize("where", ["console", "run"])
def test_a_missing_licence_is_said_with_part_and_remedy(vivado: Install, where: str) -> None:
    text = (
        "ERROR: [Common 17-345] A valid license was not found for feature 'Synthesis' and/or "
        "device 'xczu7ev'. Please run the Vivado License Manager for assistance."
    )
    in_run = f'pathlib.Path("runme.log").write_text({text!r})\n' + (
        "here = os.getcwd()\nfail(f\"ERROR: synth_1 ended with 'x'; see {here}/runme.log\")"
    )
    message = refusal(vivado(f"fail({text!r})" if where == "console" else in_run))
    assert "it has no licence for xczu7ev (feature Synthesis); get one from AMD" in message
    assert "XILINXD_LICENSE_FILE" in message
    assert "as pynq-z2" in message


@pytest.mark.parametrize(
    "text",
    [
        "[Common 17-69] Command failed: Part 'xck26-x' not found",
        "Specified part could not be found",
    ],
)
def test_a_part_that_is_not_installed_is_said_with_the_remedy(vivado: Install, text: str) -> None:
    message = refusal(vivado(f"fail({f'ERROR: {text}'!r})"))
    assert text in message
    assert "Add Design Tools or Devices" in message


def test_timing_that_is_not_met_still_leaves_its_figures(vivado: Install) -> None:
    late = (
        "ERROR: timing is not met at 100 MHz: worst setup slack -2.5 ns; build again with a lower"
    )
    build = vivado(REPORTS.format("LATE") + f"fail({late!r})")
    assert "vivado failed: timing is not met at 100 MHz: worst setup slack -2.5 ns" in refusal(
        build
    )
    found = json.loads((build / "report/post_route_timing.json").read_text())
    assert (found["wns_ns"], found["failing_endpoints"], found["fmax_mhz"]) == (-2.5, 17, 80.0)
    assert (build / "report/post_synth_resources.json").is_file()


def test_an_end_without_an_error_line_shows_the_tail_of_the_log(vivado: Install) -> None:
    message = refusal(vivado('fail("Segmentation fault")'))
    assert message.startswith("vivado failed (exit status 1); log: ")
    assert message.endswith("Segmentation fault")


def test_success_without_a_result_is_a_failure(vivado: Install) -> None:
    build = vivado("pass")
    (build / "project/bitfile").mkdir()
    (build / "project/bitfile/hwgen.bit").write_text("stale")
    message = refusal(build)
    assert "vivado failed (no " in message
    assert "hwgen.bit" in message
    assert "hwgen.hwh" in message


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("post_synth_resources", "no table"),
        ("post_synth_resources", UTILISATION.replace("RAMB18", "OTHERS")),
        ("post_synth_resources", UTILISATION.replace("7321", "many")),
        ("post_route_timing", "no table"),
        ("post_route_timing", TIMING.replace("2.000", "NA   ")),
        ("post_route_timing", TIMING.replace("2.000", "10.00")),  # faster than light
    ],
)
def test_a_report_without_its_figures_is_named(vivado: Install, name: str, text: str) -> None:
    build = vivado(f"{GOOD}\nreport('{name}.rpt', {text!r})")
    with pytest.raises(ToolError, match=f"{name}.rpt"):
        vivado_run.bitstream(build, 100, say=lambda _: None)


def test_columns_are_found_by_their_heading(tmp_path: Path) -> None:
    """UltraScale+ has URAM, older releases other names."""
    head = "| Instance | Module | Total LUTs | FFs | RAMB36 | URAM | RAMB18 | DSP48 Blocks |\n"
    row = "| top      |  (top) |         50 |  60 |      1 |    2 |      3 |            4 |\n"
    (tmp_path / "x.rpt").write_text(head + row)
    assert vivado_reports.post_synth_resources(tmp_path / "x.rpt") == {
        "(top)": {"LUT": 50, "FF": 60, "BRAM_36K": 1, "BRAM_18K": 3, "URAM": 2, "DSP": 4}
    }


# --- ends ---------------------------------------------------------------------------------------

ENDLESS = 'pathlib.Path("pid").write_text(str(os.getpid()))\nos.rename("pid", "started")\n'
ENDLESS += "print('ERROR: not the reason', flush=True)\ntime.sleep(60)"


def test_a_run_that_takes_too_long_is_stopped(vivado: Install) -> None:
    build = vivado(ENDLESS)
    with pytest.raises(ToolError, match="vivado ran past 2 s and was stopped; log: .*vivado.log$"):
        vivado_run.run(build / "project", build / "project/vivado.log", timeout_s=2)
    assert not alive(int((build / "project/started").read_text()))


def test_ctrl_c_ends_vivado_too(vivado: Install) -> None:
    build = vivado(ENDLESS)

    def interrupt() -> None:
        end = time.monotonic() + 20
        while not (build / "project/started").exists() and time.monotonic() < end:
            time.sleep(0.02)
        _thread.interrupt_main(signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        vivado_run.run(build / "project", build / "project/vivado.log")
    assert not alive(int((build / "project/started").read_text()))


def test_without_vivado_the_command_for_elsewhere_is_said(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError) as caught:
        vivado_run.run(tmp_path / "project", tmp_path / "log")
    message = str(caught.value)
    assert "vivado is not on PATH" in message
    assert message.endswith(f"in {tmp_path / 'project'}: vivado -mode batch -source build.tcl")
    assert "\n" not in message


# --- script and run together --------------------------------------------------------------------

STANDINS = """#!{python}
import sys
from pathlib import Path
sys.path.insert(0, {repository!r})
from tests.vivado_standins import tcl
from tests.vivado_standins.vivado import Setup, Vivado
script = Path(sys.argv[-1]).resolve()
session = Vivado(Setup({setup}))
outcome = tcl.run(script, script.parent, session.commands(), tcl.available()[0])
print(outcome.stdout, end="")
print(outcome.stderr, end="")
sys.exit(outcome.status)
"""


def standins(build: Path, setup: str = "") -> None:
    """Let the program on PATH run build.tcl itself, with the stand-ins of Vivado's commands."""
    if not tcl.available():
        pytest.skip(tcl.MISSING)
    repository = str(Path(__file__).parents[2])
    text = STANDINS.format(python=sys.executable, repository=repository, setup=setup)
    (build.parent / "bin/vivado").write_text(text)


@pytest.mark.parametrize("board", ["pynq-z2", "kv260", "arty-a7-100t"])
def test_what_the_script_leaves_is_what_the_run_expects(vivado: Install, board: str) -> None:
    build = vivado("")
    standins(build)
    heard: list[str] = []
    if board == "arty-a7-100t":
        fabric_files(load_board(board)).write(build)
        made = vivado_run.bitstream(build, 100, hwh=False, say=heard.append)
    else:
        write(build, zynq(board))
        made = vivado_run.bitstream(build, 100, say=heard.append)
        assert made.hwh is not None
        assert "EDKSYSTEM" in made.hwh.read_text()
    assert made.bit.read_bytes() == b"bits"
    assert heard[-1].startswith("vivado: bitfile/hwgen.bit")
    steps = [text for text in heard if text in ("vivado: synth_1", "vivado: impl_1")]
    assert steps == ["vivado: synth_1", "vivado: impl_1"]
    assert "hwgen_top" in json.loads((build / "report/post_synth_resources.json").read_text())
    assert json.loads((build / "report/post_route_timing.json").read_text())["wns_ns"] == 2


@pytest.mark.parametrize(
    ("setup", "message"),
    [
        ("wns='-0.312'", "timing is not met at 100 MHz: worst setup slack -0.312 ns; build again"),
        ("synth_fails=True", "synth_1 ended with 'synth_design ERROR'; see "),
        ("version='2019.2'", "Vivado 2019.2 is too old; 2020.1 or later is needed"),
        ("unread_memory='w0.mem'", "synthesis did not find a memory file: "),
    ],
)
def test_the_scripts_own_errors_come_through(vivado: Install, setup: str, message: str) -> None:
    build = vivado("")
    standins(build, setup)
    write(build, zynq("pynq-z2"))
    assert f"vivado failed: {message}" in refusal(build)


# --- as a user ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("board", ["ultra96-v2", "arty-a7-100t"])
def test_a_build_with_a_bitstream_shows_vivados_figures(
    vivado: Install, tmp_path: Path, monkeypatch, capsys, board: str
) -> None:
    body = 'print("hwgen: synth_1")\n' + GOOD
    vivado(body)
    model = reactnet(1).save(tmp_path / "tiny.onnx")
    out = tmp_path / "out"
    words = ["hwgen", "build", str(model), "--board", board, "--bitstream", "--no-verify"]
    monkeypatch.setattr(sys, "argv", [*words, "--out", str(out)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert not stop.value.code, capsys.readouterr().err
    assert (out / "project/bitfile/hwgen.bit").is_file()
    for made_elsewhere in (False, True):
        if made_elsewhere:  # the script was run by hand, and only its own reports were left
            for path in (out / "report").glob("post_*.json"):
                path.unlink()
            write_report(out, open_it=False)
        page = (out / "report/index.html").read_text()
        assert "worst setup slack 2.0 ns" in page
        assert "7\u2009321" in page
    assert "bitstream" in json.loads((out / "time_per_step.json").read_text())
    assert "  vivado: synth_1\n" in (out / "build.log").read_text()
