"""Augmentation of a batch of images, every choice from a generator that is given."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from training.config import AugmentConfig


def augment(images: Tensor, settings: AugmentConfig, rng: np.random.Generator) -> Tensor:
    """Shift, mirror and tint images (N, C, H, W) of [0, 1], each by chance."""
    images = shifted(images, settings.shift, rng)
    if settings.flip:
        mirrored = _chances(rng.random(len(images)) < 0.5, images).bool()
        images = torch.where(mirrored, images.flip(3), images)
    return jittered(images, settings.jitter, rng) if settings.jitter else images


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


def jittered(images: Tensor, most: float, rng: np.random.Generator) -> Tensor:
    """Change brightness, contrast and saturation by factors of 1 - most to 1 + most."""
    brightness, contrast, saturation = (
        _chances(rng.uniform(1 - most, 1 + most, len(images)), images) for _ in range(3)
    )
    images = images * brightness
    middle = images.mean(dim=(1, 2, 3), keepdim=True)
    images = middle + contrast * (images - middle)
    grey = images.mean(dim=1, keepdim=True)
    return (grey + saturation * (images - grey)).clamp(0.0, 1.0)


def _chances(values: np.ndarray[tuple[int, ...], np.dtype], images: Tensor) -> Tensor:
    """One value for every image: (N, 1, 1, 1)."""
    return torch.from_numpy(values).to(images.dtype).to(images.device).reshape(-1, 1, 1, 1)
