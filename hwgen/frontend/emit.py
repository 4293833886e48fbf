"""Builds the integer graph: FINN-ONNX nodes on NHWC tensors, every datatype annotated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnx.helper as helper
from numpy.typing import NDArray
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper

from hwgen.errors import UnsupportedError
from hwgen.quant import IntArray, IntType

Shape = tuple[int, int, int, int]
GENERAL = "qonnx.custom_op.general"
OPSET = 18
MOST_VALUES = 1 << 26  # of a tensor, patches of convolutions included
GENERAL_OPS = ("MultiThreshold", "Im2Col", "XnorPopcountMatMul", "QuantAvgPool2d", "MaxPoolNHWC")


@dataclass(slots=True)
class Emitter:
    """Collects nodes, constants and datatypes; ``model`` closes the graph."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    shapes: dict[str, Shape] = field(default_factory=dict)
    types: dict[str, Any] = field(default_factory=dict)
    constants: dict[str, NDArray[Any]] = field(default_factory=dict)
    source: str = ""
    places: set[str] = field(default_factory=set)
    """Tensors of indices, which ONNX wants as int64."""
    sparse: dict[str, dict[str, dict[str, list[int]]]] = field(default_factory=dict)
    """Matrices of depthwise products, as qonnx annotates them."""

    def input(self, name: str, shape: Shape, dtype: Any) -> str:
        """The graph's only input."""
        self.source, self.shapes[name], self.types[name] = name, shape, dtype
        return name

    def node(
        self, op: str, inputs: list[str], shape: Shape, dtype: Any, **attributes: object
    ) -> str:
        """Append a node with one output; custom operators carry qonnx's domain."""
        if not 0 < math.prod(shape) <= MOST_VALUES:
            raise UnsupportedError(f"a tensor of shape {shape} is empty or too large")
        name = f"{op}_{sum(n.op_type == op for n in self.nodes)}"
        out = f"{name}_out"
        if op in GENERAL_OPS:
            attributes["domain"] = GENERAL
        self.nodes.append(helper.make_node(op, inputs, [out], name=name, **attributes))
        self.shapes[out], self.types[out] = shape, dtype
        return out

    def constant(self, hint: str, value: NDArray[Any], dtype: Any = None) -> str:
        """Add an initializer."""
        name = f"{hint}_{len(self.constants)}"
        self.constants[name] = value
        if dtype is not None:
            self.types[name] = dtype
        return name

    def threshold(
        self, source: str, shape: Shape, thresholds: IntArray, lowest: int, dtype: Any
    ) -> str:
        """MultiThreshold: lowest + sum(x >= T[c])."""
        held = IntType.holding(int(thresholds.min()), int(thresholds.max()))
        matrix = self.constant("thresholds", thresholds.astype(np.float32), _finn(held))
        return self.node(
            "MultiThreshold",
            [source, matrix],
            shape,
            dtype,
            out_dtype=dtype.name,
            out_scale=1.0,
            out_bias=float(lowest),
            data_layout="NHWC",
        )

    def patches(
        self,
        source: str,
        shape: Shape,
        kernel: int,
        stride: int,
        pad: int,
        *,
        depthwise: bool = False,
    ) -> tuple[str, Shape]:
        """Pad with integer 0 (bit 0 means -1) and Im2Col; nothing for a 1x1 kernel of stride 1."""
        source, shape = self.pad(source, shape, pad)
        if kernel == 1 and stride == 1:
            return source, shape
        return self.im2col(source, shape, (kernel, kernel), stride, depthwise=int(depthwise))

    def im2col(
        self, source: str, shape: Shape, kernel: tuple[int, int], stride: int, **attributes: int
    ) -> tuple[str, Shape]:
        """Patches of an image, their taps in the channels."""
        (n, h, w, c), (tall, wide) = shape, kernel
        out = (n, (h - tall) // stride + 1, (w - wide) // stride + 1, tall * wide * c)
        name = self.node(
            "Im2Col",
            [source],
            out,
            self.types[source],
            stride=[stride, stride],
            kernel_size=list(kernel),
            input_shape=str(shape),
            pad_amount=[0, 0, 0, 0],
            dilations=[1, 1],
            **attributes,
        )
        return name, out

    def flatten(self, source: str, shape: Shape) -> tuple[str, Shape]:
        """All pixels' channels as those of one, in the order of the stream: one patch."""
        return self.im2col(source, shape, (shape[1], shape[2]), 1)

    def pad(self, source: str, shape: Shape, pad: int) -> tuple[str, Shape]:
        """Integer 0 around the image."""
        if not pad:
            return source, shape
        n, h, w, c = shape
        shape = (n, h + 2 * pad, w + 2 * pad, c)
        inputs = [
            source,
            self.constant("pads", np.array([pad] * 4, np.int64)),
            self.constant("pad_value", np.zeros((), np.float32)),
            self.constant("axes", np.array([1, 2], np.int64)),
        ]
        return self.node("Pad", inputs, shape, self.types[source], mode="constant"), shape

    def xnor(self, source: str, shape: Shape, bits: IntArray) -> tuple[str, str]:
        """XnorPopcountMatMul with weight bits (K, M); popcounts out."""
        matrix = self.constant("weights", bits.astype(np.float32), DataType["BINARY"])
        dtype = _finn(IntType.holding(0, bits.shape[0]))
        return self.node("XnorPopcountMatMul", [source, matrix], shape, dtype), matrix

    def matmul(self, source: str, shape: Shape, weights: IntArray, bound: int) -> tuple[str, str]:
        """MatMul with integer weights (K, M); sums within ±bound."""
        largest = int(np.abs(weights).max())
        held = _finn(IntType.holding(-max(largest, 1), largest))
        matrix = self.constant("weights", weights.astype(np.float32), held)
        dtype = _finn(IntType.holding(-bound, bound))
        return self.node("MatMul", [source, matrix], shape, dtype), matrix

    def depthwise(
        self, source: str, shape: Shape, weights: IntArray, kernel: int, bound: int
    ) -> tuple[str, str]:
        """MatMul of patches with weights (taps, channels), every channel by its own column.

        FINN and qonnx know it as a sparse matrix (taps * channels, channels).
        """
        taps, channels = weights.shape
        sparse = np.zeros((taps, channels, channels), np.int64)
        sparse[:, np.arange(channels), np.arange(channels)] = weights
        name, matrix = self.matmul(source, shape, sparse.reshape(-1, channels), bound)
        self.sparse[matrix] = {"dw": {"kernel_shape": [kernel, kernel]}}
        return name, matrix

    def negate_columns(self, matrices: Sequence[str], columns: NDArray[np.bool_]) -> None:
        """Negate columns of matrices side by side: the complement of bits, else of the sign."""
        first = 0
        for matrix in matrices:
            values = self.constants[matrix]
            own = columns[first : first + values.shape[-1]]
            binary = self.types[matrix] == DataType["BINARY"]
            self.constants[matrix] = np.where(own, 1 - values if binary else -values, values)
            first += values.shape[-1]

    def add(self, a: str, b: str, shape: Shape, lo: int, hi: int) -> str:
        """Integer sum of two streams."""
        return self.node("Add", [a, b], shape, _finn(IntType.holding(lo, hi)))

    def subtract(self, a: str, b: str, shape: Shape, dtype: Any) -> str:
        """Integer difference of two streams, known to lie in ``dtype``."""
        return self.node("Sub", [a, b], shape, dtype)

    def add_constant(
        self, source: str, shape: Shape, bias: IntArray, lo: int, hi: int
    ) -> tuple[str, str]:
        """Integer bias per channel, or per pixel and channel; also the constant's name."""
        most = int(np.abs(bias).max())
        held = _finn(IntType.holding(-max(most, 1), most))  # either sign: it may be negated
        name = self.constant("bias", bias.astype(np.float32), held)
        return self.node("Add", [source, name], shape, _finn(IntType.holding(lo, hi))), name

    def max_pool(
        self, source: str, shape: Shape, geometry: tuple[int, int, int], lo: int
    ) -> tuple[str, Shape]:
        """Largest of patches (kernel, stride, pad); padding counts as ``lo``, the least value.

        FINN pads with 0, so a padded pool works on x - lo.
        """
        kernel, stride, pad = geometry
        dtype, channels = self.types[source], shape[3]
        offset = np.full(channels, -lo) if pad and lo else None
        if offset is not None:
            source, _ = self.add_constant(source, shape, offset, 0, int(dtype.max()) - lo)
        source, shape = self.pad(source, shape, pad)
        n, h, w, _ = shape
        out = (n, (h - kernel) // stride + 1, (w - kernel) // stride + 1, channels)
        square = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [0] * 4}
        largest = self.node("MaxPoolNHWC", [source], out, self.types[source], **square)
        if offset is not None:
            largest, _ = self.add_constant(largest, out, -offset, lo, int(dtype.max()))
            self.types[largest] = dtype
        return largest, out

    def split(self, source: str, shape: Shape, parts: int) -> tuple[list[str], Shape]:
        """The channels in equal parts."""
        n, h, w, c = shape
        out = (n, h, w, c // parts)
        index = sum(node.op_type == "Split" for node in self.nodes)
        names = [f"Split_{index}_out{i}" for i in range(parts)]
        sizes = self.constant("split", np.full(parts, c // parts, np.int64))
        node = helper.make_node("Split", [source, sizes], names, name=f"Split_{index}", axis=3)
        self.nodes.append(node)
        for name in names:
            self.shapes[name], self.types[name] = out, self.types[source]
        return names, out

    def top_k(self, source: str, shape: Shape, k: int) -> str:
        """Places of the k largest channels of one pixel."""
        count = self.constant("k", np.array([k], np.int64))
        out, values = "TopK_0_out", "TopK_0_values"
        node = helper.make_node("TopK", [source, count], [values, out], name="TopK_0", axis=-1)
        self.nodes.append(node)
        for name in (values, out):
            self.shapes[name] = (*shape[:3], k)
        self.places.add(out)
        self.types[values] = self.types[source]
        self.types[out] = _finn(IntType.holding(0, shape[3] - 1))
        return out

    def average(self, source: str, shape: Shape, kernel: int) -> tuple[str, Shape]:
        """Mean of each square of ``kernel`` x ``kernel`` pixels, rounded down; type unchanged."""
        n, h, w, c = shape
        out, dtype = (n, h // kernel, w // kernel, c), self.types[source]
        name = self.node(
            "QuantAvgPool2d",
            [source],
            out,
            dtype,
            kernel=kernel,
            stride=kernel,
            ibits=dtype.bitwidth(),
            obits=dtype.bitwidth(),
            signed=int(dtype.signed()),
            data_layout="NHWC",
        )
        return name, out

    def concat(self, sources: list[str], shape: Shape, lo: int, hi: int) -> str:
        """The channels of several streams, one after another."""
        return self.node("Concat", sources, shape, _finn(IntType.holding(lo, hi)), axis=3)

    def global_sum(self, source: str, shape: Shape, lo: int, hi: int) -> tuple[str, Shape]:
        """Sum over all pixels."""
        out = (shape[0], 1, 1, shape[3])
        axes = self.constant("axes", np.array([1, 2], np.int64))
        dtype = _finn(IntType.holding(lo, hi))
        return self.node("ReduceSum", [source, axes], out, dtype, keepdims=1), out

    def model(self, output: str) -> ModelWrapper:
        """The finished graph."""
        values = {
            name: helper.make_tensor_value_info(
                name,
                onnx.TensorProto.INT64 if name in self.places else onnx.TensorProto.FLOAT,
                shape,
            )
            for name, shape in self.shapes.items()
        }
        graph = helper.make_graph(
            self.nodes, "hwgen_integer", [values.pop(self.source)], [values.pop(output)]
        )
        graph.value_info.extend(values.values())
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(GENERAL, 1)]
        model = ModelWrapper(helper.make_model(graph, opset_imports=opsets, producer_name="hwgen"))
        for name, value in self.constants.items():
            model.set_initializer(name, np.asarray(value))
        for name, dtype in self.types.items():
            model.set_tensor_datatype(name, dtype)
        for name, sparsity in self.sparse.items():
            model.set_tensor_sparsity(name, sparsity)
        for name in self.shapes:
            model.set_tensor_layout(name, ["N", "H", "W", "C"])
        return model


def _finn(dtype: IntType) -> Any:
    return DataType["BINARY"] if dtype == IntType(1) else DataType[str(dtype)]
