"""FIFO depths by max-plus analysis: no deadlock, and the full rate, without simulation.

Every kernel is a marked graph: firing i happens one cycle after firing i - 1 at the earliest, and
not before its ``need`` input beats have arrived. Frames are fed at the rate of the slowest stage
and all FIFOs are taken as unlimited; then each stage's firing times are a running maximum, and
the largest number of beats ever waiting in a stream is read off exactly.

With those depths the same schedule is possible in the finite design, and a self-timed marked
graph never runs later than any schedule that is possible for it, so the design sustains the
initiation interval of its slowest stage; and a marked graph that can run under one timing cannot
deadlock under another, whatever the stalls at its edges (Baccelli et al., "Synchronization and
Linearity", 1992).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hwgen.dataflow import Dataflow, Stage, Stream
from hwgen.quant import IntArray

FRAMES = 4  # enough for the fill of the pipeline to pass and the rhythm to repeat
MARGIN = 1  # the beat in the registered handshake of a FIFO


@dataclass(frozen=True, slots=True)
class FifoSizing:
    """Depth by stream, and the bits of all FIFOs against FIFOs of a whole frame."""

    depths: dict[str, int]
    bits: int
    frame_bits: int
    latency_cycles: int


def size(dataflow: Dataflow) -> FifoSizing:
    """Depths for every stream of ``dataflow``, in beats."""
    depths: dict[str, int] = {}
    for stage, fires, arrivals in _flow(dataflow, FRAMES, dataflow.max_cycles):
        schedule = stage.schedule()
        for stream in dataflow.into(stage.name):
            free = schedule.free_of(stream.sink_port)
            waiting = _most_waiting(arrivals[stream.name], fires, free, stream)
            depths[stream.name] = max(2, waiting - schedule.buffer + MARGIN)
    return FifoSizing(
        depths=depths,
        bits=sum(depths[s.name] * s.width for s in dataflow.streams),
        frame_bits=sum(s.beats * s.width for s in dataflow.streams),
        latency_cycles=latency_cycles(dataflow),
    )


def latency_cycles(dataflow: Dataflow) -> int:
    """Cycles from a lone frame's first beat in to its last beat out, fed as fast as it is taken."""
    source = dataflow.stages[0].cycles
    fires, latency = [
        (fires, stage.schedule().latency) for stage, fires, _ in _flow(dataflow, 1, source)
    ][-1]
    return int(fires[-1]) + latency + 1


def _flow(
    dataflow: Dataflow, frames: int, interval: int
) -> Iterator[tuple[Stage, IntArray, dict[str, IntArray]]]:
    """Every stage with the cycles of its firings and those in which its streams' beats arrive."""
    arrivals: dict[str, IntArray] = {}
    for stage in dataflow.stages:
        schedule = stage.schedule()
        inputs = [
            (schedule.need_of(stream.sink_port), arrivals[stream.name])
            for stream in dataflow.into(stage.name)
        ]
        fires = _fire(schedule.firings, inputs, frames, interval)
        yield stage, fires, arrivals
        for stream in dataflow.into(stage.name):
            del arrivals[stream.name]  # read by this stage alone; long frames need the memory
        for stream in dataflow.out_of(stage.name):
            made = np.tile(np.diff(schedule.emit_of(stream.source_port), prepend=0), frames)
            emitted = np.repeat(fires, made) + schedule.latency
            # one cycle through the FIFO; deep bypasses in block RAM take two, but wait far longer
            arrivals[stream.name] = emitted + 1


def _fire(
    firings: int, inputs: list[tuple[IntArray, IntArray]], frames: int, interval: int
) -> IntArray:
    """Cycle of every firing of ``frames`` frames: t[i] = max(t[i-1] + 1, last needed arrival).

    ``inputs`` are every port's needs and arrivals.
    """
    if inputs:
        earliest = np.maximum.reduce([_ready(*port, frames) for port in inputs])
    else:  # the source: firings spread evenly over the design's interval
        per_frame = np.arange(firings, dtype=np.int64) * interval // firings
        earliest = (np.arange(frames)[:, None] * interval + per_frame[None, :]).reshape(-1)
    order = np.arange(len(earliest))
    return np.maximum.accumulate(earliest - order) + order


def _ready(need: IntArray, arrivals: IntArray, frames: int) -> IntArray:
    """Cycle in which the beats that a firing needs of one port have arrived."""
    beats = len(arrivals) // frames
    index = (np.arange(frames)[:, None] * beats + need[None, :]).reshape(-1)
    ready: IntArray = np.concatenate([[0], arrivals])[np.maximum.accumulate(index)]
    return ready


def _most_waiting(arrivals: IntArray, fires: IntArray, free: IntArray, stream: Stream) -> int:
    """Largest number of beats that have arrived and not been given back yet."""
    freed = np.tile(np.diff(free, prepend=0), len(fires) // len(free))
    released = np.repeat(fires, freed) + 1
    assert len(released) == len(arrivals), stream.name
    here = np.arange(1, len(arrivals) + 1)
    gone = np.searchsorted(released, arrivals, side="right")
    return int(np.max(here - gone))
