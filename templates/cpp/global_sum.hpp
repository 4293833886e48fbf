// Sum over all pixels: (H, W, C) to (1, 1, C).
#pragma once

#include "tensor.hpp"

template <class L, class In, class Out>
struct global_sum {
    using Sum = Accumulator<typename Out::Type>;

    explicit global_sum(const Params&) {}

    [[gnu::noinline]] void operator()(size_t n, const In& in, Out& out) const {
        for (size_t frame = 0; frame < n; ++frame) {
            alignas(64) Sum sums[In::C] = {};
            for (size_t pixel = 0; pixel < In::pixels; ++pixel)
                for (size_t c = 0; c < In::C; ++c)
                    sums[c] += static_cast<Sum>(in.at(frame * In::pixels + pixel, c));
            out.store(frame, [&](size_t c) { return sums[c]; });
        }
    }
};
