"""Whether a file is a graph at all: order, names, attributes, constants and sizes.

Everything that later code takes for granted of an ONNX file is asked for here, before a tensor is
allocated for it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import AttributeProto, TensorProto, numpy_helper
from qonnx.core.modelwrapper import ModelWrapper

OLDEST_OPSET = 11
LONGEST_SIDE = 1 << 10  # of kernels, strides, pads and dilations
MOST_VALUES = 1 << 25  # of an activation: 128 MiB in float32
MOST_CONSTANTS = 1 << 27  # of a constant: 512 MiB in float32

_INT, _STRING = AttributeProto.INT, AttributeProto.STRING
_QUANTISERS = {  # inputs, and attributes with the kind they must have
    "Quant": (4, {"signed": _INT, "narrow": _INT, "rounding_mode": _STRING}),
    "BipolarQuant": (2, {}),
    "Trunc": (6, {"signed": _INT, "narrow": _INT, "rounding_mode": _STRING}),
}

_FLOATS = {  # inputs that are numbers of the network, not places or sizes
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "MatMul", "PRelu"), (0, 1)),
    **dict.fromkeys(("Conv", "Gemm"), (0, 1, 2)),
    "BatchNormalization": (0, 1, 2, 3, 4),
    "Pad": (0, 2),
}


def defects(proto: onnx.ModelProto) -> Iterator[str]:
    """What makes the file no graph, in words; nothing for a sound one."""
    if not proto.graph.node:
        yield "it holds an empty graph"
        return
    opsets = {o.domain: o.version for o in proto.opset_import}
    version = opsets.get("", opsets.get("ai.onnx", 0))
    if not OLDEST_OPSET <= version <= onnx.defs.onnx_opset_version():
        yield (
            f"it is of opset {version}; {OLDEST_OPSET} to {onnx.defs.onnx_opset_version()} are read"
        )
        return
    if not all(isinstance(text, str) for text in _texts(proto.graph)):
        yield "it holds names that are no text"
        return
    yield from _order(proto.graph)
    yield from _constants(proto.graph)
    for node in proto.graph.node:
        yield from _node(node, version)
    yield from _types(proto.graph)


def _texts(graph: onnx.GraphProto) -> Iterator[object]:
    """All names; protobuf gives those that are not UTF-8 as bytes."""
    for node in graph.node:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        for attribute in node.attribute:
            yield attribute.name
            try:
                yield attribute.s.decode()
            except UnicodeDecodeError:
                yield attribute.s
    yield from (v.name for v in chain(graph.input, graph.output, graph.initializer))


def _order(graph: onnx.GraphProto) -> Iterator[str]:
    """Every tensor is made once, and before it is read: there is no cycle."""
    if graph.sparse_initializer:
        yield "it holds sparse constants"
    known = {"", *(v.name for v in graph.input), *(t.name for t in graph.initializer)}
    made = {name for node in graph.node for name in node.output}
    for node in graph.node:
        if not node.output or not node.output[0]:
            yield f"node {node.name or node.op_type} has no output"
            return
        for name in node.input:
            if name not in known:
                why = "which a later node makes: a cycle" if name in made else "which nothing makes"
                yield f"node {_called(node)} reads {name}, {why}"
        for name in filter(None, node.output):
            if name in known:
                yield f"tensor {name} is made twice"
            known.add(name)
    for value in graph.output:
        if value.name not in known:
            yield f"nothing makes the output {value.name}"


def _constants(graph: onnx.GraphProto) -> Iterator[str]:
    """Every constant holds as many finite numbers as its shape says."""
    inner = (a.t for n in graph.node for a in n.attribute if a.type == AttributeProto.TENSOR)
    for tensor in chain(graph.initializer, inner):
        name, dims = tensor.name or "of a node", list(tensor.dims)
        if min(dims, default=1) < 0 or math.prod(dims) > MOST_CONSTANTS:
            yield f"constant {name} has shape {dims}; up to {MOST_CONSTANTS} numbers are read"
            continue
        try:
            values = numpy_helper.to_array(tensor)
        except (ValueError, TypeError, KeyError, AttributeError, OSError) as error:
            yield f"constant {name} does not hold what its shape {dims} says ({error})"
            continue
        if values.dtype.kind not in "fiub":
            yield f"constant {name} holds no numbers"
        elif values.dtype.kind == "f" and not (values.size and np.isfinite(values).all()):
            yield f"constant {name} holds NaN or infinite values, or none"


def _types(graph: onnx.GraphProto) -> Iterator[str]:
    """Constants that meet the network's numbers are float32 as these."""
    kinds = {tensor.name: tensor.data_type for tensor in graph.initializer}
    for node in graph.node:
        met = [name for i, name in enumerate(node.input) if i in _FLOATS.get(node.op_type, ())]
        wrong = [name for name in met if kinds.get(name, TensorProto.FLOAT) != TensorProto.FLOAT]
        if wrong and not all(name in kinds for name in node.input):
            yield f"node {_called(node)}: constant {wrong[0]} is not of float32"


