"""What a family of parts changes: cells and costs, and nothing else."""

from __future__ import annotations

import pytest

from hwgen import folding
from hwgen.backends import systemverilog
from hwgen.board import Board, load_board
from hwgen.dataflow import Dataflow
from hwgen.errors import ResourceError
from hwgen.layers.base import Resources
from hwgen.quant import QuantGraph
from hwgen.search import Search
from hwgen.technology import ECP5, OTHER, SERIES7, technology_of
from tests.networks import random_reactnet

SERIES7_BOARD, ECP5_BOARD = load_board("pynq-z2"), load_board("colorlight-i5")


@pytest.fixture(scope="module")
def graph() -> QuantGraph:
    return random_reactnet(width=4, blocks=1, size=(5, 4), classes=3)


def planned(graph: QuantGraph, board: Board) -> Dataflow:
    foldings = {layer.name: next(layer.foldings()) for layer in graph.layers}
    return folding.plan(graph, board, foldings, board.clock_mhz)[0]


def test_the_boards_family_decides() -> None:
    families = {board: technology_of(load_board(board).family) for board in ("zcu104", "ulx3s-85f")}
    assert families == {"zcu104": SERIES7, "ulx3s-85f": ECP5}


def test_a_7_series_cost_is_the_layers_own() -> None:
    cost = Resources(7, 5, 0.5, 1)
    assert SERIES7.price("Window", cost) is cost


def test_an_unknown_kind_costs_what_others_do() -> None:
    cost = Resources(10, 10, 1.5, 2)
    assert ECP5.price("a new kind", cost) == ECP5.price(OTHER, cost) == Resources(30, 10, 1.5, 2)


def test_every_stage_and_fifo_of_a_plan_is_priced_for_the_board(graph: QuantGraph) -> None:
    one, other = planned(graph, SERIES7_BOARD), planned(graph, ECP5_BOARD)
    assert [s.name for s in one.stages] == [s.name for s in other.stages]
    assert one.max_cycles == other.max_cycles
    binary = next(
        i for i, stage in enumerate(one.stages) if stage.layer.binary_lanes(stage.folding)
    )
    assert other.stages[binary].resources.lut > 2 * one.stages[binary].resources.lut
    assert 1.5 * one.resources.lut < other.resources.lut < 4 * one.resources.lut
    assert one.resources.dsp == other.resources.dsp


def test_the_search_counts_what_the_plan_counts(graph: QuantGraph) -> None:
    """So a folding that the search calls least is least on the board that it is for."""
    search = Search(graph, ECP5_BOARD)
    for layer in search.graph.layers:
        stage = next(s for s in planned(graph, ECP5_BOARD).stages if s.name == layer.name)
        option = next(o for o in search.options[layer.name] if o.folding == stage.folding)
        assert option.cost[0] == pytest.approx(stage.resources.lut)


def test_what_cannot_fit_is_said_before_any_tool_runs(graph: QuantGraph) -> None:
    small = ECP5_BOARD.model_copy(
        update={"resources": ECP5_BOARD.resources.model_copy(update={"LUT": 1500})}
    )
    fits_in_luts_of_7_series = planned(graph, SERIES7_BOARD).resources.lut
    assert fits_in_luts_of_7_series < 1500 * small.usable
    with pytest.raises(ResourceError, match=r"does not fit colorlight-i5.*LUT \d+ of 1200"):
        folding.fastest(graph, small)


def test_rtl_of_a_7_series_build_is_that_of_the_library(graph: QuantGraph) -> None:
    content = systemverilog.emit(planned(graph, SERIES7_BOARD)).content
    assert not {"LUT6_2.sv", "FDRE.sv"} & set(content)
    assert content["rom_table.sv"] != systemverilog.library(ECP5)["rom_table"]
