"""Adding many bits in few LUTs of a 7-series part: which cells, in which order.

A heap of bits, each of some weight 2**column, is to become one number. Three cells reduce it; each
leaves the sum of the heap as it is:

=========  ====  ================================================  ================================
cell       LUTs  takes                                             gives
=========  ====  ================================================  ================================
counter    2     up to 7 bits of column c                          1 bit each of c, c + 1, c + 2
adder      1     up to 3 bits of column c                          1 bit each of c, c + 1
ripple     1     up to 2 bits of column c and the carry from c-1   1 bit of c, the carry into c + 1
=========  ====  ================================================  ================================

A counter removes 4 bits with 2 LUTs, which is what makes a popcount cost half a LUT a bit. It is a
piece of a carry chain, whose position computes ``O = S ^ C`` and passes on ``S ? C : DI``. Let
a..f be six of the bits and g the seventh.

* Position 0 has S = 0 and DI = g: whatever carry came from below leaves through O, and g is the
  carry of the next position. (No LUT, as it is counted; but the one in that place can do little.)
* Position 1 has S = parity(a..f) and DI = f, which is a full adder of parity(a..e), f and g:
  O is the parity of all seven, the carry counts twos. Still to be added are the twos within a..e,
  q = floor((a+b+c+d+e) / 2), 0 to 2.
* Position 2 has S = (q == 1) and DI = (q == 2), both functions of a..e and thus one LUT6_2: it adds
  q and the carry. O is the column of twos; the carry, which leaves through O of the next position,
  counts fours.

``plan`` finds how many cells of each kind every column takes for the least LUTs, by dynamic
programming over columns: what lies in column c depends on the choices for the columns below alone,
and columns have few bits beyond the first. ``compress`` then says which bits go into which cell,
always those first that are ready first, so that the tree is shallow, and puts a register behind
every so many levels.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

Bit = int
Heap = Sequence[tuple[int, int]]  # bits as (column, level in which they are ready)

COUNTER, ADDER, RIPPLE = "counter", "adder", "ripple"
LUTS = {COUNTER: 2, ADDER: 1}
IMPOSSIBLE = 1 << 30


@dataclass(frozen=True, slots=True)
class Step:
    """What happens to a column: full counters, one with less bits, adders; ``left`` remain."""

    counters: int
    partial: int
    adders: int
    left: int
    carry: int  # from the ripple adder of the column below

    @property
    def luts(self) -> int:
        """A ripple adder works where two bits and more remain, the carry included."""
        return 2 * self.counters + 2 * (self.partial > 0) + self.adders + self.carry_out

    @property
    def carry_out(self) -> int:
        """Whether a carry goes into the next column."""
        return int(self.left + self.carry > 1)


@cache
def plan(
    heights: tuple[int, ...], found: int = 0, above: int = 0, carry: int = 0
) -> tuple[int, tuple[Step, ...]]:
    """The least LUTs that leave at most one bit in every column, and the steps to get there.

    ``heights``: bits of this column and of those above it, of the operands. ``found`` and
    ``above`` are what cells of lower columns added to this column and to the next.
    """
    here = (heights[0] if heights else 0) + found
    if not heights and not here and not above and not carry:
        return 0, ()
    best: tuple[int, tuple[Step, ...]] = (IMPOSSIBLE, ())
    for step in _steps(here, carry):
        two = step.counters + (step.partial > 0)
        rest = plan(heights[1:], above + two + step.adders, two, step.carry_out)
        if step.luts + rest[0] < best[0]:
            best = step.luts + rest[0], (step, *rest[1])
    return best


def _steps(here: int, carry: int) -> Iterable[Step]:
    """Every way to reduce ``here`` bits to three or less; a counter of n bits removes n - 1.

    Three remain only where a ripple adder starts: its carry input takes the third.
    """
    for partial in (0, 4, 5, 6):
        for adders in range(4):
            for left in range(min(here, 1), min(here, 2 if carry else 3) + 1):
                removed = here - left - max(partial - 1, 0) - 2 * adders
                if removed >= 0 and removed % 6 == 0:
                    yield Step(removed // 6, partial, adders, left, carry)


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of ``level`` 1 and up. Bits beyond the operands are numbered in order of creation.

    A ripple adder is one cell for all its columns: ``inputs`` has the carry in and then two bits
    by column, -1 for none; ``outputs`` a bit by column and the carry out.
    """

    kind: str
    level: int
    inputs: tuple[Bit, ...]
    outputs: tuple[Bit, ...]

    @property
    def luts(self) -> int:
        """LUTs it takes."""
        return LUTS.get(self.kind, len(self.outputs) - 1)


