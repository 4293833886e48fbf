"""Longest paths of a mapped 7-series netlist, in LUT levels and in estimated nanoseconds.

A path begins at the clock of a flip-flop, memory or DSP block, or at a port; it ends at another
of these. What lies between is an arc: through a LUT (the read of a LUTRAM and the tap of a shift
register are LUTs too), along a carry chain, through a MUXF, or through the stages of a DSP block
that have no registers. An inverter that implementation merges into LUTs is nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass
from typing import Any

from hwgen.backends import cell_times as t

Bit = int
Cell = Mapping[str, Any]

CLOCKS = ("C", "CLK", "WCLK", "CLKARDCLK", "CLKBWRCLK")
_LOCAL = ("LUT", "MUXF", "CARRY", "RAM", "SRL")  # what stands beside them is reached unrouted
PORT = "port "


@dataclass(frozen=True, slots=True)
class Path:
    """A way from ``start`` to ``end``; ``cells`` from the launching to the capturing one.

    ``ns`` counts clock-to-output and setup times. A port costs nothing itself; the net from an
    input port is counted, that to an output port is not: paths that meet at a port add up.
    """

    start: str
    end: str
    cells: tuple[str, ...]
    luts: int
    carries: int
    ns: float

    @property
    def from_port(self) -> bool:
        """Whether it begins outside."""
        return self.start.startswith(PORT)

    @property
    def to_port(self) -> bool:
        """Whether it ends outside."""
        return self.end.startswith(PORT)

    @property
    def registered_ns(self) -> float:
        """With a flip-flop at every port that it touches."""
        return self.ns + t.CLOCK_TO_OUT * self.from_port + (t.NET + t.SETUP) * self.to_port


def to_json(paths: Iterable[Path]) -> list[dict[str, Any]]:
    """As ``from_json`` reads them."""
    return [{**asdict(path), "cells": list(path.cells)} for path in paths]


def from_json(rows: Iterable[Mapping[str, Any]]) -> tuple[Path, ...]:
    """Paths out of JSON; TypeError or KeyError where it is of another form."""
    return tuple(Path(**{**row, "cells": tuple(row["cells"])}) for row in rows)


def longest(module: Mapping[str, Any], rigid: AbstractSet[object]) -> list[Path]:
    """The slowest path of ``module`` for each start and end: registers, and every port.

    ``rigid``: bits with a reader that cannot take the inverse instead.
    """
    graph = _Graph(module, rigid)
    order = _order(graph.arcs)
    registers = {bit: start.ns for bit, start in graph.starts.items()}
    found = []
    for starts in (registers, *(dict.fromkeys(bits, 0.0) for bits in graph.inputs.values())):
        times, via = _arrivals(starts, order, graph.arcs)
        for ends in (graph.ends, *graph.outputs.values()):
            reached = [end for end in ends if end.bit in times]
            if reached:
                last = max(reached, key=lambda end: times[end.bit] + end.ns)
                found.append(graph.path(last, times[last.bit], via))
    return found


@dataclass(frozen=True, slots=True)
class _Point:
    """Where a path begins or ends: time before or after ``bit``, the cell's kind, its name."""

    bit: Bit
    ns: float
    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class _Arc:
    """From ``source`` through a cell of a kind; the net into the cell is counted."""

    source: Bit
    ns: float
    kind: str
    luts: int = 0
    carries: int = 0


