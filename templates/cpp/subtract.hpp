// Element-wise difference of two tensors of one shape.
#pragma once

#include "tensor.hpp"

template <class L, class A, class B, class Out>
struct subtract {
    using Difference = std::int64_t;  // its operands may reach further than its result

    explicit subtract(const Params&) {}

    [[gnu::noinline]] void operator()(size_t n, const A& a, const B& b, Out& out) const {
        for (size_t pixel = 0; pixel < n * Out::pixels; ++pixel)
            out.store(pixel, [&](size_t c) {
                return static_cast<Difference>(a.at(pixel, c)) - static_cast<Difference>(b.at(pixel, c));
            });
    }
};
