"""hwgen.load: a build as a Python function, equal to the numpy reference; errors in words."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import hwgen
from hwgen.backends import cpp, reference
from hwgen.engine import interpret
from hwgen.errors import HwgenError, ToolError, UserInputError
from hwgen.files import Files, seal
from hwgen.quant import QuantGraph, Scaling
from tests.backends.engines import NETWORKS, REACTNETS, frames

STEPS = (("subtract", (8.0,)),)
SCALING = Scaling(0.25, (0.5, 2.0, 0.1, 1.0, 3.0), (1.0, -3.0, 0.0, 7.5, 0.0), STEPS, (3, 200))
GRAPH = replace(REACTNETS["width 8, K = 2^3"], scaling=SCALING)


def make_build(graph: QuantGraph, folder: Path) -> Path:
    """What of a build the model needs, and the reference."""
    files = cpp.emit(graph).under("cppsim") | reference.emit(graph).under("reference")
    files.write(folder)
    seal(folder, files)
    return folder


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_build(GRAPH, tmp_path_factory.mktemp("build"))
    hwgen.load(folder)  # compiled
    return folder


@pytest.fixture
def model(built: Path) -> hwgen.model.Model:
    return hwgen.load(built)


def floats(count: int) -> NDArray[np.float32]:
    h, w, c = GRAPH.input.shape
    rng = np.random.default_rng(count)
    return rng.uniform(-20, 90, size=(count, c, h, w)).astype(np.float32)


def by_reference(folder: Path, images: NDArray[np.generic], *words: str) -> NDArray[np.generic]:
    """What the emitted numpy program makes of the same array."""
    np.save(folder / "in.npy", images)
    files = [folder / "in.npy", folder / "out.npy"]
    command = [sys.executable, folder / "reference" / "model.py", *files, *words]
    subprocess.run(command, check=True)
    found: NDArray[np.generic] = np.load(folder / "out.npy")
    return found


def test_floats_integers_and_scores_equal_the_reference(
    built: Path, model: hwgen.model.Model
) -> None:
    images = floats(70)
    np.testing.assert_array_equal(model.run(images), by_reference(built, images))
    np.testing.assert_array_equal(model.run(images.astype(np.float64)), model.run(images))
    got = model.run(images, scores=True)
    np.testing.assert_array_equal(got, by_reference(built, images, "--float"))
    integers = np.clip(frames(GRAPH, 9), *model.input_range).astype(np.uint8)
    np.testing.assert_array_equal(model.run(integers), by_reference(built, integers))
    assert model.run(integers).dtype == np.int64


def test_chunks_threads_and_order_in_memory_change_nothing(
    model: hwgen.model.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = floats(41)
    want = model.run(images, threads=1)
    monkeypatch.setattr("hwgen.model.CHUNK", 7)
    np.testing.assert_array_equal(model.run(images, threads=3), want)
    np.testing.assert_array_equal(model.run(np.asfortranarray(images)), want)
    np.testing.assert_array_equal(model.run(images[::-1])[::-1], want)
    assert model.run(images[:0]).shape == (0, want.shape[1])


def test_python_threads_may_share_a_model(model: hwgen.model.Model) -> None:
    parts = [floats(20 + i) for i in range(4)]
    want = [model.run(part) for part in parts]
    got: dict[int, NDArray[np.generic]] = {}

    def work(i: int) -> None:
        got[i] = model.run(parts[i], threads=2)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(4):
        np.testing.assert_array_equal(got[i], want[i])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["odd", "pooled"])
def test_networks_that_end_in_images_or_classes(tmp_path: Path, name: str) -> None:
    graph = NETWORKS[name]
    model = hwgen.load(make_build(graph, tmp_path))
    images = frames(graph, 5)
    expected = interpret(graph, images, keep=False)[graph.output.name]
    got = model.run(images)
    if name == "odd":
        np.testing.assert_array_equal(got, expected)
        assert got.ndim == 4
    else:
        np.testing.assert_array_equal(got, expected[:, 0, 0])
        with pytest.raises(UserInputError, match="class indices, no scores"):
            model.run(images, scores=True)


def test_importing_hwgen_loads_nothing_heavy() -> None:
    code = "import sys, hwgen; assert not {'numpy', 'torch', 'onnx', 'ctypes'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_folder_that_is_no_build_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(UserInputError, match="not a finished build"):
            hwgen.load(folder)


def test_a_build_without_cppsim_is_refused(tmp_path: Path) -> None:
    seal(tmp_path, Files({}))
    with pytest.raises(UserInputError, match="holds no cppsim"):
        hwgen.load(tmp_path)


def test_damaged_parameters_are_refused(built: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(built, tmp_path / "b")
    params = folder / "cppsim" / "params.bin"
    data = bytearray(params.read_bytes())
    data[len(data) // 2] ^= 1
    params.write_bytes(data)
    with pytest.raises(UserInputError, match="cppsim/params.bin"):
        hwgen.load(folder)
    with pytest.raises(UserInputError, match="digest differs"):  # the library itself looks too
        hwgen.model.Model.of_folder(folder / "cppsim")


def test_without_a_compiler_the_error_says_what_to_install(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = make_build(GRAPH, tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(ToolError, match=r"g\+\+ is not on PATH.*install"):
        hwgen.load(fresh)
    hwgen.load(built)  # compiled before: no compiler needed


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    folder = make_build(GRAPH, tmp_path / "b")
    (folder / "cppsim").chmod(0o500)
    with pytest.raises(UserInputError, match="not writable"):
        hwgen.load(folder)


H, W, C = GRAPH.input.shape
BAD: tuple[tuple[NDArray[np.generic], str], ...] = (
    (np.zeros((2, H, W, C), np.float32), rf"\(N, {C}, {H}, {W}\) is needed"),
    (np.zeros((2, C, H, W), np.int64), rf"\(N, {H}, {W}, {C}\) is needed"),
    (np.zeros((C, H, W), np.float32), "is needed"),
    (np.zeros((2, C, H, W), np.complex64), "dtype complex64"),
    (np.full((2, H, W, C), 2), r"\[2, 2\], outside \[3, 200\]"),
    (np.full((2, H, W, C), 201, np.uint8), r"outside \[3, 200\]"),
    (np.full((2, C, H, W), np.nan), "NaN"),
)


@pytest.mark.parametrize(("images", "message"), BAD)
def test_bad_images_are_refused_in_words(
    model: hwgen.model.Model, images: NDArray[np.generic], message: str
) -> None:
    with pytest.raises(UserInputError, match=message):
        model.run(images)


def test_bad_options_are_refused_in_words(built: Path, model: hwgen.model.Model) -> None:
    with pytest.raises(UserInputError, match="threads is 0"):
        model.run(floats(2), threads=0)
    with pytest.raises(HwgenError, match="'fast' is no level of SIMD"):
        hwgen.load(built, simd="fast")


def test_a_build_made_again_in_the_same_folder_is_loaded_anew(tmp_path: Path) -> None:
    graph = GRAPH
    images = floats(6)
    before = hwgen.load(make_build(graph, tmp_path))
    first = before.run(images)
    *layers, last = graph.layers
    other = replace(graph, layers=(*layers, replace(last, bias=last.bias + 1)))  # type: ignore[attr-defined,call-arg]
    np.testing.assert_array_equal(hwgen.load(make_build(other, tmp_path)).run(images), first + 1)
    np.testing.assert_array_equal(before.run(images), first)
