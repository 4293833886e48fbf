"""Foldings are legal, minimal for a rate, and refused with the numbers that help."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hwgen import folding
from hwgen.board import load_board
from hwgen.build import choose_foldings, line_cycles
from hwgen.config import BuildConfig
from hwgen.dataflow import build_dataflow
from hwgen.errors import FoldingError, ResourceError, UserInputError
from hwgen.layers import Add, Fork, IntMvau, Threshold, Window, XnorMvau
from hwgen.layers.base import Folding, Resources
from hwgen.quant import IntType, QuantGraph, Scaling, Tensor
from hwgen.search import Search, vector
from tests.networks import random_reactnet

BOARD = load_board("pynq-z2")


def weight(cost: Resources) -> float:
    """Shares of the board: LUTs count most."""
    r = BOARD.resources
    others = cost.ff / (4 * r.FF) + cost.bram36 / (2 * r.BRAM36) + cost.dsp / (10 * r.DSP)
    return cost.lut / r.LUT + others


def area(graph: QuantGraph, chosen: Mapping[str, Folding]) -> Resources:
    """The whole design's, FIFOs at their least depth, without the edges."""
    flow = build_dataflow(graph, chosen, bus_bytes=8, clock_mhz=100)
    edges = [s for s in flow.streams if s.source == "axis_in" or s.sink == "axis_out"]
    layers = [s.resources for s in flow.stages if not s.name.startswith("axis")]
    streams = [s.resources for s in flow.streams if s not in edges]
    return sum([*layers, *streams], Resources())


@pytest.mark.parametrize("max_cycles", [300, 1000, 5000, 10**6])
def test_no_change_of_one_layer_makes_a_design_for_a_rate_smaller(max_cycles: int) -> None:
    graph = random_reactnet(width=8)
    chosen = folding.for_rate(graph, BOARD, max_cycles)
    least = weight(area(graph, chosen))
    for layer in graph.layers[1:-1]:  # the first and last also meet the bus
        assert layer.cycles(chosen[layer.name]) <= max_cycles
        for other in layer.foldings():
            if layer.cycles(other) <= max_cycles and other.ram_style == "auto":
                changed = area(graph, {**chosen, layer.name: other})
                assert weight(changed) >= least - 1e-9


def every_design(graph: QuantGraph, max_cycles: int) -> list[tuple[float, np.ndarray]]:
    """Weight and cost of all designs within a rate, one by one."""
    options = [
        [v for f in layer.foldings() if layer.cycles(f) <= max_cycles for v in layer.variants(f)]
        for layer in graph.layers
    ]
    names = [layer.name for layer in graph.layers]
    designs = (dict(zip(names, each, strict=True)) for each in itertools.product(*options))
    costs = [area(graph, chosen) for chosen in designs]
    return [(weight(cost), vector(cost)) for cost in costs]


def small_branch() -> QuantGraph:
    """Forks, two products and a sum: a circle that no order of the layers takes apart."""
    x, bit = IntType(4, signed=True), IntType(1)
    shape, wide = (2, 2, 2), (2, 2, 4)
    tensors = [Tensor(n, shape, x) for n in ("x", "a", "b")]
    signs = [Tensor("s", shape, bit), Tensor("p", wide, IntType(2))]
    back, y = Tensor("q", shape, x), Tensor("y", shape, IntType(5, signed=True))
    rng = np.random.default_rng(0)
    rows, columns = rng.integers(0, 2, (2, 4)), np.array([[1, -1], [1, 0], [-1, 1], [0, -1]])
    layers = (
        Fork("fork", (tensors[0],), (tensors[1], tensors[2])),
        Threshold("sign", (tensors[1],), (signs[0],), np.zeros((2, 1), np.int64), 0),
        XnorMvau("bits", (signs[0],), (signs[1],), rows),
        IntMvau("back", (signs[1],), (back,), columns, np.zeros(2, np.int64)),
        Add("add", (back, tensors[2]), (y,)),
    )
    return QuantGraph("circle", tensors[0], y, layers, Scaling(1, 1)).check()


