// Places of the k largest channels, largest first, the lower place first among equals.
#pragma once

#include <algorithm>

#include "tensor.hpp"

template <class L, class In, class Out>
struct top_k {
    explicit top_k(const Params&) {}

    [[gnu::noinline]] void operator()(size_t n, const In& in, Out& out) const {
        std::vector<size_t> place(In::C);
        for (size_t pixel = 0; pixel < n * In::pixels; ++pixel) {
            for (size_t c = 0; c < In::C; ++c) place[c] = c;
            std::partial_sort(place.begin(), place.begin() + L::k, place.end(),
                              [&](size_t a, size_t b) {
                                  const auto x = in.at(pixel, a), y = in.at(pixel, b);
                                  return x != y ? x > y : a < b;
                              });
            out.store(pixel, [&](size_t i) { return place[i]; });
        }
    }
};
