// Mean of every kernel x kernel square, rounded down: (H, W, C) to (H / kernel, W / kernel, C).
#pragma once

#include "simd.hpp"
#include "tensor.hpp"

// kernel rows of pixels, `row` elements apart, to one row of means.
template <size_t kKernel, class Sum, class X>
void pool_rows(const X* x, size_t row, size_t columns, size_t channels, X* y) {
    dispatch(
        [](const X* x, size_t row, size_t columns, size_t channels, X* y) INLINE {
            constexpr int shift = __builtin_ctzll(kKernel * kKernel);
            for (; columns > 0; --columns, x += kKernel * channels, y += channels)
#pragma GCC ivdep
                for (size_t c = 0; c < channels; ++c) {
                    Sum sum = 0;
                    for (size_t i = 0; i < kKernel; ++i)
                        for (size_t j = 0; j < kKernel; ++j) sum += x[i * row + j * channels + c];
                    y[c] = static_cast<X>(sum >> shift);
                }
        },
        x, row, columns, channels, y);
}

template <class L, class In, class Out>
struct average_pool {
    static constexpr size_t K = L::kernel;
    static constexpr int shift = __builtin_ctzll(K * K);
    static_assert(In::H == K * Out::H && In::W == K * Out::W && In::C == Out::C);
    static_assert(K * K == size_t{1} << shift);
    using Sum = std::conditional_t<(sizeof(typename In::Element) < 4 && K <= 64), std::int32_t,
                                   int64_t>;

    explicit average_pool(const Params&) {}

    [[gnu::noinline]] void operator()(size_t n, const In& in, Out& out) const {
        for (size_t row = 0; row < n * Out::H; ++row)  // a frame's rows are whole squares
            if constexpr (In::plain)
                pool_rows<K, Sum>(in.data + row * K * In::W * In::C, In::W * In::C, Out::W, In::C,
                                  out.data + row * Out::W * In::C);
            else
                for (size_t column = 0; column < Out::W; ++column)
                    out.store(row * Out::W + column, [&](size_t c) {
                        int64_t sum = 0;
                        for (size_t y = row * K; y < (row + 1) * K; ++y)
                            for (size_t x = column * K; x < (column + 1) * K; ++x)
                                sum += in.at(y * In::W + x, c);
                        return sum >> shift;
                    });
    }
};
