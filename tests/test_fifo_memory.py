"""What FIFOs cost in every kind of memory, against Yosys as hwgen runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwgen import fifo_memory
from hwgen.backends.yosys import FLOW, Usage
from hwgen.backends.yosys_pool import Library, Pool
from hwgen.dataflow import BLOCK, LUTRAM, REGISTERS
from hwgen.layers.base import RtlInstance
from hwgen.resources import data_folder

SHAPES = [  # width, depth, memory, LUTs by which the estimate may be wrong
    (7, 0, REGISTERS, 0),
    (7, 1, REGISTERS, 0),
    (1, 2, REGISTERS, 0),
    (36, 2, REGISTERS, 1),
    (9, 2, LUTRAM, 0),
    (24, 7, LUTRAM, 0),
    (8, 12, LUTRAM, 1),
    (5, 30, LUTRAM, 1),
    (16, 50, LUTRAM, 1),
    (16, 102, LUTRAM, 5),
    (8, 250, LUTRAM, 5),
    (8, 771, BLOCK, 3),
    (36, 500, BLOCK, 3),
]


@pytest.mark.slow
def test_fifos_cost_what_is_estimated(tmp_path: Path) -> None:
    source = data_folder("templates") / "rtl" / "fifo.sv"
    (tmp_path / "rtl").mkdir()
    (tmp_path / "rtl" / "fifo.sv").write_text(source.read_text())
    library = Library.read(tmp_path / "rtl", 100)
    pool: Pool[Usage] = Pool(library, FLOW, tmp_path / "cache", jobs=2, timeout_s=600)
    cost = [fifo_memory.registers, fifo_memory.lutram, fifo_memory.block]
    found = pool.run(
        {
            (w, d, m): RtlInstance("fifo", {"WIDTH": w, "DEPTH": d, "MEMORY": m})
            for w, d, m, _ in SHAPES
        }
    )
    for width, depth, memory, error in SHAPES:
        have, estimate = found[width, depth, memory].resources, cost[memory](width, depth)
        assert abs(have.lut - estimate.lut) <= error, f"{width} x {depth} in {memory}"
        assert have.ff == estimate.ff
        assert have.bram36 == estimate.bram36
