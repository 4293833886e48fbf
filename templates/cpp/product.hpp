// Integer products of any width: blocks of output channels, one vector lane a channel.
#pragma once

#include <algorithm>

#include "simd.hpp"
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

    // Channel m of a pixel becomes bias[m] + sum over rows of x[row] * weight(row, m).
    template <class Out>
    void multiply(const Out& out, size_t pixel, const T* x, const T* bias) const {
        for (size_t block = 0; block < blocks; ++block) {
            const T* const w = data.get() + block * kRows * kBlock;
            alignas(64) T sums[kBlock];
            dispatch(
                [](const T* x, const T* w, T* to) INLINE {
                    T sums[kBlock] = {};
                    for (size_t row = 0; row < kRows; ++row)
                        for (size_t lane = 0; lane < kBlock; ++lane)
                            sums[lane] += x[row] * w[row * kBlock + lane];
                    for (size_t lane = 0; lane < kBlock; ++lane) to[lane] = sums[lane];
                },
                x, w, &sums[0]);
            const size_t first = block * kBlock;
            out.store_part(pixel, first, std::min(kBlock, kM - first),
                           [&](size_t i) { return sums[i] + bias[first + i]; });
        }
    }
};
