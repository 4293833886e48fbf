"""What the HTML report shows: every number a string, every bar a length.

The template only places what is prepared here. Rows follow the layers of the reports, so a new
kind of layer needs no change.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import yaml

from hwgen.diagram import BOX_H, draw
from hwgen.figures import KINDS, Reports, bar, number, percent
from hwgen.page_parts import (
    count_rows,
    drawn_box,
    fifo_rows,
    layer_rows,
    total,
    trade_off_rows,
    unit_rows,
)
from hwgen.page_timing import timing

ROLES = (
    ("binary", "binary arithmetic"),
    ("integer", "integer arithmetic"),
    ("table", "thresholds"),
    ("stream", "other layers"),
    ("inserted", "width converter"),
    ("edge", "AXI edge"),
)


def context(r: Reports) -> dict[str, object]:
    """Everything that templates/report/index.html.j2 places."""
    drawing = draw(r.graph)
    return {
        "title": r.config.name,
        "board": r.config.board,
        "clock": f"{r.config.clock_mhz:g}",
        "verdict": _verdict(r),
        "tiles": _tiles(r),
        "drawing": drawing,
        "box_height": BOX_H,
        "boxes": [drawn_box(r, box) for box in drawing.boxes],
        "roles": [role for role in ROLES if any(n.role == role[0] for n in r.graph.nodes)],
        "utilisation": _utilisation(r),
        "tool": r.synth.tool if r.synth else None,
        "timing": timing(r),
        "ecp5": r.ecp5 or (r.bitstream.timing if r.bitstream else None),
        "bitstream": r.bitstream,
        "routed": r.routed,
        "throughput": _throughput(r),
        "rtlsim": r.rtlsim,
        "speed": _speed(r),
        "verification": _verification(r),
        "accuracy": _accuracy(r),
        "layers": layer_rows(r),
        "units": unit_rows(r),
        "finn": bool(r.finn),
        "engines": _engines(r),
        "finn_build": r.finn_build,
        "trade_off": trade_off_rows(r),
        "counts": count_rows(r),
        "ops": number(r.counts.ops),
        "fifos": fifo_rows(r),
        "times": _times(r),
        "config": yaml.safe_dump(r.config.model_dump(mode="json"), sort_keys=False),
        "foldings": json.dumps(r.foldings, indent=2),
    }


def _verdict(r: Reports) -> dict[str, str]:
    if r.verification is None or not r.verification.root:
        return {"tone": "open", "text": "not verified yet"}
    wrong = [name for name, v in r.verification.root.items() if v.mismatches]
    if wrong:
        return {"tone": "bad", "text": f"mismatch: {', '.join(wrong)}"}
    if not any(v.images for v in r.verification.root.values()):
        return {"tone": "open", "text": "verified on no image"}
    count = len(r.verification.root)
    return {"tone": "good", "text": f"bit-exact in {count} engine{'s' if count > 1 else ''}"}


def _tiles(r: Reports) -> list[dict[str, str]]:
    """The figures someone looks for first."""
    measured = r.rtlsim.cycles_per_frame if r.rtlsim else None
    cycles = measured or r.performance.max_cycles
    source = "measured in rtlsim" if measured else "estimate"
    used, by = (r.synth, r.synth.tool) if r.synth else (r.resources.total, "estimate")
    share = used.LUT / r.config.board.resources.LUT
    tiles = [
        _tile(number(r.config.clock_mhz * 1e6 / cycles), "frames a second", source),
        _tile(f"{number(_latency_us(r), 1)} µs", "latency of a frame", "first beat in to last out"),
        _tile(number(used.LUT), "LUTs", f"{percent(share)} of the board, {by}"),
    ]
    lanes = r.performance.binary_lanes
    if lanes:
        tiles.append(
            _tile(number(used.LUT / lanes, 2), "LUTs a binary lane", f"{number(lanes)} lanes")
        )
    stages = r.accuracy.stages if r.accuracy else {}
    if "integer" in stages:
        tiles.append(_tile(percent(stages["integer"]), "accuracy", "integer graph = hardware"))
    return tiles


def _tile(value: str, label: str, note: str) -> dict[str, str]:
    return {"value": value, "label": label, "note": note}


def _latency_us(r: Reports) -> float:
    measured = r.rtlsim.latency_cycles if r.rtlsim else None
    return (measured or r.fifos.latency_cycles) / r.config.clock_mhz


def _speed(r: Reports) -> str:
    """Simulated cycles a second."""
    found = r.rtlsim.simulated_cycles_per_second if r.rtlsim else None
    return number(found) if found else ""


def _utilisation(r: Reports) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for kind in KINDS:
        capacity = getattr(r.config.board.resources, kind)
        rows = [("estimate", getattr(r.resources.total, kind))]
        if r.synth:
            rows.append((r.synth.tool, getattr(r.synth, kind)))
        if r.vivado:
            rows.append(("Vivado, all", getattr(r.vivado.root["(top)"].used, kind)))
        bars: list[dict[str, object]] = []
        for index, (by, used) in enumerate(rows):
            share = used / capacity if capacity else float(used > 0)
            bars.append(
                {
                    "by": by,
                    "tone": "synth" if index else "estimate",
                    "used": number(used, int(kind == "BRAM36")),
                    "percent": percent(share),
                    "bar": bar(share),
                    "over": share > r.config.board.usable,
                }
            )
        usable = bar(r.config.board.usable)
        found.append({"kind": kind, "capacity": number(capacity), "bars": bars, "usable": usable})
    return found


def _throughput(r: Reports) -> list[dict[str, str]]:
    """Model against measurement."""
    p, m = r.performance, r.rtlsim
    mhz = r.config.clock_mhz
    measured = m.cycles_per_frame if m else None
    latency = m.latency_cycles if m else None
    return [
        {
            "what": "cycles a frame",
            "model": number(p.max_cycles),
            "measured": number(measured, 2),
            "note": _equality(p.max_cycles, measured),
        },
        {
            "what": f"frames a second at {mhz:g} MHz",
            "model": number(p.fps),
            "measured": number(mhz * 1e6 / measured if measured else None),
            "note": f"bottleneck: {p.bottleneck}",
        },
        {
            "what": "latency in cycles",
            "model": number(r.fifos.latency_cycles),
            "measured": number(latency),
            "note": "of a frame alone",
        },
        {
            "what": "latency in µs",
            "model": number(r.fifos.latency_cycles / mhz, 2),
            "measured": number(latency / mhz if latency else None, 2),
            "note": "",
        },
    ]


def _engines(r: Reports) -> list[dict[str, str]]:
    """Our estimate of the whole design beside FINN's."""
    if r.finn is None:
        return []
    ours, theirs = r.resources.total, total(r.finn.resources.values())
    mhz, cycles = r.config.clock_mhz, r.finn.max_cycles
    rows = (
        ("cycles a frame", r.performance.max_cycles, cycles),
        ("frames a second", r.performance.fps, mhz * 1e6 / cycles if cycles else None),
        ("LUT", ours.LUT, theirs.get("LUT")),
        ("BRAM of 36 kbit", ours.BRAM36, theirs.get("BRAM_18K", 0) / 2),
        ("DSP", ours.DSP, theirs.get("DSP")),
    )
    return [{"what": what, "ours": number(a, 1), "finn": number(b, 1)} for what, a, b in rows]


