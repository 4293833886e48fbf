// im2col: (H, W, C) to (OH, OW, kernel * kernel * C), taps ordered (ky, kx, c).
#pragma once

#include <algorithm>

#include "tensor.hpp"

template <class L, class In, class Out>
struct window {
    static constexpr size_t K = L::kernel, C = In::C;

    explicit window(const Params&) {}

    [[gnu::noinline]] void operator()(size_t n, const In& in, Out& out) const {
        for (size_t frame = 0; frame < n; ++frame)
            for (size_t oy = 0; oy < Out::H; ++oy)
                for (size_t ox = 0; ox < Out::W; ++ox) {
                    const auto* from = in.data.get() + frame * In::pixels * In::stride;
                    auto* to = out.data.get() +
                               ((frame * Out::H + oy) * Out::W + ox) * Out::stride;
                    if constexpr (In::packed && C % 64 != 0)
                        append_bits(from, to, oy, ox);
                    else
                        copy_units(from, to, oy, ox);
                }
    }

   private:
    using Unit = typename In::Unit;

    // A unit that shows nothing but padding.
    static constexpr Unit fill() {
        return static_cast<Unit>(In::packed ? -static_cast<int64_t>(L::pad_value) : L::pad_value);
    }

    static bool inside(size_t y, size_t x) { return y < In::H && x < In::W; }

    // Pixels are whole units: the taps of a kernel row lie side by side in input and output.
    static void copy_units(const Unit* from, Unit* to, size_t oy, size_t ox) {
        constexpr size_t unit = In::stride;
        const size_t x = ox * L::stride - L::pad;  // wraps around left of the image
        for (size_t ky = 0; ky < K; ++ky) {
            const size_t y = oy * L::stride + ky - L::pad;
            Unit* row = to + ky * K * unit;
            if (inside(y, x) && inside(y, x + K - 1)) {
                std::memcpy(row, from + (y * In::W + x) * unit, K * unit * sizeof(Unit));
                continue;
            }
            for (size_t kx = 0; kx < K; ++kx) {
                if (inside(y, x + kx))
                    std::copy_n(from + (y * In::W + x + kx) * unit, unit, row + kx * unit);
                else
                    std::fill_n(row + kx * unit, unit, fill());
            }
        }
    }

    // A pixel of C bits begins anywhere in a word of the output.
    static void append_bits(const uint64_t* from, uint64_t* to, size_t oy, size_t ox) {
        constexpr uint64_t tail = (uint64_t{1} << (C % 64)) - 1;
        std::fill_n(to, Out::stride, 0);
        for (size_t ky = 0; ky < K; ++ky)
            for (size_t kx = 0; kx < K; ++kx) {
                const size_t y = oy * L::stride + ky - L::pad, x = ox * L::stride + kx - L::pad;
                const uint64_t* pixel =
                    inside(y, x) ? from + (y * In::W + x) * In::stride : nullptr;
                for (size_t word = 0; word < In::stride; ++word) {
                    const uint64_t mask = word + 1 < In::stride ? ~uint64_t{0} : tail;
                    const uint64_t bits = pixel ? pixel[word] : fill() & mask;
                    const size_t at = (ky * K + kx) * C + 64 * word;
                    to[at / 64] |= bits << (at % 64);
                    if (at % 64 && at / 64 + 1 < Out::stride)
                        to[at / 64 + 1] |= bits >> (64 - at % 64);
                }
            }
    }
};
