"""Training in stages: a real-valued teacher, binary activations, binary weights, the hardware.

What a run leaves in its folder: checkpoint.pt (the trained network), metrics.json, logs/ (loss,
rate and accuracy of every epoch, as CSV and for TensorBoard), and resume/ (the state after the
last epoch of each stage, for `--resume`).
"""

import json
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging, LearningRateMonitor
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.trainer.states import TrainerStatus
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import nn

from hwgen.errors import UserInputError
from training import checkpoint
from training.calibrate import calibrate
from training.config import ModelConfig, TrainConfig, load_config
from training.data import Dataset, Examples, load_dataset, stacked
from training.exact import FLOAT32_BITS, logit_bits, make_exact
from training.learner import Bar, EpochCheckpoint, Learner
from training.model import ReActNet
from training.quiet import quiet
from training.stages import Stage, stages_of
from training.teacher import Teacher, load_teacher

__all__ = ["TrainResult", "accuracy", "is_main_process", "load_config", "train", "write_metrics"]

CALIBRATION_IMAGES = 512
EVALUATION_BATCH = 256


@dataclass(frozen=True, slots=True)
class TrainResult:
    """Where the trained network lies, and what metrics.json holds."""

    checkpoint: Path
    metrics: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Run:
    config: TrainConfig
    data: Dataset
    folder: Path
    devices: int
    nodes: int

    @property
    def stages(self) -> tuple[Stage, ...]:
        return stages_of(self.config)

    def latest(self, stage: Stage) -> Path:
        """State after the last whole epoch of a stage."""
        return self.folder / f"{stage.name}.ckpt"

    def finished(self, stage: Stage) -> Path:
        """Weights and figures of a finished stage."""
        return self.folder / f"{stage.name}.pt"

    @property
    def logs(self) -> Path:
        """Curves for people."""
        return self.folder.parent / "logs"


@dataclass(frozen=True, slots=True)
class _Done:
    """A finished stage."""

    stage: Stage
    net: ReActNet
    figures: dict[str, float]


def train(
    config: TrainConfig, out: Path, resume: bool = False, devices: int = 1, nodes: int = 1
) -> TrainResult:
    """Train the network of `config` into folder `out`; `resume` continues an interrupted run.

    Ctrl-C at any moment loses the current epoch at most, and a continued run arrives at the same
    weights as an uninterrupted one on the same machine.
    """
    data = load_dataset(
        config.data, config.data_folder, config.model.image_size, crop=config.augment.crop
    )
    _check_shapes(config.model, data)
    teacher = None
    if config.teacher_from is not None:
        teacher = load_teacher(config.teacher_from, len(data.train), data.num_classes)
    run = _Run(config, data, out / "resume", devices, nodes)
    _prepare(run, out, resume)
    done: list[_Done] = []
    with _calm(config.threads), _progress() as progress:
        total = sum(stage.settings.epochs for stage in run.stages)
        task = progress.add_task(run.stages[0].name, total=total)
        for stage in run.stages:
            done.append(_stage(run, stage, done, teacher, progress, task))
            if stage.name == "teacher":
                teacher = Teacher(done[-1].net)
    net = done[-1].net.eval()
    make_exact(net)
    result = TrainResult(out / "checkpoint.pt", _metrics(run, done, net))
    if is_main_process():
        learned = config.model_copy(update={"model": net.config})
        checkpoint.save(result.checkpoint, net, learned, result.metrics)
        write_metrics(result)
    return result


def is_main_process() -> bool:
    """Whether this process, of those that train together, speaks and writes files."""
    return int(rank_zero_only.rank) == 0


def write_metrics(result: TrainResult) -> None:
    """Write metrics.json beside the checkpoint."""
    text = json.dumps(result.metrics, indent=2) + "\n"
    path = result.checkpoint.with_name("metrics.json")
    checkpoint.write_atomically(path, lambda temporary: temporary.write_text(text))


def _metrics(run: _Run, done: list[_Done], net: ReActNet) -> dict[str, Any]:
    """Accuracies of every stage on the held-out images, and what they cost."""
    named = {entry.stage.name: entry.figures["accuracy"] for entry in done}
    metrics: dict[str, Any] = {}
    if "teacher" in named:
        metrics["float_accuracy"] = named["teacher"]
    metrics["step1_accuracy"] = named["step1"]
    if "step3" in named:
        metrics["float_binarised_accuracy"] = named["step2"]
    return metrics | {
        "brevitas_accuracy": accuracy(net, run.data.held_out),
        "logits_exact": logit_bits(net) <= FLOAT32_BITS,
        "seconds": round(sum(entry.figures["seconds"] for entry in done), 1),
        "seed": run.config.seed,
        "config": run.config.model_dump(mode="json"),
    }


@torch.no_grad()
def accuracy(net: ReActNet, split: Examples) -> float:
    """Share of images classified rightly, 0 to 1."""
    net.eval()
    right = 0
    for start in range(0, len(split), EVALUATION_BATCH):
        found = [split[i] for i in range(start, min(start + EVALUATION_BATCH, len(split)))]
        classes = net(torch.stack([image for image, _ in found])).argmax(dim=1)
        right += int((classes == torch.tensor([label for _, label in found])).sum())
    return right / len(split)


