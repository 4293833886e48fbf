"""cppsim/: the network as a C++17 program that needs nothing but a compiler."""

from __future__ import annotations

import json
import os
import platform
import tempfile
import time
import zlib
from dataclasses import asdict
from pathlib import Path

from hwgen.backends.cpp_library import Library
from hwgen.backends.software import Step, Variable, plain, steps, variables
from hwgen.engine import EngineRun
from hwgen.errors import UserInputError
from hwgen.files import Files, require_writable, sha256, to_json, write_bytes
from hwgen.layers import TopK
from hwgen.quant import IntArray, IntType, QuantGraph, Range, Scaling
from hwgen.reach import ranges
from hwgen.render import render, static
from hwgen.run import run_tool

FLAGS = ("-std=c++17", "-O3", "-pthread")  # no -march: it chooses instructions when it runs

PROGRAM, _MEANING = "cppsim", "meaning.json"
_ALWAYS = (
    *("main.cpp", "npy.hpp", "network.cpp", "cppsim.h", "params.hpp", "CMakeLists.txt"),
    *("tensor.hpp", "simd.hpp"),
)
_USES = {  # headers beside a kind's own
    "xnor_matmul": ("lanes.hpp", "carry_save.hpp", "byte_dot.hpp"),
    "matmul": ("lanes.hpp", "carry_save.hpp", "byte_dot.hpp", "product.hpp"),
    "threshold": ("lines.hpp",),
    "border_bias": ("add.hpp",),
}
_SOURCES = (".cpp", ".hpp", ".h")
_SHARED = frozenset({"fork"})  # kinds whose outputs lie where their input does
_RESULTS = {"window": "window_output"}  # kinds whose output is no Tensor: what says its type


def emit(graph: QuantGraph) -> Files:
    """model.hpp with one call a layer, a header for every kind in use, params.bin."""
    calls = steps(graph)
    params, layers = bytearray(), []
    for i, call in enumerate(calls):
        layers.append(_layer(i, call, len(params)))
        for array in call.arrays.values():
            params += array.tobytes()
    functions = sorted({call.function for call in calls})
    names = _variables(graph, calls)
    slots: dict[int, list[str]] = {}
    for variable in names.values():
        slots.setdefault(int(variable["slot"]), []).append(variable["type"])
    context = {
        "graph_name": plain(graph.name),
        "functions": functions,
        "params_bytes": len(params),
        "params_crc": f"0x{zlib.crc32(params):08x}",
        "variables": list(names.values()),
        "slots": [slots[i] for i in range(len(slots))],
        "input": names["t0"],
        "output": names[variables(graph)[graph.output.name].name],
        "layers": layers,
    }
    headers = {f"{name}.hpp" for name in functions}.union(*(_USES.get(f, ()) for f in functions))
    content = {name: static(f"cpp/{name}") for name in sorted({*_ALWAYS, *headers})}
    meaning = {"scaling": asdict(graph.scaling), "classes": isinstance(graph.layers[-1], TopK)}
    content |= {"model.hpp": render("cpp/model.hpp.j2", context), _MEANING: to_json(meaning)}
    return Files({**content, "params.bin": bytes(params)})


