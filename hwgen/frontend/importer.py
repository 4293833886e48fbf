"""The frontend as one function: QONNX file in, QuantGraph and FINN models out."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from finn.analysis.fpgadataflow.exp_cycles_per_layer import exp_cycles_per_layer
from finn.analysis.fpgadataflow.res_estimation import res_estimation
from finn.transformation.fpgadataflow.create_dataflow_partition import CreateDataflowPartition
from finn.transformation.fpgadataflow.specialize_layers import SpecializeLayers
from numpy.typing import NDArray
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp
from qonnx.transformation.general import GiveUniqueNodeNames

from hwgen.engine import EngineRun, interpret
from hwgen.errors import MismatchError, UserInputError
from hwgen.frontend import compare
from hwgen.frontend.dataflow_graph import require_hardware, steps
from hwgen.frontend.load import consistent, load
from hwgen.frontend.quant_graph import to_quant_graph
from hwgen.frontend.streamline import streamline
from hwgen.frontend.values import IntegerGraph
from hwgen.layers import Window
from hwgen.layers.base import Folding, Settings
from hwgen.quant import IntArray, IntType, QuantGraph, Scaling, prepare, quantise_input

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Imported:
    """What the frontend found: the meaning, and the models FINN can go on with.

    ``values`` are all tensors of ``dataflow`` for ``images``.
    """

    graph: QuantGraph
    imported: ModelWrapper
    streamlined: ModelWrapper
    dataflow: ModelWrapper
    images: NDArray[np.float32]
    values: compare.Values


def input_shape(path: Path) -> tuple[int, int, int]:
    """(C, H, W) of the images that a model reads."""
    shape = _input_shape(load(path))
    return shape[1], shape[2], shape[3]


def import_model(
    path: Path,
    images: NDArray[np.float32] | None,
    *,
    count: int = 2,
    top_k: int | None = None,
    say: Say = lambda _: None,
) -> Imported:
    """Turn a QONNX file into a QuantGraph, comparing after every step on ``count`` images.

    ``images`` are float (N, C, H, W); without them, uniform noise over the input's range serves
    (seeded). ``top_k`` ends the network in the places of that many largest outputs. ``say`` is
    told the name of each step before it runs. Raises ``UserInputError`` and ``UnsupportedError``
    for files that cannot be built, ``MismatchError`` if a step is not exact.
    """
    say("load")
    original = load(path)
    _, c, h, w = _input_shape(original)
    say("streamline")
    integer = streamline(original, top_k)
    scaling = integer.scaling
    if images is None:
        images = noise((count, c, h, w), integer)
    if images.ndim == 2:  # vectors
        images = images[:, :, None, None]
    if images.ndim != 4 or images.shape[1:] != (c, h, w):
        raise UserInputError(f"{path} reads images (N, {c}, {h}, {w}), not {images.shape}")
    images = images[:count].astype(np.float32)
    model = integer.model
    with consistent(path):
        floats = compare.execute_on_grid(original, images, integer.sums)
    frames = _frames(model, images, scaling)
    values = compare.execute(model, frames)
    compare.require_grid("streamline", floats, values, integer.equals)
    model, values = _to_hardware(model, frames, values, say)
    require_hardware(model)
    say("quant graph")
    graph = to_quant_graph(model, path.stem, scaling)
    ours = interpret(graph, quantise_input(graph, images))
    compare.require_integers("quant graph", values, ours)
    return Imported(graph, original, integer.model, model, images, values)


def _to_hardware(
    model: ModelWrapper, frames: NDArray[np.float32], values: compare.Values, say: Say
) -> tuple[ModelWrapper, compare.Values]:
    """FINN's transformations: the hardware graph, and its tensors for ``frames``.

    All tensors are compared once, with those before the first step; a difference is then traced
    to its step by comparing after every one.
    """
    try:
        return _apply_steps(model, frames, values, say, every=False)
    except MismatchError:
        _apply_steps(model, frames, values, say, every=True)
        raise


def _apply_steps(
    model: ModelWrapper,
    frames: NDArray[np.float32],
    values: compare.Values,
    say: Say,
    *,
    every: bool,
) -> tuple[ModelWrapper, compare.Values]:
    """Apply all steps to a copy, comparing before tensors are renamed and at the end, or always."""
    model = ModelWrapper(model.model, make_deepcopy=True)
    listed, name = list(steps(model)), model.graph.output[0].name
    for index, step in enumerate(listed):
        say(step.name)
        with compare.quiet():
            model = step.apply(model)
        last = index + 1 == len(listed)
        if every or last or listed[index + 1].renames:
            after = compare.execute(model, frames)
            names = name, model.graph.output[0].name
            if not step.renames:
                compare.require_same(step.name, values, after)
            outputs = ({"output": v[n]} for v, n in zip((values, after), names, strict=True))
            compare.require_same(step.name, *outputs)
            values, name = after, names[1]
    return model, values


def fold(imported: Imported, foldings: Mapping[str, Folding]) -> ModelWrapper:
    """FINN's dataflow model with PE and SIMD set, executed once more and compared."""
    model = ModelWrapper(imported.dataflow.model, make_deepcopy=True)
    carriers = {**dict(imported.graph.fused), **{name: name for name in foldings}}
    pools = {node.name for node in model.graph.node if node.op_type == "Pool"}
    for node in model.graph.node:
        op, folding = getCustomOp(node), foldings[carriers[node.name]]
        # These fold channels, as PE of their layers; FINN calls it SIMD.
        streaming = node.op_type in ("StreamingConcat", "StreamingSplit")
        pe_as_simd = streaming or carriers[node.name] in pools
        layer = imported.graph.layer(carriers[node.name])
        simd = folding.pe if pe_as_simd else folding.simd
        settings: Settings = {"PE": folding.pe, "SIMD": simd}
        if folding.ram_style != "auto":
            settings["ram_style"] = folding.ram_style
        if isinstance(layer, Window):
            settings["SIMD"] = layer.lanes(folding)[0]
            settings["parallel_window"] = int(folding == layer.patch)
        for key, value in settings.items():
            if key in op.get_nodeattr_types():
                op.set_nodeattr(key, value)
    for node in model.graph.node:  # FINN's window gives a depthwise product the channels it takes
        if node.op_type == "VVAU":
            window = model.find_producer(node.input[0])
            if window is not None and window.op_type == "ConvolutionInputGenerator":
                getCustomOp(window).set_nodeattr("SIMD", getCustomOp(node).get_nodeattr("PE"))
                getCustomOp(window).set_nodeattr("parallel_window", 0)
    frames = _frames(model, imported.images, imported.graph.scaling)
    compare.require_same("folding", imported.values, compare.execute(model, frames))
    return model


