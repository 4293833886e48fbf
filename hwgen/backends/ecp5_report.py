"""What nextpnr's JSON report says of a routed design: clock, critical path, utilisation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from hwgen import schema

_KINDS = ("TRELLIS_COMB", "TRELLIS_FF", "TRELLIS_RAMW", "DP16KD", "MULT18X18D", "TRELLIS_IO")
_LUT_INPUTS = ("A", "B", "C", "D")
_CARRY_OUT = "FCO"

Step = Mapping[str, Any]


def read_report(
    report: Mapping[str, Any], instances: Sequence[str], **known: Any
) -> schema.Ecp5Timing:
    """The slowest clock of a design of ``instances``; ``known``: the other fields."""
    clocks = {name: float(row["achieved"]) for name, row in report["fmax"].items()}
    slowest = min(clocks, key=lambda name: clocks[name], default=None)
    paths = [
        path["path"]
        for path in report["critical_paths"]
        if slowest is not None and _between(path, slowest)
    ]
    used = report["utilization"]
    return schema.Ecp5Timing(
        fmax_mhz=round(clocks[slowest], 2) if slowest is not None else None,
        critical_path=_route(paths[0], instances) if paths else None,
        utilisation={
            kind: schema.Occupied(used=used[kind]["used"], available=used[kind]["available"])
            for kind in _KINDS
            if kind in used
        },
        **known,
    )


def _between(path: Mapping[str, Any], clock: str) -> bool:
    """From register to register of one clock."""
    return all(str(path[end]).endswith(f"edge {clock}") for end in ("from", "to"))


def _route(steps: Sequence[Step], instances: Sequence[str]) -> schema.Route:
    logic = [step for step in steps if step["type"] != "routing"]
    nets = [step for step in steps if step["type"] == "routing"]
    owners = [_owner(str(step["to"]["cell"]), instances) for step in steps]
    through = groupby(owner for owner in owners if owner)
    passed = [step for step in logic if step["type"] == "logic"]
    return schema.Route(
        start=_name(str(nets[0].get("net") or steps[0]["from"]["cell"])) if nets else "",
        end=_name(steps[-1]["to"]["cell"]),
        through=tuple(owner for owner, _ in through),
        ns=round(sum(step["delay"] for step in steps), 2),
        logic_ns=round(sum(step["delay"] for step in logic), 2),
        routing_ns=round(sum(step["delay"] for step in nets), 2),
        luts=sum(step["from"]["port"] in _LUT_INPUTS for step in passed),
        carries=sum(step["to"]["port"] == _CARRY_OUT and step["delay"] > 0 for step in passed),
    )


def _owner(cell: str, instances: Sequence[str]) -> str:
    """The instance that a cell lies in, wherever that stands in the hierarchy."""
    return next((word for word in cell.split(".") if word in instances), "")


def _name(text: str) -> str:
    """Up to where Yosys' or nextpnr's inventions begin."""
    return text.split("$")[0].rstrip("._") or "a register"
