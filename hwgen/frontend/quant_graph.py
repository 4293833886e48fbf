"""From FINN's hardware layers to the QuantGraph: plain data, nothing of onnx left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx
from onnx import helper
from qonnx.core.modelwrapper import ModelWrapper

from hwgen.errors import UnsupportedError
from hwgen.layers import from_finn
from hwgen.layers.base import FinnNode
from hwgen.layers.subtract import require_fitting
from hwgen.quant import IntArray, IntType, QuantGraph, Scaling, Tensor
from hwgen.reach import narrow

Fused = tuple[tuple[str, str], ...]


def to_quant_graph(model: ModelWrapper, name: str, scaling: Scaling) -> QuantGraph:
    """Read every FINN node into its layer; the result is checked."""
    nodes = [node_of(model, n) for n in model.graph.node]
    return from_nodes(nodes, name, model.graph.input[0].name, model.graph.output[0].name, scaling)


def from_nodes(
    nodes: Sequence[FinnNode], name: str, source: str, sink: str, scaling: Scaling
) -> QuantGraph:
    """Fuse neighbours, turn every node into its layer, and tell layers their reach.

    The graph runs from tensor ``source`` to tensor ``sink`` and is checked.
    """
    tensors = {t.name: t for node in nodes for t in (*node.inputs, *node.outputs)}
    fused: Fused = ()
    for fuse in (fuse_pool, fuse_padding, fuse_offset, fuse_bias):
        nodes, fused = fuse(nodes, fused)
    graph = QuantGraph(
        name=name,
        input=tensors[source],
        output=tensors[sink],
        layers=tuple(from_finn(node) for node in nodes),
        scaling=scaling,
        fused=fused,
    ).check()
    require_fitting(graph)
    return narrow(graph)


@dataclass(frozen=True, slots=True)
class _Pair:
    """A node and the one that alone reads it."""

    first: FinnNode
    second: FinnNode


def fuse_pool(nodes: Sequence[FinnNode], fused: Fused) -> tuple[list[FinnNode], Fused]:
    """ConvolutionInputGenerator + Pool: the pool adds up its squares as the image streams in."""
    pairs = _pairs(nodes, "ConvolutionInputGenerator", "Pool")
    merged = {
        p.second.name: replace(
            p.second,
            inputs=p.first.inputs,
            attributes={**p.second.attributes, "Stride": p.first.attributes["Stride"]},
        )
        for p in pairs
    }
    return _replace(nodes, fused, merged, {p.first.name: p.second.name for p in pairs})


def fuse_padding(nodes: Sequence[FinnNode], fused: Fused) -> tuple[list[FinnNode], Fused]:
    """FMPadding + ConvolutionInputGenerator or Pool: these pad as they read, in no cycles."""
    pairs = [
        pair
        for second in ("ConvolutionInputGenerator", "Pool")
        for pair in _pairs(nodes, "FMPadding", second)
    ]
    merged = {
        p.second.name: replace(
            p.second,
            inputs=p.first.inputs,
            attributes={**p.second.attributes, "Padding": p.first.attributes["Padding"]},
        )
        for p in pairs
    }
    return _replace(nodes, fused, merged, {p.first.name: p.second.name for p in pairs})


def fuse_offset(nodes: Sequence[FinnNode], fused: Fused) -> tuple[list[FinnNode], Fused]:
    """X - lowest, a padded MaxPool, + lowest: the pool pads with its type's lowest value itself.

    No x is below ``lowest``, so that padding never wins, with either value.
    """
    before = {p.second.name: p.first for p in _pairs(nodes, "ElementwiseAdd", "Pool")}
    merged: dict[str, FinnNode] = {}
    gone: dict[str, str] = {}
    for pair in _pairs(nodes, "Pool", "ElementwiseAdd"):
        pool, behind = pair.first, pair.second
        ahead = before.get(pool.name)
        if ahead is None or not ahead.constants or not behind.constants:
            continue
        offset = np.unique(ahead.constants[0])
        if offset.size == 1 and (behind.constants[0] == -offset).all():  # FINN pads x + offset
            attributes = {**pool.attributes, "PadsWithLowest": 1}
            merged[pool.name] = replace(
                pool, inputs=ahead.inputs, outputs=behind.outputs, attributes=attributes
            )
            gone |= {ahead.name: pool.name, behind.name: pool.name}
    return _replace(nodes, fused, merged, gone)


def fuse_bias(nodes: Sequence[FinnNode], fused: Fused) -> tuple[list[FinnNode], Fused]:
    """Product + ElementwiseAdd of a number a channel: the accumulators start from the bias."""
    pairs = [
        p
        for first in ("MVAU", "VVAU")
        for p in _pairs(nodes, first, "ElementwiseAdd")
        if p.second.constants
        and not p.first.attributes.get("binaryXnorMode")
        and p.second.constants[0].size == p.first.outputs[0].channels
    ]
    merged = {
        p.first.name: replace(
            p.first,
            outputs=p.second.outputs,
            constants=(*p.first.constants, *p.second.constants),
        )
        for p in pairs
    }
    return _replace(nodes, fused, merged, {p.second.name: p.first.name for p in pairs})


def _replace(
    nodes: Sequence[FinnNode],
    fused: Fused,
    merged: Mapping[str, FinnNode],
    gone: Mapping[str, str],
) -> tuple[list[FinnNode], Fused]:
    """Put in the merged nodes; ``gone`` gives each node that goes and the one that carries it."""
    kept = [merged.get(node.name, node) for node in nodes if node.name not in gone]
    return kept, (*fused, *gone.items())


def _pairs(nodes: Sequence[FinnNode], first: str, second: str) -> list[_Pair]:
    by_output = {t.name: node for node in nodes for t in node.outputs}
    found = []
    for node in nodes:
        before = by_output.get(node.inputs[0].name)
        if node.op_type == second and before is not None and before.op_type == first:
            found.append(_Pair(before, node))
    return found


def node_of(model: ModelWrapper, node: onnx.NodeProto) -> FinnNode:
    """A node as plain data: streams, integer constants, attributes."""
    streams, constants = [], []
    for name in node.input:
        value = model.get_initializer(name)
        if value is None:
            streams.append(_tensor(model, name))
        else:
            constants.append(_integers(node, np.asarray(value)))
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    return FinnNode(
        node.op_type,
        node.name,
        {k: v.decode() if isinstance(v, bytes) else v for k, v in attributes.items()},
        tuple(streams),
        tuple(constants),
        tuple(_tensor(model, name) for name in node.output),
    )


def _integers(node: onnx.NodeProto, value: np.ndarray[tuple[int, ...], np.dtype]) -> IntArray:
    integers: IntArray = np.rint(value).astype(np.int64)
    if not np.array_equal(integers, value):
        raise UnsupportedError(f"node {node.name} ({node.op_type}) holds a constant of fractions")
    return integers


def _tensor(model: ModelWrapper, name: str) -> Tensor:
    shape = model.get_tensor_shape(name)
    if shape is None or len(shape) not in (2, 4):
        raise UnsupportedError(f"tensor {name} has shape {shape}; (N, H, W, C) is supported")
    h, w = (shape[1], shape[2]) if len(shape) == 4 else (1, 1)
    dtype = IntType.parse(model.get_tensor_datatype(name).name)
    return Tensor(name, (int(h), int(w), int(shape[-1])), dtype)
