"""The shell of a Zynq board: hwgen_top between the AXI DMA, with status registers."""

from __future__ import annotations

from hwgen.backends import registers
from hwgen.backends.systemverilog import bit_range, build_id, plain
from hwgen.dataflow import Dataflow
from hwgen.errors import ResourceError
from hwgen.files import Files
from hwgen.render import render, static

TOP = "hwgen_shell"
KERNELS = ("axil_registers.sv", "event_counters.sv")


def emit(dataflow: Dataflow, rtl: Files) -> Files:
    """hwgen_shell.v and the modules it needs beside those of ``rtl``, the folder of its design.

    Raises ``ResourceError`` for frames of more beats than the registers can tell.
    """
    bus_bytes = dataflow.axis_in.bus_bytes
    last_beat = dataflow.axis_in.beats - 1
    beat_bits = max(1, last_beat.bit_length())
    spare = 32 - registers.BEAT_SHIFT - beat_bits
    if spare < 0:
        raise ResourceError(
            f"a frame of {dataflow.axis_in.input.name} takes {last_beat + 1} beats of {bus_bytes} "
            f"bytes, the shell counts {2 ** (32 - registers.BEAT_SHIFT)} at most; use smaller ones"
        )
    context = {
        "network": plain(dataflow.graph.name),
        "bus_bytes": bus_bytes,
        "data_range": bit_range(8 * bus_bytes),
        "keep_range": bit_range(bus_bytes),
        "last_beat": last_beat,
        "beat_bits": beat_bits,
        "beat_range": bit_range(beat_bits),
        "beat_padding": f"{spare}'d0, " if spare else "",
        "build_id": f"{build_id(rtl):016x}",
        "clock_khz": round(1000 * dataflow.clock_mhz),
        "frame_cycles": dataflow.max_cycles,
        "registers": registers.rtl(),
    }
    shell = render(f"shell/{TOP}.v.j2", context)
    return Files({f"{TOP}.v": shell, **{name: static(f"shell/{name}") for name in KERNELS}})
