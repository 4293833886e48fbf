"""Estimated clock of kernels and of the design they make up, from their longest paths.

A handshake may pass a kernel unregistered, and the FIFOs at its ends begin and end such paths:
a kernel's slowest path is looked for within it and across its FIFOs. Paths of several modules are
joined as if the slowest at a port met whichever its bit and its FIFO, so what is found is a bound.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from math import ceil

from hwgen import schema
from hwgen.backends import cell_times as t
from hwgen.backends.levels import PORT, Path
from hwgen.errors import UserInputError

REGISTER = "a register outside"
_BEFORE = Path(REGISTER, "", (), 0, 0, t.CLOCK_TO_OUT)
_BEHIND = Path("", REGISTER, (), 0, 0, t.NET + t.SETUP)


def slowest(kernel: Iterable[Path], fifos: Mapping[str, Iterable[Path]]) -> Path | None:
    """The slowest path within ``kernel`` and from and to the ``fifos`` (by name) around it."""
    around = [_named(name, path) for name, paths in fifos.items() for path in paths]
    joined = []
    for path in kernel:
        parts = [path]
        if path.from_port:
            ways = (p for p in around if p.end == _partner(path.start) and not p.from_port)
            parts.insert(0, max(ways, key=_ns, default=_BEFORE))
        if path.to_port:
            ways = (p for p in around if p.start == _partner(path.end) and not p.to_port)
            parts.append(max(ways, key=_ns, default=_BEHIND))
        joined.append(_join(*parts))
    return _slower(joined)


def at_side(fifo: Iterable[Path], side: str) -> list[Path]:
    """Of a FIFO's paths, those that end or begin at its ports of one side, ``m`` or ``s``."""
    return [p for p in fifo if any(end.startswith(f"{PORT}{side}_") for end in (p.start, p.end))]


def _partner(port: str) -> str:
    """The port at the other end of a stream: ``s_valid_i`` for ``m_valid_o``."""
    side, kind = port.removeprefix(PORT).split("_", 1)
    return f"{PORT}{'m' if side == 's' else 's'}_{kind[:-1]}{'i' if kind[-1] == 'o' else 'o'}"


def inner(name: str, paths: Iterable[Path]) -> Path | None:
    """The slowest path of module ``name`` from register to register."""
    return _slower([_named(name, p) for p in paths if not p.from_port and not p.to_port])


def of_path(path: Path | None) -> schema.Timing | None:
    """As the report has it."""
    if path is None:
        return None
    return schema.Timing(
        lut_levels=path.luts,
        carries=path.carries,
        ns=round(path.ns, 2),
        mhz=round(1000 / path.ns, 1),
        start=path.start,
        end=path.end,
        cells=tuple(_runs(path.cells)),
    )


def clock_of(levels: float) -> float:
    """MHz at which there is time for so many LUT levels."""
    return 1000 / (t.OVERHEAD + levels * t.LEVEL)


def require_levels(layers: Mapping[str, schema.Timing], levels: int) -> None:
    """Raise ``UserInputError`` that names the layers whose path takes longer than so many levels.

    A carry chain counts by its time, 1.2 levels and 0.2 for every CARRY4 but the first, and so does
    the read of a memory.
    """
    late = []
    for name, each in layers.items():
        needed = ceil(round((each.ns - t.OVERHEAD) / t.LEVEL, 2))
        if needed > levels:
            late.append(
                f"{name}: {each.lut_levels} LUT levels and {each.carries} CARRY4 from {each.start} "
                f"to {each.end}, about {each.ns:.1f} ns, take the time of {needed} levels"
            )
    if late:
        raise UserInputError(
            f"max_levels {levels} is too few for {'; '.join(late)}; allow more, or another folding"
        )


def of_design(
    layers: Mapping[str, schema.Timing], clock_mhz: float, levels: int | None = None
) -> schema.DesignTiming | None:
    """The slowest layer, which layers are too slow for the clock, and the bound asked for."""
    if not layers:
        return None
    name = max(layers, key=lambda name: layers[name].ns)
    period = 1000 / clock_mhz
    return schema.DesignTiming(
        slowest=name,
        mhz=layers[name].mhz,
        clock_mhz=clock_mhz,
        max_levels=levels,
        lut_levels_at_clock=int((period - t.OVERHEAD) / t.LEVEL),
        warnings=tuple(
            f"{name}: {each.lut_levels} LUT levels and {each.carries} CARRY4 from {each.start} to "
            f"{each.end}, about {each.ns:.1f} ns, are too many for {clock_mhz:g} MHz; "
            f"lower --clock-mhz to {each.mhz:.0f} or less, or fold this layer further"
            for name, each in layers.items()
            if each.ns > period
        ),
    )


def _slower(paths: Iterable[Path]) -> Path | None:
    return max(paths, key=_ns, default=None)


def _ns(path: Path) -> float:
    return path.ns


def _named(module: str, path: Path) -> Path:
    """With the module's name at the ends inside it."""
    start = path.start if path.from_port else f"{module}.{path.start}"
    end = path.end if path.to_port else f"{module}.{path.end}"
    return Path(start, end, path.cells, path.luts, path.carries, path.ns)


def _join(*parts: Path) -> Path:
    """Paths that meet at ports."""
    return Path(
        parts[0].start,
        parts[-1].end,
        tuple(cell for part in parts for cell in part.cells),
        sum(part.luts for part in parts),
        sum(part.carries for part in parts),
        sum(part.ns for part in parts),
    )


def _runs(cells: Iterable[str]) -> Iterable[str]:
    """``CARRY4 x 3`` for three in a row."""
    for kind, run in groupby(cells):
        count = len(list(run))
        yield f"{kind} x {count}" if count > 1 else kind
