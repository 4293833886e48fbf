import csv
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hwgen.errors import UserInputError
from training import checkpoint
from training.augment import shifted
from training.data import load_dataset
from training.learner import EpochCheckpoint
from training.quantizers import RPReLU
from training.stages import stages_of
from training.train import TrainResult, accuracy, train

from .conftest import TINY, tiny_config


def weights(result: TrainResult) -> dict[str, torch.Tensor]:
    return checkpoint.load(result.checkpoint).net.state_dict()


def assert_same_weights(one: TrainResult, two: TrainResult) -> None:
    left, right = weights(one), weights(two)
    assert left.keys() == right.keys()
    assert all(torch.equal(left[key], right[key]) for key in left)


def interrupt_after(monkeypatch: pytest.MonkeyPatch, epochs: int, saved: bool) -> None:
    """Press Ctrl-C in the given epoch's end, after or before its state is saved."""
    original = EpochCheckpoint.on_train_epoch_end
    count = 0

    def hook(self: EpochCheckpoint, *args: Any) -> None:
        nonlocal count
        count += 1
        if count < epochs or saved:
            original(self, *args)
        if count == epochs:
            raise KeyboardInterrupt

    monkeypatch.setattr(EpochCheckpoint, "on_train_epoch_end", hook)


def test_split_is_fixed_stratified_and_disjoint():
    data, again = load_dataset("digits", None, 8), load_dataset("digits", None, 8)
    assert data.train.images.shape == (1437, 1, 8, 8)
    assert data.held_out.images.shape == (360, 1, 8, 8)
    assert data.held_out.images.dtype == np.float32
    np.testing.assert_array_equal(data.held_out.images, again.held_out.images)
    assert np.bincount(data.held_out.labels).min() >= 34
    levels = np.unique(np.concatenate([data.train.images, data.held_out.images]) * 16)
    np.testing.assert_array_equal(levels, np.arange(17))


def test_shifts_move_whole_images_and_fill_with_zeros():
    image = torch.arange(1.0, 17.0).reshape(1, 1, 4, 4)
    padded = torch.nn.functional.pad(image, [1, 1, 1, 1])
    possible = [padded[..., y : y + 4, x : x + 4] for y in range(3) for x in range(3)]
    got = shifted(image.repeat(200, 1, 1, 1), 1, np.random.default_rng(0))
    seen = {next(i for i, p in enumerate(possible) if torch.equal(p[0], g)) for g in got}
    assert seen == set(range(9))
    assert torch.equal(shifted(image, 0, np.random.default_rng(0)), image)


def test_metrics_hold_the_figures_of_every_stage(tiny_run: TrainResult):
    path = tiny_run.checkpoint.with_name("metrics.json")
    metrics = json.loads(path.read_text())
    assert metrics == tiny_run.metrics
    assert metrics["config"] == tiny_config().model_dump(mode="json")
    assert metrics["seed"] == 0
    assert metrics["seconds"] > 0
    assert metrics["logits_exact"] is True
    for key in (
        "float_accuracy",
        "step1_accuracy",
        "float_binarised_accuracy",
        "brevitas_accuracy",
    ):
        assert 0 <= metrics[key] <= 1


def test_checkpoint_is_plain_tensors_and_gives_the_reported_accuracy(tiny_run: TrainResult):
    content = torch.load(tiny_run.checkpoint, weights_only=True)
    assert content["version"] == checkpoint.VERSION
    loaded = checkpoint.load(tiny_run.checkpoint)
    assert (
        accuracy(loaded.net, load_dataset("digits", None, 8).held_out)
        == tiny_run.metrics["brevitas_accuracy"]
    )
    slopes = [m.prelu.weight for m in loaded.net.modules() if isinstance(m, RPReLU)]
    assert all((slope >= 0).all() for slope in slopes)


def test_no_temporary_files_stay_behind(tiny_run: TrainResult):
    assert not list(tiny_run.checkpoint.parent.rglob(".*"))


def test_training_twice_gives_the_same_weights(tiny_run: TrainResult, tmp_path: Path):
    assert_same_weights(tiny_run, train(tiny_config(), tmp_path))


