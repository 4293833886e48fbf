"""Training in three stages: a real-valued teacher, binary activations, then binary weights too.

What a run leaves in its folder: checkpoint.pt (the trained network), metrics.json, and resume/
(the state after the last epoch of each stage, for `--resume`).
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
from lightning.pytorch.trainer.states import TrainerStatus
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from hwgen.errors import UserInputError
from training import checkpoint
from training.config import ModelConfig, TrainConfig, load_config
from training.data import DATASETS, Dataset, Split
from training.exact import FLOAT32_BITS, logit_bits, make_exact
from training.learner import Bar, EpochCheckpoint, Learner
from training.model import Precision, ReActNet
from training.quiet import quiet

__all__ = ["TrainResult", "accuracy", "load_config", "train"]

STAGES = ("teacher", "step 1", "step 2")
PRECISIONS = (Precision.FLOAT, Precision.BINARY_ACTIVATIONS, Precision.BINARY)


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

    def latest(self, stage: int) -> Path:
        """State after the last whole epoch of a stage."""
        return self.folder / f"stage{stage}.ckpt"

    def finished(self, stage: int) -> Path:
        """Weights and figures of a finished stage."""
        return self.folder / f"stage{stage}.pt"

    def epochs(self, stage: int) -> int:
        return (self.config.teacher, self.config.step1, self.config.step2)[stage].epochs


def train(config: TrainConfig, out: Path, resume: bool = False, devices: int = 1) -> TrainResult:
    """Train the network of `config` into folder `out`; `resume` continues an interrupted run.

    Ctrl-C at any moment loses the current epoch at most, and a continued run arrives at the same
    weights as an uninterrupted one on the same machine.
    """
    data = DATASETS[config.data]()
    _check_shapes(config.model, data)
    run = _Run(config, data, out / "resume", devices)
    _prepare(run, out, resume)
    with _calm(config.threads), _progress() as progress:
        task = progress.add_task(STAGES[0], total=sum(run.epochs(i) for i in range(3)))
        nets: list[ReActNet] = []
        figures: list[dict[str, float]] = []
        for stage in range(3):
            net, figure = _stage(run, stage, nets, progress, task)
            nets.append(net)
            figures.append(figure)
    net = nets[-1].eval()
    make_exact(net)
    metrics = {
        "float_accuracy": figures[0]["accuracy"],
        "step1_accuracy": figures[1]["accuracy"],
        "brevitas_accuracy": accuracy(net, data.held_out),
        "logits_exact": logit_bits(net) <= FLOAT32_BITS,
        "seconds": round(sum(figure["seconds"] for figure in figures), 1),
        "seed": config.seed,
        "config": config.model_dump(mode="json"),
    }
    result = TrainResult(out / "checkpoint.pt", metrics)
    if rank_zero_only.rank == 0:
        checkpoint.save(result.checkpoint, net, config, metrics)
        text = json.dumps(metrics, indent=2) + "\n"
        checkpoint.write_atomically(out / "metrics.json", lambda path: path.write_text(text))
    return result


@torch.no_grad()
def accuracy(net: ReActNet, split: Split) -> float:
    """Share of images classified rightly, 0 to 1."""
    classes = net.eval()(torch.from_numpy(split.images)).argmax(dim=1)
    return float((classes == torch.from_numpy(split.labels)).double().mean())


def _stage(
    run: _Run, stage: int, nets: list[ReActNet], progress: Progress, task: Any
) -> tuple[ReActNet, dict[str, float]]:
    """Run, continue or load one stage: its network and {"accuracy", "seconds"}."""
    net = _initial(run.config, stage, nets)
    if run.finished(stage).exists():
        done = torch.load(run.finished(stage), weights_only=True)
        net.load_state_dict(done["state_dict"])
        progress.advance(task, run.epochs(stage))
        return net, done["figures"]
    saver = EpochCheckpoint(run.latest(stage))
    bar = Bar(progress, task, STAGES[stage], done=sum(run.epochs(i) for i in range(stage)))
    trainer = _trainer(run, run.epochs(stage), [saver, bar])
    learner = Learner(net, nets[0] if nets else None, run.config, stage, run.data.train)
    _fit(trainer, learner, run.latest(stage) if run.latest(stage).exists() else None)
    net.cpu()
    figures = {"accuracy": accuracy(net, run.data.held_out), "seconds": saver.seconds}
    if trainer.is_global_zero:
        content = {"state_dict": net.state_dict(), "figures": figures}
        path = run.finished(stage)
        checkpoint.write_atomically(path, lambda temporary: torch.save(content, temporary))
    return net, figures


def _initial(config: TrainConfig, stage: int, nets: list[ReActNet]) -> ReActNet:
    """Network at the start of a stage: fresh weights, or for step 2 those of step 1."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed + stage)
        net = ReActNet(config.model, PRECISIONS[stage])
    if PRECISIONS[stage] is Precision.BINARY:
        net.load_state_dict(nets[-1].state_dict())
    return net


def _trainer(run: _Run, epochs: int, callbacks: list[Callback]) -> Trainer:
    try:
        return Trainer(
            max_epochs=epochs,
            accelerator=run.config.accelerator,
            devices=run.devices,
            strategy="ddp" if run.devices > 1 else "auto",
            callbacks=callbacks,
            deterministic=True,
            default_root_dir=run.folder,
            logger=False,
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
    if rank_zero_only.rank != 0:
        return
    path = run.folder / "config.json"
    if run.folder.exists() and not (resume and path.exists()):
        shutil.rmtree(run.folder)
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
        "in_channels": data.train.images.shape[1],
        "image_size": data.train.images.shape[2],
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
