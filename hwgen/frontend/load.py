"""Reading a QONNX file: everything a broken or foreign file can hold ends in one clear error."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import DecodeError
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.fold_constants import FoldConstants
from qonnx.transformation.general import (
    GiveReadableTensorNames,
    GiveUniqueNodeNames,
    GiveUniqueParameterTensors,
    RemoveStaticGraphInputs,
    RemoveUnusedTensors,
)
from qonnx.transformation.infer_shapes import InferShapes
from qonnx.transformation.quant_constant_folding import FoldTransposeIntoQuantInit

from hwgen.errors import HwgenError, UnsupportedError, UserInputError
from hwgen.frontend.normalise import split_biases
from hwgen.frontend.wellformed import batch_of, defects, fix_batch, oversized

onnxruntime.set_default_logger_severity(4)  # what it has to say comes as exceptions
QONNX = "qonnx.custom_op.general"
FOREIGN = "hwgen.foreign"  # domain of operators that no library here knows
QUANTISERS = ("Quant", "BipolarQuant", "Trunc")
TRUNC_OPSET = 2  # of qonnx's general domain, from which Trunc has an output scale

# Operators that the streamliner understands, by what it does with them.
UNARY = (
    *("Add", "Sub", "Mul", "Div", "BatchNormalization", "PRelu", "Relu", "LeakyRelu"),
    *("Clip", "Sign", "Neg", "Tanh", "Sigmoid", "HardSigmoid"),
)
PASS = ("Identity", "Flatten", "Reshape", "Squeeze", "Dropout")
LINEAR = ("Conv", "Gemm", "MatMul")
POOLS = ("ReduceMean", "ReduceSum", "GlobalAveragePool", "AveragePool", "MaxPool")
OTHER = ("Pad", "Concat", "Constant", "Transpose")
ENDS = ("TopK", "ArgMax")  # that may end a network
SUPPORTED = QUANTISERS + UNARY + PASS + LINEAR + POOLS + OTHER + ENDS


def load(path: Path) -> ModelWrapper:
    """Read, check and clean up a QONNX model (shapes inferred, constants folded, nodes named).

    Raises ``UserInputError`` for a file that is not a whole, sound ONNX model, and
    ``UnsupportedError`` for the first thing that hwgen does not know.
    """
    proto = read(path)
    for error in refusals(path, proto):
        raise error
    return clean_up(path, proto)


def read(path: Path) -> onnx.ModelProto:
    """Read a file that is a sound graph, supported or not; else raise ``UserInputError``."""
    try:
        proto = onnx.load(path)
    except OSError as error:
        raise UserInputError(f"{path} cannot be read: {error.strerror or error}") from error
    except (DecodeError, ValueError, onnx.checker.ValidationError) as error:
        raise UserInputError(f"{path} is not an ONNX model, or is cut short: {error}") from error
    for node in proto.graph.node:
        if node.op_type == "IntQuant":  # qonnx has both names for one operator
            node.op_type = "Quant"
    for why in defects(proto):
        raise UserInputError(f"{path} is not a sound ONNX model: {why}; export it again")
    fix_batch(proto)
    return proto


def refusals(path: Path, proto: onnx.ModelProto) -> Iterator[HwgenError]:
    """What hwgen does not support, as far as the file itself tells."""
    graph = proto.graph
    if unknown := [n for n in graph.node if not supported(n)]:
        listed = ", ".join(f"{n.op_type} (node {n.name or n.output[0]})" for n in unknown[:5])
        yield UnsupportedError(
            f"{path}: unsupported operator {listed}; supported: {', '.join(sorted(SUPPORTED))}"
        )
    if not any(n.op_type in QUANTISERS for n in graph.node):
        yield UserInputError(
            f"{path} has no quantisers (Quant or BipolarQuant nodes), so its integers are "
            "undefined; train it with Brevitas and export it with brevitas.export.export_qonnx"
        )
    if old := [
        n.name or n.output[0] for n in graph.node if n.op_type == "Trunc" and len(n.input) == 5
    ]:
        yield UnsupportedError(
            f"{path}: node {old[0]} (Trunc) is of the first version, whose output has no type; "
            "export it with a Brevitas of today"
        )
    constants = {tensor.name for tensor in graph.initializer}
    inputs = [value.name for value in graph.input if value.name not in constants]
    if len(inputs) != 1 or len(graph.output) != 1:
        yield UnsupportedError(
            f"{path}: one input and one output are supported, the graph has {len(inputs)} and "
            f"{len(graph.output)}"
        )
    elif (batch := batch_of(graph)) != 1:
        yield UnsupportedError(
            f"{path}: it reads batches of {batch} images; export it with a batch of 1"
        )


def supported(node: onnx.NodeProto) -> bool:
    """Whether hwgen knows a node's operator."""
    if node.op_type in QUANTISERS:
        return True
    return node.op_type in SUPPORTED and node.domain in ("", "ai.onnx")


