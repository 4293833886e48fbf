"""RTL simulation: a Verilator model of the design behind an AXI4-Stream harness in C++."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from hwgen.backends.systemverilog import TOP, identifiers, tensor_streams
from hwgen.dataflow import Dataflow
from hwgen.engine import EngineRun
from hwgen.errors import MismatchError, ToolError
from hwgen.files import Files, sha256, write_json
from hwgen.layers.axis import AxisEdge
from hwgen.quant import IntArray
from hwgen.render import render, static
from hwgen.run import find_tool, run_tool

PROGRAM = "rtlsim"
MOST_HELD = "most_held_"
STAMP = "built.json"
OBJECTS = "obj"
ONES = "count_ones.h"
_HARNESS = ("main.cpp", "npy.hpp", "design.h", "stream_probe.sv", ONES)
RTL = "../rtl"  # seen from the harness: where a build leaves the design
WAVES = (".fst", ".vcd")  # formats of traces: compressed, which takes two libraries more; text


def command(python: str, waves: str = "") -> tuple[str, ...]:
    """What builds the program, run in the folder of the harness; ``waves`` is one of ``WAVES``."""
    trace = (f"--trace-{waves[1:]}", "--trace-structs") if waves else ()
    return verilate(
        python,
        top=TOP,
        made=program(waves),
        sources=("stream_probe.sv", "main.cpp"),
        options=(*trace, "-DHWGEN_PROBE"),
    )


def verilate(
    python: str, *, top: str, made: str, sources: Sequence[str], options: Sequence[str] = ()
) -> tuple[str, ...]:
    """What makes the program ``made`` of the design in ``RTL`` and ``sources``, beside ``ONES``."""
    return (
        *("verilator-cli", "--cc", "--exe", "--build", "-j", "2", "-O3", *options),
        *("--x-assign", "fast", "--x-initial", "unique", "-Wno-fatal"),
        *("--top-module", top, "--Mdir", OBJECTS, "-o", f"../{made}"),
        *("--compiler-include", f"../{ONES}"),  # seen from OBJECTS
        *("-F", f"{RTL}/filelist.f", *sources),
        # measured: -O3 and -march=native simulate no faster; the library's level hardly matters
        *("-CFLAGS", "-std=c++17 -DVL_TIME_CONTEXT"),
        # the wheel was configured without a compiler, so how g++ takes a header must be said
        *("-MAKEFLAGS", f"CXX=g++ PYTHON3={python} OPT_FAST=-O2 OPT_GLOBAL=-O1"),
        *("-MAKEFLAGS", "CFG_CXXFLAGS_PCH_I=-include"),
    )


def program(waves: str = "") -> str:
    """The file name of the program that writes such waves."""
    return PROGRAM + waves.replace(".", "_")


def emit(dataflow: Dataflow) -> Files:
    """The folder ``rtlsim/``, a sibling of ``rtl/``: the harness and how to build it."""
    h, w, c = dataflow.graph.input.shape
    readme = {
        "network": " ".join(dataflow.graph.name.split()),
        "command": shlex.join(command("python3")),
        "shape": f"{h}, {w}, {c}",
        "rtl": RTL,
    }
    return Files(
        {
            "main.cpp": static("rtlsim/main.cpp"),
            "npy.hpp": static("cpp/npy.hpp"),
            ONES: static(f"rtlsim/{ONES}"),
            "stream_probe.sv": static("rtlsim/stream_probe.sv"),
            "design.h": render("rtlsim/design.h.j2", _design(dataflow)),
            "README.md": render("rtlsim/README.md.j2", readme),
        }
    )


def _design(dataflow: Dataflow) -> dict[str, object]:
    """What design.h tells the harness."""
    streams = dataflow.streams
    names = identifiers(dataflow.graph.tensors)
    tensors = []
    for name, index in tensor_streams(dataflow).items():
        tensor, lanes = streams[index].tensor, streams[index].lanes
        tensors.append(
            _row(
                names[name],
                *(*tensor.shape, tensor.dtype.bits, tensor.dtype.signed, lanes, index),
            )
        )
    memories = {name for stage in dataflow.stages for name in stage.rtl().memories}
    return {
        "network": " ".join(dataflow.graph.name.split()),
        "edges": [_edge("kInput", dataflow.axis_in), _edge("kOutput", dataflow.axis_out)],
        "patience": patience(dataflow),
        "tensors": tensors,
        "streams": [_row(" -> ".join((s.source, s.sink)), s.width, s.depth) for s in streams],
        "memories": [_literal(name) for name in sorted(memories)],
    }


def patience(dataflow: Dataflow) -> int:
    """Cycles of a frame if every layer waits for the whole of the one before, twice over."""
    return 2 * sum(stage.cycles + 64 for stage in dataflow.stages)


def _edge(constant: str, layer: AxisEdge) -> dict[str, str]:
    """An Edge of design.h."""
    tensor = layer.input
    fields = _row(
        *(*tensor.shape, tensor.dtype.bits, tensor.dtype.signed),
        *(layer.element_bytes, layer.bus_bytes, layer.beats),
    )
    return {"constant": constant, "fields": fields}


def _row(*values: str | int) -> str:
    """C++ initialisers."""
    return ", ".join(_literal(value) for value in values)


def _literal(value: str | int) -> str:
    """A C++ literal."""
    if isinstance(value, str):
        return json.dumps(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def build(rtl: Path, folder: Path, log: Path, waves: str = "") -> None:
    """Compile the harness in ``folder`` with the design in ``rtl``, its sibling.

    With ``waves``, ``.fst`` or ``.vcd``, a program that can trace is built beside the fast one.
    Does nothing if the program there was made from the same sources. Raises ``ToolError`` that
    names a missing compiler or library.
    """
    if rtl.resolve() != (folder / RTL).resolve():
        raise AssertionError(f"{rtl} is not {folder / RTL}")
    harness = [folder / name for name in _HARNESS]
    made = folder / program(waves)
    try:
        compile_program(
            made,
            command(sys.executable, waves),
            [*design_sources(rtl), *harness],
            stamp=folder / f"{waves[1:]}{STAMP}",
            log=log,
        )
    except ToolError as error:
        if waves == ".fst" and re.search(r"(lz4|zlib)\.h: No such", log.read_text()):
            raise ToolError(
                "FST traces are written with the libraries lz4 and zlib, whose headers are missing "
                "here; install them (Debian: apt-get install liblz4-dev zlib1g-dev), or trace to "
                "a .vcd file"
            ) from error
        raise


def compile_program(
    made: Path, command: Sequence[str], sources: Sequence[Path], *, stamp: Path, log: Path
) -> None:
    """Make the program ``made`` in its folder, unless ``stamp`` says it is of these sources."""
    inputs = _digest(sources, command)
    if _is_built(made, stamp, inputs):
        return
    for tool in ("g++", "make", "perl"):  # which Verilator needs and does not name when missing
        find_tool(tool)
    stamp.unlink(missing_ok=True)
    shutil.rmtree(made.parent / OBJECTS, ignore_errors=True)
    run_tool(command, cwd=made.parent, log=log, expect=[made])
    shutil.rmtree(made.parent / OBJECTS)
    write_json(stamp, {"inputs": inputs, "program": sha256(made.read_bytes())})


def design_sources(rtl: Path) -> list[Path]:
    """Everything of a design that is compiled; memory files are read when the program runs."""
    return [*sorted(rtl.glob("*.sv")), rtl / "filelist.f"]


def _digest(sources: Sequence[Path], command: Sequence[str]) -> str:
    """Digest of everything that a program is compiled from, whichever Python does it."""
    words = shlex.join(command).replace(sys.executable, "python3")
    content = {path.name: path.read_bytes() for path in sources}
    return Files({**content, "command": words.encode()}).digest()


def _is_built(made: Path, stamp: Path, inputs: str) -> bool:
    """Whether the program is complete and was made from ``inputs``."""
    try:
        found = json.loads(stamp.read_bytes())
        return bool(found == {"inputs": inputs, "program": sha256(made.read_bytes())})
    except (OSError, ValueError):
        return False


def run(
    folder: Path,
    dataflow: Dataflow,
    frames: IntArray,
    *,
    seed: int = 0,
    idle: float = 0.0,
    stall: float = 0.0,
    keep: bool = False,
    trace: Path | None = None,
) -> EngineRun:
    """Run frames (N, H, W, C) back to back through the program in ``folder``.

    ``idle`` and ``stall`` are the shares of cycles without input and without room for output;
    ``keep`` returns every layer's output; ``trace`` is a file for the waves of every signal, whose
    program must be built. Stats: ``total_cycles``; ``latency_cycles``, from the
    first beat in to the last beat out of the first frame; ``cycles_per_frame``, between the last
    beats of the last two frames; ``equal_intervals``, how many such intervals at the end are
    equal; ``simulated_cycles_per_second``; ``most_held_I``, the most beats that the FIFO of stream
    I held. Raises ``MismatchError`` when the design breaks the
    protocol or deadlocks.
    """
    binary = folder / program(trace.suffix if trace else "")
    if not binary.is_file():
        raise ToolError(f"{binary} is not built")
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        np.save(place / "input.npy", frames)
        command: list[str | Path] = [binary.resolve(), "input.npy", "output.npy"]
        command += ["--seed", str(seed), "--idle", str(idle), "--stall", str(stall)]
        command += ["--dump", "tensors"] if keep else []
        command += ["--trace", trace.resolve()] if trace else []
        text = _run(command, place)
        names = identifiers(dataflow.graph.tensors)
        kept = tensor_streams(dataflow) if keep else ()
        tensors = {name: np.load(place / "tensors" / f"{names[name]}.npy") for name in kept}
        output: IntArray = np.load(place / "output.npy")
    stats = {name: float(value) for name, value in map(str.split, text.splitlines())}
    seconds = stats["total_cycles"] / stats["simulated_cycles_per_second"]
    return EngineRun(output, seconds, tensors, stats)


def most_held(dataflow: Dataflow, stats: Mapping[str, float]) -> dict[str, int]:
    """The most beats that each FIFO held in a run, by stream; older builds do not count them."""
    counted = {s.name: stats.get(f"{MOST_HELD}{i}") for i, s in enumerate(dataflow.streams)}
    return {name: int(most) for name, most in counted.items() if most is not None}


def _run(command: list[str | Path], place: Path) -> str:
    """Run the program; what the design did wrong becomes a ``MismatchError``."""
    log = place / "log.txt"
    try:
        return run_tool(command, cwd=place, log=log, expect=[place / "output.npy"])
    except ToolError as error:
        said = [line for line in log.read_text().splitlines() if "rtlsim: the design " in line]
        if said:
            raise MismatchError(said[-1]) from error
        raise
