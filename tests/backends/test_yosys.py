"""Yosys resource counts: primitives of known circuits, the cache, and every way to fail."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from hwgen.backends import yosys_pool, yosys_worker
from hwgen.backends.yosys import FLOW, Usage, synthesise
from hwgen.backends.yosys_pool import Library, Pool
from hwgen.board import load_board
from hwgen.dataflow import build_dataflow
from hwgen.errors import ToolError
from hwgen.layers import Add, Fork
from hwgen.layers.base import Folding, RtlInstance
from hwgen.quant import IntType, QuantGraph, Scaling, Tensor
from hwgen.resources import data_folder

SOURCES = {
    "parity": """
        module parity #(parameter int unsigned N = 6) (
          input wire logic clk_i, input wire logic [N-1:0] a_i, output logic y_o);
          helper #(.N(N)) h (.clk_i, .d_i(^a_i), .q_o(y_o));
        endmodule""",
    "helper": """
        module helper #(parameter int unsigned N = 6) (
          input wire logic clk_i, input wire logic d_i, output logic q_o);
          always_ff @(posedge clk_i) q_o <= d_i;
        endmodule""",
    "slices": """
        module slices (
          input wire logic clk_i, input wire logic [5:0] a_i, input wire logic [31:0] d_i,
          input wire logic we_i, output logic [8:0] y_o, output logic [31:0] q_o,
          output logic [29:0] far_o);
          LUT6_2 #(.INIT(64'h6996966996696996)) two (  // two functions, one LUT
            .O6(y_o[0]), .O5(y_o[1]), .I0(a_i[0]), .I1(a_i[1]), .I2(a_i[2]), .I3(a_i[3]),
            .I4(a_i[4]), .I5(1'b1));
          assign y_o[2] = ~a_i[0];                     // one LUT: an output cannot invert
          assign y_o[8:3] = '0;
          (* ram_style = "distributed" *) logic [31:0] memory [32];
          assign q_o = memory[a_i[4:0]];
          always_ff @(posedge clk_i) if (we_i) memory[a_i[4:0]] <= d_i;
          logic [29:0] delay [16];                     // 30 shift registers of 16
          always_ff @(posedge clk_i) begin
            delay[0] <= d_i[29:0];
            for (int i = 1; i < 16; i++) delay[i] <= delay[i-1];
          end
          assign far_o = delay[15];
        endmodule""",
    "blocks": """
        module blocks #(parameter WORDS = "") (
          input wire logic clk_i, input wire logic [8:0] address_i,
          input wire logic signed [17:0] a_i, b_i,
          output logic [35:0] word_o, output logic signed [35:0] product_o);
          (* rom_style = "block" *) logic [35:0] rom [512];
          initial $readmemh(WORDS, rom);
          always_ff @(posedge clk_i) word_o <= rom[address_i];
          assign product_o = a_i * b_i;
        endmodule""",
    "latch": """
        module latch (input wire logic enable_i, input wire logic d_i, output logic q_o);
          always_latch if (enable_i) q_o = d_i;
        endmodule""",
    "broken": "module broken (input wire logic a_i); this is no Verilog; endmodule",
}
ROM = "".join(f"{(i * 2654435761) % 2**36:09x}\n" for i in range(512)).encode()


@pytest.fixture
def rtl(tmp_path: Path) -> Path:
    folder = tmp_path / "rtl"
    folder.mkdir()
    for name, text in SOURCES.items():
        (folder / f"{name}.sv").write_text(text)
    return folder


def pool(rtl: Path, timeout_s: float = 120, jobs: int = 2) -> Pool[Usage]:
    library, cache = Library.read(rtl, 100), rtl.parent / "cache"
    return Pool(library, FLOW, cache, jobs=jobs, timeout_s=timeout_s)


def only(rtl: Path, module: str, parameters: Mapping[str, int | str] | None = None) -> Usage:
    return pool(rtl).run({"it": RtlInstance(module, parameters or {})})["it"]


def no_tool(*args: object, **kwargs: object) -> str:
    raise AssertionError("a tool was started")


def test_primitives_of_known_circuits(rtl: Path) -> None:
    rom = RtlInstance("blocks", {"WORDS": "rom.mem"}, {"rom.mem": ROM})
    found = pool(rtl).run({"slices": RtlInstance("slices", {}), "blocks": rom})
    slices, blocks = found["slices"], found["blocks"]
    assert slices.cells["LUT6_2"] == 1
    assert slices.cells["INV"] == 1
    assert slices.cells["RAM32M"] == 4  # 32 words of 8 bits in the four LUTs of one
    assert slices.cells["SRL16E"] == 30
    assert slices.resources.lut == 1 + 1 + 4 * 4 + 30
    assert blocks.resources.bram36 == 0.5
    assert blocks.resources.dsp == 1


def test_the_paths_of_a_known_circuit(rtl: Path) -> None:
    into, out = sorted(only(rtl, "parity").paths, key=lambda path: path.to_port)
    assert (out.start, out.end, out.cells) == ("y_o", "port y_o", ("FDRE",))
    assert (into.luts, into.end, into.cells) == (1, "y_o", ("LUT6", "FDRE"))
    assert into.start == "port a_i"


def test_a_parameter_reaches_the_module_and_its_helpers(rtl: Path) -> None:
    six, many = (RtlInstance("parity", {"N": n}) for n in (6, 36))
    found = pool(rtl).run({"six": six, "many": many})
    assert found["six"].cells == {"FDRE": 1, "LUT6": 1}
    assert 7 <= found["many"].resources.lut <= 9


def test_a_hit_does_not_run_yosys(rtl: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = only(rtl, "parity")
    monkeypatch.setattr(yosys_pool, "run_tool", no_tool)
    seen: list[tuple[int, int, str]] = []
    instances = {name: RtlInstance("parity", {}) for name in ("a", "b")}
    again = pool(rtl).run(instances, lambda *args: seen.append(args))
    assert again == {"a": first, "b": first}
    assert seen == [(1, 1, "")]
    with pytest.raises(AssertionError, match="a tool was started"):
        only(rtl, "parity", {"N": 7})


def test_whatever_decides_the_netlist_changes_the_key(rtl: Path) -> None:
    def key(data: bytes = ROM, depth: int = 512, mhz: float = 100) -> str:
        instance = RtlInstance("blocks", {"WORDS": "rom.mem", "D": depth}, {"rom.mem": data})
        library = Library.read(rtl, mhz)
        return library.key(library.job(instance))

    assert key() == key()
    assert key(data=ROM.replace(b"000000000", b"000000001")) != key()
    assert key(depth=256) != key()
    assert key(mhz=125) != key()

    def key_of_parity() -> str:
        library = Library.read(rtl, 100)
        return library.key(library.job(RtlInstance("parity", {})))

    parity = key_of_parity()
    before = key()
    (rtl / "helper.sv").write_text(SOURCES["helper"] + "\n// a note")
    assert key_of_parity() != parity  # parity uses helper
    assert key() == before  # blocks does not


PATH = {"start": "a", "end": "b", "cells": ["FDRE"], "luts": 1, "carries": 0, "ns": 1.5}


@pytest.mark.parametrize("damage", ["empty", "cut", "edited", "list", "without paths"])
def test_a_corrupt_entry_is_computed_again(
    rtl: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = []

    def fake(command: list[str], *, cwd: Path, **kwargs: object) -> str:
        runs.append(cwd)
        for job in cwd.glob(f"*/{yosys_worker.JOB}"):
            found = {"cells": {"LUT6": 1, "FDRE": 1}, "paths": [PATH]}
            (job.parent / yosys_worker.FOUND).write_text(json.dumps(found))
            unfinished = job.with_suffix(".part")
            unfinished.write_text("{}")
            unfinished.rename(job.parent / yosys_worker.DONE)
        return ""

    monkeypatch.setattr(yosys_pool, "run_tool", fake)
    first = only(rtl, "parity")
    (entry,) = (rtl.parent / "cache").glob("*.json")
    text = entry.read_text()
    content = {
        "empty": "",
        "cut": text[: len(text) // 2],
        "edited": text.replace("1", "2", 1),
        "list": "[]",
        "without paths": json.dumps({"cells": dict(first.cells), "digest": entry.stem}),
    }[damage]
    entry.write_text(content)
    assert only(rtl, "parity") == first
    assert len(runs) == 2
    assert json.loads(entry.read_text())["found"]["cells"] == first.cells


def ended(pid: int) -> bool:
    """Whether the process is gone, or waits only for whoever reaps orphans here."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return True
    return "State:\tZ" in status


