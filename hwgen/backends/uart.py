"""Boards without a processor: the network behind a serial line, and what its host must know."""

from __future__ import annotations

from hwgen.backends.pynq import shapes
from hwgen.backends.systemverilog import TOP as CORE
from hwgen.backends.systemverilog import bit_range, kernels
from hwgen.dataflow import Dataflow
from hwgen.errors import ResourceError
from hwgen.files import Files, to_json
from hwgen.render import render, static

TOP = "hwgen_uart_top"
SHAPES = "host/shapes.json"
CLOCKS_A_BIT = 8  # at least, which uart_rx needs
_SHELL = ("shell", "inbox", "outbox", "deframer", "framer", "crc", "rx", "tx", "ticks")
SHARED = ("width_converter",)  # modules of the kernels that the shell has, too


def emit(dataflow: Dataflow, baud: int, clock_hz: int, build_id: int) -> Files:
    """The shell and ``hwgen_uart_top``, for the folder project/ beside rtl/.

    ``clock_hz`` is the clock that the board gives it. Files that rtl/ holds already are not
    repeated. Raises ``ResourceError`` where a bit would take too few clocks.
    """
    if baud * CLOCKS_A_BIT > clock_hz:
        raise ResourceError(
            f"a bit at {baud} baud takes {clock_hz / baud:.1f} clocks of {clock_hz / 1e6:g} MHz, "
            f"the receiver needs {CLOCKS_A_BIT}; lower uart.baud in the board file to "
            f"{clock_hz // CLOCKS_A_BIT} or less, or raise --clock-mhz"
        )
    edge_in, edge_out = dataflow.axis_in, dataflow.axis_out
    context = {
        "network": " ".join(dataflow.graph.name.split()),
        "top": TOP,
        "core": CORE,
        "clock_hz": clock_hz,
        "baud": baud,
        "build_id": f"{build_id:016x}",
        "bus_bytes": edge_in.bus_bytes,
        "beats_in": edge_in.beats,
        "beats_out": edge_out.beats,
        "in_data": bit_range(8 * edge_in.bus_bytes),
        "out_data": bit_range(8 * edge_out.bus_bytes),
    }
    content = {f"uart_{name}.sv": static(f"shell/uart_{name}.sv") for name in _SHELL}
    for name in set(SHARED) - set(kernels(dataflow)):
        content[f"{name}.sv"] = static(f"rtl/{name}.sv")
    content[f"{TOP}.sv"] = render(f"shell/{TOP}.sv.j2", context)
    return Files(content)


def emit_host(dataflow: Dataflow, baud: int, build_id: int) -> Files:
    """host/shapes.json: what ``hwgen run`` has to know of the board."""
    line = {
        "baud": baud,
        "build_id": f"{build_id:016x}",
        "bus_bytes": dataflow.axis_in.bus_bytes,
    }
    return Files({SHAPES: to_json({**shapes(dataflow), **line})})
