"""The status registers of the Zynq shell: AXI4-Lite under random traffic, and what they count."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from hwgen.backends import axi_shell, registers
from hwgen.backends.systemverilog import build_id
from hwgen.dataflow import Dataflow
from hwgen.files import Files
from tests.backends.test_axi_shell import SHELL, STANDIN, Network
from tests.backends.test_vivado import example, zynq
from tests.rtl.bench_build import program

NETWORK = Network(5, 2, 3)
RTL = Files({"hwgen_top.sv": b"module hwgen_top;\n"})  # what is behind the build id
MAIN = Path(__file__).parents[1] / "rtl" / "axi_shell_bench.cpp"
OKAY, SLVERR = 0, 2
COLUMNS = (
    *("reset", "awvalid", "awready", "awaddr", "wvalid", "wready", "wdata", "wstrb"),
    *("bvalid", "bready", "bresp", "arvalid", "arready", "araddr"),
    *("rvalid", "rready", "rdata", "rresp"),
    *("s_valid", "s_ready", "s_last", "m_valid", "m_ready", "m_last", "m_data"),
)
AT = registers.offsets()
Trace = dict[str, list[int]]


@pytest.fixture(scope="module")
def dataflow() -> Dataflow:
    board = zynq().model_copy(update={"bus_bytes": 4})
    return example(board, size=(4, NETWORK.beats_in))


@pytest.fixture(scope="module")
def simulation(dataflow: Dataflow, request: pytest.FixtureRequest) -> Path:
    cache = request.config.cache
    assert cache
    sources = {name: data.decode() for name, data in axi_shell.emit(dataflow, RTL).content.items()}
    standin = STANDIN.format(**vars(NETWORK) | {"name": "x"})
    sources["hwgen_top.sv"] = standin.replace("hwgen_top_x", "hwgen_top")
    return program("hwgen_shell", sources, MAIN, cache.mkdir("rtl"))


def trace(simulation: Path, seed: int, idle: float, stall: float, cycles: int = 4000) -> Trace:
    arguments = map(str, (seed, cycles, idle, stall, NETWORK.beats_in))
    done = subprocess.run([simulation, *arguments], capture_output=True, check=True, timeout=60)
    rows = np.frombuffer(done.stdout, "<u4").reshape(cycles, len(COLUMNS))
    return {name: column.tolist() for name, column in zip(COLUMNS, rows.T, strict=True)}


def events(pins: Trace) -> dict[str, list[int]]:
    """For every counter and cycle, whether its event happens: by the handshakes alone."""
    found: dict[str, list[int]] = {name: [] for name in registers.EVENTS}
    beat = out = 0
    running = False  # the first beat of a batch has entered, its last has not left
    for t, reset in enumerate(pins["reset"]):
        if reset:
            beat = out = 0
            running = False
        taken = not reset and pins["s_valid"][t] and pins["s_ready"][t]
        given = not reset and pins["m_valid"][t] and pins["m_ready"][t]
        now = {
            "frames_in": taken and beat == NETWORK.beats_in - 1,
            "frames_out": given and out == NETWORK.beats_out - 1,
            "cycles": not reset,
            "busy": running or taken,
            "starved": running and pins["s_ready"][t] and not pins["s_valid"][t],
            "stalled": not reset and pins["m_valid"][t] and not pins["m_ready"][t],
        }
        for name, happens in now.items():
            found[name].append(int(happens))
        beat = (beat + taken) % NETWORK.beats_in
        out = (out + given) % NETWORK.beats_out
        running = bool(now["busy"] and not (given and pins["m_last"][t]))
    return found


def beats_of_a_frame(pins: Trace) -> list[int]:
    """Beats of an unfinished input frame, by cycle."""
    found, beat = [], 0
    for t, reset in enumerate(pins["reset"]):
        beat = 0 if reset else beat
        found.append(beat)
        beat = (beat + (pins["s_valid"][t] & pins["s_ready"][t])) % NETWORK.beats_in
    return found


class Model:
    """What the registers answer, cycle by cycle, told from the pins."""

    def __init__(self, pins: Trace, dataflow: Dataflow) -> None:
        self.pins, happened = pins, events(pins)
        self.before = {k: np.concatenate([[0], np.cumsum(v)]) for k, v in happened.items()}
        self.busy, self.beats = happened["busy"], beats_of_a_frame(pins)
        self.base = 0  # the first cycle that counts
        self.latched = dict.fromkeys(happened, 0)
        self.constants = {
            "magic": int.from_bytes(b"HWGN", "big"),
            "version": 1,
            "build_id": build_id(RTL),
            "clock_khz": 100_000,
            "frame_cycles": dataflow.max_cycles,
            "control": 0,
        }

    def read(self, t: int, address: int) -> tuple[int, int]:
        """Data and response of an address that is taken in cycle ``t``."""
        word = address & ~3
        for register in registers.TABLE:
            half = (word - AT[register.name]) // 4
            if 0 <= half < register.words:
                return self.value(t, register.name) >> 32 * half & 0xFFFFFFFF, OKAY
        return 0, SLVERR

    def value(self, t: int, name: str) -> int:
        if name == "snapshot":
            self.latched = {k: int(v[t] - v[self.base]) for k, v in self.before.items()}
            pins = ("s_valid", "s_ready", "m_valid", "m_ready")
            state = sum(self.pins[pin][t] << i for i, pin in enumerate(pins, 1))
            return self.busy[t] | state | self.beats[t] << 8
        return self.latched[name] if name in self.latched else self.constants[name]


def check(pins: Trace, dataflow: Dataflow) -> dict[str, int]:
    """Follow both directions; returns how often what happened."""
    model = Model(pins, dataflow)
    count = dict.fromkeys(("reads", "read errors", "writes", "write errors", "clears", "apart"), 0)
    answer: tuple[int, int] | None = None  # the read that waits for its data to be taken
    addresses: list[tuple[int, int]] = []  # (cycle, address) of writes without a response
    data: list[tuple[int, int, int]] = []
    response: int | None = None
    for t, reset in enumerate(pins["reset"]):
        if reset:
            answer, response = None, None
            addresses, data = [], []
            model.base, model.latched = t + 1, dict.fromkeys(model.latched, 0)
            continue
        # writes: one response for an address and a data beat, after both
        if pins["bvalid"][t]:
            if response is None:
                assert addresses, t
                assert data, t
                (when, address), (then, value, strobe) = addresses.pop(0), data.pop(0)
                assert max(when, then) < t - 1, t
                mine = address & ~3 == AT["control"]
                response = OKAY if mine else SLVERR
                count["clears"] += mine and strobe & 1 and value & 1
                count["writes"] += 1
                count["write errors"] += response == SLVERR
                count["apart"] += abs(when - then) > 2
            assert pins["bresp"][t] == response, t
            if pins["bready"][t]:
                response = None
        else:
            assert response is None, f"the response of a write is taken back in cycle {t}"
            both = max(addresses[0][0], data[0][0]) if addresses and data else t
            assert both >= t - 1 or pins["bvalid"][t - 1], f"a write is not answered in cycle {t}"
            if both < t and addresses[0][1] & ~3 == AT["control"] and data[0][2] & data[0][1] & 1:
                model.base = t  # a write takes effect in the cycle before its response
        # reads: an answer a cycle after the address, held until it is taken, and no other
        assert pins["rvalid"][t] == (answer is not None), t
        if answer is not None:
            assert (pins["rdata"][t], pins["rresp"][t]) == answer, t
            if pins["rready"][t]:
                answer = None
        elif pins["arready"][t] and pins["arvalid"][t]:
            answer = model.read(t, pins["araddr"][t])
            count["reads"] += 1
            count["read errors"] += answer[1] == SLVERR
        else:
            assert pins["arready"][t], t  # nothing waits, so an address is welcome
        if pins["awready"][t] and pins["awvalid"][t]:
            addresses.append((t, pins["awaddr"][t]))
        if pins["wready"][t] and pins["wvalid"][t]:
            data.append((t, pins["wdata"][t], pins["wstrb"][t]))
        assert len(addresses) <= 2, t
        assert len(data) <= 2, t
    return count


TRAFFIC = ((1, 0.0, 0.0), (2, 0.5, 0.0), (3, 0.0, 0.5), (4, 0.5, 0.5), (5, 0.9, 0.2), (6, 0.2, 0.9))


@pytest.mark.parametrize(("seed", "idle", "stall"), TRAFFIC)
def test_axi4_lite_and_counters_under_random_traffic(
    simulation: Path, dataflow: Dataflow, seed: int, idle: float, stall: float
) -> None:
    pins = trace(simulation, seed, idle, stall)
    count = check(pins, dataflow)
    assert min(count[name] for name in ("reads", "read errors", "writes", "write errors")) > 20
    assert count["clears"] > 2
    assert count["apart"] > (10 if idle >= 0.5 else -1)
    happened = {name: sum(values) for name, values in events(pins).items()}
    assert min(happened[name] for name in ("frames_in", "frames_out", "busy")) > 10
    assert happened["stalled"] > 10 or not stall
    assert happened["starved"] > 10 or not idle


def test_at_full_speed_a_read_and_a_write_end_every_two_cycles(
    simulation: Path, dataflow: Dataflow
) -> None:
    cycles = 2000
    count = check(trace(simulation, 7, 0.0, 0.0, cycles), dataflow)
    assert count["reads"] > cycles // 2 - 20
    assert count["writes"] > cycles // 2 - 20


def test_the_check_finds_what_it_is_for(simulation: Path, dataflow: Dataflow) -> None:
    good = trace(simulation, 4, 0.5, 0.5)
    read = next(t for t in range(100, 4000) if good["rvalid"][t] and not good["rready"][t])
    write = next(t for t in range(100, 4000) if good["bvalid"][t] and not good["bready"][t])
    for name, t, value in (
        ("rvalid", read + 1, 0),
        ("rdata", read, good["rdata"][read] ^ 1),
        ("rresp", read, good["rresp"][read] ^ 2),
        ("bvalid", write + 1, 0),
        ("bresp", write, good["bresp"][write] ^ 2),
    ):
        bad = {**good, name: good[name].copy()}
        bad[name][t] = value
        with pytest.raises(AssertionError):
            check(bad, dataflow)


def test_the_map_is_dense_and_the_driver_gets_it() -> None:
    words = [AT[r.name] + 4 * half for r in registers.TABLE for half in range(r.words)]
    assert words == list(range(0, 4 * registers.WORDS, 4))
    assert registers.driver()["offsets"] == AT
    assert all(AT[name] % 8 == 0 for name in ("build_id", *registers.EVENTS))
    assert max(words) < 2**registers.ADDRESS_BITS


@pytest.mark.parametrize("name", ["axil_registers", "event_counters"])
def test_the_library_modules_are_clean_as_they_are(name: str, tmp_path: Path) -> None:
    from tests.rtl.tools import VERILATOR

    command = [VERILATOR, "--lint-only", "-Wall", SHELL / f"{name}.sv"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert "%" not in done.stderr
    assert done.returncode == 0


def test_the_documents_have_the_map() -> None:
    page = Path(__file__).parents[2] / "docs" / "boards" / "pynq.md"
    assert registers.markdown() in page.read_text()
