"""The whole top with its serial shell in simulation, and the real host program at its port."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from hwgen.backends import cpp, systemverilog, uart, uartsim
from hwgen.backends.software import npy
from hwgen.backends.uartsim import Faults
from hwgen.data import VerificationData
from hwgen.engine import interpret
from hwgen.errors import LineError, MismatchError, UserInputError
from hwgen.files import Files, seal
from hwgen.host import run as run_module
from hwgen.host.design import Design
from hwgen.host.line import Line
from hwgen.host.link import Link
from hwgen.host.protocol import BoardFrame, HostFrame, Kind
from hwgen.host.run import Outcome, run_build, transfer
from hwgen.quant import IntArray
from hwgen.saved import DATA
from tests.backends.designs import design
from tests.networks import random_images

NAME, BAUD, CLOCK_HZ = "folded", 1_000_000, 50_000_000
SLOW = pytest.mark.slow


@pytest.fixture(scope="module")
def build(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished build of a small network; what is compiled in it stays between sessions."""
    cache = getattr(request.config, "cache", None)
    folder: Path = (cache.mkdir("uart") if cache else tmp_path_factory.mktemp("uart")) / NAME
    flow = design(NAME)
    rtl = systemverilog.emit(flow)
    number = systemverilog.build_id(rtl)
    h, w, c = flow.graph.input.shape
    pictures = np.random.default_rng(0).random((3, c, h, w), np.float32)
    labels = np.zeros(3, np.int64)
    files = (
        rtl.under("rtl")
        | uart.emit(flow, BAUD, CLOCK_HZ, number).under("project")
        | uart.emit_host(flow, BAUD, number)
        | uartsim.emit(flow).under(uartsim.FOLDER)
        | cpp.emit(flow.graph).under("cppsim")
        | Files({DATA: VerificationData(pictures, labels).to_bytes()})
    )
    files.write(folder)
    seal(folder, files)
    return folder


@pytest.fixture(scope="module")
def program(build: Path) -> Path:
    return uartsim.build(build)


@pytest.fixture(scope="module")
def described(build: Path) -> Design:
    return Design.read(build)


def frames(count: int, seed: int = 0) -> tuple[IntArray, IntArray]:
    """Images, and the integers that the network returns for them."""
    graph = design(NAME).graph
    images = random_images(graph, count, seed)
    expected = interpret(graph, images, keep=False)[graph.output.name]
    return images, expected[:, 0, 0] if graph.output.pixels == 1 else expected


def send(program: Path, described: Design, images: IntArray, faults: Faults) -> Outcome:
    with uartsim.running(program, faults) as (port, _):
        data = described.to_bytes(images)
        return transfer(described, port, BAUD, data, build="x", timeout_s=30)


FAULTS = [
    Faults(),
    Faults(seed=1, noise=2e-4),
    Faults(seed=2, drop=2e-3),
    Faults(seed=3, repeat=2e-3),
    Faults(seed=4, garbage=1e-3),
    Faults(seed=5, replay=0.5),
    Faults(seed=6, reset=2500),
    Faults(seed=7, skew=0.02),
    Faults(seed=8, skew=-0.02),
    Faults(9, noise=1e-4, drop=5e-4, repeat=5e-4, garbage=5e-4, replay=0.1, reset=9000),
]


def label(faults: Faults) -> str:
    return "-".join(k for k, v in vars_of(faults).items() if v and k != "seed") or "none"


def vars_of(faults: Faults) -> dict[str, float]:
    return {name: getattr(faults, name) for name in Faults.__slots__}


@pytest.mark.parametrize("faults", FAULTS, ids=label)
def test_every_image_is_right_whatever_the_line_does(
    program: Path, described: Design, faults: Faults
) -> None:
    images, expected = frames(200, seed=faults.seed)
    outcome = send(program, described, images, faults)
    np.testing.assert_array_equal(outcome.results, expected)
    if not any((faults.noise, faults.drop, faults.repeat, faults.garbage, faults.reset)):
        assert outcome.statistics.damaged == 0


