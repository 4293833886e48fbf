"""A build that is wrong in one place: verify names that place, and leaves its tensors."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hwgen.build import build
from hwgen.config import BuildConfig
from hwgen.data import VerificationData
from hwgen.engine import interpret
from hwgen.errors import MismatchError
from hwgen.files import MANIFEST, check_seal, sha256
from hwgen.quant import quantise_input
from hwgen.saved import DATA, FOLDING, load_build
from hwgen.verify import verify
from tests.qonnx_models import reactnet


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two of its staircases are searched: thresholds in memories, an offset as a parameter."""
    folder = tmp_path_factory.mktemp("mismatch")
    builder = reactnet(1)
    model = builder.save(folder / "m.onnx")
    images = np.random.default_rng(4).random((6, *builder.shape), np.float32)
    (folder / "m.data.npz").write_bytes(VerificationData(images).to_bytes())
    free = build(BuildConfig(out=folder / "free"), model).folder
    foldings = json.loads((free / FOLDING).read_text())
    for layer in ("Thresholding_2", "Thresholding_3"):
        foldings[layer]["unit"] = "binary search"
    (folder / FOLDING).write_text(json.dumps(foldings))
    return build(BuildConfig(out=folder / "b", folding=folder / FOLDING), model).folder


@pytest.fixture
def copy(built: Path, tmp_path: Path) -> Path:
    return shutil.copytree(built, tmp_path / "b")


def reseal(folder: Path) -> None:
    """Make the manifest true again: the damage counts as what was built."""
    manifest = json.loads((folder / MANIFEST).read_text())
    for name in manifest["files"]:
        manifest["files"][name] = sha256((folder / name).read_bytes())
    (folder / MANIFEST).write_text(json.dumps(manifest))
    check_seal(folder)


def instance(folder: Path, layer: str) -> str:
    """The text that instantiates a layer's kernel, parameters included."""
    top = (folder / "rtl" / "hwgen_top.sv").read_text()
    end = top.index(f") u_{layer} (")
    return top[top.rindex("#(", 0, end) : end]


def memory(folder: Path, layer: str, parameter: str, which: int = -1) -> Path:
    """A memory file of a layer's kernel; of thresholds the first is lane 0's first comparison."""
    name = re.search(rf'\.{parameter}\("([\w.]+)"\)', instance(folder, layer))
    assert name
    stem = name.group(1).removesuffix(".mem")
    return sorted((folder / "rtl").glob(f"{stem}*.mem"))[which]


def flip(path: Path, mask: int, words: slice = slice(0, 1)) -> None:
    """Flip bits in words of a memory file."""
    lines = path.read_text().split("\n")
    at = [i for i, line in enumerate(lines) if line.strip() and not line.startswith("//")]
    for i in at[words]:
        width = len(lines[i])
        lines[i] = f"{(int(lines[i], 16) ^ mask) & ((1 << 4 * width) - 1):0{width}x}"
    path.write_text("\n".join(lines))


def edit_params(folder: Path, layer: str, key: str, change: Callable) -> None:
    """Change a constant of the numpy model."""
    path = folder / "reference" / "params.npz"
    arrays = dict(np.load(path))
    name = next(n for n in arrays if n.startswith(layer) and n.endswith(key))
    arrays[name] = change(arrays[name].copy())
    before = sha256(path.read_bytes())
    np.savez(path, **arrays)
    model = folder / "reference" / "model.py"  # which knows the digest too
    model.write_text(model.read_text().replace(before, sha256(path.read_bytes())))


def first_mismatch(folder: Path, engine: str, layer: str) -> dict:
    """Reseal, verify, and check everything that is told about the place against itself."""
    reseal(folder)
    with pytest.raises(
        MismatchError, match=rf"{engine} differs .*layer {layer}, .*channel"
    ) as error:
        verify(folder, engines=(engine,))
    where = folder / "verification_output" / "first_mismatch"
    assert str(where) in str(error.value)
    told = json.loads((where / "mismatch.json").read_text())
    assert (told["engine"], told["layer"]) == (engine, layer)
    verdict = json.loads((folder / "report" / "verification.json").read_text())[engine]
    assert verdict["first_mismatch"].items() <= told.items()
    want, got = (np.load(where / f"{name}.npy") for name in ("expected", "got"))
    at = (0, told["y"], told["x"], told["channel"])
    assert want[at] == told["expected"] != got[at] == told["got"]
    assert tuple(np.argwhere(want != got)[0]) == at
    assert told["differing"] == np.count_nonzero(want != got)
    check_tensors(folder, where, told, want)
    return told


