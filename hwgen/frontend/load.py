"""Reading a QONNX file: everything a broken or foreign file can hold ends in one clear error."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import numpy_helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.util.cleanup import cleanup_model

from hwgen.errors import HwgenError, UnsupportedError, UserInputError
from hwgen.frontend.normalise import one_image, split_biases

QUANTISERS = ("Quant", "BipolarQuant")

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

    Raises ``UserInputError`` for a file that is not a whole ONNX model or has no quantisers, and
    ``UnsupportedError`` that names every operator hwgen does not know with its node.
    """
    with consistent(path), warnings.catch_warnings():
        warnings.simplefilter("ignore", category=DeprecationWarning)
        proto = _read(path)
        _check(path, proto)
        model = ModelWrapper(one_image(proto))
        return split_biases(cleanup_model(model, preserve_qnt_ops=True))


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


def _read(path: Path) -> onnx.ModelProto:
    try:
        proto = onnx.load(path)
    except OSError as error:
        raise UserInputError(f"{path} cannot be read: {error.strerror or error}") from error
    except (DecodeError, ValueError, onnx.checker.ValidationError) as error:
        raise UserInputError(f"{path} is not an ONNX model, or is cut short: {error}") from error
    if not proto.graph.node:
        raise UserInputError(f"{path} is not an ONNX model, or holds an empty graph")
    return proto


def _check(path: Path, proto: onnx.ModelProto) -> None:
    graph = proto.graph
    unknown = [n for n in graph.node if n.op_type not in SUPPORTED]
    if unknown:
        listed = ", ".join(f"{n.op_type} (node {n.name or n.output[0]})" for n in unknown[:5])
        raise UnsupportedError(
            f"{path}: unsupported operator {listed}; supported: {', '.join(sorted(SUPPORTED))}"
        )
    if not any(n.op_type in QUANTISERS for n in graph.node):
        raise UserInputError(
            f"{path} has no quantisers (Quant or BipolarQuant nodes), so its integers are "
            "undefined; train it with Brevitas and export it with brevitas.export.export_qonnx"
        )
    constants = {tensor.name for tensor in graph.initializer}
    inputs = [value.name for value in graph.input if value.name not in constants]
    if len(inputs) != 1 or len(graph.output) != 1:
        raise UnsupportedError(
            f"{path}: one input and one output are supported, the graph has {len(inputs)} and "
            f"{len(graph.output)}"
        )
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise UserInputError(f"{path}: constant {tensor.name} holds NaN or infinite values")
