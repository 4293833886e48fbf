"""cppsim's library in this process: the C interface of templates/cpp/cppsim.h."""

from __future__ import annotations

import ctypes
import weakref
from ctypes import POINTER, c_char_p, c_double, c_int64, c_void_p
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.errors import ToolError, UserInputError
from hwgen.quant import IntArray, IntType, Tensor


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("name", c_char_p),
        *((name, c_int64) for name in ("height", "width", "channels", "lo", "hi", "bytes")),
    )

    def tensor(self) -> Tensor:
        """What it is; the smallest type of its range is its type."""
        dtype = IntType.holding(self.lo, self.hi)
        return Tensor(self.name.decode(), (self.height, self.width, self.channels), dtype)


class _Layer(ctypes.Structure):
    _fields_ = (("name", c_char_p), ("kind", c_char_p), ("binary_macs", c_int64))


_Record = ctypes.CFUNCTYPE(None, c_void_p, POINTER(_Tensor), c_int64, c_int64, POINTER(c_int64))


class _Run(ctypes.Structure):
    _fields_ = (
        ("images", c_void_p),
        ("frames", c_int64),
        ("outputs", c_void_p),
        ("threads", c_int64),
        ("simd", c_char_p),
        ("record", _Record),
        ("context", c_void_p),
        ("layer_seconds", POINTER(c_double)),
    )
    alive: tuple[NDArray[Any], ...]


@dataclass(frozen=True, slots=True)
class LayerTime:
    """What a layer took for a frame; ``binary_macs`` is 0 for all but XNOR products."""

    name: str
    kind: str
    binary_macs: int
    seconds: float


@dataclass(frozen=True, eq=False)
class Library:
    """A network's compiled library with its parameters."""

    input: Tensor
    output: Tensor
    element: np.dtype[Any]  # of an input in memory
    _functions: ctypes.CDLL
    _model: c_void_p

    @classmethod
    def open(cls, path: Path) -> Library:
        """Load a library and the parameters beside it."""
        try:
            functions = ctypes.CDLL(str(path.resolve()))
        except OSError as error:
            raise ToolError(f"{path} cannot be loaded: {error}; build again") from error
        for name in ("open", "run", "check_simd"):
            getattr(functions, f"cppsim_{name}").restype = c_char_p
        for name in ("input", "output"):
            getattr(functions, f"cppsim_{name}").restype = POINTER(_Tensor)
        functions.cppsim_layers.restype = POINTER(_Layer)
        functions.cppsim_clock_rate.restype = c_double
        functions.cppsim_best_simd.restype = c_char_p
        functions.cppsim_close.argtypes = [c_void_p]
        source, result = (
            getattr(functions, f"cppsim_{name}")().contents for name in ("input", "output")
        )
        element = np.dtype(f"{'i' if source.lo < 0 else 'u'}{source.bytes}")
        model = c_void_p()
        wrong = functions.cppsim_open(bytes(path.parent / "params.bin"), ctypes.byref(model))
        if wrong is not None:
            raise UserInputError(wrong.decode())
        library = cls(source.tensor(), result.tensor(), element, functions, model)
        weakref.finalize(library, functions.cppsim_close, model)
        return library

    def require_simd(self, level: str) -> None:
        """Raise ``UserInputError`` unless this processor has the level."""
        wrong = self._functions.cppsim_check_simd(level.encode())
        if wrong is not None:
            raise UserInputError(wrong.decode())

    def outputs(self, frames: int) -> IntArray:
        """Room for the outputs of frames."""
        return np.zeros((frames, *self.output.shape), np.int64)

    def run(
        self,
        frames: IntArray,
        outputs: IntArray,
        *,
        threads: int,
        simd: str = "auto",
        record: bool = False,
    ) -> dict[str, IntArray]:
        """Run integer frames (N, H, W, C) into ``outputs``; with ``record`` every tensor by name.

        A tensor's name is the stem of its dump. Frames outside the input's type are refused.
        """
        recorder = _Recorder(len(frames))
        run = self._job(frames, outputs, threads, simd)
        run.record = _Record(recorder) if record else _Record()
        self._call(run)
        return recorder.tensors

    def profile(self, frames: IntArray, *, simd: str = "auto", runs: int = 5) -> list[LayerTime]:
        """The time of every layer on one thread, each the best of several runs."""
        count = c_int64()
        layers = self._functions.cppsim_layers(ctypes.byref(count))
        times = np.full((runs, count.value), 0.0)
        run = self._job(frames, self.outputs(len(frames)), 1, simd)
        for seconds in times:
            run.layer_seconds = seconds.ctypes.data_as(POINTER(c_double))
            self._call(run)
        best = times.min(axis=0) / len(frames)
        return [
            LayerTime(layer.name.decode(), layer.kind.decode(), layer.binary_macs, float(seconds))
            for layer, seconds in zip(layers[: count.value], best, strict=True)
        ]

    def clock_rate(self) -> float:
        """Cycles a second that this core makes just now."""
        return float(self._functions.cppsim_clock_rate())

    @property
    def best_simd(self) -> str:
        """The level that ``auto`` stands for on this processor."""
        return str(self._functions.cppsim_best_simd().decode())

    def _job(self, frames: IntArray, outputs: IntArray, threads: int, simd: str) -> _Run:
        """A run; it keeps the arrays that it points to alive."""
        lo, hi = self.input.dtype.range
        if frames.size and (frames.min() < lo or frames.max() > hi):
            raise UserInputError(
                f"frames hold [{frames.min()}, {frames.max()}], outside [{lo}, {hi}]"
            )
        images = np.ascontiguousarray(frames, self.element)
        assert images.shape[1:] == self.input.shape, images.shape
        assert outputs.flags.c_contiguous
        run = _Run(
            images=images.ctypes.data,
            frames=len(images),
            outputs=outputs.ctypes.data,
            threads=threads,
            simd=simd.encode(),
        )
        run.alive = images, outputs
        return run

    def _call(self, run: _Run) -> None:
        wrong = self._functions.cppsim_run(self._model, ctypes.byref(run))
        if wrong is not None:
            raise UserInputError(wrong.decode())


class _Recorder:
    """Collects the tensors of batches."""

    def __init__(self, frames: int) -> None:
        self.frames = frames
        self.tensors: dict[str, IntArray] = {}

    def __call__(self, _context: Any, what: Any, first: int, frames: int, values: Any) -> None:
        """Keep what cppsim_run shows."""
        tensor = what.contents.tensor()
        whole = self.tensors.setdefault(
            tensor.name, np.zeros((self.frames, *tensor.shape), np.int64)
        )
        if frames:
            shown: NDArray[Any] = np.ctypeslib.as_array(values, (frames, *tensor.shape))
            whole[first : first + frames] = shown
