// Adds a bias that depends on the pixel's place: y = x + bias[class of row, class of column][c].
#pragma once

#include "add.hpp"

template <class L, class In, class Out>
struct border_bias {
    using Sum = Accumulator<typename Out::Type>;

    explicit border_bias(const Params& params)
        : bias(L::bias::count), place(In::pixels) {
        const typename L::bias b(params);
        const typename L::rows rows(params);
        const typename L::columns columns(params);
        for (size_t i = 0; i < L::bias::dims[0]; ++i)
            for (size_t c = 0; c < In::C; ++c) bias[i * In::C + c] = static_cast<Sum>(b(i, c));
        const size_t across = static_cast<size_t>(columns(In::W - 1)) + 1;
        for (size_t y = 0; y < In::H; ++y)
            for (size_t x = 0; x < In::W; ++x)
                place[y * In::W + x] =
                    (static_cast<size_t>(rows(y)) * across + static_cast<size_t>(columns(x))) *
                    In::C;
    }

    [[gnu::noinline]] void operator()(size_t n, const In& in, Out& out) const {
        for (size_t frame = 0; frame < n; ++frame)
            for (size_t i = 0; i < In::pixels; ++i) {
                const size_t pixel = frame * In::pixels + i;
                const Sum* const own = bias.get() + place[i];
                if constexpr (In::plain && Out::plain)
                    add_arrays<Sum>(in.data + pixel * In::C, own, In::C,
                                    out.data + pixel * In::C);
                else
                    out.store(pixel, [&](size_t c) {
                        return static_cast<Sum>(in.at(pixel, c)) + own[c];
                    });
            }
    }

   private:
    Buffer<Sum> bias;
    Buffer<size_t> place;
};
