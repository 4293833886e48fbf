"""The HTML report of a build, made from the JSON files in BUILD/report and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from hwgen import page, schema
from hwgen.board import explain
from hwgen.errors import UserInputError
from hwgen.figures import BuildSummary, Reports
from hwgen.files import write_bytes
from hwgen.render import render

PAGE = "report/index.html"

T = TypeVar("T")


def write(folder: Path) -> Path:
    """Render ``folder``/report/index.html and return its path.

    Raises ``UserInputError`` that names the file if one is corrupt, or missing though every
    build has it.
    """
    target = folder / PAGE
    write_bytes(target, render(f"{PAGE}.j2", page.context(read(folder))))
    return target


def read(folder: Path) -> Reports:
    """All reports of a build, checked against ``schema``."""
    where = folder / "report"
    return Reports(
        config=_required(folder / "build_config.yaml", BuildSummary),
        foldings=_required(folder / "final_hw_config.json", dict[str, Any]),
        graph=_required(where / "dataflow.json", schema.Graph),
        counts=_required(where / "op_and_param_counts.json", schema.OpAndParamCounts),
        cycles=_required(where / "estimate_layer_cycles.json", schema.LayerCycles),
        resources=_required(where / "estimate_layer_resources.json", schema.LayerResources),
        performance=_required(
            where / "estimate_network_performance.json", schema.NetworkPerformance
        ),
        fifos=_required(where / "fifo_sizing.json", schema.FifoSizing),
        trade_off=_optional(where / "trade_off.json", schema.TradeOff),
        rtlsim=_optional(where / "rtlsim_performance.json", schema.RtlsimPerformance),
        synth=_optional(where / "synth_resources.json", schema.SynthResources),
        ecp5=_optional(where / "ecp5_timing.json", schema.Ecp5Timing),
        bitstream=_optional(where / "ecp5_bitstream.json", schema.Ecp5Bitstream),
        vivado=_optional(where / "post_synth_resources.json", schema.PostSynthResources),
        routed=_optional(where / "post_route_timing.json", schema.PostRouteTiming),
        verification=_optional(where / "verification.json", schema.Verification),
        accuracy=_optional(where / "accuracy.json", schema.Accuracy),
        finn=_optional(where / "finn_estimates.json", schema.FinnEstimates),
        finn_build=_optional(where / "finn_build.json", schema.FinnBuild),
        times=_optional(folder / "time_per_step.json", dict[str, schema.Amount]) or {},
    )


def _optional(path: Path, kind: type[T]) -> T | None:
    return _required(path, kind) if path.exists() else None


def _required(path: Path, kind: type[T]) -> T:
    try:
        text = path.read_text()
        found = yaml.safe_load(text) if path.suffix == ".yaml" else json.loads(text)
        return TypeAdapter(kind).validate_python(found)
    except OSError as error:
        raise UserInputError(
            f"{path} cannot be read ({error.strerror}); run hwgen build again"
        ) from error
    except ValidationError as error:
        raise UserInputError(
            f"{path} is corrupt: {explain(error)}; run hwgen build again"
        ) from error
    except (ValueError, yaml.YAMLError) as error:  # not text, not JSON, not YAML
        raise UserInputError(f"{path} is corrupt: {error}; run hwgen build again") from error
