"""Compressor trees: they add up what is put in, cost what is claimed, and never change."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np
import pytest

from hwgen.layers import compressor
from hwgen.layers.compressor import ADDER, COUNTER, RIPPLE, Tree, compress
from hwgen.layers.compressor_rtl import describe
from hwgen.quant import IntArray

Heap = tuple[tuple[int, int], ...]


def ones(n: int) -> Heap:
    return tuple((0, 0) for _ in range(n))


def ands(n: int, late: int = 0) -> Heap:
    """n bits of weight 2, and their count's bits."""
    return (*((1, 0) for _ in range(n)), *((c, late) for c in range(n.bit_length())))


def random_heap(seed: int) -> Heap:
    rng = np.random.default_rng(seed)
    bits = [(int(c), 4 * int(rng.integers(0, 3))) for c in rng.integers(0, 6, rng.integers(1, 60))]
    return tuple(bits)


def value(tree: Tree, bits: IntArray) -> IntArray:
    """What the cells make of operand bits (vectors, operands), by what each cell is meant to do."""
    nets: dict[int, IntArray] = {i: bits[:, i] for i in range(bits.shape[1])}
    nets[-1] = np.zeros(len(bits), np.int64)
    for cell in tree.cells:
        if cell.kind == RIPPLE:
            x = sum(nets[b] << i for i, b in enumerate(cell.inputs[1::2]))
            total = x + sum(nets[b] << i for i, b in enumerate(cell.inputs[2::2]))
            total = total + nets[cell.inputs[0]]
        else:
            assert len(cell.inputs) <= {COUNTER: 7, ADDER: 3}[cell.kind]
            total = np.sum([nets[b] for b in cell.inputs], axis=0)
        for i, bit in enumerate(cell.outputs):
            nets[bit] = total >> i & 1
        assert (total >> len(cell.outputs) == 0).all()
    return np.sum([nets[b] << c for c, b in enumerate(tree.result)], axis=0)


HEAPS: Mapping[str, Heap] = {
    **{f"ones{n}": ones(n) for n in (*range(1, 40), 63, 64, 127, 128, 576, 1152, 4608)},
    **{f"ands{n}": ands(n, 4) for n in (1, 2, 3, 5, 9, 64, 300, 4608)},
    **{f"random{seed}": random_heap(seed) for seed in range(60)},
}


@pytest.mark.parametrize("heap", HEAPS.values(), ids=HEAPS)
def test_the_result_is_the_sum_of_the_operands(heap: Heap) -> None:
    bits = np.random.default_rng(0).integers(0, 2, (200, len(heap)))
    bits[0], bits[1] = 0, 1
    weights = np.array([1 << column for column, _ in heap])
    for span in (1, 2, 4, 100):
        np.testing.assert_array_equal(value(compress(heap, span), bits), bits @ weights)


@pytest.mark.parametrize("heap", HEAPS.values(), ids=HEAPS)
def test_every_bit_is_made_before_it_is_read_and_read_once(heap: Heap) -> None:
    tree = compress(heap, 2)
    ready = tree.ready()
    read = [bit for cell in tree.cells for bit in cell.inputs if bit >= 0]
    read += [bit for bit in tree.result if bit >= 0]
    assert len(read) == len(set(read))
    for cell in tree.cells:
        assert all(ready[bit] < cell.level for bit in cell.inputs if bit >= 0)


# operands, LUTs: half a LUT a bit, and as little as the counters allow
FIGURES = [(16, 9), (32, 17), (63, 31), (64, 34), (128, 66), (256, 131), (512, 259), (4608, 2307)]


@pytest.mark.parametrize(("n", "luts"), FIGURES)
def test_a_popcount_takes_half_a_lut_a_bit(n: int, luts: int) -> None:
    assert compress(ones(n), 4).luts == luts
    assert n < 64 or luts <= 0.54 * n


def test_no_plan_of_a_few_bits_is_better() -> None:
    """Against a search over every order of cells, for heaps of up to eight bits."""

    def least(heights: tuple[int, ...]) -> int:
        """LUTs by exhaustive search; a ripple adder can take the place of any adder."""
        while heights and not heights[-1]:
            heights = heights[:-1]
        if max(heights) <= 1:
            return 0
        if heights not in known:
            options = []
            for column, height in enumerate(heights):
                for taken, luts, made in ((3, 1, 2), (2, 1, 2), *((n, 2, 3) for n in (4, 5, 6, 7))):
                    if taken <= height:
                        after = [*heights, 0, 0]
                        after[column] -= taken
                        for offset in range(made):
                            after[column + offset] += 1
                        options.append(luts + least(tuple(after)))
            known[heights] = min(options)
        return known[heights]

    known: dict[tuple[int, ...], int] = {}
    for n in range(2, 9):
        assert compressor.plan((n,))[0] <= least((n,))


def test_the_largest_tree_takes_less_than_a_second() -> None:
    compressor.plan.cache_clear()
    compress.cache_clear()
    start = time.process_time()
    compress(ands(4608, 12), 4)
    assert time.process_time() - start < 1


def test_the_same_shape_gives_the_same_text() -> None:
    texts = []
    for _ in range(2):
        compressor.plan.cache_clear()
        compress.cache_clear()
        texts.append(describe(compress(ands(100, 4), 4), "tree"))
    assert texts[0] == texts[1]
