"""The layers that FINN will make of an integer graph, foretold without running FINN.

For estimates in seconds. Kinds, shapes and fusions are those of a build; types may be wider, since
FINN narrows accumulators.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import onnx

from hwgen.errors import UnsupportedError
from hwgen.frontend.quant_graph import from_nodes, node_of
from hwgen.frontend.values import IntegerGraph, attributes_of
from hwgen.layers.base import FinnNode
from hwgen.quant import IntArray, IntType, QuantGraph, Tensor

Attributes = Mapping[str, Any]

# Integer operator -> FINN's layer, and its attributes from the operator's own and its constants.
_FINN: dict[str, tuple[str, Callable[[Attributes, FinnNode], dict[str, Any]]]] = {
    "Pad": ("FMPadding", lambda a, n: {"Padding": n.constants[0].tolist()}),
    "Im2Col": (
        "ConvolutionInputGenerator",
        lambda a, n: {
            "ConvKernelDim": a["kernel_size"],
            "Stride": a["stride"],
            "depthwise": a.get("depthwise", 0),
        },
    ),
    "XnorPopcountMatMul": ("MVAU", lambda a, n: {"binaryXnorMode": 1}),
    "MatMul": ("MVAU", lambda a, n: {}),
    "MultiThreshold": ("Thresholding", lambda a, n: {"ActVal": int(a["out_bias"])}),
    "Add": ("ElementwiseAdd", lambda a, n: {}),
    "Sub": ("ElementwiseSub", lambda a, n: {}),
    "Concat": ("StreamingConcat", lambda a, n: {}),
    "Split": ("StreamingSplit", lambda a, n: {}),
    "ReduceSum": ("GlobalAccPool", lambda a, n: {}),
    "QuantAvgPool2d": (
        "Pool",
        lambda a, n: {"Function": "QuantAvgPool", "KernelSize": [a["kernel"]] * 2},
    ),
    "MaxPoolNHWC": (
        "Pool",
        lambda a, n: {
            "Function": "MaxPool",
            "KernelSize": a["kernel_shape"],
            "Stride": a["strides"],
        },
    ),
    "TopK": ("LabelSelect", lambda a, n: {"K": int(n.constants[0].reshape(-1)[0])}),
}


def preview(integer: IntegerGraph, name: str) -> QuantGraph:
    """The QuantGraph of an integer graph, named as a build names it; checked like one."""
    model = integer.model
    counts: dict[str, int] = {}
    nodes = []
    for node in model.graph.node:
        if node.op_type not in _FINN:
            raise UnsupportedError(f"node {node.name} ({node.op_type}) has no hardware layer")
        kept = onnx.NodeProto()
        kept.CopyFrom(node)
        if node.op_type == "TopK":
            del kept.output[0]  # the values
        plain = node_of(model, kept)
        finn, attributes = _FINN[node.op_type]
        own = attributes(attributes_of(node), plain)
        constants = plain.constants if finn in ("MVAU", "Thresholding", "ElementwiseAdd") else ()
        if finn == "MVAU" and model.get_tensor_sparsity(node.input[1]):
            finn, constants = "VVAU", (_kernels(constants[0]),)
        called = f"{finn}_{counts.get(finn, 0)}"
        counts[finn] = counts.get(finn, 0) + 1
        nodes.append(FinnNode(finn, called, own, plain.inputs, constants, plain.outputs))
    source, sink = model.graph.input[0].name, model.graph.output[0].name
    return from_nodes(_forked(_widened(nodes)), name, source, sink, integer.scaling)


def _kernels(sparse: IntArray) -> IntArray:
    """Depthwise weights (C, 1, taps, 1) of the sparse matrix (taps * C, C) that holds them."""
    channels = sparse.shape[1]
    taps = sparse.reshape(-1, channels, channels)
    diagonals = taps[:, np.arange(channels), np.arange(channels)]
    return np.ascontiguousarray(diagonals.T)[:, None, :, None]


def _widened(nodes: list[FinnNode]) -> list[FinnNode]:
    """Give sums the types that FINN finds: all that their inputs' types allow."""
    ranges: dict[str, tuple[int, int]] = {}
    types: dict[str, IntType] = {}
    widened = []
    for node in nodes:
        inputs = tuple(replace(t, dtype=types.get(t.name, t.dtype)) for t in node.inputs)
        node = replace(node, inputs=inputs)
        reach = _reach(node, ranges)
        if reach is not None:
            (out,) = node.outputs
            ranges[out.name] = reach
            types[out.name] = IntType.holding(*reach)
            node = replace(node, outputs=(replace(out, dtype=types[out.name]),))
        widened.append(node)
    return widened


def _reach(node: FinnNode, ranges: Mapping[str, tuple[int, int]]) -> tuple[int, int] | None:
    """What an integer product, its bias, an Add or a Concat can make of its inputs' types."""
    before = node.inputs[0]
    if node.op_type in ("MVAU", "VVAU") and not node.attributes.get("binaryXnorMode"):
        weights = node.constants[0]
        if node.op_type == "VVAU":
            weights = weights[:, 0, :, 0].T
        ends = np.stack([weights * before.dtype.lo, weights * before.dtype.hi])
        lo = np.minimum(ends.min(axis=0), 0).sum(axis=0).min()
        return int(lo), int(np.maximum(ends.max(axis=0), 0).sum(axis=0).max())
    if node.op_type == "ElementwiseAdd" and len(node.inputs) == 2:
        return sum(t.dtype.lo for t in node.inputs), sum(t.dtype.hi for t in node.inputs)
    if node.op_type == "StreamingConcat":
        return min(t.dtype.lo for t in node.inputs), max(t.dtype.hi for t in node.inputs)
    if node.op_type == "ElementwiseAdd" and node.constants and before.name in ranges:
        (lo, hi), bias = ranges[before.name], node.constants[0]
        return lo + min(int(bias.min()), 0), hi + max(int(bias.max()), 0)
    return None


def _forked(nodes: list[FinnNode]) -> list[FinnNode]:
    """Put a DuplicateStreams behind every tensor with several readers."""
    readers: dict[str, int] = {}
    for node in nodes:
        for tensor in node.inputs:
            readers[tensor.name] = readers.get(tensor.name, 0) + 1
    copies: dict[str, list[Tensor]] = {}
    forked: list[FinnNode] = []

    def fork(tensor: Tensor) -> None:
        count = readers.get(tensor.name, 0)
        if count > 1:
            names = [f"{tensor.name}_copy{i}" for i in range(count)]
            copies[tensor.name] = [Tensor(n, tensor.shape, tensor.dtype) for n in names]
            called = f"DuplicateStreams_{len(copies) - 1}"
            outputs = tuple(copies[tensor.name])
            forked.append(FinnNode("DuplicateStreams", called, {}, (tensor,), (), outputs))

    made = {tensor.name for node in nodes for tensor in node.outputs}
    for source in dict.fromkeys(t for node in nodes for t in node.inputs if t.name not in made):
        fork(source)
    for node in nodes:
        inputs = tuple(copies[t.name].pop() if t.name in copies else t for t in node.inputs)
        forked.append(
            FinnNode(node.op_type, node.name, node.attributes, inputs, node.constants, node.outputs)
        )
        for tensor in node.outputs:
            fork(tensor)
    return forked
