"""The PYNQ driver: run unmodified, against a stand-in of PYNQ with a simulated design."""

import ast
import importlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwgen import fifo
from hwgen.backends import pynq, systemverilog
from hwgen.board import Zynq7, load_board
from hwgen.dataflow import Dataflow, build_dataflow
from hwgen.engine import interpret
from hwgen.errors import ResourceError
from hwgen.files import Files
from hwgen.layers.axis import AxisIn, AxisOut
from hwgen.quant import IntArray, IntType, Tensor, quantise_input
from tests.backends.fake_board import FakeBoard
from tests.networks import random_images, random_reactnet

STANDIN = Path(__file__).parents[2] / "templates" / "pynqsim"
TEMPLATES = Path(__file__).parents[2] / "templates" / "driver"
OURS = ("driver", "packing", "status", "validate", "pynq")
RTL = Files({"hwgen_top.sv": b"module hwgen_top;\n"})  # what is behind the build id
Engine = Callable[[IntArray], IntArray]


def board(bus_bytes: int = 8, max_length_bits: int = 26) -> Zynq7:
    found = load_board("pynq-z2")
    assert isinstance(found, Zynq7)
    dma = found.dma.model_copy(update={"max_length_bits": max_length_bits})
    return found.model_copy(update={"bus_bytes": bus_bytes, "dma": dma})


def dataflow_of(on: Zynq7, seed: int = 0, **changes: Any) -> Dataflow:
    graph = random_reactnet(seed, **changes)
    foldings = {layer.name: next(layer.foldings()) for layer in graph.layers}
    plain = build_dataflow(graph, foldings, bus_bytes=on.bus_bytes, clock_mhz=100.0)
    return plain.with_depths(fifo.size(plain).depths)


def interpreter(dataflow: Dataflow) -> Engine:
    """The integer interpreter as the design on the board."""
    graph = dataflow.graph
    return lambda frames: interpret(graph, frames, keep=False)[graph.output.name]


def on_the_bus(dataflow: Dataflow, engine: Engine) -> Callable[[bytes], bytes]:
    """An engine behind hwgen's own AXI edges: the bytes of a batch in, the bytes of a batch out."""
    edge_in, edge_out = dataflow.axis_in, dataflow.axis_out
    step = edge_in.bus_bytes

    def design(data: bytes) -> bytes:
        words = [int.from_bytes(data[i : i + step], "little") for i in range(0, len(data), step)]
        results = engine(edge_in.unpack(words))
        return b"".join(word.to_bytes(step, "little") for word in edge_out.pack(results))

    return design


class Device:
    """A folder as it lies on the board, and its modules, imported from there."""

    def __init__(self, folder: Path, dataflow: Dataflow, on: Zynq7) -> None:
        self.folder, self.dataflow = folder, dataflow
        frames = random_images(dataflow.graph, 3)
        pynq.emit(dataflow, on, RTL, (frames, interpreter(dataflow)(frames))).write(folder)
        (folder / "hwgen.bit").write_bytes(b"bits")
        (folder / "hwgen.hwh").write_text("dma network")
        self.driver = importlib.import_module("driver")
        self.validate = importlib.import_module("validate")
        self.pynq = importlib.import_module("pynq")
        self.pynq.LENGTH_BITS = on.dma.max_length_bits
        design = on_the_bus(dataflow, interpreter(dataflow))
        frame_bytes = dataflow.axis_in.beats * dataflow.axis_in.bus_bytes
        self.board = FakeBoard(design, systemverilog.build_id(RTL), frame_bytes)
        self.pynq.BOARD = self.board.load
        assert Path(str(self.driver.__file__)).parent == folder

    def save(self, name: str, array: np.ndarray) -> str:
        np.save(self.folder / name, array)
        return str(self.folder / name)


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Device]]:
    """Make a device for a network; modules of one test are not seen by another."""
    monkeypatch.syspath_prepend(str(STANDIN))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def forget() -> None:
        for name in OURS:
            sys.modules.pop(name, None)

    forget()

    def made(on: Zynq7 | None = None, **changes: Any) -> Device:
        on = on or board()
        return Device(tmp_path, dataflow_of(on, **changes), on)

    yield made
    forget()