def test_training_does_not_disturb_the_global_generator(tmp_path: Path):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    train(tiny_config("step1.epochs=1", "step2.epochs=1"), tmp_path)
    assert torch.equal(torch.rand(3), expected)
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("epoch", [1, 2, 4, 5, 6])
@pytest.mark.parametrize("saved", [True, False])
def test_ctrl_c_then_resume_arrives_at_the_same_weights(
    tiny_run: TrainResult,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    epoch: int,
    saved: bool,
):
    handler = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        interrupt_after(patch, epoch, saved)
        with pytest.raises(KeyboardInterrupt):
            train(tiny_config(), tmp_path)
    assert signal.getsignal(signal.SIGINT) is handler
    assert not (tmp_path / "checkpoint.pt").exists()
    assert_same_weights(tiny_run, train(tiny_config(), tmp_path, resume=True))


def test_resume_does_not_repeat_epochs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patch:
        interrupt_after(patch, 4, saved=True)  # teacher 1, step 1 at 2 of 2, step 2 at 1 of 2
        with pytest.raises(KeyboardInterrupt):
            train(tiny_config(), tmp_path)
    interrupt_after(monkeypatch, 3, saved=True)  # two epochs are left: never reached
    train(tiny_config(), tmp_path, resume=True)


def test_resuming_a_finished_run_changes_nothing(tmp_path: Path):
    first = train(tiny_config("seed=3"), tmp_path)
    before = weights(first)
    second = train(tiny_config("seed=3"), tmp_path, resume=True)
    assert second.metrics == first.metrics
    assert all(torch.equal(before[key], value) for key, value in weights(second).items())


def test_resume_with_another_config_is_refused(tiny_run: TrainResult):
    with pytest.raises(UserInputError, match=r"model.width was 4, is 6 \(1 differ\)"):
        train(tiny_config("model.width=6"), tiny_run.checkpoint.parent, resume=True)


def test_resume_in_an_empty_folder_starts_afresh(tiny_run: TrainResult, tmp_path: Path):
    assert_same_weights(tiny_run, train(tiny_config(), tmp_path / "new", resume=True))


def test_leftovers_of_an_unknown_run_are_not_resumed(tiny_run: TrainResult, tmp_path: Path):
    other = train(tiny_config("seed=9"), tmp_path)
    (tmp_path / "resume" / "config.json").unlink()  # a fresh start was interrupted here
    assert_same_weights(tiny_run, train(tiny_config(), other.checkpoint.parent, resume=True))


def test_step3_keeps_the_statistics_of_step2(tiny_run: TrainResult):
    folder = tiny_run.checkpoint.parent / "resume"
    before, after = (
        torch.load(folder / f"{name}.pt", weights_only=True)["state_dict"]
        for name in ("step2", "step3")
    )
    statistics = [key for key in before if "running" in key]
    assert statistics
    assert all(torch.equal(before[key], after[key]) for key in statistics)
    assert not torch.equal(before["classifier.weight"], after["classifier.weight"])


def test_limits_are_found_before_step3_and_kept_with_the_network(tiny_run: TrainResult):
    model = checkpoint.load(tiny_run.checkpoint).config.model
    assert len(model.limits) == 3
    assert tiny_run.metrics["config"]["model"]["residual_limit"] == "auto"


def test_without_step3_the_grids_are_there_from_step_1(tmp_path: Path):
    overrides = ("step3=null", "model.residual_limit=2.0", "step1.epochs=1", "step2.epochs=1")
    base = [entry for entry in TINY if not entry.startswith("step3")]
    result = train(tiny_config(*overrides, base=base), tmp_path)
    assert "float_binarised_accuracy" not in result.metrics
    stages = [stage.exact for stage in stages_of(tiny_config(*overrides, base=base))]
    assert stages == [False, True, True]