def broken_worker(rtl: Path, monkeypatch: pytest.MonkeyPatch, inside: str) -> None:
    """A worker whose jobs run ``inside`` in place of Yosys; ``design`` and ``job`` are at hand."""
    script = rtl.parent / "broken_worker.py"
    script.write_text(
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "from hwgen.backends import yosys_worker\n"
        "def synthesise(family, design, sources, module, parameters, period_ps, units):\n"
        f"    {inside}\n"
        "yosys_worker.synthesise = synthesise\n"
        "work, pid, limit_s, family = sys.argv[1:]\n"
        "family = yosys_worker.FAMILIES[family]\n"
        "yosys_worker.main(Path(work), Path(pid), float(limit_s), family)\n"
    )
    monkeypatch.setattr(yosys_worker, "__file__", str(script))


def test_an_aborting_job_is_a_tool_error_with_the_logs_tail(
    rtl: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken_worker(rtl, monkeypatch, "print('last words', flush=True); os.abort()")
    with pytest.raises(ToolError, match=r"(?s)yosys on parity \(N=3\).*exit status -6.*last words"):
        only(rtl, "parity", {"N": 3})
    assert not list((rtl.parent / "cache").glob("*.json"))
    assert not list((rtl.parent / "cache").glob("work-*"))


def test_a_job_that_ends_early_is_no_result(rtl: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken_worker(rtl, monkeypatch, "os._exit(0)")
    with pytest.raises(ToolError, match=r"yosys on parity .*left no netlist"):
        only(rtl, "parity")


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("", "ended before their work was done"),
        ("import sys; sys.exit('no pyosys')", "(?s)exit status 1.*no pyosys"),
    ],
)
def test_a_worker_that_ends_early_is_no_result(
    rtl: Path, monkeypatch: pytest.MonkeyPatch, script: str, why: str
) -> None:
    path = rtl.parent / "quiet.py"
    path.write_text(script)
    monkeypatch.setattr(yosys_worker, "__file__", str(path))
    with pytest.raises(ToolError, match=why):
        only(rtl, "parity")
    assert not list((rtl.parent / "cache").glob("work-*"))