def read_meaning(folder: Path) -> tuple[Scaling, bool]:
    """What the integers of a folder's network stand for, and whether they are places of top-k."""
    try:
        meaning = json.loads((folder / _MEANING).read_bytes())
        return Scaling.parse(meaning["scaling"]), bool(meaning["classes"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserInputError(
            f"{folder} holds no cppsim (no readable {_MEANING}); run hwgen build again"
        ) from error


def build(folder: Path, log: Path, flags: tuple[str, ...] = FLAGS) -> Path:
    """Compile the library and the program, unless they are of these sources already.

    Returns the library, whose name tells its sources: a process that has loaded an earlier one
    would be given that again under the same name. Both are made aside and put in place whole, so
    several processes may build one folder.
    """
    digest = _digest(folder, flags)
    library, program = folder / f"libcppsim-{digest[:16]}.so", folder / PROGRAM
    stamp = folder / "cppsim.digest"
    done = library.is_file() and program.is_file() and stamp.is_file()
    if done and stamp.read_text() == f"{digest}\n":
        return library
    require_writable(folder)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".build-") as name:
        made = [Path(name).resolve() / path.name for path in (library, program)]
        command = ["g++", *flags, "-shared", "-fPIC", f"-Wl,-soname,{library.name}"]
        command += ["-o", str(made[0]), "network.cpp"]
        run_tool(command, cwd=folder, log=log, expect=made[:1])
        command = ["g++", *flags, "-O1", "-Wl,-rpath,$ORIGIN"]  # the program only reads and writes
        command += ["-o", str(made[1]), "main.cpp", str(made[0])]
        run_tool(command, cwd=folder, log=log, expect=made[1:])
        for path in made:
            path.replace(folder / path.name)
    write_bytes(stamp, f"{digest}\n".encode())
    for other in folder.glob("libcppsim-*.so"):
        if other.name != library.name:
            other.unlink(missing_ok=True)
    return library


def run(path: Path, graph: QuantGraph, frames: IntArray, *, keep: bool = False) -> EngineRun:
    """Run integer frames (N, H, W, C) in the library that ``build`` made."""
    library = Library.open(path)
    output = library.outputs(len(frames))
    start = time.perf_counter()
    dump = library.run(frames, output, threads=len(os.sched_getaffinity(0)), record=keep)
    seconds = time.perf_counter() - start
    names = dump_names(graph) if keep else {}
    return EngineRun(output, seconds, {name: dump[file] for name, file in names.items()})


def dump_names(graph: QuantGraph) -> dict[str, str]:
    """What the program and the library call every tensor."""
    return {name: variable.file for name, variable in variables(graph).items()}


def _digest(folder: Path, flags: tuple[str, ...]) -> str:
    """What the binaries depend on: sources, flags and the kind of machine."""
    sources = {p.name: p.read_bytes() for p in folder.iterdir() if p.suffix in _SOURCES}
    how = " ".join((*flags, platform.machine()))
    return sha256(f"{Files(sources).digest()} {how}".encode())


def _variables(graph: QuantGraph, calls: tuple[Step, ...]) -> dict[str, dict[str, str]]:
    """Every tensor as the template names it, by its variable's name."""
    reach = ranges(graph)
    found = {v.name: _variable(v, reach[v.tensor.name]) for v in variables(graph).values()}
    for i, call in enumerate(calls):
        for output in call.outputs:
            source = found[call.inputs[0].name]
            if call.function in _SHARED:
                found[output.name]["definition"] = source["type"]
            elif call.function in _RESULTS:
                result = _RESULTS[call.function]
                of = f"L{i}, {source['type']}, {found[output.name]['dtype']}"
                found[output.name]["definition"] = f"{result}<{of}>"
    for name, slot in _slots(graph, calls).items():
        found[name]["slot"] = str(slot)
    return found


def _slots(graph: QuantGraph, calls: tuple[Step, ...]) -> dict[str, int]:
    """Which tensors share memory: a slot is taken again once its tensor's readers have run."""
    owner = {v.name: v.name for v in variables(graph).values()}
    last = dict.fromkeys(owner, -1)
    for i, call in enumerate(calls):
        for output in call.outputs:
            if call.function in _SHARED:
                owner[output.name] = owner[call.inputs[0].name]
        for tensor in call.inputs:
            last[owner[tensor.name]] = i
    last[owner[variables(graph)[graph.output.name].name]] = len(calls)
    sizes = {v.name: v.tensor.size * v.tensor.dtype.bits for v in variables(graph).values()}
    taken: dict[str, int] = {"t0": 0}
    busy = {0: "t0"}  # slot -> its tensor of now
    widest = [sizes["t0"]]
    for i, call in enumerate(calls):
        if call.function in _SHARED:
            continue
        for output in call.outputs:
            size = sizes[output.name]
            free = [slot for slot, tensor in busy.items() if last[tensor] < i]
            slot = min(free, key=lambda s: abs(widest[s] - size), default=len(widest))
            if slot == len(widest):
                widest.append(0)
            widest[slot] = max(widest[slot], size)
            taken[output.name], busy[slot] = slot, output.name
    return {name: taken[owner[name]] for name in owner}


def _variable(variable: Variable, reach: Range) -> dict[str, str]:
    """A tensor as the template names it; its slot is found later."""
    shape = ", ".join(map(str, variable.tensor.shape))
    dtype = _type(variable.tensor.dtype, reach)
    return {
        "name": variable.name,
        "type": variable.name.upper(),
        "file": variable.file,
        "dtype": dtype,
        "definition": f"Tensor<{dtype}, {shape}>",
    }


def _type(dtype: IntType, reach: Range) -> str:
    """A type with the integers that can occur, where those are not all of it."""
    lo, hi = max(reach[0], dtype.lo), min(reach[1], dtype.hi)
    closer = f", {lo}, {hi}" if (lo, hi) != dtype.range and dtype.bits > 1 else ""
    return f"{'Int' if dtype.signed else 'UInt'}<{dtype.bits}{closer}>"


def _layer(index: int, call: Step, offset: int) -> dict[str, object]:
    """A layer as the template names it; its arrays start at ``offset`` of params.bin."""
    arrays = []
    for key, array in call.arrays.items():
        arrays.append(
            {
                "name": key,
                "element": f"std::int{8 * array.itemsize}_t",
                "offset": offset,
                "dims": ", ".join(map(str, array.shape)),
            }
        )
        offset += array.nbytes
    tensors = [{"name": v.name, "type": v.name.upper(), "file": v.file} for v in call.inputs]
    tensors += [{"name": v.name, "type": v.name.upper(), "file": v.file} for v in call.outputs]
    return {
        "name": call.layer,
        "index": index,
        "type": f"L{index}",
        "variable": f"l{index}",
        "function": call.function,
        "scalars": call.scalars,
        "arrays": arrays,
        "outputs": tensors[len(call.inputs) :],
        "template_arguments": ", ".join([f"L{index}", *(t["type"] for t in tensors)]),
        "call_arguments": ", ".join(f"w.{t['name']}" for t in tensors),
        "comment": f"{call.function}, {call.outputs[0].shape}",
    }
