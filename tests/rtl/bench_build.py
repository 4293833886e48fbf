"""How a bench is compiled: a top of several devices, C++ that names their pins, g++.

g++ costs a second or more, so one build holds many devices, Verilator's run-time library is
compiled once, and builds stay in a cache under names that follow from their content.
"""

from __future__ import annotations

import fcntl
import hashlib
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from hwgen.layers.base import Folding, Layer, Parameter, literal
from tests.rtl.tools import VERILATOR

HERE = Path(__file__).parent
CXX = ("g++", "-std=c++17", "-O1", "-w")
VERILATE = (  # registers without reset start at random values
    *("--cc", "-Wno-fatal", "-Wno-lint", "--assert", "-O3", "--threads", "1"),
    *("--x-assign", "unique", "--x-initial", "unique", "--output-split", "0"),
    *("--Mdir", "obj", "--top-module"),
)


class BenchError(AssertionError):
    """The device broke the protocol, stopped, or did not build; the message has the cycle."""


@dataclass(frozen=True)
class Dut:
    """One device: a module of ``rtl`` with its parameters; widths are bits of a port's beat.

    String parameters are strings of the module, usually file names of ``memories``. ``extra``
    are further outputs of output port 0 (name, width); they stand above m_data_o in its beat.
    ``sources`` are modules made for the device, by name.
    """

    module: str
    parameters: Mapping[str, Parameter]
    in_widths: tuple[int, ...]
    out_widths: tuple[int, ...]
    memories: Mapping[str, bytes] = field(default_factory=dict)
    extra: tuple[tuple[str, int], ...] = ()
    sources: Mapping[str, bytes] = field(default_factory=dict)

    @classmethod
    def of_layer(cls, layer: Layer, folding: Folding) -> Self:
        """The kernel of ``layer`` with the ports that the top would give it."""
        rtl, (lanes_in, lanes_out) = layer.rtl(folding), layer.lanes(folding)
        return cls(
            rtl.module,
            rtl.parameters,
            tuple(lanes_in * t.dtype.bits for t in layer.inputs),
            tuple(lanes_out * t.dtype.bits for t in layer.outputs),
            rtl.memories,
            sources=rtl.sources,
        )