class _Graph:
    """Arcs by the bit they drive, and the places where paths begin and end."""

    def __init__(self, module: Mapping[str, Any], rigid: AbstractSet[object]) -> None:
        cells = {name: cell for name, cell in module["cells"].items() if cell["connections"]}
        self._rigid, self._names = rigid, names(module)
        self._drivers: dict[Bit, str] = {}
        self._readers: Counter[Bit] = Counter()
        for cell in cells.values():
            for port in cell["connections"]:
                if _writes(cell, port):
                    self._drivers.update(dict.fromkeys(_bits(cell, port), cell["type"]))
                else:
                    self._readers.update(_bits(cell, port))
        clocks = {bit for cell in cells.values() for port in CLOCKS for bit in _bits(cell, port)}
        self.arcs: dict[Bit, list[_Arc]] = {}
        self.starts: dict[Bit, _Point] = {}
        self.ends: list[_Point] = []
        self.inputs: dict[str, set[Bit]] = {}
        self.outputs: dict[str, list[_Point]] = {}
        for name, port in module["ports"].items():
            bits = [bit for bit in port["bits"] if isinstance(bit, int)]
            if port["direction"] == "input":
                self.inputs[name] = set(bits) - clocks
            else:
                self._readers.update(bits)
                self.outputs[name] = [_Point(b, 0.0, "", PORT + name) for b in bits]
        self._ports = {bit: name for name, bits in self.inputs.items() for bit in bits}
        for name, cell in cells.items():
            self._add(name, cell)

    def path(self, end: _Point, ns: float, via: Mapping[Bit, _Arc]) -> Path:
        """The way by which ``end`` is reached last, ``ns`` after it began."""
        arcs, bit = [], end.bit
        while bit in via:
            arcs.append(via[bit])
            bit = via[bit].source
        start = self.starts.get(bit) if bit not in self._ports else None
        begin = [start.kind] if start else []
        inner = [arc.kind for arc in reversed(arcs) if arc.ns]
        return Path(
            start.name if start else PORT + self._ports[bit],
            end.name,
            (*begin, *inner, *([end.kind] if end.kind else [])),
            sum(arc.luts for arc in arcs),
            sum(arc.carries for arc in arcs),
            round(ns + end.ns, 2),
        )

    def _add(self, name: str, cell: Cell) -> None:
        kind, pins = cell["type"], cell["connections"]
        if kind == "INV" and pins["O"][0] not in self._rigid:
            self.arcs[pins["O"][0]] = [_Arc(bit, 0.0, kind) for bit in _bits(cell, "I")]
        elif kind == "INV" or kind.startswith("LUT"):
            reads = [pin for pin in pins if pin[0] == "I"]
            for port in ("O", "O6"):
                self._arc(cell, port, reads, t.LUT, luts=1)
            self._arc(cell, "O5", [pin for pin in reads if pin != "I5"], t.LUT, luts=1)
        elif kind.startswith("MUXF"):
            self._arc(cell, "O", ("I0", "I1", "S"), t.MUXF)
        elif kind == "CARRY4":
            self._carry(cell)
        else:
            self._clocked(name, cell)

    def _arc(self, cell: Cell, port: str, reads: Iterable[str], ns: float, luts: int = 0) -> None:
        """Every bit of ``reads`` reaches every bit of ``port``."""
        kind = cell["type"]
        sources = [(bit, self._net(bit, kind, pin)) for pin in reads for bit in _bits(cell, pin)]
        for out in _bits(cell, port):
            arcs = self.arcs.setdefault(out, [])
            arcs += [_Arc(bit, net + ns, kind, luts) for bit, net in sources]

    def _carry(self, cell: Cell) -> None:
        """What bit i carries hangs on bits 0 to i, its sum on what is carried into it."""
        pins: Mapping[str, Sequence[Bit | str]] = cell["connections"]
        carried = [(pin, bit, 0.0) for pin in ("CI", "CYINIT") for bit in pins.get(pin, ())]
        for i in range(4):
            own = [(pin, bit, t.CARRY_IN) for pin in ("S", "DI") for bit in pins[pin][i : i + 1]]
            turned = [("S", bit, t.LUT - t.CARRY_OUT) for bit in pins["S"][i : i + 1]]
            self._chain("O", i, [*carried, *turned], t.CARRY_OUT, cell)
            carried += own
            self._chain("CO", i, carried, t.CARRY, cell)

    def _chain(
        self,
        port: str,
        i: int,
        reads: Iterable[tuple[str, Bit | str, float]],
        ns: float,
        cell: Cell,
    ) -> None:
        """Arcs into one output of a CARRY4."""
        for out in cell["connections"].get(port, ())[i : i + 1]:
            if isinstance(out, int):
                self.arcs[out] = [
                    _Arc(bit, self._net(bit, "CARRY4", pin) + into + ns, "CARRY4", carries=1)
                    for pin, bit, into in reads
                    if isinstance(bit, int)
                ]

    def _clocked(self, name: str, cell: Cell) -> None:
        """Anything with a clock."""
        kind, pins, timing = cell["type"], cell["connections"], t.timing(cell)
        outs = [port for port in pins if _writes(cell, port)]
        ins = [port for port in pins if port not in outs and port not in CLOCKS]
        named = (self._names.get(bit) for port in outs for bit in _bits(cell, port))
        title = next((text for text in named if text), name if "$" not in name else f"some {kind}")
        for port in outs:
            for bit in _bits(cell, port):
                text = self._names.get(bit, title)
                self.starts[bit] = _Point(bit, timing.to_out(port), kind, text)
        for port in (port for port in ins if not re.fullmatch(timing.unclocked, port)):
            text = title if port == "D" else f"{title} ({port})"
            self.ends += [
                _Point(bit, self._net(bit, kind, port) + timing.to_clock(port), kind, text)
                for bit in _bits(cell, port)
            ]
        for (out, pattern), ns in timing.through.items():
            reads = [port for port in ins if re.fullmatch(pattern, port)]
            self._arc(cell, out, reads, ns, timing.luts)

    def _net(self, bit: Bit, kind: str, pin: str) -> float:
        """The net from whatever drives ``bit`` to a pin of a cell of ``kind``."""
        driver = self._drivers.get(bit, "")
        if kind == "CARRY4" and (pin == "CI" or (pin == "CYINIT" and driver == kind)):
            return 0.0
        if kind == "CARRY4" and pin == "S" and not driver.startswith("LUT"):
            return t.NET + t.LUT  # by a LUT that only passes it on
        if kind == "DSP48E1" and pin in ("PCIN", "ACIN", "BCIN"):
            return 0.0
        inside = (kind == "CARRY4" and pin in ("S", "DI")) or (
            kind.startswith("MUXF") and pin != "S" or kind.startswith("FD") and pin == "D"
        )
        beside = inside and self._readers[bit] == 1 and driver.startswith(_LOCAL)
        return 0.0 if beside else t.NET