# --- packing ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def packing() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hwgen_driver_packing", TEMPLATES / "packing.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


dtypes = st.builds(IntType, st.integers(1, 32), st.booleans())
shapes = st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 9))


@settings(deadline=None, derandomize=True, max_examples=200)
@given(dtypes, shapes, st.sampled_from([4, 8, 16]), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_packing_is_that_of_the_axi_edges(
    packing: ModuleType,
    dtype: IntType,
    shape: tuple[int, int, int],
    bus: int,
    count: int,
    seed: int,
) -> None:
    tensor = Tensor("x", shape, dtype)
    edge_in, edge_out = AxisIn.of("in", tensor, bus), AxisOut.of("out", tensor, bus)
    fields: dict[str, Any] = pynq._stream(edge_in)  # as shapes.json has them
    stream = packing.Stream(**{**fields, "shape": shape})
    rng = np.random.default_rng(seed)
    values = rng.integers(dtype.lo, dtype.hi + 1, size=(count, *shape))
    values.reshape(-1)[:2] = [dtype.lo, dtype.hi][: min(2, values.size)]
    expected = b"".join(word.to_bytes(bus, "little") for word in edge_in.pack(values))
    packed = stream.pack(values)
    assert packed.shape == (count, edge_in.beats * bus)
    assert packed.tobytes() == expected
    noise = packed.copy()  # what fills a frame up to whole beats has no meaning
    noise[:, tensor.size * edge_in.element_bytes :] = 0xEE
    words = [int.from_bytes(expected[i : i + bus], "little") for i in range(0, len(expected), bus)]
    np.testing.assert_array_equal(stream.unpack(noise), edge_out.unpack(words))
    np.testing.assert_array_equal(stream.unpack(noise), values)
    assert (stream.lo, stream.hi) == (dtype.lo, dtype.hi)


def test_floats_are_quantised_as_the_graph_says(make: Callable[..., Device]) -> None:
    device = make(in_channels=3)
    graph = device.dataflow.graph
    rng = np.random.default_rng(1)
    images = rng.normal(0.5, 0.5, size=(20, 3, 6, 5)).astype(np.float32)
    images[0] = np.arange(90).reshape(3, 6, 5) / 512  # ties
    images[1, 0, 0, :2] = np.inf, -np.inf
    design = device.driver.load_design()
    np.testing.assert_array_equal(design.quantise(images), quantise_input(graph, images))
    np.testing.assert_array_equal(
        design.quantise(images.astype(np.float64)), quantise_input(graph, images)
    )


# --- execution --------------------------------------------------------------------------------


@pytest.mark.parametrize("bus_bytes", [4, 8, 16])
@pytest.mark.parametrize("count", [0, 1, 4, 11])
def test_integers_and_floats_give_the_networks_logits(
    make: Callable[..., Device], bus_bytes: int, count: int
) -> None:
    device = make(board(bus_bytes=bus_bytes), in_channels=3, classes=7)
    graph = device.dataflow.graph
    frames = random_images(graph, count, seed=5)
    expected = interpreter(device.dataflow)(frames).reshape(count, 7)
    floats = (frames.transpose(0, 3, 1, 2) * graph.scaling.input_scale).astype(np.float32)
    with device.driver.HwgenOverlay(batchsize=4) as network:
        for images in (frames, frames.astype(np.uint8), floats):
            results = network.execute(images)
            assert results.dtype == np.int64
            np.testing.assert_array_equal(results, expected)
    assert device.pynq.LIVE == {}


def test_the_receiver_is_ready_before_anything_is_sent(make: Callable[..., Device]) -> None:
    device = make()
    with device.driver.HwgenOverlay(batchsize=2) as network:
        network.execute(random_images(device.dataflow.graph, 5))
    names = [name for name, _ in device.pynq.EVENTS]
    assert names == ["configure"] + ["recv", "send"] * 3


def test_transfers_stay_below_what_the_length_register_holds(make: Callable[..., Device]) -> None:
    device = make(board(max_length_bits=8))  # 255 bytes: 7 frames of 32 bytes
    frames = random_images(device.dataflow.graph, 20)
    with device.driver.HwgenOverlay() as network:
        assert network.batchsize == 7
        results = network.execute(frames)
    sizes = [size for name, size in device.pynq.EVENTS if name == "send"]
    assert sizes == [7 * 32, 7 * 32, 6 * 32]
    np.testing.assert_array_equal(results, interpreter(device.dataflow)(frames).reshape(20, -1))


def test_a_frame_that_no_transfer_holds_is_refused_when_it_is_built() -> None:
    small = board(max_length_bits=8)
    with pytest.raises(ResourceError, match=r"a frame of image takes 264 bytes.*at most 255"):
        pynq.emit(dataflow_of(small, size=(33, 8)), small, RTL)


def test_throughput_is_measured_over_all_frames(make: Callable[..., Device]) -> None:
    device = make()
    with device.driver.HwgenOverlay(batchsize=4) as network:
        found = network.throughput_test(frames=10, repeats=2)
    assert (found["frames"], found["batchsize"]) == (10, 4)
    assert found["frames_per_second"] == pytest.approx(10 / found["seconds"])
    assert found["expected_frames_per_second"] == pytest.approx(device.dataflow.fps, abs=1e-3)
    alone, *sent = [size for name, size in device.pynq.EVENTS if name == "send"]
    assert alone == 32
    assert sum(sent) == 2 * 10 * 32


def test_a_silent_network_ends_in_a_clear_error_and_the_next_call_recovers(
    make: Callable[..., Device],
) -> None:
    device = make()
    frames = random_images(device.dataflow.graph, 3)
    design, device.board.design = device.board.design, None
    with device.driver.HwgenOverlay(timeout_s=0.05) as network:
        with pytest.raises(device.driver.DriverError, match=r"did not send 3 frames within 0\.05"):
            network.execute(frames)
        device.board.design = design
        results = network.execute(frames)
    np.testing.assert_array_equal(results, interpreter(device.dataflow)(frames).reshape(3, -1))
    assert [name for name, _ in device.pynq.EVENTS].count("configure") == 2


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda data: data[:-8], "returned 64 bytes for 3 frames instead of 72"),
        (lambda data: data + bytes(8), "stopped with an error while it should receive 3 frames"),
    ],
)
def test_frames_that_are_too_short_or_too_long_are_refused(
    make: Callable[..., Device], spoil: Callable[[bytes], bytes], message: str
) -> None:
    device = make()
    right = device.board.design
    device.board.design = lambda data: spoil(right(data))
    with (
        device.driver.HwgenOverlay() as network,
        pytest.raises(device.driver.DriverError, match=message),
    ):
        network.execute(random_images(device.dataflow.graph, 3))


