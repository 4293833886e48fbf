// Largest of every kernel x kernel patch: (H, W, C) to (OH, OW, C); padding never wins.
#pragma once

#include <algorithm>

#include "tensor.hpp"

template <class L, class In, class Out>
struct max_pool {
    explicit max_pool(const Params&) {}

    [[gnu::noinline]] void operator()(size_t n, const In& in, Out& out) const {
        using Element = typename In::Element;
        for (size_t frame = 0; frame < n; ++frame)
            for (size_t oy = 0; oy < Out::H; ++oy)
                for (size_t ox = 0; ox < Out::W; ++ox) {
                    alignas(64) Element most[In::C];
                    std::fill_n(most, In::C, static_cast<Element>(In::Type::lo));
                    for (size_t ky = 0; ky < L::kernel; ++ky)
                        for (size_t kx = 0; kx < L::kernel; ++kx) {
                            const size_t y = oy * L::stride + ky - L::pad;  // wraps around above
                            const size_t x = ox * L::stride + kx - L::pad;
                            if (y >= In::H || x >= In::W) continue;
                            const size_t pixel = (frame * In::H + y) * In::W + x;
                            for (size_t c = 0; c < In::C; ++c)
                                most[c] = std::max(most[c], in.at(pixel, c));
                        }
                    out.store((frame * Out::H + oy) * Out::W + ox,
                              [&](size_t c) { return most[c]; });
                }
    }
};