def _order(arcs: Mapping[Bit, Sequence[_Arc]]) -> list[Bit]:
    """Driven bits, each behind all that it hangs on; ValueError where they hang on themselves."""
    order: list[Bit] = []
    done: set[Bit] = set()
    for root in arcs:
        stack = [(root, iter(arcs[root]))] if root not in done else []
        open_bits = {root}
        while stack:
            bit, rest = stack[-1]
            following = next(
                (a.source for a in rest if a.source in arcs and a.source not in done), None
            )
            if following is None:
                stack.pop()
                open_bits.discard(bit)
                done.add(bit)
                order.append(bit)
            elif following in open_bits:
                raise ValueError(f"a combinational loop through bit {following} of the netlist")
            else:
                open_bits.add(following)
                stack.append((following, iter(arcs[following])))
    return order


def _arrivals(
    starts: Mapping[Bit, float], order: Iterable[Bit], arcs: Mapping[Bit, Sequence[_Arc]]
) -> tuple[dict[Bit, float], dict[Bit, _Arc]]:
    """When each bit is settled, and by which arc, where it is not a start that is later."""
    times, via = dict(starts), {}
    for bit in order:
        for arc in arcs[bit]:
            if arc.source in times and times[arc.source] + arc.ns > times.get(bit, -1.0):
                times[bit] = times[arc.source] + arc.ns
                via[bit] = arc
    return times, via


def _writes(cell: Cell, port: str) -> bool:
    return bool(cell["port_directions"].get(port) == "output")


def _bits(cell: Cell, port: str) -> list[Bit]:
    """Bits of a port that are nets, not constants."""
    return [bit for bit in cell["connections"].get(port, ()) if isinstance(bit, int)]


def names(module: Mapping[str, Any]) -> dict[Bit, str]:
    """For every bit the shortest name that the source has for it."""
    found: dict[Bit, str] = {}
    for name, net in module.get("netnames", {}).items():
        if net.get("hide_name"):
            continue
        for i, bit in enumerate(net["bits"]):
            text = f"{name}[{i + net.get('offset', 0)}]" if len(net["bits"]) > 1 else name
            if isinstance(bit, int) and len(text) < len(found.get(bit, text + " ")):
                found[bit] = text
    return found
