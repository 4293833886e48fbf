"""A design as tokens, cycle by cycle: FIFOs of finite depth, kernels that stop as the RTL does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from hwgen.dataflow import Dataflow, Stage, Stream

PATIENCE = 20_000  # cycles without any firing


@dataclass
class _Fifo:
    """Beats by the cycle from which they can be taken; its ready is a register."""

    depth: int
    cycles: int = 1  # from a push until its beat can be taken
    beats: list[int] = field(default_factory=list)
    ready: bool = True
    taken: int = 0
    reader: _Kernel | None = None  # takes beats itself where the depth is 0

    def push(self, now: int, beats: int = 1) -> None:
        if self.depth:
            self.beats += [now + self.cycles] * beats
        else:
            assert self.reader is not None
            self.reader.inside += beats
            self.taken += beats

    def look(self) -> None:
        """What its registers show in this cycle."""
        if self.depth:
            self.ready = len(self.beats) < self.depth
        else:
            assert self.reader is not None
            self.ready = self.reader.inside < self.reader.held


class _Kernel:
    """Takes beats into its buffer, fires, and shifts its pipeline unless the last beat waits."""

    def __init__(self, stage: Stage, into: list[_Fifo], out: list[_Fifo]) -> None:
        plan = stage.schedule()
        self.held = plan.buffer
        self.into, self.out = into, out
        ports = range(max(1, len(into)))
        self.need = [np.maximum.accumulate(plan.need_of(p)).tolist() for p in ports]
        self.free = [plan.free_of(p).tolist() for p in ports]
        made = [np.diff(plan.emit_of(p), prepend=0) for p in range(len(out))]
        self.emits = np.reshape(made, (len(out), plan.firings)).T.astype(int).tolist()
        cycles = plan.latency - (self.held > 0 and into != [])  # one of them to get into the buffer
        self.pipeline: list[list[int] | None] = [None] * (cycles if out else 0)
        self.firing = self.frame = 0
        self.inside = 0
        self.finished: list[int] = []

    @property
    def done(self) -> int:
        """Firings in all frames."""
        return self.frame * len(self.emits) + self.firing

    def step(self, now: int) -> None:
        """One cycle."""
        waiting = self.pipeline[-1] if self.pipeline else None
        if waiting is not None:
            for port, fifo in enumerate(self.out):
                if waiting[port] and fifo.ready:
                    fifo.push(now)
                    waiting[port] -= 1
            if not any(waiting):
                self.pipeline[-1] = waiting = None
        released = 0
        if waiting is None and self._can_fire(now):
            released = self._fire(now)
        elif waiting is None and self.pipeline:
            self.pipeline = [None, *self.pipeline[:-1]]
        if self.held and self.into:  # the beat that a single register gives up makes room now
            room = self.held + (released if self.held == 1 else 0)
            fifo = self.into[0]
            if self.inside < room and fifo.beats and fifo.beats[0] <= now:
                fifo.beats.pop(0)
                fifo.taken += 1
                self.inside += 1
            self.inside -= released

    def _can_fire(self, now: int) -> bool:
        for port, fifo in enumerate(self.into):
            need = self.need[port][self.firing] + self.frame * self.free[port][-1]
            there = fifo.taken if self.held else fifo.taken + sum(b <= now for b in fifo.beats)
            if there < need:
                return False
        made = self.emits[self.firing]
        return bool(self.pipeline) or all(
            f.ready or not n for f, n in zip(self.out, made, strict=True)
        )

    def _fire(self, now: int) -> int:
        """Fire; how many beats of input 0 that gives back."""
        made = list(self.emits[self.firing])
        if self.pipeline:
            self.pipeline = [made if any(made) else None, *self.pipeline[:-1]]
        else:
            for fifo, beats in zip(self.out, made, strict=True):
                fifo.push(now, beats)
        before = [free[self.firing - 1] if self.firing else 0 for free in self.free]
        given = [free[self.firing] - b for free, b in zip(self.free, before, strict=True)]
        if not self.held:
            for fifo, beats in zip(self.into, given, strict=True):
                del fifo.beats[:beats]
                fifo.taken += beats
        self.firing += 1
        if self.firing == len(self.emits):
            self.firing, self.frame = 0, self.frame + 1
            self.finished.append(now)
        return given[0]


class Simulation:
    """``dataflow`` with FIFOs of these depths; frames come as fast as they are taken, or paced."""

    def __init__(
        self, dataflow: Dataflow, depths: Mapping[str, int], *, pace: int = 0, stall: float = 0
    ) -> None:
        self.dataflow = dataflow
        self.fifos = {s.name: _Fifo(depths[s.name], 1 + s.block) for s in dataflow.streams}
        self.most = dict.fromkeys(self.fifos, 0)
        """Most beats that each FIFO has held."""
        self.kernels = [
            _Kernel(
                stage, self._of(dataflow.into(stage.name)), self._of(dataflow.out_of(stage.name))
            )
            for stage in dataflow.stages
        ]
        for stream in dataflow.streams:
            names = [stage.name for stage in dataflow.stages]
            self.fifos[stream.name].reader = self.kernels[names.index(stream.sink)]
        self.pace = pace
        self.stall = stall

    def _of(self, streams: tuple[Stream, ...]) -> list[_Fifo]:
        return [self.fifos[stream.name] for stream in streams]

    def run(self, frames: int, seed: int = 0) -> list[int]:
        """Cycles in which the last stage ends each frame; the first cycle is 0.

        Source and sink stand still in a share of ``stall`` of all cycles.
        """
        rng = np.random.default_rng(seed)
        source, sink = self.kernels[0], self.kernels[-1]
        now, waited, before = 0, 0, -1
        while len(sink.finished) < frames:
            for name, fifo in self.fifos.items():
                self.most[name] = max(self.most[name], len(fifo.beats))
                fifo.look()
            for kernel in reversed(self.kernels):
                edge = kernel is source or kernel is sink
                early = kernel is source and now * len(kernel.emits) < self.pace * kernel.done
                if not early and not (edge and rng.random() < self.stall):
                    kernel.step(now)
            progress = sum(kernel.done for kernel in self.kernels)
            waited = 0 if progress > before else waited + 1
            assert waited < PATIENCE, "deadlock"
            now, before = now + 1, progress
        return sink.finished
