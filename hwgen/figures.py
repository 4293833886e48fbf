"""The reports as read, and how the page writes their numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from hwgen import schema
from hwgen.board import Board

KINDS = ("LUT", "FF", "BRAM36", "DSP")


class BuildSummary(BaseModel):
    """What the report needs of build_config.yaml."""

    name: str
    engine: str = "rtl"
    clock_mhz: float
    board: Board


@dataclass(frozen=True, slots=True)
class Reports:
    """Every file the report is made from; None or empty where an optional one is missing."""

    config: BuildSummary
    foldings: dict[str, Any]
    graph: schema.Graph
    counts: schema.OpAndParamCounts
    cycles: schema.LayerCycles
    resources: schema.LayerResources
    performance: schema.NetworkPerformance
    fifos: schema.FifoSizing
    trade_off: schema.TradeOff | None
    rtlsim: schema.RtlsimPerformance | None
    synth: schema.SynthResources | None
    ecp5: schema.Ecp5Timing | None
    bitstream: schema.Ecp5Bitstream | None
    vivado: schema.PostSynthResources | None
    routed: schema.PostRouteTiming | None
    verification: schema.Verification | None
    accuracy: schema.Accuracy | None
    finn: schema.FinnEstimates | None
    finn_build: schema.FinnBuild | None
    times: dict[str, float]


def number(value: float | None, digits: int = 0) -> str:
    """With thousands separated by thin spaces; a dash for nothing."""
    if value is None:
        return "–"
    if digits and value == int(value):
        digits = 0
    return f"{value:,.{digits}f}".replace(",", "\u2009")


def percent(share: float, digits: int = 1) -> str:
    """``0.123`` as ``12.3 %``."""
    return f"{100 * share:.{digits}f}\u202f%"


def bar(share: float) -> str:
    """A bar's length for CSS, never out of its frame."""
    return f"{100 * min(max(share, 0.0), 1.0):.2f}%"
