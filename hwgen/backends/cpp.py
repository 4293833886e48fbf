"""cppsim/: the network as a C++17 program that needs nothing but a compiler."""

from __future__ import annotations

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
from hwgen.files import Files, sha256, write_bytes
from hwgen.quant import IntArray, IntType, QuantGraph
from hwgen.render import render, static
from hwgen.run import run_tool

FLAGS = ("-std=c++17", "-O3", "-march=native", "-pthread")

_ALWAYS = ("main.cpp", "npy.hpp", "params.hpp", "tensor.hpp", "product.hpp", "CMakeLists.txt")
_BINARY, _DIGEST = "cppsim", "cppsim.digest"
_SPEED = re.compile(r"images (\d+)  seconds ([\d.]+)  images/s ([\d.]+)")


def emit(graph: QuantGraph) -> Files:
    """model.hpp with one call a layer, a header for every kind in use, params.bin."""
    calls = steps(graph)
    params, layers = bytearray(), []
    for i, call in enumerate(calls):
        layers.append(_layer(i, call, len(params)))
        for array in call.arrays.values():
            params += array.tobytes()
    names = variables(graph)
    functions = sorted({call.function for call in calls})
    context = {
        "graph_name": plain(graph.name),
        "functions": functions,
        "params_bytes": len(params),
        "params_crc": f"0x{zlib.crc32(params):08x}",
        "variables": [_variable(v) for v in names.values()],
        "input": _variable(names[graph.input.name]),
        "output": _variable(names[graph.output.name]),
        "layers": layers,
    }
    content = {name: static(f"cpp/{name}") for name in _ALWAYS}
    content |= {f"{name}.hpp": static(f"cpp/{name}.hpp") for name in functions}
    return Files(
        {**content, "model.hpp": render("cpp/model.hpp.j2", context), "params.bin": bytes(params)}
    )


def build(folder: Path, log: Path, flags: tuple[str, ...] = FLAGS) -> None:
    """Compile ``folder`` with one g++ call, unless the binary is of these sources already."""
    digest = _digest(folder, flags)
    binary, stamp = folder / _BINARY, folder / _DIGEST
    if binary.is_file() and stamp.is_file() and stamp.read_bytes() == digest:
        return
    stamp.unlink(missing_ok=True)
    run_tool(["g++", *flags, "-o", _BINARY, "main.cpp"], cwd=folder, log=log, expect=[binary])
    write_bytes(stamp, digest)


def run(folder: Path, graph: QuantGraph, frames: IntArray, *, keep: bool = False) -> EngineRun:
    """Run the compiled program on integer frames (N, H, W, C)."""
    binary = folder.resolve() / _BINARY
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
    """What the binary depends on: sources, flags and, for -march=native, this processor."""
    sources = {p.name: p.read_bytes() for p in folder.iterdir() if p.suffix in (".cpp", ".hpp")}
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    features = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return f"{Files(sources).digest()} {sha256(' '.join((*flags, features)).encode())}\n".encode()


def _variable(variable: Variable) -> dict[str, str]:
    """A tensor as the template names it."""
    return {
        "name": variable.name,
        "type": variable.name.upper(),
        "file": variable.file,
        "dtype": _type(variable.tensor.dtype),
        "shape": ", ".join(map(str, variable.tensor.shape)),
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
