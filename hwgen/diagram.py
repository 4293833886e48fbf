"""Where the boxes and lines of the dataflow drawing go; geometry only, in pixels.

The network reads left to right and wraps like text. It is cut where a single stream passes, so a
residual block stays in one row: its longest branch in a straight line, shorter ones in lanes
below, and streams that skip over boxes on tracks above them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from hwgen.schema import Edge, Graph, Node

BOX_W, BOX_H, SMALL_W = 116, 98, 50
GAP, TRACK, MARGIN, ROW_GAP = 36, 17, 20, 40
ROW_LIMIT = 1250


@dataclass(frozen=True, slots=True)
class Box:
    """A node and its rectangle."""

    node: Node
    x: float
    y: float
    w: float

    @property
    def right(self) -> float:
        """Right edge."""
        return self.x + self.w

    @property
    def middle(self) -> float:
        """Height at which the straight line runs."""
        return self.y + BOX_H / 2


@dataclass(frozen=True, slots=True)
class Line:
    """An edge: an SVG path and where its label stands; ``skips``: it runs over boxes."""

    edge: Edge
    path: str
    label_x: float
    label_y: float
    skips: bool


@dataclass(frozen=True, slots=True)
class Drawing:
    """Everything placed."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]


@dataclass(slots=True)
class _Segment:
    """Nodes between two cuts: column and lane of each, and the edges that need a track."""

    nodes: list[Node]
    column: dict[str, int] = field(default_factory=dict)
    lane: dict[str, int] = field(default_factory=dict)
    track: dict[str, int] = field(default_factory=dict)  # edge name -> track, from 0

    @property
    def columns(self) -> list[float]:
        """Width of every column."""
        widths = [0.0] * (max(self.column.values()) + 1)
        for node in self.nodes:
            at = self.column[node.name]
            widths[at] = max(widths[at], _width(node))
        return widths

    @property
    def width(self) -> float:
        return sum(self.columns) + GAP * len(self.columns)


def _width(node: Node) -> float:
    return SMALL_W if node.role == "inserted" else BOX_W


def draw(graph: Graph) -> Drawing:
    """Place ``graph``."""
    rows: list[list[_Segment]] = []
    used = 0.0
    for segment in _segments(graph):
        if not rows or used + segment.width > ROW_LIMIT:
            rows.append([])
            used = 0.0
        rows[-1].append(segment)
        used += segment.width
    boxes: dict[str, Box] = {}
    tracks: dict[str, float] = {}
    row_of: dict[str, int] = {}
    bottoms = []
    y = float(MARGIN)
    for index, row in enumerate(rows):
        y = _place_row(row, y, boxes, tracks)
        row_of.update((node.name, index) for segment in row for node in segment.nodes)
        bottoms.append(y)
        y += ROW_GAP
    lines = tuple(
        _route(edge, boxes, tracks, bottoms[row_of[edge.source]] + ROW_GAP / 2)
        if row_of[edge.source] != row_of[edge.sink]
        else _line(edge, boxes, tracks)
        for edge in graph.edges
    )
    width = max(box.right for box in boxes.values()) + GAP + MARGIN
    return Drawing(width, bottoms[-1] + MARGIN, tuple(boxes.values()), lines)


def _segments(graph: Graph) -> Iterator[_Segment]:
    """Cut the topological order wherever one stream, and no other, passes."""
    order = {node.name: i for i, node in enumerate(graph.nodes)}
    crossing = [0] * len(graph.nodes)
    for edge in graph.edges:
        for i in range(order[edge.source], order[edge.sink]):
            crossing[i] += 1
    nodes: list[Node] = []
    for node, open_streams in zip(graph.nodes, crossing, strict=True):
        nodes.append(node)
        if open_streams <= 1:
            yield _arrange(nodes, graph.edges)
            nodes = []
    if nodes:
        yield _arrange(nodes, graph.edges)


def _arrange(nodes: list[Node], edges: Sequence[Edge]) -> _Segment:
    """Columns by longest path, lanes by branch, tracks for what skips."""
    segment = _Segment(nodes)
    inside = [e for e in edges if {e.source, e.sink} <= {n.name for n in nodes}]
    best: dict[str, str | None] = {}
    for node in nodes:
        before = [e.source for e in inside if e.sink == node.name]
        best[node.name] = max(before, key=lambda n: segment.column[n], default=None)
        segment.column[node.name] = max((segment.column[n] + 1 for n in before), default=0)
    on_path: str | None = max(nodes, key=lambda n: segment.column[n.name]).name
    while on_path is not None:
        segment.lane[on_path] = 0
        on_path = best[on_path]
    taken = {(segment.column[name], 0) for name in segment.lane}
    for node in nodes:
        if node.name not in segment.lane:
            column, lane = segment.column[node.name], segment.lane.get(best[node.name] or "", 0)
            lane = max(lane, 1)
            while (column, lane) in taken:
                lane += 1
            taken.add((column, lane))
            segment.lane[node.name] = lane
    _assign_tracks(segment, inside, taken)
    return segment


