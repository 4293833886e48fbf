"""PE and SIMD for every layer: the least area for a rate, or the best rate for a board."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hwgen import fifo
from hwgen.board import Board
from hwgen.dataflow import Dataflow, build_dataflow
from hwgen.errors import FoldingError, ResourceError, UserInputError
from hwgen.layers.base import Folding, Layer, Resources, Settings
from hwgen.quant import QuantGraph
from hwgen.search import Foldings, Search, vector
from hwgen.technology import technology_of

ROUNDS = 4  # of folding again around the FIFOs that the last folding turned out to need
STEPS = 12  # of the trade-off between rate and resources


def smallest(graph: QuantGraph, board: Board) -> Foldings:
    """The least area of all, at whatever rate."""
    search = Search(graph, board)
    return _unlimited(search, search.rates[-1])


def for_rate(graph: QuantGraph, board: Board, max_cycles: int) -> Foldings:
    """The least area that keeps every layer within ``max_cycles`` cycles a frame.

    Least of all legal foldings, by the estimate, width converters and FIFOs included; on the
    board's budget where that is possible, which it may be with a little more area in all.
    """
    search = Search(graph, board)
    found = _fitting(search, board, max_cycles)
    return found[0] if isinstance(found, tuple) else _unlimited(search, max_cycles)


def _unlimited(search: Search, max_cycles: int) -> Foldings:
    found = search.least(max_cycles)
    assert found is not None  # the slowest folding of every layer is a solution
    return found.foldings


def _fitting(
    search: Search, board: Board, max_cycles: int, clock_mhz: float | None = None
) -> tuple[Foldings, Dataflow] | list[str]:
    """Foldings of least area that fit ``board`` at a rate, and their design; or what is short.

    What the program does not know, FIFO depths and the edges, is measured on its solution, taken
    off the budget, and the program solved again.
    """
    budget = vector(board.budget())
    beyond = np.zeros_like(budget)
    short: list[str] = []
    for _ in range(ROUNDS):
        found = search.least(max_cycles, budget - beyond)
        if found is None:
            return short or shortfalls(_total(search, max_cycles), board) or ["all together"]
        flow, _ = plan(search.graph, board, found.foldings, clock_mhz or board.clock_mhz)
        short = shortfalls(flow.resources, board)
        if not short:
            return found.foldings, flow
        beyond = np.maximum(beyond, vector(flow.resources) - found.cost)
    return short


def _total(search: Search, max_cycles: int) -> Resources:
    """What the least area takes without any limit."""
    found = search.least(max_cycles)
    assert found is not None
    return Resources(*(float(x) for x in found.cost))


def plan(
    graph: QuantGraph, board: Board, foldings: Mapping[str, Folding], clock_mhz: float
) -> tuple[Dataflow, fifo.FifoSizing]:
    """The dataflow of these foldings, with FIFOs that sustain its rate and cannot deadlock.

    Block RAM that is left takes the FIFOs that are cheaper there.
    """
    flow = on_board(graph, board, foldings, clock_mhz)
    sizing = fifo.size(flow)
    flow = flow.with_depths(sizing.depths)
    spare = board.budget().bram36 - flow.resources.bram36
    return flow.with_blocks(fifo.in_block(flow, sizing.patient, spare)), sizing


def on_board(
    graph: QuantGraph, board: Board, foldings: Mapping[str, Folding], clock_mhz: float
) -> Dataflow:
    """The dataflow of these foldings with FIFOs of least depth."""
    return build_dataflow(
        graph,
        foldings,
        bus_bytes=board.bus_bytes,
        clock_mhz=clock_mhz,
        technology=technology_of(board.family),
    )


def shortfalls(cost: Resources, board: Board) -> list[str]:
    """What exceeds the board's budget, and by how much."""
    budget = board.budget()
    found = []
    for name in ("lut", "ff", "bram36", "dsp"):
        need, have = getattr(cost, name), getattr(budget, name)
        if need > have:
            found.append(f"{name.upper()} {need:.0f} of {have:.0f} ({need / max(have, 1):.1f}x)")
    return found


