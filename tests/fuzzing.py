"""Damaged ONNX files from a seed: bytes cut and flipped; graphs, constants, attributes changed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, helper

from tests.qonnx_models import ModelBuilder, reducing_reactnet

Rng = np.random.Generator
INTEGERS = (-(2**31), -1, 0, 1, 2, 3, 7, 255, 65537, 2**20, 2**31 - 1, 2**40, 2**62)
FLOATS = (np.nan, np.inf, -np.inf, 0.0, -0.0, -1.0, 1e-45, 1e-30, 1e30, 3.4e38, 0.3, 1.5, 33.0)


def zero_padded() -> ModelBuilder:
    """Zero-padded bits, a max pool, a head."""
    builder = ModelBuilder(3, shape=(1, 4, 4))
    builder.stem(2)
    builder.binary_conv(2, 3, pad=0.0)
    builder.batch_norm(3.0)
    builder.here = builder.quant(builder.here, 3, 2**-2)
    builder.here = builder.node(
        "MaxPool", builder.here, kernel_shape=[2, 2], strides=[2, 2], pads=[0] * 4
    )
    builder.pixels = 4
    builder.head(3, 2**-2)
    return builder


def bases() -> list[onnx.ModelProto]:
    """Small sound networks, to be damaged."""
    reducing = reducing_reactnet(5, [(2, True)], width=2, bits=3, shape=(1, 4, 4))
    return [zero_padded().model(), reducing.model()]


def damaged(model: onnx.ModelProto, seed: int) -> tuple[bytes, str]:
    """A file and what was done to it; the same for the same seed."""
    rng = np.random.default_rng(seed)
    if rng.random() < 0.3:
        name, change_bytes = pick(rng, BYTES)
        return change_bytes(rng, model.SerializeToString(deterministic=True)), name
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    names = []
    for _ in range(int(rng.integers(1, 3))):
        name, change = pick(rng, CHANGES)
        names.append(name)
        ends_stand = copy.graph.input and copy.graph.output
        if copy.graph.node and ends_stand and copy.opset_import:
            change(rng, copy)
    return copy.SerializeToString(deterministic=True), "+".join(names)


def pick(rng: Rng, choices: dict[str, Callable]) -> tuple[str, Callable]:
    name = list(choices)[int(rng.integers(len(choices)))]
    return name, choices[name]


def one(rng: Rng, items: object) -> object:
    listed = list(items)  # type: ignore[call-overload]
    return listed[int(rng.integers(len(listed)))]


# -- bytes -----------------------------------------------------------------------------------------


def cut(rng: Rng, data: bytes) -> bytes:
    return data[: int(rng.integers(len(data)))]


def flip_bits(rng: Rng, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 9))):
        changed[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def overwrite(rng: Rng, data: bytes) -> bytes:
    at, size = int(rng.integers(len(data))), int(rng.integers(1, 64))
    return data[:at] + rng.bytes(size) + data[at + size :]


def drop_bytes(rng: Rng, data: bytes) -> bytes:
    at, size = int(rng.integers(len(data))), int(rng.integers(1, 64))
    return data[:at] + data[at + size :]


# -- graphs ----------------------------------------------------------------------------------------


def all_tensors(model: onnx.ModelProto) -> list[str]:
    graph = model.graph
    made = [name for node in graph.node for name in node.output]
    return [*made, *(t.name for t in graph.initializer), graph.input[0].name, "", "nowhere"]


def rewire(rng: Rng, model: onnx.ModelProto) -> None:
    node = one(rng, [n for n in model.graph.node if n.input])
    node.input[int(rng.integers(len(node.input)))] = one(rng, all_tensors(model))


def drop_node(rng: Rng, model: onnx.ModelProto) -> None:
    del model.graph.node[int(rng.integers(len(model.graph.node)))]


def bypass_node(rng: Rng, model: onnx.ModelProto) -> None:
    node = one(rng, model.graph.node)
    for other in model.graph.node:
        for i, name in enumerate(other.input):
            if node.input and list(node.output[:1]) == [name]:
                other.input[i] = node.input[0]


def repeat_node(rng: Rng, model: onnx.ModelProto) -> None:
    copy = onnx.NodeProto()
    copy.CopyFrom(one(rng, model.graph.node))
    if rng.random() < 0.5 and copy.output:
        copy.output[0] += "_again"
    model.graph.node.append(copy)


def swap_nodes(rng: Rng, model: onnx.ModelProto) -> None:
    nodes = list(model.graph.node)
    a, b = (int(rng.integers(len(nodes))) for _ in range(2))
    nodes[a], nodes[b] = nodes[b], nodes[a]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def other_operator(rng: Rng, model: onnx.ModelProto) -> None:
    words = "Add Sub Mul Div Conv Pad Relu PRelu Concat Flatten Reshape Squeeze Identity Dropout "
    words += "MatMul Gemm ReduceMean ReduceSum GlobalAveragePool AveragePool MaxPool TopK ArgMax "
    words += "Quant BipolarQuant Trunc Softmax Nothing LeakyRelu BatchNormalization Transpose"
    one(rng, model.graph.node).op_type = one(rng, words.split())


def other_domain(rng: Rng, model: onnx.ModelProto) -> None:
    domains = ("", "ai.onnx", "qonnx.custom_op.general", "finn.custom_op.fpgadataflow", "x")
    one(rng, model.graph.node).domain = one(rng, domains)


def count_inputs(rng: Rng, model: onnx.ModelProto) -> None:
    node = one(rng, [n for n in model.graph.node if n.input])
    if rng.random() < 0.7:
        del node.input[-1]
    else:
        node.input.append(one(rng, all_tensors(model)))


def no_names(rng: Rng, model: onnx.ModelProto) -> None:
    node = one(rng, model.graph.node)
    if rng.random() < 0.5 and node.output:
        node.output[0] = ""
    elif rng.random() < 0.5:
        del node.output[:]
    else:
        node.name = ""


def empty_graph(rng: Rng, model: onnx.ModelProto) -> None:
    del model.graph.node[:]


def ends(rng: Rng, model: onnx.ModelProto) -> None:
    graph = model.graph
    kind = int(rng.integers(4))
    if kind == 0:
        del graph.input[:]
    elif kind == 1:
        del graph.output[:]
    elif kind == 2:
        graph.output[0].name = str(one(rng, all_tensors(model)))
    else:
        graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1, 2]))


def input_shape(rng: Rng, model: onnx.ModelProto) -> None:
    dims = model.graph.input[0].type.tensor_type.shape.dim
    kind = int(rng.integers(5))
    if kind == 0 and dims:
        del dims[int(rng.integers(len(dims)))]
    elif kind == 1:
        dims.add().dim_value = 1
    elif dims and kind == 2:
        one(rng, dims).dim_param = "batch"
    elif dims:
        one(rng, dims).dim_value = int(one(rng, INTEGERS))


def input_type(rng: Rng, model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = int(rng.integers(0, 20))


def versions(rng: Rng, model: onnx.ModelProto) -> None:
    opset = one(rng, model.opset_import)
    if rng.random() < 0.2:
        del model.opset_import[:]
    elif rng.random() < 0.2:
        model.ir_version = int(one(rng, (0, 1, 3, 5, 99, 2**40)))
    else:
        opset.version = int(one(rng, (0, 1, 5, 9, 10, 11, 13, 17, 21, 99, 2**40)))


# -- attributes and constants ----------------------------------------------------------------------


def attribute_value(rng: Rng, model: onnx.ModelProto) -> None:
    attributes = [a for node in model.graph.node for a in node.attribute]
    chosen = one(rng, attributes)
    if chosen.type == AttributeProto.INTS and chosen.ints:
        chosen.ints[int(rng.integers(len(chosen.ints)))] = int(one(rng, INTEGERS))
    elif chosen.type == AttributeProto.INT:
        chosen.i = int(one(rng, INTEGERS))
    elif chosen.type == AttributeProto.FLOAT:
        chosen.f = float(one(rng, FLOATS))
    else:
        chosen.s = bytes(one(rng, (b"", b"FLOOR", b"CEIL", b"\xff\xfe", b"reflect", b"x" * 99)))


def attribute_kind(rng: Rng, model: onnx.ModelProto) -> None:
    node = one(rng, [n for n in model.graph.node if n.attribute])
    index = int(rng.integers(len(node.attribute)))
    name = node.attribute[index].name
    del node.attribute[index]
    values = (None, 1.5, "text", [1.5, 2.0], ["a"], 3, [1, 2, 3], [2, 2])
    value = one(rng, values)
    if value is not None:
        node.attribute.append(helper.make_attribute(name, value))


def new_attribute(rng: Rng, model: onnx.ModelProto) -> None:
    names = "kernel_shape strides pads dilations group alpha axis axes keepdims transB auto_pad "
    names += "ceil_mode count_include_pad signed narrow rounding_mode mode largest epsilon"
    values = (0, 1, -1, 2, 2**40, 0.5, "SAME_UPPER", [2, 2], [1, 1, 1, 1], [-1, 0], [3], [2**33, 1])
    node = one(rng, model.graph.node)
    name = one(rng, names.split())
    kept = [a for a in node.attribute if a.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, one(rng, values))])


def constant_value(rng: Rng, model: onnx.ModelProto) -> None:
    tensor = one(rng, model.graph.initializer)
    values = onnx.numpy_helper.to_array(tensor).copy()
    chosen = one(rng, FLOATS if values.dtype.kind == "f" else INTEGERS)
    if rng.random() < 0.5 or not values.ndim:
        values = np.full_like(values, chosen)
    else:
        values.reshape(-1)[int(rng.integers(values.size))] = chosen
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))


def constant_shape(rng: Rng, model: onnx.ModelProto) -> None:
    tensor = one(rng, model.graph.initializer)
    kind = int(rng.integers(4))
    if kind == 0 and tensor.dims:
        tensor.dims[int(rng.integers(len(tensor.dims)))] = int(one(rng, INTEGERS))
    elif kind == 1:
        tensor.dims.append(int(one(rng, INTEGERS)))
    else:
        shape = [int(n) for n in rng.integers(0, 6, int(rng.integers(0, 6)))]
        values = rng.uniform(-1, 1, shape).astype(np.float32)
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))


def constant_type(rng: Rng, model: onnx.ModelProto) -> None:
    one(rng, model.graph.initializer).data_type = int(rng.integers(0, 25))


def constant_data(rng: Rng, model: onnx.ModelProto) -> None:
    tensor = one(rng, model.graph.initializer)
    if rng.random() < 0.3:
        tensor.raw_data = b""
    elif rng.random() < 0.5:
        tensor.raw_data = tensor.raw_data[: int(rng.integers(len(tensor.raw_data) + 1))]
    else:
        del tensor.external_data[:]
        tensor.data_location = TensorProto.EXTERNAL
        words = ("missing.bin", "../../etc/passwd", "", "/dev/zero")
        tensor.external_data.add(key="location", value=str(one(rng, words)))
        if rng.random() < 0.5:
            tensor.external_data.add(key="length", value=str(one(rng, INTEGERS)))


def drop_constant(rng: Rng, model: onnx.ModelProto) -> None:
    del model.graph.initializer[int(rng.integers(len(model.graph.initializer)))]


def quantiser(rng: Rng, model: onnx.ModelProto) -> None:
    """Scale, zero point or bit width."""
    names = {name for n in model.graph.node if n.op_type == "Quant" for name in n.input[1:]}
    tensor = one(rng, [t for t in model.graph.initializer if t.name in names])
    values = (*FLOATS, 2.0, 4.0, 8.0, 16.0, 17.0, 64.0, 1e9, -4.0, 2.5)
    value = np.asarray(one(rng, values), np.float32)
    tensor.CopyFrom(onnx.numpy_helper.from_array(value, tensor.name))


BYTES = {f.__name__: f for f in (cut, flip_bits, flip_bits, overwrite, drop_bytes)}
CHANGES = {
    f.__name__: f
    for f in (
        rewire,
        drop_node,
        bypass_node,
        repeat_node,
        swap_nodes,
        other_operator,
        other_domain,
        count_inputs,
        no_names,
        empty_graph,
        ends,
        input_shape,
        input_type,
        versions,
        attribute_value,
        attribute_kind,
        new_attribute,
        constant_value,
        constant_shape,
        constant_type,
        constant_data,
        drop_constant,
        quantiser,
    )
}
