"""FIFO depths by max-plus analysis: no deadlock, and the full rate, without simulation.

Every kernel is a marked graph: firing i happens one cycle after firing i - 1 at the earliest, and
not before its ``need`` input beats have arrived. Frames are fed at the rate of the slowest stage
and at first all FIFOs are taken as unlimited; then each stage's firing times are a running maximum,
and the places that a FIFO needs are read off exactly. Stages that run ahead of their readers fill
FIFOs for nothing. From the sink backwards such stages are delayed, and with them those before
them, where that makes FIFOs smaller; never so far that a reader would have to wait, so the sink
keeps its times.

With those depths the schedule is possible in the finite design, and a self-timed marked graph
never runs later than any schedule that is possible for it, so the design sustains the
initiation interval of its slowest stage; and a marked graph that can run under one timing cannot
deadlock under another, whatever the stalls at its edges (Baccelli et al., "Synchronization and
Linearity", 1992).

Frames that are fed evenly need the smallest FIFOs. A lone frame that comes as fast as it is taken
is followed through the finite design; in the rare case that it is late, depths are those of
frames that all come as fast as that.

A pipeline that stops as a whole is more than a marked graph: it keeps its gaps, so the beat behind
one that was stopped can be late. A delayed stage of this kind fires only when a place of the FIFO
is free for the beat that enters its pipeline. Then nothing stops that pipeline from the planned
firing on, however early its beats have come.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from hwgen.dataflow import Dataflow, Stream
from hwgen.firing import ALONE, Fires, Timetable, depth, released
from hwgen.layers.stairs import area
from hwgen.quant import IntArray

DEPTHS = (2, *(2**i for i in range(4, 16)))  # where the cost of a FIFO has its steps
SWEEPS = 20  # in which the times of a lone frame settle, or else it is taken to be late
REACH = 12  # stages in a row that are delayed for the sake of one FIFO
MOST_FIRINGS = 16_000_000  # of all stages; beyond, their times would take too much memory
BIT = 0.01  # LUTs that a bit of memory counts for, lest FIFOs grow where they are free


@dataclass(frozen=True, slots=True)
class FifoSizing:
    """Depth by stream, and the bits of all FIFOs against FIFOs of a whole frame."""

    depths: dict[str, int]
    bits: int
    frame_bits: int
    latency_cycles: int


def size(dataflow: Dataflow) -> FifoSizing:
    """Depths for every stream of ``dataflow``, in beats."""
    latency = latency_cycles(dataflow)
    depths = _depths(Timetable(dataflow, dataflow.max_cycles, spread=True))
    if _is_short(dataflow) and not _alone_in(dataflow, depths):
        depths = _depths(Timetable(dataflow, dataflow.max_cycles))
    return FifoSizing(
        depths=depths,
        bits=sum(depths[s.name] * s.width for s in dataflow.streams),
        frame_bits=sum(s.beats * s.width for s in dataflow.streams),
        latency_cycles=latency,
    )


def _is_short(dataflow: Dataflow) -> bool:
    """Whether all firing times of a frame fit into memory at once."""
    return sum(stage.cycles for stage in dataflow.stages) <= MOST_FIRINGS


def _depths(table: Timetable) -> dict[str, int]:
    """Depths that sustain the interval."""
    short = _is_short(table.dataflow)
    depths: dict[str, int] = {}
    fires: dict[str, IntArray] = {}
    for stage, schedule, times, arrivals in table.soonest():
        for stream in table.into[stage.name]:
            gone = released(schedule.free_of(stream.sink_port), times)
            need = depth(arrivals[stream.name], gone, schedule.buffer, table.interval)
            depths[stream.name] = need
        if short:
            fires[stage.name] = times
    if short:
        depths = dict(_Delays(table).least(_Plan(fires, depths, frozenset(), 0)).depths)
    return depths


def _alone_in(dataflow: Dataflow, depths: Mapping[str, int]) -> bool:
    """Whether a lone frame passes FIFOs of these depths as fast as any."""
    table = Timetable(dataflow, ALONE)
    fires = {stage.name: times for stage, _, times, _ in table.soonest()}
    *_, last = dataflow.stages
    end = fires[last.name][-1]
    moved = set(fires)
    for _ in range(SWEEPS):
        for stream in (s for stage in reversed(fires) for s in table.out_of[stage]):
            if stream.sink in moved:
                times = table.holding(stream, depths[stream.name], fires, early=False)
                if (times != fires[stream.source]).any():
                    fires[stream.source] = times
                    moved.add(stream.source)
        later = set()
        for stage in fires:
            if any(s.source in moved for s in table.into[stage]):
                times = np.maximum(fires[stage], table.fed(stage, fires))
                if (times != fires[stage]).any():
                    fires[stage] = times
                    moved.add(stage)
                    later.add(stage)
        moved = later
        if not moved or fires[last.name][-1] > end:
            break
    return not moved and bool(fires[last.name][-1] == end)


def latency_cycles(dataflow: Dataflow) -> int:
    """Cycles from a lone frame's first beat in to its last beat out, fed as fast as it is taken."""
    *_, (_, schedule, fires, _) = Timetable(dataflow, ALONE).soonest()
    return int(fires[-1]) + schedule.latency + 1


