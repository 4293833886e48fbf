"""The driver as it is, on a simulated board: its registers and its network are the RTL."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from hwgen import folding
from hwgen.backends import axi_shell, pynq, pynqsim, systemverilog, vivado
from hwgen.dataflow import Dataflow
from tests.backends import test_driver
from tests.backends.test_driver import Device, board, interpreter
from tests.networks import random_images, random_reactnet
from tests.rtl.bench_build import program

make = test_driver.make  # the fixture
MAIN = Path(__file__).parents[2] / "templates" / "pynqsim" / "board.cpp"


SHAPE = {"size": (4, 5), "in_channels": 3, "classes": 7}


@cache
def flow() -> Dataflow:
    """The network as fast as the board holds it: little more than a cycle an element."""
    graph = random_reactnet(0, **SHAPE)
    return folding.plan(graph, board(), folding.fastest(graph, board()), 100.0)[0]


@pytest.fixture(scope="module")
def build(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build folder, with the program that stands for the bitfile."""
    out, dataflow, on = tmp_path_factory.mktemp("build"), flow(), board()
    rtl = systemverilog.emit(dataflow)
    rtl.write(out / "rtl")
    vivado.emit(dataflow, on, rtl).write(out / "project")
    frames = random_images(dataflow.graph, 3)
    pynq.emit(dataflow, on, rtl, (frames, interpreter(dataflow)(frames))).write(out / "driver")
    simulation = pynqsim.emit(dataflow)
    simulation.write(out / "pynqsim")
    files = {**rtl.content, **axi_shell.emit(dataflow, rtl).content}
    files["board.h"] = simulation.content["board.h"]
    texts = {name: data.decode() for name, data in files.items() if not name.endswith(".mem")}
    cache = request.config.cache
    assert cache
    made = program(axi_shell.TOP, texts, MAIN, cache.mkdir("rtl"))
    shutil.copy(made, out / "pynqsim" / pynqsim.BITFILE)
    (out / "pynqsim" / "hwgen.hwh").write_text("dma network")
    return out


@pytest.fixture
def device(make: Callable[..., Device], build: Path) -> Iterator[Device]:
    """The driver's modules, with the compiled design as the bitfile beside them."""
    device = make(**SHAPE)
    device.dataflow = flow()
    shutil.rmtree(device.folder)
    shutil.copytree(build / "driver", device.folder)
    for name in (pynqsim.BITFILE, "hwgen.hwh"):
        shutil.copy(build / "pynqsim" / name, device.folder)
    if not (device.folder.parent / "rtl").exists():
        (device.folder.parent / "rtl").symlink_to(build / "rtl")
    device.pynq.BOARD = device.pynq.Simulation
    yield device
    device.pynq.Overlay.board.close()


@pytest.mark.parametrize(("idle", "stall"), [(0.0, 0.0), (0.97, 0.9)])
@pytest.mark.parametrize("count", [1, 7])
def test_the_rtl_gives_the_networks_logits_in_whole_and_partial_batches(
    device: Device, count: int, idle: float, stall: float
) -> None:
    device.pynq.IDLE, device.pynq.STALL = idle, stall
    frames = random_images(device.dataflow.graph, count, seed=3)
    expected = interpreter(device.dataflow)(frames).reshape(count, 7)
    with device.driver.HwgenOverlay(batchsize=3) as network:
        for _ in range(2):
            np.testing.assert_array_equal(network.execute(frames), expected)
        found = network.status.snapshot()
    last = count % 3 or 3
    assert (found["frames_in"], found["frames_out"], found["beats"]) == (last, last, 0)
    assert not found["active"]
    assert found["busy"] < found["cycles"]
    assert (found["starved"] > 0, found["stalled"] > 0) == (idle > 0, stall > 0)
    assert device.pynq.LIVE == {}


def test_the_counters_measure_the_cycle_model_exactly(device: Device) -> None:
    with device.driver.HwgenOverlay() as network:
        found = network.throughput_test(frames=400, repeats=1)
    assert found["cycles_per_frame"] == found["expected_cycles_per_frame"]
    assert found["expected_cycles_per_frame"] == device.dataflow.max_cycles
    assert found["bottleneck"] == "network"


@pytest.mark.parametrize(
    ("idle", "stall", "who"), [(0.97, 0.0, "input"), (0.0, 0.99, "output")], ids=["in", "out"]
)
def test_a_slow_dma_is_found_to_be_the_bottleneck(
    device: Device, idle: float, stall: float, who: str
) -> None:
    device.pynq.IDLE, device.pynq.STALL = idle, stall
    with device.driver.HwgenOverlay() as network:
        found = network.throughput_test(frames=30, repeats=1)
    assert found["bottleneck"] == who
    assert found["cycles_per_frame"] > 1.2 * device.dataflow.max_cycles


