"""The stream primitives move, join and regroup beats exactly, at the modelled speed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwgen.layers.add import Add
from hwgen.layers.base import Folding, Layer
from hwgen.layers.fork import Fork
from hwgen.layers.global_sum import GlobalSum
from hwgen.layers.subtract import Subtract
from hwgen.layers.width_converter import WidthConverter
from hwgen.quant import BINARY, IntArray, IntType, Tensor
from tests.rtl.bench import (
    ROUGH,
    STEADY,
    Bench,
    Dut,
    Traffic,
    check_layer,
    initiation_interval,
    latency,
    pack,
)

INT4, INT8, UINT3 = IntType(4, True), IntType(8, True), IntType(3)


def add(channels: int, a: IntType, b: IntType, out: IntType, pe: int) -> tuple[Layer, Folding]:
    shape = (3, 4, channels)
    inputs = (Tensor("a", shape, a), Tensor("b", shape, b))
    return Add("add", inputs, (Tensor("y", shape, out),)), Folding(pe)


def subtract(channels: int, a: IntType, b: IntType, out: IntType, pe: int) -> tuple[Layer, Folding]:
    layer, folding = add(channels, a, b, out, pe)
    return Subtract("sub", layer.inputs, layer.outputs), folding


def fork(channels: int, dtype: IntType, readers: int, pe: int) -> tuple[Layer, Folding]:
    x = Tensor("x", (4, 4, channels), dtype)
    return Fork("fork", (x,), (x,) * readers), Folding(pe)


def converter(channels: int, dtype: IntType, before: int, after: int) -> tuple[Layer, Folding]:
    tensor = Tensor("x", (4, 4, channels), dtype)
    layer = WidthConverter("dwc", (tensor,), (tensor,), before, after)
    return layer, Folding(pe=after, simd=before)


def pool(side: int, channels: int, dtype: IntType, out: IntType, pe: int) -> tuple[Layer, Folding]:
    x = Tensor("x", (side, side, channels), dtype)
    return GlobalSum("pool", (x,), (Tensor("y", (1, 1, channels), out),)), Folding(pe)


LAYERS = [
    add(8, INT8, INT8, IntType(9, True), pe=2),
    add(6, UINT3, IntType(5, True), IntType(7, True), pe=3),
    add(4, IntType(20), IntType(20), IntType(21), pe=4),
    add(12, INT4, INT4, INT8, pe=12),
    add(1, BINARY, UINT3, INT8, pe=1),
    subtract(6, INT8, INT8, IntType(9, True), pe=2),
    subtract(4, INT4, UINT3, IntType(5, True), pe=4),
    fork(6, INT8, readers=2, pe=3),
    fork(8, BINARY, readers=3, pe=1),
    fork(70, BINARY, readers=2, pe=70),
    converter(8, INT4, 2, 8),
    converter(6, INT4, 6, 2),
    converter(12, BINARY, 1, 12),
    converter(144, BINARY, 144, 1),
    converter(5, INT8, 5, 5),
    converter(30, UINT3, 2, 30),
    converter(36, UINT3, 36, 12),
    pool(4, 6, INT4, INT8, pe=1),
    pool(3, 8, IntType(8), IntType(12), pe=4),
    pool(5, 4, INT8, IntType(16, True), pe=4),
    pool(1, 4, INT8, INT8, pe=2),
    pool(8, 40, BINARY, IntType(7), pe=1),
]
NAMES = [f"{layer.name}{i}-pe{folding.pe}" for i, (layer, folding) in enumerate(LAYERS)]


@pytest.fixture(scope="module")
def bench(bench_cache: Path) -> Bench:
    return Bench.build([Dut.of_layer(*case) for case in LAYERS], bench_cache)


@pytest.mark.parametrize("case", range(len(LAYERS)), ids=NAMES)
def test_layer_equals_its_integer_meaning_under_any_traffic(bench: Bench, case: int) -> None:
    for traffic in ROUGH:
        check_layer(bench, case, *LAYERS[case], frames=4, traffic=traffic)


@pytest.mark.parametrize("case", range(len(LAYERS)), ids=NAMES)
def test_layer_is_as_fast_as_its_schedule(bench: Bench, case: int) -> None:
    layer, folding = LAYERS[case]
    result = check_layer(bench, case, layer, folding, frames=5)
    assert initiation_interval(result, frames=5) == layer.cycles(folding)
    wires = isinstance(layer, WidthConverter) and layer.in_lanes == layer.out_lanes
    assert latency(result, layer, folding) == (0 if wires else layer.schedule(folding).latency)


def test_eager_fork_serves_a_reader_while_another_waits(bench: Bench) -> None:
    """Under back-pressure some beat reaches the readers in different cycles, in both orders."""
    case = NAMES.index("fork7-pe3")
    result = check_layer(bench, case, *LAYERS[case], frames=4, traffic=Traffic(seed=9, stall=0.5))
    first, second = result.out_cycles
    assert (first < second).any()
    assert (first > second).any()


FIFOS = [  # width, depth, memory, capacity
    (5, 1, 0, 1),
    (8, 2, 0, 2),
    (8, 2, 1, 2),
    (1, 3, 1, 4),
    (9, 4, 1, 4),
    (8, 5, 1, 8),
    (6, 16, 1, 16),
    (5, 20, 1, 32),
    (70, 33, 1, 48),
    (12, 64, 1, 64),
    (4, 150, 1, 160),
    (3, 2, 2, 3),
    (8, 7, 2, 9),
    (40, 300, 2, 305),
]


@pytest.fixture(scope="module")
def fifos(bench_cache: Path) -> Bench:
    return Bench.build(
        [
            Dut("fifo", {"WIDTH": width, "DEPTH": depth, "MEMORY": memory}, (width,), (width,))
            for width, depth, memory, _ in FIFOS
        ],
        bench_cache,
    )


def random_beats(width: int, count: int, seed: int = 1) -> list[int]:
    return pack(np.random.default_rng(seed).integers(0, 2, (count, width)), 1)


@pytest.mark.parametrize("case", range(len(FIFOS)), ids=map(str, FIFOS))
def test_fifo_keeps_every_beat_in_order(fifos: Bench, case: int) -> None:
    width, depth, *_ = FIFOS[case]
    beats = random_beats(width, 3 * depth + 200)
    for traffic in ROUGH:
        assert fifos.run(case, [beats], [len(beats)], traffic).outputs == [beats]


@pytest.mark.parametrize("case", range(len(FIFOS)), ids=map(str, FIFOS))
def test_fifo_holds_its_depth_and_streams_at_full_speed_when_full(fifos: Bench, case: int) -> None:
    width, depth, _, capacity = FIFOS[case]
    beats = random_beats(width, 3 * capacity + 20)
    hold = capacity + 20
    assert depth <= capacity
    result = fifos.run(case, [beats], [len(beats)], Traffic(hold=hold))
    assert (result.in_cycles[0] < hold).sum() == capacity
    step = 2 if depth == 1 else 1
    assert result.out_cycles[0].tolist() == [hold + step * i for i in range(len(beats))]
    assert result.outputs == [beats]


@pytest.mark.parametrize("case", range(len(FIFOS)), ids=map(str, FIFOS))
def test_empty_fifo_passes_a_beat_after_its_latency(fifos: Bench, case: int) -> None:
    width, _, memory, _ = FIFOS[case]
    result = fifos.run(case, [random_beats(width, 50)], [50])
    assert set((result.out_cycles[0] - result.in_cycles[0]).tolist()) == {2 if memory == 2 else 1}


AXIS = [  # bus bytes, bytes an element, bits, signed, elements, lanes
    (8, 1, 8, 1, 64, 1),
    (8, 1, 5, 0, 12, 4),
    (8, 1, 8, 1, 3, 1),
    (8, 4, 20, 1, 10, 1),
    (8, 4, 32, 0, 7, 1),
    (8, 8, 33, 1, 5, 1),
    (4, 1, 1, 0, 9, 1),
    (16, 2, 11, 1, 24, 8),
    (8, 1, 8, 0, 8, 8),
    (8, 2, 16, 1, 1, 1),
]
FRAMES = 5


def axis_frames(case: int) -> IntArray:
    _, _, bits, signed, elements, _ = AXIS[case]
    dtype = IntType(bits, bool(signed))
    rng = np.random.default_rng(case)
    return rng.integers(dtype.lo, dtype.hi, (FRAMES, elements), np.int64, endpoint=True)


def on_bus(case: int, frames: IntArray, garbage: int | None) -> list[list[bytes]]:
    """Bus beats of every frame; ``garbage`` seeds what tail and unused bits hold, None is 0."""
    bus, size, bits, signed, _, _ = AXIS[case]
    rng = np.random.default_rng(garbage)
    found = []
    for frame in frames.tolist():
        data = b""
        for x in frame:
            if garbage is not None:
                x = (x & ((1 << bits) - 1)) | (int(rng.integers(1 << 30)) << bits)
                data += (x & ((1 << 8 * size) - 1)).to_bytes(size, "little")
            else:
                data += x.to_bytes(size, "little", signed=bool(signed))
        tail = -len(data) % bus
        data += bytes(tail) if garbage is None else rng.bytes(tail)
        found.append([data[i : i + bus] for i in range(0, len(data), bus)])
    return found


@pytest.fixture(scope="module")
def axis(bench_cache: Path) -> Bench:
    duts = []
    for bus, size, bits, signed, elements, lanes in AXIS:
        shape = {"AXIS_BYTES": bus, "ELEM_BYTES": size, "BITS": bits}
        shape |= {"ELEMENTS": elements, "LANES": lanes}
        duts.append(Dut("axis_in", shape, (8 * bus,), (lanes * bits,)))
        extra = (("m_keep_o", bus), ("m_last_o", 1))

        duts.append(
            Dut("axis_out", shape | {"SIGNED": signed}, (lanes * bits,), (8 * bus,), extra=extra)
        )
    return Bench.build(duts, bench_cache)


@pytest.mark.parametrize("case", range(len(AXIS)), ids=map(str, AXIS))
def test_axis_in_takes_the_elements_and_drops_the_padding(axis: Bench, case: int) -> None:
    _, _, bits, _, elements, lanes = AXIS[case]
    frames = axis_frames(case)
    bus = [int.from_bytes(b, "little") for frame in on_bus(case, frames, 7) for b in frame]
    expected = pack(frames.reshape(-1, lanes), bits)
    for traffic in ROUGH:
        result = axis.run(2 * case, [bus], [len(expected)], traffic)
        assert result.outputs == [expected]
        if traffic is STEADY:
            assert np.diff(result.out_cycles[0]).tolist() == [1] * (len(expected) - 1)
            assert initiation_interval(result, FRAMES) == elements // lanes
            assert result.out_cycles[0][0] - result.in_cycles[0][0] == 1


@pytest.mark.parametrize("case", range(len(AXIS)), ids=map(str, AXIS))
def test_axis_out_frames_end_with_last_and_a_masked_tail(axis: Bench, case: int) -> None:
    bus, size, bits, _, elements, lanes = AXIS[case]
    frames = axis_frames(case)
    expected = []
    for beats in on_bus(case, frames, None):
        for i, beat in enumerate(beats):
            last = i == len(beats) - 1
            used = elements * size - bus * i if last else bus
            keep = (1 << used) - 1
            word = (int(last) << bus | keep) << 8 * bus | int.from_bytes(beat, "little")
            expected.append(word)
    sent = pack(frames.reshape(-1, lanes), bits)
    for traffic in ROUGH:
        result = axis.run(2 * case + 1, [sent], [len(expected)], traffic)
        assert result.outputs == [expected]
        if traffic is STEADY:
            assert np.diff(result.in_cycles[0]).tolist() == [1] * (len(sent) - 1)
            assert initiation_interval(result, FRAMES) == elements // lanes
            assert result.out_cycles[0][-1] - result.in_cycles[0][-1] == 1
