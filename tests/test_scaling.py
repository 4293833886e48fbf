"""What the host does before the first and behind the last integer, wherever it is written down."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import yaml

from hwgen import fifo
from hwgen.backends import pynq, reference
from hwgen.board import load_board
from hwgen.dataflow import build_dataflow
from hwgen.engine import interpret
from hwgen.files import Files
from hwgen.quant import QuantGraph, Scaling, quantise_input
from tests.networks import random_images, random_reactnet

MEANS, STDS = (0.5, 0.25, 0.4), (0.2, 0.3, 0.7)
SCALING = Scaling(
    input_scale=0.03,
    output_scale=tuple(n / 7 for n in range(1, 6)),
    output_offset=tuple(n - 0.3 for n in range(5)),
    input_steps=(("subtract", MEANS), ("divide", STDS), ("maximum", (-1.5,)), ("floor", ())),
    input_limits=(3, 250),
)
Quantise = Callable[[np.ndarray], np.ndarray]


def graph_of(scaling: Scaling = SCALING) -> QuantGraph:
    return replace(random_reactnet(0, in_channels=3, classes=5), scaling=scaling)


def module_of(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def of_reference(graph: QuantGraph, folder: Path) -> Quantise:
    reference.emit(graph).write(folder)
    quantise: Quantise = module_of(folder / "model.py", "scaled_model").quantise
    return quantise


def of_driver(graph: QuantGraph, folder: Path) -> Quantise:
    board = load_board("pynq-z2")
    foldings = {layer.name: next(layer.foldings()) for layer in graph.layers}
    flow = build_dataflow(graph, foldings, bus_bytes=board.bus_bytes, clock_mhz=100.0)
    pynq.emit(flow.with_depths(fifo.size(flow).depths), board, Files()).write(folder)
    packing = module_of(folder / "packing.py", "scaled_packing")
    quantise: Quantise = packing.load_design(folder / "shapes.json").quantise
    return quantise


@pytest.mark.parametrize(
    "make",
    [lambda graph, folder: lambda x: quantise_input(graph, x), of_reference, of_driver],
    ids=["hwgen", "reference", "driver"],
)
def test_steps_on_the_input_are_those_of_float32(
    tmp_path: Path, make: Callable[[QuantGraph, Path], Quantise]
) -> None:
    graph = graph_of()
    h, w, _ = graph.input.shape
    images = np.random.default_rng(1).uniform(-1, 9, (6, 3, h, w)).astype(np.float32)
    x = images.transpose(0, 2, 3, 1)
    x = (x - np.array(MEANS, np.float32)) / np.array(STDS, np.float32)
    x = np.floor(np.maximum(x, np.float32(-1.5)))
    want = np.clip(np.round(x / np.float32(0.03)), 3, 250)
    assert (want == 3).any()
    assert (want == 250).any()
    np.testing.assert_array_equal(make(graph, tmp_path)(images), want)


def test_scales_and_offsets_by_channel_are_applied_by_the_reference(tmp_path: Path) -> None:
    graph = graph_of(replace(SCALING, input_steps=(), input_limits=None))
    reference.emit(graph).write(tmp_path)
    frames = random_images(graph, 4)
    np.save(tmp_path / "in.npy", frames)
    module = module_of(tmp_path / "model.py", "scaled_floats")
    arguments = ["model.py", str(tmp_path / "in.npy"), str(tmp_path / "out.npy"), "--float"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", arguments)
        assert module.main() == 0
    logits = interpret(graph, frames, keep=False)[graph.output.name].reshape(4, 5)
    want = logits * np.arange(1, 6) / 7 + np.arange(5) - 0.3
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), want, rtol=1e-12)
    np.testing.assert_allclose(graph.scaling.floats(logits), want, rtol=1e-12)


@pytest.mark.parametrize("scaling", [SCALING, Scaling(2**-8, 2**-10)])
def test_a_scaling_survives_its_file(scaling: Scaling) -> None:
    assert Scaling.parse(yaml.safe_load(yaml.safe_dump(asdict(scaling)))) == scaling


def test_outputs_agree_exactly_on_powers_of_two_and_to_the_nearest_integer_elsewhere() -> None:
    ints = np.array([[[[-3, 0, 7]]]])
    dyadic, other = Scaling(1, 2**-3), Scaling(1, 0.3, (1.0, 2.0, 3.0))
    assert dyadic.agrees(ints, ints / 8).all()
    assert dyadic.agrees(ints, ints / 8 + [0, 0, 1e-4]).tolist() == [[[[True, True, False]]]]
    near = ints * 0.3 + [1, 2, 3] + [1e-4, -1e-4, 0.2]
    assert other.agrees(ints, near).tolist() == [[[[True, True, False]]]]
    flat = Scaling(1, (0.0, 1.0, 1.0), (5.0, 0.0, 0.0))
    assert flat.agrees(ints, np.array([[[[5.0, 0.0, 7.0]]]])).all()
    assert not flat.agrees(ints, np.array([[[[4.0, 0.0, 7.0]]]])).all()
