"""What a network would become, before any of it is made: the result of ``hwgen check``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hwgen.board import Board
    from hwgen.quant import QuantGraph


@dataclass(frozen=True, slots=True)
class Row:
    """A node of the file that becomes hardware, and as what.

    ``source`` is its name in the file, ``shape`` (H, W, C) its output's; types are those of the
    integers in, of the weights and of the integers out.
    """

    name: str
    source: str
    operator: str
    becomes: str
    shape: tuple[int, ...]
    input: str
    weights: str
    output: str
    binary_macs: int
    integer_macs: int


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a node (or, without a name, the file) cannot be built, and what to do."""

    node: str
    source: str
    operator: str
    reason: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Hazard:
    """What is exact and builds, but costs or may surprise. ``kind`` is a stable word."""

    kind: str
    node: str
    text: str


@dataclass(frozen=True, slots=True)
class Fit:
    """The smallest design against a board: LUT, FF, BRAM36 and DSP by name.

    FIFOs are counted at their least depth: what does not fit here fits in no way.
    """

    board: str
    fits: bool
    needed: Mapping[str, float]
    available: Mapping[str, float]
    short: tuple[str, ...]
    cycles: int


@dataclass(frozen=True, slots=True)
class Preflight:
    """Everything that ``hwgen check`` found, at once."""

    model: str
    rows: tuple[Row, ...]
    absorbed: int
    problems: tuple[Problem, ...]
    hazards: tuple[Hazard, ...]
    fit: Fit | None = None

    @property
    def ok(self) -> bool:
        """Whether it can be built."""
        return not self.problems and (self.fit is None or self.fit.fits)

    def to_json(self) -> dict[str, Any]:
        """Stable keys."""
        return {
            "model": self.model,
            "ok": self.ok,
            "layers": [asdict(row) for row in self.rows],
            "absorbed": self.absorbed,
            "problems": [asdict(problem) for problem in self.problems],
            "hazards": [asdict(hazard) for hazard in self.hazards],
            "fit": None if self.fit is None else asdict(self.fit),
            "totals": {
                "binary_macs": sum(row.binary_macs for row in self.rows),
                "integer_macs": sum(row.integer_macs for row in self.rows),
            },
        }


def fit(graph: QuantGraph, board: Board) -> Fit:
    """The smallest design of ``graph`` against ``board``."""
    from hwgen.folding import on_board, shortfalls, smallest

    foldings = smallest(graph, board)
    flow = on_board(graph, board, foldings, board.clock_mhz)
    short, kinds = shortfalls(flow.resources, board), ("LUT", "FF", "BRAM36", "DSP")
    used, budget = flow.resources, board.budget()
    return Fit(
        board=board.name,
        fits=not short,
        needed={kind: round(getattr(used, kind.lower()), 1) for kind in kinds},
        available={kind: round(getattr(budget, kind.lower()), 1) for kind in kinds},
        short=tuple(short),
        cycles=flow.max_cycles,
    )