@dataclass(frozen=True, slots=True)
class Tree:
    """Cells that add the ``operands`` up; ``result`` is a bit by column, -1 where there is none."""

    operands: tuple[tuple[int, int], ...]
    cells: tuple[Cell, ...]
    result: tuple[Bit, ...]
    span: int  # levels between registers

    @property
    def luts(self) -> int:
        """All LUTs."""
        return sum(cell.luts for cell in self.cells)

    @property
    def levels(self) -> int:
        """The level of the last bit of the result."""
        ready = self.ready()
        return max((ready[bit] for bit in self.result if bit >= 0), default=0)

    @property
    def stages(self) -> int:
        """Registers from the operands to the result: one behind every ``span`` levels."""
        return self.levels // self.span

    def ready(self) -> dict[Bit, int]:
        """The level in which every bit is ready."""
        found = {bit: level for bit, (_, level) in enumerate(self.operands)}
        found.update((bit, cell.level) for cell in self.cells for bit in cell.outputs)
        return found

    def registers(self) -> tuple[tuple[Bit, ...], ...]:
        """The bits that cross into every stage from 1 on, because they are read there or later.

        An operand that comes late is in a register already where it comes.
        """
        ready = self.ready()
        last = dict.fromkeys(ready, 0)
        for cell in self.cells:
            for bit in cell.inputs:
                if bit >= 0:
                    last[bit] = max(last[bit], (cell.level - 1) // self.span)
        for bit in self.result:
            if bit >= 0:
                last[bit] = self.stages
        first = {bit: self._stage(bit, level) for bit, level in ready.items()}
        return tuple(
            tuple(bit for bit in ready if first[bit] < stage <= last[bit])
            for stage in range(1, self.stages + 1)
        )

    def _stage(self, bit: Bit, level: int) -> int:
        """The stage in which a bit appears."""
        return level // self.span if bit < len(self.operands) else (level - 1) // self.span


@cache
def compress(heap: tuple[tuple[int, int], ...], span: int) -> Tree:
    """The tree of least LUTs for ``heap``, of few levels and with a register every ``span``."""
    columns = 1 + max(column for column, _ in heap)
    heights = tuple(sum(c == column for c, _ in heap) for column in range(columns))
    steps = plan(heights)[1]
    trees = [_Builder(heap, span).build(steps, early) for early in (False, True)]
    return min(trees, key=lambda tree: (tree.levels, sum(map(len, tree.registers()))))


class _Builder:
    """Hands bits to cells, column by column from the lowest."""

    def __init__(self, heap: Heap, span: int) -> None:
        self.heap, self.span = tuple(heap), span
        self.cells: list[Cell] = []
        self.level = {bit: level for bit, (_, level) in enumerate(heap)}
        self.columns: dict[int, list[tuple[int, Bit]]] = {}
        for bit, (column, level) in enumerate(heap):
            self.columns.setdefault(column, []).append((level, bit))
        self.result: list[Bit] = []
        self.ripple: list[list[Bit]] = []  # bits by column of the ripple adder being collected

    def build(self, steps: Sequence[Step], early: bool) -> Tree:
        """All cells. ``early``: counters with few bits come before the full ones."""
        for column, step in enumerate(steps):
            waiting = self.columns.setdefault(column, [])
            heapq.heapify(waiting)
            sizes = [7] * step.counters
            partial = [step.partial] if step.partial else []
            for size in (*partial, *sizes) if early else (*sizes, *partial):
                self._cell(COUNTER, column, size)
            for _ in range(step.adders):
                self._cell(ADDER, column, 3)
            self._leave(step, [bit for _, bit in sorted(waiting)])
        while self.result and self.result[-1] < 0:
            self.result.pop()
        return Tree(self.heap, tuple(self.cells), tuple(self.result), self.span)

    def _cell(self, kind: str, column: int, size: int) -> None:
        """A cell for the ``size`` bits of ``column`` that are ready first."""
        waiting = self.columns[column]
        taken = tuple(heapq.heappop(waiting)[1] for _ in range(size))
        level = 1 + max(self.level[bit] for bit in taken)
        outputs = self._new(3 if kind == COUNTER else 2, level)
        self.cells.append(Cell(kind, level, taken, outputs))
        for offset, bit in enumerate(outputs):
            heapq.heappush(self.columns.setdefault(column + offset, []), (level, bit))

    def _new(self, count: int, level: int) -> tuple[Bit, ...]:
        first = len(self.level)
        self.level.update((first + i, level) for i in range(count))
        return tuple(range(first, first + count))

    def _leave(self, step: Step, bits: list[Bit]) -> None:
        """What remains of a column is its result, or goes into a ripple adder."""
        if step.carry_out:
            self.ripple.append(bits)
            self.result.append(-1)  # known when the adder ends
            return
        if step.carry:  # the carry alone: the adder's last output
            self._end_ripple()
            return
        self.result.append(bits[0] if bits else -1)

    def _end_ripple(self) -> None:
        """Make the collected ripple adder a cell; its outputs are the last columns' results."""
        start = self.ripple[0]
        inputs = [start[2] if len(start) > 2 else -1]
        for bits in self.ripple:
            inputs += [*bits[:2], *[-1] * (2 - len(bits[:2]))]
        level = 1 + max(self.level[bit] for bit in inputs if bit >= 0)
        outputs = self._new(len(self.ripple) + 1, level)
        self.cells.append(Cell(RIPPLE, level, tuple(inputs), outputs))
        self.result[-len(self.ripple) :] = outputs
        self.ripple = []
