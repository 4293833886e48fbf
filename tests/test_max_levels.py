"""--max-levels from the option to the finished build."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hwgen.backends import cell_times, kernel_timing
from hwgen.build import build
from hwgen.config import BuildConfig, read_config
from hwgen.errors import UserInputError
from hwgen.layers.pipeline import LEAST
from hwgen.saved import load_build
from tests.qonnx_models import reactnet


def test_a_build_proves_its_bound_and_remembers_it(tmp_path: Path) -> None:
    model = reactnet(1).save(tmp_path / "m.onnx")
    config = BuildConfig(out=tmp_path / "b", fps=100, max_levels=LEAST)
    built = build(config, model)
    assert {stage.layer.levels for stage in built.dataflow.stages} == {LEAST, None}  # the edges
    report = json.loads((built.folder / "report" / "synth_resources.json").read_text())
    assert report["timing_estimate"]["max_levels"] == LEAST
    period = cell_times.OVERHEAD + LEAST * cell_times.LEVEL
    slowest = max(row["timing_estimate"]["ns"] for row in report["layers"].values())
    assert slowest <= period + 0.01
    again, _ = load_build(built.folder)
    assert again.graph.levels == LEAST
    assert [s.schedule().latency for s in again.stages] == [
        s.schedule().latency for s in built.dataflow.stages
    ]


def test_a_bound_that_is_not_met_fails_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = reactnet(1).save(tmp_path / "m.onnx")
    monkeypatch.setattr(kernel_timing, "require_levels", lambda *_: _refuse())
    with pytest.raises(UserInputError, match="too few"):
        build(BuildConfig(out=tmp_path / "b", fps=100, max_levels=LEAST), model)


def _refuse() -> None:
    raise UserInputError("too few")


def test_finns_kernels_have_no_bound(tmp_path: Path) -> None:
    model = reactnet(1).save(tmp_path / "m.onnx")
    config = BuildConfig(out=tmp_path / "b", engine="finn", max_levels=LEAST)
    with pytest.raises(UserInputError, match="leave it or --engine finn out"):
        build(config, model)
    assert not (tmp_path / "b").exists()


def test_less_than_the_least_is_refused() -> None:
    with pytest.raises(UserInputError, match=f"max_levels.*{LEAST}"):
        read_config(None, {"max_levels": LEAST - 1})
