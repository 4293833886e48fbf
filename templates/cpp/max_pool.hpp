// Largest of every kernel x kernel patch: (H, W, C) to (OH, OW, C); padding never wins.
#pragma once

#include <algorithm>

#include "simd.hpp"
#include "tensor.hpp"

template <class L, class In, class Out>
struct max_pool {
    using Unit = typename Out::Unit;
    static_assert(!In::view);

    explicit max_pool(const Params&) {}

    [[gnu::noinline]] void operator()(size_t n, const In& in, Out& out) const {
        dispatch(
            [](size_t n, const Unit* x, Unit* y) INLINE {
                for (; n > 0; --n, x += In::frame_units)
                    for (size_t oy = 0; oy < Out::H; ++oy)
                        for (size_t ox = 0; ox < Out::W; ++ox, y += Out::stride) pool(x, oy, ox, y);
            },
            n, in.data, out.data);
    }

   private:
    INLINE static void pool(const Unit* x, size_t oy, size_t ox, Unit* y) {
        constexpr Unit least = static_cast<Unit>(In::packed ? 0 : In::Type::lo);
        std::fill_n(y, Out::stride, least);
        for (size_t ky = 0; ky < L::kernel; ++ky)
            for (size_t kx = 0; kx < L::kernel; ++kx) {
                const size_t iy = oy * L::stride + ky - L::pad;  // wraps around above
                const size_t ix = ox * L::stride + kx - L::pad;
                if (iy >= In::H || ix >= In::W) continue;
                const Unit* const from = x + (iy * In::W + ix) * In::stride;
#pragma GCC ivdep
                for (size_t i = 0; i < In::stride; ++i)
                    y[i] = In::packed ? static_cast<Unit>(y[i] | from[i]) : std::max(y[i], from[i]);
            }
    }
};
