"""Thresholds are exact: at ties, where float32 rounds, on either way of finding them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper
from qonnx.core.modelwrapper import ModelWrapper

from hwgen import ops
from hwgen.errors import UnsupportedError
from hwgen.frontend.staircase import EXHAUSTIVE, chain_function, extract
from hwgen.quant import IntArray
from tests.qonnx_models import BREVITAS

F = np.float32


def model_of(factor: np.ndarray, offset: np.ndarray, scale: float, bits: int) -> ModelWrapper:
    """Mul and Add by channel, then a signed Quant."""
    c = len(factor)
    constants = {"f": factor.reshape(1, c, 1, 1), "o": offset.reshape(1, c, 1, 1)}
    constants |= {"s": F(scale), "z": F(0), "b": F(bits)}
    kind = {"signed": 1, "narrow": 0, "rounding_mode": "ROUND"}
    nodes = [
        helper.make_node("Mul", ["x", "f"], ["u"]),
        helper.make_node("Add", ["o", "u"], ["v"]),
        helper.make_node("Quant", ["v", "s", "z", "b"], ["y"], domain=BREVITAS, **kind),
    ]
    x, y = (helper.make_tensor_value_info(n, 1, [1, c, 1, 1]) for n in "xy")
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(BREVITAS, 2)]
    graph = helper.make_graph(nodes, "chain", [x], [y])
    model = ModelWrapper(helper.make_model(graph, opset_imports=opsets))
    for name, value in constants.items():
        model.set_initializer(name, np.asarray(value, F))
    return model


def by_hand(
    x: IntArray, step: float, factor: np.ndarray, offset: np.ndarray, scale: float, bits: int
) -> IntArray:
    """The same in numpy's float32, operator by operator."""
    v = offset + (x.astype(F) * F(step)) * factor
    half = 2 ** (bits - 1)
    return np.round(np.clip(v / F(scale), -half, half - 1)).astype(np.int64)


def stairs_of(
    factor: np.ndarray, offset: np.ndarray, scale: float, bits: int, step: float, lo: int, hi: int
) -> tuple[IntArray, IntArray]:
    """Thresholds and directions as hwgen finds them."""
    model = model_of(factor, offset, scale, bits)
    apply = chain_function(model, list(model.graph.node), len(factor))
    half = 2 ** (bits - 1)

    def level_of(x: IntArray) -> IntArray:
        y = apply(x.astype(F) * F(step)).astype(np.float64) / F(scale)
        return np.rint(y).astype(np.int64) + half

    stairs = extract(level_of, len(factor), lo, hi, 2 * half - 1)
    return stairs.thresholds, stairs.flip


@pytest.mark.parametrize("span", [200, 2 * EXHAUSTIVE])
def test_ties_go_to_the_even_level(span: int) -> None:
    """x / 4 rounded half to even: every second integer is a tie."""
    ones, zeros = np.ones(2, F), np.zeros(2, F)
    thresholds, flip = stairs_of(ones, zeros, 4.0, 4, 2.0, -span, span)
    x = np.repeat(np.arange(-span, span + 1)[:, None], 2, axis=1)
    got = ops.threshold(x[:, None, None, :], thresholds=thresholds, offset=-8)[:, 0, 0]
    want = np.clip(np.round(x / 2), -8, 7)
    np.testing.assert_array_equal(got, want)
    assert not flip.any()
    assert thresholds[0, 8] == 2  # 0.5 stays at 0, 1.5 goes to 2: level 1 begins at 1.0
    assert thresholds[0, 9] == 3


numbers = st.floats(-3, 3, width=32).filter(lambda v: abs(v) > 1e-3)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    factors=st.lists(numbers, min_size=1, max_size=3),
    offset=st.floats(-2, 2, width=32),
    scale=st.floats(0.0625, 1.5, width=32),
    step=st.floats(0.0009765625, 0.5, width=32),
    bits=st.integers(2, 5),
    wide=st.booleans(),
    lo=st.integers(-3000, 0),
)
def test_thresholds_are_those_of_float32_at_every_integer(
    factors: list[float],
    offset: float,
    scale: float,
    step: float,
    bits: int,
    wide: bool,
    lo: int,
) -> None:
    factor, shift = np.array(factors, F), np.full(len(factors), offset, F)
    hi = lo + (EXHAUSTIVE * 3 if wide else 700)
    thresholds, flip = stairs_of(factor, shift, scale, bits, step, lo, hi)
    x = np.repeat(np.arange(lo, hi + 1)[:, None], len(factors), axis=1)
    want = by_hand(x, step, factor, shift, scale, bits)
    read = np.where(flip, lo + hi - x, x)  # falling channels are read from the other end
    half = 2 ** (bits - 1)
    got = ops.threshold(read[:, None, None, :], thresholds=thresholds, offset=-half)[:, 0, 0]
    np.testing.assert_array_equal(got, want)
    falling = want[0] > want[-1]
    np.testing.assert_array_equal(flip, falling)


@pytest.mark.parametrize("base", [2**22 - 40, 2**24 - 80])
def test_thresholds_where_float32_has_no_integers_left(base: int) -> None:
    """x * 1.7 + 0.3 around 2^23 and 2^24: neighbours fall on one float, others skip one."""
    factor, offset = np.array([1.7], F), np.array([0.3 - base * 1.7], F)
    thresholds, _ = stairs_of(factor, offset, 9.0, 4, 1.0, base, base + 79)
    x = np.arange(base, base + 80)[:, None]
    want = by_hand(x, 1.0, factor, offset, 9.0, 4)
    got = ops.threshold(x[:, None, None, :], thresholds=thresholds, offset=-8)[:, 0, 0]
    np.testing.assert_array_equal(got, want)
    assert len(np.unique(want)) > 3


def test_a_function_that_rises_and_falls_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="channel 1 falls at 1"):
        extract(lambda x: np.stack([x[:, 0] + 5, 5 - x[:, 1] ** 2], axis=1), 2, -2, 2, 9)
