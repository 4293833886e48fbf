"""How a Threshold chooses its circuit."""

from __future__ import annotations

import numpy as np
import pytest

from hwgen.errors import FoldingError
from hwgen.layers import threshold
from hwgen.layers.affine_unit import dsps, product_luts
from hwgen.layers.base import Folding, Resources
from hwgen.layers.stairs import PRICES, area
from hwgen.layers.threshold import Threshold
from hwgen.quant import IntArray, IntType, Range, Tensor
from tests.layers.stairs import batch_norm, rprelu, thresholds_of

INT4 = IntType(4, signed=True)


def layer_of(thresholds: IntArray, reach: Range, y: IntType) -> Threshold:
    shape = (1, 1, len(thresholds))
    x = Tensor("x", shape, IntType.holding(*reach))
    return Threshold("t", (x,), (Tensor("y", shape, y),), thresholds, y.lo, reach)


def rprelu_layer(channels: int, bits: int) -> Threshold:
    return layer_of(*rprelu(np.random.default_rng(channels), channels, bits))


@pytest.mark.parametrize("bits", [3, 6, 8, 10])
def test_the_smallest_unit_is_taken_for_everything(bits: int) -> None:
    layer = rprelu_layer(64, bits)
    for folding in layer.foldings():
        choice = layer.choice(folding)
        least = min(area(cost) for cost in choice.candidates.values())
        assert choice.why == "smallest"
        assert area(choice.candidates[choice.chosen]) == least
        assert layer.resources(folding) == choice.candidates[choice.chosen]
        instance, latency = layer.rtl(folding), layer.schedule(folding).latency
        if instance.module == "affine_stairs":
            assert latency == instance.parameters["SEGMENTS"] + 3
        elif instance.module == "lookup":
            assert latency == 1
        else:
            assert latency == instance.parameters["STEPS"] + 1


def test_tables_win_for_few_bits_and_multipliers_for_many() -> None:
    assert rprelu_layer(64, 3).choice(Folding(16)).chosen == "table in LUTs"
    assert rprelu_layer(64, 6).choice(Folding(1)).chosen == "affine, DSP product"
    assert rprelu_layer(64, 12).choice(Folding(4)).chosen == "affine, DSP product"
    popcounts = batch_norm(np.random.default_rng(2), 64, 576, 2)
    assert layer_of(*popcounts).choice(Folding(1)).chosen == "binary search"


UNITS = ["table in LUTs", "table in block RAM", "binary search"]
UNITS += ["affine, LUT product", "affine, DSP product"]


@pytest.mark.parametrize("unit", UNITS)
def test_the_unit_that_is_asked_for_is_taken(unit: str) -> None:
    layer = rprelu_layer(16, 6)
    folding = layer.legal(layer.read_settings({"PE": 4, "unit": unit}))
    assert layer.settings(folding) == {"PE": 4, "unit": unit}
    choice = layer.choice(folding)
    assert (choice.chosen, choice.why) == (unit, "asked for")
    assert layer.resources(folding) == choice.candidates[unit]


def test_variants_are_all_units_and_the_smallest_first() -> None:
    layer = rprelu_layer(16, 6)
    found = list(layer.variants(Folding(4)))
    assert found[0] == Folding(4)
    assert sorted(layer.unit(f).name for f in found) == sorted(UNITS)
    costs = [area(layer.resources(f)) for f in found]
    assert costs[0] == min(costs)


def test_a_unit_that_is_not_possible_is_refused_with_those_that_are() -> None:
    layer = layer_of(np.array([[3], [-2]]), (-8, 7), IntType(1))
    with pytest.raises(FoldingError, match="'affine' is not possible with PE=1; possible: auto; "):
        layer.legal(Folding(1, unit="affine"))


def test_a_staircase_without_lines_is_searched_and_the_report_says_why() -> None:
    ties = thresholds_of(lambda x: np.stack([x, 0.25 * x]), (-16, 14), INT4)
    choice = layer_of(ties, (-16, 14), INT4).choice(Folding(1))
    assert not any("affine" in name for name in choice.candidates)
    assert choice.why.startswith("not affine: channel 1 is not one line or two")


def test_a_single_step_is_a_comparator() -> None:
    layer = layer_of(np.arange(-60, 60, 5)[:, None], (-128, 127), IntType(1))
    choice = layer.choice(Folding(1))
    assert (choice.chosen, choice.why) == ("comparator", "a single step")


def test_lines_need_only_serve_what_can_occur() -> None:
    """Popcounts of 36 bits come in a type of 0..63; steps that none reaches lie at 37."""
    rows, reach, y = batch_norm(np.random.default_rng(1), 8, 36, 4)
    rows = np.concatenate([rows, thresholds_of(lambda p: 0.11 * p[None], reach, y)])
    assert (rows[-1] == 37).sum() > 1
    layer = layer_of(rows, reach, y)
    assert layer.input.dtype.hi == 63
    for told, segments in ((layer, 1), (layer.within((0, 63)), 2)):  # a jump at 37 is a knee
        lines = told.lines()
        assert not isinstance(lines, str)
        assert lines.segments == segments


def test_lines_are_looked_for_once_and_only_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[Range] = []
    original = threshold.fit

    def counted(thresholds: IntArray, reach: Range) -> object:
        looked.append(reach)
        return original(thresholds, reach)

    monkeypatch.setattr(threshold, "fit", counted)
    layer = rprelu_layer(16, 6)
    layer.check()
    layer.evaluate(np.zeros((1, 1, 1, 16), np.int64))
    assert not looked
    for folding in layer.foldings():
        layer.resources(folding)
        layer.schedule(folding)
        layer.rtl(folding)
    assert looked == [(-64, 62)]


@pytest.mark.parametrize(
    ("a", "b", "blocks"),
    [
        (9, 16, 1),
        (18, 25, 1),
        (25, 18, 1),
        (19, 18, 1),
        (19, 19, 2),
        (26, 18, 2),
        (25, 19, 2),
        (26, 26, 4),
    ],
)
def test_products_take_the_dsp_blocks_of_25_by_18_bits(a: int, b: int, blocks: int) -> None:
    assert dsps(a, b) == blocks


def test_products_in_luts_grow_with_both_operands() -> None:
    for x in range(3, 20):
        for m in range(2, 24):
            assert product_luts(x, m) < product_luts(x + 1, m)
            assert product_luts(x, m) <= product_luts(x, m + 1)


def test_area_weighs_kinds_as_the_zynq_7020_has_them() -> None:
    luts, brams, dsp_blocks = 53200, 140, 220
    assert area(Resources(bram36=brams)) == pytest.approx(luts * PRICES["bram36"], rel=0.01)
    assert area(Resources(dsp=dsp_blocks)) == pytest.approx(luts * PRICES["dsp"], rel=0.01)
    assert area(Resources(lut=5, ff=8)) == 6
