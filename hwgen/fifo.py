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

Frames that are fed evenly need the smallest FIFOs: of a single place, or none before kernels that
hold beats themselves, where that suffices. A lone frame that comes as fast as it is taken is
followed through the finite design. Where it is late, FIFOs hold two beats at least; and if it still
is, depths are those of frames that all come as fast as that.

A pipeline that stops as a whole is more than a marked graph: it keeps its gaps, so the beat behind
one that was stopped can be late. A delayed stage of this kind fires only when a place of the FIFO
is free for the beat that enters its pipeline. Then nothing stops that pipeline from the planned
firing on, however early its beats have come.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

import numpy as np

from hwgen.dataflow import Dataflow, Stream
from hwgen.firing import ALONE, Fires, Timetable, depth, patient, released
from hwgen.layers.stairs import area

DEPTHS = (2, *(2**i for i in range(4, 16)))  # where the cost of a FIFO has its steps
SWEEPS = 20  # in which the times of a lone frame settle, or else it counts as late
REACH = 12  # stages in a row that are delayed for the sake of one FIFO
MOST_FIRINGS = 16_000_000  # of all stages; beyond, their times would take too much memory
BIT = 0.01  # LUTs that a bit of memory counts for, lest FIFOs grow where they are free


@dataclass(frozen=True, slots=True)
class FifoSizing:
    """Depth by stream, and the bits of all FIFOs against FIFOs of a whole frame.

    ``patient``: streams of two beats or more that may all take a cycle longer.
    """

    depths: dict[str, int]
    patient: frozenset[str]
    bits: int
    frame_bits: int
    latency_cycles: int


def size(dataflow: Dataflow) -> FifoSizing:
    """Depths for every stream of ``dataflow``, in beats."""
    depths, waiting = _found(dataflow)
    sized = dataflow.with_depths(depths)
    return FifoSizing(
        depths=depths,
        patient=frozenset(waiting),
        bits=sum(stream.depth * stream.width for stream in sized.streams),
        frame_bits=sum(stream.beats * stream.width for stream in sized.streams),
        latency_cycles=latency_cycles(sized),
    )


def _found(dataflow: Dataflow) -> tuple[dict[str, int], set[str]]:
    """Depths that keep rate and latency, and the streams whose beats may take a cycle more."""
    cycles = dataflow.max_cycles
    if sum(stage.cycles for stage in dataflow.stages) > MOST_FIRINGS:
        return _soonest(Timetable(dataflow, cycles, spread=True))
    for shallow, sure in ((True, True), (True, False), (False, False)):
        table = Timetable(dataflow, cycles, spread=True, shallow=shallow)
        depths, fires = _sized(table)
        depths |= dict.fromkeys(_hurried(dataflow, depths, sure), 2)
        alone = Timetable(dataflow.with_depths(depths), ALONE)
        settled = _settled(alone, depths)
        if settled is not None:
            return depths, _patient(depths, (table, fires), (alone, settled))
    table = Timetable(dataflow, cycles)
    depths, fires = _sized(table)
    return depths, _patient(depths, (table, fires))


def _patient(depths: Mapping[str, int], *plans: tuple[Timetable, Fires]) -> set[str]:
    """Streams whose beats may all take a cycle more in each of the plans, the largest first."""
    tables, fires = [table for table, _ in plans], [times for _, times in plans]
    streams = [s for s in tables[0].dataflow.streams if depths[s.name] > 1]
    found: set[str] = set()
    for stream in sorted(streams, key=lambda s: -s.width * depths[s.name]):
        pairs = zip(tables, fires, strict=True)
        later = [table.slower(stream.name, times, depths, found) for table, times in pairs]
        kept = [times for times in later if times is not None]
        if len(kept) == len(plans):
            fires = kept
            found.add(stream.name)
    return found


def in_block(dataflow: Dataflow, patient: AbstractSet[str], bram36: float) -> frozenset[str]:
    """The streams whose FIFOs save most by lying in block RAM, with ``bram36`` blocks to spare.

    A beat then takes a cycle more, so only ``patient`` ones may.
    """
    saving: dict[str, tuple[float, float]] = {}  # a block, and blocks
    for stream in dataflow.streams:
        moved = replace(stream, block=True).resources
        less = area(stream.resources) - area(moved)
        if stream.name in patient and less > 0:
            saving[stream.name] = (less / moved.bram36, moved.bram36)
    chosen = set()
    for name in sorted(saving, key=lambda name: -saving[name][0]):
        if saving[name][1] <= bram36:
            chosen.add(name)
            bram36 -= saving[name][1]
    return frozenset(chosen)


def _soonest(table: Timetable) -> tuple[dict[str, int], set[str]]:
    """Depths for stages that fire as soon as they can, stage by stage; and where beats wait."""
    depths: dict[str, int] = {}
    waiting = set()
    for _, schedule, times, arrivals in table.soonest():
        for name, arrived in arrivals.items():
            stream = table.streams[name]
            gone = released(schedule.free_of(stream.sink_port), times)
            depths[name] = depth(arrived, gone, schedule.buffer, table.interval, 2)
            if patient(schedule, stream, times, arrived):
                waiting.add(name)
    return depths, waiting


def _sized(table: Timetable) -> tuple[dict[str, int], Fires]:
    """Depths that sustain the interval, and firing times with them."""
    fires = {stage.name: times for stage, _, times, _ in table.soonest()}
    depths = {name: table.depth(s, fires, early=False) for name, s in table.streams.items()}
    plan = _Delays(table).least(_Plan(fires, depths, frozenset(), 0))
    return dict(plan.depths), plan.fires


def _hurried(dataflow: Dataflow, depths: Mapping[str, int], sure: bool) -> Iterator[str]:
    """Streams of a single place through which a lone frame's beats come too fast.

    ``sure``: only where that one place would make it late for certain.
    """
    table = Timetable(dataflow, ALONE, shallow=True)
    fires = {stage.name: times for stage, _, times, _ in table.soonest()}
    latest = {dataflow.stages[-1].name: fires[dataflow.stages[-1].name]}
    for stage in reversed(dataflow.stages[:-1]):
        latest[stage.name] = table.latest(stage.name, latest)
    for stream in dataflow.streams:
        if depths[stream.name] == 1 and table.depth(stream, fires, early=False) > 1:
            times = table.holding(stream, 1, fires, early=False)
            if not sure or (times > latest[stream.source]).any():
                yield stream.name


def _settled(table: Timetable, depths: Mapping[str, int]) -> Fires | None:
    """Times of a lone frame in FIFOs of these depths; None if it is later than in any."""
    fires = {stage.name: times for stage, _, times, _ in table.soonest()}
    last = table.dataflow.stages[-1].name
    end = fires[last][-1]
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
        if fires[last][-1] > end:
            return None
        if not moved:
            return fires
    return None


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
                plan = self.shallower(stream, plan)
        return plan

    def shallower(self, stream: Stream, plan: _Plan) -> _Plan:
        """``plan`` with the depth of one FIFO, among those worth a try, that costs least."""
        lowest = self.table.least(stream)
        if plan.depths[stream.name] == lowest:
            return plan
        latest = self.table.latest(stream.source, plan.fires)
        times = {**plan.fires, stream.source: latest}
        least = self.table.depth(stream, times, self.gaps[stream.source])
        best = start = replace(plan, cost=0)
        for beats in sorted({least, lowest, *DEPTHS}):
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