@dataclass(frozen=True, slots=True)
class _Plan:
    """Firing times, the depths that they need, who is delayed, and the cost against another."""

    fires: Fires
    depths: Mapping[str, int]
    late: frozenset[str]
    cost: float

    def deeper(self, stream: Stream, beats: int) -> _Plan:
        """With a FIFO of ``beats``."""
        cost = self.cost + _cost(stream, beats) - _cost(stream, self.depths[stream.name])
        return replace(self, depths={**self.depths, stream.name: beats}, cost=cost)


def _cost(stream: Stream, beats: int) -> float:
    """What a FIFO of ``beats`` costs, in LUTs."""
    return area(replace(stream, depth=beats).resources) + BIT * stream.width * beats


class _Delays:
    """The search for delays that make FIFOs smaller."""

    def __init__(self, table: Timetable) -> None:
        self.table = table
        self.gaps = {stage.name: table.keeps_gaps(stage.name) for stage in table.dataflow.stages}

    def least(self, plan: _Plan) -> _Plan:
        """``plan`` with the delays that pay, FIFO by FIFO from the sink to the source."""
        for stage in reversed(self.table.dataflow.stages):
            for stream in self.table.out_of[stage.name]:
                if plan.depths[stream.name] > 2:
                    plan = self.shallower(stream, plan)
        return plan

    def shallower(self, stream: Stream, plan: _Plan) -> _Plan:
        """``plan`` with the depth of one FIFO, among those worth a try, that costs least."""
        latest = self.table.latest(stream.source, plan.fires)
        times = {**plan.fires, stream.source: latest}
        least = self.table.depth(stream, times, self.gaps[stream.source])
        best = start = replace(plan, cost=0)
        for beats in sorted({least, *DEPTHS}):
            if least <= beats < plan.depths[stream.name]:
                found = self.delayed(stream, beats, start, REACH)
                if found is not None and found.cost < best.cost:
                    best = found
        return best

    def delayed(self, stream: Stream, beats: int, plan: _Plan, reach: int) -> _Plan | None:
        """``plan`` with the source of ``stream`` so late that the FIFO holds at most ``beats``.

        None where its readers would have to wait. Each FIFO before it gets deeper, or its source
        is delayed too, whatever costs less.
        """
        name, gaps = stream.source, self.gaps[stream.source]
        times = self.table.holding(stream, beats, plan.fires, gaps)
        if reach == 0 or (times > self.table.latest(name, plan.fires)).any():
            return None
        plan = replace(plan, fires={**plan.fires, name: times}, late=plan.late | {name})
        for behind in self.table.out_of[name]:
            plan = plan.deeper(behind, self.table.depth(behind, plan.fires, gaps))
        for before in self.table.into[name]:
            early = before.source in plan.late and self.gaps[before.source]
            need = self.table.depth(before, plan.fires, early)
            if need > plan.depths[before.name]:
                grown = plan.deeper(before, need)
                moved = self.delayed(before, plan.depths[before.name], plan, reach - 1)
                plan = moved if moved is not None and moved.cost < grown.cost else grown
        return plan