def _equality(model: float, measured: float | None) -> str:
    if measured is None:
        return ""
    return "equal" if model == measured else f"differs by {number(measured - model, 2)}"


def _verification(r: Reports) -> list[dict[str, object]]:
    if r.verification is None:
        return []
    rows: list[dict[str, object]] = [
        {
            "engine": name,
            "images": number(v.images),
            "mismatches": number(v.mismatches),
            "first": _place(v.first_mismatch or {}),
            "seconds": number(v.seconds, 2),
            "rate": number(v.images / v.seconds, 1) if v.seconds else "–",
            "good": v.mismatches == 0,
        }
        for name, v in r.verification.root.items()
    ]
    return rows


def _place(first: Mapping[str, object]) -> str:
    """Where engines differ first; JSON files have their keys sorted."""
    order = ("layer", "image", "channel", "y", "x", "expected", "got")
    keys = [*(k for k in order if k in first), *(k for k in first if k not in order)]
    return ", ".join(f"{key} {first[key]}" for key in keys)


def _accuracy(r: Reports) -> dict[str, object]:
    if r.accuracy is None:
        return {"rows": [], "images": ""}
    order = ("float", "brevitas", "integer", "finn", "reference", "cppsim", "rtlsim")
    stages = r.accuracy.stages
    names = [n for n in order if n in stages] + sorted(set(stages) - set(order))
    images = number(r.accuracy.images) if r.accuracy.images else ""
    rows = [{"stage": n, "percent": percent(stages[n], 2), "bar": bar(stages[n])} for n in names]
    return {"rows": rows, "images": images}


def _times(r: Reports) -> dict[str, object]:
    longest = max(r.times.values(), default=0) or 1
    ranked = sorted(r.times.items(), key=lambda item: -item[1])
    return {
        "rows": [
            {"step": step, "seconds": number(s, 2), "bar": bar(s / longest)} for step, s in ranked
        ],
        "total": number(sum(r.times.values()), 1),
    }
