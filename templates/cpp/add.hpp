// Element-wise sum of two tensors of one shape.
#pragma once

#include "tensor.hpp"

template <class L, class A, class B, class Out>
struct add {
    using Sum = Accumulator<typename Out::Type>;

    explicit add(const Params&) {}

    [[gnu::noinline]] void operator()(size_t n, const A& a, const B& b, Out& out) const {
        for (size_t pixel = 0; pixel < n * Out::pixels; ++pixel)
            out.store(pixel, [&](size_t c) {
                return static_cast<Sum>(a.at(pixel, c)) + static_cast<Sum>(b.at(pixel, c));
            });
    }
};
