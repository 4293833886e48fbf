"""Ten kinds of objects, drawn: a data set of colour images that needs no download.

Signed-distance silhouettes, turned, scaled and moved; textured and unevenly lit, before a textured
background; a third of them behind a bar; with noise. Which is brighter, object or background, is
chance, and so are all colours: a linear classifier finds little to hold on to.
"""

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.examples import Dataset, Split

TRAIN, HELD_OUT = 10_000, 2_000
SEED = 2003
"""Of the data set itself: it does not change with the seed of a training run."""
NOISE = 0.06
CONTRAST = 0.4
"""Least distance of the object's colour from the background's."""
CHUNK = 500

Array = NDArray[np.floating[Any]]
Distance = Callable[[Array, Array], Array]


def _disk(x: Array, y: Array) -> Array:
    return np.hypot(x, y) - 0.8


def _box(x: Array, y: Array, w: float, h: float) -> Array:
    return np.maximum(np.abs(x) - w, np.abs(y) - h)


def _square(x: Array, y: Array) -> Array:
    return _box(x, y, 0.7, 0.7)


def _polygon(x: Array, y: Array, corners: int, inner: float) -> Array:
    """Negative inside a polygon or, with inner < cos(pi / corners), a star."""
    angle = np.arctan2(x, y)
    sector = 2 * math.pi / corners
    folded = np.abs((angle + sector / 2) % sector - sector / 2)
    radius = np.hypot(x, y)
    px, py = radius * np.sin(folded), radius * np.cos(folded)
    # the edge runs from the tip (0, 0.95) to the inner corner at half a sector
    ex, ey = inner * math.sin(sector / 2), inner * math.cos(sector / 2) - 0.95
    length = math.hypot(ex, ey)
    distance: Array = (px * -ey + (py - 0.95) * ex) / length
    return distance


def _triangle(x: Array, y: Array) -> Array:
    return _polygon(x, y, 3, 0.95 * math.cos(math.pi / 3))


def _star(x: Array, y: Array) -> Array:
    return _polygon(x, y, 5, 0.38)


def _ring(x: Array, y: Array) -> Array:
    distance: Array = np.abs(np.hypot(x, y) - 0.62) - 0.2
    return distance


def _plus(x: Array, y: Array) -> Array:
    return np.minimum(_box(x, y, 0.85, 0.25), _box(x, y, 0.25, 0.85))


def _bar(x: Array, y: Array) -> Array:
    return _box(x, y, 0.95, 0.28)


def _crescent(x: Array, y: Array) -> Array:
    distance: Array = np.maximum(np.hypot(x, y) - 0.85, 0.65 - np.hypot(x - 0.42, y))
    return distance


def _pair(x: Array, y: Array) -> Array:
    distance: Array = np.minimum(np.hypot(x - 0.5, y), np.hypot(x + 0.5, y)) - 0.36
    return distance


def _frame(x: Array, y: Array) -> Array:
    distance: Array = np.abs(_box(x, y, 0.58, 0.58)) - 0.17
    return distance


KINDS: dict[str, Distance] = {
    "disk": _disk,
    "square": _square,
    "triangle": _triangle,
    "ring": _ring,
    "plus": _plus,
    "bar": _bar,
    "star": _star,
    "crescent": _crescent,
    "pair": _pair,
    "frame": _frame,
}


def draw(labels: NDArray[np.int64], size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Images (N, 3, size, size) of bytes, one for every label (N,)."""
    count = len(labels)

    def chance(low: float, high: float, *shape: int) -> Array:
        return rng.uniform(low, high, (count, *shape, 1, 1)).astype(np.float32)

    axis = np.linspace(-1, 1, size, dtype=np.float32)
    y, x = np.meshgrid(axis, axis, indexing="ij")
    turn, zoom = chance(0, 2 * math.pi), chance(0.55, 0.85)
    dx, dy = x - chance(-0.25, 0.25), y - chance(-0.25, 0.25)
    u = (np.cos(turn) * dx + np.sin(turn) * dy) / zoom
    v = (np.cos(turn) * dy - np.sin(turn) * dx) / zoom
    distance = np.empty((count, size, size), np.float32)
    for label, kind in enumerate(KINDS.values()):
        own = labels == label
        distance[own] = kind(u[own], v[own])
    edge = np.clip(0.5 - distance * zoom * size / 2, 0, 1)[:, None]  # a pixel wide

    back, front = chance(0, 1, 3), chance(0, 1, 3)
    apart = front - back
    short = np.abs(apart).max(axis=1, keepdims=True) < CONTRAST
    front = np.where(short, np.where(back > 0.5, back - CONTRAST, back + CONTRAST), front)
    image = (1 - edge) * (back + _texture(x, y, chance)) + edge * (front + _texture(x, y, chance))

    tilt, where, half = chance(0, math.pi), chance(-0.7, 0.7), chance(0.04, 0.1)
    hidden = np.abs(np.cos(tilt) * x + np.sin(tilt) * y - where) < half
    hidden &= chance(0, 1) < 0.35
    image = np.where(hidden[:, None], chance(0, 1, 3), image)
    light = 1 + chance(-0.3, 0.3, 1) * x + chance(-0.3, 0.3, 1) * y
    image = image * light + NOISE * rng.standard_normal(image.shape, np.float32)
    bytes_: NDArray[np.uint8] = np.clip(np.round(image * 256), 0, 255).astype(np.uint8)
    return bytes_


def _texture(x: Array, y: Array, chance: Callable[..., Array]) -> Array:
    """A faint sinusoid of any direction, wavelength and phase: (N, 1, size, size)."""
    turn, waves = chance(0, 2 * math.pi, 1), chance(2, 12, 1)
    along = np.cos(turn) * x + np.sin(turn) * y
    return chance(0, 0.15, 1) * np.sin(waves * along + chance(0, 2 * math.pi, 1))


@cache
def load(image_size: int) -> Dataset:
    """10,000 images to learn from and 2,000 held out, every kind equally often."""
    parts = []
    for part, count in enumerate((TRAIN, HELD_OUT)):
        rng = np.random.default_rng([SEED, part, image_size])
        labels = rng.permutation(np.arange(count, dtype=np.int64) % len(KINDS))
        images = [draw(labels[i : i + CHUNK], image_size, rng) for i in range(0, count, CHUNK)]
        parts.append(Split(np.concatenate(images), labels))
    return Dataset(parts[0], parts[1], num_classes=len(KINDS))
