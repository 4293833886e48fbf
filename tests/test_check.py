"""``hwgen check`` as a user meets it: exit codes, the table, JSON, and time."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hwgen import cli
from hwgen.resources import data_folder
from tests.qonnx_models import ModelBuilder, reactnet

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``hwgen check``; return its exit code, stdout and stderr with single spaces."""

    def call(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["hwgen", "check", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        captured = capsys.readouterr()
        return int(stop.value.code or 0), captured.out, " ".join(captured.err.split())

    return call


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return reactnet(0).save(tmp_path / "good.onnx")


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    builder = reactnet(0)
    builder.here = builder.node("Softmax", builder.here)
    return builder.save(tmp_path / "bad.onnx")


def test_a_good_network_passes_and_fits(run: Run, good: Path) -> None:
    code, _, text = run(good, "--board", "pynq-z2")
    assert code == 0
    for words in ("Conv_1", "xnor", "4,608 binary", "pynq-z2: fits", "can be built"):
        assert words in text


def test_problems_have_exit_code_1_with_reason_and_remedy(run: Run, bad: Path) -> None:
    code, _, text = run(bad, "--board", "pynq-z2")
    assert code == 1
    for words in ("problem 1", "Softmax", "remedy", "the host compute it", "1 problem"):
        assert words in text


def test_a_board_that_is_too_small_has_exit_code_1_and_says_by_how_much(
    run: Run, good: Path, tmp_path: Path
) -> None:
    board = tmp_path / "small.yaml"
    text = (data_folder("boards") / "pynq-z2.yaml").read_text()
    board.write_text(text.replace("LUT: 53200", "LUT: 500"))
    code, out, _ = run(good, "--board", board, "--json")
    assert code == 1
    found = json.loads(out)
    assert not found["ok"]
    assert not found["problems"]
    assert found["fit"]["needed"]["LUT"] > found["fit"]["available"]["LUT"] == 400
    code, _, text = run(good, "--board", board)
    assert code == 1
    assert "does not fit even fully folded" in text
    assert "of 400 (" in text


def test_what_is_no_model_has_exit_code_2(run: Run, good: Path, tmp_path: Path) -> None:
    code, _, text = run(tmp_path / "none.onnx")
    assert code == 2
    assert "does not exist" in text
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(good.read_bytes()[:500])
    code, _, text = run(cut)
    assert code == 2
    assert "cut.onnx" in text
    code, _, text = run(good, "--board", "pynq-z3")
    assert code == 2
    assert "did you mean pynq-z2?" in text


def test_json_goes_to_standard_output_alone(run: Run, good: Path) -> None:
    code, out, text = run(good, "--json")
    assert code == 0
    assert json.loads(out)["ok"]
    assert not text


def test_nothing_of_finn_is_loaded(good: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from hwgen.checking import check_model\n"
        f"assert check_model(Path({str(good)!r}), 'pynq-z2', as_json=False) == 0\n"
        "assert 'finn' not in sys.modules and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.slow
def test_a_wide_network_takes_seconds(run: Run, tmp_path: Path) -> None:
    builder = ModelBuilder(0, shape=(3, 32, 32))
    builder.stem(256, bits=8)
    for _ in range(4):
        builder.half_block(3, bits=8)
        builder.half_block(1, bits=8)
    builder.head(10)
    path = builder.save(tmp_path / "wide.onnx")
    started = time.monotonic()
    code, _, _ = run(path, "--board", "pynq-z2")
    assert code == 1
    assert time.monotonic() - started < 20
