"""``hwgen check``: everything in the way at once, nothing that is not, and never another verdict
than a build's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from hwgen.board import load_board
from hwgen.errors import HwgenError, ResourceError
from hwgen.folding import fastest
from hwgen.frontend.importer import import_model
from hwgen.frontend.survey import survey
from hwgen.preflight import Preflight, fit
from tests.frontend.test_family import binary_network, pooled_network, sloped_network
from tests.qonnx_models import ModelBuilder, reactnet, reducing_reactnet

Edit = Callable[[ModelBuilder], None]


def of(builder: ModelBuilder, op: str, index: int = 0) -> onnx.NodeProto:
    return [node for node in builder.nodes if node.op_type == op][index]


def attribute(node: onnx.NodeProto, name: str, value: object) -> None:
    kept = [a for a in node.attribute if a.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, value)])


def set_constant(builder: ModelBuilder, name: str, value: object) -> None:
    builder.constants[name] = np.asarray(value, np.float32)


def behind(builder: ModelBuilder, op: str, new: str) -> None:
    """Insert an operator behind the first ``op``."""
    node = of(builder, op)
    old, node.output[0] = node.output[0], "inserted"
    foreign = helper.make_node(new, ["inserted"], [old], name="foreign")
    builder.nodes.insert(builder.nodes.index(node) + 1, foreign)


def zero_input_scale(builder: ModelBuilder) -> None:
    set_constant(builder, builder.nodes[0].input[1], 0)


def zero_weight_scale(builder: ModelBuilder) -> None:
    set_constant(builder, of(builder, "Quant", 1).input[1], 0)


def wide_quant(builder: ModelBuilder) -> None:
    set_constant(builder, of(builder, "Quant", 2).input[3], 40)


def other_residual_scale(builder: ModelBuilder) -> None:
    set_constant(builder, of(builder, "Quant", 3).input[1], 0.5)


def per_channel_activation(builder: ModelBuilder) -> None:
    set_constant(builder, of(builder, "Quant", 2).input[1], np.full((1, 4, 1, 1), 0.125))


def scaled_gemm(builder: ModelBuilder) -> None:
    attribute(of(builder, "Gemm"), "alpha", 2.0)


def many_groups(builder: ModelBuilder) -> None:
    attribute(of(builder, "Conv", 1), "group", 33)


def padded_with_one(builder: ModelBuilder) -> None:
    set_constant(builder, of(builder, "Pad").input[2], 0.5)


def softmax(builder: ModelBuilder) -> None:
    builder.here = builder.node("Softmax", builder.here)


def softplus(builder: ModelBuilder) -> None:
    behind(builder, "BatchNormalization", "Softplus")


def foreign_operator(builder: ModelBuilder) -> None:
    behind(builder, "BatchNormalization", "MyOwn")


def dividing_variance(builder: ModelBuilder) -> None:
    name = of(builder, "BatchNormalization").input[4]
    set_constant(builder, name, -np.abs(builder.constants[name]))


DEFECTS: dict[Edit, str] = {
    zero_input_scale: "not a positive number",
    zero_weight_scale: "not a positive number",
    wide_quant: "bit width of 40",
    other_residual_scale: "branches have scales",
    per_channel_activation: "one scale for all channels",
    scaled_gemm: "alpha",
    many_groups: "33 groups",
    padded_with_one: "third value",
    softmax: "not supported",
    softplus: "not supported",
    foreign_operator: "not supported",
    dividing_variance: "NaN",
}
SOUND: tuple[Callable[[], ModelBuilder], ...] = (
    lambda: reactnet(0),
    lambda: reactnet(3, bits=8, dyadic=True),
    lambda: reducing_reactnet(5, [(2, True)]),
    lambda: reducing_reactnet(3, [(1, True), (2, True), (1, False)], bits=3),
    lambda: binary_network((2, 4, 8), 3, 2),
    lambda: binary_network((1, 4, 8), 3, width=4, groups=2),
    lambda: binary_network((1, 8, 4), 3, explicit=True),
    lambda: pooled_network((3, 2, 1)),
    lambda: pooled_network((2, 2, 0), signed=False),
    lambda: sloped_network(1, 4, head=True),
    lambda: binary_network((1, 4, 4), 3, width=3),
)
UNSOUND: tuple[Callable[[], ModelBuilder], ...] = (
    lambda: binary_network((1, 4, 4), 1, width=34, groups=17),
    lambda: pooled_network((3, 2, 1), kernel_shape=[3, 2]),
    lambda: pooled_network((3, 2, 1), ceil_mode=1),
    lambda: pooled_network((3, 2, 1), dilations=[2, 2]),
    lambda: sloped_network(0, 13, head=True),
)


def surveyed(builder: ModelBuilder, folder: Path) -> tuple[Preflight, Path]:
    path = builder.save(folder / "m.onnx")
    return survey(path)[0], path


def refusal(path: Path) -> str:
    """What a build's import says; nothing if it accepts the file."""
    try:
        import_model(path, None, count=1)
    except HwgenError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("make", SOUND)
def test_what_passes_is_built_of_the_same_layers(
    tmp_path: Path, make: Callable[[], ModelBuilder]
) -> None:
    path = make().save(tmp_path / "m.onnx")
    found, foretold = survey(path)
    assert found.ok
    assert foretold is not None
    built = import_model(path, None, count=1).graph

    def kinds(graph: object) -> list[tuple[str, object]]:
        return sorted((type(x).__name__, x.outputs[0].shape) for x in graph.layers)  # type: ignore[attr-defined]

    assert kinds(foretold) == kinds(built)
    macs = sum(row.binary_macs for row in found.rows)
    weights = [x for x in built.layers if type(x).__name__ == "XnorMvau"]
    assert macs == sum(x.weights.size * x.output.pixels for x in weights)


