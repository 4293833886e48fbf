"""Yosys: what every layer really costs, kernel by kernel, without a vendor tool.

Each distinct module (with its parameters and memory contents) is synthesised for 7-series parts
in a process of its own and its primitives are counted here, because Yosys' own statistics leave
out LUT6_2. Results are cached by content. Yosys packs no two functions into one LUT, which Vivado
does where they share inputs: the LUT figures are a little above those of an implementation.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Generator, Hashable, Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

from hwgen.backends import yosys_worker as worker
from hwgen.board import Board
from hwgen.dataflow import Dataflow, Stream
from hwgen.errors import ToolError
from hwgen.estimate import STREAMS
from hwgen.files import Files, require_writable, sha256, to_json, write_bytes, write_json
from hwgen.layers.base import Resources, RtlInstance
from hwgen.run import run_tool

Progress = Callable[[int, int, str], None]
Name = TypeVar("Name", bound=Hashable)

_NO_LIMIT_S = 1e6  # the worker keeps the limit of each module
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)


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


COSTS = _costs()


@dataclass(frozen=True, slots=True)
class Usage:
    """Cells by type."""

    cells: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: Usage) -> Usage:
        return Usage(Counter(self.cells) + Counter(other.cells))

    @property
    def resources(self) -> Resources:
        """What the cells occupy."""
        total = Resources()
        for kind, count in self.cells.items():
            each = COSTS[kind]
            total += Resources(
                each.lut * count, each.ff * count, each.bram36 * count, each.dsp * count
            )
        return total

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


@dataclass(frozen=True)
class SynthReport:
    """Cells by row: the layers and edges by name, and ``streams``; FIFOs also one by one."""

    board: Board
    layers: Mapping[str, Usage]
    fifos: Mapping[str, Usage]
    binary_lanes: int
    tool: str

    @cached_property
    def total(self) -> Usage:
        """The whole design, without the AXI4-Lite registers of the top."""
        return sum(self.layers.values(), Usage())

    def to_json(self) -> dict[str, object]:
        """``report/synth_resources.json``."""
        used, have = self.total.to_json(), self.board.resources.model_dump()
        lanes = self.binary_lanes
        return {
            **used,
            "board": self.board.name,
            "capacity": have,
            "utilisation": {k: _number(used[k]) / n if n else 0.0 for k, n in have.items()},
            "layers": {name: usage.to_json() for name, usage in self.layers.items()},
            "fifos": {name: usage.to_json() for name, usage in self.fifos.items()},
            "binary_lanes": lanes,
            "lut_per_binary_lane": self.total.resources.lut / lanes if lanes else None,
            "tool": self.tool,
        }


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
    """Count the primitives of every layer and FIFO of ``dataflow``; sources are ``rtl/*.sv``.

    ``progress`` gets the number of finished modules, of all modules, and a module's name.
    Raises ``ToolError`` when Yosys fails, dies, or leaves a cell of unknown cost.
    """
    stages = {stage.name: stage.rtl() for stage in dataflow.stages}
    fifos = {stream.name: fifo_instance(stream) for stream in dataflow.streams}
    library = Library.read(rtl, dataflow.clock_mhz)
    pool = Pool(library, cache, jobs, timeout_s)
    # a stage and a stream may share a name, so the two are told apart
    found = pool.run(
        {("stage", n): i for n, i in stages.items()} | {("fifo", n): i for n, i in fifos.items()},
        progress,
    )
    own = {layer.name for layer in dataflow.graph.layers}
    own |= {dataflow.axis_in.name, dataflow.axis_out.name}
    used = {name: found["stage", name] for name in stages}
    per_fifo = {name: found["fifo", name] for name in fifos}
    between = [usage for name, usage in used.items() if name not in own]
    rows = {name: usage for name, usage in used.items() if name in own}
    rows[STREAMS] = sum((*between, *per_fifo.values()), Usage())
    return SynthReport(board, rows, per_fifo, dataflow.binary_lanes, library.tool)


def fifo_instance(stream: Stream) -> RtlInstance:
    """The FIFO of a stream, as the top instantiates it."""
    return RtlInstance("fifo", {"WIDTH": stream.width, "DEPTH": stream.depth})


@dataclass(frozen=True, slots=True)
class Library:
    """The SystemVerilog files of a folder, the clock they run at, the Yosys that reads them."""

    folder: Path
    sources: Mapping[str, str]  # module (the file's stem) -> text
    period_ps: int
    tool: str

    @classmethod
    def read(cls, folder: Path, clock_mhz: float) -> Library:
        """All modules of ``folder``; one module a file, named after it."""
        sources = {path.stem: path.read_text() for path in sorted(folder.glob("*.sv"))}
        return cls(folder, sources, round(1e6 / clock_mhz), f"yosys {version('pyosys')}")

    def needed(self, module: str) -> list[str]:
        """``module`` and all modules and packages that it names, directly or not."""
        if module not in self.sources:
            raise ToolError(f"yosys: {self.folder} has no {module}.sv; run hwgen build again")
        found, todo = {module}, [module]
        while todo:
            words = set(re.findall(r"\w+", _COMMENT.sub("", self.sources[todo.pop()])))
            new = (words & set(self.sources)) - found
            found |= new
            todo += new
        return sorted(found, key=lambda name: ("endpackage" not in self.sources[name], name))

    def key(self, instance: RtlInstance) -> str:
        """Digest of everything that decides the netlist."""
        parts = {
            "tool": self.tool,
            "script": worker.script(self.period_ps),
            "sources": {name: self.sources[name] for name in self.needed(instance.module)},
            "module": instance.module,
            "parameters": instance.literals,
            "memories": {name: sha256(data) for name, data in instance.memories.items()},
        }
        return sha256(to_json(parts))


class Pool:
    """Worker processes that synthesise what the cache does not hold."""

    def __init__(self, library: Library, cache: Path, jobs: int, timeout_s: float) -> None:
        self.library, self.cache = library, cache
        self.jobs, self.timeout_s = jobs, timeout_s

    def run(
        self, instances: Mapping[Name, RtlInstance], progress: Progress | None = None
    ) -> dict[Name, Usage]:
        """Usage of every instance; equal ones are synthesised once."""
        require_writable(self.cache)
        keys = {name: self.library.key(instance) for name, instance in instances.items()}
        distinct = {keys[name]: instance for name, instance in instances.items()}
        found = {key: usage for key in distinct if (usage := self._load(key))}
        if progress:
            progress(len(found), len(distinct), "")
        missing = {key: each for key, each in distinct.items() if key not in found}
        with closing(self._synthesise(missing)) as finished:
            for key, usage in finished:
                found[key] = usage
                if progress:
                    progress(len(found), len(distinct), distinct[key].module)
        return {name: found[key] for name, key in keys.items()}

    def _synthesise(self, missing: Mapping[str, RtlInstance]) -> Generator[tuple[str, Usage]]:
        """Key and usage, in the order in which the modules are finished."""
        if not missing:
            return
        work = Path(tempfile.mkdtemp(dir=self.cache, prefix="work-"))
        workers = min(self.jobs, len(missing))
        executor = ThreadPoolExecutor(workers)
        running: list[Future[str]] = []
        try:
            # the largest first, so that no long one is left for the end
            order = sorted(missing, key=lambda key: -_bulk(missing[key]))
            left = {self._job(n, missing[key], work): key for n, key in enumerate(order)}
            running += [executor.submit(self._worker, n, work) for n in range(workers)]
            while left:
                alive = not all(future.done() for future in running)
                for folder in [f for f in left if (f / worker.DONE).is_file()]:
                    key = left.pop(folder)
                    yield key, self._collect(key, missing[key], folder)
                if left and not alive:
                    for future in running:
                        future.result()  # a worker that failed says why
                    raise ToolError("the yosys workers ended before their work was done")
                wait(running, timeout=0.05, return_when=FIRST_EXCEPTION)
        finally:
            _stop(executor, running, work)
            shutil.rmtree(work, ignore_errors=True)

    def _job(self, number: int, instance: RtlInstance, work: Path) -> Path:
        """A folder with everything that a worker needs for one module."""
        folder = work / f"{number:05}-{instance.module}"
        Files(instance.memories).write(folder)
        names = self.library.needed(instance.module)
        for name in names:
            write_bytes(folder / f"{name}.sv", self.library.sources[name].encode())
        job = {
            "sources": [f"{name}.sv" for name in names],
            "module": instance.module,
            "parameters": instance.literals,
            "period_ps": self.library.period_ps,
        }
        write_json(folder / worker.JOB, job)
        return folder

    def _worker(self, number: int, work: Path) -> str:
        """Run one worker over the jobs in ``work`` that no other one takes."""
        script = str(Path(worker.__file__).resolve())
        pid = work / f"{number}.pid"
        command = [sys.executable, "-P", script, str(work), str(pid), str(self.timeout_s)]
        return run_tool(command, cwd=work, log=work / f"{number}.log", timeout_s=_NO_LIMIT_S)

    def _collect(self, key: str, instance: RtlInstance, folder: Path) -> Usage:
        """The usage that a worker left in ``folder``; a failure leaves its log in the cache."""
        done = json.loads((folder / worker.DONE).read_bytes())
        usage = Usage(done.get("cells", {}))
        why = done.get("failure")
        unknown = sorted(set(usage.cells) - set(COSTS))
        if why is None and not unknown:
            self._save(key, usage)
            return usage
        log = self.cache / f"{instance.module}-{key[:12]}.log"
        text = (folder / worker.LOG).read_bytes() if (folder / worker.LOG).is_file() else b""
        write_bytes(log, text)
        if unknown:
            raise ToolError(
                f"yosys left {', '.join(unknown)} in {instance.module}, whose cost is not known; "
                f"add it to COSTS in hwgen/backends/yosys.py or change the kernel; log: {log}"
            )
        shown = ", ".join(f"{k}={v}" for k, v in sorted(instance.literals.items()))
        tail = "\n".join(text.decode(errors="replace").strip().splitlines()[-8:])
        raise ToolError(f"yosys on {instance.module} ({shown}): {why}; log: {log}\n{tail}")

    def _load(self, key: str) -> Usage | None:
        """What the cache holds of ``key``; None where there is nothing that can be trusted."""
        try:
            entry = json.loads((self.cache / f"{key}.json").read_bytes())
            cells, digest = entry["cells"], entry["digest"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return Usage(cells) if digest == _digest(key, cells) and set(cells) <= set(COSTS) else None

    def _save(self, key: str, usage: Usage) -> None:
        cells = dict(usage.cells)
        write_json(self.cache / f"{key}.json", {"cells": cells, "digest": _digest(key, cells)})


def _bulk(instance: RtlInstance) -> int:
    """A guess at the effort: the bits of its memories and ports."""
    size = sum(len(data) for data in instance.memories.values())
    return size + sum(v for v in instance.parameters.values() if isinstance(v, int))


def _digest(key: str, cells: object) -> str:
    """Ties a cache entry's content to its name."""
    return sha256(to_json([key, cells]))


def _stop(executor: ThreadPoolExecutor, running: list[Future[str]], work: Path) -> None:
    """End the workers that still run; each has left its process id."""
    executor.shutdown(wait=False, cancel_futures=True)
    while not all(future.done() for future in running):
        for pid in work.glob("*.pid"):
            with suppress(OSError, ValueError):
                os.killpg(int(pid.read_text()), signal.SIGKILL)
                pid.unlink()
        time.sleep(0.05)
