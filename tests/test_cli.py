"""The command line as a user meets it: commands, exit codes, one clear line for every mistake."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hwgen import cli, verify
from hwgen.files import MANIFEST
from tests.qonnx_models import ModelBuilder, reactnet
from tests.training.test_import_reactnet import checkpoint_of

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line; return its exit code and all it printed."""

    def call(*words: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["hwgen", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        captured = capsys.readouterr()
        return int(stop.value.code or 0), " ".join((captured.out + captured.err).split())

    return call


def without_line_breaks(text: str) -> str:
    return text.replace(" ", "")


def assert_refused(result: tuple[int, str], *words: str) -> None:
    code, text = result
    assert code == 2, text
    assert "Traceback" not in text
    for word in words:
        assert without_line_breaks(word) in without_line_breaks(text)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return reactnet(1).save(tmp_path_factory.mktemp("model") / "tiny.onnx")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    """A finished build; tests that edit it take a copy."""
    folder = tmp_path_factory.mktemp("build") / "tiny"
    with pytest.MonkeyPatch.context() as patch:
        words = ["hwgen", "build", str(model), "--out", str(folder), "--no-verify"]
        patch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as stop:
            cli.main()
    assert not stop.value.code
    return folder


# -- what a build leaves -------------------------------------------------------------------------


def test_build_leaves_everything_it_promises(built: Path) -> None:
    promised = """
        build.log time_per_step.json build_config.yaml final_hw_config.json manifest.json
        intermediate_models/imported.onnx intermediate_models/streamlined.onnx
        intermediate_models/dataflow.onnx
        report/op_and_param_counts.json report/estimate_layer_cycles.json
        report/estimate_layer_resources.json report/estimate_network_performance.json
        report/fifo_sizing.json report/trade_off.json report/index.html
        reference/model.py reference/params.npz cppsim/main.cpp rtl/hwgen_top.sv rtl/filelist.f
        rtlsim/main.cpp project/build.tcl driver/driver.py verification_output/data.npz
    """
    missing = [name for name in promised.split() if not (built / name).is_file()]
    assert not missing


def test_builds_of_the_same_model_are_byte_identical(
    built: Path, model: Path, tmp_path: Path, run: Run
) -> None:
    assert run("build", model, "--out", tmp_path / "again", "--no-verify")[0] == 0
    assert (tmp_path / "again" / MANIFEST).read_bytes() == (built / MANIFEST).read_bytes()


def test_own_folding_is_used_and_files_of_earlier_builds_go(
    built: Path, model: Path, tmp_path: Path, run: Run
) -> None:
    folder = shutil.copytree(built, tmp_path / "b")
    before = {p.name for p in (folder / "rtl").iterdir()}
    config = json.loads((folder / "final_hw_config.json").read_text())
    for entry in config.values():
        entry.pop("parallel_window", None)
        entry.update(dict.fromkeys(entry, 1))
    slow = tmp_path / "slow.json"
    slow.write_text(json.dumps(config))
    words = ("build", model, "--out", folder, "--folding", slow, "--no-verify")
    assert run(*words)[0] == 0
    assert json.loads((folder / "final_hw_config.json").read_text()) == config
    manifest = json.loads((folder / MANIFEST).read_text())["files"]
    after = {p.name for p in (folder / "rtl").iterdir()}
    assert after == {Path(n).name for n in manifest if n.startswith("rtl/")}
    assert before - after


@pytest.mark.slow
def test_every_engine_proves_the_build(built: Path, run: Run) -> None:
    code, text = run("verify", built)
    assert code == 0, text
    verdicts = json.loads((built / "report" / "verification.json").read_text())
    assert set(verdicts) == {"finn", "reference", "cppsim", "rtlsim"}
    assert all(v["mismatches"] == 0 and v["images"] >= 2 for v in verdicts.values())


@pytest.mark.slow
def test_a_wrong_layer_is_named_by_verify(
    built: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(built, tmp_path / "b")
    weights = sorted((folder / "rtl").glob("weights_*.mem"))[0]
    words = weights.read_text().splitlines()
    flipped = f"{int(words[0], 16) ^ 1:0{len(words[0])}x}"
    weights.write_text("\n".join([flipped, *words[1:], ""]))
    monkeypatch.setattr("hwgen.saved.check_seal", lambda folder: "")
    code, text = run("verify", folder, "--rtlsim")
    assert code == 1, text
    assert "rtlsim differs" in text
    assert "layer MVAU_" in text
    assert "channel 0" in text


@pytest.mark.slow
def test_from_training_to_proven_hardware(run: Run, tmp_path: Path) -> None:
    blocks = "model.blocks=[{width: 8}, {width: 16, stride: 2}]"  # the second halves and doubles
    small = ("model.width=8", blocks, "teacher.epochs=1", "step1.epochs=1", "step2.epochs=1")
    settings = [word for pair in small for word in ("--set", pair)]
    assert run("train", "--out", tmp_path / "run", *settings)[0] == 0
    assert run("export", tmp_path / "run" / "checkpoint.pt")[0] == 0
    model = tmp_path / "run" / "model.onnx"
    code, text = run("build", model, "--board", "pynq-z2", "--fps", 20000, "--out", tmp_path / "b")
    assert code == 0, text
    report = tmp_path / "b" / "report"
    assert json.loads((report / "estimate_network_performance.json").read_text())["fps"] >= 20000
    verdicts = json.loads((report / "verification.json").read_text())
    assert set(verdicts) == {"brevitas", "finn", "reference", "cppsim", "rtlsim"}
    assert not any(verdict["mismatches"] for verdict in verdicts.values())
    measured = json.loads((report / "rtlsim_performance.json").read_text())
    assert measured["cycles_per_frame"] == measured["model_cycles_per_frame"]


@pytest.mark.slow
def test_a_design_without_its_own_handshake_is_reported(
    built: Path, tmp_path: Path, run: Run
) -> None:
    folder = shutil.copytree(built, tmp_path / "b")
    top = folder / "rtl" / "hwgen_top.sv"
    text = top.read_text()
    fork = text.index("fork_stream #(")
    ready = text.index(".m_ready_i(", fork)
    end = text.index("),", ready)
    top.write_text(text[:ready] + ".m_ready_i('0" + text[end:])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hwgen.saved.check_seal", lambda folder: "")
        code, shown = run("verify", folder, "--rtlsim")
    assert code == 1
    assert "rtlsim differs" in shown
    assert "more beats than its frames have" in shown
    verdict = json.loads((folder / "report" / "verification.json").read_text())["rtlsim"]
    assert verdict["mismatches"] == verdict["images"]


def test_an_engine_that_records_no_layers_proves_nothing(
    built: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(built, tmp_path / "b")
    honest = verify.reference.run
    monkeypatch.setattr(
        verify.reference, "run", lambda *words, keep: replace(honest(*words, keep=keep), tensors={})
    )
    code, text = run("verify", folder, "--reference")
    assert code == 1
    assert "no output was recorded for" in text


# -- bad input -------------------------------------------------------------------------------------


def test_board_with_a_typo_gets_a_suggestion(run: Run, model: Path, tmp_path: Path) -> None:
    result = run("build", model, "--board", "pynq-z3", "--out", tmp_path / "b")
    assert_refused(result, "unknown board 'pynq-z3'", "did you mean pynq-z2?")
    assert not (tmp_path / "b").exists()


def test_board_names_match_in_any_case(run: Run) -> None:
    assert run("boards", "show", "PYNQ-Z2")[0] == 0


def test_a_build_of_an_older_hwgen_is_to_be_made_again(
    run: Run, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its board has keys that ours has not."""
    shutil.copytree(built, tmp_path / "old")
    config = tmp_path / "old" / "build_config.yaml"
    config.write_text(config.read_text().replace("  bus_bytes:", "  bus_width:"))
    monkeypatch.setattr("hwgen.saved.check_seal", lambda folder: None)
    assert_refused(run("verify", tmp_path / "old"), "another version of hwgen", "bus_bytes")


def test_yaml_with_an_unknown_key(run: Run, model: Path, tmp_path: Path) -> None:
    config = tmp_path / "build.yaml"
    config.write_text("clock_mzh: 50\n")
    result = run("build", model, "--config", config)
    assert_refused(result, "build.yaml", "unknown key clock_mzh", "did you mean clock_mhz?")


def test_yaml_that_is_none(run: Run, model: Path, tmp_path: Path) -> None:
    config = tmp_path / "build.yaml"
    for content in ("", "a: [", "- 1\n", "\x00"):
        config.write_text(content)
        assert_refused(run("build", model, "--config", config), "build.yaml")


def test_folding_that_does_not_divide_shows_legal_values(
    run: Run, model: Path, tmp_path: Path
) -> None:
    folding = tmp_path / "folding.json"
    folding.write_text('{"MVAU_1": {"PE": 3, "SIMD": 5}}')
    result = run("build", model, "--folding", folding, "--out", tmp_path / "b")
    assert_refused(result, "MVAU_1: PE=3, SIMD=5", "legal PE: [1, 2, 4]", "legal SIMD: [1, 2, 3")
    assert_refused(run("verify", tmp_path / "b"), "not a finished build")


def test_unsupported_operator_is_named(run: Run, tmp_path: Path) -> None:
    builder = ModelBuilder()
    builder.stem(2)
    builder.here = builder.node("Softmax", builder.here)
    path = builder.save(tmp_path / "m.onnx")
    assert_refused(run("build", path, "--out", tmp_path / "b"), "Softmax", builder.here)


def test_rate_that_no_folding_reaches(run: Run, model: Path, tmp_path: Path) -> None:
    result = run("build", model, "--fps", 1e9, "--out", tmp_path / "b")
    assert_refused(result, "takes at least", "lower --fps or raise --clock-mhz")


def test_design_too_large_for_the_board(run: Run, model: Path, tmp_path: Path) -> None:
    _, text = run("boards", "show", "pynq-z2")
    board = tmp_path / "small.yaml"
    from hwgen.resources import data_folder

    text = (data_folder("boards") / "pynq-z2.yaml").read_text()
    board.write_text(text.replace("LUT: 53200", "LUT: 500"))
    result = run("build", model, "--board", board, "--out", tmp_path / "b")
    assert_refused(result, "LUT", "of 400", "larger board")


def test_output_folder_that_cannot_be_written(run: Run, model: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    result = run("build", model, "--out", blocked / "b")
    assert_refused(result, "not writable", "--out")


def test_edited_build_is_not_trusted(built: Path, tmp_path: Path, run: Run) -> None:
    folder = shutil.copytree(built, tmp_path / "b")
    with (folder / "rtl" / "hwgen_top.sv").open("a") as stream:
        stream.write("// mine\n")
    (folder / "reference" / "model.py").unlink()
    result = run("verify", folder)
    assert_refused(result, "digest mismatch", "rtl/hwgen_top.sv", "reference/model.py (missing)")


def test_folder_that_is_no_build(tmp_path: Path, run: Run) -> None:
    assert_refused(run("verify", tmp_path), "not a finished build", "hwgen build")
    assert not list(tmp_path.iterdir())
    assert_refused(run("report", tmp_path), "not a finished build")


def test_missing_compiler(
    built: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(built, tmp_path / "b", ignore=lambda *_: {"cppsim", "built.json"})
    shutil.copytree(built / "cppsim", folder / "cppsim", ignore=lambda *_: {"cppsim"})
    monkeypatch.setenv("PATH", str(tmp_path))
    assert_refused(run("verify", folder, "--cppsim"), "g++ is not on PATH", "apt-get install g++")


def test_images_of_another_shape(built: Path, tmp_path: Path, run: Run) -> None:
    np.save(tmp_path / "x.npy", np.zeros((2, 3, 9, 9), np.float32))
    result = run("verify", built, "--reference", "--input", tmp_path / "x.npy")
    assert_refused(result, "(2, 3, 9, 9)", "(N, 2, 4, 8)")


def test_interrupted_build_is_not_trusted_and_can_be_repeated(
    model: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "b"
    words = ("build", model, "--out", folder, "--no-verify")
    with monkeypatch.context() as patch:

        def interrupt(*_: object) -> None:
            raise KeyboardInterrupt

        patch.setattr("hwgen.files.sha256", interrupt)
        code, text = run(*words)
    assert code == 130
    assert "interrupted" in text
    assert_refused(run("verify", folder), "not a finished build")
    assert run(*words)[0] == 0
    assert (folder / MANIFEST).is_file()


def test_full_disk_is_one_line(
    model: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hwgen.files.os.replace", full)
    result = run("build", model, "--out", tmp_path / "b", "--no-verify")
    assert_refused(result, "No space left on device", "--out")


@pytest.mark.slow
def test_a_checkpoint_of_the_authors_becomes_proven_hardware(tmp_path: Path, run: Run) -> None:
    """Zero padding, 7x7 stem, max pool, projections, negative slopes and top-k in every engine."""
    checkpoint = checkpoint_of(tmp_path, "bireal-18", base=2)
    content = torch.load(checkpoint, weights_only=True)
    content["state_dict"]["module.layer2.1.prelu.weight"][1] = -0.25
    torch.save(content, checkpoint)
    images, labels = np.random.default_rng(2).random((3, 3, 32, 32), np.float32), np.arange(3)
    np.savez(tmp_path / "images.npz", images=images, labels=labels)
    words = ("--arch", "bireal18", "--images", tmp_path / "images.npz", "--image-size", 32)
    code, text = run("import-reactnet", checkpoint, *words, "--out", tmp_path / "run")
    assert code == 0, text
    assert "parameters rounded" in text
    folder = tmp_path / "build"
    model = tmp_path / "run" / "model.onnx"
    code, text = run("build", model, "--top-k", 3, "--fps", 400, "--out", folder, "--no-verify")
    assert code == 0, text
    code, text = run("verify", folder)
    assert code == 0, text
    verdicts = json.loads((folder / "report" / "verification.json").read_text())
    assert set(verdicts) >= {"brevitas", "finn", "reference", "cppsim", "rtlsim"}
    assert all(v["images"] > 0 and v["mismatches"] == 0 for v in verdicts.values())
    layers = json.loads((folder / "report" / "op_and_param_counts.json").read_text())
    assert "ElementwiseSub" in json.dumps(layers)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--rtlsim", "--trace", "waves.txt"), "the file's ending says its format, .fst or .vcd"),
        (("--cppsim", "--trace", "waves.vcd"), "records the simulated hardware; add --rtlsim"),
    ],
)
def test_a_trace_that_cannot_be_made_is_refused_before_anything_runs(
    built: Path, run: Run, words: tuple[str, ...], why: str
) -> None:
    status, text = run("verify", built, *words)
    assert status == 2
    assert why in " ".join(text.split())