def fastest(graph: QuantGraph, board: Board, enough: int = 0) -> Foldings:
    """The least initiation interval that fits the board, by the estimate; of these the least area.

    A design of at most ``enough`` cycles a frame need not be faster. Raises ``ResourceError`` that
    names what is short, and by how much, if none does.
    """
    search = Search(graph, board)
    needless = sum(rate <= enough for rate in search.rates) - 1
    rates = search.rates[max(needless, 0) :]
    best = _fitting(search, board, rates[-1])
    if isinstance(best, list):
        raise ResourceError(
            f"the network does not fit {board.name} even fully folded: {', '.join(best)}; "
            "a narrower network, fewer residual bits or a larger board would help"
        )
    low, high = 0, len(rates) - 1
    while low < high:  # what fits in fewer cycles fits in more, so the first that fits is the best
        middle = (low + high) // 2
        found = _fitting(search, board, rates[middle])
        if isinstance(found, list):
            low = middle + 1
        else:
            high, best = middle, found
    chosen, flow = best
    if flow.max_cycles > rates[high]:  # the edges, which the search leaves out, are slower
        relaxed = _fitting(search, board, flow.max_cycles)
        if not isinstance(relaxed, list) and relaxed[1].max_cycles <= flow.max_cycles:
            return relaxed[0]
    return chosen


@dataclass(frozen=True, slots=True)
class Point:
    """A design of least area for its rate."""

    cycles: int
    cost: Resources
    fits: bool


def trade_off(graph: QuantGraph, board: Board, cycles: int) -> list[Point]:
    """Designs of least area from the fastest possible to an eighth of the rate of ``cycles``.

    Costs are those of layers, converters and FIFOs of least depth, without the edges.
    """
    search = Search(graph, board)
    targets = np.geomspace(search.rates[0], max(8 * cycles, search.rates[0]), STEPS)
    rates = {max(r for r in search.rates if r <= target * (1 + 1e-9)) for target in targets}
    points: dict[int, Point] = {}
    for rate in sorted({*rates, cycles} & set(search.rates)):
        found = search.least(rate, vector(board.budget())) or search.least(rate)
        assert found is not None
        cost = Resources(*(float(x) for x in found.cost))
        points[rate] = Point(rate, cost, not shortfalls(cost, board))
    return list(points.values())


def require_fit(cost: Resources, board: Board, what: str) -> None:
    """Raise ``ResourceError`` unless ``cost`` is within the board's budget."""
    problems = shortfalls(cost, board)
    if problems:
        raise ResourceError(
            f"{what} needs more than {board.name} has to offer: {', '.join(problems)}; "
            "lower --fps, fold more in --folding, or choose a larger board"
        )


def to_config(graph: QuantGraph, foldings: Mapping[str, Folding]) -> dict[str, Settings]:
    """FINN's folding configuration: ``{"Defaults": {}, "MVAU_0": {"PE": 4, "SIMD": 8}}``.

    Fused FINN nodes are listed with the folding of the layer that does their work, so that FINN
    can read the file too.
    """
    config: dict[str, Settings] = {"Defaults": {}}
    for layer in graph.layers:
        if settings := layer.settings(foldings[layer.name]):
            config[layer.name] = settings
    for name, carrier in graph.fused:
        if name.startswith("FMPadding"):
            config[name] = {"SIMD": graph.layer(carrier).lanes(foldings[carrier])[0]}
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
    known = {"PE", "SIMD", *layer.words, *(k for f in layer.foldings() for k in layer.settings(f))}
    if not isinstance(entry, dict) or set(entry) - known:
        raise FoldingError(
            f"folding file {path}, layer {layer.name}: {entry!r} is not an object with "
            f"{' and '.join(sorted(known))}"
        )
    for key, value in entry.items():
        if key in layer.words:  # the layer reads it
            continue
        if not isinstance(value, int) or isinstance(value, bool):
            raise FoldingError(
                f"folding file {path}, layer {layer.name}: {key} is {value!r}, not an integer"
            )
    return layer.legal(layer.read_settings(entry))