def finn_estimates(folded: ModelWrapper, part: str) -> dict[str, Any]:
    """FINN's own view of the folded model for a part: cycles and resources by layer.

    The model is specialised for the part and partitioned, as ``finn build`` would.
    """
    with compare.quiet(), _scratch() as folder:
        model, ours = _specialised(folded, part)
        cycles = {ours[k]: int(v) for k, v in model.analysis(exp_cycles_per_layer).items()}
        resources = {
            ours[name]: {key: float(value) for key, value in found.items()}
            for name, found in res_estimation(model, part).items()
        }
        parent = model.transform(CreateDataflowPartition(partition_model_dir=str(folder)))
    partitions = [n for n in parent.graph.node if n.op_type == "StreamingDataflowPartition"]
    return {
        "cycles": cycles,
        "resources": resources,
        "max_cycles": max(cycles.values()),
        "partitions": len(partitions),
    }


def finn_folding(folded: ModelWrapper, part: str) -> dict[str, Settings]:
    """PE and SIMD by the names that nodes have in ``finn build``, once specialised for the part."""
    with compare.quiet():
        model, _ = _specialised(folded, part)
    config: dict[str, Settings] = {"Defaults": {}}
    for node in model.graph.node:
        op = getCustomOp(node)
        keys = [key for key in ("PE", "SIMD") if key in op.get_nodeattr_types()]
        config[node.name] = {key: int(op.get_nodeattr(key)) for key in keys}
        if "parallel_window" in op.get_nodeattr_types() and op.get_nodeattr("parallel_window"):
            config[node.name]["parallel_window"] = 1
        if node.op_type.startswith("MVAU") and op.get_nodeattr("ram_style") != "auto":
            config[node.name]["ram_style"] = op.get_nodeattr("ram_style")
    return config