def test_a_batch_without_tlast_never_ends(make: Callable[..., Device]) -> None:
    device = make()
    device.board.last = False
    with (
        device.driver.HwgenOverlay(timeout_s=0.05) as network,
        pytest.raises(device.driver.DriverError, match="did not receive 3 frames.*network is done"),
    ):
        network.execute(random_images(device.dataflow.graph, 3))


def test_a_bitstream_with_another_dma_is_refused(make: Callable[..., Device]) -> None:
    device = make()
    device.pynq.LENGTH_BITS = 14
    with pytest.raises(device.driver.DriverError, match="moves 16383 bytes at most.*67108863"):
        device.driver.HwgenOverlay()


# --- which bitstream it is --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"build_id": 0x0123456789ABCDEF},
            r"is of build 0123456789abcdef, this driver of build {own} .*; take .* the same build",
        ),
        ({"magic": 0xDEADBEEF}, r"no bitstream of hwgen: its register 0 is 0xdeadbeef, not 0x4857"),
        ({"version": 2}, r"registers of version 2, this driver reads version 1; take bitfile and"),
    ],
    ids=["build id", "magic", "version"],
)
def test_a_foreign_bitstream_is_refused_in_one_line(
    make: Callable[..., Device],
    capsys: pytest.CaptureFixture[str],
    values: dict[str, int],
    message: str,
) -> None:
    device = make()
    device.board.values = values
    own = f"{systemverilog.build_id(RTL):016x}"
    for program, arguments in ((device.driver, ["--inputfile"]), (device.validate, ["--images"])):
        arguments += [str(device.folder / "example_input.npy")]
        arguments += ["--labels", device.save("l.npy", np.zeros(3))] * (program is device.validate)
        assert program.main(arguments) == 2
        one_line(capsys.readouterr().err, rf"hwgen\.bit .*{message.replace('{own}', own)}")
    assert device.pynq.LIVE == {}
    assert [name for name, _ in device.pynq.EVENTS] == ["configure", "configure"]


