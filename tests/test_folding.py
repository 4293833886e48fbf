"""Foldings are legal, minimal for a rate, and refused with the numbers that help."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from hwgen import folding
from hwgen.board import load_board
from hwgen.dataflow import build_dataflow
from hwgen.errors import FoldingError, ResourceError, UserInputError
from hwgen.layers.base import Folding, Resources
from hwgen.quant import QuantGraph
from tests.networks import random_reactnet

BOARD = load_board("pynq-z2")


def area(graph: QuantGraph, chosen: dict[str, Folding]) -> float:
    """The whole design's, FIFOs at their least depth."""
    flow = build_dataflow(graph, chosen, bus_bytes=8, clock_mhz=100)
    edges = [s for s in flow.streams if s.source == "axis_in" or s.sink == "axis_out"]
    layers = [s.resources for s in flow.stages if not s.name.startswith("axis")]
    streams = [s.resources for s in flow.streams if s not in edges]
    return folding.weight(sum([*layers, *streams], Resources()), BOARD)


@pytest.mark.parametrize("max_cycles", [300, 1000, 5000, 10**6])
def test_no_change_of_one_layer_makes_a_design_for_a_rate_smaller(max_cycles: int) -> None:
    graph = random_reactnet(width=8)
    chosen = folding.for_rate(graph, BOARD, max_cycles)
    least = area(graph, chosen)
    for layer in graph.layers[1:-1]:  # the first and last also meet the bus
        assert layer.cycles(chosen[layer.name]) <= max_cycles
        for other in layer.foldings():
            if layer.cycles(other) <= max_cycles:
                assert area(graph, {**chosen, layer.name: other}) >= least - 1e-9


def test_schedules_have_as_many_firings_as_the_cycle_model_says() -> None:
    for layer in random_reactnet(width=4).layers:
        for f in layer.foldings():
            schedule = layer.schedule(f)
            assert schedule.cycles == layer.cycles(f)
            lanes_in, lanes_out = layer.lanes(f)
            assert schedule.free[-1] == layer.inputs[0].size // lanes_in
            assert schedule.emit[-1] == layer.outputs[0].size // lanes_out


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
