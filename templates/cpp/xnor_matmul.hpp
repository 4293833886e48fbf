// popcount(xnor(x, w)) over K bits: bits (H, W, K) by weight bits (K, M) to (H, W, M).
#pragma once

#include "product.hpp"

template <class L, class In, class Out>
struct xnor_matmul {
    static_assert(In::packed, "an XNOR product reads bits");
    static constexpr size_t K = In::C, M = Out::C;
    Blocked<uint64_t, words(K), M, block_of(M, 32)> weights;

    explicit xnor_matmul(const Params& params) {
        const typename L::weights bits(params);
        for (size_t k = 0; k < K; ++k)
            for (size_t m = 0; m < M; ++m)
                weights.at(k / 64, m) |= static_cast<uint64_t>(bits(k, m)) << (k % 64);
    }

    // Bits behind K are 0 on both sides, so they never differ.
    [[gnu::noinline]] void operator()(size_t n, const In& in, Out& out) const {
        const uint64_t* const x = in.data.get();
        weights.multiply(
            out, n * In::pixels,
            [x](size_t pixel, size_t word) { return x[pixel * In::stride + word]; },
            [](uint64_t a, uint64_t b) {
                return static_cast<uint64_t>(__builtin_popcountll(a ^ b));
            },
            [](size_t, uint64_t differing) { return K - differing; });
    }
};
