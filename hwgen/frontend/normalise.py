"""Rewritings of a QONNX graph that leave its meaning and make it simpler to read."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from onnx import helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp

from hwgen.errors import UnsupportedError


def split_biases(model: ModelWrapper) -> ModelWrapper:
    """Give every bias of a Conv or Gemm an Add of its own behind the product.

    Products alone then lie on a grid of integers, whatever the bias.
    """
    for node in list(model.graph.node):
        if node.op_type not in ("Conv", "Gemm") or len(node.input) < 3 or not node.input[2]:
            continue
        bias, shape = constant_of(model, node.input[2]), model.get_tensor_shape(node.output[0])
        if bias is None:
            continue
        channels = shape[1] if len(shape) > 1 else 0
        if not fits_bias(node.op_type, bias.shape, channels):
            raise UnsupportedError(
                f"node {node.name} ({node.op_type}): a bias of shape {bias.shape} for {channels} "
                "channels; export the file again"
            )
        out, product = node.output[0], f"{node.output[0]}_product"
        model.set_initializer(f"{out}_bias", bias.reshape(-1, *[1] * (len(shape) - 2)))
        del node.input[2]
        node.output[0] = product
        inputs = [product, f"{out}_bias"]
        add = helper.make_node("Add", inputs, [out], name=f"{node.name}_bias")
        model.set_tensor_shape(product, shape)
        model.graph.node.insert(list(model.graph.node).index(node) + 1, add)
    return model


def fits_bias(op_type: str, shape: tuple[int, ...], channels: int) -> bool:
    """Whether ONNX takes a bias of this shape: (M), or of a Gemm what broadcasts to it."""
    if op_type == "Conv":
        return shape == (channels,)
    rows = (1,) * (2 - len(shape)) + shape
    return len(rows) == 2 and rows[0] == 1 and rows[1] in (1, channels)


def constant_of(model: ModelWrapper, name: str) -> NDArray[np.float32] | None:
    """The value of an initializer, or of a quantiser of constants."""
    value = model.get_initializer(name)
    if value is not None:
        return np.asarray(value, np.float32)
    producer = model.find_producer(name)
    if producer is None or producer.op_type not in ("Quant", "BipolarQuant"):
        return None
    context = {i: model.get_initializer(i) for i in producer.input}
    if any(v is None for v in context.values()):
        return None
    getCustomOp(producer).execute_node(context, model.graph)
    return np.asarray(context[name], np.float32)