def build(duts: Sequence[Dut], cache: Path, rtl: Path, structural: bool = False) -> Path:
    """The folder with the program ``bench`` for ``duts`` and their memory files.

    ``structural``: what other tools than Verilator see is simulated, primitives and all.
    """
    library = {path.stem: path.read_text() for path in rtl.glob("*.sv")}
    made = {name: text.decode() for dut in duts for name, text in dut.sources.items()}
    sources = _sources({d.module for d in duts}, {**library, **made})
    if structural:
        sources = {k: v.replace("`ifdef VERILATOR", "`ifdef NO_TOOL") for k, v in sources.items()}
        sources["primitives"] = (HERE / "primitives.sv").read_text()
    top, table, runtime = _top(duts), _table(duts), _runtime(cache)
    digest = hashlib.sha256(f"{top}{table}{runtime.name}".encode())
    digest.update(Path(__file__).read_bytes())
    for name, text in sorted(sources.items()):
        digest.update(f"{name}\n{text}".encode())
    home = cache / f"{duts[0].module}_{digest.hexdigest()[:16]}"
    with (cache / f"{home.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "bench").exists():
            _compile(top, table, sources, home, runtime)
        for dut in duts:
            for name, content in dut.memories.items():
                if not (home / name).exists() or (home / name).read_bytes() != content:
                    (home / name).write_bytes(content)
    return home


def program(top: str, sources: Mapping[str, str], main: Path, cache: Path) -> Path:
    """A program of module ``top``, simulated by ``main``, which includes V<top>.h.

    ``sources`` are texts by file name, of Verilog and of what ``main`` includes.
    """
    runtime = _runtime(cache)
    files = {**sources, "main.cpp": main.read_text()}
    digest = hashlib.sha256(f"{top}{runtime.name}{sorted(files.items())}".encode())
    digest.update(Path(__file__).read_bytes())
    home = cache / f"{top}_{digest.hexdigest()[:16]}"
    with (cache / f"{home.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "program").exists():
            shutil.rmtree(home, ignore_errors=True)
            home.mkdir()
            for name, text in files.items():
                (home / name).write_text(text)
            design = [name for name in sorted(sources) if name.endswith((".sv", ".v"))]
            _tool([VERILATOR, *VERILATE, top, *design], home)
            objects = [o for o in sorted(runtime.glob("*.o")) if o.stem != "bench"]
            _link([home / "main.cpp"], objects, home, runtime, home / "program")
    return home / "program"


def out_widths(dut: Dut) -> tuple[int, ...]:
    """Port widths with the extra outputs included."""
    first, *rest = dut.out_widths
    return (first + sum(width for _, width in dut.extra), *rest)


def _sources(modules: set[str], texts: Mapping[str, str]) -> dict[str, str]:
    """The texts of ``modules`` and of all modules that they name."""
    found: dict[str, str] = {}
    todo = set(modules)
    while todo:
        name = todo.pop()
        if name not in texts:
            raise BenchError(f"no {name}.sv")
        found[name] = texts[name]
        todo |= (set(re.findall(r"\w+", texts[name])) & set(texts)) - set(found)
    return found


def _top(duts: Sequence[Dut]) -> str:
    """A module that gives every device ports of its own, c<index>_<pin>."""
    ports, body = [], []
    for i, dut in enumerate(duts):
        ni, no = len(dut.in_widths), len(dut.out_widths)
        out = sum(out_widths(dut))
        for direction, pin, width in (
            ("input", "clk", 1),
            ("input", "rst", 1),
            ("input", "s_valid", ni),
            ("output", "s_ready", ni),
            ("input", "s_data", sum(dut.in_widths)),
            ("output", "m_valid", no),
            ("input", "m_ready", no),
            ("output", "m_data", out),
        ):
            ports.append(f"  {direction} wire [{width - 1}:0] c{i}_{pin}")
        values = (f".{k}({literal(v)})" for k, v in dut.parameters.items())
        base = sum(dut.out_widths)
        extra = ""
        for name, width in dut.extra:
            extra += f",\n    .{name}(c{i}_m_data[{base} +: {width}])"
            base += width
        body.append(
            f"  {dut.module} #({', '.join(values)}) c{i} (\n"
            f"    .clk_i(c{i}_clk), .rst_i(c{i}_rst),\n"
            f"    .s_valid_i(c{i}_s_valid), .s_ready_o(c{i}_s_ready), .s_data_i(c{i}_s_data),\n"
            f"    .m_valid_o(c{i}_m_valid), .m_ready_i(c{i}_m_ready),\n"
            f"    .m_data_o(c{i}_m_data[{sum(dut.out_widths) - 1}:0]){extra});\n"
        )
    header = ",\n".join(ports)
    return f"module bench_top (\n{header}\n);\n{''.join(body)}endmodule\n"


def _table(duts: Sequence[Dut]) -> str:
    """C++ that names every device's pins for bench.cpp."""
    rows = []
    for i, dut in enumerate(duts):
        pins = ("clk", "rst", "s_valid", "s_ready", "s_data", "m_valid", "m_ready", "m_data")
        cells = (f"{{&top->c{i}_{p}, sizeof top->c{i}_{p}}}" for p in pins)
        widths = (", ".join(map(str, w)) for w in (dut.in_widths, out_widths(dut)))
        rows.append(f"        {{{', '.join(cells)}, {{{next(widths)}}}, {{{next(widths)}}}}},\n")
    return (
        '#include "Vbench_top.h"\n#include "bench.h"\nstatic Vbench_top* top;\n'
        "std::vector<Dut> open_model(int seed) {\n"
        "    Verilated::randReset(2);\n    Verilated::randSeed(seed);\n"
        "    top = new Vbench_top;\n"
        f"    return {{\n{''.join(rows)}    }};\n}}\n"
        "void eval_model() { top->eval(); }\n"
        "void close_model() { top->final(); delete top; }\n"
        "double sc_time_stamp() { return 0; }\n"
    )


def _tool(command: Sequence[str | Path], cwd: Path) -> str:
    """Run a compiler; anything it prints on failure becomes the error."""
    done = subprocess.run(
        [str(c) for c in command], cwd=cwd, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BenchError(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def _runtime(cache: Path) -> Path:
    """Verilator's run-time library and bench.cpp, compiled once."""
    include = Path(_tool([VERILATOR, "--getenv", "VERILATOR_ROOT"], cache).strip()) / "include"
    content = (HERE / "bench.cpp").read_bytes() + (HERE / "bench.h").read_bytes()
    content += (include / "verilated.cpp").read_bytes()
    home = cache / f"runtime_{hashlib.sha256(content).hexdigest()[:16]}"
    with (cache / f"{home.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "done").exists():
            home.mkdir(exist_ok=True)
            flags = [*CXX, f"-I{include}", f"-I{include / 'vltstd'}", f"-I{HERE}"]
            for path in ("verilated.cpp", "verilated_threads.cpp", "verilated_random.cpp"):
                _tool([*flags, "-c", include / path], home)
            _tool([*flags, "-O2", "-c", HERE / "bench.cpp"], home)
            (home / "done").write_text(str(include))
    return home


def _compile(top: str, table: str, sources: Mapping[str, str], home: Path, runtime: Path) -> None:
    """Verilate and compile into ``home``, which is left with the program alone."""
    shutil.rmtree(home, ignore_errors=True)
    work = home / "work"
    work.mkdir(parents=True)
    (work / "bench_top.sv").write_text(top)
    (work / "table.cpp").write_text(table)
    for name, text in sources.items():
        (work / f"{name}.sv").write_text(text)
    files = [f"{name}.sv" for name in sorted(sources)]
    _tool([VERILATOR, *VERILATE, "bench_top", *files, "bench_top.sv"], work)
    _link([work / "table.cpp"], sorted(runtime.glob("*.o")), work, runtime, home / "bench")
    shutil.rmtree(work)


def _link(
    own: Sequence[Path], objects: Sequence[Path], work: Path, runtime: Path, made: Path
) -> None:
    """Compile ``own`` and the Verilated model in ``work``/obj as one unit; ``made`` is whole."""
    units = sorted((work / "obj").glob("*.cpp"))
    every = "".join(f'#include "{path}"\n' for path in (*units, *own))
    (work / "all.cpp").write_text(every)
    include = Path((runtime / "done").read_text())
    folders = [f"-I{folder}" for folder in (include, include / "vltstd", HERE, "obj", ".")]
    _tool([*CXX, *folders, "all.cpp", *objects, "-o", "linked", "-pthread"], work)
    (work / "linked").rename(made)
