"""The bench sees what a broken kernel does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.rtl.bench import ROUGH, RTL, Bench, BenchError, Dut, Traffic, pack, unpack

BEATS = list(range(1, 200))
FAULTS = {
    "no beat has moved": ("push != pop", "1'b0"),
    "takes valid back": ("assign m_valid_o = filled;", "assign m_valid_o = filled && s_valid_i;"),
    "changes data while stalled": ("assign pop = filled && m_ready_i;", "assign pop = filled;"),
    "valid waits for ready": ("m_valid_o = filled;", "m_valid_o = filled && m_ready_i;"),
}


def test_values_survive_packing() -> None:
    values = np.array([[-8, 7, 0], [-1, 3, -4]])
    assert pack(values, 4) == [0x078, 0xC3F]
    assert unpack([0x078, 0xC3F], 4, 3, signed=True).tolist() == values.tolist()
    assert unpack([0x078], 4, 3).tolist() == [[8, 7, 0]]


@pytest.fixture
def broken(tmp_path: Path, bench_cache: Path, request: pytest.FixtureRequest) -> Bench:
    old, new = request.param
    source = (RTL / "fifo.sv").read_text()
    assert old in source
    (tmp_path / "fifo.sv").write_text(source.replace(old, new))
    dut = Dut("fifo", {"WIDTH": 8, "DEPTH": 5}, (8,), (8,))
    return Bench.build([dut], bench_cache, rtl=tmp_path)


def run_all(bench: Bench) -> None:
    for traffic in ROUGH:
        bench.run(0, [BEATS], [len(BEATS)], traffic, patience=500)


@pytest.mark.parametrize("broken", [FAULTS["no beat has moved"]], indirect=True)
def test_a_stopped_kernel_is_reported_with_cycle_and_progress(broken: Bench) -> None:
    with pytest.raises(BenchError, match=r"cycle \d+: no beat has moved .* in \d+/199 out 0/199"):
        run_all(broken)


@pytest.mark.parametrize("broken", [FAULTS["takes valid back"]], indirect=True)
def test_a_revoked_valid_is_reported(broken: Bench) -> None:
    with pytest.raises(BenchError, match="output 0 takes valid back before ready"):
        broken.run(0, [BEATS], [len(BEATS)], Traffic(idle=0.5, stall=0.5))


@pytest.mark.parametrize("broken", [FAULTS["changes data while stalled"]], indirect=True)
def test_changing_data_is_reported(broken: Bench) -> None:
    with pytest.raises(BenchError, match="takes valid back|changes data while stalled"):
        broken.run(0, [BEATS], [len(BEATS)], Traffic(seed=3, stall=0.5))


@pytest.mark.parametrize("broken", [FAULTS["valid waits for ready"]], indirect=True)
def test_a_valid_that_waits_for_ready_is_reported(broken: Bench) -> None:
    broken.run(0, [BEATS], [len(BEATS)])
    with pytest.raises(BenchError, match="no beat has moved"):
        broken.run(0, [BEATS], [len(BEATS)], Traffic(lazy=True), patience=500)


@pytest.mark.parametrize("broken", [("push != pop", "push != pop")], indirect=True)
def test_a_beat_too_many_and_a_beat_too_few_are_reported(broken: Bench) -> None:
    assert broken.run(0, [BEATS], [len(BEATS)]).outputs == [BEATS]
    with pytest.raises(BenchError, match="more beats than expected"):
        broken.run(0, [BEATS], [len(BEATS) - 1])
    with pytest.raises(BenchError, match="no beat has moved .* out 199/200"):
        broken.run(0, [BEATS], [len(BEATS) + 1], patience=500)


def test_a_module_that_does_not_compile_is_an_error(bench_cache: Path) -> None:
    with pytest.raises(BenchError, match="DEPHT"):
        Bench.build([Dut("fifo", {"WIDTH": 8, "DEPHT": 2}, (8,), (8,))], bench_cache)


def test_memory_files_follow_the_build(tmp_path: Path, bench_cache: Path) -> None:
    """A kernel finds its memory by name, and data without valid or reset is never the same."""
    (tmp_path / "rom.sv").write_text(
        'module rom #(parameter FILE = "") (input clk_i, rst_i, s_valid_i, m_ready_i,\n'
        "  input [1:0] s_data_i, output s_ready_o, m_valid_o, output [15:0] m_data_o);\n"
        "  reg [7:0] words [0:3];\n  reg [7:0] never_written;\n"
        "  initial $readmemh(FILE, words);\n"
        "  assign m_data_o = {never_written, words[s_data_i]};\n"
        "  assign m_valid_o = s_valid_i;\n  assign s_ready_o = m_ready_i;\nendmodule\n"
    )
    dut = Dut("rom", {"FILE": "r.mem"}, (2,), (16,), {"r.mem": b"11\n22\n33\n44\n"})
    bench = Bench.build([dut], bench_cache, rtl=tmp_path)
    found = [bench.run(0, [[3, 0, 1]], [3], traffic).outputs[0] for traffic in ROUGH]
    assert all([beat & 0xFF for beat in beats] == [0x44, 0x11, 0x22] for beats in found)
    assert len({beats[0] >> 8 for beats in found}) > 1
