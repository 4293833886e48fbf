"""Firing times: when every kernel works, in a rhythm that repeats with every frame.

Times are cycles of frame 0, an array a stage; those of frame k are ``k * interval`` later. A frame
that is alone has the interval ``ALONE``. Every beat of a stream has a cycle in which it has
arrived, a cycle behind its push into the FIFO, and one in which its place is free again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from functools import cached_property

import numpy as np

from hwgen.dataflow import Dataflow, Stage, Stream
from hwgen.layers.base import Schedule
from hwgen.quant import IntArray

ALONE = 1 << 40  # no frame comes before or behind
NEVER = 1 << 60
MARGIN = 1  # a place for the beat that a kernel's buffer takes over in the cycle of the next push

Fires = Mapping[str, IntArray]
"""Firing times by stage."""


class Timetable:
    """Times that the streams of ``dataflow`` allow at one frame every ``interval`` cycles."""

    def __init__(
        self, dataflow: Dataflow, interval: int, *, spread: bool = False, shallow: bool = False
    ) -> None:
        """``spread``: the source fires evenly over the interval, not as fast as it can.

        ``shallow``: FIFOs may hold less than two beats.
        """
        self.dataflow = dataflow
        self.interval = interval
        self.spread = spread
        self.shallow = shallow
        self.streams = {stream.name: stream for stream in dataflow.streams}
        self.into = {stage.name: dataflow.into(stage.name) for stage in dataflow.stages}
        self.out_of = {stage.name: dataflow.out_of(stage.name) for stage in dataflow.stages}

    @cached_property
    def schedules(self) -> dict[str, Schedule]:
        """Every stage's; kept, which takes memory where frames are long."""
        return {stage.name: stage.schedule() for stage in self.dataflow.stages}

    def soonest(self) -> Iterator[tuple[Stage, Schedule, IntArray, dict[str, IntArray]]]:
        """Every stage's firings, as soon as its beats allow with FIFOs that are never full.

        Comes with the arrivals of its input streams, which are then forgotten.
        """
        arrivals: dict[str, IntArray] = {}
        for stage in self.dataflow.stages:
            schedule, streams = stage.schedule(), self.into[stage.name]
            fires = self._fed(schedule, streams, [arrivals[s.name] for s in streams])
            yield stage, schedule, fires, {s.name: arrivals.pop(s.name) for s in streams}
            for stream in self.out_of[stage.name]:
                arrivals[stream.name] = arrived(stream, schedule, fires)

    def _fed(
        self, schedule: Schedule, streams: tuple[Stream, ...], arrivals: list[IntArray]
    ) -> IntArray:
        """Firings as soon as the beats of ``streams`` allow; the source has none."""
        pairs = zip(streams, arrivals, strict=True)
        ready = [_ready(schedule.need_of(s.sink_port), arrival) for s, arrival in pairs]
        if not ready:
            firing = np.arange(schedule.firings, dtype=np.int64)
            ready = [firing * self.interval // schedule.firings if self.spread else firing]
        return self.forward(np.maximum.reduce(ready))

    def fed(self, stage: str, fires: Fires) -> IntArray:
        """The firings of ``stage`` as soon as the others' allow."""
        streams, plans = self.into[stage], self.schedules
        arrivals = [arrived(s, plans[s.source], fires[s.source]) for s in streams]
        return self._fed(plans[stage], streams, arrivals)

    def forward(self, earliest: IntArray) -> IntArray:
        """The first firing times from ``earliest`` on: one a cycle, in order, frame by frame."""
        order = np.arange(2 * len(earliest))
        both = np.concatenate([earliest - self.interval, earliest]) - order
        return (np.maximum.accumulate(both) + order)[len(earliest) :]

    def backward(self, latest: IntArray) -> IntArray:
        """The last firing times up to ``latest``, likewise."""
        order = np.arange(2 * len(latest))
        both = np.concatenate([latest, latest + self.interval]) - order
        return (np.minimum.accumulate(both[::-1])[::-1] + order)[: len(latest)]

    def latest(self, stage: str, fires: Fires) -> IntArray:
        """The last firing times of ``stage`` with which its readers can keep theirs."""
        schedule = self.schedules[stage]
        latest = np.full(schedule.firings, NEVER)
        for stream in self.out_of[stage]:
            need = self.schedules[stream.sink].need_of(stream.sink_port)
            firing, beat = _emissions(schedule, stream)
            wanted = _wanted(need, fires[stream.sink], stream.beats)[beat]
            latest[firing] = np.minimum(latest[firing], wanted - schedule.latency - 1)
        return self.backward(latest)

    def released(self, stream: Stream, fires: Fires) -> IntArray:
        """Cycles from which the places of a stream's beats are free again."""
        free = self.schedules[stream.sink].free_of(stream.sink_port)
        return released(free, fires[stream.sink])

    def holding(self, stream: Stream, depth: int, fires: Fires, early: bool) -> IntArray:
        """The first times of a stream's source, from its present ones, for a FIFO of ``depth``."""
        schedule, held = self.schedules[stream.source], self.schedules[stream.sink].buffer
        gone = self.released(stream, fires)
        firing, beat = _emissions(schedule, stream)
        wait = {0: 1, 1: 2}.get(depth, -MARGIN) if held else 0  # from its release to its next push
        place = beat - depth - held + (MARGIN if held and depth > 1 else 0)
        frame = place // len(gone)
        free = gone[place - frame * len(gone)] + frame * self.interval
        times = fires[stream.source].copy()
        lead = _to_push(schedule, early) - wait
        times[firing] = np.maximum(times[firing], free - lead)
        return self.forward(times)

    def depth(self, stream: Stream, fires: Fires, early: bool) -> int:
        """The depth that a FIFO needs; ``early``: its places are free before they are needed."""
        arrivals = arrived(stream, self.schedules[stream.source], fires[stream.source], early)
        held = self.schedules[stream.sink].buffer
        return depth(
            arrivals, self.released(stream, fires), held, self.interval, self.least(stream)
        )

    def least(self, stream: Stream) -> int:
        """The least depth that a stream can have.

        None before a kernel that holds two beats or more. One place holds every second cycle's
        beat only, which a kernel that takes beats over itself must know of its source.
        """
        if not self.shallow:
            return 2
        held = self.schedules[stream.sink].buffer
        if held > 1:
            return 0
        return 1 if not held or self._gap(stream) > 1 else 2

    def _gap(self, stream: Stream) -> int:
        """The fewest firings of its source from one beat to the next."""
        schedule = self.schedules[stream.source]
        firings, _ = _emissions(schedule, stream)
        return int(np.diff(np.append(firings, firings[0] + schedule.firings)).min())

    def slower(
        self, name: str, fires: Fires, depths: Mapping[str, int], taken: AbstractSet[str]
    ) -> Fires | None:
        """``fires`` where beats of a stream take a cycle more, with the reader's alone later.

        None where somebody would notice: those behind it, or FIFOs before it. ``taken``: streams
        that are slower already.
        """
        stream = self.streams[name]
        schedule, reader = self.schedules[stream.sink], stream.sink
        arrivals = arrived(stream, self.schedules[stream.source], fires[stream.source]) + 1
        ready = _ready(schedule.need_of(stream.sink_port), arrivals)
        times = self.forward(np.maximum(fires[reader], ready))
        if (times == fires[reader]).all():
            return fires
        behind = {s.name for s in self.out_of[reader]}
        if not behind or behind & taken or (times > self.latest(reader, fires)).any():
            return None
        later = {**fires, reader: times}
        needs = [(s, self.depth(s, later, early=True)) for s in self.into[reader]]
        return later if all(need <= depths[s.name] for s, need in needs) else None

    def keeps_gaps(self, stage: str) -> bool:
        """Whether beats can be so close that several are in a pipeline that stops as a whole."""
        schedule = self.schedules[stage]
        pipeline = schedule.latency - (schedule.buffer > 0)
        gaps = (self._gap(stream) for stream in self.out_of[stage])
        return pipeline > 1 and any(gap < pipeline for gap in gaps)


def _ready(need: IntArray, arrivals: IntArray) -> IntArray:
    """Cycle in which the beats that a firing needs of one port have arrived."""
    return np.concatenate([[-NEVER], arrivals])[np.maximum.accumulate(need)]


def _wanted(need: IntArray, fires: IntArray, beats: int) -> IntArray:
    """Cycles in which beats have to be there."""
    first = np.searchsorted(np.maximum.accumulate(need), np.arange(1, beats + 1))
    return np.append(fires, NEVER)[first]


def patient(schedule: Schedule, stream: Stream, fires: IntArray, arrivals: IntArray) -> bool:
    """Whether the reader of ``stream``, who has this schedule, needs no beat as it arrives."""
    wanted = _wanted(schedule.need_of(stream.sink_port), fires, len(arrivals))
    return bool((arrivals < wanted).all())


def _emissions(schedule: Schedule, stream: Stream) -> tuple[IntArray, IntArray]:
    """The firings that emit, and the first beat that each does, from 0."""
    emit = schedule.emit_of(stream.source_port)
    before = np.concatenate([[0], emit[:-1]])
    firing = np.flatnonzero(emit > before)
    return firing, before[firing]


def _to_push(schedule: Schedule, early: bool) -> int:
    """Cycles from a firing to its beat's push; ``early``: to its entry into the pipeline."""
    return 1 + (schedule.buffer > 0) if early else schedule.latency


def arrived(stream: Stream, schedule: Schedule, fires: IntArray, early: bool = False) -> IntArray:
    """Cycles in which the beats that ``fires`` emit stand at the output of a stream's FIFO."""
    made = np.diff(schedule.emit_of(stream.source_port), prepend=0)
    return np.repeat(fires, made) + _to_push(schedule, early) + (stream.depth > 0)


def released(free: IntArray, fires: IntArray) -> IntArray:
    """Cycles from which the places that ``fires`` give back are free."""
    return np.repeat(fires, np.diff(free, prepend=0)) + 1


def depth(arrivals: IntArray, gone: IntArray, held: int, interval: int, least: int) -> int:
    """Places that a FIFO needs before a kernel that itself holds ``held`` beats, from ``least`` on.

    A beat needs a place that is free in the cycle of its push, since the FIFO's ready is a
    register; and a kernel needs a cycle to tell that one of its own is free, and one to take a
    beat over.
    """

    def waiting(at: IntArray) -> int:
        frame = (at - gone[0]) // interval
        left = frame * len(gone) + np.searchsorted(gone, at - frame * interval, side="right")
        return int(np.max(np.arange(1, len(arrivals) + 1) - left))

    if not held:
        return max(least, waiting(arrivals - 1))
    if least == 0 and waiting(arrivals - 2) <= held:
        return 0
    if least <= 1 and waiting(arrivals - 3) <= held + 1:
        return 1
    return max(2, waiting(arrivals) - held + MARGIN)
