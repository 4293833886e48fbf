"""The summary of a QONNX file."""

from __future__ import annotations

import math
from pathlib import Path

import onnx
from qonnx.core.modelwrapper import ModelWrapper

from hwgen.frontend.load import LINEAR, load
from hwgen.frontend.values import fail
from hwgen.summary import Row, Summary


def summarise(path: Path) -> Summary:
    """Count the work and the parameters of a QONNX model's convolutions and linear layers."""
    model = load(path)
    products = [node for node in model.graph.node if node.op_type in LINEAR]
    rows = tuple(_row(model, node) for node in products)
    counted = {_source(model, node.input[1]) for node in products}
    others = [
        name
        for node in model.graph.node
        if node.op_type in ("BatchNormalization", "PRelu", "Add", "Sub", "Mul", "Div", *LINEAR)
        for name in node.input[1:]
    ]
    sizes = {
        name: math.prod(model.get_tensor_shape(name) or ())
        for name in others
        if model.get_initializer(name) is not None and name not in counted
    }
    return Summary(path.stem, rows, sum(sizes.values()))


def _row(model: ModelWrapper, node: onnx.NodeProto) -> Row:
    shapes = [model.get_tensor_shape(n) for n in (node.input[0], node.output[0], node.input[1])]
    if not all(shapes):
        raise fail(node, "the shapes of its tensors are not known; export the file again")
    before, behind, weights = shapes
    quantiser = model.find_producer(node.input[1])
    binary = _binary(model, node.input[0]) and _binary(model, node.input[1])
    bits = 32
    if quantiser is not None and quantiser.op_type == "BipolarQuant":
        bits = 1
    elif quantiser is not None and quantiser.op_type == "Quant":
        width = model.get_initializer(quantiser.input[3])
        if width is None or width.size != 1:
            raise fail(quantiser, "its bit width is not one constant")
        bits = int(width.reshape(-1)[0])
    count = (math.prod(weights), bits)
    return Row.of(node.name, (before[1:], behind[1:]), count, binary=binary)


def _source(model: ModelWrapper, name: str) -> str:
    """The constant behind a weight quantiser."""
    producer = model.find_producer(name)
    return str(producer.input[0]) if producer is not None and producer.input else name


def _binary(model: ModelWrapper, name: str) -> bool:
    """Whether a tensor holds signs, padded or not."""
    producer = model.find_producer(name)
    while producer is not None and producer.op_type == "Pad":
        producer = model.find_producer(producer.input[0])
    return producer is not None and producer.op_type == "BipolarQuant"
