"""What a design will need and reach, before any tool has run: the estimate reports.

Each function returns the JSON of one file of BUILD/report; ``schema`` says what stands in it.
Everything follows from the methods of the layers, so a new kind needs no change here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hwgen import schema
from hwgen.dataflow import Dataflow, Stage
from hwgen.fifo import FifoSizing
from hwgen.folding import Point
from hwgen.layers.base import Layer, Resources, Settings
from hwgen.quant import IntType, QuantGraph, Tensor

STREAMS = "streams"  # the row of all FIFOs and width converters

Json = dict[str, Any]


def op_and_param_counts(graph: QuantGraph) -> Json:
    """Work a frame and constants by layer, and OPs = binary MACs / 64 + integer MACs."""
    layers = {layer.name: _counts(layer) for layer in graph.layers}
    sums = {
        key: sum(getattr(count, key) for count in layers.values())
        for key in schema.LayerCounts.model_fields
    }
    total = schema.LayerCounts(**sums)
    ops = total.binary_macs / 64 + total.integer_macs
    return schema.OpAndParamCounts(layers=layers, total=total, ops=ops).model_dump()


def _counts(layer: Layer) -> schema.LayerCounts:
    """A constant called ``weights`` is multiplied once for every output pixel."""
    arrays = layer.call().arrays
    macs = layer.outputs[0].pixels * arrays["weights"].size if "weights" in arrays else 0
    binary = layer.binary_lanes(next(layer.foldings())) > 0
    return schema.LayerCounts(
        binary_macs=macs if binary else 0,
        integer_macs=0 if binary else macs,
        parameters=sum(array.size for array in arrays.values()),
        parameter_bits=sum(
            array.size * IntType.holding(int(np.min(array)), int(np.max(array))).bits
            for array in arrays.values()
            if array.size
        ),
    )


def estimate_layer_cycles(dataflow: Dataflow) -> Json:
    """Initiation interval by stage."""
    return {stage.name: stage.cycles for stage in dataflow.stages}


def estimate_layer_resources(dataflow: Dataflow) -> Json:
    """Resources by layer, FIFOs and converters in the row ``streams``, and in total."""
    rows: dict[str, Resources] = {}
    inserted = Resources()
    for stage in dataflow.stages:
        if _role(dataflow, stage) == "inserted":
            inserted += stage.resources
        else:
            rows[stage.name] = stage.resources
    rows[STREAMS] = sum((stream.resources for stream in dataflow.streams), inserted)
    return schema.LayerResources(
        layers={name: _used(cost) for name, cost in rows.items()},
        total=_used(sum(rows.values(), Resources())),
        activation_units=_units(dataflow),
    ).model_dump()


def _units(dataflow: Dataflow) -> dict[str, schema.UnitChoice]:
    """What layers chose their circuits among."""
    choices = {stage.name: stage.layer.choice(stage.folding) for stage in dataflow.stages}
    return {
        name: schema.UnitChoice(
            chosen=choice.chosen,
            why=choice.why,
            candidates={unit: _used(cost) for unit, cost in choice.candidates.items()},
        )
        for name, choice in choices.items()
        if choice is not None
    }


def _used(cost: Resources) -> schema.Used:
    values = (round(float(v), 1) for v in (cost.lut, cost.ff, cost.bram36, cost.dsp))
    return schema.Used(**dict(zip(("LUT", "FF", "BRAM36", "DSP"), values, strict=True)))


def estimate_network_performance(dataflow: Dataflow, sizing: FifoSizing | None = None) -> Json:
    """Rate, bottleneck and, with sized FIFOs, latency at the clock."""
    return schema.NetworkPerformance(
        max_cycles=dataflow.max_cycles,
        bottleneck=dataflow.bottleneck.name,
        clock_mhz=dataflow.clock_mhz,
        fps=dataflow.fps,
        binary_lanes=dataflow.binary_lanes,
        latency_cycles=sizing.latency_cycles if sizing else None,
    ).model_dump(exclude_none=True)


def fifo_sizing(dataflow: Dataflow, sizing: FifoSizing) -> Json:
    """Every FIFO, and the bits of all of them against FIFOs of whole frames."""
    return schema.FifoSizing(
        fifos=tuple(
            schema.Fifo(
                name=s.name,
                source=s.source,
                sink=s.sink,
                width=s.width,
                depth=sizing.depths[s.name],
                beats=s.beats,
            )
            for s in dataflow.streams
        ),
        bits=sizing.bits,
        frame_bits=sizing.frame_bits,
        latency_cycles=sizing.latency_cycles,
    ).model_dump(mode="json")


def trade_off(points: Sequence[Point], dataflow: Dataflow) -> Json:
    """Designs of least area at rates around that of ``dataflow``."""
    hertz = dataflow.clock_mhz * 1e6
    rows = tuple(
        schema.Point(
            cycles=point.cycles,
            fps=hertz / point.cycles,
            fits=point.fits,
            taken=point.cycles == dataflow.max_cycles,
            **_used(point.cost).model_dump(),
        )
        for point in points
    )
    return schema.TradeOff(points=rows).model_dump(mode="json")


def describe(dataflow: Dataflow) -> Json:
    """The dataflow as a drawing needs it: stages and FIFOs."""
    nodes = tuple(
        schema.Node(
            name=stage.name,
            kind=type(stage.layer).__name__,
            role=_role(dataflow, stage),
            inputs=tuple(_stream(t) for t in stage.layer.inputs),
            outputs=tuple(_stream(t) for t in stage.layer.outputs),
            folding=_folding(stage),
            cycles=stage.cycles,
            binary_lanes=stage.layer.binary_lanes(stage.folding),
        )
        for stage in dataflow.stages
    )
    edges = tuple(
        schema.Edge(
            name=s.name,
            source=s.source,
            source_port=s.source_port,
            sink=s.sink,
            sink_port=s.sink_port,
            width=s.width,
            depth=s.depth,
        )
        for s in dataflow.streams
    )
    graph = schema.Graph(name=dataflow.graph.name, nodes=nodes, edges=edges)
    return graph.model_dump(mode="json")


def _role(dataflow: Dataflow, stage: Stage) -> str:
    """What a stage is to a reader: how it computes, or why it is there."""
    if stage.layer is dataflow.axis_in or stage.layer is dataflow.axis_out:
        return "edge"
    if all(stage.name != layer.name for layer in dataflow.graph.layers):
        return "inserted"
    arrays = stage.layer.call().arrays
    if "weights" in arrays:
        return "binary" if stage.layer.binary_lanes(stage.folding) else "integer"
    return "table" if arrays else "stream"


def _folding(stage: Stage) -> Settings:
    values = {"PE": stage.folding.pe, "SIMD": stage.folding.simd}
    found: Settings = {key: values[key] for key in stage.layer.folding_keys()}
    return found | stage.folding.words


def _stream(tensor: Tensor) -> schema.Stream:
    return schema.Stream(shape=tensor.shape, dtype=str(tensor.dtype))
