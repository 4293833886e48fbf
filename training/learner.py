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
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from training.augment import augment
from training.config import TrainConfig
from training.data import Dataset as Images
from training.data import Examples
from training.model import ReActNet
from training.stages import Stage

STAGE_NAMES = ("teacher", "step1", "step2", "step3")


class Indexed(Dataset[tuple[Tensor, int, int]]):
    """Examples with their place in the set, by which saved answers are found."""

    def __init__(self, examples: Examples) -> None:
        self.examples = examples

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> tuple[Tensor, int, int]:
        image, label = self.examples[index]
        return image, label, index


class Learner(LightningModule):  # type: ignore[misc]
    """Adam with linear decay on one network; every random choice follows from (seed, stage, step).

    Nothing is drawn from the global generators, so a stage continued from the end of any epoch
    takes the same steps as one that was never interrupted.
    """

    def __init__(
        self,
        net: ReActNet,
        teacher: nn.Module | None,
        config: TrainConfig,
        stage: Stage,
        data: Images,
    ) -> None:
        super().__init__()
        self.net = net
        self._teacher = (teacher,)  # in a tuple: no part of this module's state
        self._config = config
        self._stage = stage
        self._number = STAGE_NAMES.index(stage.name)
        self._data = data

    def on_fit_start(self) -> None:
        """Bring the teacher to the student's device."""
        for teacher in self._teacher:
            if teacher is not None:
                teacher.to(self.device).eval()

    def on_train_epoch_start(self) -> None:
        """Keep frozen norms in evaluation."""
        if self._stage.frozen_norms:
            self.net.freeze_norms()

    def train_dataloader(self) -> DataLoader[tuple[Tensor, int, int]]:
        """Batches of images (N, C, S, S), labels and places (N,), in an order the epoch fixes."""
        key = (self._config.seed, self._number, self.trainer.current_epoch)
        data = Indexed(self._data.train.seeded(key))
        sampler: DistributedSampler[tuple[Tensor, int, int]] = DistributedSampler(
            data,
            num_replicas=self.trainer.world_size,
            rank=self.trainer.global_rank,
            seed=self._config.seed + self._number,
        )
        return self._loader(data, sampler)

    def val_dataloader(self) -> DataLoader[tuple[Tensor, int, int]]:
        """The held-out images, which are only watched."""
        data = Indexed(self._data.held_out)
        sampler: DistributedSampler[tuple[Tensor, int, int]] = DistributedSampler(
            data, self.trainer.world_size, self.trainer.global_rank, shuffle=False
        )
        return self._loader(data, sampler)

    def _loader(self, data: Indexed, sampler: Any) -> DataLoader[tuple[Tensor, int, int]]:
        return DataLoader(
            data,
            batch_size=self._config.batch_size,
            sampler=sampler,
            num_workers=self._config.workers,
            generator=torch.Generator(),  # else it draws a seed, unused, from the global one
        )

    def training_step(self, batch: list[Tensor], batch_index: int) -> Tensor:
        """Loss of one batch of augmented images."""
        images, labels, places = batch
        key = [self._config.seed, self._number, self.global_step, self.global_rank]
        images = augment(images, self._config.augment, np.random.default_rng(key))
        logits = self.net(images)
        loss = self._loss(logits, images, labels, places)
        self.log("loss", loss, on_step=False, on_epoch=True, sync_dist=True)
        return loss

    def _loss(self, logits: Tensor, images: Tensor, labels: Tensor, places: Tensor) -> Tensor:
        """Distance from the teacher's distribution, or from the labels."""
        (teacher,) = self._teacher
        if teacher is None or self._config.loss == "cross_entropy":
            return F.cross_entropy(logits, labels, label_smoothing=self._config.label_smoothing)
        with torch.no_grad():
            target = F.log_softmax(teacher(images, places).float(), dim=1)
        return F.kl_div(
            F.log_softmax(logits.float(), dim=1), target, reduction="batchmean", log_target=True
        )

    def validation_step(self, batch: list[Tensor], batch_index: int) -> None:
        """Count right answers for the logs."""
        images, labels, _ = batch
        right = (self.net(images).argmax(dim=1) == labels).float().mean()
        self.log("accuracy", right, sync_dist=True, batch_size=len(labels))

    def on_train_batch_end(self, *_: Any) -> None:
        """Bring the latent weights and slopes back into their ranges."""
        self.net.clamp_()

    def configure_optimizers(self) -> Any:
        """Adam; weight decay on convolution weights only; linear decay to 0."""
        settings = self._stage.settings
        weights = [p for p in self.net.parameters() if p.ndim == 4]
        others = [p for p in self.net.parameters() if p.ndim != 4]
        groups: list[dict[str, Any]] = [
            {"params": weights, "weight_decay": settings.weight_decay},
            {"params": others},
        ]
        optimizer = torch.optim.Adam(groups, lr=settings.learning_rate)
        steps = int(self.trainer.estimated_stepping_batches)
        decay = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0 - step / steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": decay, "interval": "step"}}


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