@pytest.mark.parametrize("missing", ["network", "dma"])
def test_a_bitstream_without_our_blocks_is_refused(
    make: Callable[..., Device], missing: str
) -> None:
    device = make()
    (device.folder / "hwgen.hwh").write_text("dma network".replace(missing, ""))
    with pytest.raises(device.driver.DriverError, match=rf"has no block '{missing}'; give the"):
        device.driver.HwgenOverlay()


# --- what the counters say --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "counts", "message"),
    [
        (0b00000, {}, "nothing has reached the network, so the DMA does not send"),
        (0b00000, {"frames_in": 3, "frames_out": 3}, "the network is done, so the DMA has not"),
        (0b01111, {"frames_in": 2, "frames_out": 1}, "a result waits for the DMA to take it"),
        (0b10101 | 7 << 8, {"frames_in": 2}, "waits for input that the DMA does not send"),
        (0b10011, {"frames_in": 1}, "the network itself is stuck"),
    ],
)
def test_a_hung_transfer_says_where_by_the_counters(
    make: Callable[..., Device], state: int, counts: dict[str, int], message: str
) -> None:
    device = make()
    device.board.design = None
    with device.driver.HwgenOverlay(timeout_s=0.05) as network:
        device.board.state = state

        def hang(data: bytes, room: int) -> tuple[bytes, bool, bool]:
            device.board.counts |= {**counts, "starved": 41, "stalled": 5}
            return b"", False, False

        device.board.exchange = hang  # type: ignore[method-assign]
        with pytest.raises(device.driver.DriverError) as caught:
            network.execute(random_images(device.dataflow.graph, 3))
    text = str(caught.value)
    assert message in text
    entered, left = counts.get("frames_in", 0), counts.get("frames_out", 0)
    assert f"({entered} frames and {state >> 8} beats in, {left} frames out, " in text
    assert "input starved for 41 cycles, output stalled for 5)" in text


EXPECTED = 100  # cycles a frame by the model, in what follows


@pytest.mark.parametrize(
    ("cycles", "busy", "starved", "stalled", "who"),
    [
        (10_300, 10_290, 9000, 0, "network"),  # it starves, and is as fast as it can be
        (15_000, 14_900, 4800, 10, "input"),
        (15_000, 14_900, 10, 4800, "output"),
        (15_000, 10_100, 10, 10, "processor"),
        (15_000, 14_900, 10, 10, "network"),  # slower than its model: nobody else is to blame
    ],
)
def test_the_bottleneck_is_who_lost_the_cycles(
    make: Callable[..., Device], cycles: int, busy: int, starved: int, stalled: int, who: str
) -> None:
    counts = {"frames_in": 100, "frames_out": 100, "cycles": cycles, "busy": busy}
    counts |= {"starved": starved, "stalled": stalled}
    found = make().driver.account(counts, alone=300, batches=1, expected=EXPECTED)
    assert found["bottleneck"] == who
    assert found["cycles_per_frame"] == round((busy - 300) / 99, 2)
    assert found["idle_cycles"] == cycles - busy


