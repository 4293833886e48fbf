"""Random networks in the engines: others with every change of the code, the same for one commit."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hwgen.build import build
from hwgen.config import BuildConfig
from hwgen.engine import EngineRun
from hwgen.errors import UnsupportedError
from hwgen.quant import IntArray, QuantGraph
from hwgen.verify import verify
from tests import brevitas_models, soundness
from tests.random_networks import RandomNetwork
from tests.soundness import Outcome, check

ROOT = Path(__file__).parents[2]


def rotation() -> int:
    """A number that follows from hwgen's code and kernels, so that no seed is tested forever."""
    digest = hashlib.sha256()
    for folder in ("hwgen", "templates"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and path.suffix in (".py", ".sv", ".h", ".hpp", ".cpp", ".j2"):
                digest.update(path.read_bytes())
    return int.from_bytes(digest.digest()[:4], "little")


def supported(start: int, count: int, folder: Path, engines: tuple[str, ...]) -> list[Outcome]:
    """The first ``count`` networks from a seed on that hwgen does not refuse."""
    found: list[Outcome] = []
    for seed in range(start, start + 2 * count + 2):
        if len(found) < count:
            try:
                found.append(check(RandomNetwork(seed), folder / str(seed), engines))
            except UnsupportedError:
                continue
    assert len(found) == count, "more than half of the networks are refused"
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "count"), [("reference", 12), ("cppsim", 4), ("rtlsim", 2)], ids=lambda v: str(v)
)
def test_engines_equal_the_original_file(engine: str, count: int, tmp_path: Path) -> None:
    for outcome in supported(10_000 + rotation() % 1_000_000, count, tmp_path, (engine,)):
        assert not outcome.wrong, f"network {outcome.seed}: {outcome.wrong}"


def test_a_wrong_engine_and_a_wrong_graph_are_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = soundness.run_reference

    def wrong(graph: QuantGraph, frames: IntArray, folder: Path, seed: int) -> EngineRun:
        run = honest(graph, frames, folder, seed)
        return replace(
            run, output=run.output + (np.arange(run.output.size) == 1).reshape(run.output.shape)
        )

    monkeypatch.setitem(soundness.RUNNERS, "reference", wrong)
    outcome = check(RandomNetwork(3), tmp_path / "engine", ("reference",))
    assert [text.partition(":")[0] for text in outcome.wrong] == ["reference"]
    before = soundness.original
    monkeypatch.setattr(soundness, "original", lambda *a: before(*a) + 1)
    outcome = check(RandomNetwork(3), tmp_path / "graph")
    assert [text.partition(":")[0] for text in outcome.wrong] == ["integer graph"]


@pytest.mark.slow
def test_a_mobilenet_of_brevitas_builds_and_verifies_in_all_engines(tmp_path: Path) -> None:
    name = "MobileNet-W4A4"
    model = brevitas_models.export(name, tmp_path / "model.onnx")
    shape = brevitas_models.NETWORKS[name][1]
    images = tmp_path / "images.npy"
    np.save(images, np.random.default_rng(3).random((5, *shape)).astype(np.float32))
    build(BuildConfig(out=tmp_path / "build", images=images), model)
    verdicts = verify(tmp_path / "build")
    assert set(verdicts) == {"finn", "reference", "cppsim", "rtlsim"}
    assert all(v.mismatches == 0 and v.images == 5 for v in verdicts.values())
