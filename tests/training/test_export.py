from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx

from hwgen.data import load_data
from hwgen.engine import interpret
from hwgen.errors import UserInputError
from hwgen.frontend.importer import import_model
from hwgen.layers import Subtract
from hwgen.quant import quantise_input
from training.exact import make_exact
from training.export import export, to_qonnx
from training.train import TrainResult, train

from .conftest import tiny_config
from .test_model import REDUCING, images, random_net

HALF = ["Add", "BipolarQuant", "Pad", "BipolarQuant", "Conv", "BatchNormalization", "Quant"]
ACTIVATION = ["Add", "Add", "PRelu", "Add", "Quant"]


@pytest.fixture(scope="module")
def exported(tiny_run: TrainResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(tiny_run.checkpoint, tmp_path_factory.mktemp("export") / "model.onnx")


def execute(path: Path, batch: np.ndarray) -> np.ndarray:
    model = ModelWrapper(str(path))
    return np.concatenate(
        [execute_onnx(model, {"images": image[None]})["logits"] for image in batch]
    )


def test_exporting_twice_writes_equal_bytes(tiny_run: TrainResult, exported: Path, tmp_path: Path):
    again = export(tiny_run.checkpoint, tmp_path / "deep" / "model.onnx")
    for suffix in (".onnx", ".data.npz"):
        assert exported.with_suffix(suffix).read_bytes() == again.with_suffix(suffix).read_bytes()
    assert sorted(p.name for p in again.parent.iterdir()) == ["model.data.npz", "model.onnx"]


def test_export_is_silent(tiny_run: TrainResult, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    export(tiny_run.checkpoint, tmp_path / "model.onnx")
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


def test_export_names_no_file_of_this_machine(exported: Path):
    content = exported.read_bytes()
    assert b".py" not in content
    assert b"site-packages" not in content


def test_graph_is_blocks_of_known_nodes(exported: Path):
    model = onnx.load(exported)
    kinds = [node.op_type for node in model.graph.node]
    one_by_one = [kind for kind in HALF if kind != "Pad"]
    stem = ["Quant", "Quant", "Conv", "BatchNormalization", "Quant"]
    head = ["ReduceSum", "Div", "Quant", "Gemm"]
    assert kinds == [*stem, *HALF, *ACTIVATION, *one_by_one, *ACTIVATION, *head]
    assert [value.name for value in model.graph.input] == ["images"]
    assert [value.name for value in model.graph.output] == ["logits"]
    names = [node.name for node in model.graph.node]
    assert len(set(names)) == len(names)
    assert "halves.0.branch.conv/Conv" in names


def test_residual_adds_join_two_quantisers_of_one_scale(exported: Path):
    model = ModelWrapper(str(exported))
    joins = [n for n in model.graph.node if n.op_type == "Add" and not any(
        model.get_initializer(name) is not None for name in n.input
    )]  # fmt: skip
    assert len(joins) == 2
    for join in joins:
        quants = [model.find_producer(name) for name in join.input]
        assert [node.op_type for node in quants] == ["Quant", "Quant"]
        scales = [float(model.get_initializer(node.input[1])) for node in quants]
        assert scales[0] == scales[1] == 2.0 ** np.rint(np.log2(scales[0]))


def test_qonnx_gives_brevitas_logits_exactly(exported: Path):
    data = np.load(exported.with_suffix(".data.npz"))
    assert data["images"].shape == (360, 1, 8, 8)
    assert data["images"].dtype == data["brevitas_logits"].dtype == np.float32
    got = execute(exported, data["images"][:40])
    np.testing.assert_array_equal(got, data["brevitas_logits"][:40])


def test_data_holds_the_accuracies_of_training(tiny_run: TrainResult, exported: Path):
    data = np.load(exported.with_suffix(".data.npz"))
    correct = data["brevitas_logits"].argmax(axis=1) == data["labels"]
    assert float(data["brevitas_accuracy"]) == correct.mean()
    assert float(data["brevitas_accuracy"]) == tiny_run.metrics["brevitas_accuracy"]
    assert float(data["float_accuracy"]) == tiny_run.metrics["float_accuracy"]


@pytest.mark.slow
def test_trained_reducing_network_is_exported_and_imported_exactly(tmp_path: Path):
    blocks = "[{width: 4, stride: 2}, {width: 8}, {width: 16, stride: 2}]"
    run = train(tiny_config(f"model.blocks={blocks}"), tmp_path)
    path = export(run.checkpoint, tmp_path / "model.onnx")
    data = np.load(path.with_suffix(".data.npz"))
    batch, expected = data["images"][:24], data["brevitas_logits"][:24]
    np.testing.assert_array_equal(execute(path, batch), expected)
    graph = import_model(path, batch).graph
    integers = interpret(graph, quantise_input(graph, batch), keep=False)[graph.output.name]
    logits = integers.reshape(expected.shape) * graph.scaling.output_scale
    np.testing.assert_array_equal(logits, expected)


@pytest.mark.parametrize("pad", ["minus1", "zero"])
@pytest.mark.parametrize("bits", [2, 8])
@pytest.mark.parametrize("blocks", [2, REDUCING])
def test_qonnx_equals_brevitas_on_other_shapes(tmp_path: Path, pad: str, bits: int, blocks: object):
    net = random_net(
        residual_bits=bits, pad=pad, in_channels=3, image_size=4, first_last_bits=4, blocks=blocks
    )
    make_exact(net)
    path = tmp_path / "model.onnx"
    path.write_bytes(to_qonnx(net).SerializeToString())
    x = images(8, channels=3, size=4)
    with torch.no_grad():
        expected = net(x).numpy()
    np.testing.assert_array_equal(execute(path, x.numpy()), expected)


def damaged(folder: Path, good: Path) -> dict[str, Path]:
    content = torch.load(good, weights_only=True)
    cases = {name: folder / name for name in ("text", "cut", "other", "version", "keys", "config")}
    cases["text"].write_text("hello")
    cases["cut"].write_bytes(good.read_bytes()[:2000])
    torch.save([1, 2], cases["other"])
    torch.save(content | {"version": 99}, cases["version"])
    torch.save(content | {"state_dict": {}}, cases["keys"])
    torch.save(content | {"config": {"seed": 1}}, cases["config"])
    empty = folder / "empty"
    empty.write_bytes(b"")
    code = folder / "code"
    torch.save({"kind": Path("x")}, code)
    return cases | {"empty": empty, "code": code, "missing": folder / "none", "folder": folder}


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("text", "not a readable checkpoint"),
        ("cut", "not a readable checkpoint"),
        ("empty", "not a readable checkpoint"),
        ("code", "not a readable checkpoint"),
        ("other", "not a checkpoint of"),
        ("version", "format 99"),
        ("keys", "damaged checkpoint"),
        ("config", "damaged checkpoint"),
        ("missing", "no such checkpoint"),
        ("folder", "a folder"),
    ],
)
def test_bad_checkpoints_are_user_errors(
    tiny_run: TrainResult, tmp_path: Path, case: str, message: str
):
    path = damaged(tmp_path, tiny_run.checkpoint)[case]
    with pytest.raises(UserInputError, match=message):
        export(path, tmp_path / "out" / "model.onnx")
    assert not (tmp_path / "out").exists()


def test_negative_slopes_are_exported_and_imported_exactly(tiny_run: TrainResult, tmp_path: Path):
    content = torch.load(tiny_run.checkpoint, weights_only=True)
    content["state_dict"]["halves.1.act.prelu.weight"][2] = -0.25
    path = tmp_path / "checkpoint.pt"
    torch.save(content, path)
    model = export(path, tmp_path / "model.onnx")
    data = load_data(model.with_suffix(".data.npz"))
    graph = import_model(model, data.images, count=2).graph
    assert sum(isinstance(layer, Subtract) for layer in graph.layers) == 1
    frames = quantise_input(graph, data.images[:32])
    output = interpret(graph, frames, keep=False)[graph.output.name].reshape(32, -1)
    logits = output.astype(np.float32) * np.float32(graph.scaling.output_scale)
    np.testing.assert_array_equal(logits, data.brevitas_logits[:32])
