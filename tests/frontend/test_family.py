"""What the ReActNet family needs of the frontend: zero padding, groups, max pool, top-k."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.transformation.infer_shapes import InferShapes

from hwgen.engine import chosen, interpret
from hwgen.errors import UnsupportedError, UserInputError
from hwgen.frontend.importer import Imported, import_model
from hwgen.layers import (
    BorderBias,
    Concat,
    Fork,
    MaxPool,
    Split,
    Subtract,
    Threshold,
    TopK,
    XnorMvau,
)
from hwgen.layers.subtract import require_fitting
from hwgen.quant import IntType, QuantGraph, Scaling, Tensor, quantise_input
from tests.qonnx_models import ModelBuilder


def images_of(builder: ModelBuilder, count: int = 4) -> np.ndarray:
    shape = (count, *builder.shape)
    return np.random.default_rng(9).uniform(0, 1, shape).astype(np.float32)


def of_qonnx(path: Path, images: np.ndarray) -> np.ndarray:
    model = ModelWrapper(str(path)).transform(InferShapes())
    name = model.graph.output[0].name
    return np.concatenate([execute_onnx(model, {"images": x[None]})[name] for x in images])


def of_ours(graph: QuantGraph, images: np.ndarray) -> np.ndarray:
    out = interpret(graph, quantise_input(graph, images), keep=False)[graph.output.name]
    return out.reshape(len(images), -1) * graph.scaling.output_scale


def kinds(graph: QuantGraph, kind: type) -> list:
    return [layer for layer in graph.layers if isinstance(layer, kind)]


def imported_exactly(builder: ModelBuilder, folder: Path, **options: int) -> Imported:
    path = builder.save(folder / "model.onnx")
    images = images_of(builder)
    imported = import_model(path, images, count=2, **options)
    np.testing.assert_array_equal(of_ours(imported.graph, images), of_qonnx(path, images))
    return imported


def binary_network(
    shape: tuple[int, int, int],
    kernel: int,
    stride: int = 1,
    *,
    width: int = 4,
    groups: int = 1,
    explicit: bool = False,
) -> ModelBuilder:
    """Stem, sign, one zero-padded binary convolution, BN with gammas of both signs, head."""
    builder = ModelBuilder(3, shape=shape)
    builder.stem(width)
    x, pad = builder.bipolar(builder.here), kernel // 2
    pads = [pad] * 4
    if explicit:
        builder.constants["amounts"] = np.array([0, 0, pad, pad, 0, 0, pad, pad], np.int64)
        x, pads = builder.node("Pad", x, "amounts", builder.const(0.0), mode="constant"), [0] * 4
    weights = builder.const(builder.rng.uniform(-1, 1, (6, width // groups, kernel, kernel)))
    scales = builder.rng.uniform(0.1, 1, (6, 1, 1, 1))
    builder.here = builder.node(
        "Conv",
        x,
        builder.bipolar(weights, scales),
        kernel_shape=[kernel, kernel],
        pads=pads,
        strides=[stride, stride],
        group=groups,
    )
    builder.channels = 6
    builder.batch_norm((kernel**2 * width) ** 0.5)
    builder.here = builder.quant(builder.here, 4, 2**-2)
    h, w = ((n - 1) // stride + 1 for n in shape[1:])
    builder.pixels = h * w
    builder.head(3, 2**-2)
    return builder


@pytest.mark.parametrize(
    ("shape", "kernel", "stride", "explicit"),
    [
        ((1, 8, 4), 3, 1, False),
        ((1, 8, 4), 3, 1, True),
        ((2, 4, 8), 3, 2, False),
        ((1, 2, 2), 3, 1, False),
        ((1, 1, 1), 3, 1, False),
        ((1, 1, 4), 5, 1, False),
        ((1, 8, 8), 5, 2, False),
        ((2, 16, 2), 7, 2, False),
    ],
)
def test_zero_padded_binary_convolutions_are_exact(
    tmp_path: Path, shape: tuple[int, int, int], kernel: int, stride: int, explicit: bool
) -> None:
    builder = binary_network(shape, kernel, stride, explicit=explicit)
    graph = imported_exactly(builder, tmp_path).graph
    (border,) = kinds(graph, BorderBias)
    (product,) = kinds(graph, XnorMvau)
    assert border.output.dtype == product.output.dtype
    h, w, _ = border.output.shape
    assert len(border.bias) <= min(h, kernel) * min(w, kernel)


def test_a_3x3_kernel_has_nine_kinds_of_border(tmp_path: Path) -> None:
    graph = imported_exactly(binary_network((1, 8, 4), 3), tmp_path).graph
    (border,) = kinds(graph, BorderBias)
    assert border.rows.tolist() == [0, *[1] * 6, 2]
    assert border.columns.tolist() == [0, 1, 1, 2]
    assert not border.bias[4].any()
    assert (border.bias[[0, 1, 2, 3, 5, 6, 7, 8]] != 0).any(axis=1).all()


def test_zero_padding_of_odd_channels_is_counted_in_halves(tmp_path: Path) -> None:
    graph = imported_exactly(binary_network((1, 4, 4), 3, width=3), tmp_path).graph
    assert len(kinds(graph, BorderBias)) == 1
    assert not kinds(graph, XnorMvau)


@pytest.mark.parametrize(("kernel", "groups"), [(1, 2), (3, 2), (1, 3)])
def test_grouped_binary_convolutions_are_exact(tmp_path: Path, kernel: int, groups: int) -> None:
    builder = binary_network((1, 4, 8), kernel, width=2 * groups, groups=groups)
    graph = imported_exactly(builder, tmp_path).graph
    assert len(kinds(graph, XnorMvau)) == groups
    assert len(kinds(graph, Split)) == len(kinds(graph, Concat)) == 1
    assert len(kinds(graph, BorderBias)) == (groups if kernel > 1 else 0)


def test_grouped_integer_convolutions_with_scales_are_exact(tmp_path: Path) -> None:
    builder = ModelBuilder(5, shape=(2, 4, 4))
    builder.stem(4)
    weights = builder.quant(builder.const(builder.rng.uniform(-1, 1, (8, 1, 3, 3))), 4, 2**-3)
    builder.here = builder.node(
        "Conv", builder.here, weights, kernel_shape=[3, 3], pads=[1] * 4, group=4
    )
    builder.channels = 8
    builder.batch_norm(1.0)
    builder.here = builder.quant(builder.here, 4, 2**-2)
    builder.head(3, 2**-2)
    assert len(kinds(imported_exactly(builder, tmp_path).graph, Split)) == 1


def test_too_many_groups_are_refused(tmp_path: Path) -> None:
    path = binary_network((1, 4, 4), 1, width=34, groups=17).save(tmp_path / "m.onnx")
    with pytest.raises(UnsupportedError, match="17 groups are not supported"):
        import_model(path, None)


def sloped_network(
    seed: int, bits: int, *, shape: tuple[int, int, int] = (1, 4, 4), head: bool = False
) -> ModelBuilder:
    """Stem, then RPReLU with slopes of either sign and a quantiser."""
    builder = ModelBuilder(seed, shape=shape)
    builder.stem(5, bits=bits)
    shifts = builder.per_channel(-1, 1)
    shifts[:2] = 0
    builder.here = builder.node("Add", builder.here, builder.const(shifts))
    slopes = builder.per_channel(-1, 1)
    slopes[:2] = [[[-0.5]], [[0.5]]]
    builder.here = builder.node("PRelu", builder.here, builder.const(slopes))
    builder.here = builder.node("Add", builder.here, builder.const(builder.per_channel(-0.3, 0.3)))
    builder.here = builder.quant(builder.here, bits, 2**-3)
    if head:
        builder.head(3)
    return builder


@pytest.mark.parametrize("bits", [3, 4, 8])
@pytest.mark.parametrize("seed", range(3))
def test_negative_slopes_become_differences_of_staircases(
    tmp_path: Path, seed: int, bits: int
) -> None:
    graph = imported_exactly(sloped_network(seed, bits, head=True), tmp_path).graph
    (difference,) = kinds(graph, Subtract)
    assert difference.output.dtype == IntType(bits, signed=True)


def test_a_pool_and_a_sign_read_what_a_negative_slope_made(tmp_path: Path) -> None:
    builder = sloped_network(1, 4, shape=(1, 4, 8))
    builder.half_block(3, stride=2)
    builder.head(3)
    assert len(kinds(imported_exactly(builder, tmp_path).graph, Subtract)) == 1


def test_readers_of_one_tensor_may_fall_where_others_rise(tmp_path: Path) -> None:
    builder = ModelBuilder(4, shape=(1, 4, 4))
    builder.stem(6)
    grid = builder.here
    parts = []
    for gains in ([1, -1, 2, -2, 1, 1], [1, 1, -1, -1, 0.5, -0.5]):
        scaled = builder.node("Mul", grid, builder.const(np.reshape(gains, (6, 1, 1))))
        parts.append(builder.quant(scaled, 4, 2**-3))
    builder.here = builder.node("Add", *parts)
    builder.here = builder.quant(builder.here, 4, 2**-3)
    builder.head(3)
    assert not kinds(imported_exactly(builder, tmp_path).graph, Subtract)  # they are turned round


def test_readers_of_one_product_may_disagree_on_its_sign(tmp_path: Path) -> None:
    builder = ModelBuilder(4, shape=(1, 4, 4))
    builder.stem(6)
    builder.conv_of_bits(builder.bipolar(builder.here), 6, 1)
    product, sums = builder.here, []
    for _ in range(3):
        builder.here = product
        builder.batch_norm(2.0)
        sums.append(builder.quant(builder.here, 4, 2**-3))
    builder.here = builder.node("Add", builder.node("Add", *sums[:2]), sums[2])
    builder.here = builder.quant(builder.here, 4, 2**-3)
    builder.head(3)
    imported_exactly(builder, tmp_path)


def test_a_slope_that_needs_too_large_a_table_is_refused(tmp_path: Path) -> None:
    path = sloped_network(0, 13, head=True).save(tmp_path / "m.onnx")
    with pytest.raises(UnsupportedError, match=r"PRelu.*slope below zero.*too many"):
        import_model(path, None)


def test_a_difference_must_fit_its_type() -> None:
    x = Tensor("x", (1, 1, 1), IntType(3))
    xs = [replace(x, name=name) for name in ("x0", "x1")]
    ys = [Tensor(name, (1, 1, 1), IntType(3)) for name in ("up", "down")]
    out = Tensor("y", (1, 1, 1), IntType(1))
    for down, fits in (([[2]], True), ([[7]], True), ([[6, 7]], False)):
        layers = (
            Fork("fork", (x,), tuple(xs)),
            Threshold("t0", (xs[0],), (ys[0],), np.array([[1]])),
            Threshold("t1", (xs[1],), (ys[1],), np.array(down)),
            Subtract("sub", tuple(ys), (out,)),
        )
        graph = QuantGraph("g", x, out, layers, Scaling(1.0, 1.0)).check()
        with nullcontext() if fits else pytest.raises(UnsupportedError, match=r"\[-1, 1\]"):
            require_fitting(graph)


def pooled_network(
    geometry: tuple[int, int, int],
    shape: tuple[int, int, int] = (1, 8, 8),
    *,
    signed: bool = True,
    **attributes: object,
) -> ModelBuilder:
    kernel, stride, pad = geometry
    builder = ModelBuilder(11, shape=shape)
    builder.stem(3)
    grid = builder.quant(builder.here, 4, 2**-3, signed=signed)
    builder.here = builder.node(
        "MaxPool",
        grid,
        **{
            "kernel_shape": [kernel] * 2,
            "strides": [stride] * 2,
            "pads": [pad] * 4,
            **attributes,
        },
    )
    h, w = ((n + 2 * pad - kernel) // stride + 1 for n in shape[1:])
    builder.pixels = h * w
    builder.head(3)
    return builder


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("geometry", [(3, 2, 1), (2, 2, 0), (3, 1, 1), (5, 4, 2)])
def test_max_pools_are_exact(tmp_path: Path, geometry: tuple[int, int, int], signed: bool) -> None:
    graph = imported_exactly(pooled_network(geometry, signed=signed), tmp_path).graph
    (pool,) = kinds(graph, MaxPool)
    assert (pool.kernel, pool.stride, pool.pad) == geometry
    assert pool.input.dtype == pool.output.dtype
    assert not kinds(graph, BorderBias)  # the offsets around a padded pool went into it


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"kernel_shape": [3, 2]}, "only square kernels"),
        ({"ceil_mode": 1}, "only square kernels"),
        ({"dilations": [2, 2]}, "only square kernels"),
    ],
)
def test_other_max_pools_are_refused(
    tmp_path: Path, attributes: dict[str, object], words: str
) -> None:
    path = pooled_network((3, 2, 1), **attributes).save(tmp_path / "m.onnx")
    with pytest.raises(UnsupportedError, match=words):
        import_model(path, None)


def small() -> ModelBuilder:
    builder = ModelBuilder(2, shape=(1, 4, 4))
    builder.stem(3)
    builder.head(7)
    return builder


@pytest.mark.parametrize("k", [1, 3, 7])
def test_a_network_can_be_asked_for_its_best_classes(tmp_path: Path, k: int) -> None:
    path = small().save(tmp_path / "m.onnx")
    images = images_of(small(), 6)
    graph = import_model(path, images, top_k=k).graph
    assert isinstance(graph.layers[-1], TopK)
    assert graph.output.shape == (1, 1, k)
    got = of_ours(graph, images)
    want = np.argsort(-of_qonnx(path, images), axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(chosen(graph, got), want)


def test_more_classes_than_there_are_is_a_user_error(tmp_path: Path) -> None:
    path = small().save(tmp_path / "m.onnx")
    for k in (0, 8):
        with pytest.raises(UserInputError, match=f"top-k {k}: the network has 7 outputs"):
            import_model(path, None, top_k=k)


@pytest.mark.parametrize("op", ["TopK", "ArgMax"])
def test_a_file_that_ends_in_top_k_is_read_as_it_is(tmp_path: Path, op: str) -> None:
    builder, k = small(), 1 if op == "ArgMax" else 4
    scores = builder.save(tmp_path / "scores.onnx")
    model = builder.model()
    if op == "TopK":
        builder.constants["k"] = np.array([k], np.int64)
        model = builder.model()
        node = helper.make_node("TopK", [builder.here, "k"], ["values", "places"], axis=1)
    else:
        node = helper.make_node("ArgMax", [builder.here], ["places"], axis=1, keepdims=1)
    model.graph.node.append(node)
    del model.graph.output[:]
    out = helper.make_tensor_value_info("places", TensorProto.INT64, [1, k])
    model.graph.output.append(out)
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    images = images_of(builder, 5)
    got = of_ours(import_model(path, images).graph, images)
    want = np.argsort(-of_qonnx(scores, images), axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(got, want)
    with pytest.raises(UnsupportedError, match="ends in TopK or ArgMax already"):
        import_model(path, images, top_k=1)