def _specialised(folded: ModelWrapper, part: str) -> tuple[ModelWrapper, dict[str, str]]:
    """The model with HLS or RTL chosen for every node, and our names by FINN's new ones."""
    model = ModelWrapper(folded.model, make_deepcopy=True)
    names = [node.name for node in model.graph.node]
    model = model.transform(SpecializeLayers(part)).transform(GiveUniqueNodeNames())
    return model, dict(zip((node.name for node in model.graph.node), names, strict=True))


def to_bytes(model: ModelWrapper) -> bytes:
    """A model's file, byte-identical for the same model."""
    return bytes(model.model.SerializeToString(deterministic=True))


@contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="hwgen_finn_") as name:
        yield Path(name)


def noise(shape: tuple[int, int, int, int], integer: IntegerGraph) -> NDArray[np.float32]:
    """Seeded images over the input's range, which is not known where the host prepares them."""
    rng, scaling = np.random.default_rng(0), integer.scaling
    dtype = integer.model.get_tensor_datatype(integer.model.graph.input[0].name)
    if scaling.input_steps:
        return rng.random(shape, np.float32)
    if scaling.input_scale == 1.0:
        return rng.integers(int(dtype.min()), int(dtype.max()) + 1, shape).astype(np.float32)
    return rng.random(shape, np.float32) * np.float32(255 * scaling.input_scale)


def _input_shape(model: ModelWrapper) -> tuple[int, int, int, int]:
    """(N, C, H, W); a vector is an image of one pixel."""
    shape = model.get_tensor_shape(model.graph.input[0].name)
    if shape is None or len(shape) not in (2, 4):
        raise UserInputError(
            f"the network's input has shape {shape}; (N, C, H, W) and (N, C) are supported"
        )
    n, c, h, w = (*shape, 1, 1)[:4]
    return int(n), int(c), int(h), int(w)


def _frames(
    model: ModelWrapper, images: NDArray[np.float32], scaling: Scaling
) -> NDArray[np.float32]:
    """Integer frames (N, H, W, C) in float32, as FINN holds them."""
    dtype = IntType.parse(model.get_tensor_datatype(model.graph.input[0].name).name)
    scaled = prepare(scaling, images) / np.float32(scaling.input_scale)
    integers = np.clip(np.round(scaled), *scaling.limits(dtype))
    return np.ascontiguousarray(integers.transpose(0, 2, 3, 1).astype(np.float32))


def read_dataflow_model(path: Path, name: str, scaling: Scaling) -> QuantGraph:
    """The QuantGraph of a dataflow model's file."""
    return to_quant_graph(ModelWrapper(str(path)), name, scaling)


def run_dataflow_model(path: Path, graph: QuantGraph, frames: IntArray) -> EngineRun:
    """FINN's Python execution of a dataflow model: every layer's output for every frame."""
    started = time.monotonic()
    values = compare.execute(ModelWrapper(str(path)), frames.astype(np.float32))
    tensors = {
        tensor.name: values[tensor.name].astype(np.int64).reshape(len(frames), *tensor.shape)
        for layer in graph.layers
        for tensor in layer.outputs
    }
    return EngineRun(tensors[graph.output.name], time.monotonic() - started, tensors)
