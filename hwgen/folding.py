"""PE and SIMD for every layer: the least area for a rate, or the best rate for a board."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from hwgen import fifo
from hwgen.board import Board
from hwgen.dataflow import Dataflow, Stream, build_dataflow
from hwgen.errors import FoldingError, ResourceError, UserInputError
from hwgen.layers.base import Folding, Layer, Resources
from hwgen.layers.width_converter import WidthConverter
from hwgen.quant import QuantGraph, Tensor

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


def link(tensor: Tensor, have: int, want: int) -> Resources:
    """Cost of joining a writer of ``have`` lanes to a reader of ``want``: converters and FIFOs."""
    chain = WidthConverter.chain("link", tensor, have, want)
    widths = [*(converter.in_lanes for converter in chain), want]
    parts = [converter.resources(Folding()) for converter in chain]
    parts += [Stream(tensor, "", 0, "", 0, lanes).resources for lanes in widths]
    return sum(parts, Resources())


class _Search:
    """Foldings of least area for a number of cycles, links between layers included."""

    def __init__(self, graph: QuantGraph, board: Board) -> None:
        self.graph, self.board = graph, board
        self.options = {
            layer.name: sorted(
                (layer.cycles(f), weight(layer.resources(f), board), f.pe, f.simd)
                for f in layer.foldings()
            )
            for layer in graph.layers
        }
        self.writers = {t.name: layer for layer in graph.layers for t in layer.outputs}
        self.readers = {t.name: layer for layer in graph.layers for t in layer.inputs}

    def rates(self) -> list[int]:
        """Cycles a frame that a design can take: from its slowest layer's best upwards."""
        floor = max(found[0][0] for found in self.options.values())
        return sorted({o[0] for found in self.options.values() for o in found if o[0] >= floor})

    def least(self, max_cycles: int) -> Foldings:
        """Start from each layer's own best; then no change of one layer makes the design smaller.

        Raises ``FoldingError`` that names a layer which cannot keep up.
        """
        chosen: Foldings = {}
        for layer in self.graph.layers:
            fitting = [o for o in self.options[layer.name] if o[0] <= max_cycles]
            if not fitting:
                raise FoldingError(
                    f"layer {layer.name} takes at least {self.options[layer.name][0][0]} cycles "
                    f"a frame, more than the {max_cycles} that the rate allows; "
                    "lower --fps or raise --clock-mhz"
                )
            _, _, pe, simd = min(fitting, key=lambda o: (o[1], o[2], o[3]))
            chosen[layer.name] = Folding(pe, simd)
        while self._improve(chosen, max_cycles):
            pass
        return chosen

    def _improve(self, chosen: Foldings, max_cycles: int) -> bool:
        """Give every layer in turn what costs least beside its neighbours; whether any changed."""
        changed = False
        for layer in self.graph.layers:
            best, found = self._area(layer, chosen[layer.name], chosen), chosen[layer.name]
            for cycles, own, pe, simd in self.options[layer.name]:
                if cycles <= max_cycles and own < best:
                    area = self._area(layer, Folding(pe, simd), chosen)
                    if area < best - 1e-12:
                        best, found = area, Folding(pe, simd)
            changed |= found != chosen[layer.name]
            chosen[layer.name] = found
        return changed

    def _area(self, layer: Layer, folding: Folding, chosen: Foldings) -> float:
        """The layer's area with its links to its neighbours as they are."""
        before, behind = layer.lanes(folding)
        cost = layer.resources(folding)
        for tensor in layer.inputs:
            if tensor.name in self.writers:
                writer = self.writers[tensor.name]
                cost += link(tensor, writer.lanes(chosen[writer.name])[1], before)
        for tensor in layer.outputs:
            if tensor.name in self.readers:
                reader = self.readers[tensor.name]
                cost += link(tensor, behind, reader.lanes(chosen[reader.name])[0])
        return weight(cost, self.board)


def smallest(graph: QuantGraph, board: Board) -> Foldings:
    """The least area of all, at whatever rate."""
    search = _Search(graph, board)
    return search.least(search.rates()[-1])


def for_rate(graph: QuantGraph, board: Board, max_cycles: int) -> Foldings:
    """The least area that keeps every layer within ``max_cycles`` cycles a frame.

    Least as far as changing one layer at a time can tell, width converters and FIFOs included.
    """
    return _Search(graph, board).least(max_cycles)


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
    search = _Search(graph, board)
    rates = search.rates()

    def problems(rate: int) -> list[str]:
        chosen = search.least(rate)
        layers = (layer.resources(chosen[layer.name]) for layer in graph.layers)
        if found := shortfalls(sum(layers, Resources()), board):
            return found  # without FIFOs already, whose analysis takes long where cycles are many
        flow, _ = plan(graph, board, chosen, board.clock_mhz)
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
    return search.least(rates[high])


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
            config[name] = {"SIMD": max(foldings[carrier].simd, foldings[carrier].pe)}
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
