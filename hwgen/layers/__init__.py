"""The registry of layer kinds."""

from __future__ import annotations

from hwgen.errors import UnsupportedError
from hwgen.layers.add import Add
from hwgen.layers.base import FinnNode, Layer
from hwgen.layers.border_bias import BorderBias
from hwgen.layers.concat import Concat
from hwgen.layers.depthwise import Depthwise
from hwgen.layers.flatten import Flatten
from hwgen.layers.fork import Fork
from hwgen.layers.global_sum import GlobalSum
from hwgen.layers.max_pool import MaxPool
from hwgen.layers.mvau import IntMvau, XnorMvau
from hwgen.layers.pool import AveragePool
from hwgen.layers.split import Split
from hwgen.layers.subtract import Subtract
from hwgen.layers.threshold import Threshold
from hwgen.layers.top_k import TopK
from hwgen.layers.width_converter import WidthConverter
from hwgen.layers.window import Window

__all__ = [
    "FROM_FINN",
    "KINDS",
    "Add",
    "AveragePool",
    "BorderBias",
    "Concat",
    "Depthwise",
    "FinnNode",
    "Flatten",
    "Fork",
    "GlobalSum",
    "IntMvau",
    "Layer",
    "MaxPool",
    "Split",
    "Subtract",
    "Threshold",
    "TopK",
    "WidthConverter",
    "Window",
    "XnorMvau",
    "from_finn",
]

KINDS: tuple[type[Layer], ...] = (
    Add,
    AveragePool,
    BorderBias,
    Concat,
    Depthwise,
    Flatten,
    Fork,
    GlobalSum,
    IntMvau,
    MaxPool,
    Split,
    Subtract,
    Threshold,
    TopK,
    WidthConverter,
    Window,
    XnorMvau,
)

FROM_FINN: dict[str, type[Layer]] = {op: kind for kind in KINDS for op in kind.finn_ops}


def from_finn(node: FinnNode) -> Layer:
    """Turn a FINN hardware layer into ours, or raise ``UnsupportedError`` that names the node."""
    op_type = _kind(node)
    if op_type not in FROM_FINN:
        raise UnsupportedError(
            f"node {node.name}: FINN layer {node.op_type} has no kernel here; "
            f"supported: {', '.join(sorted(FROM_FINN))}"
        )
    return FROM_FINN[op_type].from_finn(node)


def _kind(node: FinnNode) -> str:
    """The operator, told apart where one FINN operator is several of our kinds."""
    if node.op_type == "MVAU" and node.attributes.get("binaryXnorMode"):
        return "MVAU:xnor"
    if node.op_type == "Pool" and node.attributes.get("Function") == "MaxPool":
        return "Pool:max"
    if node.op_type == "ConvolutionInputGenerator" and Flatten.is_flatten(node):
        return "ConvolutionInputGenerator:image"
    if node.op_type == "ElementwiseAdd" and node.constants:
        return "ElementwiseAdd:constant"
    return node.op_type
