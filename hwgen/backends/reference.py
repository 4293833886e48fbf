"""reference/: the network as a numpy program that needs no hwgen."""

from __future__ import annotations

import io
import sys
import tempfile
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hwgen.backends.software import npy, plain, read_dump, read_npy, steps, variables
from hwgen.engine import EngineRun
from hwgen.files import Files, sha256
from hwgen.quant import IntArray, QuantGraph
from hwgen.render import render
from hwgen.run import run_tool

_CHUNK_BYTES = 256 << 20  # of int64 tensors that are alive at once


def emit(graph: QuantGraph) -> Files:
    """model.py with one line a layer, ops.py as hwgen has it, params.npz."""
    calls = steps(graph)
    params = _npz(
        {f"{call.layer}.{key}": array for call in calls for key, array in call.arrays.items()}
    )
    elements = sum(tensor.size for tensor in graph.tensors.values())
    names = variables(graph)
    h, w, c = graph.input.shape
    context = {
        "name": plain(graph.name),
        "input_scale": float(graph.scaling.input_scale),
        "input_steps": graph.scaling.input_steps,
        "input_limits": graph.scaling.limits(graph.input.dtype),
        "output_scale": graph.scaling.output_scale,
        "output_offset": graph.scaling.output_offset,
        "float_text": f"(N, {c}, {h}, {w})",
        "integer_text": f"(N, {h}, {w}, {c}) {graph.input.dtype}",
        "output_text": "(N, C)" if graph.output.pixels == 1 else "(N, H, W, C)",
        "steps": calls,
        "variables": tuple(names.values()),
        "input": names[graph.input.name],
        "output": names[graph.output.name],
        "chunk": max(1, _CHUNK_BYTES // (8 * elements)),
        "params_digest": sha256(params),
    }
    return Files(
        {
            "model.py": render("reference/model.py.j2", context),
            "ops.py": (Path(__file__).parents[1] / "ops.py").read_bytes(),
            "params.npz": params,
        }
    )


def run(folder: Path, graph: QuantGraph, frames: IntArray, *, keep: bool = False) -> EngineRun:
    """Run the emitted program on integer frames (N, H, W, C), in an isolated Python."""
    with tempfile.TemporaryDirectory(prefix="hwgen-") as name:
        source, result, dump = (Path(name) / part for part in ("in.npy", "out.npy", "dump"))
        source.write_bytes(npy(frames))
        command: list[str | Path] = [sys.executable, "-I", folder.resolve() / "model.py"]
        command += [source, result]
        command += ["--dump", dump] if keep else []
        start = time.perf_counter()
        run_tool(command, cwd=folder, log=folder / "run.log", expect=[result])
        seconds = time.perf_counter() - start
        output = read_npy(result).reshape(len(frames), *graph.output.shape)
        return EngineRun(output, seconds, read_dump(graph, dump) if keep else {})


def _npz(arrays: Mapping[str, NDArray[np.signedinteger]]) -> bytes:
    """An uncompressed .npz whose bytes depend on nothing but ``arrays``."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            archive.writestr(entry, npy(array))
    return stream.getvalue()