def test_frames_of_another_size_hang_and_the_counters_say_so(device: Device) -> None:
    """A beat too many a frame: the network waits for the rest of a frame that never comes."""
    good = device.driver.load_design()
    more = good.input._replace(frame_bytes=good.input.frame_bytes + 8)
    frames = random_images(device.dataflow.graph, 3)
    with device.driver.HwgenOverlay(design=good._replace(input=more), timeout_s=0.05) as network:
        with pytest.raises(device.driver.DriverError) as caught:
            network.execute(frames)
        text = str(caught.value)
        assert "waits for input that the DMA does not send (3 frames and 3 beats in, " in text
        assert ", 3 frames out, " in text
        network.design = good
        network.close()
        results = network.execute(frames)  # configures the board again
    np.testing.assert_array_equal(results, interpreter(device.dataflow)(frames).reshape(3, 7))
    assert [name for name, _ in device.pynq.EVENTS].count("configure") == 2


def test_the_build_id_is_in_the_hardware(
    device: Device, capsys: pytest.CaptureFixture[str]
) -> None:
    path = device.folder / "shapes.json"
    values = json.loads(path.read_text())
    own, values["build_id"] = values["build_id"], "00000000deadbeef"
    path.write_text(json.dumps(values))
    assert device.driver.main(["--inputfile", str(device.folder / "example_input.npy")]) == 2
    message = rf"is of build {own}, this driver of build 00000000deadbeef \(shapes\.json\); take"
    test_driver.one_line(capsys.readouterr().err, message)


def test_a_register_that_does_not_exist_is_a_bus_error(device: Device) -> None:
    with device.driver.HwgenOverlay() as network:
        block = network.overlay.network
        for access in (lambda: block.read(0x50), lambda: block.write(0, 1)):
            with pytest.raises(device.pynq.BusError, match="offset"):
                access()


def test_the_notebook_and_validate_run_on_the_rtl(
    device: Device, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    test_driver.run_notebook(device, monkeypatch, frames=20)
    assert "equal: True" in capsys.readouterr().out
    assert device.validate.main([]) == 0
    assert capsys.readouterr().out == "equal to the expected integers: 3 of 3\n"


def test_the_program_of_the_build_folder_runs_the_driver(build: Path, tmp_path: Path) -> None:
    simulate = build / "pynqsim" / "simulate.py"
    assert b"usage: python" in run(simulate).stderr
    out = tmp_path / "y.npy"
    arguments = ["--inputfile", str(build / "driver/example_input.npy"), "--outputfile", str(out)]
    done = run(simulate, "driver.py", *arguments)
    assert done.stderr == b""
    expected = np.load(build / "driver/example_expected.npy").reshape(3, 7)
    np.testing.assert_array_equal(np.load(out), expected)
    done = run(simulate, "driver.py", "--exec_mode", "throughput_test", "--batchsize", "8")
    found = json.loads(done.stdout)
    assert found["cycles_per_frame"] == found["expected_cycles_per_frame"] == flow().max_cycles


def test_ctrl_c_ends_driver_and_simulation_without_a_word(build: Path) -> None:
    arguments = ["driver.py", "--exec_mode", "throughput_test", "--batchsize", "200000"]
    command = [sys.executable, build / "pynqsim/simulate.py", *arguments]
    driver = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    children = Path(f"/proc/{driver.pid}/task/{driver.pid}/children")
    while not children.read_text():
        assert driver.poll() is None
        time.sleep(0.01)
    simulation = Path("/proc", children.read_text().split()[0])
    time.sleep(0.2)
    driver.send_signal(signal.SIGINT)
    said, _ = driver.communicate(timeout=30)
    assert (driver.returncode, said) == (130, b"")
    assert not simulation.exists()


@pytest.mark.slow
def test_the_first_run_compiles_the_design(build: Path, tmp_path: Path) -> None:
    for name in ("rtl", "project", "driver", "pynqsim"):
        shutil.copytree(build / name, tmp_path / name)
    (tmp_path / "pynqsim" / pynqsim.BITFILE).unlink()
    done = run(tmp_path / "pynqsim/simulate.py", "validate.py")
    assert done.stdout == b"equal to the expected integers: 3 of 3\n", done.stderr
    assert done.returncode == 0
    (tmp_path / "pynqsim" / pynqsim.BITFILE).unlink()
    (tmp_path / "project/hwgen_shell.v").write_text("module hwgen_shell (;\nendmodule\n")
    done = run(tmp_path / "pynqsim/simulate.py", "validate.py")
    assert b"the design cannot be compiled, see" in done.stderr
    assert "syntax error" in (tmp_path / "pynqsim/build.log").read_text()


def run(script: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, script, *arguments]
    return subprocess.run(command, capture_output=True, timeout=300, check=False)
