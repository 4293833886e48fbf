"""Checkpoints: plain tensors with the configuration they belong to, written in one step."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from pydantic import ValidationError

from hwgen.errors import UserInputError
from training.config import TrainConfig
from training.model import ReActNet

KIND = "hwgen-checkpoint"
VERSION = 1


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A trained network in evaluation mode, how it was trained, and how well."""

    net: ReActNet
    config: TrainConfig
    metrics: dict[str, Any]


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then rename it: all of it or nothing."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        write(temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise UserInputError(f"{path}: cannot write: {error.strerror}") from None
    finally:
        temporary.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """Create a folder that can be written to, or say why not."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserInputError(f"{path}: cannot create the folder: {error.strerror}") from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise UserInputError(f"{path}: the folder is not writable; choose another with --out")


def save(path: Path, net: ReActNet, config: TrainConfig, metrics: dict[str, Any]) -> None:
    """Write the network's tensors, never its code."""
    content = {
        "kind": KIND,
        "version": VERSION,
        "config": config.model_dump(mode="json"),
        "metrics": metrics,
        "state_dict": net.state_dict(),
    }
    write_atomically(path, lambda temporary: torch.save(content, temporary))


def load(path: Path) -> Checkpoint:
    """Read a checkpoint that `save` wrote."""
    content = _read(path)
    if not isinstance(content, dict) or content.get("kind") != KIND:
        raise UserInputError(f"{path}: not a checkpoint of `hwgen train`")
    if content.get("version") != VERSION:
        raise UserInputError(
            f"{path}: checkpoint format {content.get('version')!r}, this hwgen reads {VERSION}; "
            "train again, or use the hwgen that wrote it"
        )
    try:
        config = TrainConfig.model_validate(content["config"])
        net = ReActNet(config.model)
        net.load_state_dict(content["state_dict"])
        return Checkpoint(net.eval(), config, dict(content["metrics"]))
    except (ValidationError, KeyError, TypeError, ValueError, RuntimeError, AttributeError) as why:
        reason = str(why).strip().splitlines()[0]
        raise UserInputError(f"{path}: damaged checkpoint: {reason}; train again") from None


def _read(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserInputError(f"{path}: no such checkpoint; make one with `hwgen train`") from None
    except IsADirectoryError:
        raise UserInputError(f"{path}: a folder; give the checkpoint.pt inside it") from None
    except OSError as error:
        raise UserInputError(f"{path}: cannot read: {error.strerror}") from None
    except (UnpicklingError, RuntimeError, EOFError, KeyError, ValueError):
        raise UserInputError(f"{path}: not a readable checkpoint (damaged or cut off)") from None
