"""SystemVerilog of a compressor tree: instances of the cells in templates/rtl and their wires."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from textwrap import wrap

from hwgen.layers.compressor import ADDER, COUNTER, RIPPLE, Bit, Cell, Tree

Net = tuple[str, int]  # a vector and a bit of it
OUTPUTS = {COUNTER: ("ones", "twos", "fours"), ADDER: ("sum", "carry")}
WIDTH = 100


def describe(tree: Tree, name: str) -> dict[str, object]:
    """The context of templates/structural/compressor.sv.j2."""
    parts = tuple(_parts(tree))
    columns = [column for column, _ in tree.operands]
    counts = [f"{columns.count(c)} of weight {1 << c}" for c in sorted(set(columns))]
    return {
        "name": name,
        "luts": tree.luts,
        "levels": tree.levels,
        "span": tree.span,
        "stages": tree.stages,
        "operands": ", ".join(counts),
        "width": len(tree.operands),
        "columns": len(tree.result),
        "parts": parts,
        "total": " + ".join(str(part["name"]) for part in parts),
        "body": _Wiring(tree).lines(),
    }


def _parts(tree: Tree) -> Iterator[dict[str, object]]:
    """Runs of operands of one column and arrival, for the behavioural twin."""
    low = 0
    for (column, level), run in groupby(tree.operands):
        high = low + len(tuple(run)) - 1
        yield {
            "name": f"part_{low}",
            "cycles": tree.stages - level // tree.span,
            "high": high,
            "low": low,
            "column": column,
        }
        low = high + 1


class _Wiring:
    """Names for all bits in all stages, and the instances that read and write them."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.registers = tree.registers()
        self.nets: list[dict[Bit, Net]] = [{} for _ in range(tree.stages + 1)]
        for bit, (_, level) in enumerate(tree.operands):
            self.nets[level // tree.span][bit] = ("bits_i", bit)
        for stage, bits in enumerate(self.registers, start=1):
            self.nets[stage].update((bit, (f"stage_{stage}", i)) for i, bit in enumerate(bits))

    def lines(self) -> tuple[str, ...]:
        """The body of the module."""
        found: list[str] = []
        for stage in range(self.tree.stages + 1):
            found += self._register(stage) if stage else []
            for level in range(stage * self.tree.span + 1, (stage + 1) * self.tree.span + 1):
                for kind in (COUNTER, ADDER):
                    cells = [c for c in self.tree.cells if (c.kind, c.level) == (kind, level)]
                    found += self._group(kind, level, stage, cells) if cells else []
                ripples = [c for c in self.tree.cells if (c.kind, c.level) == (RIPPLE, level)]
                for index, cell in enumerate(ripples):
                    found += self._ripple(f"ripple_{level}_{index}", stage, cell)
        result = self._concat(self.tree.stages, self.tree.result)
        return (*found, *_wrapped(f"assign sum_o = {result};"))

    def _register(self, stage: int) -> list[str]:
        """What the cells of earlier stages leave to later ones."""
        bits = self.registers[stage - 1]
        if not bits:
            return []
        source = self._concat(stage - 1, bits)
        return [
            f"  logic [{len(bits) - 1}:0] stage_{stage};",
            "  always_ff @(posedge clk_i)",
            *_wrapped(f"  if (en_i) stage_{stage} <= {source};"),
        ]

    def _group(self, kind: str, level: int, stage: int, cells: Sequence[Cell]) -> list[str]:
        """All counters or all adders of a level."""
        size = {COUNTER: 7, ADDER: 3}[kind]
        inputs = [
            bit for cell in cells for bit in (*cell.inputs, *[-1] * (size - len(cell.inputs)))
        ]
        vectors = [f"{name}_{level}" for name in OUTPUTS[kind]]
        for index, cell in enumerate(cells):
            for vector, bit in zip(vectors, cell.outputs, strict=True):
                self.nets[stage][bit] = (vector, index)
        module = {COUNTER: "counter_chains", ADDER: "full_adders"}[kind]
        ports = zip(("ones", "twos", "fours"), vectors, strict=False)
        outs = ", ".join(f".{port}_o({vector})" for port, vector in ports)
        return [
            f"  wire logic [{len(cells) - 1}:0] {', '.join(vectors)};",
            f"  {module} #(.COUNT({len(cells)})) u_{kind}_{level} (",
            *_wrapped(f"    .bits_i({self._concat(stage, inputs)}),"),
            f"      {outs}",
            "  );",
        ]

    def _ripple(self, name: str, stage: int, cell: Cell) -> list[str]:
        """A ripple adder."""
        carry, x, y = cell.inputs[0], cell.inputs[1::2], cell.inputs[2::2]
        self.nets[stage].update((bit, (name, i)) for i, bit in enumerate(cell.outputs))
        return [
            f"  wire logic [{len(x)}:0] {name};",
            f"  ripple_adder #(.WIDTH({len(x)})) u_{name} (",
            *_wrapped(f"    .carry_i({self._concat(stage, (carry,))}),"),
            *_wrapped(f"    .x_i({self._concat(stage, x)}),"),
            *_wrapped(f"    .y_i({self._concat(stage, y)}), .sum_o({name})"),
            "  );",
        ]

    def _concat(self, stage: int, bits: Sequence[Bit]) -> str:
        """``bits``, the first lowest, as a concatenation; neighbours in a vector as a slice."""
        nets: list[Net] = [self.nets[stage][bit] if bit >= 0 else ("", 0) for bit in bits]
        runs: list[list[Net]] = []
        for net in reversed(nets):  # the highest first, as it is written
            last = runs[-1][-1] if runs else ("none", 0)
            if net[0] == last[0] and (net[1] == last[1] - 1 or not net[0]):
                runs[-1].append(net)
            else:
                runs.append([net])
        parts = [_slice(run) for run in runs]
        return parts[0] if len(parts) == 1 else "{" + ", ".join(parts) + "}"


def _slice(run: Sequence[Net]) -> str:
    (vector, high), low = run[0], run[-1][1]
    if not vector:
        return f"{len(run)}'b0"
    return f"{vector}[{high}:{low}]" if len(run) > 1 else f"{vector}[{high}]"


def _wrapped(text: str) -> list[str]:
    """One statement, broken where it is long."""
    return wrap(
        text,
        WIDTH,
        initial_indent="  ",
        subsequent_indent="      ",
        break_long_words=False,
        break_on_hyphens=False,
    )
