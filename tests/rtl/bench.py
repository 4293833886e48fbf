"""A fast Verilator bench for any kernel with the uniform stream ports.

How to use it in a test module::

    from tests.rtl.bench import Bench, Dut, Traffic, STEADY, check_layer, initiation_interval

    LAYERS = [(layer, folding), ...]

    @pytest.fixture(scope="module")
    def bench(bench_cache):                       # session fixture of conftest.py
        return Bench.build([Dut.of_layer(*case) for case in LAYERS], bench_cache)

    @pytest.mark.parametrize("case", range(len(LAYERS)))
    def test_equals_the_integer_meaning_under_any_traffic(bench, case):
        layer, folding = LAYERS[case]
        for traffic in ROUGH:                     # idle, back-pressure, bursts, mid-run reset
            check_layer(bench, case, layer, folding, frames=3, traffic=traffic)

    def test_measured_interval_is_the_model(bench):
        result = check_layer(bench, 0, layer, folding, frames=5)     # at full speed
        assert initiation_interval(result, frames=5) == layer.cycles(folding)
        assert latency(result, layer, folding) <= layer.schedule(folding).latency

One build holds many devices (modules with their parameters), because g++ costs seconds and a run
costs milliseconds; only the device that is run gets a clock. Builds are cached by content.
Without a layer, give ``Dut`` the port widths and call ``Bench.run`` with beats as integers;
``pack`` and ``unpack`` turn arrays (..., lanes) into beats and back.

Every run asserts: a valid output stays valid and holds its data until it is taken, no beat is
missing or too many, all inputs are taken, and something moves at least every ``patience``
cycles. Registers without reset start at random values and data without valid is random, so a
kernel that looks at either gives wrong sums (the two-valued stand-in for X).
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from hwgen.layers.base import Folding, Layer
from hwgen.quant import IntArray, Tensor
from tests.rtl.bench_build import BenchError, Dut, build, out_widths
from tests.rtl.tools import RTL, VERILATOR

__all__ = [
    "ROUGH",
    "RTL",
    "STEADY",
    "VERILATOR",
    "Bench",
    "BenchError",
    "Dut",
    "Result",
    "Traffic",
    "check_layer",
    "initiation_interval",
    "latency",
    "pack",
    "random_frames",
    "unpack",
]


@dataclass(frozen=True)
class Traffic:
    """How sources and sinks behave; probabilities hold for every port alike.

    idle:     share of cycles in which a source with data offers none.
    stall:    share of cycles in which a sink is not ready.
    burst:    mean length of such a pause (and of the time between) in cycles.
    lazy:     sinks get ready only after they saw valid: a valid that waits for ready stops here.
    hold:     no sink is ready in the first so many cycles.
    reset_at: the device is reset after so many cycles and everything starts again.
    """

    seed: int = 1
    idle: float = 0.0
    stall: float = 0.0
    burst: int = 1
    lazy: bool = False
    hold: int = 0
    reset_at: int = -1


STEADY = Traffic()
ROUGH = (
    STEADY,
    Traffic(seed=2, idle=0.5),
    Traffic(seed=3, stall=0.5),
    Traffic(seed=4, idle=0.3, stall=0.3),
    Traffic(seed=5, idle=0.5, stall=0.5, burst=8),
    Traffic(seed=6, idle=0.1, stall=0.8),
    Traffic(seed=7, idle=0.2, lazy=True),
    Traffic(seed=8, idle=0.3, stall=0.4, burst=3, reset_at=37),
)


@dataclass(frozen=True)
class Result:
    """What a run saw: beats by output port, and the cycle in which every beat was passed on."""

    outputs: list[list[int]]
    out_cycles: list[IntArray]
    in_cycles: list[IntArray]


@dataclass(frozen=True)
class Bench:
    """A compiled simulation of several devices; ``home`` also holds their memory files."""

    duts: tuple[Dut, ...]
    home: Path

    @classmethod
    def build(
        cls, duts: Sequence[Dut], cache: Path, rtl: Path = RTL, *, structural: bool = False
    ) -> Self:
        """Compile ``duts`` from the modules in folder ``rtl``, or find them in ``cache``."""
        return cls(tuple(duts), build(duts, cache, rtl, structural))

    def run(
        self,
        index: int,
        inputs: Sequence[Sequence[int]],
        counts: Sequence[int],
        traffic: Traffic = STEADY,
        patience: int = 20_000,
    ) -> Result:
        """Send ``inputs`` (beats by port) to device ``index``; ``counts``: beats by output port."""
        dut = self.duts[index]
        widths_out = out_widths(dut)
        if len(inputs) != len(dut.in_widths) or len(counts) != len(widths_out):
            raise ValueError(f"{dut.module} has {len(dut.in_widths)} inputs, {len(widths_out)} out")
        with tempfile.TemporaryDirectory(dir=self.home) as tmp:
            sent, found = Path(tmp, "in"), Path(tmp, "out")
            sent.write_bytes(_encode(inputs, dut.in_widths, counts))
            t = traffic
            arguments = (index, t.seed, t.idle, t.stall, t.burst, int(t.lazy), t.hold, t.reset_at)
            done = subprocess.run(
                [self.home / "bench", *map(str, arguments), str(patience), sent, found],
                cwd=self.home,
                capture_output=True,
                text=True,
                check=False,
                timeout=600,
            )
            if done.returncode or not found.exists():
                raise BenchError(
                    f"{dut.module} {dict(dut.parameters)} under {traffic}: "
                    f"{done.stderr.strip()} {done.stdout.strip()}"
                )
            return _decode(found.read_bytes(), len(inputs), widths_out)


def pack(values: IntArray, bits: int) -> list[int]:
    """Beats from an array (..., lanes): lane 0 lowest, two's complement."""
    mask = (1 << bits) - 1
    beats = []
    for row in np.asarray(values).reshape(-1, np.shape(values)[-1]).tolist():
        word = 0
        for value in reversed(row):
            word = word << bits | (value & mask)
        beats.append(word)
    return beats