def test_small_batches_are_the_bottleneck_where_the_network_fills_for_each(
    make: Callable[..., Device],
) -> None:
    device = make()
    expected = device.dataflow.max_cycles
    device.board.latency, device.board.interval = 9 * expected, expected
    device.board.idle = 5
    with device.driver.HwgenOverlay(batchsize=2) as network:
        found = network.throughput_test(frames=9, repeats=2)
    assert found["latency_cycles"] == 9 * expected
    assert found["cycles_per_frame"] == expected
    assert found["total_cycles"] == 5 * (9 * expected + 5) + 4 * expected
    assert found["fill_cycles"] == 5 * 8 * expected
    assert found["idle_cycles"] == 25
    assert found["bottleneck"] == "batch"
    with device.driver.HwgenOverlay(batchsize=1000) as network:
        assert network.throughput_test(frames=1000, repeats=1)["bottleneck"] == "network"


# --- interrupted ------------------------------------------------------------------------------


def test_ctrl_c_in_a_transfer_stops_the_dma_before_its_buffers_are_given_back(
    make: Callable[..., Device], capsys: pytest.CaptureFixture[str]
) -> None:
    device = make()
    frames = random_images(device.dataflow.graph, 5)
    good = device.board.design

    def interrupted(data: bytes) -> bytes:
        raise KeyboardInterrupt

    with device.driver.HwgenOverlay(batchsize=2) as network:
        network.execute(frames[:2])
        device.board.design = interrupted
        with pytest.raises(KeyboardInterrupt):
            network.execute(frames)
        assert device.pynq.EVENTS[-1] == ("reset", 0)
        device.board.design = good
        results = network.execute(frames)  # the same object works again
        np.testing.assert_array_equal(results, interpreter(device.dataflow)(frames).reshape(5, -1))
        device.board.design = interrupted
        with pytest.raises(KeyboardInterrupt):
            network.execute(frames)
    assert device.pynq.LIVE == {}
    assert [name for name, _ in device.pynq.EVENTS].count("configure") == 2
    assert device.driver.main(["--inputfile", device.save("x.npy", frames)]) == 130
    assert device.pynq.LIVE == {}
    assert capsys.readouterr().err == ""


def test_the_standin_finds_a_driver_that_frees_what_the_dma_writes(
    make: Callable[..., Device],
) -> None:
    device = make()
    device.board.design = None
    network = device.driver.HwgenOverlay(timeout_s=0.01)
    network._halt = lambda: None
    with pytest.raises(device.driver.DriverError):
        network.execute(random_images(device.dataflow.graph, 1))
    with pytest.raises(AssertionError, match="the DMA still uses this buffer"):
        network.close()


# --- command line -----------------------------------------------------------------------------


def test_execute_writes_the_results(
    make: Callable[..., Device], capsys: pytest.CaptureFixture[str]
) -> None:
    device = make()
    frames = random_images(device.dataflow.graph, 5)
    out = device.folder / "y.npy"
    arguments = ["--exec_mode", "execute", "--batchsize", "2", "--outputfile", str(out)]
    arguments += ["--inputfile", device.save("x.npy", frames)]
    arguments += ["--bitfile", str(device.folder / "hwgen.bit")]
    assert device.driver.main(arguments) == 0
    assert capsys.readouterr().out == f"5 results in {out}\n"
    expected = interpreter(device.dataflow)(frames).reshape(5, -1)
    np.testing.assert_array_equal(np.load(out), expected)
    assert device.pynq.LIVE == {}


