"""The integer graph as FINN hardware layers, by FINN's own transformations, each one checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from finn.transformation.fpgadataflow.convert_to_hw.binary_matrix_vector_activation import (
    InferBinaryMatrixVectorActivation,
)
from finn.transformation.fpgadataflow.convert_to_hw.concat import InferConcatLayer
from finn.transformation.fpgadataflow.convert_to_hw.conv_inp_gen import InferConvInpGen
from finn.transformation.fpgadataflow.convert_to_hw.duplicate_streams import (
    InferDuplicateStreamsLayer,
)
from finn.transformation.fpgadataflow.convert_to_hw.elementwise_binary_operation import (
    InferElementwiseBinaryOperation,
)
from finn.transformation.fpgadataflow.convert_to_hw.fm_padding import InferFMPadding
from finn.transformation.fpgadataflow.convert_to_hw.label_select import InferLabelSelectLayer
from finn.transformation.fpgadataflow.convert_to_hw.pool import InferPool
from finn.transformation.fpgadataflow.convert_to_hw.quantized_matrix_vector_activation import (
    InferQuantizedMatrixVectorActivation,
)
from finn.transformation.fpgadataflow.convert_to_hw.split import InferSplitLayer
from finn.transformation.fpgadataflow.convert_to_hw.thresholding import InferThresholdingLayer
from finn.transformation.fpgadataflow.convert_to_hw.vector_vector_activation import (
    InferVectorVectorActivation,
)
from onnx import NodeProto, helper
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.custom_op.registry import getCustomOp
from qonnx.transformation.base import Transformation
from qonnx.transformation.general import GiveReadableTensorNames, GiveUniqueNodeNames
from qonnx.transformation.infer_datatypes import InferDataTypes

from hwgen.errors import UnsupportedError
from hwgen.quant import IntType

FPGADATAFLOW = "finn.custom_op.fpgadataflow"


@dataclass(frozen=True, slots=True)
class Step:
    """A named transformation of the model; ``renames`` says that tensors change their names."""

    name: str
    apply: Callable[[ModelWrapper], ModelWrapper]
    renames: bool = False


def steps(streamlined: ModelWrapper) -> Iterator[Step]:
    """The transformations in the only order that works; the graph stays executable throughout."""
    transformations: tuple[Transformation, ...] = (
        InferGlobalSum(),
        InferFMPadding(),
        InferElementwiseBinaryOperation(InferElementwiseBinaryOperation.reject_output_dequant),
        InferThresholdingLayer(),  # before the MVAUs, so that thresholds stay layers of their own
        InferBinaryMatrixVectorActivation(),
        InferVectorVectorActivation(),
        InferQuantizedMatrixVectorActivation(),
        InferPool(),  # to Im2Col and Pool
        InferConvInpGen(),
        InferConcatLayer(),
        InferSplitLayer(),
        InferLabelSelectLayer(),
        InferDuplicateStreamsLayer(),
        MinimizeWeights(),
        MinimizeAccumulators(streamlined),
        InferDataTypes(),
        GiveUniqueNodeNames(),
        GiveReadableTensorNames(),
    )
    for transformation in transformations:
        renames = isinstance(transformation, GiveUniqueNodeNames | GiveReadableTensorNames)
        yield Step(type(transformation).__name__, _applying(transformation), renames)


def _applying(transformation: Transformation) -> Callable[[ModelWrapper], ModelWrapper]:
    def apply(model: ModelWrapper) -> ModelWrapper:
        return model.transform(transformation)

    return apply


def require_hardware(model: ModelWrapper) -> None:
    """Raise ``UnsupportedError`` unless every node is a FINN hardware layer."""
    left = [n for n in model.graph.node if not n.domain.startswith(FPGADATAFLOW)]
    if left:
        listed = ", ".join(f"{n.op_type} (node {n.name})" for n in left)
        raise UnsupportedError(f"FINN has no hardware layer for: {listed}")


class InferGlobalSum(Transformation):  # type: ignore[misc]
    """ReduceSum over the image to GlobalAccPool.

    FINN infers that layer from GlobalAveragePool alone, and then appends a float Mul; here the
    division has gone into the scale already.
    """

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        """Replace every node in place."""
        for index, node in enumerate(model.graph.node):
            if node.op_type != "ReduceSum":
                continue
            shape = model.get_tensor_shape(node.input[0])
            pool = helper.make_node(
                "GlobalAccPool",
                [node.input[0]],
                [node.output[0]],
                name=node.name,
                domain=FPGADATAFLOW,
                backend="fpgadataflow",
                NumChannels=int(shape[-1]),
                PE=1,
                inputDataType=model.get_tensor_datatype(node.input[0]).name,
                numInputVectors=[int(n) for n in shape[:-1]],
            )
            model.graph.node.insert(index, pool)
            model.graph.node.remove(node)
        return model, False


class MinimizeWeights(Transformation):  # type: ignore[misc]
    """FINN's MinimizeWeightBitWidth, but thresholds and added constants get types of ours.

    For thresholds -1 and 0 FINN finds BIPOLAR, and it looks at every threshold in Python. To added
    constants up to +4 it gives INT3, which ends at +3: these keep the types that they have.
    """

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        """Set the weight type of every node that has weights or thresholds."""
        for node in model.graph.node:
            op = getCustomOp(node)
            if node.op_type == "Thresholding":
                thresholds = model.get_initializer(node.input[1])
                # FINN compares by type: a signed input has signed thresholds, of two bits at least
                lowest = -2 if model.get_tensor_datatype(node.input[0]).signed() else 0
                lowest = min(int(thresholds.min()), lowest)
                held = DataType[str(IntType.holding(lowest, int(thresholds.max())))]
                op.set_nodeattr("weightDataType", held.name)
                model.set_tensor_datatype(node.input[1], held)
            elif node.op_type != "ElementwiseAdd" and hasattr(op, "minimize_weight_bit_width"):
                op.minimize_weight_bit_width(model)
        return model, False


class MinimizeAccumulators(Transformation):  # type: ignore[misc]
    """FINN's MinimizeAccumulatorWidth in one pass, with types of ours where FINN's are wrong.

    XNOR MVAUs get the type of their popcounts, 0..K: FINN takes the range of {0, 1} by {-1, +1},
    which is too small (K = 8 gives INT4). Sums with constants and differences keep the types that
    streamlining found, where FINN has no more than their operands' types: a popcount with what zero
    padding adds stays within 0..K, an offset that a pool is given is taken off again, and the
    difference of two staircases lies in the range of the function they make.
    """

    def __init__(self, streamlined: ModelWrapper) -> None:
        super().__init__()
        self.types = {
            node.output[0]: streamlined.get_tensor_datatype(node.output[0]).name
            for node in streamlined.graph.node
            if node.op_type == "Sub" or adds_constant(streamlined, node)
        }
        self.pools = {
            node.output[0]: before
            for node in streamlined.graph.node
            if (before := offset_pool(streamlined, node)) is not None
        }

    def apply(self, model: ModelWrapper) -> tuple[ModelWrapper, bool]:
        """Set types of inputs, accumulators and outputs from the first node to the last."""
        for node in model.graph.node:
            op = getCustomOp(node)
            op.infer_node_datatype(model)
            if node.op_type == "MVAU" and op.get_nodeattr("binaryXnorMode"):
                popcount = str(IntType.holding(0, op.get_nodeattr("MW")))
                op.set_nodeattr("accDataType", popcount)
                op.set_nodeattr("outputDataType", popcount)
            elif node.op_type.startswith("Elementwise") and node.output[0] in self.pools:
                before = self.pools[node.output[0]]  # the type that its input has now
                op.set_nodeattr("out_dtype", model.get_tensor_datatype(before).name)
            elif node.op_type.startswith("Elementwise") and node.output[0] in self.types:
                op.set_nodeattr("out_dtype", self.types[node.output[0]])
            elif hasattr(op, "minimize_accumulator_width") and not only_zeros(model, node):
                op.minimize_accumulator_width(model)
            op.infer_node_datatype(model)
        return model, False


def adds_constant(model: ModelWrapper, node: NodeProto) -> bool:
    """Whether it does, and not as a bias that goes into its product, whose type is FINN's."""
    if node.op_type != "Add" or model.get_initializer(node.input[1]) is None:
        return False
    producer = model.find_producer(node.input[0])
    return producer is None or producer.op_type != "MatMul"


def offset_pool(model: ModelWrapper, node: NodeProto) -> str | None:
    """What a padded pool reads before an offset, if ``node`` is the Add that takes it off."""
    found, ops = node, []
    for op in ("Add", "MaxPoolNHWC", "Pad", "Add"):
        if found is None or found.op_type != op:
            return None
        ops.append(found)
        found = model.find_producer(found.input[0])
    return str(ops[-1].input[0])


def only_zeros(model: ModelWrapper, node: NodeProto) -> bool:
    """Whether all weights are 0, of which FINN finds no type for the sums."""
    weights = model.get_initializer(node.input[1]) if len(node.input) > 1 else None
    return weights is not None and not np.any(weights)
