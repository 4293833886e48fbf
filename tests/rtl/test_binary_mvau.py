"""Binary MVAUs of compressor trees: as their twins, and as the primitives they consist of."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rtl.bench import ROUGH, Bench, Dut, initiation_interval
from tests.rtl.kernels import Case, check_cycles, check_layer, sign_by, styled, xnor_by
from tests.rtl.test_kernels_synthesis import cells_of, flip_flops
from tests.rtl.tools import lint, luts

RIPPLE, AND = "XNOR pairs, compressor tree", "AND in flip-flop resets, compressor tree"
SHAPES = [  # pixels, k, m, pe, simd
    (5, 64, 8, 4, 32),
    (5, 45, 12, 3, 9),
    (4, 8, 2, 2, 8),  # one fold; K = 2^n
    (4, 1, 1, 1, 1),
    (3, 256, 6, 1, 256),  # SF = 1
    (3, 24, 7, 7, 4),  # NF = 1
    (3, 288, 16, 4, 32),
    (3, 6, 4, 1, 2),
    (2, 12, 64, 1, 3),
    (2, 35, 12, 12, 5),
    (3, 10, 5, 5, 1),
    (3, 600, 3, 3, 300),
    (2, 14, 3, 1, 7),
]
KINDS = [(make, unit) for make in (xnor_by, sign_by) for unit in (RIPPLE, AND)]
STYLED = [(make, unit, style) for make, unit in KINDS for style in ("block", "distributed")]
CASES = [make(unit, *shape) for make, unit in KINDS for shape in SHAPES]
CASES += [styled(make(unit, *SHAPES[6]), style) for make, unit, style in STYLED]
IDS = [f"{m.__name__}-{unit.split()[0]}-{i}" for m, unit in KINDS for i in range(len(SHAPES))]
IDS += [f"{m.__name__}-{unit.split()[0]}-{style}" for m, unit, style in STYLED]
INDICES = pytest.mark.parametrize("index", range(len(CASES)), ids=IDS)


@pytest.fixture(scope="module", params=["twin", pytest.param("primitives", marks=pytest.mark.slow)])
def bench(bench_cache: Path, request: pytest.FixtureRequest) -> Bench:
    duts = [Dut.of_layer(*case) for case in CASES]
    return Bench.build(duts, bench_cache, structural=request.param == "primitives")


@INDICES
def test_equals_the_integer_meaning_under_any_traffic(bench: Bench, index: int) -> None:
    for traffic in ROUGH:
        check_layer(bench, index, *CASES[index], frames=4, traffic=traffic)


@INDICES
def test_every_beat_leaves_in_the_promised_cycle(bench: Bench, index: int) -> None:
    case: Case = CASES[index]
    layer, folding = case
    result = check_cycles(bench, index, case, layer.units(folding)[0].latency)  # type: ignore[attr-defined]
    assert initiation_interval(result, frames=5) == layer.cycles(folding)


@INDICES
@pytest.mark.parametrize("structural", [False, True], ids=["twin", "primitives"])
def test_lint_is_clean(index: int, structural: bool) -> None:
    dut = Dut.of_layer(*CASES[index])
    assert lint(dut.module, dut.parameters, dut.sources, structural=structural) == ""


# unit, SIMD, LUTs a lane (count, sum over 9 folds, threshold); goals for AND: 0.80, 0.73 a bit
LANES = [(AND, 64, 49), (AND, 128, 84), (RIPPLE, 64, 65), (RIPPLE, 128, 118)]


@pytest.mark.slow
def test_a_lane_costs_what_is_claimed_and_the_estimate_is_close(tmp_path: Path) -> None:
    """What four more lanes add is theirs alone; weights lie in block RAM."""
    for (unit, simd, most), work in zip(LANES, "abcd", strict=True):
        cases = [sign_by(unit, 1, 9 * simd, 64, pe, simd) for pe in (4, 8)]
        (tmp_path / work).mkdir()
        four, eight = cells_of(cases, tmp_path / work)
        assert luts(eight) - luts(four) <= 4 * most, (unit, simd, four, eight)
        for (layer, folding), cells in zip(cases, (four, eight), strict=True):
            estimate = layer.resources(folding)
            assert 0.85 * luts(cells) <= estimate.lut <= 1.15 * luts(cells), (estimate, cells)
            ff = flip_flops(cells)
            assert 0.85 * ff <= estimate.ff <= 1.15 * ff, (estimate, cells)
