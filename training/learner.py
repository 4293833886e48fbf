"""One training stage as a Lightning module, and the callbacks that watch over it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from lightning.pytorch import Callback, LightningModule, Trainer
from rich.progress import Progress, TaskID
from torch import Tensor
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from training.config import StageConfig, TrainConfig
from training.data import Split
from training.model import ReActNet


class Learner(LightningModule):  # type: ignore[misc]
    """Adam with linear decay on one network; every random choice follows from (seed, stage, step).

    Nothing is drawn from the global generators, so a stage continued from the end of any epoch
    takes the same steps as one that was never interrupted.
    """

    def __init__(
        self, net: ReActNet, teacher: ReActNet | None, config: TrainConfig, stage: int, data: Split
    ) -> None:
        super().__init__()
        self.net = net
        self._teacher = (teacher,)  # in a tuple: no part of this module's state
        self._config = config
        self._stage = stage
        self._data = TensorDataset(torch.from_numpy(data.images), torch.from_numpy(data.labels))

    @property
    def _settings(self) -> StageConfig:
        return (self._config.teacher, self._config.step1, self._config.step2)[self._stage]

    def on_fit_start(self) -> None:
        """Bring the teacher to the student's device."""
        for teacher in self._teacher:
            if teacher is not None:
                teacher.to(self.device).eval()

    def train_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        """Batches of images (N, C, S, S) and labels (N,), in an order that the epoch fixes."""
        sampler: DistributedSampler[tuple[Tensor, ...]] = DistributedSampler(
            self._data,
            num_replicas=self.trainer.world_size,
            rank=self.trainer.global_rank,
            seed=self._config.seed + self._stage,
        )
        return DataLoader(
            self._data,
            batch_size=self._config.batch_size,
            sampler=sampler,
            generator=torch.Generator(),  # else it draws a seed, unused, from the global one
        )

    def training_step(self, batch: list[Tensor], batch_index: int) -> Tensor:
        """Loss of one batch of shifted images."""
        images, labels = batch
        key = [self._config.seed, self._stage, self.global_step, self.global_rank]
        images = shifted(images, self._config.shift, np.random.default_rng(key))
        logits = self.net(images)
        (teacher,) = self._teacher
        if teacher is None or self._config.loss == "cross_entropy":
            return F.cross_entropy(logits, labels)
        with torch.no_grad():
            target = F.log_softmax(teacher(images), dim=1)
        return F.kl_div(
            F.log_softmax(logits, dim=1), target, reduction="batchmean", log_target=True
        )

    def on_train_batch_end(self, *_: Any) -> None:
        """Bring the latent weights and slopes back into their ranges."""
        self.net.clamp_()

    def configure_optimizers(self) -> Any:
        """Adam; weight decay on convolution and classifier weights only; linear decay to 0."""
        settings = self._settings
        weights = [p for p in self.net.parameters() if p.ndim in (2, 4)]
        others = [p for p in self.net.parameters() if p.ndim not in (2, 4)]
        groups: list[dict[str, Any]] = [
            {"params": weights, "weight_decay": settings.weight_decay},
            {"params": others},
        ]
        optimizer = torch.optim.Adam(groups, lr=settings.learning_rate)
        steps = int(self.trainer.estimated_stepping_batches)
        decay = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0 - step / steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": decay, "interval": "step"}}


def shifted(images: Tensor, most: int, rng: np.random.Generator) -> Tensor:
    """Move each image (N, C, H, W) by up to `most` pixels each way; zeros come in at the border."""
    if most == 0:
        return images
    count, _, height, width = images.shape
    offsets = torch.from_numpy(rng.integers(0, 2 * most + 1, size=(2, count)))
    rows = offsets[0, :, None] + torch.arange(height)  # (N, H)
    columns = offsets[1, :, None] + torch.arange(width)  # (N, W)
    moved = F.pad(images, [most] * 4)[
        torch.arange(count)[:, None, None], :, rows[:, :, None], columns[:, None, :]
    ]  # (N, H, W, C)
    return moved.permute(0, 3, 1, 2).contiguous()


class EpochCheckpoint(Callback):  # type: ignore[misc]
    """Saves the stage after every epoch, in one step, so that it can be interrupted anywhere."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._before = 0.0
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        """Training time so far, earlier interrupted runs included."""
        return self._before + time.monotonic() - self._start

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write beside, then rename."""
        temporary = self._path.with_name(f".{self._path.name}.tmp")
        trainer.save_checkpoint(temporary)
        if trainer.is_global_zero:
            os.replace(temporary, self._path)

    def state_dict(self) -> dict[str, Any]:
        """Return what a continued run must know beside the weights."""
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue the clock."""
        self._before = float(state_dict["seconds"])


class Bar(Callback):  # type: ignore[misc]
    """Moves the run's one progress bar."""

    def __init__(self, progress: Progress, task: TaskID, name: str, done: int) -> None:
        self._progress = progress
        self._task = task
        self._name = name
        self._done = done

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show which epoch runs."""
        self._progress.update(
            self._task,
            completed=self._done + trainer.current_epoch,
            description=f"{self._name}, epoch {trainer.current_epoch + 1}/{trainer.max_epochs}",
        )

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count the stage's last epoch."""
        self._progress.update(self._task, completed=self._done + trainer.current_epoch)
