"""The best foldings of all legal ones, by integer linear programming.

One binary variable stands for every folding of a layer, and one continuous variable for every
pair of lane counts at the two ends of a stream, whose cost is that of its width converters and
FIFOs. Exactly one folding is taken for a layer, and the pairs agree with the foldings at their
ends, so the optimum of the program (HiGHS, exact: no relative gap) is that of the design.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

from hwgen.board import Board
from hwgen.dataflow import Stage, Stream
from hwgen.errors import FoldingError
from hwgen.fusion import fuse, unfused
from hwgen.layers.base import Folding, Layer, Resources
from hwgen.layers.stairs import PRICES
from hwgen.layers.width_converter import WidthConverter
from hwgen.quant import QuantGraph, Tensor
from hwgen.technology import SERIES7, Technology, technology_of

DETOUR = 1.01  # times the area that a layer counts as, at least, that is told what to take

Foldings = dict[str, Folding]
Vector = NDArray[np.float64]
"""LUT, FF, BRAM36, DSP."""


def vector(cost: Resources) -> Vector:
    """Resources as numbers in a row."""
    return np.array([cost.lut, cost.ff, cost.bram36, cost.dsp], np.float64)


def link(tensor: Tensor, have: int, want: int, technology: Technology = SERIES7) -> Resources:
    """Cost of joining a writer of ``have`` lanes to a reader of ``want``: converters and FIFOs."""
    chain = WidthConverter.chain("link", tensor, have, want)
    widths = [*(converter.in_lanes for converter in chain), want]
    parts = [Stage(converter, Folding(), technology).resources for converter in chain]
    parts += [Stream(tensor, "", 0, "", 0, n, technology=technology).resources for n in widths]
    return sum(parts, Resources())


@dataclass(frozen=True, slots=True)
class _Option:
    folding: Folding
    cycles: int
    lanes: tuple[int, int]
    cost: Vector
    area: float


@dataclass(frozen=True, slots=True)
class Found:
    """The foldings of an optimum and what they cost, links of least depth included."""

    foldings: Foldings
    cost: Vector


class Search:
    """All legal foldings of a network on a board."""

    def __init__(self, graph: QuantGraph, board: Board) -> None:
        self.graph = graph = fuse(graph)
        self.technology = technology_of(board.family)
        r = board.resources
        have = np.array([r.LUT, r.FF, max(r.BRAM36, 1), max(r.DSP, 1)], np.float64)
        self.weights: Vector = np.array([PRICES[k] for k in ("lut", "ff", "bram36", "dsp")]) / have
        """Area is the share of the board's resources, times their prices, summed over kinds."""
        self.options = {layer.name: [*self._options(layer)] for layer in graph.layers}
        self.writers = {t.name: layer for layer in graph.layers for t in layer.outputs}
        self.links: dict[tuple[int, int, int, int], Vector] = {}

    def _options(self, layer: Layer) -> Iterator[_Option]:
        for plain in layer.foldings():
            variants = {f: self._cost(layer, f) for f in layer.variants(plain)}
            for f, cost in variants.items():
                if any((o < cost).any() and (o <= cost).all() for o in variants.values()):
                    continue
                area = float(cost @ self.weights)
                if f.ram_style != "auto":  # for a budget that needs it, never for a little area
                    usual = self._cost(layer, replace(f, ram_style="auto"))
                    area = max(area, DETOUR * float(usual @ self.weights))
                elif f.unit != "auto":
                    area *= DETOUR
                yield _Option(f, layer.cycles(f), layer.lanes(f), cost, area)

    def _cost(self, layer: Layer, folding: Folding) -> Vector:
        return vector(Stage(layer, folding, self.technology).resources)

    @cached_property
    def rates(self) -> list[int]:
        """Cycles a frame that a design can take: from its slowest layer's best upwards."""
        floor = max(min(o.cycles for o in found) for found in self.options.values())
        return sorted(
            {o.cycles for found in self.options.values() for o in found if o.cycles >= floor}
        )

    def least(self, max_cycles: int, limits: Vector | None = None) -> Found | None:
        """The least area within ``max_cycles`` cycles a frame; None if ``limits`` forbid it.

        Raises ``FoldingError`` that names a layer which cannot keep up.
        """
        for layer in self.graph.layers:
            best = min(o.cycles for o in self.options[layer.name])
            if best > max_cycles:
                raise FoldingError(
                    f"layer {layer.name} takes at least {best} cycles a frame, more than the "
                    f"{max_cycles} that the rate allows; lower --fps or raise --clock-mhz"
                )
        return _Program(self, max_cycles).solve(limits)

    def link(self, tensor: Tensor, have: int, want: int) -> Vector:
        """``link`` as numbers, remembered."""
        key = (tensor.dtype.bits, tensor.size, have, want)
        if key not in self.links:
            self.links[key] = vector(link(tensor, have, want, self.technology))
        return self.links[key]