def test_throughput_test_prints_json(
    make: Callable[..., Device], capsys: pytest.CaptureFixture[str]
) -> None:
    device = make()
    assert device.driver.main(["--exec_mode", "throughput_test", "--batchsize", "6"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["frames"] == 6
    assert found["frames_per_second"] > 0


def test_wrong_input_is_one_line_and_status_2(
    make: Callable[..., Device], capsys: pytest.CaptureFixture[str]
) -> None:
    device = make(in_channels=3)
    good = random_images(device.dataflow.graph, 2)
    (device.folder / "text.npy").write_text("no array")
    cases = {
        device.save("shape.npy", good[:, :4]): r"shape \(2, 4, 5, 3\); the network reads \(N, 6, 5",
        device.save("float.npy", good / 256): r"float64 have shape .* reads \(N, 3, 6, 5\)",
        device.save("range.npy", good + 1000): r"from 1\d+ to 12\d+, the network reads 0 to 255",
        device.save("nan.npy", np.full((1, 3, 6, 5), np.nan)): "hold NaN",
        device.save("kind.npy", good.astype(complex)): "neither floats nor integers",
        device.save("object.npy", np.array([None])): r"object.npy cannot be read as \.npy",
        str(device.folder / "text.npy"): r"text.npy cannot be read as \.npy",
        str(device.folder / "none.npy"): r"none.npy cannot be read as \.npy: .*No such file",
    }
    for path, message in cases.items():
        assert device.driver.main(["--inputfile", path]) == 2
        one_line(capsys.readouterr().err, message)
    arguments = ["--inputfile", device.save("good.npy", good), "--outputfile", "/nowhere/y.npy"]
    assert device.driver.main(arguments) == 2
    one_line(capsys.readouterr().err, "No such file or directory: '/nowhere/y.npy'")


def one_line(text: str, message: str) -> None:
    assert re.fullmatch(rf"[^\n]*{message}[^\n]*\n", text), text


def script(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a file of the driver as a program that finds neither hwgen nor pynq."""
    return subprocess.run(
        [sys.executable, "-B", *arguments],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_without_bitfile_or_pynq_the_program_says_so(tmp_path: Path) -> None:
    on = board()
    pynq.emit(dataflow_of(on), on, RTL).write(tmp_path / "driver")
    arguments = ["driver.py", "--inputfile", "example_input.npy"]
    done = script(tmp_path / "driver", *arguments)
    assert done.returncode == 2
    one_line(done.stderr, r"driver\.py: no bitfile at .*hwgen\.bit or .*; give --bitfile")
    done = script(tmp_path / "driver", *arguments, "--bitfile", "other.bit")
    one_line(done.stderr, r"driver\.py: no bitfile at other\.bit; give --bitfile")
    (tmp_path / "driver/hwgen.bit").touch()
    one_line(script(tmp_path / "driver", *arguments).stderr, r".*hwgen\.hwh is missing.*")
    (tmp_path / "driver/hwgen.hwh").touch()
    for name in (arguments, ["validate.py", "--images", "example_input.npy", "--labels", "l.npy"]):
        np.save(tmp_path / "driver/l.npy", np.zeros(2, np.int64))
        done = script(tmp_path / "driver", *name)
        assert done.returncode == 2
        one_line(done.stderr, r".*pynq cannot be imported \(No module named 'pynq'\); run this on")


def test_the_bitfile_of_the_build_folder_is_found(make: Callable[..., Device]) -> None:
    device = make()
    made = device.folder.parent / "project" / "bitfile"
    made.mkdir(parents=True)
    for name in ("hwgen.bit", "hwgen.hwh"):
        shutil.move(device.folder / name, made / name)
    assert device.driver.find_bitfile() == (made / "hwgen.bit").resolve()


# --- validate ---------------------------------------------------------------------------------


def test_the_example_of_the_build_validates(
    make: Callable[..., Device], capsys: pytest.CaptureFixture[str]
) -> None:
    assert make().validate.main([]) == 0
    assert capsys.readouterr().out == "equal to the expected integers: 3 of 3\n"


def test_accuracy_and_equality_over_a_labelled_set(
    make: Callable[..., Device], capsys: pytest.CaptureFixture[str]
) -> None:
    device = make()
    images = random_images(device.dataflow.graph, 8)
    expected = interpreter(device.dataflow)(images)
    labels = expected.reshape(8, -1).argmax(axis=1)
    labels[:2] = (labels[:2] + 1) % 5
    path = device.folder / "set.npz"
    np.savez(path, images=images, labels=labels, expected=expected)
    assert device.validate.main(["--data", str(path), "--batchsize", "3"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "accuracy: 6 of 8 = 75.00 %",
        "equal to the expected integers: 8 of 8",
    ]
    expected[5, 0, 0, 2] += 1
    wrong = device.save("wrong.npy", expected)
    assert device.validate.main(["--data", str(path), "--expected", wrong]) == 1
    *_, equality, first = capsys.readouterr().out.splitlines()
    assert equality == "equal to the expected integers: 7 of 8"
    assert first.startswith("image 5: [")


def test_a_set_that_does_not_fit_is_one_line_and_status_2(
    make: Callable[..., Device], capsys: pytest.CaptureFixture[str]
) -> None:
    device = make()
    images = device.save("x.npy", random_images(device.dataflow.graph, 4))
    few = device.save("l.npy", np.zeros(3, np.int64))
    narrow = device.save("e.npy", np.zeros((4, 2), np.int64))
    cases = [
        (["--images", images], "give images, and labels or expected"),
        (["--images", images, "--labels", few], "4 images but 3 of labels"),
        (["--images", images, "--expected", narrow], "5 integers a result, 2 expected"),
        (["--data", images], r"x.npy cannot be read as \.npz"),
        (["--data", "none.npz"], r"none.npz cannot be read as \.npz"),
    ]
    for arguments, message in cases:
        assert device.validate.main(arguments) == 2
        one_line(capsys.readouterr().err, message)


def test_a_network_that_ends_in_argmax_names_the_class_itself(
    make: Callable[..., Device],
) -> None:
    classes = make().validate.classes
    np.testing.assert_array_equal(classes(np.array([[3, 9], [1, 0]]), True), [3, 1])
    np.testing.assert_array_equal(classes(np.array([[3, 9], [1, 0]]), False), [1, 0])


# --- files ------------------------------------------------------------------------------------


def test_emission_is_reproducible() -> None:
    on = board()
    one, two = (pynq.emit(dataflow_of(on), on, RTL) for _ in range(2))
    assert one.digest() == two.digest()
    assert "example_expected.npy" not in one.content


def test_the_driver_needs_numpy_and_pynq_alone() -> None:
    allowed = set(sys.stdlib_module_names) | {"numpy", "pynq", "packing", "driver", "status"}
    allowed -= {"__future__", "dataclasses"}  # PYNQ 2.6 has Python 3.6
    for name in ("driver.py", "packing.py", "status.py", "validate.py"):
        tree = ast.parse((TEMPLATES / name).read_text(), feature_version=(3, 6))
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found = {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found = {str(node.module).partition(".")[0]}
            else:
                continue
            assert found <= allowed, name


def test_the_notebook_is_valid_and_its_cells_run(
    make: Callable[..., Device], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_notebook(make(), monkeypatch)
    assert "equal: True" in capsys.readouterr().out


def run_notebook(device: Device, monkeypatch: pytest.MonkeyPatch, frames: int = 1000) -> None:
    """Check the file and run its cells from top to bottom, the speed test with ``frames``."""
    notebook = json.loads((device.folder / "hwgen.ipynb").read_text())
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert set(notebook) == {"cells", "metadata", "nbformat", "nbformat_minor"}
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids)
    monkeypatch.chdir(device.folder)
    names: dict[str, Any] = {}
    for cell in notebook["cells"]:
        common = {"cell_type", "id", "metadata", "source"}
        if cell["cell_type"] == "markdown":
            assert set(cell) == common
        else:
            assert set(cell) == common | {"execution_count", "outputs"}
            assert (cell["outputs"], cell["execution_count"]) == ([], None)
            exec("".join(cell["source"]).replace("frames=1000", f"frames={frames}"), names)


def test_the_readme_states_the_shapes(make: Callable[..., Device]) -> None:
    text = (make(in_channels=3).folder / "README.md").read_text()
    assert "floats (N, 3, 6, 5), or integers (N, 6, 5, 3) UINT8" in text
    assert "integers (N, 5), int64" in text