def check_tensors(folder: Path, where: Path, told: dict, want: np.ndarray) -> None:
    """``input`` through the layer gives ``expected``; ``frame`` is that image."""
    flow, _ = load_build(folder)
    layer = next(x for x in flow.graph.layers if x.name == told["layer"])
    np.testing.assert_array_equal(layer.evaluate(np.load(where / "input.npy"))[0], want)
    images = np.load(folder / DATA)["images"]
    frame = quantise_input(flow.graph, images)[told["image"] : told["image"] + 1]
    np.testing.assert_array_equal(np.load(where / "frame.npy"), frame)
    np.testing.assert_array_equal(interpret(flow.graph, frame)[layer.output.name], want)


def test_a_wrong_weight_of_the_numpy_model_is_found(copy: Path) -> None:
    def change(weights: np.ndarray) -> np.ndarray:
        weights[0, 2] = 1 - weights[0, 2]
        return weights

    edit_params(copy, "MVAU_1", "weights", change)
    assert first_mismatch(copy, "reference", "MVAU_1")["channel"] == 2


def test_a_wrong_threshold_of_the_numpy_model_is_found(copy: Path) -> None:
    def change(thresholds: np.ndarray) -> np.ndarray:
        thresholds[1] -= 3
        return thresholds

    edit_params(copy, "Thresholding_2", "thresholds", change)
    assert first_mismatch(copy, "reference", "Thresholding_2")["channel"] == 1


@pytest.mark.slow
def test_a_wrong_weight_word_is_found(copy: Path) -> None:
    flip(memory(copy, "MVAU_1", "WEIGHTS"), 1)
    told = first_mismatch(copy, "rtlsim", "MVAU_1")
    assert told["kind"] == "XnorMvau"
    assert told["channel"] == 0


@pytest.mark.slow
def test_a_wrong_threshold_word_is_found(copy: Path) -> None:
    flip(memory(copy, "Thresholding_2", "THRESHOLDS", 0), 0b1110, slice(None))
    assert first_mismatch(copy, "rtlsim", "Thresholding_2")["kind"] == "Threshold"


@pytest.mark.slow
def test_a_wrong_parameter_of_the_rtl_is_found(copy: Path) -> None:
    top = copy / "rtl" / "hwgen_top.sv"
    before = instance(copy, "Thresholding_3")
    after = re.sub(r"\.OFFSET\((\d+)\)", lambda m: f".OFFSET({int(m[1]) ^ 1})", before)
    assert after != before
    top.write_text(top.read_text().replace(before, after))
    first_mismatch(copy, "rtlsim", "Thresholding_3")


def test_what_goes_wrong_in_a_later_image_is_found_in_its_first_layer(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hwgen import verify as module

    honest = module.reference.run

    def weak(folder: Path, graph: object, frames: np.ndarray, *, keep: bool) -> object:
        run = honest(folder, graph, frames, keep=keep)  # type: ignore[arg-type]
        flow, _ = load_build(copy)
        special = quantise_input(flow.graph, np.load(copy / DATA)["images"])[5]
        for n, frame in enumerate(frames):
            if np.array_equal(frame, special):
                run.output[n] += 1
                if keep:
                    name = next(x for x in flow.graph.layers if x.name == "MVAU_2").output.name
                    run.tensors[name][n, 1, 2, 3] += 1
        return run

    monkeypatch.setattr(module.reference, "run", weak)
    told = first_mismatch(copy, "reference", "MVAU_2")
    assert (told["image"], told["channel"], told["y"], told["x"]) == (5, 3, 1, 2)


def test_a_good_run_leaves_no_mismatch_behind(copy: Path) -> None:
    where = copy / "verification_output" / "first_mismatch"
    where.mkdir(parents=True)
    (where / "mismatch.json").write_text("{}")
    verify(copy, engines=("reference",))
    assert not where.exists()
