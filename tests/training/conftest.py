from collections.abc import Sequence
from pathlib import Path

import pytest

from training.config import TrainConfig, load_config
from training.train import TrainResult, train

TINY = (
    "model.width=4",
    "model.blocks=1",
    "model.residual_bits=4",
    "batch_size=256",
    "teacher.epochs=1",
    "step1.epochs=2",
    "step2.epochs=2",
    "step3.epochs=1",
)


def tiny_config(*overrides: str, base: Sequence[str] = TINY) -> TrainConfig:
    return load_config(None, [*base, *overrides])


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    folder: Path = tmp_path_factory.mktemp("tiny")
    return train(tiny_config(), folder)