@SLOW
@pytest.mark.parametrize("seed", range(4))
def test_thousands_of_images_through_every_fault_at_once(
    program: Path, described: Design, tmp_path: Path, seed: int
) -> None:
    images, expected = frames(1500, seed)
    kinds = ("noise", "drop", "repeat", "garbage")
    faults = Faults(seed, replay=0.1, reset=30_000, **dict.fromkeys(kinds, 1e-4))
    counts = tmp_path / "counts.json"
    with uartsim.running(program, faults, counts) as (port, _):
        data = described.to_bytes(images)
        outcome = transfer(described, port, BAUD, data, build="x", timeout_s=30)
    np.testing.assert_array_equal(outcome.results, expected)
    found = json.loads(counts.read_text())
    print(found, outcome.statistics)
    assert all(found[kind] for kind in (*kinds, "replay", "reset"))


def test_a_line_is_used_nearly_fully(program: Path, described: Design, tmp_path: Path) -> None:
    """Clocks of the simulation, not seconds of this machine, say how long the line was idle."""
    images, expected = frames(600)
    counts = tmp_path / "counts.json"
    with uartsim.running(program, Faults(), counts) as (port, _):
        data = described.to_bytes(images)
        outcome = transfer(described, port, BAUD, data, build="x", timeout_s=30)
    np.testing.assert_array_equal(outcome.results, expected)
    found = json.loads(counts.read_text())
    busier = max(found["bytes_in"], found["bytes_out"])
    payload = len(expected) * max(described.input.frame_bytes, described.output.frame_bytes)
    assert busier < 1.4 * payload  # small results, each in a frame of its own where they can
    assert 80 * busier > 0.5 * found["clocks"]  # 0.96 where the host is not kept waiting


