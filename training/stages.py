"""The trainings that a run consists of, in their order."""

from dataclasses import dataclass

from training.config import StageConfig, TrainConfig
from training.model import Precision


@dataclass(frozen=True, slots=True)
class Stage:
    """One training: what is quantised, for how long, and from whose weights it starts."""

    name: str
    """As in file names and metrics: ``teacher``, ``step1``, ``step2``, ``step3``."""
    precision: Precision
    exact: bool
    """All that is not binary lies on the hardware's grids."""
    settings: StageConfig

    @property
    def continues(self) -> bool:
        """Whether it starts from the stage before it, which has the same parameters."""
        return self.name in ("step2", "step3")

    @property
    def frozen_norms(self) -> bool:
        """Whether norms keep the statistics they have."""
        return self.name == "step3"


def stages_of(config: TrainConfig) -> tuple[Stage, ...]:
    """The twin unless there is another teacher, steps 1 and 2 of the paper, and step 3 if wanted.

    Without step 3 the hardware's grids are there from step 1 on.
    """
    exact = config.step3 is None
    found = []
    if config.teacher is not None:
        found.append(Stage("teacher", Precision.FLOAT, False, config.teacher))
    found.append(Stage("step1", Precision.BINARY_ACTIVATIONS, exact, config.step1))
    found.append(Stage("step2", Precision.BINARY, exact, config.step2))
    if config.step3 is not None:
        found.append(Stage("step3", Precision.BINARY, True, config.step3))
    return tuple(found)
