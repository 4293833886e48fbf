"""Between arrays of a network's integers and the bytes of its AXI streams; numpy alone.

shapes.json, beside this file, says what the two streams carry. An element takes 1, 2 or 4
bytes, little-endian; the elements of a frame (H, W, C) follow one another with the channel
running fastest; zeros fill a frame up to whole beats of the bus.
"""

import json
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import numpy as np

HERE = Path(__file__).resolve().parent


class Stream(NamedTuple):
    """One direction: frames of ``shape`` (H, W, C), ``frame_bytes`` bytes each on the bus."""

    shape: Tuple[int, int, int]
    bits: int
    signed: bool
    element_bytes: int
    frame_bytes: int

    @property
    def lo(self) -> int:
        """The smallest integer."""
        return -(2 ** (self.bits - 1)) if self.signed else 0

    @property
    def hi(self) -> int:
        """The largest integer."""
        return self.lo + 2**self.bits - 1

    @property
    def elements(self) -> int:
        """Integers a frame."""
        return int(np.prod(self.shape))

    def pack(self, frames: np.ndarray) -> np.ndarray:
        """Bytes (N, frame_bytes) of integers (N, H, W, C)."""
        elements = np.asarray(frames).astype(np.int64).reshape(len(frames), self.elements)
        width = self.element_bytes
        packed = np.zeros((len(frames), self.frame_bytes), np.uint8)
        for i in range(width):
            byte = (elements >> (8 * i)) & 0xFF
            packed[:, i : self.elements * width : width] = byte
        return packed

    def unpack(self, packed: np.ndarray) -> np.ndarray:
        """Integers (N, H, W, C) of bytes (N, frame_bytes)."""
        width = self.element_bytes
        used = self.elements * width
        elements = np.zeros((len(packed), self.elements), np.int64)
        for i in range(width):
            elements |= packed[:, i:used:width].astype(np.int64) << (8 * i)
        if self.signed:
            top = 1 << (8 * width - 1)
            elements = (elements ^ top) - top
        return elements.reshape((len(packed),) + self.shape)


class Design(NamedTuple):
    """A network as its host sees it; fields as in shapes.json."""

    name: str
    input: Stream
    output: Stream
    input_steps: List[Any]  # numpy functions of the floats, and their numbers by channel
    input_limits: List[int]  # the least and the largest integer
    input_scale: float
    output_scale: Any  # a number, or one for every channel
    output_offset: Any
    classes: bool  # a result is the best classes in their order, not the scores of all
    clock_mhz: float
    frame_cycles: int  # by the cycle model
    frames_per_second: float
    max_transfer_bytes: int
    build_id: str  # 16 hexadecimal digits, which the bitstream has as well
    registers: Dict[str, Any]  # the map of the status registers

    def quantise(self, images: np.ndarray) -> np.ndarray:
        """Integers (N, H, W, C) of float images (N, C, H, W); integers of that shape pass."""
        images = np.asarray(images)
        h, w, c = self.input.shape
        if images.dtype.kind == "f":
            self._check_shape(images, (c, h, w))
            if np.isnan(images).any():
                raise ValueError("the images hold NaN")
            with np.errstate(over="ignore"):
                prepared = self.prepare(images.astype(np.float32))
                scaled = np.round(prepared / np.float32(self.input_scale))
            clipped = np.clip(scaled, self.input_limits[0], self.input_limits[1])
            return np.ascontiguousarray(clipped.astype(np.int64).transpose(0, 2, 3, 1))
        if images.dtype.kind not in "iub":
            raise ValueError(f"images of type {images.dtype} are neither floats nor integers")
        self._check_shape(images, (h, w, c))
        integers = images.astype(np.int64)
        if integers.size and not self.input.lo <= integers.min() <= integers.max() <= self.input.hi:
            raise ValueError(
                f"the images hold integers from {images.min()} to {images.max()}, "
                f"the network reads {self.input.lo} to {self.input.hi}"
            )
        return integers

    def prepare(self, images: np.ndarray) -> np.ndarray:
        """What the original network does to floats (N, C, H, W) before it quantises them."""
        for function, values in self.input_steps:
            by_channel = [np.array(values, np.float32).reshape(1, -1, 1, 1)] if values else []
            images = getattr(np, function)(images, *by_channel)
        return images

    def results(self, frames: np.ndarray) -> np.ndarray:
        """(N, 1, 1, C) as (N, C); anything else as it is."""
        flat = self.output.shape[:2] == (1, 1)
        return frames.reshape(len(frames), self.output.elements) if flat else frames

    @staticmethod
    def _check_shape(images: np.ndarray, wanted: Tuple[int, int, int]) -> None:
        if images.ndim != 4 or images.shape[1:] != wanted:
            text = ", ".join(str(n) for n in wanted)
            raise ValueError(
                f"images of type {images.dtype} have shape {images.shape}; "
                f"the network reads (N, {text})"
            )


def load_design(path: Optional[Path] = None) -> Design:
    """Read shapes.json."""
    values = json.loads((path or HERE / "shapes.json").read_text())
    for key in ("input", "output"):
        stream = values[key]
        values[key] = Stream(**{**stream, "shape": tuple(stream["shape"])})
    return Design(**values)