@pytest.mark.parametrize("max_cycles", [4, 8, 1000])
def test_a_design_is_the_smallest_of_all_there_are(max_cycles: int) -> None:
    graph = small_branch()
    every = every_design(graph, max_cycles)
    search = Search(graph, BOARD)
    found = search.least(max_cycles)
    assert found is not None
    assert found.cost == pytest.approx(vector(area(graph, found.foldings)))
    assert found.cost @ search.weights == pytest.approx(min(w for w, _ in every))


def test_under_limits_a_design_is_the_smallest_that_keeps_them_together() -> None:
    graph = small_branch()
    every = every_design(graph, 8)
    search = Search(graph, BOARD)
    _, free = min(every, key=lambda design: design[0])
    seen = 0
    for kind in range(4):
        tighter = sorted({cost[kind] for _, cost in every if cost[kind] < free[kind]})
        if not tighter:
            continue
        limits = np.full(4, np.inf)
        limits[kind] = tighter[-1] + 1e-6
        best = min(w for w, cost in every if (cost <= limits).all())
        found = search.least(8, np.minimum(limits, 1e6))
        assert found is not None
        assert (found.cost <= limits + 1e-4).all()
        assert found.cost @ search.weights == pytest.approx(best)
        limits[kind] = tighter[0] - 1  # less than any design takes
        assert search.least(8, np.minimum(limits, 1e6)) is None
        seen += 1
    assert seen


def test_the_trade_off_falls_and_holds_the_design_itself() -> None:
    graph = random_reactnet(width=8)
    flow, _ = folding.plan(graph, BOARD, folding.fastest(graph, BOARD), 100)
    points = folding.trade_off(graph, BOARD, flow.max_cycles)
    assert [p.cycles for p in points] == sorted(p.cycles for p in points)
    assert flow.max_cycles in [p.cycles for p in points]
    weights = [weight(p.cost) for p in points if p.fits]
    assert weights == sorted(weights, reverse=True)
    assert len(points) > 3


def test_schedules_have_as_many_firings_as_the_cycle_model_says() -> None:
    for layer in random_reactnet(width=4).layers:
        for f in layer.foldings():
            schedule = layer.schedule(f)
            assert schedule.cycles == layer.cycles(f)
            lanes_in, lanes_out = layer.lanes(f)
            assert schedule.free[-1] == layer.inputs[0].size // lanes_in
            assert schedule.emit[-1] == layer.outputs[0].size // lanes_out


def test_weights_go_into_luts_where_block_rams_are_short(tmp_path: Path) -> None:
    graph = random_reactnet(width=32, blocks=1)
    search = Search(graph, BOARD)
    rate = 9000
    free = search.least(rate)
    assert free is not None
    assert {f.ram_style for f in free.foldings.values()} == {"auto"}
    limits = np.array([1e6, 1e6, free.cost[2] / 2, 1e6])
    found = search.least(rate, limits)
    assert found is not None
    assert found.cost[2] <= limits[2] < free.cost[2]
    styles = {name: f.ram_style for name, f in found.foldings.items()}
    assert "distributed" in styles.values()
    for layer in graph.layers:  # and block RAM where LUTs are short, by the estimate
        for f in layer.foldings():
            other = layer.resources(replace(f, ram_style="auto"))
            if f.ram_style == "distributed":
                assert layer.resources(f).bram36 < other.bram36
                assert layer.resources(f).lut > other.lut
            if f.ram_style == "block":
                assert layer.resources(f).bram36 > other.bram36
                assert layer.resources(f).lut < other.lut
    config = folding.to_config(graph, found.foldings)
    path = tmp_path / "folding.json"
    path.write_text(json.dumps(config))
    assert folding.read_config(path, graph) == found.foldings


def test_unreachable_rate_names_the_slowest_layer() -> None:
    with pytest.raises(FoldingError, match=r"layer Window_0 takes at least \d+ cycles.*--fps"):
        folding.for_rate(random_reactnet(), BOARD, max_cycles=10)


def test_network_too_large_says_which_resource_by_how_much_and_what_helps() -> None:
    graph = random_reactnet(width=2048, size=(2, 2), residual_bits=8)
    with pytest.raises(ResourceError, match=r"BRAM36 \d+ of 112 \(\d+\.\dx\).*larger board"):
        folding.fastest(graph, BOARD)


