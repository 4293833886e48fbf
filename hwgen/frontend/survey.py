"""The walk of streamline.py in a collecting mode: everything in the way at once.

The handlers are those of a build, so that check and build cannot disagree. Where one fails, its
node's outputs become unknown. Nodes behind it are visited with guesses in place of what is unknown,
and a failure counts only if every guess gives the same one. A quantiser ends the unknown: what it
makes follows from its own scale and bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from qonnx.core.modelwrapper import ModelWrapper

from hwgen.errors import HwgenError
from hwgen.frontend import hazards
from hwgen.frontend.load import QUANTISERS, clean_up, read, refusals, supported
from hwgen.frontend.preview import preview
from hwgen.frontend.quantisers import Quantisers
from hwgen.frontend.remedies import explain
from hwgen.frontend.streamline import Handler, streamline, strictly
from hwgen.frontend.values import Grid, Stream, Walk, Weights, datatype
from hwgen.preflight import Hazard, Preflight, Problem, Row
from hwgen.quant import BINARY, IntType, QuantGraph


def survey(path: Path) -> tuple[Preflight, QuantGraph | None]:
    """Walk a QONNX file without building anything; also its layers, if all can be built.

    The layers are those of a build, but that FINN may still narrow types. Raises
    ``UserInputError`` for a file that is no sound ONNX model at all.
    """
    proto = read(path)
    found = [explain(None, str(error)) for error in refusals(path, proto)]
    found = [p for p in found if "unsupported operator" not in p.reason]  # by node, below
    for node in proto.graph.node:
        node.doc_string = node.name or node.output[0]  # cleaning up renames
    collector = _Collector(found)
    graph = None
    foreign = [n for n in proto.graph.node if not supported(n)]
    alone = [explain(n, "the operator is not supported") for n in foreign]
    if any("one input and one output" in problem.reason for problem in found):
        return Preflight(str(path), (), 0, (*found, *alone), ()), None
    try:
        model = clean_up(path, proto)
    except HwgenError as error:  # perhaps because of operators whose shapes nobody knows
        if not foreign:
            raise
        found += [*alone, explain(None, str(error))]
    else:
        graph = collector.run(model, path.stem)
    listed = tuple(collector.hazards)
    rows = tuple(collector.rows)
    result = Preflight(str(path), rows, collector.absorbed, tuple(found), listed)
    return result, graph


GUESSES = ((IntType(2), 1.0), (IntType(3, True), 0.125), (BINARY, 1.0))  # of an unknown tensor
PRODUCTS = ("XnorPopcountMatMul", "MatMul")
NAMES = {
    "XnorPopcountMatMul": "xnor",
    "MatMul": "product",
    "Im2Col": "window",
    "Pad": "pad",
    "MultiThreshold": "thresholds",
    "QuantAvgPool2d": "average pool",
    "Add": "add",
    "Sub": "difference",
    "Concat": "concat",
    "Split": "split",
    "MaxPoolNHWC": "max pool",
    "ReduceSum": "global sum",
}


@dataclass
class _Collector:
    """What the visits found."""

    problems: list[Problem]
    rows: list[Row] = field(default_factory=list)
    hazards: list[Hazard] = field(default_factory=list)
    absorbed: int = 0
    unknown: set[str] = field(default_factory=set)
    emitted: bool = False

    def run(self, model: ModelWrapper, name: str) -> QuantGraph | None:
        """Visit every node; the layers where nothing is in the way."""
        try:
            integer = streamline(model, visit=self.visit)
            layers = preview(integer, name) if not self.problems else None
        except HwgenError as error:
            output = model.graph.output[0].name
            if output not in self.unknown and (self.emitted or not self.problems):
                self.problems.append(explain(None, str(error)))
            return None
        self.hazards += hazards.of_types(integer.model)
        return layers

    def visit(self, walk: Walk, node: onnx.NodeProto, handler: Handler) -> None:
        """One node: as a build would, or with guesses."""
        self.hazards += hazards.of_node(walk, node)
        doubtful = [name for name in node.input if name in self.unknown]
        first = len(walk.emit.nodes)
        failure = (
            _agreed(walk, node, handler, doubtful)
            if doubtful
            else _failure(lambda: strictly(walk, node, handler))
        )
        if failure is not None:
            self.problems.append(explain(node, str(failure)))
        if doubtful or failure is not None:
            self.recover(walk, node)
            return
        self.emitted |= bool(walk.emit.nodes)
        row = row_of(walk, node, first)
        self.hazards += hazards.of_result(walk, node, first)
        if row is None:
            self.absorbed += 1
        else:
            self.rows.append(row)

    def recover(self, walk: Walk, node: onnx.NodeProto) -> None:
        """Go on behind a node that failed or reads what is unknown."""
        for name in filter(None, node.output):
            walk.streams.pop(name, None)
            known = _of_quantiser(walk, node)
            if known is None:
                self.unknown.add(name)
            else:
                walk.streams[name] = known


def _failure(call: Callable[[], object]) -> HwgenError | None:
    try:
        call()
    except HwgenError as error:
        return error
    return None


def _agreed(
    walk: Walk, node: onnx.NodeProto, handler: Handler, doubtful: Iterable[str]
) -> HwgenError | None:
    """The failure that every guess of the unknown inputs ends in, if there is one."""
    assert isinstance(walk, Quantisers)
    if node.op_type in QUANTISERS:
        return _failure(lambda: walk.target(node))
    failures = []
    for dtype, scale in GUESSES:
        guessed = [_guess(walk, name, dtype, scale) for name in doubtful]
        failures.append(_failure(lambda: strictly(walk, node, handler)) if all(guessed) else None)
        for name in doubtful:
            walk.streams.pop(name, None)
            walk.weights.pop(name, None)
    return failures[0] if len({str(failure) for failure in failures}) == 1 else None


def _guess(walk: Walk, name: str, dtype: IntType, scale: float) -> bool:
    """Put something of the right shape in the place of an unknown tensor, if that is known."""
    shape, producer = walk.model.get_tensor_shape(name), walk.model.find_producer(name)
    grid = np.full(1, scale, np.float32)
    if producer is not None and walk.constant(producer.input[0]) is not None:
        ones = np.ones(walk.model.get_tensor_shape(producer.input[0]) or (1,), np.int64)
        walk.weights[name] = Weights(ones, grid)
        return True
    nhwc = _nhwc(shape)
    if nhwc is None:
        return False
    walk.streams[name] = _placed(walk, f"guess_{name}", nhwc, dtype, grid)
    return True


def _of_quantiser(walk: Walk, node: onnx.NodeProto) -> Stream | None:
    """What a quantiser of a stream makes, whatever it reads; None where that is unknown too."""
    assert isinstance(walk, Quantisers)
    nhwc = _nhwc(walk.model.get_tensor_shape(node.output[0]))
    if node.op_type not in QUANTISERS or walk.constant(node.input[0]) is not None or nhwc is None:
        return None
    try:
        target = walk.target(node)
    except HwgenError:
        return None
    if target.scale.size != 1:
        return None
    scale = target.scale.reshape(-1)
    placed = _placed(walk, f"behind_{node.name}", nhwc, target.dtype, scale)
    lo, hi = target.limits
    return replace(placed, lo=lo, hi=hi, source=node.output[0])


def _placed(
    walk: Walk,
    name: str,
    nhwc: tuple[int, int, int, int],
    dtype: IntType,
    scale: NDArray[np.float32],
) -> Stream:
    """A stream that comes from nowhere, on the grid of a quantiser."""
    walk.emit.shapes[name], walk.emit.types[name] = nhwc, datatype(dtype)
    walk.emit.source = walk.emit.source or name
    binary = dtype == BINARY
    grid = Grid(scale, gain=2, base=-1) if binary else Grid(scale)
    return Stream(name, nhwc, dtype.lo, dtype.hi, grid, binary=binary)


def _nhwc(shape: Sequence[int] | None) -> tuple[int, int, int, int] | None:
    """(N, H, W, C) of (N, C, H, W) or (N, C)."""
    if shape is None or len(shape) not in (2, 4):
        return None
    h, w = (shape[2], shape[3]) if len(shape) == 4 else (1, 1)
    return int(shape[0]), int(h), int(w), int(shape[1])


def row_of(walk: Walk, node: onnx.NodeProto, first: int) -> Row | None:
    """The row of a node by what it emitted, from index ``first`` on; None if nothing."""
    made = walk.emit.nodes[first:]
    name = next((n for n in node.output if n in walk.streams), "")
    if not made and (node.op_type not in QUANTISERS or not name):
        return None
    shapes, types = walk.emit.shapes, walk.emit.types
    weights, macs, binary = "", 0, False
    for product in made:
        if product.op_type in PRODUCTS:
            k, channels = walk.emit.constants[product.input[1]].shape
            k = k // channels if product.input[1] in walk.emit.sparse else k
            macs += math.prod(shapes[product.output[0]]) * k
            weights, binary = types[product.input[1]].name, product.op_type == PRODUCTS[0]
    stream = walk.streams[name]
    return Row(
        name=node.name,
        source=node.doc_string,
        operator=node.op_type,
        becomes=" + ".join(dict.fromkeys(NAMES.get(n.op_type, n.op_type) for n in made)) or "input",
        shape=stream.shape[1:],
        input=types[made[0].input[0]].name if made else "",
        weights=weights,
        output=types[stream.name].name,
        binary_macs=macs if binary else 0,
        integer_macs=0 if binary else macs,
    )
