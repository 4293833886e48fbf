"""cppsim/: the network as a C++17 program that needs nothing but a compiler."""

from __future__ import annotations

import platform
import re
import tempfile
import zlib
from pathlib import Path

from hwgen.backends.software import (
    Step,
    Variable,
    npy,
    plain,
    read_dump,
    read_npy,
    steps,
    variables,
)
from hwgen.engine import EngineRun
from hwgen.errors import ToolError
from hwgen.files import Files, require_writable, sha256, write_bytes
from hwgen.quant import IntArray, IntType, QuantGraph
from hwgen.render import render, static
from hwgen.run import run_tool

FLAGS = ("-std=c++17", "-O3", "-pthread")  # no -march: it chooses instructions when it runs

PROGRAM, LIBRARY = "cppsim", "libcppsim.so"
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
_SPEED = re.compile(r"images (\d+)  seconds ([\d.]+)  images/s ([\d.]+)")


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
    return Files(
        {**content, "model.hpp": render("cpp/model.hpp.j2", context), "params.bin": bytes(params)}
    )


def build(folder: Path, log: Path, flags: tuple[str, ...] = FLAGS) -> None:
    """Compile the library and the program, unless they are of these sources already.

    Both are made aside and put in place whole, so several processes may build one folder.
    """
    digest = _digest(folder, flags)
    products, stamp = (LIBRARY, PROGRAM), folder / "cppsim.digest"
    done = all((folder / name).is_file() for name in products)
    if done and stamp.is_file() and stamp.read_bytes() == digest:
        return
    require_writable(folder)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".build-") as name:
        library, program = (Path(name).resolve() / product for product in products)
        command = ["g++", *flags, "-shared", "-fPIC", f"-Wl,-soname,{LIBRARY}"]
        command += ["-o", library, "network.cpp"]
        run_tool(command, cwd=folder, log=log, expect=[library])
        command = ["g++", *flags, "-o", program, "main.cpp", library, "-Wl,-rpath,$ORIGIN"]
        run_tool(command, cwd=folder, log=log, expect=[program])
        stamp.unlink(missing_ok=True)
        for made in (library, program):
            made.replace(folder / made.name)
    write_bytes(stamp, digest)


def run(folder: Path, graph: QuantGraph, frames: IntArray, *, keep: bool = False) -> EngineRun:
    """Run the compiled program on integer frames (N, H, W, C)."""
    binary = folder.resolve() / PROGRAM
    if not binary.is_file():
        raise ToolError(f"{binary} is not built yet; build cppsim first")
    with tempfile.TemporaryDirectory(prefix="hwgen-") as name:
        source, result, dump = (Path(name) / part for part in ("in.npy", "out.npy", "dump"))
        source.write_bytes(npy(frames))
        command: list[str | Path] = [binary, source, result]
        command += ["--dump", dump] if keep else []
        text = run_tool(command, cwd=folder, log=folder / "run.log", expect=[result])
        speed = _SPEED.search(text)
        if speed is None:
            raise ToolError(f"{binary} printed no images/s; log: {folder / 'run.log'}")
        return EngineRun(
            read_npy(result),
            float(speed[2]),
            read_dump(graph, dump) if keep else {},
            {"images_per_second": float(speed[3])},
        )


def _digest(folder: Path, flags: tuple[str, ...]) -> bytes:
    """What the binaries depend on: sources, flags and the kind of machine."""
    sources = {p.name: p.read_bytes() for p in folder.iterdir() if p.suffix in _SOURCES}
    how = " ".join((*flags, platform.machine()))
    return f"{Files(sources).digest()} {sha256(how.encode())}\n".encode()


def _variables(graph: QuantGraph, calls: tuple[Step, ...]) -> dict[str, dict[str, str]]:
    """Every tensor as the template names it, by its variable's name."""
    found = {v.name: _variable(v) for v in variables(graph).values()}
    for i, call in enumerate(calls):
        for output in call.outputs:
            source = found[call.inputs[0].name]
            if call.function in _SHARED:
                found[output.name]["definition"] = source["type"]
            elif call.function in _RESULTS:
                result = _RESULTS[call.function]
                found[output.name]["definition"] = f"{result}<L{i}, {source['type']}>"
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


def _variable(variable: Variable) -> dict[str, str]:
    """A tensor as the template names it; its slot is found later."""
    shape = ", ".join(map(str, variable.tensor.shape))
    return {
        "name": variable.name,
        "type": variable.name.upper(),
        "file": variable.file,
        "definition": f"Tensor<{_type(variable.tensor.dtype)}, {shape}>",
    }


def _type(dtype: IntType) -> str:
    return f"{'Int' if dtype.signed else 'UInt'}<{dtype.bits}>"


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
    tensors = [_variable(v) for v in (*call.inputs, *call.outputs)]
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
