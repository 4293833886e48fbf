"""Notices of other packages that say nothing to a user of hwgen, silenced one by one."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

WARNINGS = (
    "fast_hadamard_transform package not found",  # Brevitas: an optional speed-up of rotations
    "Named tensors and all their associated APIs",  # Brevitas drops tensor names in each layer
    "brevitas.fx is deprecated",  # Brevitas, of its own module
    "The '.*dataloader' does not have many workers",  # Lightning: the images are in memory
    r"Found \d+ module\(s\) in eval mode",  # Lightning: norms that step 3 freezes on purpose
    "The number of training batches .* is smaller than the logging interval",  # no logger is used
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",  # Lightning, of a PyTorch type
)
LOGGERS = (
    "torch.utils.cpp_extension",  # no CUDA runtime: Brevitas' compiled kernels are not used
    "torch.onnx._internal.exporter._registration",  # torchvision is not installed
    "lightning.pytorch",  # devices found, tips
    "lightning.fabric",
)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the notices above inside a `with` block; errors still come through."""
    levels = [logging.getLogger(name).level for name in LOGGERS]
    try:
        for name in LOGGERS:
            logging.getLogger(name).setLevel(logging.ERROR)
        with warnings.catch_warnings():
            for message in WARNINGS:
                warnings.filterwarnings("ignore", message=message)
            yield
    finally:
        for name, level in zip(LOGGERS, levels, strict=True):
            logging.getLogger(name).setLevel(level)
