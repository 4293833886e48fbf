"""Synthesis of module instances by Yosys, in worker processes, with results cached by content."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Hashable, Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import closing, suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Generic, TypeVar

from hwgen.backends import cell_times, levels
from hwgen.backends import yosys_worker as worker
from hwgen.content_cache import ContentCache
from hwgen.errors import ToolError
from hwgen.files import Files, require_writable, sha256, to_json, write_bytes, write_json
from hwgen.layers.base import RtlInstance
from hwgen.run import run_tool

Progress = Callable[[int, int, str], None]
Name = TypeVar("Name", bound=Hashable)
Result = TypeVar("Result")

_NO_LIMIT_S = 1e6  # the worker keeps the limit of each module
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Flow(Generic[Result]):
    """A family of parts, and what becomes of what the worker found in a netlist.

    ``read`` raises KeyError or TypeError where that is of another form (an old cache's, say), and
    ValueError, in words, where it cannot be used.
    """

    family: str
    read: Callable[[Any], Result]


@dataclass(frozen=True, slots=True)
class Job:
    """A module, the files it takes, and by instance name the black boxes within it (see worker)."""

    instance: RtlInstance
    sources: Mapping[str, str]
    units: Mapping[str, str] = field(default_factory=dict)


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

    def header(self, module: str) -> str:
        """``module`` without what is in it."""
        text = self.sources.get(module, "")
        found = re.search(rf"^module {module}\b.*?^\);", text, re.DOTALL | re.MULTILINE)
        if found is None:
            raise ToolError(f"yosys: {self.folder} has no {module}.sv with a module {module}")
        return f"{found.group()}\nendmodule\n"

    def job(self, instance: RtlInstance) -> Job:
        """All that synthesis of ``instance`` takes."""
        files = {f"{name}.sv": self.sources[name] for name in self.needed(instance.module)}
        return Job(instance, files)

    def key(self, job: Job, family: str = "xc7") -> str:
        """Digest of everything that decides the netlist and what is read off it."""
        parts = {
            "tool": self.tool,
            "script": worker.FAMILIES[family].script(self.period_ps),
            "reader": [sha256(Path(str(m.__file__)).read_bytes()) for m in _READERS],
            "sources": dict(job.sources),
            "module": job.instance.module,
            "parameters": job.instance.literals,
            "memories": {name: sha256(data) for name, data in job.instance.memories.items()},
            "units": dict(job.units),
        }
        return sha256(to_json(parts))


_READERS = (worker, levels, cell_times)


class Pool(Generic[Result]):
    """Worker processes that synthesise what the cache does not hold."""

    def __init__(
        self, library: Library, flow: Flow[Result], cache: Path, *, jobs: int, timeout_s: float
    ) -> None:
        self.library, self.flow = library, flow
        self.cache = cache.resolve()  # workers run in folders of their own
        self.jobs, self.timeout_s = jobs, timeout_s

    def run(
        self, instances: Mapping[Name, RtlInstance | Job], progress: Progress | None = None
    ) -> dict[Name, Result]:
        """The result of every instance; equal ones are synthesised once."""
        require_writable(self.cache)
        jobs = {
            name: it if isinstance(it, Job) else self.library.job(it)
            for name, it in instances.items()
        }
        keys = {name: self.library.key(job, self.flow.family) for name, job in jobs.items()}
        distinct = {keys[name]: job for name, job in jobs.items()}
        found: dict[str, Result] = {}
        for key in distinct:
            result = ContentCache(self.cache).get(key, self.flow.read)
            if result is not None:
                found[key] = result
        if progress:
            progress(len(found), len(distinct), "")
        missing = {key: each for key, each in distinct.items() if key not in found}
        with closing(self._synthesise(missing)) as finished:
            for key, result in finished:
                found[key] = result
                if progress:
                    progress(len(found), len(distinct), distinct[key].instance.module)
        return {name: found[key] for name, key in keys.items()}

    def _synthesise(self, missing: Mapping[str, Job]) -> Generator[tuple[str, Result]]:
        """Key and result, in the order in which the modules are finished."""
        if not missing:
            return
        work = Path(tempfile.mkdtemp(dir=self.cache, prefix="work-"))
        workers = min(self.jobs, len(missing))
        executor = ThreadPoolExecutor(workers)
        running: list[Future[str]] = []
        try:
            # the largest first, so that no long one is left for the end
            order = sorted(missing, key=lambda key: -_bulk(missing[key].instance))
            left = {self._job(n, missing[key], work): key for n, key in enumerate(order)}
            running += [executor.submit(self._worker, n, work) for n in range(workers)]
            while left:
                alive = not all(future.done() for future in running)
                for folder in [f for f in left if (f / worker.DONE).is_file()]:
                    key = left.pop(folder)
                    yield key, self._collect(key, missing[key].instance, folder)
                if left and not alive:
                    for future in running:
                        future.result()  # a worker that failed says why
                    raise ToolError("the yosys workers ended before their work was done")
                wait(running, timeout=0.05, return_when=FIRST_EXCEPTION)
        finally:
            _stop(executor, running, work)
            shutil.rmtree(work, ignore_errors=True)

    def _job(self, number: int, job: Job, work: Path) -> Path:
        """A folder with everything that a worker needs for one module."""
        folder = work / f"{number:05}-{job.instance.module}"
        Files(job.instance.memories).write(folder)
        for name, text in job.sources.items():
            write_bytes(folder / name, text.encode())
        content = {
            "sources": list(job.sources),
            "module": job.instance.module,
            "parameters": job.instance.literals,
            "period_ps": self.library.period_ps,
            "units": dict(job.units),
        }
        write_json(folder / worker.JOB, content)
        return folder

    def _worker(self, number: int, work: Path) -> str:
        """Run one worker over the jobs in ``work`` that no other one takes."""
        script = str(Path(worker.__file__).resolve())
        pid, limit = str(work / f"{number}.pid"), str(self.timeout_s)
        command = [sys.executable, "-P", script, str(work), pid, limit, self.flow.family]
        return run_tool(command, cwd=work, log=work / f"{number}.log", timeout_s=_NO_LIMIT_S)

    def _collect(self, key: str, instance: RtlInstance, folder: Path) -> Result:
        """The result that a worker left in ``folder``; a failure leaves its log in the cache."""
        why = json.loads((folder / worker.DONE).read_bytes()).get("failure")
        if why is None:
            found = json.loads((folder / worker.FOUND).read_bytes())
            try:
                result = self.flow.read(found)
            except ValueError as error:
                why = str(error)
            else:
                ContentCache(self.cache).put(key, found)
                return result
        log = self.cache / f"{instance.module}-{key[:12]}.log"
        text = (folder / worker.LOG).read_bytes() if (folder / worker.LOG).is_file() else b""
        write_bytes(log, text)
        shown = ", ".join(f"{k}={v}" for k, v in sorted(instance.literals.items()))
        tail = "\n".join(text.decode(errors="replace").strip().splitlines()[-8:])
        raise ToolError(f"yosys on {instance.module} ({shown}): {why}; log: {log}\n{tail}")


def _bulk(instance: RtlInstance) -> int:
    """A guess at the effort: the bits of its memories and ports."""
    size = sum(len(data) for data in instance.memories.values())
    return size + sum(v for v in instance.parameters.values() if isinstance(v, int))


def _stop(executor: ThreadPoolExecutor, running: list[Future[str]], work: Path) -> None:
    """End the workers that still run; each has left its process id."""
    executor.shutdown(wait=False, cancel_futures=True)
    while not all(future.done() for future in running):
        for pid in work.glob("*.pid"):
            with suppress(OSError, ValueError):
                os.killpg(int(pid.read_text()), signal.SIGKILL)
                pid.unlink()
        time.sleep(0.05)
