"""What the report's larger parts show: the drawing's boxes, and the tables of layers and FIFOs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hwgen import schema
from hwgen.diagram import BOX_H, Box
from hwgen.estimate import STREAMS
from hwgen.figures import KINDS, Reports, bar, number, percent

FIFOS_SHOWN = 16


def drawn_box(r: Reports, box: Box) -> dict[str, object]:
    """A node of the drawing: a few lines of text and a bar of its share of the interval."""
    node, used = box.node, _row(r, box.node.name)
    slowest = max(n.cycles for n in r.graph.nodes)
    folding = " · ".join(f"{key} {value}" for key, value in node.folding.items())
    kinds = (("LUT", "LUT"), ("BRAM36", "BRAM"), ("DSP", "DSP"))
    spent = [(getattr(used, key), word) for key, word in kinds] if used else []
    cost = " · ".join(f"{number(n, int(w == 'BRAM'))} {w}" for n, w in spent if n)
    shape = "×".join(str(n) for n in node.outputs[0].shape)
    full = f"{shape} {node.outputs[0].dtype}"
    cycles = f"{number(node.cycles)} cycles"
    details = (f"{node.kind} {node.name}", full, folding, cycles, cost)
    lines = _widths(r.graph, node)
    if node.role != "inserted":
        lines = [_short(t) for t in (node.kind, node.name, full, folding, cycles, cost)]
    return {
        "at": box,
        "role": node.role,
        "text": _lines(box, lines),
        "title": "\n".join(line for line in details if line),
        "load": round((box.w - 2) * node.cycles / max(slowest, 1), 1),
        "load_x": box.x + 1,
        "load_y": box.y + BOX_H - 5,
        "slowest": node.name == r.performance.bottleneck,
    }


def _lines(box: Box, lines: list[str]) -> list[dict[str, object]]:
    """Text with its place: from the top left, or centred in a narrow box."""
    narrow = box.node.role == "inserted"
    styles = ("n", "n", "n") if narrow else ("k", "n", "s", "n", "c", "n")
    x, top = (box.x + box.w / 2, box.y + 36) if narrow else (box.x + 8, box.y + 17)
    shown = [(words, style) for words, style in zip(lines, styles, strict=True) if words]
    return [
        {"x": x, "y": top + 14 * i, "style": style, "words": words}
        for i, (words, style) in enumerate(shown)
    ]


def _short(text: str, limit: int = 20) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _widths(graph: schema.Graph, node: schema.Node) -> list[str]:
    """What a narrow box has room for: bits in, bits out."""
    into = sum(e.width for e in graph.edges if e.sink == node.name)
    out = sum(e.width for e in graph.edges if e.source == node.name)
    return [f"{into} bit", "↓", f"{out} bit"]


def _row(r: Reports, name: str) -> schema.Used | None:
    """A layer's resources, from synthesis where there is one."""
    layers = r.synth.layers if r.synth else r.resources.layers
    return layers.get(name)


def layer_rows(r: Reports) -> list[dict[str, object]]:
    """One row a layer: what the graph, the estimate, Yosys and FINN say about it."""
    nodes = {node.name: node for node in r.graph.nodes}
    slowest = max(r.performance.max_cycles, 1)
    rows: list[dict[str, object]] = []
    for name in _ordered(r, r.resources.layers):
        node, estimate = nodes.get(name), r.resources.layers[name]
        cycles = r.cycles.root.get(name)
        finn = r.finn.resources.get(name, {}) if r.finn else {}
        rows.append(
            {
                "name": "streams (FIFOs, width converters)" if name == STREAMS else name,
                "kind": node.kind if node else "",
                "folding": ", ".join(f"{k} {v}" for k, v in node.folding.items()) if node else "",
                "cycles": number(cycles),
                "bar": bar(cycles / slowest) if cycles is not None else "",
                "slowest": name == r.performance.bottleneck,
                "estimate": _amounts(estimate),
                "synth": _amounts(r.synth.layers.get(name)) if r.synth else [],
                "finn_cycles": number(r.finn.cycles.get(name)) if r.finn else "",
                "finn": _finn(finn),
            }
        )
    rows.append(
        {
            "name": "total",
            "kind": "",
            "folding": "",
            "cycles": number(r.performance.max_cycles),
            "bar": "",
            "slowest": False,
            "estimate": _amounts(r.resources.total),
            "synth": _amounts(r.synth),
            "finn_cycles": number(r.finn.max_cycles) if r.finn else "",
            "finn": _finn(total(r.finn.resources.values()) if r.finn else {}),
        }
    )
    return rows