def test_a_host_killed_in_mid_frame_leaves_a_board_that_answers_right(
    program: Path, described: Design
) -> None:
    killed = textwrap.dedent("""
        import os, signal, sys
        from hwgen.host.line import Line
        from hwgen.host.link import Link
        line = Line(sys.argv[1], 1000000, timeout_s=5)
        link = Link(line, 30)
        info = link.find(int(sys.argv[2]), "x")
        session = link._open(info, memoryview(bytes(info.image_bytes * 50)), 10**6)
        frames = b"".join(session.due(session.moved))
        line.write(frames[: len(frames) * 2 // 3])  # ends within a frame, results are under way
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    images, expected = frames(40)
    with uartsim.running(program) as (port, _):
        for _ in range(2):
            command = [sys.executable, "-c", killed, port, str(described.build_id)]
            done = subprocess.run(command, capture_output=True, check=False, timeout=60)
            assert done.returncode == -signal.SIGKILL, done.stderr
            outcome = transfer(
                described, port, BAUD, described.to_bytes(images), build="x", timeout_s=30
            )
            np.testing.assert_array_equal(outcome.results, expected)


def test_acknowledging_what_was_not_sent_or_long_before_changes_nothing(
    program: Path, described: Design
) -> None:
    images, _ = frames(60)
    with uartsim.running(program) as (port, _):
        line = Line(port, BAUD, timeout_s=5)
        link = Link(line, 30)
        info = link.find(described.build_id, "x")
        data = described.to_bytes(images)
        have = len(link.run(data, info))
        (session,) = link._numbers
        for acknowledged in (have, have - 300, have + 1, have + 40_000, have):
            frame = HostFrame(Kind.STREAM, session, len(data), acknowledged, resend=True)
            line.write(frame.encode())
            answers: list[BoardFrame] = []
            while not answers:
                answers = link._frames()
            assert (answers[-1].position, answers[-1].data) == (have, b""), acknowledged
        line.close()


def test_a_board_of_another_build_is_refused(
    program: Path, described: Design, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = described.build_id ^ 1
    with uartsim.running(program) as (port, _):
        line = Line(port, BAUD, timeout_s=5)
        with pytest.raises(
            LineError, match=rf"holds build {described.build_id:016x}, x is {other:016x}"
        ):
            Link(line, 30).find(other, "x")
        line.close()


def test_run_says_rate_and_accuracy_and_writes_results(
    build: Path, program: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, expected = frames(30)
    classes = np.argmax(expected, axis=1)
    classes[:3] = (classes[:3] + 1) % expected.shape[1]
    np.savez(tmp_path / "x.npz", images=images, labels=classes)
    out = tmp_path / "r.npy"
    with uartsim.running(program) as (port, _):
        run_build(build, port, tmp_path / "x.npz", out=out, timeout_s=30, check=True)
    np.testing.assert_array_equal(np.load(out), expected)
    text = " ".join(capsys.readouterr().err.split())
    for words in (
        "30 images in",
        "% of the 3,571 that 1000000 baud can carry",
        "accuracy 90.00 % (27 of 30)",
        f"int64 {expected.shape}",
        "equal to the C++ model: 30 of 30",
    ):
        assert words in text


def test_the_simulated_board_is_a_port_by_name(
    build: Path, program: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = run_build(build, "sim", None, timeout_s=30, check=True)  # the build's own images
    assert len(outcome.results) == 3
    assert "baud can carry" not in capsys.readouterr().err


def test_a_difference_from_the_model_ends_with_status_1() -> None:
    right = np.arange(12).reshape(4, 3)
    wrong = right.copy()
    wrong[2, 1] = 99
    with pytest.raises(
        MismatchError, match=r"1 of 4 images differ.*image 2: \[6, 99, 8\] instead"
    ) as error:
        run_module._compare(wrong, right)
    assert error.value.exit_code == 1


def test_images_that_do_not_fit_are_refused_before_the_port_is_opened(
    build: Path, tmp_path: Path
) -> None:
    images, _ = frames(4)
    cases = [
        (images[:, :2], r"have shape .*is needed"),
        (images + 1000, r"outside \[0, 255\]"),
        (images.astype(complex), "floats or integers are needed"),
        (np.full((1, 1, *images.shape[1:3]), np.nan, np.float32), "NaN|have shape"),
    ]
    for array, message in cases:
        (tmp_path / "x.npy").write_bytes(npy(array))
        with pytest.raises(UserInputError, match=message):
            run_build(build, "/dev/none", tmp_path / "x.npy")
    (tmp_path / "x.npy").write_bytes(npy(images))
    (tmp_path / "l.npy").write_bytes(npy(np.zeros(3, np.int64)))
    with pytest.raises(UserInputError, match=r"labels have shape \(3,\), \(4,\) is needed"):
        run_build(build, "/dev/none", tmp_path / "x.npy", labels=tmp_path / "l.npy")
    with pytest.raises(LineError, match="there is no port /dev/none"):
        run_build(build, "/dev/none", tmp_path / "x.npy")


def test_a_build_for_another_board_says_so(tmp_path: Path) -> None:
    seal(tmp_path, Files())
    with pytest.raises(UserInputError, match="not built for a board with a serial line"):
        run_build(tmp_path, "sim", None)


def test_an_error_is_one_line_and_status_2(build: Path) -> None:
    code = "import sys; from hwgen.cli import main; sys.argv = sys.argv[1:]; main()"
    command = [sys.executable, "-c", code, "hwgen", "run", str(build), "--port", "/dev/none"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith("error: there is no port /dev/none")
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


def test_the_simulation_ends_with_its_parent(program: Path) -> None:
    with uartsim.running(program) as (port, process):
        assert Path(port).exists()
        assert process.process.poll() is None
    assert process.process.returncode == 0
    assert not Path(port).exists()
    with pytest.raises(ProcessLookupError):
        os.kill(process.process.pid, 0)
