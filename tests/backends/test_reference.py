"""The emitted numpy program, run as its user would, against the integer graph."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray

from hwgen import ops
from hwgen.backends import reference
from hwgen.engine import interpret, require_equal
from hwgen.errors import ToolError
from hwgen.layers.mvau import IntMvau
from hwgen.quant import IntType, QuantGraph, Scaling, Tensor, quantise_input
from tests.backends.engines import NETWORKS, REACTNETS, frames

GRAPH = REACTNETS["width 8, K = 2^3"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("reference")
    reference.emit(GRAPH).write(path)
    return path


@pytest.fixture(scope="module")
def model(folder: Path) -> ModuleType:
    return _imported(folder)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_tensor_equals_the_integer_graph(tmp_path: Path, name: str) -> None:
    graph = NETWORKS[name]
    reference.emit(graph).write(tmp_path)
    images = frames(graph, 7)
    found = reference.run(tmp_path, graph, images, keep=True)
    expected = interpret(graph, images)
    assert set(found.tensors) == set(expected)
    require_equal(graph, expected, found.tensors, "reference")
    np.testing.assert_array_equal(found.output, expected[graph.output.name])
    assert found.output.dtype == np.int64


def test_frames_in_several_chunks_equal_one_pass(
    model: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = frames(GRAPH, 11)
    want = model.run(images)
    monkeypatch.setattr(model, "CHUNK", 3)
    np.testing.assert_array_equal(model.run(images), want)


def test_no_images_give_no_outputs(folder: Path) -> None:
    found = reference.run(folder, GRAPH, frames(GRAPH, 2)[:0])
    assert found.output.shape == (0, *GRAPH.output.shape)


def test_it_runs_where_hwgen_cannot_be_imported(folder: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "in.npy", frames(GRAPH, 3))
    blocked = (
        "import runpy, sys; sys.modules['hwgen'] = None; sys.argv = sys.argv[1:]; "
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    command: list[str | Path] = [sys.executable, "-I", "-c", blocked, folder / "model.py"]
    command += [tmp_path / "in.npy", tmp_path / "out.npy"]
    done = subprocess.run(command, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    want = interpret(GRAPH, frames(GRAPH, 3), keep=False)[GRAPH.output.name]
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), want.reshape(3, -1))


def test_emitting_twice_gives_the_same_bytes() -> None:
    for graph in NETWORKS.values():
        assert reference.emit(graph).content == reference.emit(graph).content


def test_names_that_differ_only_in_punctuation_or_case_stay_apart(tmp_path: Path) -> None:
    wide = IntType(12, signed=True)
    types = {"in": IntType(4), "a.b": wide, "a_b": wide, "A_b_1": wide}
    first, *_, last = tensors = [Tensor(name, (1, 1, 2), t) for name, t in types.items()]
    layers = tuple(
        IntMvau(name, (x,), (y,), np.array([[1, k], [-k, 0]]), np.array([k, -k]))
        for k, name, x, y in zip(
            range(3), ("n.0", "n_0", "N_0"), tensors, tensors[1:], strict=False
        )
    )
    graph = QuantGraph("names", first, last, layers, Scaling(1, 1))
    reference.emit(graph).write(tmp_path)
    images = frames(graph, 4)
    found = reference.run(tmp_path, graph, images, keep=True)
    require_equal(graph, interpret(graph, images), found.tensors, "reference")
    assert set(found.tensors) == set(types)


def test_operators_are_those_of_hwgen() -> None:
    assert reference.emit(GRAPH).content["ops.py"] == Path(ops.__file__).read_bytes()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("name", ["width 8, K = 2^3", "odd"])
def test_float_images_are_quantised_as_hwgen_does(
    tmp_path: Path, name: str, dtype: type[np.floating]
) -> None:
    graph = NETWORKS[name]
    reference.emit(graph).write(tmp_path)
    h, w, c = graph.input.shape
    scale = graph.scaling.input_scale
    rng = np.random.default_rng(3)
    ties = rng.integers(-600, 600, size=(5, c, h, w)) / 2 * scale  # half of them between integers
    images = ties.astype(dtype)
    images[0, 0, 0, :3] = np.inf, -np.inf, -0.0
    with np.errstate(invalid="raise"):
        want = quantise_input(graph, images.astype(np.float32))
    np.testing.assert_array_equal(_imported(tmp_path).quantise(images), want)


def test_doubles_beyond_float32_saturate_quietly(model: ModuleType) -> None:
    images = np.full((1, 1, 6, 5), 1e300)
    assert (model.quantise(images) == GRAPH.input.dtype.hi).all()


@pytest.mark.parametrize("name", ["width 8, K = 2^3", "odd"])
def test_float_output_is_scaled_and_offset(tmp_path: Path, name: str) -> None:
    graph = NETWORKS[name]
    graph = replace(graph, scaling=replace(graph.scaling, output_scale=0.3, output_offset=-1.5))
    reference.emit(graph).write(tmp_path)
    images = frames(graph, 3)
    np.save(tmp_path / "in.npy", images)
    logits = interpret(graph, images, keep=False)[graph.output.name]
    for options, want in (([], logits), (["--float"], logits * 0.3 - 1.5)):
        done = _model(tmp_path, tmp_path / "in.npy", tmp_path / "out.npy", *options)
        assert done.returncode == 0, done.stderr
        got = np.load(tmp_path / "out.npy")
        assert got.shape == ((3, graph.output.channels) if name != "odd" else logits.shape)
        np.testing.assert_array_equal(got.reshape(want.shape), want)
        assert got.dtype == want.dtype


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 5, 6, 1), np.int32), r"shape \(2, 5, 6, 1\), not \(N, 6, 5, 1\)"),
        (np.zeros((2, 6, 5, 1), np.float32), r"shape \(2, 6, 5, 1\), not \(N, 1, 6, 5\)"),
        (np.zeros((6, 5, 1), np.int32), r"shape \(6, 5, 1\)"),
        (np.full((2, 6, 5, 1), 256), r"outside \[0, 255\]"),
        (np.full((2, 6, 5, 1), -1, np.int8), r"outside \[0, 255\]"),
        (np.full((2, 1, 6, 5), np.nan), "NaN"),
        (np.zeros((2, 6, 5, 1), np.complex64), "complex64"),
        (np.array(["a", "b"]), "<U1"),
    ],
)
def test_bad_images_are_refused_in_one_line(
    folder: Path, tmp_path: Path, images: NDArray[np.generic], message: str
) -> None:
    np.save(tmp_path / "in.npy", images)
    _refused(_model(folder, tmp_path / "in.npy", tmp_path / "out.npy"), message)
    assert not (tmp_path / "out.npy").exists()


@pytest.mark.parametrize("content", [b"", b"GIF89a, no array", b"\x93NUMPY\x01\x00", None])
def test_a_file_that_is_no_array_is_refused_in_one_line(
    folder: Path, tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "in.npy").write_bytes(content)
    _refused(_model(folder, tmp_path / "in.npy", tmp_path / "out.npy"), "in.npy")


def test_objects_are_never_unpickled(folder: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "in.npy", np.array([{}, []], object), allow_pickle=True)
    _refused(_model(folder, tmp_path / "in.npy", tmp_path / "out.npy"), "not a .npy file")


def test_unwritable_output_is_reported_in_one_line(folder: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "in.npy", frames(GRAPH, 2))
    _refused(_model(folder, tmp_path / "in.npy", tmp_path / "none" / "out.npy"), "none/out.npy")


@pytest.mark.parametrize("damage", ["truncated", "flipped", "missing"])
def test_damaged_params_are_refused_in_one_line(folder: Path, tmp_path: Path, damage: str) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    params = tmp_path / "copy" / "params.npz"
    data = bytearray(params.read_bytes())
    data[len(data) // 2] ^= damage == "flipped"
    params.unlink()
    if damage != "missing":
        params.write_bytes(data[: -1 if damage == "truncated" else None])
    np.save(tmp_path / "in.npy", frames(GRAPH, 2))
    _refused(_model(tmp_path / "copy", tmp_path / "in.npy", tmp_path / "out.npy"), "params.npz")
    with pytest.raises(ToolError, match=r"params\.npz"):
        reference.run(tmp_path / "copy", GRAPH, frames(GRAPH, 2))


def test_two_builds_can_be_imported_side_by_side(folder: Path, tmp_path: Path) -> None:
    other: QuantGraph = REACTNETS["width 96"]
    reference.emit(other).write(tmp_path)
    for graph, path in ((GRAPH, folder), (other, tmp_path)):
        images = frames(graph, 2)
        want = interpret(graph, images, keep=False)[graph.output.name]
        np.testing.assert_array_equal(_imported(path).run(images), want.reshape(2, -1))


def _imported(folder: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"model_{folder.name}", folder / "model.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _model(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, folder / "model.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")


def _refused(done: subprocess.CompletedProcess[str], message: str) -> None:
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("model.py: ")
    assert re.search(message, done.stderr), done.stderr
