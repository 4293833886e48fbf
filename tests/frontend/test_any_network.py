"""QONNX files that hwgen did not train: every integer is that of the original network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.transformation.infer_shapes import InferShapes

from hwgen.engine import interpret
from hwgen.errors import UnsupportedError
from hwgen.frontend.importer import import_model
from hwgen.layers import Depthwise, Flatten, GlobalSum, IntMvau, MaxPool, Threshold, XnorMvau
from hwgen.quant import QuantGraph, quantise_input
from tests import brevitas_models
from tests.qonnx_models import BREVITAS, ModelBuilder
from tests.random_networks import RandomNetwork


def original(path: Path, images: np.ndarray) -> np.ndarray:
    """The original file run by qonnx, channels last: the independent path."""
    model = ModelWrapper(str(path)).transform(InferShapes())
    source, sink = model.graph.input[0].name, model.graph.output[0].name
    shape = model.get_tensor_shape(source)
    runs = [execute_onnx(model, {source: x.reshape(1, *shape[1:])})[sink] for x in images]
    found = np.concatenate(runs)
    return found.transpose(0, 2, 3, 1) if found.ndim == 4 else found[:, None, None, :]


def ours(graph: QuantGraph, images: np.ndarray) -> np.ndarray:
    return interpret(graph, quantise_input(graph, images), keep=False)[graph.output.name]


def kinds(graph: QuantGraph, kind: type) -> list:
    return [layer for layer in graph.layers if isinstance(layer, kind)]


def imported_exactly(path: Path, images: np.ndarray) -> QuantGraph:
    graph = import_model(path, images, count=1).graph
    assert graph.scaling.agrees(ours(graph, images), original(path, images)).all()
    return graph


# -- Brevitas ----------------------------------------------------------------------------------

SMALL = ("TFC-W1A1", "TFC-W1A2", "TFC-W2A2", "MobileNet-W4A4", "ResNet-W2A2", "Truncating-W4A4")
LARGE = ("CNV-W1A1", "CNV-W1A2", "CNV-W2A2", "LFC-W1A1", "LFC-W1A2")


def exported_exactly(name: str, folder: Path) -> QuantGraph:
    path = brevitas_models.export(name, folder / f"{name}.onnx")
    shape = brevitas_models.NETWORKS[name][1]
    images = np.random.default_rng(1).random((3, *shape)).astype(np.float32)
    return imported_exactly(path, images)


@pytest.mark.parametrize("name", SMALL)
def test_networks_of_brevitas_are_exact(name: str, tmp_path: Path) -> None:
    graph = exported_exactly(name, tmp_path)
    if name == "MobileNet-W4A4":
        assert len(kinds(graph, Depthwise)) == 3
    if name == "TFC-W1A1":
        assert graph.input.dtype.bits == 1  # the host tells the signs
        assert len(kinds(graph, XnorMvau)) == 4


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_large_networks_of_brevitas_are_exact(name: str, tmp_path: Path) -> None:
    graph = exported_exactly(name, tmp_path)
    binary = len(kinds(graph, XnorMvau))
    assert binary == {"CNV-W1A1": 8, "LFC-W1A1": 4}.get(name, 0)
    assert len(kinds(graph, MaxPool)) == (2 if name.startswith("CNV") else 0)


# -- one construct at a time -------------------------------------------------------------------


def trunc(builder: ModelBuilder, x: str, *parameters: float, **kind: object) -> str:
    """Scale, zero point, bits, output scale, output bits."""
    kind = {"signed": 1, "narrow": 0, "rounding_mode": "FLOOR"} | kind
    constants = [builder.const(value) for value in parameters]
    return builder.node("Trunc", x, *constants, domain=BREVITAS, **kind)


@pytest.mark.parametrize("rounding", ["FLOOR", "ROUND", "CEIL"])
@pytest.mark.parametrize("narrow", [0, 1])
def test_trunc_is_a_staircase_that_clips(tmp_path: Path, rounding: str, narrow: int) -> None:
    builder = chain()
    kind = {"rounding_mode": rounding, "narrow": narrow}
    product = conv(builder, builder.here, 4, (5, 4, 3, 3))
    builder.here = trunc(builder, product, 2.0**-6, 0, 9, 2.0**-3, 3, **kind)
    if rounding == "CEIL":
        with pytest.raises(UnsupportedError, match=r"Trunc.*rounding mode CEIL"):
            headed(builder, tmp_path)
        return
    graph = headed(builder, tmp_path)
    steps = [layer.output.dtype.bits for layer in kinds(graph, Threshold)]
    assert 3 in steps


@pytest.mark.parametrize(
    ("parameters", "why"),
    [
        ((2.0**-6, 1, 9, 2.0**-3, 4), "with a zero point"),
        ((2.0**-6, 0, 9, 2.0**-3, 1), "to 1 bit"),
        ((2.0**-6, 0, 9, 0.0, 4), "not a positive number"),
        ((2.0**-6, 0, 9, 4), "the first version"),
    ],
)
def test_a_trunc_that_is_none_of_brevitas_is_refused(
    tmp_path: Path, parameters: tuple[float, ...], why: str
) -> None:
    builder = chain()
    builder.here = trunc(builder, conv(builder, builder.here, 4, (5, 4, 3, 3)), *parameters)
    with pytest.raises(UnsupportedError, match=rf"\(Trunc\).*{why}"):
        headed(builder, tmp_path)


def test_a_trunc_of_the_input_is_refused(tmp_path: Path) -> None:
    builder = ModelBuilder()
    builder.here = trunc(builder, builder.here, 2.0**-8, 0, 8, 2.0**-4, 4)
    with pytest.raises(UnsupportedError, match=r"\(Trunc\).*the network's input is none yet"):
        headed(builder, tmp_path)


def test_an_int_quant_is_a_quant(tmp_path: Path) -> None:
    builder = chain()
    for node in builder.nodes:
        node.op_type = node.op_type.replace("Quant", "IntQuant")
    headed(builder, tmp_path)


def chain(seed: int = 0, shape: tuple[int, int, int] = (2, 4, 6)) -> ModelBuilder:
    builder = ModelBuilder(seed, shape=shape)
    builder.stem(4)
    return builder


def conv(builder: ModelBuilder, x: str, bits: int, shape: tuple[int, ...], **kind: object) -> str:
    values = builder.const(builder.rng.uniform(-1, 1, shape))
    w = (
        builder.bipolar(values, 0.5)
        if bits == 1
        else builder.quant(values, bits, 2.0 ** (1 - bits))
    )
    builder.channels = shape[0]
    return builder.node("Conv", x, w, kernel_shape=list(shape[2:]), **kind)


def headed(builder: ModelBuilder, folder: Path, count: int = 4) -> QuantGraph:
    """Quantise ``here``, end in a classifier of the global sum, import, compare."""
    builder.here = builder.quant(builder.here, 5, 2**-2)
    builder.pixels = 1
    total = builder.node("ReduceSum", builder.here, axes(builder), keepdims=1)
    flat = builder.node("Flatten", total, axis=1)
    w = builder.quant(builder.const(builder.rng.uniform(-1, 1, (3, builder.channels))), 8, 2**-7)
    builder.here, builder.channels = builder.node("Gemm", flat, w, transB=1), 3
    images = np.random.default_rng(5).uniform(0, 1, (count, *builder.shape)).astype(np.float32)
    return imported_exactly(builder.save(folder / "m.onnx"), images)


def axes(builder: ModelBuilder) -> str:
    builder.constants["image_axes"] = np.array([2, 3], np.int64)
    return "image_axes"


@pytest.mark.parametrize("activation", [1, 2, 4, 8])
@pytest.mark.parametrize("weight", [1, 2, 5, 8])
def test_any_mix_of_bits_multiplies_exactly(tmp_path: Path, activation: int, weight: int) -> None:
    builder = chain(weight)
    x = (
        builder.bipolar(builder.here)
        if activation == 1
        else builder.quant(builder.here, activation, 2.0**-activation)
    )
    builder.here = conv(builder, x, weight, (6, 4, 3, 3), pads=[1] * 4)
    builder.batch_norm(3.0)
    graph = headed(builder, tmp_path)
    assert len(kinds(graph, XnorMvau)) == (activation == weight == 1)


@pytest.mark.parametrize(("groups", "bits"), [(4, 4), (4, 1), (2, 3)])
@pytest.mark.parametrize("binary", [True, False])
def test_groups_and_depthwise_convolutions_are_exact(
    tmp_path: Path, groups: int, bits: int, binary: bool
) -> None:
    builder = chain(groups + bits)
    x = builder.bipolar(builder.here) if binary else builder.here
    shape = (4, 4 // groups, 3, 3)
    builder.here = conv(builder, x, bits, shape, pads=[1] * 4, group=groups, strides=[2, 2])
    builder.batch_norm(2.0)
    assert len(kinds(headed(builder, tmp_path), Depthwise)) == (groups == 4)


@pytest.mark.parametrize(
    ("kernel", "pads"),
    [((1, 3), [0, 1, 0, 1]), ((3, 1), [1, 0, 1, 0]), ((3, 5), [1, 2, 1, 2]), ((1, 1), [0] * 4)],
)
@pytest.mark.parametrize("binary", [True, False])
def test_kernels_in_the_middle_of_a_square_are_exact(
    tmp_path: Path, kernel: tuple[int, int], pads: list[int], binary: bool
) -> None:
    builder = chain()
    x = builder.bipolar(builder.here) if binary else builder.here
    builder.here = conv(builder, x, 1 if binary else 3, (3, 4, *kernel), pads=pads)
    headed(builder, tmp_path)


@pytest.mark.parametrize(("kernel", "pads"), [((2, 3), [0] * 4), ((1, 3), [0] * 4)])
def test_other_kernels_are_refused_with_their_shape(
    tmp_path: Path, kernel: tuple[int, int], pads: list[int]
) -> None:
    builder = chain()
    builder.here = conv(builder, builder.here, 3, (3, 4, *kernel), pads=pads)
    with pytest.raises(UnsupportedError, match=rf"\(Conv\): kernel {kernel[0]}x{kernel[1]}"):
        headed(builder, tmp_path)


@pytest.mark.parametrize(
    "operators",
    [
        (("Clip", -0.5, 0.75),),
        (("Relu",), ("Mul", 0.75)),
        (("LeakyRelu",),),
        (("Neg",),),
        (("Tanh",), ("Mul", -1.0)),
        (("Sign",),),
        (("Sub", 0.125), ("Div", -0.25), ("Sigmoid",)),
    ],
)
@pytest.mark.parametrize("behind_a_sum", [True, False])
def test_monotone_operators_become_thresholds(
    tmp_path: Path, operators: tuple[tuple[object, ...], ...], behind_a_sum: bool
) -> None:
    builder = chain()
    if behind_a_sum:
        builder.here = conv(builder, builder.here, 3, (4, 4, 1, 1))
    for op, *numbers in operators:
        builder.here = builder.node(str(op), builder.here, *map(builder.const, numbers))
    graph = headed(builder, tmp_path)
    falls = any(op == "Neg" or -1.0 in n or -0.25 in n for op, *n in operators)
    assert len(kinds(graph, Depthwise)) == (falls and not behind_a_sum)


def test_max_pools_commute_with_norms_of_either_sign(tmp_path: Path) -> None:
    builder = chain(3)
    builder.here = conv(builder, builder.here, 3, (6, 4, 3, 3), pads=[1] * 4)
    builder.batch_norm(2.0)
    builder.here = builder.node("Relu", builder.here)
    builder.here = builder.node("MaxPool", builder.here, kernel_shape=[2, 2], strides=[2, 2])
    graph = headed(builder, tmp_path)
    names = [type(layer).__name__ for layer in graph.layers]
    assert names.index("MaxPool") < names.index("Threshold", names.index("MaxPool"))
    assert not kinds(graph, Depthwise)


def test_a_flattened_image_keeps_its_order(tmp_path: Path) -> None:
    builder = chain(4, shape=(1, 3, 2))
    flat = builder.node("Flatten", builder.here, axis=1)
    w = builder.quant(builder.const(builder.rng.uniform(-1, 1, (5, 24))), 4, 2**-3)
    builder.here, builder.channels = builder.node("Gemm", flat, w, transB=1), 5
    images = np.random.default_rng(2).uniform(0, 1, (5, 1, 3, 2)).astype(np.float32)
    graph = imported_exactly(builder.save(tmp_path / "m.onnx"), images)
    (flatten,) = kinds(graph, Flatten)
    assert flatten.output.shape == (1, 1, 24)


def test_bits_are_averaged_and_multiplied_without_a_quantiser_between(tmp_path: Path) -> None:
    builder = chain(5, shape=(1, 4, 4))
    bits = builder.bipolar(builder.here, 0.5)
    mean = builder.node("GlobalAveragePool", bits)
    flat = builder.node("Flatten", mean, axis=1)
    w = builder.quant(builder.const(builder.rng.uniform(-1, 1, (3, 4))), 4, 2**-3)
    builder.here, builder.channels = builder.node("Gemm", flat, w, transB=1), 3
    images = np.random.default_rng(2).uniform(0, 1, (5, 1, 4, 4)).astype(np.float32)
    graph = imported_exactly(builder.save(tmp_path / "m.onnx"), images)
    assert kinds(graph, GlobalSum)[0].input.dtype.bits == 1


# -- inputs and outputs ------------------------------------------------------------------------


def test_an_image_that_is_divided_by_255_enters_as_bytes(tmp_path: Path) -> None:
    builder = ModelBuilder(1, shape=(3, 4, 4))
    x = builder.node("Div", builder.here, builder.const(255))
    x = builder.node("Sub", x, builder.const(np.full((3, 1, 1), [[[0.5]], [[0.25]], [[0.125]]])))
    builder.here = builder.quant(x, 6, 2**-5)
    builder.here = conv(builder, builder.here, 4, (4, 3, 3, 3), pads=[1] * 4)
    builder.here = builder.quant(builder.here, 4, 2**-2)
    builder.head(3, 2**-2)
    images = np.random.default_rng(2).integers(0, 256, (4, 3, 4, 4)).astype(np.float32)
    graph = imported_exactly(builder.save(tmp_path / "m.onnx"), images)
    assert str(graph.input.dtype) == "UINT8"
    assert isinstance(graph.layers[0], Threshold)
    assert (graph.scaling.input_scale, graph.scaling.input_steps) == (1.0, ())


def test_an_annotated_input_needs_no_quantiser(tmp_path: Path) -> None:
    builder = ModelBuilder(1, shape=(3, 4, 4))
    builder.here = conv(builder, builder.here, 4, (4, 3, 3, 3))
    builder.batch_norm(500.0)
    builder.here = builder.quant(builder.here, 4, 2**-3)
    builder.pixels = 4
    builder.head(3)
    model = ModelWrapper(builder.model())
    from qonnx.core.datatype import DataType

    model.set_tensor_datatype("images", DataType["UINT8"])
    path = tmp_path / "m.onnx"
    model.save(str(path))
    images = np.random.default_rng(2).integers(0, 256, (4, 3, 4, 4)).astype(np.float32)
    graph = imported_exactly(path, images)
    assert str(graph.input.dtype) == "UINT8"


def test_without_quantiser_or_annotation_the_remedy_is_told(tmp_path: Path) -> None:
    builder = ModelBuilder(1, shape=(3, 4, 4))
    builder.here = conv(builder, builder.here, 4, (4, 3, 3, 3))
    with pytest.raises(UnsupportedError, match=r"\(Conv\).*annotate the input as UINT8"):
        headed(builder, tmp_path)


@pytest.mark.parametrize("zero", [0, 3, 130])
@pytest.mark.parametrize("rounding", ["ROUND", "FLOOR"])
def test_zero_points_and_rounding_of_the_input_are_the_hosts(
    tmp_path: Path, zero: int, rounding: str
) -> None:
    builder = ModelBuilder(2, shape=(2, 3, 5))
    x = builder.node("Mul", builder.here, builder.const(2))
    x = builder.node("Sub", x, builder.const([[[1.0]], [[0.5]]]))
    inputs = (x, builder.const(2**-7), builder.const(zero), builder.const(8))
    kind = {"signed": 0, "narrow": 0, "rounding_mode": rounding}
    builder.here = builder.node("Quant", *inputs, domain=BREVITAS, **kind)
    builder.here = conv(builder, builder.here, 4, (4, 2, 3, 3), pads=[1] * 4)
    builder.batch_norm(1.0)
    headed(builder, tmp_path, count=8)


def test_vectors_enter_as_images_of_one_pixel(tmp_path: Path) -> None:
    builder = ModelBuilder(2, shape=(12, 1, 1))
    x = builder.quant(builder.here, 8, 2**-7)
    w = builder.quant(builder.const(builder.rng.uniform(-1, 1, (5, 12))), 4, 2**-3)
    builder.here, builder.channels = builder.node("Gemm", x, w, transB=1), 5
    model = builder.model()
    del model.graph.input[0].type.tensor_type.shape.dim[2:]
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    images = np.random.default_rng(2).uniform(-1, 1, (4, 12, 1, 1)).astype(np.float32)
    assert imported_exactly(path, images).input.shape == (1, 1, 12)


def test_a_dynamic_batch_is_one_image(tmp_path: Path) -> None:
    builder = chain(6, shape=(2, 4, 8))
    builder.head(3)
    static = builder.save(tmp_path / "static.onnx")
    model = builder.model()
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    images = np.random.default_rng(2).uniform(0, 1, (3, 2, 4, 8)).astype(np.float32)
    graph = import_model(path, images).graph
    np.testing.assert_array_equal(
        ours(graph, images), ours(import_model(static, images).graph, images)
    )


def test_a_norm_and_scales_by_channel_at_the_end_are_the_hosts(tmp_path: Path) -> None:
    builder = chain(7)
    builder.here = conv(builder, builder.here, 3, (3, 4, 1, 1))
    builder.batch_norm(1.0)
    builder.here = builder.node("Mul", builder.here, builder.const(-0.3))
    images = np.random.default_rng(2).uniform(0, 1, (3, 2, 4, 6)).astype(np.float32)
    model = builder.model()
    dims = model.graph.output[0].type.tensor_type.shape.dim
    dims[2].dim_value, dims[3].dim_value = 4, 6
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    graph = imported_exactly(path, images)
    floats = graph.scaling.floats(ours(graph, images))
    np.testing.assert_allclose(floats, original(path, images), rtol=1e-5, atol=1e-5)
    assert isinstance(graph.layers[-1], IntMvau)


# -- any network -------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_random_networks_are_exact(seed: int, tmp_path: Path) -> None:
    network = RandomNetwork(seed)
    imported_exactly(network.save(tmp_path / "m.onnx"), network.images(3))


@pytest.mark.slow
@pytest.mark.parametrize("block", range(10))
def test_hundreds_of_random_networks_are_exact(block: int, tmp_path: Path) -> None:
    for seed in range(100 + 20 * block, 120 + 20 * block):
        network = RandomNetwork(seed)
        imported_exactly(network.save(tmp_path / f"{seed}.onnx"), network.images(3))
