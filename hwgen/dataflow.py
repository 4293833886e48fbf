"""Dataflow: the QuantGraph as hardware, with foldings, stream widths and FIFO depths."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Self

from hwgen import fifo_memory
from hwgen.fusion import fuse, unfused
from hwgen.layers.axis import AxisIn, AxisOut
from hwgen.layers.base import Folding, Layer, Resources, RtlInstance, Schedule
from hwgen.layers.stairs import area
from hwgen.layers.width_converter import WidthConverter
from hwgen.quant import QuantGraph, Tensor
from hwgen.technology import SERIES7, Technology

SOURCE, SINK = "axis_in", "axis_out"
REGISTERS, LUTRAM, BLOCK = range(3)  # kinds of memory of fifo.sv


@dataclass(frozen=True, slots=True)
class Stage:
    """A layer with the folding that was chosen for it."""

    layer: Layer
    folding: Folding
    technology: Technology = SERIES7

    @property
    def name(self) -> str:
        """The layer's name."""
        return self.layer.name

    @property
    def cycles(self) -> int:
        """Initiation interval in cycles a frame."""
        return self.layer.cycles(self.folding)

    @property
    def resources(self) -> Resources:
        """Estimated cost."""
        cost = self.layer.resources(self.folding)
        if not self.technology.costs:
            return cost
        choice = self.layer.choice(self.folding)
        kind = choice.chosen if choice else type(self.layer).__name__
        return self.technology.price(kind, cost)

    def schedule(self) -> Schedule:
        """Cycle behaviour over one frame."""
        return self.layer.schedule(self.folding)

    def rtl(self) -> RtlInstance:
        """Kernel instance."""
        return self.layer.rtl(self.folding)


@dataclass(frozen=True, slots=True)
class Stream:
    """A FIFO between two stages: ``lanes`` elements of ``tensor`` a beat, ``depth`` beats deep.

    Depth 0 is wires, before a kernel that holds beats itself. ``block``: the FIFO lies in block
    RAM, where a beat takes a cycle more.
    """

    tensor: Tensor
    source: str
    source_port: int
    sink: str
    sink_port: int
    lanes: int
    depth: int = 2
    block: bool = False
    technology: Technology = SERIES7

    @property
    def name(self) -> str:
        """Unique: the stages and ports it joins."""
        return f"{self.source}_{self.source_port}_to_{self.sink}_{self.sink_port}"

    @property
    def width(self) -> int:
        """Bits a beat."""
        return self.lanes * self.tensor.dtype.bits

    @property
    def beats(self) -> int:
        """Beats a frame."""
        return self.tensor.size // self.lanes

    @property
    def places(self) -> int:
        """Beats that the FIFO can hold, ``depth`` or a few more."""
        memory, words = self.memory, fifo_memory.places(self.depth)
        return self.depth if memory == REGISTERS else words + (memory == BLOCK)

    @property
    def memory(self) -> int:
        """Where beats lie, as fifo.sv numbers it: two beats in what costs less."""
        if self.block:
            return BLOCK
        if self.depth != 2:
            return LUTRAM if self.depth > 2 else REGISTERS
        return REGISTERS if area(self._cost(REGISTERS)) <= area(self._cost(LUTRAM)) else LUTRAM

    @property
    def resources(self) -> Resources:
        """Estimated cost of the FIFO."""
        return self._cost(self.memory)

    def _cost(self, memory: int) -> Resources:
        """In a kind of memory."""
        if memory == REGISTERS:
            kind, cost = "FIFO of registers", fifo_memory.registers(self.width, self.depth)
        elif memory == BLOCK:
            kind, cost = "FIFO in block RAM", fifo_memory.block(self.width, self.depth)
        else:
            kind, cost = "FIFO in LUTRAM", fifo_memory.lutram(self.width, self.depth)
        return self.technology.price(kind, cost)

    @property
    def rtl(self) -> RtlInstance:
        """The instance of fifo.sv."""
        parameters = {"WIDTH": self.width, "DEPTH": self.depth, "MEMORY": self.memory}
        return RtlInstance("fifo", parameters)


