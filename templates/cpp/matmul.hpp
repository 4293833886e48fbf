// Integer product: (H, W, K) by weights (K, M) plus bias (M) to (H, W, M).
#pragma once

#include "product.hpp"

template <class L, class In, class Out>
struct matmul {
    using Sum = Accumulator<typename Out::Type>;
    static constexpr size_t K = In::C, M = Out::C;
    Blocked<Sum, K, M, block_of(M, 64)> weights;
    Buffer<Sum> bias{M};

    explicit matmul(const Params& params) {
        const typename L::weights w(params);
        const typename L::bias b(params);
        for (size_t m = 0; m < M; ++m) bias[m] = static_cast<Sum>(b(m));
        for (size_t k = 0; k < K; ++k)
            for (size_t m = 0; m < M; ++m) weights.at(k, m) = static_cast<Sum>(w(k, m));
    }

    [[gnu::noinline]] void operator()(size_t n, const In& in, Out& out) const {
        const Sum* const start = bias.get();
        weights.multiply(
            out, n * In::pixels,
            [&in](size_t pixel, size_t k) { return static_cast<Sum>(in.at(pixel, k)); },
            [](Sum a, Sum b) { return a * b; },
            [start](size_t m, Sum sum) { return sum + start[m]; });
    }
};
