// Mean of every kernel x kernel square, rounded down: (H, W, C) to (H / kernel, W / kernel, C).
#pragma once

#include "tensor.hpp"

template <class L, class In, class Out>
struct average_pool {
    static constexpr size_t K = L::kernel;
    static_assert(In::H == K * Out::H && In::W == K * Out::W && In::C == Out::C);

    explicit average_pool(const Params&) {}

    [[gnu::noinline]] void operator()(size_t n, const In& in, Out& out) const {
        for (size_t row = 0; row < n * Out::H; ++row)  // a frame's rows are whole squares
            for (size_t column = 0; column < Out::W; ++column) {
                alignas(64) int64_t sums[In::C] = {};
                for (size_t y = row * K; y < (row + 1) * K; ++y)
                    for (size_t x = column * K; x < (column + 1) * K; ++x)
                        for (size_t c = 0; c < In::C; ++c) sums[c] += in.at(y * In::W + x, c);
                out.store(row * Out::W + column, [&](size_t c) {
                    constexpr int64_t count = K * K;
                    return (sums[c] - (sums[c] % count + count) % count) / count;
                });
            }
    }
};
