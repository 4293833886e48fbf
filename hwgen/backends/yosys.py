"""Yosys: what every layer really costs and how fast it may run, kernel by kernel.

Each distinct module (with its parameters and memory contents) is synthesised for 7-series parts,
or for an ECP5, by ``yosys_pool``; its primitives are counted here, because Yosys' own statistics
leave out LUT6_2, and its longest paths (of 7-series) are found by ``levels``. Yosys packs no two
functions into one LUT, which Vivado does where they share inputs: the LUT figures are a little
above those of an implementation. Frequencies are estimates before placement.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from hwgen import schema
from hwgen.backends import kernel_timing, levels
from hwgen.backends import yosys_worker as worker
from hwgen.backends.yosys_pool import Flow, Library, Pool, Progress
from hwgen.board import Board
from hwgen.dataflow import Dataflow
from hwgen.estimate import STREAMS
from hwgen.layers.base import Resources, RtlInstance
from hwgen.technology import SERIES7


def _costs() -> dict[str, Resources]:
    """What a primitive occupies on a 7-series part (UG953); every other one is an error."""
    lut, ff, none = Resources(lut=1), Resources(ff=1), Resources()
    costs = {f"LUT{n}": lut for n in range(1, 7)} | {"LUT6_2": lut, "INV": lut}
    costs |= {"SRL16E": lut, "SRLC16E": lut, "SRLC32E": lut}
    costs |= {
        f"{kind}{edge}": ff for kind in ("FDRE", "FDSE", "FDCE", "FDPE") for edge in ("", "_1")
    }
    luts = {
        **{"RAM16X1S": 1, "RAM32X1S": 1, "RAM64X1S": 1, "RAM128X1S": 2, "RAM256X1S": 4},
        **{"RAM16X1D": 2, "RAM32X1D": 2, "RAM64X1D": 2, "RAM128X1D": 4},
        **{"RAM32M": 4, "RAM64M": 4},
    }
    costs |= {name: Resources(lut=count) for name, count in luts.items()}
    costs |= {"RAMB36E1": Resources(bram36=1), "RAMB18E1": Resources(bram36=0.5)}
    costs |= {"DSP48E1": Resources(dsp=1)}
    # hard wiring of a slice beside its LUTs
    return costs | dict.fromkeys(("CARRY4", "MUXF7", "MUXF8", worker.ABSORBED), none)


def _ecp5_costs() -> dict[str, Resources]:
    """The same on an ECP5 (FPGA-TN-02200 and -02204), LUTs in LUT4 and BRAM in pairs of EBR.

    A carry cell is two LUTs; LUTRAM of 16 x 4 bits is four, and the two of the slice that writes.
    """
    costs = {"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 6}
    return {name: Resources(lut=count) for name, count in costs.items()} | {
        "TRELLIS_FF": Resources(ff=1),
        **dict.fromkeys(("DP16KD", "PDPW16KD"), Resources(bram36=0.5)),
        "MULT18X18D": Resources(dsp=1),
        "MULT9X9D": Resources(dsp=0.5),
        **dict.fromkeys(("PFUMX", "L6MUX21", "EHXPLLL"), Resources()),
    }


COSTS = _costs() | _ecp5_costs()


def occupied(cells: Mapping[str, int]) -> Resources:
    """What cells take up, by type."""
    total = Resources()
    for kind, count in cells.items():
        each = COSTS[kind]
        total += Resources(each.lut * count, each.ff * count, each.bram36 * count, each.dsp * count)
    return total


@dataclass(frozen=True, slots=True)
class Usage:
    """Cells by type, and the longest paths of a module among them."""

    cells: Mapping[str, int] = field(default_factory=dict)
    paths: tuple[levels.Path, ...] = ()

    def __add__(self, other: Usage) -> Usage:
        """The cells of both; paths belong to one module."""
        return Usage(Counter(self.cells) + Counter(other.cells))

    @classmethod
    def read(cls, found: Any) -> Usage:
        """What the worker found; ValueError where it is of a cell of unknown cost."""
        return cls._of_cells(dict(found["cells"]), levels.from_json(found["paths"]))

    @classmethod
    def of_netlist(cls, netlist: Any) -> Usage:
        """Of a module as place and route takes it; ValueError likewise."""
        return cls._of_cells(Counter(str(cell["type"]) for cell in netlist["cells"].values()), ())

    @classmethod
    def _of_cells(cls, cells: Mapping[str, int], paths: tuple[levels.Path, ...]) -> Usage:
        unknown = sorted(set(cells) - set(COSTS))
        if unknown:
            raise ValueError(
                f"{', '.join(unknown)} in the netlist, whose cost is not known; add it to COSTS "
                "in hwgen/backends/yosys.py or change the kernel"
            )
        return cls(cells, paths)

    @property
    def resources(self) -> Resources:
        """What the cells occupy."""
        return occupied(self.cells)

    def to_json(self) -> dict[str, object]:
        """Resources, carry chains and cells."""
        r = self.resources
        return {
            "LUT": int(r.lut),
            "FF": int(r.ff),
            "BRAM36": r.bram36,
            "DSP": int(r.dsp),
            "CARRY4": self.cells.get("CARRY4", 0),
            "cells": dict(sorted(self.cells.items())),
        }


FLOW = Flow("xc7", Usage.read)
FLOW_ECP5 = Flow("ecp5", Usage.of_netlist)


@dataclass(frozen=True)
class SynthReport:
    """Cells and slowest path by row: layers and edges by name, and ``streams``; also every FIFO."""

    board: Board
    clock_mhz: float
    layers: Mapping[str, Usage]
    fifos: Mapping[str, Usage]
    timing: Mapping[str, schema.Timing]
    binary_lanes: int
    tool: str
    max_levels: int | None = None

    @cached_property
    def total(self) -> Usage:
        """The whole design, without the AXI4-Lite registers of the top."""
        return sum(self.layers.values(), Usage())

    @cached_property
    def design_timing(self) -> schema.DesignTiming | None:
        """The slowest row and what is said about the clock."""
        return kernel_timing.of_design(self.timing, self.clock_mhz, self.max_levels)

    def to_json(self) -> dict[str, object]:
        """``report/synth_resources.json``."""
        used, have = self.total.to_json(), self.board.resources.model_dump()
        lanes, design = self.binary_lanes, self.design_timing
        return {
            **used,
            "board": self.board.name,
            "capacity": have,
            "utilisation": {k: _number(used[k]) / n if n else 0.0 for k, n in have.items()},
            "layers": {name: self._row(name, usage) for name, usage in self.layers.items()},
            "fifos": {name: usage.to_json() for name, usage in self.fifos.items()},
            "binary_lanes": lanes,
            "lut_per_binary_lane": self.total.resources.lut / lanes if lanes else None,
            "timing_estimate": design.model_dump(mode="json") if design else None,
            "tool": self.tool,
        }

    def _row(self, name: str, usage: Usage) -> dict[str, object]:
        timing = self.timing.get(name)
        shown = timing.model_dump(mode="json") if timing else None
        return {**usage.to_json(), "timing_estimate": shown}


def _number(value: object) -> float:
    assert isinstance(value, (int, float))
    return value


def synthesise(
    dataflow: Dataflow,
    rtl: Path,
    cache: Path,
    *,
    board: Board,
    jobs: int = 2,
    progress: Progress | None = None,
    timeout_s: float = 1800,
) -> SynthReport:
    """Primitives and paths of every layer and FIFO of ``dataflow``; sources are ``rtl/*.sv``.

    ``progress`` gets the number of finished modules, of all modules, and a module's name.
    Raises ``ToolError`` when Yosys fails, dies, or leaves a cell of unknown cost.
    """
    bound = dataflow.graph.levels
    # half a level less, for the mapper knows carry chains as faster than our estimate does
    fastest = max(dataflow.clock_mhz, kernel_timing.clock_of(bound - 0.5) if bound else 0)
    library = Library.read(rtl, fastest)
    flow = FLOW if dataflow.technology is SERIES7 else FLOW_ECP5
    pool = Pool(library, flow, cache, jobs=jobs, timeout_s=timeout_s)
    found = pool.run(instances(dataflow), progress)
    own = {layer.name for layer in dataflow.graph.layers}
    own |= {dataflow.axis_in.name, dataflow.axis_out.name}
    used = {stage.name: found["stage", stage.name] for stage in dataflow.stages}
    per_fifo = {stream.name: found["fifo", stream.name] for stream in dataflow.streams}
    between = [usage for name, usage in used.items() if name not in own]
    rows = {name: usage for name, usage in used.items() if name in own}
    rows[STREAMS] = sum((*between, *per_fifo.values()), Usage())
    timing = _timing(dataflow, used, per_fifo, own)
    return SynthReport(
        board,
        dataflow.clock_mhz,
        rows,
        per_fifo,
        timing,
        dataflow.binary_lanes,
        library.tool,
        bound,
    )


def _timing(
    dataflow: Dataflow,
    used: Mapping[str, Usage],
    fifos: Mapping[str, Usage],
    own: AbstractSet[str],
) -> dict[str, schema.Timing]:
    """The slowest path of every row."""
    rows: dict[str, list[levels.Path | None]] = {}
    for stage in dataflow.stages:
        sides = ((dataflow.into(stage.name), "m"), (dataflow.out_of(stage.name), "s"))
        near = {}
        for stream, side in ((stream, side) for streams, side in sides for stream in streams):
            if stream.depth:
                name, outside = f"FIFO {stream.name}", fifos[stream.name].paths
            else:  # wires to the kernel at the other end
                (name,) = {stream.source, stream.sink} - {stage.name}
                outside = used[name].paths
            near[name] = kernel_timing.at_side(outside, side)
        path = kernel_timing.slowest(used[stage.name].paths, near)
        rows.setdefault(stage.name if stage.name in own else STREAMS, []).append(path)
    inside = [kernel_timing.inner(f"FIFO {name}", usage.paths) for name, usage in fifos.items()]
    rows.setdefault(STREAMS, []).extend(inside)
    found = {}
    for name, paths in rows.items():
        worst = max((path for path in paths if path), key=lambda path: path.ns, default=None)
        timing = kernel_timing.of_path(worst)
        if timing is not None:
            found[name] = timing
    return found


def instances(dataflow: Dataflow) -> dict[tuple[str, str], RtlInstance]:
    """Every kernel and FIFO; a stage and a stream may share a name, so the two are told apart."""
    stages = {("stage", stage.name): stage.rtl() for stage in dataflow.stages}
    return stages | {("fifo", stream.name): stream.rtl for stream in dataflow.streams}