class _Program:
    """The integer program of one rate."""

    def __init__(self, search: Search, max_cycles: int) -> None:
        self.search = search
        self.costs: list[Vector] = []
        self.areas: list[float] = []
        self.chosen: dict[str, dict[int, _Option]] = {}  # by layer: variable -> option
        self.rows: list[tuple[dict[int, int], int]] = []  # coefficients, right-hand side
        for name, options in search.options.items():
            fast = [o for o in options if o.cycles <= max_cycles]
            self.chosen[name] = {self._variable(o.cost, o.area): o for o in fast}
            self.rows.append((dict.fromkeys(self.chosen[name], 1), 1))
        self.binary = len(self.costs)
        for layer in search.graph.layers:
            for tensor in layer.inputs:
                if tensor.name in search.writers:
                    self._join(tensor, search.writers[tensor.name], layer)

    def _variable(self, cost: Vector, area: float) -> int:
        self.costs.append(cost)
        self.areas.append(area)
        return len(self.costs) - 1

    def _join(self, tensor: Tensor, writer: Layer, reader: Layer) -> None:
        """The pairs of lane counts at the ends of a stream."""
        ends = self._by_lanes(writer, 1), self._by_lanes(reader, 0)
        pairs = {
            (have, want): self._variable(cost, float(cost @ self.search.weights))
            for have in ends[0]
            for want in ends[1]
            for cost in (self.search.link(tensor, have, want),)
        }
        for side, groups in enumerate(ends):
            for lanes, variables in groups.items():
                row = {z: 1 for pair, z in pairs.items() if pair[side] == lanes}
                self.rows.append((row | dict.fromkeys(variables, -1), 0))

    def _by_lanes(self, layer: Layer, side: int) -> dict[int, list[int]]:
        """The variables of a layer's foldings by their lanes in (0) or out (1)."""
        groups: dict[int, list[int]] = {}
        for variable, option in self.chosen[layer.name].items():
            groups.setdefault(option.lanes[side], []).append(variable)
        return groups

    def solve(self, limits: Vector | None) -> Found | None:
        """The optimum, or None where there is none."""
        costs = np.array(self.costs)
        entries = [(i, v, c) for i, (row, _) in enumerate(self.rows) for v, c in row.items()]
        at, variables, values = (np.array(part) for part in zip(*entries, strict=True))
        shape = (len(self.rows), len(costs))
        matrix = coo_array((values, (at, variables)), shape=shape).tocsr()
        right = np.array([value for _, value in self.rows])
        constraints = [LinearConstraint(matrix, right, right)]
        if limits is not None:
            if (limits < 0).any():
                return None
            scale = np.maximum(limits, 1)
            constraints.append(LinearConstraint((costs / scale).T, -np.inf, limits / scale))
        integrality = np.arange(len(costs)) < self.binary
        result = milp(
            np.array(self.areas),
            constraints=constraints,
            integrality=integrality.astype(np.int64),
            bounds=Bounds(0, 1),
            options={"mip_rel_gap": 0},
        )
        if result.x is None:
            return None
        taken = {
            name: next(o for v, o in options.items() if result.x[v] > 0.5)
            for name, options in self.chosen.items()
        }
        foldings = {name: o.folding for name, o in taken.items()}
        return Found(unfused(self.search.graph.layers, foldings), costs.T @ result.x)
