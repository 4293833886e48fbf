"""driver/: what runs on the board, under PYNQ, with numpy alone."""

from __future__ import annotations

import numpy as np

from hwgen import __version__
from hwgen.backends import registers
from hwgen.backends.software import npy
from hwgen.backends.systemverilog import build_id, plain
from hwgen.board import Zynq
from hwgen.dataflow import Dataflow
from hwgen.errors import ResourceError
from hwgen.files import Files, to_json
from hwgen.layers import TopK
from hwgen.layers.axis import AxisEdge
from hwgen.quant import IntArray
from hwgen.render import render, static

EXAMPLES = 2  # frames, where no example is given
_UNCHANGED = ("driver.py", "packing.py", "status.py", "validate.py", "hwgen.ipynb")


def emit(
    dataflow: Dataflow,
    board: Zynq,
    rtl: Files,
    example: tuple[IntArray, IntArray] | None = None,
) -> Files:
    """Files of driver/ for the design in ``rtl``.

    ``example`` is a few integer frames (N, H, W, C) and the integers that the network returns
    for them; validate.py compares with these. Without it, the example is random frames alone.
    """
    limit = 2**board.dma.max_length_bits - 1
    for edge in (dataflow.axis_in, dataflow.axis_out):
        if edge.frame_bytes > limit:
            raise ResourceError(
                f"a frame of {edge.input.name} takes {edge.frame_bytes} bytes, a DMA transfer on "
                f"{board.name} at most {limit}; raise dma.max_length_bits in the board file"
            )
    frames, expected = example or (_random_frames(dataflow), None)
    content = {name: static(f"driver/{name}") for name in _UNCHANGED}
    own = {
        "max_transfer_bytes": limit,
        "build_id": f"{build_id(rtl):016x}",
        "registers": registers.driver(),
    }
    content["shapes.json"] = to_json(shapes(dataflow) | own)
    content["example_input.npy"] = npy(frames)
    if expected is not None:
        content["example_expected.npy"] = npy(expected)
    content["README.md"] = render("driver/README.md.j2", _readme(dataflow, board, rtl))
    return Files(content)


def shapes(dataflow: Dataflow) -> dict[str, object]:
    """What a host has to know of the network; packing.py's ``Design`` has the same fields."""
    scaling = dataflow.graph.scaling
    return {
        "name": f"{plain(dataflow.graph.name)} (hwgen {__version__})",
        "input": _stream(dataflow.axis_in),
        "output": _stream(dataflow.axis_out),
        "input_steps": scaling.input_steps,
        "input_limits": scaling.limits(dataflow.graph.input.dtype),
        "input_scale": scaling.input_scale,
        "output_scale": scaling.output_scale,
        "output_offset": scaling.output_offset,
        "classes": isinstance(dataflow.graph.layers[-1], TopK),
        "clock_mhz": dataflow.clock_mhz,
        "frame_cycles": dataflow.max_cycles,
        "frames_per_second": round(dataflow.fps, 3),
    }


def _stream(edge: AxisEdge) -> dict[str, object]:
    """One direction; fields as in packing.py's ``Stream``."""
    tensor = edge.input
    return {
        "shape": list(tensor.shape),
        "bits": tensor.dtype.bits,
        "signed": tensor.dtype.signed,
        "element_bytes": edge.element_bytes,
        "frame_bytes": edge.frame_bytes,
    }


def _random_frames(dataflow: Dataflow) -> IntArray:
    tensor = dataflow.graph.input
    rng = np.random.default_rng(0)
    return rng.integers(tensor.dtype.lo, tensor.dtype.hi + 1, size=(EXAMPLES, *tensor.shape))


def _readme(dataflow: Dataflow, board: Zynq, rtl: Files) -> dict[str, object]:
    h, w, c = dataflow.graph.input.shape
    out = dataflow.graph.output
    classifier = out.pixels == 1
    return {
        "network": plain(dataflow.graph.name),
        "title": plain(board.title),
        "floats": f"(N, {c}, {h}, {w})",
        "integers": f"(N, {h}, {w}, {c}) {dataflow.graph.input.dtype}",
        "results": f"(N, {', '.join(map(str, out.shape[2:] if classifier else out.shape))})",
        "clock_mhz": f"{dataflow.clock_mhz:g}",
        "fps": f"{dataflow.fps:,.0f}",
        "cycles": f"{dataflow.max_cycles:,}",
        "build_id": f"{build_id(rtl):016x}",
        "registers": registers.markdown(),
        "scale": _number(dataflow.graph.scaling.output_scale),
        "offset": _number(dataflow.graph.scaling.output_offset),
    }


def _number(value: float | tuple[float, ...]) -> str:
    """One number, or where the others stand."""
    return (
        "numbers of their own by channel (shapes.json)" if isinstance(value, tuple) else f"{value}"
    )