def test_curves_are_logged_for_every_stage(tiny_run: TrainResult):
    logs = tiny_run.checkpoint.parent / "logs"
    for stage, epochs in (("teacher", 1), ("step1", 2), ("step2", 2), ("step3", 1)):
        with (logs / "csv" / stage / "metrics.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert sum(bool(row["loss"]) for row in rows) == epochs
        assert sum(bool(row["accuracy"]) for row in rows) == epochs
        assert list((logs / "tensorboard" / stage).glob("events.out.tfevents.*"))


def test_an_existing_teacher_takes_the_place_of_the_twin(tiny_run: TrainResult, tmp_path: Path):
    images = torch.from_numpy(load_dataset("digits", None, 8).train.images)
    logits = tmp_path / "logits.npy"
    with torch.no_grad():
        np.save(logits, checkpoint.load(tiny_run.checkpoint).net(images).numpy())
    base = [entry for entry in TINY if not entry.startswith("teacher")]
    found = []
    for teacher in (tiny_run.checkpoint, logits):  # the same answers by either way
        overrides = (f"teacher_from={teacher}", "teacher=null", "augment.shift=0")
        result = train(tiny_config(*overrides, base=base), tmp_path / teacher.stem)
        assert "float_accuracy" not in result.metrics
        found.append(weights(result))
    assert all(torch.allclose(found[0][key], found[1][key], atol=1e-2) for key in found[0])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.pt", "no such checkpoint"),
        ("none.npy", "not a readable .npy file"),
        ("wrong.npy", r"a finite float array \(1437, 10\) is needed"),
        ("torchvision:resnet34:none.pth", "torchvision"),
        ("torchvision:resnet34", "torchvision"),
    ],
)
def test_bad_teachers_are_user_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str
):
    monkeypatch.chdir(tmp_path)
    np.save("wrong.npy", np.zeros((3, 10), np.float32))
    base = [entry for entry in TINY if not entry.startswith("teacher")]
    with pytest.raises(UserInputError, match=message):
        train(tiny_config(f"teacher_from={name}", "teacher=null", base=base), tmp_path / "run")


def test_an_average_of_the_weights_can_replace_them(tiny_run: TrainResult, tmp_path: Path):
    averaged = weights(train(tiny_config("ema=0.5"), tmp_path))
    assert any(not torch.equal(averaged[key], value) for key, value in weights(tiny_run).items())


def test_cross_entropy_and_no_shift_train(tmp_path: Path):
    result = train(tiny_config("loss=cross_entropy", "augment.shift=0", "step2.epochs=1"), tmp_path)
    assert result.checkpoint.exists()


@pytest.mark.parametrize("override", ["image_size=16", "in_channels=3", "num_classes=4"])
def test_a_model_that_does_not_fit_the_data_is_refused(tmp_path: Path, override: str):
    key = override.partition("=")[0]
    with pytest.raises(UserInputError, match=f"model.{key}"):
        train(tiny_config(f"model.{override}"), tmp_path)


def test_unusable_folder_is_a_user_error(tmp_path: Path):
    occupied = tmp_path / "file"
    occupied.write_text("")
    for out in (occupied, occupied / "below"):
        with pytest.raises(UserInputError, match="cannot create the folder"):
            train(tiny_config(), out)


def test_unwritable_folder_is_a_user_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("os.access", lambda *_, **__: False)  # root may write everywhere
    with pytest.raises(UserInputError, match="not writable"):
        train(tiny_config(), tmp_path)


def test_missing_accelerator_is_a_user_error(tmp_path: Path):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(UserInputError, match="accelerator 'gpu' with 1 devices"):
        train(tiny_config("accelerator=gpu"), tmp_path)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path):
    path = tmp_path / "x"
    path.write_text("old")

    def fail(temporary: Path) -> None:
        temporary.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(UserInputError, match="No space left"):
        checkpoint.write_atomically(path, fail)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["x"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0])
def test_default_config_reaches_its_accuracy(tmp_path: Path, seed: int):
    from training.config import load_config

    result = train(load_config(None, [f"seed={seed}"]), tmp_path)
    assert result.metrics["brevitas_accuracy"] >= 0.97
    assert result.metrics["logits_exact"]


@pytest.mark.slow
def test_two_processes_train_together(tmp_path: Path):
    sets = [word for entry in (*TINY, "accelerator=cpu") for word in ("--set", entry)]
    command = [str(Path(sys.executable).with_name("hwgen")), "train", "--out", "run"]
    command += ["--devices", "2", "--no-reference", *sets]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stderr.count("held-out accuracy") == 1  # one of the processes speaks
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert 0 <= metrics["brevitas_accuracy"] <= 1
