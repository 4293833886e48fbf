"""What the report shows of clocks: estimates of the layers' slowest paths."""

from __future__ import annotations

from hwgen.figures import Reports, bar, number


def timing(r: Reports) -> dict[str, object] | None:
    """The slowest path of every layer, slowest first; None where nothing was synthesised."""
    design = r.synth.timing_estimate if r.synth else None
    if r.synth is None or design is None:
        return None
    period = 1000 / design.clock_mhz
    known = {n: row.timing_estimate for n, row in r.synth.layers.items() if row.timing_estimate}
    rows = [
        {
            "layer": name,
            "levels": number(each.lut_levels),
            "carries": number(each.carries),
            "ns": number(each.ns, 2),
            "mhz": number(each.mhz),
            "bar": bar(each.ns / period),
            "late": each.ns > period,
            "start": each.start,
            "end": each.end,
            "cells": " · ".join(each.cells),
        }
        for name, each in sorted(known.items(), key=lambda item: -item[1].ns)
    ]
    return {
        "rows": rows,
        "slowest": design.slowest,
        "mhz": number(design.mhz),
        "clock": f"{design.clock_mhz:g}",
        "levels": design.lut_levels_at_clock,
        "bound": design.max_levels,
        "warnings": design.warnings,
    }