def clean_up(path: Path, proto: onnx.ModelProto) -> ModelWrapper:
    """Infer shapes, fold constants and name nodes, as ``qonnx.util.cleanup`` does.

    Quantisers and operators that hwgen does not know are left as they are. Raises
    ``UserInputError`` where shapes contradict one another, or are open or too large.
    """
    for node in proto.graph.node:
        if node.op_type in QUANTISERS:
            node.domain = QONNX
        elif not supported(node) and not node.domain:
            node.domain = "" if onnx.defs.has(node.op_type) else FOREIGN
        elif not supported(node):
            node.domain = FOREIGN
    proto.opset_import.append(onnx.helper.make_opsetid(FOREIGN, 1))
    if any(node.op_type == "Trunc" for node in proto.graph.node):
        own = [o for o in proto.opset_import if o.domain == QONNX]
        for opset in own or [proto.opset_import.add(domain=QONNX)]:
            opset.version = max(opset.version, TRUNC_OPSET)
    keep = [*QUANTISERS, *(n.op_type for n in proto.graph.node if not supported(n))]
    with consistent(path), warnings.catch_warnings():
        warnings.simplefilter("ignore", category=DeprecationWarning)
        model = ModelWrapper(proto).transform(InferShapes())
        _require_sizes(path, model)
        for step in (
            GiveUniqueParameterTensors(),
            FoldConstants(exclude_op_types=keep),
            FoldTransposeIntoQuantInit(),
            RemoveUnusedTensors(),
            RemoveStaticGraphInputs(),
            GiveUniqueNodeNames(),
            GiveReadableTensorNames(),
        ):
            model = model.transform(step, make_deepcopy=False)
        _require_sizes(path, model)
        made = [name for node in model.graph.node for name in filter(None, node.output)]
        lost = [name for name in made if model.get_tensor_shape(name) is None]
        if lost and all(supported(node) for node in model.graph.node):
            raise UserInputError(f"{path}: no shape follows for {lost[0]}; export it again")
        return split_biases(model)


def _require_sizes(path: Path, model: ModelWrapper) -> None:
    for why in oversized(model):
        raise UserInputError(f"{path}: {why}; export it with the size of one image")
    for tensor in model.graph.initializer:
        if not np.isfinite(model.get_initializer(tensor.name)).all():
            raise UserInputError(f"{path}: constant {tensor.name} holds NaN or infinite values")


@contextmanager
def consistent(path: Path) -> Iterator[None]:
    """Turn whatever a library raises while it works on the user's file into ``UserInputError``.

    onnx, qonnx and ONNX Runtime check a file as they go and raise anything, bare ``Exception``
    included, at a graph that contradicts itself.
    """
    try:
        yield
    except HwgenError:
        raise
    except Exception as error:
        what = " ".join(str(error).split())[:300]
        raise UserInputError(
            f"{path}: the graph is not consistent ({type(error).__name__}: {what}); export it again"
        ) from error