def unpack(beats: Sequence[int], bits: int, lanes: int, signed: bool = False) -> IntArray:
    """The array (beats, lanes) that ``beats`` carry."""
    mask, half = (1 << bits) - 1, 1 << (bits - 1)
    rows = [[beat >> (i * bits) & mask for i in range(lanes)] for beat in beats]
    values = np.array(rows, np.int64).reshape(len(beats), lanes)
    return np.where(values >= half, values - 2 * half, values) if signed else values


def random_frames(tensor: Tensor, frames: int, seed: int) -> IntArray:
    """Random integers of the tensor's type, (frames, H, W, C), its extremes well represented."""
    rng = np.random.default_rng(seed)
    shape = (frames, *tensor.shape)
    values = rng.integers(tensor.dtype.lo, tensor.dtype.hi, shape, np.int64, endpoint=True)
    edge = rng.choice([tensor.dtype.lo, tensor.dtype.hi, 0], shape)
    return np.where(rng.random(shape) < 0.1, edge, values)


def check_layer(
    bench: Bench,
    index: int,
    layer: Layer,
    folding: Folding,
    *,
    frames: int,
    traffic: Traffic = STEADY,
    inputs: Sequence[IntArray] | None = None,
) -> Result:
    """Run the layer's kernel on ``inputs`` (random if None), assert equality with ``evaluate``."""
    if inputs is None:
        inputs = [random_frames(t, frames, traffic.seed + i) for i, t in enumerate(layer.inputs)]
    lanes_in, lanes_out = layer.lanes(folding)
    beats = [
        pack(x.reshape(-1, lanes_in), t.dtype.bits)
        for x, t in zip(inputs, layer.inputs, strict=True)
    ]
    expected = layer.evaluate(*inputs)
    result = bench.run(index, beats, [y.size // lanes_out for y in expected], traffic)
    for port, (y, tensor) in enumerate(zip(expected, layer.outputs, strict=True)):
        found = unpack(result.outputs[port], tensor.dtype.bits, lanes_out, tensor.dtype.signed)
        np.testing.assert_array_equal(
            found.reshape(y.shape), y, f"{layer.name} {folding} port {port}, {traffic}"
        )
    return result


def initiation_interval(result: Result, frames: int, port: int = 0) -> int:
    """Cycles from the last beat of a frame to the last beat of the next, once settled."""
    ends = result.out_cycles[port].reshape(frames, -1)[:, -1]
    steps = np.diff(ends)[-2:]
    if len(set(steps.tolist())) != 1:
        raise BenchError(f"no steady interval: frames end at {ends.tolist()}")
    return int(steps[-1])


def latency(result: Result, layer: Layer, folding: Folding) -> int:
    """Cycles by which the first output beat trails the last input beat that it needs."""
    schedule = layer.schedule(folding)
    firing = int(np.argmax(schedule.emit > 0))
    needed = [int(schedule.need_of(port)[firing]) for port in range(len(layer.inputs))]
    last = max(cycles[n - 1] for n, cycles in zip(needed, result.in_cycles, strict=True) if n)
    return int(result.out_cycles[0][0] - last)


def _encode(inputs: Sequence[Sequence[int]], widths: Sequence[int], counts: Sequence[int]) -> bytes:
    """The input file of bench.cpp."""
    parts = []
    for beats, width in zip(inputs, widths, strict=True):
        parts.append(len(beats).to_bytes(8, "little"))
        parts += [int(beat).to_bytes((width + 7) // 8, "little") for beat in beats]
    return b"".join(parts) + b"".join(int(c).to_bytes(8, "little") for c in counts)


def _decode(data: bytes, ports_in: int, out_widths: Sequence[int]) -> Result:
    """The result file of bench.cpp."""
    at = 0

    def u64s(count: int) -> IntArray:
        nonlocal at
        found = np.frombuffer(data, "<u8", count, at).astype(np.int64)
        at += 8 * count
        return found

    in_cycles = [u64s(int(u64s(1)[0])) for _ in range(ports_in)]
    outputs, out_cycles = [], []
    for width in out_widths:
        count, size = int(u64s(1)[0]), (width + 7) // 8
        outputs.append(
            [
                int.from_bytes(data[at + i * size : at + (i + 1) * size], "little")
                for i in range(count)
            ]
        )
        at += count * size
        out_cycles.append(u64s(count))
    return Result(outputs, out_cycles, in_cycles)
