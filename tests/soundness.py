"""One random network through every engine, compared with qonnx' execution of the original file."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.transformation.infer_shapes import InferShapes

from hwgen import folding
from hwgen.backends import cpp, reference, rtlsim, systemverilog
from hwgen.board import load_board
from hwgen.engine import EngineRun, first_difference, interpret
from hwgen.frontend.importer import import_model
from hwgen.layers.base import Folding
from hwgen.quant import IntArray, QuantGraph, quantise_input
from tests.random_networks import RandomNetwork


@dataclass(frozen=True)
class Outcome:
    """What became of one network: ``wrong`` names engines that differ, and where."""

    seed: int
    images: int
    layers: tuple[str, ...]
    engines: tuple[str, ...]
    wrong: tuple[str, ...]


def original(path: Path, images: np.ndarray) -> np.ndarray:
    """The file as it is, run by qonnx image by image: (N, H, W, C)."""
    model = ModelWrapper(str(path)).transform(InferShapes())
    source, sink = model.graph.input[0].name, model.graph.output[0].name
    shape = model.get_tensor_shape(source)
    runs = [execute_onnx(model, {source: x.reshape(1, *shape[1:])})[sink] for x in images]
    found = np.concatenate(runs)
    return found.transpose(0, 2, 3, 1) if found.ndim == 4 else found[:, None, None, :]


def check(
    network: RandomNetwork, folder: Path, engines: Collection[str] = (), count: int = 3
) -> Outcome:
    """Import a network and run ``engines`` of reference, cppsim and rtlsim on its images.

    Raises ``UnsupportedError`` where hwgen refuses it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, images = network.save(folder / "model.onnx"), network.images(count)
    graph = import_model(path, images, count=1).graph
    frames = quantise_input(graph, images)
    tensors = interpret(graph, frames)
    output = tensors[graph.output.name]
    wrong = []
    if not graph.scaling.agrees(output, original(path, images)).all():
        wrong.append("integer graph: differs from the original")
    for engine in engines:
        run = RUNNERS[engine](graph, frames, folder / engine, network.seed)
        found = first_difference(graph, tensors, run.tensors)
        if found is not None or not np.array_equal(run.output.reshape(output.shape), output):
            wrong.append(f"{engine}: {found or 'the output alone differs'}")
    kinds = tuple(type(layer).__name__ for layer in graph.layers)
    return Outcome(network.seed, count, kinds, ("integer graph", *engines), tuple(wrong))


def run_reference(graph: QuantGraph, frames: IntArray, folder: Path, seed: int) -> EngineRun:
    reference.emit(graph).write(folder)
    return reference.run(folder, graph, frames, keep=True)


def run_cpp(graph: QuantGraph, frames: IntArray, folder: Path, seed: int) -> EngineRun:
    cpp.emit(graph).write(folder)
    flags = ("-std=c++17", "-O1", "-Wall", "-Werror", "-pthread")
    return cpp.run(cpp.build(folder, folder / "build.log", flags), graph, frames, keep=True)


def run_rtl(graph: QuantGraph, frames: IntArray, folder: Path, seed: int) -> EngineRun:
    """At random foldings, under idle and back-pressure; the rate is that of the cycle model."""
    board = load_board("pynq-z2")
    rng = np.random.default_rng([79, seed])
    foldings: dict[str, Folding] = {}
    for layer in graph.layers:
        legal = [f for f in layer.foldings() if f.pe * f.simd <= 16]
        foldings[layer.name] = legal[int(rng.integers(len(legal)))]
    flow, _ = folding.plan(graph, board, foldings, 100)
    systemverilog.emit(flow).write(folder / "rtl")
    rtlsim.emit(flow).write(folder / "rtlsim")
    rtlsim.build(folder / "rtl", folder / "rtlsim", folder / "build.log")
    steady = rtlsim.run(folder / "rtlsim", flow, np.concatenate([frames] * 3), keep=True)
    measured = steady.stats.get("cycles_per_frame")
    if measured != flow.max_cycles:
        raise AssertionError(f"{measured} cycles a frame, the model says {flow.max_cycles}")
    run = rtlsim.run(folder / "rtlsim", flow, frames, seed=1, idle=0.3, stall=0.3, keep=True)
    return run


RUNNERS = {"reference": run_reference, "cppsim": run_cpp, "rtlsim": run_rtl}