def unit_rows(r: Reports) -> list[dict[str, object]]:
    """One row for every circuit that a layer chose among; the layer's name in its first."""
    choices = r.resources.activation_units
    return [
        {
            "layer": "" if index else name,
            "unit": unit,
            "chosen": unit == choices[name].chosen,
            "amounts": _amounts(used),
            "why": choices[name].why if unit == choices[name].chosen else "",
        }
        for name in _ordered(r, choices)
        for index, (unit, used) in enumerate(choices[name].candidates.items())
    ]


def _ordered(r: Reports, names: Iterable[str]) -> list[str]:
    """Layer names as the data flows; what is no node comes last."""
    order = {node.name: i for i, node in enumerate(r.graph.nodes)}
    return sorted(names, key=lambda name: order.get(name, len(order)))


def _amounts(used: schema.Used | None) -> list[str]:
    if used is None:
        return ["–"] * len(KINDS)
    return [number(getattr(used, kind), int(kind == "BRAM36")) for kind in KINDS]


def _finn(found: Mapping[str, float]) -> list[str]:
    """LUT, BRAM in blocks of 36 kbit, DSP."""
    blocks = found["BRAM_18K"] / 2 if "BRAM_18K" in found else None
    return [number(found.get("LUT")), number(blocks, 1), number(found.get("DSP"))]


def total(rows: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """FINN's resources of all layers."""
    found: dict[str, float] = {}
    for row in rows:
        for key, value in row.items():
            found[key] = found.get(key, 0) + value
    return found


def trade_off_rows(r: Reports) -> list[dict[str, object]]:
    """One row a rate."""
    if r.trade_off is None:
        return []
    return [
        {
            "fps": number(point.fps),
            "cycles": number(point.cycles),
            "amounts": _amounts(point),
            "fits": point.fits,
            "taken": point.taken,
        }
        for point in r.trade_off.points
    ]


def count_rows(r: Reports) -> list[dict[str, str]]:
    """Work and constants of the layers that have any, and the total."""
    layers = r.counts.layers
    rows = [(n, layers[n]) for n in _ordered(r, layers) if any(layers[n].model_dump().values())]
    return [
        {"name": name, **{key: number(value) for key, value in count.model_dump().items()}}
        for name, count in [*rows, ("total", r.counts.total)]
    ]


def fifo_rows(r: Reports) -> dict[str, object]:
    """The largest first; past the first few they fold away."""
    held = r.rtlsim.most_held if r.rtlsim else {}
    rows = [
        {
            "source": f.source,
            "sink": f.sink,
            "width": number(f.width),
            "depth": number(f.depth),
            "held": number(held[f.name]) if f.name in held else "",
            "bits": number(f.width * f.depth),
            "share": percent(f.depth / f.beats) if f.beats else "–",
        }
        for f in sorted(r.fifos.fifos, key=lambda f: -f.width * f.depth)
    ]
    return {
        "parts": [rows[:FIFOS_SHOWN], rows[FIFOS_SHOWN:]],
        "more": len(rows) - FIFOS_SHOWN,
        "measured": bool(held),
        "bits": number(r.fifos.bits),
        "frame_bits": number(r.fifos.frame_bits),
        "share": percent(r.fifos.bits / r.fifos.frame_bits) if r.fifos.frame_bits else "–",
    }