def test_the_time_limit_and_a_failure_end_the_other_jobs(
    rtl: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (rtl.parent / "cache").mkdir()
    pids = rtl.parent / "cache" / "pids"
    broken_worker(
        rtl,
        monkeypatch,
        f"open({str(pids)!r}, 'a').write(f'{{os.getpid()}}\\n')\n"
        "    if module == 'parity': time.sleep(1); os.abort()\n"
        "    time.sleep(60)",
    )
    with pytest.raises(ToolError, match=r"ran past 1 s"):
        pool(rtl, timeout_s=1).run({"it": RtlInstance("slices", {})})
    started = time.monotonic()
    with pytest.raises(ToolError, match=r"parity"):
        pool(rtl).run({name: RtlInstance(name, {}) for name in ("slices", "parity")})
    assert time.monotonic() - started < 20
    while not all(ended(int(pid)) for pid in pids.read_text().split()):
        assert time.monotonic() - started < 30


def test_a_job_that_yosys_ends_does_not_take_the_next_ones_with_it(rtl: Path) -> None:
    with pytest.raises(ToolError, match="broken"):
        pool(rtl, jobs=1).run({name: RtlInstance(name, {}) for name in ("broken", "parity")})
    assert only(rtl, "parity").cells == {"FDRE": 1, "LUT6": 1}


def test_a_cell_of_unknown_cost_is_an_error(rtl: Path) -> None:
    with pytest.raises(ToolError, match=r"yosys on latch .*LDCE in the netlist, whose cost"):
        only(rtl, "latch")


def test_a_syntax_error_shows_yosys_words(rtl: Path) -> None:
    with pytest.raises(ToolError, match=r"(?s)broken.*syntax error"):
        only(rtl, "broken")
    with pytest.raises(ToolError, match=r"no nothing\.sv"):
        only(rtl, "nothing")


def test_an_inverter_is_a_lut_only_where_no_reader_can_absorb_it() -> None:
    def cell(kind: str, **ports: tuple[str, int]) -> dict[str, object]:
        return {
            "type": kind,
            "port_directions": {p: d for p, (d, _) in ports.items()},
            "connections": {p: [bit] for p, (_, bit) in ports.items()},
            "parameters": {},
        }

    def count(*readers: dict[str, object], out: int = 99) -> object:
        cells = [cell("INV", I=("input", 2), O=("output", 3)), *readers]
        module = {
            "ports": {"y": {"direction": "output", "bits": [out]}},
            "netnames": {},
            "cells": {str(i): c for i, c in enumerate(cells)},
        }
        return yosys_worker.count(module)["cells"]

    lut = cell("LUT2", I0=("input", 3), I1=("input", 4), O=("output", 5))
    flip_flop = cell("FDRE", D=("input", 3), C=("input", 6), Q=("output", 7))
    clocked = cell("FDRE", D=("input", 8), C=("input", 3), Q=("output", 9))
    assert count(lut) == {yosys_worker.ABSORBED: 1, "LUT2": 1}
    assert count(clocked) == {yosys_worker.ABSORBED: 1, "FDRE": 1}
    assert count(lut, flip_flop) == {"INV": 1, "LUT2": 1, "FDRE": 1}
    assert count(lut, out=3) == {"INV": 1, "LUT2": 1}
    assert count(cell("$scopeinfo")) == {yosys_worker.ABSORBED: 1}


@pytest.mark.slow
def test_rows_add_up_to_the_whole_dataflow(tmp_path: Path) -> None:
    shape, x = (2, 2, 4), IntType(3)
    source, a, b = (Tensor(n, shape, x) for n in ("x", "a", "b"))
    total = Tensor("y", shape, IntType(4))
    layers = (Fork("fork", (source,), (a, b)), Add("add", (a, b), (total,)))
    graph = QuantGraph("g", source, total, layers, Scaling(1, 1)).check()
    foldings = {"fork": Folding(pe=1), "add": Folding(pe=2)}
    dataflow = build_dataflow(graph, foldings, bus_bytes=4, clock_mhz=100)
    board = load_board("pynq-z2")
    rtl = data_folder("templates") / "rtl"
    report = synthesise(dataflow, rtl, tmp_path, board=board)
    assert set(report.layers) == {"axis_in", "fork", "add", "axis_out", "streams"}
    assert set(report.fifos) == {stream.name for stream in dataflow.streams}
    assert report.layers["add"].resources.ff == 2 * 4 + 1
    found = report.to_json()
    rows = found["layers"]
    assert isinstance(rows, dict)
    for key in ("LUT", "FF", "BRAM36", "DSP"):
        assert found[key] == sum(row[key] for row in rows.values())
    timing = found["timing_estimate"]
    assert isinstance(timing, dict)
    assert timing["slowest"] in rows
    assert timing["mhz"] == min(row["timing_estimate"]["mhz"] for row in rows.values())
    assert rows["add"]["timing_estimate"]["lut_levels"] >= 1  # the adder
    assert found["lut_per_binary_lane"] is None
    assert found["tool"] == "yosys 0.70"
    lut, capacity = found["LUT"], found["capacity"]
    assert isinstance(lut, int)
    assert isinstance(capacity, dict)
    assert found["utilisation"] == pytest.approx(
        {k: found[k] / n for k, n in capacity.items()}  # type: ignore[operator]
    )
    json.dumps(found)
