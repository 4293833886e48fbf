// Sum over all pixels: (H, W, C) to (1, 1, C).
#pragma once

#include "simd.hpp"
#include "tensor.hpp"

template <class Sum, class X>
void sum_rows(const X* x, size_t rows, size_t channels, Sum* sums) {
    dispatch(
        [](const X* x, size_t rows, size_t channels, Sum* sums) INLINE {
            for (; rows > 0; --rows, x += channels)
#pragma GCC ivdep
                for (size_t c = 0; c < channels; ++c) sums[c] += static_cast<Sum>(x[c]);
        },
        x, rows, channels, sums);
}

template <class L, class In, class Out>
struct global_sum {
    using Sum = Accumulator<typename Out::Type>;

    explicit global_sum(const Params&) {}

    [[gnu::noinline]] void operator()(size_t n, const In& in, Out& out) const {
        for (size_t frame = 0; frame < n; ++frame) {
            alignas(64) Sum sums[In::C] = {};
            const size_t first = frame * In::pixels;
            if constexpr (In::plain)
                sum_rows(in.data + first * In::C, In::pixels, In::C, sums);
            else
                for (size_t pixel = first; pixel < first + In::pixels; ++pixel)
                    for (size_t c = 0; c < In::C; ++c)
                        sums[c] += static_cast<Sum>(in.at(pixel, c));
            out.store(frame, [&](size_t c) { return sums[c]; });
        }
    }
};