def _stage(
    run: _Run,
    stage: Stage,
    done: list[_Done],
    teacher: nn.Module | None,
    progress: Progress,
    task: Any,
) -> _Done:
    """Run, continue or load one stage."""
    net = _initial(run, stage, done)
    if run.finished(stage).exists():
        found = torch.load(run.finished(stage), weights_only=True)
        net.load_state_dict(found["state_dict"])
        progress.advance(task, stage.settings.epochs)
        return _Done(stage, net, found["figures"])
    saver = EpochCheckpoint(run.latest(stage))
    before = sum(entry.stage.settings.epochs for entry in done)
    callbacks = [Bar(progress, task, stage.name, before), LearningRateMonitor("epoch")]
    if run.config.ema:
        callbacks.append(EMAWeightAveraging(decay=run.config.ema))
    trainer = _trainer(run, stage, [*callbacks, saver])
    learner = Learner(net, teacher, run.config, stage, run.data)
    _fit(trainer, learner, run.latest(stage) if run.latest(stage).exists() else None)
    net.cpu()
    figures = {"accuracy": accuracy(net, run.data.held_out), "seconds": saver.seconds}
    if trainer.is_global_zero:
        content = {"state_dict": net.state_dict(), "figures": figures}
        path = run.finished(stage)
        checkpoint.write_atomically(path, lambda temporary: torch.save(content, temporary))
    return _Done(stage, net, figures)


def _initial(run: _Run, stage: Stage, done: list[_Done]) -> ReActNet:
    """Network at the start of a stage: fresh weights, or those of the stage before."""
    model = run.config.model
    if stage.exact and model.residual_limit == "auto":
        images, _ = stacked(run.data.train, CALIBRATION_IMAGES)
        model = model.model_copy(update={"residual_limit": calibrate(done[-1].net, images)})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.config.seed + run.stages.index(stage))
        net = ReActNet(model, stage.precision, stage.exact)
    if stage.continues:
        net.load_state_dict(done[-1].net.state_dict())
    if stage.frozen_norms:
        net.freeze_norms()
    return net


def _loggers(run: _Run, stage: Stage) -> list[Any]:
    """CSV and TensorBoard, in a folder of their own for every start of a stage."""
    starts = len(list(run.logs.glob(f"csv/{stage.name}*")))
    name = stage.name if starts == 0 else f"{stage.name}-resumed{starts}"
    return [
        CSVLogger(run.logs, name="csv", version=name),
        TensorBoardLogger(run.logs, name="tensorboard", version=name),
    ]


def _trainer(run: _Run, stage: Stage, callbacks: list[Callback]) -> Trainer:
    try:
        return Trainer(
            max_epochs=stage.settings.epochs,
            accelerator=run.config.accelerator,
            devices=run.devices,
            num_nodes=run.nodes,
            precision=run.config.precision,
            strategy="ddp" if run.devices * run.nodes > 1 else "auto",
            callbacks=callbacks,
            deterministic=True,
            default_root_dir=run.folder,
            logger=_loggers(run, stage),
            num_sanity_val_steps=0,
            reload_dataloaders_every_n_epochs=1,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
    except MisconfigurationException as error:
        reason = str(error).strip().splitlines()[0]
        raise UserInputError(
            f"accelerator {run.config.accelerator!r} with {run.devices} devices: {reason}"
        ) from None


def _fit(trainer: Trainer, learner: Learner, state: Path | None) -> None:
    """Fit, and let Ctrl-C through: Lightning turns it into exit 1 and leaves SIGINT ignored."""
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(learner, ckpt_path=state, weights_only=True)
    except SystemExit:
        if trainer.state.status == TrainerStatus.INTERRUPTED:
            raise KeyboardInterrupt from None
        raise
    finally:
        if main:
            signal.signal(signal.SIGINT, handler)


def _prepare(run: _Run, out: Path, resume: bool) -> None:
    """Make the folders; start afresh, or check that the state there is of the same run."""
    checkpoint.make_folder(out)
    if not is_main_process():
        return
    path = run.folder / "config.json"
    if run.folder.exists() and not (resume and path.exists()):
        shutil.rmtree(run.folder)
    if run.logs.exists() and not run.folder.exists():
        shutil.rmtree(run.logs)
    checkpoint.make_folder(run.folder)
    now = run.config.model_dump(mode="json")
    if path.exists():
        _same_config(json.loads(path.read_text()), now, out)
    text = json.dumps(now, indent=2) + "\n"
    checkpoint.write_atomically(path, lambda temporary: temporary.write_text(text))


def _same_config(before: Any, now: dict[str, Any], out: Path) -> None:
    def flat(tree: Any, prefix: str = "") -> dict[str, Any]:
        if not isinstance(tree, dict):
            return {prefix[:-1]: tree}
        return {k: v for key in tree for k, v in flat(tree[key], f"{prefix}{key}.").items()}

    old, new = flat(before), flat(now)
    differ = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    if differ:
        key = differ[0]
        raise UserInputError(
            f"{out}: cannot resume with another configuration: {key} was {old.get(key)!r}, is "
            f"{new.get(key)!r} ({len(differ)} differ); restore it, or train without --resume"
        )


def _check_shapes(model: ModelConfig, data: Dataset) -> None:
    given = {
        "in_channels": data.shape[0],
        "image_size": data.shape[1],
        "num_classes": data.num_classes,
    }
    for key, value in given.items():
        if getattr(model, key) != value:
            raise UserInputError(
                f"model.{key} is {getattr(model, key)}, but the data set has {value}"
            )


def _progress() -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=Console(stderr=True), disable=rank_zero_only.rank != 0)


@contextmanager
def _calm(threads: int) -> Iterator[None]:
    """Keep Lightning's notices off the terminal; restore the global settings of PyTorch."""
    deterministic = torch.are_deterministic_algorithms_enabled()
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        with quiet():
            yield
    finally:
        torch.use_deterministic_algorithms(deterministic)
        torch.set_num_threads(before)