@pytest.mark.parametrize("make", UNSOUND)
def test_what_cannot_be_built_fails_alike(tmp_path: Path, make: Callable[[], ModelBuilder]) -> None:
    found, path = surveyed(make(), tmp_path)
    assert [p.reason for p in found.problems]
    assert found.problems[0].reason in refusal(path)


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda d: d.__name__)
def test_a_single_defect_is_a_single_problem_and_a_refused_build(
    tmp_path: Path, defect: Edit
) -> None:
    builder = reactnet(0)
    defect(builder)
    found, path = surveyed(builder, tmp_path)
    (problem,) = found.problems
    assert DEFECTS[defect] in problem.reason
    assert problem.remedy
    assert problem.reason in refusal(path) or "unsupported operator" in refusal(path)


def test_every_problem_is_listed_at_once(tmp_path: Path) -> None:
    defects = (many_groups, softplus, scaled_gemm, softmax, zero_weight_scale)
    builder = reactnet(0)
    for defect in defects:
        defect(builder)
    found, path = surveyed(builder, tmp_path)
    text = " | ".join(f"{p.operator}: {p.reason}" for p in found.problems)
    assert len(found.problems) == len(defects), text
    for word in ("33 groups", "Softplus", "alpha", "Softmax", "positive number"):
        assert word in text
    assert {p.source for p in found.problems} >= {"foreign", "conv_9"}
    assert refusal(path)


def test_a_network_without_quantisers_is_told_what_to_do(tmp_path: Path) -> None:
    builder = ModelBuilder(shape=(2, 1, 1))
    builder.here = builder.node("Relu", builder.here)
    found, path = surveyed(builder, tmp_path)
    assert any("no quantisers" in p.reason and "Brevitas" in p.remedy for p in found.problems)
    assert "no quantisers" in refusal(path)


def hazards(builder: ModelBuilder, folder: Path) -> list[str]:
    return [hazard.kind for hazard in surveyed(builder, folder)[0].hazards]


def test_zero_padding_of_bits_is_noted_once(tmp_path: Path) -> None:
    assert hazards(binary_network((2, 4, 8), 3), tmp_path).count("zero_padding") == 1
    assert "zero_padding" not in hazards(reactnet(0), tmp_path)


def test_negative_slopes_are_noted_even_where_they_do_no_harm(tmp_path: Path) -> None:
    builder = reactnet(0)
    name = of(builder, "PRelu").input[1]
    set_constant(builder, name, np.full_like(builder.constants[name], -1e-6))
    found, path = surveyed(builder, tmp_path)
    assert "negative_slope" in [h.kind for h in found.hazards]
    assert found.ok == (refusal(path) == "")


def thresholds_at(offset: float) -> ModelBuilder:
    """Residual integers times 1/3 plus an offset, quantised on a grid of 1."""
    builder = ModelBuilder(1, shape=(1, 4, 4))
    builder.stem(2)
    third = builder.node("Mul", builder.here, builder.const(8 / 3))
    shifted = builder.node("Add", third, builder.const(offset))
    builder.here = builder.quant(shifted, 4, 1.0)
    builder.head(2)
    return builder


def test_thresholds_that_hang_on_float_rounding_are_noted(tmp_path: Path) -> None:
    near = hazards(thresholds_at(0.5 - 1 / 3 + 1e-7), tmp_path)
    assert "near_float_precision" in near
    builder = thresholds_at(0.1)
    assert not [h for h in surveyed(builder, tmp_path)[0].hazards if h.node == "Quant_4"]


def test_accumulators_past_float_precision_are_named(tmp_path: Path) -> None:
    builder = ModelBuilder(1, shape=(8, 16, 16))
    builder.stem(2)
    weights = builder.quant(builder.const(np.full((2, 2, 3, 3), 100.0)), 16, 2**-7)
    wide = builder.quant(builder.here, 16, 2**-12)
    builder.here = builder.node("Conv", wide, weights, kernel_shape=[3, 3], pads=[1] * 4)
    builder.here = builder.quant(builder.here, 4, 1.0)
    builder.head(2)
    found, path = surveyed(builder, tmp_path)
    wide_ones = [p for p in found.problems if "2**24" in p.reason]
    noted = [h for h in found.hazards if h.kind == "wide_accumulator"]
    assert wide_ones or noted
    assert bool(wide_ones) == bool(refusal(path))


def test_fit_agrees_with_a_build(tmp_path: Path) -> None:
    path = reactnet(0).save(tmp_path / "m.onnx")
    graph = survey(path)[1]
    assert graph is not None
    board = load_board("pynq-z2")
    assert fit(graph, board).fits
    assert fastest(import_model(path, None, count=1).graph, board)
    capacity = board.resources.model_copy(update={"LUT": 300})
    small = board.model_copy(update={"resources": capacity})
    found = fit(graph, small)
    assert not found.fits
    assert found.short[0].startswith("LUT")
    with pytest.raises(ResourceError):
        fastest(import_model(path, None, count=1).graph, small)


def test_json_has_stable_keys(tmp_path: Path) -> None:
    builder = reactnet(0)
    scaled_gemm(builder)
    found = json.loads(json.dumps(surveyed(builder, tmp_path)[0].to_json()))
    assert set(found) == {
        "model", "ok", "layers", "absorbed", "problems", "hazards", "fit", "totals"
    }  # fmt: skip
    assert set(found["layers"][0]) == {
        "name", "source", "operator", "becomes", "shape", "input", "weights", "output",
        "binary_macs", "integer_macs",
    }  # fmt: skip
    assert set(found["problems"][0]) == {"node", "source", "operator", "reason", "remedy"}
    assert not found["ok"]