@dataclass(frozen=True, slots=True)
class Dataflow:
    """Stages in topological order (``axis_in`` first, ``axis_out`` last) and their streams."""

    graph: QuantGraph
    stages: tuple[Stage, ...]
    streams: tuple[Stream, ...]
    clock_mhz: float
    technology: Technology = SERIES7

    @property
    def axis_in(self) -> AxisIn:
        """The edge frames enter by."""
        layer = self.stages[0].layer
        assert isinstance(layer, AxisIn)
        return layer

    @property
    def axis_out(self) -> AxisOut:
        """The edge results leave by."""
        layer = self.stages[-1].layer
        assert isinstance(layer, AxisOut)
        return layer

    @property
    def max_cycles(self) -> int:
        """Initiation interval of the whole design: that of its slowest stage."""
        return max(stage.cycles for stage in self.stages)

    @property
    def bottleneck(self) -> Stage:
        """The first of the slowest stages."""
        return max(self.stages, key=lambda stage: stage.cycles)

    @property
    def resources(self) -> Resources:
        """Estimated cost of all stages and FIFOs."""
        parts = [stage.resources for stage in self.stages]
        return sum([*parts, *(stream.resources for stream in self.streams)], Resources())

    @property
    def binary_lanes(self) -> int:
        """Binary multiply-accumulates a cycle."""
        return sum(stage.layer.binary_lanes(stage.folding) for stage in self.stages)

    @property
    def foldings(self) -> dict[str, Folding]:
        """By the layers of the graph."""
        inside = {layer.name for layer in self.graph.layers}
        own = {stage.name: stage for stage in self.stages if stage.name in inside}
        folding = {name: stage.folding for name, stage in own.items()}
        return unfused((stage.layer for stage in own.values()), folding)

    @property
    def hidden(self) -> frozenset[str]:
        """Tensors of the graph that stay within a fused stage and that no stream carries."""
        made = {t.name for layer in self.graph.layers for t in layer.outputs}
        return frozenset(made - {t.name for stage in self.stages for t in stage.layer.outputs})

    @property
    def fps(self) -> float:
        """Frames a second at the clock."""
        return self.clock_mhz * 1e6 / self.max_cycles

    def into(self, stage: str) -> tuple[Stream, ...]:
        """Streams a stage reads, by port."""
        found = [s for s in self.streams if s.sink == stage]
        return tuple(sorted(found, key=lambda s: s.sink_port))

    def out_of(self, stage: str) -> tuple[Stream, ...]:
        """Streams a stage writes, by port."""
        found = [s for s in self.streams if s.source == stage]
        return tuple(sorted(found, key=lambda s: s.source_port))

    def with_depths(self, depths: Mapping[str, int]) -> Self:
        """The same dataflow with FIFO depths by stream name."""
        return replace(self, streams=tuple(replace(s, depth=depths[s.name]) for s in self.streams))

    def with_blocks(self, names: AbstractSet[str]) -> Self:
        """The same dataflow with the FIFOs of these streams in block RAM."""
        streams = tuple(replace(s, block=s.name in names) for s in self.streams)
        return replace(self, streams=streams)


def build_dataflow(
    graph: QuantGraph,
    foldings: Mapping[str, Folding],
    *,
    bus_bytes: int,
    clock_mhz: float,
    technology: Technology = SERIES7,
) -> Dataflow:
    """Cross from QuantGraph to Dataflow: place edges, foldings and width converters.

    ``foldings`` names every layer of the graph. Streams get depth 2; ``fifo.size`` sets them.
    Layers that ``fusion`` joins are one stage, with the folding of the first.
    """
    for layer in graph.layers:
        layer.legal(foldings[layer.name])
    hardware = fuse(graph)
    builder = _Builder(foldings, technology)
    builder.edge(AxisIn.of(SOURCE, graph.input, bus_bytes), hardware.layers[0])
    for layer in hardware.layers:
        builder.place(layer, foldings[layer.name])
    producer = builder.stages[builder.writers[graph.output.name][0]]
    builder.edge(AxisOut.of(SINK, graph.output, bus_bytes), producer.layer)
    stages, streams = tuple(builder.stages.values()), tuple(builder.streams)
    return Dataflow(graph, stages, streams, clock_mhz, technology)


class _Builder:
    """Collects stages and streams in topological order."""

    def __init__(self, foldings: Mapping[str, Folding], technology: Technology) -> None:
        self.foldings = foldings
        self.technology = technology
        self.stages: dict[str, Stage] = {}
        self.streams: list[Stream] = []
        self.writers: dict[str, tuple[str, int, int]] = {}  # tensor -> stage, port, lanes

    def edge(self, layer: AxisIn | AxisOut, neighbour: Layer) -> None:
        """Place an edge as wide as its neighbour where the bus allows it."""
        lanes = neighbour.lanes(self.foldings[neighbour.name])[isinstance(layer, AxisOut)]
        fitting = [f for f in layer.foldings() if f.pe <= lanes and lanes % f.pe == 0]
        self.place(layer, fitting[-1])

    def place(self, layer: Layer, folding: Folding) -> None:
        """Add a stage and the streams it reads, with converters where widths differ."""
        lanes_in, lanes_out = layer.lanes(folding)
        for port, tensor in enumerate(layer.inputs):
            if tensor.name in self.writers:
                self.connect(tensor, layer.name, port, lanes_in)
        self.stages[layer.name] = Stage(layer, folding, self.technology)
        for port, tensor in enumerate(layer.outputs):
            self.writers[tensor.name] = (layer.name, port, lanes_out)

    def connect(self, tensor: Tensor, sink: str, sink_port: int, lanes: int) -> None:
        """Join ``tensor``'s writer to a port, through converters if need be."""
        writer, port, have = self.writers[tensor.name]
        for layer in WidthConverter.chain(f"width_{sink}_{sink_port}", tensor, have, lanes):
            self.stream(tensor, writer, port, layer.name, 0, layer.in_lanes)
            self.stages[layer.name] = Stage(layer, next(layer.foldings()), self.technology)
            writer, port = layer.name, 0
        self.stream(tensor, writer, port, sink, sink_port, lanes)

    def stream(
        self, tensor: Tensor, writer: str, port: int, sink: str, sink_port: int, lanes: int
    ) -> None:
        """Add a FIFO of least depth."""
        self.streams.append(
            Stream(tensor, writer, port, sink, sink_port, lanes, technology=self.technology)
        )
