"""FIFO depths, against a simulation of tokens that knows nothing of how they were found."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from hwgen import fifo, folding
from hwgen.board import load_board
from hwgen.dataflow import Dataflow
from hwgen.layers.base import Folding
from hwgen.search import Search
from tests.backends.designs import chain, finish
from tests.kernel_simulation import Simulation
from tests.networks import random_reactnet, reducing_reactnet

BOARD = load_board("pynq-z2")
FRAMES = 4
HURRIED = (114,)  # whose lone frame would be late in the smallest FIFOs that keep the rate


@cache
def random_flow(seed: int) -> Dataflow:
    """A random network with the least area for a random rate, or with any foldings."""
    rng = np.random.default_rng(seed)
    if seed % 3 == 0:
        graph = reducing_reactnet(seed, size=(6, int(rng.choice([4, 6, 8]))))
    else:
        size = (int(rng.integers(3, 8)), int(rng.integers(3, 8)))
        bits = int(rng.integers(2, 9))
        graph = random_reactnet(seed, width=int(rng.choice([4, 6])), size=size, residual_bits=bits)
    if seed % 2:
        rates = [rate for rate in Search(graph, BOARD).rates if rate < 2000]
        chosen = folding.for_rate(graph, BOARD, int(rng.choice(rates)))
    else:
        legal = {layer.name: [*layer.foldings()] for layer in graph.layers}
        chosen = {name: found[int(rng.integers(len(found)))] for name, found in legal.items()}
    return folding.on_board(graph, BOARD, chosen, 100)


@pytest.mark.parametrize("seed", [*range(12), *HURRIED])
def test_rate_and_latency_are_those_of_unlimited_fifos(seed: int) -> None:
    flow = random_flow(seed)
    sizing = fifo.size(flow)
    ends = Simulation(flow, sizing.depths).run(FRAMES)
    assert np.diff(ends).tolist() == [flow.max_cycles] * (FRAMES - 1)
    unlimited = {name: depth and 1 << 30 for name, depth in sizing.depths.items()}
    assert ends[0] == Simulation(flow, unlimited).run(1)[0]
    assert sizing.latency_cycles == ends[0] + flow.stages[-1].schedule().latency + 1


@pytest.mark.parametrize("seed", [0, 1, *range(3, 12), *HURRIED])
def test_fifos_whose_beats_wait_may_take_a_cycle_more(seed: int) -> None:
    flow = random_flow(seed)
    sizing = fifo.size(flow)
    assert sizing.patient
    blocks = flow.with_blocks(sizing.patient)
    ends = Simulation(blocks, sizing.depths).run(FRAMES)
    assert np.diff(ends).tolist() == [flow.max_cycles] * (FRAMES - 1)
    assert sizing.latency_cycles == ends[0] + flow.stages[-1].schedule().latency + 1


@pytest.mark.parametrize("seed", range(12))
def test_fifos_are_no_larger_than_what_waits_in_unlimited_ones(seed: int) -> None:
    """Stages that run as soon as they can, fed at the rate of the design."""
    flow = random_flow(seed)
    depths = fifo.size(flow).depths
    soon = Simulation(flow, dict.fromkeys(depths, 1 << 30), pace=flow.max_cycles)
    soon.run(FRAMES)
    bits = sum(s.width * depths[s.name] for s in flow.streams)
    assert bits <= sum(s.width * max(2, soon.most[s.name] + 1) for s in flow.streams)


def test_a_window_waits_for_a_slower_product_instead_of_filling_a_fifo() -> None:
    """The window is three times as fast as the product, but only reads on with every row."""
    layers = chain(0, (6, 6, 3))
    layers.window(3)
    layers.product(6)
    graph = finish("a window and a product", layers)
    chosen = {"Window_0": Folding(simd=3), "MVAU_0": Folding(2, 3)}
    flow = folding.on_board(graph, BOARD, chosen, 100)
    window = graph.layers[0].cycles(chosen["Window_0"])
    assert flow.max_cycles == 3 * window
    (stream,) = (s for s in flow.streams if s.sink == "MVAU_0")
    soon = Simulation(flow, dict.fromkeys((s.name for s in flow.streams), 1 << 30), pace=3 * window)
    soon.run(FRAMES)
    assert soon.most[stream.name] > 20
    assert fifo.size(flow).depths[stream.name] <= 2


@pytest.mark.parametrize("seed", [0, 5, 9, *HURRIED])
def test_no_stalls_at_the_edges_lead_into_a_deadlock(seed: int) -> None:
    flow = random_flow(seed)
    depths = fifo.size(flow).depths
    for traffic in range(3):
        ends = Simulation(flow, depths, stall=0.3 + 0.3 * traffic).run(2, seed=traffic)
        assert len(ends) == 2
