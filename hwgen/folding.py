"""PE and SIMD for every layer: the least area for a rate, or the best rate for a board."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from hwgen import fifo
from hwgen.board import Board
from hwgen.dataflow import Dataflow, build_dataflow
from hwgen.errors import FoldingError, ResourceError, UserInputError
from hwgen.layers.base import Folding, Layer, Resources
from hwgen.quant import QuantGraph

Foldings = dict[str, Folding]


def weight(cost: Resources, board: Board) -> float:
    """Area as the share of the board's resources, summed over their kinds."""
    r = board.resources
    return (
        cost.lut / r.LUT
        + 0.25 * cost.ff / r.FF
        + cost.bram36 / max(r.BRAM36, 1)
        + cost.dsp / max(r.DSP, 1)
    )


def streams(layer: Layer, folding: Folding) -> Resources:
    """Cost of the two-beat FIFOs behind a layer: what makes wide streams worth avoiding."""
    lanes = layer.lanes(folding)[1]
    bits = sum(tensor.dtype.bits * lanes for tensor in layer.outputs)
    return Resources(lut=4 + bits, ff=3 + 2 * bits)


class _Choices:
    """For one layer, the foldings worth taking: each faster one costs more area."""

    def __init__(self, layer: Layer, board: Board) -> None:
        ranked = sorted(
            (layer.cycles(f), weight(layer.resources(f) + streams(layer, f), board), f.pe, f.simd)
            for f in layer.foldings()
        )
        self.layer = layer
        self.frontier: list[tuple[int, Folding]] = []  # cycles ascending, area descending
        least = float("inf")
        for cycles, area, pe, simd in ranked:
            if area < least:
                least = area
                self.frontier.append((cycles, Folding(pe, simd)))

    def cheapest(self, max_cycles: int) -> Folding | None:
        """The folding of least area that takes at most ``max_cycles``."""
        fitting = [folding for cycles, folding in self.frontier if cycles <= max_cycles]
        return fitting[-1] if fitting else None


def for_rate(graph: QuantGraph, board: Board, max_cycles: int) -> Foldings:
    """The least area that keeps every layer within ``max_cycles`` cycles a frame."""
    return _for_rate([_Choices(layer, board) for layer in graph.layers], max_cycles)


def _for_rate(choices: list[_Choices], max_cycles: int) -> Foldings:
    chosen: Foldings = {}
    for choice in choices:
        folding = choice.cheapest(max_cycles)
        if folding is None:
            fastest = choice.frontier[0][0]
            raise FoldingError(
                f"layer {choice.layer.name} takes at least {fastest} cycles a frame, "
                f"more than the {max_cycles} that the rate allows; "
                "lower --fps or raise --clock-mhz"
            )
        chosen[choice.layer.name] = folding
    return chosen


def plan(
    graph: QuantGraph, board: Board, foldings: Mapping[str, Folding], clock_mhz: float
) -> tuple[Dataflow, fifo.FifoSizing]:
    """The dataflow of these foldings, with FIFOs that sustain its rate and cannot deadlock."""
    flow = build_dataflow(graph, foldings, bus_bytes=board.dma.bus_bytes, clock_mhz=clock_mhz)
    sizing = fifo.size(flow)
    return flow.with_depths(sizing.depths), sizing


def shortfalls(cost: Resources, board: Board) -> list[str]:
    """What exceeds the board's budget, and by how much."""
    budget = board.budget()
    found = []
    for name in ("lut", "ff", "bram36", "dsp"):
        need, have = getattr(cost, name), getattr(budget, name)
        if need > have:
            found.append(f"{name.upper()} {need:.0f} of {have:.0f} ({need / max(have, 1):.1f}x)")
    return found


def fastest(graph: QuantGraph, board: Board) -> Foldings:
    """The least initiation interval whose estimated cost fits the board.

    Raises ``ResourceError`` that names what is short, and by how much, if none does.
    """
    choices = [_Choices(layer, board) for layer in graph.layers]
    # no design is faster than its slowest layer at full parallelism
    floor = max(choice.frontier[0][0] for choice in choices)
    rates = sorted({c for choice in choices for c, _ in choice.frontier if c >= floor})

    def problems(rate: int) -> list[str]:
        flow, _ = plan(graph, board, _for_rate(choices, rate), board.clock_mhz)
        return shortfalls(flow.resources, board)

    low, high = 0, len(rates) - 1
    if found := problems(rates[high]):
        raise ResourceError(
            f"the network does not fit {board.name} even fully folded: {', '.join(found)}; "
            "a narrower network, fewer residual bits or a larger board would help"
        )
    while low < high:  # more cycles never cost more area, so the first that fits is the best
        middle = (low + high) // 2
        if problems(rates[middle]):
            low = middle + 1
        else:
            high = middle
    return _for_rate(choices, rates[high])


def require_fit(cost: Resources, board: Board, what: str) -> None:
    """Raise ``ResourceError`` unless ``cost`` is within the board's budget."""
    problems = shortfalls(cost, board)
    if problems:
        raise ResourceError(
            f"{what} needs more than {board.name} has to offer: {', '.join(problems)}; "
            "lower --fps, fold more in --folding, or choose a larger board"
        )


def to_config(graph: QuantGraph, foldings: Mapping[str, Folding]) -> dict[str, dict[str, int]]:
    """FINN's folding configuration: ``{"Defaults": {}, "MVAU_0": {"PE": 4, "SIMD": 8}}``.

    Fused FINN nodes are listed with the folding of the layer that does their work, so that FINN
    can read the file too.
    """
    config: dict[str, dict[str, int]] = {"Defaults": {}}
    for layer in graph.layers:
        values = {"PE": foldings[layer.name].pe, "SIMD": foldings[layer.name].simd}
        keys = layer.folding_keys()
        if keys:
            config[layer.name] = {key: values[key] for key in keys}
    for name, carrier in graph.fused:
        if name.startswith("FMPadding"):
            config[name] = {"SIMD": foldings[carrier].simd}
    return config


def read_config(path: Path, graph: QuantGraph) -> Foldings:
    """Read a folding file; every layer it does not name keeps PE = SIMD = 1.

    Raises ``UserInputError`` for a file that is not one, and ``FoldingError`` with the legal
    values for a folding that does not divide.
    """
    try:
        config = json.loads(path.read_text())
        assert isinstance(config, dict)
    except (OSError, ValueError, AssertionError) as error:
        raise UserInputError(f"folding file {path} cannot be read as JSON: {error}") from error
    known = {layer.name for layer in graph.layers} | {name for name, _ in graph.fused}
    unknown = sorted(set(config) - known - {"Defaults"})
    if unknown:
        raise FoldingError(
            f"folding file {path} names {', '.join(unknown)}, which the network does not have; "
            f"its layers: {', '.join(layer.name for layer in graph.layers)}"
        )
    return {
        layer.name: _read_one(path, layer, config.get(layer.name, {})) for layer in graph.layers
    }


def _read_one(path: Path, layer: Layer, entry: object) -> Folding:
    """One layer's entry."""
    if not isinstance(entry, dict) or set(entry) - {"PE", "SIMD"}:
        raise FoldingError(
            f"folding file {path}, layer {layer.name}: {entry!r} is not an object with "
            f"{' and '.join(layer.folding_keys())}"
        )
    for key, value in entry.items():
        if not isinstance(value, int) or isinstance(value, bool):
            raise FoldingError(
                f"folding file {path}, layer {layer.name}: {key} is {value!r}, not an integer"
            )
    return layer.legal(Folding(entry.get("PE", 1), entry.get("SIMD", 1)))
