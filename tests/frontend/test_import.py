"""The frontend keeps every integer: from the QONNX file to the QuantGraph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.transformation.infer_shapes import InferShapes

from hwgen.board import load_board
from hwgen.engine import interpret
from hwgen.errors import MismatchError, UnsupportedError, UserInputError
from hwgen.folding import fastest
from hwgen.frontend import importer
from hwgen.frontend.dataflow_graph import Step
from hwgen.frontend.importer import Imported, import_model, read_dataflow_model, to_bytes
from hwgen.layers import AveragePool, Concat, Fork, Threshold, Window, XnorMvau
from hwgen.quant import QuantGraph, quantise_input
from tests.qonnx_models import ModelBuilder, reactnet, reducing_reactnet


def logits(path: Path, images: np.ndarray) -> np.ndarray:
    """The original file run by qonnx, one image at a time: the independent path."""
    model = ModelWrapper(str(path)).transform(InferShapes())
    name = model.graph.output[0].name
    return np.concatenate([execute_onnx(model, {"images": x[None]})[name] for x in images])


def integer_logits(graph: QuantGraph, images: np.ndarray) -> np.ndarray:
    out = interpret(graph, quantise_input(graph, images), keep=False)[graph.output.name]
    return out.reshape(len(images), -1) * graph.scaling.output_scale


def random_images(seed: int, count: int, shape: tuple[int, int, int]) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.1, 1.1, (count, *shape)).astype(np.float32)


@pytest.mark.parametrize(
    ("seed", "width", "bits", "dyadic"),
    [(0, 3, 2, False), (1, 4, 4, True), (2, 8, 8, False), (3, 4, 3, True), (4, 5, 5, False)],
)
def test_random_reactnets_keep_their_logits(
    tmp_path: Path, seed: int, width: int, bits: int, dyadic: bool
) -> None:
    builder = reactnet(seed, width=width, bits=bits, dyadic=dyadic)
    path = builder.save(tmp_path / "model.onnx")
    images = random_images(seed, 4, builder.shape)
    graph = import_model(path, images, count=1).graph
    assert np.array_equal(integer_logits(graph, images), logits(path, images))


def test_staircases_of_8_bits_become_lines_on_the_sums_that_can_occur(tmp_path: Path) -> None:
    """Sums of 36 bits reach neither end of their type, and not all steps."""
    path = reactnet(2, width=4, bits=8).save(tmp_path / "model.onnx")
    graph = import_model(path, None).graph
    stairs = [x for x in graph.layers if isinstance(x, Threshold) and x.output.dtype.bits > 1]
    assert [x.reach for x in stairs[1:]] == [(0, 36), (-256, 254), (0, 4), (-256, 254)]
    for layer in stairs:
        lines = layer.lines()
        assert not isinstance(lines, str), f"{layer.name}: {lines}"
        assert lines.segments == (2 if layer.reach == (-256, 254) else 1)


@pytest.mark.parametrize(
    ("seed", "blocks", "bits", "dyadic"),
    [
        (0, [(2, False)], 2, False),
        (1, [(1, True)], 4, True),
        (2, [(2, True)], 8, False),
        (3, [(1, True), (2, True), (1, False)], 3, True),
        (4, [(2, False), (2, True)], 5, False),
    ],
)
def test_random_reducing_reactnets_keep_their_logits(
    tmp_path: Path, seed: int, blocks: list[tuple[int, bool]], bits: int, dyadic: bool
) -> None:
    builder = reducing_reactnet(seed, blocks, bits=bits, dyadic=dyadic)
    path = builder.save(tmp_path / "model.onnx")
    images = random_images(seed, 4, builder.shape)
    graph = import_model(path, images, count=1).graph
    assert np.array_equal(integer_logits(graph, images), logits(path, images))
    kinds = [type(layer) for layer in graph.layers]
    assert kinds.count(AveragePool) == sum(stride == 2 for stride, _ in blocks)
    assert kinds.count(Concat) == sum(double for _, double in blocks)


@pytest.mark.parametrize(
    ("kernel", "bits", "signed"), [(4, 4, True), (2, 3, False), (2, 9, True), (4, 2, False)]
)
def test_pools_of_other_sizes_and_types_keep_their_logits(
    tmp_path: Path, kernel: int, bits: int, signed: bool
) -> None:
    builder = ModelBuilder(7, shape=(2, 8, 16))
    builder.stem(3)
    grid = builder.quant(builder.here, bits, 2**-3, signed=signed)
    square = {"kernel_shape": [kernel, kernel], "strides": [kernel, kernel]}
    pool = builder.node("AveragePool", grid, **square)
    builder.here = builder.quant(pool, bits + 1, 2**-3, signed=signed, rounding="FLOOR")
    builder.pixels //= kernel**2
    builder.head(3)
    path = builder.save(tmp_path / "model.onnx")
    images = random_images(2, 3, builder.shape)
    graph = import_model(path, images, count=1).graph
    assert np.array_equal(integer_logits(graph, images), logits(path, images))


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Imported:
    path = reactnet(3).save(tmp_path_factory.mktemp("model") / "model.onnx")
    return import_model(path, None)


def test_padding_and_bias_are_fused_into_their_neighbours(imported: Imported) -> None:
    graph = imported.graph
    assert all(w.pad == 1 for w in graph.layers if isinstance(w, Window))
    assert [carrier[:4] for name, carrier in graph.fused if "Elementwise" in name] == ["MVAU"]
    assert sum(name.startswith("FMPadding") for name, _ in graph.fused) == 2


@pytest.fixture(scope="module")
def reducing(tmp_path_factory: pytest.TempPathFactory) -> Imported:
    path = reducing_reactnet(5, [(2, True)]).save(tmp_path_factory.mktemp("model") / "m.onnx")
    return import_model(path, None)


def test_a_pool_reads_the_image_without_a_window(reducing: Imported) -> None:
    graph = reducing.graph
    pool = next(layer for layer in graph.layers if isinstance(layer, AveragePool))
    assert (pool.input.shape, pool.output.shape) == ((4, 8, 3), (2, 4, 3))
    assert pool.output.dtype == pool.input.dtype
    fused = [name.rpartition("_")[0] for name, carrier in graph.fused if carrier == pool.name]
    assert fused == ["ConvolutionInputGenerator"]


def test_twin_convolutions_share_one_sign(reducing: Imported) -> None:
    bits = [x for x in reducing.graph.layers if isinstance(x, Fork) and x.input.dtype.bits == 1]
    assert len(bits) == 1
    readers = {
        layer.name
        for layer in reducing.graph.layers
        for tensor in bits[0].outputs
        if tensor in layer.inputs
    }
    kinds = {layer.name: type(layer) for layer in reducing.graph.layers}
    assert [kinds[name] for name in readers] == [XnorMvau, XnorMvau]


def test_popcounts_have_the_type_that_holds_k(imported: Imported) -> None:
    for layer in imported.graph.layers:
        if isinstance(layer, XnorMvau):
            assert layer.output.dtype.bits == int(layer.matrix[0]).bit_length()


def test_sign_of_zero_is_plus_one(tmp_path: Path) -> None:
    builder = ModelBuilder(0, shape=(1, 2, 2))
    builder.stem(2, scale=1.0)
    builder.binary_conv(2, 1)
    builder.here = builder.quant(builder.here, 4, 1.0)
    builder.head(2, 1.0)
    graph = import_model(builder.save(tmp_path / "m.onnx"), None).graph
    sign = next(x for x in graph.layers if isinstance(x, Threshold) and x.output.dtype.bits == 1)
    zero = np.zeros((1, *sign.input.shape), np.int64)
    assert (sign.evaluate(zero)[0] == 1).all()
    assert (sign.evaluate(zero - 1)[0] == 0).all()


@pytest.mark.parametrize("network", ["imported", "reducing"])
def test_folded_finn_model_reads_back_as_the_same_graph(
    network: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    imported: Imported = request.getfixturevalue(network)
    foldings = fastest(imported.graph, load_board("pynq-z2"))
    folded = importer.fold(imported, foldings)
    path = tmp_path / "dataflow.onnx"
    path.write_bytes(to_bytes(folded))
    again = read_dataflow_model(path, imported.graph.name, imported.graph.scaling)
    images = random_images(1, 3, (2, 4, 8))
    assert [x.name for x in again.layers] == [x.name for x in imported.graph.layers]
    assert np.array_equal(integer_logits(again, images), integer_logits(imported.graph, images))


@pytest.mark.parametrize("network", ["imported", "reducing"])
def test_finn_estimates_cover_every_layer(network: str, request: pytest.FixtureRequest) -> None:
    imported: Imported = request.getfixturevalue(network)
    board = load_board("pynq-z2")
    folded = importer.fold(imported, fastest(imported.graph, board))
    found = importer.finn_estimates(folded, board.part)
    assert {x.name for x in imported.graph.layers} <= set(found["cycles"])
    assert found["partitions"] == 1


def test_import_is_reproducible(imported: Imported, tmp_path: Path) -> None:
    again = import_model(reactnet(3).save(tmp_path / "model.onnx"), None)
    assert to_bytes(again.dataflow) == to_bytes(imported.dataflow)


def test_a_wrong_transformation_is_caught_and_located(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = reactnet(4).save(tmp_path / "model.onnx")

    def corrupt(model: ModelWrapper) -> ModelWrapper:
        name = next(n.input[1] for n in model.graph.node if n.op_type == "MVAU")
        weights = model.get_initializer(name).copy()
        weights[0, 2] += 1
        model.set_initializer(name, weights)
        return model

    honest = list(importer.steps(import_model(path, None).streamlined))
    bad = [*honest[:7], Step("Saboteur", corrupt)]
    monkeypatch.setattr(importer, "steps", lambda model: bad)
    with pytest.raises(MismatchError, match=r"Saboteur.*channel 2, pixel"):
        import_model(path, None)


# -- bad input ---------------------------------------------------------------------------------


def refused(path: Path, *words: str) -> None:
    with pytest.raises((UserInputError, UnsupportedError)) as caught:
        import_model(path, None)
    for word in words:
        assert word in str(caught.value)
    assert caught.value.exit_code == 2


def test_truncated_file(tmp_path: Path) -> None:
    path = reactnet().save(tmp_path / "model.onnx")
    whole = path.read_bytes()
    for keep in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:keep])
        refused(path, "model.onnx")


def test_file_that_is_not_onnx(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
    refused(path, "not an ONNX model")


def test_missing_file(tmp_path: Path) -> None:
    refused(tmp_path / "absent.onnx", "absent.onnx", "No such file")


def test_network_without_quantisers(tmp_path: Path) -> None:
    builder = ModelBuilder()
    builder.here = builder.node("Relu", builder.here)
    refused(builder.save(tmp_path / "m.onnx"), "no quantisers", "export_qonnx")


def test_unsupported_operator_is_named_with_its_node(tmp_path: Path) -> None:
    builder = ModelBuilder()
    builder.stem(2)
    builder.here = builder.node("Softmax", builder.here)
    refused(builder.save(tmp_path / "m.onnx"), "Softmax", builder.here)


def test_a_binary_tensor_is_padded_with_a_sign_or_zero_alone(tmp_path: Path) -> None:
    builder = ModelBuilder()
    builder.stem(2)
    builder.binary_conv(2, 3, pad=0.5)
    builder.here = builder.quant(builder.here, 4, 0.5)
    builder.head(2, 0.5)
    refused(builder.save(tmp_path / "m.onnx"), "padded with 0.5", "pad with -1 or 0")


def test_residual_branches_of_different_scales_are_refused(tmp_path: Path) -> None:
    builder = ModelBuilder()
    builder.stem(2)
    other = builder.quant(builder.here, 4, 0.3)
    builder.here = builder.node("Add", builder.here, other)
    builder.head(2)
    refused(builder.save(tmp_path / "m.onnx"), "scales", "shared scale")


def average_pooled(
    rounding: str = "FLOOR", bits: int = 4, scale: float = 2**-3, **pool: list[int]
) -> ModelBuilder:
    builder = ModelBuilder(shape=(2, 4, 6))
    builder.stem(2)
    kind = {"kernel_shape": [2, 2], "strides": [2, 2]} | pool
    builder.here = builder.node("AveragePool", builder.here, **kind)
    builder.here = builder.quant(builder.here, bits, scale, rounding=rounding)
    builder.head(2)
    return builder


@pytest.mark.parametrize(
    "builder",
    [
        average_pooled(kernel_shape=[3, 3], strides=[3, 3]),
        average_pooled(strides=[1, 1]),
        average_pooled(kernel_shape=[4, 4], strides=[4, 4]),
        average_pooled("ROUND"),
        average_pooled(scale=2**-4),
        average_pooled(bits=3),
        average_pooled("ROUND", pads=[1] * 4, count_include_pad=1),
    ],
)
def test_pools_that_are_not_a_shift_are_sums(tmp_path: Path, builder: ModelBuilder) -> None:
    path = builder.save(tmp_path / "m.onnx")
    images = random_images(3, 4, builder.shape)
    graph = import_model(path, images).graph
    want = logits(path, images)
    assert graph.scaling.agrees(integer_output(graph, images), want).all()
    assert not any(isinstance(layer, AveragePool) for layer in graph.layers)


def integer_output(graph: QuantGraph, images: np.ndarray) -> np.ndarray:
    out = interpret(graph, quantise_input(graph, images), keep=False)[graph.output.name]
    return out.reshape(len(images), -1)


@pytest.mark.parametrize(
    ("pool", "words"),
    [
        ({"pads": [1, 1, 1, 1]}, ("AveragePool", "padding", "pool without")),
        ({"kernel_shape": [2, 1], "strides": [2, 1]}, ("only square",)),
        ({"ceil_mode": 1, "strides": [1, 1]}, ("without ceil_mode",)),
    ],
)
def test_pools_of_other_shapes_are_refused(
    tmp_path: Path, pool: dict[str, object], words: tuple[str, ...]
) -> None:
    refused(average_pooled("ROUND", **pool).save(tmp_path / "m.onnx"), "node ", *words)


def test_operators_and_sums_around_a_pool_are_exact(tmp_path: Path) -> None:
    builder = ModelBuilder(shape=(2, 4, 8))
    builder.stem(2)
    other = builder.quant(builder.here, 4, 2**-3)
    total = builder.node("Add", builder.here, other)
    mean = builder.node("AveragePool", total, kernel_shape=[2, 2], strides=[2, 2])
    shifted = builder.node("Add", mean, builder.const(0.5))
    builder.here, builder.pixels = builder.quant(shifted, 5, 2**-3, rounding="FLOOR"), 8
    builder.head(2)
    path = builder.save(tmp_path / "m.onnx")
    images = random_images(3, 4, builder.shape)
    graph = import_model(path, images).graph
    assert np.array_equal(integer_logits(graph, images), logits(path, images))


@pytest.mark.parametrize(
    ("scale", "axis", "words"),
    [(2**-2, 1, ("scales", "one shared scale")), (2**-3, 2, ("axis 2", "channels"))],
)
def test_concat_of_other_scales_or_axes_is_refused(
    tmp_path: Path, scale: float, axis: int, words: tuple[str, ...]
) -> None:
    builder = ModelBuilder()
    builder.stem(2)
    other = builder.quant(builder.here, 4, scale)
    builder.here = builder.node("Concat", builder.here, other, axis=axis)
    builder.channels = 4
    builder.head(2)
    refused(builder.save(tmp_path / "m.onnx"), "(Concat)", *words)


def test_concat_of_bits_is_refused(tmp_path: Path) -> None:
    builder = ModelBuilder()
    builder.stem(2)
    bits = [builder.bipolar(builder.here) for _ in range(2)]
    builder.here, builder.channels = builder.node("Concat", *bits, axis=1), 4
    builder.head(2)
    refused(builder.save(tmp_path / "m.onnx"), "(Concat)", "before the sign")


def test_a_network_that_computes_nothing_is_refused(tmp_path: Path) -> None:
    builder = ModelBuilder(shape=(2, 1, 1))
    builder.here = builder.quant(builder.here, 8, 2**-8, signed=False, rounding="FLOOR")
    refused(builder.save(tmp_path / "m.onnx"), "nothing to compute")


def test_a_bias_off_the_accumulator_grid_is_the_hosts(tmp_path: Path) -> None:
    builder = ModelBuilder(shape=(2, 4, 8))
    builder.stem(2)
    builder.head(3, on_grid=False)
    path = builder.save(tmp_path / "m.onnx")
    images = random_images(3, 4, builder.shape)
    scaling = import_model(path, images).graph.scaling
    assert isinstance(scaling.output_offset, tuple)
    assert np.allclose(np.array(scaling.output_offset) / scaling.output_scale % 1, 1 / 3, atol=1e-3)
    with pytest.raises(UnsupportedError, match="top-k: the outputs have a scale or an offset"):
        import_model(path, images, top_k=1)


def test_nan_weights_are_refused(tmp_path: Path) -> None:
    builder = reactnet()
    builder.constants["c3"] = np.full_like(builder.constants["c3"], np.nan)
    refused(builder.save(tmp_path / "m.onnx"), "NaN")


def test_images_of_another_shape_are_refused(tmp_path: Path) -> None:
    path = reactnet().save(tmp_path / "m.onnx")
    with pytest.raises(UserInputError, match=r"\(N, 2, 4, 8\)"):
        import_model(path, np.zeros((3, 1, 8, 8), np.float32))


def test_flipped_bits_never_end_in_anything_but_a_clear_error(tmp_path: Path) -> None:
    whole = reactnet().save(tmp_path / "m.onnx").read_bytes()
    rng = np.random.default_rng(5)
    refusals = 0
    for place, bit in zip(rng.integers(0, len(whole), 40), rng.integers(0, 8, 40), strict=True):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << bit
        (tmp_path / "m.onnx").write_bytes(damaged)
        try:
            import_model(tmp_path / "m.onnx", None, count=1)
        except (UserInputError, UnsupportedError):
            refusals += 1
    assert 10 < refusals < 40  # some flips only change a weight
