"""Damaged files end in a clear error or a network that is exact; check and import agree."""

from __future__ import annotations

import signal
import tracemalloc
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from hwgen.errors import HwgenError, MismatchError
from hwgen.frontend.importer import import_model
from hwgen.frontend.survey import survey
from tests.fuzzing import bases, damaged, zero_padded

COUNT, PARTS = 240, 8


@pytest.fixture(autouse=True)
def _limit() -> Iterator[None]:
    """A hang fails its test: no test takes a minute of processor time."""

    def hang(*_: object) -> None:
        pytest.fail("a minute of processor time: a hang")  # which no `except Exception` catches

    before = signal.signal(signal.SIGPROF, hang)
    signal.setitimer(signal.ITIMER_PROF, 60)
    yield
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.signal(signal.SIGPROF, before)


def refusal(path: Path) -> str | None:
    """What the import says against a file; None if it accepts it. Anything else propagates."""
    try:
        import_model(path, None, count=1)
    except MismatchError:
        raise
    except HwgenError as error:
        return str(error) if error.exit_code == 2 else "no user error"
    return None


def passes_check(path: Path) -> bool:
    try:
        return survey(path)[0].ok
    except HwgenError:
        return False


def refused(path: Path, seeds: Iterable[int]) -> int:
    """How many damaged files are refused, each in words, and alike by check and import."""
    models, count = bases(), 0
    for seed in seeds:
        data, what = damaged(models[seed % len(models)], seed)
        path.write_bytes(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            said = refusal(path)
            assert passes_check(path) == (said is None), f"seed {seed}: {what}: {said}"
        if said is not None:
            count += 1
            assert len(said) > 20, f"seed {seed}: {what}"
            assert "Traceback" not in said
    return count


@pytest.mark.parametrize("part", range(PARTS))
def test_damaged_files_are_refused_in_words_or_built_exactly(tmp_path: Path, part: int) -> None:
    count = refused(tmp_path / "m.onnx", range(part, COUNT, PARTS))
    assert COUNT // PARTS // 2 < count < COUNT // PARTS


def test_files_that_once_broke_the_import_are_refused(tmp_path: Path) -> None:
    once = (260, 1210, 2030, 10163, 10404, 10419, 21398, 60394, 60423, 61924, 71640, 90199)
    assert refused(tmp_path / "m.onnx", once) == len(once)


def test_the_undamaged_files_are_accepted(tmp_path: Path) -> None:
    for model in bases():
        (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
        assert refusal(tmp_path / "m.onnx") is None


def test_the_same_seed_makes_the_same_file() -> None:
    model = bases()[0]
    assert damaged(model, 11) == damaged(model, 11)
    assert len({damaged(model, seed) for seed in range(50)}) > 40


Change = Callable[[onnx.ModelProto], None]


def huge_input(model: onnx.ModelProto) -> None:
    dims = model.graph.input[0].type.tensor_type.shape.dim
    dims[2].dim_value = dims[3].dim_value = 1 << 20


def huge_pad(model: onnx.ModelProto) -> None:
    pads = np.array([0, 0, 1 << 20, 1 << 20] * 2, np.int64)
    tensor = next(t for t in model.graph.initializer if t.name.startswith("pads"))
    tensor.CopyFrom(onnx.numpy_helper.from_array(pads, tensor.name))


def huge_constant(model: onnx.ModelProto) -> None:
    del model.graph.initializer[0].dims[:]
    model.graph.initializer[0].dims.extend([1 << 30, 1 << 30])


def huge_broadcast(model: onnx.ModelProto) -> None:
    for name, shape in (("tall", [1 << 14, 1]), ("wide", [1, 1 << 14])):
        tensor = helper.make_tensor(name, TensorProto.FLOAT, shape, np.zeros(1 << 14, np.float32))
        model.graph.initializer.append(tensor)
    model.graph.node.insert(0, helper.make_node("Add", ["tall", "wide"], ["product"], name="big"))


def huge_kernel(model: onnx.ModelProto) -> None:
    node = next(n for n in model.graph.node if n.op_type == "MaxPool")
    del node.attribute[:]
    square = {"kernel_shape": [1 << 20] * 2, "strides": [1, 1], "pads": [1 << 19] * 4}
    node.attribute.extend(helper.make_attribute(key, value) for key, value in square.items())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (huge_input, "more than"),
        (huge_pad, "more than"),
        (huge_constant, "up to"),
        (huge_broadcast, "more than"),
        (huge_kernel, "1 to 1024"),
    ],
)
def test_huge_sizes_are_refused_before_they_are_allocated(
    tmp_path: Path, change: Change, words: str
) -> None:
    model = zero_padded().model()
    change(model)
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    tracemalloc.start()
    try:
        said = refusal(path)
        assert not passes_check(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert said is not None
    assert words in said
    assert peak < 64 << 20


def test_missing_external_data_is_named(tmp_path: Path) -> None:
    model = zero_padded().model()
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    assert "weights.bin" in str(refusal(path))


def test_a_cycle_is_called_one(tmp_path: Path) -> None:
    model = zero_padded().model()
    first = next(n for n in model.graph.node if n.op_type == "Conv")
    first.input[0] = model.graph.node[-1].output[0]
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    assert "a cycle" in str(refusal(path))


def test_a_symbolic_batch_is_one_image(tmp_path: Path) -> None:
    model = zero_padded().model()
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "N"
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    assert refusal(path) is None
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "H"
    path.write_bytes(model.SerializeToString())
    assert "left open" in str(refusal(path))