def _node(node: onnx.NodeProto, opset: int) -> Iterator[str]:
    """Inputs and attributes are those of the operator, and sizes are sizes."""
    if node.op_type in _QUANTISERS:
        count, kinds = _QUANTISERS[node.op_type]
        wrong = [a.name for a in node.attribute if a.type != kinds.get(a.name, a.type)]
        wrong += {"signed", "narrow"} & kinds.keys() - {a.name for a in node.attribute}
        if node.op_type == "Trunc" and len(node.input) == 5:
            return  # of the first version: sound, but not supported
        if len(node.input) != count or not all(node.input) or wrong:
            yield f"node {_called(node)}: not {count} inputs, or wrong attributes {wrong}"
        return
    if node.domain not in ("", "ai.onnx") or not onnx.defs.has(node.op_type):
        return  # unsupported anyway
    context = onnx.checker.C.CheckerContext()
    context.ir_version, context.opset_imports = onnx.IR_VERSION, {"": opset}
    try:
        onnx.checker.check_node(node, context)
    except onnx.checker.ValidationError as error:
        yield f"node {_called(node)}: {' '.join(str(error).split())[:200]}"
        return
    yield from _sides(node)


def _sides(node: onnx.NodeProto) -> Iterator[str]:
    """Kernels, strides, dilations and pads in their range, one (pads: two) for every axis."""
    kernel = next((a.ints for a in node.attribute if a.name == "kernel_shape"), (1, 1))
    rank = len(kernel) if 1 <= len(kernel) <= 3 else 2
    limits = {"kernel_shape": 1, "strides": 1, "dilations": 1, "pads": 0}
    for attribute in node.attribute:
        if attribute.name in limits and attribute.type == AttributeProto.INTS:
            values, least = list(attribute.ints), limits[attribute.name]
            count = 2 * rank if attribute.name == "pads" else rank
            if len(values) != count or min(values) < least or max(values) > LONGEST_SIDE:
                yield (
                    f"node {_called(node)}: {attribute.name} {values[:8]} are not {count} integers "
                    f"of {least} to {LONGEST_SIDE}"
                )
        if attribute.name == "group" and not 1 <= attribute.i <= MOST_CONSTANTS:
            yield f"node {_called(node)}: group {attribute.i} is not positive"


def fix_batch(proto: onnx.ModelProto) -> None:
    """Give an input of any batch size the size 1, and forget the shapes that follow from it."""
    constants = {tensor.name for tensor in proto.graph.initializer}
    for value in proto.graph.input:
        dims = value.type.tensor_type.shape.dim
        if value.name not in constants and dims and dims[0].WhichOneof("value") != "dim_value":
            dims[0].dim_value = 1
            del proto.graph.value_info[:]
            for output in proto.graph.output:
                output.type.tensor_type.ClearField("shape")


def batch_of(graph: onnx.GraphProto) -> int:
    """Images that the network reads at once; 1 where its input has no axes at all."""
    constants = {tensor.name for tensor in graph.initializer}
    image = next(value for value in graph.input if value.name not in constants)
    dims = image.type.tensor_type.shape.dim
    return int(dims[0].dim_value) if dims else 1


def oversized(model: ModelWrapper) -> Iterator[str]:
    """Tensors, by the shapes that were inferred, that are empty, of open size, or too large."""
    graph = model.graph
    constants = {tensor.name for tensor in graph.initializer}
    for value in chain(graph.input, graph.value_info, graph.output):
        if value.name in constants or not value.type.tensor_type.HasField("shape"):
            continue
        dims = [d.dim_value for d in value.type.tensor_type.shape.dim]
        if min(dims, default=1) < 1:
            yield f"tensor {value.name} has shape {dims}, which is empty or left open"
        elif math.prod(dims) > MOST_VALUES:
            yield f"tensor {value.name} has shape {dims}: more than {MOST_VALUES} values"
    for node in graph.node:
        if node.op_type == "Pad" and not _known(model, node.input[1:2]):
            yield f"node {_called(node)}: its pads are not constants"


def _known(model: ModelWrapper, names: Iterable[str]) -> bool:
    """Whether tensors are constants as they stand in the file."""

    def constant(name: str) -> bool:
        producer = model.find_producer(name)
        made = producer is not None and producer.op_type == "Constant"
        return made or model.get_initializer(name) is not None

    return all(constant(name) for name in names)


def broadcasts_to(arrays: Iterable[NDArray[Any]], shape: Iterable[int]) -> bool:
    """Whether arrays, combined element by element, have ``shape``, and not a larger one."""
    try:
        return np.broadcast_shapes(*(np.shape(a) for a in arrays)) == tuple(shape)
    except ValueError:
        return False


def _called(node: onnx.NodeProto) -> str:
    return f"{node.name or node.output[0]} ({node.op_type})"
