"""Runs graphs in Python on verification images and refuses any difference."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_node, execute_onnx

from hwgen.errors import MismatchError
from hwgen.frontend.values import Grid
from hwgen.quant import IntArray

Values = dict[str, NDArray[np.float32]]


def execute(model: ModelWrapper, frames: NDArray[np.float32]) -> Values:
    """Every tensor of a batch-1 model for all frames, stacked along the batch axis.

    Raises ``MismatchError`` if a value does not fit the type its tensor is annotated with.
    """
    name = model.graph.input[0].name
    runs = []
    with quiet(), warnings.catch_warnings():
        warnings.filterwarnings("error", message="The values of tensor", category=UserWarning)
        for frame in frames:
            try:
                run = execute_onnx(model, {name: frame[None]}, return_full_exec_context=True)
            except UserWarning as found:
                raise MismatchError(str(found)) from found
            runs.append(run)
    made = [out for node in model.graph.node for out in node.output]
    return {n: np.concatenate([run[n] for run in runs]) for n in [name, *made]}


def execute_on_grid(
    model: ModelWrapper, images: NDArray[np.float32], sums: Mapping[str, Grid]
) -> Values:
    """Every tensor of the original network for all images, its sums free of float error.

    Sums of products with scales that are no powers of two miss their grid by float32 error, which
    depends on the order of adding. Here each of ``sums`` is set to the grid's number nearest to
    it, which has to be nearer than a quarter of a step; with powers of two nothing changes.
    """
    runs = []
    with quiet():
        for image in images:
            context = model.make_empty_exec_context()
            name = model.graph.input[0].name
            context[name] = image.reshape(context[name].shape)
            for node in model.graph.node:
                version = model.get_opset_imports().get(node.domain, 1)
                execute_node(node, context, model.graph, version)
                for out in node.output:
                    if out in sums:
                        context[out] = _on_grid(out, context[out], sums[out])
            runs.append(context)
    made = [out for node in model.graph.node for out in node.output]
    return {n: np.stack([run[n] for run in runs]) for n in [name, *made]}


def _on_grid(name: str, values: NDArray[np.float32], grid: Grid) -> NDArray[np.float32]:
    last = np.moveaxis(values, 1, -1)
    steps = grid.steps(last)
    off = float(np.abs(steps - np.rint(steps)).max(initial=0))
    if off > 0.25:
        raise MismatchError(f"tensor {name} is {off:.2f} steps off the grid of its integers")
    return np.ascontiguousarray(np.moveaxis(grid.nearest(last), -1, 1))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Swallow what FINN and qonnx print and log while they work."""
    logger = logging.getLogger("finn_logger")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            # it looks for an Abs behind every Sub, whoever else reads the difference
            warnings.filterwarnings("ignore", "find_consumer: found multiple consumers")
            yield
    finally:
        logger.setLevel(level)


def require_same(step: str, before: Values, after: Values) -> None:
    """Compare all tensors whose names both graphs share; raise at the first difference."""
    for name, got in after.items():
        if name in before:
            _require(step, name, before[name], got)


def require_grid(
    step: str, original: Values, integers: Values, equals: Mapping[str, tuple[str, Grid]]
) -> None:
    """Compare integer tensors (N, H, W, C), on their grids, with the float tensors they are."""
    for name, (source, grid) in equals.items():
        want = original[source][:, 0]  # a run is of one image
        nhwc = want.transpose(0, 2, 3, 1) if want.ndim == 4 else want.reshape(len(want), 1, 1, -1)
        if grid.order is not None:
            nhwc = nhwc[..., grid.order]
        _require(step, f"{name} ({source})", nhwc, grid.value(integers[name].astype(np.int64)))


def require_integers(step: str, finn: Values, ours: Mapping[str, IntArray]) -> None:
    """Compare FINN's execution with the integer interpreter, tensor by tensor."""
    for name, got in ours.items():
        want = finn[name].astype(np.int64)
        _require(step, name, want.reshape(got.shape), got)


def _require(
    step: str,
    tensor: str,
    want: NDArray[np.float32] | IntArray,
    got: NDArray[np.float32] | IntArray,
) -> None:
    if want.shape == got.shape and np.array_equal(want, got):
        return
    if want.shape != got.shape:
        raise MismatchError(f"step {step}: layer {tensor}: shape {want.shape} became {got.shape}")
    at = tuple(int(i) for i in np.argwhere(want != got)[0])
    place = f"image {at[0]}, channel {at[-1]}, pixel {at[1:-1]}"
    raise MismatchError(
        f"step {step} changed the network: layer {tensor}, {place}: "
        f"expected {want[at]}, got {got[at]} "
        f"({np.count_nonzero(want != got)} of {want.size} differ)"
    )
