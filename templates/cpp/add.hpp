// Element-wise sum of two tensors of one shape.
#pragma once

#include "simd.hpp"
#include "tensor.hpp"

template <class Sum, class A, class B, class Y>
void add_arrays(const A* a, const B* b, size_t count, Y* y) {
    dispatch(
        [](const A* a, const B* b, size_t count, Y* y) INLINE {
#pragma GCC ivdep
            for (size_t i = 0; i < count; ++i)
                y[i] = static_cast<Y>(static_cast<Sum>(a[i]) + static_cast<Sum>(b[i]));
        },
        a, b, count, y);
}

template <class L, class A, class B, class Out>
struct add {
    using Sum = Accumulator<typename Out::Type>;

    explicit add(const Params&) {}

    [[gnu::noinline]] void operator()(size_t n, const A& a, const B& b, Out& out) const {
        if constexpr (A::plain && B::plain && Out::plain)
            add_arrays<Sum>(a.data, b.data, n * Out::size, out.data);
        else
            for (size_t pixel = 0; pixel < n * Out::pixels; ++pixel)
                out.store(pixel, [&](size_t c) {
                    return static_cast<Sum>(a.at(pixel, c)) + static_cast<Sum>(b.at(pixel, c));
                });
    }
};