def test_folding_file_round_trips(tmp_path: Path) -> None:
    graph = random_reactnet()
    chosen = folding.for_rate(graph, BOARD, 2000)
    path = tmp_path / "final_hw_config.json"
    path.write_text(json.dumps(folding.to_config(graph, chosen)))
    assert folding.read_config(path, graph) == chosen


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            '{"MVAU_1": {"PE": 3, "SIMD": 4}}',
            "MVAU_1: PE=3, SIMD=4 is not possible; legal PE: [1, 2,",
        ),
        ('{"MVAU_99": {"PE": 1}}', "MVAU_99, which the network does not have"),
        ('{"MVAU_1": {"PE": "two"}}', "PE is 'two', not an integer"),
        ('{"MVAU_1": {"LANES": 2}}', "PE and SIMD"),
        (
            '{"MVAU_1": {"ram_style": "ultra"}}',
            "MVAU_1: ram_style 'ultra' is not one of auto",
        ),
        ('{"Window_0": {"ram_style": "block"}}', "PE and SIMD"),
        ("[1, 2]", "cannot be read as JSON"),
        ("{", "cannot be read as JSON"),
    ],
)
def test_bad_folding_file(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "folding.json"
    path.write_text(content)
    with pytest.raises((FoldingError, UserInputError)) as caught:
        folding.read_config(path, random_reactnet())
    assert words in str(caught.value)


def test_plan_is_deterministic_and_depths_hold_residual_branches() -> None:
    graph = random_reactnet()
    chosen = folding.fastest(graph, BOARD)
    first, second = (folding.plan(graph, BOARD, chosen, 100)[0] for _ in range(2))
    assert first == second
    bypass = [s for s in first.streams if s.source.startswith("Duplicate") and s.source_port == 1]
    assert all(stream.depth > 2 for stream in bypass)


def test_width_converters_join_every_pair_of_lane_counts() -> None:
    graph = random_reactnet(width=12)
    for pe, simd in itertools.product((1, 3, 4, 12), repeat=2):
        chosen = {
            layer.name: next(
                (f for f in layer.foldings() if f in (Folding(pe), Folding(1, simd))),
                next(layer.foldings()),
            )
            for layer in graph.layers
        }
        flow, _ = folding.plan(graph, BOARD, chosen, 100)
        for stream in flow.streams:
            assert stream.tensor.size % stream.lanes == 0
        for stage in flow.stages:
            stage.layer.check()


def test_a_window_of_whole_patches_is_finns_parallel_window(tmp_path: Path) -> None:
    graph = random_reactnet()
    window = next(layer for layer in graph.layers if isinstance(layer, Window))
    assert window.patch is not None
    chosen = folding.smallest(graph, BOARD) | {window.name: window.patch}
    config = folding.to_config(graph, chosen)
    channels = window.input.channels
    assert config[window.name] == {"SIMD": channels, "parallel_window": 1}
    path = tmp_path / "folding.json"
    path.write_text(json.dumps(config))
    assert folding.read_config(path, graph) == chosen
    config[window.name]["SIMD"] = channels + 1
    path.write_text(json.dumps(config))
    with pytest.raises(FoldingError, match=rf"{window.name}: parallel_window needs a SIMD of all"):
        folding.read_config(path, graph)


def test_whole_patches_lift_the_rate_of_a_stem_of_one_channel() -> None:
    graph = random_reactnet(width=4, size=(16, 16))
    window = next(layer for layer in graph.layers if isinstance(layer, Window))
    assert window.patch is not None
    flow, _ = folding.plan(graph, BOARD, folding.fastest(graph, BOARD), 100)
    by_taps = min(window.cycles(f) for f in window.foldings() if f != window.patch)
    assert flow.max_cycles < by_taps / 2


def test_a_board_on_a_serial_line_is_not_faster_than_the_line_needs() -> None:
    graph, board = random_reactnet(), load_board("ulx3s-85f")
    line = line_cycles(graph, board)
    assert line == 50e6 * 10 * 32 / 1_000_000  # 30 pixels of a byte, in whole beats of 4
    rate = max(rate for rate in Search(graph, board).rates if rate <= line)
    chosen = choose_foldings(BuildConfig(), graph, board)
    assert chosen == folding.for_rate(graph, board, rate) != folding.fastest(graph, board)
    assert line_cycles(graph, BOARD) == 0
