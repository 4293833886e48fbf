// The loop that matrix products share: blocks of output channels, one vector lane a channel.
#pragma once

#include "tensor.hpp"

// Lanes of a block for M channels: as wide as possible with the least padding.
constexpr size_t block_of(size_t m, size_t widest) {
    while (widest > 8 && (m + widest - 1) / widest * widest > (m + 7) / 8 * 8) widest /= 2;
    return widest;
}

// Weights (rows, M) stored as (block, row, lane); lanes behind M are 0.
template <class T, size_t kRows, size_t kM, size_t kBlock>
struct Blocked {
    static constexpr size_t blocks = (kM + kBlock - 1) / kBlock;
    Buffer<T> data{blocks * kRows * kBlock};

    T& at(size_t row, size_t m) const {
        return data[(m / kBlock * kRows + row) * kBlock + m % kBlock];
    }

    // out(pixel, m) = finish(m, sum over rows of term(load(pixel, row), weight(row, m)))
    template <class Out, class Load, class Term, class Finish>
    void multiply(const Out& out, size_t pixels, Load&& load, Term&& term, Finish&& finish) const {
        constexpr size_t last = kM - (blocks - 1) * kBlock;
        for (size_t block = 0; block < blocks; ++block) {
            const T* const weights = data.get() + block * kRows * kBlock;
            for (size_t pixel = 0; pixel < pixels; ++pixel) {
                alignas(64) T sums[kBlock] = {};
                for (size_t row = 0; row < kRows; ++row) {
                    const T x = load(pixel, row);
                    for (size_t lane = 0; lane < kBlock; ++lane)
                        sums[lane] += term(x, weights[row * kBlock + lane]);
                }
                out.store_part(pixel, block * kBlock, block + 1 < blocks ? kBlock : last,
                               [&](size_t i) { return finish(block * kBlock + i, sums[i]); });
            }
        }
    }
};
