// The channels of every pixel in equal parts, one for every output.
#pragma once

#include <algorithm>

#include "tensor.hpp"

template <class L, class In, class... Outs>
struct split {
    static_assert(sizeof...(Outs) == L::outputs);

    explicit split(const Params&) {}

    [[gnu::noinline]] void operator()(size_t n, const In& in, Outs&... outs) const {
        for (size_t pixel = 0; pixel < n * In::pixels; ++pixel) {
            size_t first = 0;
            (take(pixel, first, in, outs), ...);
        }
    }

   private:
    template <class Out>
    static void take(size_t pixel, size_t& first, const In& in, Out& out) {
        if constexpr (In::plain && Out::plain)
            std::copy_n(in.data + pixel * In::C + first, Out::C, out.data + pixel * Out::C);
        else
            out.store(pixel, [&](size_t c) { return in.at(pixel, first + c); });
        first += Out::C;
    }
};
