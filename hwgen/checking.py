"""``hwgen check``: the pre-flight of a network, on the screen or as JSON."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rich import box
from rich.markup import escape
from rich.table import Table

from hwgen.board import load_board
from hwgen.errors import UserInputError
from hwgen.journal import console
from hwgen.preflight import Fit, Preflight, Row, fit


def check_model(model: Path, board: str | None, *, as_json: bool) -> int:
    """Print what a model would become and all that is in the way; 0 if nothing is, else 1."""
    target = None if board is None else load_board(board)
    if not model.is_file():
        raise UserInputError(f"{model} does not exist or is not a file")
    from hwgen.frontend.survey import survey  # heavy: qonnx

    found, graph = survey(model)
    if target is not None and graph is not None:
        found = replace(found, fit=fit(graph, target))
    if as_json:
        import json

        print(json.dumps(found.to_json(), indent=2))
    else:
        _show(found)
    return 0 if found.ok else 1


def _show(found: Preflight) -> None:
    if found.rows:
        console.print(_table(found))
    for kind in dict.fromkeys(hazard.kind for hazard in found.hazards):
        first, *others = (hazard for hazard in found.hazards if hazard.kind == kind)
        more = f" (and {len(others)} more such nodes)" if others else ""
        console.print(f"[yellow]note[/] {escape(f'{first.node}{more}: {first.text}')}")
    for number, problem in enumerate(found.problems, 1):
        where = f"{problem.node} ({problem.operator}): " if problem.node else ""
        if problem.source not in ("", problem.node):
            where = f"{problem.node} ({problem.operator}, {problem.source} in the file): "
        console.print(f"[red]problem {number}[/] {escape(where + problem.reason)}")
        console.print(f"  [green]remedy[/] {escape(problem.remedy)}")
    if found.fit is not None:
        console.print(_fit(found.fit))
    if found.problems:
        count = len(found.problems)
        verdict = f"cannot be built: {count} problem{'s' if count > 1 else ''}"
    elif not found.ok:
        verdict = "can be built, but does not fit the board"
    else:
        verdict = "can be built"
    console.print(f"{escape(found.model)}: {verdict}")


def _table(found: Preflight) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("node", "becomes", "H x W x C", "bits", "MACs"):
        table.add_column(title, overflow="fold")
    for row in found.rows:
        shape = "x".join(map(str, row.shape))
        table.add_row(row.name, row.becomes, shape, _bits(row), _macs(row))
    table.add_section()
    binary = sum(row.binary_macs for row in found.rows)
    integer = sum(row.integer_macs for row in found.rows)
    table.add_row(
        "total", f"{found.absorbed} other nodes are absorbed", "", "", f"{binary:,} binary"
    )
    table.add_row("", "", "", "", f"{integer:,} integer")
    return table


def _macs(row: Row) -> str:
    if row.binary_macs:
        return f"{row.binary_macs:,} binary"
    return f"{row.integer_macs:,} integer" if row.integer_macs else ""


def _bits(row: Row) -> str:
    """Types as they flow: UINT8×INT4→INT20."""
    into = "×".join(filter(None, (row.input, row.weights)))
    return "→".join(filter(None, (into, row.output))).replace("BINARY", "bit")


def _fit(found: Fit) -> str:
    """One line: the smallest design against the board."""
    if not found.fits:
        return (
            f"{found.board}: does not fit even fully folded, FIFOs aside: "
            f"{', '.join(found.short)}; a narrower network, fewer residual bits or a larger board "
            "would help"
        )
    used = ", ".join(f"{found.needed[k]:.0f} of {found.available[k]:.0f} {k}" for k in found.needed)
    return f"{found.board}: fits; fully folded {used}, {found.cycles:,} cycles a frame"