def _assign_tracks(segment: _Segment, inside: list[Edge], taken: set[tuple[int, int]]) -> None:
    """A track for every edge that would otherwise run through boxes; short ones lowest."""
    ends: list[list[tuple[int, int]]] = []  # for every track, the column ranges it carries
    skipping = []
    joined: set[tuple[str, str]] = set()
    for edge in inside:
        first, last = segment.column[edge.source], segment.column[edge.sink]
        lane = max(segment.lane[edge.source], segment.lane[edge.sink])  # where the line runs
        blocked = any((column, lane) in taken for column in range(first + 1, last))
        if blocked or (edge.source, edge.sink) in joined:
            skipping.append((last - first, edge.name, first, last))
        joined.add((edge.source, edge.sink))
    for _, name, first, last in sorted(skipping):
        fits = (i for i, used in enumerate(ends) if all(last <= a or first >= b for a, b in used))
        track = next(fits, len(ends))
        if track == len(ends):
            ends.append([])
        ends[track].append((first, last))
        segment.track[name] = track


def _place_row(
    row: list[_Segment], top: float, boxes: dict[str, Box], tracks: dict[str, float]
) -> float:
    """Place a row's segments side by side below ``top``; return its lower edge."""
    used = max((t + 1 for segment in row for t in segment.track.values()), default=0)
    lane_0 = top + used * TRACK + (8 if used else 0)
    x = float(MARGIN)
    bottom = lane_0
    for segment in row:
        widths = segment.columns
        starts = [x + sum(widths[:i]) + GAP * i for i in range(len(widths))]
        for node in segment.nodes:
            column = segment.column[node.name]
            y = lane_0 + segment.lane[node.name] * (BOX_H + TRACK)
            centred = starts[column] + (widths[column] - _width(node)) / 2
            boxes[node.name] = Box(node, centred, y, _width(node))
            bottom = max(bottom, y + BOX_H)
        for name, track in segment.track.items():
            tracks[name] = lane_0 - 8 - track * TRACK
        x += segment.width
    return bottom


def _line(edge: Edge, boxes: dict[str, Box], tracks: dict[str, float]) -> Line:
    """A line within a row: straight, a curve to another lane, or over a track."""
    a, b = boxes[edge.source], boxes[edge.sink]
    if edge.name in tracks:
        return _route(edge, boxes, tracks, None)
    centre = (a.right + b.x) / 2
    if a.y == b.y:
        path = f"M{a.right:g} {a.middle:g}H{b.x:g}"
        return Line(edge, path, centre, a.middle - 5, skips=False)
    start, end = _off(a.middle, b.y - a.y), _off(b.middle, a.y - b.y)
    # along the empty lane, then across in one gap
    turn = a.right + GAP / 2 if b.y > a.y else b.x - GAP / 2
    path = _rounded([(a.right, start), (turn, start), (turn, end), (b.x, end)])
    run = end if b.y > a.y else start
    label_x = (turn + (b.x if b.y > a.y else a.right)) / 2
    return Line(edge, path, label_x, run - 5, skips=b.x - a.right > BOX_W)


def _off(middle: float, towards: float) -> float:
    """Beside the straight line, on the side where the other end is."""
    return middle + (18 if towards > 0 else -18)


def _route(
    edge: Edge, boxes: dict[str, Box], tracks: dict[str, float], below: float | None
) -> Line:
    """A line over a track above its row, or at height ``below`` to the start of the next."""
    a, b = boxes[edge.source], boxes[edge.sink]
    over = edge.name in tracks
    run = tracks[edge.name] if over else below
    assert run is not None
    start, end = (a.middle - 18, b.middle - 18) if over else (a.middle, b.middle)
    out, back = a.right + GAP / 2 - 4, b.x - (GAP / 2 - 4 if over else MARGIN / 2)
    path = _rounded(
        [(a.right, start), (out, start), (out, run), (back, run), (back, end), (b.x, end)]
    )
    return Line(edge, path, (out + back) / 2, run - 4 if over else run + 3.5, skips=over)


def _rounded(points: list[tuple[float, float]], radius: float = 7) -> str:
    """An SVG path along right angles with rounded corners."""
    parts = [f"M{points[0][0]:g} {points[0][1]:g}"]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        near, far = _towards(corner, before, radius), _towards(corner, after, radius)
        parts.append(f"L{near[0]:g} {near[1]:g}Q{corner[0]:g} {corner[1]:g} {far[0]:g} {far[1]:g}")
    parts.append(f"L{points[-1][0]:g} {points[-1][1]:g}")
    return "".join(parts)


def _towards(
    start: tuple[float, float], end: tuple[float, float], length: float
) -> tuple[float, float]:
    """The point ``length`` along the way, at most half of it."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    whole = abs(dx) + abs(dy)
    share = min(length, whole / 2) / whole if whole else 0.0
    return round(start[0] + dx * share, 1), round(start[1] + dy * share, 1)
